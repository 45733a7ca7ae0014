//! The journal: a copy of what happened, for journalctl. Never blocking, never needed.
//!
//! The library's socket blocks while nobody reads it (journald stopped, its queue full), so all of
//! it lives on a thread of its own, which is started after the first hook was and waited for only
//! briefly at the end.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use tracing::subscriber::with_default;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;

use super::{Execution, Fact, Run, Witness};
use crate::run::exchange::Change;
use crate::run::job::Outcome;
use crate::verdict;

/// How long the end of a call waits for the journal.
const PATIENCE: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Notice,
    Warning,
    Error,
}

/// One entry.
#[derive(Debug)]
struct Entry {
    level: Level,
    execution: Execution,
    event: Option<String>,
    hook: Option<String>,
    exit: Option<i32>,
    duration_us: Option<u64>,
    message: String,
}

/// Collects entries, and hands them to the thread once there is one.
#[derive(Default)]
pub struct Journal {
    early: Vec<Entry>,
    thread: Option<(Sender<Entry>, Receiver<()>)>,
}

impl Journal {
    fn add(&mut self, entry: Entry) {
        match &self.thread {
            // a thread that is gone has no journal to write to
            Some((entries, _)) => drop(entries.send(entry)),
            None => self.early.push(entry),
        }
    }

    fn start(&mut self) {
        if self.thread.is_some() {
            return;
        }
        let (entries, received) = mpsc::channel();
        let (done, is_done) = mpsc::channel();
        let started = thread::Builder::new().name("journal".to_owned()).spawn(move || {
            write_all(&received);
            let _ = done.send(());
        });
        if started.is_ok() {
            self.thread = Some((entries, is_done));
            for entry in std::mem::take(&mut self.early) {
                self.add(entry);
            }
        }
    }

    /// Waits a little for what is under way; what isn't written by then is lost.
    pub fn finish(mut self) {
        if !self.early.is_empty() {
            self.start();
        }
        if let Some((entries, done)) = self.thread {
            drop(entries);
            let _ = done.recv_timeout(PATIENCE);
        }
    }
}

impl Witness for Journal {
    fn see(&mut self, execution: &Execution, fact: &Fact<'_>) {
        let entry = |level, hook: Option<&str>, message| Entry {
            level,
            execution: execution.clone(),
            event: None,
            hook: hook.map(str::to_owned),
            exit: None,
            duration_us: None,
            message,
        };
        match fact {
            Fact::Started { .. } => self.start(),
            Fact::Slow { label, limit } => {
                let words = format!(
                    "{label} is still running after a third of its {}",
                    verdict::seconds(*limit)
                );
                self.add(entry(Level::Warning, Some(label), words));
            }
            Fact::Over(run) => {
                let (level, message) = describe(run);
                let mut entry = entry(level, Some(&run.label), message);
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
            Fact::Out { .. } => {}
            Fact::Warning { label, words } => {
                self.add(entry(Level::Warning, Some(label), format!("{label}: {words}")));
            }
            Fact::Trouble(words) => self.add(entry(Level::Error, None, (*words).to_owned())),
        }
    }
}

fn describe(run: &Run) -> (Level, String) {
    if let Some(failure) = &run.failure {
        return (Level::Error, failure.line());
    }
    let took = run.ended.as_ref().map(|ended| verdict::seconds(ended.duration)).unwrap_or_default();
    let changed = if run.change == Change::Taken { ", and changed the document" } else { "" };
    let what = match run.ended.as_ref().map(|ended| &ended.outcome) {
        Some(Outcome::Exited(_)) => "succeeded",
        Some(_) => "is over",
        None => {
            return (
                Level::Notice,
                format!("{} is queued, to run when libvirt has its answer", run.label),
            );
        }
    };
    (Level::Notice, format!("{} {what} after {took}{changed}", run.label))
}

fn write_all(entries: &Receiver<Entry>) {
    let Ok(layer) = tracing_journald::layer() else { return };
    let layer = layer
        .with_syslog_identifier("hookmux".to_owned())
        .with_field_prefix(Some("HOOKMUX".to_owned()));
    with_default(Registry::default().with(layer), || {
        entries.iter().for_each(|entry| write(&entry))
    });
}

fn write(entry: &Entry) {
    // the macro wants its level as a constant
    macro_rules! emit {
        ($level:expr) => {
            tracing::event!(
                $level,
                execution = entry.execution.id,
                driver = entry.execution.driver,
                object = entry.execution.object,
                operation = entry.execution.operation,
                uuid = entry.execution.uuid,
                event = entry.event,
                hook = entry.hook,
                exit = entry.exit,
                duration_us = entry.duration_us,
                "{}",
                entry.message
            )
        };
    }
    match entry.level {
        Level::Notice => emit!(tracing::Level::INFO),
        Level::Warning => emit!(tracing::Level::WARN),
        Level::Error => emit!(tracing::Level::ERROR),
    }
}
