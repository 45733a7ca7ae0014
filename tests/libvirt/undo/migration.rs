//! Migrations: a life ends on one host, and another begins on the other.

use super::register_two;
use super::{END, START, five_minutes_go_by, host, is_as_before, owed, register, said};
use crate::documents::Domain;
use crate::host::Host;
use crate::migration::{migrate, pair};

/// Two hosts with the same hooks; one more where a guest arrives.
fn hosts() -> (Host, Host) {
    let here = host();
    let there = here.neighbour();
    register_two(&there);
    for host in [&here, &there] {
        register(host, "in", "before_vm_migrate_destination", "");
    }
    (here, there)
}

const ARRIVAL: [&str; 3] = ["set in", "set a", "set b"];
const END_OF_ARRIVED: [&str; 3] = ["undone b done", "undone a done", "undone in done"];

#[test]
fn what_is_set_up_for_a_guest_follows_it_there_and_back() {
    let (here, there) = hosts();
    let (source, target) = pair(&here, &there);
    source.start().ok();
    assert_eq!(said(&here), START);
    migrate(&here, &source, &there).ok();
    assert!(target.is_running());
    assert_eq!(said(&here), END);
    is_as_before(&here);
    assert_eq!(said(&there), ARRIVAL);
    assert_eq!(owed(&there), ["a: set up", "b: set up", "in: set up"]);

    migrate(&there, &target, &here).ok();
    assert!(source.is_running());
    assert_eq!(said(&there), END_OF_ARRIVED);
    is_as_before(&there);
    assert_eq!(said(&here), ARRIVAL);
    source.destroy().ok();
    assert_eq!(said(&here), END_OF_ARRIVED);
    is_as_before(&here);
    assert!(said(&there).is_empty());
}

#[test]
fn a_migration_that_is_refused_leaves_nothing_on_the_target_and_all_on_the_source() {
    let (here, there) = hosts();
    let (source, _) = pair(&here, &there);
    source.start().ok();
    assert_eq!(said(&here), START);
    let cases: [(&str, &[&str]); 3] = [
        // libvirt calls nothing more, so at once
        ("before_vm_migrate_destination", &["set in", "undone in done"]),
        ("before_vm_prepare", &["set in", "set a", "undone a done", "undone in done"]),
        ("before_vm_launch", &["set in", "set a", "undone a done", "undone in done"]),
    ];
    for (event, log) in cases {
        there.script(&format!("{event}/90-no"), "exit 3");
        migrate(&here, &source, &there).fails_with(&[&format!("{event}/90-no")]);
        assert_eq!(said(&there), log, "{event}");
        is_as_before(&there);
        there.remove(&format!("{event}/90-no"));
        assert!(source.is_running());
        assert!(said(&here).is_empty(), "{event}");
        assert_eq!(owed(&here), ["a: set up", "b: set up"], "{event}");
    }
    source.destroy().ok();
    assert_eq!(said(&here), END);
    is_as_before(&here);
}

#[test]
fn an_offline_migration_sets_up_nothing_that_stays() {
    let (here, there) = hosts();
    let domain = Domain::new("vm");
    let (source, target) = (here.define(&domain), there.known(&domain));
    let offline = || {
        let to = there.address();
        let words =
            ["migrate", "--offline", "--persistent", "--domain", &source.uuid, "--desturi", &to];
        here.virsh(&words).ok();
    };
    offline();
    assert!(said(&here).is_empty());
    // libvirt may call `migrate` for it, and calls no `prepare`
    let log = said(&there);
    assert!(log.is_empty() || log == ["set in"], "{log:?}");
    if !log.is_empty() {
        assert_eq!(owed(&there), ["in: waits"]);
        five_minutes_go_by(&there);
        assert_eq!(said(&there), ["undone in done"]);
    }
    is_as_before(&there);
    // started before that time is over, the guest keeps it for its life
    there.virsh(&["undefine", &target.uuid]).ok();
    offline();
    let log = said(&there);
    target.start().ok();
    assert_eq!(said(&there), START);
    target.destroy().ok();
    let end = if log.is_empty() { END.to_vec() } else { END_OF_ARRIVED.to_vec() };
    assert_eq!(said(&there), end);
    is_as_before(&there);
    is_as_before(&here);
}
