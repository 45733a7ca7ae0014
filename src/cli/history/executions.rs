//! Finds and describes executions, for `log`, `show`, `watch` and `retry`.

use std::path::Path;

use super::running;
use super::seen::{Aftermath, DetachedResult, Seen};
use crate::cli::json::execution::ExecutionState;
use crate::cli::output::{Cell, Output, Tone};
use crate::cli::time::TimeStyle;
use crate::cli::{rights, time};
use crate::command::{Fix, words};
use crate::config::Settings;
use crate::record::form::{Record, RecordCause, RecordHead, RecordOutcome};
use crate::record::history::{History, is_failed};
use crate::state::DirRefusal;
use crate::state::format::NewerFormat;
use anyhow::bail;

/// The column titles for [`row`].
pub(crate) const TITLES: [&str; 7] = ["TIME", "ID", "CALL", "OBJECT", "HOOKS", "TOOK", "RESULT"];

/// Opens the records of both directories.
///
/// # Errors
/// They can't be read, or other users could have changed them.
pub(crate) fn history(settings: &Settings, output: &mut Output) -> anyhow::Result<History> {
    for (key, dir) in [("state_dir", &settings.state_dir), ("runtime_dir", &settings.runtime_dir)] {
        let found = dir.judge();
        let shut = found.as_ref().err().and_then(DirRefusal::of);
        if let Some(shut) = shut.filter(|shut| !shut.is_of_others()) {
            output.print_error(&format!("{key} {}: {shut}", dir.unchecked_path().display()));
        }
    }
    rights::must_read_state(settings)?;
    let history = History::new(&settings.runtime_dir, &settings.state_dir);
    rights::must_list(&[
        history.spool().base().unchecked_path(),
        history.store().base().unchecked_path(),
    ])?;
    match history.check() {
        Ok(()) => Ok(history),
        Err(error) => bail!(
            "the records in {} and {} can't be read: {error}",
            history.spool().base().unchecked_path().display(),
            history.store().base().unchecked_path().display()
        ),
    }
}

/// Finds the id of the execution that a word names.
///
/// # Errors
/// The word names none, or more than one.
pub(crate) fn find_id(history: &History, word: &str) -> anyhow::Result<String> {
    match history.find_ids(word).as_slice() {
        [] if word == "last" => bail!("there is no execution yet"),
        [] => bail!("there is no execution `{word}`; `hookmux log` shows the executions"),
        [id] => Ok(id.clone()),
        several => {
            let ids: Vec<&str> = several.iter().map(String::as_str).collect();
            bail!("`{word}` means more than one execution: {}", ids.join(", "));
        }
    }
}

/// Finds the execution that a word names.
///
/// # Errors
/// The word names none, or more than one.
pub(crate) fn find_one(history: &History, word: &str) -> anyhow::Result<Record> {
    let id = find_id(history, word)?;
    match history.record(&id) {
        Ok(record) => Ok(record),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("there is no execution `{word}`; `hookmux log` shows the executions")
        }
        Err(error) => bail!("the record of {id} can't be read: {error}"),
    }
}

/// Returns the message about records that only a newer version can read.
pub(crate) fn not_shown(count: usize, newer: NewerFormat) -> String {
    let (executions, are) = if count == 1 { ("execution", "is") } else { ("executions", "are") };
    format!(
        "{count} {executions} {are} not shown: a newer hookmux recorded them, in format {}; this version reads formats up to {}. Use that version to see them",
        newer.found, newer.known
    )
}

/// Returns the message about counters that only a newer version can read.
pub(crate) fn not_counted(path: &Path) -> String {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".newer");
    let begin_anew = Fix::run(&words!["mv", "-n", path, aside]);
    format!(
        "executions aren't counted: {} is left as it is; use the newer version, or start new counters with `{begin_anew}`",
        path.display()
    )
}

/// Describes how an execution ended, with its cause.
pub(crate) fn result(seen: &Seen, asked: &Path) -> (String, Tone) {
    let head = &seen.head;
    let cause = match (&head.cause, head.cause.parent()) {
        (_, Some(parent)) => {
            format!(" ({} of {})", head.cause.name(), short(parent))
        }
        (RecordCause::Person | RecordCause::Other { .. }, None) => {
            format!(" ({})", head.cause.name())
        }
        (_, None) => String::new(),
    };
    let (words, tone) = end(seen);
    if let Some(origin) = untrusted(head) {
        return (words + &origin, tone);
    }
    (words + &cause + &elsewhere(head, asked), tone)
}

/// Says of which host's event a record tells, if it isn't root's.
pub(crate) fn untrusted(head: &RecordHead) -> Option<String> {
    let event = event_of(head);
    head.is_untrusted.then(|| format!(" (event of {event}; recorded by hookmux-consume)"))
}

