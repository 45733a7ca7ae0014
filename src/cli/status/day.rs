//! The calls of the last 24 hours. Some hundred records are read; where there are more, the counters are asked.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::cli::history::metrics;
use crate::machine::clock;
use crate::record::counters::{Counters, SpanCounters};
use crate::record::form::{RecordCause, RecordHead, RecordState};
use crate::record::history::{self, Filter, History};

/// How many of the newest records are read.
const MAX_READ: usize = 1000;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What happened in the last 24 hours.
pub(super) struct LastDay {
    pub counted: SpanCounters,
    /// Whether every call was looked at.
    pub is_exact: bool,
    /// The last execution in which something failed.
    pub last_failed: Option<RecordHead>,
}

/// When libvirt last called hookmux for each driver.
pub(super) type LastCalls = BTreeMap<String, SystemTime>;

/// Returns what happened in the last day; `None` if it can't be known because a newer version wrote the
/// counters. Returns the last calls too, as far as they are known.
pub(super) fn look(history: &History) -> (Option<LastDay>, LastCalls) {
    let since = clock::unix_time().saturating_sub(DAY);
    let since_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let filter = Filter { since: Some(since_ms), ..Filter::default() };
    let mut counted = SpanCounters::default();
    let mut last_failed = None;
    let mut last_calls = BTreeMap::new();
    let mut read = 0;
    for head in history.find(&filter).take(MAX_READ) {
        read += 1;
        if head.cause == RecordCause::Libvirt {
            let last = last_calls.entry(head.driver.clone()).or_default();
            *last = head.began_us.max(*last);
        }
        if head.state == RecordState::Running {
            continue;
        }
        counted.add(&head);
        let counts = matches!(head.cause, RecordCause::Libvirt | RecordCause::Queue(_));
        if last_failed.is_none() && counts && history::is_failed(&head) {
            last_failed = Some(head);
        }
    }
    let is_exact = read < MAX_READ;
    let counters: Option<Counters> = metrics::count(history).ok();
    for (driver, at) in counters.iter().flat_map(|counters| &counters.last_calls) {
        let last = last_calls.entry(driver.clone()).or_default();
        *last = (*at).max(*last);
    }
    let last_calls = last_calls
        .into_iter()
        .filter_map(|(driver, at)| Some((driver, UNIX_EPOCH.checked_add(Duration::from_micros(at))?)))
        .collect();
    if is_exact {
        return (Some(LastDay { counted, is_exact, last_failed }), last_calls);
    }
    let day = counters.map(|counters| {
        let earlier = || counters.last_failed.as_deref().and_then(|id| history.head(id).ok());
        let last_failed = last_failed
            .or_else(earlier)
            .filter(|head| head.began_us / 1000 >= since_ms);
        LastDay { counted: counters.since(since.as_secs()), is_exact, last_failed }
    });
    (day, last_calls)
}
