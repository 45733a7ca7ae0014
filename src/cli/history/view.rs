//! What `show` tells of an execution, in words: for its text and for its HTML.

use std::path::Path;

use super::jobs::MAX_SEARCHED_EXECUTIONS;
use super::seen::Seen;
use super::{executions, retry};
use crate::cli::output::Tone;
use crate::cli::time;
use crate::command::{Fix, words};
use crate::event::Origin;
use crate::libvirt::Driver;
use crate::machine::{sanitize, ulid};
use crate::observer::{PlanDecision, PlanEntry, UndoneSetup};
use crate::record::form::{Record, RecordBody, RecordCause, RecordHead};
use crate::record::form::{RecordOutcome, RecordState, RunRecord};
use crate::record::history::History;
use crate::record::running::{EndedHook, StartedHook};
use crate::undo;

use super::timeline::name;

/// An execution, with all that is known of it besides its record.
pub(crate) struct Shown<'a> {
    pub record: &'a Record,
    pub seen: &'a Seen,
    pub follow_ups: &'a [Seen],
    pub hooks_dir: &'a Path,
    /// The job by whose id it was asked for.
    pub job: Option<&'a str>,
    /// What was passed over, as a sentence.
    pub passed_over: Option<String>,
    /// How long the job had waited, of an attempt of a detached hook.
    pub queue_us: Option<u64>,
}

