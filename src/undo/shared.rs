//! What guests share: a registration with `shared` runs for the first of them, and its undo for the last.

use std::io;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::entry::{Entry, EntryName, FORMAT, MAX_ENTRY_BYTES};
use super::owner::Owner;
use super::place;
use crate::machine::{boot, files};
use crate::state::locks::{self, HookLock, LockError, LockHolder};
use crate::state::{Dir, format};

pub(super) const DIRECTORY: &str = "shared";
/// How the name of a share's lock begins, before that of its directory.
pub(super) const LOCK_PREFIX: &str = "shared.";
/// The first one's run, with what takes it back.
const RECORD: &str = "record.json";
/// There while the undo of the record has begun, and hasn't succeeded: nobody may count on what was set up.
const UNDOING: &str = "undoing";
/// Stands between owner, hook and life in the name of a holder's file.
const HOLDER_MARK: char = '~';
/// How the name of a file ends that is being written.
const UNFINISHED: &str = ".new";
/// The limit of a holder's file, in bytes.
const MAX_HOLDER_BYTES: u64 = 4096;

/// Who holds a share, for messages.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Holder {
    format: u32,
    boot: String,
    object: String,
}

/// What the guests of one registration share.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    locks: Dir,
    /// The directory of all shares.
    shared: Dir,
    directory: Dir,
    lock_name: String,
    /// The file that says that this life of the guest holds it.
    holder: String,
}

/// A share whose lock is held.
pub(crate) struct HeldShare {
    pub share: Share,
    lock: Option<HookLock>,
}

impl Drop for HeldShare {
    fn drop(&mut self) {
        let is_gone = self.share.directory.unchecked_path().symlink_metadata().is_err();
        if let Some(lock) = self.lock.take().filter(|_| is_gone) {
            lock.remove();
        }
    }
}

impl Share {
    /// Makes the share of one life of a guest. `root` and `locks` are the ledger's directories.
    pub(super) fn new(
        (root, locks): (&Dir, &Dir),
        owner: &Owner,
        registration: &str,
        (name, life): (&EntryName, &str),
    ) -> Share {
        let digest = files::name_digest(registration.as_ref());
        let shared = root.child(DIRECTORY);
        // it comes from a file, and becomes a file's name
        let life: String = life.chars().filter(char::is_ascii_alphanumeric).collect();
        let (owner, key) = (owner.directory(), name.key());
        Share {
            locks: locks.clone(),
            directory: shared.child(&digest),
            shared,
            lock_name: format!("{LOCK_PREFIX}{digest}"),
            holder: format!("{owner}{HOLDER_MARK}{key}{HOLDER_MARK}{life}"),
        }
    }

    /// Takes the lock, under which hook and undo run.
    ///
    /// # Errors
    /// See [`LockError`].
    pub(crate) fn lock(
        self,
        holder: &LockHolder,
        until: Instant,
        is_terminated: &mut dyn FnMut() -> bool,
    ) -> Result<HeldShare, LockError> {
        let lock = locks::take_in(&self.locks, &self.lock_name, holder, until, is_terminated)?;
        Ok(HeldShare { share: self, lock: Some(lock) })
    }

