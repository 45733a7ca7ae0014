//! The worker of the ledger: takes back what no call could, after libvirt has its answer. One works, and one
//! more may wait for it, so that nothing is forgotten that is entered while the first one ends.

use std::collections::HashMap;
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
use super::owner::Owner;
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

/// What is told where the worker gives up.
const WAY_OUT: &str = "once that is fixed, `hookmux undo` takes back what is owed";
/// How often an owner is tried for which nothing can be done.
const MAX_TRIES: u32 = 6;
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
    let ledger = Ledger::new(&settings.runtime_dir);
    let worked = match Ledger::may_exist(&settings.runtime_dir) {
        true => work_off(&ledger, workshop),
        false => Ok(()),
    };
    ledger.remove_unused_locks();
    worked
}

fn work_off(ledger: &Ledger, workshop: &mut Workshop<'_>) -> io::Result<()> {
    let Some(_only_one) = become_the_worker(ledger)? else { return Ok(()) };
    let mut memory = Memory::default();
    loop {
        let pauses = [
            // what this leaves is looked at by the next one
            look_after_starts(ledger, workshop, &mut memory)?,
            look(ledger, workshop, &mut memory)?,
        ];
        ledger.remove_if_empty();
        let Some(pause) = pauses.into_iter().flatten().min() else { return Ok(()) };
        thread::sleep(pause.min(MAX_PAUSE));
        if is_told_to_end() || !Ledger::may_exist(&workshop.settings.runtime_dir) {
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

/// What the worker knows of one owner.
#[derive(Default)]
struct Known {
    /// The last start of a daemon after which libvirt has said what became of the owner, in nanoseconds of this boot.
    answered_ns: i64,
    /// The names of its files when it was last looked at: as long as they are the same, so is what they say.
    names: Vec<String>,
    /// When it has to be looked at again all the same.
    next: Option<Instant>,
    /// How often nothing could be done for it, one time after another.
    tries: u32,
}

impl Known {
    /// Tells whether there is nothing new and nothing to do yet.
    fn holds(&self, names: &[String]) -> bool {
        self.names == names && self.next.is_none_or(|next| Instant::now() < next)
    }

    /// Notes that nothing could be done. Returns after which pause to try again, if at all.
    fn failed(&mut self) -> Option<Duration> {
        self.tries = self.tries.saturating_add(1);
        let doublings = self.tries.saturating_sub(1).min(8);
        let pause = BUSY_PAUSE.saturating_mul(1 << doublings).min(MAX_PAUSE);
        (self.tries < MAX_TRIES).then_some(pause)
    }

    /// Tells whether something is told now: the first time, and the last one.
    fn is_told(&self) -> bool {
        self.tries == 1 || self.tries == MAX_TRIES
    }
}

/// What the worker knows of each owner, by the name of its directory.
#[derive(Default)]
struct Memory(HashMap<String, Known>);

impl Memory {
    fn of(&mut self, owner: &Owner) -> &mut Known {
        self.0.entry(owner.directory().to_owned()).or_default()
    }
}

/// Takes back what is due now. Returns when something will be due.
fn look(
    ledger: &Ledger,
    workshop: &mut Workshop<'_>,
    memory: &mut Memory,
) -> io::Result<Option<Duration>> {
    let mut next: Option<Duration> = None;
    for owner in owners(ledger)? {
        let own = ledger.of(&owner);
        let known = memory.of(&owner);
        let names = own.names();
        if !names.as_ref().is_ok_and(|names| known.holds(names)) {
            let pause = match &names {
                Ok(_) => look_at(&own, workshop, known),
                Err(error) => workshop.pause_after(&own, None, error, known),
            };
            known.next = pause.and_then(|pause| Instant::now().checked_add(pause));
            // a call may have come since they were read
            known.names = names.unwrap_or_default();
        }
        let left = known.next.map(|next| next.saturating_duration_since(Instant::now()));
        next = next.into_iter().chain(left).min();
    }
    Ok(next)
}

/// Takes back what one owner owes now. Returns when something will be due. What goes wrong here is told, and
/// tried again some times: others have nothing to do with it.
fn look_at(own: &OwnerLedger, workshop: &mut Workshop<'_>, known: &mut Known) -> Option<Duration> {
    let (entries, _) = own.entries();
    let waiting = entries.iter().filter(|owed| owed.is_provisional() && !owed.is_due());
    let waits = waiting.map(Owed::wait_left).min();
    let sooner = |pause: Duration| waits.into_iter().chain([pause]).min();
    let Some(first) = to_take_back(own, &entries).next().map(|owed| owed.entry.clone()) else {
        return waits;
    };
    if workshop.is_bypassed(&entries) {
        return sooner(MAX_PAUSE);
    }
    let taken = match try_lock(own) {
        Ok(lock) => {
            let taken = own.settle().map(|()| {
                let entries = own.entries().0;
                let entries = to_take_back(own, &entries).cloned().collect();
                workshop.undo(own, entries)
            });
            own.release(lock);
            taken
        }
        Err(LockError::Failed(error)) => Err(error),
        Err(_) => return sooner(BUSY_PAUSE),
    };
    match taken {
        Ok(result) if result.left == 0 => {
            known.tries = 0;
            // a life that has begun meanwhile, or one more entry
            sooner(BUSY_PAUSE).filter(|_| result.done > 0).or(waits)
        }
        Ok(result) => {
            if result.done > 0 {
                known.tries = 0;
            }
            let pause = known.failed();
            if pause.is_none() {
                let words = format!("{} undos are left: {WAY_OUT}", result.left);
                workshop.report(&first, &words);
            }
            pause.and_then(sooner).or(waits)
        }
        Err(error) => {
            workshop.pause_after(own, Some(&first), &error, known).and_then(sooner).or(waits)
        }
    }
}

/// Returns the owners; the ledger may have gone with the last one.
fn owners(ledger: &Ledger) -> io::Result<Vec<Owner>> {
    match ledger.owners() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        owners => owners,
    }
}

/// Returns what the worker takes back. What an earlier life owes is not taken from a guest that lives, or may
/// live: its next start or end does that.
fn to_take_back<'e>(own: &OwnerLedger, entries: &'e [Owed]) -> impl Iterator<Item = &'e Owed> {
    // what waits for `prepare` is of no life yet
    let is_of_life = |owed: &Owed| !(owed.is_over() || owed.is_due() || owed.is_provisional());
    let lives = entries.iter().any(is_of_life) || own.is_alive();
    entries.iter().filter(move |owed| owed.is_due() && !lives)
}

