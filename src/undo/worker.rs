//! The worker of the ledger: takes back what no call could, after libvirt has its answer. One works, and one
//! more may wait for it, so that nothing is forgotten that is entered while the first one ends.

use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::entry::Entry;
use super::label_of;
use super::ledger::Ledger;
use super::living::{Libvirt, Life};
use super::marks::MarkKind;
use super::owed::Owed;
use super::owner_ledger::OwnerLedger;
use super::runner::{UndoResult, UndoRunner};
use crate::answer::Answer;
use crate::bypass;
use crate::config::{Settings, Surroundings};
use crate::document::facts::DocumentFacts;
use crate::libvirt::Document;
use crate::machine::locks::{self, FileLock};
use crate::machine::{clock, sys, ulid};
use crate::observer::{CallPlan, Notice, Observer, PlanDecision, PlanEntry, Tee};
use crate::occasion::{Execution, Occasion};
use crate::process::exit_status::OWN_ERROR;
use crate::process::supervise::Supervisor;
use crate::process::{background, internal};
use crate::record::form::RecordCause;
use crate::record::mover;
use crate::record::recorder::Recorder;
use crate::state::locks::{HookLock, LockError, LockHolder};
use crate::trust::Trust;

/// The limit of one undo that nobody waits for; its own is mostly shorter.
const TIMEOUT: Duration = Duration::from_secs(3600);
/// The longest pause between two looks at the ledger.
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// The pause after which an owner is tried again whose lock a call holds.
const BUSY_PAUSE: Duration = Duration::from_millis(500);
/// How long a daemon that has just started may take until it answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(90);
const ANSWER_INTERVAL: Duration = Duration::from_secs(2);

const WORKER_LOCK: &str = ".worker";
const WAITING_LOCK: &str = ".waiting";
/// The file that says that a daemon has started; behind it, its name. It contains when, in nanoseconds of
/// this boot.
const STARTED_PREFIX: &str = ".started.";

/// Starts a worker in the background.
///
/// # Errors
/// The process could not be started.
pub(crate) fn start(hooks_dir: &Path) -> io::Result<()> {
    background::start(hooks_dir, internal::START_UNDO_WORKER)
}

/// Notes that a daemon has started: the worker looks whose guests and networks have gone meanwhile. Returns
/// whether there is anything to look for.
pub(crate) fn note_start(settings: &Settings, daemon: &str) -> bool {
    if !Ledger::may_exist(&settings.runtime_dir) {
        return false;
    }
    let ledger = Ledger::new(&settings.runtime_dir);
    let is_any = ledger.owners().is_ok_and(|owners| !owners.is_empty());
    if is_any && is_file_name(daemon) {
        let now = clock::boottime_ns().to_string();
        let _ = ledger.directory().replace(format!("{STARTED_PREFIX}{daemon}"), now.as_bytes());
    }
    is_any
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 64 && !name.contains(['/', '\0'])
}

/// What runs undos outside of a call.
pub(crate) struct Workshop<'a> {
    pub settings: &'a Settings,
    pub surroundings: &'a Surroundings,
    pub observer: &'a mut dyn Observer,
}

/// Works until nothing is due, and nothing will be.
///
/// # Errors
/// The ledger can't be used.
pub(crate) fn work(workshop: &mut Workshop<'_>) -> io::Result<()> {
    let settings = workshop.settings;
    if !Ledger::may_exist(&settings.runtime_dir) {
        return Ok(());
    }
    let ledger = Ledger::new(&settings.runtime_dir);
    let Some(_only_one) = become_the_worker(&ledger)? else { return Ok(()) };
    loop {
        let pause = [look(&ledger, workshop)?, look_after_starts(&ledger, workshop)?];
        ledger.remove_if_empty();
        let Some(pause) = pause.into_iter().flatten().min() else { return Ok(()) };
        thread::sleep(pause.min(MAX_PAUSE));
        if is_told_to_end() || !Ledger::may_exist(&settings.runtime_dir) {
            return Ok(());
        }
    }
}

fn is_told_to_end() -> bool {
    // these signals are blocked, so they don't end a wait in the kernel
    [Signal::SIGTERM, Signal::SIGINT].iter().any(|signal| sys::is_pending(*signal as i32))
}

