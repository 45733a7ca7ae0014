//! What the page in Cockpit asks hookmux for, and what other programs could ask as well.

use std::fs;

use serde_json::{Value, json};

use crate::records::Following;
use crate::support::{Host, schema};

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

#[test]
fn the_last_day_is_told_by_the_hour() {
    let host = Host::new();
    host.script("before_vm_start/10-x", "exit 3");
    host.script("after_vm_launch/10-x", ":");
    host.guest("prepare begin").run().fails(3, &[]);
    host.guest("started begin").run().succeeds();
    let day = &host.json(&["status"], 0)["last_day"];
    let hours = day["hours"].as_array().unwrap();
    assert_eq!(hours.len(), 24, "{day:#}");
    let begins: Vec<&str> = hours.iter().map(|hour| hour["began"].as_str().unwrap()).collect();
    assert!(begins.is_sorted() && begins[0] < begins[1], "{begins:?}");
    let last = &hours[23];
    assert_eq!((number(&last["calls"]), number(&last["failed"])), (2, 1), "{last:#}");
    for key in ["calls", "failed", "lost", "detached_failed"] {
        let sum: u64 = hours.iter().map(|hour| number(&hour[key])).sum();
        assert_eq!(sum, number(&day[key]), "{key}: {day:#}");
    }
}

#[test]
fn lists_say_when_each_hook_of_a_call_was_started() {
    let host = Host::new();
    host.script("before_vm_start/10-first", "sleep 0.05");
    host.script("before_vm_start/20-second", ":");
    host.guest("prepare begin").run().succeeds();
    let log = host.json(&["log"], 0);
    let shown = host.json(&["show", "last"], 0);
    for place in 0..2 {
        let start = &log["executions"][0]["runs"][place]["start_s"];
        assert!(start.is_number(), "{log:#}");
        assert_eq!(start, &shown["runs"][place]["start_s"]);
    }
    let start = |place: usize| shown["runs"][place]["start_s"].as_f64().unwrap();
    assert!(start(1) >= start(0) + shown["runs"][0]["duration_s"].as_f64().unwrap());
    // records of 0.2.0 have it only in their second line, which isn't read for a list
    host.text(&["prune"], 0);
    let id = shown["id"].as_str().unwrap();
    let path = host.path(format!("state/records/{}/{id}", &id[..6]));
    let text = fs::read_to_string(&path).unwrap();
    let (head, body) = text.split_once('\n').unwrap();
    let mut head: Value = serde_json::from_str(head).unwrap();
    for hook in head["hooks"].as_array_mut().unwrap() {
        hook.as_object_mut().unwrap().remove("start_us").expect("the head has it");
    }
    fs::write(&path, format!("{head}\n{body}")).unwrap();
    assert_eq!(host.json(&["log"], 0)["executions"][0]["runs"][0]["start_s"], Value::Null);
    assert!(host.json(&["show", id], 0)["runs"][0]["start_s"].is_number());
}

#[test]
fn a_plan_says_how_each_hook_ended_last_for_this_guest() {
    let host = Host::new();
    host.script("before_vm_start/10-x", "[ $HOOKMUX_OBJECT != bad ] || exit 3");
    host.script("before_vm_start/20-never", ":");
    host.call("qemu", ["bad", "prepare", "begin", "-"]).stdin("<domain/>").run().fails(3, &[]);
    let failed = host.json(&["log"], 0)["executions"][0]["id"].clone();
    host.call("qemu", ["web", "prepare", "begin", "-"]).stdin("<domain/>").run().succeeds();
    for (guest, state) in [("bad", json!("failed")), ("web", json!("good")), ("new", Value::Null)] {
        let life = host.json(&["plan", guest, "start", "--unknown"], 0);
        let calls = life["parts"][0]["calls"].as_array().unwrap();
        let call = calls.iter().find(|call| call["operation"] == "prepare").unwrap();
        let last = &call["steps"][0]["last"];
        assert_eq!(last["state"], state, "{guest}: {call:#}");
        let single = host.json(&["plan", "qemu", guest, "prepare", "--unknown"], 0);
        assert_eq!(&single["steps"][0]["last"], last);
        match guest {
            "bad" => assert_eq!(last["id"], failed),
            "web" => assert_eq!(call["steps"][1]["last"]["object"], "web"),
            _ => {}
        }
    }
}

