//! Containers.

use crate::documents::{container, uuid};
use crate::events::GUEST_EVENTS;
use crate::host::Host;
use crate::reply::Reply;

/// A host with a defined container, whose name is its uuid: containers of hosts that run side by
/// side share the machine's control groups, and must not share a name.
struct Container {
    host: Host,
    name: String,
}

impl Container {
    fn new() -> Container {
        let host = Host::for_containers();
        let name = uuid();
        host.write("/run/domain.xml", &container(&name, &name), 0o644);
        let container = Container { host, name };
        container.virsh(&["define", "/run/domain.xml"]).ok();
        container
    }

    fn virsh(&self, words: &[&str]) -> Reply {
        self.host.run(&[&["virsh", "--connect", "lxc:///system"], words].concat())
    }

    fn start(&self) -> Reply {
        self.virsh(&["start", &self.name])
    }

    fn destroy(&self) -> Reply {
        self.virsh(&["destroy", &self.name])
    }

    fn state(&self) -> String {
        self.virsh(&["domstate", &self.name]).ok().trim().to_owned()
    }
}

#[test]
fn a_containers_start_and_stop_run_their_scripts() {
    let container = Container::new();
    let Container { host, name } = &container;
    for event in GUEST_EVENTS {
        host.script(
            &format!("{event}/10-x"),
            "say \"$HOOKMUX_EVENT $HOOKMUX_DRIVER $HOOKMUX_OBJECT $HOOKMUX_OPERATION\"",
        );
    }
    host.script(&format!("lxc.d/{name}/started/begin/10-x"), "say \"tree $*\"");
    container.start().ok();
    container.destroy().ok();
    let said = [
        format!("before_vm_prepare lxc {name} prepare"),
        format!("before_vm_start lxc {name} prepare"),
        format!("before_vm_launch lxc {name} start"),
        format!("after_vm_launch lxc {name} started"),
        format!("after_vm_start lxc {name} started"),
        format!("tree {name} started begin -"),
        format!("after_vm_stop lxc {name} stopped"),
        format!("after_vm_destroy lxc {name} release"),
    ];
    assert_eq!(host.log(), said);
}

#[test]
fn a_failing_gate_hook_stops_the_container() {
    let container = Container::new();
    container.host.script("before_vm_start/10-x", "echo no bridge >&2; exit 3");
    container.host.follow(&["after_vm_launch", "after_vm_stop", "after_vm_destroy"]);
    container.start().fails_with(&[
        "unexpected exit status 3: ",
        "hookmux: before_vm_start/10-x: exit status 3 after ",
        " s: no bridge",
    ]);
    assert_eq!(container.state(), "shut off");
    assert_eq!(container.host.log(), ["after_vm_stop", "after_vm_destroy"]);
}

#[test]
fn a_failing_live_hook_leaves_the_container_running_over_a_daemon_restart() {
    let container = Container::new();
    let host = &container.host;
    host.script("after_vm_start/10-x", "say started; exit 1");
    host.script("after_vm_reconnect/10-x", "say reconnect; exit 1");
    host.follow(&["after_vm_stop"]);
    container.start().ok();
    host.restart_daemon();
    host.wait_for_log("reconnect");
    assert_eq!(container.state(), "running");
    assert_eq!(host.log(), ["started", "reconnect"]);
    container.destroy().ok();
}
