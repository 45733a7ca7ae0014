//! Tells what a file is by its content: a registration, settings, or a script.

use std::path::Path;

use crate::cli::args::FileKind;
use crate::config::keys;
use crate::config::registration::{DIRECTORY, EXTENSION};
use crate::config::settings::FILE_NAME;
use crate::process::startable::head::{ExecutableHead, head};

impl FileKind {
    /// Returns its word on the command line and in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            FileKind::Registration => "registration",
            FileKind::Settings => "settings",
            FileKind::Script => "script",
        }
    }
}

/// Returns what a file is; `None` where neither its content nor its place tells.
pub(super) fn of(path: &Path, bytes: &[u8]) -> Option<FileKind> {
    if head(bytes) != ExecutableHead::None {
        return Some(FileKind::Script);
    }
    if path.file_name().is_some_and(|name| name == FILE_NAME) {
        return Some(FileKind::Settings);
    }
    let is_yaml = path.extension().is_some_and(|end| end == EXTENSION);
    if is_yaml && path.parent().is_some_and(|parent| parent.ends_with(DIRECTORY)) {
        return Some(FileKind::Registration);
    }
    let text = String::from_utf8_lossy(bytes);
    let words: Vec<&str> = text.lines().filter_map(first_word).collect();
    let count = |own: &'static [keys::Key], other: &'static [keys::Key]| {
        let has = |table, word: &str| keys::top_level(table).any(|key| key == word);
        words.iter().filter(|word| has(own, word) && !has(other, word)).count()
    };
    let of_registration = count(keys::REGISTRATION, keys::SETTINGS);
    let of_settings = count(keys::SETTINGS, keys::REGISTRATION);
    match of_registration.cmp(&of_settings) {
        std::cmp::Ordering::Greater => Some(FileKind::Registration),
        std::cmp::Ordering::Less => Some(FileKind::Settings),
        std::cmp::Ordering::Equal => None,
    }
}

/// Returns the word that a line begins with, if it can be a key: `events:`, `"events" :`, `- events=`.
fn first_word(line: &str) -> Option<&str> {
    let line = line.trim_start_matches(|c: char| c.is_whitespace() || "-{\"'\u{feff}".contains(c));
    let end = line.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(line.len());
    (end > 0).then(|| &line[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_by_its_content() {
        let (registration, settings, script) =
            (Some(FileKind::Registration), Some(FileKind::Settings), Some(FileKind::Script));
        for (path, text, expected) in [
            ("anywhere", "events: before_vm_start\ncommand: /x\n", registration),
            ("anywhere", "{\"events\": \"before_vm_start\"}", registration),
            ("anywhere", "- events: x\n", registration),
            ("anywhere", "events:x\ntimout = 3\n", registration),
            ("anywhere", "timeout: 3\nstate_dir: /x\n", settings),
            ("anywhere", "# c\ncustom_properties: [a]\n", settings),
            ("anywhere", "timeout: 3\n", None),
            ("/h/hooks.d/x.yaml", "timeout: 3\n", registration),
            ("/h/hookmux.yaml", "timeout: 3\n", settings),
            ("/h/hookmux.yaml", "", settings),
            ("anywhere", "", None),
            ("anywhere", "#!/bin/sh\nevents: x\n", script),
            ("anywhere", "\u{feff}#!/bin/sh\n", script),
            ("anywhere", "\u{7f}ELF", script),
            ("anywhere", "echo hi\n", None),
        ] {
            assert_eq!(of(Path::new(path), text.as_bytes()), expected, "{path} {text:?}");
        }
    }
}
