//! The files of the ledger: a directory for each guest, network and port that owes something, and in it a
//! file for each hook.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Instant;

use super::entry::{Entry, EntryName, FORMAT, MAX_ENTRY_BYTES};
use super::owner::Owner;
use super::shared::Share;
use crate::machine::boot;
use crate::state::locks::{self, HookLock, LockError, LockHolder};
use crate::state::{Dir, DirPresence, format};

const DIRECTORY: &str = "undo";
/// The file that each call of an owner replaces: who asks libvirt sees that a call has come since.
const LAST_CALL: &str = "last-call";
/// The number of attempts to write a file, as somebody may remove the directory meanwhile.
const MAX_WRITE_ATTEMPTS: usize = 3;

/// The whole ledger.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    root: Dir,
}

/// An entry with its file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owed {
    pub name: EntryName,
    pub entry: Entry,
}

impl Owed {
    /// Tells whether it has waited for `prepare` for too long.
    pub(crate) fn is_expired(&self) -> bool {
        self.name.is_provisional && self.entry.wait_left().is_zero()
    }
}

/// A file of the ledger that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnreadableEntry {
    pub path: PathBuf,
    pub why: String,
}

impl UnreadableEntry {
    pub(crate) fn words(&self) -> String {
        format!("{} can't be read, and stays: {}", self.path.display(), self.why)
    }
}

/// Strikes an entry that the program that takes over has rolled back.
pub(crate) fn strike_left(runtime_dir: &Dir, owner: &str, file: &str) {
    if let Some(name) = EntryName::parse(file) {
        Ledger::new(runtime_dir).of(&Owner::of_directory(owner.to_owned())).strike(&name);
    }
}

impl Ledger {
    pub(crate) fn new(runtime_dir: &Dir) -> Ledger {
        Ledger { root: runtime_dir.child(DIRECTORY) }
    }

    /// Tells whether there may be any entry: for a call that has nothing to do with it, this is all it costs.
    pub(crate) fn may_exist(runtime_dir: &Dir) -> bool {
        runtime_dir.may_contain(DIRECTORY)
    }

    pub(crate) fn directory(&self) -> &Dir {
        &self.root
    }

    /// Returns its directory, and that of each owner.
    pub(crate) fn directories(&self) -> Vec<Dir> {
        let owners = self.owners().unwrap_or_default();
        let owned = owners.iter().map(|owner| self.of(owner).directory);
        [self.root.clone(), self.root.child("locks")].into_iter().chain(owned).collect()
    }

    /// Tells whether a file of one of its directories is an entry by its name.
    pub(crate) fn is_entry(&self, directory: &Dir, name: &OsStr) -> bool {
        let root = self.root.unchecked_path();
        directory.unchecked_path().parent() == Some(root)
            && name.to_str().and_then(EntryName::parse).is_some()
    }

    pub(crate) fn of(&self, owner: &Owner) -> OwnerLedger {
        let directory = self.root.child(owner.directory());
        OwnerLedger { root: self.root.clone(), owner: owner.clone(), directory }
    }

    /// Returns all owners with a directory, sorted.
    ///
    /// # Errors
    /// The ledger can't be read.
    pub(crate) fn owners(&self) -> io::Result<Vec<Owner>> {
        let is_owner = |name: &String| name.contains('-') && !name.starts_with('.');
        let names = self.root.names()?.into_iter().filter_map(|name| name.into_string().ok());
        let mut names: Vec<String> = names.filter(is_owner).collect();
        names.sort_unstable();
        Ok(names.into_iter().map(Owner::of_directory).collect())
    }
}

/// The entries of one owner.
#[derive(Clone, Debug)]
pub(crate) struct OwnerLedger {
    root: Dir,
    owner: Owner,
    directory: Dir,
}

