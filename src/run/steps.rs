//! The steps of a plan, run in their order: one after another, or side by side where neighbours
//! say so.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::launch::{DocumentFile, Launch, Launcher};
use crate::document::exchange::{Change, Copy, Snapshot};
use crate::hook::{Hook, HookSource, OnFailure, Style};
use crate::libvirt::Class;
use crate::machine::sys::{self, RollbackHandle};
use crate::machine::watchdog;
use crate::plan::{Decision, Step};
use crate::process::exit_status::{OWN_ERROR, TERMINATED, TIMED_OUT};
use crate::process::job::Part;
use crate::process::job::{FinishedJob, Job, ProcessOutcome};
use crate::process::supervise::Progress;
use crate::state::locks::{self, Holder, Lock, Unlocked};
use crate::trust::Trust;
use crate::verdict::{self, HookFailure};
use crate::witness::{Fact, NotRun, Run};

mod detached;
mod foresee;
mod rollback;

pub(crate) use rollback::ROLLBACK_TIME;
use rollback::has_rollback;

/// How much of a failed hook's standard error is kept for libvirt, in bytes.
const STDERR_END: usize = verdict::MAX_STDERR_BYTES;
/// The exit status by which a hook in vdsm's style stops the call.
const STOP: i32 = 2;
/// Longer than any host is up.
const UNLIMITED: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Runs the steps of a call.
pub(crate) struct StepRunner<'a> {
    launcher: Launcher<'a>,
    /// Rollbacks that failed.
    pub undone: Vec<HookFailure>,
    /// Whether there is work for after the answer.
    pub has_queued: bool,
}

/// A step that was tried.
struct Tried {
    step: Step,
    number: usize,
    run: Run,
    /// What it was given, where something may have to undo it.
    input: Option<Snapshot>,
    /// The same for whoever takes over where this process can't go on.
    left: Option<RollbackHandle>,
}

/// A step that is ready to start.
struct Ready {
    step: Step,
    number: usize,
    /// Taken when it starts.
    job: Option<Job>,
    copy: Option<Copy>,
    lock: Option<Lock>,
    /// What it is given, where something may have to undo it.
    input: Option<Snapshot>,
    /// The same for whoever takes over where this process can't go on.
    left: Option<Vec<u8>>,
}

/// A step that may start.
struct Admitted {
    step: Step,
    number: usize,
}

/// What becomes of a step before it starts.
enum Prepared<T> {
    Ready(T),
    Over(Box<Tried>),
    Out,
}

impl<T> Prepared<T> {
    fn over(step: Step, number: usize, run: Run) -> Prepared<T> {
        Prepared::Over(Box::new(Tried { step, number, run, input: None, left: None }))
    }
}

/// A lock, where one is wanted, and how long it was waited for.
type Locked = Result<Option<(Lock, Duration)>, StartObstacle>;

