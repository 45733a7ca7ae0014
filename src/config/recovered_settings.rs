//! What can be recovered of a broken settings file that has no last good copy: where state and hooks
//! lie, so that nothing is written or looked for in another place than the administrator chose. Other
//! settings, which could permit more than the default, stay at their default.

use std::path::PathBuf;

use serde::de::DeserializeOwned;

use super::tree_name::TreeName;
use super::yaml::{self, Value};

/// The recovered values; `None` where a key is missing or can't be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RecoveredSettings {
    pub state_dir: Option<PathBuf>,
    pub runtime_dir: Option<PathBuf>,
    pub roots: Option<Vec<PathBuf>>,
    pub tree: Option<TreeName>,
}

impl RecoveredSettings {
    /// Reads the keys that can be read. A text that is not valid YAML as a whole is read key by key.
    pub(super) fn read(text: &str) -> RecoveredSettings {
        let text = yaml::without_bom(text);
        let parts = match parse(text) {
            Some(whole) => vec![whole],
            None => chunks(text).iter().filter_map(|chunk| parse(chunk)).collect(),
        };
        RecoveredSettings {
            state_dir: find(&parts, "state_dir"),
            runtime_dir: find(&parts, "runtime_dir"),
            roots: find(&parts, "roots"),
            tree: find(&parts, "tree"),
        }
    }
}

/// Reads a mapping; settings are nothing else.
fn parse(text: &str) -> Option<Value> {
    yaml::read(text).ok().filter(Value::is_mapping)
}

/// Returns the first valid value of a key.
fn find<T: DeserializeOwned>(parts: &[Value], key: &str) -> Option<T> {
    parts.iter().find_map(|part| yaml::value(part.get(key)?.clone()))
}

/// Splits the text into pieces of one key each: the line that begins with the key, and the indented
/// lines and list entries after it.
fn chunks(text: &str) -> Vec<String> {
    let mut chunks: Vec<String> = Vec::new();
    for line in text.lines() {
        if is_key(line) {
            chunks.push(String::new());
        }
        let is_more = line.starts_with([' ', '-', '#', ']', '}']) || line.trim().is_empty();
        let Some(chunk) = chunks.last_mut() else { continue };
        if !is_key(line) && !is_more {
            // it doesn't belong to the key before it: everything up to the next key is dropped
            chunks.push(String::new());
            continue;
        }
        chunk.push_str(line);
        chunk.push('\n');
    }
    chunks
}

fn is_key(line: &str) -> bool {
    let end = line.bytes().take_while(|byte| byte.is_ascii_lowercase() || *byte == b'_').count();
    end > 0 && line[end..].starts_with(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Option<Vec<PathBuf>> {
        Some(names.iter().map(PathBuf::from).collect())
    }

    #[test]
    fn what_parses_is_read_whatever_is_wrong_beside_it() {
        for text in [
            "state_dir: s\nruntime_dir: r\nroots: [a, b]\ncustom_properties: [x]\ntimout: 3s\n",
            "timeout: [1, 2]\ncustom_properties:\n- x\nroots:\n  - a\n  - b\nruntime_dir: r\nstate_dir: s\n",
            "\u{feff}{state_dir: s, runtime_dir: r, roots: [a, b], custom_properties: [x], bad: 1}",
            // no YAML at all
            "state_dir: s\nruntime_dir: r\nroots:\n- a\n- b\ncustom_properties: [x]\noops\n",
            "timeout: [\nstate_dir: s\nruntime_dir: r\nroots: [\n  a,\n  b\n]\n\ncustom_properties:\n  - x\n",
            "oops\nstate_dir: \"s\"\n\truntime_dir: x\nruntime_dir: 'r' # here\nroots: [a, b]\ncustom_properties: [x]\n",
            "state_dir: s\nstate_dir: t\nruntime_dir: r\nroots: [a, b]\ncustom_properties: [x]\n",
        ] {
            let recovered = RecoveredSettings::read(text);
            assert_eq!(recovered.state_dir, Some("s".into()), "{text}");
            assert_eq!(recovered.runtime_dir, Some("r".into()), "{text}");
            assert_eq!(recovered.roots, paths(&["a", "b"]), "{text}");
        }
    }

    #[test]
    fn what_means_nothing_isnt_read() {
        for text in ["", "oops", "[a]", "state_dir: [s]\nroots: a\nruntime_dir: {a: b}\n"] {
            assert_eq!(RecoveredSettings::read(text), RecoveredSettings::default(), "{text}");
        }
        let recovered =
            RecoveredSettings::read("  state_dir: indented\noops\nroots: [a\nruntime_dir: r\n");
        assert_eq!(
            recovered,
            RecoveredSettings { runtime_dir: Some("r".into()), ..RecoveredSettings::default() }
        );
        let recovered =
            RecoveredSettings::read("custom_properties: {a: }}\nstate_dir: s\ntree: guests\n");
        assert_eq!(recovered.state_dir, Some("s".into()));
        assert_eq!(recovered.tree, TreeName::parse("guests").ok());
        assert_eq!(RecoveredSettings::read("tree: qemu.d\n").tree, None);
    }
}