impl OwnerLedger {
    pub(crate) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Returns what this owner shares with others by an entry.
    pub(crate) fn share(&self, registration: &str, name: &EntryName) -> Share {
        Share::new(&self.root, &self.owner, registration, name)
    }

    /// Tells whether there may be entries.
    pub(crate) fn may_exist(&self) -> bool {
        self.root.may_contain(self.owner.directory())
    }

    /// Takes the owner's lock, which everybody holds who reads and writes the entries.
    ///
    /// # Errors
    /// See [`LockError`].
    pub(crate) fn lock(
        &self,
        holder: &LockHolder,
        until: Instant,
        is_terminated: &mut dyn FnMut() -> bool,
    ) -> Result<HookLock, LockError> {
        self.root.make().map_err(LockError::Failed)?;
        locks::take(&self.root, self.owner.directory(), holder, until, is_terminated)
    }

    /// Returns all entries of this boot, the last to succeed first, and the files that can't be read.
    pub(crate) fn entries(&self) -> (Vec<Owed>, Vec<UnreadableEntry>) {
        let (mut owed, mut unreadable) = (Vec::new(), Vec::new());
        let names = match self.directory.names() {
            Ok(names) => names,
            Err(error) => {
                let path = self.directory.unchecked_path().to_path_buf();
                return (owed, vec![UnreadableEntry { path, why: error.to_string() }]);
            }
        };
        for name in names.iter().filter_map(|name| name.to_str()).filter_map(EntryName::parse) {
            match self.read(&name) {
                Ok(Some(entry)) if entry.is_of_other_boot() => self.remove_file(&name.file()),
                Ok(Some(entry)) => owed.push(Owed { name, entry }),
                Ok(None) => {}
                Err(error) => unreadable.push(UnreadableEntry {
                    path: self.directory.unchecked_path().join(name.file()),
                    why: error.to_string(),
                }),
            }
        }
        owed.sort_by(|a, b| {
            b.entry.order_ns.cmp(&a.entry.order_ns).then_with(|| b.name.cmp(&a.name))
        });
        unreadable.sort_by(|a, b| a.path.cmp(&b.path));
        (owed, unreadable)
    }