impl Shown<'_> {
    /// Names the call: `qemu prepare web1`.
    pub(crate) fn title(&self) -> String {
        let head = &self.record.head;
        format!("{} {}", executions::call(head), head.object).trim_end().to_owned()
    }

    /// Says how it ended. Which hooks run is told below.
    pub(crate) fn result(&self) -> (String, Tone) {
        let (words, tone) = match self.seen.progress.running().is_empty() {
            true => executions::end(self.seen),
            false => ("running".to_owned(), Tone::Warning),
        };
        let head = &self.record.head;
        let origin = executions::untrusted(head);
        let origin = origin.unwrap_or_else(|| executions::elsewhere(head, self.hooks_dir));
        (format!("{words}{origin}"), tone)
    }

    /// Returns what people first ask: a name and a value each.
    pub(crate) fn facts(&self) -> Vec<(&'static str, String)> {
        let Record { head, body } = self.record;
        let mut facts = vec![("execution", head.id.clone())];
        let took = head.duration_us.map(|it| format!(", took {}", time::short_duration(it)));
        let when = time::local(head.began_us / 1_000_000);
        facts.push(("when", format!("{when}{}", took.unwrap_or_default())));
        facts.push(match &head.cause {
            RecordCause::Libvirt => ("called by", body.daemon.clone()),
            RecordCause::Person => ("called by", "`hookmux run`".to_owned()),
            RecordCause::Retry(id) => ("retry of", id.clone()),
            RecordCause::Queue(id) => ("queued by", id.clone()),
            RecordCause::Undo(id) => ("undo of", id.clone()),
            RecordCause::Remote(id) => {
                ("event of", format!("{}, execution {id}", executions::event_of(head)))
            }
            RecordCause::Other { .. } => match head.cause.parent() {
                Some(parent) => ("cause", format!("{} of {parent}", head.cause.name())),
                None => ("cause", head.cause.name().to_owned()),
            },
        });
        if let Some(job) = self.job {
            facts.push(("job", job.to_owned()));
        }
        // everything else is in the result above
        if head.state == RecordState::Lost && self.is_own_call() {
            let answer = "none: libvirt saw hookmux end by a signal, or had ended itself";
            facts.push(("answer", answer.to_owned()));
        }
        facts
    }

    /// Returns what is rarely asked.
    pub(crate) fn more_facts(&self) -> Vec<(&'static str, String)> {
        let Record { head, body } = self.record;
        let mut facts = Vec::new();
        if let (RecordState::Done, Some(status), true) =
            (head.state, head.status, self.is_own_call())
        {
            facts.push(("answer", format!("exit status {status}")));
        }
        if let Some(uuid) = &head.uuid {
            facts.push(("uuid", uuid.clone()));
        }
        let origin = head.origin.as_ref().map(|origin| format!(", origin {origin}"));
        facts.push(("class", format!("{}{}", head.class, origin.unwrap_or_default())));
        let arguments: Vec<_> = body.arguments.iter().map(|argument| argument.lossy()).collect();
        facts.push(("arguments", arguments.join(" ")));
        facts
    }

    /// Tells whether somebody waits for the answer.
    fn is_own_call(&self) -> bool {
        !matches!(
            self.record.head.cause,
            RecordCause::Queue(_) | RecordCause::Undo(_) | RecordCause::Remote(_)
        )
    }

    /// Returns the runs, those that failed first: they are what people look for.
    pub(crate) fn runs(&self) -> (Vec<&RunRecord>, Vec<&RunRecord>) {
        self.record.body.runs.iter().partition(|run| run.outcome.is_failure())
    }

    /// Says how a hook failed, if its own output and the result above it don't.
    pub(crate) fn failure_beside_output(&self, run: &RunRecord) -> Option<String> {
        if !run.outcome.is_failure() {
            return None;
        }
        let failure = run.failure.as_deref()?;
        let in_result = self.record.head.failure.as_deref();
        if in_result == Some(format!("{}: {failure}", run.hook).as_str()) {
            return None;
        }
        // the last line follows
        let stderr = run.stderr.lossy();
        let last = stderr.lines().rev().map(str::trim).find(|line| !line.is_empty());
        let last = last.map(|line| format!(": {}", sanitize::line(line.as_bytes())));
        let without = last.as_deref().and_then(|last| failure.strip_suffix(last));
        Some(without.unwrap_or(failure).to_owned())
    }

    /// Tells whether libvirt got something on standard error that isn't shown with the hooks.
    pub(crate) fn has_told_more(&self) -> bool {
        let body = &self.record.body;
        !body.stderr.0.is_empty() && !is_shown_above(body)
    }

    /// Says what to do after a failure, in sentences. Undos that failed stay owed, and `retry` doesn't run them.
    pub(crate) fn ways_on(&self) -> Vec<Vec<Part>> {
        let head = &self.record.head;
        if head.state != RecordState::Done || !self.seen.is_open_failure() {
            return Vec::new();
        }
        let mut failed = head.hooks.iter().filter(|hook| hook.outcome.is_failure());
        let has_undo = failed.clone().any(|hook| undo::is_label(&hook.hook));
        let has_other = failed.any(|hook| !undo::is_label(&hook.hook));
        let words = |words: &str| Part::Words(words.to_owned());
        let owed = has_undo.then(|| {
            let undo = Fix::about_guest(self.hooks_dir, "undo", &head.object);
            vec![
                words("What couldn't be undone is still owed: "),
                Part::Command(undo),
                words(" tries it again."),
            ]
        });
        let repeat = (has_other || !has_undo).then(|| how_to_repeat(self.hooks_dir, self.record));
        owed.into_iter().chain(repeat).collect()
    }

    /// Returns the command that ends it, while it runs.
    pub(crate) fn stop(&self) -> Fix {
        Fix::hookmux(self.hooks_dir, &["stop", self.record.head.id.as_str()])
    }

    /// Returns what was planned: what became of each hook, and why.
    pub(crate) fn plan(&self) -> Vec<PlannedLine> {
        let Record { head, body } = self.record;
        body.plan.iter().map(|planned| self.planned(planned, head, body)).collect()
    }

    fn planned(&self, planned: &PlanEntry, head: &RecordHead, body: &RecordBody) -> PlannedLine {
        let is_it =
            |hook: &str, device: &Option<String>| hook == planned.hook && *device == planned.device;
        let progress = &self.seen.progress;
        let mut runs = body.runs.iter().filter(|run| is_it(&run.hook, &run.device));
        let ended = |it: &EndedHook| is_it(&it.hook, &it.device);
        let running = |it: &StartedHook| is_it(&it.hook, &it.device);
        let (fate, why) = match planned.decision {
            PlanDecision::Out | PlanDecision::Stopped => {
                (Fate::NotRun, planned.reason.clone().unwrap_or_default())
            }
            PlanDecision::Unknown => {
                let why = planned.reason.clone();
                (Fate::Unknown, why.unwrap_or("it isn't known what became of it".to_owned()))
            }
            _ if progress.running().iter().any(running) => (Fate::Runs, String::new()),
            _ if progress.ended.iter().any(ended) => (Fate::Ran, String::new()),
            PlanDecision::Run | PlanDecision::Fail if !head.state.is_over() => {
                let words = match head.state {
                    RecordState::Running => "hasn't run yet",
                    _ => "was planned to run",
                };
                (Fate::Unknown, words.to_owned())
            }
            PlanDecision::Run | PlanDecision::Fail => match runs.next() {
                Some(run) if run.outcome == RecordOutcome::Queued => (Fate::Queued, String::new()),
                Some(run) if run.start_us.is_none() && run.outcome.is_failure() => {
                    (Fate::NotStarted, run.failure.clone().unwrap_or_default())
                }
                Some(_) => (Fate::Ran, String::new()),
                None => (Fate::Unknown, planned.reason.clone().unwrap_or_default()),
            },
        };
        PlannedLine { name: name(&planned.hook, planned.device.as_deref()), fate, why }
    }
}

