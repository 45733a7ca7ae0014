//! The JSON Schema (draft 2020-12) of a registration file, for editors.

use serde_json::{Map, Value, json};

use crate::config::choice::{CallStyle, FailurePolicy, Mode, ResultKind, StdinKind};
use crate::config::keys::{self, Key};
use crate::config::triggers::Triggers;
use crate::event;
use crate::libvirt::{Class, Driver};

/// Returns the schema: what `Registration::parse` accepts, and what each key is for.
pub(crate) fn schema() -> Value {
    let mut properties = Map::new();
    for key in keys::REGISTRATION.iter().filter(|key| !key.name.contains('.')) {
        properties.insert(key.name.to_owned(), property(key));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:hookmux:registration",
        "title": "A registered hook of hookmux: hooks.d/NAME.yaml",
        "examples": [
            { "events": "before_vm_start", "command": "bin/guard", "when": { "name": "web*" } },
            {
                "events": "after_vm_launch",
                "command": ["/usr/local/sbin/dns", "add"],
                "args": ["$NAME"],
                "mode": "detached",
            },
            {
                "events": "before_vm_prepare",
                "command": ["bin/pages", "start"],
                "undo": ["bin/pages", "undo"],
                "timeout": "30s",
            },
        ],
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "required": ["command"],
        "anyOf": [
            { "required": ["events"], "properties": { "events": { "minItems": 1 } } },
            { "required": ["calls"], "properties": { "calls": { "minItems": 1 } } },
        ],
        "allOf": [
            {
                "if": { "properties": { "mode": { "const": Mode::Detached.word() } }, "required": ["mode"] },
                "then": { "properties": { "rollback": false, "undo": false, "parallel": { "const": false } } },
                "else": { "properties": { "retries": false, "max_parallel": false } },
            },
            {
                "if": { "properties": { "shared": { "const": true } }, "required": ["shared"] },
                "then": { "required": ["undo"] },
            },
            {
                "if": { "properties": { "style": { "const": CallStyle::Libvirt.word() } }, "required": ["style"] },
                "then": { "properties": {
                    "stdin": false,
                    "args": { "maxItems": 0 },
                    "args_stdin": { "const": false },
                    "result": { "const": ResultKind::ExitStatus.word() },
                } },
            },
            {
                "if": { "properties": { "args_stdin": { "const": true } }, "required": ["args_stdin"] },
                "then": { "properties": { "stdin": { "const": StdinKind::None.word() } } },
            },
            {
                "if": { "properties": { "remote": { "const": true } }, "required": ["remote"] },
                "then": { "properties": remote() },
            },
        ],
        "$defs": {
            "text": {
                "description": "a string; a number or a truth value is taken as written",
                "type": ["string", "integer", "boolean"],
            },
            "words": {
                "description": "a program and its first arguments; a relative path is below the root that has hooks.d",
                "anyOf": [
                    { "$ref": "#/$defs/firstWord" },
                    {
                        "type": "array",
                        "items": { "$ref": "#/$defs/text" },
                        "prefixItems": [{ "$ref": "#/$defs/firstWord" }],
                        "minItems": 1,
                    },
                ],
            },
            "firstWord": { "type": ["string", "integer", "boolean"], "minLength": 1 },
            "patterns": {
                "description": "shell patterns, any of which may match; one that begins with ! must not",
                "anyOf": [
                    { "$ref": "#/$defs/text" },
                    { "type": "array", "items": { "$ref": "#/$defs/text" }, "minItems": 1 },
                ],
            },
            "event": { "anyOf": [{ "enum": events() }, { "type": "string", "pattern": unknown_operation() }] },
            "call": { "type": "string", "pattern": call() },
            "count": { "type": "integer", "minimum": 0, "maximum": u32::MAX },
            "limit": { "type": "integer", "minimum": 0 },
        },
    })
}

