//! The outbox: each execution as an event for other hosts. (O1)

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::documents::{UUID, guest};
use crate::support::host::{binary_under_test, writing};
use crate::support::{GUEST, Host, is_root, schema, skip, until};

const SECRET: &str = "s3cret-w0rd";

/// A host with an outbox. Calls start no mover: each test moves by hand.
fn host(more: &str) -> Host {
    let host = Host::new();
    host.settings(&format!("outbox: true\n{more}"));
    keep_movers_away(&host);
    host
}

/// As after a mover that couldn't move anything: for half a minute no call starts one.
fn keep_movers_away(host: &Host) {
    fs::create_dir_all(host.path("run/records")).unwrap();
    for place in ["run", "run/records"] {
        host.mode(place, 0o700);
    }
    fs::write(host.path("run/records/.stuck"), "\n").unwrap();
}

fn prune(host: &Host) {
    host.text(&["prune"], 0);
    keep_movers_away(host);
}

/// The files of the outbox, by their numbers.
fn files(host: &Host) -> BTreeMap<u64, PathBuf> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(host.path("state/outbox")).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        // what a mover died over has a dot
        if name == "status.json" || name.starts_with('.') {
            continue;
        }
        let (number, id) = name.strip_suffix(".json").unwrap().split_once('-').unwrap();
        assert_eq!((number.len(), id.len()), (20, 26), "{name}");
        let before = files.insert(number.parse().unwrap(), path);
        assert_eq!(before, None, "one number twice");
    }
    files
}

/// The events of the outbox, each held against its schema and its name.
fn events(host: &Host) -> BTreeMap<u64, Value> {
    let read = |(number, path): (u64, PathBuf)| {
        let text = fs::read(&path).unwrap();
        let event: Value = serde_json::from_slice(&text).unwrap();
        let name = match event["type"].as_str().unwrap() {
            "hookmux.execution.v1" => "event",
            "hookmux.gap.v1" => "event-gap",
            other => panic!("{other}"),
        };
        schema::fits(&schema::schema(name), &event)
            .unwrap_or_else(|why| panic!("{why}\n{event:#}"));
        assert_eq!(event["sequence"], format!("{number:020}"));
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name.contains(event["id"].as_str().unwrap()), "{name}");
        (number, event)
    };
    files(host).into_iter().map(read).collect()
}

