//! The ledger: a directory for each guest, network and port that owes something (see `owner_ledger`).

use std::ffi::OsStr;
use std::io;
use std::time::Instant;

use super::entry::EntryName;
use super::owner::Owner;
use super::owner_ledger::OwnerLedger;
use super::shared;
use crate::state::Dir;
use crate::state::locks::{self, LockHolder};

pub(super) const DIRECTORY: &str = "undo";
/// The locks have a directory of their own, which stays: so the other one can go while nothing is owed.
const LOCKS_DIRECTORY: &str = "undo-locks";

/// The whole ledger.
#[derive(Clone, Debug)]
pub struct Ledger {
    root: Dir,
    locks: Dir,
}

/// Strikes an entry that the program that takes over has rolled back.
pub(crate) fn strike_left(runtime_dir: &Dir, owner: &str, file: &str) {
    if let Some(name) = EntryName::parse(file) {
        Ledger::new(runtime_dir).of(&Owner::of_directory(owner.to_owned())).strike(&name);
    }
}

impl Ledger {
    pub fn new(runtime_dir: &Dir) -> Ledger {
        let [root, locks] = [DIRECTORY, LOCKS_DIRECTORY].map(|name| runtime_dir.child(name));
        Ledger { root, locks }
    }

    /// Tells whether there may be any entry: for a call that has nothing to do with it, this is all it costs.
    pub(crate) fn may_exist(runtime_dir: &Dir) -> bool {
        runtime_dir.may_contain(DIRECTORY)
    }

    pub(crate) fn directory(&self) -> &Dir {
        &self.root
    }

    /// Returns the directory of the locks.
    pub(crate) fn locks(&self) -> &Dir {
        &self.locks
    }

    /// Returns its directories, and that of each owner.
    pub(crate) fn directories(&self) -> Vec<Dir> {
        let owners = self.owners().unwrap_or_default();
        let owned = owners.iter().map(|owner| self.of(owner).directory().clone());
        [self.root.clone(), self.locks.clone()].into_iter().chain(owned).collect()
    }

    /// Removes the locks that were left by calls which died.
    pub(crate) fn remove_unused_locks(&self) {
        let names = self.locks.names().unwrap_or_default();
        for name in names.iter().filter_map(|name| name.to_str()) {
            let is_used = || match name.strip_prefix(shared::LOCK_PREFIX) {
                Some(share) => self.root.child(shared::DIRECTORY).may_contain(share),
                None => name.starts_with('.') || self.root.may_contain(name),
            };
            if is_used() {
                continue;
            }
            let holder = LockHolder::new("an undo", "-");
            let lock =
                locks::take_in(&self.locks, name, &holder, Instant::now(), &mut || false).ok();
            // somebody may have entered something meanwhile
            if let Some(lock) = lock.filter(|_| !is_used()) {
                lock.remove();
            }
        }
    }

    /// Removes the directory where nothing is owed: then calls don't look any further.
    pub fn remove_if_empty(&self) {
        let _ = self.root.remove_empty();
    }

    /// Tells whether a file of one of its directories is an entry by its name.
    pub(crate) fn is_entry(&self, directory: &Dir, name: &OsStr) -> bool {
        let root = self.root.unchecked_path();
        directory.unchecked_path().parent() == Some(root)
            && name.to_str().and_then(EntryName::parse).is_some()
    }

    pub fn of(&self, owner: &Owner) -> OwnerLedger {
        OwnerLedger::new(&self.root, &self.locks, owner)
    }

    /// Returns all owners with a directory, sorted.
    ///
    /// # Errors
    /// The ledger can't be read.
    pub fn owners(&self) -> io::Result<Vec<Owner>> {
        let is_owner = |name: &String| name.contains('-') && !name.starts_with('.');
        let names = self.root.names()?.into_iter().filter_map(|name| name.into_string().ok());
        let mut names: Vec<String> = names.filter(is_owner).collect();
        names.sort_unstable();
        Ok(names.into_iter().map(Owner::of_directory).collect())
    }
}
