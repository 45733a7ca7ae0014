//! `install --adopt` looks first: what would break is refused, and the host stays as it was.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::drop_in::HELPER;
use crate::support::{Host, is_root};

const ADOPT: [&str; 4] = ["install", "--driver", "qemu", "--adopt"];

/// A host whose administrator wrote a hook for QEMU, without hookmux there.
fn host_with(script: &str) -> Host {
    let host = Host::new();
    fs::remove_file(host.hook("qemu")).unwrap();
    host.file("qemu", script);
    host
}

/// Everything that could be told of a host's hooks directory.
fn fingerprint(host: &Host) -> BTreeMap<PathBuf, (u32, u32, Vec<u8>)> {
    let hooks = host.hooks();
    host.everything()
        .into_iter()
        .filter(|path| path.starts_with(&hooks))
        .map(|path| {
            let metadata = fs::symlink_metadata(&path).unwrap();
            let content = fs::read_link(&path)
                .map(|target| target.into_os_string().into_encoded_bytes())
                .or_else(|_| fs::read(&path))
                .unwrap_or_default();
            (path, (metadata.mode(), metadata.uid(), content))
        })
        .collect()
}

/// Refused as it should be; with `--force` it is done.
fn is_refused(host: &Host, words: &[&str]) {
    let before = fingerprint(host);
    for more in [&["--dry-run"][..], &[]] {
        let told = host.text(&[&ADOPT[..], more].concat(), 1);
        for word in words {
            assert!(told.contains(word), "{word} is missing in {told}");
        }
        assert!(told.contains("--force") && told.contains("nothing was changed"), "{told}");
        assert_eq!(fingerprint(host), before);
    }
}

#[test]
fn a_script_that_decides_by_its_own_name_is_refused_with_the_way_out() {
    for script in [
        "#!/bin/sh\ncase ${0##*/} in qemu) echo rules ;; *) exit 0 ;; esac\n",
        "#!/bin/bash\nname=$(basename \"${BASH_SOURCE[0]}\")\n\"$(dirname \"$0\")/$name.d/run\" \"$@\"\n",
        "#!/usr/bin/python3\nimport os, sys\nif os.path.basename(sys.argv[0]) == 'qemu': pass\n",
        "#!/usr/bin/env ruby\ncase $PROGRAM_NAME\nwhen /qemu/ then 1\nend\n",
        "[ $(basename $0) = qemu ] || exit 0\n",
    ] {
        let host = host_with(script);
        is_refused(&host, &["qemu", "its own name", "qemu.adopted", "--beside"]);
        let told = host.text(&[&ADOPT[..], &["--force"]].concat(), 0);
        assert!(told.contains("its own name"), "{told}");
        assert_eq!(fs::read_to_string(host.hook("qemu.adopted")).unwrap(), script);
        // the way out is one: beside
        let host = host_with(script);
        host.text(&["install", "--driver", "qemu", "--beside"], 0);
        assert_eq!(fs::read_to_string(host.hook("qemu")).unwrap(), script);
    }
}

#[test]
fn a_script_that_only_finds_its_directory_is_adopted_and_dry_run_shows_it() {
    let script = "#!/bin/bash\n# ${0##*/} was qemu\ncd \"$(dirname \"$0\")\" || exit 1\necho \"usage: $0\" >&2\nlogger -t \"$(basename \"$0\")\" x || :\n";
    let host = host_with(script);
    let before = fingerprint(&host);
    let told = host.text(&[&ADOPT[..], &["--dry-run"]].concat(), 0);
    assert!(told.contains("would be called by hookmux as qemu.adopted"), "{told}");
    assert_eq!(fingerprint(&host), before);
    let json = host.json(&[&ADOPT[..], &["--dry-run"]].concat(), 0);
    assert_eq!(json["links"][0]["action"], "would-adopt");
    assert_eq!(json["reload"], serde_json::json!([]));
    assert_eq!(fingerprint(&host), before);
    host.text(&ADOPT, 0);
    assert_eq!(fs::read_to_string(host.hook("qemu.adopted")).unwrap(), script);
}

