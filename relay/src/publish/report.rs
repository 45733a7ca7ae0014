//! How a sink is doing: said in the log when it changes, and kept in a file for `status`.

use crate::nats::Trouble;
use crate::say::{Level, log};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What `status` reads.
#[derive(Serialize, Deserialize, Default, Clone)]
pub(crate) struct Report {
    pub(crate) format: u32,
    pub(crate) sink: String,
    /// when it was written
    pub(crate) time: String,
    /// events that the sink took since the relay began
    pub(crate) sent: u64,
    /// events that it never takes, since the relay began
    pub(crate) rejected: u64,
    pub(crate) trouble: Option<String>,
    pub(crate) trouble_since: Option<String>,
    /// why events that can never be sent wait, while others are sent
    #[serde(default)]
    pub(crate) aside: Option<String>,
}

pub(crate) struct Reporter {
    path: PathBuf,
    report: Report,
    /// when the trouble was last said
    said: Option<Instant>,
    /// when it was last said why events wait
    said_aside: Option<Instant>,
    written: Option<Instant>,
    changed: bool,
}

/// Where a sink's report lies.
pub(crate) fn path(state_dir: &Path, sink: &str) -> PathBuf {
    state_dir.join(format!("report.{sink}.json"))
}

/// A trouble without what differs from event to event: it is said once, not for each of them.
fn kind(text: &str) -> String {
    text.split(' ')
        .filter(|word| !word.contains("hookmux.v1.") && !word.contains(".json"))
        .collect::<Vec<_>>()
        .join(" ")
}

impl Reporter {
    pub(super) fn new(state_dir: &Path, sink: &str) -> Self {
        Self {
            path: path(state_dir, sink),
            report: Report { format: 1, sink: sink.to_owned(), ..Report::default() },
            said: None,
            said_aside: None,
            written: None,
            changed: true,
        }
    }

    pub(super) fn sent(&mut self, count: u64) {
        self.report.sent += count;
        self.changed = true;
        if self.report.trouble.take().is_some() {
            self.report.trouble_since = None;
            self.said = None;
            log(Level::Info, &format!("{} takes events again", self.report.sink));
            self.written = None;
        }
    }

    pub(super) fn rejected(&mut self) {
        self.report.rejected += 1;
        self.changed = true;
    }

    /// Says a trouble when it is new, and once a minute as long as it lasts.
    pub(super) fn trouble(&mut self, trouble: &Trouble, waiting: usize) {
        let text = trouble.to_string();
        let recent = self.said.is_some_and(|said| said.elapsed() < Duration::from_secs(60));
        if recent && self.report.trouble.as_deref().map(kind) == Some(kind(&text)) {
            return;
        }
        if self.report.trouble.is_none() {
            self.report.trouble_since = Some(crate::event::now());
        }
        log(Level::Warning, &format!("{}: {text} ({waiting} events wait)", self.report.sink));
        self.report.trouble = Some(text);
        self.said = Some(Instant::now());
        self.changed = true;
        self.written = None;
    }

    /// Says why an event waits of which no copy can be kept, once a minute.
    pub(super) fn aside(&mut self, why: String) {
        if self.said_aside.is_none_or(|said| said.elapsed() > Duration::from_secs(60)) {
            log(Level::Error, &format!("{}: {why}; those behind it are sent", self.report.sink));
            self.said_aside = Some(Instant::now());
        }
        self.changed |= self.report.aside.is_none();
        self.report.aside = Some(why);
    }

    /// Nothing waits so any more.
    pub(super) fn none_aside(&mut self) {
        self.changed |= self.report.aside.take().is_some();
    }

    /// Writes it, at most every two seconds.
    pub(super) fn save(&mut self, at_once: bool) {
        let recent = self.written.is_some_and(|written| written.elapsed() < Duration::from_secs(2));
        let old = self.written.is_none_or(|written| written.elapsed() > Duration::from_secs(30));
        if (!self.changed && !old) || (recent && !at_once) {
            return;
        }
        self.report.time = crate::event::now();
        if let Ok(mut bytes) = serde_json::to_vec(&self.report) {
            bytes.push(b'\n');
            // a full disk shows in the cursor, which says so
            let _ = crate::cursor::replace(&self.path, &bytes, 0o644);
        }
        self.written = Some(Instant::now());
        self.changed = false;
    }
}

#[cfg(test)]
mod tests {
    use super::kind;

    #[test]
    fn a_trouble_of_many_events_is_one() {
        assert_eq!(
            kind("no stream takes hookmux.v1.a.qemu.started.-; x"),
            kind("no stream takes hookmux.v1.a.qemu.stopped.-; x")
        );
        assert_ne!(kind("http://a answers 429"), kind("http://a answers 503"));
    }
}
