//! `port-forward`, with the kernel's own nft.

use std::fs;

use super::namespace::{self, Namespace};
use super::package::{Guest, Package};
use crate::support::{Host, until};

/// What libvirt's nft backend makes for a network (libvirt 10.4 and later).
const LIBVIRTS_NFT: &str = r#"nft -f - <<'END'
table ip libvirt_network {
	chain forward {
		type filter hook forward priority filter; policy accept;
		counter jump guest_cross
		counter jump guest_input
		counter jump guest_output
	}
	chain guest_output { ip saddr 192.168.122.0/24 iifname "br0" counter accept; iifname "br0" counter reject; }
	chain guest_input {
		oifname "br0" ip daddr 192.168.122.0/24 ct state established,related counter accept
		oifname "br0" counter reject
	}
	chain guest_cross { iifname "br0" oifname "br0" counter accept; }
}
END"#;

/// What its iptables backend makes.
const LIBVIRTS_IPTABLES: &str = "
    iptables -w -N LIBVIRT_FWI
    iptables -w -A FORWARD -j LIBVIRT_FWI
    iptables -w -A LIBVIRT_FWI -d 192.168.122.0/24 -o br0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    iptables -w -A LIBVIRT_FWI -o br0 -j REJECT";

/// A host with a bridge, two guests at it, and a client on the other side.
struct Site {
    host: Namespace,
    guests: [Namespace; 2],
    client: Namespace,
}

impl Site {
    fn new(firewall: &str) -> Site {
        let mut site = Site {
            host: Namespace::new(),
            guests: [Namespace::new(), Namespace::new()],
            client: Namespace::new(),
        };
        let [one, two, client] =
            [&site.guests[0], &site.guests[1], &site.client].map(Namespace::pid);
        site.host.run(&format!(
            "ip link add br0 type bridge
            ip address add 192.168.122.1/24 dev br0
            ip link set br0 up
            for guest in {one} {two}; do
                ip link add vnet$guest type veth peer name eth0 netns $guest
                ip link set vnet$guest master br0 up
            done
            ip link add outer type veth peer name eth0 netns {client}
            ip address add 203.0.113.1/24 dev outer
            ip address add 203.0.113.9/24 dev outer
            ip link set outer up
            echo 1 > /proc/sys/net/ipv4/ip_forward
            {firewall}"
        ));
        for (guest, address) in site.guests.iter_mut().zip(["192.168.122.10", "192.168.122.11"]) {
            guest.run(&format!(
                "ip address add {address}/24 dev eth0
                ip link set eth0 up
                ip route add default via 192.168.122.1"
            ));
            guest.serve(22, address);
            guest.serve(80, address);
        }
        site.client.run("ip address add 203.0.113.2/24 dev eth0; ip link set eth0 up");
        site.client
            .run("ip address add 203.0.113.3/24 dev eth0; ip route add default via 203.0.113.1");
        site
    }

    fn guest<'p>(&self, package: &'p Package, name: &str, words: &str) -> Guest<'p> {
        package.guest(name, &[("port_forward", words)], "").through(&self.host.wrapper())
    }
}

