//! What would become of a plan's steps, found out as a call would, up to the start of each: nothing is
//! run, and no file is made.

use std::time::Instant;

use super::{StepRunner, goes_beside};
use crate::hook::OnFailure;
use crate::observer::{NotRun, Notice};
use crate::plan::{Decision, Step};
use crate::process::job::Part;
use crate::process::startable;
use crate::run::launch::DocumentFileUse;
use crate::trust::Trust;

impl StepRunner<'_> {
    /// Decides each step anew, as far as that can be known without running anything: whether it is
    /// trusted, can be put together and can be started, and whether one before it stops the call.
    /// Whoever witnesses is told what else there is to say.
    pub(crate) fn foresee(&mut self, steps: &mut [Step]) {
        let has_a_part =
            |step: &Step| matches!(step.decision, Decision::Run | Decision::Fails { .. });
        let mut stopped: Option<String> = None;
        let mut group: Vec<(usize, Step)> = Vec::new();
        for (number, step) in steps.iter_mut().enumerate().filter(|(_, step)| has_a_part(step)) {
            let before = (number, step.clone());
            // those that run side by side aren't stopped by one of them
            if group.is_empty() || !goes_beside(&group, &before) {
                group.clear();
                if let Some(by) = &stopped {
                    step.decision = Decision::Skipped(NotRun::StoppedBy(by).to_string());
                    continue;
                }
            }
            group.push(before);
            self.foresee_one(step, number);
            let fails = matches!(step.decision, Decision::Fails { .. });
            if fails && step.hook.on_failure == OnFailure::Stop {
                stopped = Some(step.hook.label.clone());
            }
        }
    }

    fn foresee_one(&mut self, step: &mut Step, number: usize) {
        let mut trust = Trust::new(self.launcher.occasion.surroundings.user);
        if let Some(warning) = step.check_trust(&mut trust, self.launcher.occasion.settings.trust) {
            self.tell(&Notice::Warning { label: &step.hook.label, words: &warning });
        }
        if step.decision != Decision::Run {
            return;
        }
        let mut parts = [Part::Check, Part::Hook].into_iter().filter(|part| step.has(*part));
        if let Some(decision) = parts.find_map(|part| self.foresee_part(step, number, part)) {
            step.decision = decision;
        }
    }

    /// What else than a run becomes of a step for one of its parts.
    fn foresee_part(&mut self, step: &Step, number: usize, part: Part) -> Option<Decision> {
        let ends = Instant::now();
        let launch = match self.launcher.launch(step, number, part, ends, DocumentFileUse::None) {
            Ok(launch) => launch,
            Err((status, why)) => {
                return Some(Decision::Fails { status, why, is_its_own: false });
            }
        };
        let obstacle = startable::predict(&launch.job, self.launcher.occasion.surroundings.user)?;
        let (status, is_its_own) = (obstacle.status(), obstacle.is_its_own());
        match part {
            Part::Check if obstacle.is_met_by_kernel() => {
                let why = format!("its check {obstacle}");
                Some(Decision::Fails { status, why, is_its_own: false })
            }
            Part::Check => Some(Decision::Skipped(format!("its check says no: it {obstacle}"))),
            Part::Hook | Part::Rollback if step.hook.detached().is_some() => {
                let words = format!("it is queued, and would fail when its turn comes: {obstacle}");
                self.tell(&Notice::Warning { label: &step.hook.label, words: &words });
                None
            }
            Part::Hook | Part::Rollback => {
                Some(Decision::Fails { status, why: obstacle.to_string(), is_its_own })
            }
        }
    }
}
