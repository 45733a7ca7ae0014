//! `check` on a host with a daemon: whether that has seen the links.

use crate::host::{HOOKS, Host};
use crate::schema;

/// The codes of all findings about one driver's link.
fn codes(host: &Host, driver: &str) -> Vec<String> {
    let said = host.hookmux(&["check", "--output", "json"]).out;
    let said = schema::read(&["check"], said.as_bytes());
    let of_link = |finding: &&serde_json::Value| finding["path"] == format!("{HOOKS}/{driver}");
    let findings = said["findings"].as_array().unwrap();
    let code = |finding: &serde_json::Value| finding["code"].as_str().unwrap().to_owned();
    findings.iter().filter(of_link).map(code).collect()
}

fn is_unproven(host: &Host, driver: &str) -> bool {
    codes(host, driver).iter().any(|code| code == "unproven-link")
}

#[test]
fn a_link_made_after_the_daemons_start_is_unproven_until_a_call_has_come_through_it() {
    let host = Host::without_hookmux();
    host.start_daemon();
    std::thread::sleep(std::time::Duration::from_millis(100));
    host.hookmux(&["install", "--driver", "qemu"]).ok();
    host.script("before_vm_start/10-x", "say started");
    assert!(is_unproven(&host, "qemu"));
    let said = host.hookmux(&["check"]).out;
    let pid = host.sh("cat /run/libvirtd.pid").ok();
    assert!(said.contains(&format!("kill -HUP {}", pid.trim())), "{said}");

    // it was right: libvirt runs nothing
    let vm = host.guest("vm");
    vm.start().ok();
    vm.destroy().ok();
    assert_eq!(host.log(), [""; 0]);
    host.reload_daemon();
    crate::host::wait_for("the link to be seen", || {
        vm.start().ok();
        vm.destroy().ok();
        host.log().contains(&"started".to_owned())
    });

    // a recorded call is proof
    assert!(!is_unproven(&host, "qemu"));
    host.restart_daemon();
    assert!(!is_unproven(&host, "qemu"));
}

#[test]
fn a_host_that_is_well_kept_has_nothing_wrong() {
    let host = Host::new();
    host.script("before_vm_start/10-x", "say started");
    let vm = host.guest("vm");
    vm.start().ok();
    vm.destroy().ok();
    let said = host.hookmux(&["check"]).ok();
    // the binary lies where only the tests have it
    assert!(!said.contains("ERROR") && !said.contains("WARNING"), "{said}");
}

#[test]
fn status_knows_the_daemon_and_whether_it_has_seen_the_link() {
    let host = Host::without_hookmux();
    host.start_daemon();
    std::thread::sleep(std::time::Duration::from_millis(100));
    host.hookmux(&["install", "--driver", "qemu"]).ok();
    let status = || {
        let said = host.hookmux(&["status", "--output", "json"]).ok();
        schema::read(&["status"], said.as_bytes())
    };
    let seen = |status: &serde_json::Value| {
        let entries = status["entries"].as_array().unwrap();
        let entry = entries.iter().find(|entry| entry["driver"] == "qemu").unwrap();
        assert_eq!(entry["state"], "installed");
        entry["seen"].clone()
    };
    let before = status();
    let daemon = &before["libvirt"]["daemons"][0];
    assert_eq!(daemon["name"], "libvirtd", "{before:#}");
    assert!(daemon["looked"].is_string() && before["libvirt"]["version"].is_string());
    assert_eq!(seen(&before), false, "{before:#}");
    let said = host.hookmux(&["status"]).ok();
    for words in ["(libvirtd, up ", "libvirtd looked at", "not known whether libvirt has seen it"] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    host.restart_daemon();
    assert_eq!(seen(&status()), true);
}
