//! Runs the rollbacks of hooks that succeeded, if a gate fails. Stores them for the program that takes over
//! where this process dies.

use std::time::{Duration, Instant};

use super::undo::GivenUp;
use super::{Attempt, StepRunner};
use crate::document::exchange::Snapshot;
use crate::document::file;
use crate::document::input_file::InputFile;
use crate::hook::Style;
use crate::libvirt::Class;
use crate::machine::{sys, watchdog};
use crate::observer::{HookIdentity, HookRun, Notice};
use crate::plan::Step;
use crate::process::exit_status::{NOT_EXECUTABLE, OWN_ERROR, TIMED_OUT};
use crate::process::job::{FinishedJob, Job, Part};
use crate::process::stored_job::{Bytes, StoredJob};
use crate::process::supervise::Progress;
use crate::run::launch::DocumentFileUse;
use crate::run::left_rollback::{self, LeftRollback};
use crate::undo::entry::{EntryName, Setup};
use crate::verdict;

/// The time limit of all rollbacks of a call together.
pub(crate) const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(30);

impl StepRunner<'_> {
    /// Returns the stored rollback of a step. One that can't be prepared is missing only there.
    pub(super) fn stored_rollback(
        &mut self,
        step: &Step,
        number: usize,
        input: &Snapshot,
        undo: Option<&EntryName>,
        ends: Instant,
    ) -> Option<Vec<u8>> {
        if !watchdog::is_active() || self.launcher.occasion.call.class() != Class::Gate {
            return None;
        }
        let launch =
            self.launcher.launch(step, number, Part::Rollback, ends, DocumentFileUse::None).ok()?;
        let rollback = LeftRollback {
            label: rollback_label(step),
            event: step.event.as_deref().map(str::to_owned),
            device: self.launcher.device_label(step),
            command: self.launcher.command_line(step, Part::Rollback),
            run: launch.job.run.clone(),
            job: StoredJob::new(launch.job).ok()?,
            document: (step.hook.style == Style::Vdsm && !input.content().is_empty())
                .then(|| Bytes(input.content().to_vec())),
            undo: undo.zip(self.ledger.as_ref()).map(|(name, ledger)| ledger.place_of(name)),
        };
        Some(rollback.line())
    }

    /// Rolls back the hooks that succeeded, the last first, if a gate fails. A failure here is reported, and
    /// changes nothing.
    pub(super) fn roll_back(&mut self, attempts: &[Attempt]) {
        let is_terminated = self.launcher.supervisor.is_terminated();
        let failed = attempts
            .iter()
            .filter_map(|attempt| attempt.run.failure.as_ref())
            .any(|failure| !failure.is_tolerated);
        if self.launcher.occasion.call.class() != Class::Gate || !(failed || is_terminated) {
            return;
        }
        self.launcher.supervisor.ignore_termination();
        let ends = Instant::now() + ROLLBACK_TIMEOUT;
        for attempt in attempts.iter().rev().filter(|attempt| attempt.run.failure.is_none()) {
            watchdog::progress();
            if attempt.step.has(Part::Rollback) {
                let given_up = self.give_up(attempt, ends);
                let (is_rolled_back, held) = match given_up {
                    GivenUp::Later => continue,
                    GivenUp::OthersHold => (true, None),
                    GivenUp::NothingShared => (self.roll_back_one(attempt, ends), None),
                    GivenUp::Last(held) => (self.roll_back_one(attempt, ends), Some(held)),
                    GivenUp::LastOfFirst(held, first) => {
                        (self.roll_back_first(attempt, &first, ends), Some(held))
                    }
                };
                if let Some(name) = attempt.undo.as_ref().filter(|_| is_rolled_back) {
                    held.iter().for_each(|held| held.share.remove());
                    self.strike(name);
                }
                attempt.left.into_iter().for_each(sys::mark_rolled_back);
            }
        }
    }

    /// Rolls back what guests shared, with the program, environment and document of the first one. Returns whether
    /// that has succeeded.
    fn roll_back_first(&mut self, attempt: &Attempt, first: &Setup, ends: Instant) -> bool {
        let Some(rollback) = &first.rollback else { return false };
        let identity = HookIdentity {
            path: rollback.job.program().to_path_buf(),
            command: rollback.command.clone(),
            ..self.identity_of(&attempt.step, Part::Rollback)
        };
        let occasion = self.launcher.occasion;
        let run = format!("{}-rollback", first.run);
        let settings = occasion.settings;
        let trusted = rollback.job.check_trust(occasion.surroundings.user, settings.trust);
        if let Ok(Some(words)) = &trusted {
            self.notify(&Notice::Warning { label: &identity.label, words });
        }
        let place = file::place(&settings.runtime_dir, &run);
        // without its document it would take back something else, or nothing: then the undo does it later
        let document = first.document.as_ref();
        let document = document
            .map(|bytes| InputFile::make(place, &bytes.0, rollback.job.owner()))
            .transpose()
            .map_err(|error| (OWN_ERROR, format!("its input can't be made: {error}")));
        let launched = match (trusted, &document) {
            (Err(words), _) => Err((NOT_EXECUTABLE, words)),
            (Ok(_), Err(fault)) => Err(fault.clone()),
            _ if Instant::now() >= ends => Err(out_of_time()),
            (Ok(_), Ok(document)) => {
                let path = document.as_ref().map(InputFile::path);
                let path = path.as_ref().map(|path| path.as_os_str().as_encoded_bytes());
                let null = self.launcher.supervisor.null();
                null.and_then(|null| rollback.job.job(&run, path, null, ends))
                    .map_err(|error| (OWN_ERROR, format!("can't be started: {error}")))
            }
        };
        let (ended, fault) = match launched {
            Err(fault) => (None, Some(fault)),
            Ok(job) => self.supervised(&identity, job),
        };
        drop(document);
        self.rolled_back(identity, ended, fault)
    }

    /// Rolls one hook back. Returns whether that has succeeded.
    fn roll_back_one(&mut self, attempt: &Attempt, ends: Instant) -> bool {
        let identity = self.identity_of(&attempt.step, Part::Rollback);
        let launched = if Instant::now() >= ends {
            Err(out_of_time())
        } else {
            if let Some(input) = &attempt.input {
                self.launcher.exchange.rewind(input.clone());
            }
            self.launcher.launch(
                &attempt.step,
                attempt.number,
                Part::Rollback,
                ends,
                DocumentFileUse::Shared,
            )
        };
        let (ended, fault) = match launched {
            Err(fault) => (None, Some(fault)),
            Ok(launch) => {
                let ended = self.supervised(&identity, launch.job);
                if let Some(own_file) = launch.own_file {
                    self.launcher.exchange.remove_own_file(&own_file);
                }
                ended
            }
        };
        self.rolled_back(identity, ended, fault)
    }

    /// Runs a rollback. Returns how it ended, and why it failed.
    fn supervised(
        &mut self,
        identity: &HookIdentity,
        job: Job,
    ) -> (Option<FinishedJob>, Option<(i32, String)>) {
        let HookIdentity { label, device, path, .. } = identity;
        let execution = &self.launcher.occasion.execution;
        let observer = &mut *self.launcher.observer;
        let mut progress = |progress: Progress<'_>| {
            let notice = Notice::of_progress(progress, label, device.as_deref(), path);
            observer.observe(execution, &notice);
        };
        let ended = self.launcher.supervisor.run(vec![job], &mut progress).pop();
        let fault = ended.as_ref().and_then(verdict::failure_of);
        (ended, fault)
    }

    /// Tells how a rollback ended. Returns whether it has succeeded.
    fn rolled_back(
        &mut self,
        identity: HookIdentity,
        ended: Option<FinishedJob>,
        fault: Option<(i32, String)>,
    ) -> bool {
        let run = HookRun::tolerated(identity, ended, fault);
        self.failed_rollbacks.extend(run.failure.clone());
        self.notify(&Notice::Finished(&run));
        run.failure.is_none()
    }
}

fn out_of_time() -> (i32, String) {
    let time = verdict::seconds(ROLLBACK_TIMEOUT);
    (TIMED_OUT, format!("not run: the time of {time} for rollbacks was over"))
}

pub(super) fn rollback_label(step: &Step) -> String {
    left_rollback::label_of(&step.hook.label)
}
