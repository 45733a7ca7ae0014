//! Start and destroy: which scripts run, when, and what they get.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;

use crate::documents::{Domain, properties, vdsm_properties};
use crate::events::GUEST_EVENTS;
use crate::host::{Host, is_modular};

#[test]
fn each_event_of_a_guests_life_runs_its_scripts_once_and_in_order() {
    let host = Host::new();
    for event in GUEST_EVENTS {
        // Byte order: 10 before 9, capitals before small letters.
        for name in ["10-one", "9-two", "B-three", "a-four"] {
            host.script(&format!("{event}/{name}"), &format!("say \"$HOOKMUX_EVENT {name}\""));
        }
    }
    let vm = host.guest("vm");
    let said = |events: &[&str]| -> Vec<String> {
        let names = ["10-one", "9-two", "B-three", "a-four"];
        events.iter().flat_map(|e| names.iter().map(move |n| format!("{e} {n}"))).collect()
    };

    vm.start().ok();
    let start = [
        "before_vm_prepare",
        "before_vm_start",
        "before_vm_launch",
        "after_vm_launch",
        "after_vm_start",
    ];
    assert_eq!(host.log(), said(&start));

    host.clear_log();
    vm.destroy().ok();
    assert_eq!(host.log(), said(&["after_vm_stop", "after_vm_destroy"]));
}

