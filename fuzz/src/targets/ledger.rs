//! What hooks have set up and owe: whatever lies in an owner's directory, an entry is read or told of, none is
//! forgotten in silence, what is run is what a call has written, and nothing lies outside of the ledger.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use hookmux::for_tests::machine::{boot, files};
use hookmux::for_tests::undo::entry::{EntryName, FORMAT};
use hookmux::for_tests::undo::ledger::{Ledger, Owed, OwnerLedger};
use hookmux::for_tests::undo::owner::Owner;
use serde_json::{Map, Value, json};

use super::{Checked, Target, is_prepared, join, must, own_directory, parts, same, shown};
use crate::json;
use crate::random::Random;
use crate::seeds::{self, Seed};

const WORDS: &[&str] = &[
    "format",
    "boot",
    "registration",
    "hook",
    "event",
    "device",
    "driver",
    "object",
    "operation",
    "uuid",
    "life",
    "call_arguments",
    "shared",
    "lock",
    "order_ns",
    "current",
    "earlier",
    "last",
    "is_due",
    "execution",
    "run",
    "job",
    "command",
    "document",
    "output",
    "is_done",
    "began_ns",
    "ended_ns",
    "rollback",
    "path",
    "arguments",
    "environment",
    "stdin",
    "identity",
    "limits",
    "timeout",
    "BOOT",
    "qemu",
    "network",
    "../../x",
    "/",
    "L2Jpbi90cnVl",
    "AAAA",
    "=",
    "\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    "null",
    "-1",
    "4294967295",
    "9223372036854775807",
    "-9223372036854775808",
];

/// Names of files, of which `KEY` is that of the entry.
const NAMES: &[&str] = &[
    "KEY.json",
    "KEY.provisional.json",
    "KEY.undoing.json",
    "KEY-01M8MWZSD3D31BN4HHENW5E1QX.due.json",
    "KEY.provisional.due.undoing.json",
    "KEY.provisional.undoing.json",
    "KEY-01M8MWZSD3D31BN4HHENW5E1QX.json",
    "KEY-01M8MWZSD3D31BN4HHENW5E1QX.undoing.json",
    "KEY-.json",
    "KEY.other.json",
    ".json",
    "KEY",
    "last-call",
    "begun.1.BOOT",
    "ended.9223372036854775807.BOOT",
    "due.1.BOOT",
    "due.99999999999999999999.BOOT",
    "arrived.1.",
    ".KEY.json.1.new",
];

const OWNER: &str = "qemu-91126ceb-8184-4a0b-b79f-0f3d17ecc836";

pub struct Ledgers {
    /// Entries, with `BOOT` for the boot.
    seeds: Vec<Value>,
    scratch: PathBuf,
    runtime_dir: PathBuf,
    key: String,
    boot: String,
}

/// What the file of an entry may be.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Owed,
    Unreadable,
    Gone,
}

impl Ledgers {
    pub fn new(all: &[Seed], scratch: &Path) -> Ledgers {
        let runtime_dir = scratch.join("run");
        let raw = seeds::objects(all, |object| {
            object.get("current").is_some_and(|it| it.get("job").is_some())
        });
        let mut seeds = json::values(&raw);
        seeds.push(json!({ "format": 1, "boot": "BOOT", "driver": "qemu", "current": {
            "run": "01M8MWZSD3D31BN4HHENW5E1QX-0", "job": { "path": "L2Jpbi90cnVl" } } }));
        for seed in &mut seeds {
            if let Some(object) = seed.as_object_mut() {
                object.insert("boot".to_owned(), "BOOT".into());
            }
        }
        let name = EntryName::new("x", None, false).file();
        let key = name.trim_end_matches(".json").to_owned();
        Ledgers { seeds, scratch: scratch.to_path_buf(), runtime_dir, key, boot: boot::id() }
    }

    fn file(&self, random: &mut Random) -> Vec<u8> {
        let mut value = random.item(&self.seeds).clone();
        if !random.once_in(3) {
            json::mutate(random, &mut value, WORDS);
        }
        let mut bytes = value.to_string().into_bytes();
        if random.once_in(6) {
            crate::bytes::mutate(random, &mut bytes, WORDS, &[]);
        }
        bytes
    }

