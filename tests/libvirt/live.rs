//! A guest runs: whatever a hook does, it lives on, except where its owner asked for the contrary.

use std::time::Duration;

use crate::host::Host;

#[test]
fn a_failing_live_hook_at_started_leaves_the_guest_running() {
    let host = Host::new();
    host.script("after_vm_launch/10-x", "say launched; exit 1");
    host.script("after_vm_start/10-x", "say started; exit 2");
    let vm = host.guest("vm");
    vm.start().ok();
    assert!(vm.is_running());
    assert_eq!(host.log(), ["launched", "started"]);
    vm.destroy().ok();
}

#[test]
fn the_same_script_in_the_per_guest_tree_kills_the_guest_at_started() {
    let host = Host::new();
    host.follow(&["after_vm_start", "after_vm_stop", "after_vm_destroy"]);
    host.script("qemu.d/vm/started/begin/10-x", "echo no network >&2; exit 4");
    let vm = host.guest("vm");
    vm.start().fails_with(&[
        "vm started begin -",
        "unexpected exit status 4: ",
        "qemu.d/vm/started/begin/10-x: exit status 4 after ",
        " s: no network",
    ]);
    assert_eq!(vm.state(), "shut off");
    assert_eq!(host.log(), ["after_vm_start", "after_vm_stop", "after_vm_destroy"]);
}

#[test]
fn a_live_hook_that_hangs_leaves_the_guest_running() {
    let host = Host::new();
    host.settings("timeout: 1s\n");
    host.script("after_vm_start/10-x", "say hanging; sleep 600");
    let vm = host.guest("vm");
    let reply = vm.start();
    assert!(reply.took > Duration::from_secs(1), "{reply:?}");
    reply.ok();
    assert!(vm.is_running());
    assert_eq!(host.log(), ["hanging"]);
    vm.destroy().ok();
}

#[test]
fn a_failing_reconnect_hook_leaves_the_guest_running_over_a_daemon_restart() {
    let host = Host::new();
    host.script("after_vm_reconnect/10-x", "say \"reconnect $HOOKMUX_ORIGIN\"; exit 3");
    host.script("qemu.d/vm/reconnect/begin/10-x", "say tree; exit 3");
    host.follow(&["before_vm_prepare", "after_vm_start", "after_vm_stop", "after_vm_destroy"]);
    let vm = host.guest("vm");
    vm.start().ok();
    let pid = vm.pid();
    host.clear_log();

    host.restart_daemon();
    host.wait_for_log("tree");
    assert!(vm.is_running());
    assert_eq!(vm.pid(), pid);
    assert_eq!(host.log(), ["reconnect fresh", "tree"]);
    host.run(&["test", "-d", &format!("/proc/{pid}")]).ok();
    vm.destroy().ok();
}

#[test]
fn broken_settings_never_kill_a_running_guest() {
    let host = Host::new();
    host.follow(&["before_vm_start"]);
    // libvirt runs this one itself, after hookmux.
    host.script("qemu.d/probe", "[ \"$2\" != reconnect ] || say 'reconnect is over'");
    let vm = host.guest("vm");
    vm.start().ok();
    assert_eq!(host.log(), ["before_vm_start"]);
    let pid = vm.pid();

    host.settings("timeout: [\n");
    host.restart_daemon();
    host.wait_for_log("reconnect is over");
    assert!(vm.is_running());
    assert_eq!(vm.pid(), pid);

    // At `started`, too.
    vm.destroy().ok();
    host.settings("timeout: 60s\n");
    let breaks = "printf 'tiemout: 1s\\n' >/etc/libvirt/hooks/hookmux.yaml";
    host.script("before_vm_launch/10-x", &format!("{breaks}; say broken"));
    vm.start().ok();
    assert!(vm.is_running());
    assert_eq!(host.log().last().map(String::as_str), Some("broken"));
    vm.destroy().ok();
}
