//! Custom properties of guests and devices in a hook's environment. (V3, V5, V11)

use crate::support::documents::guest;
use crate::support::{Host, capture, is_root, skip};

const VDSM: &str = "xmlns:ovirt-vm='http://ovirt.org/vm/1.0'";
const OWN: &str = "xmlns:hookmux='urn:hookmux:properties:1'";

fn own(properties: &[(&str, &str)]) -> String {
    let list: String = properties
        .iter()
        .map(|(name, value)| format!("<hookmux:property name='{name}'>{value}</hookmux:property>"))
        .collect();
    format!("<hookmux:properties {OWN}>{list}</hookmux:properties>")
}

/// What a hook at `before_vm_start` finds of these.
fn seen(host: &Host, document: &str, names: &[&str]) -> Vec<String> {
    host.script("before_vm_start/10-x", r#"cat /proc/$$/environ >"$T/env""#);
    host.guest("prepare begin").stdin(document).run().succeeds();
    let environment = host.read_text("env");
    names
        .iter()
        .map(|name| {
            let prefix = format!("{name}=");
            let found = environment.split('\0').find_map(|line| line.strip_prefix(&prefix));
            found.unwrap_or("(unset)").to_owned()
        })
        .collect()
}

// V3, V11
#[test]
fn vdsms_and_hookmuxs_properties_come_under_both_names_and_hookmuxs_win() {
    let metadata = format!(
        "<ovirt-vm:vm {VDSM}><ovirt-vm:custom><ovirt-vm:cpuflags>+aes</ovirt-vm:cpuflags>\
         <ovirt-vm:macspoof>true</ovirt-vm:macspoof><ovirt-vm:empty/>\
         <ovirt-vm:deep><ovirt-vm:x>1</ovirt-vm:x></ovirt-vm:deep></ovirt-vm:custom></ovirt-vm:vm>{}",
        own(&[
            ("cpuflags", "-aes"),
            ("zone", "a &lt; b &amp; \"c\" $(id) \u{fc}\n2"),
            ("a.b", "dot")
        ])
    );
    let host = Host::new();
    host.settings("custom_properties: [cpuflags, macspoof, empty, zone, deep, x, a.b]");
    let names = [
        "cpuflags",
        "HOOKMUX_PROPERTY_cpuflags",
        "macspoof",
        "HOOKMUX_PROPERTY_macspoof",
        "empty",
        "zone",
        "deep",
        "x",
        "a.b",
        "HOOKMUX_PROPERTY_a.b",
    ];
    assert_eq!(
        seen(&host, &guest(&metadata, ""), &names),
        [
            "-aes",
            "-aes",
            "true",
            "true",
            "",
            "a < b & \"c\" $(id) \u{fc}\n2",
            "(unset)",
            "(unset)",
            "(unset)",
            "dot",
        ]
    );
}

#[test]
fn other_schemas_and_other_places_are_no_properties() {
    let other = "<x:properties xmlns:x='urn:other'><x:property name='a'>1</x:property></x:properties>\
        <properties><property name='b'>1</property></properties>";
    let misplaced =
        guest("", &format!("<interface><metadata>{}</metadata></interface>", own(&[("c", "1")])));
    let host = Host::new();
    let unset = ["(unset)"; 3];
    assert_eq!(seen(&host, &guest(other, ""), &["a", "b", "HOOKMUX_PROPERTY_a"]), unset);
    assert_eq!(seen(&host, &misplaced, &["c", "HOOKMUX_PROPERTY_c", "a"]), unset);
    let captured = String::from_utf8(capture("9.0.0", "qemu.prepare.begin")).unwrap();
    assert!(captured.contains("macspoof"), "in a schema that isn't hookmux's");
    assert_eq!(seen(&host, &captured, &["macspoof"]), ["(unset)"]);
}

// V3
#[test]
fn a_guest_cannot_steer_the_tools_of_a_hook() {
    let names = [
        "PATH",
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "PERL5LIB",
        "PERL5OPT",
        "RUBYOPT",
        "BASH_ENV",
        "BASH_FUNC_x",
        "ENV",
        "IFS",
        "SHELLOPTS",
        "GLIBC_TUNABLES",
        "GCONV_PATH",
        "TMPDIR",
        "HOME",
        "LC_ALL",
        "LC_MESSAGES",
        "LANG",
        "_hook_domxml",
        "_hook_json",
        "vmId",
        "HOOKMUX_EVENT",
        "HOOKMUX_REASON",
        "HOOKMUX_RUN",
        "HOOKMUX_STARTED_XML",
        "NODE_OPTIONS",
        "JAVA_TOOL_OPTIONS",
        "OPENSSL_CONF",
        "LUA_INIT",
        "LUA_PATH",
        "PS4",
        "BASHOPTS",
        "http_proxy",
        "HTTPS_PROXY",
        "no_proxy",
        "LIBVIRT_DEFAULT_URI",
        "XDG_CONFIG_HOME",
        "TMOUT",
        "FUNCNEST",
        "BLKID_FILE",
        "LIBMOUNT_FSTAB",
        "TMP",
        "TEMP",
        "MAKEFLAGS",
        "EXECIGNORE",
        "GIO_EXTRA_MODULES",
        "GTK_MODULES",
        "DOTNET_STARTUP_HOOKS",
        "KRB5CCNAME",
        "npm_config_prefix",
        "All_Proxy",
    ];
    let plain = Host::new();
    let before = seen(&plain, &guest("", ""), &names);
    let host = Host::new();
    host.settings(&format!("custom_properties: [{}]", names.join(", ")));
    let evil = names.map(|name| (name, "evil"));
    let after = seen(&host, &guest(&own(&evil), ""), &names);
    for ((name, before), after) in names.iter().zip(before).zip(after) {
        assert_ne!(after, "evil", "{name}");
        let is_own = ["HOOKMUX_RUN", "_hook_domxml"].contains(name);
        assert!(is_own || after == before, "{name} was {before} and is {after}");
    }
    let prefixed = names.map(|name| format!("HOOKMUX_PROPERTY_{name}"));
    let prefixed: Vec<&str> = prefixed.iter().map(String::as_str).collect();
    let seen = seen(&host, &guest(&own(&evil), ""), &prefixed);
    assert!(seen.iter().all(|value| value == "evil"), "{seen:?}");
}

#[test]
fn a_property_takes_no_name_that_is_there_or_is_no_variables() {
    let host = Host::new();
    let listed = "custom_properties: [SITE, EMPTY, 1a, a-b, a b, a, 'a=b', \"\\u00e9\"]";
    host.settings(&format!("environment: {{SITE: ours, EMPTY: \"\"}}\n{listed}"));
    let properties = [
        ("SITE", "x"),
        ("EMPTY", "x"),
        ("1a", "x"),
        ("a-b", "x"),
        ("a b", "x"),
        ("", "x"),
        ("a=b", "x"),
        ("\u{e9}", "x"),
    ];
    let names = [
        "SITE",
        "EMPTY",
        "1a",
        "a-b",
        "a b",
        "a",
        "\u{e9}",
        "HOOKMUX_PROPERTY_SITE",
        "HOOKMUX_PROPERTY_a-b",
    ];
    assert_eq!(
        seen(&host, &guest(&own(&properties), ""), &names),
        ["ours", "", "(unset)", "(unset)", "(unset)", "(unset)", "(unset)", "x", "x"]
    );
}

#[test]
fn hooks_get_those_bare_names_that_are_listed() {
    let host = Host::new();
    let document = guest(&own(&[("a", "1"), ("b", "2"), ("VLAN", "4"), ("PATH", "3")]), "");
    let names = ["a", "b", "VLAN", "HOOKMUX_PROPERTY_a", "HOOKMUX_PROPERTY_b"];
    let unset = "(unset)";
    assert_eq!(seen(&host, &document, &names), [unset, unset, unset, "1", "2"]);
    host.settings("custom_properties: [b, VLAN, PATH]");
    assert_eq!(seen(&host, &document, &names), [unset, "2", "4", "1", "2"]);
    assert_ne!(seen(&host, &document, &["PATH"]), ["3"]);
    host.settings("custom_properties: []");
    assert_eq!(seen(&host, &document, &names), [unset, unset, unset, "1", "2"]);
}

#[test]
fn what_was_libvirts_own_script_has_no_bare_names_and_registered_hooks_those_listed() {
    let host = Host::new();
    host.settings("custom_properties: [a]");
    let script = r#"log "$me ${a-none} ${b-none} $HOOKMUX_PROPERTY_a""#;
    host.script("qemu.adopted", script);
    host.script("qemu.d/g/prepare/begin/10-tree", script);
    for style in ["vdsm", "libvirt"] {
        host.script(format!("bin/{style}"), script);
        let text = format!("events: before_vm_start\ncommand: bin/{style}\nstyle: {style}\n");
        host.file(format!("hooks.d/{style}.yaml"), text);
        host.mode(format!("hooks/hooks.d/{style}.yaml"), 0o644);
    }
    let document = guest(&own(&[("a", "1"), ("b", "2")]), "");
    host.guest("prepare begin").stdin(document).run().succeeds();
    let mut log = host.log();
    log.sort_unstable();
    assert_eq!(
        log,
        ["10-tree none none 1", "libvirt 1 none 1", "qemu.adopted none none 1", "vdsm 1 none 1"]
    );
}

#[test]
fn vdsms_scripts_get_what_vdsm_gives_but_names_in_capitals_and_names_that_steer() {
    if !is_root() {
        return skip("only root can put a tree where vdsm's is");
    }
    let host = Host::new();
    host.script(
        "vdsm/before_vm_start/50_x",
        r#"log "$me ${macspoof-none} ${VLAN-none} ${http_proxy-none} ${npm_config_x-none}""#,
    );
    host.script("before_vm_start/60_x", r#"log "$me ${macspoof-none} ${VLAN-none}""#);
    let mounts = format!(
        "mkdir -p /usr/libexec; mount -t tmpfs -o mode=755 tmpfs /usr/libexec; mkdir -p /usr/libexec/vdsm\n\
         cp -r '{}' /usr/libexec/vdsm/hooks",
        host.hook("vdsm").display()
    );
    let words = [("macspoof", "true"), ("VLAN", "7"), ("http_proxy", "x"), ("npm_config_x", "x")];
    let document = guest(&own(&words), "");
    let call = |settings: &str| {
        host.settings(&format!("vdsm_hooks: true\n{settings}"));
        host.guest("prepare begin").stdin(document.as_str()).with_mounts(&mounts).run()
    };
    call("").succeeds();
    assert_eq!(host.log(), ["50_x true none none none", "60_x none none"]);
    call("custom_properties: [VLAN, http_proxy]").succeeds();
    assert_eq!(host.log(), ["50_x true 7 none none", "60_x none 7"]);
    call("custom_properties: {VLAN: '?', other: x}").succeeds();
    assert_eq!(host.log(), ["50_x true 7 none none", "60_x none 7"]);
    call("custom_properties: {macspoof: 'false'}").fails(125, &["guest g", "macspoof", "`false`"]);
    assert_eq!(host.log(), [""; 0]);
}

#[test]
fn a_value_that_is_not_allowed_keeps_a_gate_shut_before_hooks_run() {
    let host = Host::new();
    host.settings("custom_properties: {zone: 'dmz-*|lan', vlan: '?|1?'}");
    host.follow(&["before_vm_prepare/10-x", "qemu.d/g/prepare/begin/10-x"]);
    host.follow(&["before_vm_dehibernate/10-x"]);
    for (name, value, fits) in [
        ("zone", "dmz-1", true),
        ("zone", "lan", true),
        ("zone", "lane", false),
        ("zone", " lan", false),
        ("zone", "", false),
        ("vlan", "12", true),
        ("vlan", "22", false),
        ("vlan", "1\n2", false),
        ("other", "x", true),
    ] {
        let document = guest(&own(&[(name, value)]), "");
        let answer = host.guest("prepare begin").stdin(document.as_str()).run();
        if fits {
            answer.succeeds();
            assert_eq!(host.log().len(), 2, "{name}={value}");
            continue;
        }
        let allowed = if name == "zone" { "`dmz-*|lan`" } else { "`?|1?`" };
        answer.fails(125, &["guest g: ", &format!("`{name}`"), allowed, "hookmux.yaml"]);
        assert_eq!(host.log(), [""; 0], "{name}={value}");
    }
    // a device's, and vdsm's
    let device = format!(
        "<hookmux:properties {OWN}><hookmux:property name='vlan' device='ua-x'>99</hookmux:property></hookmux:properties>"
    );
    let vdsms = format!(
        "<ovirt-vm:vm {VDSM}><ovirt-vm:custom><ovirt-vm:vlan>99</ovirt-vm:vlan></ovirt-vm:custom></ovirt-vm:vm>"
    );
    let devices = "<interface><alias name='ua-x'/></interface>";
    for (metadata, words) in [(&device, "guest g, device ua-x: "), (&vdsms, "guest g: ")] {
        let answer = host.guest("prepare begin").stdin(guest(metadata, devices)).run();
        answer.fails(125, &[words, "`vlan` is `99`"]);
    }
    assert_eq!(host.log(), [""; 0]);
    // restore is answered at prepare
    let document = guest(&own(&[("vlan", "99")]), "");
    host.guest("restore begin").stdin(document.as_str()).run().succeeds();
    host.guest("prepare begin").run().fails(125, &["`vlan` is `99`"]);
    assert_eq!(host.log(), [""; 0]);
}

#[test]
fn a_value_that_is_not_allowed_is_left_out_and_told_where_a_guest_runs() {
    let host = Host::new();
    host.settings("custom_properties: {vlan: '?', zone: '*'}");
    let script = r#"log "${vlan-none} ${zone-none} $HOOKMUX_PROPERTY_vlan""#;
    let document = guest(&own(&[("vlan", "99"), ("zone", "lan")]), "");
    for (call, event) in [("started begin", "after_vm_launch"), ("release end", "after_vm_destroy")]
    {
        host.script(format!("{event}/10-x"), script);
        host.file(
            "hooks.d/json.yaml",
            format!(
                "events: {event}\ncommand: [/bin/sh, -c, 'cat >{}']\nstdin: json\n",
                host.path("json").display()
            ),
        );
        host.mode("hooks/hooks.d/json.yaml", 0o644);
        host.guest(call).stdin(document.as_str()).run().succeeds();
        assert_eq!(host.log(), ["none lan 99"]);
        let json: serde_json::Value = serde_json::from_slice(&host.read("json")).unwrap();
        assert_eq!(json["properties"], serde_json::json!({"zone": "lan"}));
        let shown = host.text(&["show", "last"], 0);
        assert!(shown.contains("guest g: custom property `vlan` is `99`"), "{shown}");
    }
}

#[test]
fn plan_and_run_follow_the_allowed_values() {
    let host = Host::new();
    host.settings("custom_properties: {vlan: '?'}");
    host.script("before_vm_start/10-x", "log ran")
        .script("after_vm_launch/10-x", r#"log "${vlan-none} $HOOKMUX_PROPERTY_vlan""#);
    let document = host.path("with.xml");
    std::fs::write(&document, guest(&own(&[("vlan", "99")]), "")).unwrap();
    let xml = document.to_str().unwrap();
    let words = ["qemu", "g", "prepare", "--xml", xml];
    let plan = host.json(&[&["plan"][..], &words].concat(), 1);
    assert_eq!(plan["would_fail"], true);
    let notes = plan["notes"].to_string();
    assert!(notes.contains("`vlan` is `99`") && notes.contains("this call would fail"), "{notes}");
    let ran = host.json(&[&["run"][..], &words].concat(), 1);
    assert_eq!(ran["status"], 125);
    assert_eq!(host.log(), [""; 0]);
    let words = ["qemu", "g", "started", "--xml", xml];
    let plan = host.json(&[&["plan"][..], &words].concat(), 0);
    assert!(plan["notes"].to_string().contains("`vlan` is `99`"), "{plan}");
    host.json(&[&["run"][..], &words].concat(), 0);
    assert_eq!(host.log(), ["none 99"]);
    host.json(&["retry", "last"], 0);
    assert_eq!(host.log(), ["none 99"]);
    host.settings("custom_properties: {vlan: '??'}");
    host.json(&["retry", "last"], 0);
    assert_eq!(host.log(), ["99 99"]);
}

#[test]
fn what_is_too_large_is_left_out() {
    let host = Host::new();
    host.settings("custom_properties: [fits, large, after, p0]");
    let fits = "f".repeat(64 * 1024);
    let large = "l".repeat(64 * 1024 + 1);
    let document = guest(&own(&[("fits", &fits), ("large", &large), ("after", "1")]), "");
    let names = ["fits", "large", "HOOKMUX_PROPERTY_large", "after"];
    assert_eq!(seen(&host, &document, &names), [fits.as_str(), "(unset)", "(unset)", "1"]);
    // many that fit one by one are more than a program can be started with
    let names: Vec<String> = (0..60).map(|n| format!("p{n}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), fits.as_str())).collect();
    assert_eq!(seen(&host, &guest(&own(&many), ""), &["p0"]), [fits.as_str()]);
}

#[test]
fn properties_of_guest_and_device_together_never_keep_a_hook_from_starting() {
    let value = "v".repeat(60 * 1024);
    let device: String = (0..8)
        .map(|n| format!("<hookmux:property name='d{n}' device='ua-x'>{value}</hookmux:property>"))
        .collect();
    let guests: String = (0..8)
        .map(|n| format!("<hookmux:property name='g{n}'>{value}</hookmux:property>"))
        .collect();
    let metadata = format!("<hookmux:properties {OWN}>{guests}{device}</hookmux:properties>");
    let devices = "<interface><alias name='ua-x'/></interface>";
    let host = Host::new();
    host.follow(&["before_device_create/10-x"]);
    host.guest("prepare begin").stdin(guest(&metadata, devices)).run().succeeds();
    assert_eq!(host.log(), ["before_device_create/10-x"]);
}

#[test]
fn thousands_of_properties_hold_nobody_up_and_keep_no_hook_from_starting() {
    let list: String = (0..60_000).map(|n| format!("<hookmux:property name='p{n}'/>")).collect();
    let metadata = format!("<hookmux:properties {OWN}>{list}</hookmux:properties>");
    let host = Host::new();
    host.follow(&["before_vm_start/10-x"]);
    let answer = host.guest("prepare begin").stdin(guest(&metadata, "")).run();
    answer.succeeds().took_less_than(20);
    assert_eq!(host.log(), ["before_vm_start/10-x"]);
}

#[test]
fn a_network_has_properties_too() {
    let host = Host::new();
    host.settings("custom_properties: {zone: dmz}");
    host.script("before_network_start/10-x", r#"log "$zone $HOOKMUX_PROPERTY_zone $HOOKMUX_UUID""#);
    let captured = String::from_utf8(capture("11.3.0", "network.start.begin")).unwrap();
    let document = captured.replacen(
        "</uuid>",
        &format!("</uuid><metadata>{}</metadata>", own(&[("zone", "dmz")])),
        1,
    );
    host.call("network", ["n1", "start", "begin", "-"]).stdin(document.as_str()).run().succeeds();
    let other = document.replace("dmz", "lan");
    let answer = host.call("network", ["n1", "start", "begin", "-"]).stdin(other).run();
    answer.fails(125, &["network n1: ", "`zone` is `lan`", "`dmz`"]);
    let uuid = "2d0163ff-1aa5-4d89-a2ac-2272e01d1f20";
    assert_eq!(host.log(), [format!("dmz dmz {uuid}")]);
}

// --- devices ------------------------------------------------------------------------------------

const NIC: &str =
    "<interface type='network'>\n      <mac address='52:54:00:aa:00:01'/>\n    </interface>";
const GPU: &str = "<hostdev mode='subsystem'><alias name='ua-gpu'/></hostdev>";

fn with_devices() -> String {
    let metadata = format!(
        "<ovirt-vm:vm {VDSM}><ovirt-vm:custom><ovirt-vm:who>guest</ovirt-vm:who></ovirt-vm:custom>\
         <ovirt-vm:device mac_address='52:54:00:AA:00:01'><ovirt-vm:custom>\
         <ovirt-vm:extnet>red</ovirt-vm:extnet></ovirt-vm:custom></ovirt-vm:device>\
         <ovirt-vm:device devtype='disk' name='ua-disk'><ovirt-vm:custom><ovirt-vm:no>1</ovirt-vm:no></ovirt-vm:custom></ovirt-vm:device>\
         </ovirt-vm:vm>\
         <hookmux:properties {OWN}><hookmux:property name='who' device='52:54:00:aa:00:01'>nic</hookmux:property>\
         <hookmux:property name='rom' device='ua-gpu'>on</hookmux:property></hookmux:properties>"
    );
    let devices = format!(
        "<disk><alias name='ua-disk'/></disk>{NIC}<interface><mac address='52:54:00:aa:00:02'/></interface>{GPU}"
    );
    guest(&metadata, &devices)
}

// V5
#[test]
fn a_device_event_fires_per_device_with_its_document_and_its_properties_on_top() {
    let host = Host::new();
    host.settings("custom_properties: [extnet, rom, who]");
    for name in ["10-a", "20-b"] {
        host.script(
            format!("before_device_create/{name}"),
            r#"log "$me ${extnet-none} ${rom-none} $who $HOOKMUX_PROPERTY_who"
               cat "$_hook_domxml" >"$T/$me-${rom-nic}""#,
        );
    }
    host.script(
        "before_vm_start/10-x",
        r#"log "$me ${extnet-none} ${rom-none} $who"; cat "$_hook_domxml" >"$T/whole""#,
    );
    host.guest("prepare begin").stdin(with_devices()).run().succeeds();
    assert_eq!(
        host.log(),
        [
            "10-a red none nic nic",
            "20-b red none nic nic",
            "10-a none on guest guest",
            "20-b none on guest guest",
            "10-x none none guest",
        ],
        "vdsm runs a device's hooks all before the next device's"
    );
    for name in ["10-a", "20-b"] {
        assert_eq!(host.read_text(&format!("{name}-nic")), NIC);
        assert_eq!(host.read_text(&format!("{name}-on")), GPU);
    }
    assert_eq!(host.read_text("whole"), with_devices());
}

// V5
#[test]
fn every_device_event_fires_where_its_guests_does() {
    let host = Host::new();
    for event in [
        "before_device_create",
        "after_device_create",
        "after_device_destroy",
        "after_device_migrate_source",
        "before_device_migrate_destination",
        "before_vm_migrate_destination",
        "after_vm_migrate_source",
        "after_vm_destroy",
        "before_vm_start",
        "after_vm_start",
    ] {
        host.script(format!("{event}/10-x"), r#"log "$HOOKMUX_EVENT""#);
    }
    for (call, expected) in [
        ("prepare begin", &["before_device_create", "before_device_create", "before_vm_start"][..]),
        ("started begin", &["after_vm_start", "after_device_create", "after_device_create"]),
        (
            "release end migrated",
            &[
                "after_vm_migrate_source",
                "after_device_migrate_source",
                "after_device_migrate_source",
                "after_vm_destroy",
                "after_device_destroy",
                "after_device_destroy",
            ],
        ),
        (
            "migrate begin",
            &[
                "before_device_migrate_destination",
                "before_device_migrate_destination",
                "before_vm_migrate_destination",
            ],
        ),
        ("prepare begin", &[]),
        ("started begin", &[]),
    ] {
        host.guest(call).stdin(with_devices()).run().succeeds();
        assert_eq!(host.log(), expected, "{call}");
    }
}

// V5
#[test]
fn a_guest_without_device_properties_has_no_device_events() {
    let host = Host::new();
    host.follow(&["before_device_create/10-x"]);
    host.guest("prepare begin").stdin(guest("", NIC)).run().succeeds();
    host.guest("prepare begin").stdin("").run().succeeds();
    assert_eq!(host.log(), [""; 0]);
}

#[test]
fn a_failing_device_hook_names_itself() {
    let host = Host::new();
    host.settings("custom_properties: [rom]");
    host.script("before_device_create/10-x", r#"log "${rom-nic}"; exit 1"#);
    let answer = host.guest("prepare begin").stdin(with_devices()).run();
    answer.fails(1, &["before_device_create/10-x: exit status 1"]);
    assert_eq!(host.log(), ["nic", "on"]);
}
