//! `plan DRIVER NAME OPERATION`: a single call.

use std::ffi::OsString;

use super::consequence;
use super::failing::FailingHooks;
use super::known;
use super::planned_call::{CallSpec, CallUndos, PlanHost, PlannedCall};
use super::words;
use crate::cli::args::{CallArgs, Format, PlanArgs};
use crate::cli::hooks::described_call;
use crate::cli::install::libvirt_version;
use crate::cli::json;
use crate::cli::output::{Cell, Output, Tone};
use crate::cli::{CommandEnd, CommandPlace, usage};
use crate::config::suggest::suggestion;
use crate::libvirt::{Driver, Operation};
use crate::plan::Decision;
use crate::undo::moment::Moment;

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
        return Err(usage::wrong(format!(
            "`{word}` is not a driver: libvirt's hook drivers are {}{}",
            names.join(", "),
            suggestion(&word, names)
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
    let undos = undos(&planned);
    let consequence = consequence::of(&planned.call, None).filter(|_| planned.would_fail());
    let outcome = consequence.as_ref().map(|consequence| consequence.words);
    let settings = &described.loaded.settings;
    let end = match planned.has_own_failure || described.loaded.problem.is_some() {
        true => CommandEnd::Problem,
        false => CommandEnd::Good,
    };
    if arguments.output.format == Format::Json {
        let last = words::last_results(std::iter::once(&planned), settings);
        let call = words::json(&planned, &undos, outcome, (settings, &last));
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
        let version = libvirt_version::of_host_below(&arguments.root);
        let next = consequence.next.iter().map(|piece| piece.words(driver, version));
        let next: Vec<String> = next.collect();
        if !next.is_empty() {
            output.line(&format!("It calls then: {}.", next.join(", ")));
        }
    }
    for note in &planned.notes {
        output.lines(Tone::Plain, note);
    }
    Ok(end)
}

/// Returns the hooks whose undo the call runs.
fn undos(planned: &PlannedCall) -> CallUndos {
    let owed = planned.owed.clone();
    let (first, mut last) = match Moment::of(&planned.call) {
        Moment::Begins => (owed, Vec::new()),
        Moment::Arrives | Moment::Lives | Moment::Ends => (Vec::new(), owed),
    };
    if planned.undoes_its_own() {
        last.extend(planned.set_up().into_iter().rev());
    }
    CallUndos { first, last }
}

fn show(planned: &PlannedCall, undos: &CallUndos, output: &mut Output) {
    if !undos.first.is_empty() {
        let hooks = undos.first.join(", ");
        output.line(&format!("It first takes back what an earlier life still owes: {hooks}."));
    }
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
    if !undos.last.is_empty() {
        let hooks = undos.last.join(", ");
        output.line(&format!("It then takes back what these have set up: {hooks}."));
    }
}
