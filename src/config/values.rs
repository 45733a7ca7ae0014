//! The types of values in configuration files.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::glob;

/// A time limit: `30s`, `2m`, `1h 30m`, or a number of seconds; `0` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OptionalTimeout(pub Option<Duration>);

impl<'de> Deserialize<'de> for OptionalTimeout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OptionalTimeout, D::Error> {
        deserializer.deserialize_any(TimeoutVisitor { is_required: false }).map(OptionalTimeout)
    }
}

/// The longest time limit.
const MAX_TIMEOUT: Duration = Duration::from_secs(366 * 24 * 3600);

/// Reads a time limit; a required one can't be none.
struct TimeoutVisitor {
    is_required: bool,
}

impl TimeoutVisitor {
    fn checked<E: de::Error>(self, duration: Duration) -> Result<Option<Duration>, E> {
        if duration > MAX_TIMEOUT {
            return Err(E::custom("a limit can't be longer than a year"));
        }
        let limit = (!duration.is_zero()).then_some(duration);
        if limit.is_none() && self.is_required {
            return Err(E::custom("a call always has a limit: libvirt itself has none, and waits"));
        }
        Ok(limit)
    }
}

impl Visitor<'_> for TimeoutVisitor {
    type Value = Option<Duration>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = if self.is_required { "" } else { " (0 for none)" };
        write!(f, "a duration such as 30s, 2m or 1h 30m{none}")
    }

    fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Option<Duration>, E> {
        self.checked(Duration::from_secs(seconds))
    }

    fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Option<Duration>, E> {
        let seconds =
            u64::try_from(seconds).map_err(|_| E::custom("a duration can't be negative"))?;
        self.visit_u64(seconds)
    }

    fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Option<Duration>, E> {
        let duration = Duration::try_from_secs_f64(seconds).map_err(E::custom)?;
        self.checked(duration)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<Duration>, E> {
        let duration = parse_duration(text).map_err(E::custom)?;
        self.checked(duration)
    }
}

/// Reads a duration as people write it; a bare number is seconds.
///
/// # Errors
/// A message that names the text and shows the right form.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let bare = text.trim();
    if let Ok(seconds) = bare.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    humantime::parse_duration(bare)
        .map_err(|_| format!("`{text}` is not a duration: write 30s, 2m or 1h 30m"))
}

/// A time limit that can't be switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequiredTimeout(pub Duration);

impl<'de> Deserialize<'de> for RequiredTimeout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RequiredTimeout, D::Error> {
        let limit = deserializer.deserialize_any(TimeoutVisitor { is_required: true })?;
        Ok(RequiredTimeout(limit.unwrap_or_default()))
    }
}

/// A number of bytes as people write it: `512 MiB`, `10G`, `4096`. K, M and G are powers of 1024, as in
/// systemd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
        let Scalar(text) = Scalar::deserialize(deserializer)?;
        let size = parse_size(&text).ok_or_else(|| {
            de::Error::custom(format!("`{text}` is not a size: write 512 MiB, 1 GiB or bytes"))
        })?;
        Ok(Size(size))
    }
}

/// A maximum age; `0` is any age. A number without a unit is an error: seconds are unlikely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Age(pub Option<Duration>);

impl<'de> Deserialize<'de> for Age {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Age, D::Error> {
        let Scalar(text) = Scalar::deserialize(deserializer)?;
        match text.trim().parse::<u64>() {
            Ok(0) => Ok(Age(None)),
            Ok(number) => Err(de::Error::custom(format!(
                "`{number}` has no unit: write {number}days or {number}h (0 for any age)"
            ))),
            Err(_) => parse_duration(&text).map(|age| Age(Some(age))).map_err(de::Error::custom),
        }
    }
}

/// Reads a number of bytes that may be left out.
///
/// # Errors
/// It is not a size.
pub(crate) fn optional_size<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    Size::deserialize(deserializer).map(|size| Some(size.0))
}

/// Reads a [`Size`]; `None` where it is not one.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit.trim() {
        "" | "B" => 0,
        "K" | "KB" | "KiB" => 10,
        "M" | "MB" | "MiB" => 20,
        "G" | "GB" | "GiB" => 30,
        "T" | "TB" | "TiB" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Environment variables: names that are valid in a shell, values as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Variables(pub BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Variables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Variables, D::Error> {
        struct VariablesVisitor;
        impl<'de> Visitor<'de> for VariablesVisitor {
            type Value = Variables;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("variables, as `NAME: value`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Variables, A::Error> {
                let mut variables = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if !is_variable_name(&name) {
                        return Err(de::Error::custom(format!(
                            "`{name}` is not a variable name: letters, digits and _ only, no digit first"
                        )));
                    }
                    if is_own_variable(name.as_bytes()) {
                        return Err(de::Error::custom(format!(
                            "`{name}` is hookmux's own: it can't be set here"
                        )));
                    }
                    let Scalar(value) = map.next_value()?;
                    if value.contains('\0') {
                        return Err(de::Error::custom(format!(
                            "`{name}` has a NUL byte in its value"
                        )));
                    }
                    if variables.contains_key(&name) {
                        return Err(de::Error::custom(format!(
                            "duplicate entry with key \"{name}\""
                        )));
                    }
                    variables.insert(name, value);
                }
                Ok(Variables(variables))
            }
        }
        deserializer.deserialize_map(VariablesVisitor)
    }
}