#[test]
fn connections_reach_the_guest_and_all_is_gone_with_it() {
    if !namespace::is_possible() {
        return;
    }
    for firewall in [LIBVIRTS_NFT, LIBVIRTS_IPTABLES] {
        let site = Site::new(firewall);
        let package = Package::new("port-forward");
        let before = site.host.rules();
        let one = site.guest(
            &package,
            "one",
            "to=192.168.122.10 2222:22 from=203.0.113.3/32 8080-8081:80-81",
        );
        let two =
            site.guest(&package, "a \"two\" $(three)", "to=192.168.122.11 203.0.113.9:2223:22/tcp");
        one.starts();
        let with_one = site.host.rules();
        two.starts();
        let with_both = site.host.rules();
        // again, as libvirt's daemon starts again: nothing is there twice
        one.call("reconnect begin").succeeds();
        two.call("reconnect begin").succeeds();
        let sorted = |rules: &str| {
            let mut lines: Vec<String> = rules.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&site.host.rules()), sorted(&with_both), "{firewall}");

        let asks = |who: &Namespace, address: &str, port| who.ask(address, port);
        let [guest, other] = &site.guests;
        assert_eq!(asks(&site.client, "203.0.113.1", 2222), "192.168.122.10", "{firewall}");
        assert_eq!(asks(&site.client, "203.0.113.9", 2222), "192.168.122.10");
        assert_eq!(asks(&site.client, "203.0.113.9", 2223), "192.168.122.11");
        assert_eq!(asks(&site.client, "203.0.113.1", 2223), "", "another address of the host");
        assert_eq!(asks(&site.client, "203.0.113.1", 8080), "", "another source");
        site.client.run("ip address del 203.0.113.2/24 dev eth0; ip address add 203.0.113.3/24 dev eth0; ip route replace default via 203.0.113.1");
        assert_eq!(asks(&site.client, "203.0.113.1", 8080), "192.168.122.10", "this source");
        assert_eq!(asks(&site.client, "192.168.122.10", 22), "", "only what is forwarded");
        assert_eq!(asks(&site.host, "203.0.113.1", 2222), "192.168.122.10", "the host itself");
        assert_eq!(asks(&site.host, "127.0.0.1", 2222), "", "the host's own ports stay its own");
        assert_eq!(asks(other, "203.0.113.1", 2222), "192.168.122.10", "another guest");
        // br_netfilter, where it is loaded, rewrites while the frame is still in the bridge
        let sysctl = "/proc/sys/net/bridge/bridge-nf-call-iptables";
        site.host.run(&format!("[ ! -e {sysctl} ] || echo 0 > {sysctl}"));
        assert_eq!(asks(other, "203.0.113.1", 2222), "192.168.122.10", "another guest");
        assert_eq!(asks(guest, "203.0.113.1", 2222), "192.168.122.10", "the guest itself");

        two.ends();
        assert_eq!(sorted(&site.host.rules()), sorted(&with_one), "{firewall}");
        assert_eq!(asks(&site.client, "203.0.113.9", 2223), "");
        assert_eq!(asks(&site.client, "203.0.113.1", 2222), "192.168.122.10");
        one.ends();
        assert_eq!(site.host.rules(), before, "{firewall}");
        assert_eq!(asks(&site.client, "203.0.113.1", 2222), "");
        // an undo with nothing to undo
        one.ends();
        assert_eq!(site.host.rules(), before);
    }
}

#[test]
fn a_guest_that_does_not_ask_changes_nothing() {
    if !namespace::is_possible() {
        return;
    }
    let host = Namespace::new();
    host.run(LIBVIRTS_NFT);
    let before = host.rules();
    let package = Package::new("port-forward");
    let guest = package.guest("g", &[("other", "1")], "").through(&host.wrapper());
    guest.starts();
    assert_eq!(host.rules(), before);
    guest.ends();
    assert_eq!(host.rules(), before);
}

#[test]
fn wrong_words_keep_the_guest_off_and_say_why() {
    if !namespace::is_possible() {
        return;
    }
    let mut host = Namespace::new();
    host.serve(5022, "hosts");
    let before = host.rules();
    let package = Package::new("port-forward").env("PORT_FORWARD_NETWORKS", "192.168.122.0/24");
    let prepare = |words: &str| {
        let guest = package.guest("g", &[("port_forward", words)], "").through(&host.wrapper());
        guest.call("prepare begin")
    };
    for (words, reason) in [
        (" ", "names no port"),
        ("to=192.168.122.10", "names no port"),
        ("x", "`x` is no forward"),
        ("5000;drop", "`5000;drop` is no forward"),
        ("1:2:3:4", "`1:2:3:4` is no forward"),
        ("5000:", "`5000:` is no forward"),
        ("70000", "a port is a number from 1 to 65535"),
        ("5000:0", "a port is a number from 1 to 65535"),
        ("22", "port 22 of the host may not be forwarded; the administrator allows 1024-65535"),
        ("1020-1030", "port 1020 of the host may not be forwarded"),
        ("9000-8000", "a range of ports begins with the lower one"),
        ("9000-9002:1-2", "both ranges must have the same number of ports"),
        ("20000-22000:1-2001", "at most 1024 ports"),
        ("5000/sctp", "the protocol is tcp or udp"),
        ("300.1.1.1:5000", "300.1.1.1 is no IPv4 address"),
        ("to=192.168.122 5000", "this is no IPv4 address"),
        // 010 is 8 for nft
        ("to=0192.168.122.10 5000", "this is no IPv4 address"),
        ("to=192.168.122.010 5000", "this is no IPv4 address"),
        ("from=010.0.0.0/8 5000", "this is no IPv4 address and no network"),
        ("192.0.02.1:5000", "192.0.02.1 is no IPv4 address"),
        ("to=192.168.122.10 $(touch /tmp/x) 5000", "`$(touch` is no forward"),
        ("to=192.168.122.10 5000 * 6000", "`*` is no forward"),
        ("to=192.168.122.10 99999999999999999999", "a port is a number from 1 to 65535"),
        ("to=8.8.8.8 5000", "the administrator allows only guests in 192.168.122.0/24"),
        ("from= 5000", "this names no address"),
        ("from=10.0.0.0/33 5000", "this is no IPv4 address and no network"),
        ("5000", "its address isn't known: write to=ADDRESS"),
        (
            "to=192.168.122.10 5000 5000:1",
            "port 5000/tcp of the host is taken by an earlier word of this guest",
        ),
        ("to=192.168.122.10 5000-5100", "port 5022/tcp of the host is taken by the host itself"),
    ] {
        let answer = prepare(words);
        answer.fails(1, &["port-forward: guest g: ", reason]);
        assert_eq!(host.rules(), before, "{words}");
    }
    // an address of the document's is no way round
    let elsewhere = "<interface type='ethernet'><ip address='10.0.0.5' family='ipv4'/></interface>";
    let guest = package.guest("g", &[("port_forward", "5000")], elsewhere);
    let answer = guest.through(&host.wrapper()).call("prepare begin");
    answer.fails(1, &["`to=10.0.0.5`: the administrator allows only guests in 192.168.122.0/24"]);
    assert_eq!(host.rules(), before);
    // what another guest has
    let two = package.guest("two", &[("port_forward", "to=192.168.122.11 6000-6009")], "");
    let two = two.through(&host.wrapper());
    two.starts();
    let with_two = host.rules();
    let answer = prepare("to=192.168.122.10 6005:22");
    answer.fails(1, &["port 6005/tcp of the host is taken by guest two"]);
    assert_eq!(host.rules(), with_two);
    // the same number, but udp; and each source its own goal
    prepare("to=192.168.122.10 6005/udp from=10.0.0.0/8 7000:1 from=172.16.0.0/12 7000:2")
        .succeeds();
    two.ends();
}

