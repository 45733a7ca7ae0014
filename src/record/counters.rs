//! Counters over all executions since counting began. Retention doesn't change them.
//!
//! The file lies with the records, and is updated when records are moved there. It has the ids of the
//! last batch: so a batch whose mover died half-way is counted exactly once.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::form::{HookSummary, RecordCause, RecordHead, RecordOutcome, RecordState};
use super::history;
use crate::libvirt::Class;
use crate::machine::clock;
use crate::state::Dir;
use crate::state::format::{self, NewerFormat};

const FILE_NAME: &str = "counters.json";
/// The version of the file's format. It is raised when older versions would misread the file.
const FORMAT: u32 = 1;
/// The size limit of the file, in bytes. hookmux writes no larger one: it has an entry for each kind of
/// call and event.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Upper bounds of the histograms' buckets, in seconds.
pub(crate) const BUCKETS: [f64; 13] =
    [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];

/// The number of hooks that are counted one by one. A host with more has the counters of those that ran last:
/// each of them is a series of its own in Prometheus.
pub(crate) const MAX_HOOKS: usize = 1000;

/// The length of the spans in which the calls of the last day are counted.
const SPAN_SECONDS: u64 = 600;
/// How long the spans are kept: a day, and a little more for a clock that is corrected.
const MAX_SPAN_AGE: Duration = Duration::from_secs(25 * 3600);

/// Durations, counted in buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// The number of durations in each bucket and in no lower one; the last bucket has the rest.
    pub counts: Vec<u64>,
    pub sum_us: u64,
}

/// What became of one hook's runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HookCounters {
    pub runs: u64,
    pub failures: u64,
    pub sum_us: u64,
    /// When its last run ended, in seconds since 1970, and whether it failed.
    pub last: u64,
    pub has_failed: bool,
    /// When a run of it last failed, likewise; 0 for never.
    pub last_failure: u64,
}

/// What happened in a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpanCounters {
    /// libvirt's calls.
    pub calls: u64,
    /// Those of them in which something failed.
    pub failed: u64,
    /// Those that hookmux died in.
    pub lost: u64,
    /// Attempts of detached hooks that failed.
    pub detached_failed: u64,
}

impl SpanCounters {
    /// Counts an execution.
    pub fn add(&mut self, head: &RecordHead) {
        let has_failed = u64::from(history::is_failed(head));
        match head.cause {
            RecordCause::Libvirt => {
                let is_lost = head.state == RecordState::Lost;
                self.calls = self.calls.saturating_add(1);
                self.lost = self.lost.saturating_add(u64::from(is_lost));
                self.failed = self.failed.saturating_add(if is_lost { 0 } else { has_failed });
            }
            RecordCause::Queue(_) => {
                self.detached_failed = self.detached_failed.saturating_add(has_failed);
            }
            _ => {}
        }
    }

    pub fn plus(self, other: SpanCounters) -> SpanCounters {
        SpanCounters {
            calls: self.calls.saturating_add(other.calls),
            failed: self.failed.saturating_add(other.failed),
            lost: self.lost.saturating_add(other.lost),
            detached_failed: self.detached_failed.saturating_add(other.detached_failed),
        }
    }
}

/// All counters. The keys are labels in the form of Prometheus: `driver="qemu",event="before_vm_start"`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    pub executions: BTreeMap<String, u64>,
    pub hooks: BTreeMap<String, u64>,
    pub execution_times: BTreeMap<String, Histogram>,
    pub hook_times: BTreeMap<String, Histogram>,
    /// Seconds since 1970.
    pub last_failures: BTreeMap<String, u64>,
    /// Gates that libvirt was told to give up, and when that last happened, in seconds since 1970.
    pub refused: BTreeMap<String, u64>,
    pub last_refused: BTreeMap<String, u64>,
    /// Of single hooks, at most [`MAX_HOOKS`]; the key is the hook's label.
    pub by_hook: BTreeMap<String, HookCounters>,
    /// The last day, in spans; the key is the span's beginning in seconds since 1970, divided by their length.
    pub spans: BTreeMap<u64, SpanCounters>,
    /// The id of the newest execution in which something failed.
    pub last_failed: Option<String>,
    /// When libvirt last called hookmux for each driver, in microseconds since 1970.
    pub last_calls: BTreeMap<String, u64>,
    /// The ids of the last batch.
    pub batch: Vec<String>,
}

