//! `hookmux retry`: runs the hooks of an execution again, with the same input, and as they were registered
//! then.

mod document;
mod recorded;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use self::recorded::RecordedHooks;
use super::executions;
use super::hook_history::{self, Subject};
use super::which::{self, Choice, Found};
use crate::call::{Handling, Hooks, door};
use crate::cli::args::{Format, RetryArgs};
use crate::cli::hooks::described_call;
use crate::cli::hooks::run::{Trial, show_answer};
use crate::cli::json::change::ChangeSummary;
use crate::cli::json::message::Message;
use crate::cli::json::run::{ChangedProgram, Ran, RegistrationNow, RegistrationUsed};
use crate::cli::json::run::{Retried, RetriedRegistration};
use crate::cli::output::{Output, Tone};
use crate::cli::remark::Remark;
use crate::cli::{CommandEnd, CommandPlace, question};
use crate::command::Fix;
use crate::config::settings::RecordPolicy;
use crate::config::{Settings, Surroundings};
use crate::document::facts::DocumentFacts;
use crate::document::file::{self, DocumentPlace};
use crate::event::Origin;
use crate::hook::candidates::{self, Candidate, Candidates};
use crate::libvirt::{Call, Class, Driver};
use crate::observer::PlanDecision;
use crate::occasion::{CallMode, Occasion};
use crate::record::form::{Record, RecordBody, RecordCause, RecordHead, RecordState};
use crate::record::history::{History, is_hook};
use crate::record::recorder;
use crate::record::text::RecordText;
use crate::run::left_rollback;
use crate::search::EntryState;
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
    let (found, named) = named(place, arguments, &loaded.settings, &history, output)?;
    if arguments.output.format == Format::Text {
        let passed_over = found.passed_over_words();
        passed_over.iter().for_each(|words| output.toned(Tone::Dim, words));
    }
    let record = found.record;
    let Record { head, body } = &record;
    let theirs = Path::new(OsStr::from_bytes(&body.hooks_dir.0));
    if theirs != place.surroundings.hooks_dir {
        let words = format!("{} is of the hooks in {}", head.id, theirs.display());
        bail!(Remark::followed_by(&words, Some(Fix::hookmux(theirs, &["retry", &head.id]))));
    }
    let call = call(head, body)?;
    if head.state == RecordState::Running {
        bail!("{} isn't over yet", head.id);
    }
    if !arguments.force {
        check_allowed(&call, head)?;
    }
    let wanted = select_hooks(&record, &named)?;
    let selection = select(place, arguments, &record, (&call, &wanted), &loaded.settings, output)?;
    let Selection { candidates, missing, registrations, mut remarks } = match selection {
        Ok(selection) => selection,
        Err(end) => return Ok(end),
    };
    let changed_programs = changed_programs(&record.body, &candidates, &mut remarks);
    let active = candidates.all().filter(|candidate| candidate.state == EntryState::Active);
    let labels: Vec<String> = active.map(|candidate| candidate.hook.label.clone()).collect();
    if arguments.dry_run {
        let retried = Retried {
            ran: Ran::nothing(Message::all(&remarks)),
            parent: record.head.id.clone(),
            missing,
            registrations,
            changed_programs,
            summary: ChangeSummary::new(!labels.is_empty(), true),
            hooks: labels,
        };
        return Ok(preview(retried, arguments.output.format, output));
    }
    let (document, remark) = document::of_retry(&record, arguments.masked, &place.surroundings)?;
    remarks.extend(remark);
    let is_text = arguments.output.format == Format::Text;
    if is_text {
        remarks.iter().for_each(|remark| output.print_error(&remark.words));
    }
    let Record { head, body } = record;
    let surroundings = surroundings_of(&place.surroundings, &body);
    // a retry is always recorded, whatever the settings say about calls
    loaded.settings.record = RecordPolicy::All;
    if is_text {
        let line = format!("{} {}, as of {}", executions::call(&head), head.object, head.id);
        output.toned(Tone::Bold, &line);
    }
    door::prepare_process();
    output.ignore_closed_output();
    let started =
        StartedDocument::make(&loaded.settings.runtime_dir, body.started_document.as_ref())?;
    let facts = DocumentFacts::of(document);
    let mut occasion = Occasion::new(&call, &loaded.settings, &surroundings, facts);
    occasion.mode = CallMode::Trial {
        origin: head.origin.as_deref().and_then(Origin::from_name),
        started: started.path(),
    };
    let hooks = Handling::Hooks(Hooks { loaded: &loaded, candidates: &candidates });
    let trial = Trial::make(occasion, hooks, RecordCause::Retry(head.id.clone()), is_text, output);
    let is_good = trial.is_good() && missing.is_empty();
    let end = if is_good { CommandEnd::Good } else { CommandEnd::Problem };
    if is_text {
        show_answer(&trial, output);
    } else {
        let mut ran = trial.json();
        ran.notes.extend(Message::all(&remarks));
        output.json(&Retried {
            ran,
            parent: head.id,
            missing,
            registrations,
            changed_programs,
            summary: ChangeSummary::new(!labels.is_empty(), false),
            hooks: labels,
        });
    }
    Ok(end)
}

