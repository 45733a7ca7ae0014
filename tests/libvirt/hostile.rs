//! What a guest's owner may write into a guest's metadata, and what may happen to hookmux's state:
//! none of it keeps libvirt waiting, steers a hook, or costs a guest.

use std::fs;
use std::time::Duration;

use crate::documents::Domain;
use crate::host::Host;

/// A call has 5 s of processor time for its own work; all calls of a start together are given this
/// much here, however loaded the machine is.
const LIMIT: Duration = Duration::from_secs(180);

/// Metadata that libvirt takes, and that costs a parser more than its size.
fn hostile(host: &Host) -> Vec<(&'static str, String)> {
    // libxml2 2.12, which libvirt 11.3 has on Debian, takes 23 s of processor time for 40,000 attributes, each time that
    // libvirt reads them, and less than half a second for these
    let most_attributes = if host.libvirt_at_least(11, 0) { 10_000 } else { 40_000 };
    let each = |count: usize, piece: &dyn Fn(usize) -> String| -> String {
        (0..count).map(piece).collect()
    };
    let namespaces = each(2000, &|n| format!(" xmlns:a{n}='urn:a{n}'"));
    let children = each(2000, &|n| format!("<a{n}:x xmlns:b{n}='urn:b{n}'/>"));
    let attributes = each(most_attributes, &|n| format!(" a{n}=''"));
    let properties = each(9000, &|n| {
        format!("<h:property name='p{n}' device='52:54:00:00:00:01'>x</h:property>")
    });
    let deep = "<d>".repeat(200) + &"</d>".repeat(200);
    vec![
        ("namespaces", format!("<o:x xmlns:o='urn:o'{namespaces}>{children}</o:x>")),
        ("attributes", format!("<o:x xmlns:o='urn:o'{attributes}/>")),
        (
            "properties",
            format!("<h:properties xmlns:h='urn:hookmux:properties:1'>{properties}</h:properties>"),
        ),
        ("depth", format!("<o:x xmlns:o='urn:o'>{deep}</o:x>")),
        ("text", format!("<o:x xmlns:o='urn:o'>{}</o:x>", "&lt;".repeat(500_000))),
    ]
}

#[test]
fn hostile_metadata_is_answered_within_the_limit() {
    let host = Host::new();
    // one in either style, at a gate and where the guest runs
    for place in ["qemu.d", "before_vm_prepare", "after_vm_launch", "after_vm_destroy"] {
        if place != "qemu.d" {
            host.script(&format!("{place}/10-x"), &format!("say {place}"));
        }
    }
    for (kind, metadata) in hostile(&host) {
        let domain = Domain::new(kind).metadata(&metadata);
        let vm = host.define(&domain);
        host.script(&format!("qemu.d/{kind}/prepare/begin/10-x"), "say tree $(wc -c)");
        host.clear_log();
        let started = vm.start();
        assert!(started.took < LIMIT, "{kind} took {:?}", started.took);
        started.ok();
        let log = host.log();
        assert!(log.iter().any(|line| line == "before_vm_prepare"), "{kind}: {log:?}");
        assert!(log.iter().any(|line| line == "after_vm_launch"), "{kind}: {log:?}");
        // the bytes reach a hook in libvirt's style, whatever hookmux makes of them
        let bytes = log.iter().find_map(|line| line.strip_prefix("tree ")?.trim().parse().ok());
        assert!(bytes.is_some_and(|bytes: usize| bytes > metadata.len()), "{kind}: {log:?}");
        assert!(vm.is_running(), "{kind}");
        let destroyed = vm.destroy();
        assert!(destroyed.took < LIMIT, "{kind} took {:?}", destroyed.took);
        destroyed.ok();
        host.wait_for_log("after_vm_destroy");
        host.virsh(&["undefine", &vm.uuid]).ok();
    }
}