/// Returns what the keys may hold with `remote: true`.
fn remote() -> Value {
    let event = json!({ "anyOf": [
        { "enum": remote_events() },
        { "type": "string", "pattern": unknown_operation() },
    ] });
    let but = |words: &[&'static str], without: &str| {
        let left: Vec<&str> = words.iter().copied().filter(|word| *word != without).collect();
        json!({ "enum": left })
    };
    json!({
        "events": { "anyOf": [event, { "type": "array", "items": event }] },
        "style": but(&CallStyle::WORDS, CallStyle::Libvirt.word()),
        "stdin": but(&StdinKind::WORDS, StdinKind::Xml.word()),
        "mode": but(&Mode::WORDS, Mode::Detached.word()),
        "on_failure": but(&FailurePolicy::WORDS, FailurePolicy::Kill.word()),
        "when": { "properties": { "network": false } },
        "filter": { "const": false },
        "run_as": false,
        "rollback": false,
        "undo": false,
    })
}

/// Returns the events at which a registration with `remote: true` can run, and the word for all of them.
fn remote_events() -> Vec<&'static str> {
    let is_after = |name: &&str| {
        let triggers = Triggers { events: vec![(*name).to_owned()], ..Triggers::default() };
        let row = event::TABLE.iter().find(|row| row.name == *name);
        row.is_none_or(|row| !row.per_device)
            && (*name == "*" || triggers.classes().iter().any(|class| *class != Class::Gate))
    };
    events().into_iter().filter(is_after).collect()
}

/// Returns the schema of a key, with its description.
fn property(key: &Key) -> Value {
    let mut schema = if key.words.is_empty() { kind(key.name) } else { choice(key.words) };
    if let Some(object) = schema.as_object_mut() {
        object.insert("description".to_owned(), key.help.into());
    }
    schema
}

/// Returns the schema of a key that isn't limited to a few words.
fn kind(key: &str) -> Value {
    let of = |name: &str| json!({ "$ref": format!("#/$defs/{name}") });
    match key {
        "events" => one_or_many("event"),
        "calls" => one_or_many("call"),
        "command" | "check" | "rollback" | "undo" => of("words"),
        "args" => json!({ "type": "array", "items": of("text") }),
        "args_stdin" | "shared" | "enabled" | "parallel" | "filter" | "kill_leftovers"
        | "remote" => flag(),
        "weight" => json!({ "type": "integer" }),
        "when" => when(),
        "timeout" => json!({ "type": ["string", "number"], "minimum": 0 }),
        "run_as" => run_as(),
        "retries" => of("count"),
        "max_parallel" => json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX }),
        "lock" => {
            json!({ "type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[^/\\u0000]+$" })
        }
        "limits" => limits(),
        "nice" => json!({ "type": "integer", "minimum": -20, "maximum": 19 }),
        "environment" => environment(),
        "environment_file" => json!({ "type": "string" }),
        // a key that is missing here may hold anything; a test refuses that
        _ => json!({}),
    }
}

fn flag() -> Value {
    json!({ "type": "boolean" })
}

fn choice(words: &[&str]) -> Value {
    json!({ "enum": words })
}

fn one_or_many(name: &str) -> Value {
    let one = json!({ "$ref": format!("#/$defs/{name}") });
    json!({ "anyOf": [one, { "type": "array", "items": one }] })
}

fn when() -> Value {
    let patterns = json!({ "$ref": "#/$defs/patterns" });
    let mut properties = Map::new();
    for key in keys::below(keys::REGISTRATION, "when") {
        let is_by_name = key == "property";
        let by_name = json!({ "type": "object", "additionalProperties": patterns });
        properties.insert(key.to_owned(), if is_by_name { by_name } else { patterns.clone() });
    }
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn run_as() -> Value {
    let text = json!({ "$ref": "#/$defs/text" });
    let mapping = json!({
        "type": "object",
        "properties": { "user": text, "group": text },
        "required": ["user"],
        "additionalProperties": false,
    });
    let words = json!({ "type": "string", "pattern": "^[^:]+(:[^:]+)?$" });
    json!({ "anyOf": [mapping, words, { "type": "integer", "minimum": 0 }] })
}

fn limits() -> Value {
    let limit = json!({ "$ref": "#/$defs/limit" });
    let words = json!({ "type": "string", "pattern": "^[0-9]+ *([KMGT](i?B)?|B)?$" });
    let size = json!({ "anyOf": [limit, words] });
    json!({
        "type": "object",
        "properties": { "nofile": limit, "as": size, "cpu": limit, "nproc": limit },
        "additionalProperties": false,
    })
}

fn environment() -> Value {
    json!({
        "type": "object",
        "propertyNames": { "pattern": "^(?!HOOKMUX_|_hook_|vmId$)[A-Za-z_][A-Za-z0-9_]*$" },
        "additionalProperties": { "$ref": "#/$defs/text" },
    })
}

/// Returns every event of the table, and the word for all of them.
fn events() -> Vec<&'static str> {
    let mut names: Vec<&str> = event::TABLE.iter().map(|row| row.name).collect();
    names.sort_unstable();
    names.dedup();
    names.push("*");
    names
}

