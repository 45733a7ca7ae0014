//! What configuration management needs: a command says whether it has changed something, does nothing twice,
//! and with --dry-run nothing at all.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Host, schema, until};

const REGISTRATION: &str = "# mine\nevents: before_vm_start\ncommand: /bin/true\nweight: 7\n";

fn host() -> Host {
    let host = Host::new();
    host.script("bin/x", ":");
    host.file("../guard.yaml", REGISTRATION);
    host
}

/// Every file with its inode and content, but the lock of the registry, the document for calls, records, which are
/// moved when there is time, and the cache of registrations, which whoever reads them renews.
fn files(host: &Host) -> BTreeMap<PathBuf, (u64, Vec<u8>)> {
    let moved = ["run", "state/records", "state/cache"].map(|place| host.path(place));
    let is_kept = |path: &PathBuf| {
        let is_moved = moved.iter().any(|place| path.starts_with(place));
        !is_moved && !path.ends_with(".lock") && !path.ends_with("guest.xml")
    };
    let all = host.everything().into_iter().filter(is_kept);
    all.filter_map(|path| {
        let metadata = fs::symlink_metadata(&path).ok().filter(|file| !file.is_dir())?;
        // an entry leads to the whole program
        let content = match fs::read_link(&path) {
            Ok(target) => target.into_os_string().into_encoded_bytes(),
            Err(_) => fs::read(&path).unwrap_or_default(),
        };
        Some((path, (metadata.ino(), content)))
    })
    .collect()
}

fn executions(host: &Host) -> usize {
    host.json(&["log"], 0)["executions"].as_array().unwrap().len()
}

fn inode(host: &Host, place: &str) -> u64 {
    fs::symlink_metadata(host.hook(place)).unwrap().ino()
}

#[track_caller]
fn is_change(value: &Value, changed: bool, is_dry_run: bool) {
    assert_eq!(
        (&value["changed"], &value["dry_run"]),
        (&changed.into(), &is_dry_run.into()),
        "{value:#}"
    );
}

// M13
#[test]
fn what_is_there_with_the_same_content_is_left_alone() {
    let host = host();
    for (words, place) in [
        (&["add", "guard.yaml"][..], "hooks.d/guard.yaml"),
        (
            &["add", "script", "hooks/bin/x", "--event", "after_vm_stop"],
            "hooks.d/x-after_vm_stop.yaml",
        ),
    ] {
        is_change(&host.json(words, 0), true, false);
        let before = inode(&host, place);
        for more in [&[][..], &["--replace"], &["--dry-run"], &["--replace", "--dry-run", "--diff"]]
        {
            let words = [words, more].concat();
            let said = host.json(&words, 0);
            is_change(&said, false, more.contains(&"--dry-run"));
            assert_eq!(said["registrations"][0]["changed"], false);
            assert_eq!(said["registrations"][0]["action"], "none");
            assert!(host.text(&words, 0).contains("unchanged: "), "{words:?}");
        }
        assert_eq!(inode(&host, place), before, "{words:?}");
        // another content needs --replace, and is shown
        let edited = fs::read_to_string(host.hook(place)).unwrap() + "nice: 3\n";
        fs::write(host.hook(place), &edited).unwrap();
        assert!(host.text(words, 1).contains("--replace --dry-run --diff shows"), "{words:?}");
        let diff = [words, &["--replace", "--dry-run", "--diff"]].concat();
        let said = host.json(&diff, 1);
        is_change(&said, true, true);
        let shown = said["registrations"][0]["diff"].as_str().unwrap();
        assert!(shown.contains("\n-nice: 3\n") && shown.starts_with("--- /"), "{shown}");
        assert!(!shown.contains("Registered by"), "{shown}");
        let text = host.text(&diff, 1);
        assert!(text.contains("-nice: 3\n") && text.contains("would replace "), "{text}");
        assert_eq!(fs::read_to_string(host.hook(place)).unwrap(), edited);
        is_change(&host.json(&[words, &["--replace"]].concat(), 0), true, false);
        assert!(!fs::read_to_string(host.hook(place)).unwrap().contains("nice"));
    }
}

#[test]
fn a_comment_counts_in_a_file_and_not_for_options() {
    let host = host();
    host.text(&["add", "guard.yaml"], 0);
    host.file("../guard.yaml", REGISTRATION.replace("mine", "ours"));
    let said = host.json(&["add", "guard.yaml", "--replace", "--dry-run", "--diff"], 1);
    let diff = said["registrations"][0]["diff"].as_str().unwrap();
    assert!(diff.contains("-# mine\n+# ours\n"), "{diff}");
    let options = ["add", "script", "hooks/bin/x", "--event", "after_vm_stop"];
    host.text(&options, 0);
    let place = host.hook("hooks.d/x-after_vm_stop.yaml");
    let noted = fs::read_to_string(&place).unwrap() + "# ticket 4711\n";
    fs::write(&place, &noted).unwrap();
    is_change(&host.json(&[&options[..], &["--replace"]].concat(), 0), false, false);
    assert_eq!(fs::read_to_string(&place).unwrap(), noted);
}

