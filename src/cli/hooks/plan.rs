//! `hookmux plan`: shows what a call would run, and why not the rest.

use std::ffi::OsStr;

use super::described_call::{self, DescribedCall};
use crate::call::Hooks;
use crate::cli::args::{CallArgs, Format};
use crate::cli::json;
use crate::cli::json::message::Message;
use crate::cli::json::plan::PlannedHook;
use crate::cli::json::value::Word;
use crate::cli::output::{Cell, Output, Tone};
use crate::cli::rights::{self, Denied};
use crate::cli::{CommandEnd, CommandPlace};
use crate::config::Surroundings;
use crate::config::choice::ResultKind;
use crate::config::registration::REMOTE_HAS_NO_EFFECT;
use crate::document::facts::DocumentFacts;
use crate::hook::candidates::Candidates;
use crate::hook::{Hook, OnFailure};
use crate::libvirt::{Class, Document};
use crate::memory;
use crate::observer::{Notice, Observer};
use crate::occasion::Execution;
use crate::occasion::{CallMode, Occasion};
use crate::plan::{self, Decision, Step, property_rules};
use crate::process::job::Part;
use crate::process::startable;
use crate::process::supervise::Supervisor;
use crate::record::recorder;
use crate::run::launch::{self, Launcher};
use crate::run::steps::StepRunner;
use crate::undo::call_ledger::CallLedger;

pub(crate) fn run(
    place: &CommandPlace,
    arguments: &CallArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let described = described_call::describe(place, arguments, output)?;
    let daemon = startable::daemons_user(&described.loaded.settings, place.surroundings.user);
    if daemon != place.surroundings.user {
        must_see_all(&described)?;
    }
    let settings = &described.loaded.settings;
    let call = &described.call;
    let surroundings = Surroundings { user: daemon, ..described.surroundings.clone() };
    let facts = DocumentFacts::of(described.document.clone());
    let mut occasion = Occasion::new(call, settings, &surroundings, facts);
    occasion.mode = CallMode::Trial { origin: arguments.origin, started: None };
    let remembered = described_call::remembered(&occasion);
    occasion.origin = remembered.origin;
    occasion.started = occasion.guest().and_then(|guest| memory::started_document(call, &guest));
    let (origin, facts) = (occasion.origin, &occasion.facts);
    let mut steps = plan::plan(&described.candidates, &occasion);
    let mut notes = notes(&described.candidates, &facts.document);
    notes.extend(preview_steps(&occasion, &mut steps)?);
    let mut errors = own_errors(&described, daemon);
    let broken_rules = property_rules::broken(&occasion);
    match call.class() {
        Class::Gate if !described.candidates.is_empty() => errors.extend(broken_rules),
        Class::Gate => {}
        Class::Live | Class::Notify => {
            notes.extend(broken_rules.iter().map(|words| format!("{words}.")));
        }
    }
    let is_shut = call.class() == Class::Gate && !errors.is_empty();
    if is_shut || remembered.held.is_some() {
        mark_as_not_run(&mut steps);
    }
    notes.extend(errors.iter().map(|words| {
        let consequence = if is_shut { "this call would fail" } else { "the call goes on without" };
        // a sentence may end with `did you mean …?`
        let end = if words.ends_with('?') { "" } else { ";" };
        format!("{words}{end} {consequence}.")
    }));
    match (&remembered.held, &remembered.error) {
        (Some(held), None) => notes.push(format!(
            "The previous restore has failed: this call would fail with {}, and run nothing.",
            held.status
        )),
        (Some(held), Some(error)) => notes
            .push(format!("{error}; this call would fail with {}, and run nothing.", held.status)),
        (None, error) => notes.extend(error.clone()),
    }
    let fails = steps.iter().any(|step| is_told_to_libvirt(step, call.class()));
    let undos = undos(&occasion);
    let would_fail = is_shut || remembered.held.is_some() || fails;
    let end = if would_fail || described.loaded.problem.is_some() {
        CommandEnd::Problem
    } else {
        CommandEnd::Good
    };
    if arguments.output.format == Format::Json {
        let word = |word: &OsStr| word.to_string_lossy().into_owned();
        let mut position = 0;
        output.json(&json::plan::Plan {
            driver: Word(call.driver),
            object: word(call.object()),
            operation: word(call.operation_name()),
            sub_operation: word(call.sub_operation()),
            extra: word(call.extra()),
            arguments: call.arguments.iter().map(|argument| word(argument)).collect(),
            class: Word(call.class()),
            filter: call.is_filter(),
            origin: call.driver.is_guest().then_some(Word(origin)),
            would_fail,
            total_timeout_s: settings.total_timeout(call).into(),
            steps: steps.iter().map(|step| json_step(step, facts, &mut position)).collect(),
            undos,
            notes: Message::all(&notes),
        });
        return Ok(end);
    }
    described_call::head(call, settings, origin, &described.document_source, output);
    if steps.is_empty() {
        output.line("No hook for this call.");
    } else {
        let mut position = 0;
        let rows: Vec<Vec<Cell>> =
            steps.iter().map(|step| row(step, facts, &mut position)).collect();
        output.table(&["ORDER", "EVENT", "HOOK", "DEVICE", "WHAT"], &rows);
    }
    if !undos.is_empty() {
        output.line(&format!("It then takes back what these have set up: {}.", undos.join(", ")));
    }
    for note in &notes {
        output.lines(Tone::Plain, note);
    }
    Ok(end)
}