fn drivers() -> String {
    Driver::ALL.map(Driver::name).join("|")
}

fn unknown_operation() -> String {
    format!("^on_({})_.+$", drivers())
}

fn call() -> String {
    format!("^(\\*|{})(/[^/]+){{0,2}}$", drivers())
}

#[cfg(test)]
#[path = "../../../tests/support/json_schema.rs"]
mod json_schema;

#[cfg(test)]
mod tests {
    use super::json_schema::Validator;
    use super::*;
    use crate::config::Registration;
    use crate::config::registration::RunAs;
    use crate::config::values::{is_own_variable, is_variable_name, parse_size};
    use std::path::Path;

    fn parses(document: &Value) -> Result<(), String> {
        // JSON is YAML
        Registration::parse(Path::new("/h/hooks.d/x.yaml"), Path::new("/h"), &document.to_string())
            .map(drop)
            .map_err(|error| error.to_string())
    }

    fn matches(pattern: &str, text: &str) -> bool {
        let is_driver = |word: &str| Driver::from_name(word).is_some();
        if pattern == unknown_operation() {
            let rest = text.strip_prefix("on_").and_then(|rest| rest.split_once('_'));
            return rest
                .is_some_and(|(driver, operation)| is_driver(driver) && !operation.is_empty());
        }
        if pattern == call() {
            let parts: Vec<&str> = text.split('/').collect();
            return parts.len() <= 3
                && (parts[0] == "*" || is_driver(parts[0]))
                && parts.iter().all(|part| !part.is_empty());
        }
        match pattern {
            "^[^/\\u0000]+$" => !text.contains(['/', '\0']),
            "^(?!HOOKMUX_|_hook_|vmId$)[A-Za-z_][A-Za-z0-9_]*$" => {
                is_variable_name(text) && !is_own_variable(text.as_bytes())
            }
            "^[^:]+(:[^:]+)?$" => RunAs::parse(text).is_ok() && text.matches(':').count() < 2,
            "^[0-9]+ *([KMGT](i?B)?|B)?$" => parse_size(text).is_some(),
            other => panic!("no such pattern: {other}"),
        }
    }

    fn base(more: &Value) -> Value {
        let mut document = json!({ "events": ["before_vm_start"], "command": ["/x"] });
        for (key, value) in more.as_object().unwrap() {
            document[key] = value.clone();
        }
        document
    }

    #[test]
    fn its_keys_are_the_parsers() {
        let schema = schema();
        let known: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        let keys = crate::config::registration::keys();
        assert_eq!(known, keys.iter().collect::<Vec<_>>());
        for key in known {
            let has_rules = schema["properties"][key].as_object().unwrap().len() > 1;
            assert!(has_rules, "{key} may hold anything");
        }
        // and so are those of `when`, `limits` and `run_as`: the parser names them when it complains
        for key in ["when", "limits", "run_as"] {
            let complaint = parses(&base(&json!({ key: { "zzzzz": 1 } }))).unwrap_err();
            let (_, known) =
                complaint.split_once("known are ").unwrap_or_else(|| panic!("{complaint}"));
            let known: Vec<&str> = known.lines().next().unwrap().split(", ").collect();
            let own = &schema["properties"][key];
            let mapping = if own["anyOf"].is_array() { &own["anyOf"][0] } else { own };
            let properties = mapping["properties"].as_object().unwrap();
            assert_eq!(properties.keys().collect::<Vec<_>>(), known, "{key}");
        }
    }

    #[test]
    fn its_examples_are_registrations() {
        let schema = schema();
        let examples = schema["examples"].as_array().unwrap();
        assert!(examples.len() > 2);
        for example in examples {
            assert_eq!(parses(example), Ok(()));
            let validator = Validator { whole: &schema, refuses_unnamed: false, matches };
            assert_eq!(validator.fits(&schema, example, ""), Ok(()), "{example:#}");
        }
    }