#[test]
fn a_file_that_others_can_write_to_is_not_unchanged() {
    let host = host();
    host.text(&["add", "guard.yaml"], 0);
    host.mode("hooks/hooks.d/guard.yaml", 0o666);
    is_change(&host.json(&["add", "guard.yaml", "--replace"], 0), true, false);
    let mode = fs::metadata(host.hook("hooks.d/guard.yaml")).unwrap().mode() & 0o777;
    assert_eq!(mode, 0o644);
}

/// Each command that changes something: what --dry-run says is what is done then, and it does nothing.
#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let host = host();
    host.script("after_vm_stop/10-x", ":");
    let there = REGISTRATION.replace("/bin/true", "/bin/echo");
    host.file("hooks.d/there.yaml", &there).mode("hooks/hooks.d/there.yaml", 0o644);
    host.file("hooks.d/off.yaml", format!("{there}nice: 1\nenabled: false\n"));
    host.mode("hooks/hooks.d/off.yaml", 0o644);
    host.guest("stopped end").run().succeeds();
    until("the record is moved", || fs::read_dir(host.path("state/records")).is_ok());
    for (words, changed) in [
        (&["add", "guard.yaml"][..], true),
        (&["add", "script", "hooks/bin/x", "--event", "after_vm_stop"], true),
        (&["disable", "there"], true),
        (&["disable", "there"], false),
        (&["enable", "there"], true),
        (&["enable", "there"], false),
        (&["enable", "off"], true),
        (&["delete", "there"], true),
        (&["delete", "there", "--ignore-missing"], false),
        (&["delete", "script", "/nothing", "--ignore-missing"], false),
        (&["bypass", "on", "--for", "1h"], true),
        (&["bypass", "off"], true),
        (&["bypass", "off"], false),
        (&["queue", "--flush", "--yes"], false),
        (&["queue", "--requeue"], false),
        (&["undo"], false),
        (&["uninstall"], true),
        (&["uninstall"], false),
        (&["install", "--driver", "qemu"], true),
        (&["install", "--driver", "qemu"], false),
        (&["retry", "last"], true),
    ] {
        let (before, records) = (files(&host), executions(&host));
        let dry = [words, &["--dry-run"]].concat();
        is_change(&host.json(&dry, 0), changed, true);
        let text = host.text(&dry, 0);
        assert!(!text.is_empty(), "{words:?}");
        let differ = |now: &BTreeMap<PathBuf, (u64, Vec<u8>)>| -> Vec<PathBuf> {
            let all = before.keys().chain(now.keys());
            all.filter(|path| before.get(*path) != now.get(*path)).cloned().collect()
        };
        assert_eq!(differ(&files(&host)), [""; 0].map(PathBuf::from), "{words:?}: a dry run");
        assert_eq!(executions(&host), records, "{words:?}: a dry run has a record");
        let acts = host.json(&["log", "--audit"], 0)["acts"].as_array().unwrap().len();
        is_change(&host.json(words, 0), changed, false);
        let after = host.json(&["log", "--audit"], 0)["acts"].as_array().unwrap().len();
        // a retry has a record
        let is_act = changed && words[0] != "retry";
        assert_eq!(after - acts, usize::from(is_act), "{words:?}: acts");
        match words[0] == "retry" {
            true => assert_eq!(executions(&host), records + 1),
            false => assert_eq!(differ(&files(&host)).is_empty(), !changed, "{words:?}"),
        }
    }
}

#[test]
fn a_purge_is_shown_as_it_would_be() {
    let host = host();
    host.script("after_vm_stop/10-x", ":");
    host.guest("stopped end").run().succeeds();
    host.text(&["prune"], 0);
    let dry = host.json(&["uninstall", "--purge", "--dry-run"], 0);
    is_change(&dry, true, true);
    let of = |value: &Value| -> Vec<(String, String)> {
        let links = value["links"].as_array().unwrap().iter();
        let word = |link: &Value, key: &str| link[key].as_str().unwrap().to_owned();
        links.map(|link| (word(link, "path"), word(link, "action").replace("would-", ""))).collect()
    };
    assert!(host.path("state/records").exists() && host.hook("qemu").exists());
    let done = host.json(&["uninstall", "--purge", "--yes"], 0);
    let plain = |all: Vec<(String, String)>| -> Vec<(String, String)> {
        all.into_iter()
            .map(|(path, action)| {
                (path, action.trim_end_matches("ed").trim_end_matches('e').to_owned())
            })
            .collect()
    };
    assert_eq!(plain(of(&dry)), plain(of(&done)), "{dry:#} {done:#}");
}

