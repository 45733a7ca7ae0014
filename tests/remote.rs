//! `hookmux run --remote`: hooks for events of other hosts. (O2)

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::host::{binary_under_test, writing};
use crate::support::{Host, schema, until};

const ID: &str = "01ARYZ6S410000000000000000";
const UUID: &str = "3c8e1f52-9b0d-4a6e-8f57-2d41c6b7a901";

/// What is run, for its schema.
const WORDS: [&str; 5] = ["run", "--remote", "-", "--output", "json"];

/// A host whose root directory for `--remote` is its own.
struct Consumer(Host);

impl Consumer {
    fn new() -> Consumer {
        let host = Host::new();
        let consumer = Consumer(host);
        for place in
            ["etc/hookmux/remote/hooks.d", "usr/lib/hookmux/hooks/hooks.d", "var/lib", "run"]
        {
            fs::create_dir_all(consumer.path(place)).unwrap();
        }
        // as the host's own directories, beside which those of the consumer lie
        consumer.0.raw_settings(&format!(
            "roots: []\nsession: true\nstate_dir: {}\nruntime_dir: {}\n",
            consumer.path("var/lib/hookmux").display(),
            consumer.path("run/hookmux").display()
        ));
        consumer
    }

    fn path(&self, place: &str) -> PathBuf {
        self.0.path("root").join(place)
    }