#[test]
fn scripts_have_the_environment_of_their_event() {
    let host = Host::new();
    for event in ["before_vm_prepare", "before_vm_start", "after_vm_start", "after_vm_destroy"] {
        host.script(&format!("{event}/10-env"), &format!("env >/run/{event}.env"));
    }
    let vm = host.guest("vm");
    vm.start().ok();
    vm.destroy().ok();

    let environment = |event: &str| -> HashMap<String, String> {
        let text = host.read(&format!("/run/{event}.env"));
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let calls = [
        ("before_vm_prepare", "prepare", "begin"),
        ("before_vm_start", "prepare", "begin"),
        ("after_vm_start", "started", "begin"),
        ("after_vm_destroy", "release", "end"),
    ];
    for (event, operation, sub_operation) in calls {
        let env = environment(event);
        let has = |name: &str, value: &str| {
            assert_eq!(
                env.get(name).map(String::as_str),
                Some(value),
                "{name} of {event}: {env:?}"
            );
        };
        has("HOOKMUX_EVENT", event);
        has("HOOKMUX_DRIVER", "qemu");
        has("HOOKMUX_OBJECT", "vm");
        has("HOOKMUX_OPERATION", operation);
        has("HOOKMUX_SUB_OPERATION", sub_operation);
        has("HOOKMUX_UUID", &vm.uuid);
        has("vmId", &vm.uuid);
        has("HOOKMUX_ORIGIN", "fresh");
        has("HOOKMUX_HOOKS_DIR", "/etc/libvirt/hooks");
        has("HOOKMUX_DAEMON", if is_modular() { "virtqemud" } else { "libvirtd" });
        has("LC_ALL", "C.UTF-8");
        has("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        for name in ["HOME", "HOOKMUX_EXECUTION", "HOOKMUX_RUN", "_hook_domxml"] {
            assert!(env.get(name).is_some_and(|v| !v.is_empty()), "{name} of {event}: {env:?}");
        }
        assert_eq!(env.contains_key("HOOKMUX_STARTED_XML"), event == "after_vm_destroy");
        if event == "after_vm_destroy" && host.libvirt_at_least(10, 5) {
            has("HOOKMUX_EXTRA", "destroyed");
            has("HOOKMUX_REASON", "destroyed");
        } else {
            has("HOOKMUX_EXTRA", "-");
            assert!(!env.contains_key("HOOKMUX_REASON"), "{env:?}");
        }
    }
    let executions: Vec<_> =
        calls.iter().map(|(event, ..)| environment(event)["HOOKMUX_EXECUTION"].clone()).collect();
    assert_eq!(executions[0], executions[1], "events of one call are one execution");
    assert_ne!(executions[1], executions[2], "each call is an execution of its own");
}

#[test]
fn scripts_run_in_the_surroundings_that_the_contract_promises() {
    let host = Host::new();
    host.script(
        "before_vm_start/10-where",
        r#"
say "arguments $#"
say "stdin $(readlink /proc/self/fd/0)"
say "directory $(pwd)"
say "umask $(umask)"
say "descriptors $(ls /proc/self/fd | tr '\n' ' ')"
[ "$(cut -d' ' -f6 /proc/$$/stat)" = $$ ] && say "own session"
say "document $(stat -c '%a %u' "$_hook_domxml") $(head -c 8 "$_hook_domxml")"
"#,
    );
    let vm = host.guest("vm");
    vm.start().ok();
    let said = [
        "arguments 0",
        "stdin /dev/null",
        "directory /",
        "umask 0022",
        // The last one is the directory that `ls` reads.
        "descriptors 0 1 2 3 ",
        "own session",
        "document 600 0 <domain ",
    ];
    assert_eq!(host.log(), said);
    vm.destroy().ok();
}

#[test]
fn the_document_of_started_is_at_hand_until_the_guest_is_gone() {
    let host = Host::new();
    for event in ["after_vm_stop", "after_vm_destroy"] {
        let tap = r#"grep -o "<target dev='vnet[0-9]*'" "$1""#;
        host.script(
            &format!("{event}/10-tap"),
            &format!(
                "tap() {{ {tap}; }}\n\
                 say \"$HOOKMUX_EVENT: $(tap \"$HOOKMUX_STARTED_XML\")$(tap \"$_hook_domxml\")\""
            ),
        );
    }
    let interface = "<interface type='ethernet'><model type='virtio'/></interface>";
    let vm = host.define(&Domain::new("vm").device(interface));
    vm.start().ok();
    vm.destroy().ok();
    // libvirt itself drops the name of the tap from both documents.
    let said = ["after_vm_stop: <target dev='vnet0'", "after_vm_destroy: <target dev='vnet0'"];
    assert_eq!(host.log(), said);
}

#[test]
fn a_guests_own_property_reaches_only_its_scripts() {
    let host = Host::new();
    host.settings("custom_properties: [colour, shape]");
    for event in ["before_vm_start", "after_vm_destroy"] {
        host.script(
            &format!("{event}/10-property"),
            r#"say "$HOOKMUX_OBJECT $HOOKMUX_EVENT ${HOOKMUX_PROPERTY_colour-none} ${colour-none} ${shape-none}""#,
        );
    }
    let painted = Domain::new("painted")
        .metadata(&properties("<hookmux:property name='colour'>dark red</hookmux:property>"))
        .metadata(&vdsm_properties("<ovirt-vm:shape>round</ovirt-vm:shape>"));
    let painted = host.define(&painted);
    let plain = host.guest("plain");
    painted.start().ok();
    plain.start().ok();
    plain.destroy().ok();
    painted.destroy().ok();
    let said = [
        "painted before_vm_start dark red dark red round",
        "plain before_vm_start none none none",
        "plain after_vm_destroy none none none",
        "painted after_vm_destroy dark red dark red round",
    ];
    assert_eq!(host.log(), said);
}

#[test]
fn a_property_never_steers_what_runs() {
    let host = Host::new();
    host.script("before_vm_start/10-path", r#"say "$PATH ${LD_PRELOAD-none} $HOOKMUX_OBJECT""#);
    let steering: String = [("PATH", "/tmp"), ("LD_PRELOAD", "/tmp/x.so"), ("HOOKMUX_OBJECT", "y")]
        .iter()
        .map(|(name, value)| format!("<hookmux:property name='{name}'>{value}</hookmux:property>"))
        .collect();
    let vm = host.define(&Domain::new("vm").metadata(&properties(&steering)));
    vm.start().ok();
    assert_eq!(host.log(), ["/usr/sbin:/usr/bin:/sbin:/bin none vm"]);
    vm.destroy().ok();
}

#[test]
fn a_device_event_has_the_devices_document_and_properties() {
    let host = Host::new();
    host.settings("custom_properties: {qos: '0.*', colour: red|blue}");
    for event in ["before_device_create", "after_device_create", "after_device_destroy"] {
        host.script(
            &format!("{event}/10-device"),
            r#"
root=$(head -c 10 "$_hook_domxml")
mac=$(grep -o '52:54:00:00:00:[0-9a-f]*' "$_hook_domxml" | tr '\n' ' ')
say "$HOOKMUX_EVENT $root $mac${qos-none} ${colour-none}"
"#,
        );
    }
    host.script("before_vm_start/10-guest", r#"say "$HOOKMUX_EVENT ${qos-none} ${colour-none}""#);
    let both = "<hookmux:property name='colour'>red</hookmux:property>\
                <hookmux:property name='qos' device='52:54:00:00:00:01'>0.5</hookmux:property>";
    let interface =
        |mac: &str| format!("<interface type='ethernet'><mac address='{mac}'/></interface>");
    let vm = Domain::new("vm")
        .metadata(&properties(both))
        .device(&interface("52:54:00:00:00:01"))
        .device(&interface("52:54:00:00:00:02"));
    let vm = host.define(&vm);
    vm.start().ok();
    vm.destroy().ok();
    let said = [
        "before_device_create <interface 52:54:00:00:00:01 0.5 red",
        "before_vm_start none red",
        "after_device_create <interface 52:54:00:00:00:01 0.5 red",
        "after_device_destroy <interface 52:54:00:00:00:01 0.5 red",
    ];
    assert_eq!(host.log(), said);
}

#[test]
fn the_per_guest_tree_has_libvirts_arguments_and_its_document_byte_for_byte() {
    let host = Host::new();
    // libvirt itself runs executables in qemu.d, with the same input: what they get is the measure.
    host.script(
        "qemu.d/measure",
        r#"say "libvirt: $*"; mkdir -p /run/libvirts; cat >"/run/libvirts/$2""#,
    );
    let body = r#"say "hookmux: $*"; mkdir -p /run/hookmuxs; cat >"/run/hookmuxs/$2""#;
    host.script("qemu.d/vm/prepare/begin/10-a", body);
    host.script("qemu.d/vm/started/begin", body);
    host.script("qemu.d/vm/release/end/10-a", body);
    host.script("qemu.d/other/prepare/begin/10-a", "say \"of another guest\"");
    host.script("before_vm_start/99-last", "say \"event hooks first\"");
    let vm = host.guest("vm");
    vm.start().ok();
    vm.destroy().ok();

    let log = host.log();
    let of =
        |who: &str| -> Vec<&str> { log.iter().filter_map(|line| line.strip_prefix(who)).collect() };
    let libvirts = of("libvirt: ");
    let expected: Vec<&str> = ["prepare", "started", "release"]
        .iter()
        .map(|op| *libvirts.iter().find(|args| args.starts_with(&format!("vm {op} "))).unwrap())
        .collect();
    assert_eq!(of("hookmux: "), expected);
    assert_eq!(log[0], "event hooks first");
    assert_eq!(log[1], "hookmux: vm prepare begin -");
    for operation in ["prepare", "started", "release"] {
        let theirs = host.read(&format!("/run/libvirts/{operation}"));
        assert_eq!(host.read(&format!("/run/hookmuxs/{operation}")), theirs);
        assert!(theirs.starts_with("<domain") && theirs.ends_with("</domain>\n"));
    }
    assert!(!log.iter().any(|line| line == "of another guest"));
}

#[test]
fn a_script_dropped_in_runs_at_the_next_call_without_a_reload() {
    let host = Host::new();
    let vm = host.guest("vm");
    vm.start().ok();
    host.script("after_vm_destroy/10-new", "say new");
    vm.destroy().ok();
    assert_eq!(host.log(), ["new"]);
    // ... and what hookmux keeps of its calls is for root alone.
    for directory in ["/run/hookmux", "/var/lib/hookmux"] {
        let path = host.path(directory);
        if let Ok(metadata) = std::fs::metadata(&path) {
            assert_eq!(metadata.mode() & 0o022, 0, "{directory}");
        }
    }
}
