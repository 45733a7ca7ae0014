//! What people changed: `hookmux log --audit`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::host::binary_under_test;
use crate::support::{Host, is_root, skip};

fn acts(host: &Host, more: &[&str]) -> Vec<Value> {
    host.json(&[&["log", "--audit"], more].concat(), 0)["acts"].as_array().unwrap().clone()
}

fn of(acts: &[Value], keys: &[&str]) -> Vec<String> {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    acts.iter()
        .map(|act| keys.iter().map(|key| word(&act[*key])).collect::<Vec<_>>().join("/"))
        .collect()
}

fn files(host: &Host) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(host.path("state/audit"))
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    found.sort();
    found
}

/// A command with these variables of sudo's and others.
fn with(host: &Host, variables: &[(&str, &str)], words: &[&str]) -> Output {
    let mut command = Command::new(binary_under_test());
    command.arg("--hooks-dir").arg(host.hooks()).args(words);
    for name in ["SUDO_USER", "DOAS_USER", "PKEXEC_UID"] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied()).current_dir(host.directory()).output().unwrap()
}

const REGISTRATION: &str = "events: [before_vm_start]\ncommand: /bin/true\n";

#[test]
fn every_act_is_kept_with_who_what_and_why() {
    let host = Host::new();
    fs::remove_file(host.hook("qemu")).unwrap();
    let job = host.path("state/queue/x.broken");
    fs::create_dir_all(job.parent().unwrap()).unwrap();
    host.mode("state/queue", 0o700);
    fs::write(&job, "{").unwrap();
    fs::write(host.path("x.yaml"), REGISTRATION).unwrap();
    assert!(acts(&host, &[]).is_empty());
    assert!(host.text(&["log", "--audit"], 0).contains("Nothing has been changed yet."));
    let commands: [&[&str]; 9] = [
        &["install", "--driver", "qemu"],
        &["add", "x.yaml"],
        &["disable", "x"],
        &["enable", "x"],
        &["delete", "x"],
        &["bypass", "on", "--for", "1h"],
        &["bypass", "off"],
        &["queue", "--flush", "x"],
        &["uninstall", "--driver", "qemu"],
    ];
    for words in commands {
        host.text(&[words, &["--reason", "ticket 4711"]].concat(), 0);
    }
    let found = acts(&host, &[]);
    assert_eq!(
        of(&found, &["action", "state", "reason"]),
        [
            "install/done/ticket 4711",
            "add/done/ticket 4711",
            "disable/done/ticket 4711",
            "enable/done/ticket 4711",
            "delete/done/ticket 4711",
            "bypass-on/done/ticket 4711",
            "bypass-off/done/ticket 4711",
            "queue-flush/done/ticket 4711",
            "uninstall/done/ticket 4711",
        ]
    );
    let hooks = host.hooks();
    let words = [
        "hookmux",
        "--hooks-dir",
        hooks.to_str().unwrap(),
        "disable",
        "x",
        "--reason",
        "ticket 4711",
    ];
    assert_eq!(found[2]["command"], json!(words));
    assert_eq!(found[2]["hooks_dir"], json!(hooks));
    assert!(!found[2]["user"].as_str().unwrap().is_empty() && found[2]["uid"].is_u64());
    assert!(found[2]["at"].as_str().unwrap().ends_with('Z'));
    let said = host.text(&["log", "--audit"], 0);
    assert!(said.contains("disable x --reason 'ticket 4711'") && said.contains("done"), "{said}");
    // each file says its format, and is nobody else's to read
    for file in files(&host) {
        let entry: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        assert_eq!(entry["format"], 1);
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&file).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
    // some of them
    assert_eq!(of(&acts(&host, &["-n", "2"]), &["action"]), ["queue-flush", "uninstall"]);
    assert_eq!(acts(&host, &["--since", "1h"]).len(), 9);
    assert!(acts(&host, &["--until", "1h"]).is_empty());
    assert!(acts(&host, &["--failed"]).is_empty());
    assert!(host.text(&["log", "--audit", "--failed"], 0).contains("No such act."));
    host.text(&["log", "--audit", "--guest", "g"], 2);
}

