//! Which execution is meant: by an id, by the id of a job, by `last`, or by conditions.

use std::io;

use anyhow::bail;

use super::executions::{self, short};
use super::selection::{self, Wanted};
use crate::cli::args::ConditionArgs;
use crate::cli::output::Output;
use crate::config::Settings;
use crate::queue::Queue;
use crate::record::form::{Record, RecordCause, RecordHead, RecordOutcome, RecordState};
use crate::record::history::{Filter, History, IdPart, is_failed};

/// How many executions are searched for a job.
const MAX_SEARCHED_EXECUTIONS: usize = 10_000;
/// How many executions that are passed over are named.
const MAX_NAMED: usize = 3;
/// The operations that libvirt calls after a failure, too.
const AFTER_FAILURE: [&str; 2] = ["stopped", "release"];

/// The execution that is meant.
pub(crate) struct Found {
    pub record: Record,
    /// The job by whose id it was found.
    pub job: Option<String>,
    /// Newer ones that aren't meant, and why.
    pub passed_over: Vec<PassedOver>,
}

/// An execution that is newer than the one that is meant.
pub(crate) struct PassedOver {
    pub id: String,
    /// As a phrase: `a retry`, `release of web1 after its failed prepare`.
    pub what: String,
}

impl Found {
    fn of(record: Record) -> Found {
        Found { record, job: None, passed_over: Vec::new() }
    }

    /// Says in a line what was passed over.
    pub(crate) fn passed_over_words(&self) -> Option<String> {
        if self.passed_over.is_empty() {
            return None;
        }
        let named = self.passed_over.iter().take(MAX_NAMED);
        let named: Vec<String> =
            named.map(|it| format!("{} ({})", it.what, short(&it.id))).collect();
        let more = self.passed_over.len() - named.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Some(format!("Passed over, though newer: {}{more}", named.join(", ")))
    }
}

/// Finds the execution that a word names: an id or a part of one, of an execution or a job, or `last`.
///
/// # Errors
/// The word names none, or more than one.
pub(crate) fn named(settings: &Settings, history: &History, word: &str) -> anyhow::Result<Found> {
    if word == "last" {
        return match newest(history, &Filter::default())? {
            Some(found) => Ok(found),
            None => bail!("there is no execution yet"),
        };
    }
    let part = IdPart::of(word);
    let is_there = match part.whole() {
        Some(id) => {
            !matches!(history.head(&id), Err(error) if error.kind() == io::ErrorKind::NotFound)
        }
        None => !history.find_ids(word).is_empty(),
    };
    if !is_there {
        if let Some((id, job)) = of_job(settings, history, &part) {
            let record = match history.record(&id) {
                Ok(record) => record,
                Err(_) => bail!(
                    "job {job} is of {id}, whose record is gone; `hookmux queue` shows the job"
                ),
            };
            return Ok(Found { job: Some(job), ..Found::of(record) });
        }
    }
    executions::find_one(history, word).map(Found::of)
}

/// Finds the execution that queued a job. Returns its id, and that of the job.
pub(crate) fn of_job(
    settings: &Settings,
    history: &History,
    part: &IdPart,
) -> Option<(String, String)> {
    let queue = Queue::new(&settings.state_dir);
    let waiting = queue.names().map(|names| names.ids).unwrap_or_default();
    let waiting = waiting.into_iter().filter(|id| part.is_of(&id.to_ascii_uppercase()));
    let mut queued = waiting.filter_map(|id| Some((queue.head(&id).ok()?.execution, id)));
    if let Some(found) = queued.next() {
        return Some(found);
    }
    // the job's id is a little later than that of its call
    let newest = part.whole();
    let heads = history.heads(None);
    let heads = heads.filter(|head| newest.as_ref().is_none_or(|newest| head.id <= *newest));
    for head in heads.take(MAX_SEARCHED_EXECUTIONS) {
        let may_have = matches!(head.cause, RecordCause::Queue(_))
            || head.hooks.iter().any(|hook| hook.outcome == RecordOutcome::Queued);
        if !may_have {
            continue;
        }
        let Ok(record) = history.record(&head.id) else { continue };
        let jobs = record.body.runs.iter().filter_map(|run| run.job.as_ref());
        if let Some(job) = jobs.into_iter().find(|job| part.is_of(&job.to_ascii_uppercase())) {
            let call = record.head.cause.parent().unwrap_or(&record.head.id);
            // the call may be gone before its last try
            let id = if history.head(call).is_ok() { call } else { &record.head.id };
            return Some((id.to_owned(), job.clone()));
        }
    }
    None
}

