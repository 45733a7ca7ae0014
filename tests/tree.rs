//! `tree` in hookmux.yaml: the per-guest tree under another name.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::drop_in::HELPER;
use crate::support::Host;
use crate::support::finding::{provoked, seen};

provoked! {
    scripts_that_are_left_in_the_old_tree_are_told_and_moved: "old-tree";
}

const TREES: [(&str, &str); 3] = [
    ("hooks.guests", "hooks.guests/qemu"),
    ("$DRIVER.hooks.d", "qemu.hooks.d"),
    // the word that is in every hook's path
    ("hooks", "hooks/qemu"),
];

/// A host with a tree of this name, and scripts in it and in the usual one.
fn host(tree: &str, place: &str) -> Host {
    let host = Host::new();
    host.settings(&format!("tree: {tree}"));
    host.script(format!("{place}/g/prepare/begin/10-x"), r#"log "$me $*""#);
    host.script("qemu.d/g/prepare/begin/10-old", "log old");
    host
}

fn codes(host: &Host, status: i32) -> Vec<(String, String, Value)> {
    let found = host.json(&["check"], status);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = found["findings"].as_array().unwrap().iter();
    all.map(|one| (text(&one["code"]), text(&one["message"]), one.clone())).collect()
}

#[test]
fn the_tree_has_the_name_that_the_settings_give_it() {
    for (tree, place) in TREES {
        let host = host(tree, place);
        host.guest("prepare begin").run().succeeds();
        assert_eq!(host.log(), ["10-x g prepare begin -"], "{tree}");
        let label = format!("{place}/g/prepare/begin/10-x");
        let plan = host.json(&["plan", "qemu", "g", "prepare"], 0);
        let steps = plan["steps"].as_array().unwrap();
        assert_eq!((steps.len(), &steps[0]["hook"]), (1, &label.as_str().into()), "{plan:#}");
        assert_eq!(steps[0]["source"], "per-guest tree");
        let list = host.json(&["list"], 0);
        let hooks = list["hooks"].as_array().unwrap();
        assert_eq!(hooks.len(), 1, "{list:#}");
        assert_eq!(hooks[0]["place"], format!("{place}/g/prepare/begin"));
        assert_eq!((&hooks[0]["hook"], &hooks[0]["event"]), (&label.as_str().into(), &Value::Null));
        assert_eq!(hooks[0]["state"], "active");
        let record = host.json(&["show", "last"], 0);
        assert_eq!(record["runs"][0]["hook"], label);
    }
}

#[test]
fn the_drivers_stay_apart() {
    let host = Host::new();
    host.settings("tree: hooks.guests");
    for driver in ["qemu", "lxc", "network"] {
        host.follow(&[&format!("hooks.guests/{driver}/g/start/begin/10-x")]);
    }
    host.follow(&["hooks.guests/g/start/begin/10-x"]);
    for driver in ["qemu", "lxc", "network"] {
        host.call(driver, ["g", "start", "begin", "-"]).run().succeeds();
        assert_eq!(host.log(), [format!("hooks.guests/{driver}/g/start/begin/10-x")]);
    }
    // the place may be a link, as where another tool makes the directory
    let other = Host::new();
    other.settings("tree: guests");
    other.link(host.hook("hooks.guests"), "guests");
    other.call("lxc", ["g", "start", "begin", "-"]).run().succeeds();
    assert_eq!(host.log(), ["hooks.guests/lxc/g/start/begin/10-x"]);
}

#[test]
fn a_name_that_no_tree_can_have_breaks_the_settings() {
    let host = host("hooks.guests", "hooks.guests/qemu");
    for name in ["qemu", "qemu.d", "../x", "a/b", "before_vm_start", "hooks.d", "$GUEST"] {
        host.settings(&format!("tree: '{name}'"));
        let answer = host.guest("prepare begin").run();
        answer.fails(125, &["hookmux.yaml:", "tree: ", "can't be the per-guest tree"]);
        let found = codes(&host, 1);
        assert!(found.iter().any(|(code, ..)| code == "broken-settings"), "{found:?}");
    }
    // where the rest is broken, this holds
    host.settings("tree: hooks.guests\noops: 1");
    host.script("hooks.guests/qemu/g/started/begin/10-x", "log live");
    host.guest("started begin").run().succeeds();
    assert_eq!(host.log(), ["live"]);
}

fn scripts_that_are_left_in_the_old_tree_are_told_and_moved() {
    for (tree, place) in TREES {
        let host = host(tree, place);
        fs::remove_dir_all(host.hook(place)).unwrap();
        let found = codes(&host, 0);
        let told: Vec<_> = found.iter().filter(|(code, ..)| code == "old-tree").collect();
        let [(_, message, finding)] = told[..] else { panic!("{found:?}") };
        seen(finding);
        assert!(message.contains("qemu.d/g has scripts, and they don't run"), "{message}");
        assert!(message.contains(&format!("in {place}")), "{message}");
        let words: Vec<&str> = finding["fix_command"]
            .as_array()
            .unwrap()
            .iter()
            .map(|word| word.as_str().unwrap())
            .collect();
        let status = std::process::Command::new(words[0]).args(&words[1..]).status().unwrap();
        assert!(status.success());
        assert!(!codes(&host, 0).iter().any(|(code, ..)| code == "old-tree"));
        host.guest("prepare begin").run().succeeds();
        assert_eq!(host.log(), ["old"]);
        // a mistake in the new one is found as in the usual one
        host.script(format!("{place}/g/prepair/begin/10-x"), "true");
        let found = codes(&host, 0);
        let is_it = |(code, message, _): &(String, String, Value)| {
            code == "never-called" && message.contains(&format!("{place}/g/prepair/begin"))
        };
        assert!(found.iter().any(is_it), "{found:?}");
    }
    // what an adopted script runs is no mistake
    let host = host("hooks.guests", "hooks.guests/qemu");
    host.script("qemu.adopted", "ls qemu.d >/dev/null");
    assert!(!codes(&host, 0).iter().any(|(code, ..)| code == "old-tree"));
}

#[test]
fn whoever_runs_the_tree_of_this_name_keeps_it() {
    for (tree, place) in TREES {
        let host = host(tree, place);
        let word = if tree == "hooks" { "hooks/hooks" } else { place.split('/').next().unwrap() };
        // the usual one is none of hookmux's
        host.script("qemu.adopted", "# runs /etc/libvirt/hooks/qemu.d\nlog adopted");
        host.guest("prepare begin").run().succeeds();
        assert_eq!(host.log(), ["adopted", "10-x g prepare begin -"], "{tree}");
        host.script("qemu.adopted", &format!("# runs {word}\nlog adopted"));
        host.guest("prepare begin").run().succeeds();
        assert_eq!(host.log(), ["adopted"], "{tree}");
        assert!(
            host.text(&["plan", "qemu", "g", "prepare"], 0).contains(&format!("mentions {word}"))
        );
    }
}

#[test]
fn the_helper_goes_on_running_its_own_tree() {
    let host = host("hooks.guests", "hooks.guests/qemu");
    fs::remove_file(host.hook("qemu")).unwrap();
    host.file("qemu", HELPER);
    let told = host.text(&["install", "--driver", "qemu", "--adopt", "--dry-run"], 0);
    assert!(told.contains("would be called by hookmux as qemu.adopted"), "{told}");
    host.text(&["install", "--driver", "qemu", "--adopt"], 0);
    assert!(host.hook("qemu.adopted").exists() && !host.hook("qemu.retired").exists());
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), ["old", "10-x g prepare begin -"]);
    // with the usual name it is retired
    let host = Host::new();
    host.settings("tree: $DRIVER.d");
    fs::remove_file(host.hook("qemu")).unwrap();
    host.file("qemu", HELPER).follow(&["qemu.d/g/prepare/begin/10-x"]);
    host.text(&["install", "--driver", "qemu", "--adopt"], 0);
    assert!(host.hook("qemu.retired").exists());
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), ["qemu.d/g/prepare/begin/10-x"]);
}

#[test]
fn adoption_looks_through_the_tree_of_this_name() {
    let host = host("hooks.guests", "hooks.guests/qemu");
    fs::remove_file(host.hook("qemu")).unwrap();
    host.script("qemu", "true");
    host.mode(Path::new("hooks/hooks.guests/qemu/g/prepare/begin/10-x"), 0o777);
    let told = host.text(&["install", "--driver", "qemu", "--adopt"], 1);
    assert!(told.contains("hooks.guests/qemu/g/prepare/begin/10-x would be refused"), "{told}");
}

#[test]
fn an_older_version_doesnt_know_the_key() {
    let host = host("hooks.guests", "hooks.guests/qemu");
    let found = host.json(&["check", "--for", "0.1.0"], 1);
    assert!(found["findings"][0]["message"].as_str().unwrap().contains("`tree`"), "{found:#}");
}
