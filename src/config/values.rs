//! The kinds of value that configuration files hold.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

/// A limit in time: `30s`, `2m`, `1h 30m`, or a number of seconds; `0` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(pub Option<Duration>);

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Limit, D::Error> {
        struct LimitVisitor;
        impl Visitor<'_> for LimitVisitor {
            type Value = Limit;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as 30s, 2m or 1h 30m (0 for none)")
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Limit, E> {
                Ok(limit(Duration::from_secs(seconds)))
            }

            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Limit, E> {
                let seconds = u64::try_from(seconds)
                    .map_err(|_| E::custom("a duration can't be negative"))?;
                self.visit_u64(seconds)
            }

            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Limit, E> {
                Duration::try_from_secs_f64(seconds).map(limit).map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Limit, E> {
                parse_duration(text).map(limit).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(LimitVisitor)
    }
}

fn limit(duration: Duration) -> Limit {
    Limit((!duration.is_zero()).then_some(duration))
}

/// Reads a duration as people write it; a bare number is seconds.
///
/// # Errors
/// A sentence that names the text and shows what would do.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let bare = text.trim();
    if let Ok(seconds) = bare.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    humantime::parse_duration(bare)
        .map_err(|error| format!("`{text}` is no duration ({error}); write 30s, 2m or 1h 30m"))
}

/// A limit that there has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirmLimit(pub Duration);

impl<'de> Deserialize<'de> for FirmLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FirmLimit, D::Error> {
        match Limit::deserialize(deserializer)?.0 {
            Some(duration) => Ok(FirmLimit(duration)),
            None => Err(de::Error::custom(
                "a call always has a limit: libvirt itself has none, and waits",
            )),
        }
    }
}

/// Environment variables: names that a shell could use, values as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables(pub BTreeMap<String, String>);

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
                            "`{name}` is no variable's name: letters, digits and _ only, no digit first"
                        )));
                    }
                    if name.starts_with("HOOKMUX_") {
                        return Err(de::Error::custom(format!(
                            "`{name}`: names that begin with HOOKMUX_ are hookmux's own"
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

/// Whether a word can be a shell's variable.
pub fn is_variable_name(word: &str) -> bool {
    !word.is_empty()
        && !word.starts_with(|first: char| first.is_ascii_digit())
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A string, or what people write without quotes and mean as one.
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Scalar, D::Error> {
        struct ScalarVisitor;
        impl Visitor<'_> for ScalarVisitor {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string (quote it)")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(text.to_owned()))
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }
        }
        deserializer.deserialize_any(ScalarVisitor)
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
}