/// Shows what a retry would run.
fn preview(retried: Retried, format: Format, output: &mut Output) -> CommandEnd {
    let end = match retried.missing.is_empty() {
        true => CommandEnd::Idle,
        false => CommandEnd::Problem,
    };
    if format == Format::Json {
        output.json(&retried);
        return end;
    }
    for note in &retried.ran.notes {
        output.print_error(&note.message);
    }
    output.toned(Tone::Bold, &format!("of {}:", retried.parent));
    for hook in &retried.hooks {
        output.line(&format!("  {hook} would run"));
    }
    output.line("nothing was run: --dry-run");
    end
}

/// Finds the execution that the words name, and the hooks of it that they name; none are all of them.
fn named(
    place: &CommandPlace,
    arguments: &RetryArgs,
    settings: &Settings,
    history: &History,
    output: &mut Output,
) -> anyhow::Result<(Found, Vec<String>)> {
    let RetryArgs { id, conditions, since, hook, .. } = arguments;
    let word = id.as_deref().unwrap_or("last");
    if let Some(id) = &arguments.execution {
        let found = which::named(settings, history, id)?;
        return Ok((found, vec![word.to_owned()]));
    }
    if conditions.is_any() || since.is_some() {
        // the first of the hooks that are to run says which execution is meant, too
        let choice = Choice { word: id.as_deref(), conditions, hook: hook.first(), since: *since };
        let found = choice.find(history, output)?;
        let of_word = id.iter().filter(|word| *word != "last").cloned();
        return Ok((found, of_word.chain(hook.iter().cloned()).collect()));
    }
    match hook_history::subject(place, settings, history, ("retry", word))? {
        Subject::Execution => Ok((which::named(settings, history, word)?, hook.clone())),
        // nothing is run that may not have been meant
        Subject::Hook(hook) if hook.execution.is_some() => {
            let id = hook.execution.unwrap_or_default();
            bail!("`{word}` is a hook, and a part of the id of an execution: {id}; give a whole id")
        }
        Subject::Hook(hook) => match hook.last(history) {
            Some((id, labels)) => Ok((which::named(settings, history, &id)?, labels)),
            None => bail!("no execution of {word} is recorded"),
        },
    }
}

/// The hooks to run, and what is to be said about them.
struct Selection {
    candidates: Candidates,
    /// The labels of those that are gone.
    missing: Vec<String>,
    registrations: Vec<RetriedRegistration>,
    remarks: Vec<Remark>,
}

/// Finds the wanted hooks of a call. Asks about those that would not run today; where the answer is no,
/// returns how the command ends.
fn select(
    place: &CommandPlace,
    arguments: &RetryArgs,
    record: &Record,
    (call, wanted): (&Call, &[String]),
    settings: &Settings,
    output: &mut Output,
) -> anyhow::Result<Result<Selection, CommandEnd>> {
    let beside = described_call::is_beside(place, call.driver);
    let mut trust = Trust::new(place.surroundings.user);
    let mut candidates = candidates::find(call, settings, &trust, beside);
    let mut recorded = match arguments.today || candidates.is_drop_ins_only {
        true => RecordedHooks::default(),
        false => recorded::find(record, wanted, settings, &mut trust),
    };
    let mut answered: Vec<String> = Vec::new();
    if !recorded.gone.is_empty() {
        let gone = recorded.gone.join("; ");
        let question = format!("{gone}. Run what was registered then?");
        let format = arguments.output.format;
        let is_answered = arguments.force || arguments.dry_run;
        if let Some(end) = question::ask_by("--force", &question, is_answered, format, output) {
            return Ok(Err(end));
        }
        if is_answered {
            // a preview answers for nobody
            let by = if arguments.force { "" } else { ", with --force" };
            let say = |gone: &String| format!("{gone}; what was registered then runs{by}");
            answered = recorded.gone.iter().map(say).collect();
        }
    }
    let mut registrations = std::mem::take(&mut recorded.registrations);
    let mut remarks = std::mem::take(&mut recorded.remarks);
    // who answered by an option hasn't read the question
    remarks.extend(answered.into_iter().map(Remark::from));
    recorded.put_into(&mut candidates, call);
    let missing = keep_only(&mut candidates, wanted);
    let mut enable = None;
    let is_idle =
        |it: &&Candidate| it.state != EntryState::Active && it.hook.registration.is_some();
    let idle = candidates.all().filter(is_idle).map(|candidate| &candidate.hook.label);
    for label in missing.iter().chain(idle) {
        match recorded::disabled(label, settings, &mut trust) {
            Some((name, why)) => {
                let fix = Fix::hookmux(&settings.hooks_dir, &["enable", name.as_str()]);
                output.print_error(&format!("{label} is {why}; `{fix}` lets it run again"));
                enable = Some(fix);
            }
            None if missing.contains(label) => {
                output.print_error(&format!("{label} is not a hook of this call any more"));
            }
            None => {}
        }
    }
    if !arguments.today {
        // they are others', or those of hooks that run as they were
        candidates.broken.clear();
    }
    if candidates.is_empty() {
        match enable {
            Some(fix) => {
                let words = format!("no hook is left to run; `{fix}` lets one run again");
                bail!(Remark::with_fix(words, fix))
            }
            None => bail!("all of these hooks are gone"),
        }
    }
    if !arguments.today {
        add_todays(record, &candidates, &mut registrations, &mut remarks);
    }
    Ok(Ok(Selection { candidates, missing, registrations, remarks }))
}

