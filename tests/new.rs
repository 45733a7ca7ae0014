//! `hookmux new`: the skeletons of hooks. Needs shellcheck, bash and python3 to judge all of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::documents::guest;
use crate::support::host::binary_under_test;
use crate::support::{Host, is_root, schema, skip};

const LANGUAGES: [(&str, &str); 3] =
    [("sh", "#!/bin/sh"), ("bash", "#!/usr/bin/env bash"), ("python", "#!/usr/bin/env python3")];
/// One that is new to hookmux.
const UNKNOWN: &str = "on_qemu_paused";

/// Every event, as `hookmux events` has them.
fn events(host: &Host) -> Vec<String> {
    let said = host.json(&["events"], 0);
    let all = said["events"].as_array().unwrap().iter();
    all.map(|one| one["event"].as_str().unwrap().to_owned()).chain([UNKNOWN.to_owned()]).collect()
}

/// Makes a hook; returns what is said, and the paths of its files.
#[track_caller]
fn made(host: &Host, words: &[&str]) -> (Value, Vec<PathBuf>) {
    let said = host.json(&[&["new"], words].concat(), 0);
    assert_eq!(said["made"], true);
    let files = said["files"].as_array().unwrap().iter();
    let paths: Vec<PathBuf> = files.map(|file| file["path"].as_str().unwrap().into()).collect();
    for (path, file) in paths.iter().zip(said["files"].as_array().unwrap()) {
        assert_eq!(fs::read_to_string(path).unwrap(), file["text"].as_str().unwrap());
    }
    (said, paths)
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

/// The findings of `check` about these files, but that this host's libvirt never makes the call.
fn findings(host: &Host, files: &[PathBuf]) -> Vec<Value> {
    let output = host.hookmux(&["check", "--output", "json"]);
    let said = schema::read(&["check"], &output.stdout);
    let all = said["findings"].as_array().unwrap().iter();
    let is_ours = |one: &&Value| {
        let path = Path::new(one["path"].as_str().unwrap());
        let message = one["message"].as_str().unwrap();
        files.iter().any(|file| file == path || file.parent() == Some(path))
            && !message.contains("never calls it")
            && !message.contains("needs libvirt")
    };
    all.filter(is_ours).cloned().collect()
}

#[test]
fn a_skeleton_of_each_event_in_each_language_is_a_good_hook() {
    let host = Host::new();
    let languages: Vec<_> = LANGUAGES
        .iter()
        .filter(|(name, _)| {
            *name == "sh"
                || has(match *name {
                    "python" => "python3",
                    name => name,
                })
        })
        .collect();
    let mut files = Vec::new();
    let events = events(&host);
    for event in &events {
        for (language, first) in &languages {
            let (said, paths) = made(&host, &[event, language, "--language", language]);
            assert_eq!(paths, [host.hook(event).join(language)]);
            let text = said["files"][0]["text"].as_str().unwrap();
            assert!(text.starts_with(&format!("{first}\n# {language}: ")), "{text}");
            for line in text.lines() {
                assert!(line.len() <= 120 && line.trim_end() == line, "{line:?}");
            }
            assert!(text.contains(&format!("# It runs at {event}: ")), "{text}");
            let is_filter = event.contains("migrate_dest") || event == "before_vm_dehibernate";
            assert_eq!(text.contains("The file may be changed"), is_filter, "{text}");
            files.extend(paths);
        }
        let name = format!("registered-{event}");
        files.extend(made(&host, &[event, &name, "--registered"]).1);
    }
    // nobody's umask takes a right away
    for file in &files {
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(file).unwrap().permissions());
        let wanted = if file.extension().is_some_and(|it| it == "yaml") { 0o644 } else { 0o755 };
        assert_eq!(mode & 0o777, wanted, "{}", file.display());
    }
    let found = findings(&host, &files);
    assert!(found.is_empty(), "{found:#?}");
    let list = host.json(&["list"], 0);
    let hooks = list["hooks"].as_array().unwrap();
    assert_eq!(hooks.len(), events.len() * (languages.len() + 1));
    for hook in hooks {
        assert_eq!(hook["state"], "active", "{hook:#}");
    }
    let scripts =
        files.iter().filter(|file| file.extension().is_none() && !file.ends_with("python"));
    match Command::new("shellcheck").args(scripts).output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout))
        }
        Err(_) => skip("no shellcheck here"),
    }
}

