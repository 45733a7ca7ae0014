//! Enters hooks that can be undone in the ledger: before they start, and when they have ended.

use std::io;
use std::time::{Duration, Instant};

use super::{Attempt, Preparation, StartError, StepRunner};
use crate::hook::Style;
use crate::libvirt::Class;
use crate::machine::{clock, watchdog};
use crate::observer::{HookRun, NotRun, Notice, WaitedFor};
use crate::plan::Step;
use crate::process::exit_status::{OWN_ERROR, TERMINATED, TIMED_OUT};
use crate::process::job::{FinishedJob, Part};
use crate::process::members;
use crate::process::stored_job::{Bytes, StoredJob};
use crate::run::launch::{DocumentFileUse, LaunchError};
use crate::state::locks::{LockError, LockHolder};
use crate::undo::entry::{Entry, EntryName, MAX_OUTPUT_BYTES, Setup, StoredRollback};
use crate::undo::shared::HeldShare;
use crate::verdict;

/// What a step shares with other guests; its lock is held.
pub(super) struct StepShare {
    pub share: HeldShare,
    /// The guest for which it is set up.
    pub first: Option<String>,
    /// How long the wait for the lock took.
    pub waited: Duration,
}

impl StepShare {
    /// Holds the share of a guest that runs and whose undo can't be kept: what it uses isn't taken back for others.
    /// Returns what has to be told.
    fn hold_without_entry(&self, object: &str, words: &str) -> String {
        let first = self.first.as_deref().unwrap_or_default();
        match self.share.share.hold(object) {
            Ok(()) => format!(
                "it uses what ran for {first}, and holds a share of it until the host's next boot: {words}"
            ),
            Err(_) => format!(
                "it uses what ran for {first}, but holds no share of it, which may be taken back while {object} runs: {words}"
            ),
        }
    }
}

/// What a rollback of a shared hook is.
pub(super) enum GivenUp {
    NothingShared,
    /// Others need what it shares: it isn't rolled back.
    OthersHold,
    /// It is rolled back.
    Last(HeldShare),
    /// It is rolled back as the first guest's call would do it: this one only had a share.
    LastOfFirst(HeldShare, Box<Setup>),
    /// Its undo takes it back.
    Later,
}

