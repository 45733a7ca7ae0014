//! `hookmux.yaml`: what it says, and what happens where it can't be read or believed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use crate::support::call::Call;
use crate::support::host::binary_under_test;
use crate::support::{Host, is_root, schema, skip};

const LIVE_AND_NOTIFY: &[(&str, &str)] = &[
    ("started begin", "after_vm_launch"),
    ("reconnect begin", "after_vm_reconnect"),
    ("stopped end", "after_vm_stop"),
    ("release end", "after_vm_destroy"),
    ("unheard begin", "on_qemu_unheard"),
];

fn host() -> Host {
    let host = Host::new();
    host.follow(&["before_vm_prepare/10-x"]);
    for (_, event) in LIVE_AND_NOTIFY {
        host.script(format!("{event}/10-x"), r#"log "$HOOKMUX_EVENT""#);
    }
    host
}

#[track_caller]
fn live_and_notify_go_on(host: &Host) {
    for (call, event) in LIVE_AND_NOTIFY {
        let answer = host.guest(call).with_private_state(host).run();
        assert_eq!((answer.status, answer.stdout.len()), (Some(0), 0), "{call}: {answer:?}");
        assert_eq!(host.log(), [*event], "{call}");
    }
}

// --- broken settings ----------------------------------------------------------------------------

#[test]
fn broken_settings_without_a_good_copy_close_gates_and_nothing_else() {
    if !is_root() {
        return skip("who isn't root runs nothing without settings");
    }
    for (text, place, words) in [
        ("timout: 3s\n", ":6:1: ", "did you mean `timeout`?"),
        ("timeout: 5s\ntimeout: 6s\n", ":7:1: ", "is there twice"),
        ("timeout: 3x\n", ":6:10: ", "is not a duration"),
        ("roots: [\n", ":", ""),
        ("total_timeout: 0\n", ":6:", "a call always has a limit"),
        ("environment: {HOOKMUX_EVENT: x}\n", ":6:", "hookmux's own"),
        ("environment: {vmId: x}\n", ":6:", "hookmux's own"),
        ("environment: {_hook_domxml: x}\n", ":6:", "hookmux's own"),
    ] {
        let host = host();
        // a good one was never read: what is broken here was broken from the start
        host.raw_settings(&format!("{}{text}", host.private_settings()));
        let answer = host.guest("prepare begin").with_private_state(&host).run();
        let file = format!("hookmux: {}{place}", host.hook("hookmux.yaml").display());
        answer.fails(125, &[&file, words]);
        assert_eq!(host.log(), [""; 0], "{text}");
        live_and_notify_go_on(&host);
    }
}

#[test]
fn broken_settings_close_a_gate_that_has_no_hooks_too() {
    // the hook may lie in a root that only the settings know
    let host = Host::new();
    host.raw_settings(&format!("{}oops\n", host.private_settings()));
    if !is_root() {
        return skip("who isn't root runs nothing without settings");
    }
    let answer = host.guest("start begin").with_private_state(&host).run();
    answer.fails(125, &["hookmux.yaml:"]);
}

#[test]
fn of_broken_settings_where_things_lie_holds_as_it_was_read() {
    if !is_root() {
        return skip("who isn't root runs nothing without settings");
    }
    let mistakes =
        ["timout: 3s\n", "timeout: [1]\n", "oops\n", "timeout: [\n", "session: maybe\n", "\t- x\n"];
    for mistake in mistakes {
        let host = Host::new();
        host.script("../lower/after_vm_launch/10-x", "log lower");
        host.script("after_vm_launch/20-x", "log higher");
        let settings = host.private_settings().replace("roots: []", "roots: [../lower]");
        host.raw_settings(&format!("{settings}{mistake}"));
        // the machine's own state is another one, and is left alone
        let state = ["/run/hookmux", "/var/lib/hookmux"];
        let script = format!("\"$@\" || exit; [ ! -e {} ] && [ ! -e {} ]", state[0], state[1]);
        let call = host.guest("started begin").through(["/bin/sh", "-c", &script, "sh"]);
        call.with_private_state(&host).run().succeeds();
        assert_eq!(host.log(), ["lower", "higher"], "{mistake:?}");
        host.guest("prepare begin").with_private_state(&host).run().fails(125, &["hookmux.yaml"]);
        let kept = host.hookmux(&["log", "--output", "json"]);
        let kept = schema::read(&["log"], &kept.stdout);
        assert_eq!(kept["executions"].as_array().unwrap().len(), 2, "{mistake:?}");
    }
}

#[test]
fn broken_settings_widen_nothing() {
    // hooks of a session's daemon run where the settings say so, and where they can be read
    let host = Host::new();
    host.follow(&["before_vm_prepare/10-x"]);
    host.raw_settings(&format!("{}oops\n", host.private_settings()));
    if is_root() {
        for path in host.everything() {
            std::os::unix::fs::lchown(path, Some(54321), Some(54321)).unwrap();
        }
        std::os::unix::fs::lchown(host.directory(), Some(54321), Some(54321)).unwrap();
        fs::set_permissions(host.directory(), PermissionsExt::from_mode(0o755)).unwrap();
        let bytes = fs::read(binary_under_test()).unwrap();
        fs::remove_file(host.hook("qemu")).unwrap();
        host.file("qemu", bytes);
        let words = ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups"];
        host.guest("prepare begin").through(words).run().succeeds();
    } else {
        host.guest("prepare begin").run().succeeds();
    }
    assert_eq!(host.log(), [""; 0]);
}

#[test]
fn broken_settings_at_restore_are_told_at_prepare() {
    if !is_root() {
        return skip("who isn't root runs nothing without settings");
    }
    let host = host();
    host.raw_settings(&format!("{}oops\n", host.private_settings()));
    let answer = host.guest("restore begin").with_private_state(&host).run();
    assert_eq!((answer.status, answer.stdout.len()), (Some(0), 0), "{answer:?}");
    let answer = host.guest("prepare begin").with_private_state(&host).run();
    answer.fails(125, &["hookmux.yaml:"]);
}

#[test]
fn the_last_good_copy_stands_in_for_broken_settings() {
    let host = Host::new();
    host.script("before_vm_prepare/10-x", r#"log "$WHICH""#);
    host.settings("environment: {WHICH: good}");
    host.guest("prepare begin").run().succeeds();
    host.settings("environment: {WHICH: better}");
    host.guest("prepare begin").run().succeeds();
    for broken in ["environment: {WHICH: broken}\ntimout: 1s", "environment: [", "\u{1}"] {
        host.settings(broken);
        host.guest("prepare begin").run().succeeds();
    }
    assert_eq!(host.log(), ["good", "better", "better", "better", "better"]);
    host.settings("environment: {WHICH: mended}");
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), ["mended"]);
}