/// As it is made it says a line, and does nothing.
#[test]
fn a_skeleton_runs_as_it_is() {
    let host = Host::new();
    let calls = [
        ("before_vm_start", "qemu g prepare begin -"),
        ("after_vm_launch", "qemu g started begin -"),
        ("after_vm_destroy", "qemu g release end -"),
        ("before_vm_migrate_destination", "qemu g migrate begin -"),
        ("before_network_start", "network n start begin -"),
        ("before_daemon_start", "daemon - start - start"),
        (UNKNOWN, "qemu g paused begin -"),
    ];
    for (event, call) in calls {
        for (language, program) in [("sh", "sh"), ("bash", "bash"), ("python", "python3")] {
            if language != "sh" && !has(program) {
                continue;
            }
            made(&host, &[event, language, "--language", language]);
        }
        let mut words = call.split(' ');
        host.call(words.next().unwrap(), words).run().succeeds();
        let shown = host.text(&["show", "last"], 0);
        assert!(shown.contains(&format!("{event}: ")), "{shown}");
        let executions = host.json(&["log"], 0);
        let last = executions["executions"].as_array().unwrap().last().unwrap();
        for run in last["runs"].as_array().unwrap() {
            assert_eq!(run["state"], "good", "{last:#}");
        }
        assert!(!shown.contains("Traceback") && shown.contains("nothing to do yet"), "{shown}");
    }
}

/// What is there as a comment works without its comment sign, and the path that it names has a value.
#[test]
fn the_comments_of_a_skeleton_are_examples_that_work() {
    let host = Host::new();
    let binaries = binary_under_test().parent().unwrap().display().to_string();
    host.settings(&format!("environment: {{PATH: '{binaries}:/usr/bin:/bin:/usr/sbin:/sbin'}}"));
    let uncommented = |text: &str, beginning: &str| -> String {
        let line = |line: &str| match line.trim_start().strip_prefix(beginning) {
            Some(code) => format!("{code}\n"),
            None => format!("{line}\n"),
        };
        text.lines().map(line).collect()
    };
    let disk = "<disk type='file' device='disk'><source file='/a b.img'/></disk>";
    let property = "<hookmux:properties xmlns:hookmux='urn:hookmux:properties:1'>\
         <hookmux:property name='example'>VALUE</hookmux:property></hookmux:properties>";
    for (language, show, program) in [
        ("sh", "echo \"disks: $disks\"", "sh"),
        ("bash", "echo \"disks: ${disks[*]}\"", "bash"),
        ("python", "", "python3"),
    ] {
        if language != "sh" && !has(program) {
            continue;
        }
        let (said, paths) = made(&host, &["before_vm_start", language, "--language", language]);
        let text = said["files"][0]["text"].as_str().unwrap();
        let (head, body) = text.split_once("\n\n").unwrap();
        let body = match language {
            "python" => body
                .replace("#   ", "")
                .replace("sys.exit('there", "print('disks:', *disks); sys.exit('there"),
            _ => uncommented(body, "#   ")
                .replace("echo 'there is", &format!("{show}; echo 'there is")),
        };
        let text = format!("{head}\n\n{body}");
        host.file(&paths[0], &text);
        let start = |value: &str| {
            let document = guest(&property.replace("VALUE", value), disk);
            host.guest("prepare begin").stdin(document).run()
        };
        start("no").succeeds();
        start("yes").fails(1, &["there is no room for it"]);
        let shown = host.text(&["show", "last"], 0);
        assert!(shown.contains("disks: /a b.img"), "{text}\n{shown}");
        fs::remove_file(&paths[0]).unwrap();
    }
    for event in ["before_vm_prepare", "before_network_start", "before_daemon_start"] {
        let (_, paths) = made(&host, &[event, event, "--registered"]);
        let text = fs::read_to_string(&paths[1]).unwrap();
        let keys = ["undo: ", "when: ", "check: ", "timeout: "];
        let line = |line: &str| {
            let key =
                line.strip_prefix("# ").filter(|it| keys.iter().any(|key| it.starts_with(key)));
            format!("{}\n", key.unwrap_or(line))
        };
        let all: String = text.lines().map(line).collect();
        assert!(all != text && all.contains("\ncheck: ["), "{text}");
        fs::write(&paths[1], all).unwrap();
        let found = findings(&host, &paths);
        assert!(found.is_empty(), "{found:#?}");
    }
}

