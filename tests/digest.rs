//! The digest of a host: the same for hosts that do the same, and in the records of their calls.

use std::fs;

use serde_json::Value;

use crate::support::Host;

fn digest(host: &Host) -> String {
    let output = host.hookmux(&["list", "--digest"]);
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let digest = said.trim_end().to_owned();
    assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{said}");
    digest
}

type Change<'a> = &'a dyn Fn(&Host);

fn put(host: &Host, place: &str, text: &str) {
    host.file(place, text);
}

/// Settings that keep a host private, and are the same on each.
fn settings(host: &Host, text: &str) {
    let private =
        "roots: []\nsession: true\nstate_dir: ../state\nruntime_dir: ../run\nsave_dir: ../save\n";
    host.raw_settings(&format!("{private}{text}\n"));
}

const SCRIPT: &str = "#!/bin/sh\n:\n";

/// A host with something of everything, and nothing that names its own directory.
fn host() -> Host {
    let host = Host::new();
    settings(&host, "");
    for place in [
        "before_vm_start/10-x",
        "before_vm_start/20-y",
        "qemu.d/g/prepare/begin/x",
        "lxc.adopted",
        "bin/x",
        "bin/check",
    ] {
        host.file(place, SCRIPT);
    }
    host.file(
        "hooks.d/a.yaml",
        "events: after_vm_stop\ncommand: bin/x\ncheck: bin/check\nenvironment_file: env\n",
    );
    host.file("hooks.d/env", "A=b\n");
    host.file("hooks.d/b.yaml", "events: after_vm_stop\ncommand: [/bin/sh, ../hooks/script.sh]\n");
    host.file("env", "A=b\n");
    host
}

#[test]
fn hosts_that_do_the_same_have_the_same_digest() {
    let (one, other) = (host(), host());
    assert_eq!(digest(&one), digest(&other));
    // what decides nothing changes nothing
    let before = digest(&one);
    for change in [
        &(|host: &Host| settings(host, "# a comment\ntimeout: 120s")) as Change<'_>,
        &|host| put(host, "before_vm_start/10-x", SCRIPT),
        &|host| {
            put(host, "before_vm_start/README", "text");
            host.mode("hooks/before_vm_start/README", 0o644);
        },
        &|host| put(host, "no_event/10-x", SCRIPT),
        &|host| drop(host.guest("stopped end").run()),
        &|host| drop(host.text(&["bypass", "on", "--for", "1h"], 0)),
        &|host| drop(host.text(&["bypass", "off"], 0)),
        &|host| fs::remove_file(host.hook("qemu")).unwrap(),
        // who registered it, and from where
        &|host| {
            let text = fs::read_to_string(host.hook("hooks.d/a.yaml")).unwrap();
            let header = "# Registered by: hookmux add /root/a.yaml\n# You may edit this file; the next call uses it.\n";
            put(host, "hooks.d/a.yaml", &format!("{header}{text}"));
        },
    ] {
        change(&one);
        assert_eq!(digest(&one), before);
    }
}

/// The same registration, given to two hosts in two ways.
#[test]
fn how_a_hook_was_registered_is_no_difference() {
    let (one, other) = (host(), host());
    let text = "# mine\nevents: after_vm_stop\ncommand: /bin/true\nweight: 7\n";
    one.file("../first/c.yaml", text);
    other.file("../second/x.yaml", text);
    one.text(&["add", "first/c.yaml", "--reason", "one"], 0);
    other.text(&["add", "second/x.yaml", "--name", "c", "--reason", "other"], 0);
    let written = [&one, &other].map(|host| host.read_text("hooks/hooks.d/c.yaml"));
    assert_ne!(written[0], written[1], "their headers differ");
    assert_eq!(digest(&one), digest(&other));
    // a comment of the user's is part of the text
    other.file("hooks.d/c.yaml", written[1].replace("# mine", "# ours"));
    assert_ne!(digest(&one), digest(&other));
}