/// Names the host whose event an execution is for.
pub(crate) fn event_of(head: &RecordHead) -> String {
    let remote = head.remote.as_ref();
    let host = remote.map_or("another host", |remote| remote.host.as_str());
    let again = if remote.is_some_and(|remote| remote.is_again) { ", again" } else { "" };
    format!("{host}{again}")
}

/// Names the hooks directory of an execution, if that isn't the current one.
pub(crate) fn elsewhere(head: &RecordHead, asked: &Path) -> String {
    let elsewhere = head.hooks_dir.as_ref().filter(|dir| Path::new(dir) != asked);
    elsewhere.map(|dir| format!(" (hooks of {dir})")).unwrap_or_default()
}

/// Describes how an execution ended.
pub(crate) fn end(seen: &Seen) -> (String, Tone) {
    let Seen { head, progress, after } = seen;
    match ExecutionState::of(head, after) {
        ExecutionState::Running => {
            let now = running::now(&progress.running(), head);
            (format!("running: {now}"), Tone::Warning)
        }
        ExecutionState::Lost => ("lost: hookmux died".to_owned(), Tone::Bad),
        ExecutionState::Good if head.outcome == RecordOutcome::Unknown => {
            ("good, with details that this version doesn't know".to_owned(), Tone::Warning)
        }
        ExecutionState::Queued => ("queued".to_owned(), Tone::Plain),
        ExecutionState::Failed if !is_failed(head) => {
            let why = after.detached_failure.as_deref().unwrap_or("a detached hook");
            (format!("failed: {why}{}", again(after)), tone_of_detached(after))
        }
        ExecutionState::Good if after.detached == Some(DetachedResult::Failed) => {
            (format!("good, but a detached hook failed{}", again(after)), tone_of_detached(after))
        }
        ExecutionState::Good => ("good".to_owned(), Tone::Good),
        ExecutionState::Bypassed => ("bypassed".to_owned(), Tone::Warning),
        ExecutionState::Unknown if after.detached == Some(DetachedResult::Gone) => {
            ("unknown: a hook was taken out of the queue".to_owned(), Tone::Warning)
        }
        ExecutionState::Unknown => {
            ("its state isn't known to this version".to_owned(), Tone::Warning)
        }
        ExecutionState::Failed => {
            let ending = match head.status {
                Some(0) | None => "failed, libvirt not told".to_owned(),
                Some(status) => format!("failed ({status})"),
            };
            let why = head.failure.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            let mended = after.mended_by.as_ref();
            let what = match &head.cause {
                RecordCause::Queue(_) => "a later try",
                _ => "retry",
            };
            let mended = mended.map(|id| format!("; {what} {} was good", short(id)));
            let tone = if mended.is_some() { Tone::Warning } else { Tone::Bad };
            (format!("{ending}{why}{}", mended.unwrap_or_default()), tone)
        }
    }
}

/// Says that a detached hook that failed is tried again.
fn again(after: &Aftermath) -> &'static str {
    if after.is_tried_again { "; it is tried again" } else { "" }
}

fn tone_of_detached(after: &Aftermath) -> Tone {
    if after.is_tried_again { Tone::Warning } else { Tone::Bad }
}

/// Returns the end of an id, which commands take too.
pub(crate) fn short(id: &str) -> String {
    let end = id.get(id.len().saturating_sub(6)..).unwrap_or(id);
    format!("…{end}")
}

pub(crate) fn row(seen: &Seen, asked: &Path, times: TimeStyle) -> Vec<Cell> {
    let head = &seen.head;
    let (result, tone) = result(seen, asked);
    let took = head.duration_us.map_or_else(|| "-".to_owned(), time::short_duration);
    let failed = head.hooks.iter().filter(|hook| hook.outcome.is_failure()).count();
    let hooks = match failed {
        0 => head.hooks.len().to_string(),
        failed => format!("{failed} of {} failed", head.hooks.len()),
    };
    vec![
        Cell(times.of(head.began_us / 1_000_000), Tone::Dim),
        head.id.clone().into(),
        call(head).into(),
        head.object.clone().into(),
        hooks.into(),
        took.into(),
        Cell(result, tone),
    ]
}

/// Names the call: `qemu prepare`, `qemu release migrated`.
pub(crate) fn call(head: &RecordHead) -> String {
    let reason = match head.extra.as_str() {
        "" | "-" => String::new(),
        _ if head.driver == "daemon" => String::new(),
        reason => format!(" {reason}"),
    };
    format!("{} {}{reason}", head.driver, head.operation)
}
