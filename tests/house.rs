//! The order of the rooms of `src`: a room uses what is below it, never what is above; no two files use
//! each other in a circle (a folder's mod.rs and the files in that folder count as one); and the way of a
//! call uses no crate but its own few.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up. A new room gets the lowest place that its imports allow.
const ROOMS: &[&str] = &[
    "machine",
    "libvirt",
    "event",
    "trust",
    "command",
    "state",
    "search",
    "config",
    "repair",
    "bypass",
    "process",
    "verdict",
    "answer",
    "registry",
    "hook",
    "memory",
    "document",
    "occasion",
    "plan",
    "observer",
    "record",
    "undo",
    "queue",
    "run",
    "call",
    "cli",
    "for_tests",
];

/// The crates on the way of a call; all others are the command line's.
const CRATES_OF_A_CALL: &[&str] = &[
    "base64",
    "dlmalloc",
    "humantime",
    "libc",
    "memchr",
    "nix",
    "quick-xml",
    "roxmltree",
    "serde",
    "serde_json",
    "serde_yaml",
    "shlex",
    "sha2",
    "strsim",
    "tracing",
    "tracing-journald",
    "tracing-subscriber",
];

struct Source {
    /// Below `src`.
    path: PathBuf,
    /// The module's path, without `crate`.
    module: Vec<String>,
    /// Without comments and tests.
    text: String,
    /// What it names by `crate::` and `super::`, without `crate`.
    uses: BTreeSet<Vec<String>>,
}

impl Source {
    fn room(&self) -> &str {
        self.module.first().map_or("", String::as_str)
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut todo = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(directory) = todo.pop() {
        for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push(source(&root, &path));
            }
        }
    }
    // the files of tests alone
    sources.retain(|source| !source.module.iter().any(|name| name == "tests"));
    sources
}

fn source(root: &Path, path: &Path) -> Source {
    let path = path.strip_prefix(root).unwrap();
    let without_ending = path.with_extension("");
    let mut module: Vec<String> =
        without_ending.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
    if module.last().is_some_and(|name| name == "mod") || path == Path::new("lib.rs") {
        module.pop();
    }
    let text = fs::read_to_string(root.join(path)).unwrap();
    let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let text = lines.collect::<Vec<_>>().join("\n");
    let uses = uses(&text, &module);
    Source { path: path.to_owned(), module, text, uses }
}

/// All paths that begin with `crate` or `super`; those in braces one by one.
fn uses(text: &str, module: &[String]) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for word in ["crate", "super", "self"] {
        for (place, _) in text.match_indices(&format!("{word}::")) {
            let before = text[..place].chars().next_back();
            if !before.is_some_and(|before| before.is_alphanumeric() || "_:".contains(before)) {
                branches(&text[place..], &mut Vec::new(), &mut |path| {
                    found.insert(absolute(path, module));
                });
            }
        }
    }
    found
}

/// Reads `a::b::{c, d::{e}}`; returns what follows.
fn branches<'a>(
    mut text: &'a str,
    path: &mut Vec<String>,
    each: &mut dyn FnMut(&[String]),
) -> &'a str {
    let depth = path.len();
    loop {
        let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
        path.push(text[..end].to_owned());
        text = &text[end..];
        let Some(rest) = text.strip_prefix("::") else { break };
        text = rest;
        if let Some(mut rest) = text.strip_prefix('{') {
            loop {
                rest = branches(rest.trim_start(), path, each);
                // an alias
                let end = rest.find([',', '}']).unwrap();
                let is_last = rest[end..].starts_with('}');
                rest = rest[end + 1..].trim_start();
                if is_last || rest.starts_with('}') {
                    path.truncate(depth);
                    return rest;
                }
            }
        }
    }
    each(path);
    path.truncate(depth);
    text
}

fn absolute(path: &[String], module: &[String]) -> Vec<String> {
    if path[0] == "crate" {
        return path[1..].to_vec();
    }
    let supers = path.iter().take_while(|name| *name == "super").count();
    let rest = path.iter().skip_while(|name| *name == "super" || *name == "self");
    module[..module.len() - supers].iter().chain(rest).cloned().collect()
}

#[test]
fn a_room_uses_only_what_is_below_it() {
    let floor = |room: &str| ROOMS.iter().position(|name| *name == room);
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !source.module.is_empty()) {
        if source.path == Path::new("main.rs") {
            continue;
        }
        let own = floor(source.room());
        assert!(own.is_some(), "{} is in no room: give it a place", source.path.display());
        for path in source.uses.iter().filter(|path| floor(&path[0]) > own) {
            wrong.push(format!("{} uses {}", source.path.display(), path.join("::")));
        }
    }
    assert!(wrong.is_empty(), "upwards:\n{}", wrong.join("\n"));
}

/// What a file uses, and what that uses, and so on.
fn reached<'a>(
    start: &'a Path,
    below: &BTreeMap<&'a Path, BTreeSet<&'a Path>>,
) -> BTreeSet<&'a Path> {
    let mut reached = BTreeSet::new();
    let mut todo = vec![start];
    while let Some(path) = todo.pop() {
        todo.extend(below[path].iter().filter(|used| reached.insert(**used)));
    }
    reached
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let sources = sources();
    let by_module: BTreeMap<&[String], &Source> =
        sources.iter().map(|source| (source.module.as_slice(), source)).collect();
    let file = |path: &[String]| {
        (0..=path.len()).rev().find_map(|length| by_module.get(&path[..length]).copied())
    };
    // a folder's mod.rs and the files in the folder count as one
    let is_face =
        |a: &Source, b: &Source| a.module.starts_with(&b.module) || b.module.starts_with(&a.module);
    let mut below: BTreeMap<&Path, BTreeSet<&Path>> = BTreeMap::new();
    for source in &sources {
        let used = source.uses.iter().filter_map(|path| file(path));
        below.insert(
            &source.path,
            used.filter(|used| !is_face(source, used)).map(|used| used.path.as_path()).collect(),
        );
    }
    let all: BTreeMap<&Path, BTreeSet<&Path>> =
        below.keys().map(|path| (*path, reached(path, &below))).collect();
    let circles: Vec<String> = below
        .iter()
        .filter(|(path, _)| all[*path].contains(*path))
        .map(|(path, used)| {
            let used = used.iter().filter(|used| all[*used].contains(path));
            format!("{} -> {:?}", path.display(), used.collect::<Vec<_>>())
        })
        .collect();
    assert!(circles.is_empty(), "in a circle:\n{}", circles.join("\n"));
}

/// A call of libvirt's must never wait for what only people need.
#[test]
fn the_way_of_a_call_uses_only_its_own_crates() {
    let manifest =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let dependencies = manifest.split("\n[dependencies]\n").nth(1).unwrap();
    let dependencies = dependencies.split("\n[").next().unwrap();
    let crates: Vec<&str> =
        dependencies.lines().filter_map(|line| Some(line.split_once(" = ")?.0)).collect();
    for name in CRATES_OF_A_CALL {
        assert!(crates.contains(name), "{name} isn't used any more");
    }
    let others = crates.iter().filter(|name| !CRATES_OF_A_CALL.contains(name));
    let others: Vec<String> = others.map(|name| format!("{}::", name.replace('-', "_"))).collect();
    assert!(others.contains(&"clap::".to_owned()));
    for source in sources().iter().filter(|source| source.room() != "cli") {
        for name in &others {
            assert!(!source.text.contains(name), "{} uses {name}", source.path.display());
        }
    }
}
