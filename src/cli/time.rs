//! Times as people write and read them: local, as with journalctl.

use std::time::{Duration, UNIX_EPOCH};

use crate::config::values::parse_duration;
use crate::machine::clock;
use crate::machine::sys::{LocalTime, local_time, unix_seconds_of};

/// How a table shows times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TimeStyle {
    /// `2 min ago`
    Relative,
    /// `2026-11-25 14:03:12`
    Absolute,
}

impl TimeStyle {
    /// Returns a time, in seconds since 1970, as it is shown.
    pub(crate) fn of(self, seconds: u64) -> String {
        match self {
            TimeStyle::Relative => ago(clock::unix_seconds().saturating_sub(seconds)),
            TimeStyle::Absolute => local(seconds),
        }
    }
}

/// Returns `2026-11-25 14:03:12`, local.
pub(super) fn local(seconds: u64) -> String {
    let Some(time) = i64::try_from(seconds).ok().and_then(local_time) else {
        return "-".to_owned();
    };
    let LocalTime { year, month, day, hour, minute, second } = time;
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// Returns `14:03:12` of today, and the whole time of any other day.
pub(super) fn clock_time(seconds: u64) -> String {
    let (whole, today) = (local(seconds), local(clock::unix_seconds()));
    match (whole.split_once(' '), today.split_once(' ')) {
        (Some((day, time)), Some((same, _))) if day == same => time.to_owned(),
        _ => whole,
    }
}

/// Returns a duration in its largest unit: `40 s`, `3 min`, `5 h`, `12 days`.
pub(super) fn rough_duration(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds < 120 => format!("{seconds} s"),
        seconds if seconds < 2 * 3600 => format!("{} min", seconds / 60),
        seconds if seconds < 2 * 86_400 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// The last time that RFC 3339 can write, since 1970: a year has four digits.
const MAX_MICROSECONDS: u64 = 253_402_300_799_999_999;

/// Returns `2026-11-25T13:03:12.123456Z`, for programs. A later time, in a damaged record, becomes
/// the last one of the year 9999.
pub(super) fn rfc3339(micros: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_micros(micros.min(MAX_MICROSECONDS));
    humantime::format_rfc3339_micros(time).to_string()
}

/// Returns how long ago something was: `5 s ago`, `2 min ago`, `3 h ago`, `4 days ago`.
pub(super) fn ago(seconds: u64) -> String {
    match seconds {
        0 => "just now".to_owned(),
        1..=119 => format!("{seconds} s ago"),
        120..=7199 => format!("{} min ago", seconds / 60),
        7200..=172_799 => format!("{} h ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// Returns a short duration for people: `0.3 ms`, `12 ms`, `1.5 s`, `130 s`.
pub(super) fn short_duration(micros: u64) -> String {
    let seconds = Duration::from_micros(micros).as_secs_f64();
    match seconds {
        _ if seconds < 0.01 => format!("{:.1} ms", seconds * 1e3),
        _ if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        _ if seconds < 100.0 => format!("{seconds:.1} s"),
        _ => format!("{seconds:.0} s"),
    }
}

/// Reads a time in the past, in milliseconds since 1970: `1h` (ago), `2 days ago`, `today`,
/// `yesterday`, `14:03`, `2026-11-25`, `2026-11-25 14:03:12`, or with a `T` and a `Z` as RFC 3339.
///
/// # Errors
/// The text is not a time; the message shows which texts are.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    let now = clock::unix_time();
    parse_at(text.trim(), now).ok_or_else(|| match with_slashes(text.trim()) {
        Some(dates) => format!(
            "`{text}` is not a time here, as countries order day and month differently; write {dates}"
        ),
        None => format!(
            "`{text}` is not a time; write 2h, yesterday, 14:03, 2026-11-25 or 2026-11-25 14:03"
        ),
    })
}

/// Returns how to write a date such as `09/19/19`: as OpenNebula's tools mean it, with the month first, and where
/// that is possible with the day first.
fn with_slashes(text: &str) -> Option<String> {
    let parts: Vec<u16> = text.split('/').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [first, second, year] = parts.as_slice() else { return None };
    let year = if *year < 100 { year + 2000 } else { *year };
    let is_date = |month: u16, day: u16| (1..=12).contains(&month) && (1..=31).contains(&day);
    let dates = [(*first, *second), (*second, *first)].into_iter();
    let written = dates.filter(|(month, day)| is_date(*month, *day));
    let mut written: Vec<String> =
        written.map(|(month, day)| format!("{year:04}-{month:02}-{day:02}")).collect();
    written.dedup();
    (!written.is_empty()).then(|| written.join(" or "))
}

fn parse_at(text: &str, now: Duration) -> Option<u64> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).ok();
    let today = local_time(i64::try_from(now.as_secs()).ok()?)?;
    let midnight = LocalTime { hour: 0, minute: 0, second: 0, ..today };
    match text {
        "now" => return millis(now),
        "today" => return at(midnight),
        // mktime corrects the day of the month
        "yesterday" => return at(LocalTime { day: midnight.day - 1, ..midnight }),
        _ => {}
    }
    if text.ends_with('Z') {
        let time = humantime::parse_rfc3339_weak(text).ok()?;
        return millis(time.duration_since(UNIX_EPOCH).ok()?);
    }
    if let Some(time) = clock(text, midnight).or_else(|| date(text, midnight)) {
        return at_valid_date(time);
    }
    let ago = text.strip_suffix("ago").unwrap_or(text).trim();
    millis(now.checked_sub(parse_duration(ago).ok()?)?)
}

fn at(local: LocalTime) -> Option<u64> {
    u64::try_from(unix_seconds_of(&local)?).ok()?.checked_mul(1000)
}

/// Returns the same for a date that must exist: there is no 31st of February.
fn at_valid_date(local: LocalTime) -> Option<u64> {
    let is_one = local_time(unix_seconds_of(&local)?)?;
    ((is_one.month, is_one.day) == (local.month, local.day)).then(|| at(local)).flatten()
}

/// Reads `14:03` or `14:03:12`, on a day.
fn clock(text: &str, day: LocalTime) -> Option<LocalTime> {
    let mut parts = text
        .split(':')
        .map(|part| (part.len() <= 2).then(|| part.parse::<u8>().ok().map(i32::from)).flatten());
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = match parts.next() {
        Some(second) => second?,
        None => 0,
    };
    let is_time = hour < 24 && minute < 60 && second < 61 && parts.next().is_none();
    is_time.then_some(LocalTime { hour, minute, second, ..day })
}

/// Reads `2026-11-25`, with an optional time of day after a blank or a `T`.
fn date(text: &str, midnight: LocalTime) -> Option<LocalTime> {
    let (day, time) = text.split_once([' ', 'T']).map_or((text, None), |(d, t)| (d, Some(t)));
    let mut parts = day.split('-').map(|part| part.parse::<u16>().ok().map(i32::from));
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let is_date = year >= 1970
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && parts.next().is_none();
    let date = is_date.then_some(LocalTime { year, month, day, ..midnight })?;
    match time {
        Some(time) => clock(time.trim(), date),
        None => Some(date),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let now = Duration::from_secs(1_700_000_000);
        let read = |text: &str| parse_at(text, now);
        let back = |text: &str| read(text).map(|millis| local(millis / 1000));
        let day = local(now.as_secs())[..10].to_owned();
        assert_eq!(read("now"), Some(1_700_000_000_000));
        assert_eq!(read("1h"), Some(1_699_996_400_000));
        assert_eq!(read("2 days ago"), Some(1_699_827_200_000));
        assert_eq!(read("2023-11-14T22:13:20Z"), Some(1_700_000_000_000));
        assert_eq!(back("today"), Some(format!("{day} 00:00:00")));
        assert!(read("yesterday") < read("today"));
        assert_eq!(back("14:03"), Some(format!("{day} 14:03:00")));
        assert_eq!(back("2023-01-02"), Some("2023-01-02 00:00:00".into()));
        assert_eq!(back("2023-01-02 03:04"), Some("2023-01-02 03:04:00".into()));
        assert_eq!(back("2023-01-02T03:04:05"), Some("2023-01-02 03:04:05".into()));
        for text in
            ["", "soon", "25:00", "2023-13-01", "2023-02-31", "2023-01", "1:2:3:4", "2023-01-02 x"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_date_with_slashes_is_told_as_it_is_meant() {
        for (text, told) in [
            ("09/19/19", "write 2019-09-19"),
            ("19/09/2019", "write 2019-09-19"),
            ("05/11/26", "write 2026-05-11 or 2026-11-05"),
            ("05/05/26", "write 2026-05-05"),
            ("1/2", "write 2h, yesterday"),
            ("50/50/26", "write 2h, yesterday"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(
                error.ends_with(told) || error.contains(&format!("{told},")),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn any_number_is_a_time() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_700_000_000_123_456, "2023-11-14T22:13:20.123456Z"),
            (MAX_MICROSECONDS, "9999-12-31T23:59:59.999999Z"),
            (MAX_MICROSECONDS + 1, "9999-12-31T23:59:59.999999Z"),
            (u64::MAX, "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(rfc3339(micros), text);
            assert_ne!(local(micros), "");
            assert_ne!(short_duration(micros), "");
        }
    }

    #[test]
    fn a_time_of_today_has_no_date() {
        let now = clock::unix_seconds();
        assert!(local(now).ends_with(&clock_time(now)));
        assert_eq!(clock_time(1_000_000_000), local(1_000_000_000));
        for (seconds, text) in [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7199, "119 min"),
            (7200, "2 h"),
            (172_799, "47 h"),
            (172_800, "2 days"),
        ] {
            assert_eq!(rough_duration(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn durations_are_told_as_short_as_is_enough() {
        for (micros, text) in
            [(300, "0.3 ms"), (12_400, "12 ms"), (1_540_000, "1.5 s"), (130_000_000, "130 s")]
        {
            assert_eq!(short_duration(micros), text);
        }
    }
}
