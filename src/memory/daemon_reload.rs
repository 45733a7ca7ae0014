//! Remembers when a libvirt daemon last started or reloaded. Only then does libvirt look for hook
//! programs, so it tells whether a new link is in use.

use std::fs::Metadata;
use std::time::SystemTime;

use crate::config::{Settings, Surroundings};
use crate::libvirt::{Call, Operation};
use crate::state::Dir;

/// The directory of the notes, in the runtime directory: one file for each daemon.
const NOTES_DIRECTORY: &str = "daemons";

/// Records that a daemon looks for its hook programs now. Without the file the time stays unknown.
pub(crate) fn record_reload(call: &Call, settings: &Settings, surroundings: &Surroundings) {
    if !matches!(call.operation(), Operation::DaemonStart | Operation::DaemonReload) {
        return;
    }
    let directory = settings.runtime_dir.child(NOTES_DIRECTORY);
    let name = surroundings.daemon();
    let Some(name) = file_name(&name) else { return };
    let _ = directory.make().and_then(|_| directory.replace(name, b"\n"));
}

/// Returns when the daemon with this process name last started or reloaded.
pub(crate) fn last_reload(runtime_dir: &Dir, daemon: &str) -> Option<SystemTime> {
    reload_note(runtime_dir, daemon)?.modified().ok()
}

/// Returns the metadata of a daemon's note. Each reload makes a new file, so a caller that compares
/// the metadata sees whether the daemon has reloaded since.
pub(crate) fn reload_note(runtime_dir: &Dir, daemon: &str) -> Option<Metadata> {
    runtime_dir.child(NOTES_DIRECTORY).entry_metadata(file_name(daemon)?).ok()
}

/// Returns the file name for a process name. On NixOS, a program that a wrapper starts has a dot
/// before its name.
fn file_name(daemon: &str) -> Option<&str> {
    let name = daemon.trim_start_matches('.');
    (!name.is_empty() && !name.contains('/')).then_some(name)
}
