//! `hookmux show`: shows one execution completely (or one hook): when each hook ran, what it printed, what it changed.

use std::borrow::Cow;
use std::path::Path;

use super::hook_history::{self, Subject};
use super::jobs::Jobs;
use super::seen::{Aftermath, Later, Seen};
use super::which::{self, Choice, Found};
use super::{command_line, executions, retry, running};
use crate::cli::args::{Format, SearchArgs, ShowArgs};
use crate::cli::hooks::difference;
use crate::cli::json::show::Show;
use crate::cli::output::{Output, Tone, shortened};
use crate::cli::{CommandEnd, CommandPlace, table, time};
use crate::command::{Fix, words};
use crate::event::Origin;
use crate::libvirt::Driver;
use crate::machine::sanitize;
use crate::observer::{CommandLine, PlanDecision, PlanEntry, UndoneSetup};
use crate::record::form::{HookRegistration, Record, RecordBody, RecordCause, RecordHead};
use crate::record::form::{RecordOutcome, RecordState, RunRecord};
use crate::record::history::History;
use crate::record::running::{EndedHook, StartedHook};
use crate::run::left_rollback;
use crate::undo;

/// The width of the timeline.
const TIMELINE_CHARACTERS: u64 = 40;
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
                Subject::Hook(hook) => {
                    return Ok(hook_history::show(
                        place, settings, &history, &hook, arguments, output,
                    ));
                }
                Subject::Execution => which::named(settings, &history, word)?,
            }
        }
    };
    let (after, mut follow_ups) = follow_ups(&history, &found.record.head);
    let mut seen = Seen::new(found.record.head.clone(), after);
    let jobs = Jobs::new(settings);
    follow_ups.iter_mut().chain([&mut seen]).for_each(|seen| jobs.settle(seen, &history));
    if arguments.output.format == Format::Json {
        let passed_over = found.passed_over.iter().map(|it| it.id.clone()).collect();
        output.json(&Show::new(&found.record, &seen, &follow_ups, found.job, passed_over));
        return Ok(CommandEnd::Good);
    }
    print(place, &found, &seen, &follow_ups, arguments.full, output);
    Ok(CommandEnd::Good)
}

fn print(
    place: &CommandPlace,
    found: &Found,
    seen: &Seen,
    follow_ups: &[Seen],
    is_full: bool,
    output: &mut Output,
) {
    let record = &found.record;
    let hooks_dir = &place.surroundings.hooks_dir;
    found.print_passed_over(output);
    head(record, seen, hooks_dir, output);
    if let Some(job) = &found.job {
        output.line(&format!("  {:<10} {job}", "job"));
    }
    if record.head.state == RecordState::Done && record.body.runs.is_empty() {
        output.line("  no hook ran");
    }
    let running = seen.progress.running();
    if !running.is_empty() {
        output.line("");
        running::print(&running, &record.head, output);
        let stop = Fix::hookmux(hooks_dir, &["stop", record.head.id.as_str()]);
        output.toned(Tone::Dim, &format!("  `{stop}` ends it"));
    }
    // what failed is what people look for
    let (failed, others): (Vec<&RunRecord>, Vec<&RunRecord>) =
        record.body.runs.iter().partition(|run| run.outcome.is_failure());
    for run in failed {
        print_output(run, record, is_full, output);
    }
    print_timeline(record, output);
    plan(record, seen, output);
    for run in others {
        print_output(run, record, is_full, output);
    }
    for note in &record.body.notes {
        output.toned(Tone::Warning, &format!("! {note}"));
    }
    answer(record, is_full, output);
    if let Some(left_out) = &record.body.left_out {
        output.toned(Tone::Warning, &format!("documents and output weren't kept: {left_out}"));
    }
    if !follow_ups.is_empty() {
        output.line("");
        output.toned(Tone::Bold, "Later");
        let rows: Vec<_> = follow_ups.iter().map(|seen| executions::row(seen, hooks_dir)).collect();
        output.table(&executions::TITLES, &rows);
    }
    if record.head.state == RecordState::Done && seen.is_open_failure() {
        output.line("");
        how_to_go_on(hooks_dir, record).iter().for_each(|line| output.line(line));
    }
}

/// Says what to do after a failure. Undos that failed stay owed, and `retry` doesn't run them.
fn how_to_go_on(hooks_dir: &Path, record: &Record) -> Vec<String> {
    let RecordHead { object, hooks, .. } = &record.head;
    let mut failed = hooks.iter().filter(|hook| hook.outcome.is_failure());
    let has_undo = failed.clone().any(|hook| undo::is_label(&hook.hook));
    let has_other = failed.any(|hook| !undo::is_label(&hook.hook));
    let undo = has_undo.then(|| {
        let undo = Fix::hookmux(hooks_dir, &["undo", "--guest", object]);
        format!("What couldn't be undone is still owed: `{undo}` tries it again.")
    });
    let repeat = (has_other || !has_undo).then(|| how_to_repeat(hooks_dir, record));
    undo.into_iter().chain(repeat).collect()
}