    /// Returns the first one's run.
    ///
    /// # Errors
    /// It can't be read.
    pub(crate) fn record(&self) -> io::Result<Option<Entry>> {
        let bytes = match self.directory.read(RECORD, MAX_ENTRY_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        format::check(&bytes, FORMAT)?;
        let entry: Entry = format::read_object(&bytes)?;
        entry.check().map_err(io::Error::other)?;
        Ok(Some(entry).filter(|entry| !entry.is_of_other_boot()))
    }

    /// Returns the run that can be counted on: it succeeded, and no undo of it has begun.
    ///
    /// # Errors
    /// As [`Share::record`].
    pub(crate) fn set_up(&self) -> io::Result<Option<Entry>> {
        let is_usable =
            |entry: &Entry| entry.current.is_done && !self.directory.may_contain(UNDOING);
        Ok(self.record()?.filter(is_usable))
    }

    /// Enters a run for all, before it starts.
    ///
    /// # Errors
    /// There is no room for it.
    pub(crate) fn begin(&self, entry: Entry) -> io::Result<()> {
        let entry = entry.renewed(self.record()?);
        let entry = Entry { format: FORMAT, boot: boot::id(), ..entry };
        self.write(&entry)?;
        self.directory.remove(UNDOING)?;
        self.hold(&entry.object)
    }

    fn write(&self, entry: &Entry) -> io::Result<()> {
        place::write(&self.directory, RECORD, &serde_json::to_vec(entry)?)
    }

    /// Notes that this life of a guest holds it.
    ///
    /// # Errors
    /// There is no room for it.
    pub(crate) fn hold(&self, object: &str) -> io::Result<()> {
        let holder = Holder { format: FORMAT, boot: boot::id(), object: object.to_owned() };
        place::write(&self.directory, &self.holder, &serde_json::to_vec(&holder)?)
    }

    /// Notes that the run has succeeded.
    ///
    /// # Errors
    /// It can't be written: the next guest runs the hook again.
    pub(crate) fn done(&self, output: Vec<u8>) -> io::Result<()> {
        match self.record()? {
            Some(entry) => self.write(&entry.done(output)),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Strikes the run: it failed. One before it that died stays.
    pub(crate) fn strike(&self) {
        let before = self.record().ok().flatten().and_then(Entry::before);
        self.give_up();
        match before {
            // whether it is whole isn't known: the next one runs the hook
            Some(before) => {
                self.set_undoing();
                drop(self.write(&before));
            }
            None => self.remove(),
        }
    }

    /// Gives this guest's share up. Returns who else holds one.
    pub(crate) fn give_up(&self) -> Vec<String> {
        let _ = self.directory.remove(&self.holder);
        self.holders()
    }

    /// Returns the guests that hold a share. Where nobody can tell, others count as holders.
    fn holders(&self) -> Vec<String> {
        let unknown = || "a guest that isn't known".to_owned();
        let Ok(names) = self.directory.names() else { return vec![unknown()] };
        let names = names.iter().filter_map(|name| name.to_str());
        let mut holders = Vec::new();
        for name in names.filter(|name| name.contains(HOLDER_MARK) && !name.ends_with(UNFINISHED)) {
            let bytes = self.directory.read(name, MAX_HOLDER_BYTES).ok();
            let holder: Option<Holder> = bytes.and_then(|bytes| format::read_object(&bytes).ok());
            match holder {
                Some(holder) if boot::is_other(&holder.boot) => {
                    let _ = self.directory.remove(name);
                }
                Some(holder) => holders.push(holder.object),
                None => holders.push(unknown()),
            }
        }
        holders.sort_unstable();
        holders
    }

    /// Notes that the undo begins.
    pub(crate) fn set_undoing(&self) {
        let _ = self.directory.replace(UNDOING, b"");
    }

    /// Forgets the run, because it was taken back.
    pub(crate) fn remove(&self) {
        for name in [RECORD, UNDOING] {
            let _ = self.directory.remove(name);
        }
        let names = self.directory.names().unwrap_or_default();
        for name in names.iter().filter_map(|name| name.to_str()) {
            if name.ends_with(UNFINISHED) {
                let _ = self.directory.remove(name);
            }
        }
        let _ = self.directory.remove_empty();
        let _ = self.shared.remove_empty();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::undo::entry::Setup;

    fn entry(object: &str) -> Entry {
        let job = serde_json::from_str(r#"{"path":"L3g="}"#).unwrap();
        let current = Setup { run: "1".to_owned(), job, ..Setup::default() };
        let (driver, object) = ("qemu".to_owned(), object.to_owned());
        Entry { driver, object, current, ..Entry::default() }
    }

    #[test]
    fn the_last_to_give_up_is_told_so() {
        let directory = tempfile::tempdir().unwrap();
        let root = Dir::of_test(directory.path());
        let locks = root.child("locks");
        let name = EntryName::new("x", None, false);
        let share = |owner: &str, life: &str| {
            let owner = Owner::of_directory(owner.to_owned());
            Share::new((&root, &locks), &owner, "x", (&name, life))
        };
        let [one, two] = ["qemu-1", "qemu-2"].map(|owner| share(owner, "A"));
        assert!(one.set_up().unwrap().is_none());
        one.begin(entry("g1")).unwrap();
        assert!(one.set_up().unwrap().is_none(), "it isn't known to have succeeded");
        one.done(b"out".to_vec()).unwrap();
        assert_eq!(two.set_up().unwrap().unwrap().current.run, "1");
        two.hold("g2").unwrap();
        assert_eq!((one.give_up(), one.give_up()), (vec!["g2".to_owned()], vec!["g2".to_owned()]));
        assert_eq!(two.record().unwrap().unwrap().output(), b"out");
        assert!(two.give_up().is_empty());
        two.set_undoing();
        assert!(two.set_up().unwrap().is_none() && two.record().unwrap().is_some());
        two.remove();
        assert!(one.record().unwrap().is_none() && !root.may_contain(DIRECTORY));
        // the first fails, and the next one tries
        one.begin(entry("g1")).unwrap();
        one.strike();
        assert!(two.record().unwrap().is_none() && two.give_up().is_empty());
    }

    #[test]
    fn each_life_of_a_guest_holds_a_share_of_its_own_and_none_outlives_the_boot() {
        let directory = tempfile::tempdir().unwrap();
        let root = Dir::of_test(directory.path());
        let locks = root.child("locks");
        let name = EntryName::new("x", None, false);
        let owner = Owner::of_directory("qemu-1".to_owned());
        let share = |life: &str| Share::new((&root, &locks), &owner, "x", (&name, life));
        let (first, second) = (share("01A"), share("../01B"));
        first.begin(entry("g")).unwrap();
        second.hold("g").unwrap();
        assert_eq!(first.give_up(), ["g"], "the second life needs it");
        let holder = Holder { boot: "another".to_owned(), ..Holder::default() };
        let bytes = serde_json::to_vec(&holder).unwrap();
        place::write(&second.directory, &second.holder, &bytes).unwrap();
        assert!(first.give_up().is_empty());
        second.hold("g").unwrap();
        place::write(&second.directory, &second.holder, b"{").unwrap();
        assert_eq!(first.give_up().len(), 1, "nobody knows");
    }
}