#[test]
fn what_changes_nothing_is_no_act_and_what_fails_is_one() {
    let host = Host::new();
    fs::write(host.path("x.yaml"), REGISTRATION).unwrap();
    host.file("hooks.d/x.yaml", REGISTRATION).mode("hooks/hooks.d/x.yaml", 0o644);
    for (words, status) in [
        (&["install", "--driver", "qemu"][..], 0),
        (&["install", "--dry-run"], 0),
        (&["add", "x.yaml", "--dry-run", "--replace"], 0),
        (&["enable", "x"], 0),
        (&["bypass"], 0),
        (&["bypass", "off"], 0),
        (&["bypass", "on"], 2),
        (&["queue", "--flush"], 2),
        (&["queue", "--requeue"], 0),
        (&["queue"], 0),
        (&["list"], 0),
        (&["uninstall", "--purge"], 2),
        (&["delete"], 2),
        (&["prune"], 0),
    ] {
        host.text(words, status);
    }
    // people's calls have records, and no act beside
    host.script("after_vm_stop/10-x", "true");
    host.text(&["run", "qemu", "g", "stopped"], 0);
    host.text(&["retry", "last"], 0);
    assert!(acts(&host, &[]).is_empty(), "{:?}", acts(&host, &[]));
    host.text(&["delete", "nobody"], 1);
    host.text(&["bypass", "on", "--for", "31d"], 2);
    host.text(&["add", "x.yaml"], 0);
    host.file("../x.yaml", "events: after_vm_stop\ncommand: /bin/false\n");
    host.text(&["add", "x.yaml"], 1);
    let found = acts(&host, &["--failed"]);
    assert_eq!(of(&found, &["action", "state"]), ["delete/failed", "add/failed"]);
    assert!(
        found[0]["message"].as_str().unwrap().contains("no registration `nobody`"),
        "{found:#?}"
    );
    assert!(found[1]["message"].as_str().unwrap().contains("30 days at most"));
    for words in [
        &["disable", "x", "--reason", " "][..],
        &["delete", "x", "--reason", &"x".repeat(501)],
        &["queue", "--reason", "x"],
    ] {
        assert!(host.text(words, 1).contains("--reason "), "{words:?}");
    }
    assert!(host.hook("hooks.d/x.yaml").exists());
}

#[test]
fn the_one_who_logged_in_is_named() {
    if !is_root() {
        return skip("only root has somebody behind it");
    }
    let host = Host::new();
    let uid = "54321";
    let by = |variables: &[(&str, &str)]| {
        let output = with(&host, variables, &["bypass", "on", "--for", "1h"]);
        assert!(output.status.success(), "{output:?}");
        let found = acts(&host, &["-n", "1"]);
        let switch = host.json(&["bypass"], 0)["bypasses"][0]["user"].clone();
        assert_eq!((&found[0]["user"], &found[0]["uid"]), (&switch, &json!(0)));
        switch.as_str().unwrap().to_owned()
    };
    assert_eq!(by(&[("SUDO_USER", "alice")]), "alice");
    assert_eq!(by(&[("DOAS_USER", "bob")]), "bob");
    assert_eq!(by(&[("PKEXEC_UID", uid)]), uid);
    assert_eq!(by(&[("PKEXEC_UID", "0")]), "root");
    assert_eq!(by(&[("SUDO_USER", "a\x1b[2Jb\n")]), "a\\u{1b}[2Jb\\n");
}

#[test]
fn secrets_are_kept_nowhere() {
    let host = Host::new();
    host.script("../bin/x", "true");
    host.mode("bin/x", 0o755);
    let script = host.path("bin/x");
    let words = [
        "add",
        "script",
        script.to_str().unwrap(),
        "--event",
        "before_vm_start",
        "--args=--password=hunter2",
        "--rollback",
        "/bin/echo --token hunter2",
        "--reason",
        "api-key: hunter2 for https://u:hunter2@h/",
    ];
    host.text(&words, 0);
    assert!(host.read_text("hooks/hooks.d/x-before_vm_start.yaml").contains("hunter2"));
    let kept = fs::read_to_string(&files(&host)[0]).unwrap();
    assert!(!kept.contains("hunter2") && kept.contains("--password=***"), "{kept}");
}

