//! Networks and their ports.

use crate::documents::{Domain, network, uuid};
use crate::events::NETWORK_EVENTS;
use crate::host::Host;

/// A host with the network `net`, and its uuid.
fn host_with_network() -> (Host, String) {
    let host = Host::new();
    let uuid = uuid();
    host.write("/run/network.xml", &network("net", &uuid), 0o644);
    host.virsh(&["net-define", "/run/network.xml"]).ok();
    (host, uuid)
}

fn plugged_in() -> Domain {
    Domain::new("vm").device("<interface type='network'><source network='net'/></interface>")
}

#[test]
fn each_event_of_a_networks_life_runs_its_scripts_once_and_in_order() {
    let (host, uuid) = host_with_network();
    for event in NETWORK_EVENTS {
        host.script(
            &format!("{event}/10-x"),
            r#"
port=$(grep -o '<owner>\|<name>vm<' "$_hook_domxml" | tr '\n' ' ')
say "$HOOKMUX_EVENT: $HOOKMUX_DRIVER $HOOKMUX_OBJECT $HOOKMUX_UUID $HOOKMUX_OPERATION $HOOKMUX_SUB_OPERATION $HOOKMUX_EXTRA $(head -c 10 "$_hook_domxml") $port"
"#,
        );
    }
    let call = |event: &str, operation: &str, port: &str| {
        format!("{event}: network net {uuid} {operation} - <hookData> {port}")
    };
    let vm = host.define(&plugged_in());

    host.virsh(&["net-start", "net"]).ok();
    let start = [
        call("before_network_start", "start begin", ""),
        call("after_network_start", "started begin", ""),
    ];
    assert_eq!(host.log(), start);

    host.clear_log();
    vm.start().ok();
    let port = "<owner> <name>vm< ";
    assert_eq!(host.log(), [call("before_network_port_create", "port-created begin", port)]);

    host.clear_log();
    host.virsh(&["net-update", "net", "add", "portgroup", "<portgroup name='fast'/>", "--live"])
        .ok();
    assert_eq!(host.log(), [call("after_network_update", "updated begin", "")]);

    host.clear_log();
    vm.destroy().ok();
    assert_eq!(host.log(), [call("after_network_port_delete", "port-deleted begin", port)]);

    host.clear_log();
    host.virsh(&["net-destroy", "net"]).ok();
    assert_eq!(host.log(), [call("after_network_stop", "stopped end", "")]);
}

#[test]
fn a_veto_refuses_the_port_and_the_network_stays() {
    let (host, _) = host_with_network();
    host.virsh(&["net-start", "net"]).ok();
    host.follow(NETWORK_EVENTS);
    host.follow(&["before_vm_launch", "after_vm_destroy"]);
    host.script("before_network_port_create/60-veto", "echo this port is not for you >&2; exit 3");
    let vm = host.define(&plugged_in());
    vm.start().fails_with(&[
        "net port-created begin -",
        "unexpected exit status 3: ",
        "hookmux: before_network_port_create/60-veto: exit status 3 after ",
        " s: this port is not for you",
    ]);
    assert_eq!(vm.state(), "shut off");
    assert_eq!(host.log(), ["before_network_port_create", "after_vm_destroy"]);
    assert!(host.virsh(&["net-info", "net"]).ok().contains("Active:         yes"));

    host.remove("before_network_port_create/60-veto");
    vm.start().ok();
    vm.destroy().ok();
}

#[test]
fn a_failing_gate_hook_stops_the_network() {
    let (host, _) = host_with_network();
    host.follow(NETWORK_EVENTS);
    host.script("before_network_start/10-x", "echo no uplink >&2; exit 5");
    host.virsh(&["net-start", "net"]).fails_with(&[
        "net start begin -",
        "before_network_start/10-x: exit status 5 after ",
        " s: no uplink",
    ]);
    assert!(!host.log().contains(&"after_network_start".to_owned()), "{:?}", host.log());
    assert!(host.virsh(&["net-info", "net"]).ok().contains("Active:         no"));
}

#[test]
fn a_failing_live_hook_leaves_the_network_up() {
    let (host, _) = host_with_network();
    host.script("after_network_start/10-x", "say started; exit 1");
    host.script("after_network_update/10-x", "say updated; exit 1");
    host.virsh(&["net-start", "net"]).ok();
    host.virsh(&["net-update", "net", "add", "portgroup", "<portgroup name='fast'/>", "--live"])
        .ok();
    assert!(host.virsh(&["net-info", "net"]).ok().contains("Active:         yes"));
    assert_eq!(host.log(), ["started", "updated"]);
}

#[test]
fn a_network_has_a_tree_of_its_own() {
    let (host, _) = host_with_network();
    host.script("network.d/net/start/begin/10-x", "say \"$*\"; head -c 10 >/run/head");
    host.script("network.d/vm/start/begin/10-x", "say wrong");
    host.script("qemu.d/net/start/begin/10-x", "say wrong");
    host.virsh(&["net-start", "net"]).ok();
    assert_eq!(host.log(), ["net start begin -"]);
    assert_eq!(host.read("/run/head"), "<hookData>");
}
