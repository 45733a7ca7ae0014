//! Runs the steps of a plan in their order: one after another, or in parallel where neighbours allow it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::launch::{DocumentFileUse, Launch, Launcher};
use crate::document::exchange::{Change, DocumentFile, Snapshot};
use crate::hook::{Hook, HookSource, OnFailure, Style};
use crate::libvirt::Class;
use crate::machine::sys::{self, RollbackHandle};
use crate::machine::watchdog;
use crate::observer::{HookIdentity, HookRun, MIN_WAIT, NotRun, Notice, WaitedFor};
use crate::plan::{Decision, Step};
use crate::process::exit_status::{OWN_ERROR, TERMINATED, TIMED_OUT};
use crate::process::job::Part;
use crate::process::job::{FinishedJob, Job, ProcessOutcome};
use crate::process::supervise::Progress;
use crate::state::locks::{self, HookLock, LockError, LockHolder};
use crate::trust::Trust;
use crate::undo::call_ledger::CallLedger;
use crate::undo::entry::EntryName;
use crate::verdict::{self, HookFailure};

mod detached;
mod preview;
mod rollback;
mod undo;

pub(crate) use rollback::ROLLBACK_TIMEOUT;
use undo::StepShare;

/// A time limit that is longer than any host runs.
const UNLIMITED_TIMEOUT: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Runs the steps of a call.
pub(crate) struct StepRunner<'a> {
    launcher: Launcher<'a>,
    /// Rollbacks that failed.
    pub failed_rollbacks: Vec<HookFailure>,
    /// Whether a hook was put into the queue.
    pub has_queued: bool,
    /// What is entered of hooks that can be undone; `None` where nothing is.
    ledger: Option<&'a mut CallLedger>,
    /// Looks at each hook's file before it runs, and at each directory once in a call.
    trust: Trust,
}

/// A step that was run, or failed before.
struct Attempt {
    step: Step,
    number: usize,
    run: HookRun,
    /// The document that the hook got, if it has a rollback.
    input: Option<Snapshot>,
    /// The stored rollback, for the program that takes over where this process dies.
    left: Option<RollbackHandle>,
    /// Its entry in the ledger.
    undo: Option<EntryName>,
    /// Whether another guest's run did for this one.
    is_joined: bool,
}

impl Attempt {
    /// Makes one of a step that failed before it was started, or was put into the queue.
    fn not_started(step: Step, number: usize, run: HookRun) -> Attempt {
        Attempt { step, number, run, input: None, left: None, undo: None, is_joined: false }
    }
}

/// A step that is ready to start.
struct ReadyStep {
    step: Step,
    number: usize,
    identity: HookIdentity,
    /// Taken out when the step starts.
    job: Option<Job>,
    own_file: Option<DocumentFile>,
    lock: Option<HookLock>,
    /// The document that the hook gets, if it has a rollback.
    input: Option<Snapshot>,
    /// The rollback to store, for the program that takes over where this process dies.
    left: Option<Vec<u8>>,
    /// Its entry in the ledger.
    undo: Option<EntryName>,
    share: Option<StepShare>,
}

/// A step that is allowed to start.
struct AdmittedStep {
    step: Step,
    number: usize,
}

/// The result of preparing a step.
enum Preparation<T> {
    Ready(T),
    /// It has failed, or was put into the queue.
    Finished(Box<Attempt>),
    Skipped,
}

impl<T> Preparation<T> {
    fn finished(step: Step, number: usize, run: HookRun) -> Preparation<T> {
        Preparation::Finished(Box::new(Attempt::not_started(step, number, run)))
    }
}

/// What a step shares with other guests, if it does.
type ShareResult = Result<Option<StepShare>, StartError>;

/// The lock of a step, if it wants one, with the time of the wait.
type LockResult = Result<Option<(HookLock, Duration)>, StartError>;

