//! `docs/parity.md` and the tests that name its ids know each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// `L1`, `V11`: one of the page's.
fn is_id(word: &str) -> bool {
    let digits = word.strip_prefix(['L', 'V', 'O', 'C', 'P']).unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Ids and nothing else: `L5, V4`, and `C4 to C7` in the head of a file.
fn ids(words: &str) -> Option<Vec<String>> {
    let mut all = Vec::new();
    for item in words.split(", ") {
        let (first, last) = item.split_once(" to ").unwrap_or((item, item));
        if !is_id(first) || !is_id(last) || first[..1] != last[..1] {
            return None;
        }
        let number = |id: &str| id[1..].parse::<u32>().unwrap();
        all.extend((number(first)..=number(last)).map(|it| format!("{}{it}", &first[..1])));
    }
    Some(all)
}

/// Each row's id, and whether hookmux has it.
fn rows() -> BTreeMap<String, bool> {
    let mut rows = BTreeMap::new();
    for line in include_str!("../docs/parity.md").lines() {
        let Some((id, rest)) = line.strip_prefix("| ").and_then(|it| it.split_once(" | ")) else {
            continue;
        };
        if is_id(id) {
            let cell = rest.trim_end_matches(" |").rsplit(" | ").next().unwrap();
            let twice = rows.insert(id.to_owned(), !cell.starts_with("**not yet**"));
            assert!(twice.is_none(), "{id} is there twice");
        }
    }
    rows
}

/// Every file of Rust below these directories, but what others have written.
fn sources() -> Vec<PathBuf> {
    let mut todo = ["src", "tests", "relay/src", "relay/tests"]
        .map(|it| Path::new(env!("CARGO_MANIFEST_DIR")).join(it))
        .to_vec();
    let mut files = Vec::new();
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            match entry.path() {
                path if path.is_dir() => todo.push(path),
                path if path.extension().is_some_and(|it| it == "rs") => files.push(path),
                _ => {}
            }
        }
    }
    files
}

#[test]
fn every_row_is_named_by_a_test_and_every_id_is_a_row() {
    let rows = rows();
    assert!(rows.len() > 40, "{rows:?}");
    let mut tested = BTreeSet::new();
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let line = line.trim_start();
            // of a file: `//! Records: … (O5, O6, V7)`; of a test: `// P1: as the helper does`
            let of_file = line.strip_prefix("//! ").and_then(|it| it.rsplit_once('('));
            let of_file = of_file.and_then(|(_, it)| ids(it.strip_suffix(')')?));
            let of_test = line.strip_prefix("// ");
            let of_test = of_test.and_then(|it| ids(it.split_once(": ").map_or(it, |(it, _)| it)));
            for id in of_file.iter().chain(&of_test).flatten() {
                let is_there = rows.get(id).copied();
                assert_ne!(is_there, None, "{}: docs/parity.md has no {id}", path.display());
                assert_ne!(is_there, Some(false), "{id} is there, and marked as not yet");
            }
            if let Some(ids) = of_test {
                let next = lines.clone().find(|it| !it.trim_start().starts_with(['#', '/']));
                let is_test = next.is_some_and(|it| it.trim_start().starts_with("fn "));
                assert!(is_test, "{}: {ids:?} stand above no test", path.display());
                tested.extend(ids);
            }
        }
    }
    let untested: Vec<_> = rows.iter().filter(|(id, has)| **has && !tested.contains(*id)).collect();
    assert!(untested.is_empty(), "no test names {untested:?}");
}
