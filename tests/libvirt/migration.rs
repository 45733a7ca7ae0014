//! Live migrations between two daemons.

use crate::documents::Domain;
use crate::events::GUEST_EVENTS;
use crate::guest::Guest;
use crate::host::Host;
use crate::reply::Reply;
use crate::scripts::{DESCRIPTION, TITLE, assert_both_edits};

/// The same guest as two hosts see it.
fn pair<'a>(here: &'a Host, there: &'a Host) -> (Guest<'a>, Guest<'a>) {
    let domain = Domain::new("vm");
    (here.define(&domain), there.known(&domain))
}

fn migrate(here: &Host, vm: &Guest, there: &Host) -> Reply {
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
