//! Stores acts in `state_dir/audit/ID`, one file each, so that commands that end at the same time need no
//! lock, and files of a newer version stay as they are.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::not_an_act;
use crate::config::settings::{FAILURE_RETENTION_FACTOR, Retention};
use crate::machine::{clock, ulid};
use crate::state::Dir;
use crate::state::format::{self, NewerFormat};

/// How an act ended.
pub(super) const DONE: &str = "done";
pub(super) const FAILED: &str = "failed";

/// The format that is written.
pub(super) const AUDIT_FORMAT: u32 = 1;
const AUDIT_DIRECTORY: &str = "audit";
/// The largest file that is read; hookmux writes no larger ones.
const MAX_ENTRY_BYTES: u64 = 64 * 1024;
/// How many acts are kept.
const MAX_ACTS: usize = 1000;
/// A file dated later than now by more than this is from a clock that was wrong.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(3600);
/// The age after which temporary files of a dead writer are removed.
const LEFTOVER_AGE: Duration = Duration::from_secs(3600);

/// One act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuditEntry {
    #[serde(default)]
    pub format: u32,
    #[serde(default)]
    pub id: String,
    /// When it ended, in microseconds since 1970.
    #[serde(default)]
    pub at_us: u64,
    /// The login name.
    #[serde(default)]
    pub user: String,
    /// The effective uid.
    #[serde(default)]
    pub uid: u32,
    /// A word: `bypass-on`, `delete` …
    #[serde(default)]
    pub action: String,
    /// As it was typed, without secrets.
    #[serde(default)]
    pub command: Vec<String>,
    #[serde(default)]
    pub hooks_dir: String,
    /// `done` or `failed`.
    #[serde(default)]
    pub outcome: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The acts that were read.
#[derive(Debug, Default)]
pub(super) struct AuditLog {
    /// The newest first.
    pub entries: Vec<AuditEntry>,
    /// How many files are of a newer version, and the format of one of them.
    pub newer: Option<(usize, NewerFormat)>,
    /// How many files can't be read, or aren't acts.
    pub unreadable: usize,
}

pub(super) fn directory(state_dir: &Dir) -> Dir {
    state_dir.child(AUDIT_DIRECTORY)
}

/// Stores an act, and removes those that are too old.
///
/// # Errors
/// Those of `mkdir(2)`, `open(2)`, `write(2)`, `rename(2)`; or other users could write there.
pub(super) fn store(state_dir: &Dir, entry: &AuditEntry, retention: &Retention) -> io::Result<()> {
    let directory = directory(state_dir);
    directory.make()?;
    let mut bytes = serde_json::to_vec(entry)?;
    bytes.push(b'\n');
    directory.replace(&entry.id, &bytes)?;
    prune(state_dir, retention);
    Ok(())
}

/// Reads the newest acts that a condition selects.
///
/// # Errors
/// The directory can't be read, or other users could have changed it.
pub(super) fn read(
    state_dir: &Dir,
    is_wanted: &dyn Fn(&AuditEntry) -> bool,
    max_entries: usize,
) -> io::Result<AuditLog> {
    let directory = directory(state_dir);
    let mut acts = AuditLog::default();
    for id in ids(&directory)?.iter().rev() {
        if acts.entries.len() >= max_entries {
            break;
        }
        match read_one(&directory, id) {
            Ok(entry) if is_wanted(&entry) => acts.entries.push(entry),
            Ok(_) => {}
            // removed meanwhile
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => match NewerFormat::of(&error) {
                Some(newer) => {
                    acts.newer = Some((acts.newer.map_or(1, |(count, _)| count + 1), newer));
                }
                None => acts.unreadable += 1,
            },
        }
    }
    Ok(acts)
}

fn read_one(directory: &Dir, id: &str) -> io::Result<AuditEntry> {
    let bytes = directory.read(id, MAX_ENTRY_BYTES)?;
    format::check(&bytes, AUDIT_FORMAT)?;
    let entry: AuditEntry = format::read_object(&bytes).map_err(|_| not_an_act())?;
    if entry.id == id { Ok(entry) } else { Err(not_an_act()) }
}

/// Returns the ids, the oldest first.
fn ids(directory: &Dir) -> io::Result<Vec<String>> {
    let names = directory.names()?.into_iter().filter_map(|name| name.into_string().ok());
    let mut ids: Vec<String> = names.filter(|name| ulid::is_valid(name)).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// Removes old acts: they are kept as long as records of failures, and at most [`MAX_ACTS`]. Those
/// dated later than now count as the oldest.
pub(crate) fn prune(state_dir: &Dir, retention: &Retention) {
    let directory = directory(state_dir);
    let Ok(ids) = ids(&directory) else { return };
    let now = clock::unix_time();
    let age = |id: &str| {
        let made = Duration::from_millis(ulid::unix_milliseconds(id).unwrap_or_default());
        (made <= now + CLOCK_TOLERANCE).then(|| now.saturating_sub(made))
    };
    let (past, future): (Vec<String>, Vec<String>) =
        ids.into_iter().partition(|id| age(id).is_some());
    let is_over = |id: &str| {
        let limit = retention.age.map(|age| age.saturating_mul(FAILURE_RETENTION_FACTOR));
        limit.is_some_and(|limit| age(id).is_some_and(|age| age > limit))
    };
    let (old, young): (Vec<String>, Vec<String>) = past.into_iter().partition(|id| is_over(id));
    let superfluous = (future.len() + young.len()).saturating_sub(MAX_ACTS);
    for id in old.iter().chain(future.iter().chain(&young).take(superfluous)) {
        let _ = directory.remove(id);
    }
    sweep(&directory);
}

/// Removes temporary files of writers that died.
fn sweep(directory: &Dir) {
    for name in directory.names().unwrap_or_default() {
        let is_ours = name.to_str().is_some_and(|name| {
            name.ends_with(".new") && name.split('.').next().is_some_and(ulid::is_valid)
        });
        let modified = directory.entry_metadata(&name).and_then(|file| file.modified());
        let is_old = modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > LEFTOVER_AGE));
        if is_ours && is_old {
            let _ = directory.remove(&name);
        }
    }
}
