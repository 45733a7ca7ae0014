//! Restores: where hooks edit the document that libvirt goes on with.

use crate::documents::Domain;
use crate::events::GUEST_EVENTS;
use crate::guest::Guest;
use crate::host::Host;
use crate::scripts::{DESCRIPTION, TITLE, assert_both_edits};

const FILE: &str = "/run/vm.save";

/// A running guest, saved to `FILE`.
fn saved(host: &Host) -> Guest<'_> {
    let vm = host.guest("vm");
    vm.start().ok();
    vm.save(FILE).ok();
    host.clear_log();
    vm
}

#[test]
fn save_and_restore_run_the_events_of_their_own() {
    let host = Host::new();
    host.follow(GUEST_EVENTS);
    let vm = host.guest("vm");
    vm.start().ok();
    host.clear_log();
    vm.save(FILE).ok();
    let mut said = vec!["after_vm_stop", "after_vm_hibernate", "after_vm_destroy"];
    said.retain(|event| *event != "after_vm_hibernate" || host.libvirt_at_least(10, 5));
    assert_eq!(host.log(), said);

    host.clear_log();
    host.script("before_vm_start/60-origin", "say \"origin $HOOKMUX_ORIGIN\"");
    host.virsh(&["restore", FILE]).ok();
    assert!(vm.is_running());
    let said = [
        "before_vm_dehibernate",
        "before_vm_prepare",
        "before_vm_start",
        "origin restore",
        "before_vm_launch",
        "after_vm_launch",
        "after_vm_dehibernate",
    ];
    assert_eq!(host.log(), said);
    vm.destroy().ok();

    // The origin was of that life.
    host.clear_log();
    vm.start().ok();
    assert!(host.log().contains(&"origin fresh".to_owned()), "{:?}", host.log());
    vm.destroy().ok();
}

#[test]
fn a_restored_guest_has_the_edits_of_two_hooks() {
    let host = Host::new();
    let vm = saved(&host);
    host.script("before_vm_dehibernate/10-first", TITLE);
    host.script("before_vm_dehibernate/20-second", DESCRIPTION);
    host.virsh(&["restore", FILE]).ok();
    assert!(vm.is_running());
    assert_both_edits(&vm.xml());
    assert_eq!(host.log(), ["second saw the first"]);
    vm.destroy().ok();
}

#[test]
fn scripts_of_the_per_guest_tree_edit_by_printing() {
    let host = Host::new();
    let vm = saved(&host);
    host.script("before_vm_dehibernate/10-first", TITLE);
    host.script("qemu.d/vm/restore/begin/10-silent", "cat >/dev/null");
    host.script(
        "qemu.d/vm/restore/begin/20-second",
        "tee /run/seen | sed 's|<devices>|<description>of the second</description><devices>|'",
    );
    host.virsh(&["restore", FILE]).ok();
    assert_both_edits(&vm.xml());
    assert!(host.read("/run/seen").contains("<title>of the first</title>"));
    vm.destroy().ok();
}

#[test]
fn a_document_that_nobody_edits_is_not_replaced() {
    let host = Host::new();
    let vm = saved(&host);
    host.script("before_vm_dehibernate/10-looks", "cat \"$_hook_domxml\" >/dev/null; say looked");
    host.virsh(&["restore", FILE]).ok();
    assert_eq!(host.log(), ["looked"]);
    // libvirt marks a guest whose document a hook has replaced.
    let qemu = host.read("/var/log/libvirt/qemu/vm.log");
    assert!(!qemu.contains("hook-script"), "{qemu}");
    vm.destroy().ok();
}

#[test]
fn a_stray_echo_harms_nothing() {
    let host = Host::new();
    let vm = saved(&host);
    host.script("before_vm_dehibernate/10-chatty", "echo restoring");
    host.script("before_vm_dehibernate/20-first", &format!("{TITLE}; echo '<done/>'"));
    host.script("before_vm_dehibernate/30-second", &format!("echo; {DESCRIPTION}"));
    host.script("qemu.d/vm/restore/begin/10-chatty", "echo restoring");
    host.virsh(&["restore", FILE]).ok();
    assert_both_edits(&vm.xml());
    vm.destroy().ok();
    // Where libvirt takes no document: on every other call.
    for event in ["before_vm_prepare", "before_vm_launch", "after_vm_start", "after_vm_destroy"] {
        host.script(&format!("{event}/10-chatty"), "echo '<domain/>'");
    }
    vm.start().ok();
    vm.destroy().ok();
}

#[test]
fn a_script_that_breaks_the_document_is_blamed_and_the_rest_holds() {
    let host = Host::new();
    let vm = saved(&host);
    let breaks = [
        ("echo '<domain><devices>' >\"$_hook_domxml\"", "not well-formed"),
        (": >\"$_hook_domxml\"", "empty"),
        ("rm \"$_hook_domxml\"", "gone"),
        ("sed -i 's|<name>vm</name>|<name>mv</name>|' \"$_hook_domxml\"", "another name"),
        ("sed -i 's|<uuid>.|<uuid>0|' \"$_hook_domxml\"", "another uuid"),
        ("echo '<network/>' >\"$_hook_domxml\"", "another root"),
    ];
    host.script("before_vm_dehibernate/10-first", TITLE);
    host.script("before_vm_dehibernate/30-second", DESCRIPTION);
    for (body, what) in breaks {
        host.clear_log();
        host.script("before_vm_dehibernate/20-breaks", body);
        let said = host.virsh(&["restore", FILE]).fails();
        assert!(said.contains("hookmux: before_vm_dehibernate/20-breaks: "), "{what}: {said}");
        assert!(!said.contains("before_vm_dehibernate/10-first: "), "{what}: {said}");
        assert!(!said.contains("before_vm_dehibernate/30-second: "), "{what}: {said}");
        assert_eq!(host.log(), ["second saw the first"], "{what}: the document before it stays");
        assert_eq!(vm.state(), "shut off", "{what}");
    }
    host.remove("before_vm_dehibernate/20-breaks");
    host.virsh(&["restore", FILE]).ok();
    assert_both_edits(&vm.xml());
    vm.destroy().ok();
}

#[test]
fn a_broken_document_that_the_per_guest_tree_prints_is_blamed_on_its_script() {
    let host = Host::new();
    let vm = saved(&host);
    host.script("before_vm_dehibernate/10-first", TITLE);
    host.script("qemu.d/vm/restore/begin/20-half", "head -c 200");
    host.virsh(&["restore", FILE])
        .fails_with(&["vm prepare begin -", "hookmux: qemu.d/vm/restore/begin/20-half: "]);
    assert_eq!(vm.state(), "shut off");
    host.remove("qemu.d/vm/restore/begin/20-half");
    host.virsh(&["restore", FILE]).ok();
    assert!(vm.xml().contains("<title>of the first</title>"));
    vm.destroy().ok();
}

#[test]
fn an_edit_at_prepare_changes_nothing() {
    let host = Host::new();
    host.script("before_vm_start/10-edits", &format!("{TITLE}; say edited"));
    let prints = "sed 's|<devices>|<title>x</title><devices>|'; say printed";
    host.script("qemu.d/vm/prepare/begin/10-prints", prints);
    let vm = host.define(&Domain::new("vm"));
    vm.start().ok();
    assert_eq!(host.log(), ["edited", "printed"]);
    assert!(!vm.xml().contains("<title>"));
    vm.destroy().ok();
}
