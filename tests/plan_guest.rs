//! `plan GUEST`: a guest's life, and what becomes of it if a hook fails.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::Host;
use crate::support::host::binary_under_test;
use crate::support::schema;

const UUID: &str = "91126ceb-7654-4672-8b0a-0cfef5ca9d75";

/// libvirt's definition of a guest with interfaces in the networks `lan` and `dmz`, and on a bridge.
fn definition(name: &str, uuid: &str) -> String {
    let network =
        |name: &str| format!("<interface type='network'><source network='{name}'/></interface>");
    format!(
        "<!-- WARNING: THIS IS AN AUTO-GENERATED FILE. -->\n<domain type='kvm'><name>{name}</name>\
         <uuid>{uuid}</uuid><title>Web server</title><devices>{}<interface type='bridge'>\
         <source bridge='br0'/></interface>{}</devices></domain>\n",
        network("lan"),
        network("dmz")
    )
}

/// A host with the guests `web1`, `db` (qemu) and `box` (lxc), and the network `lan`.
fn host() -> Host {
    let host = Host::new();
    let other = |last: char| UUID.replace("d75", &format!("d7{last}"));
    host.file("../qemu/web1.xml", definition("web1", UUID));
    host.file("../qemu/db.xml", definition("db", &other('6')));
    host.file("../lxc/box.xml", "<domain type='lxc'><name>box</name></domain>");
    host.file(
        "../qemu/networks/lan.xml",
        format!("<network><name>lan</name><uuid>{}</uuid></network>", other('7')),
    );
    host
}

/// The words of `plan`, with a machine that has no libvirt: so all reasons are those of a new one.
fn words<'a>(words: &[&'a str]) -> Vec<&'a str> {
    [&["plan"], words, &["--root", "hooks"]].concat()
}

fn life(host: &Host, of: &[&str], status: i32) -> Value {
    host.json(&words(of), status)
}

fn parts(life: &Value) -> &Vec<Value> {
    life["parts"].as_array().unwrap()
}

fn part<'a>(life: &'a Value, action: &str) -> &'a Value {
    let part = parts(life).iter().find(|part| part["action"] == action);
    part.unwrap_or_else(|| panic!("{action} is missing in\n{life:#}"))
}

/// The calls of a part, those of networks with the network's name, and the reason of a release.
fn calls(part: &Value) -> Vec<String> {
    let calls = part["calls"].as_array().unwrap().iter();
    calls
        .map(|call| {
            let operation = call["operation"].as_str().unwrap();
            match (
                call["driver"] == "network" && part["action"] != "update",
                call["extra"].as_str().unwrap(),
            ) {
                (true, _) => format!("{} {operation}", call["object"].as_str().unwrap()),
                (false, "-") => operation.to_owned(),
                (false, reason) => format!("{operation} {reason}"),
            }
        })
        .collect()
}

/// What becomes of each hook of a call of a part: `10-x runs`.
fn hooks(part: &Value, operation: &str, object: &str) -> Vec<String> {
    let calls = part["calls"].as_array().unwrap();
    let call = calls.iter().find(|call| call["operation"] == operation && call["object"] == object);
    let call = call.unwrap_or_else(|| panic!("{object} {operation} is missing in\n{part:#}"));
    let steps = call["steps"].as_array().unwrap().iter();
    steps
        .map(|step| {
            format!("{} {}", step["hook"].as_str().unwrap(), step["state"].as_str().unwrap())
        })
        .collect()
}

const BEGINS: &str = "prepare, lan port-created, dmz port-created, start, started";
const ENDS: &str = "stopped, lan port-deleted, dmz port-deleted, release";