#[test]
fn an_adopted_script_and_its_return_are_shown() {
    let host = Host::new();
    fs::remove_file(host.hook("qemu")).unwrap();
    host.script("qemu", "log adopted");
    let adopt = ["install", "--driver", "qemu", "--adopt"];
    let dry = host.json(&[&adopt[..], &["--dry-run"]].concat(), 0);
    is_change(&dry, true, true);
    is_change(&host.json(&adopt, 0), true, false);
    is_change(&host.json(&[&adopt[..], &["--dry-run"]].concat(), 0), false, true);
    is_change(&host.json(&adopt, 0), false, false);
    let remove = ["uninstall", "--driver", "qemu"];
    let dry = host.json(&[&remove[..], &["--dry-run"]].concat(), 0);
    assert_eq!(dry["links"][0]["action"], "would-restore");
    let message = dry["links"][0]["message"].as_str().unwrap();
    assert!(message.starts_with("would be the script again"), "{message}");
    // a directory that was meant to be another
    let typed = host.path("hoks");
    let mut install = std::process::Command::new(crate::support::host::binary_under_test());
    let install = install.arg("--hooks-dir").arg(&typed).args(["install", "--dry-run"]);
    let told = install.output().unwrap();
    let told = String::from_utf8_lossy(&told.stdout);
    assert!(told.contains("hoks would be made: libvirt looks for hooks in /etc/"), "{told}");
    assert!(host.hook("qemu.adopted").exists());
    assert_eq!(host.json(&remove, 0)["links"][0]["action"], "restored");
}

#[test]
fn a_prune_is_counted_before_it_is_done() {
    let host = Host::new();
    host.settings("retention: {per_hook: 1}\n").script("after_vm_stop/10-x", ":");
    for _ in 0..3 {
        host.guest("stopped end").run().succeeds();
        host.text(&["prune"], 0);
    }
    host.settings("retention: {per_hook: 3}\n");
    for _ in 0..2 {
        host.guest("stopped end").run().succeeds();
    }
    host.text(&["prune"], 0);
    host.settings("retention: {per_hook: 1}\n");
    let dry = host.json(&["prune", "--dry-run"], 0);
    is_change(&dry, true, true);
    let executions = || host.json(&["log"], 0)["executions"].as_array().unwrap().len();
    let before = executions();
    assert_eq!(dry["removed"], before - 1);
    let text = host.text(&["prune", "--dry-run"], 0);
    assert!(text.contains("would be moved") && text.contains("--dry-run"), "{text}");
    assert_eq!(executions(), before);
    assert_eq!(host.json(&["prune"], 0)["removed"], dry["removed"]);
    assert_eq!(executions(), 1);
    is_change(&host.json(&["prune"], 0), false, false);
}

#[test]
fn jobs_are_named_before_they_are_removed() {
    let host = Host::new();
    host.script("bin/later", "exit 1");
    let text = "events: after_vm_launch\ncommand: bin/later\nmode: detached\nretries: 99\n";
    host.file("hooks.d/later.yaml", text).mode("hooks/hooks.d/later.yaml", 0o644);
    host.guest("started begin").run().succeeds();
    until("the first try is over", || {
        let queue = host.json(&["queue"], 0);
        queue["jobs"][0]["last"].is_string() && queue["jobs"][0]["state"] == "waits"
    });
    let id = host.json(&["queue"], 0)["jobs"][0]["id"].as_str().unwrap().to_owned();
    // m13: a word that is no job and no hook isn't passed over
    let said = host.text(&["queue", "--flush", "latr"], 1);
    assert!(said.contains("did you mean `later`?"), "{said}");
    assert_eq!(host.json(&["queue", "--flush", "zz"], 1)["error"]["code"], "failed");
    assert!(host.text(&["queue", "--requeue", "latr"], 1).contains("did you mean"), "{said}");
    let dry = host.json(&["queue", "--flush", "later", "--dry-run"], 0);
    is_change(&dry, true, true);
    assert_eq!((&dry["flushed"], &dry["ids"][0]), (&1.into(), &Value::from(id.as_str())));
    assert_eq!(host.json(&["queue"], 0)["jobs"].as_array().unwrap().len(), 1);
    let text = host.text(&["queue", "--flush", &id, "--dry-run"], 0);
    assert!(text.contains(&id) && text.contains("1 job would be removed"), "{text}");
    // the worker may be at its next try, during which the job isn't removed
    let mut done = Value::Null;
    until("it is removed", || {
        let words = ["queue", "--flush", "later", "--output", "json"];
        let output = host.hookmux(&words);
        done = schema::read(&words, &output.stdout);
        output.status.success()
    });
    is_change(&done, true, false);
    assert_eq!(done["ids"], dry["ids"]);
    // the hook is there, and has no job any more
    is_change(&host.json(&["queue", "--flush", "later"], 0), false, false);
    host.text(&["queue", "--flush", &id], 1);
}