impl StepRunner<'_> {
    pub(crate) fn new<'a>(
        launcher: Launcher<'a>,
        ledger: Option<&'a mut CallLedger>,
    ) -> StepRunner<'a> {
        let trust = Trust::new(launcher.occasion.surroundings.user);
        StepRunner { launcher, failed_rollbacks: Vec::new(), has_queued: false, ledger, trust }
    }

    /// Runs the steps, and the rollbacks if a gate fails. Returns the runs of all steps that apply to the
    /// call.
    pub(crate) fn run(&mut self, steps: Vec<Step>) -> Vec<HookRun> {
        let total = self.launcher.occasion.settings.total_timeout(self.launcher.occasion.call);
        let waited = self.ledger.as_ref().map_or(Duration::ZERO, |ledger| ledger.waited());
        let ends = Instant::now() + total.saturating_sub(waited);
        let mut attempts: Vec<Attempt> = Vec::new();
        let mut stopped: Option<String> = None;
        // a skipped step doesn't separate its neighbours that may run in parallel
        let numbered = steps.into_iter().enumerate();
        let steps: Vec<(usize, Step)> = numbered.filter(|(_, step)| self.is_to_run(step)).collect();
        let mut steps = steps.into_iter().peekable();
        while let Some((number, step)) = steps.next() {
            watchdog::progress();
            if let Some(why) = self.reason_to_stop(stopped.as_deref()) {
                self.notify(&Notice::Skipped { label: &step.hook.label, why });
                continue;
            }
            // an adopted script has no time limit, as with libvirt itself
            let ends = if step.hook.source == HookSource::Adopted {
                Instant::now() + UNLIMITED_TIMEOUT
            } else {
                ends
            };
            if Instant::now() >= ends {
                let why =
                    format!("not run: the call's time of {} was over", verdict::seconds(total));
                if self.launcher.occasion.call.class() == Class::Gate {
                    let run = self.failed(&step, TIMED_OUT, why);
                    attempts.push(Attempt::not_started(step, number, run));
                } else {
                    self.notify(&Notice::Warning { label: &step.hook.label, words: &why });
                }
                continue;
            }
            let mut group = vec![(number, step)];
            while let Some(next) = steps.next_if(|next| is_parallel_with(&group, next)) {
                group.push(next);
            }
            for over in self.run_group(group, ends) {
                if stops(&over.step.hook, &over.run) {
                    stopped = Some(over.step.hook.label.clone());
                }
                attempts.push(over);
            }
        }
        self.roll_back(&attempts);
        attempts.into_iter().map(|attempt| attempt.run).collect()
    }

    /// Tells whether a step is to be run, and reports why not.
    fn is_to_run(&mut self, step: &Step) -> bool {
        match &step.decision {
            Decision::Skipped(why) => {
                self.notify(&Notice::Skipped {
                    label: &step.hook.label,
                    why: NotRun::NotConcerned(why),
                });
            }
            Decision::SkippedWithWarning(why) => {
                self.notify(&Notice::Warning { label: &step.hook.label, words: why })
            }
            Decision::Run | Decision::Fails { .. } => return true,
        }
        false
    }

    /// Returns why no further step may start.
    fn reason_to_stop<'s>(&mut self, stopped: Option<&'s str>) -> Option<NotRun<'s>> {
        if let Some(by) = stopped {
            return Some(NotRun::StoppedBy(by));
        }
        self.launcher.supervisor.is_terminated().then_some(NotRun::Terminated)
    }

    fn notify(&mut self, notice: &Notice<'_>) {
        self.launcher.notify(notice);
    }

    /// Reports a step that counts as failed without having been run.
    fn failed(&mut self, step: &Step, status: i32, what: String) -> HookRun {
        // a hook that hookmux refused or couldn't start is no reason to kill a running guest
        let failure = failure(&step.hook, (status, what), Vec::new(), false);
        let run = HookRun::not_started(self.identity_of(step, Part::Hook), failure);
        self.notify(&Notice::Finished(&run));
        run
    }

    /// Returns what identifies the run of a step's hook or rollback, with the document as it is now.
    fn identity_of(&self, step: &Step, part: Part) -> HookIdentity {
        HookIdentity {
            label: match part {
                Part::Hook | Part::Check => step.hook.label.clone(),
                Part::Rollback => rollback::rollback_label(step),
                Part::Undo => crate::undo::label_of(&step.hook.label),
            },
            event: step.event.as_deref().map(str::to_owned),
            device: self.launcher.device_label(step),
            path: self.launcher.program(step, part),
            command: self.launcher.command_line(step, part),
        }
    }

    /// Runs a group of steps in parallel. Usually it is one step.
    fn run_group(&mut self, group: Vec<(usize, Step)>, ends: Instant) -> Vec<Attempt> {
        let file = if group.len() > 1 { DocumentFileUse::Own } else { DocumentFileUse::Shared };
        let mut over: Vec<Attempt> = Vec::new();
        let mut admitted: Vec<AdmittedStep> = Vec::new();
        for (number, step) in group {
            match self.admit(step, number, ends) {
                Preparation::Ready(one) => admitted.push(one),
                Preparation::Finished(one) => over.push(*one),
                Preparation::Skipped => {}
            }
        }
        // every call takes its locks in the same order, and does nothing else in between: so no two calls
        // wait for each other. An undo takes that of its guest's ledger first, too
        if admitted.iter().any(|one| one.step.has(Part::Undo)) {
            let occasion = self.launcher.occasion;
            if let Some(ledger) = &mut self.ledger {
                ledger.lock_first(occasion.call, &occasion.execution);
                ledger.tell_wait(&occasion.execution, self.launcher.observer);
            }
        }
        let mut order: Vec<usize> = (0..admitted.len()).collect();
        order.sort_by_key(|index| admitted.get(*index).and_then(|one| lock_name(&one.step)));
        let mut locks: Vec<Option<LockResult>> = admitted.iter().map(|_| None).collect();
        for index in order {
            if let (Some(one), Some(place)) = (admitted.get(index), locks.get_mut(index)) {
                *place = Some(self.lock(&one.step, ends));
            }
        }
        // what is shared comes behind all locks, here as in undos
        let mut order: Vec<usize> = (0..admitted.len()).collect();
        order.sort_by_key(|index| admitted.get(*index).and_then(|one| shared_name(&one.step)));
        let mut shares: Vec<Option<ShareResult>> = admitted.iter().map(|_| None).collect();
        for index in order {
            if let (Some(one), Some(place)) = (admitted.get(index), shares.get_mut(index)) {
                let is_locked = matches!(locks.get(index), Some(Some(Ok(_))));
                *place = Some(if is_locked { self.share(&one.step, ends) } else { Ok(None) });
            }
        }
        let mut ready: Vec<ReadyStep> = Vec::new();
        let held = locks.into_iter().flatten().zip(shares.into_iter().flatten());
        for (one, held) in admitted.into_iter().zip(held) {
            match self.ready(one, held, ends, file) {
                Preparation::Ready(one) => ready.push(one),
                Preparation::Finished(one) => over.push(*one),
                Preparation::Skipped => {}
            }
        }
        over.extend(self.supervise(ready));
        over.sort_by_key(|attempt| attempt.number);
        over
    }

    /// Checks whether a step may start: its trust and its check. A detached hook is queued here.
    fn admit(&mut self, mut step: Step, number: usize, ends: Instant) -> Preparation<AdmittedStep> {
        let policy = self.launcher.occasion.settings.trust;
        if let Some(warning) = step.check_trust(&mut self.trust, policy) {
            self.notify(&Notice::Warning { label: &step.hook.label, words: &warning });
        }
        if let Decision::Fails { status, why, .. } = &step.decision {
            let run = self.failed(&step, *status, why.clone());
            return Preparation::finished(step, number, run);
        }
        if step.hook.detached().is_some() {
            return self.queue(step, number, ends);
        }
        match self.check(&step, number, ends) {
            Ok(()) => Preparation::Ready(AdmittedStep { step, number }),
            Err(error) => self.not_started(step, number, error),
        }
    }

    /// Prepares everything that a step is started with.
    fn ready(
        &mut self,
        one: AdmittedStep,
        (lock, share): (LockResult, ShareResult),
        ends: Instant,
        file: DocumentFileUse,
    ) -> Preparation<ReadyStep> {
        let AdmittedStep { step, number } = one;
        let held = lock.and_then(|lock| Ok((lock, share?)));
        let (held, share) = match held {
            Ok(held) => held,
            Err(error) => return self.not_started(step, number, error),
        };
        if let Some(share) = share.as_ref().filter(|share| share.first.is_some()) {
            return self.join(step, number, share, ends);
        }
        let launch = self.launcher.launch(&step, number, Part::Hook, ends, file);
        let mut launch = match launch {
            Ok(launch) => launch,
            Err(error) => return self.not_started(step, number, StartError::Failed(error)),
        };
        if let Some(share) = &share {
            let timeout = launch.job.timeout;
            launch.job.timeout = timeout.map(|timeout| timeout.saturating_sub(share.waited));
        }
        let lock = held.map(|(lock, waited)| {
            // the wait for the lock counts
            launch.job.timeout = launch.job.timeout.map(|timeout| timeout.saturating_sub(waited));
            lock
        });
        let Launch { job, own_file } = launch;
        let undo = match self.enter(&step, number, &job.run, share.as_ref(), ends) {
            Ok(undo) => undo,
            Err(error) => {
                if let Some(own_file) = own_file {
                    self.launcher.exchange.remove_own_file(&own_file);
                }
                return self.not_started(step, number, StartError::Failed(error));
            }
        };
        let input = step.has(Part::Rollback).then(|| self.launcher.exchange.snapshot());
        // a share isn't given up by the program that takes over: its undo does that
        let left = input
            .as_ref()
            .filter(|_| share.is_none())
            .and_then(|input| self.stored_rollback(&step, number, input, undo.as_ref(), ends));
        let (job, identity) = (Some(job), self.identity_of(&step, Part::Hook));
        Preparation::Ready(ReadyStep {
            step,
            number,
            identity,
            job,
            own_file,
            lock,
            input,
            left,
            undo,
            share,
        })
    }

    fn not_started<T>(&mut self, step: Step, number: usize, error: StartError) -> Preparation<T> {
        match error {
            StartError::Skipped(why) => {
                self.notify(&Notice::Skipped {
                    label: &step.hook.label,
                    why: NotRun::NotConcerned(&why),
                });
                Preparation::Skipped
            }
            StartError::Failed((status, what)) => {
                let run = self.failed(&step, status, what);
                Preparation::finished(step, number, run)
            }
        }
    }

    /// Runs the check of a registered hook. If it says no, the hook is skipped. If it can't be run, the hook
    /// has failed.
    fn check(&mut self, step: &Step, number: usize, ends: Instant) -> Result<(), StartError> {
        if !step.has(Part::Check) {
            return Ok(());
        }
        let launch = self
            .launcher
            .launch(step, number, Part::Check, ends, DocumentFileUse::Shared)
            .map_err(StartError::Failed)?;
        let (label, device) = (&step.hook.label, self.launcher.device_label(step));
        let device = device.as_deref();
        let (observer, execution) =
            (&mut *self.launcher.observer, &self.launcher.occasion.execution);
        let mut progress = |progress: Progress<'_>| {
            if let Progress::Started { at, pid, limit, .. } = progress {
                let notice = Notice::CheckStarted { label, device, at, pid, limit };
                observer.observe(execution, &notice);
            }
        };
        let ended = self.launcher.supervisor.run(vec![launch.job], &mut progress).pop();
        self.notify(&Notice::CheckEnded { label, device });
        if let Some(own_file) = launch.own_file {
            self.launcher.exchange.remove_own_file(&own_file);
        }
        let Some(ended) = ended else { return Ok(()) };
        // a check's changes of the document are ignored
        let _ = self.launcher.exchange.take_back(&step.hook, false);
        match (&ended.outcome, verdict::failure_of(&ended)) {
            (_, None) => Ok(()),
            (ProcessOutcome::Exited(_) | ProcessOutcome::Signaled(_), Some((_, what))) => {
                Err(StartError::Skipped(format!("its check says no: {what}")))
            }
            (_, Some((status, what))) => {
                Err(StartError::Failed((status, format!("its check {what}"))))
            }
        }
    }

    /// Takes the lock of a step, if it wants one. Also returns the time of the wait.
    fn lock(&mut self, step: &Step, ends: Instant) -> LockResult {
        let Some(name) = lock_name(step) else { return Ok(None) };
        let begun = Instant::now();
        let until = step.hook.timeout.map_or(ends, |timeout| ends.min(begun + timeout));
        let supervisor = &mut *self.launcher.supervisor;
        let holder = LockHolder::new(&step.hook.label, &self.launcher.occasion.execution.id);
        let runtime_dir = &self.launcher.occasion.settings.runtime_dir;
        let taken =
            locks::take(runtime_dir, name, &holder, until, &mut || supervisor.is_terminated());
        self.tell_wait(step, WaitedFor::Lock(name), begun);
        taken.map(|lock| Some((lock, begun.elapsed()))).map_err(|unlocked| {
            StartError::Failed(match unlocked {
                LockError::TimedOut(holder) => {
                    let after = verdict::seconds(begun.elapsed());
                    let who = holder.map(|holder| format!(": {}", holder.description()));
                    let who = who.unwrap_or_default();
                    let words = format!(
                        "timed out after {after}: another hook held the lock `{name}`{who}"
                    );
                    (TIMED_OUT, words)
                }
                LockError::Terminated => {
                    (TERMINATED, "ended with hookmux, which got SIGTERM".to_owned())
                }
                LockError::Failed(error) => {
                    (OWN_ERROR, format!("the lock `{name}` can't be taken: {error}"))
                }
            })
        })
    }

    /// Tells how long a step has waited until now, if it had to.
    fn tell_wait(&mut self, step: &Step, reason: WaitedFor<'_>, since: Instant) {
        let time = since.elapsed();
        if time >= MIN_WAIT {
            let device = self.launcher.device_label(step);
            let (label, device) = (Some(step.hook.label.as_str()), device.as_deref());
            self.notify(&Notice::Waited { label, device, reason, at: since, time });
        }
    }

    fn supervise(&mut self, mut ready: Vec<ReadyStep>) -> Vec<Attempt> {
        if ready.is_empty() {
            return Vec::new();
        }
        let started: Vec<(String, Option<String>, PathBuf)> = ready
            .iter()
            .map(|one| {
                let hook = &one.identity;
                (hook.label.clone(), hook.device.clone(), hook.path.clone())
            })
            .collect();
        let (observer, execution) =
            (&mut *self.launcher.observer, &self.launcher.occasion.execution);
        let mut progress = |progress: Progress<'_>| {
            if let Some((label, device, path)) = started.get(progress.job()) {
                let notice = Notice::of_progress(progress, label, device.as_deref(), path);
                observer.observe(execution, &notice);
            }
        };
        let jobs = ready.iter_mut().filter_map(|one| one.job.take()).collect();
        let ended = self.launcher.supervisor.run(jobs, &mut progress);
        ready.into_iter().zip(ended).map(|(one, ended)| self.conclude(one, ended)).collect()
    }

    /// Evaluates the end of a step, and its changes of the document.
    fn conclude(&mut self, one: ReadyStep, ended: FinishedJob) -> Attempt {
        let ReadyStep { step, number, identity, own_file, lock, input, left, undo, share, .. } =
            one;
        drop(lock);
        let mut fault = verdict::failure_of(&ended);
        let hook = &step.hook;
        let succeeded = fault.is_none();
        let change = match (hook.style, own_file) {
            (Style::Vdsm, Some(own_file)) => {
                self.launcher.exchange.take_own_file(hook, &own_file, succeeded)
            }
            (Style::Vdsm, None) => self.launcher.exchange.take_back(hook, succeeded),
            (Style::Libvirt, _) => {
                self.launcher.exchange.take_output(hook, &ended.stdout, succeeded)
            }
        };
        let change = change.unwrap_or_else(|error| {
            fault.get_or_insert((1, error));
            Change::None
        });
        if let Change::Ignored(why) = &change {
            self.notify(&Notice::Warning { label: &hook.label, words: why });
        }
        if let Some(name) = &undo {
            self.note_end(&step, name, share.as_ref(), &ended, fault.is_none());
        }
        let hook = &step.hook;
        let failure = fault.map(|fault| {
            let kill = hook.kill && !verdict::is_start_error_of_host(&ended);
            failure(hook, fault, ended.stderr.end(verdict::MAX_STDERR_BYTES), kill)
        });
        let run = HookRun::ended(identity, ended, change, failure);
        let left = left.filter(|_| run.failure.is_none()).map(sys::add_rollback);
        self.notify(&Notice::Finished(&run));
        Attempt { step, number, run, input, left, undo, is_joined: false }
    }
}

