//! The last good copy of a settings file: what a call falls back to when the file is broken. That there
//! was no such file is kept too.
//!
//! It lies in the state directory, under a name made of the hooks directory's, with the source's
//! modification time as its own: where size and time agree, it is current.

use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::settings::MAX_SETTINGS_BYTES;

use crate::machine::files;
use crate::state::Dir;

const DIRECTORY: &str = "last-good";
/// The copy of a file that wasn't there. It is 1970's, as no file of settings is.
const ABSENT: &str = "# There was no hookmux.yaml.\n";

/// What holds in the place of a broken file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StandIn {
    Copy(PathBuf),
    /// There was no such file before.
    Absent,
}

impl fmt::Display for StandIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StandIn::Copy(path) => write!(f, "its last good copy {}", path.display()),
            StandIn::Absent => f.write_str("the default of every setting, as before it was made"),
        }
    }
}

/// The directory, and the name there.
fn place(state_dir: &Dir, source: &Path) -> (Dir, String) {
    let digest = files::name_digest(source.as_os_str());
    (state_dir.child(DIRECTORY), format!("{digest}.yaml"))
}

/// Keeps `text` as the last good copy of `source`, unless the copy is current.
///
/// # Errors
/// The copy could not be written; the call goes on without.
pub(crate) fn keep(
    state_dir: &Dir,
    source: &Path,
    metadata: &Metadata,
    text: &str,
) -> io::Result<()> {
    if text.is_empty() {
        // it sets nothing either, and an empty copy would be none
        return keep_absence(state_dir, source);
    }
    let (directory, copy) = place(state_dir, source);
    if is_current(&directory, &copy, metadata.len(), metadata.mtime(), metadata.mtime_nsec()) {
        return Ok(());
    }
    directory.make()?;
    let seconds = u64::try_from(metadata.mtime()).unwrap_or_default();
    let nanoseconds = u32::try_from(metadata.mtime_nsec()).unwrap_or_default();
    let modified = UNIX_EPOCH + Duration::new(seconds, nanoseconds);
    files::replace_with_time(&directory.file(copy)?, text.as_bytes(), modified)
}

/// Keeps that there is no `source`.
///
/// # Errors
/// As [`keep`].
pub(crate) fn keep_absence(state_dir: &Dir, source: &Path) -> io::Result<()> {
    let (directory, copy) = place(state_dir, source);
    if is_current(&directory, &copy, ABSENT.len() as u64, 0, 0) {
        return Ok(());
    }
    directory.make()?;
    files::replace_with_time(&directory.file(copy)?, ABSENT.as_bytes(), UNIX_EPOCH)
}

/// Whether a copy is of a source of this size and modification time. Whose it is is asked by who reads
/// it.
fn is_current(directory: &Dir, copy: &str, bytes: u64, seconds: i64, nanoseconds: i64) -> bool {
    directory.unchecked_path().join(copy).symlink_metadata().is_ok_and(|kept| {
        kept.len() == bytes && (kept.mtime(), kept.mtime_nsec()) == (seconds, nanoseconds)
    })
}

/// What stands in for `source`, and its text, if there is one that nobody else could have written.
pub(crate) fn find(state_dir: &Dir, source: &Path) -> Option<(StandIn, String)> {
    let (directory, copy) = place(state_dir, source);
    let text = String::from_utf8(directory.read(&copy, MAX_SETTINGS_BYTES).ok()?).ok()?;
    // what a power cut leaves of one that was new: it says nothing of what held before
    if text.is_empty() {
        return None;
    }
    let stand_in = match text == ABSENT {
        true => StandIn::Absent,
        false => StandIn::Copy(directory.unchecked_path().join(copy)),
    };
    Some((stand_in, text))
}