#[test]
fn libvirts_calls_come_in_its_order_for_everything_that_is_done_with_a_guest() {
    let host = host();
    for (of, expected) in [
        (&["web1", "start"][..], BEGINS.to_owned()),
        (&["web1", "create"], BEGINS.to_owned()),
        (&["web1", "Shutdown"], format!("{ENDS} shutdown")),
        (&["web1", "stop"], format!("{ENDS} destroyed")),
        (&["web1", "crash"], format!("{ENDS} crashed")),
        (&["web1", "managedsave"], format!("{ENDS} saved")),
        (&["web1", "migrate"], format!("{ENDS} migrated")),
        (&["web1", "restore"], format!("restore, {BEGINS}")),
        (&["web1", "migrate-in"], format!("migrate, {BEGINS}")),
        (&["web1", "reconnect"], "lan port-created, dmz port-created, reconnect".to_owned()),
        (&["web1", "revert"], format!("{ENDS} from snapshot, {BEGINS}")),
        (&["web1", "reboot"], String::new()),
        (&["web1", "suspend"], String::new()),
        (&["web1", "attach-interface"], String::new()),
        (&["box", "start"], "prepare, start, started".to_owned()),
        (&["box", "reboot"], "stopped, release shutdown, prepare, start, started".to_owned()),
        (&["lan", "net-start"], "lan start, lan started".to_owned()),
        (&["lan", "net-destroy"], "lan stopped".to_owned()),
        (&["lan", "update"], "updated".to_owned()),
        (
            &["x", "migrate-in", "--driver", "libxl", "--unknown"],
            "migrate, prepare, start, started".to_owned(),
        ),
        (&["x", "stop", "--driver", "libxl", "--unknown"], "stopped, release".to_owned()),
    ] {
        let life = life(&host, of, 0);
        let [part] = parts(&life).as_slice() else { panic!("{of:?}: {life:#}") };
        assert_eq!(calls(part).join(", "), expected, "{of:?}");
        assert_eq!(part["reason"].is_string(), expected.is_empty(), "{of:?}");
    }
    let whole = life(&host, &["web1"], 0);
    assert_eq!(parts(&whole).len(), 11, "{whole:#}");
    assert_eq!((&whole["object"], &whole["uuid"]), (&"web1".into(), &UUID.into()));
    assert_eq!(whole["networks"], json!(["lan", "dmz"]));
    assert!(whole["document"].as_str().unwrap().ends_with("/qemu/web1.xml"));
    // also by its uuid
    assert_eq!(life(&host, &[UUID, "start"], 0)["object"], "web1");
    // before 10.5 a release has no reason
    host.file("usr/sbin/libvirtd", "#!/bin/sh\necho 'libvirtd (libvirt) 9.0.0'\n");
    let old = life(&host, &["web1", "save"], 0);
    assert_eq!(calls(part(&old, "save")).join(", "), ENDS);
}

#[test]
fn each_call_has_its_hooks_and_the_reason_why_others_are_left_out() {
    let host = host();
    host.follow(&[
        "before_vm_start/10-x",
        "after_vm_hibernate/10-x",
        "after_vm_destroy/10-x",
        "before_vm_dehibernate/10-x",
        "qemu.d/web1/prepare/begin/gpu",
        "before_network_port_create/10-x",
        "qemu.adopted",
    ]);
    for (name, text) in [
        ("titled", "events: before_vm_prepare\nwhen: {title: 'Web*'}\n"),
        ("named", "events: before_vm_prepare\nwhen: {name: db}\n"),
        ("lan", "events: before_network_port_create\nwhen: {network: lan}\n"),
        ("later", "events: after_vm_launch\nmode: detached\n"),
    ] {
        host.file(format!("hooks.d/{name}.yaml"), format!("{text}command: /bin/true\n"));
    }
    let life = life(&host, &["web1"], 0);
    assert_eq!(
        hooks(part(&life, "start"), "prepare", "web1"),
        [
            "before_vm_prepare/named not run",
            "before_vm_prepare/titled runs",
            "before_vm_start/10-x runs",
            "qemu.adopted runs",
            "qemu.d/web1/prepare/begin/gpu runs",
        ]
    );
    let port = |network| hooks(part(&life, "start"), "port-created", network);
    assert_eq!(port("lan")[1], "before_network_port_create/lan runs");
    assert_eq!(port("dmz")[1], "before_network_port_create/lan not run");
    let seen = hooks(part(&life, "migrate-in"), "prepare", "web1");
    assert!(seen.contains(&"before_vm_start/10-x not run".to_owned()), "{seen:?}");
    for (action, is_run) in [("save", true), ("destroy", false)] {
        let seen = hooks(part(&life, action), "release", "web1");
        let hibernates = "after_vm_hibernate/10-x runs".to_owned();
        assert_eq!(seen.contains(&hibernates), is_run, "{action}: {seen:?}");
        assert!(seen.contains(&"after_vm_destroy/10-x runs".to_owned()), "{action}: {seen:?}");
    }
    let started = &part(&life, "start")["calls"][4];
    assert_eq!(started["steps"][0]["detached"], true, "{started:#}");
    let events = started["events"].as_array().unwrap();
    assert_eq!(events[1], json!({"event": "after_vm_start", "fires": true, "reason": null}));
    assert_eq!(events[2]["fires"], false);
    assert!(host.log().is_empty(), "nothing runs");
    let said = host.text(&words(&["web1"]), 0);
    for line in [
        "web1 (qemu)",
        "├─start: virsh start",
        "│ │ ├─before_vm_prepare\n│ │ │ ├─named: not run: when: name is web1, not db\n│ │ │ └─titled: runs",
        "│ ├─network lan: port-created",
        "later: runs detached, after libvirt has its answer",
        "├─destroy: virsh destroy: as shutdown (reason: destroyed)",
        "├─reboot: virsh reboot, reset, or from inside: no call of libvirt's",
    ] {
        assert!(said.contains(line), "{line} is missing in\n{said}");
    }
}

