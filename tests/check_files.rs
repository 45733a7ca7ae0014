//! `check FILE…`: files that are checked before they are installed. Nothing is run or changed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::support::Host;
use crate::support::finding::{provoked, seen};
use crate::support::host::{binary_under_test, writing};

const GOOD: &str = "events: before_vm_start\ncommand: /bin/true\n";

/// What `check` says of a text on standard input.
fn piped(host: &Host, text: &str, words: &[&str]) -> Output {
    let mut command = Command::new(binary_under_test());
    command.arg("--hooks-dir").arg(host.hooks()).arg("check").arg("-").args(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = {
        let _writing = writing();
        command.spawn().unwrap()
    };
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn codes(said: &Value) -> Vec<&str> {
    said["findings"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect()
}

// An Ansible task gives a temporary name to the file: `copy: validate: hookmux check %s`
#[test]
fn a_file_of_any_name_is_told_by_its_content() {
    let host = Host::new();
    for (name, text, kind) in [
        (".ansible_tmpabc123guard.yaml", GOOD, "registration"),
        ("source", GOOD, "registration"),
        ("tmpx7", "{\"events\": \"before_vm_start\", \"command\": \"/bin/true\"}", "registration"),
        ("tmpx8", "timeout: 30s\ncustom_properties: [vlan]\n", "settings"),
        ("hookmux.yaml", "timeout: 30s\n", "settings"),
        ("tmpx9", "#!/bin/sh\ntrue\n", "script"),
    ] {
        fs::write(host.path(name), text).unwrap();
        fs::set_permissions(host.path(name), PermissionsExt::from_mode(0o600)).unwrap();
        let said = host.json(&["check", name], 0);
        assert_eq!(said["files"][0]["kind"], kind, "{name}");
        assert_eq!(said["findings"], json!([]), "{name}");
        let text = host.text(&["check", name], 0);
        assert!(text.contains("nothing to complain about"), "{text}");
    }
    // one that could be both needs a word
    fs::write(host.path("x"), "timeout: 30s\n").unwrap();
    let said = host.text(&["check", "x"], 1);
    assert!(said.contains("--as registration, --as settings or --as script"), "{said}");
    host.json(&["check", "x", "--as", "settings"], 0);
    assert_eq!(
        codes(&host.json(&["check", "x", "--as", "registration"], 1)),
        ["broken-registration"]
    );
    assert_eq!(codes(&host.json(&["check", "x", "--as", "script"], 1)), ["no-interpreter-line"]);
    let said = host.text(&["check", "no-such-file"], 1);
    assert!(said.contains("no-such-file can't be read"), "{said}");
    host.text(&["check", "x", "--for", "0.1.0"], 2);
    host.text(&["check", "--as", "script"], 2);
}

#[test]
fn a_registration_is_checked_as_it_would_be_read() {
    let host = Host::new();
    for (text, status, code, words) in [
        (
            "events: before_vm_strat\ncommand: /bin/true\n",
            1,
            "broken-registration",
            "did you mean `before_vm_start`?",
        ),
        ("command: /bin/true\n", 1, "broken-registration", "`events` or `calls` is missing"),
        (
            "events: before_vm_start\ncommand: /nowhere/x\n",
            1,
            "command-missing",
            "/nowhere/x, which is not there",
        ),
        (
            "events: before_vm_start\ncommand: /etc/passwd\n",
            1,
            "command-not-executable",
            "no x bit",
        ),
        (
            "events: before_vm_start\ncommand: /bin/true\nwhen: {driver: network}\n",
            1,
            "never-matches",
            "never runs",
        ),
        (
            "events: before_vm_start\ncommand: /bin/true\nrun_as: no-such-user\n",
            1,
            "unknown-user",
            "no user `no-such-user`",
        ),
        (
            "events: before_vm_start\ncommand: /bin/true\nenvironment_file: gone\n",
            1,
            "environment-file",
            "gone",
        ),
        (
            "events: before_vm_start\ncommand: /bin/true\non_failure: kill\n",
            0,
            "meaningless-key",
            "none of its events is live",
        ),
        (
            "events: before_vm_start\ncommand: /bin/true\nlock: #gpu\n",
            0,
            "meaningless-key",
            "`lock` has no value",
        ),
        ("calls: qemu/prepair\ncommand: /bin/true\n", 0, "never-called", "prepair"),
    ] {
        fs::write(host.path("x.yaml"), text).unwrap();
        let said = host.json(&["check", "x.yaml"], status);
        assert!(codes(&said).contains(&code), "{text:?}: {said:#}");
        let findings = said["findings"].as_array().unwrap();
        let of_code = findings.iter().find(|one| one["code"] == code).unwrap();
        assert!(of_code["message"].as_str().unwrap().contains(words), "{text:?}: {of_code:#}");
    }
    // a program that others could change
    host.file("bin/open", "#!/bin/sh\n").mode("hooks/bin/open", 0o777);
    fs::write(host.path("x.yaml"), "events: before_vm_start\ncommand: bin/open\n").unwrap();
    assert_eq!(codes(&host.json(&["check", "x.yaml"], 1)), ["untrusted"]);
    // what lies elsewhere and is wrong is not asked for
    host.file("hooks.d/broken.yaml", "comand: /x\n");
    fs::write(host.path("x.yaml"), GOOD).unwrap();
    assert_eq!(host.json(&["check", "x.yaml"], 0)["findings"], json!([]));
}

#[test]
fn its_place_among_the_others_is_told() {
    let host = Host::new();
    host.follow(&["before_vm_start/10-net", "before_vm_start/20-cpu"]);
    let dns = GOOD.replace("true", "false");
    host.file("hooks.d/dns.yaml", format!("{dns}weight: 200\n"));
    fs::write(host.path("guard.yaml"), format!("{GOOD}weight: 100\n")).unwrap();
    let said = host.json(&["check", "guard.yaml"], 0);
    assert_eq!(said["files"][0]["name"], "guard");
    assert_eq!(
        said["files"][0]["turns"],
        json!([{"event": "before_vm_start", "after": "20-cpu", "before": "dns"}])
    );
    let text = host.text(&["check", "guard.yaml"], 0);
    assert!(text.contains("before_vm_start: after 20-cpu, before dns"), "{text}");
    // a name that is there already
    host.file("hooks.d/guard.yaml", "events: after_vm_stop\ncommand: /bin/true\n");
    let said = host.json(&["check", "guard.yaml"], 0);
    assert_eq!(codes(&said), ["same-name"]);
    let message = said["findings"][0]["message"].as_str().unwrap();
    assert!(message.contains("has the name `guard` already, and would be replaced"), "{message}");
    // but not the file itself
    assert_eq!(host.json(&["check", "hooks/hooks.d/guard.yaml"], 0)["findings"], json!([]));
    // the same under another name
    fs::write(host.path("other.yaml"), format!("{dns}weight: 7\n")).unwrap();
    let said = host.json(&["check", "other.yaml"], 0);
    let message = said["findings"][0]["message"].as_str().unwrap();
    assert!(message.contains("hooks.d/dns.yaml is the same under another name"), "{message}");
    // a temporary file has no name that tells
    fs::write(host.path("tmp7"), format!("{dns}weight: 7\n")).unwrap();
    let said = host.json(&["check", "tmp7"], 0);
    assert_eq!((&said["findings"], &said["files"][0]["name"]), (&json!([]), &Value::Null));
    let said = host.json(&["check", "tmp7", "--name", "guard"], 0);
    assert_eq!(said["files"][0]["name"], "guard");
    // a script's turn is told by its place
    fs::write(host.path("tmp8"), "#!/bin/sh\n").unwrap();
    let said = host.json(&["check", "tmp8", "--name", "before_vm_start/15-x"], 0);
    assert_eq!(said["files"][0]["turns"][0]["after"], "10-net");
    assert_eq!(said["files"][0]["turns"][0]["before"], "20-cpu");
}

#[test]
fn a_script_is_checked_without_being_run() {
    let host = Host::new();
    let touch = format!("touch '{}'\n", host.path("ran").display());
    for (text, status, code) in [
        ("#!/bin/sh\r\n", 1, "crlf"),
        ("#!/nowhere/sh\n", 1, "interpreter-missing"),
        ("#!/usr/bin/env no-such-program\n", 1, "interpreter-missing"),
        ("#!/usr/bin/env sh -e\n", 1, "interpreter-missing"),
        ("\u{feff}#!/bin/sh\n", 1, "no-interpreter-line"),
        ("#!/bin/sh\nvirsh list\n", 0, "libvirt-call"),
        ("#!/bin/sh\n[[ a == b ]]\n", 0, "bashism"),
    ] {
        let text = format!("{text}{touch}");
        let path = host.path("script");
        fs::write(&path, &text).unwrap();
        // a file that is yet to be installed has no x bit
        fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(codes(&host.json(&["check", "script"], status)), [code], "{text:?}");
        let output = piped(&host, &text, &["--output", "json"]);
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        let said = crate::support::schema::read(&["check", "-"], &output.stdout);
        assert_eq!(codes(&said), [code], "{text:?}");
        let finding = said["findings"][0].to_string();
        assert!(!finding.contains("hookmux-0"), "the name of the copy is told: {finding}");
    }
    assert!(!host.path("ran").exists());
    let left = fs::read_dir(std::env::temp_dir()).unwrap().flatten();
    let left: Vec<_> = left
        .map(|entry| entry.path())
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("hookmux-0"))
        .filter(|path| path.join("stdin").exists())
        .filter(|path| {
            fs::read(path.join("stdin")).is_ok_and(|text| text.ends_with(touch.as_bytes()))
        })
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn standard_input_is_a_file_too() {
    let host = Host::new();
    let output = piped(&host, GOOD, &["--name", "guard", "--output", "json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = crate::support::schema::read(&["check", "-"], &output.stdout);
    assert_eq!(
        said["files"],
        json!([{"path": "-", "kind": "registration", "name": "guard",
        "turns": [{"event": "before_vm_start", "after": null, "before": null}]}])
    );
    let output = piped(&host, "events: before_vm_start\ncomand: /x\n", &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("-:2:1: unknown key `comand`; did you mean `command`?"), "{said}");
    assert!(said.contains("comand: /x\n"), "{said}");
    let output = piped(&host, "", &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn several_files_have_one_answer() {
    let host = Host::new();
    fs::write(host.path("a.yaml"), GOOD).unwrap();
    fs::write(host.path("b.yaml"), "events: x\ncommand: /bin/true\n").unwrap();
    let said = host.json(&["check", "a.yaml", "b.yaml", "hooks/hookmux.yaml"], 1);
    let files = said["files"].as_array().unwrap();
    let kinds: Vec<&str> = files.iter().map(|file| file["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["registration", "registration", "settings"]);
    assert_eq!(codes(&said), ["broken-registration"]);
    assert!(Path::new(said["findings"][0]["path"].as_str().unwrap()).ends_with("b.yaml"));
    let before = host.everything();
    host.text(&["check", "a.yaml", "b.yaml"], 1);
    assert_eq!(host.everything(), before, "nothing is changed");
    let said = host.text(&["check", "a.yaml", "b.yaml", "--name", "x"], 2);
    assert!(said.contains("--name is the name of one file"), "{said}");
}

/// Of each file that is named: which code, and what is said; no turn where it would never run.
fn names_that_no_call_finds() {
    let host = Host::new();
    host.raw_settings(&host.private_settings().replace("roots: []", "roots: [../more]"));
    host.file("../script", "#!/bin/sh\n").file("../guard.yaml", GOOD);
    host.file("bin/x", "#!/bin/sh\n");
    for (file, name, code, words) in [
        ("script", "before_vm_strt/10-z", "unknown-event", "did you mean before_vm_start?"),
        ("script", "vm_begin/10-z", "unknown-event", "not the name of an event"),
        ("script", "before_vm_start/10-z~", "unusable-name", "left behind by an editor"),
        ("script", "before_vm_start/10-z.bak", "unusable-name", "left behind by an editor"),
        ("script", "before_vm_start/.10-z", "unusable-name", "a hidden file"),
        ("script", ".before_vm_start/10-z", "unusable-name", "a hidden file"),
        ("guard.yaml", ".x", "unusable-name", "a hidden file"),
        ("guard.yaml", "x.rpmsave/y", "unusable-name", "not a valid name"),
        ("guard.yaml", "a b", "unusable-name", "letters, digits"),
        ("guard.yaml", "-x", "unusable-name", "not a valid name"),
    ] {
        let said = host.json(&["check", file, &format!("--name={name}")], 1);
        assert_eq!(codes(&said), [code], "{name}: {said:#}");
        said["findings"].as_array().unwrap().iter().for_each(seen);
        let message = said["findings"][0]["message"].as_str().unwrap();
        assert!(message.contains(words), "{name}: {message}");
        assert_eq!(said["files"][0]["turns"], json!([]), "{name}");
    }
    let said = host.json(&["check", "script", "--name", "before_vm_start/more/x"], 0);
    assert_eq!((codes(&said), &said["files"][0]["turns"]), (vec!["subdirectory"], &json!([])));
    for name in ["10-z", "qemu.sh", "before_vm_start"] {
        let said = host.json(&["check", "script", "--name", name], 0);
        assert_eq!(codes(&said), ["misplaced-script"], "{name}: {said:#}");
        let message = said["findings"][0]["message"].as_str().unwrap();
        assert!(message.contains("would not run: it lies directly in"), "{name}: {message}");
        assert_eq!(said["files"][0]["turns"], json!([]), "{name}");
    }
    // no name of another directory
    for (file, name) in [
        ("guard.yaml", "../x"),
        ("guard.yaml", "/etc/x"),
        ("guard.yaml", ""),
        ("script", "../before_vm_start/10-z"),
        ("script", "before_vm_start/../x"),
        ("script", "/before_vm_start/10-z"),
        ("script", ".."),
    ] {
        let said = host.json(&["check", file, "--name", name], 2);
        assert_eq!(said["error"]["code"], "usage", "{name}: {said:#}");
        assert!(said["error"]["message"].as_str().unwrap().contains("EVENT/NAME"), "{said:#}");
    }
    // of files in place, in each root
    host.file("before_vm_strt/10-z", "#!/bin/sh\n")
        .file("../more/after_vm_stp/10-z", "#!/bin/sh\n");
    host.file("before_vm_start/10-z~", "#!/bin/sh\n").file("hooks.d/x.yml", GOOD);
    for (file, code, words) in [
        ("hooks/before_vm_strt/10-z", "unknown-event", "mv "),
        ("more/after_vm_stp/10-z", "unknown-event", "after_vm_stop"),
        ("hooks/before_vm_start/10-z~", "unusable-name", "another name"),
        ("hooks/hooks.d/x.yml", "unusable-name", "another name"),
    ] {
        let said = host.json(&["check", file], 1);
        assert_eq!(codes(&said), [code], "{file}: {said:#}");
        let fix = said["findings"][0]["fix"].as_str().unwrap();
        assert!(fix.contains(words), "{file}: {fix}");
        assert_eq!(said["files"][0]["turns"], json!([]), "{file}");
    }
    // what runs, or is used by what runs
    host.file("scripts/y", "#!/bin/sh\n");
    host.file("hooks.d/a b.yaml", GOOD.replace("/bin/true", "scripts/y"));
    for (file, name) in [
        ("script", Some("before_vm_start/10-z")),
        ("script", Some("./before_vm_start/10-z")),
        ("script", Some("qemu.d/g/prepare/begin/x~")),
        ("script", Some("qemu.d/10-x")),
        ("script", Some("bin/y")),
        ("script", Some("qemu.adopted")),
        ("guard.yaml", Some("hooks.d/guard")),
        ("guard.yaml", Some("guard.yaml")),
        ("hooks/scripts/y", None),
        ("hooks/bin/x", None),
        ("hooks/hooks.d/a b.yaml", None),
    ] {
        let name = name.map(|name| ["--name", name]);
        let words: Vec<&str> =
            ["check", file].into_iter().chain(name.into_iter().flatten()).collect();
        let said = host.json(&words, 0);
        assert_eq!(said["findings"], json!([]), "{words:?}");
    }
}

fn a_file_that_cannot_be_judged_hides_no_other() {
    let host = Host::new();
    fs::write(host.path("bad.yaml"), "events: before_vm_strt\ncommand: /bin/true\n").unwrap();
    fs::write(host.path("odd"), "timeout: 30s\n").unwrap();
    fs::create_dir(host.path("directory")).unwrap();
    let files = ["check", "gone.yaml", "odd", "bad.yaml", "directory"];
    let said = host.json(&files, 1);
    let findings = said["findings"].as_array().unwrap();
    findings.iter().for_each(seen);
    assert_eq!(codes(&said), ["unreadable", "unknown-kind", "broken-registration", "unreadable"]);
    let told = |at: usize| -> &str { findings[at]["message"].as_str().unwrap() };
    assert!(told(0).contains("gone.yaml can't be read: No such file"), "{said:#}");
    assert!(findings[1]["fix"].as_str().unwrap().contains("--as registration"), "{said:#}");
    assert_eq!(said["files"].as_array().unwrap().len(), 1, "only what could be judged");
    let text = host.text(&files, 1);
    assert!(text.contains("did you mean"), "{text}");
    assert!(text.contains("gone.yaml can't be read") && text.contains("directory can't"), "{text}");
}

provoked! {
    names_that_no_call_finds: "unusable-name" "unknown-event";
    a_file_that_cannot_be_judged_hides_no_other: "unreadable" "unknown-kind";
}

#[test]
fn with_strict_a_warning_is_a_failure() {
    let host = Host::new();
    let text = "events: before_vm_start\ncommand: /bin/true\nrun_as: root\n";
    host.file("../guard.yaml", text).script("before_vm_start/10-x", ":");
    let file = host.path("guard.yaml");
    let file = file.to_str().unwrap();
    let found = host.json(&["check", file], 0);
    assert!(found["findings"][0]["severity"] == "warning", "{found:#}");
    host.json(&["check", "--strict", file], 1);
    host.file("hooks.d/guard.yaml", text);
    assert_eq!(host.json(&["check", "--strict"], 1)["findings"][0]["severity"], "warning");
    assert_eq!(host.hookmux(&["check"]).status.code(), Some(0));
}
