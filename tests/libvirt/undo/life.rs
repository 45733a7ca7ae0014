//! A guest's life, however it begins and ends.

use super::{END, START, ends, five_minutes_go_by, host, is_as_before, is_set_up, owed, register};
use super::{register_two, said, starts, wait_until_as_before};
use crate::documents::Domain;
use crate::host::{Host, wait_for};

#[test]
fn a_life_however_it_ends_is_taken_back() {
    let host = host();
    let vm = host.guest("vm");
    starts(&host, &vm);
    is_set_up(&host);
    ends(&host, &vm);
    is_as_before(&host);
    // the guest itself dies
    starts(&host, &vm);
    host.sh(&format!("kill -KILL {}", vm.pid())).ok();
    host.wait_for_log("undone a done");
    wait_until_as_before(&host);
    assert_eq!(said(&host), END);
}

#[test]
fn a_save_is_an_end_and_a_restore_is_a_start() {
    let host = host();
    register(&host, "in", "before_vm_dehibernate", "");
    let vm = host.guest("vm");
    starts(&host, &vm);
    vm.managed_save().ok();
    assert_eq!(said(&host), END);
    is_as_before(&host);
    vm.start().ok();
    assert_eq!(said(&host), ["set in", "set a", "set b"]);
    assert_eq!(owed(&host), ["a: set up", "b: set up", "in: set up"]);
    // to a file, and from it
    vm.save("/run/saved").ok();
    assert_eq!(said(&host), ["undone b done", "undone a done", "undone in done"]);
    is_as_before(&host);
    host.virsh(&["restore", "/run/saved"]).ok();
    assert_eq!(said(&host), ["set in", "set a", "set b"]);
    vm.save("/run/saved").ok();
    assert_eq!(said(&host), ["undone b done", "undone a done", "undone in done"]);
    is_as_before(&host);

    // a hook refuses it at `restore`; what ran before it waits for `prepare`, which doesn't come, or refuses too
    host.script("before_vm_dehibernate/90-no", "exit 3");
    host.virsh(&["restore", "/run/saved"]).fails_with(&["before_vm_dehibernate/90-no"]);
    assert_eq!(said(&host)[0], "set in");
    if !owed(&host).is_empty() {
        assert_eq!(owed(&host), ["in: waits"]);
        five_minutes_go_by(&host);
        assert_eq!(said(&host), ["undone in done"]);
    }
    is_as_before(&host);
    // and one at `prepare`, after which libvirt calls `release`
    host.remove("before_vm_dehibernate/90-no");
    host.clear_log();
    host.script("before_vm_prepare/90-no", "exit 3");
    host.virsh(&["restore", "/run/saved"]).fails_with(&["before_vm_prepare/90-no"]);
    assert_eq!(said(&host), ["set in", "set a", "undone a done", "undone in done"]);
    is_as_before(&host);
}

#[test]
fn a_start_that_fails_is_taken_back() {
    let host = host();
    let vm = host.guest("vm");
    for event in ["before_vm_prepare", "before_vm_start", "before_vm_launch"] {
        host.script(&format!("{event}/90-no"), "exit 3");
        vm.start().fails_with(&[&format!("{event}/90-no")]);
        assert_eq!(said(&host), ["set a", "undone a done"], "{event}");
        is_as_before(&host);
        host.remove(&format!("{event}/90-no"));
    }
    // QEMU doesn't start: another guest has the port
    let port = |name: &str| {
        let screen = "<graphics type='vnc' port='5999' autoport='no' listen='127.0.0.1'/>";
        host.define(&Domain::new(name).device(screen))
    };
    let (one, two) = (port("one"), port("two"));
    starts(&host, &one);
    two.start().fails();
    assert_eq!(said(&host), ["set a", "undone a done"]);
    is_set_up(&host);
    ends(&host, &one);
    is_as_before(&host);
}

