//! The words by which a call starts commands of hookmux's own, which it doesn't wait for. Both sides
//! take them from here: the call that starts one, and the command line that understands it.

use std::ffi::CStr;

/// The command that works on the queue.
pub(crate) const WORKER: &CStr = c"worker";
/// The command that moves records.
pub(crate) const PRUNE: &CStr = c"prune";
/// Its option, without dashes: it waits for more, and ends when it has been quiet for a while.
pub(crate) const LINGER: &str = "linger";
const LINGER_WORD: &CStr = c"--linger";

/// What starts the worker.
pub(crate) const START_WORKER: &[&CStr] = &[WORKER];
/// What starts the mover.
pub(crate) const START_MOVER: &[&CStr] = &[PRUNE, LINGER_WORD];

/// A variable: the calls of `hookmux demo` are none of this host's, and its journal isn't told of them.
/// libvirt passes no such variable on.
pub(crate) const NO_JOURNAL: &str = "HOOKMUX_NO_JOURNAL";

/// A word for the command line.
pub(crate) const fn text(word: &'static CStr) -> &'static str {
    match word.to_str() {
        Ok(text) => text,
        Err(_) => "",
    }
}