#[test]
fn what_is_set_up_is_undone_at_the_end_of_the_life_and_of_the_port() {
    let host = host();
    for (name, event) in
        [("a", "before_vm_prepare"), ("b", "after_vm_launch"), ("p", "before_network_port_create")]
    {
        let text = format!("events: {event}\ncommand: /bin/true\nundo: /bin/true\n");
        host.file(format!("hooks.d/{name}.yaml"), text);
    }
    let life = life(&host, &["web1", "destroy"], 0);
    let undos = |index: usize| life["parts"][0]["calls"][index]["undos"].clone();
    let port = json!(["before_network_port_create/p"]);
    assert_eq!((undos(0), undos(1), undos(2)), (json!([]), port.clone(), port));
    assert_eq!(undos(3), json!(["after_vm_launch/b", "before_vm_prepare/a"]));
    // of one that runs, what it owes
    let text = definition("web1", UUID);
    let call =
        |words: [&str; 3]| host.call("qemu", [&["web1"], &words[..]].concat()).stdin(text.clone());
    call(["prepare", "begin", "-"]).run().succeeds();
    let life = self::life(&host, &["web1", "destroy"], 0);
    assert_eq!(life["running"], true);
    let undos = &life["parts"][0]["calls"][3]["undos"];
    assert_eq!(undos, &json!(["before_vm_prepare/a"]), "{life:#}");
}

/// What an earlier life still owes is taken back before the hooks of a new one: in a call, and in both plans of it.
#[test]
fn what_is_still_owed_is_taken_back_before_the_hooks_of_a_new_life() {
    let host = host();
    host.script("bin/a", "log set up");
    host.script("bin/undo", "log undone; test -e \"$T/ok\"");
    host.file("hooks.d/a.yaml", "events: before_vm_prepare\ncommand: bin/a\nundo: bin/undo\n");
    let text = definition("web1", UUID);
    let call =
        |words: [&str; 3]| host.call("qemu", [&["web1"], &words[..]].concat()).stdin(text.clone());
    let single = ["plan", "qemu", "web1", "prepare"];
    let owed = json!(["before_vm_prepare/a"]);
    let both_say_so = |place: &str| {
        let life = life(&host, &["web1", "start"], 0);
        let of_life = life["parts"][0]["calls"][0].clone();
        for plan in [of_life, host.json(&single, 0)] {
            assert_eq!(plan["operation"], "prepare", "{place}: {plan:#}");
            assert_eq!((&plan["undos_first"], &plan["undos"]), (&owed, &owed), "{place}: {plan:#}");
        }
    };
    call(["prepare", "begin", "-"]).run().succeeds();
    both_say_so("it runs");
    call(["release", "end", "-"]).run().fails(1, &["a (undo)"]);
    both_say_so("it is off");
    let is_before = |said: &str, first: &str, second: &str| {
        let at = |words: &str| {
            said.find(words).unwrap_or_else(|| panic!("{words} is missing in\n{said}"))
        };
        assert!(at(first) < at(second), "{said}");
    };
    let said = host.text(&single, 0);
    is_before(&said, "It first takes back what an earlier life still owes: ", "ORDER");
    assert!(!said.contains("then takes back"), "{said}");
    let said = host.text(&words(&["web1", "start"]), 0);
    is_before(&said, "before_vm_prepare/a (undo): runs first", "a: runs; undone at the end");
    // and so does the call
    fs::write(host.path("ok"), "").unwrap();
    host.log();
    call(["prepare", "begin", "-"]).run().succeeds();
    assert_eq!(host.log(), ["undone", "set up"]);
    // at the end nothing comes first
    let plan = host.json(&["plan", "qemu", "web1", "release", "--xml", "guest.xml"], 0);
    assert_eq!(plan["undos_first"], json!([]), "{plan:#}");
    // a `prepare` of libxl that fails takes back both: what was owed before its hooks, its own behind them
    let call = |words: [&str; 3]| host.call("libxl", [&["x"], &words[..]].concat());
    let text = "<domain type='xen'><name>x</name><uuid>91126ceb-7654-4672-8b0a-0cfef5ca9d70</uuid></domain>";
    fs::remove_file(host.path("ok")).unwrap();
    call(["prepare", "begin", "-"]).stdin(text).run().succeeds();
    call(["release", "end", "-"]).stdin(text).run().fails(1, &["a (undo)"]);
    host.script("before_vm_start/10-x", ":");
    host.file("libxl.xml", text);
    let file = host.hook("libxl.xml").display().to_string();
    let again = json!(["before_vm_prepare/a", "before_vm_prepare/a"]);
    let more = ["--xml", &file, "--fail", "10-x"];
    let of_life = life(&host, &[&["x", "start", "--driver", "libxl"], &more[..]].concat(), 0);
    let of_life = of_life["parts"][0]["calls"][0].clone();
    let single = host.json(&[&["plan", "libxl", "x", "prepare"], &more[..]].concat(), 0);
    for plan in [of_life, single] {
        assert_eq!((&plan["undos_first"], &plan["undos"]), (&owed, &again), "{plan:#}");
    }
}