impl Histogram {
    fn add(&mut self, micros: u64) {
        self.counts.resize(BUCKETS.len() + 1, 0);
        let seconds = std::time::Duration::from_micros(micros).as_secs_f64();
        let bucket = BUCKETS.iter().position(|bound| seconds <= *bound).unwrap_or(BUCKETS.len());
        if let Some(count) = self.counts.get_mut(bucket) {
            *count = count.saturating_add(1);
        }
        self.sum_us = self.sum_us.saturating_add(micros);
    }
}

impl Counters {
    /// Reads the counters of a state directory. All are zero where the file is missing or can't be read.
    ///
    /// # Errors
    /// A newer version wrote the file: it must stay as it is.
    pub fn load(records: &Dir) -> Result<Counters, NewerFormat> {
        let bytes = records.read(FILE_NAME, MAX_FILE_BYTES).unwrap_or_default();
        format::check(&bytes, FORMAT)?;
        Ok(format::read_object(&bytes).unwrap_or_default())
    }

    /// Writes the counters.
    ///
    /// # Errors
    /// As of `open(2)`, `write(2)`, `rename(2)`.
    pub fn save(&self, records: &Dir) -> io::Result<()> {
        #[derive(Serialize)]
        struct Written<'a> {
            format: u32,
            #[serde(flatten)]
            counters: &'a Counters,
        }
        let mut counters = self.clone();
        counters.forget_old_spans(clock::unix_time());
        let written = Written { format: FORMAT, counters: &counters };
        records.replace(FILE_NAME, &serde_json::to_vec(&written)?)
    }

    /// Counts a finished execution, if it counts.
    pub fn add(&mut self, head: &RecordHead) {
        if !is_counted(&head.cause) {
            return;
        }
        self.add_to_span(head);
        let outcome = if head.state == RecordState::Lost { "lost" } else { head.outcome.name() };
        let driver = labels(&[("driver", &head.driver)]);
        if matches!(head.cause, RecordCause::Libvirt) {
            let call = labels(&[("driver", &head.driver), ("operation", &head.operation)]);
            let ended = format!("{call},{}", labels(&[("outcome", outcome)]));
            count(&mut self.executions, ended);
            if head.class == Class::Gate.name() && head.status.is_some_and(|status| status != 0) {
                count(&mut self.refused, call.clone());
                let last = self.last_refused.entry(call.clone()).or_default();
                *last = ended_at(head).max(*last);
            }
            let last = self.last_calls.entry(head.driver.clone()).or_default();
            *last = head.began_us.max(*last);
            if let Some(micros) = head.duration_us {
                self.execution_times.entry(call).or_default().add(micros);
            }
        }
        if head.state == RecordState::Lost {
            return;
        }
        for hook in &head.hooks {
            self.add_hook(&driver, head, hook);
        }
    }

    fn add_hook(&mut self, driver: &str, head: &RecordHead, hook: &HookSummary) {
        let event = labels(&[("event", hook.event.as_deref().unwrap_or_default())]);
        let moment = format!("{driver},{event}");
        let ended = format!("{moment},{}", labels(&[("outcome", hook.outcome.name())]));
        count(&mut self.hooks, ended);
        if let Some(micros) = hook.duration_us {
            self.hook_times.entry(moment.clone()).or_default().add(micros);
        }
        let ended = ended_at(head);
        if hook.outcome.is_failure() {
            let last = self.last_failures.entry(moment).or_default();
            *last = ended.max(*last);
        }
        self.add_by_hook(hook, ended);
    }

    /// Counts a run for its hook. What was only queued runs later.
    fn add_by_hook(&mut self, hook: &HookSummary, ended: u64) {
        let has_run = matches!(
            hook.outcome,
            RecordOutcome::Success | RecordOutcome::Failure | RecordOutcome::Timeout
        );
        if !has_run {
            return;
        }
        if !self.by_hook.contains_key(&hook.hook) && self.by_hook.len() >= MAX_HOOKS {
            let oldest = self.by_hook.iter().min_by_key(|(_, own)| own.last);
            if let Some(oldest) = oldest.map(|(label, _)| label.clone()) {
                self.by_hook.remove(&oldest);
            }
        }
        let own = self.by_hook.entry(hook.hook.clone()).or_default();
        let has_failed = hook.outcome.is_failure();
        own.runs = own.runs.saturating_add(1);
        own.failures = own.failures.saturating_add(u64::from(has_failed));
        own.sum_us = own.sum_us.saturating_add(hook.duration_us.unwrap_or_default());
        // records may be moved in another order than they ended
        if ended >= own.last {
            (own.last, own.has_failed) = (ended, has_failed);
        }
        if has_failed {
            own.last_failure = own.last_failure.max(ended);
        }
    }

    fn add_to_span(&mut self, head: &RecordHead) {
        let span = head.began_us / 1_000_000 / SPAN_SECONDS;
        self.spans.entry(span).or_default().add(head);
        // ids sort by time
        if history::is_failed(head) && self.last_failed.as_ref().is_none_or(|last| *last < head.id)
        {
            self.last_failed = Some(head.id.clone());
        }
    }

    fn forget_old_spans(&mut self, now: Duration) {
        let first = now.saturating_sub(MAX_SPAN_AGE).as_secs() / SPAN_SECONDS;
        // a record that is dated later is of a clock that was wrong
        let last = now.saturating_add(MAX_SPAN_AGE).as_secs() / SPAN_SECONDS;
        self.spans.retain(|span, _| (first..=last).contains(span));
    }

    /// Returns what was counted since a time, in seconds since 1970; a span that began before it is left out.
    pub fn since(&self, seconds: u64) -> SpanCounters {
        let spans = self.spans_since(seconds).map(|(_, span)| span);
        spans.fold(SpanCounters::default(), SpanCounters::plus)
    }

    /// Returns the same span by span, each with its beginning in seconds since 1970.
    pub fn spans_since(&self, seconds: u64) -> impl Iterator<Item = (u64, SpanCounters)> {
        let first = seconds.div_ceil(SPAN_SECONDS);
        self.spans.range(first..).map(|(span, count)| (span.saturating_mul(SPAN_SECONDS), *count))
    }
}

