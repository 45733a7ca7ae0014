//! `custom_properties`: which properties of a guest hooks get as variables under their bare names, and
//! which values these may have. engine-config's `UserDefinedVMProperties` does this for vdsm.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::glob;
use super::values::OneOrMany;

/// The setting, as a list of names or as a map from names to allowed values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CustomProperties {
    /// `None`: any value.
    names: BTreeMap<String, Option<Allowed>>,
}

impl CustomProperties {
    pub fn is_listed(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// Returns the listed names, in byte order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// Tells whether allowed values are given, so that a further name needs them too.
    pub fn is_map(&self) -> bool {
        self.names.values().any(Option::is_some)
    }

    /// Returns the allowed values if the property has another one; `None` where its value is allowed
    /// or the property isn't listed.
    pub fn violated_rule(&self, name: &str, value: &str) -> Option<&Allowed> {
        self.names.get(name)?.as_ref().filter(|allowed| !allowed.allow(value))
    }
}

/// Alternatives, each a shell pattern (`*`, `?`) that must match the whole value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed(Vec<String>);

impl Allowed {
    fn allow(&self, value: &str) -> bool {
        self.0.iter().any(|pattern| glob::matches(pattern, value))
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("|"))
    }
}

impl<'de> Deserialize<'de> for Allowed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Allowed, D::Error> {
        let OneOrMany(written) = OneOrMany::deserialize(deserializer)?;
        if written.is_empty() {
            return Err(de::Error::custom("an empty list allows no value: write `*` for any"));
        }
        let is_regular = |text: &&String| text.starts_with('^') && text.ends_with('$');
        if let Some(text) = written.iter().find(is_regular) {
            return Err(de::Error::custom(format!(
                "`{text}` is a regular expression: write shell patterns, with `|` between them"
            )));
        }
        let alternatives = written.iter().flat_map(|text| text.split('|'));
        // people write blanks around `|`
        Ok(Allowed(alternatives.map(|pattern| pattern.trim().to_owned()).collect()))
    }
}

impl<'de> Deserialize<'de> for CustomProperties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<CustomProperties, D::Error> {
        struct PropertiesVisitor;
        impl<'de> Visitor<'de> for PropertiesVisitor {
            type Value = CustomProperties;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of names, or `NAME: allowed values`")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut names = BTreeMap::new();
                while let Some(name) = list.next_element::<String>()? {
                    names.insert(name, None);
                }
                Ok(CustomProperties { names })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut names = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if names.contains_key(&name) {
                        return Err(de::Error::custom(format!(
                            "duplicate entry with key \"{name}\""
                        )));
                    }
                    let allowed = map.next_value::<Option<Allowed>>()?.ok_or_else(|| {
                        de::Error::custom(format!(
                            "`{name}` has no allowed values: write `{name}: \"*\"` for any"
                        ))
                    })?;
                    names.insert(name, Some(allowed));
                }
                Ok(CustomProperties { names })
            }
        }
        deserializer.deserialize_any(PropertiesVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    fn read(text: &str) -> Result<CustomProperties, String> {
        yaml::read(text).map_err(|mistake| mistake.message)
    }

    #[test]
    fn a_list_allows_any_value() {
        let list = read("[vlan, macspoof]").unwrap();
        assert_eq!(list.names().collect::<Vec<_>>(), ["macspoof", "vlan"]);
        assert!(list.is_listed("vlan") && !list.is_listed("zone") && !list.is_map());
        assert_eq!(list.violated_rule("vlan", "anything"), None);
        assert!(!read("[]").unwrap().is_listed(""));
    }

    #[test]
    fn a_map_compares_whole_values_with_alternatives() {
        let map = read(
            "macspoof: true|false\nvlan: '?|1?|20'\nzone: dmz-*\nany: '*'\nbool: true\nn: 5\n\
             list: [a, 'b|c']\nempty: ''\nblank: '|x'\n\
             wide: a b | c",
        )
        .unwrap();
        for (name, value, is_allowed) in [
            ("macspoof", "true", true),
            ("macspoof", "false", true),
            ("macspoof", "True", false),
            ("macspoof", "truefalse", false),
            ("macspoof", "xtrue", false),
            ("macspoof", "true\n", false),
            ("macspoof", "", false),
            ("vlan", "7", true),
            ("vlan", "17", true),
            ("vlan", "20", true),
            ("vlan", "21", false),
            ("zone", "dmz-", true),
            ("zone", "dmz-a\nb", true),
            ("zone", "lan", false),
            ("any", "$(id)", true),
            ("any", "", true),
            ("bool", "true", true),
            ("bool", "false", false),
            ("n", "5", true),
            ("list", "a", true),
            ("list", "c", true),
            ("list", "b|c", false),
            ("empty", "", true),
            ("empty", "x", false),
            ("blank", "", true),
            ("blank", "x", true),
            ("wide", "a b", true),
            ("wide", "c", true),
            ("wide", " c", false),
            ("unlisted", "x", true),
        ] {
            let broken = map.violated_rule(name, value);
            assert_eq!(broken.is_none(), is_allowed, "{name}={value:?}: {broken:?}");
        }
        assert!(map.is_map());
        assert_eq!(map.violated_rule("list", "d").unwrap().to_string(), "a|b|c");
    }

    #[test]
    fn mistakes_are_told() {
        for (text, expected) in [
            ("vlan:", "write `vlan: \"*\"`"),
            ("vlan: []", "an empty list allows no value"),
            ("vlan: ^[0-9]+$", "is a regular expression"),
            ("{a: 1, a: 2}", "`a` is there twice"),
            ("all", "a list of names"),
            ("[[a]]", "write a text"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
