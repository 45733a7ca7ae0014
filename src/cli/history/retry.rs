//! `hookmux retry`: runs the hooks of an execution again, with the same input.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::executions;
use crate::call::{Hooks, door};
use crate::cli::args::{Format, RetryArgs};
use crate::cli::hooks::described_call;
use crate::cli::hooks::run::{Trial, show_answer};
use crate::cli::json::run::Retried;
use crate::cli::output::{Output, Tone};
use crate::cli::remark::Remark;
use crate::cli::{CommandEnd, CommandPlace};
use crate::command::Fix;
use crate::config::Surroundings;
use crate::config::settings::RecordPolicy;
use crate::document::facts::DocumentFacts;
use crate::document::file::{self, DocumentPlace};
use crate::event::Origin;
use crate::hook::candidates::{self, Candidates};
use crate::libvirt::{Call, Class, Document, Driver};
use crate::observer::PlanDecision;
use crate::occasion::{CallMode, Occasion};
use crate::record::form::{Record, RecordBody, RecordCause, RecordHead, RecordState};
use crate::record::history::is_hook;
use crate::record::text::RecordText;
use crate::run::left_rollback;
use crate::state::Dir;
use crate::trust::Trust;
use crate::undo;

pub(crate) fn run(
    place: &CommandPlace,
    arguments: &RetryArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let mut loaded = place.load(output);
    loaded.restrict_to_user(&place.surroundings);
    let history = executions::history(&loaded.settings, output)?;
    let Record { head, body } = executions::find_one(&history, &arguments.id)?;
    let theirs = Path::new(OsStr::from_bytes(&body.hooks_dir.0));
    if theirs != place.surroundings.hooks_dir {
        let words = format!("{} is of the hooks in {}", head.id, theirs.display());
        bail!(Remark::followed_by(&words, Some(Fix::hookmux(theirs, &["retry", &head.id]))));
    }
    let call = call(&head, &body)?;
    if head.state == RecordState::Running {
        bail!("{} isn't over yet", head.id);
    }
    if !arguments.force {
        check_allowed(&call, &head)?;
    }
    let wanted = select_hooks(&head, &body, &arguments.hook)?;
    let beside = described_call::is_beside(place, call.driver);
    let trust = Trust::new(place.surroundings.user);
    let mut candidates = candidates::find(&call, &loaded.settings, &trust, beside);
    let missing = keep_only(&mut candidates, &wanted);
    for label in &missing {
        output.print_error(&format!("{label} is not a hook of this call any more"));
    }
    if candidates.is_empty() {
        bail!("all of these hooks are gone");
    }
    if body.left_out.is_some() {
        output.print_error("the document of this execution wasn't kept: hooks get none");
    } else if is_masked(&body) {
        output.print_error("passwords in the document were not kept: hooks get `***` instead");
    }
    let surroundings = surroundings_of(&place.surroundings, &body);
    // a retry is always recorded, whatever the settings say about calls
    loaded.settings.record = RecordPolicy::All;
    let is_text = arguments.output.format == Format::Text;
    if is_text {
        let line = format!("{} {}, as of {}", executions::call(&head), head.object, head.id);
        output.toned(Tone::Bold, &line);
    }
    door::prepare_process();
    output.ignore_closed_output();
    let started =
        StartedDocument::make(&loaded.settings.runtime_dir, body.started_document.as_ref())?;
    let document = body.document.map_or(Document::Absent, |text| Document::Whole(text.0));
    let facts = DocumentFacts::of(document);
    let mut occasion = Occasion::new(&call, &loaded.settings, &surroundings, facts);
    occasion.mode = CallMode::Trial {
        origin: head.origin.as_deref().and_then(Origin::from_name),
        started: started.path(),
    };
    let hooks = Hooks { loaded: &loaded, candidates: &candidates };
    let trial = Trial::make(occasion, hooks, RecordCause::Retry(head.id.clone()), is_text, output);
    let is_good = trial.is_good() && missing.is_empty();
    let end = if is_good { CommandEnd::Good } else { CommandEnd::Problem };
    if is_text {
        show_answer(&trial, output);
        if let Some(id) = &trial.id {
            let show = Fix::hookmux(&place.surroundings.hooks_dir, &["show", id]);
            output.line(&format!("`{show}` shows all of it"));
        }
    } else {
        output.json(&Retried { ran: trial.json(), parent: head.id, missing });
    }
    Ok(end)
}

