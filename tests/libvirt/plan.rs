//! `plan GUEST` on a real daemon: the calls that it names are those that libvirt makes, in their order.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::documents::{Domain, network, uuid};
use crate::guest::Guest;
use crate::host::{Host, wait_for};
use crate::schema;

fn json(host: &Host, words: &[&str]) -> Value {
    let words = [words, &["--output", "json"]].concat();
    schema::read(&words, host.hookmux(&words).out.as_bytes())
}

fn words(call: &Value) -> String {
    let word = |key: &str| call[key].as_str().unwrap().to_owned();
    ["driver", "object", "operation", "sub_operation", "extra"].map(word).join(" ")
}

/// The calls that `plan` names.
fn planned(host: &Host, words_of_plan: &[&str]) -> Vec<String> {
    let life = json(host, &[&["plan", "vm"], words_of_plan].concat());
    let parts = life["parts"].as_array().unwrap();
    let calls = parts.iter().flat_map(|part| part["calls"].as_array().unwrap());
    calls.map(words).collect()
}

/// Every call that was recorded, but those of the daemon, in their order, with their ids.
fn recorded(host: &Host) -> Vec<(String, String)> {
    let log = json(host, &["log", "-n", "1000"]);
    let executions = log["executions"].as_array().unwrap();
    let calls = executions.iter().filter(|one| one["driver"] != "daemon");
    let mut calls: Vec<(String, String)> =
        calls.map(|one| (one["id"].as_str().unwrap().to_owned(), words(one))).collect();
    calls.sort();
    calls
}

/// Does something with the guest, and compares.
#[track_caller]
fn as_planned(host: &Host, words_of_plan: &[&str], act: impl FnOnce()) {
    let expected = planned(host, words_of_plan);
    assert!(!expected.is_empty(), "{words_of_plan:?}");
    let before: BTreeSet<String> = recorded(host).into_iter().map(|(id, _)| id).collect();
    act();
    let new = || -> Vec<String> {
        let new = recorded(host).into_iter().filter(|(id, _)| !before.contains(id));
        new.map(|(_, words)| words).collect()
    };
    wait_for(
        &format!("as many calls as {words_of_plan:?} names: {expected:?}, seen {:?}", new()),
        || new().len() >= expected.len(),
    );
    assert_eq!(new(), expected, "{words_of_plan:?}");
}

#[test]
fn the_calls_of_a_plan_are_those_that_libvirt_makes() {
    let host = Host::new();
    host.settings("record: all\n");
    host.write("/run/network.xml", &network("net", &uuid()), 0o644);
    host.virsh(&["net-define", "/run/network.xml"]).ok();
    host.virsh(&["net-start", "net"]).ok();
    let interface = "<interface type='network'><source network='net'/></interface>";
    let vm = host.define(&Domain::new("vm").device(interface));
    host.script("before_vm_launch/10-gate", "test ! -e /run/no");
    host.write(
        "/etc/libvirt/hooks/hooks.d/kill.yaml",
        "events: after_vm_launch\ncommand: [/usr/bin/test, '!', -e, /run/kill]\non_failure: kill\n",
        0o644,
    );
    let ok = |words: &[&str]| drop(host.virsh(words).ok());
    let start = |vm: &Guest<'_>| drop(vm.start().ok());
    as_planned(&host, &["start"], || start(&vm));
    as_planned(&host, &["destroy"], || drop(vm.destroy().ok()));
    start(&vm);
    as_planned(&host, &["managedsave"], || drop(vm.managed_save().ok()));
    // with a managed save a start is a restore
    assert!(planned(&host, &["start"])[0].contains(" restore "));
    as_planned(&host, &["start"], || start(&vm));
    as_planned(&host, &["save"], || drop(vm.save("/run/saved").ok()));
    as_planned(&host, &["restore"], || ok(&["restore", "/run/saved"]));
    as_planned(&host, &["reconnect"], || host.restart_daemon());
    as_planned(&host, &["crash"], || drop(host.sh(&format!("kill -KILL {}", vm.pid())).ok()));
    // and those that a failure leads to
    host.write("/run/no", "", 0o644);
    let fail = ["start", "--fail", "before_vm_launch/10-gate"];
    as_planned(&host, &fail, || drop(vm.start().fails_with(&["before_vm_launch/10-gate"])));
    host.sh("rm /run/no; touch /run/kill").ok();
    let fail = ["start", "--fail", "kill"];
    as_planned(&host, &fail, || drop(vm.start().fails_with(&["after_vm_launch/kill"])));
    assert!(!vm.is_running());
}
