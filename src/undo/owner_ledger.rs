//! The entries of one guest, network or port: its directory of the ledger, with a file for each hook, and marks.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::time::Instant;

use super::entry::{Entry, EntryName, FORMAT, MAX_ENTRY_BYTES};
use super::marks::{Mark, MarkKind, Marks};
use super::owed::{Owed, UnreadableEntry, marked};
use super::owner::Owner;
use super::place;
use super::shared::Share;
use crate::machine::boot;
use crate::state::locks::{self, HookLock, LockError, LockHolder};
use crate::state::{Dir, DirPresence, format};

/// The file that each call of an owner replaces: who asks libvirt sees that a call has come since.
const LAST_CALL: &str = "last-call";
/// How the name of a file ends that is being written.
const UNFINISHED: &str = ".new";

/// The entries of one owner.
#[derive(Clone, Debug)]
pub struct OwnerLedger {
    /// The ledger's directory, and that of its locks.
    root: Dir,
    locks: Dir,
    owner: Owner,
    directory: Dir,
}

impl OwnerLedger {
    pub(super) fn new(root: &Dir, locks: &Dir, owner: &Owner) -> OwnerLedger {
        let directory = root.child(owner.directory());
        OwnerLedger { root: root.clone(), locks: locks.clone(), owner: owner.clone(), directory }
    }

    pub(crate) fn directory(&self) -> &Dir {
        &self.directory
    }

    pub(crate) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Returns what a life of this owner shares with others by an entry.
    pub(crate) fn share(&self, registration: &str, name: &EntryName, life: &str) -> Share {
        Share::new((&self.root, &self.locks), &self.owner, registration, (name, life))
    }

    /// Returns the life that owes an entry, if there is such an entry.
    pub(crate) fn life_of(&self, name: &EntryName) -> Option<String> {
        let found = self.find(name).ok().flatten()?;
        self.read(&found).ok().flatten().map(|entry| entry.life)
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
        locks::take_in(&self.locks, self.owner.directory(), holder, until, is_terminated)
    }

