//! The story of OpenNebula's document on a real daemon: a hook fails because its script isn't there, the script
//! is made, and the execution is run again.

use serde_json::Value;

use crate::host::{Host, wait_for};
use crate::schema;

fn shown(host: &Host, hook: &str) -> Vec<Value> {
    let words = ["show", hook, "--output", "json"];
    let shown = schema::read(&words, host.hookmux(&words).out.as_bytes());
    shown["executions"].as_array().unwrap().clone()
}

// O6, O9, O10: imported, failed, mended, retried
#[test]
fn an_imported_hook_without_its_script_is_run_again_when_the_script_is_made() {
    let host = Host::new();
    host.write(
        "/run/hook.tmpl",
        "NAME      = hook-vm\nTYPE      = state\nCOMMAND   = vm-pending.rb\n\
         ARGUMENTS = \"$TEMPLATE pending\"\nON        = RUNNING\nRESOURCE  = VM\n",
        0o644,
    );
    let said = host.hookmux(&["import", "opennebula", "/run/hook.tmpl"]);
    assert!(said.ok().contains("registered /etc/libvirt/hooks/hooks.d/hook-vm.yaml"));
    let vm = host.guest("vm");
    vm.start().ok();
    assert!(vm.is_running(), "OpenNebula's hooks stop nothing");
    let failed = shown(&host, "hook-vm");
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert_eq!((&failed[0]["state"], &failed[0]["object"]), (&"failed".into(), &"vm".into()));
    let why = failed[0]["failure"].as_str().unwrap();
    assert!(why.contains("/etc/libvirt/hooks/vm-pending.rb: does not exist"), "{why}");
    vm.destroy().ok();
    host.script(
        "vm-pending.rb",
        "say \"$2 $(printf %s \"$1\" | base64 -d | grep -c '<name>vm</name>')\"",
    );
    host.hookmux(&["retry", failed[0]["id"].as_str().unwrap()]).ok();
    host.wait_for_log("pending 1");
    wait_for("the log of the hook has its success", || {
        let last = shown(&host, "hook-vm").pop().unwrap();
        last["state"] == "good" && last["status"] == 0
    });
}
