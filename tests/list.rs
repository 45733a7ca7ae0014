//! `list`: what each hook runs, for whom, and how it ended last; only what would run for one guest.

use serde_json::{Value, json};

use crate::support::{Host, until};

fn host() -> Host {
    let host = Host::new();
    let guest = |name: &str, title: &str| {
        host.file(
            format!("../qemu/{name}.xml"),
            format!(
                "<domain><name>{name}</name><title>{title}</title><devices><interface type='network'>\
                 <source network='lan'/></interface></devices></domain>"
            ),
        );
    };
    guest("web1", "Web");
    guest("db", "Data");
    host.script("before_vm_start/10-good", ":").script("before_vm_start/20-bad", "exit 3");
    host.link("../bin/linked", "before_vm_start/30-linked").script("bin/linked", ":");
    host.script("qemu.d/web1/prepare/begin/gpu", ":").script("bin/guard", ":");
    for (name, text) in [
        (
            "guard",
            "events: [before_vm_start]\ncommand: bin/guard\nargs: [--for, $NAME]\nwhen: {name: [web*, '!web-test'], driver: qemu}\n",
        ),
        ("titled", "events: after_vm_stop\ncommand: /bin/true\nwhen: {title: Data}\n"),
        (
            "port",
            "events: before_network_port_create\ncommand: /bin/true\nwhen: {network: [lan, dmz]}\n",
        ),
        ("off", "events: after_vm_stop\ncommand: /bin/true\nenabled: false\n"),
        (
            "later",
            "events: after_vm_launch\ncommand: /bin/true\nmode: detached\nwhen: {name: db}\n",
        ),
    ] {
        host.file(format!("hooks.d/{name}.yaml"), text);
    }
    host
}

fn labels(list: &Value) -> Vec<&str> {
    let hooks = list["hooks"].as_array().unwrap().iter();
    hooks.map(|hook| hook["hook"].as_str().unwrap()).collect()
}

fn hook<'a>(list: &'a Value, label: &str) -> &'a Value {
    let hooks = list["hooks"].as_array().unwrap();
    let hook = hooks.iter().find(|hook| hook["hook"] == label);
    hook.unwrap_or_else(|| panic!("{label} is missing in\n{list:#}"))
}

