//! What several guests share is set up for the first and taken back after the last.

use super::{is_as_before, owed, register, register_for, said, wait_until_as_before};
use crate::documents::Domain;
use crate::guest::Guest;
use crate::host::Host;
use crate::migration::migrate;

/// How many guests start at once. QEMU without hardware virtualisation, some 60 MiB each: this takes a machine of two
/// cores and 4 GiB about fifteen seconds, and libvirtd has twenty workers.
const MANY: usize = 20;

fn host() -> Host {
    let host = Host::new();
    shares(&host);
    host
}

fn shares(host: &Host) {
    // the same for all guests
    register_for(host, "s", "before_vm_prepare", "all", "shared: true\n");
}

#[test]
fn twenty_guests_at_once_set_up_once_and_take_back_once() {
    let host = host();
    register(&host, "own", "before_vm_prepare", "weight: 600\n");
    let guests: Vec<Guest> = (0..MANY).map(|number| host.guest(&format!("g{number}"))).collect();
    let all: Vec<&str> = guests.iter().map(|guest| guest.name.as_str()).collect();
    let at_once = |verb: &str| {
        let script = format!("for g in {}; do virsh -q {verb} $g & done; wait", all.join(" "));
        host.sh(&script).ok();
    };
    at_once("start");
    assert!(guests.iter().all(Guest::is_running));
    let mut log = said(&host);
    log.sort();
    assert_eq!(log, [vec!["set own"; MANY], vec!["set s"]].concat());
    assert_eq!(owed(&host).len(), 2 * MANY);
    at_once("destroy");
    let mut log = said(&host);
    log.sort();
    assert_eq!(log, [vec!["undone own done"; MANY], vec!["undone s done"]].concat());
    is_as_before(&host);
}

#[test]
fn the_last_guest_takes_it_back_however_the_others_ended() {
    let host = host();
    let [one, two, three] = ["one", "two", "three"].map(|name| host.guest(name));
    for guest in [&one, &two, &three] {
        guest.start().ok();
    }
    assert_eq!(said(&host), ["set s"]);
    // the first one crashes, the second is saved
    host.sh(&format!("kill -KILL {}", one.pid())).ok();
    crate::host::wait_for("its share is given up", || owed(&host).len() == 2);
    two.managed_save().ok();
    assert_eq!(owed(&host), ["s: set up"]);
    // a start that fails
    host.script("before_vm_launch/90-no", "exit 3");
    one.start().fails_with(&["before_vm_launch/90-no"]);
    host.remove("before_vm_launch/90-no");
    assert_eq!(owed(&host), ["s: set up"]);
    // one comes back from its save
    two.start().ok();
    three.destroy().ok();
    assert!(said(&host).is_empty());
    two.destroy().ok();
    assert_eq!(said(&host), ["undone s done"]);
    is_as_before(&host);
    // the first fails to start while nobody else runs: the next one sets up anew
    host.script("before_vm_launch/90-no", "exit 3");
    one.start().fails_with(&["before_vm_launch/90-no"]);
    host.remove("before_vm_launch/90-no");
    assert_eq!(said(&host), ["set s", "undone s done"]);
    two.start().ok();
    two.destroy().ok();
    assert_eq!(said(&host), ["set s", "undone s done"]);
    is_as_before(&host);
}

#[test]
fn a_daemon_that_dies_with_one_of_two_keeps_what_they_share_for_the_other() {
    let host = host();
    let (one, two) = (host.guest("one"), host.guest("two"));
    one.start().ok();
    two.start().ok();
    assert_eq!(said(&host), ["set s"]);
    let pid = one.pid();
    host.sh(&format!("{}; kill -KILL {pid}", crate::host::kill_daemons())).ok();
    host.start_daemon();
    crate::host::wait_for("its share is given up", || owed(&host).len() == 1);
    assert!(said(&host).is_empty());
    two.destroy().ok();
    assert_eq!(said(&host), ["undone s done"]);
    wait_until_as_before(&host);
}

#[test]
fn a_guest_that_moves_gives_its_share_up_here_and_takes_one_there() {
    let here = host();
    let there = here.neighbour();
    shares(&there);
    let domains = ["one", "two"].map(Domain::new);
    let guests = [0, 1].map(|at| (here.define(&domains[at]), there.known(&domains[at])));
    for (source, _) in &guests {
        source.start().ok();
    }
    assert_eq!(said(&here), ["set s"]);
    migrate(&here, &guests[0].0, &there).ok();
    assert!(said(&here).is_empty());
    assert_eq!(said(&there), ["set s"]);
    migrate(&here, &guests[1].0, &there).ok();
    assert_eq!(said(&here), ["undone s done"]);
    is_as_before(&here);
    assert!(said(&there).is_empty());
    for (_, target) in &guests {
        target.destroy().ok();
    }
    assert_eq!(said(&there), ["undone s done"]);
    is_as_before(&there);
}
