//! How the steps of a call are said, to people and to programs.

use super::planned_call::{CallUndos, PlannedCall};
use crate::cli::history::last_results::LastResultsOf;
use crate::cli::json;
use crate::cli::json::message::Message;
use crate::cli::json::plan::{PlannedEvent, PlannedHook};
use crate::cli::json::value::Word;
use crate::cli::output::{Cell, Tone};
use crate::config::Settings;
use crate::config::choice::ResultKind;
use crate::plan::{Decision, Step};
use crate::process::job::Part;
use crate::record::planned;

/// Returns what becomes of a step.
pub(super) fn what(step: &Step) -> Cell {
    match &step.decision {
        Decision::Run => {
            let registration = step.hook.registration.as_deref();
            let result = registration.map(|one| one.result);
            let result = result.filter(|result| *result != ResultKind::default());
            let result = result.map(|result| format!("; result by {}", result.word()));
            let undone = if step.has(Part::Undo) { "; undone at the end" } else { "" };
            let check = if step.has(Part::Check) { ", if its check says yes" } else { "" };
            let detached = match step.hook.detached() {
                Some(_) => " detached, after libvirt has its answer",
                None => "",
            };
            let words = format!("runs{detached}{check}{undone}{}", result.unwrap_or_default());
            Cell(words, Tone::Good)
        }
        Decision::Fails { status, why, .. } => Cell(format!("fails ({status}): {why}"), Tone::Bad),
        Decision::Skipped(why) => Cell(why.clone(), Tone::Dim),
        Decision::SkippedWithWarning(why) => Cell(why.clone(), Tone::Warning),
    }
}

/// Returns the same for a line without a column that says whether it runs.
pub(super) fn what_alone(step: &Step) -> Cell {
    let Cell(words, tone) = what(step);
    let runs = matches!(step.decision, Decision::Run | Decision::Fails { .. });
    match runs || words.starts_with("not ") {
        true => Cell(words, tone),
        false => Cell(format!("not run: {words}"), tone),
    }
}

/// Returns a hook's name without its event, which stands beside it.
pub(super) fn name(step: &Step) -> &str {
    let label = &step.hook.label;
    let event = step.event.as_deref().unwrap_or_default();
    let name = label.strip_prefix(event).and_then(|rest| rest.strip_prefix('/'));
    name.filter(|_| !event.is_empty()).unwrap_or(label)
}

/// Describes a call for programs.
pub(super) fn json(
    planned: &PlannedCall,
    undos: &CallUndos,
    outcome: Option<&str>,
    (settings, last): (&Settings, &LastResultsOf),
) -> json::plan::PlannedCall {
    let call = &planned.call;
    let word = |word: &std::ffi::OsStr| word.to_string_lossy().into_owned();
    let mut position = 0;
    let events = planned.events.iter().map(|event| {
        let why = event.fires(planned.origin, call.reason()).err();
        PlannedEvent { event: event.name.to_string(), fires: why.is_none(), reason: why }
    });
    json::plan::PlannedCall {
        driver: Word(call.driver),
        object: word(call.object()),
        operation: word(call.operation_name()),
        sub_operation: word(call.sub_operation()),
        extra: word(call.extra()),
        arguments: call.arguments.iter().map(|argument| word(argument)).collect(),
        class: Word(call.class()),
        filter: call.is_filter(),
        origin: call.driver.is_guest().then_some(Word(planned.origin)),
        would_fail: planned.would_fail(),
        total_timeout_s: settings.total_timeout(call).into(),
        events: events.collect(),
        steps: planned
            .steps
            .iter()
            .map(|step| json_step(step, planned, last, &mut position))
            .collect(),
        rollbacks: planned.rollbacks(),
        undos: undos.first.iter().chain(&undos.last).cloned().collect(),
        undos_first: undos.first.clone(),
        status: planned.status,
        stderr: planned.stderr.clone(),
        outcome: outcome.map(str::to_owned),
        notes: Message::all(&planned.notes),
    }
}

/// Looks for the last runs of the hooks of these calls, each for the object of its call.
pub(super) fn last_results<'a>(
    calls: impl Iterator<Item = &'a PlannedCall>,
    settings: &Settings,
) -> LastResultsOf {
    let pairs = calls.flat_map(|planned| {
        let object = planned.call.object().to_string_lossy().into_owned();
        planned.steps.iter().map(move |step| (object.clone(), step.hook.label.clone()))
    });
    // whoever may not read records still gets the plan
    LastResultsOf::pairs(settings, pairs).unwrap_or_default()
}

fn json_step(
    step: &Step,
    planned: &PlannedCall,
    last: &LastResultsOf,
    position: &mut usize,
) -> json::plan::Step {
    let hook = &step.hook;
    let runs = matches!(step.decision, Decision::Run);
    *position += usize::from(runs);
    json::plan::Step {
        planned: PlannedHook {
            hook: hook.label.clone(),
            event: step.event.as_deref().map(str::to_owned),
            device: planned.device(step),
            state: planned::decision_of(step).into(),
            reason: step.decision.reason().map(str::to_owned),
        },
        order: runs.then_some(*position),
        path: hook.path.as_path().into(),
        style: Word(hook.style),
        source: Word(hook.source),
        registration: hook.registration.as_deref().map(|one| one.source.as_path().into()),
        result: hook.registration.as_deref().map(|one| one.result.word().to_owned()),
        timeout_s: hook.timeout.map(Into::into),
        undo: step.has(Part::Undo),
        detached: hook.detached().is_some(),
        last: last.get(&planned.call.object().to_string_lossy(), &hook.label).cloned(),
    }
}
