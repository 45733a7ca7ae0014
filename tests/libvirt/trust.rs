//! What doesn't run: because others could have written it, or because somebody said so.

use std::os::unix::fs::{chown, symlink};

use crate::guest::Guest;
use crate::host::{HOOKS, Host, set_mode};

/// The one script of `before_vm_start` must be refused because of `culprit`.
#[track_caller]
fn assert_refused(host: &Host, vm: &Guest, culprit: &str) {
    let refused = format!("refused: {culprit} is ");
    vm.start().fails_with(&["before_vm_start/10-x", &refused]);
    assert_eq!(vm.state(), "shut off");
    assert!(host.log().is_empty(), "it ran: {:?}", host.log());
}

fn host_with_script() -> Host {
    let host = Host::new();
    host.script("before_vm_start/10-x", "say ran");
    host
}

#[test]
fn a_trusted_script_runs() {
    let host = host_with_script();
    let vm = host.guest("vm");
    vm.start().ok();
    assert_eq!(host.log(), ["ran"]);
    vm.destroy().ok();
}

#[test]
fn a_script_that_others_could_write_is_refused_by_name() {
    let host = host_with_script();
    let vm = host.guest("vm");
    let script = format!("{HOOKS}/before_vm_start/10-x");
    for mode in [0o775, 0o757] {
        set_mode(&host.path(&script), mode);
        assert_refused(&host, &vm, &script);
    }
    set_mode(&host.path(&script), 0o755);
    chown(host.path(&script), Some(1000), None).unwrap();
    vm.start().fails_with(&["before_vm_start/10-x", "refused: ", &script]);
    assert!(host.log().is_empty());
}

#[test]
fn a_directory_that_others_could_write_is_refused_by_name() {
    let host = host_with_script();
    let vm = host.guest("vm");
    let directory = format!("{HOOKS}/before_vm_start");
    set_mode(&host.path(&directory), 0o775);
    assert_refused(&host, &vm, &directory);
    set_mode(&host.path(&directory), 0o755);
    vm.start().ok();
    vm.destroy().ok();
}

#[test]
fn a_link_into_a_place_that_others_could_write_is_refused_by_that_place() {
    let host = Host::new();
    host.script("/run/shared/deep/tool", "say ran");
    host.script("before_vm_start/20-good", "true");
    symlink("/run/shared/deep/tool", host.path(&format!("{HOOKS}/before_vm_start/10-x"))).unwrap();
    set_mode(&host.path("/run/shared"), 0o777);
    let vm = host.guest("vm");
    assert_refused(&host, &vm, "/run/shared");
    // In a root-owned sticky directory nobody replaces root's files.
    set_mode(&host.path("/run/shared"), 0o1777);
    vm.start().ok();
    assert_eq!(host.log(), ["ran"]);
    vm.destroy().ok();
}

#[test]
fn a_script_of_the_per_guest_tree_is_refused_too() {
    let host = Host::new();
    let directory = format!("{HOOKS}/qemu.d/vm/prepare");
    host.script("qemu.d/vm/prepare/begin/10-x", "say ran");
    set_mode(&host.path(&directory), 0o777);
    let vm = host.guest("vm");
    let refused = format!("refused: {directory} is ");
    vm.start().fails_with(&["qemu.d/vm/prepare/begin/10-x", &refused]);
    assert!(host.log().is_empty());
}

#[test]
fn an_untrusted_script_doesnt_run_where_a_guest_runs_and_doesnt_kill_it() {
    let host = Host::new();
    host.script("after_vm_start/10-x", "say ran");
    host.follow(&["after_vm_start"]);
    set_mode(&host.path(&format!("{HOOKS}/after_vm_start/10-x")), 0o777);
    let vm = host.guest("vm");
    vm.start().ok();
    assert!(vm.is_running());
    assert_eq!(host.log(), ["after_vm_start"]);
    vm.destroy().ok();
}

#[test]
fn trust_warn_runs_what_it_would_refuse() {
    let host = host_with_script();
    set_mode(&host.path(&format!("{HOOKS}/before_vm_start/10-x")), 0o777);
    host.settings("trust: warn\n");
    let vm = host.guest("vm");
    vm.start().ok();
    assert_eq!(host.log(), ["ran"]);
    vm.destroy().ok();
}

#[test]
fn untrusted_settings_start_no_guest_and_say_why() {
    let host = host_with_script();
    // Or else anybody could write `trust: warn` into it.
    host.settings("trust: warn\n");
    set_mode(&host.path(&format!("{HOOKS}/hookmux.yaml")), 0o666);
    let vm = host.guest("vm");
    vm.start().fails_with(&["hookmux.yaml"]);
    assert_eq!(vm.state(), "shut off");
    assert!(host.log().is_empty());
}

#[test]
fn masked_and_disabled_scripts_dont_run() {
    let host = Host::new();
    let event = |root: &str, name: &str| format!("{root}/before_vm_start/{name}");
    let (run, lib) = ("/run/hookmux/hooks", "/var/lib/more-hooks");
    host.settings(&format!("roots: [{run}, {lib}]\n"));
    for root in [HOOKS, run, lib] {
        for name in ["10-all", "30-empty", "40-null", "50-plain"] {
            host.script(&event(root, name), &format!("say \"{name} of {root}\""));
        }
    }
    for root in [run, lib] {
        host.script(&event(root, "20-two"), &format!("say \"20-two of {root}\""));
    }
    host.script(&event(lib, "25-one"), &format!("say \"25-one of {lib}\""));
    // Higher up, an empty file or a link to /dev/null disables what is below.
    host.write(&event(HOOKS, "30-empty"), "", 0o755);
    host.remove("before_vm_start/40-null");
    symlink("/dev/null", host.path(&event(HOOKS, "40-null"))).unwrap();
    // Without an x bit, hidden, or left over by an editor or a packager.
    host.script(&event(HOOKS, "60-not-executable"), "say 60");
    set_mode(&host.path(&event(HOOKS, "60-not-executable")), 0o644);
    for name in [".hidden", "70-x~", "70-x.bak", "70-x.rpmsave", "70-x.dpkg-old", "70-x.swp"] {
        host.script(&event(HOOKS, name), &format!("say {name}"));
    }
    host.script("before_vm_start/80-directory/10-inside", "say inside");

    let vm = host.guest("vm");
    vm.start().ok();
    let said = [
        format!("10-all of {HOOKS}"),
        format!("20-two of {run}"),
        format!("25-one of {lib}"),
        format!("50-plain of {HOOKS}"),
    ];
    assert_eq!(host.log(), said);
    vm.destroy().ok();
}
