//! `undo` where something goes wrong beside it: an owner that can't be dealt with, hookmux's own death, hooks that
//! are switched off, a life that begins while another one ends.

use std::fs;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use crate::support::{Host, until};
use crate::undo::{
    age, call_network, call_of, host, live, numbered, owed, owed_names, register, remove, shared,
    touch, undone,
};
use crate::undo_lives::{Holder, newest, states};

const PORTS: [&str; 2] =
    ["11111111-3cde-4682-bbbc-f14efe8bf951", "22222222-3cde-4682-bbbc-f14efe8bf951"];

/// The ledger's lock of a guest of `numbered`.
fn lock_of(host: &Host, number: usize) -> std::path::PathBuf {
    host.path(format!("run/undo-locks/qemu-{number:08}-9b0d-4a6e-8f57-2d41c6b7a901"))
}

/// Somebody else is the worker, and one more waits: none begins before this is gone.
fn busy(host: &Host) -> Holder {
    Holder::of(&host.path("run/undo-locks/.worker"))
}

/// Whether a worker is there.
fn works(host: &Host) -> bool {
    let lock = host.path("run/undo-locks/.worker");
    let status = Command::new("flock").arg("-n").arg(&lock).arg("true").status().unwrap();
    lock.exists() && !status.success()
}

#[test]
fn an_owner_that_cannot_be_dealt_with_keeps_no_other_one() {
    let host = Host::new();
    host.settings("total_timeout: 1s");
    register(&host, "a", "before_vm_prepare", "");
    let worker = busy(&host);
    for number in [1, 2, 3] {
        call_of(&host, number, "prepare", "begin", 0);
        let holder = Holder::of(&lock_of(&host, number));
        call_of(&host, number, "release", "end", 0);
        holder.release();
    }
    assert_eq!(states(&host), ["due"; 3]);
    host.log();
    fs::remove_file(lock_of(&host, 1)).unwrap();
    fs::create_dir(lock_of(&host, 1)).unwrap();
    worker.release();
    until("the worker has dealt with the others", || owed(&host) == 1);
    assert_eq!(host.log(), [undone("a"), undone("a")]);
    // by hand the same
    call_of(&host, 2, "prepare", "begin", 0);
    let holder = busy(&host);
    let ledger = Holder::of(&lock_of(&host, 2));
    call_of(&host, 2, "release", "end", 0);
    ledger.release();
    let done = host.json(&["undo"], 1);
    assert_eq!((&done["undone"], &done["left"]), (&1.into(), &1.into()), "{done:#}");
    let words = done["failures"][0]["message"].as_str().unwrap();
    assert!(words.contains("run/undo/qemu-00000001-") && words.contains("others"), "{words}");
    fs::remove_dir(lock_of(&host, 1)).unwrap();
    host.text(&["undo"], 0);
    assert_eq!(owed(&host), 0);
    holder.release();
}

