//! `undo`: what a hook has set up is taken back at the end of its guest, network or port.

use std::fs;

use crate::support::documents::UUID;
use crate::support::{GUEST, Host, capture, until};

/// A hook and its undo, both of which log.
pub fn register(host: &Host, name: &str, event: &str, more: &str) {
    host.script(
        format!("bin/{name}"),
        &format!(
            "log \"set {name}\"\necho \"output of {name}\"\n\
             test -e \"$T/{name}.fails\" && exit 3\nexit 0"
        ),
    );
    host.script(
        format!("bin/{name}-undo"),
        &format!(
            "log \"undo {name} $HOOKMUX_UNDO_OUTCOME $(cat \"$HOOKMUX_UNDO_OUTPUT\")${{HOOKMUX_UNDO_AGAIN:+ again}}\"\n\
             test -e \"$T/{name}-undo.fails\" && exit 4\nexit 0"
        ),
    );
    host.file(
        format!("hooks.d/{name}.yaml"),
        format!("events: [{event}]\ncommand: bin/{name}\nundo: bin/{name}-undo\n{more}\n"),
    );
}

pub fn host() -> Host {
    let host = Host::new();
    register(&host, "a", "before_vm_prepare", "");
    register(&host, "b", "before_vm_prepare", "weight: 200");
    register(&host, "c", "after_vm_launch", "");
    host
}

pub fn undone(name: &str) -> String {
    format!("undo {name} done output of {name}")
}

/// What lies in the ledger: the files of entries.
pub fn owed(host: &Host) -> usize {
    let is_entry = |path: &std::path::PathBuf| {
        path.starts_with(host.path("run/undo")) && path.extension().is_some_and(|end| end == "json")
    };
    host.everything().iter().filter(|path| is_entry(path)).count()
}

pub fn touch(host: &Host, name: &str) {
    fs::write(host.path(name), "").unwrap();
}

pub fn remove(host: &Host, name: &str) {
    fs::remove_file(host.path(name)).unwrap();
}

pub fn live(host: &Host) {
    for call in ["prepare begin", "start begin", "started begin"] {
        host.guest(call).run().succeeds();
    }
}

#[test]
fn a_life_is_taken_back_in_reverse_order_after_the_hooks_of_release() {
    let host = host();
    host.follow(&["after_vm_destroy/90-own"]);
    live(&host);
    assert_eq!(host.log(), ["set a", "set b", "set c"]);
    assert_eq!(owed(&host), 3);
    host.guest("stopped end").run().succeeds();
    assert!(host.log().is_empty());
    host.guest("release end shutdown").run().succeeds();
    assert_eq!(
        host.log(),
        ["after_vm_destroy/90-own".to_owned(), undone("c"), undone("b"), undone("a")]
    );
    assert_eq!(owed(&host), 0);
    host.guest("release end shutdown").run().succeeds();
    assert_eq!(host.log(), ["after_vm_destroy/90-own"], "once");
    // the runs are in the record of that call
    let log = host.json(&["log"], 0);
    let runs = log["executions"].as_array().unwrap().iter().flat_map(|one| {
        let id = one["id"].as_str().unwrap().to_owned();
        let shown = host.json(&["show", &id], 0);
        shown["runs"].as_array().unwrap().clone()
    });
    let labels: Vec<String> = runs.map(|run| run["hook"].as_str().unwrap().to_owned()).collect();
    for label in ["after_vm_launch/c (undo)", "before_vm_prepare/a (undo)"] {
        assert!(labels.iter().any(|seen| seen == label), "{label}: {labels:?}");
    }
}

#[test]
fn a_hook_that_failed_owes_nothing_and_an_earlier_success_stays() {
    let host = host();
    touch(&host, "b.fails");
    host.guest("prepare begin").run().fails(3, &["before_vm_prepare/b"]);
    assert_eq!(host.log(), ["set a", "set b"]);
    // libvirt calls `release` after a `prepare` that failed
    host.guest("release end failed").run().succeeds();
    assert_eq!(host.log(), [undone("a")]);
    // a live hook runs again, and fails
    remove(&host, "b.fails");
    live(&host);
    host.log();
    host.script("bin/c", "log again; echo other; exit 5");
    host.guest("started begin").run().succeeds();
    host.guest("release end failed").run().succeeds();
    assert_eq!(host.log(), ["again".to_owned(), undone("c"), undone("b"), undone("a")]);
    // a second success renews output and document, and keeps the place
    live(&host);
    host.log();
    host.script("bin/a", "echo renewed");
    host.guest("prepare begin").run().succeeds();
    host.log();
}

#[test]
fn where_no_release_follows_a_failed_gate_takes_back_at_once() {
    for (driver, operation, is_last) in [
        ("qemu", "prepare", false),
        ("lxc", "prepare", false),
        ("libxl", "prepare", true),
        ("bhyve", "prepare", true),
        ("qemu", "migrate", true),
        ("libxl", "migrate", true),
        ("qemu", "start", false),
        ("libxl", "start", false),
    ] {
        let host = Host::new();
        let call = format!("{driver}/{operation}/begin");
        for (name, weight) in [("a", 1), ("b", 2), ("z", 3)] {
            register(&host, name, "before_vm_prepare", "");
            host.file(
                format!("hooks.d/{name}.yaml"),
                format!("calls: ['{call}']\ncommand: bin/{name}\nundo: bin/{name}-undo\nweight: {weight}\n"),
            );
        }
        touch(&host, "z.fails");
        let answer = host.call(driver, ["g", operation, "begin", "-"]).run();
        answer.fails(3, &["/z: exit status 3"]);
        let expected = match is_last {
            true => vec!["set a".into(), "set b".into(), "set z".into(), undone("b"), undone("a")],
            false => vec!["set a".to_owned(), "set b".to_owned(), "set z".to_owned()],
        };
        assert_eq!(host.log(), expected, "{call}");
        assert_eq!(owed(&host), if is_last { 0 } else { 2 }, "{call}");
        host.call(driver, ["g", "release", "end", "-"]).run().succeeds();
        let expected = if is_last { vec![] } else { vec![undone("b"), undone("a")] };
        assert_eq!(host.log(), expected, "{call}");
    }
}