/// A guest that names an address that isn't the host's gets nothing of what others send there.
#[test]
fn what_passes_through_the_host_is_left_alone() {
    if !namespace::is_possible() {
        return;
    }
    let mut site = Site::new(LIBVIRTS_NFT);
    let package = Package::new("port-forward");
    site.client.serve(8080, "client");
    let words = "to=192.168.122.10 203.0.113.2:8080:22 203.0.113.9:8081:22";
    let guest = site.guest(&package, "one", words);
    guest.call("prepare begin").succeeds();
    assert_eq!(site.guests[1].ask("203.0.113.2", 8080), "client");
    assert_eq!(site.host.ask("203.0.113.2", 8080), "client");
    assert_eq!(site.client.ask("203.0.113.9", 8081), "192.168.122.10");
    guest.ends();
}

/// The address comes from the document, the network's reservation or the lease, in this order.
#[test]
fn the_guests_address_is_found_without_libvirt() {
    if !namespace::is_possible() {
        return;
    }
    let place = Host::new();
    let leases = place.path("dnsmasq");
    fs::create_dir(&leases).unwrap();
    let package =
        Package::new("port-forward").env("PORT_FORWARD_DNSMASQ", leases.to_str().unwrap());
    let interface = "<interface type='network'><mac address='52:54:00:AA:00:01'/></interface>";
    let goal = |devices: &str| {
        let host = Namespace::new();
        let guest = package.guest("g", &[("port_forward", "5000:22")], devices);
        let answer = guest.through(&host.wrapper()).call("prepare begin");
        let rules = host.rules();
        let goal =
            rules.split("dnat to ").nth(1).map(|it| it.split(':').next().unwrap().to_owned());
        assert_eq!(answer.status == Some(0), goal.is_some(), "{answer:?}");
        goal
    };
    assert_eq!(goal(interface), None);
    let status = |expiry: u64| {
        format!(
            "[\n  {{\n    \"ip-address\": \"192.168.122.7\",\n    \"mac-address\": \"52:54:00:bb:00:01\",\n    \"expiry-time\": 4000000000\n  }},\n  {{\n    \"ip-address\": \"192.168.122.30\",\n    \"mac-address\": \"52:54:00:aa:00:01\",\n    \"hostname\": \"g\",\n    \"expiry-time\": {expiry}\n  }}\n]\n"
        )
    };
    fs::write(leases.join("virbr0.status"), status(1_000_000_000)).unwrap();
    assert_eq!(goal(interface), None, "the lease is over");
    fs::write(leases.join("virbr0.status"), status(4_000_000_000)).unwrap();
    assert_eq!(goal(interface).as_deref(), Some("192.168.122.30"));
    fs::write(
        leases.join("default.hostsfile"),
        "52:54:00:bb:00:01,192.168.122.8\n52:54:00:aa:00:01,192.168.122.20,g\n",
    )
    .unwrap();
    assert_eq!(goal(interface).as_deref(), Some("192.168.122.20"));
    let with_address = "<interface type='ethernet'><mac address='52:54:00:aa:00:01'/><ip address='fd00::1' family='ipv6'/><ip address='192.168.122.40' family='ipv4' prefix='24'/></interface>";
    assert_eq!(goal(with_address).as_deref(), Some("192.168.122.40"));
}

