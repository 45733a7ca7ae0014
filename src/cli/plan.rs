//! `hookmux plan`: what a call would run, and why not the rest.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};

use super::args::{CallArgs, Format};
use super::output::{Cell, Output, Tone};
use super::{End, Place};
use crate::config::{Loaded, Settings};
use crate::event::Origin;
use crate::facts::{self, Facts};
use crate::hook::candidates::{self, Candidates};
use crate::libvirt::operation;
use crate::libvirt::{Call, Class, Document, Driver};
use crate::memory;
use crate::plan::{self, Decision, Knowledge, Step};
use crate::run::input;
use crate::trust::Trust;

/// A call as a person describes it, with all that it would find.
pub struct Described {
    pub call: Call,
    pub loaded: Loaded,
    pub candidates: Candidates,
    pub document: Document,
    /// Where the document came from, for people.
    pub document_source: String,
}

/// Puts together what libvirt would pass.
///
/// # Errors
/// The document can't be read.
pub fn describe(
    place: &Place,
    arguments: &CallArgs,
    output: &mut Output,
) -> anyhow::Result<Described> {
    let sub = arguments.sub_operation.clone().unwrap_or_else(|| usual_sub_operation(arguments));
    let call = Call::new(
        arguments.driver,
        vec![arguments.object.clone(), arguments.operation.clone(), sub, arguments.extra.clone()],
    );
    let loaded = place.load(output);
    let candidates = candidates::find(&call, &loaded.settings, place.surroundings.user, false);
    let (document, document_source) = document(&call, &loaded.settings, arguments.xml.as_deref())?;
    Ok(Described { call, loaded, candidates, document, document_source })
}

fn usual_sub_operation(arguments: &CallArgs) -> OsString {
    operation::TABLE
        .iter()
        .find(|row| row.drivers.contains(&arguments.driver) && arguments.operation == row.name)
        .and_then(|row| row.sub)
        .unwrap_or("-")
        .into()
}

fn document(
    call: &Call,
    settings: &Settings,
    file: Option<&Path>,
) -> anyhow::Result<(Document, String)> {
    if let Some(file) = file {
        if file == "-" {
            return Ok((input::read(), "standard input".to_owned()));
        }
        let bytes = fs::read(file).with_context(|| format!("{} can't be read", file.display()))?;
        return Ok((Document::Whole(bytes), file.display().to_string()));
    }
    let none = (Document::Absent, "none; --xml FILE gives one".to_owned());
    let Some(path) = configured(call, settings) else { return Ok(none) };
    Ok(match fs::read(&path) {
        Ok(bytes) => (
            Document::Whole(bytes),
            format!("{}, libvirt's configuration of the guest", path.display()),
        ),
        Err(_) => none,
    })
}

/// Where libvirt keeps a guest's configuration: beside its hooks directory.
fn configured(call: &Call, settings: &Settings) -> Option<PathBuf> {
    let name = call.object().to_str().filter(|name| !name.is_empty() && !name.contains('/'))?;
    let directory = match call.driver {
        Driver::Qemu | Driver::Lxc | Driver::Libxl | Driver::Bhyve => call.driver.name(),
        Driver::Network | Driver::Daemon => return None,
    };
    Some(settings.hooks_dir.parent()?.join(directory).join(format!("{name}.xml")))
}

/// The origin that a call would find, or is told.
pub fn origin(call: &Call, settings: &Settings, facts: &Facts, told: Option<Origin>) -> Origin {
    let Some(guest) = facts::guest(call, &settings.runtime_dir, &facts.identity) else {
        return Origin::Unknown;
    };
    memory::foresee(call, Some(&guest), told).origin
}

pub fn run(place: &Place, arguments: &CallArgs, output: &mut Output) -> anyhow::Result<End> {
    let described = describe(place, arguments, output)?;
    let settings = &described.loaded.settings;
    let call = &described.call;
    let facts = Facts::of(described.document);
    let origin = origin(call, settings, &facts, arguments.origin);
    let uuid = facts.identity.plain_uuid();
    let knowledge = Knowledge {
        origin,
        document: &facts.document,
        metadata: &facts.metadata,
        uuid: uuid.as_deref(),
    };
    let mut steps = plan::plan(call, &described.candidates, &knowledge);
    let mut trust = Trust::new(place.surroundings.user);
    let mut notes = notes(call, &described.loaded, &described.candidates, &facts.document);
    for step in &mut steps {
        notes.extend(
            step.judge(&mut trust, settings.trust)
                .map(|warning| format!("{}: {warning}", step.hook.label)),
        );
    }
    let fails = steps.iter().any(|step| matches!(step.decision, Decision::Fails { .. }))
        || described.candidates.broken.iter().any(|broken| !broken.has_stand_in);
    let end = if fails && call.class() == Class::Gate { End::Problem } else { End::Good };
    if arguments.output == Format::Json {
        let steps: Vec<Value> = steps.iter().map(|step| json_step(step, &facts)).collect();
        output.json(&json!({
            "driver": call.driver.name(),
            "arguments": call.arguments.iter().map(|a| a.to_string_lossy()).collect::<Vec<_>>(),
            "class": call.class().name(),
            "filter": call.is_filter(),
            "origin": call.driver.is_guest().then(|| origin.name()),
            "total_timeout_s": settings.total_timeout(call).as_secs_f64(),
            "steps": steps,
            "notes": notes,
        }));
        return Ok(end);
    }
    head(call, settings, origin, &described.document_source, output);
    if steps.is_empty() {
        output.line("No hook for this call.");
    } else {
        let mut turn = 0;
        let rows: Vec<Vec<Cell>> = steps.iter().map(|step| row(step, &facts, &mut turn)).collect();
        output.table(&["ORDER", "EVENT", "HOOK", "DEVICE", "WHAT"], &rows);
    }
    for note in &notes {
        output.line(note);
    }
    Ok(end)
}

