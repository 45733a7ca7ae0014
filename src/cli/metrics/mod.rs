//! `hookmux metrics`: prints counters and gauges in Prometheus' text format, for node_exporter's textfile
//! collector. docs/metrics.md has all of them.
//!
//! A value that can't be read is an error, never a zero. No hook is run: only libvirt's daemon, which is asked for
//! its version, and `getent` for users that `/etc/passwd` doesn't have.

mod family;
mod file;

use std::path::Path;

use anyhow::Context;

use super::args::{Format, MetricsArgs};
use super::check;
use super::check::finding::Severity;
use super::history::executions;
use super::install::installed::{self, Installed};
use super::install::{copies, libvirt_version};
use super::inventory::Inventory;
use super::inventory::listed::{self, HookState, Listed};
use super::json::metrics::{MetricKind, Metrics};
use super::json::status::EntryState;
use super::json::value::Named;
use super::outbox::OutboxCounts;
use super::output::Output;
use super::queue::QueueState;
use super::status::entries::state_of;
use super::status::{self, UndoCounts};
use super::undo::LedgerState;
use super::{CommandEnd, CommandPlace, digest, rights};
use crate::bypass;
use crate::machine::clock;
use crate::queue::Queue;
use crate::record::counters::{self, Counters, HookCounters, labels};
use crate::record::form::RecordHead;
use crate::record::last_day;
use crate::trust::Trust;
use crate::undo::ledger::Ledger;
use family::{Families, seconds};

/// How many of the oldest jobs are looked at.
const MAX_JOBS: usize = 1000;

pub(super) fn run(
    place: &CommandPlace,
    arguments: &MetricsArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    if let Some(path) = &arguments.write {
        // before anything is read: most of the work would be for nothing
        file::check(path)?;
        let families = collect(place, output)?;
        file::write(path, &families.text())?;
        return Ok(CommandEnd::Good);
    }
    let families = collect(place, output)?;
    match arguments.output.format {
        Format::Text => output.write(&families.text()),
        Format::Json => output.json(&Metrics { metrics: families.json() }),
    }
    Ok(CommandEnd::Good)
}

/// Reads everything, and returns all metrics.
///
/// # Errors
/// Something can't be read.
fn collect(place: &CommandPlace, output: &mut Output) -> anyhow::Result<Families> {
    let computed_us = clock::unix_microseconds();
    let loaded = place.load(output);
    let settings = &loaded.settings;
    let user = place.surroundings.user;
    rights::must_read_hooks(settings)?;
    let history = executions::history(settings, output)?;
    let spool = history.spool();
    // counters that can't be read must not be shown as zero
    let counters = last_day::count(&history)
        .with_context(|| executions::not_counted(&counters::path(history.store().base())))?;
    let queue = Queue::new(&settings.state_dir);
    let ledger = Ledger::new(&settings.runtime_dir);
    rights::must_list(&[queue.directory().unchecked_path(), ledger.directory().unchecked_path()])?;
    let jobs = QueueState::read(place, settings, MAX_JOBS)?.counts();
    let undos = LedgerState::read(&ledger, None).context("the undos can't be read")?;
    let hooks = listed::all(Inventory::look(settings, user))?;
    let digest = digest::compute(place, &loaded, &hooks)?;
    digest::keep(&loaded, &digest, computed_us);
    let mut trust = Trust::new(user);
    let bypass = bypass::load(&settings.hooks_dir, &mut trust).unwrap_or_default();
    let dropped = spool.dropped();
    let entries = installed::all(&settings.hooks_dir);

    let mut all = Families::default();
    of_host(&digest.value, &mut all);
    of_hooks(&hooks, &mut all);
    of_check(place, &mut all);
    of_entries(&settings.hooks_dir, &entries, &mut all);
    of_calls(&counters, &mut all);
    of_single_hooks(&counters, &mut all);
    of_running(&status::running(&history), &mut all);
    for (name, help, value) in [
        ("hookmux_queue_jobs", "Detached hooks that wait or run.", jobs.jobs + jobs.unread),
        (
            "hookmux_queue_jobs_failing",
            "Detached hooks that have failed, and are tried again.",
            jobs.failing,
        ),
        (
            "hookmux_queue_jobs_put_aside",
            "Detached hooks that don't run until somebody brings them back.",
            jobs.put_aside,
        ),
    ] {
        all.single(MetricKind::Gauge, name, help, value);
    }
    all.single(
        MetricKind::Gauge,
        "hookmux_queue_oldest_job_age_seconds",
        "How long the oldest detached hook has been in the queue; 0 if it is empty.",
        jobs.oldest.unwrap_or_default().as_secs(),
    );
    of_undos(UndoCounts::of(&undos), &mut all);
    all.single(
        MetricKind::Gauge,
        "hookmux_records_spooled",
        "Records that haven't been moved to the state directory yet.",
        spool.done_ids().len(),
    );
    all.single(
        MetricKind::Counter,
        "hookmux_records_dropped_total",
        "Records that could not be kept, since the host was started.",
        dropped.records,
    );
    all.single(
        MetricKind::Counter,
        "hookmux_journal_entries_dropped_total",
        "Entries that the journal had no room for, since the host was started.",
        dropped.journal,
    );
    of_outbox(&OutboxCounts::read(settings), &mut all);
    all.single(
        MetricKind::Gauge,
        "hookmux_bypass_active",
        "Whether the emergency switch is on.",
        u8::from(!bypass.is_off()),
    );
    if let Some(since) = bypass.entries.iter().map(|entry| entry.since).min() {
        all.single(
            MetricKind::Gauge,
            "hookmux_bypass_since_timestamp_seconds",
            "When the emergency switch was switched on; missing while it is off.",
            since,
        );
    }
    all.single(
        MetricKind::Gauge,
        "hookmux_metrics_timestamp_seconds",
        "When these metrics were read.",
        clock::unix_seconds(),
    );
    Ok(all)
}