    fn of_now(&self, bytes: &[u8]) -> Vec<u8> {
        match std::str::from_utf8(bytes) {
            Ok(text) => text.replace("BOOT", &self.boot).into_bytes(),
            Err(_) => bytes.to_vec(),
        }
    }

    fn name(&self, bytes: &[u8]) -> Option<String> {
        let boot: String = self.boot.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
        let name = std::str::from_utf8(bytes).ok()?;
        let name = name.replace("KEY", &self.key).replace("BOOT", &boot);
        let is_file = !name.is_empty() && name.len() < 200 && name != "." && name != "..";
        (is_file && !name.contains(['/', '\0'])).then_some(name)
    }

    /// That nothing lies outside of the ledger.
    fn are_all_inside(&self) -> Result<(), super::Disagreement> {
        for (directory, known) in [
            (&self.scratch, &["run", "progress"][..]),
            (&self.runtime_dir, &["undo", "undo-locks"][..]),
            (&self.runtime_dir.join("undo"), &[OWNER, "shared"][..]),
        ] {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let is_known = known.iter().any(|known| name.as_bytes() == known.as_bytes());
                must(is_known, "a file outside of its directory", || {
                    entry.path().display().to_string()
                })?;
            }
        }
        Ok(())
    }
}

/// Whether a name is that of an entry, by the words of docs/files.md.
fn is_entry(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(".json") else { return false };
    let stem = stem.strip_suffix(".undoing").unwrap_or(stem);
    let stem = stem.strip_suffix(".due").unwrap_or(stem);
    let stem = stem.strip_suffix(".provisional").unwrap_or(stem);
    let mut words = stem.splitn(2, '-');
    let is_word =
        |word: &str| !word.is_empty() && word.chars().all(|letter| letter.is_ascii_alphanumeric());
    words.next().is_some_and(is_word) && words.next().is_none_or(is_word)
}

/// Where a file is after a look at its directory.
fn place(owed: &[Owed], unreadable: &[PathBuf], directory: &Path, name: &str) -> Option<Place> {
    let is_owed = owed.iter().any(|owed| owed.name.file() == name);
    let path = directory.join(name);
    let is_unreadable = unreadable.contains(&path);
    match (is_owed, is_unreadable, path.exists()) {
        (true, false, true) => Some(Place::Owed),
        (false, true, _) => Some(Place::Unreadable),
        (false, false, false) => Some(Place::Gone),
        _ => None,
    }
}

impl Target for Ledgers {
    fn name(&self) -> &'static str {
        "ledger"
    }

    fn make(&mut self, random: &mut Random) -> Vec<u8> {
        let mut name = || {
            let mut name = random.pick(NAMES).as_bytes().to_vec();
            if random.once_in(6) {
                crate::bytes::mutate(random, &mut name, NAMES, &[]);
            }
            name
        };
        let (one, two, mark) = (name(), name(), name());
        let (first, second) = (self.file(random), self.file(random));
        join(&[&one, &first, &two, &second, &mark])
    }

    fn check(&mut self, input: &[u8]) -> Checked {
        let [one, first, two, second, mark] = parts(input);
        let _ = fs::remove_dir_all(&self.runtime_dir);
        let directory = self.runtime_dir.join("undo").join(OWNER);
        for path in [&self.runtime_dir, &self.runtime_dir.join("undo"), &directory] {
            let made = files::private_directory(path);
            must(made.is_ok(), "the input's own directory can't be made", || format!("{made:?}"))?;
        }
        let mut written: Vec<(String, Vec<u8>)> = Vec::new();
        for (name, bytes) in [(one, first), (two, second), (mark, &b""[..])] {
            let Some(name) = self.name(name) else { continue };
            let bytes = self.of_now(bytes);
            if files::replace(&directory.join(&name), &bytes).is_ok() {
                written.retain(|(other, _)| *other != name);
                written.push((name, bytes));
            }
        }
        let runtime_dir = own_directory(&self.runtime_dir);
        let own = Ledger::new(&runtime_dir).of(&Owner::of_directory(OWNER.to_owned()));
        let (owed, unreadable) = own.entries();
        let paths: Vec<PathBuf> = unreadable.iter().map(|one| one.path.clone()).collect();
        for (name, bytes) in &written {
            if is_entry(name) {
                let place = place(&owed, &paths, &directory, name);
                must(place.is_some(), "an entry that is forgotten", || {
                    format!("{name}: {owed:?}")
                })?;
                let is_of_now = !is_of_other_boot(bytes, &self.boot);
                must(
                    place != Some(Place::Gone) || !is_of_now,
                    "an entry of this boot that is removed",
                    || format!("{name}: {}", shown(bytes)),
                )?;
            } else {
                let is_taken = owed.iter().any(|owed| owed.name.file() == *name);
                must(!is_taken, "a file that is taken for an entry", || name.clone())?;
            }
        }
        for one in &unreadable {
            must(
                one.words().contains(&*directory.to_string_lossy()),
                "a message without its file",
                || one.words(),
            )?;
        }
        for owed in &owed {
            can_be_run(owed)?;
        }
        let is_any = !owed.is_empty();
        self.goes_on(&own, &owed)?;
        self.are_all_inside()?;
        Ok(is_any)
    }
}

