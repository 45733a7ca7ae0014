//! Previews the steps of a plan, with the same checks as a call up to the start of each step. Runs nothing,
//! and makes no file.

use std::time::Instant;

use super::{StepRunner, is_parallel_with};
use crate::hook::OnFailure;
use crate::observer::{NotRun, Notice};
use crate::plan::{Decision, Step};
use crate::process::job::Part;
use crate::process::startable;
use crate::run::launch::DocumentFileUse;
use crate::trust::Trust;

impl StepRunner<'_> {
    /// Updates the decision of each step, as far as it can be known without running anything: whether it
    /// is trusted and can be started, and whether an earlier one stops the call. Observers get warnings.
    pub(crate) fn preview(&mut self, steps: &mut [Step]) {
        let is_to_run =
            |step: &Step| matches!(step.decision, Decision::Run | Decision::Fails { .. });
        let mut stopped: Option<String> = None;
        let mut group: Vec<(usize, Step)> = Vec::new();
        for (number, step) in steps.iter_mut().enumerate().filter(|(_, step)| is_to_run(step)) {
            let before = (number, step.clone());
            // steps in parallel aren't stopped by one of them
            if group.is_empty() || !is_parallel_with(&group, &before) {
                group.clear();
                if let Some(by) = &stopped {
                    step.decision = Decision::Skipped(NotRun::StoppedBy(by).to_string());
                    continue;
                }
            }
            group.push(before);
            self.preview_step(step, number);
            let fails = matches!(step.decision, Decision::Fails { .. });
            if fails && step.hook.on_failure == OnFailure::Stop {
                stopped = Some(step.hook.label.clone());
            }
        }
    }

    fn preview_step(&mut self, step: &mut Step, number: usize) {
        let mut trust = Trust::new(self.launcher.occasion.surroundings.user);
        if let Some(warning) = step.check_trust(&mut trust, self.launcher.occasion.settings.trust) {
            self.notify(&Notice::Warning { label: &step.hook.label, words: &warning });
        }
        if step.decision != Decision::Run {
            return;
        }
        let mut parts = [Part::Check, Part::Hook].into_iter().filter(|part| step.has(*part));
        if let Some(decision) = parts.find_map(|part| self.preview_part(step, number, part)) {
            step.decision = decision;
        }
    }

    /// Returns the decision about a step if one of its programs can't be started.
    fn preview_part(&mut self, step: &Step, number: usize, part: Part) -> Option<Decision> {
        let ends = Instant::now();
        let launch = match self.launcher.launch(step, number, part, ends, DocumentFileUse::None) {
            Ok(launch) => launch,
            Err((status, why)) => {
                return Some(Decision::Fails { status, why, is_its_own: false });
            }
        };
        let error = startable::predict(&launch.job, self.launcher.occasion.surroundings.user)?;
        let (status, is_its_own) = (error.status(), error.is_its_own());
        match part {
            Part::Check if error.is_met_by_kernel() => {
                let why = format!("its check {error}");
                Some(Decision::Fails { status, why, is_its_own: false })
            }
            Part::Check => Some(Decision::Skipped(format!("its check says no: it {error}"))),
            Part::Hook | Part::Rollback | Part::Undo if step.hook.detached().is_some() => {
                let words =
                    format!("it is queued, and would fail when the worker starts it: {error}");
                self.notify(&Notice::Warning { label: &step.hook.label, words: &words });
                None
            }
            Part::Hook | Part::Rollback | Part::Undo => {
                Some(Decision::Fails { status, why: error.to_string(), is_its_own })
            }
        }
    }
}
