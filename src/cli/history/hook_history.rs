//! `hookmux show HOOK`: one hook, what registers it, and its executions.
//!
//! A word can be a hook's name and a part of an execution's id. A whole id, and `last`, always mean the
//! execution; any other word means the hook if there is one of that name.

use super::last_results::LastResults;
use super::statistics::Tally;
use super::{misplaced_word, running, which};
use crate::cli::args::{Format, ShowArgs};
use crate::cli::hooks::list;
use crate::cli::inventory::Inventory;
use crate::cli::inventory::listed::{self, HookState, Listed};
use crate::cli::json::hook_history::{HookExecution, HookHistory, HookStatistics};
use crate::cli::json::run::RunState;
use crate::cli::json::value::{Seconds, Time};
use crate::cli::output::{Cell, Output, Tone};
use crate::cli::register::{module, registered};
use crate::cli::remark::Remark;
use crate::cli::time::TimeStyle;
use crate::cli::{CommandEnd, CommandPlace, time};
use crate::command::Fix;
use crate::config::registration::{EXTENSION, flow_word};
use crate::config::suggest::did_you_mean;
use crate::config::{Registration, Settings};
use crate::machine::ulid;
use crate::record::form::{Record, RecordHead, RecordOutcome};
use crate::record::history::{Filter, History, IdPart, is_hook};

/// How many executions are shown without `--full`.
const MAX_EXECUTIONS: usize = 20;

/// What a word means.
pub(crate) enum Subject {
    Execution,
    Hook(ShownHook),
}

/// A hook to be shown.
pub(crate) struct ShownHook {
    name: String,
    /// The hook at each of its events; empty if it is gone.
    listed: Vec<Listed>,
    /// The labels of all other hooks.
    others: Vec<String>,
    /// The labels of those that the word could mean, too.
    same_name: Vec<String>,
    /// An execution that the word means, too.
    pub execution: Option<String>,
}

/// Finds out what a word of this command means.
///
/// # Errors
/// It means nothing, or several hooks.
pub(crate) fn subject(
    place: &CommandPlace,
    settings: &Settings,
    history: &History,
    (command, word): (&str, &str),
) -> anyhow::Result<Subject> {
    if word == "last" || ulid::is_valid(&word.to_ascii_uppercase()) {
        return Ok(Subject::Execution);
    }
    let executions = history.find_ids(word);
    let all = listed::all(Inventory::look(settings, place.surroundings.user));
    let all = match all {
        Ok(all) => all,
        Err(_) if !executions.is_empty() => return Ok(Subject::Execution),
        Err(error) => return Err(error),
    };
    let wanted = word.strip_suffix(&format!(".{EXTENSION}")).unwrap_or(word);
    let (mut found, others): (Vec<Listed>, Vec<Listed>) =
        all.into_iter().partition(|hook| is_hook(&hook.label, wanted));
    // what is masked is another one's shadow, unless there is nothing else
    if found.iter().any(|hook| hook.state != HookState::Masked) {
        found.retain(|hook| hook.state != HookState::Masked);
    }
    let execution = executions.first().cloned();
    let mut others: Vec<String> = others.into_iter().map(|hook| hook.label).collect();
    let mut same_name = Vec::new();
    // the other commands about registrations mean the registration, too
    let is_registration = |hook: &Listed| hook.registration.is_some() && hook.name == wanted;
    if found.iter().any(is_registration) {
        let scripts: Vec<Listed>;
        (found, scripts) = found.into_iter().partition(is_registration);
        same_name = scripts.into_iter().map(|hook| hook.label).collect();
        others.extend(same_name.iter().cloned());
    }
    if let Some(first) = found.first() {
        let is_one = found.iter().all(|hook| match (&first.registration, &hook.registration) {
            (Some(one), Some(other)) => one == other,
            _ => hook.label == first.label,
        });
        if !is_one {
            let labels: Vec<&str> = found.iter().map(|hook| hook.label.as_str()).collect();
            anyhow::bail!("`{word}` means more than one hook: {}", labels.join(", "));
        }
        let name = match (&first.registration, found.len()) {
            (Some(_), count) if count > 1 || wanted == first.name => first.name.clone(),
            _ => first.label.clone(),
        };
        return Ok(Subject::Hook(ShownHook { name, listed: found, others, same_name, execution }));
    }
    if !executions.is_empty() {
        return Ok(Subject::Execution);
    }
    // its file may be gone, but not what it did
    let mut recorded: Vec<String> = Vec::new();
    for head in history.find(&Filter::default()) {
        let labels = head.hooks.into_iter().map(|hook| hook.hook);
        recorded.extend(labels.filter(|label| is_hook(label, wanted)));
    }
    if !recorded.is_empty() {
        let name = wanted.to_owned();
        let listed = Vec::new();
        return Ok(Subject::Hook(ShownHook { name, listed, others, same_name, execution }));
    }
    if which::of_job(settings, history, &IdPart::of(word)).is_some() {
        return Ok(Subject::Execution);
    }
    if let Some(fix) = misplaced_word::of_guest(place, settings, Some(history), (command, word)) {
        let words =
            format!("`{word}` names a guest or a network, and no execution or hook: `{fix}`");
        anyhow::bail!(Remark::with_fix(words, fix));
    }
    let short = others.iter().filter_map(|label| label.rsplit('/').next());
    let names = others.iter().map(String::as_str).chain(short);
    let hint = did_you_mean(word, names).map(|meant| format!("; did you mean {meant}?"));
    let hint = hint.unwrap_or_else(|| {
        "; `hookmux log` shows the executions, `hookmux list` the hooks".to_owned()
    });
    anyhow::bail!("there is no execution `{word}`, and no hook of this name{hint}")
}