fn of_host(digest: &str, all: &mut Families) {
    let libvirt = libvirt_version::of_host().map(|version| version.to_string());
    let version = env!("CARGO_PKG_VERSION");
    let own = labels(&[("version", version), ("libvirt", libvirt.as_deref().unwrap_or_default())]);
    all.add(
        MetricKind::Gauge,
        "hookmux_build_info",
        "The version of hookmux, and that of the installed libvirt; always 1.",
    )
    .push(&own, 1);
    all.add(
        MetricKind::Gauge,
        "hookmux_config_info",
        "The digest of hooks, settings and version: hosts with the same digest do the same; always 1.",
    )
    .push(&labels(&[("digest", digest)]), 1);
}

fn of_hooks(hooks: &[Listed], all: &mut Families) {
    let mut samples = all.add(
        MetricKind::Gauge,
        "hookmux_hooks",
        "Hooks by their state, as `hookmux list` has it.",
    );
    for state in HookState::ALL {
        let count = hooks.iter().filter(|hook| hook.state == *state).count();
        samples.push(&labels(&[("state", state.name())]), count);
    }
}

/// Adds what `hookmux check` finds, without making a file anywhere.
fn of_check(place: &CommandPlace, all: &mut Families) {
    let findings = check::findings(place, Path::new("/"), false);
    let mut samples = all.add(
        MetricKind::Gauge,
        "hookmux_check_findings",
        "What `hookmux check` finds, by severity.",
    );
    for severity in Severity::ALL {
        let count = findings.iter().filter(|finding| finding.severity() == severity).count();
        samples.push(&labels(&[("severity", severity.name())]), count);
    }
}

/// Adds the entries of drivers for which hookmux is installed, or was.
fn of_entries(hooks_dir: &Path, entries: &[Installed], all: &mut Families) {
    let mut samples = all.add(
        MetricKind::Gauge,
        "hookmux_entry_intact",
        "Whether libvirt calls hookmux for the driver; only drivers for which it was installed.",
    );
    for entry in entries {
        let driver = labels(&[("driver", entry.driver.name())]);
        // a copy of the program is left where somebody has removed the entry
        let has_copy =
            || copies::are_for(hooks_dir) && entry.copy.as_ref().is_some_and(|it| it.is_ours);
        match state_of(entry) {
            EntryState::Installed | EntryState::Beside => samples.push(&driver, 1),
            EntryState::Overwritten | EntryState::Dangling => samples.push(&driver, 0),
            EntryState::Missing | EntryState::Odd | EntryState::Foreign if has_copy() => {
                samples.push(&driver, 0);
            }
            EntryState::Missing | EntryState::Odd | EntryState::Foreign => {}
        }
    }
    let overwritten = entries.iter().filter(|entry| entry.overwriting_program().is_some()).count();
    all.single(
        MetricKind::Gauge,
        "hookmux_entries_overwritten",
        "Drivers for which libvirt runs a program that was written over hookmux.",
        overwritten,
    );
}