/// A hook that the call could have run.
pub(crate) struct PlannedLine {
    pub name: String,
    pub fate: Fate,
    pub why: String,
}

/// What became of a hook that was planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Ran,
    Runs,
    Queued,
    /// It counts as failed.
    NotStarted,
    NotRun,
    Unknown,
}

impl Fate {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Fate::Ran => "ran",
            Fate::Runs => "runs now",
            Fate::Queued => "queued",
            Fate::NotStarted => "failed before its start",
            Fate::NotRun => "not run",
            Fate::Unknown => "unknown",
        }
    }
}

/// Describes how a run ended.
pub(crate) fn ended(run: &RunRecord) -> (String, Tone) {
    let changed = if run.changed_document { ", changed the document" } else { "" };
    match run.outcome {
        RecordOutcome::Queued => {
            let job = run.job.as_deref().unwrap_or_default();
            (format!("queued as {job}"), Tone::Plain)
        }
        RecordOutcome::Failure | RecordOutcome::Timeout => {
            (run.failure.clone().unwrap_or_default(), Tone::Bad)
        }
        RecordOutcome::Success => (format!("exit status 0{changed}"), Tone::Good),
        // runs are never bypassed, so this is a word of another version
        RecordOutcome::Bypassed | RecordOutcome::Unknown => {
            let failure = run.failure.clone().map(|failure| format!(": {failure}"));
            let failure = failure.unwrap_or_default();
            (format!("how it ended isn't known{failure}{changed}"), Tone::Warning)
        }
    }
}

/// Says what an undo takes back.
pub(crate) fn undone(undo: &UndoneSetup) -> String {
    let UndoneSetup { hook, execution, is_done, is_again, set_up_for } = undo;
    let outcome = match is_done {
        true => "the hook had succeeded",
        false => "how the hook ended isn't known",
    };
    let again = if *is_again { "; an earlier try was interrupted" } else { "" };
    let shared = set_up_for.as_ref().map(|guest| {
        format!("; guests share it: it was set up for {guest}, and this was the last one that held a share")
    });
    format!(
        "takes back what {hook} set up in {execution}: {outcome}{again}{}",
        shared.unwrap_or_default()
    )
}

