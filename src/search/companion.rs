//! Tells which files beside hooks clearly are none: documentation, settings, modules of other hooks. They are
//! passed over without a word. A script that has lost its x bit is not among them.

use std::ffi::OsStr;
use std::path::Path;

use super::EntryState;
use crate::machine::files;

/// How documentation begins, in capitals as everywhere.
const DOCUMENT_NAMES: &[&str] = &[
    "README",
    "LICENSE",
    "LICENCE",
    "COPYING",
    "COPYRIGHT",
    "CHANGELOG",
    "CHANGES",
    "NEWS",
    "AUTHORS",
    "NOTICE",
    "CONTRIBUTING",
    "INSTALL",
    "TODO",
    "Makefile",
];
const DOCUMENT_ENDINGS: &[&str] = &["md", "markdown", "rst", "txt", "adoc", "html", "pyc", "pyo"];
const DATA_ENDINGS: &[&str] =
    &["conf", "cfg", "ini", "env", "json", "yaml", "yml", "toml", "xml", "csv", "list", "pm", "so"];
/// Where Python keeps modules that it has compiled.
const PYTHON_CACHE: &str = "__pycache__";
/// What makes a directory a package of Python's; often empty.
const PYTHON_PACKAGE: &str = "__init__.py";

/// How much of a hook is searched, in bytes.
const MAX_SCANNED_BYTES: u64 = 64 * 1024;
/// How many hooks are searched.
const MAX_SCANNED_FILES: usize = 100;

/// Tells whether a file of this state is no hook, and not meant as one either.
pub(crate) fn is_companion(path: &Path, state: &EntryState) -> bool {
    let Some(name) = path.file_name() else { return false };
    match state {
        EntryState::NotExecutable => {
            is_document(name)
                || has_ending(name, DATA_ENDINGS)
                || name == PYTHON_PACKAGE
                || (is_module_name(name) && !is_script(path))
                || is_used_by_hook(path, name)
        }
        // an empty file disables a hook of its name, but not one of these names
        EntryState::Disabled(_) => {
            (is_document(name) || name == PYTHON_PACKAGE) && is_file_without_x_bit(path)
        }
        EntryState::Skipped(_) => name == PYTHON_CACHE,
        EntryState::Active | EntryState::Masked(_) | EntryState::Dangling => false,
    }
}

/// Tells whether an empty file is one that belongs to hooks, and wasn't put there to disable one.
pub(crate) fn is_empty_module(path: &Path) -> bool {
    path.file_name().is_some_and(is_module_name) && is_file_without_x_bit(path)
}

fn is_file_without_x_bit(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.is_file() && !files::has_x_bit(&file))
}

/// Tells whether Python can import a file of this name.
fn is_module_name(name: &OsStr) -> bool {
    let stem = name.to_str().and_then(|name| name.strip_suffix(".py"));
    stem.is_some_and(|stem| {
        !stem.starts_with(|c: char| c.is_ascii_digit())
            && stem.chars().all(|c| c.is_alphanumeric() || c == '_')
    })
}

/// Tells whether a file names its interpreter, as a program does.
fn is_script(path: &Path) -> bool {
    files::read_beginning(path, 2).is_ok_and(|head| head == b"#!")
}

/// Tells whether this is the name of documentation, or of what a language makes for itself.
pub(crate) fn is_document(name: &OsStr) -> bool {
    let text = name.to_string_lossy();
    let is_named = DOCUMENT_NAMES.iter().any(|start| {
        let rest = text.strip_prefix(start);
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
    });
    is_named || has_ending(name, DOCUMENT_ENDINGS) || name == PYTHON_CACHE
}

fn has_ending(name: &OsStr, endings: &[&str]) -> bool {
    let end = Path::new(name).extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
    end.is_some_and(|end| endings.contains(&end.as_str()))
}