fn of_calls(counters: &Counters, all: &mut Families) {
    all.add(
        MetricKind::Counter,
        "hookmux_executions_total",
        "Calls of libvirt's that had hooks, by how they ended.",
    )
    .extend(counters.executions.clone());
    all.add(
        MetricKind::Counter,
        "hookmux_hook_runs_total",
        "Runs of hooks, by event and by how they ended.",
    )
    .extend(counters.hooks.clone());
    all.histograms(
        "hookmux_execution_duration_seconds",
        "How long libvirt waited for an answer.",
        &counters.execution_times,
    );
    all.histograms(
        "hookmux_hook_run_duration_seconds",
        "How long hooks took.",
        &counters.hook_times,
    );
    all.add(
        MetricKind::Gauge,
        "hookmux_last_failure_timestamp_seconds",
        "When a hook of the event last failed.",
    )
    .extend(counters.last_failures.clone());
    all.add(
        MetricKind::Counter,
        "hookmux_refused_calls_total",
        "Calls that libvirt was told to give up, such as the start of a guest.",
    )
    .extend(counters.refused.clone());
    all.add(
        MetricKind::Gauge,
        "hookmux_last_refused_call_timestamp_seconds",
        "When such a call was last refused.",
    )
    .extend(counters.last_refused.clone());
}

/// Adds what is counted for single hooks: those that ran last, at most [`counters::MAX_HOOKS`].
fn of_single_hooks(counters: &Counters, all: &mut Families) {
    let label = |hook: &String| labels(&[("hook", hook)]);
    let mut add = |kind, name, help, value: &dyn Fn(&HookCounters) -> Option<String>| {
        let mut samples = all.add(kind, name, help);
        let series = counters.by_hook.iter();
        samples.extend(series.filter_map(|(hook, own)| Some((label(hook), value(own)?))));
    };
    add(MetricKind::Counter, "hookmux_single_hook_runs_total", "Runs of the hook.", &|own| {
        Some(own.runs.to_string())
    });
    add(
        MetricKind::Counter,
        "hookmux_single_hook_failures_total",
        "Runs of the hook that failed.",
        &|own| Some(own.failures.to_string()),
    );
    add(
        MetricKind::Counter,
        "hookmux_single_hook_run_seconds_total",
        "How long all runs of the hook took.",
        &|own| Some(seconds(own.sum_us).to_string()),
    );
    add(
        MetricKind::Gauge,
        "hookmux_single_hook_last_run_timestamp_seconds",
        "When the last run of the hook ended.",
        &|own| Some(own.last.to_string()),
    );
    add(
        MetricKind::Gauge,
        "hookmux_single_hook_last_run_failed",
        "Whether the last run of the hook failed.",
        &|own| Some(u8::from(own.has_failed).to_string()),
    );
    add(
        MetricKind::Gauge,
        "hookmux_single_hook_last_failure_timestamp_seconds",
        "When a run of the hook last failed; missing for never.",
        &|own| (own.last_failure > 0).then(|| own.last_failure.to_string()),
    );
}

fn of_running(running: &[RecordHead], all: &mut Families) {
    all.single(
        MetricKind::Gauge,
        "hookmux_executions_running",
        "Calls that run now.",
        running.len(),
    );
    let began = running.iter().map(|head| head.began_us).min();
    let age = began.map_or(0, |began| clock::unix_microseconds().saturating_sub(began));
    all.single(
        MetricKind::Gauge,
        "hookmux_oldest_running_execution_age_seconds",
        "How long the oldest of these calls has been running; 0 if none runs.",
        seconds(age),
    );
}

/// Adds what waits for other hosts.
fn of_outbox(counts: &OutboxCounts, all: &mut Families) {
    let gauge = MetricKind::Gauge;
    all.single(
        gauge,
        "hookmux_outbox_events",
        "Events that wait to be sent to other hosts.",
        counts.events + counts.waiting,
    );
    all.single(gauge, "hookmux_outbox_bytes", "How much they take on disk.", counts.bytes);
    let now = clock::unix_seconds();
    let age = counts.oldest_ms.map_or(0, |oldest| now.saturating_sub(oldest / 1000));
    all.single(
        gauge,
        "hookmux_outbox_oldest_event_age_seconds",
        "How long ago the execution of the oldest event began; 0 if none waits.",
        age,
    );
    all.single(
        MetricKind::Counter,
        "hookmux_outbox_gaps_total",
        "How often events were lost before they were sent.",
        counts.gaps,
    );
    all.single(
        MetricKind::Counter,
        "hookmux_outbox_lost_events_total",
        "Events that were lost before they were sent.",
        counts.lost,
    );
}

fn of_undos(counts: UndoCounts, all: &mut Families) {
    let mut samples = all.add(
        MetricKind::Gauge,
        "hookmux_undos",
        "What hooks have set up: until its guest ends, due, owed after that, or not to be read.",
    );
    for (state, count) in [
        ("set up", counts.set_up),
        ("due", counts.due),
        ("owed", counts.owed),
        ("unread", counts.unread),
    ] {
        samples.push(&labels(&[("state", state)]), count);
    }
}
