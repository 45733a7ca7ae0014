//! The cache of registrations, damaged in any way: the answer is what the files say.
//!
//! An input is a list of changes to the cache that stands there, for offsets and addresses differ
//! from run to run. The files themselves stay, and have settled.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use hookmux::for_tests::config::triggers::Triggers;
use hookmux::for_tests::config::{self, Registration, Settings};
use hookmux::for_tests::machine::files;
use hookmux::for_tests::registry::cache;
use hookmux::for_tests::registry::{self, Registry};
use hookmux::for_tests::trust::Trust;

use super::{Checked, Target, must, same};
use crate::random::Random;

/// How long a file must have been left alone for the cache to believe in it.
const SETTLES_IN: Duration = Duration::from_millis(2500);

pub struct Caches {
    sites: Vec<Site>,
}

/// A hooks directory with its cache.
struct Site {
    settings: Settings,
    trust: Trust,
    place: PathBuf,
    /// The cache as hookmux wrote it.
    image: Vec<u8>,
    /// What stood in the broken one when it was good.
    stand_in: Registration,
    /// What the files say, for each that may be wanted.
    truths: Vec<(&'static str, Registry)>,
}

/// What a call may want.
const WANTED: &[&str] = &["all", "before_vm_start", "after_vm_stop", "none"];
const EVENTS: &[&str] = &["before_vm_start", "after_vm_stop", "before_network_start"];

impl Site {
    /// Makes the files, and lets hookmux see them once.
    fn prepare(base: &Path, count: usize) -> Site {
        let hooks = base.join("hooks");
        let directory = hooks.join("hooks.d");
        fs::create_dir_all(&directory).unwrap_or_default();
        for path in [base, &hooks, &directory] {
            let _ = fs::set_permissions(path, Permissions::from_mode(0o755));
        }
        for number in 0..count {
            let event = EVENTS[number % EVENTS.len()];
            let text = format!(
                "events: [{event}]\ncommand: [/bin/true, x{number}]\nwhen: {{name: [a*, '!b{number}']}}\nweight: {number}\n"
            );
            write(&directory.join(format!("r{number}.yaml")), &text);
        }
        let broken = directory.join("broken.yaml");
        write(&broken, "events: '*'\ncommand: [/bin/true, former]\n");
        let settings =
            format!("roots: []\nstate_dir: {0}/state\nruntime_dir: {0}/run\n", base.display());
        let surroundings = config::Surroundings::here(&hooks);
        let settings = Settings::parse(&hooks.join("hookmux.yaml"), &settings, &surroundings)
            .unwrap_or_else(|_| Settings::defaults(&surroundings));
        let trust = Trust::new(surroundings.user);
        let registry = cache::load(&settings, &trust, &|_| true);
        let stand_in = registry.registrations.into_iter().find(|hook| hook.name == "broken");
        write(&broken, "events: [nonsense\n");
        Site {
            place: settings
                .state_dir
                .unchecked_path()
                .join("cache")
                .join(files::name_digest(settings.hooks_dir.as_os_str())),
            settings,
            trust,
            image: Vec::new(),
            truths: Vec::new(),
            stand_in: stand_in.unwrap_or_else(|| unreachable!("a good registration isn't taken")),
        }
    }

    /// Lets hookmux write the cache of files that have settled.
    fn settle(&mut self) {
        self.load(&|_| true);
        self.image = fs::read(&self.place).unwrap_or_default();
        let truth = |wanted| {
            let wants = |triggers: &Triggers| is_wanted(wanted, triggers);
            registry::load(&self.settings, &mut self.trust.clone(), &wants)
        };
        self.truths = WANTED.iter().map(|wanted| (*wanted, truth(*wanted))).collect();
    }

    fn load(&self, wants: &dyn Fn(&Triggers) -> bool) -> Registry {
        cache::load(&self.settings, &self.trust, wants)
    }
}

fn write(path: &Path, text: &str) {
    let _ = fs::write(path, text);
    let _ = fs::set_permissions(path, Permissions::from_mode(0o644));
}

impl Caches {
    pub fn new(scratch: &Path) -> Caches {
        let mut sites: Vec<Site> = [(0, 4), (1, 2)]
            .into_iter()
            .map(|(number, count)| Site::prepare(&scratch.join(format!("site{number}")), count))
            .collect();
        thread::sleep(SETTLES_IN);
        sites.iter_mut().for_each(Site::settle);
        Caches { sites }
    }

