//! Counters over all executions since counting began. Retention doesn't change them.
//!
//! The file lies with the records, and is updated when records are moved there. It has the ids of the
//! last batch: so a batch whose mover died half-way is counted exactly once.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::form::{HookSummary, RecordCause, RecordHead, RecordState};
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

/// Durations, counted in buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// The number of durations in each bucket and in no lower one; the last bucket has the rest.
    pub counts: Vec<u64>,
    pub sum_us: u64,
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
        let written = Written { format: FORMAT, counters: self };
        records.replace(FILE_NAME, &serde_json::to_vec(&written)?)
    }

    /// Counts a finished execution, if libvirt or the queue caused it.
    pub fn add(&mut self, head: &RecordHead) {
        if !matches!(
            head.cause,
            RecordCause::Libvirt | RecordCause::Queue(_) | RecordCause::Undo(_)
        ) {
            return;
        }
        let outcome = if head.state == RecordState::Lost { "lost" } else { head.outcome.name() };
        let driver = labels(&[("driver", &head.driver)]);
        if matches!(head.cause, RecordCause::Libvirt) {
            let call = labels(&[("driver", &head.driver), ("operation", &head.operation)]);
            let ended = format!("{call},{}", labels(&[("outcome", outcome)]));
            count(&mut self.executions, ended);
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
        if hook.outcome.is_failure() {
            let took_us = head.duration_us.unwrap_or_default();
            let ended = head.began_us.saturating_add(took_us) / 1_000_000;
            let last = self.last_failures.entry(moment).or_default();
            *last = ended.max(*last);
        }
    }
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
        let before = counters.clone();
        counters.add(&head);
        assert_eq!(counters, before, "what is full stays full");
        assert_eq!(counters.last_failures.values().max(), Some(&(u64::MAX / 1_000_000)));
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
        counters.add(&record().head);
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
        assert_eq!(labels(&[("a", "x\"y\\z\n"), ("b", "")]), "a=\"x\\\"y\\\\z\\n\",b=\"\"");
    }
}
