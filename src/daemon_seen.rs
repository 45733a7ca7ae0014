//! When a daemon was last heard to start or to reload: it looks for hook programs then, and at no
//! other time, so whoever asks whether a new link is in use has to know.

use std::time::SystemTime;

use crate::config::{Settings, Surroundings};
use crate::libvirt::{Call, Operation};
use crate::state::Dir;

const DIRECTORY: &str = "daemons";

/// Notes that a daemon looks for its hook programs now. Where that can't be written, nobody knows.
pub fn note(call: &Call, settings: &Settings, surroundings: &Surroundings) {
    if !matches!(call.operation(), Operation::DaemonStart | Operation::DaemonReload) {
        return;
    }
    let directory = settings.runtime_dir.child(DIRECTORY);
    let name = surroundings.daemon();
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return;
    }
    let _ = directory.make().and_then(|_| directory.replace(name, b"\n"));
}

/// When a daemon of this name was last heard.
pub fn when(runtime_dir: &Dir, daemon: &str) -> Option<SystemTime> {
    runtime_dir.child(DIRECTORY).look(daemon).ok()?.modified().ok()
}
