//! JSON outputs: every one has a schema, and a test in which it is printed. What other tests get is held
//! against the schemas too, where they read it (`support::schema`).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::schema::{self, fits, names};
use crate::support::{Host, until};

const ID: &str = "01J00000000000000000000000";

/// A host on which there is something of everything.
fn host() -> Host {
    let host = Host::new();
    host.script("before_vm_start/10-good", "echo out; sleep 3 & :");
    host.script("before_vm_start/20-bad", "echo why >&2; exit 3");
    host.script("before_vm_start/30-plain", ":").mode("hooks/before_vm_start/30-plain", 0o644);
    host.script("before_vm_strat/10-x", ":").script("qemu.d/g/prepare/begin/x", ":");
    host.script("lxc.adopted", ":").script("bin/x", "exit 1");
    host.file(
        "hooks.d/all.yaml",
        "events: [after_vm_stop]\ncalls: [qemu/stopped/end]\ncommand: bin/x\nargs: [$NAME]\n\
         when: {name: ['web-*'], property: {a: b}}\nrun_as: {user: nobody}\ntimeout: 1m\nlock: a\n\
         check: /bin/true\nrollback: /bin/false\n",
    );
    host.file("hooks.d/bad.yaml", "events: [after_vm_stop]\ncomand: /x\n");
    host.file(
        "hooks.d/later.yaml",
        "events: [after_vm_launch]\ncommand: bin/x\nmode: detached\nretries: 9\n",
    );
    host.file(
        "hooks.d/owes.yaml",
        "events: [after_vm_launch]\ncommand: /bin/true\nundo: /bin/true\n",
    );
    host.guest("prepare begin").run();
    host.guest("started begin").run().succeeds();
    host
}