/// Says which hooks run by today's registration because the record doesn't have another.
fn add_todays(
    record: &Record,
    candidates: &Candidates,
    registrations: &mut Vec<RetriedRegistration>,
    remarks: &mut Vec<Remark>,
) {
    for hook in candidates.all().map(|candidate| &candidate.hook) {
        let Some(registration) = &hook.registration else { continue };
        if registrations.iter().any(|known| known.hook == hook.label) {
            continue;
        }
        if record.head.registrations.is_none() {
            let words = format!(
                "{}: hookmux {} recorded it without its registration: today's is used",
                hook.label, record.head.version
            );
            remarks.push(words.into());
        } else if record.head.registration_of(&hook.label).is_none() {
            let words =
                format!("{} was a script then, and is registered today: that is used", hook.label);
            remarks.push(words.into());
        }
        registrations.push(RetriedRegistration {
            hook: hook.label.clone(),
            registration: Some(registration.source.display().to_string()),
            used: RegistrationUsed::Today,
            now: RegistrationNow::Unknown,
        });
    }
}

/// Says which programs aren't those that ran then.
fn changed_programs(
    body: &RecordBody,
    candidates: &Candidates,
    remarks: &mut Vec<Remark>,
) -> Vec<ChangedProgram> {
    let mut changed: Vec<ChangedProgram> = Vec::new();
    for hook in candidates.all().map(|candidate| &candidate.hook) {
        let Some(run) = body.runs.iter().find(|run| run.hook == hook.label) else { continue };
        let (before, now) = (Path::new(OsStr::from_bytes(&run.path.0)), hook.path.as_path());
        let sha256 = recorder::sha256(now);
        let is_other = run.sha256.is_some() && run.sha256 != sha256;
        // of one that is gone the run itself says so
        if (before == now && !is_other) || !now.exists() {
            continue;
        }
        let digest =
            |sha256: &Option<String>| sha256.clone().unwrap_or_else(|| "unknown".to_owned());
        let what = match before == now {
            true => format!("{} has been changed since", now.display()),
            false => format!("it was {} then, and is {} now", before.display(), now.display()),
        };
        remarks.push(
            format!(
                "{}: {what}: sha256 {} then, {} now",
                hook.label,
                digest(&run.sha256),
                digest(&sha256)
            )
            .into(),
        );
        changed.push(ChangedProgram {
            hook: hook.label.clone(),
            path_then: before.display().to_string(),
            path_now: now.display().to_string(),
            sha256_then: run.sha256.clone(),
            sha256_now: sha256,
        });
    }
    changed
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
fn select_hooks(record: &Record, named: &[String]) -> anyhow::Result<Vec<String>> {
    let Record { head, body } = record;
    let ran = head.hooks.iter().map(|hook| hook.hook.as_str());
    let stopped = body.plan.iter().filter(|planned| planned.decision == PlanDecision::Stopped);
    let mut labels: Vec<String> = Vec::new();
    for label in ran.chain(stopped.map(|planned| planned.hook.as_str())) {
        let is_of_another = left_rollback::is_label(label) || undo::is_label(label);
        if !is_of_another && !labels.iter().any(|known| known == label) {
            labels.push(label.to_owned());
        }
    }
    if labels.is_empty() && head.hooks.iter().any(|hook| undo::is_label(&hook.hook)) {
        bail!(
            "only undos ran in {}, and a retry runs none: `hookmux undo --list` shows which are still owed",
            head.id
        );
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
