//! Lives of guests, containers and networks, as libvirt's own documents tell them. (L1, L3, V3)

use std::fs;

use crate::support::documents::{GUEST, UUID, capture};
use crate::support::events::{GUEST_EVENTS, NETWORK_EVENTS};
use crate::support::{Host, is_root, skip, until};

const DAEMON_EVENTS: &[&str] = &[
    "before_daemon_start",
    "before_vdsm_start",
    "before_daemon_stop",
    "after_vdsm_stop",
    "before_daemon_reload",
];

/// A host that logs every event, with the origin where there is one.
fn watched() -> Host {
    let host = Host::new();
    for event in GUEST_EVENTS.iter().chain(NETWORK_EVENTS).chain(DAEMON_EVENTS) {
        host.script(
            format!("{event}/50-watch"),
            r#"log "$HOOKMUX_EVENT${HOOKMUX_ORIGIN:+ $HOOKMUX_ORIGIN}""#,
        );
    }
    host
}

fn replay(host: &Host, version: &str, driver: &str, name: &str, calls: &[&str]) {
    for call in calls {
        let words: Vec<&str> = call.split(' ').collect();
        let document = capture(version, &format!("{driver}.{}.{}", words[0], words[1]));
        let extra = words.get(2).copied().unwrap_or("-");
        let answer = host.call(driver, [name, words[0], words[1], extra]).stdin(document).run();
        answer.succeeds();
    }
}

// --- lives --------------------------------------------------------------------------------------

#[test]
fn a_guests_life_fires_each_event_once_and_in_order() {
    for (version, name) in [("9.0.0", "netdemo"), ("11.3.0", "vm")] {
        let host = watched();
        replay(&host, version, "qemu", name, &["prepare begin", "start begin", "started begin"]);
        assert_eq!(
            host.log(),
            [
                "before_vm_prepare fresh",
                "before_vm_start fresh",
                "before_vm_launch fresh",
                "after_vm_launch fresh",
                "after_vm_start fresh",
            ],
            "{version}"
        );
        replay(&host, version, "qemu", name, &["reconnect begin", "stopped end", "release end"]);
        let ending = ["after_vm_reconnect fresh", "after_vm_stop fresh", "after_vm_destroy fresh"];
        assert_eq!(host.log(), ending, "{version}");
        replay(&host, version, "qemu", name, &["stopped end"]);
        assert_eq!(host.log(), ["after_vm_stop unknown"], "forgotten at release");
    }
}

#[test]
fn a_restored_guest_wakes_up_instead_of_starting() {
    for (version, name) in [("9.0.0", "netdemo"), ("11.3.0", "vm")] {
        let host = watched();
        let calls = ["restore begin", "prepare begin", "start begin", "started begin"];
        replay(&host, version, "qemu", name, &calls);
        assert_eq!(
            host.log(),
            [
                "before_vm_dehibernate restore",
                "before_vm_prepare restore",
                "before_vm_start restore",
                "before_vm_launch restore",
                "after_vm_launch restore",
                "after_vm_dehibernate restore",
            ],
            "{version}"
        );
        replay(&host, version, "qemu", name, &["reconnect begin", "stopped end", "release end"]);
        assert_eq!(host.log()[0], "after_vm_reconnect restore");
        replay(&host, version, "qemu", name, &["prepare begin"]);
        assert_eq!(host.log()[0], "before_vm_prepare fresh", "the next life is another");
    }
}

#[test]
fn a_guest_that_migrates_in_is_prepared_and_nothing_else() {
    let host = watched();
    for call in ["migrate begin", "prepare begin", "start begin", "started begin"] {
        host.guest(call).run().succeeds();
    }
    let events = host.log();
    assert_eq!(events[0].split(' ').next(), Some("before_vm_migrate_destination"));
    assert_eq!(
        events[1..],
        ["before_vm_prepare migration", "before_vm_launch migration", "after_vm_launch migration"]
    );
}