#[test]
fn settings_that_others_may_write_are_not_believed() {
    if !is_root() {
        return skip("who isn't root runs nothing without settings");
    }
    for (mode, owner, words) in [
        (0o664, 0, "writable by group"),
        (0o646, 0, "writable by others"),
        (0o644, 54321, "owned by uid 54321"),
    ] {
        let host = host();
        let path = host.hook("hookmux.yaml");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        chown(&path, Some(owner), None).unwrap();
        let answer = host.guest("prepare begin").with_private_state(&host).run();
        answer.fails(125, &["hookmux.yaml", "not trusted", words]);
        assert_eq!(host.log(), [""; 0]);
        live_and_notify_go_on(&host);
    }
}

#[test]
fn a_good_copy_that_others_could_have_written_is_not_believed() {
    if !is_root() {
        return skip("who isn't root runs nothing without settings");
    }
    let host = host();
    host.guest("prepare begin").run().succeeds();
    host.log();
    for path in host.everything() {
        if path.starts_with(host.path("state")) {
            let mode = if path.is_dir() { 0o777 } else { 0o666 };
            match fs::set_permissions(&path, fs::Permissions::from_mode(mode)) {
                // who moves records has renamed it
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                result => result.unwrap(),
            }
        }
    }
    host.settings("oops");
    host.guest("prepare begin").with_private_state(&host).run().fails(125, &["hookmux.yaml:"]);
}

#[test]
fn no_settings_and_empty_settings_are_the_defaults() {
    if !is_root() {
        return skip("who isn't root runs nothing without settings");
    }
    let host = host();
    for text in [None, Some(""), Some("# nothing\n"), Some("---\n{}\n")] {
        match text {
            Some(text) => drop(host.raw_settings(text)),
            None => fs::remove_file(host.hook("hookmux.yaml")).unwrap(),
        }
        host.guest("prepare begin").with_private_state(&host).run().succeeds();
        assert_eq!(host.log(), ["before_vm_prepare/10-x"], "{text:?}");
    }
}

#[test]
fn a_state_directory_that_takes_no_file_changes_no_outcome() {
    let host = host();
    fs::remove_dir(host.path("state")).unwrap();
    fs::write(host.path("state"), "").unwrap();
    host.guest("prepare begin").run().succeeds();
    host.guest("started begin").run().succeeds();
    assert_eq!(host.log(), ["before_vm_prepare/10-x", "after_vm_launch"]);
}

