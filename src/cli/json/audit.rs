//! What people did.

use super::shape::object;
use super::value::Time;

object! {
    /// What somebody did.
    pub struct Act {
        /// A ULID
        id: String,
        /// When it was over
        at: Time,
        /// Who logged in
        user: String,
        /// Whose rights the command had
        uid: u32,
        /// A word: `install`, `uninstall`, `add`, `delete`, `enable`, `disable`, `queue-flush`, `queue-requeue`, `bypass-on` or `bypass-off`
        action: String,
        /// The words of the command, without secrets
        command: Vec<String>,
        /// The hooks directory
        hooks_dir: String,
        /// How it went: `done` or `failed`
        state: String,
        /// What was wrong
        message: Option<String>,
        /// Why it was done
        reason: Option<String>,
    }

    /// What people did.
    pub struct Audit {
        /// What people did, the newest last
        acts: Vec<Act>,
        /// How many aren't shown, for a newer version kept them
        newer: usize,
        /// How many files are no acts
        odd: usize,
    }
}
