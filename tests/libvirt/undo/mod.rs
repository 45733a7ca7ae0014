//! `undo` on a real daemon: what hooks set up is taken back once, in the reverse order, however a guest or a network
//! ends, and nothing stays owed. (V8, V11)

mod daemon;
mod life;
mod migration;
mod network;
mod shared;

use std::fs;

use serde_json::Value;

use crate::guest::Guest;
use crate::host::{HOOKMUX, Host, wait_for};

/// Where hooks set something up: a file for each.
const SET_UP: &str = "/run/set-up";

/// Registers a hook that sets something up for its guest, and takes it back. It says `set NAME` and `undone NAME done`, and
/// complains where it is to take back what isn't there.
fn register(host: &Host, name: &str, events: &str, more: &str) {
    register_for(host, name, events, "\"$HOOKMUX_OBJECT\"", more);
}

/// The same for something that a shell's word names.
fn register_for(host: &Host, name: &str, events: &str, what: &str, more: &str) {
    let file = format!("what={what}; file=\"{SET_UP}/{name} $what\"; mkdir -p {SET_UP}");
    host.script(&format!("bin/{name}"), &format!("{file}\nsay set {name}; : >\"$file\""));
    host.script(
        &format!("bin/{name}-undo"),
        &format!(
            "{file}\nsay undone {name} $HOOKMUX_UNDO_OUTCOME $HOOKMUX_UNDO_AGAIN
             rm \"$file\" || {{ say {name} was not set up; exit 1; }}"
        ),
    );
    let yaml = format!("events: [{events}]\ncommand: bin/{name}\nundo: bin/{name}-undo\n{more}");
    host.write(&format!("/etc/libvirt/hooks/hooks.d/{name}.yaml"), &yaml, 0o644);
}

/// A host whose guests have a hook at `prepare`, and one when they run.
fn host() -> Host {
    let host = Host::new();
    register_two(&host);
    host
}

fn register_two(host: &Host) {
    register(host, "a", "before_vm_prepare", "");
    register(host, "b", "after_vm_launch", "");
}

/// What the hooks of `register_two` have said since.
const START: [&str; 2] = ["set a", "set b"];
const END: [&str; 2] = ["undone b done", "undone a done"];

/// What has been said since the last time.
fn said(host: &Host) -> Vec<String> {
    let log = host.log();
    host.clear_log();
    log
}

/// What the ledger has: `a: set up` for each entry, sorted.
fn owed(host: &Host) -> Vec<String> {
    let list = host.hookmux(&["undo", "--list", "--output", "json"]).ok();
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["unread"], Value::Array(Vec::new()), "{list:#}");
    let word = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
    let undos = list["undos"].as_array().unwrap().iter();
    let mut all: Vec<String> =
        undos.map(|one| format!("{}: {}", word(one, "registration"), word(one, "state"))).collect();
    all.sort();
    all
}

/// The guest starts; the hooks of [`register_two`] run.
#[track_caller]
fn starts(host: &Host, vm: &Guest<'_>) {
    vm.start().ok();
    assert_eq!(said(host), START);
}

/// The guest is ended; what the hooks of [`register_two`] did is taken back.
#[track_caller]
fn ends(host: &Host, vm: &Guest<'_>) {
    vm.destroy().ok();
    assert_eq!(said(host), END);
}

/// The ledger has the hooks of [`register_two`], and no other.
#[track_caller]
fn is_set_up(host: &Host) {
    assert_eq!(owed(host), ["a: set up", "b: set up"]);
}

/// Nothing is owed, and nothing is left of what hooks have set up.
#[track_caller]
fn is_as_before(host: &Host) {
    assert_eq!(owed(host), [""; 0]);
    let left = host.sh(&format!("ls -A {SET_UP} 2>/dev/null; :")).ok();
    assert_eq!(left, "");
}

/// The undos that run after libvirt has its answer have run.
#[track_caller]
fn wait_until_as_before(host: &Host) {
    wait_for("nothing is owed", || owed(host).is_empty());
    is_as_before(host);
}

/// Makes all entries ten minutes older.
fn age(host: &Host) {
    let found = host.sh("find /run/hookmux/undo -name '*.json'").ok();
    for path in found.lines() {
        let mut entry: Value = serde_json::from_str(&host.read(path)).unwrap();
        for key in ["began_ns", "ended_ns"] {
            let then = entry["current"][key].as_i64().unwrap();
            entry["current"][key] = (then - 600_000_000_000).into();
        }
        fs::write(host.path(path), entry.to_string()).unwrap();
    }
    // the time counts from the end of the call, which has a mark of its own
    host.sh("find /run/hookmux/undo -name 'arrived.*' -delete").ok();
}

/// The worker takes back what has waited for `prepare` for too long.
#[track_caller]
fn five_minutes_go_by(host: &Host) {
    age(host);
    host.run(&[HOOKMUX, "undo-worker"]).ok();
    wait_until_as_before(host);
}
