//! A file of what is remembered that can't be read: for how long it refuses `prepare`, and what is told.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::command::{Fix, words};

/// How long an origin waits for its `prepare`, in seconds. libvirt was seen to take 4 s; an offline
/// migration and a refused restore never get there.
pub(super) const PENDING_SECONDS: i64 = 300;
/// How long a file that can't be read refuses `prepare`, from its modification time: as long as a
/// failure in it would have been held.
const REFUSED_FOR: Duration = Duration::from_secs(PENDING_SECONDS.unsigned_abs());

/// A file of what is remembered that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    pub path: PathBuf,
    pub why: String,
    /// How long it refuses `prepare` yet; `None` where its time is over.
    pub refuses_for: Option<Duration>,
    /// When that is over; `None` where the file's own time isn't known, or has no date.
    until: Option<SystemTime>,
    is_directory: bool,
}

impl Unreadable {
    /// One that can't even be looked at.
    pub(crate) fn unseen(path: PathBuf, error: &io::Error) -> Unreadable {
        let (why, refuses_for) = (error.to_string(), Some(REFUSED_FOR));
        Unreadable { path, why, refuses_for, until: None, is_directory: false }
    }

    pub(crate) fn new(path: &Path, file: &fs::Metadata, why: String) -> Unreadable {
        let now = SystemTime::now();
        // also one that is a little in the future: a clock was set back
        let modified = file.modified().ok();
        let age = modified.map(|time| match now.duration_since(time) {
            Ok(age) => age,
            Err(ahead) => ahead.duration(),
        });
        let refuses_for = age.and_then(|age| REFUSED_FOR.checked_sub(age));
        let until = modified.and_then(|time| time.checked_add(REFUSED_FOR)).filter(has_a_date);
        let is_directory = file.is_dir();
        Unreadable { path: path.to_path_buf(), why, refuses_for, until, is_directory }
    }

    /// The command by which it is out of the way.
    pub(crate) fn way_out(&self) -> Fix {
        match self.is_directory {
            true => Fix::run(&words!["rm", "-r", &self.path]),
            false => Fix::run(&words!["rm", &self.path]),
        }
    }

    /// What is told once its time is over.
    pub(crate) fn dropped(&self) -> String {
        format!("{} can't be read and is dropped: {}", self.path.display(), self.why)
    }

    /// What is told while it refuses `prepare`.
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

/// Whether a time can be written as a date: humantime does it from 1970 to 9999.
fn has_a_date(time: &SystemTime) -> bool {
    const YEAR_10000_S: u64 = 253_402_300_800;
    time.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since.as_secs() < YEAR_10000_S)
}
