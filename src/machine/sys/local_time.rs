//! LocalTime time, as the C library knows it: `TZ`, else `/etc/localtime`.

use std::mem::MaybeUninit;

/// A local date and time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LocalTime {
    pub year: i32,
    /// From 1.
    pub month: i32,
    pub day: i32,
    pub hour: i32,
    pub minute: i32,
    pub second: i32,
}

/// Returns the local time of a number of seconds since 1970; `None` where the year doesn't fit.
pub(crate) fn local_time(seconds: i64) -> Option<LocalTime> {
    // not a useless conversion where the C library's time has 32 bits
    #[allow(clippy::useless_conversion)]
    let seconds = seconds.try_into().ok()?;
    let mut broken = MaybeUninit::<libc::tm>::uninit();
    // SAFETY: both pointers are good for the call; the result is read only where it was filled.
    let broken = unsafe {
        if libc::localtime_r(&raw const seconds, broken.as_mut_ptr()).is_null() {
            return None;
        }
        broken.assume_init()
    };
    Some(LocalTime {
        year: broken.tm_year + 1900,
        month: broken.tm_mon + 1,
        day: broken.tm_mday,
        hour: broken.tm_hour,
        minute: broken.tm_min,
        second: broken.tm_sec,
    })
}

/// Returns the seconds since 1970 of a local time; `None` where there is no such time.
pub(crate) fn unix_seconds_of(local: &LocalTime) -> Option<i64> {
    // SAFETY: a structure of numbers and a pointer, for which zero is a value.
    let mut broken: libc::tm = unsafe { MaybeUninit::zeroed().assume_init() };
    broken.tm_year = local.year - 1900;
    broken.tm_mon = local.month - 1;
    broken.tm_mday = local.day;
    broken.tm_hour = local.hour;
    broken.tm_min = local.minute;
    broken.tm_sec = local.second;
    // the library finds out whether daylight saving time holds
    broken.tm_isdst = -1;
    // SAFETY: the structure is good for the call, and ours.
    let seconds = unsafe { libc::mktime(&raw mut broken) };
    (seconds != -1).then_some(seconds)
}
