//! `hookmux watch`: shows what happens in calls, until it is stopped or `--until` is past.

use super::follow::{Extent, Follower, Happening, What};
use super::selection::{self, Wanted};
use super::{executions, misplaced_word, running};
use crate::cli::args::{Format, WatchArgs};
use crate::cli::json::execution::{
    Execution, ReadyKind, WatchKind, WatchReady, Watched, WatchedHook,
};
use crate::cli::json::run::RunState;
use crate::cli::json::value::{Seconds, Time};
use crate::cli::output::{Cell, Output, Tone};
use crate::cli::table::{Column, GAP_CELLS};
use crate::cli::time::TimeStyle;
use crate::cli::{CommandEnd, CommandPlace, time};
use crate::config::Settings;
use crate::machine::{clock, ulid};
use crate::record::form::{RecordHead, RecordOutcome};
use crate::record::history::{Filter, History, has_name};

/// The widths of the columns where nothing is shortened: the lines before are printed by the time that the longest
/// name comes.
const WIDTHS: [usize; 7] = [19, 26, 16, 12, 13, 7, 0];
/// The same on a terminal; the last one has the rest. The count of hooks has no column on a narrow one.
const WIDTHS_ON_TERMINAL: [usize; 6] = [8, 7, 12, 12, 13, 7];
const WIDTHS_ON_NARROW: [usize; 6] = [8, 7, 12, 10, 0, 7];
const NARROW_CELLS: usize = 110;
/// The place of the count of hooks among the columns.
const HOOKS: usize = 4;

/// Prints a row of the columns of `log`, without knowing the rows to come.
fn print_row(mut row: Vec<Cell>, output: &mut Output) {
    let mut columns = executions::TITLES.map(Column::from).to_vec();
    let Some(available) = output.width() else { return output.table_row(&columns, &WIDTHS, &row) };
    let is_narrow = available < NARROW_CELLS;
    let mut widths = (if is_narrow { WIDTHS_ON_NARROW } else { WIDTHS_ON_TERMINAL }).to_vec();
    if is_narrow {
        widths.remove(HOOKS);
        columns.remove(HOOKS);
        row.remove(HOOKS);
    }
    let taken = widths.iter().map(|width| width + GAP_CELLS).sum::<usize>();
    widths.push(available.saturating_sub(taken).max(MIN_RESULT_CELLS));
    output.table_row(&columns, &widths, &row);
}

/// The least of a result that is shown.
const MIN_RESULT_CELLS: usize = 20;

pub(crate) fn run(
    place: &CommandPlace,
    arguments: &WatchArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let loaded = place.load(output);
    let settings = &loaded.settings;
    let history = executions::history(settings, output)?;
    let since = arguments.since.as_deref().map(|word| since(&history, word)).transpose()?;
    let WatchArgs { occasions, conditions, hook, .. } = arguments;
    misplaced_word::check_occasions(place, settings, &history, "watch", occasions)?;
    let wanted = Wanted { occasions, conditions, hook: hook.as_ref(), since: None };
    let filter = selection::filter(&wanted, &history)?;
    // it may come later: so this is no error
    selection::unknown_names(&filter, &history).iter().for_each(|it| output.print_error(it));
    let extent = if arguments.done { Extent::Ends } else { Extent::All };
    let since_us = since.as_ref().map(|since| since.at_us);
    let mut follower = Follower::new(settings, extent, since_us, filter.until)?;
    if let Some(id) = since.and_then(|since| since.ended) {
        follower.skip(&id);
    }
    let is_past = filter.until.is_some_and(|until| until < clock::unix_seconds() * 1000);
    if is_past && since_us.is_none() {
        output.print_error("that time is past, so there is nothing to wait for; `hookmux log --until TIME` shows what was before it");
    }
    let mut view = View { format: arguments.output, has_titles: false, is_log: false };
    if arguments.ready {
        view.begin(output);
    }
    while let Some(happenings) = follower.next(&history)? {
        for happening in happenings {
            if filter.holds(&happening.seen.head) && is_wanted(&happening.what, &filter) {
                view.print(&happening, settings, output);
            }
        }
    }
    Ok(CommandEnd::Good)
}

/// From when on something is watched.
struct Since {
    at_us: u64,
    /// The execution whose end it is.
    ended: Option<String>,
}

/// Reads a time, or the id of an execution.
fn since(history: &History, word: &str) -> anyhow::Result<Since> {
    let of_head = |head: RecordHead| {
        let at_us = head.began_us.saturating_add(head.duration_us.unwrap_or_default());
        Since { at_us, ended: head.duration_us.map(|_| head.id) }
    };
    let upper = word.to_ascii_uppercase();
    if ulid::is_valid(&upper) {
        // of one that isn't there any more, the id says when it began
        let began = || ulid::unix_milliseconds(&upper).unwrap_or_default() * 1000;
        let found = history.head(&upper).map(of_head);
        return Ok(found.unwrap_or_else(|_| Since { at_us: began(), ended: None }));
    }
    match time::parse(word) {
        Ok(millis) => Ok(Since { at_us: millis.saturating_mul(1000), ended: None }),
        Err(why) => match executions::find_one(history, word) {
            Ok(record) => Ok(of_head(record.head)),
            Err(_) => Err(anyhow::anyhow!("{why}; nor is it the id of an execution")),
        },
    }
}