#[test]
fn an_undo_is_run_when_the_guest_has_ended() {
    let host = Host::new();
    let (said, paths) = made(&host, &["before_vm_prepare", "pages", "--undo"]);
    assert_eq!(paths, [host.hook("bin/pages"), host.hook("hooks.d/pages.yaml")]);
    let kinds: Vec<_> = said["files"].as_array().unwrap().iter().map(|it| &it["kind"]).collect();
    assert_eq!(kinds, ["script", "registration"]);
    let yaml = fs::read_to_string(&paths[1]).unwrap();
    assert!(yaml.contains("\nundo: [bin/pages, undo]\n") && yaml.contains("\n# when: "), "{yaml}");
    host.guest("prepare begin").run().succeeds();
    assert!(host.text(&["show", "last"], 0).contains("nothing to set up yet"));
    assert_eq!(host.json(&["undo", "--list"], 0)["undos"].as_array().unwrap().len(), 1);
    host.guest("release end").run().succeeds();
    assert!(host.text(&["show", "last"], 0).contains("nothing to take back yet"));
    assert_eq!(host.json(&["undo", "--list"], 0)["undos"].as_array().unwrap().len(), 0);
    // whatever calls it in another way is told
    let output = Command::new(&paths[0]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("start or undo"));
}

#[test]
fn what_cannot_be_undone_is_refused_with_the_way_out() {
    let host = Host::new();
    let said = host.json(&["new", "before_vm_start", "x", "--undo"], 2);
    let command = said["error"]["fix_command"].as_array().unwrap().iter();
    let command: Vec<&str> = command.map(|word| word.as_str().unwrap()).collect();
    assert_eq!(command[command.len() - 4..], ["new", "before_vm_prepare", "x", "--undo"]);
    assert!(said["error"]["message"].as_str().unwrap().contains("by migration or from a save"));
    let said = host.json(&["new", "after_vm_start", "x", "--undo"], 2);
    assert!(said["error"]["fix"].as_str().unwrap().contains("after_vm_launch"));
    for event in ["after_vm_stop", "after_network_stop", "before_daemon_start"] {
        let said = host.text(&["new", event, "x", "--undo"], 2);
        assert!(said.contains(&format!("nothing comes after {event}")), "{said}");
        // a registration without an undo is fine
        let (_, paths) = made(&host, &[event, event, "--registered"]);
        let texts = paths.iter().map(|path| fs::read_to_string(path).unwrap());
        assert!(texts.into_iter().all(|text| !text.contains("undo")), "{event}");
    }
    assert!(!host.hook("bin/x").exists() && !host.hook("hooks.d/x.yaml").exists());
}

#[test]
fn nothing_is_replaced() {
    let host = Host::new();
    fs::create_dir(host.path("lower")).unwrap();
    host.mode("lower", 0o755);
    let lower = host.path("lower");
    let text =
        host.private_settings().replace("roots: []", &format!("roots: [{}]", lower.display()));
    host.raw_settings(&text);
    host.script("before_vm_start/10-a", ":").script(lower.join("before_vm_start/10-low"), ":");
    host.script("bin/taken", ":").link("/dev/null", "before_vm_start/10-off");
    let known = "events: before_vm_start\ncommand: /bin/true\n";
    for place in [host.hook("hooks.d/known.yaml"), lower.join("hooks.d/below.yaml")] {
        host.file(&place, known);
        host.mode(&place, 0o644);
    }
    let before = host.everything();
    for (words, told) in [
        (&["before_vm_start", "10-a"][..], "before_vm_start/10-a already, and isn't replaced"),
        (&["before_vm_start", "10-off"], "10-off already, and isn't replaced"),
        (&["before_vm_start", "10-low"], "lower/before_vm_start/10-low would not run any more"),
        (&["after_vm_stop", "taken", "--registered"], "bin/taken already, and isn't replaced"),
        (&["after_vm_stop", "known", "--registered"], "`known` is a registration already"),
        (&["after_vm_stop", "below", "--registered"], "`below` is a registration already"),
        (&["before_vm_strat", "x"], "did you mean before_vm_start?"),
        (&["on_qemu_started", "x"], "events of its own: after_vm_launch"),
        (&["before_vm_cont", "x"], "libvirt makes no call for vdsm's before_vm_cont"),
        (&["before_vm_destroy", "x"], "nearest is after_vm_stop"),
        (&["on_qemu_../x", "x"], "is not a valid name"),
        (&["before_vm_start", "../x"], "is not a valid name"),
        (&["before_vm_start", "x~"], "is not a valid name"),
        (&["before_vm_start", "x.bak"], "is not a valid name"),
        (&["before_vm_start", ".x"], "is not a valid name"),
    ] {
        for more in [&[][..], &["--dry-run"]] {
            // what is there already is a thing of this host; the others are wrong words everywhere
            let is_there = told.contains("already") || told.contains("any more");
            let status = if is_there { 1 } else { 2 };
            let said = host.text(&[&["new"], words, more].concat(), status);
            assert!(said.contains(told), "{words:?}: {said}");
        }
    }
    host.text(&["new", "before_vm_start"], 2);
    let said = host.text(&["new", "before_vm_start", "x", "--language", "perl"], 2);
    assert!(said.contains("python"), "{said}");
    let new: BTreeSet<PathBuf> = host.everything().into_iter().collect();
    let new: Vec<_> = new.difference(&before.into_iter().collect()).cloned().collect();
    let is_hookmuxs = |path: &&PathBuf| {
        path.starts_with(host.path("state"))
            || path.ends_with(".lock")
            || path.starts_with(host.path("run"))
            || path.ends_with("guest.xml")
    };
    let new: Vec<_> = new.iter().filter(|path| !is_hookmuxs(path)).collect();
    assert!(new.is_empty(), "{new:?}");
}