/// Says how the hooks run again. libvirt itself calls the hooks of a gate again, and only
/// libvirt waits for their answer, so `retry` refuses gates without `--force`.
fn how_to_repeat(hooks_dir: &Path, record: &Record) -> String {
    let retry = |more: &[&str]| {
        Fix::hookmux(hooks_dir, &[&["retry", record.head.id.as_str()], more].concat())
    };
    if !retry::is_refused(record) {
        return format!("`{}` runs the same hooks again.", retry(&[]));
    }
    let again = match libvirts_command(&record.head) {
        Some(command) => format!("`{command}` makes libvirt call it again."),
        None => "When libvirt makes this call again, its hooks run again.".to_owned(),
    };
    format!(
        "{again} `{}` runs only the hooks, and their answer has no effect.",
        retry(&["--force"])
    )
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

fn head(record: &Record, seen: &Seen, asked: &Path, output: &mut Output) {
    let head = &record.head;
    let (result, tone) = executions::result(seen, asked);
    output.toned(Tone::Bold, &format!("{} {}", executions::call(head), head.object));
    output.toned(tone, &format!("  {result}"));
    let took = head.duration_us.map(|micros| format!(", took {}", time::short_duration(micros)));
    let seconds = head.began_us / 1_000_000;
    let mut line = |name: &str, value: &str| output.line(&format!("  {name:<10} {value}"));
    line("execution", &head.id);
    line("when", &format!("{}{}", time::local(seconds), took.unwrap_or_default()));
    match &head.cause {
        RecordCause::Libvirt => line("called by", &record.body.daemon),
        RecordCause::Person => line("called by", "`hookmux run`"),
        RecordCause::Retry(id) => line("retry of", id),
        RecordCause::Queue(id) => line("queued by", id),
        RecordCause::Undo(id) => line("undo of", id),
        RecordCause::Other { .. } => line("cause", head.cause.name()),
    }
    if let Some(uuid) = &head.uuid {
        line("uuid", uuid);
    }
    let origin = head.origin.as_ref().map(|origin| format!(", origin {origin}"));
    line("class", &format!("{}{}", head.class, origin.unwrap_or_default()));
    let arguments: Vec<_> = record.body.arguments.iter().map(|argument| argument.lossy()).collect();
    line("arguments", &arguments.join(" "));
    // nobody waits for an answer to these
    let is_own_call = !matches!(head.cause, RecordCause::Queue(_) | RecordCause::Undo(_));
    match (head.state, head.status) {
        (RecordState::Done, Some(status)) if is_own_call => {
            line("answer", &format!("exit status {status}"));
        }
        (RecordState::Lost, _) if is_own_call => {
            line(
                "answer",
                "none: hookmux died; libvirt saw it end by a signal, or had ended itself",
            );
        }
        _ => {}
    }
}

/// Prints the call's time from left to right, with a line for each hook.
fn print_timeline(record: &Record, output: &mut Output) {
    let body = &record.body;
    if body.runs.is_empty() {
        return;
    }
    let ends = body.runs.iter().map(|run| {
        run.start_us.unwrap_or_default().saturating_add(run.duration_us.unwrap_or_default())
    });
    let total = record.head.duration_us.or_else(|| ends.max()).unwrap_or_default().max(1);
    let names: Vec<String> = body.runs.iter().map(name).collect();
    let width = names.iter().map(|name| table::cells(name)).max().unwrap_or_default();
    output.line("");
    for (run, name) in body.runs.iter().zip(&names) {
        let (words, tone) = ended(run);
        let took = run.duration_us.map_or_else(|| "-".to_owned(), time::short_duration);
        let pad = width - table::cells(name);
        output.toned(
            tone,
            &format!(
                "  {name}{:pad$}  |{}|  {took:>7}  {words}",
                "",
                bar(run.start_us, run.duration_us, total)
            ),
        );
    }
    output.line(&format!(
        "  {:width$}   0{:>rest$}",
        "",
        time::short_duration(total),
        rest = TIMELINE_CHARACTERS as usize - 1
    ));
}

fn name(run: &RunRecord) -> String {
    let device = run.device.as_ref().map(|device| format!(" [{device}]")).unwrap_or_default();
    format!("{}{device}", run.hook)
}

/// Returns the bar of a run in the time of its call, all in microseconds.
fn bar(start: Option<u64>, took: Option<u64>, total: u64) -> String {
    let Some(start) = start else { return " ".repeat(TIMELINE_CHARACTERS as usize) };
    let column = |micros: u64| {
        (u128::from(micros.min(total)) * u128::from(TIMELINE_CHARACTERS) / u128::from(total))
            as usize
    };
    let begins = column(start).min(TIMELINE_CHARACTERS as usize - 1);
    let end = column(start.saturating_add(took.unwrap_or_default()));
    // also a short run is visible
    let ends = end.max(begins + 1);
    let after = (TIMELINE_CHARACTERS as usize).saturating_sub(ends);
    format!("{}{}{}", " ".repeat(begins), "━".repeat(ends - begins), " ".repeat(after))
}

fn ended(run: &RunRecord) -> (String, Tone) {
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

/// Prints the hooks that didn't run; for a call that never ended, those that were planned.
fn plan(record: &Record, seen: &Seen, output: &mut Output) {
    let is_over = record.head.state.is_over();
    let running = seen.progress.running();
    for ended in seen.progress.runs().1 {
        let took = ended.duration_us.map(time::short_duration).unwrap_or_default();
        let (words, tone) = match (&ended.failure, ended.outcome) {
            (Some(failure), _) => (failure.clone(), Tone::Bad),
            (None, RecordOutcome::Queued) => ("queued".to_owned(), Tone::Plain),
            (None, _) => (format!("good, {took}"), Tone::Good),
        };
        output.toned(tone, &format!("  {}: {words}", ended.hook));
    }
    let is_known = |planned: &PlanEntry| {
        let is_ended = |it: &EndedHook| it.hook == planned.hook && it.device == planned.device;
        let is_running = |it: &StartedHook| it.hook == planned.hook && it.device == planned.device;
        seen.progress.ended.iter().any(is_ended) || running.iter().any(is_running)
    };
    for planned in record.body.plan.iter().filter(|planned| !is_known(planned)) {
        let name = match &planned.device {
            Some(device) => format!("{} [{device}]", planned.hook),
            None => planned.hook.clone(),
        };
        match planned.decision {
            PlanDecision::Out | PlanDecision::Stopped => {
                let why = planned.reason.as_deref().unwrap_or_default();
                output.toned(Tone::Dim, &format!("  - {name}: {why}"));
            }
            PlanDecision::Unknown => {
                let why = planned.reason.as_deref().unwrap_or("it isn't known what became of it");
                output.toned(Tone::Dim, &format!("  ? {name}: {why}"));
            }
            PlanDecision::Run | PlanDecision::Fail if !is_over => {
                let words = match record.head.state {
                    RecordState::Running => "hasn't run yet",
                    _ => "was planned to run",
                };
                output.line(&format!("  ? {name}: {words}"));
            }
            PlanDecision::Run | PlanDecision::Fail => {}
        }
    }
}

fn print_output(run: &RunRecord, record: &Record, is_full: bool, output: &mut Output) {
    let is_quiet = run.stdout.0.is_empty() && run.stderr.0.is_empty() && run.leftovers.is_empty();
    let registration = record.head.registration_of(left_rollback::hook_of(&run.hook));
    let has_arguments = run.command.as_ref().is_some_and(|it| *it != CommandLine::default());
    let is_undo = run.undo.is_some();
    if is_quiet && !is_full && registration.is_none() && !has_arguments && !is_undo {
        return;
    }
    output.line("");
    output.toned(Tone::Bold, &name(run));
    if let Some(undo) = &run.undo {
        output.line(&format!("  {}", undone(undo)));
    }
    let mut dim = |line: &str| output.toned(Tone::Dim, &format!("  {}", shown(line, is_full)));
    let function = if is_full { None } else { command_line::function(run) };
    let line = function.or_else(|| command_line::line(run, &record.body.arguments, is_full));
    dim(&line.unwrap_or_else(|| run.path.lossy().into_owned()));
    run.command.iter().flat_map(command_line::notes).for_each(|note| dim(&note));
    if let Some(digest) = &run.sha256 {
        dim(&format!("sha256 {digest}"));
    }
    if let Some(registration) = registration {
        let HookRegistration { path, sha256, .. } = registration;
        dim(&format!("registered by {}, sha256 {sha256}", path.lossy()));
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
            output.line(&format!("  {stream}: {}", shown(line, is_full)));
        }
    }
    for left in &run.leftovers {
        output.toned(Tone::Warning, &format!("  left running: {} ({})", left.name, left.pid));
    }
}

/// Says what an undo takes back.
fn undone(undo: &UndoneSetup) -> String {
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

/// Returns a line, cut where it is long.
fn shown(line: &str, is_full: bool) -> Cow<'_, str> {
    if is_full { line.into() } else { shortened(line, "--full shows them") }
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

/// Prints what libvirt got.
fn answer(record: &Record, is_full: bool, output: &mut Output) {
    let body = &record.body;
    if !body.stderr.0.is_empty() && (is_full || !is_shown_above(body)) {
        output.line("");
        output.toned(Tone::Bold, "Told to libvirt");
        for line in body.stderr.lossy().lines() {
            output.line(&format!("  {}", shown(line, is_full)));
        }
    }
    if let (Some(before), Some(after)) = (&body.document, &body.document_after) {
        output.line("");
        output.toned(Tone::Bold, "The document, changed");
        difference::show(&before.lossy(), &after.lossy(), output);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_times_are_drawn() {
        for (start, took, total) in [
            (0, 0, 1),
            (0, 10, 10),
            (u64::MAX, u64::MAX, u64::MAX),
            (u64::MAX, 1, 1),
            (1, u64::MAX, u64::MAX),
        ] {
            let drawn = bar(Some(start), Some(took), total);
            assert_eq!(
                drawn.chars().count(),
                TIMELINE_CHARACTERS as usize,
                "{start} {took} {total}"
            );
            assert!(drawn.contains('━'), "{start} {took} {total}");
        }
    }
}