#[test]
fn paths_in_the_settings_are_below_the_hooks_directory() {
    let host = Host::new();
    host.raw_settings("session: true\nroots: [more]\nstate_dir: s\nruntime_dir: r\nsave_dir: v\n");
    host.script("more/before_vm_prepare/10-x", r#"log "$0""#);
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), [host.hook("more/before_vm_prepare/10-x").display().to_string()]);
    assert!(host.hook("r").is_dir() && host.hook("s").is_dir());
}

// --- environment --------------------------------------------------------------------------------

#[test]
fn environment_and_environment_file_reach_hooks_of_both_styles() {
    let host = Host::new();
    host.settings(
        "environment: {A: a, B: \"b c\", N: 5, PATH: \"/usr/bin:/bin\"}\nenvironment_file: env",
    );
    host.file(
        "env",
        "# comment\n; another\n\nB=from file\nQUOTED=\"a \\\"b\\\" $x\"\nSINGLE='a  b'\nLONG=one \\\ntwo\n EMPTY =\n",
    );
    host.mode("hooks/env", 0o644);
    let script = r#"log "$A|$B|$N|$QUOTED|$SINGLE|$LONG|${EMPTY-unset}|$PATH""#;
    host.script("before_vm_prepare/10-x", script);
    host.script("bin/x", script);
    host.file("hooks.d/x.yaml", "calls: qemu/prepare/begin\ncommand: bin/x\nstyle: libvirt\n");
    host.mode("hooks/hooks.d/x.yaml", 0o644);
    host.guest("prepare begin").run().succeeds();
    let expected = "a|from file|5|a \"b\" $x|a  b|one two||/usr/bin:/bin";
    assert_eq!(host.log(), [expected, expected]);
}

#[test]
fn nothing_overrides_what_is_hookmuxs_own() {
    let host = Host::new();
    host.settings("environment: {vmId: x, _hook_domxml: x}\nenvironment_file: env");
    let names = [
        "HOOKMUX_EVENT",
        "HOOKMUX_DRIVER",
        "HOOKMUX_OBJECT",
        "HOOKMUX_UUID",
        "HOOKMUX_RUN",
        "HOOKMUX_REASON",
        "HOOKMUX_STARTED_XML",
        "HOOKMUX_PROPERTY_x",
        "vmId",
        "_hook_domxml",
    ];
    let lines: String = names.iter().map(|name| format!("{name}=forged\n")).collect();
    host.file("env", lines).mode("hooks/env", 0o644);
    let script = "env | grep =forged >>\"$T/log\"; exit 0";
    host.script("before_vm_prepare/10-x", script);
    host.script("qemu.d/g/prepare/begin/10-x", script);
    // refused or left out
    let answer = host.guest("prepare begin").run();
    let forged = host.log();
    assert!(forged.iter().all(|line| !line.starts_with("HOOKMUX_")), "{forged:?}, {answer:?}");
}

#[test]
fn an_environment_file_that_cannot_be_used_closes_gates_and_nothing_else() {
    for (text, mode, words) in [
        (Some("A=1\nno equals sign\n"), 0o644, ":2: no `=`"),
        (Some("1A=1\n"), 0o644, ":1: `1A` is not a name of a variable"),
        (Some("A=1\n"), 0o666, "writable by group"),
        (None, 0, "does not exist"),
    ] {
        let host = host();
        host.settings("environment_file: env");
        if let Some(text) = text {
            host.file("env", text).mode("hooks/env", mode);
        }
        let answer = host.guest("prepare begin").run();
        answer.fails(125, &["hookmux: environment_file ", "hooks/env", words]);
        assert_eq!(host.log(), [""; 0]);
        for (call, event) in LIVE_AND_NOTIFY {
            host.guest(call).run().succeeds();
            assert_eq!(host.log(), [*event]);
        }
    }
}

// --- sessions -----------------------------------------------------------------------------------