/// Tells whether executions of a cause count: those that follow from libvirt's calls, not what people do.
pub(super) fn is_counted(cause: &RecordCause) -> bool {
    matches!(cause, RecordCause::Libvirt | RecordCause::Queue(_) | RecordCause::Undo(_))
}

/// Returns when an execution ended, in seconds since 1970.
fn ended_at(head: &RecordHead) -> u64 {
    head.began_us.saturating_add(head.duration_us.unwrap_or_default()) / 1_000_000
}

/// Returns the path of the counters, for messages only.
pub(crate) fn path(records: &Dir) -> PathBuf {
    records.unchecked_path().join(FILE_NAME)
}

/// Adds one to a counter. A damaged file may have any number in it.
fn count(counts: &mut BTreeMap<String, u64>, labels: String) {
    let count = counts.entry(labels).or_default();
    *count = count.saturating_add(1);
}

/// Writes labels as `name="value"`, with commas between them.
pub(crate) fn labels(pairs: &[(&str, &str)]) -> String {
    let label = |(name, value): &(&str, &str)| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        format!("{name}=\"{value}\"")
    };
    pairs.iter().map(label).collect::<Vec<_>>().join(",")
}

/// Reads labels that [`labels`] wrote.
pub(crate) fn parse_labels(text: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut rest = text;
    while let Some((name, value)) = rest.split_once("=\"") {
        let mut read = String::new();
        let mut characters = value.char_indices();
        let mut end = value.len();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => match characters.next() {
                    Some((_, 'n')) => read.push('\n'),
                    Some((_, other)) => read.push(other),
                    None => {}
                },
                other => read.push(other),
            }
        }
        all.insert(name.to_owned(), read);
        rest = value.get(end..).unwrap_or_default();
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::form::RecordOutcome;
    use crate::record::form::tests::record;

    #[test]
    fn executions_and_hooks_are_counted_by_what_they_were() {
        let mut counters = Counters::default();
        let mut head = record().head;
        counters.add(&head);
        head.hooks[0].outcome = RecordOutcome::Failure;
        head.outcome = RecordOutcome::Failure;
        counters.add(&head);
        head.cause = RecordCause::Retry("x".into());
        counters.add(&head);
        head.cause = RecordCause::Libvirt;
        head.state = RecordState::Lost;
        counters.add(&head);
        let of = |outcome: &str| {
            counters.executions
                [&format!("driver=\"qemu\",operation=\"prepare\",outcome=\"{outcome}\"")]
        };
        assert_eq!((of("success"), of("failure"), of("lost")), (1, 1, 1));
        let moment = "driver=\"qemu\",event=\"before_vm_start\"";
        assert_eq!(counters.hooks[&format!("{moment},outcome=\"success\"")], 1);
        assert_eq!(counters.hooks[&format!("{moment},outcome=\"failure\"")], 1);
        assert_eq!(counters.hook_times[moment].counts.iter().sum::<u64>(), 2);
        assert_eq!(counters.last_failures.len(), 1);
    }

    #[test]
    fn damaged_records_and_counters_are_counted_too() {
        let mut head = record().head;
        head.began_us = u64::MAX;
        head.duration_us = Some(u64::MAX);
        head.outcome = RecordOutcome::Failure;
        head.hooks[0].outcome = RecordOutcome::Failure;
        head.hooks[0].duration_us = Some(u64::MAX);
        let mut counters = Counters::default();
        counters.add(&head);
        let full = |counts: &mut BTreeMap<String, u64>| {
            counts.values_mut().for_each(|count| *count = u64::MAX);
        };
        full(&mut counters.executions);
        full(&mut counters.hooks);
        for times in [&mut counters.execution_times, &mut counters.hook_times] {
            times.values_mut().for_each(|times| times.counts.fill(u64::MAX));
        }
        for own in counters.by_hook.values_mut() {
            (own.runs, own.failures) = (u64::MAX, u64::MAX);
        }
        for span in counters.spans.values_mut() {
            (span.calls, span.failed) = (u64::MAX, u64::MAX);
        }
        let before = counters.clone();
        counters.add(&head);
        assert_eq!(counters, before, "what is full stays full");
        assert_eq!(counters.last_failures.values().max(), Some(&(u64::MAX / 1_000_000)));
    }

    #[test]
    fn each_hook_has_its_own_counters() {
        let mut counters = Counters::default();
        let mut head = record().head;
        head.began_us = 1_700_000_000_000_000;
        head.duration_us = Some(2_000_000);
        counters.add(&head);
        let good = HookCounters {
            runs: 1,
            failures: 0,
            sum_us: 3000,
            last: 1_700_000_002,
            has_failed: false,
            last_failure: 0,
        };
        assert_eq!(counters.by_hook["before_vm_start/10-x"], good);
        // one that ended earlier, moved later, doesn't count as the last one
        head.began_us -= 60_000_000;
        head.hooks[0].outcome = RecordOutcome::Timeout;
        counters.add(&head);
        let own = &counters.by_hook["before_vm_start/10-x"];
        assert_eq!((own.runs, own.failures, own.has_failed), (2, 1, false));
        assert_eq!((own.last, own.last_failure), (1_700_000_002, 1_699_999_942));
        // what hasn't run isn't a run
        for outcome in [RecordOutcome::Queued, RecordOutcome::Unknown] {
            head.hooks[0].outcome = outcome;
            counters.add(&head);
        }
        assert_eq!(counters.by_hook["before_vm_start/10-x"].runs, 2);
        assert_eq!(counters.last_calls["qemu"], 1_700_000_000_000_000);
    }

    #[test]
    fn there_are_no_more_hooks_than_prometheus_can_take() {
        let mut counters = Counters::default();
        let mut head = record().head;
        for number in 0..MAX_HOOKS + 3 {
            head.began_us += 1_000_000;
            head.hooks[0].hook = format!("before_vm_start/{number}");
            counters.add(&head);
        }
        assert_eq!(counters.by_hook.len(), MAX_HOOKS);
        for (number, is_there) in [(0, false), (2, false), (3, true), (MAX_HOOKS + 2, true)] {
            let label = format!("before_vm_start/{number}");
            assert_eq!(counters.by_hook.contains_key(&label), is_there, "{label}");
        }
    }

    #[test]
    fn the_last_day_is_counted_in_spans() {
        let mut counters = Counters::default();
        let mut head = record().head;
        let second = 1_700_000_400; // the beginning of a span
        let mut at = |counters: &mut Counters, seconds: u64, state, outcome, cause| {
            head.id = crate::machine::ulid::smallest_at(seconds * 1000);
            (head.began_us, head.state) = (seconds * 1_000_000, state);
            (head.outcome, head.cause) = (outcome, cause);
            counters.add(&head);
            head.id.clone()
        };
        let (good, bad) = (RecordOutcome::Success, RecordOutcome::Failure);
        let queue = || RecordCause::Queue("x".into());
        at(&mut counters, second - 1, RecordState::Done, good, RecordCause::Libvirt);
        at(&mut counters, second, RecordState::Done, bad, RecordCause::Libvirt);
        at(&mut counters, second + 1, RecordState::Lost, bad, RecordCause::Libvirt);
        let last = at(&mut counters, second + 700, RecordState::Done, bad, queue());
        at(&mut counters, second + 800, RecordState::Done, good, RecordCause::Libvirt);
        // what people do isn't counted
        at(&mut counters, second + 900, RecordState::Done, bad, RecordCause::Person);
        let counted = SpanCounters { calls: 3, failed: 1, lost: 1, detached_failed: 1 };
        assert_eq!(counters.since(second), counted);
        assert_eq!(counters.since(second - 600).calls, 4);
        assert_eq!(counters.since(second + 1).calls, 1, "a span that began before is left out");
        assert_eq!(counters.last_failed, Some(last));
        counters.forget_old_spans(Duration::from_secs(second) + MAX_SPAN_AGE);
        assert_eq!(counters.since(0).calls, 3);
        counters.forget_old_spans(Duration::from_secs(second) + 2 * MAX_SPAN_AGE);
        assert_eq!(counters.since(0), SpanCounters::default());
    }

    #[test]
    fn times_fall_into_the_first_bucket_that_takes_them() {
        let mut histogram = Histogram::default();
        for micros in [0, 1000, 1001, 120_000_000, 120_000_001] {
            histogram.add(micros);
        }
        let counts = histogram.counts;
        assert_eq!((counts[0], counts[1], counts[12], counts[13]), (2, 1, 1, 1));
        assert_eq!(histogram.sum_us, 240_002_002);
    }

    #[test]
    fn a_newer_file_is_no_beginning() {
        let directory = tempfile::tempdir().unwrap();
        let records = &Dir::of_test(directory.path());
        assert_eq!(Counters::load(records), Ok(Counters::default()));
        let mut counters = Counters::default();
        let mut head = record().head;
        head.began_us = clock::unix_microseconds();
        counters.add(&head);
        counters.save(records).unwrap();
        assert!(std::fs::read_to_string(path(records)).unwrap().starts_with(r#"{"format":1,"#));
        assert_eq!(Counters::load(records), Ok(counters));
        std::fs::write(path(records), r#"{"format":2,"executions":[]}"#).unwrap();
        assert_eq!(Counters::load(records), Err(NewerFormat { found: 2, known: 1 }));
        for text in ["", "{", "[1]", r#"{"format":1,"executions":[]}"#] {
            std::fs::write(path(records), text).unwrap();
            assert_eq!(Counters::load(records), Ok(Counters::default()), "{text}");
        }
    }

    #[test]
    fn labels_are_quoted() {
        let pairs = [("a", "x\"y\\z\n"), ("b", "")];
        let text = labels(&pairs);
        assert_eq!(text, "a=\"x\\\"y\\\\z\\n\",b=\"\"");
        let read = parse_labels(&text);
        assert_eq!(read, pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert!(parse_labels("").is_empty());
        // a damaged file may have anything
        for odd in ["a", "a=\"", "a=\"x\\", "=\"\"", ",\",="] {
            parse_labels(odd);
        }
    }
}