#[test]
fn commands_that_end_together_are_all_kept_and_old_acts_go() {
    let host = Host::new();
    let hooks = host.hooks();
    let children: Vec<_> = (0..12)
        .map(|_| {
            Command::new(binary_under_test())
                .arg("--hooks-dir")
                .arg(&hooks)
                .args(["delete", "nobody"])
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        child.wait().unwrap();
    }
    assert_eq!(acts(&host, &["-n", "100"]).len(), 12);
    // of 2001, and of a clock that was wrong
    let directory = host.path("state/audit");
    let one: Value = serde_json::from_slice(&fs::read(&files(&host)[0]).unwrap()).unwrap();
    let put = |id: &str, format: u64| {
        let mut entry = one.clone();
        entry["id"] = id.into();
        entry["format"] = format.into();
        let path = directory.join(id);
        fs::write(&path, entry.to_string()).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    };
    put("00VHNCZB000000000000000000", 1);
    put("7ZZZZZZZZZ0000000000000000", 1);
    fs::write(directory.join("01ARYZ6S410000000000000000.77.new"), "{").unwrap();
    let new = fs::File::options()
        .append(true)
        .open(directory.join("01ARYZ6S410000000000000000.77.new"))
        .unwrap();
    new.set_modified(std::time::UNIX_EPOCH).unwrap();
    host.text(&["prune"], 0);
    let left: Vec<String> = files(&host)
        .iter()
        .map(|file| file.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(left.len(), 13, "{left:?}");
    assert!(left.last().unwrap().starts_with("7ZZ"));
    // no more than a number; what is dated later than now counts as the oldest
    let newest = left[11].clone();
    for number in 0..1000 {
        put(&format!("{}{number:06}", &newest[..20]), 1);
    }
    host.text(&["delete", "nobody"], 1);
    assert_eq!(files(&host).len(), 1000);
    assert!(!directory.join("7ZZZZZZZZZ0000000000000000").exists());
}

#[test]
fn what_is_newer_or_odd_is_left_alone_and_told() {
    let host = Host::new();
    host.text(&["delete", "nobody"], 1);
    let directory = host.path("state/audit");
    let mode = |name: &str, mode| {
        fs::set_permissions(
            directory.join(name),
            std::os::unix::fs::PermissionsExt::from_mode(mode),
        )
        .unwrap();
    };
    let own = files(&host)[0].file_name().unwrap().to_str().unwrap().to_owned();
    let id = |number: usize| format!("{}{number:06}", &own[..20]);
    fs::write(directory.join(id(1)), r#"{"format":2,"what":"ever"}"#).unwrap();
    mode(&id(1), 0o600);
    for (number, text) in
        [(2, "{"), (3, "[]"), (4, r#"{"format":1,"id":"01ARYZ6S410000000000000000"}"#), (5, "")]
    {
        fs::write(directory.join(id(number)), text).unwrap();
        mode(&id(number), 0o600);
    }
    symlink("/etc/passwd", directory.join(id(6))).unwrap();
    fs::create_dir(directory.join(id(7))).unwrap();
    fs::copy(directory.join(&own), directory.join(id(8))).unwrap();
    mode(&id(8), 0o666);
    nix::unistd::mkfifo(&directory.join(id(9)), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let before = files(&host);
    let said = host.json(&["log", "--audit"], 0);
    assert_eq!((&said["newer"], &said["unreadable"]), (&json!(1), &json!(8)), "{said:#}");
    assert_eq!(said["acts"].as_array().unwrap().len(), 1);
    let said = host.text(&["log", "--audit"], 0);
    assert!(said.contains("a newer hookmux wrote it") && said.contains("8 files in"), "{said}");
    assert_eq!(files(&host), before);
}

#[test]
fn a_command_that_cannot_be_recorded_does_its_work() {
    let host = Host::new();
    fs::remove_dir(host.path("state")).unwrap();
    fs::write(host.path("state"), "").unwrap();
    let said = host.text(&["bypass", "on", "--for", "1h"], 0);
    assert!(
        said.contains("THE EMERGENCY SWITCH IS ON")
            && said.contains("this command can't be stored for `hookmux log --audit`"),
        "{said}"
    );
    assert!(host.hook("hookmux.bypass").exists());
    fs::remove_file(host.path("state")).unwrap();
    fs::create_dir(host.path("state")).unwrap();
    host.mode("state", 0o777);
    let said = host.text(&["bypass", "off"], 0);
    assert!(said.contains("hooks run") && said.contains("writable by"), "{said}");
    host.mode("state", 0o755);
    assert!(acts(&host, &[]).is_empty());
    // nor does broken YAML keep it from being recorded
    host.raw_settings(&format!("{}broken: [\n", host.private_settings()));
    host.text(&["bypass", "on", "--for", "1h"], 0);
    host.settings("");
    assert_eq!(of(&acts(&host, &[]), &["action"]), ["bypass-on"]);
    // what removes the state directory doesn't make it anew
    host.text(&["uninstall", "--purge", "--yes"], 0);
    assert!(!host.path("state").exists());
}
