//! Values of many keys: times, durations, paths, and words of other rooms' enums.

use std::path::Path;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::shape::{self, Defs, Shape};
use crate::cli::check::finding::{Code, Severity};
use crate::cli::inventory::listed::HookState;
use crate::cli::plan::actions::Action;
use crate::cli::time;
use crate::event::Origin;
use crate::hook::{HookSource, Style};
use crate::libvirt::{Class, Driver};

/// A time: RFC 3339, in UTC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time {
    micros: u64,
}

impl Time {
    /// Makes a time of microseconds since 1970.
    pub(crate) fn of_micros(micros: u64) -> Time {
        Time { micros }
    }

    /// Makes a time of seconds since 1970.
    pub(crate) fn of_seconds(seconds: u64) -> Time {
        Time { micros: seconds.saturating_mul(1_000_000) }
    }

    pub(crate) fn seconds(self) -> u64 {
        self.micros / 1_000_000
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&time::rfc3339(self.micros))
    }
}

impl Shape for Time {
    fn schema(_: &mut Defs) -> Value {
        json!({ "type": "string", "format": "date-time" })
    }
}

/// A duration, in seconds. The key's name ends in `_s`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seconds(f64);

impl Seconds {
    pub(crate) fn of_micros(micros: u64) -> Seconds {
        Seconds(micros as f64 / 1e6)
    }

    pub(crate) fn micros(self) -> u64 {
        (self.0 * 1e6).round() as u64
    }
}

impl From<Duration> for Seconds {
    fn from(duration: Duration) -> Seconds {
        Seconds(duration.as_secs_f64())
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

impl Shape for Seconds {
    fn schema(_: &mut Defs) -> Value {
        json!({ "type": "number", "minimum": 0 })
    }
}

/// A path; bytes that aren't UTF-8 are replaced.
#[derive(Clone, Debug)]
pub(crate) struct PathText(String);

impl From<&Path> for PathText {
    fn from(path: &Path) -> PathText {
        PathText(path.to_string_lossy().into_owned())
    }
}

impl Serialize for PathText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl Shape for PathText {
    fn schema(_: &mut Defs) -> Value {
        json!({ "type": "string" })
    }
}

/// A word that people read too, from an enum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word<T>(pub T);

/// An enum with a word for each variant.
pub(crate) trait Named: Copy + 'static {
    const ALL: &'static [Self];

    fn word(self) -> &'static str;
}

impl<T: Named> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.word())
    }
}

impl<T: Named> Shape for Word<T> {
    fn schema(_: &mut Defs) -> Value {
        let all: Vec<&str> = T::ALL.iter().map(|one| one.word()).collect();
        shape::word("", &all)
    }
}

/// Lists every variant: the compiler reports one that is missing.
macro_rules! named {
    ($($type:ident: $($variant:ident)+;)+) => {$(
        impl Named for $type {
            const ALL: &'static [$type] = &[$($type::$variant),+];

            fn word(self) -> &'static str {
                match self {
                    $($type::$variant => $type::$variant.name(),)+
                }
            }
        }
    )+};
}

named! {
    Class: Gate Live Notify;
    Driver: Daemon Qemu Lxc Libxl Network Bhyve;
    HookState: Active Masked Disabled NotExecutable Dangling Skipped Refused Fails Broken NeverCalled;
    Origin: Fresh Restore Migration Unknown;
    Severity: Error Warning Note;
    HookSource: EventDirectory Vdsm Tree Adopted Registered;
    Style: Vdsm Libvirt;
}

impl Named for Action {
    const ALL: &'static [Action] = Action::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Named for Code {
    const ALL: &'static [Code] = Code::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}
