//! Decides which records are kept: the newest of each hook, up to an age, up to a size in total and for
//! each guest. For failures each limit is four times as high. Pure.

use std::collections::HashMap;
use std::time::Duration;

use crate::config::settings::{FAILURE_RETENTION_FACTOR, Retention};

/// The facts about a record that decide whether it is kept.
#[derive(Clone, Debug)]
pub(crate) struct KeptRecord {
    pub id: String,
    pub hooks: Vec<String>,
    /// The guest or network of the call; `None` where there is none, or it isn't known.
    pub object: Option<String>,
    pub is_failure: bool,
    /// In bytes.
    pub size: u64,
    /// The time since its call.
    pub age: Duration,
    /// Whether its time is in the future: the clock was wrong then, or is now.
    pub is_future: bool,
}

/// Returns the ids of the records to remove. `records` are sorted, the newest first.
pub(crate) fn to_be_removed(records: &[KeptRecord], limits: &Retention) -> Vec<String> {
    let mut seen: HashMap<(&str, bool), u64> = HashMap::new();
    let mut gone = Vec::new();
    let mut stays: Vec<&KeptRecord> = Vec::new();
    // records from the future must not displace new ones
    let (future, past): (Vec<&KeptRecord>, Vec<&KeptRecord>) =
        records.iter().partition(|record| record.is_future);
    for record in past.into_iter().chain(future) {
        let longer = if record.is_failure { u64::from(FAILURE_RETENTION_FACTOR) } else { 1 };
        // records of calls without hooks count together
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
    // for a failure, a quarter of its age counts
    let weight = |record: &KeptRecord| {
        if record.is_failure {
            record.age
        } else {
            record.age.saturating_mul(FAILURE_RETENTION_FACTOR)
        }
    };
    stays.sort_by_key(|record| std::cmp::Reverse(weight(record)));
    // the records of one guest must not displace those of all others
    let mut shares: HashMap<&str, Share> = HashMap::new();
    for record in &stays {
        if let Some(object) = &record.object {
            let share = shares.entry(object).or_default();
            share.size = share.size.saturating_add(record.size);
            share.records += 1;
        }
    }
    stays.retain(|record| {
        let share = record.object.as_deref().and_then(|object| shares.get_mut(object));
        // the last record of a guest stays, however large it is
        let Some(share) = share.filter(|it| it.size > limits.per_guest && it.records > 1) else {
            return true;
        };
        share.size = share.size.saturating_sub(record.size);
        share.records -= 1;
        gone.push(record.id.clone());
        false
    });
    let mut sum = stays.iter().fold(0_u64, |sum, record| sum.saturating_add(record.size));
    for record in stays {
        if sum <= limits.size {
            break;
        }
        sum = sum.saturating_sub(record.size);
        gone.push(record.id.clone());
    }
    gone
}

/// The space that the records of one guest take.
#[derive(Default)]
struct Share {
    /// In bytes.
    size: u64,
    records: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86400);

    fn kept(id: &str, hooks: &[&str], is_failure: bool, days: u32) -> KeptRecord {
        let hooks = hooks.iter().map(|hook| (*hook).to_owned()).collect();
        let (id, age) = (id.to_owned(), DAY * days);
        KeptRecord { id, hooks, object: None, is_failure, size: 10, age, is_future: false }
    }

    fn gone(records: &[KeptRecord], per_hook: u64, days: u32, size: u64) -> Vec<String> {
        let limits = Retention { per_hook, age: Some(DAY * days), size, per_guest: size };
        to_be_removed(records, &limits)
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
        let many: Vec<KeptRecord> =
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
    fn one_guest_pushes_out_its_own_and_nobody_elses() {
        let of = |id: &str, object: Option<&str>, is_failure, days, size| KeptRecord {
            object: object.map(str::to_owned),
            size,
            ..kept(id, &["a"], is_failure, days)
        };
        let limits = Retention { per_hook: 100, age: None, size: 1000, per_guest: 100 };
        let records = [
            of("h", Some("loud"), false, 0, 60),
            of("g", Some("loud"), false, 1, 60),
            of("f", Some("quiet"), false, 2, 10),
            of("e", None, false, 3, 300),
            of("d", Some("loud"), true, 4, 30),
            of("c", Some("loud"), false, 5, 60),
            of("b", Some("quiet"), false, 6, 10),
            of("a", Some("huge"), false, 7, 500),
        ];
        // of the failure a quarter of the age counts
        assert_eq!(to_be_removed(&records, &limits), ["c", "g"]);
        // the sum of all is looked at after that
        let limits = Retention { size: 420, ..limits };
        assert_eq!(to_be_removed(&records, &limits), ["c", "g", "a"]);
    }

    #[test]
    fn what_ran_nothing_counts_together() {
        let records = [kept("b", &[], false, 0), kept("a", &[], false, 0)];
        assert_eq!(gone(&records, 1, 30, 1000), ["a"]);
    }
}
