//! Every JSON output that a test gets is held against its schema: what `hookmux schema` of the same
//! binary prints. A test is stricter than that: it takes no key that the schema doesn't name, and no
//! word that isn't among its examples. The tests with a real libvirt use it too.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};

use serde_json::{Map, Value};

use crate::binary_under_test;

/// What a command printed, if it is JSON by its words; held against the schema.
#[track_caller]
pub fn judge(words: &[&str], stdout: &[u8]) {
    let pairs = words.windows(2).any(|pair| pair == ["--output", "json"]);
    if !stdout.is_empty() && (pairs || words.contains(&"--output=json")) {
        read(words, stdout);
    }
}

/// The object that a command printed.
#[track_caller]
pub fn read(words: &[&str], stdout: &[u8]) -> Value {
    let value: Value = serde_json::from_slice(stdout)
        .unwrap_or_else(|error| panic!("{words:?}: {error}: {}", String::from_utf8_lossy(stdout)));
    let name = match value.get("error") {
        Some(_) => "error".to_owned(),
        None => name_of(words),
    };
    let schema = schema(&name);
    if let Err(fault) = fits(&schema, &value, &schema, "") {
        panic!("{words:?}: not as `hookmux schema {name}`: {fault}\n{value:#}");
    }
    value
}

/// The name of the output that a command with these words has.
#[track_caller]
pub fn name_of(words: &[&str]) -> String {
    let has = |start: &str| words.iter().any(|word| word.starts_with(start));
    let names = names();
    let command = words.iter().find(|word| names.contains(**word));
    let command = *command.unwrap_or_else(|| panic!("{words:?}: no schema for any of these"));
    match command {
        "queue" if has("--flush") => "queue-flush",
        "queue" if has("--requeue") => "queue-requeue",
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

/// Whether a value fits; else where it doesn't, and how.
pub fn fits(schema: &Value, value: &Value, whole: &Value, place: &str) -> Result<(), String> {
    let Value::Object(rules) = schema else { panic!("{place}: {schema} is no schema") };
    for (rule, wanted) in rules {
        let is_good = match rule.as_str() {
            "$ref" => {
                let target = wanted.as_str().unwrap().strip_prefix('#').unwrap();
                fits(whole.pointer(target).unwrap(), value, whole, place)?;
                true
            }
            "anyOf" => {
                let mut faults = Vec::new();
                for one in wanted.as_array().unwrap() {
                    faults.extend(fits(one, value, whole, place).err());
                }
                if faults.len() == wanted.as_array().unwrap().len() {
                    return Err(faults.join("; or "));
                }
                true
            }
            "type" => match wanted {
                Value::Array(kinds) => kinds.iter().any(|kind| is_kind(value, kind)),
                kind => is_kind(value, kind),
            },
            "minimum" => value.as_f64().is_none_or(|number| number >= wanted.as_f64().unwrap()),
            "examples" => value.is_null() || wanted.as_array().unwrap().contains(value),
            "format" => value.as_str().is_none_or(is_time),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    fits(wanted, item, whole, &format!("{place}/{index}"))?;
                }
                true
            }
            "required" => {
                for key in wanted.as_array().unwrap() {
                    let key = key.as_str().unwrap();
                    if value.as_object().is_some_and(|object| !object.contains_key(key)) {
                        return Err(format!("{place} has no {key}"));
                    }
                }
                true
            }
            "properties" | "additionalProperties" => {
                every_key(rules, value, whole, place)?;
                true
            }
            "$schema" | "$id" | "$defs" | "title" | "description" => true,
            other => panic!("{place}: no such rule: {other}"),
        };
        if !is_good {
            return Err(format!("{place}: {value} is not {rule}: {wanted}"));
        }
    }
    Ok(())
}

fn every_key(
    rules: &Map<String, Value>,
    value: &Value,
    whole: &Value,
    place: &str,
) -> Result<(), String> {
    for (key, value) in value.as_object().into_iter().flatten() {
        let named = rules.get("properties").and_then(|known| known.get(key));
        let Some(schema) = named.or(rules.get("additionalProperties")) else {
            return Err(format!("{place} has a key that isn't named: {key}"));
        };
        fits(schema, value, whole, &format!("{place}/{key}"))?;
    }
    Ok(())
}

fn is_kind(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap() {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("no such kind: {other}"),
    }
}

/// Whether a text is RFC 3339 in UTC.
fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00T00:00:00.000000Z"
}
