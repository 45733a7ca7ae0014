//! Networks and their ports.

use super::{is_as_before, owed, register, register_for, said, wait_until_as_before};
use crate::documents::{Domain, network, uuid};
use crate::guest::Guest;
use crate::host::{HOOKMUX, Host, wait_for};

const MACS: [&str; 2] = ["52:54:00:aa:00:01", "52:54:00:aa:00:02"];

/// A host with a network, whose hooks set something up for it and for each port.
fn host() -> Host {
    let host = Host::new();
    // what libvirt calls last when it has found a guest again
    host.script("after_vm_reconnect/90-known", "touch /run/known");
    host.write("/run/network.xml", &network("net", &uuid()), 0o644);
    host.virsh(&["net-define", "/run/network.xml"]).ok();
    register(&host, "net", "before_network_start", "");
    register(&host, "up", "after_network_start", "");
    let port = format!("$({HOOKMUX} xml get //mac/@address | tail -n 1)");
    register_for(&host, "port", "before_network_port_create", &port, "");
    host
}

fn nic(mac: &str) -> String {
    format!("<interface type='network'><mac address='{mac}'/><source network='net'/></interface>")
}

/// The daemon again, and it knows the guest.
fn restart(host: &Host) {
    host.sh("rm -f /run/known").ok();
    host.restart_daemon();
    wait_for("the guest is known again", || host.exists("/run/known"));
}

fn plugged_in<'h>(host: &'h Host, name: &str, macs: &[&str]) -> Guest<'h> {
    host.define(&Domain::new(name).device(&macs.iter().map(|mac| nic(mac)).collect::<String>()))
}

const UP: [&str; 2] = ["set net", "set up"];
const DOWN: [&str; 2] = ["undone up done", "undone net done"];

#[test]
fn a_port_is_taken_back_when_it_goes_and_a_network_when_it_stops() {
    let host = host();
    let vm = plugged_in(&host, "vm", &MACS);
    host.virsh(&["net-start", "net"]).ok();
    assert_eq!(said(&host), UP);
    vm.start().ok();
    assert_eq!(said(&host), ["set port", "set port"]);
    assert_eq!(owed(&host), ["net: set up", "port: set up", "port: set up", "up: set up"]);
    vm.destroy().ok();
    assert_eq!(said(&host), ["undone port done", "undone port done"]);
    assert_eq!(owed(&host), ["net: set up", "up: set up"]);
    // plugged in while it runs: libvirt makes the port, and takes it away again as this machine has no ACPI
    let alone = host.guest("alone");
    alone.start().ok();
    host.write("/run/nic.xml", &nic(MACS[0]), 0o644);
    host.virsh(&["attach-device", &alone.uuid, "/run/nic.xml"]).fails_with(&["hotplug"]);
    assert_eq!(said(&host), ["set port", "undone port done"]);
    alone.destroy().ok();
    assert!(said(&host).is_empty());
    // a port that a hook refuses
    host.script("before_network_port_create/90-no", "exit 3");
    vm.start().fails_with(&["before_network_port_create/90-no"]);
    assert_eq!(said(&host), ["set port", "undone port done"]);
    host.remove("before_network_port_create/90-no");
    host.virsh(&["net-destroy", "net"]).ok();
    assert_eq!(said(&host), DOWN);
    is_as_before(&host);
    // a network that a hook refuses
    host.script("before_network_start/90-no", "exit 3");
    host.virsh(&["net-start", "net"]).fails_with(&["before_network_start/90-no"]);
    assert_eq!(said(&host), ["set net", "undone net done"]);
    is_as_before(&host);
    host.remove("before_network_start/90-no");
    // One that libvirt itself can't start. libvirt 9.0 calls nothing more, and the next start takes it back first;
    // 11.3 calls `stopped`.
    host.sh("ip link add netbr type bridge").ok();
    host.virsh(&["net-start", "net"]).fails();
    let first = said(&host);
    let is_taken_back = first == ["set net", "undone net done"];
    assert!(is_taken_back || first == ["set net"], "{first:?}");
    if is_taken_back {
        is_as_before(&host);
    } else {
        assert_eq!(owed(&host), ["net: set up"]);
    }
    // 11.3 removes it, though it was there before
    host.sh("ip link delete netbr 2>/dev/null || :").ok();
    host.virsh(&["net-start", "net"]).ok();
    let later = ["undone net done", "set net", "set up"];
    assert_eq!(said(&host), if is_taken_back { &later[1..] } else { &later });
    host.virsh(&["net-destroy", "net"]).ok();
    assert_eq!(said(&host), DOWN);
    is_as_before(&host);
}

#[test]
fn a_network_that_stops_under_its_guests_takes_their_ports_with_it() {
    let host = host();
    let vm = plugged_in(&host, "vm", &MACS[..1]);
    host.virsh(&["net-start", "net"]).ok();
    vm.start().ok();
    assert_eq!(said(&host), ["set net", "set up", "set port"]);
    host.virsh(&["net-destroy", "net"]).ok();
    assert_eq!(said(&host), ["undone port done", "undone up done", "undone net done"]);
    is_as_before(&host);
    // without the network the guest lives on, over the daemon's restart too
    restart(&host);
    assert!(vm.is_running());
    is_as_before(&host);
    assert!(said(&host).is_empty());
    // the network again: the daemon may plug the guest in anew when it starts
    host.virsh(&["net-start", "net"]).ok();
    assert_eq!(said(&host), UP);
    restart(&host);
    assert_eq!(said(&host), ["set port"]);
    vm.destroy().ok();
    assert_eq!(said(&host), ["undone port done"]);
    host.virsh(&["net-destroy", "net"]).ok();
    assert_eq!(said(&host), DOWN);
    is_as_before(&host);
}

#[test]
fn networks_and_ports_outlive_the_daemon_and_owe_until_they_end() {
    let host = host();
    let vm = plugged_in(&host, "vm", &MACS[..1]);
    host.virsh(&["net-start", "net"]).ok();
    vm.start().ok();
    assert_eq!(said(&host), ["set net", "set up", "set port"]);
    let all = ["net: set up", "port: set up", "up: set up"];
    restart(&host);
    host.hookmux(&["undo-worker"]).ok();
    // libvirt calls `port-created` anew for a port that it has: nothing of one that lives is taken back
    assert_eq!(said(&host), ["set port"]);
    assert_eq!(owed(&host), all);
    assert!(vm.is_running());
    vm.destroy().ok();
    assert_eq!(said(&host), ["undone port done"]);
    // the network's and the guest's end in the daemon's absence
    vm.start().ok();
    assert_eq!(said(&host), ["set port"]);
    let pid = vm.pid();
    host.sh(&format!("{}; kill -KILL {pid}; ip link delete netbr", crate::host::kill_daemons()))
        .ok();
    host.start_daemon();
    wait_until_as_before(&host);
    let log = said(&host);
    let times = |line: &str| log.iter().filter(|one| *one == line).count();
    let undone = ["undone port done", "undone up done", "undone net done"];
    assert_eq!(undone.map(times), [1, 1, 1], "{log:?}");
}