#[test]
fn a_hook_that_was_rolled_back_is_struck() {
    let host = host();
    let rolled = "undo: bin/b-undo\nrollback: bin/b-roll\nweight: 200\n";
    host.script("bin/b-roll", "log rolled; test ! -e \"$T/b-roll.fails\"");
    host.file("hooks.d/b.yaml", format!("events: [before_vm_prepare]\ncommand: bin/b\n{rolled}"));
    register(&host, "z", "before_vm_prepare", "weight: 900");
    touch(&host, "z.fails");
    host.guest("prepare begin").run().fails(3, &["before_vm_prepare/z"]);
    assert_eq!(host.log(), ["set a", "set b", "set z", "rolled"]);
    host.guest("release end failed").run().succeeds();
    assert_eq!(host.log(), [undone("a")]);
    // one whose rollback failed is still owed
    touch(&host, "b-roll.fails");
    host.guest("prepare begin").run().fails(3, &["(rollback)"]);
    host.log();
    host.guest("release end failed").run().succeeds();
    assert_eq!(host.log(), [undone("b"), undone("a")]);
}

#[test]
fn an_undo_that_failed_stays_owed_and_is_tried_before_the_next_life() {
    let host = host();
    touch(&host, "b-undo.fails");
    live(&host);
    host.log();
    // libvirt logs it
    let told = ["hookmux: before_vm_prepare/b (undo): exit status 4 after"];
    let answer = host.guest("release end shutdown").run();
    assert_eq!(answer.fails(4, &told).stderr.lines().count(), 1, "{answer:?}");
    assert_eq!(host.log(), [undone("c"), undone("b"), undone("a")]);
    assert_eq!(owed(&host), 1);
    // before the next life it refuses nothing
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), [undone("b"), "set a".to_owned(), "set b".to_owned()]);
    assert_eq!(owed(&host), 3, "that of the earlier life, and two of this");
    remove(&host, "b-undo.fails");
    host.guest("release end shutdown").run().succeeds();
    assert_eq!(host.log(), [undone("b"), undone("a"), undone("b")]);
    assert_eq!(owed(&host), 0);
    // a life whose end nobody saw
    live(&host);
    host.log();
    host.guest("prepare begin").run().succeeds();
    assert_eq!(
        host.log(),
        [undone("c"), undone("b"), undone("a"), "set a".to_owned(), "set b".to_owned()]
    );
}