    /// A registration that logs its event and more, with further lines.
    fn register(&self, name: &str, more: &str) -> &Consumer {
        self.0.script("bin/tell", r#"log "$1 $HOOKMUX_EVENT $HOOKMUX_OBJECT""#);
        let text = format!(
            "command: {}\nargs: [{name}]\nremote: true\n{more}\n",
            self.0.hook("bin/tell").display()
        );
        self.file(&format!("etc/hookmux/remote/hooks.d/{name}.yaml"), &text)
    }

    fn file(&self, place: &str, text: &str) -> &Consumer {
        fs::write(self.path(place), text).unwrap();
        fs::set_permissions(self.path(place), fs::Permissions::from_mode(0o644)).unwrap();
        self
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(binary_under_test());
        command.args(["run", "--remote", "-", "--root"]).arg(self.path("")).args(more);
        command.current_dir("/").env_remove("HOOKMUX_HOOKS_DIR");
        command.arg("--hooks-dir").arg(self.0.hooks());
        command
    }

    fn run_bytes(&self, bytes: &[u8], change: impl FnOnce(&mut Command)) -> Output {
        let mut command = self.command(&["--output", "json"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        change(&mut command);
        let mut child = {
            let _writing = writing();
            command.spawn().unwrap()
        };
        let mut input = child.stdin.take().unwrap();
        let bytes = bytes.to_vec();
        let writer = thread::spawn(move || drop(input.write_all(&bytes)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        schema::judge(&WORDS, &output.stdout);
        output
    }

    /// Runs an event; it has to end with a status. Returns what it says to programs.
    #[track_caller]
    fn run(&self, event: &Value, status: i32) -> Value {
        let output = self.run_bytes(event.to_string().as_bytes(), |_| {});
        assert_eq!(output.status.code(), Some(status), "{event}: {output:?}");
        schema::read(&WORDS, &output.stdout)
    }

    fn log(&self) -> Vec<String> {
        self.0.log()
    }

    fn records(&self) -> Vec<Value> {
        let mut words = vec!["log", "-n", "1000"];
        words.extend(["--output", "json"]);
        self.0.json(&words[..3], 0)["executions"].as_array().unwrap().clone()
    }
}

fn event(id: &str, operation: &str) -> Value {
    let sub = if matches!(operation, "stopped" | "release") { "end" } else { "begin" };
    json!({
        "specversion": "1.0",
        "id": id,
        "source": "hookmux/node-1.example.org",
        "type": "hookmux.execution.v1",
        "subject": format!("qemu/{operation}/{UUID}"),
        "time": "2026-11-30T12:00:00.000001Z",
        "datacontenttype": "application/json",
        "sequence": "00000000000000000007",
        "bootid": "4d7c5c1e-6f0a-4c57-9d5e-2f6f1b6c8a10",
        "data": {
            "driver": "qemu", "operation": operation, "sub_operation": sub, "extra": "-",
            "object": "web", "uuid": UUID, "class": "live", "events": ["x"], "title": "A title",
            "reason": null, "origin": "fresh", "cause": "libvirt", "parent": null,
            "began": "2026-11-30T12:00:00.000000Z", "duration_ms": 1, "outcome": "good",
            "exit_status": 0, "failure": null, "properties": {"vlan": "7"}, "runs": [],
            "left_out": 0, "hookmux": {"version": "0.2.0", "digest": null},
        },
    })
}

/// The same with other data.
fn with(operation: &str, key: &str, value: Value) -> Value {
    let mut event = event(ID, operation);
    event["data"][key] = value;
    event
}

// O2
#[test]
fn an_event_runs_what_is_registered_for_it_and_records_it() {
    let consumer = Consumer::new();
    consumer.register("one", "events: after_vm_start");
    consumer.register("two", "calls: qemu/started");
    consumer.register("off", "events: after_vm_start\nenabled: false");
    consumer.register("other", "events: after_vm_stop");
    let answer = consumer.run(&event(ID, "started"), 0);
    assert_eq!(consumer.log(), ["one after_vm_start web", "two after_vm_launch web"]);
    assert_eq!(answer["runs"].as_array().unwrap().len(), 2);
    let records = consumer.records();
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!(record["id"], answer["id"]);
    for (key, value) in [
        ("cause", json!("remote")),
        ("parent", json!(ID)),
        ("remote", json!({"host": "node-1.example.org", "again": false})),
        ("untrusted", json!(true)),
        ("object", json!("web")),
        ("uuid", json!(UUID)),
        ("origin", json!("fresh")),
        ("state", json!("good")),
    ] {
        assert_eq!(record[key], value, "{key}: {record:#}");
    }
    let text = consumer.0.text(&["log", "--wide"], 0);
    assert!(text.contains("event of node-1.example.org; recorded by hookmux-consume"), "{text}");
    assert!(!consumer.path("var/lib/hookmux-consume/outbox").exists(), "no events of events");
    let waiting = consumer.path("run/hookmux-consume/records/done");
    assert_eq!(fs::read_dir(waiting).unwrap().count(), 0, "it is moved at once");
    assert!(!consumer.path("run/hookmux").join("records/done").exists());
    let id = record["id"].as_str().unwrap();
    let shown = consumer.0.json(&["show", id], 0);
    assert_eq!((&shown["untrusted"], &shown["runs"][0]["state"]), (&json!(true), &json!("good")));
    let shown = consumer.0.text(&["show", id], 0);
    assert!(shown.contains(&format!("node-1.example.org, execution {ID}")), "{shown}");
}

#[test]
fn hooks_are_given_what_the_event_has() {
    let consumer = Consumer::new();
    consumer.0.script(
        "bin/env",
        "env | grep -E '^(HOOKMUX|vmId|PATH|vlan|_hook)' | sort >\"$T/env\"; cat >\"$T/stdin\"",
    );
    let text = format!(
        "events: after_vm_destroy\ncommand: {}\nargs: [$NAME, $UUID, $REASON]\nstdin: json\nremote: true\n\
         when: {{title: 'A *', property: {{vlan: '7'}}, uuid: '3c8e*', reason: saved, origin: restore}}\n",
        consumer.0.hook("bin/env").display()
    );
    consumer.file("etc/hookmux/remote/hooks.d/env.yaml", &text);
    let mut event = event(ID, "release");
    event["data"]["extra"] = "saved".into();
    event["data"]["origin"] = "restore".into();
    event["data"]["outcome"] = "failed".into();
    event["data"]["exit_status"] = 3.into();
    consumer.run(&event, 0);
    let env = consumer.0.read_text("env");
    for line in [
        "HOOKMUX_DRIVER=qemu",
        "HOOKMUX_EVENT=after_vm_destroy",
        "HOOKMUX_OBJECT=web",
        "HOOKMUX_OPERATION=release",
        "HOOKMUX_ORIGIN=restore",
        "HOOKMUX_PROPERTY_vlan=7",
        "HOOKMUX_REASON=saved",
        "HOOKMUX_REMOTE_BOOT=4d7c5c1e-6f0a-4c57-9d5e-2f6f1b6c8a10",
        &format!("HOOKMUX_REMOTE_EXECUTION={ID}"),
        "HOOKMUX_REMOTE_HOST=node-1.example.org",
        "HOOKMUX_REMOTE_OUTCOME=failed",
        "HOOKMUX_REMOTE_SEQUENCE=7",
        "HOOKMUX_REMOTE_STATUS=3",
        "HOOKMUX_REMOTE_TIME=2026-11-30T12:00:00.000001Z",
        &format!("HOOKMUX_UUID={UUID}"),
    ] {
        assert!(env.lines().any(|it| it == line), "{line}: {env}");
    }
    assert!(!env.contains("AGAIN") && !env.contains("\nvlan=") && !env.contains("_hook_domxml"));
    let given: Value = serde_json::from_slice(&consumer.0.read("stdin")).unwrap();
    assert_eq!(given["remote"]["host"], "node-1.example.org");
    assert_eq!((&given["xml"], &given["title"]), (&Value::Null, &json!("A title")));
    // of a call whose hookmux was killed
    let mut lost = event.clone();
    lost["id"] = "01ARYZ6S410000000000000002".into();
    lost["data"]["outcome"] = "lost".into();
    (lost["data"]["exit_status"], lost["data"]["duration_ms"]) = (Value::Null, Value::Null);
    consumer.run(&lost, 0);
    let env = consumer.0.read_text("env");
    assert!(
        env.contains("HOOKMUX_REMOTE_OUTCOME=lost\n") && !env.contains("REMOTE_STATUS"),
        "{env}"
    );
    let given: Value = serde_json::from_slice(&consumer.0.read("stdin")).unwrap();
    assert_eq!(given["remote"]["status"], Value::Null);
    // a condition that doesn't hold
    let mut other = event.clone();
    other["id"] = "01ARYZ6S410000000000000001".into();
    other["data"]["title"] = "Another".into();
    fs::remove_file(consumer.0.path("env")).unwrap();
    consumer.run(&other, 0);
    assert!(!consumer.0.path("env").exists());
}

#[test]
fn no_gate_and_nothing_that_is_not_remote_is_ever_run() {
    let consumer = Consumer::new();
    consumer.register("all", "events: '*'");
    consumer.register("calls", "calls: 'qemu/*'");
    // what runs for calls of this host
    for root in ["etc/hookmux/remote", "usr/lib/hookmux/hooks"] {
        for event in ["after_vm_start", "before_vm_start", "after_vm_stop"] {
            consumer.0.script(
                consumer.path(&format!("{root}/{event}/10-script")),
                "log a script of an event directory",
            );
        }
        let text = format!(
            "events: '*'\ncommand: {}\nargs: [local]\n",
            consumer.0.hook("bin/tell").display()
        );
        consumer.file(&format!("{root}/hooks.d/local-{}.yaml", root.len()), &text);
    }
    consumer
        .0
        .script(consumer.path("etc/hookmux/remote/qemu.d/web/started/begin/10-x"), "log tree");
    consumer.0.script(consumer.path("etc/hookmux/remote/qemu.adopted"), "log adopted");
    for operation in ["prepare", "start", "migrate", "restore"] {
        let mut gate = event(ID, operation);
        // whatever it says
        gate["data"]["class"] = "notify".into();
        let answer = consumer.run(&gate, 0);
        assert_eq!(answer["runs"], json!([]), "{operation}");
    }
    let mut network = event(ID, "start");
    network["data"]["driver"] = "network".into();
    consumer.run(&network, 0);
    assert!(consumer.log().is_empty());
    assert!(consumer.records().is_empty());
    consumer.run(&event(ID, "started"), 0);
    let log = consumer.log();
    assert!(
        log.iter().all(|line| line.starts_with("all ") || line.starts_with("calls ")),
        "{log:?}"
    );
    // two events of the call, and the call
    assert_eq!(log.len(), 3, "{log:?}");
    // nor do events that are no call of libvirt's run anything
    for cause in ["run", "retry", "queue", "undo"] {
        consumer.run(&with("stopped", "cause", cause.into()), 0);
    }
    for kind in ["hookmux.gap.v1", "hookmux.heartbeat.v1"] {
        let mut other = event(ID, "stopped");
        other["type"] = kind.into();
        consumer.run(&other, 0);
    }
    assert!(consumer.log().is_empty());
}

#[test]
fn what_is_no_event_runs_nothing_and_is_of_no_use_again() {
    let consumer = Consumer::new();
    consumer.register("all", "events: '*'");
    consumer.register("calls", "calls: '*'");
    let mut hostile: Vec<Value> = Vec::new();
    for (key, value) in [
        ("driver", json!("../../qemu")),
        ("operation", json!("../started")),
        ("operation", json!("started; touch /tmp/x")),
        ("sub_operation", json!("$(touch x)")),
        ("object", json!("../../etc/passwd")),
        ("object", json!("a\u{0}b")),
        ("object", json!("x".repeat(100_000))),
        ("uuid", json!("../x")),
        ("title", json!("\u{1b}]0;x\u{7}")),
        ("origin", json!("nowhere")),
        ("properties", json!({"LD_PRELOAD=x": "y"})),
        ("properties", json!({"a": ["b"]})),
        ("extra", json!("a\nb")),
        ("cause", json!(null)),
    ] {
        hostile.push(with("started", key, value));
    }
    for (key, value) in [
        ("id", json!("../../../etc/cron.d/x")),
        ("id", json!("")),
        ("source", json!("hookmux/../../x")),
        ("source", json!("elsewhere")),
        ("type", json!("hookmux.command.v1")),
        ("specversion", json!("2.0")),
        ("data", json!(null)),
    ] {
        let mut one = event(ID, "started");
        one[key] = value;
        hostile.push(one);
    }
    for event in &hostile {
        let answer = consumer.run(event, 2);
        assert!(
            answer["error"]["message"].as_str().unwrap().contains("isn't an event"),
            "{answer}"
        );
    }
    for bytes in [&b""[..], b"[", b"null", b"\xff\xfe\x00", &[b'['; 300_000], &[b' '; 3_000_000]] {
        let output = consumer.run_bytes(bytes, |_| {});
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
    assert!(consumer.log().is_empty() && consumer.records().is_empty());
    assert!(!consumer.path("var/lib/hookmux-consume").exists(), "nothing is written for them");
    // what a property is called steers nothing
    for name in ["LD_PRELOAD", "PATH", "HOOKMUX_EVENT"] {
        let mut one = with("started", "properties", json!({ name: "/x" }));
        one["id"] = format!("01ARYZ6S4100000000000000{:02}", name.len()).into();
        consumer.run(&one, 0);
        assert_eq!(consumer.log().len(), 3);
    }
}

#[test]
fn what_succeeded_is_not_run_again_and_what_failed_is() {
    let consumer = Consumer::new();
    consumer.0.script("bin/x", "log \"x $HOOKMUX_REMOTE_AGAIN\"; ! [ -e \"$T/fail\" ]");
    let text = format!(
        "events: after_vm_start\ncommand: {}\nremote: true\n",
        consumer.0.hook("bin/x").display()
    );
    consumer.file("etc/hookmux/remote/hooks.d/x.yaml", &text);
    fs::write(consumer.0.path("fail"), "").unwrap();
    let first = consumer.run(&event(ID, "started"), 1);
    assert_eq!(first["runs"][0]["state"], "failed");
    consumer.run(&event(ID, "started"), 1);
    fs::remove_file(consumer.0.path("fail")).unwrap();
    consumer.run(&event(ID, "started"), 0);
    assert_eq!(consumer.log(), ["x ", "x 1", "x 1"]);
    let again: Vec<Value> =
        consumer.records().iter().map(|record| record["remote"]["again"].clone()).collect();
    assert_eq!(again, [json!(false), json!(true), json!(true)]);
    let done = consumer.run(&event(ID, "started"), 0);
    assert!(done["notes"][0]["message"].as_str().unwrap().contains("have succeeded already"));
    // the same id of another host is another event
    let mut other = event(ID, "started");
    other["source"] = "hookmux/node-2".into();
    consumer.run(&other, 0);
    assert_eq!(consumer.log(), ["x "]);
    // another host had begun it
    let mut third = event(ID, "started");
    third["id"] = "01ARYZ6S410000000000000003".into();
    let output = consumer.run_bytes(third.to_string().as_bytes(), |command| {
        command.env("HOOKMUX_REMOTE_DELIVERY", "2");
    });
    assert!(output.status.success());
    assert_eq!(consumer.log(), ["x 1"]);
}

#[test]
fn an_event_that_runs_waits_and_one_that_was_killed_runs_again() {
    let consumer = Consumer::new();
    consumer.0.script(
        "bin/x",
        "log \"begun $HOOKMUX_REMOTE_AGAIN\"; while [ -e \"$T/log\" ] && ! [ -e \"$T/go\" ]; do sleep 0.02; done",
    );
    let text = format!(
        "events: after_vm_start\ncommand: {}\nremote: true\n",
        consumer.0.hook("bin/x").display()
    );
    consumer.file("etc/hookmux/remote/hooks.d/x.yaml", &text);
    let mut command = consumer.command(&[]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = {
        let _writing = writing();
        command.spawn().unwrap()
    };
    child.stdin.take().unwrap().write_all(event(ID, "started").to_string().as_bytes()).unwrap();
    until("it runs", || consumer.0.read_text("log").contains("begun"));
    let said = consumer.run(&event(ID, "started"), 75);
    assert!(said["error"]["message"].as_str().unwrap().contains("run at this moment"), "{said}");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGKILL).unwrap();
    child.wait().unwrap();
    fs::write(consumer.0.path("go"), "").unwrap();
    until("the lock is free, and it runs again", || {
        let output = consumer.run_bytes(event(ID, "started").to_string().as_bytes(), |_| {});
        output.status.code() == Some(0)
    });
    assert_eq!(consumer.log(), ["begun ", "begun 1"]);
}

#[test]
fn what_cant_be_used_now_is_tried_again() {
    let consumer = Consumer::new();
    consumer.register("one", "events: after_vm_start");
    consumer.file(
        "etc/hookmux/remote/hooks.d/broken.yaml",
        "events: after_vm_start\ncomand: x\nremote: true\n",
    );
    let said = consumer.run(&event(ID, "started"), 75);
    assert!(said["error"]["message"].as_str().unwrap().contains("unknown key `comand`"), "{said}");
    // one that is about something else, or a package's, holds nothing up
    consumer.file("etc/hookmux/remote/hooks.d/broken.yaml", "events: after_vm_stop\ncomand: x\n");
    consumer
        .file("usr/lib/hookmux/hooks/hooks.d/theirs.yaml", "events: after_vm_start\ncomand: x\n");
    consumer.run(&event(ID, "started"), 0);
    assert_eq!(consumer.log().len(), 1);
    consumer.file("etc/hookmux/remote/hookmux.yaml", "timeot: 3\n");
    consumer.run(&event("01ARYZ6S410000000000000001", "started"), 75);
    // these don't count there
    consumer.file(
        "etc/hookmux/remote/hookmux.yaml",
        "session: false\nstate_dir: /nowhere/s\nruntime_dir: /nowhere/r\nroots: [/nowhere]\noutbox: true\n",
    );
    consumer.run(&event("01ARYZ6S410000000000000002", "started"), 0);
    assert_eq!(consumer.log().len(), 1);
    fs::remove_dir_all(consumer.path("var/lib")).unwrap();
    fs::write(consumer.path("var/lib"), "").unwrap();
    consumer.run(&event("01ARYZ6S410000000000000003", "started"), 75);
    assert!(consumer.log().is_empty());
}

#[test]
fn the_emergency_switch_holds_for_other_hosts_too() {
    let consumer = Consumer::new();
    consumer.register("one", "events: after_vm_start");
    consumer.0.text(&["bypass", "on", "--for", "1h", "--yes"], 0);
    consumer.run(&event(ID, "started"), 0);
    assert!(consumer.log().is_empty());
    assert_eq!(consumer.records()[0]["state"], "bypassed");
}

#[test]
fn the_event_that_a_host_writes_is_one_that_another_runs() {
    let origin = Host::new();
    origin.settings("outbox: true\ncustom_properties: [vlan]\n");
    origin.guest("started begin").run().succeeds();
    origin.text(&["prune"], 0);
    let consumer = Consumer::new();
    consumer.register("one", "events: after_vm_start");
    let written = || -> Option<PathBuf> {
        let entries = fs::read_dir(origin.path("state/outbox")).ok()?;
        let mut paths = entries.map(|entry| entry.unwrap().path());
        paths.find(|path| !path.ends_with("status.json"))
    };
    until("it is moved", || written().is_some());
    let output = consumer.run_bytes(&fs::read(written().unwrap()).unwrap(), |_| {});
    assert!(output.status.success(), "{output:?}");
    assert_eq!(consumer.log(), ["one after_vm_start g"]);
}

#[test]
fn a_record_of_the_consumer_says_nothing_about_this_hosts_own() {
    let consumer = Consumer::new();
    consumer.0.follow(&["after_vm_stop/10-a"]);
    consumer.0.guest("stopped end").run().succeeds();
    consumer.0.text(&["prune"], 0);
    consumer.register("one", "events: after_vm_stop");
    consumer.run(&event(ID, "stopped"), 0);
    let records = consumer.records();
    assert_eq!(records.len(), 2);
    // one that claims to be the host's own has another id's name, or is hidden by it
    let own = records.iter().find(|record| record["untrusted"] == false).unwrap();
    let id = own["id"].as_str().unwrap();
    let store = consumer.path("var/lib/hookmux-consume/records").join(&id[..6]);
    fs::create_dir_all(&store).unwrap();
    let text =
        json!({"format": 1, "id": id, "state": "done", "outcome": "failure", "object": "lie"});
    fs::write(store.join(id), format!("{text}\n{{}}\n")).unwrap();
    fs::set_permissions(store.join(id), fs::Permissions::from_mode(0o600)).unwrap();
    let again = consumer.records();
    assert_eq!(again.len(), 2);
    assert!(again.iter().all(|record| record["object"] != "lie"), "{again:?}");
    // nor is one retried, or shown as this host's
    let theirs = records.iter().find(|record| record["untrusted"] == true).unwrap();
    consumer.0.text(&["retry", theirs["id"].as_str().unwrap()], 1);
    // what it can't read is passed over
    fs::write(consumer.path("var/lib/hookmux-consume/records/zzzzzz"), "x").unwrap();
    assert_eq!(consumer.records().len(), 2);
}

#[test]
fn words_that_dont_go_together_are_refused() {
    let consumer = Consumer::new();
    for words in [
        &["run", "--remote", "-", "qemu", "g", "started"][..],
        &["run", "--remote", "-", "--xml", "x"],
        &["run", "--remote"],
        &["run"],
        &["run", "qemu", "g"],
    ] {
        consumer.0.text(words, 2);
    }
    consumer.0.text(&["run", "--remote", "/nowhere/event.json"], 1);
}
