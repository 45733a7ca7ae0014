//! The journal: a copy of what happened, for journalctl. Never blocking, never needed.
//!
//! The library's socket blocks while nobody reads it (journald stopped, its queue full), so all of
//! it lives on a thread of its own, which is started after the first hook was and waited for only
//! briefly at the end.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use tracing::subscriber::with_default;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;

use super::mask::Secrets;
use crate::document::exchange::Change;
use crate::machine::watchdog;
use crate::occasion::Execution;
use crate::process::internal;
use crate::process::job::ProcessOutcome;
use crate::verdict;
use crate::witness::{Fact, Run, Witness};

/// How long the end of a call waits for the journal.
const PATIENCE: Duration = Duration::from_millis(100);

/// Where journald listens; the library has it fixed.
const SOCKET: &str = "/run/systemd/journal/socket";

/// What an entry is about. Each has a message id of its own, which never changes:
/// `journalctl MESSAGE_ID=…` finds all of a kind. (`systemd-id128 new`)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Succeeded,
    Failed,
    Queued,
    Slow,
    Warning,
    Trouble,
    Bypassed,
}

impl Kind {
    #[cfg(test)]
    pub(crate) const ALL: [Kind; 7] = [
        Kind::Succeeded,
        Kind::Failed,
        Kind::Queued,
        Kind::Slow,
        Kind::Warning,
        Kind::Trouble,
        Kind::Bypassed,
    ];

