//! vdsm's own tree beside hookmux's directories, and its contract for documents: chains of edits, devices,
//! hooks that never fire. (V2, V5, V7)

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::answer::Answer;
use crate::support::documents::{GUEST, guest};
use crate::support::host::binary_under_test;
use crate::support::{Host, is_root, schema, skip};

/// A host where vdsm's tree is a root; only root can make the mount.
fn host() -> Option<Host> {
    if !is_root() {
        skip("vdsm's tree is a mount, which only root can make");
        return None;
    }
    let host = Host::new();
    host.settings("vdsm_hooks: true");
    fs::create_dir(host.path("vdsm")).unwrap();
    Some(host)
}

/// A script in vdsm's tree.
fn vdsm(host: &Host, place: &str, text: &str) {
    host.script(format!("../vdsm/{place}"), text);
}

fn mounts(host: &Host) -> String {
    format!(
        "mkdir -p /usr/libexec; mount -t tmpfs -o mode=755 tmpfs /usr/libexec; mkdir -p /usr/libexec/vdsm\n\
         cp -r '{}' /usr/libexec/vdsm/hooks",
        host.path("vdsm").display()
    )
}

fn call(host: &Host, call: &str, document: &str) -> Answer {
    host.guest(call).stdin(document).with_mounts(&mounts(host)).run()
}

/// The command line, where vdsm's tree is.
fn command(host: &Host, words: &[&str]) -> Output {
    let script = format!("set -e\n{}\nexec \"$@\"", mounts(host));
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "/bin/sh", "-c", &script, "sh"])
        .arg(binary_under_test())
        .arg("--hooks-dir")
        .arg(host.hooks())
        .args(words)
        .current_dir(host.path(""))
        .output()
        .unwrap();
    schema::judge(words, &output.stdout);
    output
}

fn json(host: &Host, words: &[&str]) -> Value {
    let words = [words, &["--output", "json"]].concat();
    schema::read(&words, &command(host, &words).stdout)
}

