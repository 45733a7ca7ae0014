//! Every JSON output that a test gets is held against its schema: what `hookmux schema` of the same
//! binary prints. A test is stricter than that: it takes no key that the schema doesn't name, and no
//! word that isn't among its examples. The tests with a real libvirt use it too.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};

use serde_json::Value;

use crate::binary_under_test;
use json_schema::Validator;

#[path = "json_schema.rs"]
mod json_schema;

/// What a command printed, if it is JSON by its words; held against the schema.
#[track_caller]
pub fn judge(words: &[&str], stdout: &[u8]) {
    let is = |word: &str, wanted: &str| word.eq_ignore_ascii_case(wanted);
    let pairs =
        words.windows(2).any(|pair| pair.first() == Some(&"--output") && is(pair[1], "json"));
    if !stdout.is_empty() && (pairs || words.iter().any(|word| is(word, "--output=json"))) {
        read(words, stdout);
    }
}

/// The object that a command printed.
#[track_caller]
pub fn read(words: &[&str], stdout: &[u8]) -> Value {
    let value: Value = serde_json::from_slice(stdout)
        .unwrap_or_else(|error| panic!("{words:?}: {error}: {}", String::from_utf8_lossy(stdout)));
    let name = name(words, &value);
    let schema = schema(&name);
    if let Err(fault) = fits(&schema, &value) {
        panic!("{words:?}: not as `hookmux schema {name}`: {fault}\n{value:#}");
    }
    value
}

/// The name of an output, by the command's words and what it printed.
#[track_caller]
pub fn name(words: &[&str], value: &Value) -> String {
    if value.get("error").is_some() {
        return "error".to_owned();
    }
    match name_of(words).as_str() {
        "plan" if value.get("parts").is_some() => "plan-guest".to_owned(),
        "watch" if value["kind"] == "ready" => "watch-ready".to_owned(),
        "show" if value.get("hooks").is_some() => "show-hook".to_owned(),
        "check" if value.get("files").is_some() => "check-files".to_owned(),
        name => name.to_owned(),
    }
}

/// The name of the output that a command with these words has.
#[track_caller]
pub fn name_of(words: &[&str]) -> String {
    let has = |start: &str| words.iter().any(|word| word.starts_with(start));
    let names = names();
    if words.windows(2).any(|pair| pair == ["xml", "get"]) {
        return "xml-get".to_owned();
    }
    let command = words.iter().find(|word| names.contains(**word));
    let command = *command.unwrap_or_else(|| panic!("{words:?}: no schema for any of these"));
    match command {
        "list" if has("--available") => "list-available",
        "list" if has("--guests") => "list-guests",
        "queue" if has("--flush") => "queue-flush",
        "queue" if has("--requeue") => "queue-requeue",
        "undo" if has("--list") => "undo-list",
        "log" if has("--audit") => "audit",
        "log" if has("-f") || has("--follow") => "watch",
        command => command,
    }
    .to_owned()
}

/// All names, as the command's help has them.
pub fn names() -> &'static BTreeSet<String> {
    static NAMES: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
        let help = String::from_utf8(print(&["schema", "--help"])).unwrap();
        let lines = help.lines().filter_map(|line| line.trim().strip_prefix("- "));
        lines.filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect()
    });
    &NAMES
}

/// A schema, as it is published.
#[track_caller]
pub fn schema(name: &str) -> Value {
    static KNOWN: Mutex<BTreeMap<String, Value>> = Mutex::new(BTreeMap::new());
    assert!(names().contains(name), "there is no schema {name}");
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let make = || serde_json::from_slice(&print(&["schema", name])).unwrap();
    known.entry(name.to_owned()).or_insert_with(make).clone()
}

fn print(words: &[&str]) -> Vec<u8> {
    let output = Command::new(binary_under_test()).args(words).output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    output.stdout
}

/// Checks a value against an output's schema. The outputs' schemas have no patterns.
///
/// # Errors
/// The value doesn't fit: where, and how.
pub fn fits(schema: &Value, value: &Value) -> Result<(), String> {
    let matches = |pattern: &str, _: &str| panic!("no such pattern: {pattern}");
    Validator { whole: schema, refuses_unnamed: true, matches }.fits(schema, value, "")
}
