//! One entry of the ledger: a hook that ran for a guest, a network or a port, and everything that its `undo`
//! is started with.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::moment::PROVISIONAL_TIMEOUT;
use crate::libvirt::{Call, Driver};
use crate::machine::{boot, clock, files, ulid};
use crate::observer::CommandLine;
use crate::occasion::Execution;
use crate::process::stored_job::{Bytes, StoredJob};

/// The version of the format. It is raised when older versions would misread an entry.
pub const FORMAT: u32 = 1;
/// The limit of an entry's file, in bytes: three documents in base64, with their environments.
pub(super) const MAX_ENTRY_BYTES: u64 = 96 << 20;
/// How much of a hook's output its undo gets, in bytes.
pub(crate) const MAX_OUTPUT_BYTES: usize = 64 << 10;
/// The limit of the message about the last failure, in characters.
const MAX_LAST_CHARS: usize = 500;

/// The longest id of a run.
const MAX_RUN_BYTES: usize = 64;

/// One run of a hook, and what takes it back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Setup {
    /// The execution in which the hook ran.
    pub execution: String,
    /// The id of the hook's run, which its processes carry.
    pub run: String,
    /// The program that takes it back.
    pub job: StoredJob,
    /// The same for people.
    pub command: CommandLine,
    /// The document that the hook got, for the file that `_hook_domxml` names.
    pub document: Option<Bytes>,
    /// What the hook wrote to standard output.
    pub output: Option<Bytes>,
    /// Whether the hook is known to have succeeded.
    pub is_done: bool,
    /// When it began, in nanoseconds of this boot.
    pub began_ns: i64,
    /// When it succeeded.
    pub ended_ns: i64,
    /// The rollback of a hook that guests share: a later guest's call may have to run it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback: Option<StoredRollback>,
}

/// What rolls a hook back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoredRollback {
    pub job: StoredJob,
    /// The same for people.
    pub command: CommandLine,
}

impl Setup {
    /// Returns the id of the undo's run. There is one undo of each run at a time, so that what an undo that
    /// died has left is found by it.
    pub(crate) fn undo_run(&self) -> String {
        format!("{}-undo", self.run)
    }
}

/// An entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    pub format: u32,
    pub boot: String,
    /// The name of the registration.
    pub registration: String,
    /// `before_vm_prepare/cpu`
    pub hook: String,
    pub event: Option<String>,
    /// The label of the device, for a device event.
    pub device: Option<String>,
    pub driver: String,
    pub object: String,
    pub operation: String,
    pub uuid: Option<String>,
    /// The life that owes it: the execution in which its hook first ran in it.
    pub life: String,
    /// libvirt's arguments of the call.
    pub call_arguments: Vec<Bytes>,
    /// Whether guests share what it sets up.
    pub shared: bool,
    /// The lock that hook and undo hold while they run.
    pub lock: Option<String>,
    /// Its place in the order: when the hook first succeeded in this life.
    pub order_ns: i64,
    pub current: Setup,
    /// The run before, in the same life.
    pub earlier: Option<Setup>,
    /// How the last undo failed.
    pub last: Option<String>,
    /// Whether the worker runs the undo, as hookmux noted it before the entry's name told that.
    #[serde(skip_serializing_if = "is_false")]
    pub is_due: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// Tells whether a word is a run's id: it becomes a part of file names, and processes are ended by it.
fn is_run(word: &str) -> bool {
    let is_of_id = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=MAX_RUN_BYTES).contains(&word.len()) && word.bytes().all(is_of_id)
}

/// Tells whether a lock's name can be that of a file.
fn is_lock(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0'])
}

impl Setup {
    fn check(&self) -> Result<(), &'static str> {
        if !self.job.program().is_absolute() {
            return Err("it names no program");
        }
        match is_run(&self.run) {
            true => Ok(()),
            false => Err("its run has no id"),
        }
    }
}

