//! The daemon's restarts and deaths.

use super::{END, START, host, is_as_before, owed, register, said, wait_until_as_before};
use crate::host::{Host, kill_daemons, wait_for};

#[test]
fn what_is_set_up_again_at_reconnect_is_taken_back_once() {
    let host = host();
    register(&host, "r", "before_vm_prepare, after_vm_reconnect", "");
    let vm = host.guest("vm");
    vm.start().ok();
    assert_eq!(said(&host), ["set a", "set r", "set b"]);
    for _ in 0..2 {
        host.restart_daemon();
        host.wait_for_log("set r");
        wait_for("the guest is known again", || vm.is_running());
        host.hookmux(&["undo-worker"]).ok();
        assert_eq!(said(&host), ["set r"]);
        assert_eq!(owed(&host), ["a: set up", "b: set up", "r: set up"]);
    }
    vm.destroy().ok();
    // the later runs keep the place of the first
    assert_eq!(said(&host), ["undone b done", "undone r done", "undone a done"]);
    is_as_before(&host);
}

#[test]
fn a_daemon_that_is_killed_takes_nothing_back_of_a_guest_that_lives_and_all_of_one_that_is_gone() {
    let host = host();
    let (vm, other) = (host.guest("vm"), host.guest("other"));
    vm.start().ok();
    other.start().ok();
    assert_eq!(said(&host), [START, START].concat());
    host.sh(&kill_daemons()).ok();
    host.start_daemon();
    wait_for("the guests are known again", || vm.is_running() && other.is_running());
    host.hookmux(&["undo-worker"]).ok();
    assert!(host.log().is_empty(), "{:?}", host.log());
    assert_eq!(owed(&host).len(), 4);
    // now it dies with one of them
    let pid = vm.pid();
    host.sh(&format!("{}; kill -KILL {pid}", kill_daemons())).ok();
    host.start_daemon();
    host.wait_for_log("undone a done");
    wait_for("one of two owes nothing", || owed(&host).len() == 2);
    host.hookmux(&["undo-worker"]).ok();
    assert_eq!(said(&host), END);
    assert!(other.is_running());
    other.destroy().ok();
    assert_eq!(said(&host), END);
    wait_until_as_before(&host);
}

#[test]
fn a_hook_that_dies_with_the_daemon_is_taken_back_when_the_daemon_is_there_again() {
    let host = host();
    host.guest("vm");
    slow(&host);
    // daemon, hookmux and hook: nobody is left
    host.sh(&format!(
        "virsh start vm >/dev/null 2>&1 & until test -e /run/waiting; do sleep 0.05; done
         {}; kill -KILL $(cat /run/waiting); wait",
        kill_daemons()
    ))
    .ok();
    host.start_daemon();
    wait_until_as_before(&host);
    assert_eq!(said(&host), ["set a", "set z", "undone z unknown", "undone a done"]);
}

/// One more hook at `prepare`, which sets its part up and doesn't end.
fn slow(host: &Host) {
    register(host, "z", "before_vm_prepare", "");
    let text = host.read("/etc/libvirt/hooks/bin/z");
    let text = format!("{text}echo $PPID $$ >/run/pids; mv /run/pids /run/waiting; sleep 60\n");
    host.write("/etc/libvirt/hooks/bin/z", &text, 0o755);
}