/// Tells whether something that happened is asked for.
fn is_wanted(what: &What, filter: &Filter) -> bool {
    // how a call ends is known only then
    let is_about_end = filter.is_failed || filter.is_success || filter.is_lost;
    let hook = match what {
        What::Done => return true,
        _ if is_about_end => return false,
        What::Begun => return true,
        What::Started { hook, .. } => &hook.hook,
        What::Ended { hook, .. } => &hook.hook,
    };
    filter.hook.as_ref().is_none_or(|wanted| has_name(hook, wanted))
}

/// Prints what happens, in the columns of `log`.
pub(super) struct View {
    pub format: Format,
    pub has_titles: bool,
    /// Whether the time of an end is that of the call's beginning.
    pub is_log: bool,
}

impl View {
    /// Prints the line that comes first.
    fn begin(&mut self, output: &mut Output) {
        if self.format == Format::Json {
            let at = Time::of_micros(clock::unix_microseconds());
            return output.json_line(&WatchReady { kind: ReadyKind::Ready, at });
        }
        self.print_titles(output);
    }

    fn print_titles(&mut self, output: &mut Output) {
        if !self.has_titles {
            self.has_titles = true;
            let titles = executions::TITLES.map(|title| Cell(title.to_owned(), Tone::Bold));
            print_row(titles.to_vec(), output);
        }
    }

    pub(super) fn print(
        &mut self,
        happening: &Happening,
        settings: &Settings,
        output: &mut Output,
    ) {
        if self.format == Format::Json {
            output.json_line(&watched(happening));
            return;
        }
        self.print_titles(output);
        let head = &happening.seen.head;
        let mut row = executions::row(&happening.seen, &settings.hooks_dir, TimeStyle::Absolute);
        let empty = || Cell::from("");
        let time = |micros: u64| match output.width() {
            Some(_) => time::clock_time(micros / 1_000_000),
            None => time::local(micros / 1_000_000),
        };
        let at = Cell(time(happening.at_us), Tone::Dim);
        row[0] = Cell(time(head.began_us), Tone::Dim);
        let (took, result) = match &happening.what {
            What::Done => {
                if !self.is_log {
                    row[0] = at;
                }
                return print_row(row, output);
            }
            What::Begun => {
                let count = head.hooks.len();
                let hooks = if count == 1 { "1 hook" } else { &format!("{count} hooks") };
                (empty(), Cell(format!("begins: {hooks}"), Tone::Dim))
            }
            What::Started { hook, .. } => {
                let limit =
                    hook.limit_us.map(|limit| format!(", limit {}", running::minutes(limit)));
                let pid = Some(hook.pid).filter(|pid| *pid > 0).map(|pid| format!(", pid {pid}"));
                let words = [pid, limit].into_iter().flatten().collect::<String>();
                let device = device(hook.device.as_ref());
                (empty(), Cell(format!("{}{device}: started{words}", hook.hook), Tone::Plain))
            }
            What::Ended { hook, .. } => {
                let took = hook.duration_us.map(time::short_duration).unwrap_or_default();
                let device = device(hook.device.as_ref());
                let (words, tone) = match hook.outcome {
                    RecordOutcome::Success => ("good".to_owned(), Tone::Good),
                    RecordOutcome::Queued => ("queued".to_owned(), Tone::Plain),
                    RecordOutcome::Failure | RecordOutcome::Timeout => {
                        (hook.failure.clone().unwrap_or_else(|| "failed".to_owned()), Tone::Bad)
                    }
                    RecordOutcome::Bypassed | RecordOutcome::Unknown => {
                        ("how it ended isn't known".to_owned(), Tone::Warning)
                    }
                };
                (took.into(), Cell(format!("{}{device}: {words}", hook.hook), tone))
            }
        };
        row.truncate(4);
        row[0] = at;
        row.extend([empty(), took, result]);
        print_row(row, output);
    }
}

fn device(device: Option<&String>) -> String {
    device.map(|device| format!(" [{device}]")).unwrap_or_default()
}

/// Returns the object for a line.
pub(super) fn watched(happening: &Happening) -> Watched {
    let head = &happening.seen.head;
    let event = |label: &str| {
        let planned = head.hooks.iter().find(|planned| planned.hook == label);
        planned.and_then(|planned| planned.event.clone())
    };
    let (kind, run) = match &happening.what {
        What::Begun => (WatchKind::Begun, None),
        What::Done => (WatchKind::Done, None),
        What::Started { hook, is_seen } => {
            let run = WatchedHook {
                hook: hook.hook.clone(),
                event: event(&hook.hook),
                device: hook.device.clone(),
                state: RunState::Running,
                timed_out: false,
                pid: is_seen.then_some(hook.pid),
                limit_s: hook.limit_us.map(Seconds::of_micros),
                duration_s: None,
                status: None,
                failure: None,
            };
            (WatchKind::HookStarted, Some(run))
        }
        What::Ended { hook, pid } => {
            let run = WatchedHook {
                hook: hook.hook.clone(),
                event: hook.event.clone(),
                device: hook.device.clone(),
                state: hook.outcome.into(),
                timed_out: hook.outcome == RecordOutcome::Timeout,
                pid: *pid,
                limit_s: None,
                duration_s: hook.duration_us.map(Seconds::of_micros),
                status: Some(hook.status).filter(|_| hook.outcome != RecordOutcome::Queued),
                failure: hook.failure.clone(),
            };
            (WatchKind::HookEnded, Some(run))
        }
    };
    let execution = Execution::from(&happening.seen);
    Watched { kind, at: Time::of_micros(happening.at_us), run, execution }
}