fn ids(events: &BTreeMap<u64, Value>) -> Vec<String> {
    events.values().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

fn waiting(host: &Host) -> usize {
    let names = fs::read_dir(host.path("run/records/events")).into_iter().flatten();
    names.filter(|entry| entry.as_ref().unwrap().file_name().len() == 26).count()
}

fn cursor(host: &Host, sink: &str, number: u64) {
    fs::create_dir_all(host.path("state-relay")).unwrap();
    let path = host.path(format!("state-relay/cursor.{sink}"));
    let epoch = epoch(host).map(|epoch| epoch + "\n").unwrap_or_default();
    fs::write(path, format!("{number:020}\n{epoch}")).unwrap();
}

/// Which numbering it is.
fn epoch(host: &Host) -> Option<String> {
    let text = fs::read(host.path("state/outbox-sequence")).ok()?;
    let sequence: Value = serde_json::from_slice(&text).ok()?;
    Some(sequence["epoch"].as_str()?.to_owned())
}

fn call(host: &Host) {
    host.guest("stopped end").run().succeeds();
}

// --- what an event has ---------------------------------------------------------------------------

// O1
#[test]
fn an_execution_is_an_event_without_document_output_and_passwords() {
    let host = host("custom_properties: {vlan: '7|8', zone: '*'}\n");
    host.script("before_vm_start/10-a", &format!("echo {SECRET}-out; echo err-line >&2"));
    host.script("before_vm_start/20-b", &format!("echo 'said {SECRET}' >&2; exit 3"));
    let properties = format!(
        "<hookmux:properties xmlns:hookmux='urn:hookmux:properties:1'>\
         <hookmux:property name='vlan'>7</hookmux:property>\
         <hookmux:property name='zone'>{SECRET}</hookmux:property>\
         <hookmux:property name='other'>hidden-value</hookmux:property></hookmux:properties>"
    );
    let document = guest(&properties, &format!("<graphics type='vnc' passwd='{SECRET}'/>"))
        .replace("<devices>", &format!("<title>web {SECRET}</title>\n<devices>"));
    host.guest("prepare begin").stdin(document.as_str()).run().fails(3, &[]);
    prune(&host);
    let all = events(&host);
    assert_eq!(all.keys().copied().collect::<Vec<_>>(), [1]);
    let event = &all[&1];
    let text = event.to_string();
    for hidden in [SECRET, "err-line", "hidden-value", "<domain", "said ", "-out"] {
        assert!(!text.contains(hidden), "{hidden}: {event:#}");
    }
    let record = host.json(&["show", "last"], 0);
    assert_eq!(event["id"], record["id"]);
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["subject"], format!("qemu/prepare/{UUID}"));
    assert_eq!(event["datacontenttype"], "application/json");
    let name = nix::unistd::gethostname().unwrap().to_string_lossy().into_owned();
    assert_eq!(event["source"], format!("hookmux/{name}"));
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(event["bootid"], boot.trim());
    let time = event["time"].as_str().unwrap();
    assert!(time.ends_with('Z') && time.len() == "2026-11-30T12:00:00.000000Z".len(), "{time}");
    let data = &event["data"];
    for (key, value) in [
        ("driver", json!("qemu")),
        ("operation", json!("prepare")),
        ("sub_operation", json!("begin")),
        ("extra", json!("-")),
        ("object", json!("g")),
        ("uuid", json!(UUID)),
        ("class", json!("gate")),
        ("origin", json!("fresh")),
        ("cause", json!("libvirt")),
        ("parent", Value::Null),
        ("reason", Value::Null),
        ("title", json!("web ***")),
        ("outcome", json!("failed")),
        ("exit_status", json!(3)),
        ("properties", json!({"vlan": "7", "zone": "***"})),
        ("left_out", json!(0)),
    ] {
        assert_eq!(data[key], value, "{key}: {event:#}");
    }
    let fired: Vec<&str> =
        data["events"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert_eq!(fired, ["before_vm_prepare", "before_vm_start"]);
    let failure = data["failure"].as_str().unwrap();
    assert!(failure.starts_with("before_vm_start/20-b: exit status 3 after"), "{failure}");
    let runs = data["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    assert_eq!((&runs[0]["outcome"], &runs[1]["outcome"]), (&json!("good"), &json!("failed")));
    assert_eq!((&runs[0]["kind"], &runs[1]["status"]), (&json!("hook"), &json!(3)));
    assert!(runs[1]["start_ms"].is_u64() && runs[1]["duration_ms"].is_u64());
}

#[test]
fn a_status_line_is_output_too() {
    let host = host("");
    host.script("x.sh", "echo '0 the message of a hook'");
    host.file("hooks.d/x.yaml", "events: after_vm_stop\ncommand: x.sh\nresult: status-line\n");
    host.guest("stopped end").run();
    host.guest("release end from-snapshot").run();
    prune(&host);
    let all = events(&host);
    assert!(!all[&1].to_string().contains("the message"), "{:#}", all[&1]);
    assert_eq!(all[&1]["data"]["outcome"], "failed");
    assert_eq!(all[&2]["data"]["reason"], "from-snapshot");
}

#[test]
fn every_call_is_an_event_where_there_is_an_outbox_and_none_where_there_is_none() {
    let plain = Host::new();
    plain.guest("stopped end").run().succeeds();
    plain.follow(&["after_vm_stop/10-a"]);
    call(&plain);
    plain.text(&["prune"], 0);
    assert!(!plain.path("state/outbox").exists() && !plain.path("state/outbox-sequence").exists());
    assert!(!plain.path("run/records/events").exists());
    for record in ["hooks", "all", "none"] {
        let host = host(&format!("record: {record}\n"));
        // without hooks, with hooks, without a document
        call(&host);
        host.follow(&["after_vm_stop/10-a"]);
        call(&host);
        host.call("daemon", ["-", "reload", "begin", "SIGHUP"]).stdin("").run().succeeds();
        assert_eq!(waiting(&host), 3);
        prune(&host);
        let all = events(&host);
        assert_eq!(all.len(), 3);
        assert_eq!(all[&1]["data"]["runs"], json!([]));
        assert_eq!(all[&2]["data"]["runs"][0]["hook"], "after_vm_stop/10-a");
        assert_eq!(all[&3]["subject"], "daemon/reload/-");
        let records = host.json(&["log"], 0)["executions"].as_array().unwrap().len();
        assert_eq!(records, if record == "none" { 0 } else { 3 });
    }
}

#[test]
fn what_people_do_and_what_waits_are_events_of_another_cause() {
    let host = host("");
    host.follow(&["after_vm_stop/10-a"]);
    host.script("x.sh", "log detached");
    host.file("hooks.d/x.yaml", "events: after_vm_stop\ncommand: x.sh\nmode: detached\n");
    host.text(&["run", "qemu", "g", "stopped", "--yes"], 0);
    until("the queue is empty", || host.log().contains(&"detached".to_owned()));
    host.text(&["retry", "last"], 0);
    until("there are three and more", || {
        prune(&host);
        files(&host).len() >= 3
    });
    let causes: BTreeSet<String> = events(&host)
        .values()
        .map(|event| event["data"]["cause"].as_str().unwrap().to_owned())
        .collect();
    assert!(causes.contains("run") && causes.contains("queue"), "{causes:?}");
    assert!(!causes.contains("libvirt"));
}

#[test]
fn a_call_that_was_taken_over_is_an_event() {
    for record in ["hooks", "none"] {
        let host = host(&format!("record: {record}\n"));
        host.script("before_vm_start/10-a", "kill -SEGV $PPID; sleep 60");
        host.guest("prepare begin").run();
        prune(&host);
        let all = events(&host);
        assert_eq!(all.len(), 1, "{record}: {all:?}");
        assert_eq!(
            (&all[&1]["data"]["exit_status"], &all[&1]["data"]["outcome"]),
            (&json!(125), &json!("failed"))
        );
        assert_eq!(names(&host, "run/records/unkept"), [""; 0]);
    }
}

/// Where not even its beginning could be written.
#[test]
fn a_call_that_was_taken_over_without_a_beginning_is_in_a_gap() {
    let host = host("record: none\n");
    host.script(
        "before_vm_start/10-a",
        "rm -rf \"$T\"/run/records/unkept/*; kill -SEGV $PPID; sleep 60",
    );
    host.guest("prepare begin").run();
    prune(&host);
    let all = events(&host);
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(
        all[&1]["data"],
        json!({"first": null, "last": null, "events": 1, "why": "no-room"})
    );
}

// --- numbers -------------------------------------------------------------------------------------

#[test]
fn a_long_call_that_ends_after_a_short_one_loses_nothing() {
    let host = host("");
    host.script(
        "after_vm_stop/10-a",
        "log begun; while [ -e \"$T/log\" ] && ! [ -e \"$T/go\" ]; do sleep 0.02; done",
    );
    let mut long = host.guest("stopped end").start();
    long.until_logged("begun");
    host.guest("release end").run().succeeds();
    prune(&host);
    let first = events(&host);
    assert_eq!(first.len(), 1);
    // all that was sent is gone when the long one comes
    cursor(&host, "nats", 1);
    fs::write(host.path("go"), "").unwrap();
    long.wait().succeeds();
    prune(&host);
    let second = events(&host);
    assert_eq!(second.keys().copied().collect::<Vec<_>>(), [2]);
    assert!(second[&2]["id"].as_str() < first[&1]["id"].as_str(), "it began earlier");
    assert_eq!(second[&2]["data"]["operation"], "stopped");
}

#[test]
fn numbers_go_on_whatever_is_removed() {
    let host = host("");
    let move_one = |expected: u64| {
        call(&host);
        prune(&host);
        assert_eq!(files(&host).keys().last(), Some(&expected));
    };
    move_one(1);
    move_one(2);
    // another boot
    fs::remove_dir_all(host.path("run")).unwrap();
    keep_movers_away(&host);
    move_one(3);
    // an outbox that was emptied by hand
    fs::remove_dir_all(host.path("state/outbox")).unwrap();
    move_one(4);
    // without the file the names are left, and then the cursors
    fs::remove_file(host.path("state/outbox-sequence")).unwrap();
    move_one(5);
    fs::write(host.path("state/outbox-sequence"), "{").unwrap();
    move_one(6);
    cursor(&host, "nats", 6);
    cursor(&host, "otlp", 2);
    fs::remove_file(host.path("state/outbox-sequence")).unwrap();
    fs::remove_dir_all(host.path("state/outbox")).unwrap();
    move_one(7);
    // nobody brings the numbers to their end
    fs::remove_file(host.path("state/outbox-sequence")).unwrap();
    cursor(&host, "nats", u64::MAX);
    move_one(8);
}

#[test]
fn an_outbox_that_was_switched_off_sends_what_it_has() {
    let host = host("");
    call(&host);
    prune(&host);
    call(&host);
    host.settings("");
    call(&host);
    prune(&host);
    assert_eq!(files(&host).len(), 2);
    cursor(&host, "nats", 2);
    prune(&host);
    assert_eq!(files(&host).len(), 0);
}

#[test]
fn what_a_newer_version_wrote_is_moved_and_its_numbers_are_left_alone() {
    let host = host("");
    let id = "01ARYZ6S410000000000000000";
    call(&host);
    let newer = json!({
        "specversion": "1.0", "id": id, "type": "hookmux.execution.v2", "source": "hookmux/x",
        "data": {"later": [1, {"a": null}]},
    });
    let path = host.path(format!("run/records/events/{id}"));
    fs::write(&path, newer.to_string()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    prune(&host);
    let moved: Value = serde_json::from_slice(&fs::read(&files(&host)[&1]).unwrap()).unwrap();
    assert_eq!(moved["sequence"], "00000000000000000001");
    assert_eq!((&moved["data"], &moved["type"]), (&newer["data"], &newer["type"]));
    // numbers
    let text = r#"{"format":2,"last":"later"}"#;
    fs::write(host.path("state/outbox-sequence"), text).unwrap();
    call(&host);
    assert!(host.text(&["prune"], 1).contains("a newer hookmux wrote it, in format 2"));
    assert_eq!(host.read_text("state/outbox-sequence"), text);
    assert_eq!(waiting(&host), 1);
    assert!(host.text(&["check"], 0).contains("no event gets a number"));
}

#[test]
fn what_is_no_event_is_put_aside_and_told() {
    let host = host("");
    call(&host);
    for (id, text) in
        [("01ARYZ6S410000000000000000", "no json"), ("01ARYZ6S410000000000000001", "{}")]
    {
        let path = host.path(format!("run/records/events/{id}"));
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::create_dir(host.path("run/records/events/01ARYZ6S410000000000000002")).unwrap();
    symlink("/etc/passwd", host.path("run/records/events/01ARYZ6S410000000000000003")).unwrap();
    prune(&host);
    let all = events(&host);
    assert_eq!(all.len(), 2);
    assert_eq!(
        all[&1]["data"],
        json!({"first": null, "last": null, "events": 4, "why": "unreadable"})
    );
    assert_eq!(waiting(&host), 0);
    // they stay for a day, for who wants to see them
    let odd = || names(&host, "run/records/events");
    assert_eq!(odd().len(), 4, "{:?}", odd());
    for (hours, left) in [(23, 4), (25, 0)] {
        for name in odd() {
            let path = host.path(format!("run/records/events/{name}"));
            let status = Command::new("touch")
                .args(["--no-dereference", "-d", &format!("{hours} hours ago")])
                .arg(&path)
                .status();
            assert!(status.unwrap().success());
        }
        prune(&host);
        assert_eq!(odd().len(), left, "{:?}", odd());
    }
    assert!(fs::metadata("/etc/passwd").is_ok());
}

/// A full disk gets room only so.
#[test]
fn an_outbox_that_is_stuck_lets_old_records_go() {
    let host = host("retention: {per_hook: 1}\n");
    host.follow(&["after_vm_stop/10-a"]);
    for _ in 0..3 {
        call(&host);
    }
    let records = |host: &Host| host.json(&["log"], 0)["executions"].as_array().unwrap().len();
    assert_eq!(records(&host), 3);
    fs::create_dir_all(host.path("state")).unwrap();
    fs::write(host.path("state/outbox-sequence"), r#"{"format":2}"#).unwrap();
    fs::remove_file(host.path("run/records/.stuck")).unwrap();
    let mut mover = Command::new(binary_under_test())
        .arg("--hooks-dir")
        .arg(host.hooks())
        .args(["prune", "--linger"])
        .spawn()
        .unwrap();
    until("the old records are gone", || records(&host) == 1);
    mover.kill().unwrap();
    mover.wait().unwrap();
    assert_eq!(waiting(&host), 3);
}

// --- bounds --------------------------------------------------------------------------------------

/// Every number up to the last one is there, or in one gap.
fn all_are_accounted_for(all: &BTreeMap<u64, Value>) {
    let last = *all.keys().last().unwrap();
    let mut told: BTreeSet<u64> = all.keys().copied().collect();
    for event in all.values().filter(|event| event["type"] == "hookmux.gap.v1") {
        let number = |key: &str| event["data"][key].as_str().unwrap().parse::<u64>().unwrap();
        told.extend(number("first")..=number("last"));
    }
    assert_eq!(told, (1..=last).collect(), "{all:#?}");
}

#[test]
fn the_oldest_go_and_one_event_says_which() {
    let host = host("outbox_max: {events: 10}\n");
    for _ in 0..25 {
        call(&host);
    }
    prune(&host);
    let all = events(&host);
    assert!(all.len() <= 10, "{}", all.len());
    all_are_accounted_for(&all);
    let gaps: Vec<&Value> =
        all.values().filter(|event| event["type"] == "hookmux.gap.v1").collect();
    assert_eq!(gaps.len(), 1);
    let executions = all.len() as u64 - 1;
    let data = &gaps[0]["data"];
    assert_eq!((&data["first"], &data["why"]), (&json!("00000000000000000001"), &json!("full")));
    assert_eq!(data["events"], 25 - executions);
    // and again, until the gap itself goes: it is in the next one
    for _ in 0..4 {
        for _ in 0..5 {
            call(&host);
        }
        prune(&host);
        let all = events(&host);
        assert!(all.len() <= 10);
        all_are_accounted_for(&all);
    }
    let all = events(&host);
    let lost: u64 = all.values().filter_map(|event| event["data"]["events"].as_u64()).sum();
    let there = all.values().filter(|event| event["type"] == "hookmux.execution.v1").count();
    assert_eq!(lost + there as u64, 45);
    let status = host.json(&["status"], 0);
    assert_eq!(status["outbox"]["lost"], lost);
    assert_eq!(status["outbox"]["events"], all.len());
}

#[test]
fn the_size_is_a_bound_too_and_a_bound_of_one_is_one() {
    for (limits, most_bytes, most_files) in
        [("{size: 6 KiB}", 6144, 1000), ("{events: 1}", u64::MAX, 1)]
    {
        let host = host(&format!("outbox_max: {limits}\n"));
        for _ in 0..12 {
            call(&host);
        }
        prune(&host);
        let sizes: Vec<u64> =
            files(&host).values().map(|path| path.metadata().unwrap().len()).collect();
        assert!(sizes.iter().sum::<u64>() <= most_bytes && sizes.len() <= most_files, "{sizes:?}");
        assert!(!sizes.is_empty());
        all_are_accounted_for(&events(&host));
    }
}

#[test]
fn what_was_sent_everywhere_goes() {
    let host = host("");
    for _ in 0..6 {
        call(&host);
    }
    prune(&host);
    let left = |host: &Host| files(host).keys().copied().collect::<Vec<_>>();
    assert_eq!(left(&host).len(), 6);
    cursor(&host, "nats", 4);
    cursor(&host, "otlp", 2);
    prune(&host);
    assert_eq!(left(&host), [3, 4, 5, 6]);
    let relay = host.path("state-relay");
    let odd = relay.join("cursor.odd");
    let hostile: &[(&str, &dyn Fn())] = &[
        ("a link", &|| symlink(relay.join("cursor.nats"), &odd).unwrap()),
        ("a FIFO", &|| nix::unistd::mkfifo(&odd, nix::sys::stat::Mode::S_IRWXU).unwrap()),
        ("a directory", &|| fs::create_dir(&odd).unwrap()),
        ("huge", &|| {
            fs::File::create(&odd).unwrap().set_len(1 << 40).unwrap();
        }),
        ("no number", &|| fs::write(&odd, "0000000000000000000x\n").unwrap()),
        ("too short", &|| fs::write(&odd, "6\n").unwrap()),
        ("no numbering", &|| fs::write(&odd, format!("{:020}\nx\n", 6)).unwrap()),
        ("empty", &|| fs::write(&odd, "").unwrap()),
    ];
    cursor(&host, "otlp", 6);
    cursor(&host, "nats", 6);
    for (what, make) in hostile {
        make();
        prune(&host);
        assert_eq!(left(&host), [3, 4, 5, 6], "{what}");
        let found = host.text(&["check"], 0);
        assert!(
            found.contains("odd-cursor") || found.contains("is no number up to 6"),
            "{what}: {found}"
        );
        let _ = fs::remove_file(&odd);
        let _ = fs::remove_dir(&odd);
    }
    prune(&host);
    assert_eq!(left(&host), [0_u64; 0]);
}

/// Numbers are given a second time then, and who sends the events would pass over them.
#[test]
fn a_state_directory_that_was_put_back_from_a_copy_begins_another_numbering() {
    let host = host("");
    let move_three = || {
        for _ in 0..3 {
            call(&host);
        }
        prune(&host);
    };
    let numbers = || files(&host).keys().copied().collect::<Vec<_>>();
    let copy = |from: &str, to: &str| {
        let _ = fs::remove_dir_all(host.path(to));
        let words = ["-a", from, to];
        let status = Command::new("cp").args(words).current_dir(host.path("")).status();
        assert!(status.unwrap().success());
    };
    let told = || {
        let status: Value = serde_json::from_slice(&host.read("state/outbox/status.json")).unwrap();
        let after = status["epoch_after"].as_str().unwrap().parse::<u64>().unwrap();
        (status["epoch"].as_str().unwrap().to_owned(), after)
    };
    move_three();
    let first = told();
    assert_eq!((Some(&first.0), first.1), (epoch(&host).as_ref(), 0));
    cursor(&host, "nats", 3);
    copy("state", "copy");
    move_three();
    assert_eq!((numbers(), told()), (vec![4, 5, 6], first.clone()));
    cursor(&host, "nats", 6);
    cursor(&host, "otlp", 6);
    copy("copy", "state");
    let found = host.text(&["check"], 0);
    assert!(found.contains("cursor.nats is no number up to 3"), "{found}");
    move_three();
    let second = told();
    assert_ne!(second.0, first.0);
    assert_eq!((numbers(), second.1), (vec![1, 2, 3, 4, 5, 6], 3));
    assert!(!host.text(&["check"], 0).contains("is no number"));
    // its old place says nothing, also once it is passed
    move_three();
    assert_eq!((numbers().len(), told()), (9, second.clone()));
    cursor(&host, "nats", 5);
    fs::remove_file(host.path("state-relay/cursor.otlp")).unwrap();
    prune(&host);
    assert_eq!(numbers(), [6, 7, 8, 9]);
    // one that hasn't heard of the second numbering goes back as far as that one
    let old = format!("{:020}\n{}\n", 6, first.0);
    fs::write(host.path("state-relay/cursor.otlp"), old).unwrap();
    cursor(&host, "nats", 12);
    prune(&host);
    let third = told();
    assert!(third.0 != second.0 && third.1 == 3, "{third:?}");
    assert_eq!(numbers(), [6, 7, 8, 9]);
}

// --- where nothing can be written ----------------------------------------------------------------

#[test]
fn without_room_a_call_neither_waits_nor_fails_and_a_gap_says_how_many() {
    if !is_root() {
        return skip("only root can mount");
    }
    for (name, how) in [
        (
            "run",
            "mount -t tmpfs -o size=64k,nr_inodes=2,mode=755 tmpfs 'DIR'; head -c 1000000 /dev/zero >'DIR/full' 2>/dev/null || :",
        ),
        ("run", "mount --bind 'DIR' 'DIR'; mount -o remount,bind,ro 'DIR'"),
        (
            "state",
            "mount -t tmpfs -o size=64k,nr_inodes=2,mode=755 tmpfs 'DIR'; head -c 1000000 /dev/zero >'DIR/full' 2>/dev/null || :",
        ),
        ("state", "mount --bind 'DIR' 'DIR'; mount -o remount,bind,ro 'DIR'"),
    ] {
        let host = host("");
        host.follow(&["after_vm_stop/10-a"]);
        let mounts = how.replace("DIR", &host.path(name).display().to_string());
        let answer = host.guest("stopped end").with_mounts(&mounts).run();
        answer.succeeds().took_less_than(10);
        assert_eq!(host.log().len(), 1);
    }
    // the events directory alone can't take one: the others are kept
    let host = host("");
    call(&host);
    prune(&host);
    let events_dir = host.path("run/records/events");
    let mounts = format!("mount -t tmpfs -o ro,mode=700 tmpfs '{}'", events_dir.display());
    for _ in 0..3 {
        host.guest("stopped end").with_mounts(&mounts).run().succeeds();
    }
    assert!(host.text(&["check"], 0).contains("3 events could not be kept"));
    call(&host);
    prune(&host);
    let all = events(&host);
    assert_eq!(all.len(), 3);
    assert_eq!(
        all[&3]["data"],
        json!({"first": null, "last": null, "events": 3, "why": "no-room"})
    );
    prune(&host);
    assert_eq!(events(&host).len(), 3, "it is told once");
    assert_eq!(host.json(&["log"], 0)["executions"].as_array().unwrap().len(), 5);
}

#[test]
fn events_wait_where_the_state_directory_takes_nothing() {
    if !is_root() {
        return skip("only root can mount");
    }
    let host = host("");
    for _ in 0..3 {
        call(&host);
    }
    let state = host.path("state").display().to_string();
    for how in ["ro", "size=4k,nr_inodes=2"] {
        let script = format!("mount -t tmpfs -o {how},mode=700 tmpfs '{state}'\nexec \"$@\"");
        let output = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "/bin/sh", "-c", &script, "sh"])
            .arg(binary_under_test())
            .arg("--hooks-dir")
            .arg(host.hooks())
            .arg("prune")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(waiting(&host), 3);
    }
    prune(&host);
    assert_eq!(events(&host).len(), 3);
}

// --- deaths --------------------------------------------------------------------------------------

/// Runs a command, and kills it after a while, if it still runs.
fn killed_after(host: &Host, words: &[&str], micros: u64) {
    let spawned = {
        let _writing = writing();
        Command::new(binary_under_test())
            .arg("--hooks-dir")
            .arg(host.hooks())
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
    };
    let mut child = spawned.unwrap();
    thread::sleep(Duration::from_micros(micros));
    let _ = child.kill();
    child.wait().unwrap();
}

#[test]
fn a_mover_that_dies_loses_no_event_and_numbers_none_twice() {
    let host = host("outbox_max: {events: 40}\n");
    let mut made = 0;
    // each id, with the number under which it was seen
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    let mut lost: BTreeSet<u64> = BTreeSet::new();
    let mut look = |host: &Host| {
        for (number, event) in events(host) {
            if event["type"] == "hookmux.gap.v1" {
                let number =
                    |key: &str| event["data"][key].as_str().unwrap().parse::<u64>().unwrap();
                lost.extend(number("first")..=number("last"));
                continue;
            }
            let id = event["id"].as_str().unwrap().to_owned();
            let before = seen.insert(id.clone(), number);
            assert!(before.is_none_or(|before| before == number), "{id}: {before:?} and {number}");
        }
    };
    let rounds = std::env::var("HOOKMUX_OUTBOX_DEATHS").ok().and_then(|it| it.parse().ok());
    for round in 0..rounds.unwrap_or(40_u64) {
        for _ in 0..3 {
            call(&host);
            made += 1;
        }
        keep_movers_away(&host);
        // from before its first step to after its last one
        killed_after(&host, &["prune"], 2_000 + round * 1_777 % 60_000);
        look(&host);
    }
    prune(&host);
    look(&host);
    for entry in fs::read_dir(host.path("state/outbox")).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(!name.to_string_lossy().starts_with('.'), "{name:?} is left");
    }
    let numbers: BTreeSet<u64> = seen.values().copied().collect();
    assert_eq!(numbers.len(), seen.len(), "one number for two");
    let last = *files(&host).keys().last().unwrap();
    let gaps: BTreeSet<u64> = events(&host)
        .iter()
        .filter(|(_, event)| event["type"] == "hookmux.gap.v1")
        .map(|(number, _)| *number)
        .collect();
    for number in 1..=last {
        let is_told = numbers.contains(&number) || lost.contains(&number) || gaps.contains(&number);
        assert!(is_told, "{number} of {last} is nowhere");
    }
    // all that were made are there, or were lost in a gap
    let status = host.json(&["status"], 0);
    let there = events(&host).values().filter(|it| it["type"] == "hookmux.execution.v1").count();
    assert_eq!(status["outbox"]["lost"].as_u64().unwrap() + there as u64, made);
}

#[test]
fn a_call_that_is_killed_is_an_event_as_its_record_says() {
    for record in ["hooks", "all", "none"] {
        let host = host(&format!("record: {record}\ncustom_properties: {{vlan: '7|8'}}\n"));
        let script = "log begun; while [ -e \"$T/log\" ]; do sleep 0.02; done";
        host.script("after_vm_stop/10-a", script);
        let document = with_properties("<hookmux:property name='vlan'>7</hookmux:property>");
        let mut running = host.guest("stopped end").stdin(document.as_str()).start();
        running.until_logged("begun");
        running.signal(nix::sys::signal::Signal::SIGKILL);
        running.wait();
        prune(&host);
        prune(&host);
        let all = events(&host);
        assert_eq!(all.keys().copied().collect::<Vec<_>>(), [1], "{all:#?}");
        let data = &all[&1]["data"];
        for (key, value) in [
            ("outcome", json!("lost")),
            ("failure", json!("hookmux was killed before this call was over")),
            ("exit_status", Value::Null),
            ("duration_ms", Value::Null),
            ("runs", json!([])),
            ("events", json!(["after_vm_stop"])),
            ("properties", json!({"vlan": "7"})),
            ("title", json!("a title")),
        ] {
            assert_eq!(data[key], value, "{record} {key}: {data:#}");
        }
        assert_eq!(data["began"], all[&1]["time"]);
        let records = host.json(&["log"], 0)["executions"].clone();
        match record {
            "none" => assert_eq!(records, json!([])),
            _ => assert_eq!(
                (&records[0]["state"], &records[0]["id"]),
                (&json!("lost"), &all[&1]["id"])
            ),
        }
        assert_eq!(names(&host, "run/records/unkept"), [""; 0]);
        // one that dies after its end is no other one
        host.script("after_vm_stop/10-a", ":");
        call(&host);
        assert_eq!(names(&host, "run/records/unkept"), [""; 0]);
        prune(&host);
        assert_eq!(events(&host)[&2]["data"]["outcome"], "good");
    }
}

/// The process may die after it has written the event, and before the end of its record.
#[test]
fn an_execution_has_one_number_wherever_its_process_dies() {
    for record in ["hooks", "none"] {
        let host = host(&format!("record: {record}\n"));
        let place = if record == "none" { "unkept" } else { "running" };
        host.script(
            "after_vm_stop/10-a",
            "log begun; while [ -e \"$T/log\" ] && ! [ -e \"$T/go\" ]; do sleep 0.02; done",
        );
        let mut running = host.guest("stopped end").start();
        running.until_logged("begun");
        let [id] = &names(&host, &format!("run/records/{place}"))[..] else { panic!() };
        let open = host.path(format!("run/records/{place}/{id}"));
        let begun = fs::read_to_string(&open).unwrap();
        fs::write(host.path("go"), "").unwrap();
        running.wait().succeeds();
        let done = host.path(format!("run/records/done/{id}"));
        let _ = fs::remove_file(done);
        let write = |pid: u32, start: u64| {
            let (head, body) = begun.split_once('\n').unwrap();
            let mut head: Value = serde_json::from_str(head).unwrap();
            (head["process"]["pid"], head["process"]["start"]) = (pid.into(), start.into());
            fs::write(&open, format!("{head}\n{body}")).unwrap();
            fs::set_permissions(&open, fs::Permissions::from_mode(0o600)).unwrap();
        };
        // while it lives, its event waits for its end
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let start = stat.rsplit(')').next().unwrap().split_whitespace().nth(19).unwrap();
        write(std::process::id(), start.parse().unwrap());
        prune(&host);
        assert_eq!((files(&host).len(), waiting(&host)), (0, 1), "{record}");
        // it is dead
        write(4_194_304, 7);
        prune(&host);
        let all = events(&host);
        assert_eq!(all.len(), 1, "{all:#?}");
        assert_eq!(all[&1]["data"]["outcome"], "good");
        // one that has a number gets no other one
        let path = host.path(format!("run/records/events/{id}"));
        fs::copy(&files(&host)[&1], &path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        call(&host);
        prune(&host);
        let all = events(&host);
        assert_eq!(ids(&all).iter().filter(|other| *other == id).count(), 1, "{all:#?}");
        assert_eq!((all.len(), waiting(&host)), (2, 0));
    }
}

/// The names in a directory, which may not be there.
fn names(host: &Host, directory: &str) -> Vec<String> {
    let entries = fs::read_dir(host.path(directory)).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_call_that_dies_is_an_event_if_it_is_a_record() {
    let host = host("");
    host.script("after_vm_stop/10-a", ":");
    for round in 0..40_u64 {
        let running = host.guest("stopped end").start();
        thread::sleep(Duration::from_micros(500 + round * 911 % 30_000));
        running.signal(nix::sys::signal::Signal::SIGKILL);
        running.wait();
    }
    call(&host);
    prune(&host);
    let all = events(&host);
    let found = ids(&all);
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len());
    let records = host.json(&["log", "-n", "1000"], 0);
    let done: BTreeSet<String> = records["executions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|execution| matches!(execution["state"].as_str(), Some("good" | "lost")))
        .map(|execution| execution["id"].as_str().unwrap().to_owned())
        .collect();
    let found: BTreeSet<String> = found.into_iter().collect();
    assert_eq!(done, found);
    assert_eq!(all.keys().copied().collect::<Vec<_>>(), (1..=all.len() as u64).collect::<Vec<_>>());
    let half: Vec<PathBuf> = host
        .everything()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "new"))
        // a settings' copy stays, as docs/files.md says
        .filter(|path| !path.to_string_lossy().contains("/last-good/"))
        .collect();
    assert!(half.is_empty(), "{half:?}");
}

// --- who may read it -----------------------------------------------------------------------------

#[test]
fn only_the_group_may_read_it_and_nobody_else_without_one() {
    let mode = |path: &Path| path.metadata().unwrap().mode() & 0o7777;
    let host = host("");
    call(&host);
    prune(&host);
    let is_there =
        is_root() && fs::read_to_string("/etc/group").unwrap().contains("\nhookmux-relay:");
    if !is_there {
        assert_eq!(mode(&host.path("state/outbox")), 0o700);
        for path in files(&host).values().chain([&host.path("state/outbox/status.json")]) {
            assert_eq!(mode(path), 0o600);
        }
    }
    if !is_root() {
        return skip("only root can give files to a group");
    }
    host.mode("state", 0o700);
    let groups = host.path("group");
    fs::write(&groups, "root:x:0:\nhookmux-relay:x:54321:\n").unwrap();
    call(&host);
    let script = format!("mount --bind '{}' /etc/group\nexec \"$@\"", groups.display());
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "/bin/sh", "-c", &script, "sh"])
        .arg(binary_under_test())
        .arg("--hooks-dir")
        .arg(host.hooks())
        .arg("prune")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let outbox = host.path("state/outbox");
    assert_eq!((mode(&outbox), outbox.metadata().unwrap().gid()), (0o750, 54321));
    // also what was there before the group
    let all = files(&host);
    for path in [all[&1].clone(), all[&2].clone(), host.path("state/outbox/status.json")] {
        assert_eq!((mode(&path), path.metadata().unwrap().gid()), (0o640, 54321), "{path:?}");
        assert_eq!(path.metadata().unwrap().uid(), 0);
    }
    assert_eq!(mode(&host.path("state")), 0o711, "it can be passed through");
    assert_eq!(mode(&host.path("state/records")), 0o700);
    assert_eq!(mode(&host.path("state/outbox-sequence")), 0o600);
}