/// Checks that a hook had a part in an execution.
///
/// # Errors
/// It had none; the message names those that had.
pub(crate) fn check_part(record: &Record, hook: &str) -> anyhow::Result<()> {
    let labels = || record.head.hooks.iter().map(|run| run.hook.as_str());
    let planned = record.body.plan.iter().any(|planned| is_hook(&planned.hook, hook));
    if planned || labels().any(|label| is_hook(label, hook)) {
        return Ok(());
    }
    let others: Vec<&str> = labels().collect();
    let others = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
    anyhow::bail!("{hook} had no part in {}; these had: {others}", record.head.id)
}

impl ShownHook {
    /// Returns the id of its last execution that is over, and its labels there.
    pub(crate) fn last(&self, history: &History) -> Option<(String, Vec<String>)> {
        history.find(&Filter::default()).filter(|head| head.state.is_over()).find_map(|head| {
            let labels = head.hooks.into_iter().map(|hook| hook.hook);
            let mut labels: Vec<String> = labels.filter(|label| self.is_label(label)).collect();
            labels.dedup();
            (!labels.is_empty()).then_some((head.id, labels))
        })
    }

    /// Tells whether a label in a record is this hook's.
    fn is_label(&self, label: &str) -> bool {
        let is_now = self.listed.iter().any(|hook| hook.label == label);
        // its events may have been others
        let is_whole = self.name.contains('/');
        is_now
            || (is_hook(label, &self.name)
                && (is_whole || !self.others.iter().any(|other| other == label)))
    }

    fn executions(
        &self,
        history: &History,
        is_full: bool,
    ) -> (Vec<HookExecution>, usize, HookStatistics) {
        let (mut shown, mut older, mut tally) = (Vec::new(), 0, Tally::default());
        for head in history.find(&Filter::default()) {
            let own = || head.hooks.iter().filter(|hook| self.is_label(&hook.hook));
            own().for_each(|run| tally.add(&head, run));
            if own().next().is_none() {
                continue;
            }
            if shown.len() >= MAX_EXECUTIONS && !is_full {
                older += 1;
                continue;
            }
            shown.extend(self.runs(history, &head));
        }
        shown.reverse();
        (shown, older, tally.result())
    }

    /// Returns its runs in an execution, the last first.
    fn runs(&self, history: &History, head: &RecordHead) -> Vec<HookExecution> {
        let whole = history.record(&head.id).ok().filter(|record| record.head.state.is_over());
        let mut runs: Vec<HookExecution> = match &whole {
            Some(Record { body, .. }) => body
                .runs
                .iter()
                .filter(|run| self.is_label(&run.hook))
                .map(|run| HookExecution {
                    device: run.device.clone(),
                    status: Some(run.status).filter(|_| run.outcome != RecordOutcome::Queued),
                    failure: run.failure.clone(),
                    ..execution(head, &run.hook, run.event.as_ref(), run.outcome, run.duration_us)
                })
                .collect(),
            None => Vec::new(),
        };
        // one that isn't over, or whose details weren't kept, has only the summary
        if runs.is_empty() {
            let own = head.hooks.iter().filter(|hook| self.is_label(&hook.hook));
            runs.extend(own.map(|hook| {
                execution(head, &hook.hook, hook.event.as_ref(), hook.outcome, hook.duration_us)
            }));
        }
        let now = running::hooks(head);
        for run in &mut runs {
            if now.iter().any(|hook| hook.hook == run.hook) {
                run.state = RunState::Running;
            }
        }
        runs.reverse();
        runs
    }
}

