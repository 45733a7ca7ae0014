//! The last good copy of a settings file: what a call falls back to when the file is broken.
//!
//! It lies in the state directory, under a name made of the hooks directory's, with the source's
//! modification time as its own: where size and time agree, it is current.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::settings::MAX_SETTINGS_BYTES;

use crate::files;
use crate::state::Dir;

const DIRECTORY: &str = "last-good";

/// The directory, and the name there.
fn place(state_dir: &Dir, source: &Path) -> (Dir, String) {
    let digest = files::name_digest(source.as_os_str());
    (state_dir.child(DIRECTORY), format!("{digest}.yaml"))
}

/// Keeps `text` as the last good copy of `source`, unless the copy is current.
///
/// # Errors
/// The copy could not be written; the call goes on without.
pub fn keep(state_dir: &Dir, source: &Path, metadata: &Metadata, text: &str) -> io::Result<()> {
    let (directory, copy) = place(state_dir, source);
    // whose it is is asked by who reads it
    let is_current = directory.named().join(&copy).symlink_metadata().is_ok_and(|kept| {
        kept.len() == metadata.len()
            && (kept.mtime(), kept.mtime_nsec()) == (metadata.mtime(), metadata.mtime_nsec())
    });
    if is_current {
        return Ok(());
    }
    directory.make()?;
    let seconds = u64::try_from(metadata.mtime()).unwrap_or_default();
    let nanoseconds = u32::try_from(metadata.mtime_nsec()).unwrap_or_default();
    let modified = UNIX_EPOCH + Duration::new(seconds, nanoseconds);
    files::replace_with_time(&directory.file(copy)?, text.as_bytes(), Some(modified))
}

/// The last good copy of `source`, if there is one that nobody else could have written.
pub fn find(state_dir: &Dir, source: &Path) -> Option<(PathBuf, String)> {
    let (directory, copy) = place(state_dir, source);
    let text = String::from_utf8(directory.read(&copy, MAX_SETTINGS_BYTES).ok()?).ok()?;
    Some((directory.named().join(copy), text))
}
