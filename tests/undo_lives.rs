//! `undo` where lives, locks and processes get into each other's way: what isn't certain stays, what is owed is
//! found, and nothing costs anything where nothing is owed.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::documents::UUID;
use crate::support::{Host, until};
use crate::undo::{
    age, call_network, call_of, daemon_starts, host, live, numbered, owed, owed_names, register,
    remove, shared, touch, undone,
};

/// Somebody who holds a lock.
pub struct Holder(Child);

impl Holder {
    pub fn of(file: &Path) -> Holder {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let mut child = Command::new("sh")
            .args(["-c", "exec 9>>\"$1\"; flock 9; echo held; read line", "sh"])
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
        Holder(child)
    }

    /// That of the ledger of guest `g`.
    pub fn of_ledger(host: &Host) -> Holder {
        Holder::of(&host.path(format!("run/undo-locks/qemu-{UUID}")))
    }

    pub fn release(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

pub fn states(host: &Host) -> Vec<String> {
    let list = host.json(&["undo", "--list"], 0);
    let all = list["undos"].as_array().unwrap().iter();
    all.map(|one| one["state"].as_str().unwrap().to_owned()).collect()
}

/// A hook for guest `g` whose life another call begins under bypass.
fn under_bypass(host: &Host, calls: &[&str]) {
    host.text(&["bypass", "on", "--for", "1h"], 0);
    for call in calls {
        host.guest(call).run().succeeds();
    }
    host.text(&["bypass", "off"], 0);
}

/// The files of the holders of shares.
fn holders(host: &Host) -> usize {
    host.everything().iter().filter(|path| path.to_string_lossy().contains('~')).count()
}

/// The id of the newest execution: `last` passes over what follows from others.
pub fn newest(host: &Host) -> String {
    let log = host.json(&["log", "-n", "1"], 0);
    log["executions"][0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn each_life_of_a_guest_has_a_share_of_its_own() {
    let host = Host::new();
    register(&host, "s", "after_vm_launch", "shared: true");
    host.guest("started begin").run().succeeds();
    // the first life's undo stays owed, and the second life shares what it set up
    under_bypass(&host, &["release end shutdown", "prepare begin"]);
    host.guest("started begin").run().succeeds();
    assert_eq!((host.log(), owed(&host), holders(&host)), (vec!["set s".to_owned()], 3, 2));
    host.guest("release end shutdown").run().succeeds();
    assert_eq!(host.log(), [undone("s")], "once, for the last one");
    assert!(!host.path("run/undo").exists());
}

#[test]
fn the_end_of_a_life_that_finds_its_ledger_locked_is_left_to_the_worker() {
    let host = host();
    host.settings("total_timeout: 1s");
    live(&host);
    host.log();
    let holder = Holder::of_ledger(&host);
    host.guest("release end shutdown").run().succeeds();
    assert!(host.log().is_empty());
    assert_eq!(states(&host), ["due"; 3]);
    let release = newest(&host);
    assert!(host.text(&["show", &release], 0).contains("is taken back in the background"));
    holder.release();
    until("the worker takes it back", || owed(&host) == 0);
    assert_eq!(host.log(), [undone("c"), undone("b"), undone("a")]);
}

#[test]
fn under_bypass_nothing_waits_and_what_has_ended_stays_owed() {
    let host = host();
    host.settings("total_timeout: 120s");
    live(&host);
    host.log();
    let holder = Holder::of_ledger(&host);
    host.text(&["bypass", "on", "--for", "1h"], 0);
    for call in ["prepare begin", "release end shutdown"] {
        host.guest(call).run().took_less_than(100);
    }
    host.text(&["bypass", "off"], 0);
    assert!(host.log().is_empty());
    assert_eq!(states(&host), ["owed"; 3]);
    holder.release();
    host.text(&["undo-worker"], 0);
    assert!(host.log().is_empty(), "it isn't the worker's");
    host.text(&["undo"], 0);
    assert_eq!(host.log(), [undone("c"), undone("b"), undone("a")]);
    assert!(!host.path("run/undo").exists());
}

#[test]
fn a_prepare_that_finds_its_ledger_locked_keeps_what_waits_for_it() {
    let host = Host::new();
    host.settings("total_timeout: 1s");
    register(&host, "in", "before_vm_migrate_destination", "");
    host.guest("migrate begin").run().succeeds();
    let holder = Holder::of_ledger(&host);
    host.guest("prepare begin").run().succeeds();
    holder.release();
    assert_eq!(host.log(), ["set in"]);
    age(&host);
    assert_eq!(states(&host), ["set up"]);
    host.text(&["undo-worker"], 0);
    assert!(host.log().is_empty());
    host.guest("release end -").run().succeeds();
    assert_eq!(host.log(), [undone("in")]);
}

/// Changes the entries, as if other times had come.
fn edit(host: &Host, key: &str, by_ns: i64) {
    for path in host.everything() {
        let is_entry = path.starts_with(host.path("run/undo"))
            && path.extension().is_some_and(|end| end == "json");
        if is_entry {
            let mut entry: serde_json::Value =
                serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let then = entry["current"][key].as_i64().unwrap();
            entry["current"][key] = (then + by_ns).into();
            fs::write(&path, serde_json::to_vec(&entry).unwrap()).unwrap();
        }
    }
}

#[test]
fn the_five_minutes_count_from_the_end_of_the_call_or_of_the_hook() {
    const TEN_MINUTES_NS: i64 = 600_000_000_000;
    let host = Host::new();
    register(&host, "in", "before_vm_migrate_destination", "");
    host.guest("migrate begin").run().succeeds();
    edit(&host, "began_ns", -TEN_MINUTES_NS);
    edit(&host, "ended_ns", -TEN_MINUTES_NS);
    assert_eq!(states(&host), ["waits"], "the call has ended just now");
    let is_mark = |path: &&std::path::PathBuf| {
        path.file_name().unwrap().to_str().unwrap().starts_with("arrived.")
    };
    for mark in host.everything().iter().filter(is_mark) {
        fs::remove_file(mark).unwrap();
    }
    edit(&host, "ended_ns", TEN_MINUTES_NS);
    assert_eq!(states(&host), ["waits"], "the hook has ended just now");
    edit(&host, "ended_ns", -TEN_MINUTES_NS);
    assert_eq!(states(&host), ["due"]);
}

#[test]
fn a_call_waits_once_for_the_ledger_and_its_hooks_have_what_is_left() {
    let host = host();
    host.settings("total_timeout: 2s");
    host.follow(&["before_vm_prepare/90-other"]);
    live(&host);
    host.log();
    let holder = Holder::of_ledger(&host);
    let answer = host.guest("prepare begin").run();
    answer.fails(124, &["90-other: not run: the call's time of 2.0 s was over"]);
    assert!(host.log().is_empty());
    holder.release();
    host.guest("release end failed").run().succeeds();
    assert_eq!(host.log(), [undone("c"), undone("b"), undone("a")]);
}

#[test]
fn a_network_that_stops_waits_for_no_port_longer_than_a_call_may() {
    let host = Host::new();
    host.settings("total_timeout: 1s");
    register(&host, "port", "before_network_port_create", "");
    let ports = ["11111111-3cde-4682-bbbc-f14efe8bf951", "22222222-3cde-4682-bbbc-f14efe8bf951"];
    for port in ports {
        call_network(&host, "port-created.begin", port, 0);
    }
    host.log();
    let directories = fs::read_dir(host.path("run/undo")).unwrap();
    let names: Vec<_> = directories.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2);
    let locks = names.iter().map(|name| Holder::of(&host.path("run/undo-locks").join(name)));
    let holders: Vec<Holder> = locks.collect();
    call_network(&host, "stopped.end", "", 0);
    assert!(host.log().is_empty());
    assert_eq!(states(&host), ["due"; 2]);
    holders.into_iter().for_each(Holder::release);
    until("the worker takes them back", || owed(&host) == 0);
    assert_eq!(host.log(), [undone("port"), undone("port")]);
}

#[test]
fn all_undos_of_a_network_and_its_ports_have_one_time_together() {
    let host = Host::new();
    register(&host, "port", "before_network_port_create", "");
    host.script("bin/port-undo", "log undoing; test -e \"$T/quick\" || exec sleep 300");
    for port in ["11111111-3cde-4682-bbbc-f14efe8bf951", "22222222-3cde-4682-bbbc-f14efe8bf951"] {
        call_network(&host, "port-created.begin", port, 0);
    }
    host.log();
    // the worker must not run in between
    let busy = Holder::of(&host.path("run/undo-locks/.worker"));
    call_network(&host, "stopped.end", "", 0);
    assert_eq!(host.log(), ["undoing"], "the second one had no time");
    assert_eq!(states(&host), ["due"; 2]);
    let names = owed_names(&host);
    assert!(names.iter().all(|name| name.contains(".due")), "a full disk forgets none: {names:?}");
    touch(&host, "quick");
    busy.release();
    until("the worker takes them back", || owed(&host) == 0);
}

#[test]
fn where_nothing_is_owed_there_is_no_ledger() {
    let gone = |host: &Host, what: &str| {
        assert!(!host.path("run/undo").exists(), "{what}: {:?}", host.everything());
    };
    let host = host();
    live(&host);
    assert!(host.path("run/undo").exists());
    host.guest("release end shutdown").run().succeeds();
    gone(&host, "a life");
    touch(&host, "a.fails");
    host.guest("prepare begin").run().fails(3, &["/a"]);
    host.guest("release end failed").run().succeeds();
    gone(&host, "a hook that failed");
    remove(&host, "a.fails");
    live(&host);
    host.text(&["undo", "--guest", "g", "--yes"], 0);
    gone(&host, "by hand");
    live(&host);
    daemon_starts(&host, "\n");
    gone(&host, "a daemon that starts");
    let host = shared();
    for number in [1, 2] {
        call_of(&host, number, "prepare", "begin", 0);
    }
    for number in [1, 2] {
        call_of(&host, number, "release", "end", 0);
    }
    gone(&host, "what was shared");
    // and nothing waits in a call of a guest that owes nothing
    let holder = Holder::of_ledger(&host);
    host.guest("stopped end").run().succeeds();
    holder.release();
    gone(&host, "a call without hooks");
}

#[test]
fn the_worker_takes_nothing_from_a_guest_that_lives_and_owes_nothing_itself() {
    let host = host();
    live(&host);
    host.log();
    host.script("bin/c-undo", "log begun; test -e \"$T/quick\" || exec sleep 300");
    let running = host.guest("release end shutdown").start();
    until("the undo runs", || host.read_text("log").contains("begun"));
    running.signal(nix::sys::signal::Signal::SIGKILL);
    running.wait();
    host.log();
    for name in ["a", "b", "c"] {
        remove(&host, &format!("hooks/hooks.d/{name}.yaml"));
    }
    touch(&host, "quick");
    under_bypass(&host, &["prepare begin", "started begin"]);
    host.text(&["undo-worker"], 0);
    assert!(host.text(&["undo"], 0).contains("3 undos wait for the end of their guest"));
    assert!(host.log().is_empty(), "the guest lives");
    assert_eq!(owed(&host), 3);
    // libvirt knows that it is gone
    daemon_starts(&host, &format!("{UUID}\n"));
    assert_eq!(host.log().len(), 1, "it asked");
    host.guest("release end shutdown").run().succeeds();
    assert_eq!(host.log(), ["begun".to_owned(), undone("b"), undone("a")]);
}

#[test]
fn a_migration_that_is_refused_takes_nothing_from_the_guest_that_runs_here() {
    let host = Host::new();
    let events = "events: [before_vm_prepare, before_vm_migrate_destination]\n";
    register(&host, "a", "before_vm_prepare", "");
    host.file("hooks.d/a.yaml", format!("{events}command: bin/a\nundo: bin/a-undo\n"));
    register(&host, "z", "before_vm_migrate_destination", "weight: 900");
    host.guest("prepare begin").run().succeeds();
    touch(&host, "z.fails");
    host.guest("migrate begin").run().fails(3, &["/z"]);
    assert_eq!(host.log(), ["set a".to_owned(), "set a".into(), "set z".into(), undone("a")]);
    assert_eq!((owed(&host), states(&host)), (1, vec!["set up".to_owned()]));
    // the same while nobody can use its ledger
    host.settings("total_timeout: 1s");
    let holder = Holder::of_ledger(&host);
    host.guest("migrate begin").run().fails(124, &["time of 1.0 s was over"]);
    holder.release();
    host.settings("");
    assert_eq!(states(&host), ["set up"], "the guest lives");
    host.log();
    // libvirt refuses it itself, without a further call
    remove(&host, "z.fails");
    host.guest("migrate begin").run().succeeds();
    host.log();
    age(&host);
    host.text(&["undo-worker"], 0);
    host.text(&["undo"], 0);
    assert!(host.log().is_empty(), "the guest lives");
    assert_eq!(owed(&host), 3);
    host.guest("release end shutdown").run().succeeds();
    let log = host.log();
    assert_eq!(log.iter().filter(|line| line.starts_with("undo a")).count(), 2, "{log:?}");
    assert_eq!(owed(&host), 0);
    // it comes after all, and the life before it was never seen to end
    host.guest("prepare begin").run().succeeds();
    host.guest("migrate begin").run().succeeds();
    host.log();
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), [undone("a"), "set a".to_owned()]);
    assert_eq!(owed_names(&host).iter().filter(|name| name.contains("provisional")).count(), 0);
    assert_eq!(owed(&host), 2);
}

#[test]
fn who_undoes_by_hand_waits_ten_seconds_for_a_hooks_lock() {
    let host = Host::new();
    register(&host, "a", "before_vm_prepare", "lock: one");
    host.guest("prepare begin").run().succeeds();
    under_bypass(&host, &["release end shutdown"]);
    let holder = Holder::of(&host.path("run/locks/one"));
    let said = host.text(&["undo"], 1);
    assert!(
        said.contains("its lock wasn't free")
            && said.contains("0 undone, 1 failed and still owed, 0 left."),
        "{said}"
    );
    assert_eq!(states(&host), ["owed"]);
    assert!(host.text(&["check"], 0).contains("its lock wasn't free"));
    holder.release();
    host.text(&["undo"], 0);
    assert_eq!(host.log(), ["set a".to_owned(), undone("a")]);
}

#[test]
fn the_last_of_those_that_share_rolls_back_what_the_first_one_set_up() {
    let host = shared();
    host.script(
        "bin/s-roll",
        "log \"rolled $HOOKMUX_OBJECT $(grep -c '<name>g1</name>' \"$_hook_domxml\")\"; test ! -e \"$T/roll.fails\"",
    );
    let text = "events: [before_vm_prepare]\ncommand: bin/s\nundo: bin/s-undo\nrollback: bin/s-roll\nshared: true\n";
    host.file("hooks.d/s.yaml", text);
    register(&host, "z", "before_vm_prepare", "weight: 900\nwhen: {name: g2}");
    let wait = "log waiting; until test -e \"$T/go\"; do sleep 0.05; done; exit 3";
    for fails in [false, true] {
        host.script("bin/z", wait);
        call_of(&host, 1, "prepare", "begin", 0);
        let (name, document) = numbered(2);
        let second = host.call("qemu", [name.as_str(), "prepare", "begin", "-"]);
        let mut second = second.stdin(document.as_str()).start();
        second.until_logged("waiting");
        call_of(&host, 1, "release", "end", 0);
        assert_eq!(host.log(), ["set s for g1", "waiting"], "the second one needs it");
        if fails {
            touch(&host, "roll.fails");
        }
        touch(&host, "go");
        second.wait().fails(3, &["/z: exit status 3"]);
        assert_eq!(host.log(), ["rolled g1 1"], "with what the first one had");
        remove(&host, "go");
        call_of(&host, 2, "release", "end", 0);
        let expected = if fails { vec!["undo s of g1 g1"] } else { vec![] };
        assert_eq!(host.log(), expected, "a rollback that failed leaves it to the undo");
        assert!(!host.path("run/undo").exists());
    }
}

#[test]
fn undos_are_told_in_the_history_as_what_they_are() {
    let host = host();
    live(&host);
    let gate = host.json(&["log"], 0)["executions"][0]["id"].as_str().unwrap().to_owned();
    host.guest("release end shutdown").run().succeeds();
    let shown = host.json(&["show", &newest(&host)], 0);
    let undo = shown["runs"].as_array().unwrap().last().unwrap();
    assert_eq!(undo["hook"], "before_vm_prepare/a (undo)");
    assert_eq!(undo["undo"]["hook"], "before_vm_prepare/a");
    assert_eq!(undo["undo"]["parent"], gate.as_str());
    assert_eq!(
        (&undo["undo"]["outcome"], &undo["undo"]["interrupted"]),
        (&"done".into(), &false.into())
    );
    let said = host.text(&["show", &newest(&host)], 0);
    let line =
        format!("takes back what before_vm_prepare/a set up in {gate}: the hook had succeeded");
    assert!(said.contains(&line), "{said}");
    // outside of a call
    live(&host);
    under_bypass(&host, &["release end shutdown"]);
    host.text(&["undo"], 0);
    let log = host.json(&["log"], 0);
    let last = log["executions"].as_array().unwrap().last().unwrap();
    assert_eq!(last["cause"], "undo", "{last:#}");
    assert!(last["parent"].is_string());
    let undo = newest(&host);
    assert!(host.text(&["show", &undo], 0).contains("undo of"));
    let shown = host.json(&["show", &undo], 0);
    assert!(shown["runs"][0]["undo"]["hook"].is_string(), "{shown:#}");
    // of a share: who needs it, and for whom it was set up
    let host = shared();
    for number in [1, 2, 3] {
        call_of(&host, number, "prepare", "begin", 0);
    }
    call_of(&host, 1, "release", "end", 0);
    let said = host.text(&["show", &newest(&host)], 0);
    assert!(said.contains("others still need what it shares: g2, g3"), "{said}");
    call_of(&host, 2, "release", "end", 0);
    call_of(&host, 3, "release", "end", 0);
    let said = host.text(&["show", &newest(&host)], 0);
    assert!(said.contains("it was set up for g1, and this was the last one"), "{said}");
    assert_eq!(host.json(&["show", &newest(&host)], 0)["runs"][0]["undo"]["shared_object"], "g1");
}

#[test]
fn who_takes_hookmux_away_is_asked_where_undos_are_owed() {
    let host = host();
    live(&host);
    host.log();
    let asked = host.text(&["uninstall"], 2);
    assert!(asked.contains("3 undos are owed") && asked.contains("undo --list"), "{asked}");
    assert!(host.hook("qemu").exists(), "nothing was done");
    let said = host.text(&["uninstall", "--driver", "network"], 0);
    assert!(!said.contains("owed"), "{said}");
    let said = host.text(&["uninstall", "--yes"], 0);
    assert!(said.contains("3 undos are owed"), "{said}");
    assert!(!host.hook("qemu").exists());
    // by hand it goes on
    host.text(&["undo", "--guest", "g", "--yes"], 0);
    assert_eq!(host.log(), [undone("c"), undone("b"), undone("a")]);
}

#[test]
fn without_virsh_nothing_is_undone_after_a_daemons_death_and_that_is_told() {
    let host = host();
    live(&host);
    host.log();
    let output = Command::new(crate::binary_under_test())
        .arg("--hooks-dir")
        .arg(host.hooks())
        .args(["undo-worker", "--started", "libvirtd"])
        .env("PATH", host.hook("bin"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(host.log().is_empty());
    assert_eq!(owed(&host), 3);
    assert!(host.text(&["undo", "--list"], 0).contains("there is no virsh"));
    assert!(host.text(&["check"], 0).contains("there is no virsh"));
}