#[test]
fn an_event_says_which_variables_a_script_gets() {
    let host = Host::new();
    let events = host.json(&["events"], 0);
    let names = |event: &str| -> Vec<String> {
        let events = events["events"].as_array().unwrap();
        let event = events.iter().find(|one| one["event"] == event).unwrap();
        let variables = event["variables"].as_array().unwrap().iter();
        variables.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    let start = names("before_vm_start");
    assert!(start.contains(&"HOOKMUX_PROPERTY_NAME".to_owned()), "{start:?}");
    for (event, name, is) in [
        ("before_vm_start", "HOOKMUX_ORIGIN", true),
        ("before_vm_start", "HOOKMUX_REASON", false),
        ("after_vm_destroy", "HOOKMUX_REASON", true),
        ("after_network_start", "HOOKMUX_ORIGIN", false),
        ("before_vm_dehibernate", "FROM_SNAPSHOT", true),
        ("after_vm_stop", "HOOKMUX_STARTED_XML", true),
    ] {
        assert_eq!(names(event).contains(&name.to_owned()), is, "{event} {name}");
    }
    // the text has the same ones
    for event in events["events"].as_array().unwrap() {
        let event = event["event"].as_str().unwrap();
        let text = host.text(&["events", event], 0);
        let (_, text) = text.split_once("What a script gets").unwrap();
        for name in names(event) {
            assert!(text.contains(&name.replace("NAME", "name")), "{event} {name}\n{text}");
        }
    }
}

#[test]
fn guests_are_listed_with_their_last_execution() {
    let host = Host::new();
    assert_eq!(host.json(&["list", "--guests"], 0)["guests"], json!([]));
    assert!(host.text(&["list", "--guests"], 0).contains("no guest"));
    host.script("before_vm_start/10-x", "[ $HOOKMUX_OBJECT != bad ] || exit 3");
    host.script("after_vm_launch/10-x", ":").script("before_daemon_start/10-x", ":");
    let domain = "<domain><name>web</name></domain>";
    host.call("qemu", ["web", "prepare", "begin", "-"]).stdin(domain).run().succeeds();
    host.call("qemu", ["web", "started", "begin", "-"]).stdin(domain).run().succeeds();
    host.call("qemu", ["bad", "prepare", "begin", "-"]).stdin(domain).run().fails(3, &[]);
    host.call("daemon", ["-", "start", "-", "start"]).run().succeeds();
    // libvirt's definitions are beside its hooks directory
    fs::create_dir_all(host.path("qemu/networks")).unwrap();
    for file in ["qemu/web.xml", "qemu/idle <b>.xml", "qemu/networks/lan.xml"] {
        fs::write(host.path(file), domain).unwrap();
    }
    let listed = host.json(&["list", "--guests"], 0);
    let guests: Vec<(&Value, &Value, &Value, &Value, &Value)> = listed["guests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let last = &one["last"];
            let last = if last.is_null() { last } else { &last["operation"] };
            (&one["driver"], &one["object"], &one["defined"], &one["running"], last)
        })
        .collect();
    let (yes, no, unknown) = (json!(true), json!(false), Value::Null);
    let qemu = json!("qemu");
    assert_eq!(
        guests,
        [
            (&qemu, &json!("bad"), &no, &yes, &json!("prepare")),
            (&qemu, &json!("idle <b>"), &yes, &unknown, &unknown),
            (&qemu, &json!("web"), &yes, &yes, &json!("started")),
            (&json!("network"), &json!("lan"), &yes, &unknown, &unknown),
        ],
        "{listed:#}"
    );
    let said = host.text(&["list", "--guests"], 0);
    assert!(said.contains("idle <b>") && said.contains("failed (3)"), "{said}");
}

#[test]
fn who_waits_until_watch_is_ready_misses_nothing() {
    let host = Host::new();
    host.script("before_vm_start/10-x", ":");
    host.guest("prepare begin").run().succeeds();
    let watch = Following::start(&host, &["watch", "--ready", "--done", "--output", "json"]);
    let ready = schema::read(&["watch"], watch.next().as_bytes());
    assert_eq!(ready["kind"], "ready");
    // what ended before is in the log, and what ends now is told
    let before = host.json(&["log"], 0)["executions"].as_array().unwrap().len();
    host.guest("prepare begin").run().succeeds();
    let line = schema::read(&["watch"], watch.next().as_bytes());
    assert_eq!((before, &line["kind"]), (1, &json!("done")));
    assert_ne!(line["id"], host.json(&["log"], 0)["executions"][0]["id"]);
    let text = Following::start(&host, &["watch", "--ready"]);
    assert!(text.next().starts_with("TIME "));
}
