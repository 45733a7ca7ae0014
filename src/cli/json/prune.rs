//! What `prune` did.

use super::message::Message;
use super::shape::object;

object! {
    /// What `prune` did.
    pub struct Pruned {
        /// How many records were moved to the state directory
        moved: usize,
        /// How many executions were found whose process had died
        lost: usize,
        /// How many records were removed, for their time was over
        removed: usize,
        /// How many files and directories that hooks left were removed
        trash_removed: usize,
        /// Whether something of that is still there
        trash_left: bool,
        /// Whether executions are counted
        counted: bool,
        /// What couldn't be done
        problems: Vec<Message>,
    }
}
