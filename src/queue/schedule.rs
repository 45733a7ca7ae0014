//! When a job may run: its place in the order of jobs, its pause, and when it expires. Clocks that were set don't
//! matter within a boot.

use std::time::Duration;

use super::item::{ItemHead, MAX_JOB_AGE, MAX_PAUSE_S};
use crate::machine::clock::{self, BootClock};

/// The order of jobs: those of another boot come first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order {
    is_of_this_boot: bool,
    /// Nanoseconds of this boot; 0 for another boot.
    time: i64,
    pub id: String,
}

/// The times of a job, computed once when a worker first reads it.
#[derive(Clone, Debug)]
pub struct Times {
    pub order: Order,
    /// The earliest time of the next attempt, on this boot's clock.
    pub due_ns: i64,
    /// When it expires.
    pub expires_ns: i64,
}

impl ItemHead {
    /// Returns its place in the order of all jobs.
    pub fn order(&self, clock: &BootClock) -> Order {
        let (is_of_this_boot, time) = match clock.of_this_boot(self.queued.as_ref()) {
            Some(time) => (true, time),
            // ids sort by the wall clock of their time
            None => (false, 0),
        };
        Order { is_of_this_boot, time, id: self.id.clone() }
    }

    /// Returns its times for a worker.
    pub fn times(&self, clock: &BootClock) -> Times {
        let pause_ns = clock::nanoseconds(self.pause(clock));
        let due_ns = clock.now_ns().saturating_add(pause_ns);
        Times { order: self.order(clock), due_ns, expires_ns: self.expires_ns(clock) }
    }

    /// Returns how long it has been waiting. The wall clock is used only if another boot queued it.
    pub fn age(&self, clock: &BootClock) -> Duration {
        match clock.of_this_boot(self.queued.as_ref()) {
            Some(queued_ns) => clock::duration_until(clock.now_ns(), queued_ns),
            None => Duration::from_secs(clock::unix_seconds().saturating_sub(self.queued_at)),
        }
    }

    /// Returns when it expires, on this boot's clock in nanoseconds.
    fn expires_ns(&self, clock: &BootClock) -> i64 {
        let age_ns = clock::nanoseconds(self.age(clock));
        let left_ns = clock::nanoseconds(MAX_JOB_AGE).saturating_sub(age_ns);
        clock.now_ns().saturating_add(left_ns)
    }

    /// Returns the rest of its pause; never more than the longest pause, even with a wrong clock.
    pub fn pause(&self, clock: &BootClock) -> Duration {
        let left = match clock.of_this_boot(self.due.as_ref()) {
            Some(due_ns) => clock::duration_until(due_ns, clock.now_ns()),
            None => Duration::from_secs(self.not_before.saturating_sub(clock::unix_seconds())),
        };
        left.min(Duration::from_secs(MAX_PAUSE_S))
    }
}