fn text(host: &Host, words: &[&str]) -> String {
    let output = command(host, words);
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

/// Logs which of these elements the document has, and adds another one.
fn adds(element: &str) -> String {
    format!(
        r#"log "$me $(grep -o '<[a-z]/>' "$_hook_domxml" | tr -d '\n')"
        sed -i 's|<devices>|<{element}/><devices>|' "$_hook_domxml""#
    )
}

fn with(elements: &str) -> String {
    GUEST.replace("<devices>", &format!("{elements}<devices>"))
}

// --- whole documents ----------------------------------------------------------------------------

// V2, V4
#[test]
fn at_gates_edits_are_chained_from_script_to_script_and_libvirt_takes_none() {
    let Some(host) = host() else { return };
    let event = "before_vm_start";
    vdsm(&host, &format!("{event}/10_a"), &adds("a"));
    host.script(format!("{event}/20_b"), &adds("b"));
    vdsm(&host, &format!("{event}/30_c"), &adds("c"));
    vdsm(&host, &format!("{event}/40_d"), &format!("{}; exit 1", adds("x")));
    vdsm(&host, &format!("{event}/50_e"), &adds("e"));
    vdsm(&host, &format!("{event}/60_f"), "echo no >&2; exit 2");
    vdsm(&host, &format!("{event}/70_g"), "log never");
    let answer = call(&host, "prepare begin", GUEST);
    answer.fails(1, &["before_vm_start/40_d: exit status 1", "before_vm_start/60_f"]);
    // what a failed script left is not used
    let seen = ["10_a ", "20_b <a/>", "30_c <a/><b/>", "40_d <a/><b/><c/>", "50_e <a/><b/><c/>"];
    assert_eq!(host.log(), seen);
    let told = host.text(&["show", "last"], 0);
    for name in ["10_a", "20_b", "30_c", "50_e"] {
        let words = format!(
            "{event}/{name}: it changed the document: later scripts of the event get that, but libvirt takes no XML from prepare"
        );
        assert!(told.contains(&words), "{name}: {told}");
    }
}

// V2
#[test]
fn at_migration_and_restore_vdsms_scripts_edit_among_themselves() {
    let Some(host) = host() else { return };
    for (operation, event) in
        [("migrate", "before_vm_migrate_destination"), ("restore", "before_vm_dehibernate")]
    {
        host.script(format!("{event}/10_a"), &adds("a"));
        vdsm(&host, &format!("{event}/20_v"), &adds("v"));
        host.script(format!("{event}/30_b"), &adds("b"));
        vdsm(&host, &format!("{event}/40_w"), &adds("w"));
        host.script(format!("{event}/50_c"), &adds("c"));
        host.script(
            format!("qemu.d/g/{operation}/begin/10-x"),
            r#"log "tree $(grep -o '<[a-z]/>' | tr -d '\n')""#,
        );
        call(&host, &format!("{operation} begin"), GUEST).answers(with("<a/><b/><c/>"));
        let seen = [
            "10_a ",
            "20_v <a/>",
            "30_b <a/>",
            "40_w <a/><v/>",
            "50_c <a/><b/>",
            "tree <a/><b/><c/>",
        ];
        assert_eq!(host.log(), seen, "{operation}");
        let told = host.text(&["show", "last"], 0);
        assert!(told.contains(&format!("{event}/20_v: it changed the document: vdsm's")), "{told}");
        assert!(told.contains(&format!("libvirt takes none from vdsm's scripts at {operation}")));
    }
    // and with nothing but vdsm's, nothing is printed
    let Some(host) = self::host() else { return };
    vdsm(&host, "before_vm_migrate_destination/20_v", &adds("v"));
    vdsm(&host, "before_vm_migrate_destination/40_w", &adds("w"));
    call(&host, "migrate begin", GUEST).succeeds();
    assert_eq!(host.log(), ["20_v ", "40_w <v/>"]);
}

// V2: vdsm takes the document of a start, so a broken one is no start; that of a migration it drops unread
#[test]
fn a_broken_edit_fails_where_vdsm_would_use_it() {
    for (broken, words) in [
        (r#"echo '<domain' >"$_hook_domxml""#, "not well-formed"),
        (r#"rm "$_hook_domxml""#, "no usable document"),
        (r#"sed -i 's|<name>g<|<name>h<|' "$_hook_domxml""#, "another name"),
    ] {
        let Some(host) = host() else { return };
        for event in ["before_vm_start", "before_vm_migrate_destination"] {
            vdsm(&host, &format!("{event}/10_a"), &adds("a"));
            vdsm(&host, &format!("{event}/20_x"), broken);
            vdsm(&host, &format!("{event}/30_b"), &adds("b"));
        }
        call(&host, "prepare begin", GUEST).fails(1, &["before_vm_start/20_x", words]);
        assert_eq!(host.log(), ["10_a ", "30_b <a/>"]);
        call(&host, "migrate begin", GUEST).succeeds();
        assert_eq!(host.log(), ["10_a ", "30_b <a/>"]);
        assert!(host.text(&["show", "last"], 0).contains(words));
    }
}

// --- devices ------------------------------------------------------------------------------------

const NIC: &str = "<interface type='network'><mac address='52:54:00:aa:00:01'/></interface>";
const HOSTDEV: &str = "<hostdev mode='subsystem'><alias name='ua-gpu'/></hostdev>";
const OTHER: &str = "<interface type='bridge'><mac address='52:54:00:aa:00:02'/></interface>";

/// A guest with two devices that have custom properties and one that has none.
fn with_devices() -> String {
    guest(
        "<hookmux:properties xmlns:hookmux='urn:hookmux:properties:1'>\
         <hookmux:property name='p' device='52:54:00:aa:00:01'>nic</hookmux:property>\
         <hookmux:property name='p' device='ua-gpu'>gpu</hookmux:property></hookmux:properties>",
        &format!("    {NIC}\n    {OTHER}\n    {HOSTDEV}"),
    )
}

/// Logs the device's marks, and adds one after its first tag.
fn marks(mark: &str) -> String {
    format!(
        r#"log "$me $HOOKMUX_PROPERTY_p $(grep -o '<m[0-9]/>' "$_hook_domxml" | tr -d '\n')"
        sed -i '0,/\(<[ih][^>]*>\)/s||\1<{mark}/>|' "$_hook_domxml""#
    )
}

fn marked(device: &str, marks: &str) -> String {
    device.replacen('>', &format!(">{marks}"), 1)
}

// V5
#[test]
fn at_migration_the_edits_of_devices_are_put_back_into_the_guests_document() {
    let host = Host::new();
    let event = "before_device_migrate_destination";
    host.script(format!("{event}/10-a"), &marks("m1"));
    // as minidom writes it
    host.script(
        format!("{event}/20-b"),
        &format!(
            "{}\nsed -i '1i <?xml version=\"1.0\" encoding=\"utf-8\"?>' \"$_hook_domxml\"",
            marks("m2")
        ),
    );
    host.script(
        format!("{event}/30-c"),
        &format!("[ $HOOKMUX_PROPERTY_p = nic ] || exit 0\n{}", marks("m3")),
    );
    host.script(
        "before_vm_migrate_destination/10-x",
        r#"cat "$_hook_domxml" >"$T/seen"; sed -i 's|<devices>|<a/><devices>|' "$_hook_domxml""#,
    );
    host.script("qemu.d/g/migrate/begin/10-x", r#"cat >"$T/tree""#);
    let expected = with_devices()
        .replace(NIC, &marked(NIC, "<m3/><m2/><m1/>"))
        .replace(HOSTDEV, &marked(HOSTDEV, "<m2/><m1/>"));
    let answer = host.guest("migrate begin").stdin(with_devices()).run();
    let printed = expected.replace("<devices>", "<a/><devices>");
    answer.answers(&printed);
    let seen =
        ["10-a nic ", "20-b nic <m1/>", "30-c nic <m2/><m1/>", "10-a gpu ", "20-b gpu <m1/>"];
    assert_eq!(host.log(), seen);
    assert_eq!(host.read_text("seen"), expected);
    assert_eq!(host.read_text("tree"), printed);
    let record = host.json(&["show", "last"], 0);
    let changes: Vec<&Value> =
        record["runs"].as_array().unwrap().iter().map(|run| &run["changed_document"]).collect();
    assert!(changes.iter().all(|change| **change != Value::Null), "{record:#}");
}

// V5
#[test]
fn at_other_calls_a_devices_edits_are_chained_and_libvirt_takes_none() {
    for (call, event, whole) in [
        ("prepare begin", "before_device_create", "before_vm_start"),
        ("started begin", "after_device_create", "after_vm_start"),
        ("release end", "after_device_destroy", "after_vm_destroy"),
    ] {
        let host = Host::new();
        host.script(format!("{event}/10-a"), &marks("m1"));
        host.script(format!("{event}/20-b"), &marks("m2"));
        host.script(format!("{whole}/10-x"), r#"cat "$_hook_domxml" >"$T/seen""#);
        host.guest(call).stdin(with_devices()).run().succeeds();
        let seen = ["10-a nic ", "20-b nic <m1/>", "10-a gpu ", "20-b gpu <m1/>"];
        assert_eq!(host.log(), seen, "{call}");
        assert_eq!(host.read_text("seen"), with_devices(), "{call}");
        let told = host.text(&["show", "last"], 0);
        let operation = call.split(' ').next().unwrap();
        assert!(told.contains(&format!("libvirt takes no XML from {operation}")), "{told}");
    }
}

// V5, V2
#[test]
fn vdsms_scripts_chain_devices_too_and_change_nothing_at_migration() {
    let Some(host) = host() else { return };
    for event in ["before_device_create", "before_device_migrate_destination"] {
        vdsm(&host, &format!("{event}/10_a"), &marks("m1"));
        vdsm(&host, &format!("{event}/20_b"), &marks("m2"));
        host.script(format!("{event}/30_c"), &marks("m3"));
        vdsm(&host, &format!("{event}/40_d"), &marks("m4"));
    }
    call(&host, "prepare begin", &with_devices()).succeeds();
    let all = |device: &str, third: &str, fourth: &str| {
        [("10_a", ""), ("20_b", "<m1/>"), ("30_c", third), ("40_d", fourth)]
            .map(|(name, seen)| format!("{name} {device} {seen}"))
    };
    let both =
        |third: &str, fourth: &str| [all("nic", third, fourth), all("gpu", third, fourth)].concat();
    assert_eq!(host.log(), both("<m2/><m1/>", "<m3/><m2/><m1/>"));
    let expected = with_devices()
        .replace(NIC, &marked(NIC, "<m3/>"))
        .replace(HOSTDEV, &marked(HOSTDEV, "<m3/>"));
    call(&host, "migrate begin", &with_devices()).answers(expected);
    assert_eq!(host.log(), both("", "<m2/><m1/>"));
}

// V5
#[test]
fn a_device_that_cannot_be_put_back_is_its_hooks_failure() {
    for (what, broken, words) in [
        ("another device", r#"echo '<disk/>' >"$_hook_domxml""#, "another root element"),
        ("two", r#"echo '<interface/>' >>"$_hook_domxml""#, "not well-formed"),
        ("nothing", r#": >"$_hook_domxml""#, "not well-formed"),
        ("cut off", r#"echo '<interface>' >"$_hook_domxml""#, "not well-formed"),
        (
            "an escape",
            r#"echo '<interface/></devices><os/><devices>' >"$_hook_domxml""#,
            "not well-formed",
        ),
        (
            "an escape that would fit",
            r#"echo '<interface></interface></devices><devices><interface></interface>' >"$_hook_domxml""#,
            "not well-formed",
        ),
        (
            "an unknown prefix",
            r#"echo '<interface><x:y/></interface>' >"$_hook_domxml""#,
            "not well-formed",
        ),
        ("a document type", r#"sed -i '1i <!DOCTYPE interface>' "$_hook_domxml""#, "document type"),
        (
            "too deep for the guest's document",
            r#"{ printf '<interface>'; yes '<a>' | head -n 254; yes '</a>' | head -n 254; echo '</interface>'; } >"$_hook_domxml""#,
            "nested more than 256",
        ),
        (
            "too large for it",
            r#"{ echo '<interface><!--'; head -c 16777000 /dev/zero | tr '\0' x; echo '--></interface>'; } >"$_hook_domxml""#,
            "16 MiB",
        ),
        ("removed", r#"rm "$_hook_domxml""#, "no usable document"),
    ] {
        let host = Host::new();
        let event = "before_device_migrate_destination";
        host.script(format!("{event}/10-a"), &marks("m1"));
        host.script(
            format!("{event}/20-broken"),
            &format!("[ $HOOKMUX_PROPERTY_p = nic ] || exit 0\n{broken}"),
        );
        host.script(format!("{event}/30-c"), &marks("m3"));
        host.script("before_vm_migrate_destination/10-x", r#"cat "$_hook_domxml" >"$T/seen""#);
        let answer = host.guest("migrate begin").stdin(with_devices()).run();
        answer.fails(1, &[&format!("hookmux: {event}/20-broken"), words]);
        let seen = ["10-a nic ", "30-c nic <m1/>", "10-a gpu ", "30-c gpu <m1/>"];
        assert_eq!(host.log(), seen, "{what}");
        let expected = with_devices()
            .replace(NIC, &marked(NIC, "<m3/><m1/>"))
            .replace(HOSTDEV, &marked(HOSTDEV, "<m3/><m1/>"));
        assert_eq!(host.read_text("seen"), expected, "{what}");
    }
}

// V5
#[test]
fn registered_hooks_of_devices_have_their_part_in_the_chain() {
    let host = Host::new();
    let event = "before_device_migrate_destination";
    let register = |name: &str, script: &str, more: &str| {
        host.script(format!("bin/{name}"), script);
        let text = format!("events: {event}\ncommand: bin/{name}\n{more}\n");
        host.file(format!("hooks.d/{name}.yaml"), text);
        host.mode(format!("hooks/hooks.d/{name}.yaml"), 0o644);
    };
    let only_nic = |text: &str| format!("[ $HOOKMUX_PROPERTY_p = nic ] || exit 0\n{text}");
    register("10-a", &marks("m1"), "");
    register("20-none", &marks("m2"), "filter: false");
    register(
        "30-stdin",
        r#"log "$me $(grep -o '<m[0-9]/>' | tr -d '\n')"; log "$(printf %s "$1" | base64 -d | grep -o '<m[0-9]/>')""#,
        "stdin: xml\nargs: [$XML_BASE64]",
    );
    // a whole document in the midst of devices, and one with another title for each
    register(
        "40-whole",
        "sed \"s|<devices>|<title>$HOOKMUX_PROPERTY_p</title><devices>|\"",
        "style: libvirt",
    );
    register("50-e", &marks("m5"), "parallel: true");
    register("60-f", &only_nic(&marks("m6")), "");
    let answer = host.guest("migrate begin").stdin(with_devices()).run();
    let expected = with_devices()
        .replace(NIC, &marked(NIC, "<m6/><m5/><m1/>"))
        .replace(HOSTDEV, &marked(HOSTDEV, "<m5/><m1/>"))
        .replace("<devices>", "<title>nic</title><title>gpu</title><devices>");
    answer.answers(expected);
    let seen = |device: &str| {
        let mut lines: Vec<String> = Vec::new();
        lines.push(format!("10-a {device} "));
        lines.push(format!("20-none {device} <m1/>"));
        lines.extend(["30-stdin <m1/>", "<m1/>"].map(str::to_owned));
        lines.push(format!("50-e {device} <m1/>"));
        lines
    };
    let mut all = seen("nic");
    all.push("60-f nic <m5/><m1/>".to_owned());
    all.extend(seen("gpu"));
    assert_eq!(host.log(), all);
    let told = host.text(&["show", "last"], 0);
    assert!(told.contains("20-none: it changed the document, though it is not a filter"), "{told}");
}

// V5, C6
#[test]
fn a_rollback_gets_the_device_as_its_hook_got_it() {
    let host = Host::new();
    let event = "before_device_migrate_destination";
    host.script(format!("{event}/10-a"), &marks("m1"));
    host.script("bin/b", &marks("m2"));
    host.script(
        "bin/back",
        r#"log "back $HOOKMUX_PROPERTY_p $(grep -o '<m[0-9]/>' "$_hook_domxml" | tr -d '\n')""#,
    );
    let text = format!("events: {event}\nweight: 0\ncommand: bin/b\nrollback: bin/back\n");
    host.file("hooks.d/20-b.yaml", text);
    host.script(format!("{event}/30-c"), &marks("m3"));
    host.script("before_vm_migrate_destination/10-x", "exit 3");
    host.guest("migrate begin").stdin(with_devices()).run().fails(3, &[]);
    let log = host.log();
    assert_eq!(log[log.len() - 2..], ["back gpu <m1/>", "back nic <m1/>"], "{log:?}");
}

/// A guest with vdsm's metadata: one interface with an empty place for properties, one with a property, and a
/// disk.
fn of_vdsm() -> String {
    guest(
        "<v:vm xmlns:v='http://ovirt.org/vm/1.0'>\
         <v:device mac_address='52:54:00:aa:00:01'><v:custom/></v:device>\
         <v:device mac_address='52:54:00:aa:00:02'><v:custom><v:p>b</v:p></v:custom></v:device>\
         <v:device mac_address='52:54:00:aa:00:03'/>\
         <v:device devtype='disk' name='vda'><v:custom/></v:device></v:vm>",
        &format!(
            "    {NIC}\n    {OTHER}\n    {}\n    <disk><alias name='vda'/></disk>",
            NIC.replace(":01'", ":03'")
        ),
    )
}

// V5
#[test]
fn a_device_with_an_empty_custom_element_is_created_as_in_vdsm() {
    for (call, event, seen) in [
        ("prepare begin", "before_device_create", &["aa:00:01", "aa:00:02"][..]),
        ("started begin", "after_device_create", &["aa:00:02"]),
        ("migrate begin", "before_device_migrate_destination", &["aa:00:02"]),
        ("release end", "after_device_destroy", &["aa:00:02"]),
    ] {
        let host = Host::new();
        host.script(format!("{event}/10-x"), r#"log "$(grep -o 'aa:00:..' "$_hook_domxml")""#);
        host.guest(call).stdin(of_vdsm()).run().succeeds();
        assert_eq!(host.log(), seen, "{event}");
    }
}

// --- the daemon's events ------------------------------------------------------------------------

// V10
#[test]
fn at_vdsms_own_start_and_end_there_is_an_empty_file() {
    let Some(host) = host() else { return };
    for (operation, event, own) in [
        ("start", "before_vdsm_start", "before_daemon_start"),
        ("shutdown", "after_vdsm_stop", "before_daemon_stop"),
    ] {
        vdsm(
            &host,
            &format!("{event}/10_a"),
            r#"log "$(stat -c '%a %F' "$_hook_domxml")"; echo for the next >"$_hook_domxml""#,
        );
        vdsm(
            &host,
            &format!("{event}/20_b"),
            r#"log "$(cat "$_hook_domxml")"; rm "$_hook_domxml""#,
        );
        host.script(format!("{event}/30_c"), r#"log "$(wc -c <"$_hook_domxml")""#);
        host.script(format!("{own}/10-x"), r#"log "${_hook_domxml-none}""#);
        let words = ["-", operation, "-", operation];
        let answer = host.call("daemon", words).stdin("").with_mounts(&mounts(&host)).run();
        answer.succeeds();
        assert_eq!(host.log(), ["none", "600 regular empty file", "for the next", "0"]);
        assert_eq!(fs::read_dir(host.path("run/data")).unwrap().count(), 0, "nothing is left");
        assert!(!host.text(&["show", "last"], 0).contains("changed"));
    }
}

// --- what never runs ----------------------------------------------------------------------------

// V7
#[test]
fn hooks_that_never_fire_are_listed_and_told_of() {
    let Some(host) = host() else { return };
    vdsm(&host, "after_get_stats/10_checkips", "log never");
    vdsm(&host, "before_nic_hotplug/50_extnet", "log never");
    vdsm(&host, "before_vm_statr/50_typo", "log never");
    vdsm(&host, "before_vm_start/50_good", "log good");
    // vdsm's package makes all directories
    fs::create_dir_all(host.path("vdsm/after_get_caps")).unwrap();
    fs::create_dir_all(host.path("vdsm/before_vm_cont/__pycache__")).unwrap();
    host.script("after_vm_cont/10-own", "log never");
    let list = json(&host, &["list"]);
    let of = |name: &str| {
        let hooks = list["hooks"].as_array().unwrap();
        hooks.iter().find(|hook| hook["name"] == name).unwrap_or_else(|| panic!("{name}: {list:#}"))
    };
    assert_eq!(of("50_good")["state"], "active");
    for (name, event, words) in [
        ("10_checkips", "after_get_stats", "libvirt makes no call for after_get_stats"),
        ("50_extnet", "before_nic_hotplug", "nearest is before_network_port_create"),
        ("50_typo", "before_vm_statr", "did you mean before_vm_start?"),
        ("10-own", "after_vm_cont", "libvirt makes no call for after_vm_cont"),
    ] {
        let hook = of(name);
        assert_eq!(hook["state"], "never called", "{hook:#}");
        assert_eq!((&hook["place"], &hook["event"]), (&event.into(), &Value::Null));
        assert_eq!(hook["sha256"].as_str().unwrap().len(), 64);
        assert!(hook["reason"].as_str().unwrap().contains(words), "{hook:#}");
        assert_eq!(hook["order"], Value::Null);
        assert!(text(&host, &["list"]).contains(words), "{words}");
    }
    assert_eq!(list["hooks"].as_array().unwrap().len(), 5, "{list:#}");
    let found = json(&host, &["check"]);
    let found = found["findings"].as_array().unwrap();
    for (path, code, words) in [
        ("/usr/libexec/vdsm/hooks/after_get_stats", "never-called", "10_checkips never runs"),
        (
            "/usr/libexec/vdsm/hooks/before_nic_hotplug",
            "never-called",
            "before_network_port_create",
        ),
        ("/usr/libexec/vdsm/hooks/before_vm_statr", "never-called", "before_vm_start"),
        ("after_vm_cont", "unknown-event", "libvirt makes no call"),
    ] {
        let one = found.iter().find(|one| one["path"].as_str().unwrap().ends_with(path));
        let one = one.unwrap_or_else(|| panic!("{path}: {found:#?}"));
        assert_eq!(one["code"], code);
        assert!(one["message"].as_str().unwrap().contains(words), "{one:#}");
    }
    let is_empty_one = |one: &&Value| {
        let path = one["path"].as_str().unwrap();
        path.contains("after_get_caps") || path.contains("before_vm_cont")
    };
    assert_eq!(found.iter().filter(is_empty_one).count(), 0, "{found:#?}");
    // without vdsm's tree nothing is said of it
    host.settings("");
    assert!(!text(&host, &["list"]).contains("checkips"));
    assert!(!text(&host, &["check"]).contains("checkips"));
}

// V8: what comes with hooks in packages
#[test]
fn what_lies_beside_hooks_is_no_finding_and_no_note() {
    let Some(host) = host() else { return };
    let event = "before_device_create";
    vdsm(&host, &format!("{event}/50_net"), "#!/usr/bin/python3\nimport net_utils\n");
    host.script(format!("{event}/10-own"), ":");
    for (name, text) in [
        ("README", "how it works"),
        ("50_net.md", "how it works"),
        ("net_utils.py", "#!/usr/bin/python3\nx = 1\n"),
        ("net_utils.pyc", "x"),
        ("50_net.conf", "x=1"),
    ] {
        for place in [format!("../vdsm/{event}"), event.to_owned()] {
            // a module needs a hook that imports it
            if place == event && name.ends_with(".py") {
                continue;
            }
            host.file(format!("{place}/{name}"), text);
            fs::set_permissions(
                host.hook(format!("{place}/{name}")),
                std::os::unix::fs::PermissionsExt::from_mode(0o644),
            )
            .unwrap();
        }
    }
    host.file(format!("../vdsm/{event}/__pycache__/net_utils.cpython-311.pyc"), "x");
    host.file("hooks.d/README.md", "how it works");
    host.mode("hooks/hooks.d/README.md", 0o644);
    let names = |value: &Value, key: &str| -> Vec<String> {
        let all = value[key].as_array().unwrap().iter();
        all.map(|one| one["hook"].as_str().unwrap().to_owned()).collect()
    };
    let hooks = [format!("{event}/10-own"), format!("{event}/50_net")];
    assert_eq!(names(&json(&host, &["list"]), "hooks"), hooks);
    let found = text(&host, &["check"]);
    for name in ["README", "net_utils", "50_net.md", "50_net.conf", "__pycache__"] {
        assert!(!found.contains(name), "{name}: {found}");
    }
    call(&host, "prepare begin", &with_devices()).succeeds();
    let record = host.json(&["show", "last"], 0);
    assert_eq!(names(&record, "plan").len(), 4, "{record:#}");
    let told = host.text(&["show", "last"], 0);
    assert!(!told.contains("README") && !told.contains("net_utils"), "{told}");
    // a hook that has lost its x bit is told of, with or without an ending
    for name in ["60-lost", "60-lost.py"] {
        host.file(format!("{event}/{name}"), "#!/usr/bin/python3\n");
        host.mode(format!("hooks/{event}/{name}"), 0o644);
        assert!(text(&host, &["check"]).contains(&format!("{event}/{name} has no x bit")));
        call(&host, "prepare begin", &with_devices()).succeeds();
        assert!(host.text(&["show", "last"], 0).contains(&format!("{event}/{name}")));
        fs::remove_file(host.hook(format!("{event}/{name}"))).unwrap();
    }
}

// V7
#[test]
fn a_modules_hook_has_the_checksum_of_its_module() {
    let host = Host::new();
    host.file("modules/gpu.py", "def attach(event):\n    pass\n");
    host.file("modules/MyApp/Hooks.pm", "package MyApp::Hooks;\nsub add { 1 }\n1;\n");
    host.text(&["add", "module", "gpu", "--event", "before_vm_start", "--action", "attach"], 0);
    let perl = ["add", "module", "MyApp::Hooks", "--event", "before_vm_start", "--action", "add"];
    host.text(&perl, 0);
    let list = host.json(&["list"], 0);
    let sum = |place: &str| {
        let output = Command::new("sha256sum").arg(host.hook(place)).output().unwrap();
        String::from_utf8(output.stdout).unwrap()[..64].to_owned()
    };
    for (module, language, interpreter, file, function) in [
        ("gpu", "Python", "python3", "modules/gpu.py", "attach"),
        ("MyApp::Hooks", "Perl", "perl", "modules/MyApp/Hooks.pm", "add"),
    ] {
        let hooks = list["hooks"].as_array().unwrap();
        let hook = hooks.iter().find(|hook| hook["module"]["module"] == module);
        let hook = hook.unwrap_or_else(|| panic!("{module}: {list:#}"));
        assert_eq!(hook["sha256"], sum(file));
        assert_eq!(hook["module"]["language"], language);
        assert_eq!(hook["module"]["function"], function);
        assert_eq!(hook["module"]["file"], host.hook(file).display().to_string());
        assert!(hook["path"].as_str().unwrap().ends_with(interpreter), "{hook:#}");
        let shown = host.text(&["list", "--wide"], 0);
        assert!(shown.contains(&sum(file)[..12]), "{shown}");
        assert!(
            shown.contains(&format!("{function} of {module}, by /usr/bin/{interpreter}")),
            "{shown}"
        );
    }
    // another text, another checksum; and a module that is gone has none
    let before = sum("modules/gpu.py");
    host.file("modules/gpu.py", "def attach(event):\n    return True\n");
    assert_ne!(sum("modules/gpu.py"), before);
    fs::remove_file(host.hook("modules/gpu.py")).unwrap();
    let list = host.json(&["list"], 0);
    let hooks = list["hooks"].as_array().unwrap();
    let hook = hooks.iter().find(|hook| hook["module"]["module"] == "gpu").unwrap();
    assert_eq!((&hook["sha256"], &hook["module"]["file"]), (&Value::Null, &Value::Null));
}
