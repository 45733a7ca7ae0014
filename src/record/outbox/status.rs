//! `outbox/status.json`: how this host is, for a heartbeat. Who sends the events sends this too.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::directory::{Directory, Entry};
use super::event;
use super::sequence::Sequence;
use crate::machine::{boot, clock, host_name, ulid};

const FILE_NAME: &str = "status.json";
/// The version of the file's format.
const FORMAT: u32 = 1;
const MAX_FILE_BYTES: u64 = 64 << 10;
/// How often it is written where nothing has happened.
const INTERVAL: Duration = Duration::from_secs(60);

/// What the command line knows about the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostFacts {
    /// The digest of all hooks, the settings and the version.
    pub digest: Option<String>,
    /// What libvirt finds under each driver's name.
    pub entries: BTreeMap<String, String>,
    /// When a daemon last looked for its hook programs, in seconds since 1970.
    pub daemon_seen: Option<u64>,
    /// What `check` finds; `None` where it wasn't asked, and the last answer holds.
    pub findings: Option<FindingCounts>,
}

/// What `check` finds, by severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct FindingCounts {
    pub error: usize,
    pub warning: usize,
    pub note: usize,
}

#[derive(Debug, Serialize)]
struct Status<'a> {
    format: u32,
    version: &'static str,
    digest: Option<&'a str>,
    host: String,
    bootid: String,
    time: String,
    findings: Option<FindingCounts>,
    entries: &'a BTreeMap<String, String>,
    daemon_seen: Option<String>,
    sequence: String,
    epoch: &'a str,
    epoch_after: String,
    outbox: OutboxState,
}

#[derive(Debug, Serialize)]
struct OutboxState {
    events: u64,
    bytes: u64,
    oldest: Option<String>,
    gaps: u64,
    lost: u64,
}

/// Writes the file, if something happened, or some time ago.
///
/// # Errors
/// As of `open(2)`, `write(2)`, `rename(2)`.
pub(super) fn write(
    outbox: &Directory,
    sequence: &Sequence,
    entries: &[Entry],
    host: &dyn Fn() -> HostFacts,
    is_changed: bool,
) -> io::Result<()> {
    let modified = outbox.dir().entry_metadata(FILE_NAME).and_then(|file| file.modified());
    let is_recent = |time: SystemTime| time.elapsed().is_ok_and(|age| age < INTERVAL);
    if !is_changed && modified.is_ok_and(is_recent) {
        return Ok(());
    }
    let host = host();
    let seconds = |seconds: u64| event::time(seconds.saturating_mul(1_000_000));
    let status = Status {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION"),
        digest: host.digest.as_deref(),
        host: host_name::get(),
        bootid: boot::id(),
        time: event::time(clock::unix_microseconds()),
        findings: host.findings.or_else(|| earlier_findings(outbox)),
        entries: &host.entries,
        daemon_seen: host.daemon_seen.map(seconds),
        sequence: format!("{:020}", sequence.last),
        epoch: &sequence.epoch,
        epoch_after: format!("{:020}", sequence.epoch_after),
        outbox: OutboxState {
            events: sequence.files,
            bytes: sequence.bytes,
            oldest: entries.first().and_then(oldest).map(|millis| event::time(millis * 1000)),
            gaps: sequence.gaps,
            lost: sequence.lost,
        },
    };
    let mut bytes = serde_json::to_vec(&status)?;
    bytes.push(b'\n');
    outbox.put(FILE_NAME, &bytes)
}

/// Returns when the execution of an event began, in milliseconds since 1970.
pub(crate) fn oldest(entry: &Entry) -> Option<u64> {
    ulid::unix_milliseconds(&entry.id)
}

/// Returns what `check` found when it was last asked.
fn earlier_findings(outbox: &Directory) -> Option<FindingCounts> {
    #[derive(Deserialize)]
    struct Earlier {
        findings: Option<FindingCounts>,
    }
    let bytes = outbox.dir().read(FILE_NAME, MAX_FILE_BYTES).ok()?;
    serde_json::from_slice::<Earlier>(&bytes).ok()?.findings
}