/// Why a step is not started.
enum StartError {
    /// The hook doesn't apply to this call.
    Skipped(String),
    Failed((i32, String)),
}

/// Tells whether a step runs in parallel with a group: they are neighbours with the same event, device and
/// weight, all of them have `parallel`, and no two want the same lock.
fn is_parallel_with(group: &[(usize, Step)], (_, next): &(usize, Step)) -> bool {
    let parallel = |step: &Step| {
        let registration =
            step.hook.registration.as_ref().filter(|registration| registration.parallel)?;
        (step.decision == Decision::Run).then(|| (step.hook.weight, registration.lock.clone()))
    };
    let Some((weight, lock)) = parallel(next) else { return false };
    group.iter().all(|(_, other)| {
        other.event == next.event
            && other.device == next.device
            && parallel(other)
                .is_some_and(|(own, held)| own == weight && (lock.is_none() || held != lock))
    })
}

fn lock_name(step: &Step) -> Option<&str> {
    step.hook.registration.as_ref()?.lock.as_deref()
}

/// Returns the name under which a step shares with other guests, if it does.
fn shared_name(step: &Step) -> Option<&str> {
    let registration = step.hook.registration.as_ref()?;
    registration.shared.then_some(registration.name.as_str())
}

/// Makes the failure of a hook, which `on_failure: warn` tolerates.
fn failure(hook: &Hook, fault: (i32, String), stderr: Vec<u8>, kill: bool) -> HookFailure {
    let is_tolerated = hook.on_failure == OnFailure::Warn;
    HookFailure { kill, is_tolerated, ..HookFailure::new(&hook.label, fault, stderr) }
}

/// Tells whether no further hook of the call may run.
fn stops(hook: &Hook, run: &HookRun) -> bool {
    if run.failure.is_none() {
        return false;
    }
    match hook.on_failure {
        OnFailure::Stop => true,
        OnFailure::Warn => false,
        OnFailure::Fail => {
            hook.style == Style::Vdsm && run.ended.as_ref().is_some_and(verdict::asks_to_stop)
        }
    }
}

#[cfg(test)]
mod tests;