#[test]
fn what_changes_after_the_hook_ran_does_not_matter() {
    type Change = (&'static str, fn(&Host));
    let changes: [Change; 11] = [
        ("deleted", |host| {
            for name in ["a", "b", "c"] {
                remove(host, &format!("hooks/hooks.d/{name}.yaml"));
            }
        }),
        ("disabled", |host| {
            host.text(&["disable", "a"], 0);
        }),
        ("another undo", |host| {
            let text = "events: [before_vm_prepare]\ncommand: bin/a\nundo: /bin/false\n";
            host.file("hooks.d/a.yaml", text);
        }),
        ("no undo", |host| {
            host.file("hooks.d/a.yaml", "events: [before_vm_prepare]\ncommand: bin/a\n");
        }),
        ("a condition that doesn't hold", |host| {
            let text = "events: [before_vm_prepare]\ncommand: bin/a\nundo: bin/a-undo\nwhen: {name: other}\n";
            host.file("hooks.d/a.yaml", text);
        }),
        ("a check that says no", |host| {
            let text = "events: [before_vm_prepare]\ncommand: bin/a\nundo: bin/a-undo\ncheck: /bin/false\n";
            host.file("hooks.d/a.yaml", text);
        }),
        ("another user", |host| {
            let text =
                "events: [before_vm_prepare]\ncommand: bin/a\nundo: bin/a-undo\nrun_as: nobody\n";
            host.file("hooks.d/a.yaml", text);
        }),
        ("neighbours in parallel", |host| {
            for name in ["a", "b"] {
                let text = format!(
                    "events: [before_vm_prepare]\ncommand: bin/{name}\nundo: bin/{name}-undo\nparallel: true\n"
                );
                host.file(format!("hooks.d/{name}.yaml"), text);
            }
        }),
        ("shared since", |host| {
            let text =
                "events: [before_vm_prepare]\ncommand: bin/a\nundo: bin/a-undo\nshared: true\n";
            host.file("hooks.d/a.yaml", text);
        }),
        ("a broken registration", |host| {
            host.file("hooks.d/a.yaml", "events: [\n");
        }),
        ("a bypass that is over", |host| {
            host.text(&["bypass", "on", "--for", "1h"], 0);
            host.guest("stopped end").run().succeeds();
            host.text(&["bypass", "off"], 0);
        }),
    ];
    for (what, change) in changes {
        let host = host();
        live(&host);
        host.log();
        change(&host);
        host.guest("release end shutdown").run();
        assert_eq!(host.log(), [undone("c"), undone("b"), undone("a")], "{what}");
        assert_eq!(owed(&host), 0, "{what}");
    }
}

#[test]
fn under_bypass_everything_stays_owed() {
    let host = host();
    live(&host);
    host.log();
    host.text(&["bypass", "on", "--for", "1h"], 0);
    host.guest("release end shutdown").run().succeeds();
    assert!(host.log().is_empty());
    assert_eq!(owed(&host), 3);
    host.text(&["bypass", "off"], 0);
    host.guest("prepare begin").run().succeeds();
    assert_eq!(
        host.log(),
        [undone("c"), undone("b"), undone("a"), "set a".to_owned(), "set b".to_owned()]
    );
}

#[test]
fn an_undo_gets_what_its_hook_got() {
    let host = Host::new();
    host.script("bin/x", "head -c 100000 /dev/zero | tr '\\0' x");
    host.script(
        "bin/u",
        "log \"$(cat | wc -c) $1 $HOOKMUX_OBJECT $HOOKMUX_OPERATION $HOOKMUX_EVENT $OWN\"\n\
         log \"$(wc -c <\"$_hook_domxml\") $(wc -c <\"$HOOKMUX_UNDO_OUTPUT\")\"\n\
         log \"$(stat -c %a \"$_hook_domxml\" \"$HOOKMUX_UNDO_OUTPUT\" | tr '\\n' ' ')\"",
    );
    host.file(
        "hooks.d/x.yaml",
        "events: [before_vm_prepare]\ncommand: bin/x\nundo: [bin/u, --release]\nstdin: xml\nenvironment: {OWN: mine}\n",
    );
    host.guest("prepare begin").run().succeeds();
    // the document of release is another one
    let other = GUEST.replace("</domain>", "<description>later</description></domain>");
    host.guest("release end -").stdin(other).run().succeeds();
    let length = GUEST.len();
    assert_eq!(
        host.log(),
        [
            format!("{length} --release g prepare before_vm_prepare mine"),
            format!("{length} 65536"),
            "600 600 ".to_owned()
        ]
    );
    let data = fs::read_dir(host.path("run/data")).unwrap();
    assert_eq!(data.count(), 0, "nothing of them is left");
}

#[test]
fn other_guests_and_drivers_owe_for_themselves() {
    let host = host();
    let other = GUEST.replace(UUID, "00000000-9b0d-4a6e-8f57-2d41c6b7a901");
    host.guest("prepare begin").run().succeeds();
    host.call("qemu", ["h", "prepare", "begin", "-"]).stdin(other.as_str()).run().succeeds();
    assert_eq!(owed(&host), 4);
    host.log();
    host.call("lxc", ["g", "release", "end", "-"]).run().succeeds();
    assert!(host.log().is_empty());
    // renamed: the uuid counts
    host.call("qemu", ["renamed", "release", "end", "-"]).stdin(other.as_str()).run().succeeds();
    assert_eq!(host.log(), [undone("b"), undone("a")]);
    host.guest("release end -").run().succeeds();
    assert_eq!(host.log(), [undone("b"), undone("a")]);
}

#[test]
fn an_undo_whose_program_others_could_change_is_refused_and_stays_owed() {
    let host = host();
    live(&host);
    host.log();
    host.mode("hooks/bin/b-undo", 0o777);
    host.guest("release end -").run().fails(126, &["(undo): refused: "]);
    assert_eq!(host.log(), [undone("c"), undone("a")]);
    assert_eq!(owed(&host), 1);
    host.mode("hooks/bin/b-undo", 0o755);
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), [undone("b"), "set a".to_owned(), "set b".to_owned()]);
}

#[test]
fn a_hook_whose_call_was_killed_is_undone_with_an_unknown_outcome() {
    let host = host();
    host.script("bin/a", "log \"set a\"; echo first; log $$; exec sleep 300");
    let running = host.guest("prepare begin").start();
    until("the hook runs", || host.read_text("log").lines().count() == 2);
    let log = host.log();
    running.signal(nix::sys::signal::Signal::SIGKILL);
    running.wait();
    let pid: i32 = log[1].parse().unwrap();
    assert!(crate::support::is_alive(pid), "the hook outlives it");
    assert_eq!(owed(&host), 1);
    host.guest("release end failed").run().succeeds();
    assert_eq!(host.log(), ["undo a unknown "]);
    assert!(!crate::support::is_alive(pid), "it was ended first");
}

#[test]
fn an_undo_that_was_interrupted_runs_again_and_is_told_so() {
    let host = host();
    live(&host);
    host.log();
    host.script(
        "bin/b-undo",
        "log \"undo b${HOOKMUX_UNDO_AGAIN:+ again} $$\"; test -e \"$T/quick\" || exec sleep 300",
    );
    let running = host.guest("release end -").start();
    until("the second undo runs", || host.read_text("log").contains("undo b"));
    running.signal(nix::sys::signal::Signal::SIGKILL);
    running.wait();
    let log = host.log();
    assert_eq!(log[0], undone("c"));
    let pid: i32 = log[1].rsplit(' ').next().unwrap().parse().unwrap();
    touch(&host, "quick");
    host.guest("prepare begin").run().succeeds();
    let log = host.log();
    assert!(log[0].starts_with("undo b again "), "{log:?}");
    assert_eq!(log[1], undone("a"));
    assert!(!crate::support::is_alive(pid));
    assert_eq!(owed(&host), 2);
}

/// A document of a network's call that libvirt sent, with a port of this uuid.
pub fn network(call: &str, port: &str) -> Vec<u8> {
    let document = String::from_utf8(capture("11.3.0", &format!("network.{call}"))).unwrap();
    ["f1cc14c1-3cde-4682-bbbc-f14efe8bf951", "8719c9e6-4f94-4f89-8e27-55df1b1f74bf"]
        .iter()
        .fold(document, |document, uuid| document.replace(uuid, port))
        .into_bytes()
}

