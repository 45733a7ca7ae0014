//! The audit log.

use super::shape::object;
use super::value::Time;

object! {
    /// A command that changed something.
    pub struct Act {
        /// A ULID
        id: String,
        /// When it ended
        at: Time,
        /// Who logged in
        user: String,
        /// The user whose rights the command had
        uid: u32,
        /// A word: `install`, `uninstall`, `new`, `add`, `import`, `delete`, `enable`, `disable`, `queue-flush`, `queue-requeue`, `undo`, `bypass-on` or `bypass-off`
        action: String,
        /// The words of the command, without secrets
        command: Vec<String>,
        /// The hooks directory
        hooks_dir: String,
        /// How it ended: `done` or `failed`
        state: String,
        /// The error
        message: Option<String>,
        /// Why it was done
        reason: Option<String>,
    }

    /// The audit log.
    pub struct Audit {
        /// The commands, the newest last
        acts: Vec<Act>,
        /// How many aren't shown because a newer version stored them
        newer: usize,
        /// How many files aren't entries of the audit log
        unreadable: usize,
    }
}
