//! The clocks: Unix time, which people and programs set, and the clock of this boot, which nobody sets.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::machine::boot;

const NANOSECONDS: i64 = 1_000_000_000;

/// Returns the time since 1970; zero before.
pub(crate) fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Returns the seconds since 1970.
pub(crate) fn unix_seconds() -> u64 {
    unix_time().as_secs()
}

/// Returns the microseconds since 1970.
pub(crate) fn unix_microseconds() -> u64 {
    u64::try_from(unix_time().as_micros()).unwrap_or_default()
}

/// Returns the nanoseconds since this boot (`CLOCK_BOOTTIME`): they go on while the host sleeps.
pub(crate) fn boottime_ns() -> i64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| {
        // its fields are narrower where the C library's time has 32 bits
        #[allow(clippy::useless_conversion)]
        let (seconds, rest) = (i64::from(time.tv_sec()), i64::from(time.tv_nsec()));
        seconds.saturating_mul(NANOSECONDS).saturating_add(rest)
    })
}

/// Returns the seconds since this boot, as [`boottime_ns`].
pub(crate) fn boottime_seconds() -> i64 {
    boottime_ns() / NANOSECONDS
}

/// A point in time on the clock of one boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Moment {
    /// The id of that boot.
    pub boot: String,
    /// CLOCK_BOOTTIME, in nanoseconds: it goes on while the host sleeps.
    pub boottime_ns: i64,
}

/// Both clocks of this boot.
#[derive(Clone, Debug)]
pub struct Clock {
    boot: String,
}

impl Clock {
    pub fn here() -> Clock {
        Clock { boot: boot::id() }
    }

    /// Nanoseconds since this boot.
    pub fn now_ns(&self) -> i64 {
        boottime_ns()
    }

    /// This moment, or one after it; `None` where the boot has no name.
    pub fn moment(&self, after: Duration) -> Option<Moment> {
        let boottime_ns = self.now_ns().saturating_add(nanoseconds(after));
        (!self.boot.is_empty()).then(|| Moment { boot: self.boot.clone(), boottime_ns })
    }

    /// When a moment was or will be, on this boot's clock; `None` where it is another boot's.
    pub fn of_this_boot(&self, moment: Option<&Moment>) -> Option<i64> {
        let moment = moment.filter(|moment| moment.boot == self.boot && !self.boot.is_empty())?;
        Some(moment.boottime_ns)
    }
}

/// A duration in nanoseconds, as far as there is a number for it.
pub(crate) fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// How long it is until a point in time on this boot's clock.
pub(crate) fn until(point_ns: i64, now_ns: i64) -> Duration {
    Duration::from_nanos(u64::try_from(point_ns.saturating_sub(now_ns)).unwrap_or_default())
}
