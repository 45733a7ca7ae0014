//! An entry as it is known now: with its file's name, and with what calls have told by marks since.

use std::path::PathBuf;
use std::time::Duration;

use super::entry::{Entry, EntryName};
use super::marks::{MarkKind, Marks};

/// An entry with its file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    pub name: EntryName,
    pub entry: Entry,
    /// Whether `prepare` has come since, which couldn't change the name.
    pub(super) has_begun: bool,
    /// Whether its life has ended since, in a call that couldn't change the name.
    pub(super) has_ended: bool,
    /// Whether such a call has left it to the worker.
    is_marked_due: bool,
    /// When the call that made it ended; 0 where that isn't known.
    call_ended_ns: i64,
}

impl Owed {
    /// Tells whether its life is over.
    pub fn is_over(&self) -> bool {
        self.name.is_over() || self.has_ended
    }

    /// Tells whether it waits for `prepare`, or has done so for too long.
    pub fn is_provisional(&self) -> bool {
        self.name.is_provisional && !self.is_over() && !self.has_begun
    }

    /// Tells whether it has waited for `prepare` for too long.
    pub fn is_expired(&self) -> bool {
        self.is_provisional() && self.wait_left().is_zero()
    }

    /// Tells whether it still waits for `prepare`.
    pub(crate) fn is_waiting(&self) -> bool {
        self.is_provisional() && !self.is_expired()
    }

    /// Returns how long it still waits for `prepare`.
    pub(crate) fn wait_left(&self) -> Duration {
        self.entry.wait_left(self.call_ended_ns)
    }

    /// Compares two: the hook that succeeded last comes first.
    pub(crate) fn by_time(&self, other: &Owed) -> std::cmp::Ordering {
        let by_time = other.entry.order_ns.cmp(&self.entry.order_ns);
        by_time.then_with(|| other.name.cmp(&self.name))
    }

    /// Tells whether the worker takes it back.
    pub fn is_due(&self) -> bool {
        // whoever ran an undo that has begun and isn't over holds the lock, or has died
        self.is_left_to_worker() || self.name.is_undoing || self.is_expired()
    }

    /// Tells whether a call has left it to the worker.
    pub(crate) fn is_left_to_worker(&self) -> bool {
        self.name.is_due || self.entry.is_due || self.is_marked_due
    }
}

/// A file of the ledger that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableEntry {
    pub path: PathBuf,
    pub why: String,
}

impl UnreadableEntry {
    pub fn words(&self) -> String {
        format!("{} can't be read, and stays: {}", self.path.display(), self.why)
    }
}

/// Reads the marks that were made after an entry.
pub(super) fn marked(name: EntryName, entry: Entry, marks: &Marks) -> Owed {
    let began_ns = entry.current.began_ns;
    let since = |kind: MarkKind| marks.last_ns(kind).filter(|at_ns| *at_ns > began_ns);
    // what waits for `prepare` is of a life that hasn't begun: none that ends is its own
    let begun = since(MarkKind::Begun).filter(|_| name.is_provisional);
    let is_own = |at_ns: &i64| !name.is_provisional || begun.is_some_and(|begun| begun < *at_ns);
    let [ended, due] = [MarkKind::Ended, MarkKind::Due].map(|kind| since(kind).filter(is_own));
    let has_ended = !name.is_over() && (ended.is_some() || due.is_some());
    let is_marked_due = has_ended && due.is_some();
    let has_begun = begun.is_some();
    let call_ended_ns = since(MarkKind::Arrived).unwrap_or(0);
    Owed { name, entry, has_begun, has_ended, is_marked_due, call_ended_ns }
}
