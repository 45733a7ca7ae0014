//! Which scripts are hooks, and in which order they run. (V1, P1, P2, L7)

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::{Host, is_root, skip};

/// A host with two further roots, `high` above `low`.
fn with_roots() -> Host {
    let host = Host::new();
    let private = host.private_settings();
    let (high, low) = (host.path("high"), host.path("low"));
    for root in [&high, &low] {
        fs::create_dir(root).unwrap();
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let roots = format!("roots: [{}, {}]", high.display(), low.display());
    host.raw_settings(&private.replace("roots: []", &roots));
    host
}

fn places<const N: usize>(event: &str, names: [&str; N]) -> [String; N] {
    names.map(|name| format!("{event}/{name}"))
}

// --- event directories --------------------------------------------------------------------------

// V1
#[test]
fn hooks_run_in_byte_order_of_their_names() {
    let host = Host::new();
    // written in another order, to directories that keep their own
    for name in ["a-b", "_", "10-z", "9-x", "Z", "a", "\u{e9}", "a.b", "aB", "10", "a_b", "-x"] {
        host.script(format!("before_vm_prepare/{name}"), r#"log "$me""#);
    }
    let raw = Path::new("before_vm_prepare").join(OsStr::from_bytes(b"\xff"));
    host.script(raw, "log raw");
    host.guest("prepare begin").run().succeeds();
    let expected =
        ["-x", "10", "10-z", "9-x", "Z", "_", "a", "a-b", "a.b", "aB", "a_b", "\u{e9}", "raw"];
    assert_eq!(host.log(), expected);
}

// P2
#[test]
fn the_order_is_one_over_all_roots_and_a_name_in_a_higher_root_masks_the_lower() {
    let host = with_roots();
    for root in ["hooks", "high", "low"] {
        for name in ["20-all", &format!("10-{root}"), &format!("30-{root}")] {
            let place = host.path(root).join("before_vm_prepare").join(name);
            host.script(place, &format!("log {root} $me"));
        }
    }
    for root in ["high", "low"] {
        let place = host.path(root).join("before_vm_prepare/15-both");
        host.script(place, &format!("log {root} $me"));
    }
    host.guest("prepare begin").run().succeeds();
    assert_eq!(
        host.log(),
        [
            "high 10-high",
            "hooks 10-hooks",
            "low 10-low",
            "high 15-both",
            "hooks 20-all",
            "high 30-high",
            "hooks 30-hooks",
            "low 30-low",
        ]
    );
}

// P2
#[test]
fn a_name_is_disabled_by_a_link_to_the_null_device_or_an_empty_script() {
    let host = with_roots();
    for name in ["10-null", "20-empty", "30-runs", "40-plain"] {
        host.script(host.path("low").join("before_vm_prepare").join(name), r#"log "$me""#);
    }
    host.link("/dev/null", "before_vm_prepare/10-null");
    host.file(host.path("high/before_vm_prepare/20-empty"), "");
    // without an x bit it is none of a hook, yet its name is taken
    host.file("before_vm_prepare/40-plain", "#!/bin/sh\nexit 9\n");
    host.mode("hooks/before_vm_prepare/40-plain", 0o644);
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), ["30-runs"]);
}

// V1
#[test]
fn what_is_no_hook_is_passed_over() {
    let host = Host::new();
    let names = [
        ".hidden",
        "a~",
        "a.bak",
        "a.orig",
        "a.rej",
        "a.swp",
        "a.rpmsave",
        "a.rpmnew",
        "a.rpmorig",
        "a.dpkg-old",
        "a.dpkg-new",
        "a.dpkg-dist",
        "a.ucf-old",
        "a.ucf-dist",
    ];
    for name in names {
        host.script(format!("before_vm_prepare/{name}"), r#"log "$me"; exit 9"#);
    }
    host.script("before_vm_prepare/plain", "log plain; exit 9");
    host.mode("hooks/before_vm_prepare/plain", 0o644);
    host.script("before_vm_prepare/directory/10-x", "log deeper; exit 9");
    host.link("nowhere", "before_vm_prepare/dangling");
    nix::unistd::mkfifo(&host.hook("before_vm_prepare/fifo"), nix::sys::stat::Mode::S_IRWXU)
        .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(host.hook("before_vm_prepare/socket"));
    host.follow(&["before_vm_prepare/10-backup.sh", "before_vm_prepare/bak"]);
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), places("before_vm_prepare", ["10-backup.sh", "bak"]));
}