    /// The cache after the changes of an input.
    fn image(&self, input: &str) -> Vec<u8> {
        let mut image = self.sites[0].image.clone();
        for line in input.lines() {
            let mut words = line.split(' ');
            let command = words.next().unwrap_or_default();
            let numbers: Vec<usize> =
                words.filter_map(|word| word.parse::<u64>().ok()).map(|n| n as usize).collect();
            let number = |index: usize| numbers.get(index).copied().unwrap_or_default();
            let at = number(0) % (image.len() + 1);
            let length = number(1) % (image.len() - at + 1);
            match command {
                "set" if at < image.len() => image[at] = number(1) as u8,
                "flip" if at < image.len() => image[at] ^= 1 << (number(1) % 8),
                "cut" => drop(image.drain(at..at + length)),
                "double" => {
                    let part = image[at..at + length].to_vec();
                    image.splice(at..at, part);
                }
                "insert" => drop(image.splice(at..at, (number(1) as u64).to_le_bytes())),
                "truncate" => image.truncate(at),
                "zero" => image[at..at + length].fill(0),
                "ones" => image[at..at + length].fill(0xff),
                // of other files
                "foreign" => image = self.sites[1].image.clone(),
                "empty" => image.clear(),
                "mend" => mend(&mut image),
                _ => {}
            }
            image.truncate(1 << 20);
        }
        image
    }
}

/// Where the header has the length of the index, and its checksum.
const LENGTH: usize = 16;
const SUM: usize = 24;
const HEADER: usize = 32;

/// Makes the header's checksum fit again, so that what is behind it is read: the form of the file as
/// of `registry/cache/index.rs` and `wire.rs`.
fn mend(image: &mut [u8]) {
    let Some(length) = image.get(LENGTH..SUM).and_then(|bytes| bytes.try_into().ok()) else {
        return;
    };
    let end = usize::try_from(u64::from_le_bytes(length))
        .ok()
        .and_then(|length| length.checked_add(HEADER));
    let Some(index) = end.and_then(|end| image.get(HEADER..end)) else { return };
    let step = |sum: u64, word: u64| {
        let mixed = (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 32)
    };
    let words = index.chunks_exact(8);
    let rest = words.remainder();
    let first = 0x9e37_79b9_7f4a_7c15 ^ index.len() as u64;
    let words = words.filter_map(|word| word.first_chunk());
    let sum = words.fold(first, |sum, word| step(sum, u64::from_le_bytes(*word)));
    let sum = rest.iter().fold(sum, |sum, byte| step(sum, u64::from(*byte)));
    image[SUM..HEADER].copy_from_slice(&sum.to_le_bytes());
}

/// Whether a call wants a registration: all of them, or those of an event.
fn is_wanted(wanted: &str, triggers: &Triggers) -> bool {
    wanted == "all" || triggers.has_event(wanted)
}

impl Target for Caches {
    fn name(&self) -> &'static str {
        "cache"
    }

    fn make(&mut self, random: &mut Random) -> Vec<u8> {
        let mut text = String::new();
        for _ in 0..1 + random.below(4) {
            let command = random.pick(&[
                "set", "set", "flip", "flip", "cut", "double", "insert", "truncate", "zero", "ones",
            ]);
            // most of what is decided is decided at the beginning
            let at = if random.once_in(2) { random.below(600) } else { random.below(1 << 20) };
            let number = match random.below(3) {
                0 => random.below(256) as u64,
                1 => random.below(32) as u64,
                _ => random.next(),
            };
            text.push_str(&format!("{command} {at} {number}\n"));
        }
        if random.once_in(30) {
            text.insert_str(0, random.pick(&["foreign\n", "empty\n"]));
        }
        if random.once_in(3) {
            text.push_str("mend\n");
        }
        text.push_str(random.pick(WANTED));
        text.push('\n');
        text.into_bytes()
    }

    fn check(&mut self, input: &[u8]) -> Checked {
        let Ok(text) = std::str::from_utf8(input) else { return Ok(false) };
        let image = self.image(text);
        let site = &self.sites[0];
        let is_replaced = fs::write(&site.place, &image).is_ok();
        must(is_replaced, "the cache can't be written", || site.place.display().to_string())?;
        let wanted = text.lines().last().unwrap_or_default();
        let wants = |triggers: &Triggers| is_wanted(wanted, triggers);
        let registry = site.load(&wants);
        let is_believed = fs::read(&site.place).is_ok_and(|now| now == image);
        if text.lines().any(|line| line == "mend") {
            // whoever can make the checksum fit can write anything: that it is survived is all
            return Ok(is_believed);
        }
        let truth = match site.truths.iter().find(|(known, _)| *known == wanted) {
            Some((_, truth)) => truth,
            None => &registry::load(&site.settings, &mut site.trust.clone(), &wants),
        };
        let broken = |registry: &Registry| -> Vec<String> {
            registry.broken.iter().map(|broken| broken.diagnostic.to_string()).collect()
        };
        same("what is broken differs: cache, files", &broken(&registry), &broken(truth))?;
        let has_last_good = registry.broken.iter().any(|broken| broken.has_last_good);
        let is_own = |hook: &&Registration| hook.name != "broken";
        let own: Vec<&Registration> = registry.registrations.iter().filter(is_own).collect();
        let expected: Vec<&Registration> = truth.registrations.iter().collect();
        same("the registrations differ: cache, files", &own, &expected)?;
        let stand_ins: Vec<&Registration> =
            registry.registrations.iter().filter(|hook| !is_own(hook)).collect();
        let may_be = if has_last_good && wants(&site.stand_in.triggers) {
            vec![&site.stand_in]
        } else {
            Vec::new()
        };
        same("what stands in isn't what stood there", &stand_ins, &may_be)?;
        Ok(is_believed)
    }
}