/// Hooks of two guests that start at once take turns, so that one of them gets the port.
#[test]
fn of_two_guests_that_want_one_port_one_gets_it() {
    if !namespace::is_possible() {
        return;
    }
    let host = Namespace::new();
    let package = Package::new("port-forward");
    let guests = ["one", "two"].map(|name| {
        let words = [("port_forward", "to=192.168.122.10 5000:22")];
        package.guest(name, &words, "").through(&host.wrapper())
    });
    let calls = guests.each_ref().map(|guest| guest.made("prepare begin").start());
    let answers = calls.map(|call| call.wait());
    let good = answers.iter().filter(|answer| answer.status == Some(0)).count();
    assert_eq!(good, 1, "{answers:?}");
    until("one table is there", || host.rules().matches("table ip hookmux_forward_").count() == 1);
}

/// The file of another hook becomes registrations of this one, which do what it did.
#[test]
fn guests_of_saschpes_hook_are_imported() {
    let package = Package::new("port-forward");
    let host = &package.host;
    let from = host.path("ready");
    let import = |file: &str, more: &[&str], status| {
        let file = host.path(file);
        let words = ["import", "saschpe", file.to_str().unwrap(), "--from", from.to_str().unwrap()];
        host.text(&[&words, more].concat(), status)
    };
    fs::write(
        host.path("hooks.json"),
        r#"{
    "web 1": {
        "interface": "virbr1",            // you can use comments
        "private_ip": "192.168.122.10",   /* both styles */
        "port_map": {"tcp": [[8022, 22], 80], "icmp": [8]},
    },
    "db": [{"interface": "virbr1", "private_ip": "192.168.122.11", "public_ip": "203.0.113.1", "source_ip": "203.0.113.7",
            "port_map": {"udp": [[5000, 53]]}}],
    "none": {"private_ip": "192.168.122.12"}
}"#,
    )
    .unwrap();
    let said = import("hooks.json", &["--dry-run"], 0);
    assert!(said.contains("nothing was registered: --dry-run"), "{said}");
    let file = |name: &str| host.hook("hooks.d").join(format!("port-forward-{name}.yaml"));
    assert!(!file("web_1").exists());
    let said = import("hooks.json", &[], 0);
    for words in [
        // what holds for several guests is told once
        "guest web 1, guest db: `interface` is left out",
        "guest web 1: icmp has no ports",
        "guest none: it has no port, and is left out",
        "all addresses of the host",
        "take saschpe's script out of libvirt's hooks",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let text = fs::read_to_string(file("web_1")).unwrap();
    let script = package.directory().join("bin/port-forward");
    for line in [
        "PORT_FORWARD: to=192.168.122.10 8022:22 80",
        "name: web 1",
        "lock: port-forward",
        "import saschpe",
        script.to_str().unwrap(),
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("property:"), "{text}");
    assert!(file("db").exists() && !file("none").exists());
    assert!(import("hooks.json", &[], 0).contains("unchanged: "));
    let edited = fs::read_to_string(file("db")).unwrap() + "nice: 1\n";
    fs::write(file("db"), edited).unwrap();
    let said = import("hooks.json", &[], 1);
    assert!(said.contains("registered already, as `port-forward-db`"), "{said}");
    import("hooks.json", &["--replace"], 0);
    assert!(host.text(&["log", "--audit"], 0).contains("import"));
    let said = host.json(&["list", "--available", "--from", from.to_str().unwrap()], 0);
    assert_eq!(said["hooks"][0]["registrations"].as_array().unwrap().len(), 3, "{said}");

    fs::write(host.path("bad.json"), r#"{"a": {"private_ip": "x"}, "b": {}}"#).unwrap();
    let said = import("bad.json", &[], 1);
    for words in
        ["guest a: private_ip has to be", "guest b: it has no private_ip", "nothing was registered"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    fs::write(host.path("torn.json"), "{").unwrap();
    assert!(import("torn.json", &[], 1).contains("torn.json: EOF while parsing"));

    if !namespace::is_possible() {
        return;
    }
    let site = Namespace::new();
    let before = site.rules();
    let web = package.guest("web 1", &[], "").through(&site.wrapper());
    let db = package.guest("db", &[], "").through(&site.wrapper());
    web.starts();
    db.starts();
    let rules = site.rules();
    assert!(rules.contains("tcp dport 80 counter dnat to 192.168.122.10 comment"), "{rules}");
    assert!(rules.contains("tcp dport 8022 counter dnat to 192.168.122.10:22"), "{rules}");
    assert!(rules.contains("ip daddr 203.0.113.1 ip saddr 203.0.113.7 udp dport 5000 counter dnat to 192.168.122.11:53"), "{rules}");
    web.ends();
    db.ends();
    assert_eq!(site.rules(), before);
}
