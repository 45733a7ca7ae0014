//! The command-line words of the hookmux commands that a call starts in the background. Both sides
//! take them from here: the call that starts a command, and the command line that parses it.

use std::ffi::CStr;

/// The command that runs the queue's jobs.
pub(crate) const WORKER: &CStr = c"worker";
/// The command that moves records.
pub(crate) const PRUNE: &CStr = c"prune";
/// Its option, without dashes: wait for more records, and end after a while without any.
pub(crate) const LINGER: &str = "linger";
const LINGER_WORD: &CStr = c"--linger";

/// The command that takes back what had to wait.
pub(crate) const UNDO_WORKER: &CStr = c"undo-worker";
/// Its option, without dashes: a daemon has started.
pub(crate) const STARTED: &str = "started";

/// The words that start it.
pub(crate) const START_UNDO_WORKER: &[&CStr] = &[UNDO_WORKER];
/// The words that start the worker.
pub(crate) const START_WORKER: &[&CStr] = &[WORKER];
/// The words that start the mover.
pub(crate) const START_MOVER: &[&CStr] = &[PRUNE, LINGER_WORD];

/// An environment variable that keeps calls out of the journal: those of `hookmux demo` don't concern
/// this host. libvirt doesn't pass this variable on.
pub(crate) const NO_JOURNAL: &str = "HOOKMUX_NO_JOURNAL";

/// Converts a word for the command line.
pub(crate) const fn text(word: &'static CStr) -> &'static str {
    match word.to_str() {
        Ok(text) => text,
        Err(_) => "",
    }
}