#[test]
fn the_reason_of_a_release_decides_its_events() {
    let host = watched();
    for (reason, expected) in [
        ("-", &["after_vm_destroy"][..]),
        ("shutdown", &["after_vm_destroy"]),
        ("migrated", &["after_vm_migrate_source", "after_vm_destroy"]),
        ("saved", &["after_vm_hibernate", "after_vm_destroy"]),
        ("Saved", &["after_vm_destroy"]),
        ("--saved", &["after_vm_destroy"]),
    ] {
        host.guest("prepare begin").run().succeeds();
        host.log();
        host.call("qemu", ["g", "release", "end", reason]).run().succeeds();
        let events: Vec<String> =
            host.log().iter().map(|line| line.replace(" fresh", "")).collect();
        assert_eq!(events, expected, "{reason}");
    }
}

// L1
#[test]
fn every_guest_driver_has_the_same_events() {
    let host = watched();
    for driver in ["qemu", "lxc", "libxl", "bhyve"] {
        for (call, expected) in [
            ("prepare begin", &["before_vm_prepare fresh", "before_vm_start fresh"][..]),
            ("start begin", &["before_vm_launch fresh"]),
            ("started begin", &["after_vm_launch fresh", "after_vm_start fresh"]),
            ("reconnect begin", &["after_vm_reconnect fresh"]),
            ("attach begin", &["after_vm_attach fresh"]),
            ("stopped end", &["after_vm_stop fresh"]),
            ("release end", &["after_vm_destroy fresh"]),
        ] {
            let words: Vec<&str> = ["g"].into_iter().chain(call.split(' ')).chain(["-"]).collect();
            host.call(driver, words).run().succeeds();
            assert_eq!(host.log(), expected, "{driver} {call}");
        }
    }
}

#[test]
fn a_containers_life_is_a_guests() {
    let host = watched();
    let calls = ["prepare begin", "start begin", "started begin", "stopped end", "release end"];
    replay(&host, "9.0.0", "lxc", "c1", &calls);
    assert_eq!(
        host.log(),
        [
            "before_vm_prepare fresh",
            "before_vm_start fresh",
            "before_vm_launch fresh",
            "after_vm_launch fresh",
            "after_vm_start fresh",
            "after_vm_stop fresh",
            "after_vm_destroy fresh",
        ]
    );
}

#[test]
fn a_networks_life_has_events_of_its_own_and_no_origin() {
    let host = watched();
    let early = ["start begin", "started begin", "port-created begin", "port-deleted begin"];
    replay(&host, "9.0.0", "network", "default", &early);
    let early = [
        "before_network_start",
        "after_network_start",
        "before_network_port_create",
        "after_network_port_delete",
    ];
    assert_eq!(host.log(), early);
    let calls = [
        "start begin",
        "started begin",
        "port-created begin",
        "updated begin",
        "port-deleted begin",
        "stopped end",
    ];
    replay(&host, "11.3.0", "network", "n1", &calls);
    assert_eq!(
        host.log(),
        [
            "before_network_start",
            "after_network_start",
            "before_network_port_create",
            "after_network_update",
            "after_network_port_delete",
            "after_network_stop",
        ]
    );
    // before libvirt 5.5
    for (call, event) in [
        (["n1", "plugged", "begin", "-"], "before_network_port_create"),
        (["n1", "unplugged", "begin", "-"], "after_network_port_delete"),
    ] {
        host.call("network", call).run().succeeds();
        assert_eq!(host.log(), [event]);
    }
}

