//! `hookmux log --audit`.

use super::file::{self, AuditEntry};
use crate::cli::args::{Format, LogArgs};
use crate::cli::json::audit::{Act, Audit};
use crate::cli::json::value::Time;
use crate::cli::output::{Cell, Output, Tone};
use crate::cli::time::TimeStyle;
use crate::cli::{CommandEnd, rights};
use crate::command;
use crate::config::Settings;

pub(crate) fn show(
    settings: &Settings,
    arguments: &LogArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let directory = file::directory(&settings.state_dir);
    rights::must_list(&[settings.state_dir.unchecked_path(), directory.unchecked_path()])?;
    let filter = &arguments.filter;
    let is_wanted = |entry: &AuditEntry| {
        let millis = entry.at_us / 1000;
        filter.search.since.is_none_or(|since| millis >= since)
            && filter.search.conditions.until.is_none_or(|until| millis <= until)
            && (!filter.search.conditions.failed || entry.outcome != file::DONE)
    };
    let mut acts = file::read(&settings.state_dir, &is_wanted, arguments.lines)
        .map_err(|error| rights::explained(directory.unchecked_path(), error))?;
    acts.entries.reverse();
    let newer = acts.newer.map_or(0, |(count, _)| count);
    if arguments.output.format == Format::Json {
        let list = acts.entries.into_iter().map(act).collect();
        output.json(&Audit { acts: list, newer, unreadable: acts.unreadable });
        return Ok(CommandEnd::Good);
    }
    if let Some((count, newer)) = acts.newer {
        output.print_error(&format!(
            "{count} files in {} are not shown: {newer}",
            directory.unchecked_path().display()
        ));
    }
    if acts.unreadable > 0 {
        output.print_error(&format!(
            "{} files in {} are not entries of hookmux's audit log",
            acts.unreadable,
            directory.unchecked_path().display()
        ));
    }
    if acts.entries.is_empty() {
        let is_asked = filter.is_any() || arguments.lines == 0;
        output.line(if is_asked { "No such act." } else { "Nothing has been changed yet." });
        return Ok(CommandEnd::Good);
    }
    let times = output.times(TimeStyle::Absolute);
    let rows: Vec<Vec<Cell>> = acts.entries.iter().map(|entry| row(entry, times)).collect();
    output.table(&["TIME", "USER", "RESULT", "COMMAND", "REASON"], &rows);
    Ok(CommandEnd::Good)
}

fn row(entry: &AuditEntry, times: TimeStyle) -> Vec<Cell> {
    let tone = if entry.outcome == file::DONE { Tone::Good } else { Tone::Bad };
    vec![
        times.of(entry.at_us / 1_000_000).into(),
        entry.user.clone().into(),
        Cell(entry.outcome.clone(), tone),
        command::text(&entry.command).into(),
        entry.reason.clone().unwrap_or_else(|| "-".to_owned()).into(),
    ]
}

fn act(entry: AuditEntry) -> Act {
    Act {
        id: entry.id,
        at: Time::of_micros(entry.at_us),
        user: entry.user,
        uid: entry.uid,
        action: entry.action,
        command: entry.command,
        hooks_dir: entry.hooks_dir,
        state: entry.outcome,
        message: entry.message,
        reason: entry.reason,
    }
}