    pub(crate) const fn message_id(self) -> &'static str {
        match self {
            Kind::Succeeded => "128af8c44e194efa8385f980fe717b21",
            Kind::Failed => "3086ac4c1a9940a19cc07b296e6e21b7",
            Kind::Queued => "ee58868ee7914c79b4706feb00f964f8",
            Kind::Slow => "090bad30d04b4c2bb300cb110d490fde",
            Kind::Warning => "bee7200773274a8292b50e9c643a0d48",
            Kind::Trouble => "03f498d8192141f1b3dec0bf7a1389f8",
            Kind::Bypassed => "13010d6ca3dd4dfe82115f88d238e26a",
        }
    }

    const fn level(self) -> Level {
        match self {
            Kind::Succeeded | Kind::Queued => Level::Notice,
            Kind::Slow | Kind::Warning | Kind::Bypassed => Level::Warning,
            Kind::Failed | Kind::Trouble => Level::Error,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Notice,
    Warning,
    Error,
}

/// One entry.
#[derive(Debug)]
struct Entry {
    kind: Kind,
    execution: Execution,
    event: Option<String>,
    hook: Option<String>,
    exit: Option<i32>,
    duration_us: Option<u64>,
    message: String,
}

/// Collects entries, and hands them to the thread once there is one.
#[derive(Default)]
pub(crate) struct Journal {
    early: Vec<Entry>,
    thread: Option<Thread>,
    /// What must not stand in an entry.
    secrets: Secrets,
    /// Entries so far.
    added: u64,
    /// Those of them that the thread is done with.
    written: Arc<AtomicU64>,
}

struct Thread {
    entries: Sender<Entry>,
    done: Receiver<()>,
}

impl Journal {
    fn add(&mut self, mut entry: Entry) {
        if let Cow::Owned(masked) = self.secrets.mask_text(&entry.message) {
            entry.message = masked;
        }
        self.added += 1;
        match &self.thread {
            // a thread that is gone has no journal to write to
            Some(thread) => drop(thread.entries.send(entry)),
            None => self.early.push(entry),
        }
    }

    fn start(&mut self) {
        if self.thread.is_some() {
            return;
        }
        let (entries, received) = mpsc::channel();
        let (done, is_done) = mpsc::channel();
        let written = self.written.clone();
        let started = thread::Builder::new().name("journal".to_owned()).spawn(move || {
            write_all(&received, &written);
            let _ = done.send(());
        });
        if started.is_ok() {
            for entry in self.early.drain(..) {
                let _ = entries.send(entry);
            }
            self.thread = Some(Thread { entries, done: is_done });
        }
    }

    /// Keeps the passwords of a document out of all entries.
    pub(crate) fn hide(&mut self, document: &[u8]) {
        self.secrets.add(document);
    }

    /// Waits a little for what is under way. Returns how many entries aren't written by then: they
    /// are lost.
    pub(crate) fn finish(mut self) -> u64 {
        if !self.early.is_empty() {
            self.start();
        }
        if let Some(Thread { entries, done }) = self.thread {
            drop(entries);
            let _ = watchdog::wait(|| done.recv_timeout(PATIENCE));
        }
        self.added.saturating_sub(self.written.load(Ordering::Relaxed))
    }
}

impl Witness for Journal {
    fn see(&mut self, execution: &Execution, fact: &Fact<'_>) {
        let entry = |kind, hook: Option<&str>, message| Entry {
            kind,
            execution: execution.clone(),
            event: None,
            hook: hook.map(str::to_owned),
            exit: None,
            duration_us: None,
            message,
        };
        match fact {
            Fact::Begun(occasion) => self.secrets.add(occasion.document().unwrap_or_default()),
            Fact::Given(document) => self.secrets.add(document),
            Fact::Planned(_) | Fact::Out { .. } => {}
            Fact::Started { .. } => self.start(),
            Fact::Slow { label, limit } => {
                let words = format!(
                    "{label} is still running after a third of its {}",
                    verdict::seconds(*limit)
                );
                self.add(entry(Kind::Slow, Some(label), words));
            }
            Fact::Over(run) => {
                let (kind, message) = describe(run);
                let mut entry = entry(kind, Some(&run.label), message);
                entry.event.clone_from(&run.event);
                let failed = run.failure.as_ref().map(|failure| failure.status);
                entry.exit = failed.or_else(|| run.ended.as_ref().map(|_| 0));
                let micros = run.ended.as_ref().map(|ended| ended.duration.as_micros());
                entry.duration_us = micros.and_then(|micros| u64::try_from(micros).ok());
                self.add(entry);
                for leftover in run.ended.iter().flat_map(|ended| &ended.leftovers) {
                    let words = format!(
                        "{} left a process running: {} ({})",
                        run.label, leftover.name, leftover.pid
                    );
                    self.see(execution, &Fact::Warning { label: &run.label, words: &words });
                }
            }
            Fact::Warning { label, words } => {
                self.add(entry(Kind::Warning, Some(label), format!("{label}: {words}")));
            }
            Fact::Trouble(words) => self.add(entry(Kind::Trouble, None, (*words).to_owned())),
            Fact::Bypassed(words) => self.add(entry(Kind::Bypassed, None, (*words).to_owned())),
        }
    }
}

fn describe(run: &Run) -> (Kind, String) {
    if let Some(failure) = &run.failure {
        return (Kind::Failed, failure.line());
    }
    let took = run.ended.as_ref().map(|ended| verdict::seconds(ended.duration)).unwrap_or_default();
    let changed = if run.change == Change::Taken { ", and changed the document" } else { "" };
    let what = match run.ended.as_ref().map(|ended| &ended.outcome) {
        Some(ProcessOutcome::Exited(_)) => "succeeded",
        Some(_) => "is over",
        None => {
            return (
                Kind::Queued,
                format!("{} is queued, to run when libvirt has its answer", run.label),
            );
        }
    };
    (Kind::Succeeded, format!("{} {what} after {took}{changed}", run.label))
}

fn write_all(entries: &Receiver<Entry>, written: &AtomicU64) {
    if std::env::var_os(internal::NO_JOURNAL).is_some() {
        written.store(u64::MAX, Ordering::Relaxed);
        return;
    }
    // a host without a journal loses nothing that it could have had
    let layer = tracing_journald::layer();
    let Ok(layer) = layer else {
        if !Path::new(SOCKET).exists() {
            written.store(u64::MAX, Ordering::Relaxed);
        }
        return;
    };
    let layer = layer.with_syslog_identifier("hookmux".to_owned()).with_field_prefix(None);
    with_default(Registry::default().with(layer), || {
        for entry in entries {
            write(&entry);
            written.fetch_add(1, Ordering::Relaxed);
        }
    });
}

fn write(entry: &Entry) {
    let message_id = entry.kind.message_id();
    // the macro wants its level as a constant
    macro_rules! emit {
        ($level:expr) => {
            tracing::event!(
                $level,
                MESSAGE_ID = message_id,
                HOOKMUX_EXECUTION = entry.execution.id,
                HOOKMUX_DRIVER = entry.execution.driver,
                HOOKMUX_OBJECT = entry.execution.object,
                HOOKMUX_OPERATION = entry.execution.operation,
                HOOKMUX_UUID = entry.execution.uuid,
                HOOKMUX_EVENT = entry.event,
                HOOKMUX_HOOK = entry.hook,
                HOOKMUX_EXIT = entry.exit,
                HOOKMUX_DURATION_US = entry.duration_us,
                "{}",
                entry.message
            )
        };
    }
    match entry.kind.level() {
        Level::Notice => emit!(tracing::Level::INFO),
        Level::Warning => emit!(tracing::Level::WARN),
        Level::Error => emit!(tracing::Level::ERROR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_an_id_of_its_own() {
        for (index, kind) in Kind::ALL.iter().enumerate() {
            let id = kind.message_id();
            assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
            assert!(!Kind::ALL[..index].iter().any(|other| other.message_id() == id), "{id}");
        }
    }
}
