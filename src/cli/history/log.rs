//! `hookmux log`: shows the executions, the newest last.

use std::path::Path;

use super::follow::Follower;
use super::queued_retries::QueuedRetries;
use super::{audit, executions, selection};
use crate::cli::args::{Format, LogArgs};
use crate::cli::json::execution::Log;
use crate::cli::output::Output;
use crate::cli::{CommandEnd, CommandPlace, time};
use crate::record::form::RecordHead;

pub(crate) fn run(
    place: &CommandPlace,
    arguments: &LogArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let loaded = place.load(output);
    let settings = &loaded.settings;
    if arguments.audit {
        return audit::show(settings, arguments, output);
    }
    let history = executions::history(settings, output)?;
    let filter = selection::filter(&arguments.filter, &history)?;
    // the follower sees what ends from now on, the list has what ended before
    let follower = match arguments.follow {
        true => Some(Follower::new(settings)?),
        false => None,
    };
    let mut heads: Vec<RecordHead> = history.find(&filter).take(arguments.lines).collect();
    heads.reverse();
    if let Some(mut follower) = follower {
        if heads.is_empty() {
            selection::unknown_names(&filter, &history)
                .iter()
                .for_each(|it| output.print_error(it));
        }
        if let Some((count, newer)) = history.newer() {
            output.print_error(&executions::not_shown(count, newer));
        }
        let ends = QueuedRetries::look(settings, &history, &heads);
        for head in &heads {
            follower.skip(&head.id);
            print_one(head, &ends, arguments.output.format, &settings.hooks_dir, output);
        }
        // those that end from now on have queued hooks that haven't run
        let ends = QueuedRetries::default();
        loop {
            for head in follower.next(&history)?.iter().filter(|head| filter.holds(head)) {
                print_one(head, &ends, arguments.output.format, &settings.hooks_dir, output);
            }
        }
    }
    let ends = QueuedRetries::look(settings, &history, &heads);
    let newer = history.newer();
    if arguments.output.format == Format::Json {
        output.json(&Log {
            executions: heads.iter().map(|head| ends.json(head)).collect(),
            newer: newer.map_or(0, |(count, _)| count),
        });
        return Ok(CommandEnd::Good);
    }
    if let Some((count, newer)) = newer {
        output.print_error(&executions::not_shown(count, newer));
    }
    if heads.is_empty() && newer.is_none() {
        let is_asked = arguments.filter.is_any() || arguments.lines == 0;
        output.line(if is_asked { "No such execution." } else { "No execution yet." });
        selection::unknown_names(&filter, &history).iter().for_each(|it| output.print_error(it));
        return Ok(CommandEnd::Good);
    }
    if heads.is_empty() {
        return Ok(CommandEnd::Good);
    }
    let rows: Vec<_> =
        heads.iter().map(|head| executions::row(head, &ends, &settings.hooks_dir)).collect();
    output.table(&executions::TITLES, &rows);
    Ok(CommandEnd::Good)
}

/// Prints one execution on one line.
pub(crate) fn print_one(
    head: &RecordHead,
    ends: &QueuedRetries,
    format: Format,
    asked: &Path,
    output: &mut Output,
) {
    if format == Format::Json {
        output.json_line(&ends.json(head));
        return;
    }
    let (result, tone) = executions::result(head, ends, asked);
    let took = head.duration_us.map(|micros| format!(", {}", time::short_duration(micros)));
    let line = format!(
        "{} {} {} {}: {} hooks{}, {result}",
        time::local(head.began_us / 1_000_000),
        head.id,
        executions::call(head),
        head.object,
        head.hooks.len(),
        took.unwrap_or_default(),
    );
    output.toned(tone, &line);
}
