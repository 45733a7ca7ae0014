//! Rollbacks: what succeeded is undone where a gate stays shut, and is left to whoever takes over where
//! this process can't.

use std::time::{Duration, Instant};

use super::{StepRunner, Tried};
use crate::document::exchange::Snapshot;
use crate::hook::Style;
use crate::libvirt::Class;
use crate::machine::{sys, watchdog};
use crate::observer::{HookIdentity, HookRun, Notice};
use crate::plan::Step;
use crate::process::exit_status::TIMED_OUT;
use crate::process::job::Part;
use crate::process::stored_job::{Bytes, StoredJob};
use crate::run::launch::DocumentFileUse;
use crate::run::left_rollback::LeftRollback;
use crate::verdict;

/// What all rollbacks of a call have together.
pub(crate) const ROLLBACK_TIME: Duration = Duration::from_secs(30);

impl StepRunner<'_> {
    /// The rollback of a step, as whoever takes over is given it. One that can't be put together is
    /// missing there, and nowhere else.
    pub(super) fn left_rollback(
        &mut self,
        step: &Step,
        number: usize,
        input: &Snapshot,
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
            run: launch.job.run.clone(),
            job: StoredJob::new(launch.job).ok()?,
            document: (step.hook.style == Style::Vdsm && !input.content().is_empty())
                .then(|| Bytes(input.content().to_vec())),
        };
        Some(rollback.line())
    }

    /// Undoes what succeeded, the last first, where a gate stays shut. What fails here is told, and
    /// changes nothing.
    pub(super) fn roll_back(&mut self, tried: &[Tried]) {
        let is_terminated = self.launcher.supervisor.is_terminated();
        let failed = tried
            .iter()
            .filter_map(|tried| tried.run.failure.as_ref())
            .any(|failure| !failure.is_tolerated);
        if self.launcher.occasion.call.class() != Class::Gate || !(failed || is_terminated) {
            return;
        }
        self.launcher.supervisor.ignore_termination();
        let ends = Instant::now() + ROLLBACK_TIME;
        for tried in tried.iter().rev().filter(|tried| tried.run.failure.is_none()) {
            watchdog::progress();
            if tried.step.has(Part::Rollback) {
                self.roll_back_one(tried, ends);
                tried.left.into_iter().for_each(sys::mark_rolled_back);
            }
        }
    }

    fn roll_back_one(&mut self, tried: &Tried, ends: Instant) {
        let label = rollback_label(&tried.step);
        let path = self.launcher.program(&tried.step, Part::Rollback);
        let launched = if Instant::now() >= ends {
            Err((
                TIMED_OUT,
                format!("not run: the {} for rollbacks were over", verdict::seconds(ROLLBACK_TIME)),
            ))
        } else {
            if let Some(input) = &tried.input {
                self.launcher.exchange.rewind(input.clone());
            }
            self.launcher.launch(
                &tried.step,
                tried.number,
                Part::Rollback,
                ends,
                DocumentFileUse::Shared,
            )
        };
        let (ended, fault) = match launched {
            Err(fault) => (None, Some(fault)),
            Ok(launch) => {
                let device = tried.run.device.as_deref();
                let at = Instant::now();
                self.tell(&Notice::Started { label: &label, device, path: Some(&path), at });
                let ended = self.launcher.supervisor.run(vec![launch.job], &mut |_| {}).pop();
                if let Some(own_file) = launch.own_file {
                    self.launcher.exchange.remove_own_file(&own_file);
                }
                let fault = ended.as_ref().and_then(verdict::failure_of);
                (ended, fault)
            }
        };
        let (event, device) = (tried.run.event.clone(), tried.run.device.clone());
        let run = HookRun::tolerated(HookIdentity { label, event, device, path }, ended, fault);
        self.undone.extend(run.failure.clone());
        self.tell(&Notice::Finished(&run));
    }
}

fn rollback_label(step: &Step) -> String {
    format!("{} (rollback)", step.hook.label)
}
