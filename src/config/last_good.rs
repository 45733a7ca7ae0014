//! The last good copy of a settings file: what a call falls back to when the file is broken.
//!
//! It lies in the state directory, under a name made of the hooks directory's, with the source's
//! modification time as its own: where size and time agree, it is current.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use crate::files;
use crate::trust::Trust;

const DIRECTORY: &str = "last-good";

fn place(state_dir: &Path, source: &Path) -> PathBuf {
    let digest = files::name_digest(source.as_os_str());
    state_dir.join(DIRECTORY).join(format!("{digest}.yaml"))
}

/// Keeps `text` as the last good copy of `source`, unless the copy is current.
///
/// # Errors
/// The copy could not be written; the call goes on without.
pub fn keep(state_dir: &Path, source: &Path, metadata: &Metadata, text: &str) -> io::Result<()> {
    let copy = place(state_dir, source);
    let is_current = fs::metadata(&copy).is_ok_and(|kept| {
        kept.len() == metadata.len()
            && (kept.mtime(), kept.mtime_nsec()) == (metadata.mtime(), metadata.mtime_nsec())
    });
    if is_current {
        return Ok(());
    }
    files::private_directory(&state_dir.join(DIRECTORY))?;
    let seconds = u64::try_from(metadata.mtime()).unwrap_or_default();
    let nanoseconds = u32::try_from(metadata.mtime_nsec()).unwrap_or_default();
    let modified = UNIX_EPOCH + Duration::new(seconds, nanoseconds);
    files::replace_with_time(&copy, text.as_bytes(), Some(modified))
}

/// The last good copy of `source`, if there is one that nobody else could have written.
pub fn find(state_dir: &Path, source: &Path, trust: &mut Trust) -> Option<(PathBuf, String)> {
    let copy = place(state_dir, source);
    trust.file(&copy).ok()?;
    let text = fs::read_to_string(&copy).ok()?;
    Some((copy, text))
}
