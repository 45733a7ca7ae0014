//! What a call plans, as records and `hookmux plan` have it.

use crate::document::facts::DocumentFacts;
use crate::observer::{PlanDecision, PlanEntry, PlannedRegistration};
use crate::plan::{Decision, Step};

/// Returns the entry for a step in a record.
pub(crate) fn planned(step: &Step, facts: &DocumentFacts) -> PlanEntry {
    let device = step.device.and_then(|index| facts.metadata.devices.get(index));
    PlanEntry {
        hook: step.hook.label.clone(),
        event: step.event.as_deref().map(str::to_owned),
        device: device.map(|device| device.label.clone()),
        decision: decision_of(step),
        reason: step.decision.reason().map(str::to_owned),
    }
}

/// Returns the registrations of the steps that are to run, each once.
pub(crate) fn registrations(steps: &[Step]) -> Vec<PlannedRegistration<'_>> {
    let mut all: Vec<PlannedRegistration<'_>> = Vec::new();
    for Step { hook, decision, .. } in steps {
        let is_to_run = matches!(decision, Decision::Run | Decision::Fails { .. });
        let Some(registration) = hook.registration.as_deref().filter(|_| is_to_run) else {
            continue;
        };
        if !all.iter().any(|known| known.hook == hook.label) {
            all.push(PlannedRegistration {
                hook: &hook.label,
                path: &registration.source,
                sha256: &registration.written.sha256,
                text: Some(&registration.written.text),
            });
        }
    }
    all
}

/// Returns the word for the decision about a step, in records and in `hookmux plan`.
pub(crate) fn decision_of(step: &Step) -> PlanDecision {
    match step.decision {
        Decision::Run => PlanDecision::Run,
        Decision::Fails { .. } => PlanDecision::Fail,
        Decision::Skipped(_) | Decision::SkippedWithWarning(_) => PlanDecision::Out,
    }
}
