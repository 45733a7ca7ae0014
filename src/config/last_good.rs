//! The last good copy of a settings file: a call uses it when the file is broken. That there was no such
//! file is stored too.
//!
//! The copy lies in the state directory. Its name is made from the path of the source, and it has the
//! source's modification time: where size and time are equal, the copy is current.

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
/// The copy of a file that didn't exist. Its time is 1970, which no settings file has.
const ABSENT: &str = "# There was no hookmux.yaml.\n";

/// What is used in place of a broken file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LastGood {
    Copy(PathBuf),
    /// There was no such file before.
    Absent,
}

impl fmt::Display for LastGood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LastGood::Copy(path) => write!(f, "its last good copy {}", path.display()),
            LastGood::Absent => f.write_str("the default of every setting, as before it was made"),
        }
    }
}

/// Returns the directory of the copy, and its name there.
fn place(state_dir: &Dir, source: &Path) -> (Dir, String) {
    let digest = files::name_digest(source.as_os_str());
    (state_dir.child(DIRECTORY), format!("{digest}.yaml"))
}

/// Stores `text` as the last good copy of `source`, unless the copy is current.
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
        // an empty file sets nothing either, and an empty copy isn't used
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

/// Stores that there is no `source`.
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

/// Tells whether a copy has this size and modification time. Its owner is checked when it is read.
fn is_current(directory: &Dir, copy: &str, bytes: u64, seconds: i64, nanoseconds: i64) -> bool {
    directory.unchecked_path().join(copy).symlink_metadata().is_ok_and(|kept| {
        kept.len() == bytes && (kept.mtime(), kept.mtime_nsec()) == (seconds, nanoseconds)
    })
}

/// Returns what is used in place of `source`, and its text, if nobody else could have written it.
pub(crate) fn find(state_dir: &Dir, source: &Path) -> Option<(LastGood, String)> {
    let (directory, copy) = place(state_dir, source);
    let text = String::from_utf8(directory.read(&copy, MAX_SETTINGS_BYTES).ok()?).ok()?;
    // a power failure can leave a new copy empty: it says nothing about the settings before
    if text.is_empty() {
        return None;
    }
    let last_good = match text == ABSENT {
        true => LastGood::Absent,
        false => LastGood::Copy(directory.unchecked_path().join(copy)),
    };
    Some((last_good, text))
}