fn try_lock(own: &OwnerLedger) -> Result<HookLock, LockError> {
    own.lock(&LockHolder::new("an undo", "-"), Instant::now(), &mut || false)
}

/// What a look after the start of a daemon has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum StartLook {
    /// libvirt has answered, or won't be asked again.
    Over,
    /// Something couldn't be asked or done yet.
    Again,
    /// Hooks are switched off: it is looked at when they are on again.
    Bypassed,
}

/// Looks at guests and networks after the start of a daemon. Returns when to ask again.
fn look_after_starts(
    ledger: &Ledger,
    workshop: &mut Workshop<'_>,
    memory: &mut Memory,
) -> io::Result<Option<Duration>> {
    let names = ledger.directory().names().unwrap_or_default().into_iter();
    let names: Vec<String> = names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.starts_with(STARTED_PREFIX))
        .collect();
    let mut next: Option<Duration> = None;
    for name in names {
        let daemon = name.trim_start_matches(STARTED_PREFIX);
        let bytes = ledger.directory().read(&name, 64).unwrap_or_default();
        let started_ns: i64 =
            std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        let waited = clock::duration_until(clock::boottime_ns(), started_ns);
        let is_last = waited >= ANSWER_TIMEOUT;
        let start = DaemonStart { daemon, started_ns, is_last };
        let pause = match look_after_start(ledger, start, workshop, memory)? {
            StartLook::Bypassed => MAX_PAUSE,
            StartLook::Again if !is_last => ANSWER_INTERVAL,
            StartLook::Again | StartLook::Over => {
                // another start meanwhile has written it anew
                if ledger.directory().read(&name, 64).is_ok_and(|now| now == bytes) {
                    // where it stays, the next worker asks once more
                    let _ = ledger.directory().remove(&name);
                }
                continue;
            }
        };
        next = next.into_iter().chain([pause]).min();
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

/// The start of a daemon.
#[derive(Clone, Copy)]
struct DaemonStart<'a> {
    daemon: &'a str,
    started_ns: i64,
    /// Whether libvirt won't be asked again.
    is_last: bool,
}

