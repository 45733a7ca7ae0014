//! When a daemon was last heard to start or to reload: it looks for hook programs then, and at no
//! other time, so whoever asks whether a new link is in use has to know.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use crate::config::{Settings, Surroundings};
use crate::files;
use crate::libvirt::{Call, Operation};

const DIRECTORY: &str = "daemons";

/// Notes that a daemon looks for its hook programs now. Where that can't be written, nobody knows.
pub fn note(call: &Call, settings: &Settings, surroundings: &Surroundings) {
    if !matches!(call.operation(), Operation::DaemonStart | Operation::DaemonReload) {
        return;
    }
    let directory = settings.runtime_dir.join(DIRECTORY);
    let name = surroundings.daemon();
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return;
    }
    let _ = files::private_directory(&directory)
        .and_then(|()| files::replace(&directory.join(name), b"\n"));
}

/// When a daemon of this name was last heard.
pub fn when(runtime_dir: &Path, daemon: &str) -> Option<SystemTime> {
    fs::metadata(runtime_dir.join(DIRECTORY).join(daemon)).ok()?.modified().ok()
}
