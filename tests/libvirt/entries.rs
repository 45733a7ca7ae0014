//! hookmux as a package puts it: a program in /usr/sbin, a copy of it for each driver; and writers who
//! come upon an entry while libvirt runs. Each host has a /usr/sbin of its own.

use std::fs;

use crate::documents::{network, uuid};
use crate::guest::Guest;
use crate::host::{HOOKMUX, HOOKS, Host};

const PROGRAM: &str = "/usr/sbin/hookmux";
const QEMU: &str = "/etc/libvirt/hooks/qemu";

/// A host on which the program lies where packages put it, its entries are made, and a guest and a
/// network have a hook each.
fn host_with_entries() -> Host {
    let host = Host::without_hookmux();
    host.run(&["install", "-m", "755", HOOKMUX, PROGRAM]).ok();
    host.run(&[PROGRAM, "install"]).ok();
    host.script("before_vm_start/10-x", "say 'hook of the guest'");
    host.script("before_network_start/10-x", "say 'hook of the network'");
    host.write("/run/network.xml", &network("net", &uuid()), 0o644);
    host.start_daemon();
    host.virsh(&["net-define", "/run/network.xml"]).ok();
    host
}

/// What is said when a guest and a network are started.
fn starts(host: &Host, vm: &Guest) -> Vec<String> {
    host.clear_log();
    vm.start().ok();
    vm.destroy().ok();
    host.virsh(&["net-start", "net"]).ok();
    host.virsh(&["net-destroy", "net"]).ok();
    host.log()
}

#[test]
fn who_writes_over_an_entry_changes_one_driver_and_adoption_makes_both_run() {
    let host = host_with_entries();
    let vm = host.guest("vm");
    for driver in ["daemon", "qemu", "lxc", "network"] {
        let link = fs::read_link(host.path(&format!("{HOOKS}/{driver}"))).unwrap();
        assert_eq!(link.to_str(), Some(format!("{PROGRAM}-{driver}").as_str()));
    }
    assert_eq!(starts(&host, &vm), ["hook of the guest", "hook of the network"]);

    for writer in ["cp -a /run/foreign", "tee < /run/foreign", "install -m 755 /run/foreign"] {
        host.script("/run/foreign", "[ $2 != prepare ] || say \"foreign $1\"");
        host.sh(&format!("{writer} {QEMU}")).ok();
        // libvirt runs what was written, and the other drivers keep their hooks
        assert_eq!(starts(&host, &vm), ["foreign vm", "hook of the network"], "{writer}");
        let told = host.run(&[PROGRAM, "check", "--entries"]);
        assert_eq!(told.code, Some(1), "{writer}: {told:?}");
        assert!(told.err.contains("install --adopt --driver qemu"), "{writer}: {told:?}");

        host.run(&[PROGRAM, "install", "--adopt", "--driver", "qemu"]).ok();
        let mut both = starts(&host, &vm);
        both.sort();
        assert_eq!(both, ["foreign vm", "hook of the guest", "hook of the network"], "{writer}");
        host.run(&[PROGRAM, "check", "--entries"]).ok();

        host.run(&[PROGRAM, "uninstall", "--driver", "qemu"]).ok();
        assert_eq!(starts(&host, &vm), ["foreign vm", "hook of the network"], "{writer}");
        host.remove("qemu");
        host.run(&[PROGRAM, "install", "--driver", "qemu"]).ok();
        assert_eq!(starts(&host, &vm), ["hook of the guest", "hook of the network"], "{writer}");
    }
}

#[test]
fn renewing_and_going_back_keeps_guests_and_hooks() {
    let host = host_with_entries();
    let vm = host.guest("vm");
    vm.start().ok();
    // as of 0.1.0, and before going back to it
    host.run(&[PROGRAM, "install", "--link"]).ok();
    assert_eq!(fs::read_link(host.path(QEMU)).unwrap().to_str(), Some(PROGRAM));
    assert!(!host.exists("/usr/sbin/hookmux-qemu"));
    host.restart_daemon();
    assert!(vm.is_running());
    vm.destroy().ok();
    host.run(&[PROGRAM, "install", "--renew"]).ok();
    assert_eq!(fs::read_link(host.path(QEMU)).unwrap().to_str(), Some("/usr/sbin/hookmux-qemu"));
    host.clear_log();
    vm.start().ok();
    assert_eq!(host.log(), ["hook of the guest"]);
    vm.destroy().ok();
}