/// Tells whether what libvirt got on standard error says nothing but the failures of hooks and what these
/// have printed, which stands above.
fn is_shown_above(body: &RecordBody) -> bool {
    let mut shown: Vec<String> = Vec::new();
    for run in body.runs.iter().filter(|run| run.outcome.is_failure()) {
        let failure = run.failure.as_deref().unwrap_or_default();
        shown.push(format!("hookmux: {}: {failure}", run.hook));
        shown.push(format!("--- the end of what {} said:", run.hook));
        let text = run.stderr.lossy();
        shown.extend(text.lines().map(|line| sanitize::printed_line(line.trim_end())));
    }
    let told = body.stderr.lossy();
    told.lines().all(|line| shown.iter().any(|known| known == line.trim_end()))
}

/// A part of a sentence.
pub(crate) enum Part {
    Words(String),
    Command(Fix),
}

/// Returns a sentence as text, with its commands between grave accents.
pub(crate) fn sentence(parts: &[Part]) -> String {
    let part = |part: &Part| match part {
        Part::Words(words) => words.clone(),
        Part::Command(command) => format!("`{command}`"),
    };
    parts.iter().map(part).collect()
}

/// Says how the hooks run again. libvirt itself calls the hooks of a gate again, and only
/// libvirt waits for their answer, so `retry` refuses gates without `--force`.
fn how_to_repeat(hooks_dir: &Path, record: &Record) -> Vec<Part> {
    let retry = |more: &[&str]| {
        Part::Command(Fix::hookmux(
            hooks_dir,
            &[&["retry", record.head.id.as_str()], more].concat(),
        ))
    };
    let words = |words: &str| Part::Words(words.to_owned());
    if !retry::is_refused(record) {
        return vec![retry(&[]), words(" runs the same hooks again.")];
    }
    let mut parts = match libvirts_command(&record.head) {
        Some(command) => {
            vec![Part::Command(command), words(" makes libvirt call it again. ")]
        }
        None => vec![words("When libvirt makes this call again, its hooks run again. ")],
    };
    parts.push(retry(&["--force"]));
    parts.push(words(" runs only the hooks, and their answer has no effect."));
    parts
}

/// Returns the command that makes libvirt call a gate of a start again.
fn libvirts_command(head: &RecordHead) -> Option<Fix> {
    let is_start = matches!(head.operation.as_str(), "prepare" | "start");
    // only whoever migrates a guest can do that again
    if !is_start || head.origin.as_deref() == Some(Origin::Migration.name()) {
        return None;
    }
    let name = head.object.as_str();
    Some(match Driver::from_name(&head.driver)? {
        Driver::Qemu => Fix::run(&words!["virsh", "start", name]),
        Driver::Lxc => Fix::run(&words!["virsh", "-c", "lxc:///system", "start", name]),
        Driver::Libxl => Fix::run(&words!["virsh", "-c", "xen:///system", "start", name]),
        Driver::Network => Fix::run(&words!["virsh", "net-start", name]),
        Driver::Bhyve | Driver::Daemon => return None,
    })
}

/// Returns how long an attempt of a detached hook had waited in the queue, in microseconds: since the job was made,
/// or since the attempt before.
pub(crate) fn time_in_queue(record: &Record, history: &History) -> Option<u64> {
    let head = &record.head;
    let RecordCause::Queue(parent) = &head.cause else { return None };
    let hook = head.hooks.first().map(|hook| hook.hook.as_str())?;
    let job_of = |runs: &[RunRecord]| runs.iter().find(|run| run.hook == hook)?.job.clone();
    let job =
        job_of(&record.body.runs).or_else(|| job_of(&history.record(parent).ok()?.body.runs))?;
    let queued_us = ulid::unix_milliseconds(&job)?.saturating_mul(1000);
    let older = history.newest().skip_while(|id| *id >= head.id).take_while(|id| id > parent);
    let mut attempts = older.take(MAX_SEARCHED_EXECUTIONS).filter_map(|id| history.head(&id).ok());
    let before = attempts.find(|other| {
        other.cause == head.cause && other.hooks.iter().any(|other| other.hook == hook)
    });
    let ended_us = before.map(|it| it.began_us.saturating_add(it.duration_us.unwrap_or_default()));
    Some(head.began_us.saturating_sub(queued_us.max(ended_us.unwrap_or_default())))
}