    /// Returns all entries of this boot, the last to succeed first, and the files that can't be read.
    pub fn entries(&self) -> (Vec<Owed>, Vec<UnreadableEntry>) {
        match self.names() {
            Ok(names) => self.entries_of(&names),
            Err(error) => {
                let path = self.directory.unchecked_path().to_path_buf();
                (Vec::new(), vec![UnreadableEntry { path, why: error.to_string() }])
            }
        }
    }

    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let names = self.directory.names()?.into_iter();
        Ok(names.filter_map(|name| name.into_string().ok()).collect())
    }

    fn marks(&self) -> Marks {
        Marks::of(self.names().unwrap_or_default().iter().map(String::as_str))
    }

    fn entries_of(&self, names: &[String]) -> (Vec<Owed>, Vec<UnreadableEntry>) {
        let (mut owed, mut unreadable) = (Vec::new(), Vec::new());
        let marks = Marks::of(names.iter().map(String::as_str));
        for name in names.iter().filter_map(|name| EntryName::parse(name)) {
            match self.read(&name) {
                Ok(Some(entry)) if entry.is_of_other_boot() => self.remove_file(&name.file()),
                Ok(Some(entry)) => owed.push(marked(name, entry, &marks)),
                Ok(None) => {}
                Err(error) => unreadable.push(UnreadableEntry {
                    path: self.directory.unchecked_path().join(name.file()),
                    why: error.to_string(),
                }),
            }
        }
        owed.sort_by(Owed::by_time);
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
        entry.check().map_err(io::Error::other)?;
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
        place::write(&self.directory, &name.file(), &serde_json::to_vec(entry)?)
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
    pub fn begin(&self, name: &EntryName, entry: Entry) -> io::Result<()> {
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
    pub fn done(&self, name: &EntryName, output: Vec<u8>) -> io::Result<()> {
        match self.read(name)? {
            Some(entry) => self.write(name, &entry.done(output)),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Strikes the last run of a hook: it failed, or was rolled back. An earlier one of this life stays.
    pub fn strike(&self, name: &EntryName) {
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
    pub fn end(&self, owed: &mut Owed) -> io::Result<()> {
        if owed.name.is_over() {
            return Ok(());
        }
        self.move_to(owed, owed.name.clone().ended())
    }

    /// Notes that the life of an entry is over, and that the worker takes it back.
    pub(crate) fn end_as_due(&self, owed: &mut Owed) -> io::Result<()> {
        let name = owed.name.clone();
        let ended = if name.is_over() { name } else { name.ended() };
        self.move_to(owed, ended.due(true))
    }

    /// Notes whether the worker takes an entry back.
    ///
    /// # Errors
    /// Its file can't be renamed; or an earlier hookmux wrote that into the file, and that can't be changed.
    pub(super) fn set_due(&self, owed: &mut Owed, is_due: bool) -> io::Result<()> {
        self.move_to(owed, owed.name.clone().due(is_due))?;
        if owed.entry.is_due && !is_due {
            owed.entry.is_due = false;
            self.keep(owed)?;
        }
        Ok(())
    }

    /// Notes that `prepare` has come for an entry of `restore` or `migrate`. One of the same hook that is there is
    /// of an earlier life.
    pub(crate) fn make_firm(&self, owed: &mut Owed) -> io::Result<()> {
        let firm = owed.name.clone().firm();
        let earlier = self.find(&firm)?.filter(|earlier| *earlier != owed.name);
        if let Some(earlier) = earlier {
            self.rename(&earlier, &earlier.clone().ended())?;
        }
        self.move_to(owed, firm)
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
    pub fn keep(&self, owed: &Owed) -> io::Result<()> {
        self.write(&owed.name, &owed.entry)
    }

    /// Removes an entry, and the directory with the last one.
    pub fn remove(&self, name: &EntryName) {
        self.remove_file(&name.file());
        self.remove_if_empty();
    }

    /// Releases the owner's lock. Where nothing is owed, the lock's file goes too.
    pub(crate) fn release(&self, lock: HookLock) {
        self.remove_if_empty();
        match self.may_exist() {
            true => drop(lock),
            false => lock.remove(),
        }
    }

    /// Removes the directory if there are no entries, and that of the ledger with the last one.
    pub fn remove_if_empty(&self) {
        let Ok(names) = self.directory.names() else { return };
        let is_entry = |name: &&OsStr| match name.to_str() {
            Some(name) => {
                name != LAST_CALL && !name.ends_with(UNFINISHED) && Mark::parse(name).is_none()
            }
            None => true,
        };
        if names.iter().any(|name| is_entry(&name.as_os_str())) {
            return;
        }
        for name in names.iter().filter_map(|name| name.to_str()) {
            self.remove_file(name);
        }
        let _ = self.directory.remove_empty();
        let _ = self.root.remove_empty();
    }

    /// Leaves a mark, which needs no lock. Nothing is owed where there is no directory.
    ///
    /// # Errors
    /// There is no room for it.
    pub(crate) fn mark(&self, kind: MarkKind) -> io::Result<()> {
        match self.directory.append(Mark::now(kind).file()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes the marks of a kind. The caller holds the lock.
    pub(crate) fn unmark(&self, kind: MarkKind) {
        for name in self.names().unwrap_or_default() {
            if Mark::parse(&name).is_some_and(|mark| mark.kind() == kind) {
                self.remove_file(&name);
            }
        }
    }

    /// Tells whether a life has begun of which no end was seen.
    pub fn is_alive(&self) -> bool {
        self.marks().is_alive()
    }

    /// Notes that it lives where an earlier life owes something: that isn't taken from it.
    pub(crate) fn note_life(&self) {
        let Ok(names) = self.names() else { return };
        let has_over =
            names.iter().filter_map(|name| EntryName::parse(name)).any(|name| name.is_over());
        if has_over && !Marks::of(names.iter().map(String::as_str)).is_alive() {
            // without it, the worker may run an undo earlier than it should
            let _ = self.mark(MarkKind::Begun);
        }
    }

    /// Gives the entries the names that calls without the lock couldn't give them. The caller holds the lock.
    ///
    /// # Errors
    /// An entry can't be renamed; the marks stay then.
    pub fn settle(&self) -> io::Result<()> {
        let names = self.names()?;
        let marks: Vec<Mark> = names.iter().filter_map(|name| Mark::parse(name)).collect();
        let is_of_end = |mark: &&Mark| matches!(mark.kind(), MarkKind::Ended | MarkKind::Due);
        if marks.iter().any(|mark| is_of_end(&mark) || mark.kind() == MarkKind::Begun) {
            let is_alive = Marks::of(names.iter().map(String::as_str)).is_alive();
            let mut entries = self.entries_of(&names).0;
            // what is over makes room for what has begun
            entries.sort_by_key(|owed| !owed.has_ended);
            for owed in &mut entries {
                if owed.has_ended && !owed.name.is_over() {
                    match owed.is_left_to_worker() {
                        true => self.end_as_due(owed)?,
                        false => self.end(owed)?,
                    }
                } else if owed.has_begun && owed.name.is_provisional {
                    self.make_firm(owed)?;
                }
            }
            let is_over = |mark: &Mark| !is_alive && mark.kind() != MarkKind::Arrived;
            let is_settled = |mark: &&Mark| is_of_end(mark) || is_over(mark);
            for mark in marks.iter().filter(is_settled) {
                self.remove_file(&mark.file());
            }
        }
        Ok(())
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
    use crate::undo::ledger::{DIRECTORY, Ledger};

    fn entry(run: &str) -> Entry {
        let job: StoredJob = serde_json::from_str(r#"{"path":"L3g="}"#).unwrap();
        Entry {
            driver: "qemu".to_owned(),
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
        place::write(&own.directory, &newer.file(), br#"{"format":2}"#).unwrap();
        place::write(&own.directory, &torn.file(), b"{").unwrap();
        own.write(&other, &Entry { boot: "other".to_owned(), ..entry("2") }).unwrap();
        let (owed, unreadable) = own.entries();
        assert!(owed.is_empty() && unreadable.len() == 2, "{owed:?} {unreadable:?}");
        assert!(unreadable.iter().any(|one| one.why.contains("a newer hookmux wrote it")));
        assert!(own.find(&other).unwrap().is_none() && own.find(&newer).unwrap().is_some());
        assert!(own.begin(&newer, entry("3")).is_err(), "what it says isn't known");
    }

    #[test]
    fn what_is_no_entry_of_ours_is_not_believed() {
        let place = place();
        let own = place.ledger.of(&Owner::of_directory("qemu-1".to_owned()));
        let name = EntryName::new("a", None, false);
        type Change = (&'static str, fn(&mut Entry));
        let changes: [Change; 7] = [
            ("no id", |entry| entry.current.run.clear()),
            ("no id", |entry| entry.current.run = "../../x".to_owned()),
            ("no id", |entry| {
                entry.earlier = Some(Setup { run: String::new(), ..entry.current.clone() })
            }),
            ("no program", |entry| entry.current.job = StoredJob::default()),
            ("no driver", |entry| entry.driver = "kvm".to_owned()),
            ("no name", |entry| entry.lock = Some("../x".to_owned())),
            ("no name", |entry| entry.lock = Some(String::new())),
        ];
        for (why, change) in changes {
            let mut entry = entry("1");
            change(&mut entry);
            own.write(&name, &entry).unwrap();
            let (owed, unreadable) = own.entries();
            assert!(owed.is_empty() && unreadable[0].why.contains(why), "{unreadable:?}");
        }
    }

    #[test]
    fn what_is_due_is_known_without_room_for_a_word_of_it() {
        use std::os::unix::fs::MetadataExt;
        let place = place();
        let own = place.ledger.of(&Owner::of_directory("qemu-1".to_owned()));
        let name = EntryName::new("a", None, false);
        own.begin(&name, entry("1")).unwrap();
        let inode = |name: &EntryName| {
            let path = own.directory.unchecked_path().join(name.file());
            fs::metadata(path).unwrap().ino()
        };
        let written = inode(&name);
        own.mark(MarkKind::Due).unwrap();
        own.settle().unwrap();
        let mut owed = own.entries().0.remove(0);
        assert!(owed.is_over() && owed.is_due() && own.marks() == Marks::default());
        assert_eq!(inode(&owed.name), written, "nothing was written");
        own.set_due(&mut owed, false).unwrap();
        assert!(!own.entries().0.remove(0).is_due());
        own.set_due(&mut owed, true).unwrap();
        let owed = own.entries().0.remove(0);
        assert!(owed.is_due() && inode(&owed.name) == written);
        // an earlier hookmux wrote it into the file
        own.remove(&owed.name);
        own.begin(&name, Entry { is_due: true, ..entry("2") }).unwrap();
        let mut owed = own.entries().0.remove(0);
        assert!(owed.is_due());
        own.set_due(&mut owed, false).unwrap();
        assert!(!own.entries().0.remove(0).is_due());
    }

    #[test]
    fn what_calls_without_the_lock_have_told_is_known_and_settled_by_the_next_one() {
        let place = place();
        let own = place.ledger.of(&Owner::of_directory("qemu-1".to_owned()));
        own.mark(MarkKind::Due).unwrap();
        assert!(!own.may_exist(), "nothing is owed");
        let [firm, waits] = [false, true].map(|waits| EntryName::new("a", None, waits));
        let enter = |name: &EntryName, run: &str| {
            let began_ns = crate::machine::clock::boottime_ns();
            let mut entry = entry(run);
            (entry.current.began_ns, entry.order_ns) = (began_ns, began_ns);
            own.begin(name, entry).unwrap();
        };
        enter(&firm, "1");
        own.mark(MarkKind::Due).unwrap();
        let owed = own.entries().0.remove(0);
        assert!(owed.is_over() && owed.is_due() && !own.is_alive());
        // the next life waits for `prepare`, which comes
        enter(&waits, "2");
        own.mark(MarkKind::Begun).unwrap();
        assert!(own.is_alive());
        let (entries, _) = own.entries();
        assert!(!entries[0].is_over() && !entries[0].is_provisional() && entries[1].is_over());
        own.settle().unwrap();
        let (entries, _) = own.entries();
        assert_eq!(entries[0].name, firm);
        assert!(entries[1].name.is_over() && entries[1].name.is_due && own.is_alive());
        // a provisional one makes no other one go
        enter(&waits, "3");
        own.make_firm(&mut own.entries().0.remove(0)).unwrap();
        assert_eq!(runs(&own), ["3", "2", "1"]);
        own.mark(MarkKind::Ended).unwrap();
        own.settle().unwrap();
        assert!(!own.is_alive() && own.entries().0.iter().all(|owed| owed.name.is_over()));
        for owed in own.entries().0 {
            own.remove(&owed.name);
        }
        assert!(!place._directory.path().join(DIRECTORY).exists());
    }
}
