//! The clocks for jobs: the clock of this boot, which nobody can set; and the wall clock, which is used
//! only for jobs of another boot.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::machine::boot;

const NANOSECONDS: i64 = 1_000_000_000;

/// A point in time on the clock of one boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BootTime {
    /// The id of that boot.
    pub boot: String,
    /// CLOCK_BOOTTIME, in nanoseconds. It runs while the host sleeps, too.
    pub boottime_ns: i64,
}

/// The clock of this boot.
#[derive(Clone, Debug)]
pub struct Clock {
    boot: String,
}

impl Clock {
    pub fn here() -> Clock {
        Clock { boot: boot::id() }
    }

    /// Returns the nanoseconds since this boot.
    pub fn now_ns(&self) -> i64 {
        clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| {
            // the fields are narrower where the C library's time has 32 bits
            #[allow(clippy::useless_conversion)]
            let (seconds, rest) = (i64::from(time.tv_sec()), i64::from(time.tv_nsec()));
            seconds.saturating_mul(NANOSECONDS).saturating_add(rest)
        })
    }

    /// Returns the time after a duration from now; `None` where the boot has no id.
    pub fn boot_time(&self, after: Duration) -> Option<BootTime> {
        let boottime_ns = self.now_ns().saturating_add(nanoseconds(after));
        (!self.boot.is_empty()).then(|| BootTime { boot: self.boot.clone(), boottime_ns })
    }

    /// Returns a time in nanoseconds on this boot's clock; `None` where it is of another boot.
    pub fn of_this_boot(&self, time: Option<&BootTime>) -> Option<i64> {
        let time = time.filter(|time| time.boot == self.boot && !self.boot.is_empty())?;
        Some(time.boottime_ns)
    }
}

/// Returns a duration in nanoseconds, limited to the range of the type.
pub(crate) fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// Returns the time until a point on this boot's clock.
pub(crate) fn until(point_ns: i64, now_ns: i64) -> Duration {
    Duration::from_nanos(u64::try_from(point_ns.saturating_sub(now_ns)).unwrap_or_default())
}

/// Returns the seconds since 1970.
pub(crate) fn wall_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
