//! When a daemon was last heard to start or to reload: it looks for hook programs then, and at no
//! other time, so whoever asks whether a new link is in use has to know.

use std::fs::Metadata;
use std::time::SystemTime;

use crate::config::{Settings, Surroundings};
use crate::libvirt::{Call, Operation};
use crate::state::Dir;

const DIRECTORY: &str = "daemons";

/// Notes that a daemon looks for its hook programs now. Where that can't be written, nobody knows.
pub(crate) fn note(call: &Call, settings: &Settings, surroundings: &Surroundings) {
    if !matches!(call.operation(), Operation::DaemonStart | Operation::DaemonReload) {
        return;
    }
    let directory = settings.runtime_dir.child(DIRECTORY);
    let name = surroundings.daemon();
    let Some(name) = file_name(&name) else { return };
    let _ = directory.make().and_then(|_| directory.replace(name, b"\n"));
}

/// When a daemon whose process has this name was last heard.
pub(crate) fn when(runtime_dir: &Dir, daemon: &str) -> Option<SystemTime> {
    look(runtime_dir, daemon)?.modified().ok()
}

/// The note of a daemon, which is another file each time: whoever keeps what it is like now knows
/// later whether the daemon was heard since.
pub(crate) fn look(runtime_dir: &Dir, daemon: &str) -> Option<Metadata> {
    runtime_dir.child(DIRECTORY).entry_metadata(file_name(daemon)?).ok()
}

/// The file for a process's name. Programs that a wrapper of NixOS' starts have a dot before theirs.
fn file_name(daemon: &str) -> Option<&str> {
    let name = daemon.trim_start_matches('.');
    (!name.is_empty() && !name.contains('/')).then_some(name)
}