#[test]
fn who_is_not_root_runs_nothing_unless_the_settings_say_so() {
    let host = Host::new();
    let give = |host: &Host| {
        if !is_root() {
            return;
        }
        for path in host.everything() {
            std::os::unix::fs::lchown(path, Some(54321), Some(54321)).unwrap();
        }
        std::os::unix::fs::lchown(host.directory(), Some(54321), Some(54321)).unwrap();
    };
    // where another user can reach it
    let bytes = fs::read(binary_under_test()).unwrap();
    fs::remove_file(host.hook("qemu")).unwrap();
    host.file("qemu", bytes);
    host.script("before_vm_prepare/10-x", r#"log "$(id -u)""#);
    host.script("after_vm_stop/10-x", "exit 3");
    let call = |call| {
        let call = host.guest(call);
        if is_root() {
            call.through(["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups"])
        } else {
            call
        }
    };
    let session = host.private_settings();
    for text in
        [session.replace("session: true\n", ""), session.replace("true", "false"), "[".into()]
    {
        host.raw_settings(&text);
        give(&host);
        for name in ["prepare begin", "stopped end", "restore begin"] {
            call(name).stdin("<broken").run().succeeds();
        }
        assert_eq!(host.log(), [""; 0], "{text}");
    }
    host.raw_settings(&session);
    give(&host);
    call("prepare begin").run().succeeds();
    let user = if is_root() { "54321".to_owned() } else { nix::unistd::geteuid().to_string() };
    assert_eq!(host.log(), [user]);
    call("stopped end").run().fails(3, &["after_vm_stop/10-x"]);
}

// --- that there were no settings ----------------------------------------------------------------

/// The call with a /var/lib that stays from one call to the next.
fn with_own_state<'h>(host: &'h Host, call: Call<'h>) -> Call<'h> {
    let place = host.path("var-lib");
    fs::create_dir_all(&place).unwrap();
    call.with_mounts(&format!(
        "mount -t tmpfs -o mode=755 tmpfs /run\nmount --bind '{}' /var/lib",
        place.display()
    ))
}

#[test]
fn before_the_first_settings_there_were_none_and_a_mistake_in_them_changes_nothing() {
    if !is_root() {
        return skip("who isn't root runs nothing without settings");
    }
    let host = host();
    fs::remove_file(host.hook("hookmux.yaml")).unwrap();
    with_own_state(&host, host.guest("prepare begin")).run().succeeds();
    assert_eq!(host.log(), ["before_vm_prepare/10-x"]);
    for text in ["timout: 3s\n", "roots: [\n"] {
        host.raw_settings(text);
        with_own_state(&host, host.guest("prepare begin")).run().succeeds();
        assert_eq!(host.log(), ["before_vm_prepare/10-x"], "{text}");
    }
    // one that others could write may be another one than it was
    fs::set_permissions(host.hook("hookmux.yaml"), fs::Permissions::from_mode(0o666)).unwrap();
    with_own_state(&host, host.guest("prepare begin")).run().fails(125, &["not trusted"]);
    // one that lies elsewhere says nothing about these
    host.raw_settings(&format!("state_dir: {}\ntimout: 3s\n", host.path("state").display()));
    with_own_state(&host, host.guest("prepare begin")).run().fails(125, &["timout"]);
    // a good one is the last good one from then on
    host.raw_settings("timeout: 7s\n");
    with_own_state(&host, host.guest("prepare begin")).run().succeeds();
    host.raw_settings("timout: 3s\n");
    with_own_state(&host, host.guest("prepare begin")).run().succeeds();
    // an empty copy is what a power cut leaves of a new one
    let copies = fs::read_dir(host.path("var-lib/hookmux/last-good")).unwrap();
    let copy = copies.map(|entry| entry.unwrap().path()).next().unwrap();
    fs::write(&copy, "").unwrap();
    with_own_state(&host, host.guest("prepare begin")).run().fails(125, &["timout"]);
    // but an empty file of settings is a good one
    host.raw_settings("");
    with_own_state(&host, host.guest("prepare begin")).run().succeeds();
    host.raw_settings("timout: 3s\n");
    with_own_state(&host, host.guest("prepare begin")).run().succeeds();
    // with the state lost, it is unknown whether there were any
    fs::remove_dir_all(host.path("var-lib/hookmux/last-good")).unwrap();
    with_own_state(&host, host.guest("prepare begin")).run().fails(125, &["timout"]);
}

#[test]
fn settings_that_were_removed_are_no_last_good_ones() {
    if !is_root() {
        return skip("who isn't root runs nothing without settings");
    }
    let host = host();
    host.script("before_vm_prepare/10-x", r#"log "${WHICH-none}""#);
    host.raw_settings("environment: {WHICH: old}\n");
    with_own_state(&host, host.guest("prepare begin")).run().succeeds();
    fs::remove_file(host.hook("hookmux.yaml")).unwrap();
    with_own_state(&host, host.guest("prepare begin")).run().succeeds();
    host.raw_settings("environment: {WHICH: new}\noops\n");
    with_own_state(&host, host.guest("prepare begin")).run().succeeds();
    assert_eq!(host.log(), ["old", "none", "none"]);
}
