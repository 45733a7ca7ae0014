//! `undo`: what a hook has set up is taken back at the end of its guest, network or port. (V8)

use std::fs;

use crate::support::documents::UUID;
use crate::support::{GUEST, Host, capture, until};

/// A hook and its undo, both of which log.
fn register(host: &Host, name: &str, event: &str, more: &str) {
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

fn host() -> Host {
    let host = Host::new();
    register(&host, "a", "before_vm_prepare", "");
    register(&host, "b", "before_vm_prepare", "weight: 200");
    register(&host, "c", "after_vm_launch", "");
    host
}

fn undone(name: &str) -> String {
    format!("undo {name} done output of {name}")
}

/// What lies in the ledger: the files of entries.
fn owed(host: &Host) -> usize {
    let is_entry = |path: &std::path::PathBuf| {
        path.starts_with(host.path("run/undo")) && path.extension().is_some_and(|end| end == "json")
    };
    host.everything().iter().filter(|path| is_entry(path)).count()
}

fn touch(host: &Host, name: &str) {
    fs::write(host.path(name), "").unwrap();
}

fn remove(host: &Host, name: &str) {
    fs::remove_file(host.path(name)).unwrap();
}

fn live(host: &Host) {
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
    // it refuses nothing
    host.guest("release end shutdown").run().succeeds();
    assert_eq!(host.log(), [undone("c"), undone("b"), undone("a")]);
    assert_eq!(owed(&host), 1);
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
    let changes: [Change; 8] = [
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
    host.guest("release end -").run().succeeds();
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
fn network(call: &str, port: &str) -> Vec<u8> {
    let document = String::from_utf8(capture("11.3.0", &format!("network.{call}"))).unwrap();
    ["f1cc14c1-3cde-4682-bbbc-f14efe8bf951", "8719c9e6-4f94-4f89-8e27-55df1b1f74bf"]
        .iter()
        .fold(document, |document, uuid| document.replace(uuid, port))
        .into_bytes()
}

fn call_network(host: &Host, call: &str, port: &str, status: i32) {
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
    // no `port-deleted` comes for one that wasn't created
    touch(&host, "z.fails");
    register(&host, "z", "before_network_port_create", "weight: 900");
    call_network(&host, "port-created.begin", two, 3);
    assert_eq!(host.log(), ["set port".to_owned(), "set z".to_owned(), undone("port")]);
    // libvirt calls `stopped` for a network that didn't start
    touch(&host, "live.fails");
    register(&host, "z", "before_network_start", "weight: 900");
    call_network(&host, "start.begin", "", 3);
    assert_eq!(host.log(), ["set net", "set z"]);
    call_network(&host, "stopped.end", "", 0);
    assert_eq!(host.log(), [undone("net")]);
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

fn owed_names(host: &Host) -> Vec<String> {
    let all = host.everything().into_iter();
    all.filter(|path| path.starts_with(host.path("run/undo")))
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect()
}

/// Makes all entries ten minutes older.
fn age(host: &Host) {
    for path in host.everything() {
        let is_entry = path.starts_with(host.path("run/undo"))
            && path.extension().is_some_and(|end| end == "json");
        if is_entry {
            let text = fs::read_to_string(&path).unwrap();
            let mut entry: serde_json::Value = serde_json::from_str(&text).unwrap();
            let began = entry["current"]["began_ns"].as_i64().unwrap();
            entry["current"]["began_ns"] = (began - 600_000_000_000).into();
            fs::write(&path, serde_json::to_vec(&entry).unwrap()).unwrap();
        }
    }
}