/// Whether a file says that it is of another boot.
fn is_of_other_boot(bytes: &[u8], here: &str) -> bool {
    let value: Option<Map<String, Value>> = serde_json::from_slice(bytes).ok();
    let boot = value.as_ref().and_then(|value| value.get("boot")?.as_str());
    boot.is_some_and(|boot| !boot.is_empty() && boot != here)
}

/// That what would be run is what a call writes.
fn can_be_run(owed: &Owed) -> Result<(), super::Disagreement> {
    let entry = &owed.entry;
    must(entry.format <= FORMAT, "a newer entry is taken for one", || entry.format.to_string())?;
    let lock = entry.lock.as_deref().unwrap_or("x");
    must(!lock.contains('/') && !lock.starts_with('.'), "a lock outside of its directory", || {
        lock.to_owned()
    })?;
    let call = entry.call();
    must(call.driver.name() == entry.driver, "an undo of another driver", || entry.driver.clone())?;
    for setup in [Some(&entry.current), entry.earlier.as_ref()].into_iter().flatten() {
        let program = setup.job.program();
        must(program.is_absolute(), "a program that depends on a directory", || {
            program.display().to_string()
        })?;
        // processes are ended by it, and directories called
        let is_id = !setup.run.is_empty()
            && setup.run.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
        must(is_id, "a run without an id", || setup.run.clone())?;
        is_prepared(&setup.job, &setup.run);
    }
    let _ = (owed.is_due(), owed.is_expired(), owed.is_provisional());
    Ok(())
}

impl Ledgers {
    /// That none is lost on its way to its end.
    fn goes_on(&self, own: &OwnerLedger, before: &[Owed]) -> Result<(), super::Disagreement> {
        let runs = |owed: &[Owed]| {
            let mut runs: Vec<String> =
                owed.iter().map(|owed| owed.entry.current.run.clone()).collect();
            runs.sort();
            runs
        };
        let _ = own.settle();
        let settled = own.entries().0;
        same("settled entries are others", &runs(before), &runs(&settled))?;
        for owed in &settled {
            if own.keep(owed).is_err() {
                return Ok(());
            }
        }
        let kept = own.entries().0;
        same("kept entries are others", &runs(&settled), &runs(&kept))?;
        for mut owed in kept {
            let ended = own.end(&mut owed);
            must(ended.is_err() || owed.is_over(), "a life that doesn't end", || {
                format!("{owed:?}")
            })?;
        }
        let mut ended = own.entries().0;
        same("ended entries are others", &runs(before), &runs(&ended))?;
        // a new life beside the earlier ones
        if let Some(mut owed) = ended.pop() {
            let name = EntryName::new("x", None, false);
            owed.entry.current.run = "new".to_owned();
            owed.entry.earlier = None;
            if own.begin(&name, owed.entry).is_ok() {
                same(
                    "a new life takes an earlier one's place",
                    &own.entries().0.len(),
                    &(before.len() + 1),
                )?;
                own.strike(&name);
                same("a hook that failed owes", &runs(before), &runs(&own.entries().0))?;
            }
        }
        for owed in own.entries().0 {
            own.remove(&owed.name);
        }
        same("what was taken back is owed", &own.entries().0.len(), &0)
    }
}