/// The prefix of hookmux's own variables.
pub(crate) const OWN_PREFIX: &[u8] = b"HOOKMUX_";

/// Tells whether only hookmux sets a variable: `HOOKMUX_*`, and vdsm's `_hook_*` and `vmId`.
pub(crate) fn is_own_variable(name: &[u8]) -> bool {
    name == b"vmId" || name.starts_with(OWN_PREFIX) || name.starts_with(b"_hook_")
}

/// Tells whether a word is a valid variable name in a shell.
pub fn is_variable_name(word: &str) -> bool {
    !word.is_empty()
        && !word.starts_with(|first: char| first.is_ascii_digit())
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A string, or a value that people write without quotes and mean as a string.
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Scalar, D::Error> {
        scalar(deserializer).map(Scalar)
    }
}

/// Reads a string; a number or a boolean without quotes is taken as written.
///
/// # Errors
/// It is neither.
pub(crate) fn scalar<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct ScalarVisitor;
    impl Visitor<'_> for ScalarVisitor {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string (quote it)")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }

        fn visit_bool<E: de::Error>(self, value: bool) -> Result<String, E> {
            Ok(value.to_string())
        }

        fn visit_i64<E: de::Error>(self, value: i64) -> Result<String, E> {
            Ok(value.to_string())
        }

        fn visit_u64<E: de::Error>(self, value: u64) -> Result<String, E> {
            Ok(value.to_string())
        }
    }
    deserializer.deserialize_any(ScalarVisitor)
}

/// Reads a string that may be left out.
///
/// # Errors
/// As [`scalar`].
pub(crate) fn optional_scalar<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    scalar(deserializer).map(Some)
}

/// A list of strings; a single one may be written without a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OneOrMany(pub Vec<String>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OneOrMany, D::Error> {
        struct ListVisitor;
        impl<'de> Visitor<'de> for ListVisitor {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, or a list of strings")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![text.to_owned()]))
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![value.to_string()]))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![value.to_string()]))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![value.to_string()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMany, A::Error> {
                let mut strings = Vec::new();
                while let Some(Scalar(text)) = list.next_element()? {
                    strings.push(text);
                }
                Ok(OneOrMany(strings))
            }
        }
        deserializer.deserialize_any(ListVisitor)
    }
}

/// Shell patterns (`*`, `?`). One of them must match; none that begins with `!` may match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns(pub Vec<String>);

impl Patterns {
    /// Tells whether a value matches.
    pub fn match_value(&self, value: &str) -> bool {
        self.match_any(std::iter::once(value))
    }

    /// Tells whether one of several values matches and none is excluded.
    pub fn match_any<'a>(&self, values: impl Iterator<Item = &'a str> + Clone) -> bool {
        let has = |pattern: &str| values.clone().any(|value| glob::matches(pattern, value));
        let is_excluded = self.0.iter().filter_map(|pattern| pattern.strip_prefix('!')).any(has);
        let mut wanted = self.0.iter().filter(|pattern| !pattern.starts_with('!')).peekable();
        !is_excluded && (wanted.peek().is_none() || wanted.any(|pattern| has(pattern)))
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

impl serde::Serialize for Patterns {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Patterns, D::Error> {
        let OneOrMany(patterns) = OneOrMany::deserialize(deserializer)?;
        if patterns.is_empty() {
            return Err(de::Error::custom(
                "an empty list matches nothing: leave the condition out",
            ));
        }
        Ok(Patterns(patterns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in [("30s", 30), ("2m", 120), ("1h 30m", 5400), ("90", 90), (" 5 ", 5)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        for text in ["", "3x", "-1", "ten"] {
            assert!(parse_duration(text).unwrap_err().contains("30s"), "{text}");
        }
    }

    #[test]
    fn patterns_include_and_exclude() {
        let patterns =
            |list: &[&str]| Patterns(list.iter().map(|pattern| (*pattern).to_owned()).collect());
        for (list, value, expected) in [
            (&["web-*", "!web-test"][..], "web-1", true),
            (&["web-*", "!web-test"], "web-test", false),
            (&["web-*"], "db", false),
            (&["!db"], "web", true),
            (&["!db"], "db", false),
            (&["a?c"], "abc", true),
            (&["a.c"], "abc", false),
            (&["[ab]"], "a", false),
        ] {
            assert_eq!(patterns(list).match_value(value), expected, "{list:?} {value}");
        }
        assert!(patterns(&["lan"]).match_any(["wan", "lan"].into_iter()));
        assert!(!patterns(&["lan", "!wan"]).match_any(["wan", "lan"].into_iter()));
        assert!(!patterns(&["*"]).match_any(std::iter::empty()));
    }
}