#[test]
fn what_would_be_undone_is_listed() {
    let host = Host::new();
    host.script("bin/set", "log set").script("bin/undo", "log undone");
    let text = "events: after_vm_launch\ncommand: bin/set\nundo: bin/undo\n";
    host.file("hooks.d/owes.yaml", text).mode("hooks/hooks.d/owes.yaml", 0o644);
    host.guest("prepare begin").run().succeeds();
    host.guest("started begin").run().succeeds();
    is_change(&host.json(&["undo", "--dry-run"], 0), false, true);
    let dry = host.json(&["undo", "--guest", "g", "--dry-run"], 0);
    is_change(&dry, true, true);
    assert_eq!(dry["undos"][0]["registration"], "owes");
    assert!(host.text(&["undo", "--guest", "g", "--dry-run"], 0).contains("1 would be undone"));
    assert_eq!(host.log(), ["set"]);
    is_change(&host.json(&["undo", "--guest", "g", "--yes"], 0), true, false);
    assert_eq!(host.log(), ["undone"]);
}

#[test]
fn a_retry_is_shown_before_it_runs() {
    let host = Host::new();
    host.follow(&["after_vm_stop/10-a", "after_vm_stop/20-b"]);
    host.guest("stopped end").run().succeeds();
    assert_eq!(host.log().len(), 2);
    let dry = host.json(&["retry", "last", "--dry-run"], 0);
    is_change(&dry, true, true);
    assert_eq!(dry["hooks"], serde_json::json!(["after_vm_stop/10-a", "after_vm_stop/20-b"]));
    let text = host.text(&["retry", "last", "--hook", "20-b", "--dry-run"], 0);
    assert!(text.contains("20-b would run") && !text.contains("10-a"), "{text}");
    assert!(host.log().is_empty());
    let done = host.json(&["retry", "last"], 0);
    is_change(&done, true, false);
    assert_eq!(done["hooks"], dry["hooks"]);
    assert_eq!(host.log().len(), 2);
}

#[test]
fn switching_and_deleting_show_what_changes_in_the_file() {
    let host = host();
    host.text(&["add", "guard.yaml"], 0);
    let said = host.json(&["disable", "guard", "--dry-run", "--diff"], 1);
    is_change(&said, true, true);
    let diff = said["registrations"][0]["diff"].as_str().unwrap();
    assert!(diff.contains("\n+enabled: false\n"), "{diff}");
    let text = host.text(&["disable", "guard", "--diff"], 0);
    assert!(text.contains("+enabled: false\n"), "{text}");
    host.text(&["disable", "guard", "--dry-run", "--diff"], 0);
    let said = host.json(&["delete", "guard", "--dry-run", "--diff"], 1);
    let diff = said["registrations"][0]["diff"].as_str().unwrap();
    assert!(diff.contains("+++ /dev/null\n") && diff.contains("\n-command: /bin/true\n"), "{diff}");
    assert!(host.hook("hooks.d/guard.yaml").exists());
}