/// Takes the worker's lock. Returns `None` where one works and one waits already, or if this process was told
/// to end while it waited.
fn become_the_worker(ledger: &Ledger) -> io::Result<Option<FileLock>> {
    let directory = ledger.locks();
    let lock = |name: &str| {
        directory.make()?;
        locks::try_lock(directory.append(name)?)
    };
    let Some(waits) = lock(WAITING_LOCK)? else { return Ok(None) };
    loop {
        if let Some(worker) = lock(WORKER_LOCK)? {
            drop(waits);
            return Ok(Some(worker));
        }
        if is_told_to_end() {
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Takes back what is due now. Returns when something will be due.
fn look(ledger: &Ledger, workshop: &mut Workshop<'_>) -> io::Result<Option<Duration>> {
    let mut next: Option<Duration> = None;
    let mut soon = |pause: Duration| next = Some(next.map_or(pause, |next| next.min(pause)));
    for owner in ledger.owners()? {
        let own = ledger.of(&owner);
        let (entries, _) = own.entries();
        let waiting = entries.iter().filter(|owed| owed.is_provisional() && !owed.is_due());
        waiting.for_each(|owed| soon(owed.wait_left()));
        if to_take_back(&own, &entries).next().is_none() {
            continue;
        }
        if workshop.is_bypassed(&entries) {
            soon(MAX_PAUSE);
            continue;
        }
        match try_lock(&own) {
            Ok(_lock) => {
                own.settle()?;
                let entries = own.entries().0;
                let entries = to_take_back(&own, &entries).cloned().collect();
                workshop.undo(&own, entries);
            }
            Err(LockError::Failed(error)) => return Err(error),
            Err(_) => soon(BUSY_PAUSE),
        }
    }
    Ok(next)
}

/// Returns what the worker takes back. What an earlier life owes is not taken from a guest that lives, or may
/// live: its next start or end does that.
fn to_take_back<'e>(own: &OwnerLedger, entries: &'e [Owed]) -> impl Iterator<Item = &'e Owed> {
    let lives = entries.iter().any(|owed| !owed.is_over() && !owed.is_due()) || own.is_alive();
    entries.iter().filter(move |owed| owed.is_due() && !lives)
}

fn try_lock(own: &OwnerLedger) -> Result<HookLock, LockError> {
    own.lock(&LockHolder::new("an undo", "-"), Instant::now(), &mut || false)
}

/// Looks at guests and networks after the start of a daemon. Returns when to ask again.
fn look_after_starts(ledger: &Ledger, workshop: &mut Workshop<'_>) -> io::Result<Option<Duration>> {
    let names = ledger.directory().names()?.into_iter();
    let names: Vec<String> = names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.starts_with(STARTED_PREFIX))
        .collect();
    let mut next = None;
    for name in names {
        let daemon = name.trim_start_matches(STARTED_PREFIX);
        let bytes = ledger.directory().read(&name, 64).unwrap_or_default();
        let started_ns: i64 =
            std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        let waited = clock::duration_until(clock::boottime_ns(), started_ns);
        let is_last = waited >= ANSWER_TIMEOUT;
        let answered = look_after_start(ledger, daemon, started_ns, is_last, workshop)?;
        if answered || is_last {
            // another start meanwhile has written it anew
            if ledger.directory().read(&name, 64).is_ok_and(|now| now == bytes) {
                ledger.directory().remove(&name)?;
            }
        } else {
            next = Some(ANSWER_INTERVAL);
        }
    }
    Ok(next)
}

/// Notes why nothing is undone, for `check` and `undo --list`.
fn leave(
    own: &OwnerLedger,
    last_call: &Option<Vec<u8>>,
    is_meant: &dyn Fn(&Owed) -> bool,
    why: &str,
) {
    let Ok(_lock) = try_lock(own) else { return };
    if own.last_call() != *last_call {
        return;
    }
    for mut owed in own.entries().0.into_iter().filter(|owed| is_meant(owed)) {
        owed.entry.set_last(&format!("left after the start of a daemon: {why}"));
        let _ = own.keep(&owed);
    }
}