/// Returns the hooks whose undo the call would run, in this order.
fn undos(occasion: &Occasion<'_>) -> Vec<String> {
    let guest = occasion.guest();
    let owed = CallLedger::preview(occasion, guest.as_ref());
    owed.into_iter().map(|owed| owed.entry.hook).collect()
}

/// Tells whether a failure of a step stops libvirt's operation.
fn is_told_to_libvirt(step: &Step, class: Class) -> bool {
    let hook = &step.hook;
    match (&step.decision, class) {
        (Decision::Fails { .. }, _) if hook.on_failure == OnFailure::Warn => false,
        (Decision::Fails { .. }, Class::Gate) => true,
        (Decision::Fails { is_its_own, .. }, Class::Live) => *is_its_own && hook.kill,
        _ => false,
    }
}

/// Marks all steps as not run, because the call would fail before them.
fn mark_as_not_run(steps: &mut [Step]) {
    let has_a_part =
        |step: &&mut Step| matches!(step.decision, Decision::Run | Decision::Fails { .. });
    for step in steps.iter_mut().filter(has_a_part) {
        step.decision =
            Decision::Skipped("not run: the call fails before its first hook".to_owned());
    }
}

/// Does what the call does up to the start of each hook; returns the warnings.
fn preview_steps(occasion: &Occasion<'_>, steps: &mut [Step]) -> anyhow::Result<Vec<String>> {
    let mut supervisor = Supervisor::new(&[])?;
    let mut exchange = occasion.exchange();
    let mut warnings = Warnings(Vec::new());
    // an error in the settings' `environment_file` is reported with hookmux's own errors
    let (launcher, _) = Launcher::new(occasion, 0, &mut supervisor, &mut exchange, &mut warnings);
    StepRunner::new(launcher, None).preview(steps);
    Ok(warnings.0)
}

/// Collects the warnings of the preview.
struct Warnings(Vec<String>);

impl Observer for Warnings {
    fn observe(&mut self, _: &Execution, notice: &Notice<'_>) {
        let words = match notice {
            Notice::Warning { label, words } => format!("{label}: {words}"),
            Notice::OwnError(words) => (*words).to_owned(),
            _ => return,
        };
        // one for each part of a hook
        if !self.0.contains(&words) {
            self.0.push(words);
        }
    }
}

