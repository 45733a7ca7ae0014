//! `hookmux metrics`: prints counters in Prometheus' text format, for node_exporter's textfile collector.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use anyhow::Context;

use super::executions;
use crate::bypass;
use crate::cli::install::entries;
use crate::cli::output::Output;
use crate::cli::{CommandEnd, CommandPlace, rights};
use crate::machine::sanitize;
use crate::queue::Queue;
use crate::record::counters::{self, BUCKETS, Counters, Histogram};
use crate::record::form::RecordHead;
use crate::record::history::History;
use crate::state::format::NewerFormat;
use crate::trust::Trust;

pub(crate) fn run(place: &CommandPlace, output: &mut Output) -> anyhow::Result<CommandEnd> {
    let loaded = place.load(output);
    let settings = &loaded.settings;
    let history = executions::history(settings, output)?;
    let spool = history.spool();
    // counters that can't be read must not be shown as zero
    let counters = count(&history)
        .with_context(|| executions::not_counted(&counters::path(history.store().base())))?;
    let mut trust = Trust::new(place.surroundings.user);
    let is_bypassed = bypass::load(&settings.hooks_dir, &mut trust).is_ok_and(|now| !now.is_off());
    let dropped = spool.dropped();
    let queue = Queue::new(&settings.state_dir);
    rights::must_list(&[queue.directory().unchecked_path()])?;
    let queue = queue.ids().context("the queue can't be read")?.len();
    let mut text = String::new();
    counter(
        &mut text,
        "hookmux_executions_total",
        "Calls of libvirt's that had hooks, by how they ended.",
        &counters.executions,
    );
    counter(
        &mut text,
        "hookmux_hook_runs_total",
        "Runs of hooks, by event and by how they ended.",
        &counters.hooks,
    );
    histogram(
        &mut text,
        "hookmux_execution_duration_seconds",
        "How long libvirt waited for an answer.",
        &counters.execution_times,
    );
    histogram(
        &mut text,
        "hookmux_hook_run_duration_seconds",
        "How long hooks took.",
        &counters.hook_times,
    );
    head(
        &mut text,
        "hookmux_last_failure_timestamp_seconds",
        "gauge",
        "When a hook of the event last failed.",
    );
    for (labels, seconds) in &counters.last_failures {
        let _ = writeln!(text, "hookmux_last_failure_timestamp_seconds{{{labels}}} {seconds}");
    }
    let bypassed = u64::from(is_bypassed);
    for (name, kind, help, value) in [
        ("hookmux_queue_jobs", "gauge", "Detached hooks that wait or run.", queue as u64),
        (
            "hookmux_records_spooled",
            "gauge",
            "Records that haven't been moved to the state directory yet.",
            spool.done_ids().len() as u64,
        ),
        (
            "hookmux_records_dropped_total",
            "counter",
            "Records that could not be kept, since the host was started.",
            dropped.records,
        ),
        (
            "hookmux_journal_entries_dropped_total",
            "counter",
            "Entries that the journal had no room for, since the host was started.",
            dropped.journal,
        ),
        (
            "hookmux_entries_overwritten",
            "gauge",
            "Drivers for which libvirt runs a program that was written over hookmux.",
            entries::overwritten(&settings.hooks_dir).len() as u64,
        ),
        ("hookmux_bypass_active", "gauge", "Whether the emergency switch is on.", bypassed),
    ] {
        head(&mut text, name, kind, help);
        let _ = writeln!(text, "{name} {value}");
    }
    output.write(&escape(&text));
    Ok(CommandEnd::Good)
}

/// Escapes what a terminal would take for more than text, in a way that a label's value can have: a backslash
/// in it means itself.
fn escape(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        if character != '\n' && sanitize::is_invisible(character) {
            let _ = write!(clean, "\\{}", character.escape_unicode());
        } else {
            clean.push(character);
        }
    }
    clean
}

/// Returns the counters, with the records that haven't been moved yet.
pub(crate) fn count(history: &History) -> Result<Counters, NewerFormat> {
    let load = || Counters::load(history.store().base());
    let mut before = load()?;
    loop {
        let fresh: Vec<RecordHead> =
            history.spool().done_ids().iter().filter_map(|id| history.head(id).ok()).collect();
        let mut counters = load()?;
        // a batch that was moved meanwhile would be counted twice or not at all
        if counters.batch != before.batch {
            before = counters;
            continue;
        }
        for head in fresh.iter().filter(|head| !before.batch.contains(&head.id)) {
            counters.add(head);
        }
        return Ok(counters);
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn counter(text: &mut String, name: &str, help: &str, series: &BTreeMap<String, u64>) {
    head(text, name, "counter", help);
    for (labels, value) in series {
        let _ = writeln!(text, "{name}{{{labels}}} {value}");
    }
}

fn histogram(text: &mut String, name: &str, help: &str, series: &BTreeMap<String, Histogram>) {
    head(text, name, "histogram", help);
    for (labels, histogram) in series {
        let mut sum = 0;
        for (bound, count) in BUCKETS.iter().zip(&histogram.counts) {
            sum += count;
            let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {sum}");
        }
        let all: u64 = histogram.counts.iter().sum();
        let seconds = Duration::from_micros(histogram.sum_us).as_secs_f64();
        let _ = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {all}");
        let _ = writeln!(text, "{name}_sum{{{labels}}} {seconds}");
        let _ = writeln!(text, "{name}_count{{{labels}}} {all}");
    }
}
