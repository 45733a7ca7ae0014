//! `hookmux show`: shows one execution completely (or one hook): when each hook ran, what it printed, what it changed.

use std::borrow::Cow;

use super::hook_history::{self, Subject};
use super::jobs::Jobs;
use super::seen::{Aftermath, Later, Seen};
use super::timeline::{Timeline, name};
use super::view::{self, Fate, Shown};
use super::which::{self, Choice, Found};
use super::{bars, command_line, consumed, executions, html, running};
use crate::cli::args::{Format, SearchArgs, ShowArgs};
use crate::cli::hooks::difference;
use crate::cli::json::show::Show;
use crate::cli::output::{Output, Tone, shortened};
use crate::cli::time::TimeStyle;
use crate::cli::{CommandEnd, CommandPlace};
use crate::command::Fix;
use crate::observer::CommandLine;
use crate::record::form::{HookRegistration, Record, RecordHead, RecordState, RunRecord};
use crate::record::history::History;
use crate::run::left_rollback;

/// How many lines of a stream are shown without `--full`.
const MAX_LINES: usize = 30;
/// How many later executions are searched for attempts of detached hooks.
const MAX_SEARCHED_EXECUTIONS: usize = 10_000;

pub(crate) fn run(
    place: &CommandPlace,
    arguments: &ShowArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let loaded = place.load(output);
    let history = executions::history(&loaded.settings, output)?;
    let settings = &loaded.settings;
    let hooks_dir = &place.surroundings.hooks_dir;
    let found = match (&arguments.id, &arguments.execution) {
        (Some(hook), Some(id)) => {
            let found = which::named(settings, &history, id)?;
            hook_history::check_part(&found.record, hook)?;
            found
        }
        (word, _) if arguments.search.is_any() => {
            let SearchArgs { conditions, hook, since } = &arguments.search;
            let choice =
                Choice { word: word.as_deref(), conditions, hook: hook.as_ref(), since: *since };
            choice.find(&history, output)?
        }
        (word, _) => {
            let word = word.as_deref().unwrap_or("last");
            match hook_history::subject(place, settings, &history, ("show", word))? {
                Subject::Hook(hook) if arguments.html => {
                    let Some((id, _)) = hook.last(&history) else {
                        anyhow::bail!("no execution of `{word}` that is over is recorded");
                    };
                    let all = Fix::hookmux(hooks_dir, &["show", word]);
                    output.print_error(&format!(
                        "`{word}` is a hook: this is its last execution, {id}; `{all}` names the others"
                    ));
                    which::named(settings, &history, &id)?
                }
                Subject::Hook(hook) => {
                    return Ok(hook_history::show(
                        place, settings, &history, &hook, arguments, output,
                    ));
                }
                Subject::Execution => match which::named(settings, &history, word) {
                    Ok(found) => found,
                    Err(error) => match consumed::record(settings, word) {
                        Some(record) => return Ok(untrusted(place, record, arguments, output)),
                        None => return Err(error),
                    },
                },
            }
        }
    };
    let (after, mut follow_ups) = follow_ups(&history, &found.record.head);
    let mut seen = Seen::new(found.record.head.clone(), after);
    let jobs = Jobs::new(settings);
    follow_ups.iter_mut().chain([&mut seen]).for_each(|seen| jobs.settle(seen, &history));
    let queue_us = view::time_in_queue(&found.record, &history);
    if arguments.output.format == Format::Json {
        let passed_over = found.passed_over.iter().map(|it| it.id.clone()).collect();
        let Found { record, job, .. } = found;
        output.json(&Show::new(&record, &seen, &follow_ups, job, passed_over, queue_us));
        return Ok(CommandEnd::Good);
    }
    let shown = Shown {
        record: &found.record,
        seen: &seen,
        follow_ups: &follow_ups,
        hooks_dir,
        job: found.job.as_deref(),
        passed_over: found.passed_over_words(),
        queue_us,
    };
    match arguments.html {
        true => output.write(&html::page(&shown)),
        false => print(&shown, arguments.full, output),
    }
    Ok(CommandEnd::Good)
}

