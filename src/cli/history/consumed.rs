//! The executions for events of other hosts, which another user runs and records. Nothing of them is trusted: they
//! are only shown, and say nothing about this host's own executions.

use std::fs;
use std::iter::Peekable;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::seen::{Aftermath, Seen};
use crate::config::Settings;
use crate::record::history::History;
use crate::record::running::Progress;
use crate::state::Dir;

/// How the names of that user's directories end, behind those of `state_dir` and `runtime_dir`.
const SUFFIX: &str = "-consume";
/// How many of the newest records are looked at.
const MAX_RECORDS: usize = 10_000;

/// Returns the executions, the newest first; none where there is no such user, or this one may not read them.
pub(super) fn all(settings: &Settings, since: Option<u64>) -> Vec<Seen> {
    let place = |dir: &Dir| -> PathBuf {
        let mut path = dir.unchecked_path().as_os_str().to_owned();
        path.push(SUFFIX);
        path.into()
    };
    let state = place(&settings.state_dir);
    let Ok(found) = fs::symlink_metadata(&state) else { return Vec::new() };
    if !found.is_dir() {
        return Vec::new();
    }
    let user = found.uid();
    let dir = |path| Dir::new(path, user);
    let history = History::new(&dir(place(&settings.runtime_dir)), &dir(state));
    let heads = history.heads(since).take(MAX_RECORDS);
    heads
        .map(|mut head| {
            head.is_untrusted = true;
            Seen { head, progress: Progress::default(), after: Aftermath::default() }
        })
        .collect()
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
