//! `run_as`: the user and group that a registered hook runs as.

use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// The user and group that a hook runs as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunAs {
    /// A name or a number.
    pub user: String,
    /// The user's primary group where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

impl RunAs {
    /// Reads `USER` or `USER:GROUP`.
    ///
    /// # Errors
    /// It is neither.
    pub fn parse(word: &str) -> Result<RunAs, String> {
        let (user, group) = match word.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (word, None),
        };
        if user.is_empty() || group == Some("") {
            return Err(format!("`{word}` is not a user: write USER or USER:GROUP"));
        }
        Ok(RunAs { user: user.to_owned(), group: group.map(str::to_owned) })
    }
}

impl<'de> Deserialize<'de> for RunAs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RunAs, D::Error> {
        /// The form as a mapping.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Mapping {
            #[serde(deserialize_with = "super::values::scalar")]
            user: String,
            #[serde(default, deserialize_with = "super::values::optional_scalar")]
            group: Option<String>,
        }
        struct RunAsVisitor;
        impl<'de> Visitor<'de> for RunAsVisitor {
            type Value = RunAs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a user: `nobody`, `nobody:nogroup`, or {user: nobody, group: nogroup}")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<RunAs, E> {
                RunAs::parse(word).map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<RunAs, E> {
                Ok(RunAs { user: number.to_string(), group: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RunAs, A::Error> {
                let Mapping { user, group } =
                    Mapping::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(RunAs { user, group })
            }
        }
        deserializer.deserialize_any(RunAsVisitor)
    }
}