/// What a host has is written as files, and another host is made the same by them.
#[test]
fn an_export_is_applied_on_another_host() {
    let (one, other) = (host(), host());
    one.text(&["add", "guard.yaml"], 0);
    one.text(&["add", "script", "/bin/echo", "--event", "after_vm_stop", "--name", "told"], 0);
    one.text(&["disable", "told"], 0);
    one.link("/dev/null", "hooks.d/masked.yaml");
    let dry = one.json(&["export", "out", "--dry-run"], 0);
    is_change(&dry, true, true);
    assert!(!one.path("out").exists());
    let said = one.json(&["export", "out"], 0);
    is_change(&said, true, false);
    let notes = said["notes"].to_string();
    assert!(notes.contains("/bin/true") && notes.contains("disable masked"), "{notes}");
    assert_eq!(one.read_text("out/guard.yaml"), REGISTRATION);
    is_change(&one.json(&["export", "out"], 0), false, false);
    let there = inode(&one, "../out/guard.yaml");
    one.text(&["export", "out", "--replace"], 0);
    assert_eq!(inode(&one, "../out/guard.yaml"), there);
    // a file with another content isn't written over unasked
    one.file("../out/guard.yaml", "events: after_vm_stop\n");
    assert!(one.text(&["export", "out"], 1).contains("--replace"));
    let diff = one.text(&["export", "out", "--replace", "--dry-run", "--diff"], 1);
    assert!(diff.contains("-events: after_vm_stop\n+# mine\n"), "{diff}");
    one.text(&["export", "out", "--replace"], 0);
    one.text(&["export", "hooks/hooks.d"], 1);
    one.text(&["export", "out", "gaurd"], 1);
    // what is gone is told
    one.text(&["delete", "told"], 0);
    assert!(
        one.text(&["export", "out"], 0).contains("out/told.yaml is not registered here any more")
    );
    one.file("../out/.guard.yaml", "not a registration").file("../out/README", "none");

    let out = one.path("out").display().to_string();
    let add = ["add", out.as_str()];
    let dry = other.json(&[&add[..], &["--dry-run", "--diff"]].concat(), 1);
    is_change(&dry, true, true);
    assert_eq!(dry["registrations"].as_array().unwrap().len(), 2);
    is_change(&other.json(&add, 0), true, false);
    is_change(
        &other.json(&[&add[..], &["--replace", "--dry-run", "--diff"]].concat(), 0),
        false,
        true,
    );
    let listed = other.json(&["list", "--hook", "told"], 0);
    assert_eq!(listed["hooks"][0]["state"], "disabled");
    other.text(&["export", "out"], 0);
    for name in ["guard", "told"] {
        let place = format!("out/{name}.yaml");
        assert_eq!(other.read_text(&place), one.read_text(&place));
    }
    // drift, and one file of several
    other.text(&["enable", "told"], 0);
    let diff = other.text(&[&add[..], &["--replace", "--dry-run", "--diff"]].concat(), 1);
    assert!(diff.contains("-enabled: true\n+enabled: false\n"), "{diff}");
    assert!(other.text(&add, 1).contains("nothing was registered"));
    let both = ["out/guard.yaml", "out/told.yaml", "guard.yaml"];
    assert!(other.text(&[&["add"], &both[..]].concat(), 1).contains("has the same name"));
}

#[test]
fn several_files_are_registered_or_none() {
    let host = host();
    host.file("../many/a.yaml", "events: before_vm_start\ncommand: /bin/true\n");
    host.file("../many/b.yaml", "events: before_vm_start\ncommand: [/bin/true, b]\n");
    host.file("../many/c.yaml", "events: before_vm_strt\ncomand: /bin/true\n");
    let said = host.json(&["add", "many", "guard.yaml"], 1);
    let problems = said["problems"].as_array().unwrap();
    assert!(
        problems.len() == 1 && problems[0]["message"].to_string().contains("c.yaml:"),
        "{said:#}"
    );
    assert!(!host.hook("hooks.d/a.yaml").exists());
    let said = host.json(&["add", "guard.yaml", "many/a.yaml", "many/b.yaml"], 0);
    let weights: Vec<_> = said["registrations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["registered"]["weight"].as_i64().unwrap())
        .collect();
    assert_eq!(weights.first(), Some(&7));
    assert!(weights[1] < weights[2], "{weights:?}");
}

/// `queue --work` prints what is left, also for programs (M14).
#[test]
fn work_on_the_queue_says_what_is_left() {
    let host = Host::new();
    assert_eq!(host.json(&["queue", "--work"], 0)["jobs"], serde_json::json!([]));
    assert!(host.text(&["queue", "--work"], 0).contains("No detached hook waits"));
}

#[test]
fn an_edit_says_what_it_has_changed() {
    let host = host();
    host.text(&["add", "guard.yaml"], 0);
    host.script("bin/editor", "echo 'nice: 4' >>\"$1\"").script("bin/looker", ":");
    for (editor, changed) in [("bin/editor", true), ("bin/looker", false)] {
        let words = ["edit", "guard", "--diff", "--output", "json"];
        let mut command = std::process::Command::new(crate::support::host::binary_under_test());
        command.arg("--hooks-dir").arg(host.hooks()).args(words);
        command.env_remove("VISUAL").env("EDITOR", host.hook(editor));
        let output = command.stdin(std::process::Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = crate::support::schema::read(&words, &output.stdout);
        is_change(&said, changed, false);
        let diff = said["diff"].as_str().unwrap();
        assert_eq!(diff.contains("\n+nice: 4\n"), changed, "{diff}");
    }
}
