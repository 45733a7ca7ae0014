//! Hooks that hang, flood, fork or call libvirt: libvirt hears from none of that.

use std::time::Duration;

use crate::host::{Host, wait_for};

#[test]
fn a_background_child_delays_nobody_and_goes_on_printing() {
    let host = Host::new();
    // More than a pipe holds, on both of the pipes that it has from the hook.
    host.script(
        "before_vm_start/10-helper",
        r#"
helper() {
    sleep 5
    head -c 1000000 /dev/zero | tr '\0' x || say "stdout is gone"
    head -c 1000000 /dev/zero | tr '\0' x >&2 || say "stderr is gone"
    say "went on printing"
}
helper &
say started
"#,
    );
    let vm = host.guest("vm");
    let reply = vm.start();
    assert!(reply.took < Duration::from_secs(5), "{reply:?}");
    reply.ok();
    assert_eq!(host.log(), ["started"], "the helper still sleeps");
    assert!(vm.is_running());
    host.wait_for_log("went on printing");
    assert_eq!(host.log(), ["started", "went on printing"]);
    vm.destroy().ok();
}

#[test]
fn a_hook_that_hangs_is_ended_at_its_timeout_and_all_that_it_started_too() {
    let host = Host::new();
    host.settings("timeout: 2s\n");
    host.script(
        "before_vm_start/10-hangs",
        r#"
setsid sleep 31536001 &
( setsid sleep 31536002 & )
setsid sh -c 'trap "" TERM; sleep 31536003; sleep 31536004' &
echo almost there >&2
say hanging
exec sleep 31536005
"#,
    );
    host.script("before_vm_start/20-next", "say next");
    let vm = host.guest("vm");
    let reply = vm.start();
    // 2 s, and 5 s of grace for the one that ignores SIGTERM.
    assert!(reply.took > Duration::from_secs(2), "{reply:?}");
    assert!(reply.took < Duration::from_secs(12), "{reply:?}");
    reply.fails_with(&[
        "unexpected exit status 124: ",
        "hookmux: before_vm_start/10-hangs: timed out after 2.0 s: almost there",
    ]);
    assert_eq!(host.log(), ["hanging", "next"]);
    assert_eq!(vm.state(), "shut off");
    let left = || host.processes().into_iter().find(|words| words.contains("sleep 3153600"));
    wait_for("the end of all that the hook started", || left().is_none());
}

#[test]
fn what_a_good_hook_leaves_running_is_left_running() {
    let host = Host::new();
    host.script("before_vm_start/10-helper", "setsid sleep 31536006 & sleep 31536007 &");
    let vm = host.guest("vm");
    vm.start().ok();
    std::thread::sleep(Duration::from_secs(1));
    let processes = host.processes();
    for helper in ["sleep 31536006", "sleep 31536007"] {
        assert!(processes.iter().any(|words| words == helper), "{helper}: {processes:?}");
    }
    vm.destroy().ok();
}

#[test]
fn a_hook_that_calls_libvirt_about_its_own_guest_is_ended_and_told_so() {
    let host = Host::new();
    host.settings("timeout: 2s\n");
    host.script(
        "before_vm_start/10-asks",
        r#"virsh -c qemu:///system dominfo "$HOOKMUX_UUID" || say "ended by itself""#,
    );
    let vm = host.guest("vm");
    let reply = vm.start();
    assert!(reply.took < Duration::from_secs(12), "{reply:?}");
    reply.fails_with(&[
        "hookmux: before_vm_start/10-asks: timed out after 2.0 s",
        "it called libvirt, which is waiting for this hook",
    ]);
    assert_eq!(vm.state(), "shut off");

    // Only then: a hook that merely sleeps isn't accused.
    host.script("before_vm_start/10-asks", "sleep 600");
    let said = vm.start().fails_with(&["before_vm_start/10-asks: timed out after 2.0 s"]);
    assert!(!said.contains("it called libvirt"), "{said}");
    host.remove("before_vm_start/10-asks");
    vm.start().ok();
    vm.destroy().ok();
}

#[test]
fn a_flood_of_stderr_neither_grows_hookmux_nor_disconnects_the_client() {
    let host = Host::new();
    // The hook's parent is hookmux.
    host.script(
        "before_vm_start/10-flood",
        r#"
peak() { sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' /proc/$PPID/status; }
say "$(peak)"
head -c 100000000 /dev/zero | tr '\0' x >&2
head -c 100000000 /dev/zero | tr '\0' y
say "$(peak)"
exit 9
"#,
    );
    let vm = host.guest("vm");
    // Two commands on one connection.
    let reply = host.virsh(&[&format!("start {}; echo still here; list --all", vm.uuid)]);
    assert!(reply.err.contains("before_vm_start/10-flood: exit status 9 after "), "{reply:?}");
    assert!(reply.err.len() < 8 * 1024, "{} bytes", reply.err.len());
    assert!(reply.out.contains("still here") && reply.out.contains("vm"), "{reply:?}");
    assert!(!reply.err.contains("End of file"), "{reply:?}");

    let peaks: Vec<u64> = host.log().iter().map(|kib| kib.parse().unwrap()).collect();
    assert_eq!(peaks.len(), 2);
    assert!(peaks[1] < peaks[0] + 2048, "hookmux grew: {peaks:?} KiB");
}

#[test]
fn the_total_time_of_a_call_is_bounded() {
    let host = Host::new();
    host.settings("total_timeout: 2s\n");
    host.script("before_vm_start/10-slow", "sleep 600");
    host.script("before_vm_start/20-never", "say never");
    let vm = host.guest("vm");
    let reply = vm.start();
    assert!(reply.took < Duration::from_secs(12), "{reply:?}");
    reply.fails_with(&["unexpected exit status 124: ", "10-slow: timed out after ", "20-never"]);
    assert!(host.log().is_empty());
}
