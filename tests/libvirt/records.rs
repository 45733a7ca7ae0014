//! Records of a real daemon's calls: found, explained, done again.

use crate::documents::Domain;
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

// O5, O6: OpenNebula's story of a script that is missing, made, and run again with the arguments of then
#[test]
fn a_registered_hook_is_retried_with_the_arguments_of_the_failed_run() {
    let host = Host::new();
    let registration = |state: &str| {
        let text = format!(
            "events: after_vm_launch\ncommand: /run/one/vm-state.sh\nargs: [$XML_BASE64, {state}]\n"
        );
        host.write("/run/vm-pending.yaml", &text, 0o644);
    };
    registration("pending");
    // it isn't there yet, as in OpenNebula's own example
    host.hookmux(&["add", "/run/vm-pending.yaml"]);
    let vm = host.guest("vm");
    vm.start().ok();
    let failed = json(&host, &["log", "--failed", "--hook", "vm-pending"]);
    let failed = failed["executions"].as_array().unwrap();
    assert_eq!(failed.len(), 1, "{failed:?}");
    let id = failed[0]["id"].as_str().unwrap();
    let shown = host.hookmux(&["show", id]).ok();
    for words in ["does not exist", "/run/one/vm-state.sh \"${XML_BASE64}\" pending"] {
        assert!(shown.contains(words), "{words} is missing in\n{shown}");
    }
    host.sh("mkdir -p /run/one").ok();
    let script = "#!/bin/sh\necho \"$2 $(printf %s \"$1\" | base64 -d | grep -o '<name>.*</name>')\" >>/run/said\n";
    host.write("/run/one/vm-state.sh", script, 0o755);
    registration("edited");
    host.hookmux(&["add", "--replace", "/run/vm-pending.yaml"]).ok();
    let said = host.hookmux(&["retry", id]).ok();
    assert!(said.contains("+ after_vm_launch/vm-pending"), "{said}");
    assert_eq!(host.read("/run/said"), "pending <name>vm</name>\n");
    for id in [id, "last"] {
        let run = &json(&host, &["show", id])["runs"][0];
        assert_eq!(run["args"], serde_json::json!(["$XML_BASE64", "pending"]), "{run}");
        assert!(run["args_document_bytes"].as_u64().unwrap() > 1000, "{run}");
    }
    let good = json(&host, &["log", "--success", "--hook", "vm-pending"]);
    assert_eq!(good["executions"][0]["parent"], *id);
    // deleted: what was registered then is run where somebody says so
    host.hookmux(&["delete", "vm-pending"]).ok();
    assert_eq!(host.hookmux(&["retry", id]).code, Some(2));
    host.hookmux(&["retry", "--force", id]).ok();
    assert_eq!(host.read("/run/said").lines().count(), 2);
    vm.destroy().ok();
}

#[test]
fn a_retry_that_needs_passwords_has_those_of_the_living_guest() {
    let host = Host::new();
    let screen = "<graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1' passwd='s3cret'/>\
         <video><model type='vga'/></video>";
    let vm = host.define(&Domain::new("vm").device(screen));
    vm.start().ok();
    vm.managed_save().ok();
    host.script(
        "before_vm_dehibernate/10-x",
        "say \"$(grep -o \"passwd='[^']*'\" \"$_hook_domxml\")\"",
    );
    vm.start().ok();
    assert_eq!(host.log(), ["passwd='s3cret'"]);
    let log = json(&host, &["log", "--operation", "restore"]);
    let id = log["executions"][0]["id"].as_str().unwrap();
    let record = json(&host, &["show", id]);
    assert_eq!(record["document_masked"], true);
    assert!(!record.to_string().contains("s3cret"), "{record}");
    let said = host.hookmux(&["retry", "--force", id]);
    assert!(said.err.contains("the document that the guest has now"), "{said:?}");
    assert_eq!(host.log(), ["passwd='s3cret'", "passwd='s3cret'"]);
    vm.destroy().ok();
    let said = host.hookmux(&["retry", "--force", id]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("is shut off") && said.err.contains(" --masked"), "{said:?}");
    host.clear_log();
    host.hookmux(&["retry", "--force", "--masked", id]);
    assert_eq!(host.log(), ["passwd='***'"]);
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
