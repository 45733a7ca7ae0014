//! Random edits: after each, the cache says what the registry says, and what stood there last.

use super::*;
use std::collections::HashMap;

/// xorshift
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % sides
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }
}

const NAMES: &[&str] = &["a.yaml", "b.yaml", "c.yaml", "d.yaml", "README", ".e.yaml", "a.yaml~"];
const TARGETS: &[&str] = &["x", "y"];

fn clear(path: &Path) {
    if fs::remove_file(path).is_err() {
        let _ = fs::remove_dir(path);
    }
}

fn random_text(dice: &mut Dice) -> String {
    let events = dice.pick(&[EVENT, OTHER, "\"*\"", "[before_vm_start, after_vm_stop]"]);
    let more = dice.pick(&[
        "",
        "enabled: false\n",
        "timeout: 0\n",
        "timeout: 3s\n",
        "calls: [qemu/prepare/begin, \"*/release\"]\n",
        "when: {name: [\"web-*\", \"!web-1\"], property: {p: 1}}\n",
        "broken: true\n",
        "lock: [\n",
        "run_as: 3\n",
    ]);
    format!("events: {events}\ncommand: [bin/x, -v]\nweight: {}\n{more}", dice.roll(1000))
}

/// One edit of anything that the result depends on.
fn edit(site: &mut Site, dice: &mut Dice) {
    let root = dice.pick(&["high", "middle", "low"]);
    let hooks = format!("{root}/hooks.d");
    let name = format!("{hooks}/{}", dice.pick(NAMES));
    let path = site.path(&name);
    let target = format!("elsewhere/{}", dice.pick(TARGETS));
    if !site.path(&hooks).exists() {
        return site.make_directory(&hooks);
    }
    match dice.roll(20) {
        0..5 => {
            let _ = fs::remove_dir(&path);
            // also through a link
            if fs::metadata(&path).is_ok_and(|file| file.is_file()) || !path.is_symlink() {
                let _ = fs::write(&path, random_text(dice));
                let _ = fs::set_permissions(&path, Permissions::from_mode(0o644));
            }
        }
        5..7 => {
            let temporary = format!("{hooks}/.new");
            site.write(&temporary, &random_text(dice));
            if path.is_dir() && !path.is_symlink() {
                clear(&path);
            }
            fs::rename(site.path(&temporary), &path).unwrap();
        }
        7..9 => clear(&path),
        9 => {
            clear(&path);
            site.link("/dev/null", &name);
        }
        10 | 11 => {
            clear(&path);
            site.link(&format!("../../{target}"), &name);
        }
        12 => {
            clear(&path);
            fs::create_dir(&path).unwrap();
        }
        13 if path.is_file() => fs::write(&path, "").unwrap(),
        14 if path.is_file() => {
            let mode = [0o644, 0o664, 0o600, 0o755, 0o4644][dice.roll(5)];
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
        15 => site.write(&target, &random_text(dice)),
        16 => clear(&site.path(&target)),
        17 => {
            let directory = dice.pick(&["high/hooks.d", root, "elsewhere"]);
            site.mode(directory, if dice.roll(3) == 0 { 0o777 } else { 0o755 });
        }
        18 if root != "high" => drop(fs::remove_dir_all(site.path(&hooks))),
        19 => site.settings.roots.reverse(),
        _ => {}
    }
}

/// What stood there last, of what is there still.
fn remember(site: &Site, good: &mut HashMap<PathBuf, String>) {
    good.retain(|path, _| path.symlink_metadata().is_ok());
    for source in registry::scan(&site.settings, &mut Trust::new(site.user)).unwrap() {
        if let Some(Ok(_)) = source.content {
            let text = fs::read_to_string(&source.path).unwrap();
            good.insert(source.path, text);
        }
    }
}

fn expected(site: &Site, good: &HashMap<PathBuf, String>, event: Option<&str>) -> Registry {
    let mut registry = Registry::default();
    for source in registry::scan(&site.settings, &mut Trust::new(site.user)).unwrap() {
        let stand_in = good
            .get(&source.path)
            .map(|text| Registration::parse(&source.path, &source.root, text).unwrap());
        let registration = match source.content {
            None => None,
            Some(Ok(registration)) => Some(registration),
            Some(Err(diagnostic)) => {
                registry.broken.push(Broken { diagnostic, has_last_good: stand_in.is_some() });
                stand_in
            }
        };
        let wanted =
            registration.filter(|hook| event.is_none_or(|event| hook.triggers.has_event(event)));
        registry.registrations.extend(wanted);
    }
    registry
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Clock {
    /// Everything counts as settled, and edits wait for the next tick.
    Later,
    /// Nothing is settled.
    Now,
}

fn run(seed: u64, steps: usize, clock: Clock) -> (usize, usize) {
    let mut site = Site::with_hooks();
    let mut dice = Dice(seed);
    let mut good = HashMap::new();
    let (mut warm, mut stand_ins) = (0, 0);
    for step in 0..steps {
        for _ in 0..=dice.roll(2) {
            edit(&mut site, &mut dice);
        }
        let event = [None, Some(EVENT), Some(OTHER)][dice.roll(3)];
        let wants = |triggers: &Triggers| event.is_none_or(|event| triggers.has_event(event));
        let start = || now() + Duration::from_secs(if clock == Clock::Later { 10 } else { 0 });
        let registry = load_at(&site.settings, &Trust::new(site.user), &wants, start());
        remember(&site, &mut good);
        let expected = expected(&site, &good, event);
        assert_eq!(told(&registry), told(&expected), "seed {seed}, step {step}");
        let again = load_at(&site.settings, &Trust::new(site.user), &wants, start());
        assert_eq!(told(&again), told(&expected), "seed {seed}, step {step}, once more");
        warm += usize::from(site.warm().is_some());
        stand_ins += registry.broken.iter().filter(|broken| broken.has_last_good).count();
        if clock == Clock::Later {
            tick();
        }
    }
    (warm, stand_ins)
}

#[test]
fn random_edits_of_a_settled_registry() {
    let runs =
        [1, 2, 3].map(|seed| thread::spawn(move || run(seed * 0x1234_5679, 200, Clock::Later)));
    for (warm, stand_ins) in runs.map(|run| run.join().unwrap()) {
        assert!(warm > 100, "only {warm} were warm");
        assert!(stand_ins > 10, "only {stand_ins} stand-ins");
    }
}

#[test]
fn random_edits_in_quick_succession() {
    for seed in 1..=3 {
        let (_, stand_ins) = run(seed * 0x0765_4321, 400, Clock::Now);
        assert!(stand_ins > 100, "only {stand_ins} stand-ins");
    }
}
