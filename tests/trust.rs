//! Nobody but root (or the user that hookmux runs as) may decide what is run. (P3)

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use crate::support::{Host, is_root, skip};

const OTHER: u32 = 54321;

#[track_caller]
fn refused(host: &Host, hook: &str, words: &[&str]) {
    let line = format!("hookmux: {hook}: refused: ");
    let answer = host.guest("prepare begin").run();
    answer.fails(126, &[&line]).fails(126, words);
    assert_eq!(host.log(), ["before_vm_start/20-x"], "it isn't run, and the rest is");
}

/// A host with a hook to be spoilt and one that isn't.
fn host() -> Host {
    let host = Host::new();
    host.follow(&["before_vm_start/10-x", "before_vm_start/20-x"]);
    host
}

fn chmod(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

// P3
#[test]
fn a_script_that_others_may_write_is_refused_by_name() {
    for (mode, words) in [
        (0o775, "10-x is writable by group"),
        (0o757, "10-x is writable by others"),
        (0o777, "10-x is writable by group"),
        (0o4755, "10-x is setuid or setgid"),
        (0o2755, "10-x is setuid or setgid"),
    ] {
        let host = host();
        chmod(host.hook("before_vm_start/10-x"), mode);
        refused(&host, "before_vm_start/10-x", &[words]);
    }
}

// P3
#[test]
fn a_script_of_another_user_is_refused() {
    if !is_root() {
        return skip("only root can give a file away");
    }
    let host = host();
    chown(host.hook("before_vm_start/10-x"), Some(OTHER), None).unwrap();
    refused(&host, "before_vm_start/10-x", &["is owned by uid 54321"]);
    let host = self::host();
    chown(host.hook("before_vm_start/10-x"), None, Some(OTHER)).unwrap();
    host.guest("prepare begin").run().succeeds();
}

// P3
#[test]
fn every_directory_on_the_way_counts() {
    if !is_root() {
        return skip("who isn't root runs nothing without settings");
    }
    for (place, mode, words) in [
        ("hooks/before_vm_start", 0o775, "before_vm_start is writable by group"),
        ("hooks/before_vm_start", 0o757, "before_vm_start is writable by others"),
        ("hooks", 0o775, "hooks is writable by group"),
        ("", 0o777, " is writable by group"),
    ] {
        let host = host();
        // the settings lie in the hooks directory too
        fs::remove_file(host.hook("hookmux.yaml")).unwrap();
        chmod(host.path(place), mode);
        let answer = host.guest("prepare begin").with_private_state(&host).run();
        for name in ["10-x", "20-x"] {
            let line = format!("hookmux: before_vm_start/{name}: refused: ");
            answer.fails(126, &[&line, words]);
        }
        assert_eq!(host.log(), [""; 0]);
    }
}

// P3
#[test]
fn the_target_of_a_link_counts_and_the_way_to_it() {
    let host = host();
    host.script("elsewhere/10-x", "log 10");
    fs::remove_file(host.hook("before_vm_start/10-x")).unwrap();
    host.link("../elsewhere/10-x", "before_vm_start/10-x");
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), ["10", "before_vm_start/20-x"]);
    chmod(host.hook("elsewhere"), 0o777);
    refused(&host, "before_vm_start/10-x", &["elsewhere is writable by group"]);
    chmod(host.hook("elsewhere"), 0o755);
    chmod(host.hook("elsewhere/10-x"), 0o766);
    refused(&host, "before_vm_start/10-x", &["elsewhere/10-x is writable by group"]);
    if is_root() {
        chmod(host.hook("elsewhere/10-x"), 0o755);
        nix::unistd::fchownat(
            nix::fcntl::AT_FDCWD,
            &host.hook("before_vm_start/10-x"),
            Some(OTHER.into()),
            None,
            nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW,
        )
        .unwrap();
        refused(&host, "before_vm_start/10-x", &["10-x is owned by uid 54321"]);
    }
}

// P3
#[test]
fn in_roots_sticky_directories_others_can_replace_nothing() {
    if !is_root() {
        return skip("a sticky directory of root's needs root");
    }
    let host = host();
    chmod(host.hook("before_vm_start"), 0o1777);
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log().len(), 2);
    chown(host.hook("before_vm_start"), Some(OTHER), None).unwrap();
    host.guest("prepare begin").run().fails(126, &["before_vm_start is owned by uid 54321"]);
}

// P3
#[test]
fn the_tree_and_an_adopted_script_are_judged_alike() {
    for place in ["qemu.d/g/prepare/begin/10-x", "qemu.adopted", "qemu.d/g/prepare/begin"] {
        let host = Host::new();
        host.follow(&[place]);
        chmod(host.hook(place), 0o775);
        let line = format!("hookmux: {place}: refused: ");
        host.guest("prepare begin").run().fails(126, &[&line, "is writable by group"]);
        assert_eq!(host.log(), [""; 0]);
    }
    let host = Host::new();
    host.follow(&["qemu.d/g/started/begin/10-x", "qemu.d/g/reconnect/begin/10-x"]);
    chmod(host.hook("qemu.d/g"), 0o775);
    host.guest("reconnect begin").run().succeeds();
    assert_eq!(host.log(), [""; 0]);
}

#[test]
fn a_refused_hook_of_a_live_call_kills_nothing() {
    let host = Host::new();
    host.follow(&["after_vm_start/10-x", "after_vm_start/20-x", "after_vm_stop/10-x"]);
    chmod(host.hook("after_vm_start/10-x"), 0o777);
    chmod(host.hook("after_vm_stop/10-x"), 0o777);
    host.guest("started begin").run().succeeds();
    assert_eq!(host.log(), ["after_vm_start/20-x"]);
    host.guest("stopped end").run().fails(126, &["after_vm_stop/10-x: refused: "]);
}

#[test]
fn trust_is_asked_when_a_hook_is_run_not_before() {
    let host = host();
    host.script("before_vm_prepare/10-x", r#"chmod 777 "${0%/*/*}/before_vm_start/10-x""#);
    refused(&host, "before_vm_start/10-x", &["writable by group"]);
}

#[test]
fn with_trust_warn_it_is_run() {
    let host = host();
    host.settings("trust: warn");
    chmod(host.hook("before_vm_start/10-x"), 0o777);
    chmod(host.hook("before_vm_start"), 0o777);
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), ["before_vm_start/10-x", "before_vm_start/20-x"]);
}

// P3
#[test]
fn who_may_write_an_access_list_may_write_the_file() {
    let host = host();
    let set = std::process::Command::new("setfacl")
        .args(["-m", "u:54321:rw"])
        .arg(host.hook("before_vm_start/10-x"))
        .status();
    if !set.is_ok_and(|status| status.success()) {
        return skip("no access control lists here");
    }
    refused(&host, "before_vm_start/10-x", &["writable by group"]);
}

#[test]
fn a_loop_of_links_is_a_link_to_nothing() {
    let host = host();
    symlink("loop", host.hook("before_vm_start/loop")).unwrap();
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log().len(), 2);
}