// L7
#[test]
fn a_link_to_a_file_and_any_program_is_a_hook() {
    let host = Host::new();
    host.script("share/real", r#"log "$0""#);
    host.link(host.hook("share/real"), "before_vm_prepare/10-absolute");
    host.link("../share/real", "before_vm_prepare/20-relative");
    host.link("/bin/true", "before_vm_prepare/30-program");
    host.file(
        "before_vm_prepare/40-awk",
        format!(
            "#!/usr/bin/awk -f\nBEGIN {{ print \"awk\" >>\"{}\" }}\n",
            host.path("log").display()
        ),
    );
    host.guest("prepare begin").run().succeeds();
    let at = |name: &str| host.hook(format!("before_vm_prepare/{name}")).display().to_string();
    assert_eq!(host.log(), [at("10-absolute"), at("20-relative"), "awk".to_owned()], "by its path");
}

#[test]
fn only_the_table_names_event_directories() {
    let host = Host::new();
    host.follow(&["before_vm_Start/10-x", "prepare/10-x", "g/10-x", "10-x"]);
    host.follow(&["on_qemu_prepare/10-x", "hooks.d/10-x", "before_vm_cont/10-x"]);
    for call in ["prepare begin", "start begin", "started begin"] {
        host.guest(call).run().succeeds();
    }
    assert_eq!(host.log(), [""; 0]);
}

#[test]
fn an_event_that_is_a_file_or_missing_has_no_hooks() {
    let host = Host::new();
    host.script("before_vm_prepare", "exit 9");
    host.guest("prepare begin").run().succeeds();
}

#[test]
fn an_event_directory_that_cannot_be_read_fails_a_gate_and_nothing_else() {
    let host = Host::new();
    for event in ["before_vm_prepare", "after_vm_launch", "after_vm_stop"] {
        host.link(event, event);
    }
    host.follow(&["before_vm_start/10-x", "after_vm_start/10-x"]);
    host.guest("prepare begin").run().fails(125, &["hookmux: ", "hooks/before_vm_prepare: "]);
    assert_eq!(host.log(), [""; 0], "what can't be known to be there can't be left out");
    host.guest("started begin").run().succeeds();
    host.guest("stopped end").run().succeeds();
    assert_eq!(host.log(), ["after_vm_start/10-x"]);
}

#[test]
fn a_link_to_a_directory_is_an_event_directory() {
    let host = Host::new();
    host.follow(&["elsewhere/10-x"]).link("elsewhere", "before_vm_prepare");
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), ["elsewhere/10-x"]);
}

// V1, V2, V4
#[test]
fn vdsms_tree_is_a_root_whose_edits_are_ignored() {
    if !is_root() {
        return skip("only root can put a tree where vdsm's is");
    }
    let host = Host::new();
    host.script(
        "vdsm/before_vm_migrate_destination/10_x",
        r#"log "$me"; echo '<x' >"$_hook_domxml""#,
    );
    host.script("vdsm/before_vm_migrate_destination/50_x", r#"log "$me vdsm""#);
    host.script(
        "before_vm_migrate_destination/50_x",
        r#"log "$me ours"; grep -c '<x' "$_hook_domxml" >>"$T/log"; exit 0"#,
    );
    let mounts = format!(
        "mkdir -p /usr/libexec; mount -t tmpfs -o mode=755 tmpfs /usr/libexec; mkdir -p /usr/libexec/vdsm\n\
         cp -r '{}' /usr/libexec/vdsm/hooks",
        host.hook("vdsm").display()
    );
    host.guest("migrate begin").with_mounts(&mounts).run().succeeds();
    assert_eq!(host.log(), ["50_x ours", "0"], "unless it is asked for");
    host.settings("vdsm_hooks: true");
    host.guest("migrate begin").with_mounts(&mounts).run().succeeds();
    assert_eq!(host.log(), ["10_x", "50_x ours", "0"]);
}

// --- the per-guest tree -------------------------------------------------------------------------

// P1
#[test]
fn the_tree_is_read_in_place_for_every_driver_but_the_daemon() {
    let host = Host::new();
    for (driver, operation) in [
        ("qemu", "prepare"),
        ("lxc", "start"),
        ("libxl", "prepare"),
        ("bhyve", "start"),
        ("network", "start"),
        ("network", "port-created"),
        ("qemu", "unheard"),
    ] {
        let place = format!("{driver}.d/g/{operation}/begin");
        host.script(format!("{place}/20-b"), r#"log "$me $# $*""#);
        host.script(format!("{place}/10-a"), r#"log "$me $# $*""#);
        host.follow(&[
            &format!("{driver}.d/h/{operation}/begin/10-x"),
            &format!("{driver}.d/g/{operation}/end/10-x"),
            &format!("{driver}.d/g/10-x"),
            &format!("{driver}.d/10-x"),
            &format!("{driver}.d/g/{operation}/begin/deeper/10-x"),
        ]);
        host.call(driver, ["g", operation, "begin", "-"]).run().succeeds();
        let arguments = format!("4 g {operation} begin -");
        assert_eq!(host.log(), [format!("10-a {arguments}"), format!("20-b {arguments}")]);
    }
    host.follow(&["daemon.d/-/reload/begin/10-x"]);
    host.call("daemon", ["-", "reload", "begin", "SIGHUP"]).run().succeeds();
    assert_eq!(host.log(), [""; 0]);
}

// P1
#[test]
fn a_file_in_the_directorys_place_is_the_script() {
    let host = Host::new();
    host.follow(&["qemu.d/g/prepare/begin", "network.d/n/start/begin"]);
    host.guest("prepare begin").run().succeeds();
    host.call("network", ["n", "start", "begin", "-"]).run().succeeds();
    assert_eq!(host.log(), ["qemu.d/g/prepare/begin", "network.d/n/start/begin"]);
    host.mode("hooks/qemu.d/g/prepare/begin", 0o644);
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), [""; 0]);
}

// P1: as the helper's `find -maxdepth 1 -type f -executable`
#[test]
fn in_the_tree_every_executable_file_runs_whatever_it_is_called() {
    let host = Host::new();
    for name in [".hidden", "a.bak", "a b", "z~"] {
        host.script(format!("qemu.d/g/prepare/begin/{name}"), r#"log "$me""#);
    }
    host.file("qemu.d/g/prepare/begin/README", "no script");
    host.mode("hooks/qemu.d/g/prepare/begin/README", 0o644);
    host.link("/dev/null", "qemu.d/g/prepare/begin/null");
    host.link("nowhere", "qemu.d/g/prepare/begin/dangling");
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), [".hidden", "a b", "a.bak", "z~"]);
}