#[test]
fn a_guest_that_is_destroyed_during_its_prepare_is_taken_back_once() {
    let host = host();
    let vm = host.guest("vm");
    register(&host, "z", "before_vm_prepare", "");
    let slow = host.read("/etc/libvirt/hooks/bin/z");
    host.write(
        "/etc/libvirt/hooks/bin/z",
        &format!("{slow}touch /run/waiting; until test -e /run/go-on; do sleep 0.05; done\n"),
        0o755,
    );
    // libvirt destroys it at once, or when the hook has ended
    host.sh("virsh start vm >/dev/null 2>&1 & until test -e /run/waiting; do sleep 0.05; done
         virsh destroy vm & sleep 0.3; touch /run/go-on; wait")
        .ok();
    if vm.is_running() {
        vm.destroy().ok();
    }
    wait_until_as_before(&host);
    let log = said(&host);
    let whole = ["set a", "set z", "set b", "undone b done", "undone z done", "undone a done"];
    let part = ["set a", "set z", "undone z done", "undone a done"];
    assert!(log == whole || log == part, "{log:?}");
}

#[test]
fn going_back_to_a_snapshot_ends_a_life_and_may_begin_another() {
    let host = host();
    host.sh("qemu-img create -q -f qcow2 /var/lib/disk.qcow2 1M").ok();
    let disk = "<disk type='file'><driver name='qemu' type='qcow2'/><source file='/var/lib/disk.qcow2'/>\
                <target dev='vda' bus='virtio'/></disk>";
    let vm = host.define(&Domain::new("vm").device(disk));
    host.virsh(&["snapshot-create-as", &vm.uuid, "off"]).ok();
    starts(&host, &vm);
    host.virsh(&["snapshot-create-as", &vm.uuid, "running"]).ok();
    assert!(said(&host).is_empty());

    // from running to running: the same life goes on, or another begins; each hook and each undo once
    host.virsh(&["snapshot-revert", &vm.uuid, "running"]).ok();
    assert!(vm.is_running());
    let log = said(&host);
    let anew = [END, START].concat();
    assert!(log.is_empty() || log == anew, "{log:?}");
    is_set_up(&host);
    // to a state in which it was off
    host.virsh(&["snapshot-revert", &vm.uuid, "off"]).ok();
    assert_eq!(vm.state(), "shut off");
    assert_eq!(said(&host), END);
    is_as_before(&host);
    // from there to running, and the end
    host.virsh(&["snapshot-revert", &vm.uuid, "running"]).ok();
    assert!(vm.is_running());
    assert_eq!(said(&host), START);
    is_set_up(&host);
    ends(&host, &vm);
    is_as_before(&host);
    // refused by a hook on the way from running to running
    starts(&host, &vm);
    host.script("before_vm_launch/90-no", "exit 3");
    let answer = host.virsh(&["snapshot-revert", &vm.uuid, "running"]);
    let log = said(&host);
    if answer.code != Some(0) {
        assert_eq!(log, [&END[..], &["set a", "undone a done"]].concat());
        assert_eq!(vm.state(), "shut off");
    } else {
        ends(&host, &vm);
    }
    is_as_before(&host);
}

#[test]
fn a_new_name_does_not_part_a_guest_from_what_it_owes() {
    let host = host();
    let vm = host.guest("old");
    // a life before and one after
    vm.start().ok();
    vm.destroy().ok();
    assert_eq!(said(&host), [START, END].concat());
    host.virsh(&["domrename", "old", "new"]).ok();
    vm.start().ok();
    vm.destroy().ok();
    assert_eq!(said(&host), [START, END].concat());
    is_as_before(&host);
    // an undo that failed is tried again when the guest starts under the new name, and takes back what was set up
    // under the old one
    vm.start().ok();
    host.sh("mv '/run/set-up/a new' /run/kept").ok();
    vm.destroy().ok();
    assert_eq!(
        said(&host),
        [START, END].concat().into_iter().chain(["a was not set up"]).collect::<Vec<_>>()
    );
    assert_eq!(owed(&host), ["a: owed"]);
    host.sh("mv /run/kept '/run/set-up/a new'").ok();
    host.virsh(&["domrename", "new", "newest"]).ok();
    vm.start().ok();
    assert_eq!(said(&host), ["undone a done", "set a", "set b"]);
    is_set_up(&host);
    ends(&host, &vm);
    is_as_before(&host);
}

#[test]
fn a_container_is_taken_back_like_a_guest() {
    let host = Host::for_containers();
    register_two(&host);
    let uuid = crate::documents::uuid();
    host.write("/run/domain.xml", &crate::documents::container(&uuid, &uuid), 0o644);
    let virsh =
        |words: &[&str]| host.run(&[&["virsh", "--connect", "lxc:///system"], words].concat());
    virsh(&["define", "/run/domain.xml"]).ok();
    virsh(&["start", &uuid]).ok();
    assert_eq!(said(&host), START);
    is_set_up(&host);
    virsh(&["destroy", &uuid]).ok();
    assert_eq!(said(&host), END);
    is_as_before(&host);
    // its init is killed
    virsh(&["start", &uuid]).ok();
    assert_eq!(said(&host), START);
    host.sh("kill -KILL $(pidof sleep)").ok();
    wait_for("the container has ended", || virsh(&["domstate", &uuid]).ok().trim() == "shut off");
    wait_until_as_before(&host);
    assert_eq!(said(&host), END);
    // a gate refuses it
    host.script("before_vm_launch/90-no", "exit 3");
    virsh(&["start", &uuid]).fails_with(&["before_vm_launch/90-no"]);
    assert_eq!(said(&host), ["set a", "undone a done"]);
    is_as_before(&host);
}