/// Shows the execution for an event of another host, whose record isn't root's.
fn untrusted(
    place: &CommandPlace,
    record: Record,
    arguments: &ShowArgs,
    output: &mut Output,
) -> CommandEnd {
    let seen = consumed::seen(record.head.clone());
    if arguments.output.format == Format::Json {
        output.json(&Show::new(&record, &seen, &[], None, Vec::new(), None));
        return CommandEnd::Good;
    }
    let shown = Shown {
        record: &record,
        seen: &seen,
        follow_ups: &[],
        hooks_dir: &place.surroundings.hooks_dir,
        job: None,
        passed_over: None,
        queue_us: None,
    };
    match arguments.html {
        true => output.write(&html::page(&shown)),
        false => print(&shown, arguments.full, output),
    }
    CommandEnd::Good
}

fn print(shown: &Shown<'_>, is_full: bool, output: &mut Output) {
    let Shown { record, seen, hooks_dir, .. } = shown;
    if let Some(words) = &shown.passed_over {
        output.toned(Tone::Dim, words);
    }
    print_head(shown, is_full, output);
    if record.head.state == RecordState::Done && record.body.runs.is_empty() {
        output.line("  no hook ran");
    }
    let running = seen.progress.running();
    if !running.is_empty() {
        output.line("");
        running::print(&running, &record.head, output);
        output.toned(Tone::Dim, &format!("  `{}` ends it", shown.stop()));
    }
    let (failed, others) = shown.runs();
    for run in failed {
        print_run(run, shown, is_full, output);
    }
    bars::print(&Timeline::new(record, seen, shown.queue_us), output);
    print_plan(shown, output);
    for run in others {
        print_run(run, shown, is_full, output);
    }
    for note in &record.body.notes {
        output.toned(Tone::Warning, &format!("! {note}"));
    }
    print_answer(shown, is_full, output);
    if let Some(left_out) = &record.body.left_out {
        output.toned(Tone::Warning, &format!("documents and output weren't kept: {left_out}"));
    }
    if !shown.follow_ups.is_empty() {
        output.line("");
        output.toned(Tone::Bold, "Later");
        let times = output.times(TimeStyle::Absolute);
        let row = |seen: &Seen| executions::row(seen, hooks_dir, times);
        let rows: Vec<_> = shown.follow_ups.iter().map(row).collect();
        output.table(&executions::TITLES, &rows);
    }
    let ways_on = shown.ways_on();
    if !ways_on.is_empty() {
        output.line("");
        ways_on.iter().for_each(|sentence| output.line(&view::sentence(sentence)));
    }
}

/// Returns what came of an execution, with its retries and the attempts of the jobs that it queued, the
/// oldest first.
fn follow_ups(history: &History, head: &RecordHead) -> (Aftermath, Vec<Seen>) {
    let mut later = Later::default();
    let mut found = Vec::new();
    let newer = history.newest().take_while(|id| *id > head.id).take(MAX_SEARCHED_EXECUTIONS);
    for other in newer.filter_map(|id| history.head(&id).ok()) {
        let after = later.of_recorded(history, &other);
        later.note(&other);
        if other.cause.parent() == Some(&head.id) {
            found.push(Seen::new(other, after));
        }
    }
    found.reverse();
    (later.of_recorded(history, head), found)
}

fn print_head(shown: &Shown<'_>, is_full: bool, output: &mut Output) {
    let (result, tone) = shown.result();
    output.toned(Tone::Bold, &shown.title());
    output.toned(tone, &format!("  {result}"));
    let more = if is_full { shown.more_facts() } else { Vec::new() };
    for (name, value) in shown.facts().iter().chain(&more) {
        output.line(&format!("  {name:<10} {value}"));
    }
}

