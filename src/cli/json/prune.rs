//! The result of `prune`.

use super::change::ChangeSummary;
use super::message::Message;
use super::shape::object;

object! {
    /// What `prune` did.
    pub struct Pruned {
        /// How many records were moved to the state directory
        moved: usize,
        /// How many executions were found to be lost: their process had died
        lost: usize,
        /// How many records were removed because they were too old
        removed: usize,
        /// How many texts of registrations were removed because no record refers to them any more
        registrations_removed: usize,
        /// How many files and directories that hooks left were removed
        trash_removed: usize,
        /// Whether some of them are still there
        trash_left: bool,
        /// How many events for other hosts were moved to the outbox
        events_moved: usize,
        /// How many events were removed because they have been sent
        events_removed: usize,
        /// How many events were lost because there were too many
        events_lost: u64,
        /// Whether executions are counted
        counted: bool,
        /// What couldn't be done
        problems: Vec<Message>,
        ..=summary: ChangeSummary,
    }
}
