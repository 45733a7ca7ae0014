//! A guest's life, for programs.

use super::life::{CallOfAction, PlannedAction, PlannedLife};
use super::{consequence, words};
use crate::cli::history::last_results::LastResultsOf;
use crate::cli::json::message::Message;
use crate::cli::json::plan::{Life, LifeCall, LifePart};
use crate::cli::json::value::Word;
use crate::config::Settings;

pub(super) fn of(life: &PlannedLife, settings: &Settings) -> Life {
    let subject = &life.subject;
    let calls = life.parts.iter().flat_map(|part| &part.calls).map(|call| &call.planned);
    let last = words::last_results(calls, settings);
    let part = |part: &PlannedAction| LifePart {
        action: Word(part.action),
        what: part.action.what(subject.driver),
        calls: part.calls.iter().map(|call| call_of(call, part, (settings, &last))).collect(),
        reason: part.none,
        would_fail: part.would_fail(),
        outcome: part.outcome,
    };
    Life {
        driver: Word(subject.driver),
        object: subject.name.to_string_lossy().into_owned(),
        uuid: life.facts.identity.plain_uuid(),
        document: life.source.file.clone(),
        running: subject.is_running,
        managed_save: subject.is_saved,
        networks: match subject.driver.is_guest() {
            true => life.facts.metadata.networks.clone(),
            false => Vec::new(),
        },
        fail: life.fail.clone(),
        would_fail: life.parts.iter().any(PlannedAction::would_fail),
        parts: life.parts.iter().map(part).collect(),
        notes: Message::all(&life.notes),
    }
}

fn call_of(
    call: &CallOfAction,
    part: &PlannedAction,
    known: (&Settings, &LastResultsOf),
) -> LifeCall {
    let planned = &call.planned;
    let consequence = consequence::of(&planned.call, Some(part.action));
    let consequence = consequence.filter(|_| planned.would_fail() && !call.is_after_failure);
    let outcome = consequence.map(|consequence| consequence.words);
    LifeCall {
        call: words::json(planned, &call.undos, outcome, known),
        after_failure: call.is_after_failure,
    }
}