/// The row of a hook in a table, its columns with one blank between.
fn row(said: &str, name: &str) -> String {
    let line = said.lines().find(|line| line.split_whitespace().any(|word| word == name));
    let line = line.unwrap_or_else(|| panic!("{name} is missing in\n{said}"));
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn each_hook_has_what_it_runs_for_whom_and_its_last_result() {
    let host = host();
    let list = host.json(&["list"], 0);
    assert_eq!(
        hook(&list, "before_vm_start/guard")["condition"],
        "driver=qemu name=web*,!web-test"
    );
    assert_eq!(hook(&list, "qemu.d/web1/prepare/begin/gpu")["condition"], "name=web1");
    assert_eq!(hook(&list, "before_vm_start/10-good")["condition"], Value::Null);
    assert_eq!(hook(&list, "before_vm_start/10-good")["last"], Value::Null);
    let said = host.text(&["list"], 0);
    assert_eq!(row(&said, "EVENT"), "EVENT TURN HOOK RUNS FOR STATE", "nothing ran yet");
    assert!(
        row(&said, "guard").contains("guard --for '$NAME' driver=qemu name=web*,!web-test active"),
        "{said}"
    );
    assert!(row(&said, "30-linked").contains("-> ../bin/linked"), "{said}");
    host.guest("prepare begin").run();
    let list = host.json(&["list"], 0);
    for (label, state) in
        [("before_vm_start/10-good", "good"), ("before_vm_start/20-bad", "failed")]
    {
        let last = &hook(&list, label)["last"];
        assert_eq!((&last["state"], &last["object"]), (&json!(state), &json!("g")), "{last:#}");
        assert!(last["duration_s"].is_number() && last["id"].is_string(), "{last:#}");
    }
    assert_eq!(hook(&list, "before_vm_start/guard")["last"], Value::Null, "g isn't its guest");
    // the newest counts, whoever made the call
    host.script("before_vm_start/20-bad", ":");
    host.text(&["run", "qemu", "web1", "prepare"], 0);
    let list = host.json(&["list"], 0);
    let last = &hook(&list, "before_vm_start/20-bad")["last"];
    assert_eq!((&last["state"], &last["cause"]), (&json!("good"), &json!("run")), "{last:#}");
    let said = host.text(&["list"], 0);
    let good = row(&said, "20-bad");
    assert!(good.contains(" active good ") && good.contains("ms") | good.contains(" s"), "{said}");
    let said = host.text(&["show", "before_vm_start/20-bad"], 0);
    let lines: Vec<String> =
        said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert!(lines.iter().any(|line| line == "for everybody"), "{said}");
    assert!(lines.iter().any(|line| line.starts_with("last good ")), "{said}");
    let shown = host.json(&["show", "guard"], 0);
    assert_eq!(shown["hooks"][0]["last"]["object"], "web1", "{shown:#}");
    assert!(host.text(&["show", "guard"], 0).contains("driver=qemu name=web*,!web-test"));
    // a detached one that was queued, and has run
    host.call("qemu", ["db", "started", "begin", "-"]).run().succeeds();
    until("it has run", || {
        let list = host.json(&["list"], 0);
        hook(&list, "after_vm_launch/later")["last"]["state"] == "good"
    });
}

#[test]
fn wide_has_everything_and_the_usual_table_is_narrow() {
    let host = host();
    let long = format!("events: after_vm_start\ncommand: /bin/true\nargs: [{}]\n", "x".repeat(80));
    host.file("hooks.d/long.yaml", long);
    let said = host.text(&["list"], 0);
    assert!(!said.contains("SHA256") && !said.contains("xxxxxxxxxxxxxxxxxxxxxxxx"), "{said}");
    assert!(row(&said, "long").contains("…"), "{said}");
    let said = host.text(&["list", "--wide"], 0);
    assert_eq!(
        row(&said, "EVENT"),
        "EVENT TURN HOOK RUNS FOR STATE LAST WEIGHT STYLE SHA256 ROOT MORE"
    );
    assert!(said.contains(&"x".repeat(80)) && row(&said, "later").ends_with("detached"), "{said}");
}

#[test]
fn a_guest_has_the_hooks_that_would_run_for_it() {
    let host = host();
    let all = ["before_vm_start/10-good", "before_vm_start/20-bad", "before_vm_start/30-linked"];
    for (guest, own) in [
        (
            "web1",
            &[
                "before_vm_start/guard",
                "before_network_port_create/port",
                "qemu.d/web1/prepare/begin/gpu",
            ][..],
        ),
        (
            "db",
            &["after_vm_launch/later", "after_vm_stop/titled", "before_network_port_create/port"],
        ),
    ] {
        let list = host.json(&["list", "--guest", guest], 0);
        let (mut seen, mut expected) = (labels(&list), [&all[..], own].concat());
        seen.sort_unstable();
        expected.sort_unstable();
        assert_eq!(seen, expected, "{guest}");
    }
    let list = host.json(&["list", "before_vm_start", "--guest", "db"], 0);
    assert_eq!(labels(&list).len(), 3);
    host.file("../lxc/db.xml", "<domain type='lxc'><name>db</name></domain>");
    let error = host.json(&["list", "--guest", "db"], 2);
    let fix = error["error"]["fix_command"].as_array().unwrap();
    assert_eq!(fix[3..], ["list", "--guest", "db", "--driver", "qemu"], "{error:#}");
    let error = host.json(&["list", "--guest", "wbe1"], 2);
    assert!(error["error"]["message"].as_str().unwrap().contains("no guest wbe1"), "{error:#}");
}

#[test]
fn a_hooks_directory_that_is_not_there_is_told() {
    let host = Host::new();
    std::fs::remove_dir_all(host.hooks()).unwrap();
    for words in [&["list"][..], &["plan", "g"], &["check"], &["log"], &[], &["delete", "x"]] {
        let said = host.text(words, 1);
        assert!(said.contains("hooks isn't there: --hooks-dir"), "{words:?}: {said}");
        assert!(!host.hooks().exists(), "{words:?}");
    }
    host.text(&["events"], 0);
    std::fs::write(host.hooks(), "").unwrap();
    assert!(host.text(&["list"], 1).contains("hooks is no directory"));
}

#[test]
fn a_hooks_name_in_the_place_of_an_event_is_met_with_the_option_for_it() {
    let host = host();
    for word in ["off", "after_vm_stop/off"] {
        let error = host.json(&["list", word], 2);
        let error = &error["error"];
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("names a hook, and here an event is expected"), "{error:#}");
        let fix: Vec<&str> = error["fix_command"]
            .as_array()
            .unwrap()
            .iter()
            .skip(3)
            .filter_map(Value::as_str)
            .collect();
        assert_eq!(fix, ["list", "--hook", word]);
        assert_eq!(labels(&host.json(&fix, 0)), ["after_vm_stop/off"]);
    }
    let said = host.text(&["list", "zzz"], 2);
    assert!(said.contains("there is no event zzz") && said.contains("--hook by a hook"), "{said}");
    let said = host.text(
        &[
            "add",
            "script",
            "/bin/true",
            "--event",
            "after_vm_stop",
            "--when",
            "name=web1",
            "--dry-run",
        ],
        0,
    );
    assert!(said.contains("when name=web1"), "{said}");
    // what a hook runs, as a shell takes it
    let shown = host.text(&["show", "guard"], 0);
    let line = shown.lines().find(|line| line.trim_start().starts_with("command line "));
    let line = line.unwrap_or_else(|| panic!("no command line in\n{shown}"));
    assert!(line.contains("/bin/guard --for "), "{line}");
    assert!(!shown.contains("runs as"), "{shown}");
}

