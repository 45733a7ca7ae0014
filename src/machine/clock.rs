//! The clocks: Unix time, which people and programs can set, and the clock of this boot, which nobody sets.

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

/// Returns the nanoseconds since this boot (`CLOCK_BOOTTIME`), time in which the host slept included.
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
pub struct BootTime {
    /// The id of that boot.
    pub boot: String,
    /// `CLOCK_BOOTTIME`, in nanoseconds.
    pub boottime_ns: i64,
}

/// The clock of this boot.
#[derive(Clone, Debug)]
pub struct BootClock {
    boot: String,
}

impl BootClock {
    pub fn here() -> BootClock {
        BootClock { boot: boot::id() }
    }

    /// Returns the nanoseconds since this boot.
    pub fn now_ns(&self) -> i64 {
        boottime_ns()
    }

    /// Returns the present time plus `after`; `None` where the boot has no id.
    pub fn moment(&self, after: Duration) -> Option<BootTime> {
        let boottime_ns = self.now_ns().saturating_add(nanoseconds(after));
        (!self.boot.is_empty()).then(|| BootTime { boot: self.boot.clone(), boottime_ns })
    }

    /// Returns the nanoseconds of a time on this boot's clock; `None` for a time of another boot.
    pub fn of_this_boot(&self, moment: Option<&BootTime>) -> Option<i64> {
        let moment = moment.filter(|moment| moment.boot == self.boot && !self.boot.is_empty())?;
        Some(moment.boottime_ns)
    }
}

/// Returns a duration in nanoseconds, or the largest number.
pub(crate) fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// Returns the time that is left until a point of this boot's clock.
pub(crate) fn duration_until(point_ns: i64, now_ns: i64) -> Duration {
    Duration::from_nanos(u64::try_from(point_ns.saturating_sub(now_ns)).unwrap_or_default())
}
