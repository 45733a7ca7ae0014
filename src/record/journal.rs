//! Writes entries about calls to the journal, for journalctl. Never blocks a call; no call needs it.
//!
//! The library's socket blocks while nobody reads it (journald stopped, its queue full). So a thread of
//! its own writes the entries. It starts after the first hook; the end of a call waits for it only
//! briefly.

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
use crate::observer::{HookRun, Notice, Observer};
use crate::occasion::Execution;
use crate::process::internal;
use crate::process::job::ProcessOutcome;
use crate::verdict;

/// The time limit of the wait for the journal at the end of a call.
const FINISH_TIMEOUT: Duration = Duration::from_millis(100);

/// The socket of journald; its path is fixed in the library.
const SOCKET: &str = "/run/systemd/journal/socket";

/// The kind of an entry. Each kind has a message id, which never changes: `journalctl MESSAGE_ID=…` finds
/// all entries of a kind. (`systemd-id128 new`)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    Succeeded,
    Failed,
    Queued,
    Slow,
    Warning,
    OwnError,
    Bypassed,
}

impl EntryKind {
    #[cfg(test)]
    pub(crate) const ALL: [EntryKind; 7] = [
        EntryKind::Succeeded,
        EntryKind::Failed,
        EntryKind::Queued,
        EntryKind::Slow,
        EntryKind::Warning,
        EntryKind::OwnError,
        EntryKind::Bypassed,
    ];

    pub(crate) const fn message_id(self) -> &'static str {
        match self {
            EntryKind::Succeeded => "128af8c44e194efa8385f980fe717b21",
            EntryKind::Failed => "3086ac4c1a9940a19cc07b296e6e21b7",
            EntryKind::Queued => "ee58868ee7914c79b4706feb00f964f8",
            EntryKind::Slow => "090bad30d04b4c2bb300cb110d490fde",
            EntryKind::Warning => "bee7200773274a8292b50e9c643a0d48",
            EntryKind::OwnError => "03f498d8192141f1b3dec0bf7a1389f8",
            EntryKind::Bypassed => "13010d6ca3dd4dfe82115f88d238e26a",
        }
    }

    const fn level(self) -> Level {
        match self {
            EntryKind::Succeeded | EntryKind::Queued => Level::Notice,
            EntryKind::Slow | EntryKind::Warning | EntryKind::Bypassed => Level::Warning,
            EntryKind::Failed | EntryKind::OwnError => Level::Error,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Notice,
    Warning,
    Error,
}

/// One entry of the journal.
#[derive(Debug)]
struct JournalEntry {
    kind: EntryKind,
    execution: Execution,
    event: Option<String>,
    hook: Option<String>,
    exit: Option<i32>,
    duration_us: Option<u64>,
    message: String,
}

/// Collects entries, and passes them to the thread once it runs.
#[derive(Default)]
pub(crate) struct Journal {
    early: Vec<JournalEntry>,
    thread: Option<Thread>,
    /// The passwords that must not be in an entry.
    secrets: Secrets,
    /// The number of entries so far.
    added: u64,
    /// The number of entries that the thread has written.
    written: Arc<AtomicU64>,
}

struct Thread {
    entries: Sender<JournalEntry>,
    done: Receiver<()>,
}

impl Journal {
    fn add(&mut self, mut entry: JournalEntry) {
        if let Cow::Owned(masked) = self.secrets.mask_text(&entry.message) {
            entry.message = masked;
        }
        self.added += 1;
        match &self.thread {
            // the thread ends only where there is no journal
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

    /// Adds the passwords of a document to those that are masked in all entries.
    pub(crate) fn add_secrets_of(&mut self, document: &[u8]) {
        self.secrets.add(document);
    }

    /// Waits a little for the thread. Returns the number of entries that aren't written by then; they are
    /// lost.
    pub(crate) fn finish(mut self) -> u64 {
        if !self.early.is_empty() {
            self.start();
        }
        if let Some(Thread { entries, done }) = self.thread {
            drop(entries);
            let _ = watchdog::wait(|| done.recv_timeout(FINISH_TIMEOUT));
        }
        self.added.saturating_sub(self.written.load(Ordering::Relaxed))
    }
}

impl Observer for Journal {
    fn observe(&mut self, execution: &Execution, notice: &Notice<'_>) {
        let entry = |kind, hook: Option<&str>, message| JournalEntry {
            kind,
            execution: execution.clone(),
            event: None,
            hook: hook.map(str::to_owned),
            exit: None,
            duration_us: None,
            message,
        };
        match notice {
            Notice::Begun(occasion) => self.secrets.add(occasion.document().unwrap_or_default()),
            Notice::DocumentGiven(document) => self.secrets.add(document),
            Notice::Planned(_)
            | Notice::Skipped { .. }
            | Notice::CheckStarted { .. }
            | Notice::CheckEnded { .. }
            | Notice::Output { .. }
            | Notice::Waited { .. }
            | Notice::LastLine { .. } => {}
            Notice::Started { .. } => self.start(),
            Notice::Slow { label, limit } => {
                let words = format!(
                    "{label} is still running after a third of its limit of {}",
                    verdict::seconds(*limit)
                );
                self.add(entry(EntryKind::Slow, Some(label), words));
            }
            Notice::Finished(run) => {
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
                    self.observe(execution, &Notice::Warning { label: &run.label, words: &words });
                }
            }
            Notice::Warning { label, words } => {
                self.add(entry(EntryKind::Warning, Some(label), format!("{label}: {words}")));
            }
            Notice::OwnError(words) => {
                self.add(entry(EntryKind::OwnError, None, (*words).to_owned()))
            }
            Notice::Bypassed(words) => {
                self.add(entry(EntryKind::Bypassed, None, (*words).to_owned()))
            }
        }
    }
}

fn describe(run: &HookRun) -> (EntryKind, String) {
    if let Some(failure) = &run.failure {
        return (EntryKind::Failed, failure.line());
    }
    let took = run.ended.as_ref().map(|ended| verdict::seconds(ended.duration)).unwrap_or_default();
    let changed = if run.change == Change::Taken { ", and changed the document" } else { "" };
    let what = match run.ended.as_ref().map(|ended| &ended.outcome) {
        Some(ProcessOutcome::Exited(_)) => "succeeded",
        Some(_) => "is over",
        None => {
            return (
                EntryKind::Queued,
                format!("{} is queued, to run when libvirt has its answer", run.label),
            );
        }
    };
    (EntryKind::Succeeded, format!("{} {what} after {took}{changed}", run.label))
}

fn write_all(entries: &Receiver<JournalEntry>, written: &AtomicU64) {
    if std::env::var_os(internal::NO_JOURNAL).is_some() {
        written.store(u64::MAX, Ordering::Relaxed);
        return;
    }
    // on a host without a journal no entry counts as lost
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

fn write(entry: &JournalEntry) {
    let message_id = entry.kind.message_id();
    // the macro needs its level as a constant
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
        for (index, kind) in EntryKind::ALL.iter().enumerate() {
            let id = kind.message_id();
            assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
            assert!(!EntryKind::ALL[..index].iter().any(|other| other.message_id() == id), "{id}");
        }
    }
}