    fn read(&self, name: &EntryName) -> io::Result<Option<Entry>> {
        let bytes = match self.directory.read(name.file(), MAX_ENTRY_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        format::check(&bytes, FORMAT)?;
        let entry: Entry = format::read_object(&bytes)?;
        if !entry.current.job.program().is_absolute() {
            return Err(io::Error::other("it names no program"));
        }
        Ok(Some(entry))
    }

    /// Returns the entry of a hook in the present life, under whatever name.
    ///
    /// # Errors
    /// The directory can't be listed: then nobody knows.
    fn find(&self, name: &EntryName) -> io::Result<Option<EntryName>> {
        let names = match self.directory.names() {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut names = names.iter().filter_map(|other| EntryName::parse(other.to_str()?));
        Ok(names.find(|other| other.is_same_hook(name)))
    }

    fn write(&self, name: &EntryName, entry: &Entry) -> io::Result<()> {
        let bytes = serde_json::to_vec(entry)?;
        self.write_file(&name.file(), &bytes)
    }

    fn write_file(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut result = self.directory.replace(name, bytes);
        for _ in 0..MAX_WRITE_ATTEMPTS {
            match &result {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.directory.make()?;
                }
                _ => break,
            }
            result = self.directory.replace(name, bytes);
        }
        result
    }

    fn remove_file(&self, name: &str) {
        let _ = self.directory.remove(name);
    }

    fn rename(&self, from: &EntryName, to: &EntryName) -> io::Result<()> {
        if from == to {
            return Ok(());
        }
        fs::rename(self.directory.file(from.file())?, self.directory.file(to.file())?)
    }

    /// Enters a hook, before it starts.
    ///
    /// # Errors
    /// There is no room for the entry, or it can't be written.
    pub(crate) fn begin(&self, name: &EntryName, entry: Entry) -> io::Result<()> {
        let existing = self.find(name)?;
        let before = match &existing {
            Some(existing) => self.read(existing)?.filter(|before| !before.is_of_other_boot()),
            None => None,
        };
        let entry = Entry { format: FORMAT, boot: boot::id(), ..entry.renewed(before) };
        self.write(name, &entry)?;
        if let Some(existing) = existing.filter(|existing| existing != name) {
            self.remove_file(&existing.file());
        }
        Ok(())
    }

    /// Notes that a hook has succeeded.
    ///
    /// # Errors
    /// It can't be written: the undo will be told that the outcome isn't known.
    pub(crate) fn done(&self, name: &EntryName, output: Vec<u8>) -> io::Result<()> {
        match self.read(name)? {
            Some(entry) => self.write(name, &entry.done(output)),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Strikes the last run of a hook: it failed, or was rolled back. An earlier one of this life stays.
    pub(crate) fn strike(&self, name: &EntryName) {
        // what can't be read now may still hold an earlier run
        let Ok(entry) = self.read(name) else { return };
        let before = entry.and_then(Entry::before);
        match before.map(|before| self.write(name, &before)) {
            // an entry that says too much is better than none
            Some(_) => {}
            None => self.remove(name),
        }
    }

    /// Notes that the life of an entry is over.
    pub(crate) fn end(&self, owed: &mut Owed) -> io::Result<()> {
        if owed.name.is_over() {
            return Ok(());
        }
        self.move_to(owed, owed.name.clone().ended())
    }

    /// Notes that `prepare` has come for an entry of `restore` or `migrate`.
    pub(crate) fn make_firm(&self, owed: &mut Owed) -> io::Result<()> {
        self.move_to(owed, owed.name.clone().firm())
    }

    /// Notes that the undo of an entry begins, or that it has ended.
    pub(crate) fn set_undoing(&self, owed: &mut Owed, is_undoing: bool) -> io::Result<()> {
        self.move_to(owed, owed.name.clone().undoing(is_undoing))
    }

    fn move_to(&self, owed: &mut Owed, name: EntryName) -> io::Result<()> {
        self.rename(&owed.name, &name)?;
        owed.name = name;
        Ok(())
    }

    /// Writes a changed entry.
    ///
    /// # Errors
    /// It can't be written; the entry stays as it was.
    pub(crate) fn keep(&self, owed: &Owed) -> io::Result<()> {
        self.write(&owed.name, &owed.entry)
    }

    /// Removes an entry, and the directory with the last one.
    pub(crate) fn remove(&self, name: &EntryName) {
        self.remove_file(&name.file());
        self.remove_if_empty();
    }

    /// Removes the directory if there are no entries.
    pub(crate) fn remove_if_empty(&self) {
        let names = self.directory.names().unwrap_or_default();
        if names.iter().any(|name| name != LAST_CALL) {
            return;
        }
        self.remove_file(LAST_CALL);
        let _ = self.directory.remove_empty();
    }

    /// Notes that a call has come.
    pub(crate) fn note_call(&self, execution: &str) {
        if !matches!(self.directory.judge(), Ok(DirPresence::Present)) {
            return;
        }
        if self.directory.replace(LAST_CALL, execution.as_bytes()).is_err() {
            // that there is none is a change too
            self.remove_file(LAST_CALL);
        }
    }

    /// Returns what tells whether a call has come since.
    pub(crate) fn last_call(&self) -> Option<Vec<u8>> {
        self.directory.read(LAST_CALL, 64).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::stored_job::StoredJob;
    use crate::undo::entry::Setup;

    fn entry(run: &str) -> Entry {
        let job: StoredJob = serde_json::from_str(r#"{"path":"L3g="}"#).unwrap();
        Entry {
            current: Setup { run: run.to_owned(), job, ..Setup::default() },
            ..Entry::default()
        }
    }

    struct Place {
        _directory: tempfile::TempDir,
        ledger: Ledger,
    }

    fn place() -> Place {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(&Dir::of_test(directory.path()));
        Place { _directory: directory, ledger }
    }

    fn runs(ledger: &OwnerLedger) -> Vec<String> {
        ledger.entries().0.into_iter().map(|owed| owed.entry.current.run).collect()
    }

    #[test]
    fn entries_come_back_in_reverse_order_and_the_last_one_takes_the_directory_with_it() {
        let place = place();
        let owner = Owner::of_directory("qemu-1".to_owned());
        let own = place.ledger.of(&owner);
        assert!(!own.may_exist() && own.entries().0.is_empty());
        let names = ["a", "b", "c"].map(|name| EntryName::new(name, None, false));
        for (name, run) in names.iter().zip(["1", "2", "3"]) {
            own.begin(name, entry(run)).unwrap();
            own.done(name, run.into()).unwrap();
        }
        assert_eq!(runs(&own), ["3", "2", "1"]);
        // a second success keeps the place
        own.begin(&names[0], entry("4")).unwrap();
        own.done(&names[0], b"four".to_vec()).unwrap();
        assert_eq!(runs(&own), ["3", "2", "4"]);
        own.begin(&names[1], entry("5")).unwrap();
        own.strike(&names[1]);
        assert_eq!(runs(&own), ["3", "2", "4"]);
        own.strike(&names[2]);
        assert_eq!(runs(&own), ["2", "4"]);
        own.note_call("01");
        assert_eq!(own.last_call().unwrap(), b"01");
        assert_eq!(place.ledger.owners().unwrap(), [owner]);
        for owed in own.entries().0 {
            own.remove(&owed.name);
        }
        assert!(!own.may_exist() && place.ledger.owners().unwrap().is_empty());
    }

    #[test]
    fn the_next_life_has_entries_of_its_own() {
        let place = place();
        let own = place.ledger.of(&Owner::of_directory("qemu-1".to_owned()));
        let name = EntryName::new("a", None, true);
        own.begin(&name, entry("1")).unwrap();
        let mut owed = own.entries().0.remove(0);
        own.make_firm(&mut owed).unwrap();
        // under whatever name it lies, it is the same hook
        own.begin(&EntryName::new("a", None, false), entry("2")).unwrap();
        let mut owed = own.entries().0.remove(0);
        assert_eq!(owed.entry.earlier.as_ref().unwrap().run, "1");
        own.end(&mut owed).unwrap();
        own.begin(&name, entry("3")).unwrap();
        let (entries, _) = own.entries();
        assert_eq!(entries.len(), 2);
        assert!(entries.iter().any(|owed| owed.name.is_over()));
        assert!(
            entries.iter().any(|owed| owed.entry.earlier.is_none() && owed.name.is_provisional)
        );
    }

    #[test]
    fn what_cannot_be_read_stays_and_what_is_of_another_boot_goes() {
        let place = place();
        let own = place.ledger.of(&Owner::of_directory("qemu-1".to_owned()));
        let [newer, other, torn] = ["a", "b", "c"].map(|name| EntryName::new(name, None, false));
        own.begin(&newer, entry("1")).unwrap();
        own.write_file(&newer.file(), br#"{"format":2}"#).unwrap();
        own.write_file(&torn.file(), b"{").unwrap();
        own.write(&other, &Entry { boot: "other".to_owned(), ..entry("2") }).unwrap();
        let (owed, unreadable) = own.entries();
        assert!(owed.is_empty() && unreadable.len() == 2, "{owed:?} {unreadable:?}");
        assert!(unreadable.iter().any(|one| one.why.contains("a newer hookmux wrote it")));
        assert!(own.find(&other).unwrap().is_none() && own.find(&newer).unwrap().is_some());
        assert!(own.begin(&newer, entry("3")).is_err(), "what it says isn't known");
    }
}