impl StepRunner<'_> {
    /// Enters a hook, before it starts. At a gate a hook that can't be entered isn't started: nobody could
    /// take back what it sets up. Elsewhere it is, and that is told.
    pub(super) fn enter(
        &mut self,
        step: &Step,
        number: usize,
        run: &str,
        share: Option<&StepShare>,
        ends: Instant,
    ) -> Result<Option<EntryName>, LaunchError> {
        if !step.has(Part::Undo) {
            return Ok(None);
        }
        let occasion = self.launcher.occasion;
        if self.ledger.is_none() {
            return self.without_owner(step);
        }
        // a guest that joins has nothing to roll back but what the first one did
        let joins = share.is_some_and(|share| share.first.is_some());
        let entry = self.entry(step, number, run, ends, !joins);
        let Some(ledger) = &mut self.ledger else { return Ok(None) };
        let shared = |error| format!("what it shares can't be kept: {error}");
        let entered = entry.and_then(|entry| {
            let name = ledger.enter(occasion.call, &occasion.execution, entry.clone())?;
            let kept = match share {
                None => Ok(()),
                Some(held) if held.first.is_some() => held.share.share.hold(&entry.object),
                Some(held) => held.share.share.begin(entry),
            };
            kept.map_err(shared).inspect_err(|_| ledger.strike(&name))?;
            Ok(name)
        });
        match entered {
            Ok(name) => Ok(Some(name)),
            Err(words) if ledger.is_gate() => Err((OWN_ERROR, format!("not run: {words}"))),
            Err(words) => {
                let words = match share.filter(|_| joins) {
                    Some(held) => held.hold_without_entry(&occasion.execution.object, &words),
                    None => format!("it runs anyway, but can't be undone: {words}"),
                };
                self.notify(&Notice::Warning { label: &step.hook.label, words: &words });
                Ok(None)
            }
        }
    }

    /// Answers for a call of which nobody can say whose it is, such as one of a port whose document can't be
    /// read. A trial of a guest that doesn't live owes nothing.
    fn without_owner(&mut self, step: &Step) -> Result<Option<EntryName>, LaunchError> {
        let occasion = self.launcher.occasion;
        if !occasion.is_real() {
            return Ok(None);
        }
        let words = "it couldn't be undone: libvirt's document doesn't say whose it is";
        if occasion.call.class() == Class::Gate {
            return Err((OWN_ERROR, format!("not run: {words}")));
        }
        let words = format!("it runs anyway, but {words}");
        self.notify(&Notice::Warning { label: &step.hook.label, words: &words });
        Ok(None)
    }

    /// Makes the entry of a hook, with everything that its undo is started with.
    fn entry(
        &mut self,
        step: &Step,
        number: usize,
        run: &str,
        ends: Instant,
        has_own_run: bool,
    ) -> Result<Entry, String> {
        let failed = |part: Part, words: String| {
            let name = if part == Part::Rollback { "rollback" } else { "undo" };
            format!("its {name} can't be prepared: {words}")
        };
        let mut stored = |part: Part| {
            // this file is the guest's own, and will be gone
            let started = self.launcher.started.take();
            let launch = self.launcher.launch(step, number, part, ends, DocumentFileUse::None);
            self.launcher.started = started;
            let launch = launch.map_err(|(_, words)| failed(part, words))?;
            StoredJob::new(launch.job).map_err(|error| failed(part, error.to_string()))
        };
        let job = stored(Part::Undo)?;
        let is_shared = step.hook.registration.as_ref().is_some_and(|one| one.shared);
        let rollback = (has_own_run && is_shared && step.has(Part::Rollback))
            .then(|| stored(Part::Rollback))
            .transpose()?;
        let command = self.launcher.command_line(step, Part::Rollback);
        let rollback = rollback.map(|job| StoredRollback { job, command });
        let occasion = self.launcher.occasion;
        let document = self.launcher.document(step).filter(|_| step.hook.style == Style::Vdsm);
        let registration = step.hook.registration.as_ref();
        let (execution, began_ns) = (&occasion.execution, clock::boottime_ns());
        Ok(Entry {
            registration: registration.map(|one| one.name.clone()).unwrap_or_default(),
            lock: registration.and_then(|one| one.lock.clone()),
            shared: is_shared,
            hook: step.hook.label.clone(),
            event: step.event.as_deref().map(str::to_owned),
            device: self.launcher.device_label(step),
            driver: execution.driver.to_owned(),
            object: execution.object.clone(),
            operation: execution.operation.clone(),
            uuid: execution.uuid.clone(),
            life: execution.id.clone(),
            call_arguments: Entry::stored_arguments(occasion.call),
            order_ns: began_ns,
            current: Setup {
                execution: execution.id.clone(),
                run: run.to_owned(),
                command: self.launcher.command_line(step, Part::Undo),
                job,
                document: document.map(|bytes| Bytes(bytes.to_vec())),
                began_ns,
                rollback,
                ..Setup::default()
            },
            ..Entry::default()
        })
    }

    /// Notes in the ledger how a hook has ended.
    pub(super) fn note_end(
        &mut self,
        step: &Step,
        name: &EntryName,
        share: Option<&StepShare>,
        ended: &FinishedJob,
        succeeded: bool,
    ) {
        let Some(ledger) = &self.ledger else { return };
        if !succeeded {
            if let Some(held) = share {
                held.share.share.strike();
            }
            return ledger.strike(name);
        }
        let mut output = ended.stdout.head().to_vec();
        output.truncate(MAX_OUTPUT_BYTES);
        let shared = share.map_or(Ok(()), |held| held.share.share.done(output.clone()));
        if let Err(error) = shared.and_then(|()| ledger.done(name, output)) {
            let words = format!(
                "that it has succeeded can't be noted: {error}; its undo gets HOOKMUX_UNDO_OUTCOME=unknown"
            );
            self.notify(&Notice::Warning { label: &step.hook.label, words: &words });
        }
    }

    /// Takes the lock of what a step shares with other guests, if it does. The wait counts against the hook's
    /// own limit.
    pub(super) fn share(
        &mut self,
        step: &Step,
        ends: Instant,
    ) -> Result<Option<StepShare>, StartError> {
        let Some(registration) = step.hook.registration.as_ref().filter(|one| one.shared) else {
            return Ok(None);
        };
        let device = self.launcher.device_label(step);
        let Some(ledger) = &self.ledger else { return Ok(None) };
        let execution = &self.launcher.occasion.execution;
        let share = ledger.share(&registration.name, device.as_deref(), execution);
        let begun = Instant::now();
        let until = step.hook.timeout.map_or(ends, |timeout| ends.min(begun + timeout));
        let holder = LockHolder::new(&step.hook.label, &self.launcher.occasion.execution.id);
        let supervisor = &mut *self.launcher.supervisor;
        let held = share.lock(&holder, until, &mut || supervisor.is_terminated());
        self.tell_wait(step, WaitedFor::Share, begun);
        let failed = |error: io::Error| {
            StartError::Failed((OWN_ERROR, format!("what it shares isn't known: {error}")))
        };
        let share = held.map_err(|error| match error {
            LockError::TimedOut(holder) => {
                let who = holder.map(|holder| format!(": {}", holder.description()));
                let after = verdict::seconds(begun.elapsed());
                let words = format!(
                    "timed out after {after}: it is set up or taken back for another guest{}",
                    who.unwrap_or_default()
                );
                StartError::Failed((TIMED_OUT, words))
            }
            LockError::Terminated => {
                StartError::Failed((TERMINATED, "ended with hookmux, which got SIGTERM".to_owned()))
            }
            LockError::Failed(error) => failed(error),
        })?;
        let first = share.share.set_up().map_err(failed)?;
        if first.is_none() {
            // the first one's call may have died, and its hook may still run
            let left = share.share.record().map_err(failed)?;
            for left in left.iter().filter(|left| !left.current.is_done) {
                watchdog::wait(|| members::kill_all_of_run(&left.current.run));
            }
        }
        let waited = begun.elapsed();
        Ok(Some(StepShare { share, first: first.map(|first| first.object), waited }))
    }

    /// Adds this guest's share of what another one has set up: the hook doesn't run.
    pub(super) fn join<T>(
        &mut self,
        step: Step,
        number: usize,
        share: &StepShare,
        ends: Instant,
    ) -> Preparation<T> {
        let run = self.launcher.run_id(number, Part::Hook);
        match self.enter(&step, number, &run, Some(share), ends) {
            Ok(name) => {
                if let (Some(name), Some(ledger)) = (&name, &self.ledger) {
                    // it is owed all the same
                    let _ = ledger.done(name, Vec::new());
                }
                let guest = share.first.as_deref().unwrap_or_default();
                let why = format!("shared: it ran for {guest} already");
                let why = NotRun::NotConcerned(&why);
                self.notify(&Notice::Skipped { label: &step.hook.label, why });
                let run = HookRun::joined(self.identity_of(&step, Part::Hook));
                let attempt = Attempt::not_started(step, number, run);
                Preparation::Finished(Box::new(Attempt { undo: name, is_joined: true, ..attempt }))
            }
            Err(error) => self.not_started(step, number, StartError::Failed(error)),
        }
    }

    /// Gives up the share of a hook that is to be rolled back. Returns what is left to do.
    pub(super) fn give_up(&mut self, attempt: &Attempt, ends: Instant) -> GivenUp {
        let hook = &attempt.step.hook;
        let registration = hook.registration.as_ref().filter(|one| one.shared);
        let (Some(registration), Some(ledger), Some(_)) =
            (registration, &self.ledger, &attempt.undo)
        else {
            return GivenUp::NothingShared;
        };
        let execution = &self.launcher.occasion.execution;
        let share = ledger.share(&registration.name, attempt.run.device.as_deref(), execution);
        let holder = LockHolder::new(&hook.label, &execution.id);
        // its entry stays, if the lock can't be had: then the undo gives it up
        let Ok(held) = share.lock(&holder, ends, &mut || false) else { return GivenUp::Later };
        if !held.share.give_up().is_empty() {
            return GivenUp::OthersHold;
        }
        let first = held.share.record().ok().flatten();
        // nobody may count any more on what is set up
        held.share.set_undoing();
        match first.map(|first| first.current) {
            _ if !attempt.is_joined => GivenUp::Last(held),
            Some(first) if first.rollback.is_some() => GivenUp::LastOfFirst(held, Box::new(first)),
            _ => GivenUp::Later,
        }
    }

    /// Strikes a hook that was rolled back.
    pub(super) fn strike(&self, name: &EntryName) {
        if let Some(ledger) = &self.ledger {
            ledger.strike(name);
        }
    }
}