#[test]
fn nothing_is_run_or_made_to_find_out() {
    let host = host_with("#!/bin/sh\n: >\"$(dirname \"$0\")/../ran\"\n");
    host.script("qemu.d/g/prepare/begin/x", ": >\"$T/ran\"");
    host.text(&[&ADOPT[..], &["--dry-run"]].concat(), 0);
    host.text(&ADOPT, 0);
    assert!(!host.path("ran").exists());
    // a directory that isn't there isn't made
    let missing = host.path("missing/hooks");
    let output = Command::new(crate::support::host::binary_under_test())
        .arg("--hooks-dir")
        .arg(&missing)
        .args(["install", "--dry-run"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(!host.path("missing").exists());
}

#[test]
fn a_script_that_would_be_refused_is_not_adopted_and_the_copy_is_the_way_out() {
    if !is_root() {
        eprintln!("needs root: gives files away");
        return;
    }
    // a link into somebody's home, and a file of theirs
    for is_link in [true, false] {
        let host = Host::new();
        let home = host.path("home/it's u");
        fs::create_dir_all(&home).unwrap();
        fs::remove_file(host.hook("qemu")).unwrap();
        let script = "#!/bin/sh\nexit 0\n";
        if is_link {
            host.file(home.join("q"), script);
            symlink(home.join("q"), host.hook("qemu")).unwrap();
            for path in [home.join("q"), home.clone(), host.path("home")] {
                chown(path, Some(1000), Some(1000)).unwrap();
            }
        } else {
            host.file("qemu", script);
            chown(host.hook("qemu"), Some(1000), Some(1000)).unwrap();
        }
        let way_out_is = if is_link { "install -m 755" } else { "chown -h root" };
        is_refused(&host, &["would be refused", "uid 1000", way_out_is]);
        // the way out, as it is printed
        let json = host.json(&ADOPT, 1);
        let command = way_out(&json["problems"][0]);
        let done = Command::new("sh").args(["-c", &command]).status().unwrap();
        assert!(done.success(), "{command}");
        host.text(&ADOPT, 0);
        host.guest("prepare begin").run().succeeds();
        if is_link {
            assert_eq!(fs::metadata(&home).unwrap().uid(), 1000, "a home is nobody's to give away");
        }
    }
    // who says `trust: warn` has decided
    let host = host_with("#!/bin/sh\nexit 0\n");
    host.settings("trust: warn");
    chown(host.hook("qemu"), Some(1000), Some(1000)).unwrap();
    let told = host.text(&ADOPT, 0);
    assert!(told.contains("trust: warn"), "{told}");
}

/// The way out of a problem: what people paste, which is what programs are given.
fn way_out(problem: &Value) -> String {
    let fix = problem["fix"].as_str().unwrap().to_owned();
    assert!(problem["message"].as_str().unwrap().ends_with(&fix), "{problem}");
    let words: Vec<&str> =
        problem["fix_command"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    match words.as_slice() {
        ["sh", "-c", line] => assert_eq!(*line, fix),
        words => assert_eq!(shlex::split(&fix).unwrap(), words),
    }
    fix
}

#[test]
fn the_tree_is_looked_through_with_the_helper_and_with_a_script() {
    if !is_root() {
        eprintln!("needs root: gives files away");
        return;
    }
    for script in [HELPER, "#!/bin/sh\nexit 0\n"] {
        let host = host_with(script);
        for place in
            ["qemu.d/g/prepare/begin/a", "qemu.d/h/release/end/b", "qemu.d/h/release/end/c"]
        {
            host.file(place, "echo it runs under bash\n");
        }
        let told = host.text(&[&ADOPT[..], &["--dry-run"]].concat(), 0);
        assert!(told.contains("qemu.d") && told.contains(": 3"), "{told}");
        for path in ["qemu.d/h/release/end/b", "qemu.d/h/release", "qemu.d/h"] {
            chown(host.hook(path), Some(1000), Some(1000)).unwrap();
        }
        is_refused(&host, &["qemu.d/h/release/end/b", "would be refused", "uid 1000"]);
        let json = host.json(&ADOPT, 1);
        let command = way_out(&json["problems"][0]);
        let done = Command::new("sh").args(["-c", &command]).status().unwrap();
        assert!(done.success(), "{command}");
        host.text(&ADOPT, 0);
        host.guest("prepare begin").run().succeeds();
        host.guest("release end").run().succeeds();
    }
    // a script that runs the tree itself goes on doing so: nothing there is hookmux's to refuse
    let host = host_with("#!/bin/sh\n\"$(dirname \"$0\")/qemu.d/g/run\" || exit 0\n");
    host.file("qemu.d/g/prepare/begin/a", "#!/bin/sh\n");
    chown(host.hook("qemu.d/g/prepare/begin/a"), Some(1000), Some(1000)).unwrap();
    host.text(&ADOPT, 0);
}

#[test]
fn broken_settings_keep_an_adoption_from_shutting_all_gates() {
    let host = host_with("#!/bin/sh\nexit 0\n");
    host.settings("timout: 3");
    is_refused(&host, &["hookmux.yaml is broken"]);
    host.settings("");
    host.text(&ADOPT, 0);
}

#[test]
fn a_tree_that_a_link_leads_to_is_copied_and_left_alone() {
    if !is_root() {
        eprintln!("needs root: gives files away");
        return;
    }
    for link_owner in [0, 1000] {
        let host = host_with(HELPER);
        let home = host.path("home");
        let script = home.join("tree/g/prepare/begin/a");
        fs::create_dir_all(script.parent().unwrap()).unwrap();
        fs::write(&script, "#!/bin/sh\nexit 0\n").unwrap();
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        symlink(home.join("tree"), host.hook("qemu.d")).unwrap();
        for path in [&home, &home.join("tree"), &script] {
            chown(path, Some(1000), Some(1000)).unwrap();
        }
        std::os::unix::fs::lchown(host.hook("qemu.d"), Some(link_owner), None).unwrap();
        let json = host.json(&ADOPT, 1);
        let command = way_out(&json["problems"][0]);
        let done = Command::new("sh").args(["-c", &command]).status().unwrap();
        assert!(done.success(), "{command}");
        for path in [&home, &home.join("tree"), &script] {
            assert_eq!(fs::metadata(path).unwrap().uid(), 1000, "{command}");
        }
        host.text(&ADOPT, 0);
        host.guest("prepare begin").run().succeeds();
    }
}
