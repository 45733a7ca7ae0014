//! Registered hooks on a real daemon: rollback, other users' rights, and work that begins after
//! libvirt has its answer.

use crate::host::{Host, wait_for};

fn register(host: &Host, name: &str, event: &str, script: &str, more: &str) {
    host.script(&format!("bin/{name}"), script);
    let yaml = format!("events: [{event}]\ncommand: bin/{name}\n{more}\n");
    host.write(&format!("/etc/libvirt/hooks/hooks.d/{name}.yaml"), &yaml, 0o644);
}

// C6
#[test]
fn a_failing_third_hook_rolls_back_the_first_two_and_the_guest_does_not_start() {
    let host = Host::new();
    for name in ["a", "b"] {
        host.script(&format!("bin/undo-{name}"), &format!("say undone {name}"));
        register(
            &host,
            name,
            "before_vm_start",
            &format!("say {name}"),
            &format!("rollback: bin/undo-{name}"),
        );
    }
    register(&host, "c", "before_vm_start", "echo no more pages >&2; exit 3", "");
    host.follow(&["after_vm_launch", "after_vm_destroy"]);
    let vm = host.guest("vm");
    vm.start().fails_with(&[
        "unexpected exit status 3: ",
        "before_vm_start/c: exit status 3 after ",
        "no more pages",
    ]);
    assert_eq!(vm.state(), "shut off");
    assert_eq!(host.log(), ["a", "b", "undone b", "undone a", "after_vm_destroy"]);
}

// L6
#[test]
fn a_detached_hook_may_ask_libvirt_about_its_own_guest() {
    let host = Host::new();
    register(
        &host,
        "ask",
        "after_vm_launch",
        r#"virsh domifaddr "$HOOKMUX_OBJECT" >/dev/null && say "asked about $HOOKMUX_OBJECT: $(virsh domstate "$HOOKMUX_OBJECT")""#,
        "mode: detached\nretries: 0\ntimeout: 60s",
    );
    let vm = host.guest("vm");
    vm.start().ok();
    host.wait_for_log("asked about vm: running");
    wait_for("the queue is empty", || {
        host.hookmux(&["queue"]).ok().contains("No detached hook waits")
    });
    assert!(vm.is_running());
}

// C7
#[test]
fn a_hook_of_another_user_cannot_read_roots_files() {
    let host = Host::new();
    host.write("/etc/libvirt/hooks/secret", "root's\n", 0o600);
    register(
        &host,
        "curious",
        "before_vm_start",
        r#"id -un; grep -q '<name>vm</name>' "$_hook_domxml" || exit 4; cat "$HOOKMUX_HOOKS_DIR/secret" 2>/dev/null && exit 5; exit 7"#,
        "run_as: {user: nobody}",
    );
    let vm = host.guest("vm");
    vm.start().fails_with(&["before_vm_start/curious: exit status 7"]);
}

// P2, V11
#[test]
fn a_hook_is_harmless_unless_the_guest_asks_for_it() {
    let host = Host::new();
    register(
        &host,
        "guard",
        "after_vm_start",
        "say guarded $HOOKMUX_OBJECT",
        "when: {property: {macspoof: 'true'}}",
    );
    register(
        &host,
        "tree",
        "before_vm_start",
        "say any $HOOKMUX_OBJECT",
        "when: {name: ['*', '!other']}\nweight: -10",
    );
    host.script("before_vm_start/10-script", "say script");
    host.guest("vm").start().ok();
    assert_eq!(host.log(), ["any vm", "script"]);
    host.clear_log();
    host.guest("other").start().ok();
    assert_eq!(host.log(), ["script"]);
}

#[test]
fn a_typo_in_an_after_registration_stops_nobody() {
    let host = Host::new();
    host.script("before_vm_start/10-x", "say starts");
    for (name, yaml) in [
        ("event", "events: [after_vm_strat]\ncommand: bin/x\n"),
        ("key", "events: [after_vm_start]\ncomand: bin/x\n"),
        ("value", "events: [after_vm_start]\ncommand: bin/x\ntimeout: soon\n"),
    ] {
        host.write(&format!("/etc/libvirt/hooks/hooks.d/{name}.yaml"), yaml, 0o644);
    }
    let vm = host.guest("vm");
    vm.start().ok();
    assert!(vm.is_running());
    vm.destroy().ok();
    assert_eq!(host.log(), ["starts"]);
    let told = host.hookmux(&["check"]);
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(told.out.contains("after_vm_strat") && told.out.contains("comand"), "{told:?}");
    // one that may have meant a gate keeps it shut
    let yaml = "events: [before_vm_strat]\ncommand: bin/x\n";
    host.write("/etc/libvirt/hooks/hooks.d/gate.yaml", yaml, 0o644);
    vm.start().fails_with(&["gate.yaml", "before_vm_strat"]);
    assert_eq!(vm.state(), "shut off");
}

// C2
#[test]
fn a_script_of_cpanels_that_answers_0_keeps_a_guest_from_starting() {
    let host = Host::new();
    host.script(
        "bin/licence",
        r#"case $1 in
--describe)
    echo '[{"category": "vm", "event": "start", "stage": "pre", "exectype": "script", "escalateprivs": 1,'
    echo ' "hook": "/etc/libvirt/hooks/bin/licence --check"}]' ;;
--check) say "asked about $HOOKMUX_OBJECT"; [ -e "$HOOKMUX_HOOKS_DIR/licensed" ] && echo '1 licensed' || echo '0 no licence' ;;
*) echo '0 no such switch'; exit 1 ;;
esac"#,
    );
    host.hookmux(&["add", "script", "/etc/libvirt/hooks/bin/licence"]).ok();
    host.follow(&["after_vm_launch"]);
    let vm = host.guest("vm");
    let said = vm.start().fails_with(&[
        "unexpected exit status 1: ",
        "before_vm_start/licence-before_vm_start: answer 0 (failed) after ",
    ]);
    let line = said.lines().find(|line| line.contains("answer 0 (failed) after ")).unwrap();
    assert!(line.ends_with(" s: no licence"), "{line}");
    assert_eq!(vm.state(), "shut off");
    assert!(host.hookmux(&["show", "last"]).ok().contains("no licence"));
    host.write("/etc/libvirt/hooks/licensed", "", 0o644);
    vm.start().ok();
    assert_eq!(host.log(), ["asked about vm", "asked about vm", "after_vm_launch"]);
}
