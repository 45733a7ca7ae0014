//! From how hooks end to what libvirt is told. (L5, V4)

use crate::support::Host;

struct Class {
    call: &'static str,
    event: &'static str,
    name: &'static str,
}

const GATE: Class = Class { call: "prepare begin", event: "before_vm_start", name: "gate" };
const LIVE: Class = Class { call: "started begin", event: "after_vm_start", name: "live" };
const NOTIFY: Class = Class { call: "stopped end", event: "after_vm_stop", name: "notify" };
const RECONNECT: Class =
    Class { call: "reconnect begin", event: "after_vm_reconnect", name: "live (reconnect)" };

impl Class {
    fn tree(&self) -> String {
        format!("qemu.d/g/{}", self.call.replace(' ', "/"))
    }
}

/// Ways to end, the status that libvirt gets, and what is said.
const ENDS: &[(&str, i32, &str)] = &[
    ("exit 1", 1, "exit status 1 after "),
    ("exit 2", 2, "exit status 2 after "),
    ("exit 3", 3, "exit status 3 after "),
    ("exit 77", 77, "exit status 77 after "),
    ("exit 124", 124, "exit status 124 after "),
    ("exit 255", 255, "exit status 255 after "),
    ("kill -SEGV $$", 139, "killed by signal 11 (SIGSEGV) after "),
    ("kill -KILL $$", 137, "killed by signal 9 (SIGKILL) after "),
    ("kill -TERM $$", 143, "killed by signal 15 (SIGTERM) after "),
    ("exec sleep 60", 124, "timed out after 1.0 s"),
    ("#!/nonexistent/interpreter\n", 127, "the interpreter in its `#!` line, does not exist"),
];

fn host(place: &str, end: &str) -> Host {
    let host = Host::new();
    if end.contains("sleep") {
        host.settings("timeout: 1s");
    }
    host.script(place, end);
    host
}

// L5, V4
#[test]
fn a_gate_fails_with_the_status_of_its_hook() {
    for (end, status, words) in ENDS {
        for place in ["before_vm_start/10-x", "qemu.d/g/prepare/begin/10-x"] {
            let line = format!("hookmux: {place}: ");
            host(place, end).guest(GATE.call).run().fails(*status, &[&line, words]);
        }
    }
    // an adopted script has no limit in time
    for (end, status, words) in ENDS.iter().filter(|(end, ..)| !end.contains("sleep")) {
        let answer = host("qemu.adopted", end).guest(GATE.call).run();
        answer.fails(*status, &["hookmux: qemu.adopted: ", words]);
    }
}

// L5, V4
#[test]
fn a_live_call_succeeds_in_silence_whatever_happened() {
    for class in [LIVE, RECONNECT] {
        for (end, ..) in ENDS {
            let host = host(&format!("{}/10-x", class.event), end);
            host.follow(&[&format!("{}/20-x", class.event)]);
            host.guest(class.call).run().succeeds();
            let goes_on = *end != "exit 2";
            assert_eq!(host.log().len(), usize::from(goes_on), "{} {end}", class.name);
        }
    }
}

// P1: as under the helper, but for a daemon's restart
#[test]
fn the_tree_and_an_adopted_script_kill_at_started_and_never_at_reconnect() {
    for (end, status, words) in ENDS.iter().filter(|(end, ..)| !end.contains("sleep")) {
        for place in [format!("{}/10-x", LIVE.tree()), "qemu.adopted".to_owned()] {
            let line = format!("hookmux: {place}: ");
            host(&place, end).guest(LIVE.call).run().fails(*status, &[&line, words]);
        }
        for place in [format!("{}/10-x", RECONNECT.tree()), "qemu.adopted".to_owned()] {
            host(&place, end).guest(RECONNECT.call).run().succeeds();
        }
        for place in ["qemu.d/g/unheard/begin/10-x", "qemu.adopted", "on_qemu_unheard/10-x"] {
            host(place, end).guest("unheard begin").run().succeeds();
        }
    }
    // the event's hook failed first, the tree's is what kills
    let host = Host::new();
    host.script("after_vm_start/10-x", "exit 3");
    host.script("qemu.d/g/started/begin/10-x", "exit 4");
    host.guest(LIVE.call).run().fails(4, &["qemu.d/g/started/begin/10-x: exit status 4"]);
}

// L5
#[test]
fn a_notify_call_passes_a_failure_on() {
    for (end, status, words) in ENDS {
        for place in [format!("{}/10-x", NOTIFY.event), format!("{}/10-x", NOTIFY.tree())] {
            let line = format!("hookmux: {place}: ");
            host(&place, end).guest(NOTIFY.call).run().fails(*status, &[&line, words]);
        }
    }
}