pub fn call_network(host: &Host, call: &str, port: &str, status: i32) {
    let (operation, sub) = call.split_once('.').unwrap();
    let answer = host.call("network", ["n1", operation, sub, "-"]).stdin(network(call, port)).run();
    assert_eq!(answer.status, Some(status), "{call}: {answer:?}");
}

#[test]
fn networks_are_taken_back_when_they_stop_and_ports_when_they_go_or_with_their_network() {
    let host = Host::new();
    register(&host, "net", "before_network_start", "");
    register(&host, "live", "after_network_start", "");
    register(&host, "port", "before_network_port_create", "");
    for call in ["start.begin", "started.begin"] {
        call_network(&host, call, "", 0);
    }
    let [one, two] =
        ["11111111-3cde-4682-bbbc-f14efe8bf951", "22222222-3cde-4682-bbbc-f14efe8bf951"];
    call_network(&host, "port-created.begin", one, 0);
    call_network(&host, "port-created.begin", two, 0);
    assert_eq!(host.log(), ["set net", "set live", "set port", "set port"]);
    assert_eq!(owed(&host), 4);
    call_network(&host, "port-deleted.begin", one, 0);
    assert_eq!(host.log(), [undone("port")]);
    call_network(&host, "port-deleted.begin", one, 0);
    assert!(host.log().is_empty());
    call_network(&host, "stopped.end", "", 0);
    assert_eq!(host.log(), [undone("port"), undone("live"), undone("net")]);
    assert_eq!(owed(&host), 0);
    // a daemon that starts calls `port-created` again for a port that it has
    for call in ["start.begin", "port-created.begin", "port-created.begin"] {
        call_network(&host, call, one, 0);
    }
    assert_eq!(host.log(), ["set net", "set port", "set port"]);
    assert_eq!(owed(&host), 2);
    call_network(&host, "port-deleted.begin", one, 0);
    assert_eq!(host.log(), [undone("port")]);
    // and where a hook refuses it then, the port is no more
    call_network(&host, "port-created.begin", one, 0);
    touch(&host, "port.fails");
    call_network(&host, "port-created.begin", one, 3);
    remove(&host, "port.fails");
    assert_eq!(host.log(), ["set port".to_owned(), "set port".to_owned(), undone("port")]);
    call_network(&host, "stopped.end", "", 0);
    assert_eq!(host.log(), [undone("net")]);
    // no `port-deleted` comes for one that wasn't created
    touch(&host, "z.fails");
    register(&host, "z", "before_network_port_create", "weight: 900");
    call_network(&host, "port-created.begin", two, 3);
    assert_eq!(host.log(), ["set port".to_owned(), "set z".to_owned(), undone("port")]);
    // nor `stopped` for a network that didn't start
    call_network(&host, "stopped.end", "", 0);
    touch(&host, "live.fails");
    register(&host, "z", "before_network_start", "weight: 900");
    call_network(&host, "start.begin", "", 3);
    assert_eq!(host.log(), ["set net".to_owned(), "set z".to_owned(), undone("net")]);
    assert_eq!(owed(&host), 0);
}

#[test]
fn what_was_set_up_at_restore_or_migrate_waits_for_prepare() {
    for operation in ["restore", "migrate"] {
        let host = Host::new();
        for event in ["before_vm_dehibernate", "before_vm_migrate_destination"] {
            register(&host, "in", event, "");
            host.file(
                "hooks.d/in.yaml",
                "events: [before_vm_dehibernate, before_vm_migrate_destination]\n\
                 command: bin/in\nundo: bin/in-undo\n",
            );
        }
        let call = format!("{operation} begin");
        host.guest(&call).run().succeeds();
        host.guest("prepare begin").run().succeeds();
        assert_eq!(host.log(), ["set in"]);
        until("it is firm", || owed_names(&host).iter().all(|name| !name.contains("provisional")));
        host.guest("release end -").run().succeeds();
        assert_eq!(host.log(), [undone("in")], "{operation}");
        // no `prepare` comes, and five minutes go by: `restore` was refused
        host.guest(&call).run().succeeds();
        assert_eq!(host.log(), ["set in"]);
        assert!(owed_names(&host)[0].contains("provisional"));
        age(&host);
        host.text(&["undo-worker"], 0);
        until("it is taken back", || owed(&host) == 0);
        assert_eq!(host.log(), [undone("in")], "{operation}");
        // the same by the guest's next call
        host.guest(&call).run().succeeds();
        age(&host);
        host.guest("prepare begin").run().succeeds();
        until("it is taken back", || owed(&host) == 0);
        assert_eq!(host.log(), ["set in".to_owned(), undone("in")], "{operation}");
    }
}

pub fn owed_names(host: &Host) -> Vec<String> {
    let all = host.everything().into_iter();
    all.filter(|path| path.starts_with(host.path("run/undo")))
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect()
}

/// Makes all entries ten minutes older.
pub fn age(host: &Host) {
    for path in host.everything() {
        let is_entry = path.starts_with(host.path("run/undo"))
            && path.extension().is_some_and(|end| end == "json");
        if is_entry {
            let text = fs::read_to_string(&path).unwrap();
            let mut entry: serde_json::Value = serde_json::from_str(&text).unwrap();
            for key in ["began_ns", "ended_ns"] {
                let then = entry["current"][key].as_i64().unwrap();
                entry["current"][key] = (then - 600_000_000_000).into();
            }
            fs::write(&path, serde_json::to_vec(&entry).unwrap()).unwrap();
        } else if path.file_name().unwrap().to_str().unwrap().starts_with("arrived.") {
            fs::remove_file(path).unwrap();
        }
    }
}

/// A guest with another name and uuid.
pub fn numbered(number: usize) -> (String, String) {
    let name = format!("g{number}");
    let document = GUEST
        .replace("<name>g</name>", &format!("<name>{name}</name>"))
        .replace(UUID, &format!("{number:08}-9b0d-4a6e-8f57-2d41c6b7a901"));
    (name, document)
}

