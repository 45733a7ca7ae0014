//! `macspoof`, with the kernel's own nft.

use super::namespace::{self, Namespace};
use super::package::{Guest, Package};

const OWN: &str = "52:54:00:12:34:56";

/// A host with a bridge, and a guest at it that is root in its own system.
struct Site {
    host: Namespace,
    guest: Namespace,
}

impl Site {
    fn new() -> Site {
        let site = Site { host: Namespace::new(), guest: Namespace::new() };
        let guest = site.guest.pid();
        site.host.run(&format!(
            "ip link add br0 type bridge
            ip address add 192.168.122.1/24 dev br0
            ip link set br0 up
            ip link add vnet0 type veth peer name eth0 netns {guest}
            ip link set vnet0 master br0 up
            ip link add vnet1 type veth peer name eth1 netns {guest}
            ip link set vnet1 master br0 up"
        ));
        site.guest.run(&format!(
            "ip link set eth0 address {OWN}
            ip address add 192.168.122.10/24 dev eth0
            ip link set eth0 up"
        ));
        site
    }

    fn guest<'p>(&self, package: &'p Package, properties: &[(&str, &str)]) -> Guest<'p> {
        package.guest("g", properties, &interface("network", "vnet0")).through(&self.host.wrapper())
    }

    /// Whether the guest reaches the host from one of its addresses.
    fn reaches(&self, source: &str) -> bool {
        let script = format!(
            "busybox ping -c 2 -W 2 -I {source} 192.168.122.1 > /dev/null && echo yes || :"
        );
        self.guest.run(&script) == "yes\n"
    }

    /// How many packets a rule has met.
    fn counted(&self, rule: &str) -> u64 {
        let rules = self.host.run("nft list ruleset");
        let line = rules.lines().find(|line| line.contains(rule));
        let line = line.unwrap_or_else(|| panic!("no rule {rule}: {rules}"));
        line.split("packets ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
    }
}

fn interface(kind: &str, device: &str) -> String {
    format!(
        "<interface type='{kind}'><mac address='{OWN}'/><source network='default' bridge='br0'/><target dev='{device}'/><alias name='net0'/></interface>"
    )
}

#[test]
fn a_guest_sends_from_its_own_addresses_alone() {
    if !namespace::is_possible() {
        return;
    }
    let site = Site::new();
    let package = Package::new("macspoof");
    let before = site.host.rules();
    let guest = site
        .guest(&package, &[("macspoof", "deny"), ("macspoof_ip", "192.168.122.10, 2001:db8::10")]);
    guest.call("prepare begin").succeeds();
    guest.call("start begin").succeeds();
    let with = site.host.rules();
    guest.call("started begin").succeeds();
    guest.call("reconnect begin").succeeds();
    assert_eq!(site.host.rules(), with, "nothing is there twice");

    assert!(site.reaches("192.168.122.10"));
    site.guest.run("ip address add 192.168.122.66/24 dev eth0");
    assert!(!site.reaches("192.168.122.66"), "another IP address");
    let sends = "bash -c 'echo > /dev/udp/192.168.122.1/68'";
    site.guest.run(sends);
    assert_eq!(site.counted("udp sport 67"), 0);
    site.guest.run(&format!(
        "nft 'table ip t {{ chain c {{ type filter hook output priority 0; udp dport 68 udp sport set 67; }}; }}'
        {sends}"
    ));
    assert_ne!(site.counted("udp sport 67"), 0, "it answers as a DHCP server would");
    assert!(with.contains("nd-router-advert"), "{with}");
    site.guest.run("ip link set eth0 address 52:54:00:66:66:66");
    site.host.run("ip neighbour flush dev br0");
    assert!(!site.reaches("192.168.122.10"), "another MAC address");
    assert_ne!(site.counted("ether saddr !="), 0);
    let learnt = site.host.run("bridge fdb show br br0");
    assert!(!learnt.contains("52:54:00:66:66:66"), "the bridge learns nothing of it: {learnt}");

    guest.ends();
    assert_eq!(site.host.rules(), before);
    assert!(site.reaches("192.168.122.10"), "and all is as it was");
    guest.ends();
    assert_eq!(site.host.rules(), before);
}

