//! The calls of the last 24 hours, and the last call of each driver, in a bounded time: some hundred records are
//! read, and where there are more, the counters are asked. Reads only.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::counters::{self, Counters, SpanCounters};
use super::form::{RecordCause, RecordHead, RecordState};
use super::history::{self, Filter, History};
use crate::machine::clock;
use crate::state::format::NewerFormat;

/// How many of the newest records are read.
const MAX_READ: usize = 1000;
const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);

/// The hours of a day, the oldest first.
pub(crate) type Hours = [SpanCounters; 24];

/// What is known of the newest calls.
pub(crate) struct LastDay {
    /// The calls of the last 24 hours; `None` if a newer version wrote the counters, and there are more calls than
    /// are read.
    pub counted: Option<SpanCounters>,
    /// The same for each of the 24 hours, the oldest first.
    pub hours: Hours,
    /// When the first of these hours begins, since 1970.
    pub since: Duration,
    /// Whether every one of these calls was looked at.
    pub is_exact: bool,
    /// The last execution of these in which something failed.
    pub last_failed: Option<RecordHead>,
    /// When libvirt last called hookmux for each driver, as far as that is known.
    pub last_calls: BTreeMap<String, SystemTime>,
}

/// Looks at the newest records and at the counters.
pub(crate) fn look(history: &History) -> LastDay {
    let since = clock::unix_time().saturating_sub(DAY);
    let since_us = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
    let mut counted = SpanCounters::default();
    let mut hours = Hours::default();
    let mut last_failed = None;
    let mut last_calls = BTreeMap::new();
    let (mut read, mut is_exact) = (0, false);
    for head in history.find(&Filter::default()).take(MAX_READ) {
        read += 1;
        if head.cause == RecordCause::Libvirt {
            let last = last_calls.entry(head.driver.clone()).or_default();
            *last = head.began_us.max(*last);
        }
        if head.began_us < since_us {
            is_exact = true;
            continue;
        }
        if head.state == RecordState::Running {
            continue;
        }
        counted.add(&head);
        if let Some(hour) = hours.get_mut(hour_of(since, Duration::from_micros(head.began_us))) {
            hour.add(&head);
        }
        if last_failed.is_none() && counters::is_counted(&head.cause) && history::is_failed(&head) {
            last_failed = Some(head);
        }
    }
    is_exact |= read < MAX_READ;
    let counters: Option<Counters> = count(history).ok();
    for (driver, at) in counters.iter().flat_map(|counters| &counters.last_calls) {
        let last = last_calls.entry(driver.clone()).or_default();
        *last = (*at).max(*last);
    }
    let time = |micros: u64| UNIX_EPOCH.checked_add(Duration::from_micros(micros));
    let last_calls =
        last_calls.into_iter().filter_map(|(driver, at)| Some((driver, time(at)?))).collect();
    if is_exact {
        let counted = Some(counted);
        return LastDay { counted, hours, since, is_exact, last_failed, last_calls };
    }
    let earlier = || {
        let id = counters.as_ref()?.last_failed.as_deref()?;
        history.head(id).ok().filter(|head| head.began_us >= since_us)
    };
    let last_failed = last_failed.or_else(earlier);
    let counted = counters.as_ref().map(|counters| counters.since(since.as_secs()));
    hours = Hours::default();
    for (began, span) in counters.iter().flat_map(|counters| counters.spans_since(since.as_secs()))
    {
        if let Some(hour) = hours.get_mut(hour_of(since, Duration::from_secs(began))) {
            *hour = hour.plus(span);
        }
    }
    LastDay { counted, hours, since, is_exact, last_failed, last_calls }
}

/// Returns the place of a time among the hours. What is dated later than now, by a clock that was wrong, belongs to
/// the last one, as it is counted too.
fn hour_of(since: Duration, at: Duration) -> usize {
    let hours = at.saturating_sub(since).as_secs() / HOUR.as_secs();
    usize::try_from(hours).unwrap_or(usize::MAX).min(23)
}

/// Returns the counters of all executions that are over, those among them that haven't been moved yet.
///
/// # Errors
/// A newer version wrote the file.
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