/// Tells whether a hook beside a file names it outside of comments: by its whole name, or in a line that
/// imports a module.
fn is_used_by_hook(path: &Path, name: &OsStr) -> bool {
    let (Some(name), Some(directory)) = (name.to_str(), path.parent()) else { return false };
    let ending = Path::new(name).extension();
    // a name without an ending is a hook's, and so may another hook's text have it
    let is_program = || {
        files::read_beginning(path, 4)
            .is_ok_and(|head| head.starts_with(b"#!") || head == b"\x7fELF")
    };
    if ending.is_none() && is_program() {
        return false;
    }
    let stem = name.split('.').next().unwrap_or(name);
    let Ok(entries) = files::read_dir(directory) else { return false };
    let hooks = entries.flatten().map(|entry| entry.path()).filter(|other| other != path);
    hooks.filter(|other| files::is_executable(other)).take(MAX_SCANNED_FILES).any(|hook| {
        let text = files::read_beginning(&hook, MAX_SCANNED_BYTES).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let mut lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        lines.any(|line| {
            let imports = ["import", "require", "use"].iter().any(|word| has_word(line, word));
            has_word(line, name) || (imports && has_word(line, stem))
        })
    })
}

/// Tells whether a line has a word that isn't part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let is_inner = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (line.get(..at), line.get(at + word.len()..));
        !before.is_some_and(|text| text.ends_with(is_inner))
            && !after.is_some_and(|text| text.starts_with(is_inner))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use crate::search::directory;

    #[test]
    fn what_lies_beside_hooks_is_told_from_hooks_that_lost_their_x_bit() {
        let place = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str, mode: u32| {
            let path = place.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let hook = "#!/usr/bin/python3\n# after 20-old, with 30-old.sh\nimport net_utils\n\
             from checks import one\nnames = open('names')\nos.system('. common.sh')\n";
        file("50_net", hook, 0o755);
        fs::create_dir(place.path().join("__pycache__")).unwrap();
        fs::create_dir(place.path().join("more")).unwrap();
        for (name, text, is_companion) in [
            ("README", "how it works", true),
            ("README.gpu", "how it works", true),
            ("LICENSE-MIT", "…", true),
            ("notes.md", "#!/bin/sh", true),
            ("notes.TXT", "x", true),
            ("net_utils.pyc", "\0", true),
            ("50_net.conf", "x=1", true),
            ("net_utils.py", "#!/usr/bin/python3\n", true),
            ("checks.py", "one = 1\n", true),
            ("common.sh", "f() { :; }\n", true),
            ("names", "a b\n", true),
            // no hook imports it directly, but it can't be meant as one
            ("helper_utils.py", "x = 1\n", true),
            ("__init__.py", "#!/usr/bin/python3\n", true),
            ("__init__.py", "", true),
            ("README.md", "", true),
            // hooks, whatever is wrong with them
            ("10-hook", "#!/bin/sh\n", false),
            ("20-old", "#!/bin/sh\n", false),
            ("30-old.sh", "#!/bin/sh\n", false),
            ("40-hook.py", "print(1)\n", false),
            ("utils.py", "#!/usr/bin/python3\n", false),
            ("READMES", "#!/bin/sh\n", false),
            ("readme_first", "#!/bin/sh\n", false),
            // these may disable hooks of lower roots
            ("10-hook", "", false),
            ("helper.py", "", false),
        ] {
            file(name, text, 0o644);
            let path = place.path().join(name);
            assert_eq!(
                super::is_companion(&path, &directory::state(&path)),
                is_companion,
                "{name}"
            );
            file(name, if text.is_empty() { "x" } else { text }, 0o755);
            assert!(!super::is_companion(&path, &directory::state(&path)), "{name} is executable");
            fs::remove_file(path).unwrap();
        }
        for (name, expected) in [("__pycache__", true), ("more", false)] {
            let path = place.path().join(name);
            assert_eq!(super::is_companion(&path, &directory::state(&path)), expected, "{name}");
        }
    }
}
