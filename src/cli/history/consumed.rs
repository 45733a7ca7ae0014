//! The executions for events of other hosts, which another user runs and records. Nothing of them is trusted: they
//! are only shown, and say nothing about this host's own executions.

use std::fs;
use std::iter::Peekable;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::seen::{Aftermath, Seen};
use crate::config::Settings;
use crate::record::form::{Record, RecordHead};
use crate::record::history::History;
use crate::record::running::Progress;
use crate::state::Dir;

/// How the names of that user's directories end, behind those of `state_dir` and `runtime_dir`.
const SUFFIX: &str = "-consume";
/// How many of the newest records are looked at.
const MAX_RECORDS: usize = 10_000;

/// Returns the executions, the newest first; none where there is no such user, or this one may not read them.
pub(super) fn all(settings: &Settings, since: Option<u64>) -> Vec<Seen> {
    let Some(history) = history(settings) else { return Vec::new() };
    history.heads(since).take(MAX_RECORDS).map(seen).collect()
}

/// Returns the record that a word names, as commands take it: an id, or its beginning or end.
pub(super) fn record(settings: &Settings, word: &str) -> Option<Record> {
    let history = history(settings)?;
    let ids = history.find_ids(word);
    let [id] = ids.as_slice() else { return None };
    let mut record = history.record(id).ok()?;
    record.head.is_untrusted = true;
    Some(record)
}

/// Returns an execution as it says that it was. What runs in it isn't looked for.
pub(super) fn seen(mut head: RecordHead) -> Seen {
    head.is_untrusted = true;
    Seen { head, progress: Progress::default(), after: Aftermath::default() }
}

/// Opens the records.
fn history(settings: &Settings) -> Option<History> {
    let place = |dir: &Dir| -> PathBuf {
        let mut path = dir.unchecked_path().as_os_str().to_owned();
        path.push(SUFFIX);
        path.into()
    };
    let state = place(&settings.state_dir);
    let found = fs::symlink_metadata(&state).ok().filter(fs::Metadata::is_dir)?;
    let dir = |path| Dir::new(path, found.uid());
    Some(History::new(&dir(place(&settings.runtime_dir)), &dir(state)))
}

/// Merges two sequences, the newest first. Of two with one id the first one's counts.
pub(super) fn merged(
    own: impl Iterator<Item = Seen>,
    others: Vec<Seen>,
) -> impl Iterator<Item = Seen> {
    Merged { own: own.peekable(), others: others.into_iter().peekable() }
}

struct Merged<I: Iterator<Item = Seen>> {
    own: Peekable<I>,
    others: Peekable<std::vec::IntoIter<Seen>>,
}

impl<I: Iterator<Item = Seen>> Iterator for Merged<I> {
    type Item = Seen;

    fn next(&mut self) -> Option<Seen> {
        let Some(other) = self.others.peek() else { return self.own.next() };
        match self.own.peek() {
            Some(own) if own.head.id > other.head.id => self.own.next(),
            Some(own) if own.head.id == other.head.id => {
                self.others.next();
                self.own.next()
            }
            _ => self.others.next(),
        }
    }
}