fn execution(
    head: &RecordHead,
    hook: &str,
    event: Option<&String>,
    outcome: RecordOutcome,
    duration_us: Option<u64>,
) -> HookExecution {
    HookExecution {
        id: head.id.clone(),
        began: Time::of_micros(head.began_us),
        cause: head.cause.name().to_owned(),
        parent: head.cause.parent().map(str::to_owned),
        driver: head.driver.clone(),
        object: head.object.clone(),
        operation: head.operation.clone(),
        hook: hook.to_owned(),
        event: event.cloned(),
        device: None,
        state: outcome.into(),
        timed_out: outcome == RecordOutcome::Timeout,
        status: None,
        failure: None,
        duration_s: duration_us.map(Seconds::of_micros),
    }
}

pub(crate) fn show(
    place: &CommandPlace,
    settings: &Settings,
    history: &History,
    hook: &ShownHook,
    arguments: &ShowArgs,
    output: &mut Output,
) -> CommandEnd {
    let (executions, older, statistics) = hook.executions(history, arguments.full);
    let hooks_dir = &place.surroundings.hooks_dir;
    let labels = hook.listed.iter().map(|listed| listed.label.as_str());
    let last = LastResults::of(settings, labels).unwrap_or_default();
    if arguments.output.format == Format::Json {
        output.json(&HookHistory {
            name: hook.name.clone(),
            hooks: hook.listed.iter().map(|listed| list::json(listed, settings, &last)).collect(),
            executions,
            older,
            statistics,
            execution_of_this_name: hook.execution.clone(),
        });
        return CommandEnd::Good;
    }
    output.toned(Tone::Bold, &hook.name);
    match hook.listed.first() {
        Some(first) => print_hook(hook, first, &last, arguments.full, output),
        None => output.toned(Tone::Warning, "  it is gone: there is no such hook any more"),
    }
    output.line("");
    if executions.is_empty() {
        output.line("No execution of it is recorded.");
    } else {
        print_executions(&executions, output);
    }
    if older > 0 {
        output.toned(Tone::Dim, &format!("… {older} older ones; --full shows them"));
    }
    print_statistics(&statistics, output);
    if let Some(last) = executions.last() {
        let show = Fix::hookmux(hooks_dir, &["show", &last.id]);
        output.line(&format!("`{show}` shows the last one"));
    }
    for label in &hook.same_name {
        let show = Fix::hookmux(hooks_dir, &["show", label]);
        output.print_error(&format!("a script has this name too: `{show}` shows it"));
    }
    if let Some(id) = &hook.execution {
        let show = Fix::hookmux(hooks_dir, &["show", id]);
        output.print_error(&format!(
            "an execution's id begins or ends with this word too: `{show}` shows it"
        ));
    }
    CommandEnd::Good
}

fn print_statistics(statistics: &HookStatistics, output: &mut Output) {
    let HookStatistics { runs, failed, .. } = statistics;
    let [median, longest] = [statistics.median_s, statistics.longest_s]
        .map(|it| it.map(|it| time::short_duration(it.micros())));
    let took = median.zip(longest).map(|(median, longest)| {
        format!("; half of them took up to {median}, the longest {longest}")
    });
    if *runs > 1 {
        let runs = format!("{runs} runs, {failed} failed{}", took.unwrap_or_default());
        output.toned(Tone::Dim, &runs);
    }
}