#[test]
fn a_dry_run_prints_what_would_be_made() {
    let host = Host::new();
    let words = ["new", "before_vm_prepare", "pages", "--undo"];
    let said = host.text(&[&words[..], &["--dry-run"]].concat(), 0);
    assert!(said.ends_with("nothing was made: --dry-run\n"), "{said}");
    let dry = host.json(&[&words[..], &["--dry-run"]].concat(), 0);
    assert_eq!(dry["made"], false);
    assert_eq!((&dry["changed"], &dry["dry_run"]), (&true.into(), &true.into()));
    assert!(!host.hook("bin").exists() && !host.hook("hooks.d").exists());
    let acts = host.json(&["log", "--audit"], 0);
    assert_eq!(acts["acts"].as_array().unwrap().len(), 0);
    let text = host.text(&[&words[..], &["--reason", "for the test"]].concat(), 0);
    for place in ["bin/pages", "hooks.d/pages.yaml"] {
        let path = host.hook(place);
        assert!(text.contains(&format!("made {}\n", path.display())), "{text}");
        let file = fs::read_to_string(&path).unwrap();
        // but for how it was called
        for line in file.lines().filter(|line| !line.starts_with("# Registered by: ")) {
            assert!(said.contains(line), "{line} isn't in {said}");
        }
    }
    assert!(text.contains("edit it") && text.contains(" plan qemu GUEST prepare\n"), "{text}");
    let acts = host.json(&["log", "--audit"], 0);
    assert_eq!(
        (&acts["acts"][0]["action"], &acts["acts"][0]["reason"]),
        (&"new".into(), &"for the test".into())
    );
}

/// What comes next can be typed as it is printed.
#[test]
fn the_commands_that_are_printed_work() {
    let host = Host::new();
    // libvirt's own file of the guest is read where nothing else is given
    fs::create_dir(host.path("qemu")).unwrap();
    fs::write(host.path("qemu/g.xml"), guest("", "")).unwrap();
    let binary = binary_under_test();
    for event in events(&host) {
        let (said, _) = made(&host, &[&event, "x"]);
        let next = said["next"].as_array().unwrap();
        let names: Vec<_> = next.iter().map(|one| one["message"].as_str().unwrap()).collect();
        assert_eq!(names, ["edit it", "would it run?", "run it"]);
        for one in next {
            let line = one["fix"].as_str().unwrap();
            let has_placeholder = ["GUEST", "NETWORK", "EDITOR"].iter().any(|it| line.contains(it));
            assert_eq!(one["fix_command"].is_null(), has_placeholder, "{one:#}");
            let prelude = format!(
                "hookmux() {{ '{}' \"$@\"; }}\nunset VISUAL\nexport EDITOR=cat\n",
                binary.display()
            );
            let line = line.replace("GUEST", "g").replace("NETWORK", "n");
            // libvirt has no such guest here, so that it would ask
            let line = if line.contains(" run ") { format!("{line} --yes") } else { line };
            let output = Command::new("sh")
                .args(["-c", &format!("{prelude}{line}")])
                .current_dir(host.path(""))
                .output()
                .unwrap();
            assert!(output.status.success(), "{line}: {output:?}");
            let text = String::from_utf8(output.stdout).unwrap();
            // a device's event needs a device
            let wanted = if event.contains("_device_") { "" } else { "x" };
            assert!(text.contains(wanted), "{line}: {text}");
        }
    }
}