pub fn call_of(host: &Host, number: usize, operation: &str, sub: &str, status: i32) {
    let (name, document) = numbered(number);
    let answer =
        host.call("qemu", [name.as_str(), operation, sub, "-"]).stdin(document.as_str()).run();
    assert_eq!(answer.status, Some(status), "{name} {operation}: {answer:?}");
}

pub fn shared() -> Host {
    let host = Host::new();
    register(&host, "s", "before_vm_prepare", "shared: true");
    host.script(
        "bin/s",
        "log \"set s for $HOOKMUX_OBJECT\"; echo \"of $HOOKMUX_OBJECT\"; test ! -e \"$T/s.fails\"",
    );
    host.script(
        "bin/s-undo",
        "log \"undo s $(cat \"$HOOKMUX_UNDO_OUTPUT\") $HOOKMUX_OBJECT\"; test ! -e \"$T/s-undo.fails\"",
    );
    host
}

#[test]
fn what_is_shared_is_set_up_for_the_first_and_taken_back_for_the_last() {
    let host = shared();
    call_of(&host, 1, "prepare", "begin", 0);
    call_of(&host, 2, "prepare", "begin", 0);
    call_of(&host, 3, "prepare", "begin", 0);
    assert_eq!(host.log(), ["set s for g1"]);
    assert!(host.text(&["show", "last"], 0).contains("shared: it ran for g1 already"));
    for number in [1, 3] {
        call_of(&host, number, "release", "end", 0);
        assert!(host.log().is_empty(), "{number}");
    }
    // with the first one's document and output
    call_of(&host, 2, "release", "end", 0);
    assert_eq!(host.log(), ["undo s of g1 g1"]);
    assert_eq!(owed(&host), 0);
    // and again from the beginning; the first fails, and the next one tries
    touch(&host, "s.fails");
    call_of(&host, 1, "prepare", "begin", 1);
    remove(&host, "s.fails");
    call_of(&host, 2, "prepare", "begin", 0);
    assert_eq!(host.log(), ["set s for g1", "set s for g2"]);
    call_of(&host, 1, "release", "end", 0);
    assert!(host.log().is_empty());
    // an undo that failed leaves nothing to count on
    touch(&host, "s-undo.fails");
    call_of(&host, 2, "release", "end", 1);
    assert_eq!(host.log(), ["undo s of g2 g2"]);
    remove(&host, "s-undo.fails");
    call_of(&host, 3, "prepare", "begin", 0);
    assert_eq!(host.log(), ["set s for g3"]);
    call_of(&host, 3, "release", "end", 0);
    assert_eq!(host.log(), ["undo s of g3 g3"]);
    call_of(&host, 2, "prepare", "begin", 0);
    call_of(&host, 2, "release", "end", 0);
    assert_eq!(host.log(), ["set s for g2", "undo s of g2 g2"]);
    assert_eq!(owed(&host), 0);
}

#[test]
fn a_rollback_of_what_is_shared_gives_up_a_share() {
    let host = shared();
    host.script("bin/s-roll", "log \"rolled $HOOKMUX_OBJECT\"");
    host.file(
        "hooks.d/s.yaml",
        "events: [before_vm_prepare]\ncommand: bin/s\nundo: bin/s-undo\nrollback: bin/s-roll\nshared: true\n",
    );
    register(&host, "z", "before_vm_prepare", "weight: 900");
    call_of(&host, 1, "prepare", "begin", 0);
    touch(&host, "z.fails");
    call_of(&host, 2, "prepare", "begin", 3);
    assert_eq!(host.log(), ["set s for g1", "set z", "set z"], "the first one needs it");
    call_of(&host, 2, "release", "end", 0);
    assert!(host.log().is_empty());
    call_of(&host, 1, "release", "end", 0);
    assert_eq!(host.log(), [undone("z"), "undo s of g1 g1".to_owned()]);
    // alone it is rolled back
    call_of(&host, 1, "prepare", "begin", 3);
    assert_eq!(host.log(), ["set s for g1", "set z", "rolled g1"]);
    call_of(&host, 1, "release", "end", 0);
    assert!(host.log().is_empty());
}

#[test]
fn twenty_guests_at_once_set_up_once_and_take_back_once() {
    let host = shared();
    host.script("bin/s", "sleep 0.2; log set; echo out");
    host.script("bin/s-undo", "log undo");
    let all = |operation: &str, sub: &str| {
        std::thread::scope(|scope| {
            for number in 0..20 {
                let host = &host;
                scope.spawn(move || call_of(host, number, operation, sub, 0));
            }
        });
    };
    all("prepare", "begin");
    assert_eq!(host.log(), ["set"]);
    all("release", "end");
    assert_eq!(host.log(), ["undo"]);
    assert_eq!(owed(&host), 0);
}