#[test]
fn each_interface_has_its_own_word_and_two_guests_their_own_rules() {
    if !namespace::is_possible() {
        return;
    }
    let site = Site::new();
    let package = Package::new("macspoof");
    let before = site.host.rules();
    // properties of a device, by its MAC address in any case and by its alias
    let devices = "<interface type='bridge'><mac address='52:54:00:AB:00:01'/><target dev='vnet0'/><alias name='net0'/></interface>
        <interface type='direct'><mac address='52:54:00:ab:00:02'/><target dev='macvtap0'/><alias name='net1'/></interface>
        <interface type='bridge'><mac address='52:54:00:ab:00:03'/><target dev='vnet1'/><alias name='net2'/></interface>
        <interface type='user'><mac address='52:54:00:ab:00:04'/></interface>";
    let own = "<h:property name='macspoof' device='net1'>allow</h:property>
        <h:property name='macspoof_mac' device='52:54:00:ab:00:01'>52:54:00:ab:00:aa</h:property>
        <h:property name='macspoof_router' device='net2'>yes</h:property>";
    let mut one =
        package.guest("one", &[("macspoof", "false")], devices).through(&site.host.wrapper());
    one.document = one.document.replace("</h:properties>", &format!("{own}</h:properties>"));
    one.call("start begin").succeeds();
    let with_one = site.host.rules();
    let chains: Vec<&str> = with_one.split("\tchain ").skip(1).collect();
    assert_eq!(chains.len(), 2, "{with_one}");
    assert!(
        chains[0].starts_with("vnet0 ") && chains[0].contains("52:54:00:ab:00:aa"),
        "{with_one}"
    );
    assert!(chains[0].contains("nd-router-advert"), "{with_one}");
    assert!(
        chains[1].starts_with("vnet1 ") && chains[1].contains("52:54:00:ab:00:03"),
        "{with_one}"
    );
    assert!(!chains[1].contains("nd-router-advert") && !chains[1].contains("udp"), "{with_one}");

    let two = package.guest("two", &[("macspoof", "deny")], &interface("network", "vnet1"));
    let two = two.through(&site.host.wrapper());
    two.call("start begin").succeeds();
    let with_both = site.host.rules();
    two.ends();
    assert_eq!(site.host.rules(), with_one);
    two.call("start begin").succeeds();
    assert_eq!(site.host.rules(), with_both);
    // the interfaces of a guest that is gone are gone too
    site.host.run("ip link delete vnet0");
    one.ends();
    two.ends();
    assert_eq!(site.host.rules(), before);
}

#[test]
fn a_guest_that_does_not_ask_or_is_allowed_to_changes_nothing() {
    if !namespace::is_possible() {
        return;
    }
    let site = Site::new();
    let package = Package::new("macspoof");
    let before = site.host.rules();
    for properties in [&[] as &[_], &[("macspoof", "true")], &[("macspoof", "allow")]] {
        let guest = site.guest(&package, properties);
        guest.starts();
        assert_eq!(site.host.rules(), before, "{properties:?}");
        guest.ends();
        assert_eq!(site.host.rules(), before, "{properties:?}");
    }
}

#[test]
fn what_cannot_be_guarded_keeps_the_guest_off_and_says_why() {
    if !namespace::is_possible() {
        return;
    }
    let site = Site::new();
    let package = Package::new("macspoof");
    let before = site.host.rules();
    let tap = interface("network", "vnet0");
    let no_mac = "<interface type='bridge'><target dev='vnet0'/></interface>".to_owned();
    let deny = ("macspoof", "deny");
    for (properties, devices, reason) in [
        (
            &[("macspoof", "yes")] as &[_],
            &tap,
            "macspoof is deny (vdsm: false) or allow (vdsm: true), not `yes`",
        ),
        (&[("macspoof", "yes")], &String::new(), "not `yes`"),
        (
            &[deny, ("macspoof_ip", "192.168.122.300")],
            &tap,
            "macspoof_ip: `192.168.122.300` is no address",
        ),
        (&[deny, ("macspoof_ip", "010.0.0.1")], &tap, "macspoof_ip: `010.0.0.1` is no address"),
        (&[deny, ("macspoof_ip", "1.2.3.4 } accept")], &tap, "macspoof_ip: `}` is no address"),
        (&[deny, ("macspoof_mac", "52:54:00:1")], &tap, "macspoof_mac: `52:54:00:1` is no address"),
        (&[deny, ("macspoof_router", "maybe")], &tap, "macspoof_router is yes or no, not `maybe`"),
        (&[deny, ("macspoof_ip", "fe80:::::1")], &tap, "nft refused the rules"),
        (
            &[deny],
            &interface("direct", "macvtap0"),
            "its interface 52:54:00:12:34:56 (direct) can't be guarded",
        ),
        (&[deny], &interface("network", ""), "can't be guarded"),
        (&[deny], &interface("network", "vnet0; x"), "can't be the name of a chain"),
        (&[deny], &interface("network", "vnet7"), "there is no interface vnet7"),
        (&[deny], &no_mac, "its interface vnet0 has no MAC address"),
    ] {
        let guest = package.guest("g", properties, devices).through(&site.host.wrapper());
        guest.call("start begin").fails(1, &["macspoof: guest g: ", reason]);
        assert_eq!(site.host.rules(), before, "{reason}");
    }
}
