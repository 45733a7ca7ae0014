//! How hooks ended last, from the newest records.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use crate::cli::json::hook::LastRun;
use crate::cli::json::value::{Seconds, Time};
use crate::cli::time::{self, TimeStyle};
use crate::config::Settings;
use crate::record::form::{RecordHead, RecordOutcome};
use crate::record::history::History;

/// How many of the newest records are looked through.
const MAX_RECORDS: usize = 1000;

/// The last run of each hook, by its label.
#[derive(Debug, Default)]
pub(crate) struct LastResults(HashMap<String, LastRun>);

impl LastResults {
    /// Looks for the last runs of these hooks. A hook that ran long ago, and none of whose runs is among the newest
    /// records, has none.
    ///
    /// # Errors
    /// Records can't be read.
    pub(crate) fn of<'a>(
        settings: &Settings,
        labels: impl Iterator<Item = &'a str>,
    ) -> std::io::Result<LastResults> {
        let key = |_: &RecordHead, label: &str| label.to_owned();
        search(settings, labels.map(str::to_owned).collect(), key).map(LastResults)
    }

    pub(crate) fn get(&self, label: &str) -> Option<&LastRun> {
        self.0.get(label)
    }
}

/// The last run of each hook for one guest or network.
#[derive(Debug, Default)]
pub(crate) struct LastResultsOf(HashMap<(String, String), LastRun>);

impl LastResultsOf {
    /// Looks for the last runs of hooks for objects: pairs of an object and a hook's label.
    ///
    /// # Errors
    /// Records can't be read.
    pub(crate) fn pairs(
        settings: &Settings,
        pairs: impl Iterator<Item = (String, String)>,
    ) -> std::io::Result<LastResultsOf> {
        let key = |head: &RecordHead, label: &str| (head.object.clone(), label.to_owned());
        search(settings, pairs.collect(), key).map(LastResultsOf)
    }

    pub(crate) fn get(&self, object: &str, label: &str) -> Option<&LastRun> {
        self.0.get(&(object.to_owned(), label.to_owned()))
    }
}

/// Looks for the last run of each of these, by a key of an execution and a hook's label.
fn search<K: Eq + Hash>(
    settings: &Settings,
    mut missing: HashSet<K>,
    key: impl Fn(&RecordHead, &str) -> K,
) -> std::io::Result<HashMap<K, LastRun>> {
    let history = History::new(&settings.runtime_dir, &settings.state_dir);
    history.check()?;
    let mut found = HashMap::new();
    for id in history.newest().take(MAX_RECORDS) {
        if missing.is_empty() {
            break;
        }
        let Ok(head) = history.head(&id) else { continue };
        // the last run of an execution counts, as of a device event
        for hook in head.hooks.iter().rev() {
            if hook.outcome == RecordOutcome::Unknown {
                continue;
            }
            let Some(key) = missing.take(&key(&head, &hook.hook)) else { continue };
            let run = LastRun {
                id: head.id.clone(),
                began: Time::of_micros(head.began_us),
                cause: head.cause.name().to_owned(),
                object: head.object.clone(),
                state: hook.outcome.into(),
                timed_out: hook.outcome == RecordOutcome::Timeout,
                duration_s: hook.duration_us.map(Seconds::of_micros),
            };
            found.insert(key, run);
        }
    }
    Ok(found)
}

impl LastRun {
    /// Returns it for people: `good 2 min ago, 0.9 s`.
    pub(crate) fn words(&self, times: TimeStyle) -> String {
        let state = match (self.state, self.timed_out) {
            (_, true) => "timed out",
            (state, false) => state.name(),
        };
        let when = times.of(self.began.seconds());
        match self.duration_s {
            Some(took) => format!("{state} {when}, {}", time::short_duration(took.micros())),
            None => format!("{state} {when}"),
        }
    }
}