/// Why a session daemon has so few hooks.
pub(crate) const SESSION_NOTE: &str = "A user's own daemon has only the scripts that libvirt itself would call, because `session` is false in hookmux.yaml.";

/// Checks that this user can read everything that the daemon would read.
fn must_see_all(described: &DescribedCall) -> Result<(), Denied> {
    let settings = &described.loaded.settings;
    rights::must_read_hooks(settings)?;
    let unreadable = described.candidates.unreadable.iter();
    unreadable.into_iter().try_for_each(|one| rights::must_list(&[&one.path]))?;
    rights::must_read_state(settings)
}

fn notes(candidates: &Candidates, document: &Document) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    let is_remote = |hook: &&Hook| hook.registration.as_ref().is_some_and(|it| it.remote);
    let remote = candidates.all().map(|candidate| &candidate.hook).filter(is_remote);
    notes.extend(remote.map(|hook| format!("{}: {REMOTE_HAS_NO_EFFECT}.", hook.label)));
    for broken in &candidates.broken {
        if broken.has_last_good {
            notes.push(format!("{}\nIts last good form is used.", broken.diagnostic));
        } else if !broken.diagnostic.recovered().fails_gates() {
            notes.push(format!("{}\nIt doesn't run, and stops no call.", broken.diagnostic));
        }
    }
    match document {
        Document::Broken(why) => notes.push(format!("The document counts as absent: {why}.")),
        Document::NotRead { why, .. } => {
            notes.push(format!("Only name and uuid of the document are read: {why}."));
        }
        Document::Absent | Document::Whole(_) => {}
    }
    if candidates.is_drop_ins_only {
        notes.push(SESSION_NOTE.to_owned());
    }
    notes.extend(
        candidates.tree_left_to.as_ref().map(|owner| format!("The per-guest tree is {owner}.")),
    );
    notes
}

/// Returns errors of hookmux itself for which a gate would fail.
fn own_errors(described: &DescribedCall, user: u32) -> Vec<String> {
    let hooks = Hooks { loaded: &described.loaded, candidates: &described.candidates };
    let file = described.loaded.settings.environment_file.as_ref();
    let environment = file
        .and_then(|file| launch::read_environment_file(file, user).err())
        .map(|error| error.to_string());
    hooks.own_errors().into_iter().chain(environment).collect()
}

fn device(step: &Step, facts: &DocumentFacts) -> Option<String> {
    step.device
        .and_then(|index| facts.metadata.devices.get(index))
        .map(|device| device.label.clone())
}

fn row(step: &Step, facts: &DocumentFacts, position: &mut usize) -> Vec<Cell> {
    let (order, what) = match &step.decision {
        Decision::Run => {
            *position += 1;
            let result = step.hook.registration.as_deref().map(|one| one.result);
            let result = result.filter(|result| *result != ResultKind::default());
            let result = result.map(|result| format!("; result by {}", result.word()));
            let undone = if step.has(Part::Undo) { "; undone at the end" } else { "" };
            let words = format!("runs{undone}{}", result.unwrap_or_default());
            (position.to_string(), Cell(words, Tone::Good))
        }
        Decision::Fails { status, why, .. } => {
            ("!".to_owned(), Cell(format!("fails ({status}): {why}"), Tone::Bad))
        }
        Decision::Skipped(why) => ("-".to_owned(), Cell(why.clone(), Tone::Dim)),
        Decision::SkippedWithWarning(why) => ("-".to_owned(), Cell(why.clone(), Tone::Warning)),
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

fn json_step(step: &Step, facts: &DocumentFacts, position: &mut usize) -> json::plan::Step {
    let hook = &step.hook;
    let runs = matches!(step.decision, Decision::Run);
    *position += usize::from(runs);
    json::plan::Step {
        planned: PlannedHook {
            hook: hook.label.clone(),
            event: step.event.as_deref().map(str::to_owned),
            device: device(step, facts),
            state: recorder::decision_of(step).into(),
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
    }
}
