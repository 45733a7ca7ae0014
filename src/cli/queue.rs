//! `hookmux queue`: the detached hooks that wait, and the work on them.

use anyhow::Context;
use serde_json::{Value, json};

use super::args::{Format, QueueArgs};
use super::output::{Cell, Output, Tone};
use super::{End, Place};
use crate::front_door;
use crate::queue::item::now;
use crate::queue::{Item, Queue, worker};
use crate::record::journal::Journal;
use crate::record::mover;

pub fn run(place: &Place, arguments: &QueueArgs, output: &mut Output) -> anyhow::Result<End> {
    if arguments.work {
        return work(place, output);
    }
    let loaded = place.load(output);
    let queue = Queue::new(&loaded.settings.state_dir);
    if let Some(word) = &arguments.flush {
        let is_meant = |item: &Item| {
            word.is_empty()
                || item.id.eq_ignore_ascii_case(word)
                || item.registration == *word
                || item.hook == *word
        };
        let count = worker::flush(&queue, &is_meant).context("the queue can't be flushed")?;
        if arguments.output == Format::Json {
            output.json(&json!({ "flushed": count }));
        } else {
            let jobs = if count == 1 { "job" } else { "jobs" };
            output.line(&format!("{count} {jobs} removed."));
        }
        return Ok(End::Good);
    }
    let items = queue.items().context("the queue can't be read")?;
    if arguments.output == Format::Json {
        let is_at_work = worker::is_at_work(&queue);
        let jobs: Vec<Value> = items.iter().map(|item| json_item(item, is_at_work)).collect();
        output.json(&json!({ "jobs": jobs }));
        return Ok(End::Good);
    }
    if items.is_empty() {
        output.line("No detached hook waits.");
        return Ok(End::Good);
    }
    let is_at_work = worker::is_at_work(&queue);
    let rows: Vec<Vec<Cell>> = items.iter().map(|item| row(item, is_at_work)).collect();
    output.table(&["JOB", "HOOK", "OBJECT", "AGE", "TRIES", "STATE"], &rows);
    Ok(End::Good)
}

/// Works until the queue is empty; another worker's work is waited for.
pub fn work(place: &Place, output: &mut Output) -> anyhow::Result<End> {
    let loaded = place.load(output);
    // a daemon's calls of other users queue nothing either
    if !place.surroundings.is_root() && !loaded.settings.session {
        return Ok(End::Good);
    }
    front_door::settle();
    let mut journal = Journal::default();
    let waiting = &mut || output.complain("another worker is at it; its end is waited for");
    let worked = worker::work(&loaded.settings, &place.surroundings, &mut journal, waiting);
    journal.finish();
    mover::start(&loaded.settings.hooks_dir, &loaded.settings);
    worked.context("the queue can't be worked on")?;
    Ok(End::Good)
}

fn state(item: &Item, is_at_work: bool) -> (String, Tone) {
    let last = item.last.as_ref().map(|last| format!(" (last: {last})")).unwrap_or_default();
    if item.run.is_some() && is_at_work {
        return ("runs".to_owned(), Tone::Good);
    }
    if item.run.is_some() {
        return ("left by a worker that died; the next one runs it again".to_owned(), Tone::Bad);
    }
    let wait = item.not_before.saturating_sub(now());
    if wait > 0 {
        return (format!("again in {wait} s{last}"), Tone::Careful);
    }
    (format!("waits{last}"), Tone::Plain)
}

fn row(item: &Item, is_at_work: bool) -> Vec<Cell> {
    let (state, tone) = state(item, is_at_work);
    vec![
        item.id.clone().into(),
        item.hook.clone().into(),
        format!("{} {}", item.driver, item.object).into(),
        format!("{} s", now().saturating_sub(item.queued_at)).into(),
        format!("{} of {}", item.attempts, item.retries + 1).into(),
        Cell(state, tone),
    ]
}

fn json_item(item: &Item, is_at_work: bool) -> Value {
    json!({
        "id": item.id,
        "hook": item.hook,
        "event": item.event,
        "driver": item.driver,
        "object": item.object,
        "operation": item.operation,
        "uuid": item.uuid,
        "execution": item.execution,
        "queued_at": item.queued_at,
        "not_before": item.not_before,
        "attempts": item.attempts,
        "retries": item.retries,
        "running": item.run.is_some() && is_at_work,
        "last": item.last,
    })
}