    #[test]
    fn its_choices_are_the_parsers() {
        let schema = schema();
        let mut seen = 0;
        for (key, rule) in schema["properties"].as_object().unwrap() {
            let Some(words) = rule.get("enum") else { continue };
            seen += 1;
            for word in words.as_array().unwrap() {
                assert_eq!(parses(&base(&json!({ key: word }))), Ok(()), "{key}: {word}");
            }
            let complaint = parses(&base(&json!({ key: "zzzzz" }))).unwrap_err();
            for word in words.as_array().unwrap() {
                assert!(complaint.contains(word.as_str().unwrap()), "{complaint}");
            }
            let (_, known) = complaint.lines().next().unwrap().split_once("known are ").unwrap();
            let count = known.split(", ").count();
            assert_eq!(
                count,
                words.as_array().unwrap().len(),
                "the parser knows more: {complaint}"
            );
        }
        assert_eq!(seen, 5);
        for word in events() {
            assert_eq!(parses(&base(&json!({ "events": word }))), Ok(()));
        }
    }

    #[test]
    fn both_judge_alike() {
        let mut schema = schema();
        // in schemas of outputs they are all the words that there are; here they are only some registrations
        schema.as_object_mut().unwrap().remove("examples");
        let documents = [
            json!({}),
            json!({ "events": "before_vm_start" }),
            json!({ "command": "/x" }),
            json!({ "calls": "qemu/prepare/begin", "command": "/x" }),
            json!({ "calls": ["*"], "command": ["/x", 1, true] }),
            json!([]),
        ];
        let additions = [
            json!({}),
            json!({ "events": "*" }),
            json!({ "events": "before_vm_strat" }),
            json!({ "events": ["on_qemu_paused"] }),
            json!({ "events": ["on_xen_paused"] }),
            json!({ "events": 5 }),
            json!({ "events": [] }),
            json!({ "events": [], "calls": ["qemu"] }),
            json!({ "events": [], "calls": [] }),
            json!({ "calls": "qmeu" }),
            json!({ "calls": "qemu//begin" }),
            json!({ "calls": ["network/port-created"] }),
            json!({ "command": "" }),
            json!({ "command": [] }),
            json!({ "command": ["", "a"] }),
            json!({ "command": ["/x", ""] }),
            json!({ "command": [["/x"]] }),
            json!({ "command": ["/x", 1.5] }),
            json!({ "command": { "a": 1 } }),
            json!({ "args": ["$NAME", 5] }),
            json!({ "args": "$NAME" }),
            json!({ "args_stdin": true }),
            json!({ "args_stdin": "yes" }),
            json!({ "args_stdin": true, "stdin": "xml" }),
            json!({ "args_stdin": true, "stdin": "none" }),
            json!({ "weight": -5 }),
            json!({ "weight": 1.5 }),
            json!({ "weight": "5" }),
            json!({ "check": "/bin/true" }),
            json!({ "check": [] }),
            json!({ "rollback": ["/x", "--undo"] }),
            json!({ "undo": ["/x", "--release"] }),
            json!({ "undo": [] }),
            json!({ "undo": "/x", "shared": true }),
            json!({ "shared": true }),
            json!({ "shared": false }),
            json!({ "when": { "name": ["web-*"], "property": { "macspoof": true } } }),
            json!({ "when": { "name": [] } }),
            json!({ "when": { "nmae": "x" } }),
            json!({ "when": { "property": "x" } }),
            json!({ "when": [] }),
            json!({ "timeout": "30s" }),
            json!({ "timeout": 30 }),
            json!({ "timeout": 1.5 }),
            json!({ "timeout": -1 }),
            json!({ "timeout": true }),
            json!({ "on_failure": "warn" }),
            json!({ "on_failure": "explode" }),
            json!({ "result": "status-line" }),
            json!({ "result": "exit-status" }),
            json!({ "result": 0 }),
            json!({ "result": "status-line", "style": "libvirt" }),
            json!({ "result": "exit-status", "style": "libvirt" }),
            json!({ "run_as": { "user": "nobody" } }),
            json!({ "run_as": { "user": 65534, "group": "nogroup" } }),
            json!({ "run_as": { "group": "nogroup" } }),
            json!({ "run_as": "nobody" }),
            json!({ "run_as": "nobody:nogroup" }),
            json!({ "run_as": ":nogroup" }),
            json!({ "run_as": "" }),
            json!({ "run_as": 65534 }),
            json!({ "limits": { "as": "1 GiB" } }),
            json!({ "limits": { "as": "1 banana" } }),
            json!({ "run_as": { "user": "nobody", "home": "/" } }),
            json!({ "style": "libvirt" }),
            json!({ "style": "libvirt", "stdin": "xml" }),
            json!({ "style": "libvirt", "args": ["x"] }),
            json!({ "style": "libvirt", "args": [] }),
            json!({ "style": "libvirt", "args_stdin": true }),
            json!({ "stdin": "json" }),
            json!({ "stdin": "yaml" }),
            json!({ "mode": "detached", "retries": 0, "max_parallel": 2 }),
            json!({ "mode": "detached", "max_parallel": 0 }),
            json!({ "mode": "detached", "rollback": "/x" }),
            json!({ "mode": "detached", "undo": "/x" }),
            json!({ "mode": "detached", "parallel": true }),
            json!({ "mode": "detached", "parallel": false }),
            json!({ "retries": 1 }),
            json!({ "mode": "wait", "max_parallel": 1 }),
            json!({ "mode": "detached", "retries": -1 }),
            json!({ "mode": "later" }),
            json!({ "enabled": false }),
            json!({ "enabled": "no" }),
            json!({ "parallel": true }),
            json!({ "lock": "gpu" }),
            json!({ "lock": "" }),
            json!({ "lock": "a/b" }),
            json!({ "filter": false }),
            json!({ "filter": 0 }),
            json!({ "kill_leftovers": true }),
            json!({ "limits": { "nofile": 64, "as": 1, "cpu": 1, "nproc": 1 } }),
            json!({ "limits": { "nofile": -1 } }),
            json!({ "limits": { "files": 1 } }),
            json!({ "nice": 19 }),
            json!({ "nice": 20 }),
            json!({ "environment": { "A": 1, "B": "x", "C": true } }),
            json!({ "environment": { "1A": "x" } }),
            json!({ "environment": { "HOOKMUX_X": "x" } }),
            json!({ "environment": { "vmId": "x" } }),
            json!({ "environment": { "_hook_domxml": "x" } }),
            json!({ "environment": { "A": ["x"] } }),
            json!({ "environment_file": "env" }),
            json!({ "environment_file": ["env"] }),
            json!({ "remote": true }),
            json!({ "remote": true, "events": "after_vm_stop" }),
            json!({ "remote": true, "events": ["*"], "stdin": "json", "filter": false }),
            json!({ "remote": true, "events": ["after_vm_stop", "after_device_create"] }),
            json!({ "remote": true, "events": "on_qemu_paused", "when": { "title": "x" } }),
            json!({ "remote": true, "events": "after_vm_stop", "when": { "network": "x" } }),
            json!({ "remote": true, "events": "after_vm_stop", "stdin": "xml" }),
            json!({ "remote": true, "events": "after_vm_stop", "style": "libvirt" }),
            json!({ "remote": true, "events": "after_vm_stop", "filter": true }),
            json!({ "remote": true, "events": "after_vm_stop", "run_as": "nobody" }),
            json!({ "remote": true, "events": "after_vm_stop", "rollback": "/x" }),
            json!({ "remote": true, "events": "after_vm_stop", "undo": "/x" }),
            json!({ "remote": true, "events": "after_vm_stop", "mode": "detached" }),
            json!({ "remote": true, "events": "after_vm_start", "on_failure": "kill" }),
            json!({ "name": "x" }),
            json!({ "wheight": 1 }),
        ];
        let all = documents.into_iter().chain(additions.iter().map(base));
        let validator = Validator { whole: &schema, refuses_unnamed: false, matches };
        let (mut good, mut bad) = (0, 0);
        for document in all {
            let parsed = parses(&document);
            assert_eq!(
                validator.fits(&schema, &document, "").is_ok(),
                parsed.is_ok(),
                "{document}: the parser says {parsed:?}"
            );
            *if parsed.is_ok() { &mut good } else { &mut bad } += 1;
        }
        assert!(good > 30 && bad > 40, "{good} good, {bad} bad");
    }
}