// L1, L5
#[test]
fn networks_and_the_daemon_have_their_classes() {
    for (driver, words, event, status) in [
        ("network", ["n", "start", "begin", "-"], "before_network_start", 3),
        ("network", ["n", "started", "begin", "-"], "after_network_start", 0),
        ("network", ["n", "stopped", "end", "-"], "after_network_stop", 3),
        ("network", ["n", "updated", "begin", "-"], "after_network_update", 0),
        ("network", ["n", "port-created", "begin", "-"], "before_network_port_create", 3),
        ("network", ["n", "plugged", "begin", "-"], "before_network_port_create", 3),
        ("network", ["n", "port-deleted", "begin", "-"], "after_network_port_delete", 3),
        ("daemon", ["-", "start", "-", "start"], "before_daemon_start", 3),
        ("daemon", ["-", "shutdown", "-", "shutdown"], "before_daemon_stop", 3),
        ("daemon", ["-", "reload", "begin", "SIGHUP"], "before_daemon_reload", 3),
        ("lxc", ["c", "start", "begin", "-"], "before_vm_launch", 3),
        ("lxc", ["c", "started", "begin", "-"], "after_vm_launch", 0),
        ("libxl", ["d", "release", "end", "-"], "after_vm_destroy", 3),
        ("bhyve", ["b", "prepare", "begin", "-"], "before_vm_prepare", 3),
        ("qemu", ["g", "attach", "begin", "-"], "after_vm_attach", 0),
        ("qemu", ["g", "migrate", "begin", "-"], "before_vm_migrate_destination", 3),
        ("qemu", ["g", "restore", "begin", "-"], "before_vm_dehibernate", 0),
    ] {
        let host = Host::new();
        host.script(format!("{event}/10-x"), "log ran; exit 3");
        let answer = host.call(driver, words).run();
        assert_eq!(answer.status, Some(status), "{driver} {words:?}: {answer:?}");
        assert_eq!(answer.stderr.is_empty(), status == 0);
        assert_eq!(host.log(), ["ran"], "{driver} {words:?}");
    }
    // vetoes of networks in the tree, which would tear a working one down
    let host = Host::new();
    host.script("network.d/n/started/begin/10-x", "exit 3");
    host.call("network", ["n", "started", "begin", "-"]).run().fails(3, &["network.d/n/started"]);
}

// V4
#[test]
fn after_a_failure_the_rest_runs_but_for_status_two() {
    for (status, expected) in [
        ("1", &["10", "20", "30", "tree"][..]),
        ("3", &["10", "20", "30", "tree"]),
        ("255", &["10", "20", "30", "tree"]),
        ("2", &["10"]),
    ] {
        for class in [GATE, NOTIFY] {
            let host = Host::new();
            host.script(format!("{}/10-x", class.event), &format!("log 10; exit {status}"));
            host.script(format!("{}/20-x", class.event), "log 20");
            host.script(format!("{}/30-x", class.event), "log 30; exit 9");
            host.script(format!("{}/10-x", class.tree()), "log tree");
            let status = status.parse().unwrap();
            let answer = host.guest(class.call).run();
            answer.fails(status, &["10-x: exit status"]);
            assert_eq!(host.log(), expected, "{} {status}", class.name);
            assert_eq!(answer.stderr.contains("30-x: exit status 9"), status != 2);
        }
    }
    // the whole call, not just the event
    let host = Host::new();
    host.script("before_vm_prepare/10-x", "exit 2")
        .follow(&["before_vm_start/10-x", "qemu.adopted"]);
    host.guest(GATE.call).run().fails(2, &[]);
    assert_eq!(host.log(), [""; 0]);
}

// P1
#[test]
fn in_the_tree_the_first_failure_stops() {
    for status in ["1", "2", "3"] {
        let host = Host::new();
        host.script("qemu.d/g/prepare/begin/10-x", &format!("log 10; exit {status}"));
        host.follow(&["qemu.d/g/prepare/begin/20-x"]);
        host.guest(GATE.call).run().fails(status.parse().unwrap(), &["begin/10-x: exit status"]);
        assert_eq!(host.log(), ["10"]);
    }
}

// V4
#[test]
fn the_status_is_the_first_failures_and_every_failure_has_its_line() {
    let host = Host::new();
    host.script("before_vm_prepare/10-a", "echo one >&2; exit 5");
    host.script("before_vm_prepare/20-b", "echo fine >&2");
    host.script("before_vm_start/10-c", "echo two >&2; kill -9 $$");
    host.script("before_vm_start/20-d", "exit 6");
    let answer = host.guest(GATE.call).run();
    answer.fails(5, &[]).never_says("fine");
    let lines: Vec<&str> = answer.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{answer:?}");
    let took = |line: &str| -> String {
        // the duration is what it was
        let (before, rest) = line.split_once(" after ").unwrap();
        let (seconds, rest) = rest.split_once(" s").unwrap();
        assert!(seconds.parse::<f64>().is_ok(), "{line}");
        format!("{before} after T s{rest}")
    };
    assert_eq!(took(lines[0]), "hookmux: before_vm_prepare/10-a: exit status 5 after T s: one");
    assert_eq!(
        took(lines[1]),
        "hookmux: before_vm_start/10-c: killed by signal 9 (SIGKILL) after T s: two"
    );
    assert_eq!(took(lines[2]), "hookmux: before_vm_start/20-d: exit status 6 after T s");
}