fn call(head: &RecordHead, body: &RecordBody) -> anyhow::Result<Call> {
    let Some(driver) = Driver::from_name(&head.driver) else {
        bail!("{} is of a driver that this version doesn't know: {}", head.id, head.driver);
    };
    let arguments: Vec<OsString> = body.arguments.iter().map(RecordText::os).collect();
    if arguments.is_empty() {
        bail!("the arguments of {} were not kept", head.id);
    }
    Ok(Call::new(driver, arguments))
}

/// Tells whether an execution can be run again only with `--force`.
pub(crate) fn is_refused(record: &Record) -> bool {
    call(&record.head, &record.body).is_ok_and(|call| check_allowed(&call, &record.head).is_err())
}

/// Refuses calls that a retry can't repeat.
fn check_allowed(call: &Call, head: &RecordHead) -> anyhow::Result<()> {
    // nothing waits for the answer of a job's attempt
    if matches!(head.cause, RecordCause::Queue(_)) {
        return Ok(());
    }
    if call.is_filter() {
        bail!(
            "{} is a call that may change the document: a changed one would be ignored now, and \
             passwords in it were not kept; --force runs its hooks anyway",
            executions::call(head)
        );
    }
    if call.class() == Class::Gate {
        bail!(
            "{} is a gate: the operation that it allowed or stopped is over, and hooks that set something up \
             would do so for a guest that may never start; --force runs them anyway",
            executions::call(head)
        );
    }
    Ok(())
}

/// Selects the hooks to run: those that ran, or would have run if an earlier hook hadn't ended the call; or
/// of these the ones that were named.
fn select_hooks(
    head: &RecordHead,
    body: &RecordBody,
    named: &[String],
) -> anyhow::Result<Vec<String>> {
    let ran = head.hooks.iter().map(|hook| hook.hook.as_str());
    let stopped = body.plan.iter().filter(|planned| planned.decision == PlanDecision::Stopped);
    let mut labels: Vec<String> = Vec::new();
    for label in ran.chain(stopped.map(|planned| planned.hook.as_str())) {
        let is_of_another = left_rollback::is_label(label) || undo::is_label(label);
        if !is_of_another && !labels.iter().any(|known| known == label) {
            labels.push(label.to_owned());
        }
    }
    if labels.is_empty() {
        bail!("no hook ran in {}", head.id);
    }
    for name in named {
        if !labels.iter().any(|label| is_hook(label, name)) {
            bail!("{name} did not run in {}; these did: {}", head.id, labels.join(", "));
        }
    }
    labels.retain(|label| named.is_empty() || named.iter().any(|name| is_hook(label, name)));
    Ok(labels)
}

/// Keeps only the wanted candidates; returns the labels of those that are gone.
fn keep_only(candidates: &mut Candidates, wanted: &[String]) -> Vec<String> {
    let mut there: Vec<String> = Vec::new();
    for moment in &mut candidates.groups {
        moment.candidates.retain(|candidate| wanted.contains(&candidate.hook.label));
        there.extend(moment.candidates.iter().map(|candidate| candidate.hook.label.clone()));
    }
    candidates.groups.retain(|moment| !moment.candidates.is_empty());
    wanted.iter().filter(|label| !there.contains(label)).cloned().collect()
}

fn is_masked(body: &RecordBody) -> bool {
    let has = |text: &RecordText| memchr::memmem::find(&text.0, b"passwd=").is_some();
    body.document.as_ref().is_some_and(has)
}

/// Returns the surroundings with the environment that the hooks had then.
fn surroundings_of(here: &Surroundings, body: &RecordBody) -> Surroundings {
    Surroundings {
        path: body.path.as_ref().map(RecordText::os),
        daemons_home: body.home.as_ref().map(RecordText::os),
        daemon: body.daemon.clone().into(),
        ..here.clone()
    }
}

/// A file with the document of `started`, kept while the hooks run.
struct StartedDocument(Option<DocumentPlace>);

impl StartedDocument {
    fn make(runtime_dir: &Dir, document: Option<&RecordText>) -> anyhow::Result<StartedDocument> {
        let Some(document) = document else { return Ok(StartedDocument(None)) };
        let place = file::place(runtime_dir, &crate::machine::ulid::new());
        file::make_private(&place, &document.0, None)
            .with_context(|| format!("{} can't be written", place.named().display()))?;
        Ok(StartedDocument(Some(place)))
    }

    fn path(&self) -> Option<PathBuf> {
        Some(self.0.as_ref()?.named().join(file::FILE_NAME))
    }
}

impl Drop for StartedDocument {
    fn drop(&mut self) {
        if let Some(place) = &self.0 {
            file::remove(place);
        }
    }
}
