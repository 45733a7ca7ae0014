//! What the recorded runs of a hook amount to: how many failed, and how long they take.

use crate::cli::json::hook_history::{HookResult, HookStatistics};
use crate::cli::json::value::{Seconds, Time};
use crate::record::form::{HookSummary, RecordHead, RecordOutcome};

/// Runs of a hook, added the newest first.
#[derive(Default)]
pub(super) struct Tally {
    runs: usize,
    failed: usize,
    last: Option<HookResult>,
    last_failed: Option<HookResult>,
    durations_us: Vec<u64>,
}

impl Tally {
    /// Adds a run, if it has a result.
    pub(super) fn add(&mut self, head: &RecordHead, run: &HookSummary) {
        if matches!(run.outcome, RecordOutcome::Queued | RecordOutcome::Unknown) {
            return;
        }
        let result = || HookResult {
            id: head.id.clone(),
            began: Time::of_micros(head.began_us),
            state: run.outcome.into(),
        };
        self.runs += 1;
        self.last.get_or_insert_with(result);
        if run.outcome.is_failure() {
            self.failed += 1;
            self.last_failed.get_or_insert_with(result);
        }
        self.durations_us.extend(run.duration_us);
    }

    pub(super) fn result(mut self) -> HookStatistics {
        self.durations_us.sort_unstable();
        // of an even number, the lower one of the two in the middle
        let middle = self.durations_us.len().saturating_sub(1) / 2;
        HookStatistics {
            runs: self.runs,
            failed: self.failed,
            last: self.last,
            last_failed: self.last_failed,
            median_s: self.durations_us.get(middle).copied().map(Seconds::of_micros),
            longest_s: self.durations_us.last().copied().map(Seconds::of_micros),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_counted_and_measured() {
        let run = |outcome, duration_us| HookSummary { outcome, duration_us, ..Default::default() };
        let mut tally = Tally::default();
        for (id, outcome, duration_us) in [
            ("E", RecordOutcome::Queued, None),
            ("D", RecordOutcome::Success, Some(30)),
            ("C", RecordOutcome::Timeout, Some(70)),
            ("B", RecordOutcome::Failure, None),
            ("A", RecordOutcome::Success, Some(10)),
        ] {
            let head = RecordHead { id: id.to_owned(), ..RecordHead::default() };
            tally.add(&head, &run(outcome, duration_us));
        }
        let result = serde_json::to_value(tally.result()).unwrap();
        assert_eq!((&result["runs"], &result["failed"]), (&4.into(), &2.into()));
        assert_eq!(
            (&result["last"]["id"], &result["last_failed"]["id"]),
            (&"D".into(), &"C".into())
        );
        assert_eq!(result["median_s"], 30e-6);
        assert_eq!(result["longest_s"], 70e-6);
        let none = serde_json::to_value(Tally::default().result()).unwrap();
        assert_eq!((&none["runs"], &none["median_s"]), (&0.into(), &serde_json::Value::Null));
    }
}