/// What the call is, in two lines.
pub fn head(call: &Call, settings: &Settings, origin: Origin, document: &str, output: &mut Output) {
    let words: Vec<_> = call.arguments.iter().map(|argument| argument.to_string_lossy()).collect();
    let meaning = match call.class() {
        Class::Gate => "a failure stops the operation",
        Class::Live => {
            "a failure is never passed on, but by scripts that libvirt's own rules hold for"
        }
        Class::Notify => "libvirt only logs a failure",
    };
    let filter = if call.is_filter() { ", and the document may be changed" } else { "" };
    output.toned(Tone::Bold, &format!("{} {}", call.driver, words.join(" ")));
    output.line(&format!(
        "  {}: {meaning}{filter}; {} s in all",
        call.class().name(),
        settings.total_timeout(call).as_secs()
    ));
    if call.driver.is_guest() {
        output.line(&format!("  origin: {origin}; document: {document}"));
    }
}

fn notes(
    call: &Call,
    loaded: &Loaded,
    candidates: &Candidates,
    document: &Document,
) -> Vec<String> {
    let mut notes = Vec::new();
    if loaded.is_lost() && call.class() == Class::Gate {
        notes.push(
            "This call would fail: the settings are broken, and there is no good copy.".to_owned(),
        );
    }
    for broken in &candidates.broken {
        let consequence = if broken.has_stand_in {
            "its last good form is used"
        } else if call.class() == Class::Gate {
            "this call would fail"
        } else {
            "it is left out"
        };
        notes.push(format!("{}; {consequence}.", broken.diagnostic));
    }
    for directory in &candidates.unreadable {
        notes.push(format!("{} can't be read: {}", directory.path.display(), directory.error));
    }
    if let Document::Broken(why) = document {
        notes.push(format!("The document counts as absent: {why}."));
    }
    notes.extend(
        candidates.tree_left_to.as_ref().map(|owner| format!("The per-guest tree is {owner}.")),
    );
    notes
}

fn device(step: &Step, facts: &Facts) -> Option<String> {
    step.device
        .and_then(|index| facts.metadata.devices.get(index))
        .map(|device| device.label.clone())
}

fn row(step: &Step, facts: &Facts, turn: &mut usize) -> Vec<Cell> {
    let (order, what) = match &step.decision {
        Decision::Run => {
            *turn += 1;
            (turn.to_string(), Cell("runs".to_owned(), Tone::Good))
        }
        Decision::Fails { status, why } => {
            ("!".to_owned(), Cell(format!("fails ({status}): {why}"), Tone::Bad))
        }
        Decision::Out(why) => ("-".to_owned(), Cell(why.clone(), Tone::Dim)),
    };
    let label = &step.hook.label;
    let hook = match &step.event {
        Some(event) => label.strip_prefix(&format!("{event}/")).unwrap_or(label),
        None => label,
    };
    vec![
        order.into(),
        step.event.as_deref().unwrap_or("-").into(),
        hook.into(),
        device(step, facts).unwrap_or_else(|| "-".to_owned()).into(),
        what,
    ]
}

fn json_step(step: &Step, facts: &Facts) -> Value {
    let (decision, why) = match &step.decision {
        Decision::Run => ("run", None),
        Decision::Fails { why, .. } => ("fail", Some(why.as_str())),
        Decision::Out(why) => ("out", Some(why.as_str())),
    };
    json!({
        "event": step.event,
        "device": device(step, facts),
        "hook": step.hook.label,
        "path": step.hook.path.to_string_lossy(),
        "style": step.hook.style.name(),
        "source": step.hook.source.name(),
        "decision": decision,
        "reason": why,
        "timeout_s": step.hook.timeout.map(|timeout| timeout.as_secs_f64()),
    })
}