impl StepRunner<'_> {
    pub(crate) fn new(launcher: Launcher<'_>) -> StepRunner<'_> {
        StepRunner { launcher, undone: Vec::new(), has_queued: false }
    }

    /// Runs the steps, and what undoes them where a gate stays shut. Returns what became of those
    /// that had a part.
    pub(crate) fn run(&mut self, steps: Vec<Step>) -> Vec<Run> {
        let total = self.launcher.occasion.settings.total_timeout(self.launcher.occasion.call);
        let ends = Instant::now() + total;
        let mut tried: Vec<Tried> = Vec::new();
        let mut stopped: Option<String> = None;
        // what has no part in the call doesn't part those that run side by side
        let numbered = steps.into_iter().enumerate();
        let steps: Vec<(usize, Step)> =
            numbered.filter(|(_, step)| self.has_a_part(step)).collect();
        let mut steps = steps.into_iter().peekable();
        while let Some((number, step)) = steps.next() {
            watchdog::go_on();
            if let Some(why) = self.no_more(stopped.as_deref()) {
                self.tell(&Fact::Out { label: &step.hook.label, why });
                continue;
            }
            // a script that was libvirt's only one has libvirt's own limit: none
            let ends = if step.hook.source == HookSource::Adopted {
                Instant::now() + UNLIMITED
            } else {
                ends
            };
            if Instant::now() >= ends {
                let why = format!("not run: the call's {} were over", verdict::seconds(total));
                if self.launcher.occasion.call.class() == Class::Gate {
                    let run = self.failed(&step, TIMED_OUT, why);
                    tried.push(Tried { step, number, run, input: None, left: None });
                } else {
                    self.tell(&Fact::Warning { label: &step.hook.label, words: &why });
                }
                continue;
            }
            let mut group = vec![(number, step)];
            while let Some(next) = steps.next_if(|next| goes_beside(&group, next)) {
                group.push(next);
            }
            for over in self.run_group(group, ends) {
                if stops(&over.step.hook, &over.run) {
                    stopped = Some(over.step.hook.label.clone());
                }
                tried.push(over);
            }
        }
        self.roll_back(&tried);
        tried.into_iter().map(|tried| tried.run).collect()
    }

    /// Whether a step is to be run; of one that isn't, why not is told.
    fn has_a_part(&mut self, step: &Step) -> bool {
        match &step.decision {
            Decision::Out(why) => {
                self.tell(&Fact::Out { label: &step.hook.label, why: NotRun::NoPart(why) });
            }
            Decision::Odd(why) => self.tell(&Fact::Warning { label: &step.hook.label, words: why }),
            Decision::Run | Decision::Fails { .. } => return true,
        }
        false
    }

    /// Why no further step may start.
    fn no_more<'s>(&mut self, stopped: Option<&'s str>) -> Option<NotRun<'s>> {
        if let Some(by) = stopped {
            return Some(NotRun::StoppedBy(by));
        }
        self.launcher.supervisor.is_terminated().then_some(NotRun::Terminated)
    }

    fn tell(&mut self, fact: &Fact<'_>) {
        self.launcher.tell(fact);
    }

    /// One that counts as failed without having been run.
    fn failed(&mut self, step: &Step, status: i32, what: String) -> Run {
        let run = Run {
            label: step.hook.label.clone(),
            event: step.event.as_deref().map(str::to_owned),
            device: self.launcher.device_label(step),
            path: step.hook.path.clone(),
            ended: None,
            change: Change::None,
            failure: Some(HookFailure {
                // that hookmux refused it, or couldn't try it, is no reason to kill what runs
                kill: false,
                ..failure(&step.hook, status, what, Vec::new())
            }),
            job: None,
        };
        self.tell(&Fact::Over(&run));
        run
    }

    /// Runs steps side by side; mostly it is one.
    fn run_group(&mut self, group: Vec<(usize, Step)>, ends: Instant) -> Vec<Tried> {
        let file = if group.len() > 1 { DocumentFile::Own } else { DocumentFile::Usual };
        let mut over: Vec<Tried> = Vec::new();
        let mut admitted: Vec<Admitted> = Vec::new();
        for (number, step) in group {
            match self.admit(step, number, ends) {
                Prepared::Ready(one) => admitted.push(one),
                Prepared::Over(one) => over.push(*one),
                Prepared::Out => {}
            }
        }
        // every call takes its locks in the same order, with nothing left to do before it goes on:
        // no two wait for each other
        let mut order: Vec<usize> = (0..admitted.len()).collect();
        order.sort_by_key(|index| admitted.get(*index).and_then(|one| lock_name(&one.step)));
        let mut locks: Vec<Option<Locked>> = admitted.iter().map(|_| None).collect();
        for index in order {
            if let (Some(one), Some(place)) = (admitted.get(index), locks.get_mut(index)) {
                *place = Some(self.lock(&one.step, ends));
            }
        }
        let mut ready: Vec<Ready> = Vec::new();
        for (one, lock) in admitted.into_iter().zip(locks.into_iter().flatten()) {
            match self.ready(one, lock, ends, file) {
                Prepared::Ready(one) => ready.push(one),
                Prepared::Over(one) => over.push(*one),
                Prepared::Out => {}
            }
        }
        over.extend(self.supervise(ready));
        over.sort_by_key(|tried| tried.number);
        over
    }

    /// Whether a step may start: its trust and its check. A detached one goes no further than that.
    fn admit(&mut self, mut step: Step, number: usize, ends: Instant) -> Prepared<Admitted> {
        let mut trust = Trust::new(self.launcher.occasion.surroundings.user);
        if let Some(warning) = step.judge(&mut trust, self.launcher.occasion.settings.trust) {
            self.tell(&Fact::Warning { label: &step.hook.label, words: &warning });
        }
        if let Decision::Fails { status, why, .. } = &step.decision {
            let run = self.failed(&step, *status, why.clone());
            return Prepared::over(step, number, run);
        }
        if step.hook.detached().is_some() {
            return self.queue(step, number, ends);
        }
        match self.check(&step, number, ends) {
            Ok(()) => Prepared::Ready(Admitted { step, number }),
            Err(obstacle) => self.hindered(step, number, obstacle),
        }
    }

    /// Everything else up to the start of a step: what it is given.
    fn ready(
        &mut self,
        one: Admitted,
        lock: Locked,
        ends: Instant,
        file: DocumentFile,
    ) -> Prepared<Ready> {
        let Admitted { step, number } = one;
        let launched = lock.and_then(|lock| {
            let launch = self.launcher.launch(&step, number, Part::Hook, ends, file);
            Ok((launch.map_err(StartObstacle::Failed)?, lock))
        });
        let (mut launch, held) = match launched {
            Ok(launched) => launched,
            Err(obstacle) => return self.hindered(step, number, obstacle),
        };
        let lock = held.map(|(lock, waited)| {
            // waiting for a lock counts
            launch.job.timeout = launch.job.timeout.map(|timeout| timeout.saturating_sub(waited));
            lock
        });
        let input = has_rollback(&step).then(|| self.launcher.exchange.snapshot());
        let left = input.as_ref().and_then(|input| self.left_rollback(&step, number, input, ends));
        let Launch { job, copy } = launch;
        Prepared::Ready(Ready { step, number, job: Some(job), copy, lock, input, left })
    }

    fn hindered<T>(&mut self, step: Step, number: usize, obstacle: StartObstacle) -> Prepared<T> {
        match obstacle {
            StartObstacle::Out(why) => {
                self.tell(&Fact::Out { label: &step.hook.label, why: NotRun::NoPart(&why) });
                Prepared::Out
            }
            StartObstacle::Failed((status, what)) => {
                let run = self.failed(&step, status, what);
                Prepared::over(step, number, run)
            }
        }
    }

    /// Asks a registered hook's check; one that says no leaves the hook out, as though it weren't
    /// there. One that can't be asked is the hook's failure.
    fn check(&mut self, step: &Step, number: usize, ends: Instant) -> Result<(), StartObstacle> {
        let has_check = step
            .hook
            .registration
            .as_ref()
            .is_some_and(|registration| registration.check.is_some());
        if !has_check {
            return Ok(());
        }
        let launch = self
            .launcher
            .launch(step, number, Part::Check, ends, DocumentFile::Usual)
            .map_err(StartObstacle::Failed)?;
        let ended = self.launcher.supervisor.run(vec![launch.job], &mut |_| {}).pop();
        if let Some(copy) = launch.copy {
            self.launcher.exchange.drop_copy(&copy);
        }
        let Some(ended) = ended else { return Ok(()) };
        // whatever a check does to the document is not for libvirt
        let _ = self.launcher.exchange.take_back(&step.hook, false);
        match (&ended.outcome, verdict::failure_of(&ended)) {
            (_, None) => Ok(()),
            (ProcessOutcome::Exited(_) | ProcessOutcome::Signaled(_), Some((_, what))) => {
                Err(StartObstacle::Out(format!("its check says no: {what}")))
            }
            (_, Some((status, what))) => {
                Err(StartObstacle::Failed((status, format!("its check {what}"))))
            }
        }
    }

    /// Takes the lock that a step wants, if it wants one; with it comes how long that took.
    fn lock(&mut self, step: &Step, ends: Instant) -> Locked {
        let Some(name) = lock_name(step) else { return Ok(None) };
        let begun = Instant::now();
        let until = step.hook.timeout.map_or(ends, |timeout| ends.min(begun + timeout));
        let supervisor = &mut *self.launcher.supervisor;
        let holder = Holder::new(&step.hook.label, &self.launcher.occasion.execution.id);
        locks::take(&self.launcher.occasion.settings.runtime_dir, name, &holder, until, &mut || {
            supervisor.is_terminated()
        })
        .map(|lock| Some((lock, begun.elapsed())))
        .map_err(|unlocked| {
            StartObstacle::Failed(match unlocked {
                Unlocked::TimedOut(holder) => {
                    let after = verdict::seconds(begun.elapsed());
                    let who = holder.map(|holder| format!(": {}", holder.words()));
                    let who = who.unwrap_or_default();
                    let words = format!(
                        "timed out after {after}: another hook held the lock `{name}`{who}"
                    );
                    (TIMED_OUT, words)
                }
                Unlocked::Terminated => {
                    (TERMINATED, "ended with hookmux, which got SIGTERM".to_owned())
                }
                Unlocked::Trouble(error) => {
                    (OWN_ERROR, format!("the lock `{name}` can't be taken: {error}"))
                }
            })
        })
    }

    fn supervise(&mut self, mut ready: Vec<Ready>) -> Vec<Tried> {
        if ready.is_empty() {
            return Vec::new();
        }
        let started: Vec<(String, Option<String>, PathBuf)> = ready
            .iter()
            .map(|one| {
                let hook = &one.step.hook;
                (hook.label.clone(), self.launcher.device_label(&one.step), hook.path.clone())
            })
            .collect();
        let (witness, execution) = (&mut *self.launcher.witness, &self.launcher.occasion.execution);
        let mut progress = |progress: Progress| match progress {
            Progress::Started { job, at } => {
                if let Some((label, device, path)) = started.get(job) {
                    let (device, path) = (device.as_deref(), Some(path.as_path()));
                    witness.see(execution, &Fact::Started { label, device, path, at });
                }
            }
            Progress::Slow { job, limit } => {
                if let Some((label, ..)) = started.get(job) {
                    witness.see(execution, &Fact::Slow { label, limit });
                }
            }
        };
        let jobs = ready.iter_mut().filter_map(|one| one.job.take()).collect();
        let ended = self.launcher.supervisor.run(jobs, &mut progress);
        ready.into_iter().zip(ended).map(|(one, ended)| self.conclude(one, ended)).collect()
    }

    /// Looks at how a step ended, and at what it made of the document.
    fn conclude(&mut self, one: Ready, ended: FinishedJob) -> Tried {
        let Ready { step, number, copy, lock, input, left, .. } = one;
        drop(lock);
        let mut fault = verdict::failure_of(&ended);
        let hook = &step.hook;
        let succeeded = fault.is_none();
        let change = match (hook.style, copy) {
            (Style::Vdsm, Some(copy)) => self.launcher.exchange.take_copy(hook, &copy, succeeded),
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
            self.tell(&Fact::Warning { label: &hook.label, words: why });
        }
        let failure = fault.map(|(status, what)| HookFailure {
            kill: hook.kill && !verdict::is_start_error_of_host(&ended),
            ..failure(hook, status, what, ended.stderr.end(STDERR_END))
        });
        let run = Run {
            label: hook.label.clone(),
            event: step.event.as_deref().map(str::to_owned),
            device: self.launcher.device_label(&step),
            path: step.hook.path.clone(),
            ended: Some(ended),
            change,
            failure,
            job: None,
        };
        let left = left.filter(|_| run.failure.is_none()).map(sys::add_rollback);
        self.tell(&Fact::Over(&run));
        Tried { step, number, run, input, left }
    }
}

/// Why a step doesn't start.
enum StartObstacle {
    /// It has no part in this call.
    Out(String),
    Failed((i32, String)),
}

/// Whether a step runs beside those of a group: they are neighbours of equal weight at one moment,
/// all of them say `parallel`, and no two want the same lock.
fn goes_beside(group: &[(usize, Step)], (_, next): &(usize, Step)) -> bool {
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

fn failure(hook: &Hook, status: i32, what: String, stderr: Vec<u8>) -> HookFailure {
    let is_tolerated = hook.on_failure == OnFailure::Warn;
    HookFailure { label: hook.label.clone(), status, what, stderr, kill: hook.kill, is_tolerated }
}

/// Whether nothing more of the call may run.
fn stops(hook: &Hook, run: &Run) -> bool {
    if run.failure.is_none() {
        return false;
    }
    match hook.on_failure {
        OnFailure::Stop => true,
        OnFailure::Warn => false,
        OnFailure::Fail => {
            let outcome = run.ended.as_ref().map(|ended| &ended.outcome);
            hook.style == Style::Vdsm && matches!(outcome, Some(ProcessOutcome::Exited(STOP)))
        }
    }
}
