//! The command line: what it shows, to people and to programs. (V7, C9)

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::Host;
use crate::support::host::{binary_under_test, writing};

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Of every object in a list, the values of some keys, with a slash between.
fn rows(list: &Value, keys: &[&str]) -> Vec<String> {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let row =
        |object: &Value| keys.iter().map(|key| word(&object[*key])).collect::<Vec<_>>().join("/");
    list.as_array().unwrap().iter().map(row).collect()
}

#[test]
fn list_on_an_empty_system_explains_itself() {
    let host = Host::new();
    let said = host.text(&["list"], 0);
    assert!(
        said.contains("No hook in") && said.contains("mkdir -p") && said.contains("install -m 755"),
        "{said}"
    );
    assert_eq!(host.json(&["list"], 0)["hooks"], Value::Array(Vec::new()));
}

// V7, C9
#[test]
fn list_shows_every_hook_with_its_order_state_and_checksum() {
    let host = Host::new();
    host.raw_settings(&host.private_settings().replace("roots: []", "roots: [../lower]"));
    host.script("before_vm_start/10-a", "exit 0").script("before_vm_start/20-b", "exit 0");
    host.script("../lower/before_vm_start/10-a", "exit 0")
        .script("../lower/before_vm_start/15-c", "exit 0");
    host.file("before_vm_start/30-plain", "x").mode("hooks/before_vm_start/30-plain", 0o644);
    host.file("before_vm_start/40-open", "x").mode("hooks/before_vm_start/40-open", 0o777);
    host.file("before_vm_start/50-old.bak", "x");
    host.link("/dev/null", "before_vm_start/60-off").link("/nowhere", "before_vm_start/70-gone");
    host.file("hooks.d/r.yaml", "events: [before_vm_start]\ncommand: /bin/true\n");
    host.file("hooks.d/bad.yaml", "evnts: [x]\n");
    host.script("qemu.d/g/prepare/begin/x", ":").script("qemu.d/g/prepair/begin/x", ":");
    host.script("before_vm_strat/10-x", ":");
    let listed = host.json(&["list"], 0);
    assert_eq!(
        rows(&listed["hooks"], &["place", "order", "name", "state", "style"]),
        [
            "before_vm_start/1/10-a/active/vdsm",
            "before_vm_start/null/10-a/masked/vdsm",
            "before_vm_start/2/15-c/active/vdsm",
            "before_vm_start/3/20-b/active/vdsm",
            "before_vm_start/null/30-plain/not executable/vdsm",
            "before_vm_start/null/40-open/refused/vdsm",
            "before_vm_start/null/50-old.bak/skipped/vdsm",
            "before_vm_start/null/60-off/disabled/vdsm",
            "before_vm_start/null/70-gone/a link to nothing/vdsm",
            "before_vm_start/4/r/active/vdsm",
            "before_vm_strat/null/10-x/never called/vdsm",
            "qemu.d/g/prepair/begin/null/x/never called/libvirt",
            "qemu.d/g/prepare/begin/1/x/active/libvirt",
            "hooks.d/null/bad/broken/null",
        ]
    );
    let sum =
        Command::new("sha256sum").arg(host.hook("before_vm_start/10-a")).output().unwrap().stdout;
    let sum = String::from_utf8(sum).unwrap();
    assert_eq!(listed["hooks"][0]["sha256"].as_str(), sum.split(' ').next());
    assert_eq!(rows(&listed["notes"], &[]).len(), 1);
    assert!(text(&listed["notes"][0]["message"]).contains("did you mean before_vm_start?"));
    let shown = |index: usize| [&listed["hooks"][index]["hook"], &listed["hooks"][index]["event"]];
    assert_eq!(shown(0), ["before_vm_start/10-a", "before_vm_start"]);
    assert_eq!(shown(12), [&json!("qemu.d/g/prepare/begin/x"), &Value::Null]);
    assert_eq!(shown(13), [&json!("hooks.d/bad"), &Value::Null]);
    let one = host.json(&["list", "before_vm_start"], 0);
    assert_eq!(one["hooks"].as_array().unwrap().len(), 10);
    let said = host.text(&["list"], 0);
    for words in
        ["chmod go-w", "masked by", "did you mean `events`?", "did you mean prepare/begin?"]
    {
        assert!(said.contains(words), "{words} is missing in\n{said}");
    }
    // a directory that is there is shown, and why nothing in it runs
    let said = host.text(&["list", "before_vm_strat"], 0);
    assert!(said.contains("never called") && said.contains("did you mean before_vm_start?"));
    assert!(host.text(&["list", "before_vm_srat"], 2).contains("did you mean before_vm_start?"));
}

