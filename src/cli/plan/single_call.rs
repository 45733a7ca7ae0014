//! `plan DRIVER NAME OPERATION`: a single call.

use std::ffi::OsString;

use super::consequence;
use super::failing::FailingHooks;
use super::known;
use super::planned_call::{CallSpec, PlanHost, PlannedCall};
use super::words;
use crate::cli::args::{CallArgs, Format, PlanArgs};
use crate::cli::hooks::described_call;
use crate::cli::json;
use crate::cli::output::{Cell, Output, Tone};
use crate::cli::{CommandEnd, CommandPlace, usage};
use crate::config::suggest::suggest;
use crate::libvirt::{Driver, Operation};
use crate::plan::Decision;

pub(super) fn run(
    place: &CommandPlace,
    arguments: &PlanArgs,
    [driver, object, operation]: [&OsString; 3],
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    usage::ensure(
        arguments.driver.is_none(),
        "--driver belongs to `plan GUEST`: a call begins with its driver",
    )?;
    let Some(driver) = Driver::from_name(driver) else {
        let names = Driver::ALL.map(Driver::name);
        let word = driver.to_string_lossy();
        let hint = suggest(&word, names);
        return Err(usage::wrong(format!(
            "`{word}` is not a driver: libvirt's hook drivers are {}; {hint}",
            names.join(", ")
        )));
    };
    let call = CallArgs {
        driver,
        object: object.clone(),
        operation: operation.clone(),
        sub_operation: arguments.sub_operation.clone(),
        extra: arguments.extra.clone(),
        xml: arguments.xml.clone(),
        origin: arguments.origin,
    };
    let described = described_call::describe(place, &call, output)?;
    if !arguments.unknown {
        let unknown =
            known::unknown(place, &described.loaded.settings, ("plan", &call), &described.call)?;
        if let Some(unknown) = unknown {
            return Err(usage::wrong(unknown.with_way_out("--unknown plans it anyway")));
        }
    }
    let failing = FailingHooks::new(&arguments.fail);
    let host = PlanHost::new(place, &described.loaded, failing);
    let spec = CallSpec {
        call: described.call.clone(),
        document: described.document.clone(),
        origin: arguments.origin,
        held: None,
    };
    let mut planned = PlannedCall::of(&host, spec)?;
    planned.notes.extend(host.failing.finish()?);
    let set_up = planned.set_up();
    // what it has set up itself is taken back first
    let undos: Vec<String> = match planned.undoes_its_own() {
        true => set_up.into_iter().rev().chain(planned.owed.clone()).collect(),
        false => planned.owed.clone(),
    };
    let consequence = consequence::of(&planned.call, None).filter(|_| planned.would_fail());
    let outcome = consequence.as_ref().map(|consequence| consequence.words);
    let settings = &described.loaded.settings;
    let end = match planned.has_own_failure || described.loaded.problem.is_some() {
        true => CommandEnd::Problem,
        false => CommandEnd::Good,
    };
    if arguments.output.format == Format::Json {
        let call = words::json(&planned, &undos, outcome, settings);
        output.json(&json::plan::Plan { call });
        return Ok(end);
    }
    let source = &described.document_source;
    described_call::head(&planned.call, settings, planned.origin, source, output);
    show(&planned, &undos, output);
    if let Some(consequence) = consequence {
        let told = planned.told();
        let told = match planned.call.operation() {
            Operation::Restore => format!("It fails with {}: {told}", planned.status),
            _ => format!("libvirt would get exit status {}: {told}", planned.status),
        };
        output.toned(Tone::Bad, &told);
        output.line(&format!("So {}.", consequence.words));
        let next: Vec<String> = consequence.next.iter().map(|piece| piece.words()).collect();
        if !next.is_empty() {
            output.line(&format!("It calls then: {}.", next.join(", ")));
        }
    }
    for note in &planned.notes {
        output.lines(Tone::Plain, note);
    }
    Ok(end)
}

fn show(planned: &PlannedCall, undos: &[String], output: &mut Output) {
    if planned.steps.is_empty() {
        output.line("No hook for this call.");
    } else {
        let mut position = 0;
        let rows = planned.steps.iter().map(|step| {
            let order = match &step.decision {
                Decision::Run => {
                    position += 1;
                    position.to_string()
                }
                Decision::Fails { .. } => "!".to_owned(),
                Decision::Skipped(_) | Decision::SkippedWithWarning(_) => "-".to_owned(),
            };
            let device = planned.device(step).unwrap_or_else(|| "-".to_owned());
            let event = step.event.as_deref().unwrap_or("-");
            let name = words::name(step);
            vec![order.into(), event.into(), name.into(), device.into(), words::what(step)]
        });
        let rows: Vec<Vec<Cell>> = rows.collect();
        output.table(&["ORDER", "EVENT", "HOOK", "DEVICE", "WHAT"], &rows);
    }
    let rollbacks = planned.rollbacks();
    if !rollbacks.is_empty() {
        output.line(&format!("Rolled back then: {}.", rollbacks.join(", ")));
    }
    if !undos.is_empty() {
        output.line(&format!("It then takes back what these have set up: {}.", undos.join(", ")));
    }
}
