//! `undo` on a real daemon: what hooks set up is taken back however a guest or a network ends.

use crate::host::{Host, wait_for};

fn register(host: &Host, name: &str, event: &str, script: &str) {
    host.script(&format!("bin/{name}"), script);
    host.script(&format!("bin/{name}-undo"), &format!("say undone {name} $HOOKMUX_UNDO_OUTCOME"));
    let yaml = format!("events: [{event}]\ncommand: bin/{name}\nundo: bin/{name}-undo\n");
    host.write(&format!("/etc/libvirt/hooks/hooks.d/{name}.yaml"), &yaml, 0o644);
}

fn host() -> Host {
    let host = Host::new();
    register(&host, "a", "before_vm_prepare", "say a");
    register(&host, "b", "after_vm_launch", "say b");
    host
}

fn owes_nothing(host: &Host) -> bool {
    host.hookmux(&["undo", "--list"]).ok().contains("Nothing is owed")
}

#[test]
fn a_life_however_it_ends_is_taken_back() {
    let host = host();
    let vm = host.guest("vm");
    vm.start().ok();
    assert_eq!(host.log(), ["a", "b"]);
    host.clear_log();
    vm.destroy().ok();
    assert_eq!(host.log(), ["undone b done", "undone a done"]);
    host.clear_log();
    // the guest itself dies
    vm.start().ok();
    host.clear_log();
    host.sh(&format!("kill -KILL {}", vm.pid())).ok();
    host.wait_for_log("undone a done");
    assert_eq!(host.log(), ["undone b done", "undone a done"]);
    host.clear_log();
    // saved and restored
    vm.start().ok();
    host.clear_log();
    vm.managed_save().ok();
    assert_eq!(host.log(), ["undone b done", "undone a done"]);
    host.clear_log();
    vm.start().ok();
    assert_eq!(host.log(), ["a", "b"]);
    host.clear_log();
    vm.destroy().ok();
    assert_eq!(host.log(), ["undone b done", "undone a done"]);
    assert!(owes_nothing(&host));
}

#[test]
fn a_start_that_fails_is_taken_back_and_so_is_one_that_is_destroyed_meanwhile() {
    let host = host();
    let vm = host.guest("vm");
    host.script("before_vm_launch/90-no", "exit 3");
    vm.start().fails_with(&["before_vm_launch/90-no"]);
    assert_eq!(host.log(), ["a", "undone a done"]);
    host.remove("before_vm_launch/90-no");
    host.clear_log();
    register(&host, "z", "before_vm_prepare", "say waiting; touch /run/waiting; sleep 3");
    host.sh("virsh start vm >/dev/null 2>&1 & until test -e /run/waiting; do sleep 0.05; done; virsh destroy vm; wait; :");
    wait_for("everything is taken back", || owes_nothing(&host) || vm.is_running());
    if vm.is_running() {
        vm.destroy().ok();
    }
    assert!(owes_nothing(&host));
    let log = host.log();
    for name in ["a", "z"] {
        let line = format!("undone {name} done");
        assert_eq!(log.iter().filter(|seen| **seen == line).count(), 1, "{log:?}");
    }
}

#[test]
fn a_daemon_that_is_killed_takes_nothing_back_of_a_guest_that_lives_and_all_of_one_that_is_gone() {
    let host = host();
    let vm = host.guest("vm");
    vm.start().ok();
    host.clear_log();
    let kill = "p=$(cat /run/libvirtd.pid); kill -KILL $p; while kill -0 $p 2>/dev/null; do sleep 0.05; done";
    host.sh(kill).ok();
    host.start_daemon();
    wait_for("the guest is known again", || vm.is_running());
    host.hookmux(&["undo-worker"]).ok();
    assert!(host.log().is_empty(), "{:?}", host.log());
    // now both die
    let pid = vm.pid();
    host.sh(&format!("{kill}; kill -KILL {pid}")).ok();
    host.start_daemon();
    host.wait_for_log("undone a done");
    wait_for("nothing is owed", || owes_nothing(&host));
    assert_eq!(host.log(), ["undone b done", "undone a done"]);
}