/// A directory in every root, and a registration, name the same event of an operation that hookmux
/// doesn't know: its hooks are listed once, and such events in byte order, whoever names them.
#[test]
fn events_of_unknown_operations_are_listed_once_and_in_order() {
    let host = Host::new();
    host.raw_settings(&host.private_settings().replace("roots: []", "roots: [../lower]"));
    host.script("on_qemu_bbb/10-a", ":").script("../lower/on_qemu_bbb/20-b", ":");
    host.script("../lower/on_qemu_ccc/10-c", ":");
    for (name, events) in [("r", "on_qemu_bbb"), ("s", "on_qemu_aaa")] {
        let text = format!("events: [{events}]\ncommand: /bin/true\n");
        host.file(format!("hooks.d/{name}.yaml"), text);
    }
    assert_eq!(
        rows(&host.json(&["list"], 0)["hooks"], &["place", "order", "name"]),
        [
            "on_qemu_aaa/1/s",
            "on_qemu_bbb/1/10-a",
            "on_qemu_bbb/2/20-b",
            "on_qemu_bbb/3/r",
            "on_qemu_ccc/1/10-c",
        ]
    );
}

/// What somebody else runs is no hook of hookmux's, and so is not listed; `check` says why.
#[test]
fn a_tree_that_a_script_runs_itself_is_not_listed() {
    let host = Host::new();
    host.script("qemu.d/g/prepare/begin/x", ":").script("qemu.adopted", "# runs qemu.d\n:");
    let listed = |host: &Host| rows(&host.json(&["list"], 0)["hooks"], &["place", "name"]);
    assert_eq!(listed(&host), ["every qemu call/qemu.adopted"]);
    let findings = host.json(&["check"], 0);
    assert!(rows(&findings["findings"], &["code"]).contains(&"tree-left-alone".to_owned()));
    host.mode("hooks/qemu.adopted", 0o644);
    assert_eq!(listed(&host), ["every qemu call/qemu.adopted", "qemu.d/g/prepare/begin/x"]);
}

#[test]
fn events_are_the_table_and_vdsms_without_a_source() {
    let host = Host::new();
    let events = host.json(&["events"], 0);
    let names = rows(&events["events"], &["event"]);
    assert_eq!(names.len(), 30);
    assert!(names.contains(&"before_vm_dehibernate".to_owned()));
    assert_eq!(events["vdsm_without_source"].as_array().unwrap().len(), 43);
    let said = host.text(&["events"], 0);
    assert!(said.contains("gate, filter") && said.contains("on_<driver>_<operation>"), "{said}");
}

