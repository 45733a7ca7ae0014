//! Which records are kept: the newest of each hook, no older than an age, and no more than a size
//! in all. Failures are kept four times longer by each of these. Pure.

use std::collections::HashMap;
use std::time::Duration;

use crate::config::settings::{FAILURES, Retention};

/// What of a record decides.
#[derive(Clone, Debug)]
pub struct Kept {
    pub id: String,
    pub hooks: Vec<String>,
    pub is_failure: bool,
    /// In bytes.
    pub size: u64,
    /// Since its call.
    pub age: Duration,
    /// It was written by a clock that was wrong, or this one is.
    pub is_future: bool,
}

/// The ids of those that go. `records` come the newest first.
pub fn superfluous(records: &[Kept], limits: &Retention) -> Vec<String> {
    let mut seen: HashMap<(&str, bool), u64> = HashMap::new();
    let mut gone = Vec::new();
    let mut stays: Vec<&Kept> = Vec::new();
    // what is dated later than now must not push out what is new
    let (future, past): (Vec<&Kept>, Vec<&Kept>) =
        records.iter().partition(|record| record.is_future);
    for record in past.into_iter().chain(future) {
        let longer = if record.is_failure { u64::from(FAILURES) } else { 1 };
        // those that ran nothing count together
        let hooks = record.hooks.iter().map(String::as_str);
        let hooks: Vec<&str> = if record.hooks.is_empty() { vec![""] } else { hooks.collect() };
        let mut is_new = false;
        for hook in hooks {
            let count = seen.entry((hook, record.is_failure)).or_default();
            *count += 1;
            is_new |= *count <= limits.per_hook.saturating_mul(longer);
        }
        let is_young =
            limits.age.is_none_or(|age| record.age <= age * u32::try_from(longer).unwrap_or(1));
        if is_new && is_young {
            stays.push(record);
        } else {
            gone.push(record.id.clone());
        }
    }
    let mut sum: u64 = stays.iter().map(|record| record.size).sum();
    // a failure counts as a quarter of its age
    let weight = |record: &Kept| {
        if record.is_failure { record.age } else { record.age.saturating_mul(FAILURES) }
    };
    stays.sort_by_key(|record| std::cmp::Reverse(weight(record)));
    for record in stays {
        if sum <= limits.size {
            break;
        }
        sum -= record.size;
        gone.push(record.id.clone());
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86400);

    fn kept(id: &str, hooks: &[&str], is_failure: bool, days: u32) -> Kept {
        let hooks = hooks.iter().map(|hook| (*hook).to_owned()).collect();
        let (id, age) = (id.to_owned(), DAY * days);
        Kept { id, hooks, is_failure, size: 10, age, is_future: false }
    }

    fn gone(records: &[Kept], per_hook: u64, days: u32, size: u64) -> Vec<String> {
        superfluous(records, &Retention { per_hook, age: Some(DAY * days), size })
    }

    #[test]
    fn the_newest_of_each_hook_are_kept() {
        let records = [
            kept("e", &["a"], false, 0),
            kept("d", &["a", "b"], false, 0),
            kept("c", &["a"], false, 0),
            kept("b", &["b"], false, 0),
            kept("a", &["a"], false, 0),
        ];
        assert_eq!(gone(&records, 2, 30, 1000), ["c", "a"]);
        assert_eq!(gone(&records, 1, 30, 1000), ["c", "b", "a"]);
    }

    #[test]
    fn failures_are_kept_four_times_longer() {
        let many: Vec<Kept> =
            (0..10).map(|n| kept(&format!("f{n}"), &["a"], n % 2 == 0, n)).collect();
        assert_eq!(gone(&many, 1, 1000, 1000), ["f3", "f5", "f7", "f8", "f9"]);
        assert_eq!(gone(&many, 100, 1, 1000), ["f3", "f5", "f6", "f7", "f8", "f9"]);
        // by size: f9 weighs 36 days, f7 28, f5 20, f3 12, f8 8
        assert_eq!(gone(&many, 100, 1000, 55), ["f9", "f7", "f5", "f3", "f8"]);
    }

    #[test]
    fn what_is_dated_later_than_now_pushes_nothing_out() {
        let mut wrong = kept("z", &["a"], false, 0);
        wrong.is_future = true;
        let records = [wrong, kept("b", &["a"], false, 0), kept("a", &["a"], false, 1)];
        assert_eq!(gone(&records, 2, 30, 1000), ["z"]);
        assert_eq!(gone(&records, 3, 30, 1000), [""; 0]);
    }

    #[test]
    fn what_ran_nothing_counts_together() {
        let records = [kept("b", &[], false, 0), kept("a", &[], false, 0)];
        assert_eq!(gone(&records, 1, 30, 1000), ["a"]);
    }
}