/// Takes back what lives before the start of a daemon owe, where libvirt says that they are over.
fn look_after_start(
    ledger: &Ledger,
    start: DaemonStart<'_>,
    workshop: &mut Workshop<'_>,
    memory: &mut Memory,
) -> io::Result<StartLook> {
    let mut result = StartLook::Over;
    let mut libvirt = Libvirt::new(workshop.surroundings);
    for owner in owners(ledger)? {
        let own = ledger.of(&owner);
        let is_earlier = |owed: &Owed| {
            // what failed is tried at its own times
            let is_meant = owed.is_due() || !(owed.is_over() || owed.is_provisional());
            is_meant && owed.entry.current.began_ns < start.started_ns
        };
        let (entries, _) = own.entries();
        let Some(first) = entries.iter().find(|owed| is_earlier(owed)) else { continue };
        let is_answered = memory.of(&owner).answered_ns >= start.started_ns;
        if is_answered || !libvirt.serves(start.daemon, &first.entry) {
            continue;
        }
        if workshop.is_bypassed(&entries) {
            result = result.max(StartLook::Bypassed);
            continue;
        }
        let last_call = own.last_call();
        let life = libvirt.ask(&owner, &first.entry);
        if let Life::Unknown { is_silent: true, .. } = &life {
            result = result.max(StartLook::Again);
            if !start.is_last {
                continue;
            }
        }
        memory.of(&owner).answered_ns = start.started_ns;
        if let Life::Unknown { why, .. } = &life {
            leave(&own, &last_call, &is_earlier, why);
            workshop.report(&first.entry, &format!("left as it is: {why}"));
        }
        if life != Life::Gone {
            continue;
        }
        // without waiting: whoever holds it is a call of that guest
        let taken = match try_lock(&own) {
            Ok(_) if own.last_call() != last_call => continue,
            Ok(lock) => {
                let taken = take_back_gone(&own, &is_earlier, workshop);
                own.release(lock);
                taken
            }
            Err(LockError::Failed(error)) => Err(error),
            Err(_) => continue,
        };
        if let Err(error) = taken {
            let known = memory.of(&owner);
            if workshop.pause_after(&own, Some(&first.entry), &error, known).is_some() {
                known.answered_ns = 0;
                result = result.max(StartLook::Again);
            }
        }
    }
    Ok(result)
}

/// Takes back what an owner owes that libvirt knows to be gone. The caller holds its lock.
fn take_back_gone(
    own: &OwnerLedger,
    is_meant: &dyn Fn(&Owed) -> bool,
    workshop: &mut Workshop<'_>,
) -> io::Result<()> {
    own.settle()?;
    own.unmark(MarkKind::Begun);
    let mut entries: Vec<Owed> =
        own.entries().0.into_iter().filter(|owed| is_meant(owed)).collect();
    // what isn't done now is the worker's from here on
    entries.iter_mut().try_for_each(|owed| own.end_as_due(owed))?;
    workshop.undo(own, entries);
    Ok(())
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

    /// Tells that nothing can be done for an owner. Returns after which pause to try again, if at all. `first` is one
    /// of its entries.
    fn pause_after(
        &mut self,
        own: &OwnerLedger,
        first: Option<&Entry>,
        error: &io::Error,
        known: &mut Known,
    ) -> Option<Duration> {
        let pause = known.failed();
        if known.is_told() {
            let path = own.directory().unchecked_path().display();
            let what = match pause {
                Some(_) => "it is tried again",
                None => WAY_OUT,
            };
            let words = format!("{path} can't be dealt with: {error}; {what}");
            match first {
                Some(first) => self.report(first, &words),
                None => {
                    let object = own.owner().directory().to_owned();
                    let execution = Execution { object, ..Execution::default() };
                    self.observer.observe(&execution, &Notice::OwnError(&words));
                }
            }
        }
        pause
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
                let mut result = UndoResult::default();
                for owed in entries {
                    // nobody waits for these: each has the whole time
                    runner.ends = Instant::now() + TIMEOUT;
                    result.add(runner.run(vec![owed]));
                }
                supervisor.pass_termination_on();
                let _ = supervisor.release_leftovers();
                result
            }
            Err(error) => {
                let words = format!("no undo can be run: {error}");
                observers.observe(&execution, &Notice::OwnError(&words));
                UndoResult { left: entries.len(), ..UndoResult::default() }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_be_dealt_with_is_tried_again_some_times_and_told_of_twice() {
        let mut known = Known::default();
        let mut pauses = Vec::new();
        let mut told = 0;
        while let Some(pause) = known.failed() {
            pauses.push(pause.as_millis());
            told += u32::from(known.is_told());
            assert!(pauses.len() < 100, "{pauses:?}");
        }
        assert_eq!(pauses, [500, 1000, 2000, 4000, 5000]);
        assert_eq!((told, known.is_told()), (1, true));
    }

    #[test]
    fn what_is_the_same_is_not_read_again_before_its_time() {
        let names = vec!["a.json".to_owned()];
        let mut known = Known::default();
        assert!(!known.holds(&names), "it is new");
        known.names = names.clone();
        assert!(known.holds(&names) && !known.holds(&[]));
        known.next = Some(Instant::now() + TIMEOUT);
        assert!(known.holds(&names));
        known.next = Some(Instant::now());
        assert!(!known.holds(&names));
    }
}