// --- what is told of it --------------------------------------------------------------------------

#[test]
fn the_status_file_says_how_the_host_is() {
    let host = host("");
    host.follow(&["after_vm_stop/10-a"]);
    call(&host);
    prune(&host);
    let read = || -> Value {
        let status: Value = serde_json::from_slice(&host.read("state/outbox/status.json")).unwrap();
        schema::fits(&schema::schema("outbox-status"), &status)
            .unwrap_or_else(|why| panic!("{why}\n{status:#}"));
        status
    };
    let status = read();
    assert_eq!(status["sequence"], "00000000000000000001");
    assert_eq!(status["outbox"]["events"], 1);
    assert_eq!(status["entries"]["qemu"], "installed");
    assert!(status["findings"]["error"].is_u64(), "{status:#}");
    let digest = host.json(&["list"], 0)["digest"].clone();
    assert_eq!(status["digest"], digest);
    // one that was started by a call keeps what `check` found
    call(&host);
    fs::remove_file(host.path("run/records/.stuck")).unwrap();
    host.text(&["prune", "--linger"], 0);
    let later = read();
    assert_eq!(later["sequence"], "00000000000000000002");
    assert_eq!(later["findings"], status["findings"]);
}

#[test]
fn status_metrics_and_check_tell_of_it() {
    let host = host("outbox_max: {events: 100}\n");
    let text = host.text(&["status"], 0);
    assert!(text.contains("outbox") && text.contains("nothing sends them"), "{text}");
    for _ in 0..92 {
        host.call("daemon", ["-", "reload", "begin", "SIGHUP"]).stdin("").run().succeeds();
    }
    prune(&host);
    let status = host.json(&["status"], 0);
    assert_eq!((&status["outbox"]["on"], &status["outbox"]["events"]), (&json!(true), &json!(92)));
    let metrics = host.text(&["metrics"], 0);
    for line in ["hookmux_outbox_events 92\n", "hookmux_outbox_gaps_total 0\n"] {
        assert!(metrics.contains(line), "{metrics}");
    }
    let found = host.text(&["check"], 0);
    assert!(found.contains("nothing sends the events"), "{found}");
    assert!(found.contains("92 events wait"), "{found}");
    cursor(&host, "nats", 0);
    assert!(!host.text(&["check"], 0).contains("nothing sends the events"));
    assert!(!found.contains("odd-file"), "{found}");
    let plain = Host::new();
    assert!(!plain.text(&["status"], 0).contains("outbox"));
    assert!(plain.text(&["metrics"], 0).contains("hookmux_outbox_events 0\n"));
}

