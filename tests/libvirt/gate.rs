//! Nothing runs yet: a failing hook stops the operation, and the admin reads why.

use crate::host::Host;

#[test]
fn a_failing_gate_hook_stops_the_guest_and_virsh_names_it() {
    for (event, called) in [
        ("before_vm_prepare", "vm prepare begin -"),
        ("before_vm_start", "vm prepare begin -"),
        ("before_vm_launch", "vm start begin -"),
    ] {
        let host = Host::new();
        host.follow(&["after_vm_launch", "after_vm_start", "after_vm_stop", "after_vm_destroy"]);
        host.script(
            &format!("{event}/10-broken"),
            "echo looking for pages >&2; echo 'no huge pages left' >&2; exit 3",
        );
        let vm = host.guest("vm");
        let named = format!("hookmux: {event}/10-broken: exit status 3 after ");
        // libvirt itself says `unexpected exit status 3` for the whole call.
        let said = vm.start().fails_with(&[called, "unexpected exit status 3: ", &named]);
        let line = said.lines().find(|line| line.contains(&named)).unwrap();
        assert!(line.ends_with(" s: no huge pages left"), "the last line of its stderr: {line}");
        assert_eq!(vm.state(), "shut off");
        assert_eq!(host.log(), ["after_vm_stop", "after_vm_destroy"]);
    }
}

#[test]
fn every_failure_is_named_and_the_first_ones_status_is_libvirts() {
    let host = Host::new();
    host.script("before_vm_start/10-first", "echo one >&2; exit 1");
    host.script("before_vm_start/20-good", "say good");
    host.script("before_vm_start/30-second", "echo two >&2; exit 7");
    host.script("before_vm_start/40-killed", "kill -KILL $$");
    let vm = host.guest("vm");
    vm.start().fails_with(&[
        "unexpected exit status 1: ",
        "before_vm_start/10-first: exit status 1 after ",
        "before_vm_start/30-second: exit status 7 after ",
        "before_vm_start/40-killed: ",
    ]);
    assert_eq!(host.log(), ["good"], "1 means: failed, go on");
}

#[test]
fn exit_status_2_stops_the_hooks_that_follow() {
    let host = Host::new();
    host.script("before_vm_start/10-stop", "exit 2");
    host.script("before_vm_start/20-next", "say next");
    host.script("qemu.d/vm/prepare/begin/10-tree", "say tree");
    host.follow(&["after_vm_destroy"]);
    let vm = host.guest("vm");
    vm.start()
        .fails_with(&["unexpected exit status 2: ", "before_vm_start/10-stop: exit status 2"]);
    assert_eq!(host.log(), ["after_vm_destroy"]);
}

#[test]
fn the_first_failure_in_the_per_guest_tree_stops_the_rest_of_it() {
    let host = Host::new();
    host.script("qemu.d/vm/prepare/begin/10-x", "echo no vfio >&2; exit 5");
    host.script("qemu.d/vm/prepare/begin/20-y", "say never");
    let vm = host.guest("vm");
    let other = host.guest("other");
    vm.start().fails_with(&[
        "unexpected exit status 5: ",
        "hookmux: qemu.d/vm/prepare/begin/10-x: exit status 5 after ",
        " s: no vfio",
    ]);
    assert!(host.log().is_empty());
    other.start().ok();
    other.destroy().ok();
}

#[test]
fn a_hook_that_cannot_be_executed_fails_like_in_a_shell() {
    let host = Host::new();
    host.write("/etc/libvirt/hooks/before_vm_start/10-x", "#!/no/such/interpreter\n", 0o755);
    let vm = host.guest("vm");
    vm.start().fails_with(&["unexpected exit status 127: ", "before_vm_start/10-x: "]);
    assert_eq!(vm.state(), "shut off");
}

#[test]
fn control_bytes_of_a_hook_never_reach_the_admins_terminal() {
    let host = Host::new();
    let bytes = r"printf 'red \033[31m bell \007 latin \344\n' >&2; exit 1";
    host.script("before_vm_start/10-x", bytes);
    let vm = host.guest("vm");
    let said = vm.start().fails_with(&["before_vm_start/10-x: exit status 1", "red ", " latin "]);
    assert!(!said.contains('\u{1b}') && !said.contains('\u{7}'), "{said:?}");
    // Bad UTF-8, read as lossy.
    assert!(!said.contains('\u{fffd}'), "{said:?}");
}

#[test]
fn what_a_good_hook_prints_stays_between_it_and_hookmux() {
    let host = Host::new();
    let events = ["before_vm_prepare", "before_vm_launch", "after_vm_start", "after_vm_destroy"];
    for event in events {
        host.script(&format!("{event}/10-chatty"), "echo out; echo err >&2; say chatted");
    }
    let vm = host.guest("vm");
    let reply = vm.start();
    assert!(reply.err.is_empty() && !reply.out.contains("out"), "{reply:?}");
    reply.ok();
    vm.destroy().ok();
    assert_eq!(host.log(), ["chatted"; 4]);
    assert!(!host.daemon_log().contains("Hook script execution failed"), "{}", host.daemon_log());
}

#[test]
fn a_failing_notify_hook_is_in_libvirts_log_and_stops_nothing() {
    let host = Host::new();
    host.script("after_vm_stop/10-x", "exit 4");
    host.script("after_vm_destroy/10-x", "exit 6");
    let vm = host.guest("vm");
    vm.start().ok();
    vm.destroy().ok();
    assert_eq!(vm.state(), "shut off");
    let log = host.daemon_log();
    for named in ["after_vm_stop/10-x: exit status 4", "after_vm_destroy/10-x: exit status 6"] {
        assert!(log.contains(named), "{named}: {log}");
    }
    vm.start().ok();
    vm.destroy().ok();
}
