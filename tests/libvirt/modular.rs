//! Daemons of which each has one driver (virtqemud, virtnetworkd, virtlxcd): what is different from libvirtd. With
//! `LIBVIRT_DAEMONS=modular` most other tests run with them, too; `make test-modular` does both.

use crate::host::{Host, daemons, is_modular, wait_for};

/// The hooks of `daemon` are called by each of them, and know by whom.
#[test]
#[ignore = "it takes modular daemons: make test-modular"]
fn each_daemon_calls_the_hook_of_daemons() {
    assert!(is_modular());
    let host = Host::new();
    for event in ["before_daemon_start", "before_daemon_stop", "before_daemon_reload"] {
        host.script(&format!("{event}/10-x"), "say \"$HOOKMUX_EVENT $HOOKMUX_DAEMON\"");
    }
    for daemon in daemons() {
        host.clear_log();
        host.sh(&format!("kill -HUP $(cat /run/{daemon}.pid)")).ok();
        host.wait_for_log(&format!("before_daemon_reload {daemon}"));
        host.stop(daemon);
        host.start(daemon);
        let expected = ["reload", "stop", "start"];
        let expected = expected.map(|moment| format!("before_daemon_{moment} {daemon}"));
        assert_eq!(host.log(), expected);
    }
}

#[test]
#[ignore = "it takes modular daemons: make test-modular"]
fn guests_and_networks_are_called_for_by_their_daemons() {
    let host = Host::new();
    let say = "say \"$HOOKMUX_EVENT $HOOKMUX_OBJECT $HOOKMUX_DAEMON\"";
    for event in ["before_vm_start", "after_vm_stop", "after_vm_reconnect", "before_network_start"]
    {
        host.script(&format!("{event}/10-x"), say);
    }
    let vm = host.guest("vm");
    vm.start().ok();
    host.write(
        "/run/net.xml",
        "<network><name>net</name><bridge name='hm0'/><forward mode='open'/></network>",
        0o644,
    );
    host.virsh(&["net-create", "/run/net.xml"]).ok();
    assert_eq!(
        host.log(),
        ["before_vm_start vm virtqemud", "before_network_start net virtnetworkd"]
    );

    // the daemon of guests goes and comes, and guests run on; so do networks
    host.clear_log();
    let pid = vm.pid();
    host.stop("virtqemud");
    host.start("virtqemud");
    host.wait_for_log("after_vm_reconnect vm virtqemud");
    assert_eq!(vm.pid(), pid);
    host.clear_log();
    host.stop("virtnetworkd");
    host.start("virtnetworkd");
    assert!(host.virsh(&["net-list", "--name"]).ok().contains("net"));
    host.virsh(&["net-destroy", "net"]).ok();
    vm.destroy().ok();
    wait_for("the guest's end", || host.log().contains(&"after_vm_stop vm virtqemud".to_owned()));
}

/// A hook may ask another daemon, as that one waits for nothing.
#[test]
#[ignore = "it takes modular daemons: make test-modular"]
fn a_guests_hook_may_ask_the_network_daemon() {
    let host = Host::new();
    host.script(
        "before_vm_start/10-x",
        "say \"$(virsh --connect network:///system net-list --all --name | wc -l)\"",
    );
    let vm = host.guest("vm");
    vm.start().ok();
    assert_eq!(host.log().len(), 1, "{:?}", host.log());
    vm.destroy().ok();
}

#[test]
#[ignore = "it takes modular daemons: make test-modular"]
fn install_reloads_each_of_them_and_check_knows_them() {
    let host = Host::without_hookmux();
    host.start_daemon();
    let said = host.hookmux(&["install", "--reload"]).ok();
    for daemon in daemons() {
        assert!(said.contains(&format!("{daemon} was reloaded, and has looked")), "{said}");
    }
    // those of one driver are left alone
    let said = host.hookmux(&["uninstall", "--driver", "network", "--reload"]).ok();
    assert!(said.contains("virtnetworkd was reloaded") && !said.contains("virtqemud"), "{said}");
    let said = host.hookmux(&["status"]).ok();
    for daemon in daemons() {
        assert!(said.contains(daemon), "{said}");
    }
    // a link that a daemon can't have seen
    host.sh("ln -s /run/hookmux-bin/hookmux /etc/libvirt/hooks/network").ok();
    let said = host.hookmux(&["check"]);
    let said = format!("{}{}", said.out, said.err);
    assert!(said.contains("unproven-link") && said.contains("virtnetworkd"), "{said}");
}