#[test]
fn every_output_is_printed_as_its_schema_says() {
    let host = host();
    let mut seen = BTreeSet::new();
    let mut say = |words: &[&str], status: i32| {
        let value = host.json(words, status);
        seen.insert(schema::name(words, &value));
        assert!(value["format"] == 1 && value["host"].is_string(), "{value:#}");
        value
    };
    let listed = say(&["list"], 0);
    assert!(listed["notes"][0]["message"].is_string(), "{listed:#}");
    say(&["events"], 0);
    say(&["status"], 0);
    say(&["metrics"], 0);
    say(&["plan", "qemu", "g", "prepare", "--xml", "guest.xml"], 0);
    say(&["plan", "g", "start", "--xml", "guest.xml"], 0);
    say(&["run", "qemu", "g", "prepare", "--xml", "guest.xml"], 1);
    say(&["check"], 1);
    say(&["check", "hooks/hooks.d/bad.yaml"], 1);
    say(&["edit", "no-such-hook"], 1);
    say(&["log"], 0);
    say(&["show", "last"], 0);
    let executions = host.json(&["log"], 0)["executions"].as_array().unwrap().clone();
    let failed = executions.iter().find(|one| one["operation"] == "prepare").unwrap();
    say(&["retry", "--force", failed["id"].as_str().unwrap()], 1);
    until("a try is over", || host.json(&["queue"], 0)["jobs"][0]["last"].is_string());
    fs::write(host.path(format!("state/queue/{ID}.broken")), "{").unwrap();
    fs::write(host.path("state/queue/01J00000000000000000000001.json"), r#"{"format":99}"#)
        .unwrap();
    let queue = say(&["queue"], 0);
    let count = |key: &str| queue[key].as_array().unwrap().len();
    assert_eq!((count("put_aside"), count("unread")), (1, 1), "{queue:#}");
    say(&["queue", "--requeue"], 0);
    say(&["queue", "--flush", "--yes"], 0);
    say(&["queue", "--flush"], 2);
    assert_eq!(say(&["undo", "--list"], 0)["undos"][0]["state"], "set up");
    say(&["undo", "--guest", "g"], 2);
    assert_eq!(say(&["undo", "--guest", "g", "--yes"], 0)["undone"], 1);
    say(&["prune"], 0);
    say(&["bypass", "on", "--for", "1h", "--guest", "x"], 0);
    say(&["bypass", "on", "--this-boot", "--guest", "y", "--yes"], 0);
    say(&["bypass", "off"], 0);
    say(&["add", "script", "hooks/bin/x", "--event", "after_vm_stop", "--name", "new"], 0);
    say(&["add", "script", "hooks/bin/x", "--event", "nothing"], 2);
    say(&["new", "after_vm_stop", "skeleton"], 0);
    say(&["new", "after_vm_stop", "skeleton"], 1);
    fs::write(
        host.path("x.tmpl"),
        "NAME=imported\nTYPE=state\nRESOURCE=VM\nON=DONE\nCOMMAND=bin/x\n",
    )
    .unwrap();
    say(&["import", "opennebula", "x.tmpl"], 0);
    assert_eq!(say(&["import", "opennebula", "x.tmpl"], 0)["changed"], false);
    fs::write(host.path("x.tmpl"), "NAME=imported\n").unwrap();
    say(&["import", "opennebula", "x.tmpl"], 1);
    say(&["show", "imported"], 0);
    say(&["show", "after_vm_launch/later"], 0);
    host.file("../ready/port-forward/port-forward.yaml", "events: before_vm_start\ncommand: x\n");
    say(&["list", "--available", "--from", "ready"], 0);
    say(&["list", "--guests"], 0);
    fs::write(
        host.path("x.json"),
        r#"{"g": {"private_ip": "10.0.0.1", "port_map": {"tcp": [1]}}}"#,
    )
    .unwrap();
    say(&["import", "saschpe", "x.json", "--from", "ready"], 0);
    assert_eq!(say(&["import", "saschpe", "x.json", "--from", "ready"], 0)["changed"], false);
    fs::write(host.path("x.json"), "{}").unwrap();
    say(&["export", "out", "new"], 0);
    say(&["disable", "new"], 0);
    say(&["enable", "new"], 0);
    say(&["delete", "new"], 0);
    say(&["delete", "new"], 1);
    say(&["log", "--audit"], 0);
    say(&["uninstall"], 0);
    say(&["install", "--driver", "qemu", "--dry-run"], 0);
    say(&["install", "--driver", "qemu"], 0);
    say(&["show", "nothing"], 1);
    say(&["xml", "get", "--file", "guest.xml", "name"], 0);
    // `watch` has tests of its own, which read its lines, `edit` needs an editor, and `stop` a call that is running
    seen.extend(["watch", "watch-ready", "edit", "stop"].map(str::to_owned));
    // and a registration isn't printed but written
    seen.insert("registration".to_owned());
    // events are files, which tests/outbox.rs reads
    seen.extend(["event", "event-gap", "outbox-status"].map(str::to_owned));
    assert_eq!(&seen, names());
}

#[test]
fn wrong_words_are_an_error_for_programs_too() {
    let host = Host::new();
    for words in [&["lsit"][..], &["show"], &["list", "--nothing"], &["add", "scrpt"]] {
        let value = host.json(words, 2);
        assert_eq!(value["error"]["code"], "usage", "{words:?}");
        let message = value["error"]["message"].as_str().unwrap();
        assert!(!message.starts_with("error") && !message.contains('\n'), "{message}");
    }
    // help is none, and what stands behind `--` are names
    let output = host.hookmux(&["list", "--help"]);
    assert!(output.status.success() && output.stdout.starts_with(b"Show the hooks"));
    let output = host.hookmux(&["plan", "qemu", "--", "--output", "json", "x", "y", "z"]);
    assert!(output.status.code() == Some(2) && output.stdout.is_empty(), "{output:?}");
}

#[test]
fn a_question_that_nobody_answers_is_an_error_with_the_command_that_answers() {
    let host = Host::new();
    let value = host.json(&["bypass", "on"], 2);
    assert_eq!(value["error"]["code"], "unanswered");
    let command = value["error"]["fix_command"].as_array().unwrap();
    assert_eq!((&command[0], command.last().unwrap()), (&json!("hookmux"), &json!("--yes")));
}

/// What a test takes is less than what is published: it has to be able to fail.
#[test]
fn an_output_that_differs_from_its_schema_is_refused() {
    let host = host();
    let schema = schema::schema("list");
    let good = host.json(&["list"], 0);
    let judge = |change: &dyn Fn(&mut Value)| {
        let mut value = good.clone();
        change(&mut value);
        fits(&schema, &value).map_err(|fault| fault.split(' ').next().map(str::to_owned))
    };
    assert_eq!(judge(&|_| {}), Ok(()));
    let at = |place: &str| Err(Some(place.to_owned()));
    assert_eq!(judge(&|value| value["new"] = json!(1)), at(""));
    assert_eq!(judge(&|value| value["hooks"][0]["new"] = json!(1)), at("/hooks/0"));
    assert_eq!(
        judge(&|value| drop(value["hooks"][0].as_object_mut().unwrap().remove("event"))),
        at("/hooks/0")
    );
    assert_eq!(judge(&|value| value["hooks"][0]["state"] = json!("odd")), at("/hooks/0/state:"));
    assert_eq!(judge(&|value| value["hooks"][0]["order"] = json!("1")), at("/hooks/0/order:"));
    assert_eq!(judge(&|value| value["hooks"][0]["order"] = Value::Null), Ok(()));
    let schema = schema::schema("log");
    let mut log = host.json(&["log"], 0);
    log["executions"][0]["began"] = json!("2026-11-25 14:03:12");
    assert!(fits(&schema, &log).is_err());
}

#[test]
fn published_schemas_let_keys_be_added_and_name_only_what_is_there() {
    for name in names() {
        let schema = schema::schema(name);
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
        if name == "registration" {
            continue;
        }
        assert_eq!(schema["$id"], format!("urn:hookmux:output:{name}"));
        assert_eq!(schema["additionalProperties"], Value::Null, "{name}");
        let mut todo = vec![&schema];
        let mut used = BTreeSet::new();
        while let Some(value) = todo.pop() {
            if let Some(place) = value.get("$ref").and_then(Value::as_str) {
                let name = place.strip_prefix("#/$defs/").unwrap();
                assert!(schema["$defs"].get(name).is_some(), "{place}");
                used.insert(name.to_owned());
            }
            // a key may be called `properties`, too
            let keys = value.get("properties").filter(|_| value["type"] == "object");
            if let Some(keys) = keys.and_then(Value::as_object) {
                let required: Vec<&str> = value["required"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter_map(Value::as_str)
                    .collect();
                assert_eq!(keys.keys().map(String::as_str).collect::<Vec<_>>(), required);
                for (key, rule) in keys {
                    let words = rule["description"].as_str().unwrap_or_default();
                    assert!(!words.is_empty(), "{name}: {key} isn't described");
                    // a duration says so, and nothing else does
                    let is_number = rule["type"] == "number" || rule["type"][0] == "number";
                    assert_eq!(key.ends_with("_s"), is_number, "{name}: {key}");
                }
            }
            match value {
                Value::Object(rules) => todo.extend(rules.values()),
                Value::Array(items) => todo.extend(items),
                _ => {}
            }
        }
        let all: BTreeSet<String> = schema["$defs"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(used, all, "{name}");
    }
}

/// No test reads an output but by what holds it against its schema.
#[test]
fn no_test_passes_the_schemas_by() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut todo = vec![directory];
    let mut count = 0;
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        if path.extension().is_none_or(|end| end != "rs") || path.ends_with("support/schema.rs") {
            continue;
        }
        count += 1;
        let text = fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|line| line.contains("serde_json::from_")) {
            let is_output =
                [".stdout", ".out)", "watch.next()"].iter().any(|word| line.contains(word));
            // what was held against it where the command ran
            let is_judged = line.contains("&self.stdout");
            assert!(!is_output || is_judged, "{}: {line}", path.display());
        }
    }
    assert!(count > 40, "{count} files");
}

#[test]
fn the_page_names_every_output_and_every_state() {
    let page = include_str!("../docs/json.md");
    let table = page.split("| output | command |").nth(1).unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let names_of = |row: &str| -> Vec<String> {
        let cell = row.split('|').nth(1).unwrap();
        cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let written: BTreeSet<String> = rows.flat_map(names_of).collect();
    assert_eq!(&written, names());
    for name in names() {
        let schema = schema::schema(name);
        let mut todo = vec![("", &schema)];
        while let Some((key, value)) = todo.pop() {
            let words = value["examples"].as_array().into_iter().flatten();
            if key == "state" || key.ends_with("State") {
                for word in words.filter_map(Value::as_str) {
                    assert!(page.contains(&format!("`{word}`")), "{name}: {word}");
                }
            }
            match value {
                Value::Object(rules) => {
                    todo.extend(rules.iter().map(|(key, value)| (key.as_str(), value)));
                }
                Value::Array(items) => todo.extend(items.iter().map(|item| ("", item))),
                _ => {}
            }
        }
    }
    // the example is one
    let example = page.split("```json").nth(1).unwrap().split("```").next().unwrap();
    let value = schema::read(&["log"], example.as_bytes());
    assert_eq!(value["error"]["code"], "no-rights");
}