// V10
#[test]
fn a_daemons_life_has_vdsms_events_too() {
    let host = watched();
    for (call, events) in [
        (["-", "start", "-", "start"], &["before_daemon_start", "before_vdsm_start"][..]),
        (["-", "reload", "begin", "SIGHUP"], &["before_daemon_reload"]),
        (["-", "shutdown", "-", "shutdown"], &["before_daemon_stop", "after_vdsm_stop"]),
    ] {
        host.call("daemon", call).stdin("").run().succeeds();
        assert_eq!(host.log(), events, "{call:?}");
    }
    host.script("before_vdsm_start/60-x", r#"log "$(wc -c <"$_hook_domxml")""#);
    host.call("daemon", ["-", "start", "-", "start"]).stdin("").run().succeeds();
    assert_eq!(host.log()[2], "0", "vdsm's own have an empty document");
}

// --- environment --------------------------------------------------------------------------------

/// What a hook has of hookmux's in its environment, sorted.
fn environment(host: &Host, name: &str) -> Vec<String> {
    let mut lines: Vec<String> = host
        .read_text(name)
        .lines()
        .filter(|line| line.starts_with("HOOKMUX_") || line.starts_with("vmId="))
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

// L2, V3
#[test]
fn both_styles_know_everything_of_their_call() {
    let host = Host::new();
    let script = r#"env >"$T/env-$me""#;
    host.script("after_vm_hibernate/vdsm", script);
    host.script("after_vm_destroy/last", script);
    host.script("qemu.d/vm/release/end/tree", script);
    replay(&host, "11.3.0", "qemu", "vm", &["prepare begin", "started begin", "release end saved"]);
    let uuid = "91126ceb-8184-4a0b-b79f-0f3d17ecc836";
    for (name, event) in
        [("vdsm", Some("after_vm_hibernate")), ("last", Some("after_vm_destroy")), ("tree", None)]
    {
        let seen = environment(&host, &format!("env-{name}"));
        let get = |name: &str| {
            let prefix = format!("{name}=");
            seen.iter().find_map(|line| line.strip_prefix(&prefix)).map(str::to_owned)
        };
        let comm = fs::read_to_string("/proc/self/comm").unwrap();
        let execution = get("HOOKMUX_EXECUTION").unwrap();
        assert_eq!(execution.len(), 26, "a ULID: {execution}");
        assert!(get("HOOKMUX_RUN").unwrap().starts_with(&execution));
        for (variable, value) in [
            ("HOOKMUX_DRIVER", "qemu"),
            ("HOOKMUX_OBJECT", "vm"),
            ("HOOKMUX_OPERATION", "release"),
            ("HOOKMUX_SUB_OPERATION", "end"),
            ("HOOKMUX_EXTRA", "saved"),
            ("HOOKMUX_REASON", "saved"),
            ("HOOKMUX_UUID", uuid),
            ("vmId", uuid),
            ("HOOKMUX_ORIGIN", "fresh"),
            ("HOOKMUX_HOOKS_DIR", host.hooks().to_str().unwrap()),
            // the thread that made the call, as the daemon's name is its process's
            ("HOOKMUX_DAEMON", comm.trim()),
        ] {
            // vdsm's own variable is nothing for what was libvirt's
            let value = (name != "tree" || variable != "vmId").then_some(value);
            assert_eq!(get(variable).as_deref(), value, "{name}: {variable}");
        }
        if let Some(event) = event {
            assert_eq!(get("HOOKMUX_EVENT").as_deref(), Some(event));
        }
        assert!(get("HOOKMUX_STARTED_XML").is_some());
    }
    let runs: Vec<String> = ["vdsm", "last", "tree"]
        .iter()
        .flat_map(|name| environment(&host, &format!("env-{name}")))
        .filter(|line| line.starts_with("HOOKMUX_RUN="))
        .collect();
    assert!(runs[0] != runs[1] && runs[1] != runs[2] && runs[0] != runs[2], "{runs:?}");
}

// L2
#[test]
fn what_libvirt_does_not_say_is_not_set() {
    let host = Host::new();
    host.script("before_network_start/10-x", r#"env >"$T/env""#);
    host.script("after_vm_destroy/10-x", r#"env >"$T/env""#);
    host.script("before_vm_prepare/10-x", r#"env >"$T/env""#);
    let names = |host: &Host| -> Vec<String> {
        environment(host, "env").iter().map(|l| l.split('=').next().unwrap().to_owned()).collect()
    };
    replay(&host, "9.0.0", "network", "default", &["start begin"]);
    for name in ["HOOKMUX_ORIGIN", "HOOKMUX_REASON", "HOOKMUX_STARTED_XML"] {
        assert!(!names(&host).contains(&name.to_owned()), "{name} at a network's start");
    }
    host.guest("release end").run().succeeds();
    assert!(environment(&host, "env").contains(&"HOOKMUX_EXTRA=-".to_owned()), "verbatim");
    for name in ["HOOKMUX_REASON", "HOOKMUX_STARTED_XML"] {
        assert!(!names(&host).contains(&name.to_owned()), "{name} at release without a reason");
    }
    host.guest("prepare begin").stdin("").run().succeeds();
    for name in ["HOOKMUX_UUID", "vmId", "HOOKMUX_STARTED_XML"] {
        assert!(!names(&host).contains(&name.to_owned()), "{name} without a document");
    }
}

#[test]
fn the_rest_of_the_environment_is_clean() {
    let host = Host::new();
    host.script("before_vm_prepare/10-x", r#"env >"$T/env""#);
    let call = || host.guest("prepare begin").env("LD_DEBUG_OUTPUT", "/nowhere").env("LC_ALL", "x");
    let get = |name: &str| -> Option<String> {
        let prefix = format!("{name}=");
        host.read_text("env").lines().find_map(|l| l.strip_prefix(&prefix)).map(str::to_owned)
    };
    call().env("PATH", "/usr/bin:/bin").env("HOME", "/home/libvirt").run().succeeds();
    assert_eq!(get("PATH").as_deref(), Some("/usr/bin:/bin"), "the daemon's");
    assert_eq!(get("HOME").as_deref(), Some("/home/libvirt"));
    assert_eq!(get("LC_ALL").as_deref(), Some("C.UTF-8"));
    assert_eq!(get("LD_DEBUG_OUTPUT"), None);
    call().without_env("PATH").without_env("HOME").run().succeeds();
    assert!(get("PATH").unwrap().contains("/usr/bin"), "a sane default");
    assert!(get("HOME").unwrap().starts_with('/'));
}

// --- what is remembered -------------------------------------------------------------------------

#[test]
fn the_document_of_started_is_there_until_release() {
    for (version, name) in [("9.0.0", "netdemo"), ("11.3.0", "vm")] {
        for with_hooks in [true, false] {
            let host = Host::new();
            if with_hooks {
                host.follow(&["after_vm_launch/10-x", "before_vm_prepare/10-x"]);
            }
            for event in ["after_vm_stop", "after_vm_destroy"] {
                host.script(
                    format!("{event}/10-x"),
                    r#"cat "$HOOKMUX_STARTED_XML" >"$T/$HOOKMUX_EVENT""#,
                );
            }
            let calls =
                ["prepare begin", "start begin", "started begin", "stopped end", "release end"];
            replay(&host, version, "qemu", name, &calls);
            let started = capture(version, "qemu.started.begin");
            assert!(started.windows(4).any(|w| w == b"vnet"), "it names what later ones don't");
            assert!(host.read("after_vm_stop") == started, "{version} {with_hooks}");
            assert!(host.read("after_vm_destroy") == started, "{version} {with_hooks}");
            replay(&host, version, "qemu", name, &["prepare begin"]);
            host.script("after_vm_stop/10-x", r#"log "${HOOKMUX_STARTED_XML-none}""#);
            host.log();
            replay(&host, version, "qemu", name, &["stopped end"]);
            assert_eq!(host.log(), ["none"], "it went with the release");
        }
    }
}

#[test]
fn a_reconnect_renews_the_document_of_started() {
    let host = Host::new();
    host.script("after_vm_stop/10-x", r#"cat "$HOOKMUX_STARTED_XML" >"$T/seen""#);
    // hookmux came later than the guest
    let calls = ["reconnect begin", "stopped end"];
    replay(&host, "11.3.0", "qemu", "vm", &calls);
    assert!(host.read("seen") == capture("11.3.0", "qemu.reconnect.begin"));
}

#[test]
fn guests_are_told_apart_by_driver_and_uuid() {
    let host = watched();
    let other = GUEST.replace(UUID, "3c8e1f52-9b0d-4a6e-8f57-2d41c6b7a902");
    host.guest("restore begin").run().succeeds();
    // another guest of the name, and another driver's guest of the uuid
    host.guest("prepare begin").stdin(other).run().succeeds();
    host.call("lxc", ["g", "prepare", "begin", "-"]).run().succeeds();
    host.log();
    // renamed meanwhile
    let renamed = GUEST.replace("<name>g<", "<name>h<");
    host.call("qemu", ["h", "prepare", "begin", "-"]).stdin(renamed).run().succeeds();
    assert_eq!(host.log()[0], "before_vm_prepare restore");
}

#[test]
fn without_a_document_a_guest_is_known_by_its_name() {
    let host = watched();
    host.call("bhyve", ["g", "restore", "begin", "-"]).stdin("").run().succeeds();
    host.call("bhyve", ["h", "prepare", "begin", "-"]).stdin("").run().succeeds();
    host.call("bhyve", ["g", "prepare", "begin", "-"]).stdin("").run().succeeds();
    let seen = host.log();
    let prepared: Vec<&String> =
        seen.iter().filter(|line| line.starts_with("before_vm_prepare")).collect();
    assert_eq!(prepared, ["before_vm_prepare fresh", "before_vm_prepare restore"]);
}

#[test]
fn a_pending_origin_is_consumed_by_the_first_prepare() {
    let host = watched();
    host.guest("restore begin").run().succeeds();
    host.guest("prepare begin").run().succeeds();
    host.guest("prepare begin").run().succeeds();
    let seen = host.log();
    assert!(seen.contains(&"before_vm_prepare restore".to_owned()));
    assert_eq!(seen[seen.len() - 2], "before_vm_prepare fresh");
}

#[test]
fn a_pending_origin_is_dropped_by_any_other_call_of_the_guest() {
    for with_hooks in [true, false] {
        for call in [
            "start begin",
            "started begin",
            "stopped end",
            "release end",
            "reconnect begin",
            "attach begin",
            "paused begin",
        ] {
            // an offline migration and a refused restore never reach prepare
            let host = if with_hooks { watched() } else { Host::new() };
            host.script("before_vm_prepare/60-x", r#"log "$HOOKMUX_ORIGIN""#);
            host.guest("migrate begin").run().succeeds();
            host.guest(call).run().succeeds();
            host.log();
            host.guest("prepare begin").run().succeeds();
            let seen = host.log();
            assert!(
                seen.contains(&"fresh".to_owned()),
                "{call}, hooks there: {with_hooks}: {seen:?}"
            );
        }
    }
}

#[test]
fn a_pending_origin_and_a_held_failure_are_gone_after_five_minutes() {
    if !is_root() {
        return skip("only root can go through time");
    }
    let later = |seconds: &str| {
        ["unshare", "--time", "--boottime", seconds, "--monotonic", seconds, "--fork"]
            .map(str::to_owned)
    };
    let works = std::process::Command::new("unshare")
        .args(["--time", "--boottime", "10", "--fork", "true"])
        .status()
        .is_ok_and(|status| status.success());
    if !works {
        return skip("the kernel has no time namespaces");
    }
    for (seconds, origin) in [("240", "restore"), ("320", "fresh")] {
        let host = watched();
        host.guest("restore begin").run().succeeds();
        host.log();
        host.guest("prepare begin").through(later(seconds)).run().succeeds();
        assert_eq!(host.log()[0], format!("before_vm_prepare {origin}"), "after {seconds} s");
    }
    let host = watched();
    host.script("before_vm_dehibernate/60-x", "exit 3");
    host.guest("restore begin").run().succeeds();
    host.guest("prepare begin").through(later("320")).run().succeeds();
}

#[test]
fn another_guest_in_between_changes_nothing() {
    let host = watched();
    host.guest("restore begin").run().succeeds();
    let calls = ["prepare begin", "start begin", "started begin", "stopped end", "release end"];
    replay(&host, "11.3.0", "qemu", "vm", &calls);
    host.log();
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log()[0], "before_vm_prepare restore");
}

#[test]
fn the_origin_does_not_hang_on_hooks_being_there_at_each_call() {
    let host = Host::new();
    host.script("after_vm_launch/10-x", r#"log "$HOOKMUX_ORIGIN""#);
    for call in ["migrate begin", "prepare begin", "start begin", "started begin"] {
        host.guest(call).run().succeeds();
    }
    assert_eq!(host.log(), ["migration"]);
}

#[test]
fn a_lost_runtime_directory_makes_the_origin_unknown_and_nothing_else() {
    let host = watched();
    host.guest("prepare begin").run().succeeds();
    host.guest("started begin").run().succeeds();
    host.log();
    lose_runtime_directory(&host);
    host.guest("reconnect begin").run().succeeds();
    assert_eq!(host.log(), ["after_vm_reconnect unknown"]);
    lose_runtime_directory(&host);
    // a lost origin counts as fresh: what was never put up is worse than what was put up twice
    host.guest("started begin").run().succeeds();
    assert_eq!(host.log(), ["after_vm_launch unknown", "after_vm_start unknown"]);
    host.guest("stopped end").run().succeeds();
    host.guest("release end").run().succeeds();
    assert_eq!(host.log(), ["after_vm_stop unknown", "after_vm_destroy unknown"]);
}

/// Removes it while a mover may be about to write there.
fn lose_runtime_directory(host: &Host) {
    let run = host.path("run");
    until("the runtime directory is gone", || fs::remove_dir_all(&run).is_ok() || !run.exists());
}

#[test]
fn a_runtime_directory_that_takes_no_file_costs_only_the_memory() {
    let host = watched();
    fs::remove_dir(host.path("run")).unwrap();
    fs::write(host.path("run"), "").unwrap();
    for call in ["prepare begin", "start begin", "started begin", "stopped end", "release end"] {
        host.guest(call).run().succeeds();
    }
    let events: Vec<String> =
        host.log().iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(
        events,
        [
            "before_vm_prepare",
            "before_vm_start",
            "before_vm_launch",
            "after_vm_launch",
            "after_vm_start",
            "after_vm_stop",
            "after_vm_destroy",
        ]
    );
}

#[test]
fn what_is_remembered_is_private() {
    let host = Host::new();
    replay(&host, "11.3.0", "qemu", "vm", &["restore begin", "prepare begin", "started begin"]);
    use std::os::unix::fs::PermissionsExt;
    let remembered: Vec<_> =
        host.everything().into_iter().filter(|path| path.starts_with(host.path("run"))).collect();
    assert!(remembered.len() >= 2, "{remembered:?}");
    for path in remembered.iter().filter(|path| **path != host.path("run")) {
        let mode = fs::metadata(path).unwrap().permissions().mode() & 0o077;
        assert_eq!(mode, 0, "{}: documents may carry passwords", path.display());
    }
}

#[test]
fn remembered_things_that_are_torn_or_foreign_are_survived() {
    let host = watched();
    host.guest("restore begin").run().succeeds();
    host.log();
    for path in host.everything() {
        if path.starts_with(host.path("run")) && path.is_file() {
            fs::write(path, "{\"torn").unwrap();
        }
    }
    // a failure of that restore may have been in it
    host.guest("prepare begin").run().fails(125, &["run/pending/qemu-", "can't be read", "rm /"]);
    assert!(host.log().is_empty());
    for call in ["started begin", "reconnect begin", "stopped end", "release end"] {
        host.guest(call).run().succeeds();
    }
    host.log();
    let pending = fs::read_dir(host.path("run/pending")).unwrap().next().unwrap().unwrap();
    let time = std::time::SystemTime::now() - std::time::Duration::from_secs(301);
    fs::File::open(pending.path()).unwrap().set_modified(time).unwrap();
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), ["before_vm_prepare fresh", "before_vm_start fresh"]);
    assert!(!pending.path().exists());
}

#[test]
fn a_full_runtime_directory_costs_only_the_memory() {
    if !is_root() {
        return skip("only root can make a small file system");
    }
    let host = watched();
    host.script("before_vm_start/60-x", r#"cmp -s "$_hook_domxml" "$T/document" && log same"#);
    host.script(
        "after_vm_stop/60-x",
        r#"log "${HOOKMUX_STARTED_XML-none}"; ls "$T/run/data" >>"$T/log""#,
    );
    fs::write(host.path("document"), GUEST).unwrap();
    let run = host.path("run").display().to_string();
    // as full as it can be, with room for names
    let full = format!(
        "mount -t tmpfs -o size=64k,mode=755 tmpfs '{run}'; mkdir -p '{run}/guests' '{run}/data'\n\
         head -c 1000000 /dev/zero >'{run}/full' 2>/dev/null || :"
    );
    for (call, expected) in [
        ("prepare begin", &["before_vm_prepare fresh", "before_vm_start fresh", "same"][..]),
        ("started begin", &["after_vm_launch unknown", "after_vm_start unknown"]),
        ("reconnect begin", &["after_vm_reconnect unknown"]),
        ("stopped end", &["after_vm_stop unknown", "none"]),
        ("release end", &["after_vm_destroy unknown"]),
    ] {
        host.guest(call).with_mounts(&full).run().succeeds();
        let seen = host.log();
        assert!(
            seen.len() >= expected.len() && seen[..expected.len()] == *expected,
            "{call}: {seen:?}"
        );
    }
    // a failure at restore that can't be kept must not cost the save
    host.script("before_vm_dehibernate/60-x", "exit 3");
    host.guest("restore begin").with_mounts(&full).run().succeeds();
}

#[test]
fn nothing_is_left_in_a_full_runtime_directory() {
    if !is_root() {
        return skip("only root can make a small file system");
    }
    let host = Host::new();
    host.script("before_vm_start/10-x", ":");
    let run = host.path("run").display().to_string();
    let full = format!(
        "mount -t tmpfs -o size=64k,mode=755 tmpfs '{run}'; mkdir -p '{run}/guests' '{run}/data'\n\
         head -c 1000000 /dev/zero >'{run}/full' 2>/dev/null || :"
    );
    // the mounts go with the call: what it leaves is listed before
    let listing = format!(
        "{full}\n\"$@\" <'{}'; find '{run}/data' -mindepth 1 >'{}'; set -- true",
        host.path("document").display(),
        host.path("left").display()
    );
    fs::write(host.path("document"), GUEST).unwrap();
    host.guest("prepare begin").with_mounts(&listing).run().succeeds();
    assert_eq!(host.read_text("left"), "");
}

#[test]
fn guests_that_start_side_by_side_do_not_meet() {
    let host = watched();
    let host = &host;
    std::thread::scope(|scope| {
        for n in 10..18 {
            scope.spawn(move || {
                let uuid = UUID.replace("a901", &format!("a9{n}"));
                let document = GUEST.replace(UUID, &uuid).replace(">g<", &format!(">g{n}<"));
                let origin = if n % 2 == 0 { "migrate" } else { "restore" };
                for call in [origin, "prepare", "start", "started", "release"] {
                    let sub = if call == "release" { "end" } else { "begin" };
                    let words = [format!("g{n}"), call.to_owned(), sub.to_owned(), "-".to_owned()];
                    host.call("qemu", words).stdin(document.clone()).run().succeeds();
                }
            });
        }
    });
    let seen = host.log();
    for (line, count) in [
        ("before_vm_prepare migration", 4),
        ("before_vm_prepare restore", 4),
        ("before_vm_start restore", 4),
        ("after_vm_launch migration", 4),
        ("after_vm_dehibernate restore", 4),
        ("after_vm_start fresh", 0),
    ] {
        assert_eq!(seen.iter().filter(|logged| *logged == line).count(), count, "{line}");
    }
}
