//! Records of a real daemon's calls: found, explained, done again.

use crate::host::{Host, wait_for};
use crate::schema;

fn json(host: &Host, words: &[&str]) -> serde_json::Value {
    let words = [words, &["--output", "json"]].concat();
    schema::read(&words, host.hookmux(&words).out.as_bytes())
}

// O5, O6
#[test]
fn of_three_guests_the_one_whose_hook_failed_is_found_and_its_hook_retried() {
    let host = Host::new();
    host.script(
        "before_vm_start/10-pages",
        "if [ \"$HOOKMUX_OBJECT\" = two ] && [ ! -e /run/mended ]; then echo no more pages >&2; exit 3; fi; say \"pages for $HOOKMUX_OBJECT\"",
    );
    host.script(
        "after_vm_launch/10-dns",
        "if [ \"$HOOKMUX_OBJECT\" = three ] && [ ! -e /run/mended ]; then echo no server >&2; exit 1; fi; say \"dns for $HOOKMUX_OBJECT\"",
    );
    for name in ["one", "two", "three"] {
        let guest = host.guest(name);
        let started = guest.start();
        if name == "two" {
            started.fails_with(&["no more pages"]);
        } else {
            started.ok();
        }
    }
    assert!(!host.log().contains(&"dns for three".to_owned()));
    let failed = json(&host, &["log", "--failed"]);
    let failed = failed["executions"].as_array().unwrap();
    let of = |name: &str| failed.iter().find(|one| one["object"] == name);
    assert!(of("one").is_none());
    let gate = of("two").unwrap();
    assert_eq!((&gate["operation"], &gate["status"]), (&"prepare".into(), &3.into()));
    let shown = host.hookmux(&["show", gate["id"].as_str().unwrap()]).ok();
    for words in
        ["failed (3)", "before_vm_start/10-pages", "stderr: no more pages", "called by  libvirtd"]
    {
        assert!(shown.contains(words), "{words} is missing in\n{shown}");
    }
    assert!(host.hookmux(&["retry", gate["id"].as_str().unwrap()]).err.contains("is a gate"));
    // libvirt wasn't told of this one: a record is all that there is
    let live = of("three").unwrap();
    assert_eq!((&live["operation"], &live["status"]), (&"started".into(), &0.into()));
    let id = live["id"].as_str().unwrap();
    assert!(host.hookmux(&["show", id]).ok().contains("no server"));
    host.sh("touch /run/mended").ok();
    let said = host.hookmux(&["retry", id]).ok();
    assert!(said.contains("+ after_vm_launch/10-dns"), "{said}");
    assert_eq!(host.log().last().unwrap(), "dns for three");
    let again = json(&host, &["show", id]);
    assert_eq!(again["later"][0]["state"], "good");
    assert_eq!(again["later"][0]["cause"], "retry");
    // all of it is kept where it outlives the host's boot
    wait_for("the records are moved", || {
        host.sh("ls /run/hookmux/records/done | wc -l").ok().trim() == "0"
    });
    let all = json(&host, &["log", "-n", "100"]);
    assert!(
        all["executions"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| ["good", "failed"].contains(&one["state"].as_str().unwrap()))
    );
}

#[test]
fn the_emergency_switch_lets_a_guest_start_whose_hook_does_not() {
    let host = Host::new();
    host.script("before_vm_start/10-bad", "exit 1");
    let vm = host.guest("vm");
    vm.start().fails_with(&["before_vm_start/10-bad"]);
    host.hookmux(&["bypass", "on", "--guest", "vm", "--for", "10m"]).ok();
    vm.start().ok();
    let all = json(&host, &["log", "--guest", "vm"]);
    let bypassed = |one: &&serde_json::Value| one["state"] == "bypassed";
    assert!(all["executions"].as_array().unwrap().iter().filter(bypassed).count() >= 3);
    vm.destroy().ok();
    host.hookmux(&["bypass", "off"]).ok();
    vm.start().fails_with(&["before_vm_start/10-bad"]);
}
