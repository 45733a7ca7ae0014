//! The outbox, for commands: what waits there, and what its status file says of the host.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::check::finding::Severity;
use super::install::installed;
use super::json::status::StatusOutbox;
use super::json::value::Time;
use super::status::entries;
use super::{CommandPlace, check, digest};
use crate::config::{LoadedSettings, Settings};
use crate::record::digest as kept_digest;
use crate::record::outbox::cursor;
use crate::record::outbox::directory::Directory;
use crate::record::outbox::sequence::Sequence;
use crate::record::outbox::status::{self, FindingCounts, HostFacts};
use crate::record::spool::Spool;

/// Looks at the host for the status file. `asks_check` tells whether there is time for `check`.
pub(super) fn host_facts(
    place: &CommandPlace,
    loaded: &LoadedSettings,
    asks_check: bool,
) -> HostFacts {
    let settings = &loaded.settings;
    if asks_check {
        digest::renew(place);
    }
    let looked = entries::daemons(place, settings).into_iter().filter_map(|one| one.looked());
    let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let entries: BTreeMap<String, String> = installed::all(&settings.hooks_dir)
        .iter()
        .map(|entry| (entry.driver.name().to_owned(), entries::state_of(entry).name().to_owned()))
        .collect();
    HostFacts {
        digest: kept_digest::of_call(settings, &[]),
        entries,
        daemon_seen: looked.max().map(seconds),
        findings: asks_check.then(|| findings(place)),
    }
}

fn findings(place: &CommandPlace) -> FindingCounts {
    let findings = check::findings(place, Path::new("/"), false);
    let count = |wanted: Severity| findings.iter().filter(|it| it.severity() == wanted).count();
    FindingCounts {
        error: count(Severity::Error),
        warning: count(Severity::Warning),
        note: count(Severity::Note),
    }
}

/// What is in the outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OutboxCounts {
    pub is_on: bool,
    /// Events that have a number, and their bytes.
    pub events: u64,
    pub bytes: u64,
    /// Events that wait for their number.
    pub waiting: u64,
    /// When the execution of the oldest event began, in milliseconds since 1970.
    pub oldest_ms: Option<u64>,
    pub gaps: u64,
    pub lost: u64,
    /// How many places the events are sent to.
    pub sinks: usize,
}

impl OutboxCounts {
    pub(super) fn read(settings: &Settings) -> OutboxCounts {
        let directory = Directory::new(&settings.state_dir);
        let entries = directory.entries().unwrap_or_default();
        let sequence = Sequence::load(&settings.state_dir).ok().flatten().unwrap_or_default();
        let count = entries.len() as u64;
        let bytes = match sequence.files == count {
            true => sequence.bytes,
            false => entries.iter().map(|entry| directory.size(entry)).sum(),
        };
        OutboxCounts {
            is_on: settings.outbox,
            events: count,
            bytes,
            waiting: Spool::new(&settings.runtime_dir).event_ids().len() as u64,
            oldest_ms: entries.first().and_then(status::oldest),
            gaps: sequence.gaps,
            lost: sequence.lost,
            sinks: cursor::read(&settings.state_dir, &sequence.epoch, sequence.last).sinks,
        }
    }

    pub(super) fn json(self) -> StatusOutbox {
        StatusOutbox {
            on: self.is_on,
            events: self.events,
            bytes: self.bytes,
            waiting: self.waiting,
            oldest: self.oldest_ms.map(|millis| Time::of_micros(millis.saturating_mul(1000))),
            gaps: self.gaps,
            lost: self.lost,
            sinks: self.sinks,
        }
    }
}