/// Words that people type where an event, a hook or an execution is expected.
#[test]
fn a_guests_or_a_hooks_name_is_met_with_the_option_for_it() {
    let host = host();
    host.file("../qemu/web1.xml", "<domain/>");
    host.script("after_vm_stop/old", ":");
    host.call("qemu", ["gone", "stopped", "end", "-"]).run();
    std::fs::remove_file(host.hook("after_vm_stop/old")).unwrap();
    for (words, option) in [
        (&["list", "web1"][..], "--guest"),
        (&["log", "web1"], "--guest"),
        (&["log", "gone"], "--guest"),
        (&["watch", "web1"], "--guest"),
        (&["log", "10-good"], "--hook"),
        (&["watch", "20-bad"], "--hook"),
        (&["log", "old"], "--hook"),
        (&["show", "web1"], "--guest"),
        (&["show", "gone"], "--guest"),
        (&["retry", "gone"], "--guest"),
    ] {
        let status = if ["show", "retry"].contains(&words[0]) { 1 } else { 2 };
        let error = host.json(words, status);
        let error = &error["error"];
        let fix = error["fix_command"].as_array().unwrap_or_else(|| panic!("{words:?}: {error:#}"));
        let fix: Vec<&str> = fix.iter().skip(3).filter_map(Value::as_str).collect();
        assert_eq!(fix, [words[0], option, words[1]], "{words:?}");
        assert!(error["message"].as_str().unwrap().contains(" names a "), "{error:#}");
    }
    let shown = host.json(&["show", "--guest", "gone"], 0);
    assert_eq!(shown["object"], "gone", "{shown:#}");
    for word in ["list", "log", "watch"] {
        assert!(host.text(&[word, "zzz"], 2).contains("there is no event zzz"));
    }
}

#[test]
fn a_hook_that_does_not_run_is_shown_with_the_way_out() {
    let host = host();
    host.file("after_vm_stop/40-no", "#!/bin/nowhere\n");
    std::fs::write(host.hook("after_vm_stop/30-no"), "#!/bin/sh\n").unwrap();
    for (hook, reason, fix) in [
        ("30-no", "no x bit", "chmod a+x "),
        ("40-no", "no `/bin/nowhere`", "install /bin/nowhere"),
    ] {
        let said = host.text(&["show", hook], 0);
        for words in [reason, fix] {
            assert_eq!(said.matches(words).count(), 1, "{hook}: {words}\n{said}");
        }
    }
    assert_eq!(host.text(&["show", "30-no"], 0).matches("not executable").count(), 1);
}