#[test]
fn who_waits_in_vain_for_what_is_shared_is_told_for_whom() {
    let host = shared();
    host.script("bin/s", "log waiting; exec sleep 300");
    host.file(
        "hooks.d/s.yaml",
        "events: [before_vm_prepare]\ncommand: bin/s\nundo: bin/s-undo\nshared: true\ntimeout: 1s\n",
    );
    let text = fs::read_to_string(host.hook("hooks.d/s.yaml")).unwrap();
    host.file("hooks.d/s.yaml", text.replace("timeout: 1s\n", ""));
    let (name, document) = numbered(1);
    let first = host.call("qemu", [name.as_str(), "prepare", "begin", "-"]);
    let first = first.stdin(document.as_str()).start();
    until("the first one's hook runs", || host.read_text("log").contains("waiting"));
    host.file("hooks.d/s.yaml", &text);
    let (name, document) = numbered(2);
    let second = host.call("qemu", [name.as_str(), "prepare", "begin", "-"]);
    second
        .stdin(document.as_str())
        .run()
        .fails(124, &["for another guest: before_vm_prepare/s holds it since", "execution"]);
    // the first one's call dies: its hook is ended, and the next guest tries
    first.signal(nix::sys::signal::Signal::SIGKILL);
    first.wait();
    host.log();
    host.script("bin/s", "log again; echo out");
    call_of(&host, 2, "prepare", "begin", 0);
    assert_eq!(host.log(), ["again"]);
    call_of(&host, 2, "release", "end", 0);
    assert!(host.log().is_empty(), "the first one still holds a share");
    call_of(&host, 1, "release", "end", 0);
    assert_eq!(host.log(), ["undo s out g2"]);
}

#[test]
fn what_is_owed_is_shown_and_worked_off_by_hand() {
    let host = host();
    assert!(host.text(&["undo"], 0).contains("Nothing is owed."));
    live(&host);
    host.log();
    let list = host.json(&["undo", "--list"], 0);
    let hooks = |list: &serde_json::Value, key: &str| -> Vec<String> {
        let all = list["undos"].as_array().unwrap().iter();
        all.map(|one| one[key].as_str().unwrap().to_owned()).collect()
    };
    let expected = ["after_vm_launch/c", "before_vm_prepare/b", "before_vm_prepare/a"];
    assert_eq!(hooks(&list, "hook"), expected);
    assert_eq!(hooks(&list, "state"), ["set up"; 3]);
    assert_eq!(hooks(&list, "outcome"), ["done"; 3]);
    // what runs is left alone
    let said = host.text(&["undo"], 0);
    assert!(
        said.contains("Nothing is owed now: 3 undos wait for the end of their guest"),
        "{said}"
    );
    let plan = ["plan", "qemu", "g", "release", "--xml", "guest.xml"];
    let planned = host.json(&plan, 0);
    assert_eq!(planned["undos"].as_array().unwrap().len(), 3);
    assert!(host.text(&plan, 0).contains("takes back what these have set up: after_vm_launch/c, "));
    let planned = host.json(&["plan", "qemu", "g", "started", "--xml", "guest.xml"], 0);
    assert!(planned["undos"].as_array().unwrap().is_empty());
    assert_eq!(planned["steps"][0]["undo"], true);
    // who is about to delete its registration is told
    assert!(host.text(&["delete", "a"], 0).contains("a: 1 undo of it is owed and will still run"));
    for name in ["a", "b", "c"] {
        touch(&host, &format!("{name}-undo.fails"));
    }
    host.guest("release end -").run().fails(4, &["a (undo)", "b (undo)", "c (undo)"]);
    assert_eq!(host.log().len(), 3);
    let list = host.json(&["undo", "--list"], 0);
    assert_eq!(hooks(&list, "state"), ["owed"; 3]);
    assert!(list["undos"][0]["last"].as_str().unwrap().contains("exit status 4"), "{list:#}");
    assert!(host.text(&["undo", "--list"], 0).contains("owed: exit status 4"));
    // a retry runs no undo, so none is advised
    let shown = host.text(&["show", "last"], 0);
    assert!(shown.contains("undo --guest g` tries it again"), "{shown}");
    assert!(!shown.contains(" retry "), "{shown}");
    let said = host.text(&["retry", "last"], 1);
    assert!(said.contains("only undos ran in ") && said.contains("undo --list"), "{said}");
    remove(&host, "a-undo.fails");
    let said = host.text(&["undo"], 1);
    assert!(
        said.contains("1 undone, 2 failed and still owed, 0 left.")
            && said.contains("(undo): exit status 4"),
        "{said}"
    );
    assert!(!said.contains("hookmux: hookmux:"), "{said}");
    assert_eq!(host.log(), [undone("c"), undone("b"), undone("a")]);
    remove(&host, "b-undo.fails");
    remove(&host, "c-undo.fails");
    let done = host.json(&["undo", "--guest", "g", "--reason", "ticket 7"], 0);
    assert_eq!((&done["undone"], &done["left"]), (&2.into(), &0.into()));
    let acts = host.text(&["log", "--audit"], 0);
    assert!(acts.contains("ticket 7"), "{acts}");
    // of a guest that may run only after a question
    live(&host);
    host.log();
    let asked = host.text(&["undo", "--guest", "g"], 2);
    assert!(asked.contains("g may be running, and 2 of its hooks"), "{asked}");
    assert!(host.log().is_empty());
    host.text(&["undo", "--guest", UUID, "--yes"], 0);
    assert_eq!(host.log(), [undone("c"), undone("b")]);
    host.text(&["undo", "--guest", "g"], 1);
}

#[test]
fn a_persons_trial_owes_something_only_where_the_guest_lives_and_undoes_nothing() {
    let host = host();
    let run = |operation: &str| {
        host.text(&["run", "qemu", "g", operation, "--xml", "guest.xml"], 0);
    };
    run("prepare");
    assert_eq!((host.log().len(), owed(&host)), (2, 0));
    host.guest("prepare begin").run().succeeds();
    run("started");
    assert_eq!((host.log().len(), owed(&host)), (3, 3));
    run("release");
    assert!(host.log().is_empty());
    assert_eq!(owed(&host), 3);
    host.guest("release end -").run().succeeds();
    assert_eq!(host.log(), [undone("c"), undone("b"), undone("a")]);
}