/// Prints the hooks that didn't run; for a call that never ended, those that were planned.
fn print_plan(shown: &Shown<'_>, output: &mut Output) {
    for planned in shown.plan().iter().filter(|planned| !planned.why.is_empty()) {
        let mark = match planned.fate {
            Fate::NotRun => "-",
            Fate::Unknown => "?",
            Fate::Ran | Fate::Runs | Fate::Queued | Fate::NotStarted => continue,
        };
        output.toned(Tone::Dim, &format!("  {mark} {}: {}", planned.name, planned.why));
    }
}

fn print_run(run: &RunRecord, shown: &Shown<'_>, is_full: bool, output: &mut Output) {
    let record = shown.record;
    let is_quiet = run.stdout.0.is_empty() && run.stderr.0.is_empty() && run.leftovers.is_empty();
    let registration = record.head.registration_of(left_rollback::hook_of(&run.hook));
    let has_arguments = run.command.as_ref().is_some_and(|it| *it != CommandLine::default());
    let is_undo = run.undo.is_some();
    let is_plain = registration.is_none() && !has_arguments && !is_undo;
    if is_quiet && !is_full && is_plain && !run.outcome.is_failure() {
        return;
    }
    output.line("");
    let name = name(&run.hook, run.device.as_deref());
    match shown.failure_beside_output(run) {
        Some(failure) => output.pieces(&[(Tone::Bold, name), (Tone::Bad, format!(": {failure}"))]),
        None => output.toned(Tone::Bold, &name),
    }
    if let Some(undo) = &run.undo {
        output.line(&format!("  {}", view::undone(undo)));
    }
    let mut dim = |line: &str| output.toned(Tone::Dim, &format!("  {}", cut(line, is_full)));
    let function = if is_full { None } else { command_line::function(run) };
    let line = function.or_else(|| command_line::line(run, &record.body.arguments, is_full));
    let line = line.unwrap_or_else(|| run.path.lossy().into_owned());
    Some(&line).filter(|line| !line.is_empty()).into_iter().for_each(|line| dim(line));
    run.command.iter().flat_map(command_line::notes).for_each(|note| dim(&note));
    if let Some(digest) = run.sha256.as_ref().filter(|_| is_full) {
        dim(&format!("sha256 {digest}"));
    }
    if let Some(registration) = registration {
        let HookRegistration { path, sha256, .. } = registration;
        let digest = if is_full { format!(", sha256 {sha256}") } else { String::new() };
        dim(&format!("registered by {}{digest}", path.lossy()));
    }
    for (stream, text) in [("stdout", &run.stdout), ("stderr", &run.stderr)] {
        let text = text.lossy();
        let lines: Vec<&str> = text.lines().collect();
        let count = if is_full { lines.len() } else { lines.len().min(MAX_LINES) };
        // the last lines say why it failed
        let left = lines.len() - count;
        if left > 0 {
            output
                .toned(Tone::Dim, &format!("  {stream}: … {left} lines before; --full shows them"));
        }
        for line in lines.iter().skip(left) {
            output.line(&format!("  {stream}: {}", cut(line, is_full)));
        }
    }
    for left in &run.leftovers {
        output.toned(Tone::Warning, &format!("  left running: {} ({})", left.name, left.pid));
    }
}

/// Returns a line, cut where it is long.
fn cut(line: &str, is_full: bool) -> Cow<'_, str> {
    if is_full { line.into() } else { shortened(line, "--full shows them") }
}

/// Prints what libvirt got.
fn print_answer(shown: &Shown<'_>, is_full: bool, output: &mut Output) {
    let body = &shown.record.body;
    if !body.stderr.0.is_empty() && (is_full || shown.has_told_more()) {
        output.line("");
        output.toned(Tone::Bold, "Told to libvirt");
        for line in body.stderr.lossy().lines() {
            output.line(&format!("  {}", cut(line, is_full)));
        }
    }
    if let (Some(before), Some(after)) = (&body.document, &body.document_after) {
        output.line("");
        output.toned(Tone::Bold, "The document, changed");
        difference::show(&before.lossy(), &after.lossy(), output);
    }
}