/// What a failure leads to: the calls, what is rolled back and undone, and what becomes of the guest.
#[test]
fn a_failure_is_followed_to_its_end() {
    let host = host();
    for (name, text) in [
        ("first", "events: before_vm_prepare\nrollback: /bin/true\nundo: /bin/true\n"),
        ("owes", "events: before_vm_prepare\nundo: /bin/true\n"),
        ("gate", "events: before_vm_start\n"),
        ("stops", "events: before_vm_start\non_failure: stop\nweight: -1\n"),
        ("warns", "events: before_vm_start\non_failure: warn\n"),
        ("port", "events: before_network_port_create\nundo: /bin/true\nwhen: {network: lan}\n"),
        ("port-gate", "events: before_network_port_create\nwhen: {network: dmz}\n"),
        ("live", "events: after_vm_launch\n"),
        ("kill", "events: after_vm_launch\non_failure: kill\n"),
        ("later", "events: after_vm_launch\nmode: detached\n"),
        ("wakes", "events: before_vm_dehibernate\nundo: /bin/true\n"),
        ("saved", "events: before_vm_dehibernate\n"),
        ("comes", "events: before_vm_migrate_destination\nundo: /bin/true\n"),
        ("gone", "events: after_vm_stop\n"),
        ("again", "events: after_vm_reconnect\non_failure: kill\n"),
    ] {
        host.file(format!("hooks.d/{name}.yaml"), format!("{text}command: /bin/true\n"));
    }
    let prepared = "prepare, stopped, release failed";
    let with_ports = format!("{BEGINS}, {ENDS} failed");
    let off = "the guest isn't started: it stays off";
    // action, hook, calls, rolled back, undone (all in order), outcome
    #[rustfmt::skip]
    let table: [[&str; 6]; 13] = [
        ["start",      "gate",      prepared, "before_vm_prepare/first", "before_vm_prepare/owes", off],
        ["start",      "stops",     prepared, "before_vm_prepare/first", "before_vm_prepare/owes", off],
        ["start",      "warns",     BEGINS, "", "", ""],
        ["start",      "live",      BEGINS, "", "", ""],
        ["start",      "later",     BEGINS, "", "", ""],
        ["start",      "before_vm_prepare/first", prepared, "", "before_vm_prepare/owes", off],
        ["start",      "port-gate", "prepare, lan port-created, dmz port-created, stopped, lan port-deleted, release failed", "", "before_network_port_create/port, before_vm_prepare/owes, before_vm_prepare/first", off],
        ["start",      "kill",      &with_ports, "", "before_network_port_create/port, before_vm_prepare/owes, before_vm_prepare/first", "libvirt kills the guest that runs already"],
        ["restore",    "saved",     &format!("restore, {prepared}"), "", "before_vm_dehibernate/wakes", "the guest isn't restored: it stays saved"],
        ["restore",    "gate",      &format!("restore, {prepared}"), "before_vm_prepare/first", "before_vm_prepare/owes, before_vm_dehibernate/wakes", "the guest isn't restored: it stays saved"],
        ["migrate-in", "comes",     "migrate", "", "", "the migration is refused: the guest goes on running on its source host"],
        ["reconnect",  "again",     &format!("lan port-created, dmz port-created, reconnect, {ENDS} daemon"), "", "before_network_port_create/port, before_vm_prepare/owes, before_vm_prepare/first", "libvirt kills the guest"],
        ["shutdown",   "gone",      &format!("{ENDS} shutdown"), "", "before_network_port_create/port, before_vm_prepare/owes, before_vm_prepare/first", ""],
    ];
    for [action, hook, expected, rolled_back, undone, outcome] in table {
        let life = life(&host, &["web1", action, "--fail", hook], 0);
        let place = format!("{action} --fail {hook}: {life:#}");
        let part = part(&life, action);
        assert_eq!(calls(part).join(", "), expected, "{place}");
        assert_eq!(part["outcome"].as_str().unwrap_or_default(), outcome, "{place}");
        assert_eq!(life["fail"], json!([hook]), "{place}");
        let all = |key: &str| {
            let calls = part["calls"].as_array().unwrap().iter();
            let all = calls.flat_map(|call| call[key].as_array().unwrap());
            all.map(|one| one.as_str().unwrap()).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(all("rollbacks"), rolled_back, "{place}");
        assert_eq!(all("undos"), undone, "{place}");
        // what follows is marked, and what is told is told once
        let calls = part["calls"].as_array().unwrap();
        let failed = calls.iter().position(|call| call["would_fail"] == true);
        let failed = if action == "restore" { Some(1) } else { failed };
        for (index, call) in calls.iter().enumerate() {
            let is_after = !outcome.is_empty() && failed.is_some_and(|failed| index > failed);
            assert_eq!(call["after_failure"], is_after, "{index} {place}");
        }
    }
    // `stop` lets nothing run behind it, an ordinary failure does
    let state = |hook: &str, of: &str| {
        let life = life(&host, &["web1", "start", "--fail", hook], 0);
        let seen = hooks(part(&life, "start"), "prepare", "web1");
        seen.into_iter().find(|line| line.starts_with(of)).unwrap()
    };
    assert_eq!(state("stops", "before_vm_start/warns"), "before_vm_start/warns not run");
    assert_eq!(state("gate", "before_vm_start/warns"), "before_vm_start/warns runs");
    // a container and libxl's guest differ
    host.file("hooks.d/gate.yaml", "events: before_vm_start\ncommand: /bin/true\n");
    let libxl = ["x", "start", "--driver", "libxl", "--unknown", "--fail", "gate"];
    let life = life(&host, &libxl, 0);
    assert_eq!(calls(part(&life, "start")), ["prepare"], "{life:#}");
    let undone = &life["parts"][0]["calls"][0]["undos"];
    assert_eq!(undone, &json!(["before_vm_prepare/owes"]), "{life:#}");
    let said = host.text(&words(&["web1", "start", "--fail", "gate"]), 0);
    for line in [
        "gate: fails (1): exit status 1, as --fail says",
        "before_vm_prepare/first (rollback): runs",
        "libvirt is told 1: before_vm_start/gate: exit status 1",
        "release (reason: failed), because of the failure",
        "before_vm_prepare/owes (undo): runs",
        "└─=> the guest isn't started: it stays off",
    ] {
        assert!(said.contains(line), "{line} is missing in\n{said}");
    }
}

/// The same question about a single call.
#[test]
fn a_single_call_says_what_a_failure_leads_to() {
    let host = host();
    host.file(
        "hooks.d/first.yaml",
        "events: before_vm_prepare\ncommand: /bin/true\nrollback: /bin/true\n",
    );
    host.script("before_vm_start/10-x", ":").script("after_vm_stop/10-x", ":");
    let plan = host.json(&["plan", "qemu", "web1", "prepare", "--fail", "before_vm_start/10-x"], 0);
    assert_eq!((&plan["would_fail"], &plan["status"]), (&json!(true), &json!(1)));
    assert_eq!(plan["rollbacks"], json!(["before_vm_prepare/first"]));
    assert!(plan["outcome"].as_str().unwrap().contains("isn't started"), "{plan:#}");
    let said = host.text(&["plan", "qemu", "web1", "prepare", "--fail", "10-x"], 0);
    for words in ["Rolled back then: before_vm_prepare/first.", "It calls then: stopped"] {
        assert!(said.contains(words), "{words} is missing in\n{said}");
    }
    // only what this libvirt calls: a guest at `prepare` has no port, and before 10.5 a release has no reason
    let next = |of: &[&str]| {
        let said = host.text(&words(&[of, &["--fail", "10-x", "--unknown"]].concat()), 0);
        let line = said.lines().find_map(|line| line.strip_prefix("It calls then: "));
        line.map(str::to_owned).unwrap_or_default()
    };
    host.script("qemu.d/web1/start/begin/10-x", ":");
    let ports = "port-deleted of its networks";
    for (version, reason) in
        [(None, " (failed)"), (Some("9.0.0"), ""), (Some("11.3.0"), " (failed)")]
    {
        if let Some(version) = version {
            let text = format!("#!/bin/sh\necho 'libvirtd (libvirt) {version}'\n");
            host.file("usr/sbin/libvirtd", text);
        }
        assert_eq!(next(&["qemu", "web1", "prepare"]), format!("stopped, release{reason}."));
        assert_eq!(next(&["qemu", "web1", "start"]), format!("stopped, {ports}, release{reason}."));
    }
    assert_eq!(next(&["libxl", "x", "prepare"]), "");
    let plan = host.json(&["plan", "qemu", "web1", "stopped", "--fail", "10-x"], 0);
    assert_eq!((&plan["would_fail"], &plan["outcome"]), (&json!(false), &Value::Null));
    // a failure that is there all the same is a problem
    host.mode("hooks/before_vm_start/10-x", 0o777);
    host.json(&["plan", "qemu", "web1", "prepare", "--fail", "first"], 1);
    life(&host, &["web1", "start"], 1);
    life(&host, &["web1", "save"], 0);
}

#[test]
fn what_is_not_known_is_wrong_usage_with_what_was_probably_meant() {
    let host = host();
    host.script("before_vm_start/10-x", ":");
    host.file("../lxc/db.xml", "<domain type='lxc'><name>db</name></domain>");
    for (of, told, fix) in [
        (&["wbe1"][..], "libvirt knows no guest wbe1; did you mean", Some("web1")),
        (&["WEB1", "start"], "did you mean", Some("web1 start")),
        (&["zzz"], "libvirt knows no guest zzz; --unknown", None),
        (&["db"], "qemu and lxc have a guest db", Some("db --driver qemu")),
        (&["web1", "strat"], "did you mean", Some("web1 start")),
        (&["web1", "zzz"], "start, reboot", None),
        (&["web1", "prepare"], "single call", Some("qemu web1 prepare")),
        (&["qemu", "web1"], "a call has three words", Some("web1 --driver qemu")),
        (&["box", "save"], "lxc has no save", None),
        (&["web1", "--driver", "daemon"], "the daemon has no guests", None),
        (&["qemus", "web1", "prepare"], "drivers are daemon, qemu", None),
        (&["qemus", "web1", "prepare"], "network, bhyve; did you mean `qemu`?", None),
        (&["frob", "web1", "prepare"], "drivers are daemon, qemu, lxc", None),
        (&["qemu", "web1", "prepar"], "did you mean", Some("qemu web1 prepare")),
        (&["qemu", "web1", "before_vm_start"], "is an event", Some("qemu web1 prepare")),
        (
            &["qemu", "web1", "prepare", "end"],
            "makes no call prepare end",
            Some("qemu web1 prepare"),
        ),
        (&["qemu", "web1", "zzz"], "they are prepare, start", None),
        (&["qemu", "wbe1", "prepare"], "no guest of qemu wbe1", Some("qemu web1 prepare")),
        (&["network", "lann", "start"], "no network lann", Some("network lan start")),
        (&["web1", "start", "--fail", "10-y"], "did you mean `10-x`?", None),
        (&["qemu", "web1", "prepare", "--driver", "qemu"], "a call begins with its driver", None),
    ] {
        let value = host.json(&words(of), 2);
        let error = &value["error"];
        assert_eq!(error["code"], "usage", "{of:?}: {value:#}");
        assert!(error["message"].as_str().unwrap().contains(told), "{of:?}: {value:#}");
        let meant = error["fix_command"].as_array().map(|command| {
            let words: Vec<&str> = command.iter().map(|word| word.as_str().unwrap()).collect();
            words.split_at(4).1.join(" ")
        });
        assert_eq!(meant.as_deref(), fix, "{of:?}: {value:#}");
        // the same for people
        let said = host.text(&words(of), 2);
        assert!(said.contains(told), "{of:?}");
        assert!(said.matches("daemon, ").count() <= 1, "{of:?}: all drivers, twice: {said}");
    }
    // `run` makes single calls only
    let said = host.text(&["run", "web1", "start"], 2);
    assert!(said.contains("a call begins with one: `qemu web1 prepare`"), "{said}");
    assert!(host.text(&["run", "qemus", "g", "prepare"], 2).contains("did you mean `qemu`?"));
    for of in [
        &["zzz", "--unknown"][..],
        &["zzz", "start", "--xml", "guest.xml"],
        &["qemu", "zzz", "prepare", "--unknown"],
        &["qemu", "zzz", "prepare", "--xml", "guest.xml"],
        &["qemu", "web1", "paused", "--unknown"],
        &["db", "--driver", "lxc"],
    ] {
        host.text(&words(of), 0);
    }
}

#[test]
fn without_a_definition_the_plan_is_for_what_needs_none() {
    let host = Host::new();
    for (name, when) in [("named", "{name: g}"), ("titled", "{title: x}")] {
        let text = format!("events: before_vm_prepare\ncommand: /bin/true\nwhen: {when}\n");
        host.file(format!("hooks.d/{name}.yaml"), text);
    }
    // nothing is defined that could be seen
    let life = life(&host, &["g", "start"], 0);
    assert_eq!((&life["document"], &life["running"]), (&Value::Null, &Value::Null));
    assert_eq!(
        hooks(part(&life, "start"), "prepare", "g"),
        ["before_vm_prepare/named runs", "before_vm_prepare/titled not run"]
    );
    let said = host.text(&words(&["g"]), 0);
    assert!(said.contains("document: none") && said.contains("don't hold here"), "{said}");
}

/// libvirt's own directories: what runs, what is saved, and a guest without a definition.
#[test]
fn a_guest_that_runs_is_known_by_libvirts_file_about_it() {
    let host = host();
    for (name, title) in [("configured", "Web server"), ("changed", "Changed")] {
        let text = format!("events: after_vm_stop\ncommand: /bin/true\nwhen: {{title: {title}}}\n");
        host.file(format!("hooks.d/{name}.yaml"), text);
    }
    host.file("hooks.d/fresh.yaml", "events: before_vm_dehibernate\ncommand: /bin/true\n");
    fs::create_dir_all(host.path("etc/libvirt")).unwrap();
    for (place, target) in
        [("etc/libvirt/hooks", "../../hooks"), ("etc/libvirt/qemu", "../../qemu")]
    {
        std::os::unix::fs::symlink(target, host.path(place)).unwrap();
    }
    let status = |name: &str| {
        let domain = definition(name, UUID).replace("Web server", "Changed");
        let domain = domain.split_once("-->\n").unwrap().1;
        let text = format!("<domstatus state='running'>{domain}</domstatus>");
        host.file(format!("../run/libvirt/qemu/{name}.xml"), text);
    };
    let ask = |of: &[&str]| {
        let words = words(&[of, &["--output", "json"]].concat());
        let output = Command::new(binary_under_test())
            .arg("--hooks-dir")
            .arg(host.path("etc/libvirt/hooks"))
            .args(&words)
            .env("XDG_CONFIG_HOME", host.path("config"))
            .env("XDG_RUNTIME_DIR", host.path("session"))
            .current_dir(host.path(""))
            .output()
            .unwrap();
        schema::read(&words, &output.stdout)
    };
    host.file("../run/libvirt/qemu/none.txt", "");
    let seen = |of: &[&str]| {
        let life = ask(of);
        let hooks = hooks(&life["parts"][0], "stopped", of[0]);
        (life["running"].clone(), hooks)
    };
    let states = |configured: &str, changed: &str| {
        vec![
            format!("after_vm_stop/changed {changed}"),
            format!("after_vm_stop/configured {configured}"),
        ]
    };
    assert_eq!(seen(&["web1", "stop"]), (json!(false), states("runs", "not run")));
    status("web1");
    status("transient");
    assert_eq!(seen(&["web1", "stop"]), (json!(true), states("not run", "runs")));
    // without a definition
    assert_eq!(seen(&["transient", "stop"]), (json!(true), states("not run", "runs")));
    // a managed save makes a start a restore
    host.file("../save/db.save", "x");
    let life = ask(&["db", "start"]);
    assert_eq!((&life["managed_save"], &life["running"]), (&json!(true), &json!(false)));
    assert_eq!(calls(&life["parts"][0])[0], "restore");
    assert_eq!(life["parts"][0]["calls"][0]["origin"], "restore");
    // and a user's own guest
    host.file("../config/libvirt/qemu/mine.xml", definition("mine", UUID));
    let life = ask(&["mine", "start"]);
    assert!(life["document"].as_str().unwrap().contains("config/libvirt"), "{life:#}");
}

/// One that libvirt's files don't show, and that hookmux has seen start.
#[test]
fn a_guest_that_only_hookmux_remembers_is_planned_for_by_the_document_of_its_start() {
    let host = host();
    host.file(
        "hooks.d/titled.yaml",
        "events: after_vm_stop\ncommand: /bin/true\nwhen: {title: 'Web*'}\n",
    );
    let other = UUID.replace("d75", "d79");
    for words in [["prepare", "begin", "-"], ["started", "begin", "-"]] {
        let call = host.call("lxc", [&["gone"], &words[..]].concat());
        call.stdin(definition("gone", &other)).run().succeeds();
    }
    let life = life(&host, &["gone", "stop"], 0);
    assert_eq!((&life["driver"], &life["running"]), (&json!("lxc"), &json!(true)));
    assert_eq!(hooks(&life["parts"][0], "stopped", "gone"), ["after_vm_stop/titled runs"]);
}

/// A restore that failed is told at the next start.
#[test]
fn a_failure_that_waits_is_part_of_the_life() {
    let host = host();
    host.script("before_vm_dehibernate/10-x", "exit 3");
    let text = definition("web1", UUID);
    host.call("qemu", ["web1", "restore", "begin", "-"]).stdin(text).run().succeeds();
    let life = life(&host, &["web1", "start"], 1);
    let part = part(&life, "start");
    assert_eq!(part["calls"][0]["status"], 3, "{life:#}");
    assert_eq!(calls(part).join(", "), "prepare, stopped, release failed");
    // a new restore replaces it
    self::life(&host, &["web1", "restore"], 0);
}

#[test]
fn run_asks_before_it_runs_hooks_for_a_guest_that_is_not_known() {
    let host = host();
    host.follow(&["after_vm_stop/10-x"]);
    let value = host.json(&["run", "qemu", "wbe1", "stopped"], 2);
    assert_eq!(value["error"]["code"], "unanswered");
    let message = value["error"]["message"].as_str().unwrap();
    assert!(message.contains("no guest of qemu wbe1") && message.contains("--yes"), "{message}");
    host.text(&["run", "qemu", "web1", "stoped"], 2);
    assert!(host.log().is_empty());
    host.text(&["run", "qemu", "wbe1", "stopped", "--yes"], 0);
    host.text(&["run", "qemu", "web1", "stopped"], 0);
    host.text(&["run", "qemu", "wbe1", "stopped", "--xml", "guest.xml"], 0);
    assert_eq!(host.log().len(), 3);
}

#[test]
fn a_run_without_hooks_leaves_no_record() {
    let host = host();
    let said = host.text(&["run", "qemu", "web1", "stopped"], 0);
    assert!(said.contains("no hook ran") && said.contains("exit status 0"), "{said}");
    let ran = host.json(&["run", "qemu", "web1", "prepare"], 0);
    assert_eq!((&ran["id"], &ran["runs"]), (&Value::Null, &json!([])));
    assert_eq!(host.json(&["log"], 0)["executions"], json!([]));
    host.script("after_vm_stop/10-x", ":");
    host.text(&["run", "qemu", "web1", "stopped"], 0);
    assert_eq!(host.json(&["log"], 0)["executions"].as_array().unwrap().len(), 1);
}