/// The worker after a daemon has started, with a virsh that lists nothing.
fn daemon_has_started(host: &Host) -> Child {
    host.script("bin/virsh", "log asked; echo");
    Command::new(crate::binary_under_test())
        .arg("--hooks-dir")
        .arg(host.hooks())
        .args(["undo-worker", "--started", "libvirtd"])
        .env("PATH", format!("{}:/usr/bin:/bin", host.hook("bin").display()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn the_start_of_a_daemon_under_bypass_is_looked_at_when_hooks_are_on_again() {
    let host = host();
    live(&host);
    host.log();
    host.text(&["bypass", "on", "--for", "1h"], 0);
    let mut worker = daemon_has_started(&host);
    let started = host.path("run/undo/.started.libvirtd");
    until("the start is noted", || started.exists() || owed(&host) == 0);
    // a worker that forgets it would be gone now
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(started.exists() && host.log().is_empty());
    host.text(&["bypass", "off"], 0);
    until("it is taken back", || owed(&host) == 0);
    assert!(worker.wait().unwrap().success());
    assert_eq!(host.log(), ["asked".to_owned(), undone("c"), undone("b"), undone("a")]);
}

#[test]
fn a_guest_that_runs_and_whose_entry_cannot_be_written_holds_its_share_all_the_same() {
    let host = shared();
    host.settings("total_timeout: 1s");
    let events = "events: [before_vm_prepare, after_vm_launch]";
    let text = fs::read_to_string(host.hook("hooks.d/s.yaml")).unwrap();
    host.file("hooks.d/s.yaml", text.replace("events: [before_vm_prepare]", events));
    call_of(&host, 1, "prepare", "begin", 0);
    assert_eq!(host.log(), ["set s for g1"]);
    let holder = Holder::of(&lock_of(&host, 2));
    call_of(&host, 2, "started", "begin", 0);
    holder.release();
    let said = host.text(&["show", &newest(&host)], 0);
    let told = "it uses what ran for g1, and holds a share of it until the host's next boot";
    assert!(said.contains(told), "{said}");
    assert_eq!(states(&host), ["set up"], "the second one's undo can't be kept");
    call_of(&host, 1, "release", "end", 0);
    assert!(host.log().is_empty(), "g2 runs, and uses it");
}

#[test]
fn what_waits_for_the_next_prepare_outlives_the_end_of_the_life_before() {
    for is_locked in [false, true] {
        let host = Host::new();
        register(&host, "a", "before_vm_prepare", "");
        register(&host, "in", "before_vm_migrate_destination", "");
        host.guest("prepare begin").run().succeeds();
        host.guest("migrate begin").run().succeeds();
        host.log();
        let planned = host.json(&["plan", "qemu", "g", "release", "--xml", "guest.xml"], 0);
        let planned = planned["undos"].as_array().unwrap();
        assert_eq!(*planned, ["before_vm_prepare/a"]);
        let holder = is_locked.then(|| {
            host.settings("total_timeout: 1s");
            Holder::of_ledger(&host)
        });
        host.guest("release end shutdown").run().succeeds();
        if let Some(holder) = holder {
            assert_eq!(states(&host), ["waits", "due"]);
            holder.release();
        }
        until("the life before owes nothing", || owed(&host) == 1);
        assert_eq!(host.log(), [undone("a")]);
        assert_eq!(states(&host), ["waits"]);
        // it comes, and ends
        host.guest("prepare begin").run().succeeds();
        assert_eq!(host.log(), ["set a"]);
        assert_eq!(states(&host), ["set up"; 2]);
        host.guest("release end shutdown").run().succeeds();
        assert_eq!(host.log(), [undone("a"), undone("in")]);
        assert_eq!(owed(&host), 0);
    }
}

#[test]
fn a_persons_trial_leaves_nothing_that_nobody_takes_back() {
    let host = Host::new();
    let events = "events: [before_vm_prepare, before_vm_migrate_destination]\n";
    register(&host, "a", "before_vm_prepare", "");
    register(&host, "z", "before_vm_migrate_destination", "weight: 900");
    host.guest("prepare begin").run().succeeds();
    host.file("hooks.d/a.yaml", format!("{events}command: bin/a\nundo: bin/a-undo\n"));
    host.log();
    let trial = ["run", "qemu", "g", "migrate", "--xml", "guest.xml"];
    touch(&host, "z.fails");
    host.text(&trial, 1);
    assert_eq!(host.log(), ["set a".to_owned(), "set z".to_owned(), undone("a")]);
    assert_eq!(states(&host), ["set up"], "what the guest itself has is its own");
    remove(&host, "z.fails");
    host.text(&trial, 0);
    assert_eq!(host.log(), ["set a", "set z"]);
    assert_eq!(states(&host), ["waits", "waits", "set up"]);
    until("a worker waits with it", || works(&host));
    age(&host);
    host.guest("release end shutdown").run().succeeds();
    until("all is taken back", || owed(&host) == 0);
    assert_eq!(host.log(), [undone("z"), undone("a"), undone("a")]);
}

#[test]
fn the_rollback_of_a_share_has_its_document_where_there_is_no_room_for_it() {
    let host = shared();
    host.script(
        "bin/s-roll",
        "log \"rolled $HOOKMUX_OBJECT $(grep -c '<name>g1</name>' \"$_hook_domxml\")\"",
    );
    let text = "events: [before_vm_prepare]\ncommand: bin/s\nundo: bin/s-undo\nrollback: bin/s-roll\nshared: true\n";
    host.file("hooks.d/s.yaml", text);
    register(&host, "z", "before_vm_prepare", "weight: 900\nwhen: {name: g2}");
    host.script("bin/z", "log waiting; until test -e \"$T/go\"; do sleep 0.05; done; exit 3");
    call_of(&host, 1, "prepare", "begin", 0);
    let (name, document) = numbered(2);
    let second = host.call("qemu", [name.as_str(), "prepare", "begin", "-"]);
    let mut second = second.stdin(document.as_str()).start();
    second.until_logged("waiting");
    call_of(&host, 1, "release", "end", 0);
    host.log();
    let record = host.everything().into_iter().find(|path| path.ends_with("record.json"));
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(record.unwrap()).unwrap()).unwrap();
    let run = record["current"]["run"].as_str().unwrap();
    // where its file would lie there is something else
    let place = host.path(format!("run/data/{run}-rollback.{}", second.pid()));
    fs::create_dir(&place).unwrap();
    touch(&host, "go");
    second.wait().fails(3, &["/z: exit status 3"]);
    assert_eq!(host.log(), ["rolled g1 1"], "with what the first one had");
}

#[test]
fn who_is_told_to_end_waits_for_no_port() {
    let host = Host::new();
    register(&host, "port", "before_network_port_create", "");
    register(&host, "stop", "after_network_stop", "");
    host.file("hooks.d/stop.yaml", "events: [after_network_stop]\ncommand: bin/stop\n");
    host.script("bin/stop", "log stopping; exec sleep 300");
    call_network(&host, "port-created.begin", PORTS[0], 0);
    host.log();
    let directory = fs::read_dir(host.path("run/undo")).unwrap().next().unwrap().unwrap();
    let worker = busy(&host);
    let port = Holder::of(&host.path("run/undo-locks").join(directory.file_name()));
    let document = crate::undo::network("stopped.end", "");
    let mut call = host.call("network", ["n1", "stopped", "end", "-"]).stdin(document).start();
    call.until_logged("stopping");
    call.signal(Signal::SIGTERM);
    call.wait();
    let said = host.text(&["show", &newest(&host)], 0);
    assert!(said.contains("hookmux got SIGTERM: what is owed is taken back in"), "{said}");
    assert_eq!(states(&host), ["due"]);
    port.release();
    worker.release();
    until("the worker takes it back", || owed(&host) == 0);
}

#[test]
fn a_rollback_waits_for_the_lock_of_a_hook_although_hookmux_is_told_to_end() {
    let host = Host::new();
    register(&host, "a", "before_vm_migrate_destination", "lock: one");
    register(&host, "z", "before_vm_migrate_destination", "weight: 900");
    host.script("bin/z", "log waiting; exec sleep 300");
    let worker = busy(&host);
    let mut call = host.guest("migrate begin").start();
    call.until_logged("waiting");
    let holder = Holder::of(&host.path("run/locks/one"));
    // once for the hook, and once more for the wait
    for _ in 0..2 {
        call.signal(Signal::SIGTERM);
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    holder.release();
    call.wait().fails(143, &[]);
    assert_eq!(host.log(), ["set a".to_owned(), "waiting".to_owned(), undone("a")]);
    assert_eq!(owed(&host), 0);
    worker.release();
}

/// The files of locks that aren't the worker's own.
fn locks(host: &Host) -> Vec<String> {
    let names = fs::read_dir(host.path("run/undo-locks")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.starts_with('.')).collect()
}

#[test]
fn locks_go_with_what_they_protect() {
    let host = shared();
    for number in [1, 2] {
        call_of(&host, number, "prepare", "begin", 0);
    }
    assert_eq!(locks(&host).len(), 3, "of two guests, and of what they share");
    for number in [1, 2] {
        call_of(&host, number, "release", "end", 0);
    }
    assert_eq!(locks(&host), [""; 0]);
    register(&host, "port", "before_network_port_create", "");
    for port in PORTS {
        call_network(&host, "port-created.begin", port, 0);
    }
    call_network(&host, "stopped.end", "", 0);
    assert_eq!(locks(&host), [""; 0]);
    // what a call left that died, and what an earlier hookmux left
    for name in ["qemu-1", "network-1.2", "shared.0f"] {
        fs::write(host.path("run/undo-locks").join(name), "").unwrap();
    }
    let held = Holder::of(&host.path("run/undo-locks/qemu-2"));
    host.text(&["undo-worker"], 0);
    assert_eq!(locks(&host), ["qemu-2"]);
    held.release();
}

#[test]
fn an_undo_that_failed_outside_of_a_call_is_a_failure_of_the_day() {
    let host = host();
    host.settings("total_timeout: 1s");
    live(&host);
    let worker = busy(&host);
    let holder = Holder::of_ledger(&host);
    host.guest("release end shutdown").run().succeeds();
    holder.release();
    assert_eq!(host.json(&["status"], 0)["last_day"]["last_failure"], serde_json::Value::Null);
    touch(&host, "a-undo.fails");
    host.text(&["undo"], 1);
    let status = host.json(&["status"], 0);
    assert_eq!(status["last_day"]["last_failure"]["id"], newest(&host).as_str(), "{status:#}");
    worker.release();
}

#[test]
fn what_a_life_owes_is_found_where_hookmux_dies_before_it_takes_anything_back() {
    let host = host();
    host.script("after_vm_destroy/90-own", "log own; kill -SEGV $PPID; exec sleep 300");
    live(&host);
    host.log();
    host.guest("release end shutdown").run();
    until("the worker takes it back", || owed(&host) == 0);
    assert_eq!(host.log(), ["own".to_owned(), undone("c"), undone("b"), undone("a")]);
    // where nothing of it is left, whoever is the next worker
    host.script("after_vm_destroy/90-own", "log own; kill -KILL $PPID; exec sleep 300");
    live(&host);
    host.log();
    host.guest("release end shutdown").run();
    assert_eq!(states(&host), ["due"; 3]);
    host.text(&["undo-worker"], 0);
    assert_eq!(host.log(), ["own".to_owned(), undone("c"), undone("b"), undone("a")]);
}

#[test]
fn ports_and_networks_owe_nothing_where_hookmux_dies_at_their_end() {
    let host = Host::new();
    register(&host, "net", "before_network_start", "");
    register(&host, "port", "before_network_port_create", "");
    host.file("hooks.d/stop.yaml", "events: [after_network_stop]\ncommand: bin/dies\n");
    host.script("bin/dies", "log dies; kill -SEGV $PPID; exec sleep 300");
    call_network(&host, "start.begin", "", 0);
    for port in PORTS {
        call_network(&host, "port-created.begin", port, 0);
    }
    host.log();
    let document = crate::undo::network("stopped.end", "");
    host.call("network", ["n1", "stopped", "end", "-"]).stdin(document).run();
    until("the worker takes it back", || owed(&host) == 0);
    let mut log = host.log();
    log.sort();
    assert_eq!(log, ["dies".to_owned(), undone("net"), undone("port"), undone("port")]);
    // of a port that isn't created after all, nobody would tell the end
    register(&host, "z", "before_network_port_create", "weight: 900");
    host.script("bin/z", "log z; kill -SEGV $PPID; exec sleep 300");
    let document = crate::undo::network("port-created.begin", PORTS[0]);
    host.call("network", ["n1", "port-created", "begin", "-"]).stdin(document).run();
    until("the worker takes it back", || owed(&host) == 0);
    let log = host.log();
    assert_eq!(log[..2], ["set port", "z"]);
    assert_eq!(log[2..], ["undo z unknown ".to_owned(), undone("port")]);
    assert_eq!(owed_names(&host), [""; 0]);
}