#[test]
fn everything_that_decides_changes_the_digest() {
    let changes: &[(&str, Change<'_>)] = &[
        ("a script", &|host| put(host, "before_vm_start/10-x", "#!/bin/sh\nexit 1\n")),
        ("a new hook", &|host| put(host, "before_vm_start/30-z", SCRIPT)),
        ("a removed hook", &|host| fs::remove_file(host.hook("before_vm_start/20-y")).unwrap()),
        ("another order", &|host| {
            fs::rename(host.hook("before_vm_start/10-x"), host.hook("before_vm_start/90-x"))
                .unwrap();
        }),
        ("a script that is switched off", &|host| {
            host.mode("hooks/before_vm_start/10-x", 0o644);
        }),
        ("an interpreter that isn't there", &|host| {
            host.file("before_vm_start/10-x", "#!/nowhere\n");
        }),
        ("the per-guest tree", &|host| {
            host.file("qemu.d/g/prepare/begin/x", "#!/bin/sh\nexit 1\n");
        }),
        ("an adopted script", &|host| put(host, "lxc.adopted", "#!/bin/sh\nexit 1\n")),
        ("a registration", &|host| {
            let path = host.hook("hooks.d/a.yaml");
            let text = fs::read_to_string(&path).unwrap();
            fs::write(path, text + "timeout: 3s\n").unwrap();
        }),
        ("a registration that is switched off", &|host| drop(host.text(&["disable", "a"], 0))),
        ("a registered program", &|host| put(host, "bin/x", "#!/bin/sh\nexit 1\n")),
        ("the program of a check", &|host| put(host, "bin/check", "#!/bin/sh\nexit 1\n")),
        ("a file with variables", &|host| put(host, "env", "A=c\n")),
        ("a setting", &|host| settings(host, "timeout: 3s")),
        ("a variable of all hooks", &|host| settings(host, "environment: {A: b}")),
        ("broken settings", &|host| settings(host, "nothing: 1")),
    ];
    for (what, change) in changes {
        let host = host();
        let before = digest(&host);
        change(&host);
        assert_ne!(digest(&host), before, "{what}");
    }
}

fn last_digest(host: &Host) -> Value {
    let log = host.json(&["log"], 0);
    log["executions"].as_array().unwrap().last().unwrap()["digest"].clone()
}

#[test]
fn records_have_the_digest_as_long_as_it_is_known_to_hold() {
    let host = host();
    let call = |host: &Host| {
        host.guest("prepare begin").run();
        last_digest(host)
    };
    assert_eq!(call(&host), Value::Null, "nobody has computed it");
    for command in [&["list", "--digest"][..], &["status"], &["metrics"], &[]] {
        host.file("before_vm_start/10-x", SCRIPT);
        assert_eq!(call(&host), Value::Null, "the script has been changed since");
        host.text(command, 0);
        assert_eq!(call(&host), digest(&host), "{command:?}");
    }
    // commands that change something compute it again
    host.text(&["disable", "a"], 0);
    let now = call(&host);
    assert!(now.is_string() && now == digest(&host), "{now}");
    let json = host.json(&["list"], 0);
    assert_eq!(json["digest"], now);
    assert_eq!(host.json(&["list", "before_vm_start"], 0)["digest"], Value::Null);
    assert_eq!(host.json(&["status"], 0)["digest"], now);
    assert_eq!(host.json(&["show", "last"], 0)["digest"], now);
    let metrics = host.text(&["metrics"], 0);
    assert!(metrics.contains(&format!("\nhookmux_config_info{{digest={now}}} 1\n")), "{metrics}");
    // what is new since may run too
    for change in [
        &(|host: &Host| put(host, "before_vm_start/15-new", SCRIPT)) as Change<'_>,
        &|host| put(host, "hooks.d/new.yaml", "events: before_vm_start\ncommand: bin/x\n"),
        &|host| settings(host, "timeout: 30s"),
        &|host| fs::create_dir(host.hook("before_vm_prepare")).unwrap(),
    ] {
        digest(&host);
        change(&host);
        assert_eq!(call(&host), Value::Null);
    }
    // nor does one of another version, another directory or another clock count
    digest(&host);
    let kept = host.path("run/records/digest");
    let good: Value = serde_json::from_slice(&fs::read(&kept).unwrap()).unwrap();
    for (key, other) in [
        ("version", Value::from("0.0.1")),
        ("hooks_dir", "/etc/libvirt/hooks".into()),
        ("computed_us", u64::MAX.into()),
        ("format", 2.into()),
        ("computed_us", "x".into()),
    ] {
        let mut changed = good.clone();
        changed[key] = other;
        fs::write(&kept, changed.to_string()).unwrap();
        assert_eq!(call(&host), Value::Null, "{key}");
    }
    fs::write(&kept, good.to_string()).unwrap();
    assert_eq!(call(&host), good["digest"]);
}

#[test]
fn records_lose_the_digest_with_everything_that_the_digest_is_over() {
    let host = host();
    for program in ["check", "rollback", "undo", "linked"] {
        host.file(format!("bin/{program}"), SCRIPT);
    }
    host.file("bin/third", "#!/bin/sh\n# a third\n");
    host.file("script", SCRIPT).file("variables", "A=b\n");
    let text = format!(
        "events: before_vm_prepare\ncommand: [/bin/sh, {}]\ncheck: bin/check\nrollback: bin/rollback\n\
         undo: bin/undo\nenvironment_file: variables\n",
        host.hook("script").display()
    );
    host.file("hooks.d/all.yaml", text);
    std::os::unix::fs::symlink("linked", host.hook("bin/link")).unwrap();
    host.file("hooks.d/link.yaml", "events: before_vm_prepare\ncommand: bin/link\n");
    host.file("modules/acme.py", "def said(event):\n    pass\n");
    let module = ["add", "module", "acme", "--event", "before_vm_prepare", "--action", "said"];
    host.text(&module, 0);
    let call = || {
        host.guest("prepare begin").run();
        last_digest(&host)
    };
    assert_eq!(call(), Value::Null, "it is kept beside records");
    let other = "#!/bin/sh\n# another\n";
    let changes: &[(&str, Change<'_>)] = &[
        ("an interpreter's script", &|host| put(host, "script", other)),
        ("a check", &|host| put(host, "bin/check", other)),
        ("a rollback", &|host| put(host, "bin/rollback", other)),
        ("an undo", &|host| put(host, "bin/undo", other)),
        ("a program by a link", &|host| put(host, "bin/linked", other)),
        ("where a link leads", &|host| {
            fs::remove_file(host.hook("bin/link")).unwrap();
            std::os::unix::fs::symlink("third", host.hook("bin/link")).unwrap();
            put(host, "bin/linked", SCRIPT);
        }),
        ("a file with variables", &|host| put(host, "variables", "A=c\n")),
        ("a module", &|host| put(host, "modules/acme.py", "def said(event):\n    event\n")),
        ("an undo that is gone", &|host| fs::remove_file(host.hook("bin/undo")).unwrap()),
        ("a script that is gone", &|host| fs::remove_file(host.hook("script")).unwrap()),
        ("an interpreter's script again", &|host| put(host, "script", other)),
    ];
    for (what, change) in changes {
        let before = digest(&host);
        assert_eq!(call(), before, "{what}");
        change(&host);
        assert_eq!(call(), Value::Null, "{what}");
        assert_ne!(digest(&host), before, "{what}");
        assert_eq!(call(), digest(&host), "{what}");
    }
    // what was never there changes nothing
    assert!(call().is_string());
}