/// Takes back what lives before the start of a daemon owe, where libvirt says that they are over. Returns
/// whether libvirt has answered; `is_last` tells that it won't be asked again.
fn look_after_start(
    ledger: &Ledger,
    daemon: &str,
    started_ns: i64,
    is_last: bool,
    workshop: &mut Workshop<'_>,
) -> io::Result<bool> {
    let mut has_answered = true;
    let mut libvirt = Libvirt::new(workshop.surroundings);
    for owner in ledger.owners()? {
        let own = ledger.of(&owner);
        let is_earlier = |owed: &Owed| {
            // what failed is tried at its own times
            let is_meant = owed.is_due() || !(owed.is_over() || owed.is_provisional());
            is_meant && owed.entry.current.began_ns < started_ns
        };
        let (entries, _) = own.entries();
        let Some(first) = entries.iter().find(|owed| is_earlier(owed)) else { continue };
        if !libvirt.serves(daemon, &first.entry) || workshop.is_bypassed(&entries) {
            continue;
        }
        let last_call = own.last_call();
        let life = libvirt.ask(&owner, &first.entry);
        if let Life::Unknown { is_silent: true, .. } = &life {
            has_answered = false;
            if !is_last {
                continue;
            }
        }
        if let Life::Unknown { why, .. } = &life {
            leave(&own, &last_call, &is_earlier, why);
            workshop.report(&first.entry, &format!("left as it is: {why}"));
        }
        if life != Life::Gone {
            continue;
        }
        // without waiting: whoever holds it is a call of that guest
        let Ok(_lock) = try_lock(&own) else { continue };
        if own.last_call() != last_call {
            continue;
        }
        own.settle()?;
        own.unmark(MarkKind::Begun);
        let entries = own.entries().0.into_iter().filter(is_earlier).collect();
        workshop.undo(&own, entries);
    }
    Ok(has_answered)
}

impl Workshop<'_> {
    /// Tells whether hooks are switched off: then everything stays owed.
    fn is_bypassed(&self, entries: &[Owed]) -> bool {
        let mut trust = Trust::new(self.surroundings.user);
        let bypass = bypass::load(&self.settings.hooks_dir, &mut trust).unwrap_or_default();
        entries.iter().any(|owed| bypass.of(&owed.entry.call()).is_some())
    }

    fn report(&mut self, entry: &Entry, words: &str) {
        let words = format!("{}: {words}", label_of(&entry.hook));
        self.observer.observe(&entry.execution(), &Notice::OwnError(&words));
    }

    /// Runs undos, with a record of their own. The caller holds the owner's lock.
    pub(crate) fn undo(&mut self, ledger: &OwnerLedger, entries: Vec<Owed>) -> UndoResult {
        let Some(first) = entries.first().map(|owed| owed.entry.clone()) else {
            return UndoResult::default();
        };
        let mut recorder = self.recorder(&first, &entries);
        let execution = recorder.1;
        let mut observers = Tee(&mut recorder.0, self.observer);
        let result = match Supervisor::new(&[Signal::SIGTERM, Signal::SIGINT]) {
            Ok(mut supervisor) => {
                let mut runner = UndoRunner {
                    settings: self.settings,
                    user: self.surroundings.user,
                    ledger,
                    supervisor: &mut supervisor,
                    observer: &mut observers,
                    execution: &execution,
                    ends: Instant::now() + TIMEOUT,
                    ignores_termination: false,
                    hands_over: false,
                };
                let result = runner.run(entries);
                supervisor.pass_termination_on();
                let _ = supervisor.release_leftovers();
                result
            }
            Err(error) => {
                let words = format!("no undo can be run: {error}");
                observers.observe(&execution, &Notice::OwnError(&words));
                UndoResult::default()
            }
        };
        ledger.remove_if_empty();
        let status = if result.failures.is_empty() { 0 } else { OWN_ERROR };
        let kept = recorder.0.finish(&Answer { status, ..Answer::default() });
        if let Some(place) = &kept.place {
            mover::start_if_needed(&self.settings.hooks_dir, place);
        }
        result
    }

    /// Begins the record of undos, which is separate from that of the call in which the hooks ran.
    fn recorder(&self, first: &Entry, entries: &[Owed]) -> (Recorder, Execution) {
        let mut recorder = Recorder::new(RecordCause::Undo(first.current.execution.clone()));
        let call = first.call();
        let execution = Execution { id: ulid::new(), ..first.execution() };
        let document = first.current.document.as_ref();
        let document = document.map_or(Document::Absent, |bytes| Document::Whole(bytes.0.clone()));
        let facts = DocumentFacts::without_content(document);
        let (settings, surroundings) = (self.settings, self.surroundings);
        let occasion = Occasion::of_execution(&call, settings, surroundings, facts, execution);
        recorder.observe(&occasion.execution, &Notice::Begun(&occasion));
        let planned: Vec<PlanEntry> = entries
            .iter()
            .map(|owed| PlanEntry {
                hook: label_of(&owed.entry.hook),
                event: owed.entry.event.clone(),
                device: owed.entry.device.clone(),
                decision: PlanDecision::Run,
                reason: None,
            })
            .collect();
        let plan = CallPlan {
            planned: &planned,
            origin: None,
            started: None,
            registrations: Vec::new(),
            digest: None,
        };
        recorder.observe(&occasion.execution, &Notice::Planned(plan));
        (recorder, occasion.execution)
    }
}