// L5
#[test]
fn the_last_line_that_says_something_is_in_the_line_and_the_tail_follows() {
    let host = Host::new();
    host.script(
        "before_vm_start/10-x",
        "echo loading >&2; echo '  no pages left ' >&2; echo >&2; echo ' ' >&2; exit 3",
    );
    let answer = host.guest(GATE.call).run();
    answer.fails(3, &[" s: no pages left\n", "before_vm_start/10-x said:\nloading\n"]);
}

// L5
#[test]
fn what_libvirt_gets_is_bounded_and_clean() {
    let host = Host::new();
    host.script(
        "before_vm_start/10-x",
        r"printf '\033[31mred\007\r\n\377\376 b\000d \342\200\256 \303\274\n' >&2; exit 3",
    );
    let answer = host.guest(GATE.call).run();
    answer.fails(3, &["\\u{1b}[31mred\\u{7}", "\\xff\\xfe", "b\\u{0}d", "\\u{202e}", "\u{fc}"]);
    assert!(!answer.stderr.chars().any(|c| c.is_control() && c != '\n'), "{answer:?}");

    // 4 KiB, however many talk however much
    let host = Host::new();
    for n in 10..15 {
        let talk =
            format!("yes 'a line of {n}' | head -n 100000 >&2; echo the end of {n} >&2; exit 3");
        host.script(format!("before_vm_start/{n}-x"), &talk);
    }
    let answer = host.guest(GATE.call).run();
    answer.fails(3, &[]);
    assert!(answer.stderr.len() > 2048, "{}", answer.stderr.len());
    for n in 10..15 {
        answer.fails(3, &[&format!("before_vm_start/{n}-x: exit"), &format!("the end of {n}")]);
    }
    let host = Host::new();
    for n in 100..200 {
        host.script(
            format!("before_vm_start/{n}-a-hook-with-a-long-name"),
            "echo words >&2; exit 3",
        );
    }
    host.guest(GATE.call).run().fails(3, &["before_vm_start/100-", " more\n"]);
    // one line without an end
    let host = Host::new();
    host.script("before_vm_start/10-x", "head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 3");
    host.guest(GATE.call).run().fails(3, &["10-x: exit status 3 after"]);
}

#[test]
fn a_hooks_own_name_cannot_steer_a_terminal_either() {
    let host = Host::new();
    host.script("before_vm_start/10-\u{1b}[2J\n\u{202e}x", "exit 3");
    let answer = host.guest(GATE.call).run();
    answer.fails(3, &["before_vm_start/10-\\u{1b}[2J\\n\\u{202e}x: exit status 3"]);
}

// L5: libvirt drops what a successful hook says; it belongs to the record
#[test]
fn success_is_silent() {
    for class in [GATE, LIVE, NOTIFY, RECONNECT] {
        let host = Host::new();
        for place in [format!("{}/10-x", class.event), format!("{}/10-x", class.tree())] {
            host.script(place, "echo out; echo '<domain/>'; echo err >&2");
        }
        host.guest(class.call).run().succeeds();
        host.guest(class.call).stdin("<broken").run();
    }
}

// L7
#[test]
fn an_interpreter_that_does_not_exist_is_named() {
    for (line, words) in [
        ("#!/nowhere/bin/python3 -I", "there is no `/nowhere/bin/python3`"),
        ("#! /nowhere/sh", "there is no `/nowhere/sh`"),
        ("#!/bin/sh\r", "carriage return"),
    ] {
        let host = Host::new();
        host.script("before_vm_prepare/10-x", &format!("{line}\nexit 0\n"));
        host.script("bin/y", &format!("{line}\nexit 0\n"));
        let answer = host.guest("prepare begin").run();
        answer.fails(127, &["before_vm_prepare/10-x: can't be executed: ", words]);
        host.script("before_vm_prepare/10-x", "exit 0");
        host.file(
            "hooks.d/x.yaml",
            "events: before_vm_prepare\ncommand: /bin/true\ncheck: bin/y\n",
        );
        host.guest("prepare begin").run().fails(127, &["its check can't be executed: ", words]);
    }
}

#[test]
fn a_file_that_is_no_program_is_named() {
    let host = Host::new();
    host.file("before_vm_start/10-x", "just text\n");
    host.guest(GATE.call).run().fails(126, &["before_vm_start/10-x: can't be executed", "#!"]);
    let host = Host::new();
    host.file("before_vm_start/10-x", "#!/bin/sh\r\nexit 0\r\n");
    host.guest(GATE.call).run().fails(127, &["before_vm_start/10-x: can't be executed"]);
    // the others of the event run nevertheless
    let host = Host::new();
    host.file("before_vm_start/10-x", "#!/nonexistent\n").follow(&["before_vm_start/20-x"]);
    host.guest(GATE.call).run().fails(127, &[]);
    assert_eq!(host.log(), ["before_vm_start/20-x"]);
}
