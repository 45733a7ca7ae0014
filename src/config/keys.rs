//! Every key of the settings and of a registration, with the version that brought it: one row each.
//!
//! A new key is a row here, a field in its fragment, its use, and a row in the documentation. Tests
//! demand that each key has a row.

use std::fmt;

/// A version of hookmux that was released, or is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u32, u32, u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

const V0_1_0: Version = Version(0, 1, 0);
const V0_2_0: Version = Version(0, 2, 0);

/// All versions, the oldest first; the last one is this program's.
pub const VERSIONS: [Version; 2] = [V0_1_0, V0_2_0];

impl Version {
    /// Reads one of [`VERSIONS`].
    ///
    /// # Errors
    /// In words that name them: there is no such version.
    pub fn parse(word: &str) -> Result<Version, String> {
        let is_it = |version: &Version| version.to_string() == word;
        VERSIONS.into_iter().find(is_it).ok_or_else(|| {
            let known: Vec<String> = VERSIONS.iter().map(Version::to_string).collect();
            format!("there is no version `{word}`; known are {}", known.join(", "))
        })
    }
}

/// A key, and what brought it. One below another key has that one's name and a dot before its own;
/// `*` in its place stands for any name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub name: &'static str,
    pub since: Version,
}

const fn key(name: &'static str, since: Version) -> Key {
    Key { name, since }
}

/// Those of `hookmux.yaml`.
#[rustfmt::skip]
pub const SETTINGS: &[Key] = &[
    key("session", V0_1_0),
    key("state_dir", V0_1_0),
    key("runtime_dir", V0_1_0),
    key("roots", V0_1_0),
    key("vdsm_hooks", V0_1_0),
    key("tree", V0_2_0),
    key("save_dir", V0_1_0),
    key("timeout", V0_1_0),
    key("total_timeout", V0_1_0),
    key("kill_leftovers", V0_1_0),
    key("trust", V0_1_0),
    key("environment", V0_1_0),
    key("environment_file", V0_1_0),
    key("custom_properties", V0_1_0),
    // as a map from names to values
    key("custom_properties.*", V0_2_0),
    key("max_parallel", V0_1_0),
    key("queue", V0_2_0),
    key("queue.jobs", V0_2_0),
    key("queue.size", V0_2_0),
    key("record", V0_1_0),
    key("retention", V0_1_0),
    key("retention.per_hook", V0_1_0),
    key("retention.age", V0_1_0),
    key("retention.size", V0_1_0),
    key("retention.per_guest", V0_2_0),
];

/// Those of a registration, in the order of the documentation.
#[rustfmt::skip]
pub const REGISTRATION: &[Key] = &[
    key("events", V0_1_0),
    key("calls", V0_1_0),
    key("command", V0_1_0),
    key("args", V0_1_0),
    key("args_stdin", V0_1_0),
    key("weight", V0_1_0),
    key("check", V0_1_0),
    key("rollback", V0_1_0),
    key("when", V0_1_0),
    key("when.driver", V0_1_0),
    key("when.name", V0_1_0),
    key("when.uuid", V0_1_0),
    key("when.title", V0_1_0),
    key("when.reason", V0_1_0),
    key("when.origin", V0_1_0),
    key("when.network", V0_1_0),
    key("when.property", V0_1_0),
    key("timeout", V0_1_0),
    key("on_failure", V0_1_0),
    key("run_as", V0_1_0),
    key("run_as.user", V0_1_0),
    key("run_as.group", V0_1_0),
    key("style", V0_1_0),
    key("stdin", V0_1_0),
    key("mode", V0_1_0),
    key("retries", V0_1_0),
    key("max_parallel", V0_1_0),
    key("enabled", V0_1_0),
    key("parallel", V0_1_0),
    key("lock", V0_1_0),
    key("filter", V0_1_0),
    key("kill_leftovers", V0_1_0),
    key("limits", V0_1_0),
    key("limits.nofile", V0_1_0),
    key("limits.as", V0_1_0),
    key("limits.cpu", V0_1_0),
    key("limits.nproc", V0_1_0),
    key("nice", V0_1_0),
    key("environment", V0_1_0),
    key("environment_file", V0_1_0),
    key("remote", V0_1_0),
];

/// The names in a table that lie below no other key, in its order.
pub fn top_level(table: &'static [Key]) -> impl Iterator<Item = &'static str> {
    table.iter().map(|key| key.name).filter(|name| !name.contains('.'))
}

/// The row of a key; `path` is `limits.nofile`.
pub fn find<'t>(table: &'t [Key], path: &str) -> Option<&'t Key> {
    let any = path.rsplit_once('.').map(|(above, _)| format!("{above}.*"));
    let is_it = |key: &&Key| key.name == path || any.as_deref() == Some(key.name);
    table.iter().find(is_it)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::config::yaml;

    /// The keys that a type has, as serde tells them in its complaint about one that it hasn't.
    pub fn of<T: serde::de::DeserializeOwned + std::fmt::Debug>() -> Vec<String> {
        let complaint = yaml::unchecked::<T>("'': 1").unwrap_err();
        assert!(complaint.contains("unknown field ``"), "{complaint}");
        complaint.split('`').skip(3).step_by(2).map(str::to_owned).collect()
    }

    /// Each key of a type has a row, and each row a key; in one order.
    #[track_caller]
    pub fn assert_complete<T: serde::de::DeserializeOwned + std::fmt::Debug>(
        table: &'static [Key],
        above: Option<&str>,
    ) {
        let rows: Vec<&str> = match above {
            None => top_level(table).collect(),
            Some(above) => {
                let below = |key: &Key| key.name.strip_prefix(above)?.strip_prefix('.');
                table.iter().filter_map(below).collect()
            }
        };
        assert_eq!(rows, of::<T>(), "a row for each key of {above:?}");
    }

    #[test]
    fn versions_are_told_apart() {
        assert_eq!(Version::parse("0.1.0"), Ok(V0_1_0));
        assert_eq!(VERSIONS.last().unwrap().to_string(), env!("CARGO_PKG_VERSION"));
        assert!(VERSIONS.is_sorted());
        for word in ["", "0.1", "v0.1.0", "9.9.9", "0.1.0 "] {
            let words = Version::parse(word).unwrap_err();
            assert!(words.contains("known are 0.1.0, 0.2.0"), "{words}");
        }
    }

    #[test]
    fn a_key_has_one_row() {
        for table in [SETTINGS, REGISTRATION] {
            for (index, key) in table.iter().enumerate() {
                assert!(table[..index].iter().all(|other| other.name != key.name), "{key:?}");
                let above = key.name.rsplit_once('.').map(|(above, _)| above);
                let is_above = |other: &Key| Some(other.name) == above;
                assert!(above.is_none() || table[..index].iter().any(is_above), "{key:?}");
                assert_eq!(find(table, key.name), Some(key));
            }
        }
        let any = [key("a", V0_1_0), key("a.*", V0_2_0)];
        assert_eq!(find(&any, "a.b").unwrap().since, V0_2_0);
        assert_eq!(find(&any, "b.a"), None);
    }
}