impl Entry {
    /// Checks an entry that was read, before anything is done with it.
    ///
    /// # Errors
    /// It isn't one that a call has written.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        self.current.check()?;
        self.earlier.as_ref().map_or(Ok(()), Setup::check)?;
        if Driver::from_name(&self.driver).is_none() {
            return Err("it names no driver");
        }
        if self.lock.as_deref().is_some_and(|name| !is_lock(name)) {
            return Err("its lock has no name of a file");
        }
        Ok(())
    }

    /// Returns the call in which the hook ran.
    pub fn call(&self) -> Call {
        let driver = Driver::from_name(&self.driver).unwrap_or(Driver::Qemu);
        let argument = |bytes: &Bytes| OsString::from_vec(bytes.0.clone());
        Call::new(driver, self.call_arguments.iter().map(argument).collect())
    }

    /// Returns the execution in which the hook ran.
    pub(crate) fn execution(&self) -> Execution {
        Execution {
            id: self.current.execution.clone(),
            driver: Driver::from_name(&self.driver).map_or("", |driver| driver.name()),
            object: self.object.clone(),
            operation: self.operation.clone(),
            uuid: self.uuid.clone(),
        }
    }

    /// Makes the arguments of a call storable.
    pub(crate) fn stored_arguments(call: &Call) -> Vec<Bytes> {
        call.arguments.iter().map(|argument| Bytes(argument.as_bytes().to_vec())).collect()
    }

    /// Returns the entry with another run of the same hook in the same life.
    pub(super) fn renewed(self, existing: Option<Entry>) -> Entry {
        let Some(existing) = existing else { return self };
        Entry {
            order_ns: existing.order_ns,
            life: existing.life,
            earlier: Some(existing.current),
            ..self
        }
    }

    /// Returns the entry without its last run; `None` where there was no other.
    pub(super) fn before(self) -> Option<Entry> {
        let earlier = self.earlier?;
        Some(Entry { current: earlier, earlier: None, ..self })
    }

    /// Returns the entry after its hook has succeeded.
    pub(super) fn done(mut self, output: Vec<u8>) -> Entry {
        if !self.earlier.as_ref().is_some_and(|earlier| earlier.is_done) {
            self.order_ns = clock::boottime_ns();
        }
        self.current.is_done = true;
        self.current.ended_ns = clock::boottime_ns();
        self.current.output = Some(Bytes(output));
        self
    }

    /// Returns what the hook wrote when it last succeeded.
    pub(crate) fn output(&self) -> &[u8] {
        let earlier = self.earlier.as_ref().and_then(|earlier| earlier.output.as_ref());
        self.current.output.as_ref().or(earlier).map_or(&[], |output| &output.0)
    }

    pub(super) fn set_last(&mut self, words: &str) {
        self.last = Some(words.chars().take(MAX_LAST_CHARS).collect());
    }

    /// Tells whether it is of another boot of the host.
    pub(super) fn is_of_other_boot(&self) -> bool {
        boot::is_other(&self.boot)
    }

    /// Returns how long a provisional entry still waits for `prepare`: from the end of its hook, or of its
    /// call, where that is known.
    pub(super) fn wait_left(&self, call_ended_ns: i64) -> Duration {
        let timeout_ns = clock::nanoseconds(PROVISIONAL_TIMEOUT);
        let since_ns = self.current.began_ns.max(self.current.ended_ns).max(call_ended_ns);
        let ends_ns = since_ns.saturating_add(timeout_ns);
        clock::duration_until(ends_ns, clock::boottime_ns())
    }
}

/// The name of an entry's file. What is in it changes without room for another file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryName {
    /// The same for each run of the hook in one life.
    key: String,
    /// Set once the life is over: a ULID, because the next life may have the same hook.
    over: Option<String>,
    /// Whether it waits for `prepare`.
    pub is_provisional: bool,
    /// Whether the worker runs its undo: the call had no time for it.
    pub is_due: bool,
    /// Whether its undo has begun, and wasn't seen to end.
    pub is_undoing: bool,
}

const SUFFIX: &str = ".json";
const PROVISIONAL: &str = ".provisional";
const DUE: &str = ".due";
const UNDOING: &str = ".undoing";
const OVER_MARK: char = '-';

impl EntryName {
    pub fn new(registration: &str, device: Option<&str>, is_provisional: bool) -> EntryName {
        let whole = format!("{registration}\0{}", device.unwrap_or_default());
        let key = files::name_digest(whole.as_ref());
        EntryName { key, over: None, is_provisional, is_due: false, is_undoing: false }
    }

