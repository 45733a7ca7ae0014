//! A file of the remembered state that can't be read: how long `prepare` fails for it, and the messages.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::command::{Fix, words};

/// How long a pending origin is valid for `prepare`, in seconds. libvirt was seen to take 4 s; an
/// offline migration and a refused restore never call `prepare`.
pub(super) const PENDING_SECONDS: i64 = 300;
/// How long `prepare` fails for a file that can't be read, from its modification time: as long as a
/// failure in it would have been valid.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(PENDING_SECONDS.unsigned_abs());

/// A file of the remembered state that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnreadableMemory {
    pub path: PathBuf,
    pub why: String,
    /// How long `prepare` still fails for it; `None` where that time is over.
    pub refuses_for: Option<Duration>,
    /// When that time is over; `None` where the file's own time isn't known, or has no date.
    until: Option<SystemTime>,
    is_directory: bool,
}

impl UnreadableMemory {
    /// Describes a file whose metadata can't be read.
    pub(crate) fn unseen(path: PathBuf, error: &io::Error) -> UnreadableMemory {
        let (why, refuses_for) = (error.to_string(), Some(REFUSAL_TIMEOUT));
        UnreadableMemory { path, why, refuses_for, until: None, is_directory: false }
    }

    /// Describes a file that can't be read.
    pub(crate) fn new(path: &Path, file: &fs::Metadata, why: String) -> UnreadableMemory {
        let now = SystemTime::now();
        // also a time that is a little in the future: a clock was set back
        let modified = file.modified().ok();
        let age = modified.map(|time| match now.duration_since(time) {
            Ok(age) => age,
            Err(ahead) => ahead.duration(),
        });
        let refuses_for = age.and_then(|age| REFUSAL_TIMEOUT.checked_sub(age));
        let until = modified.and_then(|time| time.checked_add(REFUSAL_TIMEOUT)).filter(has_a_date);
        let is_directory = file.is_dir();
        UnreadableMemory { path: path.to_path_buf(), why, refuses_for, until, is_directory }
    }

    /// Returns the command that removes it.
    pub(crate) fn way_out(&self) -> Fix {
        match self.is_directory {
            true => Fix::run(&words!["rm", "-r", &self.path]),
            false => Fix::run(&words!["rm", &self.path]),
        }
    }

    /// Returns the message for when its time is over.
    pub(crate) fn dropped(&self) -> String {
        format!("{} can't be read and is dropped: {}", self.path.display(), self.why)
    }

    /// Returns the message while `prepare` fails for it.
    pub(crate) fn refusal(&self) -> String {
        let (path, why) = (self.path.display(), &self.why);
        let until = self.until.map_or_else(
            || "as long as that is so".to_owned(),
            |time| format!("before {}", humantime::format_rfc3339_seconds(time)),
        );
        format!(
            "{path} can't be read: {why}; a failure of `restore` may be in it, so this guest isn't started {until}; to start it now: {}",
            self.way_out()
        )
    }
}

/// Tells whether a time can be written as a date: humantime can do it from 1970 to 9999.
fn has_a_date(time: &SystemTime) -> bool {
    const YEAR_10000_S: u64 = 253_402_300_800;
    time.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since.as_secs() < YEAR_10000_S)
}