// P1
#[test]
fn the_tree_runs_after_the_event_hooks_of_the_call() {
    let host = Host::new();
    let order = [
        "before_vm_prepare/90-x",
        "before_vm_start/10-x",
        "qemu.d/g/prepare/begin/05-x",
        "qemu.d/g/prepare/begin/10-x",
    ];
    host.follow(&order);
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), order);
}

#[test]
fn links_in_the_tree_lead_to_other_guests_scripts() {
    let host = Host::new();
    host.script("qemu.d/template/prepare/begin/10-x", r#"log "$1""#);
    host.link("template", "qemu.d/g");
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), ["g"]);
}

// --- an adopted script --------------------------------------------------------------------------

#[test]
fn an_adopted_script_is_called_at_every_call_from_its_own_directory() {
    let host = Host::new();
    host.script("qemu.adopted", r#"log "$(dirname "$0") $*""#);
    host.follow(&["before_vm_prepare/10-x", "qemu.d/g/prepare/begin/10-x"]);
    let hooks = host.hooks().display().to_string();
    host.guest("prepare begin").run().succeeds();
    assert_eq!(
        host.log(),
        [
            "before_vm_prepare/10-x".to_owned(),
            format!("{hooks} g prepare begin -"),
            "qemu.d/g/prepare/begin/10-x".to_owned(),
        ]
    );
    for call in ["stopped end", "unheard begin", "release end saved"] {
        host.guest(call).run().succeeds();
        let extra = if call.contains("saved") { "" } else { " -" };
        assert_eq!(host.log(), [format!("{hooks} g {call}{extra}")]);
    }
    host.call("lxc", ["g", "prepare", "begin", "-"]).run().succeeds();
    assert_eq!(host.log(), ["before_vm_prepare/10-x"], "another driver's isn't");
}

// P1: no script runs twice
#[test]
fn while_an_adopted_script_mentions_the_tree_the_tree_is_left_to_it() {
    let host = Host::new();
    host.follow(&["qemu.d/g/prepare/begin/10-x", "lxc.d/g/prepare/begin/10-x"]);
    host.script("qemu.adopted", "log adopted # runs what is in qemu.d itself");
    let call = |driver| host.call(driver, ["g", "prepare", "begin", "-"]);
    call("qemu").run().succeeds();
    assert_eq!(host.log(), ["adopted"]);
    call("lxc").run().succeeds();
    assert_eq!(host.log(), ["lxc.d/g/prepare/begin/10-x"], "another driver's tree is another's");
    host.mode("hooks/qemu.adopted", 0o644);
    call("qemu").run().succeeds();
    assert_eq!(
        host.log(),
        ["qemu.d/g/prepare/begin/10-x"],
        "a script that doesn't run runs no tree"
    );
}