#[test]
fn a_gate_that_needs_what_is_over_a_limit_stays_shut() {
    let host = Host::new();
    host.script("/usr/local/bin/firewall", "say firewall");
    host.write(
        "/etc/libvirt/hooks/hooks.d/firewall.yaml",
        "events: [before_vm_start]\ncommand: /usr/local/bin/firewall\nwhen: {property: {zone: red}}\n",
        0o644,
    );
    let zone = "<h:properties xmlns:h='urn:hookmux:properties:1'>\
                <h:property name='zone'>red</h:property></h:properties>";
    let namespaces: String = (0..100).map(|n| format!(" xmlns:a{n}='urn:a{n}'")).collect();
    let vm = host
        .define(&Domain::new("vm").metadata(&format!("{zone}<o:x xmlns:o='urn:o'{namespaces}/>")));
    // the property can't be read: whether the firewall is wanted is unknown
    vm.start().fails_with(&["namespaces"]);
    assert_eq!(vm.state(), "shut off");
    assert_eq!(host.log(), [""; 0]);
    let vm = host.define(&Domain::new("other").metadata(zone));
    vm.start().ok();
    assert_eq!(host.log(), ["firewall"]);
    vm.destroy().ok();
}

#[test]
fn metadata_cannot_switch_a_firewall_hook_off() {
    let host = Host::new();
    host.write(
        "/etc/libvirt/hooks/before_vm_start/10-firewall",
        "#!/bin/bash\n\
         rules=0\n\
         add() { rules=$((rules + 1)); }\n\
         while read -r line; do add \"$line\"; done < <(sleep 1.2; echo one; echo two)\n\
         echo \"rules $rules ${TMOUT-} ${FUNCNEST-} ${zone-} $HOOKMUX_PROPERTY_zone\" >> /run/hooks.log\n\
         [ \"$rules\" = 2 ]\n",
        0o755,
    );
    let steering = ["TMOUT", "FUNCNEST", "BASH_ENV", "SHELLOPTS", "EXECIGNORE", "IFS"];
    let properties: String =
        steering.iter().map(|name| format!("<h:property name='{name}'>1</h:property>")).collect();
    let vm = host.define(&Domain::new("vm").metadata(&format!(
        "<h:properties xmlns:h='urn:hookmux:properties:1'>{properties}\
         <h:property name='zone'>red</h:property></h:properties>"
    )));
    vm.start().ok();
    assert_eq!(host.log(), ["rules 2    red"]);
    vm.destroy().ok();
}

#[test]
fn a_failed_restore_with_its_state_spoilt_keeps_guest_and_save() {
    let host = Host::new();
    let vm = host.guest("vm");
    vm.start().ok();
    vm.managed_save().ok();
    // what is kept for `prepare` is spoilt between the two calls
    host.script("before_vm_dehibernate/10-x", "say restore; exit 3");
    host.write(
        "/usr/local/bin/spoil",
        "#!/bin/sh\nwhile :; do for f in /run/hookmux/pending/*.json; do\n\
         [ -s \"$f\" ] && echo spoilt > \"$f\"; done; sleep 0.001; done\n",
        0o755,
    );
    host.sh("setsid /usr/local/bin/spoil > /dev/null 2>&1 < /dev/null & echo $! > /run/spoil.pid")
        .ok();
    let started = vm.start();
    host.sh("kill $(cat /run/spoil.pid)").ok();
    started.fails();
    assert_eq!(vm.state(), "shut off");
    let save = host.path(&vm.save_file());
    assert!(fs::metadata(&save).is_ok(), "the save is kept");
    assert!(host.virsh(&["dominfo", &vm.uuid]).ok().contains("Managed save:   yes"));

    // and the guest comes back from it
    host.sh("rm -f /run/hookmux/pending/*.json").ok();
    host.script("before_vm_dehibernate/10-x", "say restore");
    host.script("after_vm_dehibernate/10-x", "say dehibernated");
    host.clear_log();
    vm.start().ok();
    assert_eq!(host.log(), ["restore", "dehibernated"]);
    vm.destroy().ok();
}

#[test]
fn a_hookmux_that_is_killed_at_restore_leaves_the_save() {
    let host = Host::new();
    let vm = host.guest("vm");
    vm.start().ok();
    vm.managed_save().ok();
    let save = host.path(&vm.save_file());
    let bytes = fs::read(&save).unwrap();
    host.script("before_vm_dehibernate/10-x", "say restore; kill -KILL $PPID");
    // 11.2 and later say that it started, and delete the save
    drop(vm.start());
    assert_eq!(vm.state(), "shut off");
    let second = host.path(&format!("{}.hookmux", vm.save_file()));
    let left = [&save, &second].into_iter().find(|path| path.exists()).unwrap();
    assert!(fs::read(left).unwrap() == bytes, "the whole save is there, under one name or two");
}
