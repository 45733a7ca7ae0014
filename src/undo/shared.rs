//! What guests share: a registration with `shared` runs for the first of them, and its undo for the last.

use std::io;
use std::time::Instant;

use super::entry::{Entry, EntryName, FORMAT, MAX_ENTRY_BYTES};
use super::owner::Owner;
use crate::machine::{boot, files};
use crate::state::locks::{self, HookLock, LockError, LockHolder};
use crate::state::{Dir, format};

const DIRECTORY: &str = "shared";
/// The first one's run, with what takes it back.
const RECORD: &str = "record.json";
/// There while the undo of the record has begun, and hasn't succeeded: nobody may count on what was set up.
const UNDOING: &str = "undoing";
/// Stands between the owner and the hook in the name of a holder's file.
const HOLDER_MARK: char = '~';

/// What the guests of one registration share.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    root: Dir,
    directory: Dir,
    lock_name: String,
    /// The file that says that this guest holds it.
    holder: String,
}

/// A share whose lock is held.
pub(crate) struct HeldShare {
    pub share: Share,
    _lock: HookLock,
}

impl Share {
    /// Makes the share of one guest. `root` is the ledger's directory.
    pub(crate) fn new(root: &Dir, owner: &Owner, registration: &str, name: &EntryName) -> Share {
        let digest = files::name_digest(registration.as_ref());
        let shared = root.child(DIRECTORY);
        Share {
            root: root.clone(),
            directory: shared.child(&digest),
            lock_name: format!("{DIRECTORY}.{digest}"),
            holder: format!("{}{HOLDER_MARK}{}", owner.directory(), name.key()),
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
        self.root.make().map_err(LockError::Failed)?;
        let lock = locks::take(&self.root, &self.lock_name, holder, until, is_terminated)?;
        Ok(HeldShare { share: self, _lock: lock })
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
        self.hold()
    }

    fn write(&self, entry: &Entry) -> io::Result<()> {
        self.directory.make()?;
        self.directory.replace(RECORD, &serde_json::to_vec(entry)?)
    }

    /// Notes that this guest holds it.
    ///
    /// # Errors
    /// There is no room for it.
    pub(crate) fn hold(&self) -> io::Result<()> {
        self.directory.make()?;
        self.directory.replace(&self.holder, b"")
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

    /// Gives this guest's share up. Returns whether nobody else holds one.
    pub(crate) fn give_up(&self) -> bool {
        let _ = self.directory.remove(&self.holder);
        // where nobody can tell, others count as holders
        let Ok(names) = self.directory.names() else { return false };
        let is_holder = |name: &str| name.contains(HOLDER_MARK) && !name.ends_with(".new");
        !names.iter().filter_map(|name| name.to_str()).any(is_holder)
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
        let _ = self.directory.remove_empty();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::undo::entry::Setup;

    #[test]
    fn the_last_to_give_up_is_told_so() {
        let directory = tempfile::tempdir().unwrap();
        let root = Dir::of_test(directory.path());
        let name = EntryName::new("x", None, false);
        let share =
            |owner: &str| Share::new(&root, &Owner::of_directory(owner.to_owned()), "x", &name);
        let [one, two] = ["qemu-1", "qemu-2"].map(share);
        assert!(one.set_up().unwrap().is_none());
        let run = Setup { run: "1".to_owned(), ..Setup::default() };
        one.begin(Entry { current: run, ..Entry::default() }).unwrap();
        assert!(one.set_up().unwrap().is_none(), "it isn't known to have succeeded");
        one.done(b"out".to_vec()).unwrap();
        assert_eq!(two.set_up().unwrap().unwrap().current.run, "1");
        two.hold().unwrap();
        assert!(!one.give_up() && !one.give_up());
        assert_eq!(two.record().unwrap().unwrap().output(), b"out");
        assert!(two.give_up());
        two.set_undoing();
        assert!(two.set_up().unwrap().is_none() && two.record().unwrap().is_some());
        two.remove();
        assert!(one.record().unwrap().is_none());
        // the first fails, and the next one tries
        one.begin(Entry::default()).unwrap();
        one.strike();
        assert!(two.record().unwrap().is_none() && two.give_up());
    }
}