#[test]
fn watch_from_a_server_is_the_relays() {
    let host = Host::new();
    let words = ["watch", "--from", "nats://127.0.0.1:1", "qemu.started"];
    let say = |path: &str| {
        Command::new(binary_under_test()).args(words).env("PATH", path).output().unwrap()
    };
    let output = say("/nowhere");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("install the package hookmux-relay"), "{said}");
    host.file("bin/hookmux-relay", "#!/bin/sh\necho \"$0: $*\"\nexit 7\n");
    let output = say(host.hook("bin").to_str().unwrap());
    assert_eq!(output.status.code(), Some(7));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.ends_with(": watch --from nats://127.0.0.1:1 qemu.started\n"), "{said}");
}

// --- documents for other things ------------------------------------------------------------------

#[test]
fn a_guest_without_a_document_has_no_uuid_in_its_subject() {
    let host = host("");
    host.guest("stopped end").stdin("").run().succeeds();
    host.guest("stopped end").stdin(GUEST).run().succeeds();
    prune(&host);
    let all = events(&host);
    assert_eq!(all[&1]["subject"], "qemu/stopped/-");
    assert_eq!(all[&2]["subject"], format!("qemu/stopped/{UUID}"));
}

/// What libvirt got on standard error may have the words of a hook, or the value of a property: they stay on the host.
#[test]
fn neither_output_nor_values_are_in_the_event_of_a_refused_call() {
    let host = host("custom_properties: {vlan: '7|8'}\n");
    host.script("before_vm_dehibernate/10-a", &format!("echo {SECRET} >&2; exit 3"));
    host.script("before_vm_start/10-a", ":");
    host.guest("restore begin").run();
    let held = host.guest("prepare begin").run();
    assert!(held.status != Some(0) && held.stderr.contains(SECRET));
    let property = format!("<hookmux:property name='vlan'>{SECRET}</hookmux:property>");
    let refused = host.guest("prepare begin").stdin(with_properties(&property).as_str()).run();
    assert!(refused.stderr.contains(SECRET), "{refused:?}");
    prune(&host);
    let events = events(&host);
    assert_eq!(events.len(), 3, "{events:#?}");
    for event in events.values() {
        assert!(!event.to_string().contains(SECRET), "{event:#}");
    }
    let last = events.values().last().unwrap();
    assert!(last["data"]["failure"].as_str().unwrap().contains("hookmux show "), "{last:#}");
}

/// On a host whose hooks all run elsewhere.
#[test]
fn title_and_properties_are_told_without_hooks_and_under_bypass() {
    let host = host("custom_properties: {vlan: '7|8'}\n");
    let document = with_properties("<hookmux:property name='vlan'>7</hookmux:property>");
    host.guest("prepare begin").stdin(document.as_str()).run().succeeds();
    host.script("before_vm_start/10-a", ":");
    host.text(&["bypass", "on", "--for", "1h", "--yes"], 0);
    host.guest("prepare begin").stdin(document.as_str()).run().succeeds();
    prune(&host);
    let events = events(&host);
    assert_eq!(events.len(), 2);
    for event in events.values() {
        assert_eq!(event["data"]["title"], "a title", "{event:#}");
        assert_eq!(event["data"]["properties"], json!({"vlan": "7"}), "{event:#}");
    }
}

/// A guest's document with a title and these properties.
fn with_properties(properties: &str) -> String {
    let metadata = format!(
        "<hookmux:properties xmlns:hookmux='urn:hookmux:properties:1'>{properties}</hookmux:properties>"
    );
    guest(&metadata, "").replace("<devices>", "<title>a title</title>\n<devices>")
}