    /// Reads a file name.
    pub(super) fn parse(name: &str) -> Option<EntryName> {
        let stem = name.strip_suffix(SUFFIX)?;
        let (stem, is_undoing) = without(stem, UNDOING);
        let (stem, is_due) = without(stem, DUE);
        let (stem, is_provisional) = without(stem, PROVISIONAL);
        let (key, over) = match stem.split_once(OVER_MARK) {
            Some((key, over)) => (key, Some(over)),
            None => (stem, None),
        };
        let is_word =
            |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (is_word(key) && over.is_none_or(is_word)).then(|| EntryName {
            key: key.to_owned(),
            over: over.map(str::to_owned),
            is_provisional,
            is_due,
            is_undoing,
        })
    }

    /// Returns what is the same for each run of its hook for one device.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub fn file(&self) -> String {
        let EntryName { key, over, is_provisional, is_due, is_undoing } = self;
        let over = over.as_ref().map(|over| format!("{OVER_MARK}{over}")).unwrap_or_default();
        let provisional = if *is_provisional { PROVISIONAL } else { "" };
        let due = if *is_due { DUE } else { "" };
        let undoing = if *is_undoing { UNDOING } else { "" };
        format!("{key}{over}{provisional}{due}{undoing}{SUFFIX}")
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// Tells whether both are entries of one hook in one life. One that waits for `prepare` isn't of the life
    /// that the guest may have meanwhile: libvirt asks before it refuses a guest that runs here already.
    pub(super) fn is_same_hook(&self, other: &EntryName) -> bool {
        let is_same_life = self.over.is_none() && other.over.is_none();
        self.key == other.key && is_same_life && self.is_provisional == other.is_provisional
    }

    pub(super) fn ended(self) -> EntryName {
        // two entries of one hook may be over
        let over = match self.over {
            Some(over) => over,
            None => ulid::new(),
        };
        EntryName { over: Some(over), is_provisional: false, ..self }
    }

    pub(super) fn firm(self) -> EntryName {
        EntryName { is_provisional: false, ..self }
    }

    pub(super) fn due(self, is_due: bool) -> EntryName {
        EntryName { is_due, ..self }
    }

    pub(super) fn undoing(self, is_undoing: bool) -> EntryName {
        EntryName { is_undoing, ..self }
    }
}

fn without<'t>(text: &'t str, end: &str) -> (&'t str, bool) {
    match text.strip_suffix(end) {
        Some(rest) => (rest, true),
        None => (text, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_state_of_its_entry() {
        let name = EntryName::new("cpu", None, true);
        assert_ne!(name, EntryName::new("cpu", Some("net0"), true));
        assert!(!name.is_over() && !name.is_undoing);
        for name in [
            name.clone(),
            name.clone().firm(),
            name.clone().undoing(true),
            name.clone().firm().undoing(true),
            name.clone().ended(),
            name.clone().due(true),
            name.clone().ended().due(true).undoing(true),
            name.ended().undoing(true),
        ] {
            assert_eq!(EntryName::parse(&name.file()), Some(name.clone()), "{name:?}");
        }
        for other in ["last-call", ".json", "a.b.json", "a-.json", "a.json~", "a/b.json"] {
            assert_eq!(EntryName::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_later_run_keeps_the_place_and_its_failure_leaves_the_earlier_one() {
        let run = |id: &str, order_ns| Entry {
            order_ns,
            current: Setup { run: id.to_owned(), ..Setup::default() },
            ..Entry::default()
        };
        let first = run("1", 7).renewed(None);
        assert_eq!(first.clone().before(), None, "it failed, and nothing is owed");
        let first = first.done(b"one".to_vec());
        let order_ns = first.order_ns;
        assert!(order_ns > 7, "its place is that of its success");
        let second = run("2", 9).renewed(Some(first.clone()));
        assert_eq!((second.order_ns, second.output()), (order_ns, &b"one"[..]));
        assert_eq!(second.clone().before().unwrap(), first);
        let second = second.done(b"two".to_vec());
        assert_eq!((second.order_ns, second.output()), (order_ns, &b"two"[..]));
        // one that died counts as having succeeded: nobody knows
        let third = run("3", 1).renewed(Some(run("x", 5)));
        let left = third.before().unwrap();
        assert!(!left.current.is_done && left.current.run == "x");
    }
}
