//! Live migrations between two daemons.

use crate::documents::{Domain, properties};
use crate::events::GUEST_EVENTS;
use crate::guest::Guest;
use crate::host::Host;
use crate::reply::Reply;
use crate::scripts::{DESCRIPTION, TITLE, assert_both_edits};

/// The same guest as two hosts see it.
pub fn pair<'a>(here: &'a Host, there: &'a Host) -> (Guest<'a>, Guest<'a>) {
    let domain = Domain::new("vm");
    (here.define(&domain), there.known(&domain))
}

pub fn migrate(here: &Host, vm: &Guest, there: &Host) -> Reply {
    let to = there.address();
    here.virsh(&[
        "migrate",
        "--live",
        "--domain",
        &vm.uuid,
        "--desturi",
        &to,
        "--migrateuri",
        "tcp://127.0.0.1:49300",
    ])
}

#[test]
fn a_migrated_guest_has_the_edits_of_two_hooks_and_the_events_of_a_migration() {
    let here = Host::new();
    let there = here.neighbour();
    let (source, target) = pair(&here, &there);
    source.start().ok();
    here.follow(GUEST_EVENTS);
    there.follow(GUEST_EVENTS);
    there.script("before_vm_migrate_destination/10-first", TITLE);
    there.script("before_vm_migrate_destination/20-second", DESCRIPTION);
    there.script("before_vm_migrate_destination/30-chatty", "echo migrating");
    there.script("after_vm_launch/10-origin", "say \"origin $HOOKMUX_ORIGIN\"");

    migrate(&here, &source, &there).ok();
    assert!(target.is_running());
    assert_both_edits(&target.xml());
    assert_eq!(source.state(), "shut off");
    let said = [
        "second saw the first",
        "before_vm_migrate_destination",
        "before_vm_prepare",
        "before_vm_launch",
        "origin migration",
        "after_vm_launch",
    ];
    assert_eq!(there.log(), said);
    let mut said = vec!["after_vm_stop", "after_vm_migrate_source", "after_vm_destroy"];
    said.retain(|event| *event != "after_vm_migrate_source" || here.libvirt_at_least(10, 5));
    assert_eq!(here.log(), said);
    target.destroy().ok();
}

#[test]
fn a_failing_hook_refuses_the_migration_and_the_guest_runs_on_where_it_was() {
    let here = Host::new();
    let there = here.neighbour();
    let (source, _) = pair(&here, &there);
    source.start().ok();
    let pid = source.pid();
    here.follow(GUEST_EVENTS);
    there.follow(GUEST_EVENTS);
    there.script("before_vm_migrate_destination/10-x", "echo wrong cpu >&2; exit 3");
    migrate(&here, &source, &there).fails_with(&[
        "vm migrate begin -",
        "unexpected exit status 3: ",
        "before_vm_migrate_destination/10-x: exit status 3 after ",
        " s: wrong cpu",
    ]);
    assert_eq!(source.pid(), pid);
    assert!(source.is_running());
    assert_eq!(there.log(), ["before_vm_migrate_destination"]);
    assert!(here.log().is_empty());

    // A broken document is as good as a failure, and blamed on its script.
    there.clear_log();
    there.script("before_vm_migrate_destination/10-x", TITLE);
    there.script("before_vm_migrate_destination/15-breaks", "echo '<x' >\"$_hook_domxml\"");
    there.script("before_vm_migrate_destination/20-second", DESCRIPTION);
    migrate(&here, &source, &there).fails_with(&["before_vm_migrate_destination/15-breaks: "]);
    assert_eq!(there.log(), ["second saw the first", "before_vm_migrate_destination"]);
    assert!(source.is_running());
    source.destroy().ok();
}

/// The elements of a guest's interfaces.
fn interfaces(xml: &str) -> Vec<String> {
    let parts = xml.split("<interface ").skip(1);
    parts.map(|part| part.split("</interface>").next().unwrap().to_owned()).collect()
}

// V2, V5
#[test]
fn a_migrated_guest_has_the_chained_edits_of_its_devices() {
    let here = Host::new();
    let there = here.neighbour();
    let macs = ["52:54:00:aa:00:01", "52:54:00:aa:00:02", "52:54:00:aa:00:03"];
    let nic = |mac: &str| {
        format!("<interface type='user'><mac address='{mac}'/><model type='virtio'/></interface>")
    };
    let of = |mac: &str, name: &str| {
        format!("<hookmux:property name='port' device='{mac}'>{name}</hookmux:property>")
    };
    let domain = macs.iter().fold(Domain::new("vm"), |domain, mac| domain.device(&nic(mac)));
    let domain = domain.metadata(&properties(&(of(macs[0], "red") + &of(macs[2], "blue"))));
    let (source, target) = (here.define(&domain), there.known(&domain));
    source.start().ok();
    let event = "before_device_migrate_destination";
    there.script(
        &format!("{event}/10-link"),
        r#"sed -i "s|<mac |<link state='down'/><mac |" "$_hook_domxml""#,
    );
    // with a declaration before the element, as Python writes it
    there.script(
        &format!("{event}/20-alias"),
        r#"grep -q "<link state='down'/>" "$_hook_domxml" && say "$HOOKMUX_PROPERTY_port saw the first"
text=$(sed '/<alias /d' "$_hook_domxml")
{ echo '<?xml version="1.0" encoding="utf-8"?>'
printf '%s\n' "$text" | sed "s|<mac |<alias name='ua-$HOOKMUX_PROPERTY_port'/><mac |"; } >"$_hook_domxml""#,
    );
    there.script(
        "before_vm_migrate_destination/10-sees",
        r#"say "whole $(grep -c "ua-red\|ua-blue\|<link state='down'/>" "$_hook_domxml")""#,
    );
    migrate(&here, &source, &there).ok();
    assert!(target.is_running());
    let xml = target.xml();
    let found = interfaces(&xml);
    assert_eq!(found.len(), 3, "{xml}");
    for (interface, port) in found.iter().zip(["red", "none", "blue"]) {
        let has = |text: &str| interface.contains(text);
        let expected = port != "none";
        assert_eq!(has("<link state='down'/>"), expected, "{port}: {interface}");
        assert_eq!(has(&format!("<alias name='ua-{port}'/>")), expected, "{port}: {interface}");
    }
    let said = ["red saw the first", "blue saw the first", "whole 2"];
    assert_eq!(there.log(), said);
    target.destroy().ok();

    // another device is no edit, and blamed on its script
    source.start().ok();
    there.clear_log();
    there.script(&format!("{event}/15-breaks"), "echo '<disk/>' >\"$_hook_domxml\"");
    migrate(&here, &source, &there).fails_with(&[&format!("{event}/15-breaks: "), "another root"]);
    assert!(source.is_running());
    source.destroy().ok();
}