fn print_hook(
    hook: &ShownHook,
    first: &Listed,
    last: &LastResults,
    is_full: bool,
    output: &mut Output,
) {
    let times = output.times(TimeStyle::Relative);
    let mut line = |tone: Tone, name: &str, value: &str| {
        output.toned(tone, &format!("  {name:<12} {value}"));
    };
    for listed in &hook.listed {
        let order = listed.order.map(|order| format!(", number {order} there"));
        let at = format!("{}{}", listed.place, order.unwrap_or_default());
        line(Tone::Plain, "at", &at);
    }
    let whom = first.condition().unwrap_or_else(|| "everybody".to_owned());
    line(Tone::Plain, "for", &whom);
    for listed in &hook.listed {
        let Some(last) = last.get(&listed.label) else { continue };
        let at = if hook.listed.len() > 1 { format!(" ({})", listed.place) } else { String::new() };
        let tone = if last.state == RunState::Failed { Tone::Bad } else { Tone::Plain };
        line(tone, "last", &format!("{}{at}", last.words(times)));
    }
    let state = first.state.name();
    match first.reason.as_deref() {
        // some begin with the state's own word
        Some(reason) if reason.starts_with(state) => line(first.state.tone(), "state", reason),
        Some(reason) => {
            line(first.state.tone(), "state", state);
            line(Tone::Plain, "", reason);
        }
        None => line(first.state.tone(), "state", state),
    }
    let is_said = |fix: &&Fix| first.reason.as_ref().is_some_and(|why| why.contains(&fix.text));
    if let Some(fix) = first.fix.as_ref().filter(|fix| !is_said(fix)) {
        line(Tone::Plain, "", &format!("→ {fix}"));
    }
    match (&first.registered, &first.registration) {
        (Some(registration), _) => {
            line(Tone::Plain, "file", &registration.source.display().to_string());
            print_keys(registration, is_full, output);
        }
        (None, Some(file)) => line(Tone::Plain, "file", &file.display().to_string()),
        (None, None) => {
            line(Tone::Plain, "script", &first.path.display().to_string());
            line(Tone::Plain, "source", first.source.name());
        }
    }
}

/// Prints the keys of a registration as they hold. Of one that calls a function of a module, the text that
/// loads the module is left out.
fn print_keys(registration: &Registration, is_full: bool, output: &mut Output) {
    output.line("");
    output.toned(Tone::Bold, "Registration");
    let called = module::called_function(&registration.command).filter(|_| !is_full);
    for (key, value) in registered::all(registration) {
        let value = match (key, called, registration.command.first()) {
            ("command", Some((name, function)), Some(interpreter)) => {
                format!("{function} of {name}, by {interpreter}; --full shows the command")
            }
            // with all lines that load a module
            ("command", ..) if is_full => {
                let words = registration.command.iter().map(|word| flow_word(word));
                format!("[{}]", words.collect::<Vec<_>>().join(", "))
            }
            _ => value,
        };
        output.line(&format!("  {key:<16} {value}"));
    }
    let args = registration.args.iter().map(|argument| argument.as_str().to_owned());
    let words: Vec<String> = registration.command.iter().cloned().chain(args).collect();
    output.toned(Tone::Dim, &format!("  {:<16} {}", "command line", module::command_line(&words)));
}

fn print_executions(executions: &[HookExecution], output: &mut Output) {
    output.toned(Tone::Bold, "Executions");
    let times = output.times(TimeStyle::Absolute);
    // what was queued and has run is the row of its run
    let has_run = |queued: &HookExecution| {
        let mut all = executions.iter();
        queued.state == RunState::Queued
            && all.any(|run| {
                run.parent.as_deref() == Some(&queued.id)
                    && run.cause == "queue"
                    && run.hook == queued.hook
                    && run.device == queued.device
            })
    };
    let rows: Vec<Vec<Cell>> = executions
        .iter()
        .filter(|run| !has_run(run))
        .map(|run| {
            let (words, tone) = match run.state {
                RunState::Good => ("good", Tone::Good),
                RunState::Failed => ("failed", Tone::Bad),
                RunState::Queued => ("queued", Tone::Plain),
                RunState::Running => ("running", Tone::Warning),
                RunState::Unknown => ("not known", Tone::Warning),
            };
            let cause = match run.cause.as_str() {
                "libvirt" => String::new(),
                cause => format!(" ({cause})"),
            };
            let status = run.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
            vec![
                run.id.clone().into(),
                Cell(times.of(run.began.seconds()), Tone::Dim),
                format!("{} {}{cause}", run.driver, run.operation).into(),
                run.object.clone().into(),
                Cell(words.to_owned(), tone),
                status.into(),
                run.failure.clone().unwrap_or_default().into(),
            ]
        })
        .collect();
    output.table(&["ID", "TIME", "CALL", "OBJECT", "RESULT", "STATUS", "WHY"], &rows);
}