/// Finds the newest call for which a filter holds, and in which a hook had a part. Newer ones that people
/// rarely mean are passed over: what libvirt calls after a failure, retries, runs by hand, attempts of detached
/// hooks. Where there is nothing else, the newest of these is meant.
///
/// # Errors
/// Its record can't be read.
pub(crate) fn newest(history: &History, filter: &Filter) -> anyhow::Result<Option<Found>> {
    let is_about_operation =
        filter.operation.is_some() || filter.event.is_some() || filter.hook.is_some();
    let mut passed_over: Vec<PassedOver> = Vec::new();
    let mut without_hook: Option<String> = None;
    for seen in super::seen::all(history, filter.since) {
        let head = &seen.head;
        let is_failed_enough = !filter.is_failed || seen.is_open_failure();
        if !filter.holds(head) || !is_failed_enough {
            continue;
        }
        if !has_hook(history, head) {
            without_hook.get_or_insert_with(|| head.id.clone());
            continue;
        }
        let why = match &head.cause {
            RecordCause::Retry(_) => Some("a retry".to_owned()),
            RecordCause::Person => Some("a run by hand".to_owned()),
            RecordCause::Queue(_) => Some("a try of a detached hook".to_owned()),
            RecordCause::Undo(_) => Some("an undo".to_owned()),
            RecordCause::Remote(_) => Some("an event of another host".to_owned()),
            RecordCause::Libvirt | RecordCause::Other { .. } if is_about_operation => None,
            RecordCause::Libvirt | RecordCause::Other { .. } => after_failure(history, head),
        };
        match why {
            Some(what) => passed_over.push(PassedOver { id: head.id.clone(), what }),
            None => return Ok(Some(Found { passed_over, ..read(history, &head.id)? })),
        }
    }
    // nothing but what is passed over
    let first = passed_over.first().map(|first| first.id.clone());
    match first.into_iter().chain(without_hook).max() {
        Some(id) => Ok(Some(read(history, &id)?)),
        None => Ok(None),
    }
}

/// The conditions for an execution of which the newest is meant.
pub(crate) struct Choice<'a> {
    /// `last`, or a hook.
    pub word: Option<&'a str>,
    pub conditions: &'a ConditionArgs,
    pub hook: Option<&'a String>,
    /// Milliseconds since 1970.
    pub since: Option<u64>,
}

impl Choice<'_> {
    /// Finds the newest execution for which the conditions hold.
    ///
    /// # Errors
    /// There is none, or an execution is named besides.
    pub(crate) fn find(&self, history: &History, output: &mut Output) -> anyhow::Result<Found> {
        let word = self.word.filter(|word| *word != "last").map(str::to_owned);
        if let Some(word) = &word {
            let is_execution =
                IdPart::of(word).whole().is_some() || !history.find_ids(word).is_empty();
            if is_execution || self.hook.is_some() {
                bail!(
                    "`{word}` says which execution is meant; leave out either that or the conditions"
                );
            }
        }
        let hook = word.as_ref().or(self.hook);
        let wanted =
            Wanted { occasions: &[], conditions: self.conditions, hook, since: self.since };
        let filter = selection::filter(&wanted, history)?;
        if let Some(found) = newest(history, &filter)? {
            return Ok(found);
        }
        selection::unknown_names(&filter, history).iter().for_each(|it| output.print_error(it));
        bail!("there is no such execution with a hook; `hookmux log` shows the executions")
    }
}

/// Tells whether a hook had a part in an execution: it ran, was left out, or would have run without the
/// emergency switch. With `record: all` there are others.
fn has_hook(history: &History, head: &RecordHead) -> bool {
    !head.hooks.is_empty()
        || head.outcome == RecordOutcome::Bypassed
        || is_failed(head)
        || history.record(&head.id).is_ok_and(|record| !record.body.plan.is_empty())
}

fn read(history: &History, id: &str) -> anyhow::Result<Found> {
    executions::find_one(history, id).map(Found::of)
}

/// Says of which failure a call is only the consequence: libvirt calls `stopped` and `release` also after a
/// start that a hook refused.
fn after_failure(history: &History, head: &RecordHead) -> Option<String> {
    if !AFTER_FAILURE.contains(&head.operation.as_str()) {
        return None;
    }
    let until = Filter { until: Some(head.began_us / 1000), ..Filter::default() };
    let is_before = |other: &RecordHead| {
        other.id < head.id
            && other.cause == RecordCause::Libvirt
            && other.driver == head.driver
            && other.object == head.object
            && !AFTER_FAILURE.contains(&other.operation.as_str())
    };
    let before = history.find(&until).take(MAX_SEARCHED_EXECUTIONS).find(is_before)?;
    let has_told = before.state == RecordState::Lost || before.status.is_some_and(|it| it != 0);
    has_told.then(|| {
        format!("{} of {} after its failed {}", head.operation, head.object, before.operation)
    })
}
