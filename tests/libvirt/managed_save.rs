//! Managed saves: a hook must never be the end of one.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::events::GUEST_EVENTS;
use crate::guest::Guest;
use crate::host::Host;
use crate::scripts::{DESCRIPTION, TITLE, assert_both_edits};

fn saved(host: &Host) -> Guest<'_> {
    let vm = host.guest("vm");
    vm.start().ok();
    vm.managed_save().ok();
    assert!(host.exists(&vm.save_file()));
    host.clear_log();
    vm
}

fn link(vm: &Guest) -> String {
    format!("{}.hookmux", vm.save_file())
}

#[test]
fn a_guest_started_from_its_managed_save_has_the_edits_of_two_hooks() {
    let host = Host::new();
    let vm = saved(&host);
    host.script("before_vm_dehibernate/10-first", TITLE);
    host.script("before_vm_dehibernate/20-second", DESCRIPTION);
    host.script(
        "before_vm_launch/10-link",
        "cd /var/lib/libvirt/qemu/save; say \"links $(stat -c %h vm.save) $(ls | tr '\\n' ' ')\"
         [ vm.save -ef vm.save.hookmux ] && say 'the same file'",
    );
    vm.start().ok();
    assert!(vm.is_running());
    assert_both_edits(&vm.xml());
    let said = ["second saw the first", "links 2 vm.save vm.save.hookmux ", "the same file"];
    assert_eq!(host.log(), said);
    assert!(!host.exists(&link(&vm)), "the link is dropped at started");
    assert!(!host.exists(&vm.save_file()), "libvirt drops the save of a running guest");
    vm.destroy().ok();
}

#[test]
fn without_an_edit_there_is_no_link() {
    let host = Host::new();
    let vm = saved(&host);
    host.script("before_vm_dehibernate/10-looks", "say looked");
    host.script("before_vm_launch/10-link", "say $(ls /var/lib/libvirt/qemu/save)");
    vm.start().ok();
    assert_eq!(host.log(), ["looked", "vm.save"]);
    vm.destroy().ok();
}

#[test]
fn a_failing_restore_hook_keeps_the_saved_state_and_is_answered_at_prepare() {
    let host = Host::new();
    let vm = saved(&host);
    host.follow(GUEST_EVENTS);
    host.script("before_vm_dehibernate/10-x", "echo no memory for it >&2; exit 3");
    vm.start().fails_with(&[
        "vm prepare begin -",
        "unexpected exit status 3: ",
        "hookmux: before_vm_dehibernate/10-x: exit status 3 after ",
        " s: no memory for it",
    ]);
    // 50-follow, which stands behind it at the same event, still runs; nothing at prepare does.
    assert_eq!(host.log(), ["before_vm_dehibernate", "after_vm_stop", "after_vm_destroy"]);
    assert_eq!(vm.state(), "shut off");
    assert!(host.exists(&vm.save_file()));
    assert!(host.virsh(&["dominfo", &vm.uuid]).ok().contains("Managed save:   yes"));

    host.clear_log();
    host.script("before_vm_dehibernate/10-x", "exit 0");
    vm.start().ok();
    assert!(vm.is_running());
    assert!(host.log().contains(&"after_vm_dehibernate".to_owned()), "{:?}", host.log());
    vm.destroy().ok();
}

#[test]
fn a_held_failure_is_not_for_a_later_fresh_start() {
    let host = Host::new();
    let vm = saved(&host);
    host.script("before_vm_dehibernate/10-x", "exit 3");
    vm.start().fails_with(&["before_vm_dehibernate/10-x"]);
    host.virsh(&["managedsave-remove", &vm.uuid]).ok();
    host.script("before_vm_start/10-origin", "say $HOOKMUX_ORIGIN");
    vm.start().ok();
    assert_eq!(host.log(), ["fresh"]);
    vm.destroy().ok();
}

#[test]
fn the_save_outlives_an_edit_that_libvirt_refuses() {
    let host = Host::new();
    let vm = saved(&host);
    let inode = fs::metadata(host.path(&vm.save_file())).unwrap().ino();
    // Another amount of memory: not what the saved guest had.
    host.script("before_vm_dehibernate/10-x", "sed -i 's|>32768<|>65536<|g' \"$_hook_domxml\"");
    // 11.2 and later say that it started, and delete the save.
    if !host.libvirt_at_least(11, 2) {
        vm.start().fails();
    } else {
        drop(vm.start());
    }
    assert_eq!(vm.state(), "shut off");
    assert_eq!(fs::metadata(host.path(&link(&vm))).unwrap().ino(), inode);

    // It is the whole guest: put back, where libvirt has deleted the save, it starts.
    host.remove("before_vm_dehibernate/10-x");
    host.sh(&format!("rm -f {1}; mv {0} {1}", link(&vm), vm.save_file())).ok();
    host.script("after_vm_dehibernate/10-x", "say dehibernated");
    host.restart_daemon();
    vm.start().ok();
    assert_eq!(host.log(), ["dehibernated"]);
    vm.destroy().ok();
}