/// A virsh that says what is in the file `virsh-says`, and a daemon that starts.
pub fn daemon_starts(host: &Host, says: &str) -> String {
    host.script(
        "bin/virsh",
        "log \"virsh $*\"; cat \"$T/virsh-says\"; test ! -e \"$T/virsh.fails\"",
    );
    fs::write(host.path("virsh-says"), says).unwrap();
    let path = format!("{}:/usr/bin:/bin", host.hook("bin").display());
    let output = std::process::Command::new(crate::binary_under_test())
        .arg("--hooks-dir")
        .arg(host.hooks())
        .args(["undo-worker", "--started", "libvirtd"])
        .env("PATH", path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn after_a_daemons_death_only_what_libvirt_knows_to_be_over_is_taken_back() {
    let host = host();
    live(&host);
    host.log();
    let asked = "virsh -q -r -c qemu:///system list --uuid"
        .replace("system", if crate::support::is_root() { "system" } else { "session" });
    daemon_starts(&host, &format!("{UUID}\n"));
    assert_eq!(host.log(), [asked.as_str()], "it lives");
    // a process that has its uuid among its words
    let mut process = std::process::Command::new("sh")
        .args(["-c", "sleep 300; :", "-uuid", UUID])
        .spawn()
        .unwrap();
    daemon_starts(&host, "");
    assert_eq!(host.log(), [asked.as_str()]);
    assert!(host.text(&["undo", "--list"], 0).contains("may be its own"));
    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!(owed(&host), 3);
    daemon_starts(&host, "\n");
    assert_eq!(host.log(), [asked, undone("c"), undone("b"), undone("a")]);
    assert_eq!(owed(&host), 0);
}

#[test]
fn deaths_at_random_moments_forget_nothing_and_repeat_nothing_in_secret() {
    // `HOOKMUX_UNDO_DEATHS=1000` takes its time
    let deaths = std::env::var("HOOKMUX_UNDO_DEATHS").ok().and_then(|word| word.parse().ok());
    // what an undo takes back is a file; whoever finds it gone without being told so complains
    let host = Host::new();
    host.script("bin/a", "log \"set $HOOKMUX_RUN\"; echo \"$HOOKMUX_RUN\"");
    host.script("bin/a-undo", "log \"undo $HOOKMUX_RUN${HOOKMUX_UNDO_AGAIN:+ again}\"; sleep 0.01; log \"over $HOOKMUX_RUN\"");
    for name in ["a", "b", "c"] {
        host.file(
            format!("hooks.d/{name}.yaml"),
            "events: [before_vm_prepare]\ncommand: bin/a\nundo: bin/a-undo\n",
        );
    }
    let mut random = 7_u64;
    for round in 0..deaths.unwrap_or(250) {
        let call = if round % 2 == 0 { "prepare begin" } else { "release end" };
        let running = host.guest(call).start();
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        std::thread::sleep(std::time::Duration::from_millis((random >> 33) % 120));
        running.signal(nix::sys::signal::Signal::SIGKILL);
        running.wait();
    }
    until("everything is taken back", || {
        host.guest("release end").run();
        host.hookmux(&["undo"]);
        owed(&host) == 0
    });
    let log = host.log();
    // a run is called by its execution and the number of its hook
    let hook = |run: &str| run.trim_end_matches("-undo").rsplit_once('-').unwrap().1.to_owned();
    let mut over = 0;
    for (place, line) in log.iter().enumerate() {
        if let Some(run) = line.strip_prefix("set ") {
            let is_over = |later: &String| {
                later.strip_prefix("over ").is_some_and(|undo| hook(undo) == hook(run))
            };
            assert!(log[place..].iter().any(is_over), "{run} was forgotten: {log:#?}");
        } else if line.starts_with("undo ") && !line.ends_with(" again") {
            let again = log[..place].iter().filter(|earlier| *earlier == line).count();
            assert_eq!(again, 0, "{line}, in secret: {log:#?}");
        } else {
            over += usize::from(line.starts_with("over "));
        }
    }
    assert!(over > 10, "the calls got somewhere: {log:#?}");
}

#[test]
fn each_device_owes_for_itself_and_gets_its_own_document() {
    let metadata = "<h:properties xmlns:h='urn:hookmux:properties:1'>\
        <h:property name='vlan' device='ua-one'>1</h:property>\
        <h:property name='vlan' device='ua-two'>2</h:property></h:properties>";
    let devices = "<interface><alias name='ua-one'/></interface><interface><alias name='ua-two'/></interface>";
    let document = crate::support::documents::guest(metadata, devices);
    let host = Host::new();
    host.script("bin/d", "echo \"$HOOKMUX_PROPERTY_vlan\"");
    host.script(
        "bin/d-undo",
        "log \"$(cat \"$HOOKMUX_UNDO_OUTPUT\") $HOOKMUX_PROPERTY_vlan $(cat \"$_hook_domxml\")\"",
    );
    host.file(
        "hooks.d/d.yaml",
        "events: [before_device_create]\ncommand: bin/d\nundo: bin/d-undo\n",
    );
    host.guest("prepare begin").stdin(document.as_str()).run().succeeds();
    assert_eq!(owed(&host), 2);
    host.guest("release end -").run().succeeds();
    assert_eq!(
        host.log(),
        [
            "2 2 <interface><alias name='ua-two'/></interface>",
            "1 1 <interface><alias name='ua-one'/></interface>"
        ]
    );
}

#[test]
fn an_undo_has_the_rights_of_its_hook_and_neighbours_owe_like_all_others() {
    if !crate::support::is_root() {
        return crate::support::skip("only root can become another user");
    }
    let host = Host::new();
    host.script("bin/n", "id -un");
    host.script(
        "bin/n-undo",
        "printf '%s %s %s\\n' \"$(id -un)\" \"$(cat \"$HOOKMUX_UNDO_OUTPUT\")\" \"$(grep -c '<name>g</name>' \"$_hook_domxml\")\" >>\"$T/public/log\"",
    );
    fs::create_dir(host.path("public")).unwrap();
    host.mode("", 0o755).mode("public", 0o777);
    for name in ["one", "two"] {
        host.file(
            format!("hooks.d/{name}.yaml"),
            "events: [before_vm_prepare]\ncommand: bin/n\nundo: bin/n-undo\nrun_as: nobody\nparallel: true\nlock: a\n",
        );
    }
    host.guest("prepare begin").run().succeeds();
    assert_eq!(owed(&host), 2);
    host.guest("release end -").run().succeeds();
    assert_eq!(host.read_text("public/log"), "nobody nobody 1\nnobody nobody 1\n");
}

#[test]
fn where_there_is_no_room_a_gate_is_shut_and_what_runs_is_not_stopped() {
    if !crate::support::is_root() {
        return crate::support::skip("only root can make mounts");
    }
    let host = host();
    let run = host.path("run").display().to_string();
    let full = format!(
        "mount -t tmpfs -o size=16k,mode=755 tmpfs {run}\nhead -c 100000 /dev/zero >{run}/fill 2>/dev/null || true"
    );
    host.guest("prepare begin")
        .with_mounts(&full)
        .run()
        .fails(125, &["before_vm_prepare/a: not run: "]);
    assert!(host.log().is_empty());
    host.guest("started begin").with_mounts(&full).run().succeeds();
    assert_eq!(host.log(), ["set c"]);
}

#[test]
fn a_call_that_falls_over_leaves_owed_what_it_does_not_roll_back() {
    let host = host();
    host.script("bin/b-roll", "log rolled");
    host.file(
        "hooks.d/b.yaml",
        "events: [before_vm_prepare]\ncommand: bin/b\nundo: bin/b-undo\nrollback: bin/b-roll\n",
    );
    register(&host, "z", "before_vm_prepare", "weight: 900");
    host.script("bin/z", "log z; kill -SEGV $PPID; sleep 300");
    host.guest("prepare begin").run().fails(125, &[]);
    assert_eq!(host.log(), ["set a", "set b", "z", "rolled"]);
    host.guest("release end failed").run().succeeds();
    assert_eq!(host.log(), ["undo z unknown ".to_owned(), undone("a")]);
}

#[test]
fn who_is_told_to_end_while_an_earlier_life_is_taken_back_starts_nothing() {
    let host = Host::new();
    register(&host, "in", "before_vm_prepare", "");
    host.script("bin/in-undo", "[ -e \"$T/second\" ] || exit 1\nlog undoing\nexec sleep 100");
    host.guest("prepare begin").run().succeeds();
    host.guest("release end").run().fails(1, &["(undo)"]);
    assert_eq!((host.log(), owed(&host)), (vec!["set in".to_owned()], 1));
    touch(&host, "second");
    let mut call = host.guest("prepare begin").start();
    call.until_logged("undoing");
    call.signal(nix::sys::signal::Signal::SIGTERM);
    let answer = call.wait();
    assert_eq!(answer.status, Some(143), "{answer:?}");
    assert_eq!(host.log(), ["undoing"], "the hook of the new life isn't started");
    assert_eq!(owed(&host), 1);
}

#[test]
fn a_port_that_nobody_knows_is_not_set_up() {
    let host = Host::new();
    register(&host, "port", "before_network_port_create", "");
    register(&host, "live", "after_network_port_delete", "");
    let call = |operation: &str| host.call("network", ["n1", operation, "begin", "-"]).stdin("");
    let answer = call("port-created").run();
    let told = "doesn't say whose it is";
    assert!(answer.status == Some(125) && answer.stderr.contains(told), "{answer:?}");
    assert_eq!(host.log(), [""; 0]);
}

/// Undos take the lock of their guest's ledger before that of a hook. A call that waits for the first one must not
/// hold the second one meanwhile: others need that.
#[test]
fn who_waits_for_the_ledger_holds_no_lock_of_a_hook() {
    let host = Host::new();
    register(&host, "a", "after_vm_launch", "lock: one\nwhen: {name: g}");
    host.script("bin/b", "log 'set b'");
    let other = "events: after_vm_launch\ncommand: bin/b\nlock: one\nwhen: {name: other}\n";
    host.file("hooks.d/b.yaml", other).mode("hooks/hooks.d/b.yaml", 0o644);
    host.guest("started begin").run().succeeds();
    assert_eq!(host.log(), ["set a"]);
    let mut locks = fs::read_dir(host.path("run/undo-locks")).unwrap();
    let ledger = locks.next().unwrap().unwrap().path();
    let script = "exec 9< \"$1\"; flock 9; echo held; read line";
    let mut holder = std::process::Command::new("sh")
        .args(["-c", script, "sh", ledger.to_str().unwrap()])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut [0; 5]).unwrap();
    let waiting = host.guest("started begin").start();
    crate::support::until("the call waits for the ledger", || {
        let wchan = fs::read_to_string(format!("/proc/{}/stat", waiting.pid())).unwrap_or_default();
        wchan.contains(") S ") && host.path("run/records/running").exists()
    });
    let document = crate::support::GUEST
        .replace("<name>g<", "<name>other<")
        .replace(crate::support::documents::UUID, "00000000-9b0d-4a6e-8f57-2d41c6b7a901");
    host.call("qemu", ["other", "started", "begin", "-"]).stdin(document).run().succeeds();
    assert_eq!(host.log(), ["set b"], "it didn't have to wait");
    drop(holder.stdin.take());
    holder.wait().unwrap();
    waiting.wait().succeeds();
    assert_eq!(host.log(), ["set a"]);
}