/// `hookmux edit` checks what it saves, so it is proposed wherever it knows the file.
#[test]
fn hookmux_edit_is_proposed_for_what_it_knows() {
    let host = Host::new();
    let hookmux = format!("hookmux --hooks-dir {} edit ", host.hooks().display());
    let fixes = |said: &Value| -> Vec<String> {
        let next = said["next"].as_array().unwrap().iter();
        next.map(|one| one["fix"].as_str().unwrap().to_owned()).collect()
    };
    let said = host.json(&["new", "before_vm_prepare", "10-x"], 0);
    assert_eq!(fixes(&said)[0], format!("{hookmux}before_vm_prepare/10-x"));
    let said = host.json(&["new", "before_vm_prepare", "pages", "--registered"], 0);
    let script = host.hook("bin/pages").display().to_string();
    assert_eq!(
        fixes(&said)[..2],
        [format!("\"${{EDITOR:-vi}}\" {script}"), format!("{hookmux}pages")]
    );
    assert_eq!(fixes(&said).len(), 4);
    // of what is there already
    for (words, fix) in [
        (&["before_vm_prepare", "10-x"][..], format!("{hookmux}before_vm_prepare/10-x")),
        (&["before_vm_prepare", "pages", "--registered"], format!("{hookmux}pages")),
    ] {
        let said = host.json(&[&["new"], words].concat(), 1);
        assert_eq!(said["error"]["fix"], fix, "{said:#}");
        assert!(said["error"]["fix_command"].is_array(), "{said:#}");
    }
}

/// One command for a hook of one guest.
#[test]
fn a_condition_makes_a_registration() {
    let host = Host::new();
    let (said, paths) =
        made(&host, &["before_vm_start", "one", "--when", "name=g", "--when", "property.x=yes"]);
    assert_eq!(paths, [host.hook("bin/one"), host.hook("hooks.d/one.yaml")]);
    let text = host.read_text("hooks/hooks.d/one.yaml");
    assert!(text.contains("\nwhen: {name: \"g\", property: {x: \"yes\"}}\n"), "{text}");
    assert!(!text.contains("# when"), "{text}");
    // the guest's name is in what comes next
    let words = said["next"][2]["fix_command"].as_array().unwrap();
    assert_eq!(words[words.len() - 3..], ["qemu", "g", "prepare"], "{said:#}");
    assert_eq!(findings(&host, &paths), Vec::<Value>::new());
    let (said, _) =
        made(&host, &["before_vm_start", "web", "--when", "name=web*", "--when", "name=!web-test"]);
    let text = host.read_text("hooks/hooks.d/web.yaml");
    assert!(text.contains("\nwhen: {name: [\"web*\", \"!web-test\"]}\n"), "{text}");
    assert!(said["next"][2]["fix"].as_str().unwrap().contains(" GUEST "), "{said:#}");
    host.call("qemu", ["web1", "prepare", "begin", "-"]).run().succeeds();
    let said = host.text(&["show", "last"], 0);
    assert!(said.contains("before_vm_start/web") && said.contains("stdout:"), "{said}");
    let said = host.text(&["new", "before_vm_start", "x", "--when", "nmae=x"], 2);
    assert!(said.contains("did you mean `name`?"), "{said}");
    assert!(!host.hook("bin/x").exists());
}

/// A directory that others can write to: the script is made, and it is told that it won't run.
#[test]
fn a_script_that_would_be_refused_is_told() {
    if !is_root() {
        return skip("not root: its own directories are trusted");
    }
    let host = Host::new();
    fs::create_dir(host.hook("after_vm_stop")).unwrap();
    host.mode("hooks/after_vm_stop", 0o777);
    let (said, _) = made(&host, &["after_vm_stop", "x"]);
    let note = said["notes"][0]["message"].as_str().unwrap();
    assert!(note.contains("it will be refused, and count as failed"), "{said:#}");
    assert!(said["notes"][0]["fix_command"].is_array(), "{said:#}");
}