#[test]
fn a_plan_shows_what_would_run_and_why_not_the_rest_and_runs_nothing() {
    let host = Host::new();
    host.follow(&["before_vm_start/10-x", "before_vm_prepare/10-x", "qemu.d/g/prepare/begin/10-x"]);
    host.file("before_vm_start/20-plain", "x").mode("hooks/before_vm_start/20-plain", 0o644);
    host.script("before_device_create/10-x", ":");
    host.file(
        "hooks.d/r.yaml",
        "events: [before_vm_start]\ncommand: /bin/true\nwhen: {name: other}\n",
    );
    let plan = host.json(&["plan", "qemu", "g", "prepare", "--xml", "guest.xml"], 0);
    assert_eq!(
        rows(&plan["steps"], &["hook", "state", "reason"]),
        [
            "before_vm_prepare/10-x/runs/null",
            "before_device_create/10-x/not run/no device has custom properties",
            "before_vm_start/10-x/runs/null",
            "before_vm_start/20-plain/not run/not executable: it has no x bit",
            "before_vm_start/r/not run/when: name is g, not other",
            "qemu.d/g/prepare/begin/10-x/runs/null",
        ]
    );
    assert_eq!(
        (&plan["class"], &plan["origin"], &plan["would_fail"]),
        (&"gate".into(), &"fresh".into(), &false.into())
    );
    let migrating = ["plan", "qemu", "g", "prepare", "--origin", "migration", "--xml", "guest.xml"];
    let plan = host.json(&migrating, 0);
    let why = plan["steps"][2]["reason"].as_str().unwrap();
    assert_eq!(why, "not when a migration is coming in; the origin is migration");
    assert!(host.log().is_empty());
    host.mode("hooks/before_vm_start/10-x", 0o777);
    let plan = host.json(&["plan", "qemu", "g", "prepare"], 1);
    assert_eq!(plan["would_fail"], true);
    // a guest may be called anything
    assert!(
        host.text(&["plan", "qemu", "--", "--help", "started"], 0)
            .contains("qemu --help started begin -")
    );
    assert!(host.text(&["plan", "qemus", "g", "prepare"], 2).contains("drivers are daemon, qemu"));
}

#[test]
fn a_plan_knows_a_failure_that_waits_and_a_script_that_has_the_tree() {
    let host = Host::new();
    host.script("before_vm_dehibernate/10-x", "exit 3");
    host.guest("restore begin").run().succeeds();
    let said = host.text(&["plan", "qemu", "g", "prepare", "--xml", "guest.xml"], 1);
    assert!(said.contains("this call would fail with 3"), "{said}");
    fs::remove_file(host.hook("qemu")).unwrap();
    host.script("qemu", "ls qemu.d").script("qemu.d/g/start/begin/x", ":");
    host.link(binary_under_test(), "qemu.d/50-hookmux");
    let plan = host.json(&["plan", "qemu", "g", "start"], 0);
    assert_eq!(plan["steps"], Value::Array(Vec::new()));
    assert!(text(&plan["notes"][0]["message"]).contains("mentions qemu.d"), "{plan}");
}

