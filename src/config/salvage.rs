//! What still holds of a settings file that is broken, where no last good copy stands in for it:
//! where state and hooks lie, so that nothing is written or looked for in another place than the
//! administrator said. Whatever else a setting may widen stays as narrow as its default.

use std::path::PathBuf;

use serde::de::DeserializeOwned;

use super::tree_name::TreeName;
use super::yaml::{self, Value};

/// What could be read; `None` where a key isn't there or means nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Salvage {
    pub state_dir: Option<PathBuf>,
    pub runtime_dir: Option<PathBuf>,
    pub roots: Option<Vec<PathBuf>>,
    pub tree: Option<TreeName>,
}

impl Salvage {
    /// Reads the keys that can be read. Text that is no YAML as a whole is read key by key.
    pub(super) fn of(text: &str) -> Salvage {
        let text = yaml::without_mark(text);
        let parts = match parse(text) {
            Some(whole) => vec![whole],
            None => chunks(text).iter().filter_map(|chunk| parse(chunk)).collect(),
        };
        Salvage {
            state_dir: find(&parts, "state_dir"),
            runtime_dir: find(&parts, "runtime_dir"),
            roots: find(&parts, "roots"),
            tree: find(&parts, "tree"),
        }
    }
}

/// A mapping; nothing else is part of settings.
fn parse(text: &str) -> Option<Value> {
    yaml::read(text).ok().filter(Value::is_mapping)
}

/// The first value of a key that means something.
fn find<T: DeserializeOwned>(parts: &[Value], key: &str) -> Option<T> {
    parts.iter().find_map(|part| yaml::value(part.get(key)?.clone()))
}

/// The text in pieces of one key each: a line that begins with it, and those that are indented or
/// begin a list's entry after it.
fn chunks(text: &str) -> Vec<String> {
    let mut chunks: Vec<String> = Vec::new();
    for line in text.lines() {
        if is_key(line) {
            chunks.push(String::new());
        }
        let is_more = line.starts_with([' ', '-', '#', ']', '}']) || line.trim().is_empty();
        let Some(chunk) = chunks.last_mut() else { continue };
        if !is_key(line) && !is_more {
            // no part of the key before it: whatever comes up to the next key is lost
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
            let salvage = Salvage::of(text);
            assert_eq!(salvage.state_dir, Some("s".into()), "{text}");
            assert_eq!(salvage.runtime_dir, Some("r".into()), "{text}");
            assert_eq!(salvage.roots, paths(&["a", "b"]), "{text}");
        }
    }

    #[test]
    fn what_means_nothing_isnt_read() {
        for text in ["", "oops", "[a]", "state_dir: [s]\nroots: a\nruntime_dir: {a: b}\n"] {
            assert_eq!(Salvage::of(text), Salvage::default(), "{text}");
        }
        let salvage = Salvage::of("  state_dir: indented\noops\nroots: [a\nruntime_dir: r\n");
        assert_eq!(salvage, Salvage { runtime_dir: Some("r".into()), ..Salvage::default() });
        let salvage = Salvage::of("custom_properties: {a: }}\nstate_dir: s\ntree: guests\n");
        assert_eq!(salvage.state_dir, Some("s".into()));
        assert_eq!(salvage.tree, TreeName::parse("guests").ok());
        assert_eq!(Salvage::of("tree: qemu.d\n").tree, None);
    }
}