#[test]
fn run_does_it_and_shows_it_and_remembers_nothing() {
    let host = Host::new();
    host.script("before_vm_start/10-x", "echo out; echo err >&2; log \"$HOOKMUX_ORIGIN\"");
    host.script("before_vm_start/20-y", "exit 3");
    let ran = host.json(&["run", "qemu", "g", "prepare", "--xml", "guest.xml"], 1);
    assert_eq!(
        rows(&ran["runs"], &["hook", "state", "status", "stdout", "stderr"]),
        ["before_vm_start/10-x/good/0/out\n/err\n", "before_vm_start/20-y/failed/3//",]
    );
    assert_eq!(ran["status"], 3);
    assert!(
        ran["stderr"]
            .as_str()
            .unwrap()
            .starts_with("hookmux: before_vm_start/20-y: exit status 3 after")
    );
    assert_eq!(host.log(), ["fresh"]);
    assert!(!host.path("run/guests").exists(), "nothing is remembered");
    let said = host.text(&["run", "qemu", "g", "prepare"], 1);
    assert!(said.contains("libvirt would get exit status 3") && said.contains(" │ out"), "{said}");
    // an edit is shown
    host.script(
        "before_vm_dehibernate/10-x",
        "sed -i 's|</domain>|<a/></domain>|' \"$_hook_domxml\"",
    );
    let ran = host.json(&["run", "qemu", "g", "restore", "--xml", "guest.xml"], 0);
    assert!(ran["document_after"].as_str().unwrap().contains("<a/>"));
    assert_eq!(ran["runs"][0]["changed_document"], true);
    // as what changed, and without passwords, which a terminal's history would keep
    host.script(
        "before_vm_dehibernate/10-x",
        "grep passwd \"$_hook_domxml\"; sed -i 's|</domain>|<a/></domain>|' \"$_hook_domxml\"",
    );
    let devices = "<devices><graphics type='vnc' passwd='s3cret'/></devices>";
    let filler = "<metadata/>\n".repeat(20);
    let document = format!("<domain type='kvm'>\n<name>g</name>\n{devices}\n{filler}</domain>\n");
    fs::write(host.path("vnc.xml"), &document).unwrap();
    let words = ["run", "qemu", "g", "restore", "--xml", "vnc.xml"];
    let said = host.text(&words, 0);
    assert!(said.contains("\n  -</domain>\n  +<a/></domain>"), "{said}");
    assert!(said.contains("passwd='***'") && said.matches("<metadata/>").count() < 5, "{said}");
    let json = host.json(&words, 0).to_string();
    for shown in [said, json] {
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

#[test]
fn broken_settings_are_shown_with_a_caret() {
    let host = Host::new();
    host.raw_settings(&format!("{}timout: 3s\n", host.private_settings()));
    let said = host.text(&["list"], 0);
    assert!(
        said.contains("unknown key `timout`; did you mean `timeout`?\n  timout: 3s\n  ^"),
        "{said}"
    );
}

#[test]
fn man_pages_and_completions_are_made_of_the_commands() {
    let host = Host::new();
    host.text(&["man", "pages"], 0);
    for page in ["hookmux.8", "hookmux-plan.8", "hookmux-install.8", "hookmux-add.8"] {
        let page = host.read_text(&format!("pages/{page}"));
        assert!(page.contains(".TH") && page.contains("hooks"), "{page}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(host.text(&["completions", shell], 0).contains("HOOKMUX_COMPLETE"), "{shell}");
    }
}

#[test]
fn a_copy_of_the_binary_is_hookmux_and_no_script_to_adopt() {
    let host = Host::new();
    fs::remove_file(host.hook("qemu")).unwrap();
    {
        let _writing = writing();
        fs::copy(binary_under_test(), host.hook("qemu")).unwrap();
    }
    let said = host.text(&["install", "--driver", "qemu", "--adopt"], 0);
    assert!(said.contains("is hookmux already"), "{said}");
    assert!(!host.hook("qemu.adopted").exists());
    let said = host.text(&["install", "--driver", "qemu", "--beside"], 1);
    assert!(
        said.contains("it would run every hook twice") && said.contains("nothing was changed"),
        "{said}"
    );
    // one that was adopted all the same has nothing to say, and kills no guest
    host.link(binary_under_test(), "qemu.adopted");
    for call in ["prepare begin", "started begin", "stopped end"] {
        host.guest(call).run().succeeds();
    }
}

#[test]
fn what_cannot_be_installed_as_asked_changes_nothing_at_all() {
    let host = Host::new();
    for driver in ["qemu", "lxc"] {
        fs::remove_file(host.hook(driver)).unwrap();
    }
    host.script("lxc.d/50-hookmux", ":");
    let said = host.text(&["install", "--driver", "qemu", "--driver", "lxc", "--beside"], 1);
    assert!(
        said.contains("lxc.d/50-hookmux is somebody else's")
            && said.contains("nothing was changed"),
        "{said}"
    );
    assert!(!host.hook("qemu.d").exists());
    // a link of another name, to a script that is called as we are
    host.script("other/hookmux", ":").link(host.hook("other/hookmux"), "qemu");
    let said = host.text(&["install", "--driver", "qemu"], 1);
    assert!(said.contains("somebody else's"), "{said}");
    host.text(&["uninstall", "--driver", "qemu"], 0);
    assert!(host.hook("qemu").exists(), "what is not ours stays");
}

#[test]
fn the_version_is_told_by_an_option_and_by_a_word() {
    let host = Host::new();
    let version = host.text(&["--version"], 0);
    assert!(version.starts_with("hookmux "), "{version}");
    assert_eq!(host.text(&["version"], 0), version);
}
