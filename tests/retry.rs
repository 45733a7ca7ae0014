//! Retries: the hooks of an execution run again as they were registered then, with what they got then.
//! (O5, O6)

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::documents::UUID;
use crate::support::host::binary_under_test;
use crate::support::{GUEST, Host, documents, schema, until};

/// A host with a hook that logs its arguments, and fails until it is mended.
fn host(registration: &str) -> Host {
    let host = Host::new();
    host.script("bin/x", "log \"$*\"; test -e \"$T/ok\" || exit 7");
    register(&host, "x", registration);
    host
}

fn register(host: &Host, name: &str, text: &str) {
    host.file(format!("hooks.d/{name}.yaml"), format!("command: bin/{name}\n{text}\n"));
    host.mode(format!("hooks/hooks.d/{name}.yaml"), 0o644);
}

fn mend(host: &Host) {
    fs::write(host.path("ok"), "").unwrap();
}

fn last(host: &Host) -> Value {
    host.json(&["show", "last"], 0)
}

/// The id of the newest execution of libvirt's.
fn id(host: &Host) -> String {
    let log = host.json(&["log", "-n", "1000"], 0);
    let all = log["executions"].as_array().unwrap();
    let one = all.iter().rev().find(|one| one["cause"] == "libvirt").unwrap();
    one["id"].as_str().unwrap().to_owned()
}

/// The texts of registrations that are kept, in memory and on the disk.
fn texts(host: &Host) -> [Vec<PathBuf>; 2] {
    ["run", "state"].map(|place| {
        let directory = host.path(place).join("records/registrations");
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        paths
    })
}

const RELEASE: &str = "release end shutdown";

// --- what is recorded ----------------------------------------------------------------------------

// O5
#[test]
fn a_record_tells_what_a_hook_was_started_with() {
    let host = Host::new();
    host.script("bin/x", ":");
    host.script("after_vm_destroy/20-script", "echo said");
    host.script("qemu.d/g/release/end/30-tree", "echo said");
    let text = "events: after_vm_destroy\ncommand: [bin/x, --fixed, \"it's\"]\nargs: [one, $XML_BASE64, \"--guest=$NAME:$REASON\", $$5]\n";
    host.file("hooks.d/x.yaml", text);
    register(&host, "lines", "events: after_vm_destroy\nargs: [one, $EVENT]\nargs_stdin: true");
    host.script("bin/lines", "cat");
    host.guest(RELEASE).run().succeeds();
    let record = last(&host);
    let of = |hook: &str| -> Value {
        let runs = record["runs"].as_array().unwrap();
        runs.iter().find(|run| run["hook"] == hook).unwrap().clone()
    };
    let x = of("after_vm_destroy/x");
    let program = host.hook("bin/x").display().to_string();
    for (key, value) in [
        ("path", json!(program)),
        ("command", json!([program, "--fixed", "it's"])),
        ("args", json!(["one", "$XML_BASE64", "--guest=$NAME:$REASON", "$$5"])),
        ("args_stdin", json!(false)),
        ("args_values", json!({"NAME": "g", "REASON": "shutdown"})),
        ("args_document_bytes", json!(GUEST.len())),
        (
            "command_line",
            json!(format!(
                "{program} --fixed \"it's\" one \"${{XML_BASE64}}\" --guest=g:shutdown '$5'"
            )),
        ),
        ("registration", json!(host.hook("hooks.d/x.yaml").display().to_string())),
    ] {
        assert_eq!(x[key], value, "{key}");
    }
    let sum = Command::new("sha256sum").arg(host.hook("hooks.d/x.yaml")).output().unwrap().stdout;
    assert_eq!(x["registration_sha256"].as_str().unwrap().as_bytes(), &sum[..64]);
    let lines = of("after_vm_destroy/lines");
    assert_eq!(
        (&lines["args_stdin"], &lines["stdout"]),
        (&json!(true), &json!("one\nafter_vm_destroy\n"))
    );
    let script = of("after_vm_destroy/20-script");
    assert_eq!((&script["args"], &script["registration"]), (&json!([]), &Value::Null));
    let tree = of("qemu.d/g/release/end/30-tree");
    assert!(tree["command_line"].as_str().unwrap().ends_with("/30-tree g release end shutdown"));
    let said = host.text(&["show", "last"], 0);
    for words in [
        x["command_line"].as_str().unwrap(),
        &format!("$XML_BASE64 stood for the document of {} bytes", GUEST.len()),
        "on standard input, one on each line: one after_vm_destroy",
        &format!("registered by {}", host.hook("hooks.d/x.yaml").display()),
    ] {
        assert!(said.contains(words), "{words} is missing in\n{said}");
    }
    // a failure before its start has its arguments too
    host.mode("hooks/bin/x", 0o777);
    host.guest(RELEASE).run();
    let record = last(&host);
    let is_x = |run: &&Value| run["hook"] == "after_vm_destroy/x";
    let failed = record["runs"].as_array().unwrap().iter().find(is_x).unwrap();
    assert!(failed["failure"].as_str().unwrap().contains("refused"), "{failed}");
    assert_eq!(failed["command_line"], x["command_line"]);
}

#[test]
fn a_rollback_and_a_job_have_their_command_lines_too() {
    let host =
        host("events: before_vm_start\nweight: -1\nrollback: [bin/undo, now]\nargs: [$UUID]");
    mend(&host);
    host.script("bin/undo", ":");
    host.script("before_vm_start/z", "exit 1");
    host.guest("prepare begin").run().fails(1, &[]);
    let record = last(&host);
    let lines: Vec<&str> = record["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["command_line"].as_str().unwrap().rsplit('/').next().unwrap())
        .collect();
    assert_eq!(lines, [&format!("x {UUID}")[..], "z", "undo now"]);
    assert_eq!(record["runs"][2]["registration"], record["runs"][0]["registration"]);
    register(&host, "x", "events: after_vm_launch\nargs: [$NAME]\nmode: detached");
    host.guest("started begin").run().succeeds();
    host.text(&["queue", "--work"], 0);
    // `last` is the call, and not what came of it
    let later = || last(&host)["later"][0].clone();
    until("the job's record is there", || {
        later()["cause"] == "queue" && later()["state"] == "good"
    });
    let job = host.json(&["show", later()["id"].as_str().unwrap()], 0);
    let job = &job["runs"][0];
    assert!(job["command_line"].as_str().unwrap().ends_with("/bin/x g"), "{job}");
    assert!(job["registration"].as_str().unwrap().ends_with("hooks.d/x.yaml"), "{job}");
}

#[test]
fn long_lines_of_output_are_cut_for_people_only() {
    let host = host("events: after_vm_destroy\nargs: [$XML_BASE64]");
    host.script(
        "bin/x",
        "printf %4000s | tr ' ' y; echo end; printf %4000s | tr ' ' z >&2; test -e \"$T/ok\"",
    );
    host.guest(RELEASE).run();
    let long = "y".repeat(401);
    for words in [&["show", "last"][..], &["retry", "last"], &["run", "qemu", "g", "release"]] {
        let said = host.text(words, i32::from(words[0] != "show"));
        assert!(!said.contains(&long) && said.contains(&long[1..]), "{words:?}: {said}");
        assert!(said.contains("3603 more characters; "), "{words:?}: {said}");
        assert!(said.lines().all(|line| line.len() < 600), "{words:?}: {said}");
    }
    let said = host.text(&["show", "--full", &id(&host)], 0);
    assert!(said.contains(&"y".repeat(4000)) && said.contains(&"z".repeat(4000)), "{said}");
    let all = host.json(&["show", &id(&host)], 0);
    assert_eq!(all["runs"][0]["stdout"].as_str().unwrap().len(), 4004);
}

/// The command in backquotes before these words, without the program and its hooks directory.
fn proposed(said: &str, before: &str) -> Vec<String> {
    let found = said.split(before).next().and_then(|text| text.rsplit('`').next());
    let command = found.unwrap_or_else(|| panic!("{before} is missing in\n{said}"));
    command.split(' ').skip(3).map(str::to_owned).collect()
}

// O5
#[test]
fn a_run_by_hand_says_where_its_record_is() {
    let host = Host::new();
    host.script("after_vm_destroy/10-x", "printf %4000s | tr ' ' y; echo");
    let whole = "y".repeat(4000);
    for words in [&["run", "qemu", "g", "release"][..], &["retry", "last"]] {
        let said = host.text(words, 0);
        for before in ["` shows all of it", "` has them)"] {
            let command = proposed(&said, before);
            let command: Vec<&str> = command.iter().map(String::as_str).collect();
            assert_eq!(command[0], "show", "{words:?}: {said}");
            let id = *command.last().unwrap();
            let shown = host.text(&command, 0);
            assert!(shown.contains(id), "{words:?}: {shown}");
            assert_eq!(shown.contains(&whole), command.contains(&"--full"), "{command:?}");
        }
    }
    host.file(
        "hooks.d/later.yaml",
        "events: after_vm_destroy\ncommand: /bin/true\nmode: detached\n",
    );
    let said = host.text(&["run", "qemu", "g", "release"], 0);
    assert!(said.contains("after_vm_destroy/later is queued: `"), "{said}");
    // where nothing is recorded, nothing is promised
    host.settings("record: none\n");
    let said = host.text(&["run", "qemu", "g", "release"], 0);
    assert!(said.contains("`--output json` has them"), "{said}");
    assert!(!said.contains("shows all of it"), "{said}");
}

// O5
#[test]
fn what_succeeded_is_found() {
    let host = Host::new();
    host.script("after_vm_destroy/10-good", ":");
    host.script("after_vm_destroy/20-odd", "test -e \"$T/ok\" || exit 9");
    host.guest(RELEASE).run();
    mend(&host);
    host.guest(RELEASE).run().succeeds();
    host.script("bypassed", ":");
    host.text(&["bypass", "on", "--for", "1h"], 0);
    host.guest(RELEASE).run().succeeds();
    host.text(&["bypass", "off"], 0);
    let states = |more: &[&str]| -> Vec<Value> {
        let log = host.json(&[&["log"], more].concat(), 0);
        let all = log["executions"].as_array().unwrap();
        all.iter().map(|one| one["state"].clone()).collect()
    };
    assert_eq!(states(&[]), ["failed", "good", "bypassed"]);
    for (filter, expected) in [
        (&["--success"][..], &["good"][..]),
        (&["--failed"], &["failed"]),
        // of the hook or the event that is asked for
        (&["--success", "--hook", "10-good"], &["failed", "good"]),
        (&["--success", "--hook", "20-odd"], &["good"]),
        (&["--failed", "--hook", "10-good"], &[]),
        (&["--failed", "--hook", "20-odd"], &["failed"]),
        (&["--success", "--event", "after_vm_destroy"], &["good"]),
        (&["--success", "--event", "after_vm_stop"], &[]),
    ] {
        assert_eq!(states(filter), expected, "{filter:?}");
    }
    host.text(&["log", "--success", "--failed"], 2);
    // each run has its status
    let log = host.json(&["log"], 0);
    let runs = log["executions"][0]["runs"].as_array().unwrap();
    assert_eq!((&runs[0]["status"], &runs[1]["status"]), (&json!(0), &json!(9)));
}

// --- the same context ----------------------------------------------------------------------------

// O6
#[test]
fn a_retry_has_the_arguments_of_the_failed_run_whatever_became_of_the_registration() {
    let then = "events: after_vm_destroy\nargs: [one, $NAME]";
    let edited = "events: after_vm_destroy\nargs: [two, $NAME]";
    for (what, now, words) in [
        ("edited", Some(edited), "has been changed since"),
        ("of another event", Some("events: after_vm_stop"), "has been changed since"),
        ("broken", Some("events: after_vm_strat"), "today's can't be used"),
        ("as it was", Some(then), ""),
    ] {
        let host = host(then);
        host.guest(RELEASE).run();
        let id = id(&host);
        host.script("bin/x", "log \"again $*\"");
        register(&host, "x", now.unwrap());
        let said = host.text(&["retry", &id], 0);
        assert_eq!(host.log(), ["one g", "again one g"], "{what}");
        assert!(said.contains(words), "{what}: {said}");
        assert_eq!(said.contains("--today"), words.contains("changed"), "{what}: {said}");
        // and both records say so
        for id in [&id, "last"] {
            assert_eq!(host.json(&["show", id], 0)["runs"][0]["args"], json!(["one", "$NAME"]));
        }
        // a retry of the retry as well
        host.text(&["retry", "last"], 0);
        assert_eq!(host.log(), ["again one g"], "{what}");
        if what == "edited" {
            let retried = host.json(&["retry", &id], 0);
            assert_eq!(retried["registrations"][0]["used"], "recorded");
            assert_eq!(retried["registrations"][0]["now"], "changed");
            let note = &retried["notes"].as_array().unwrap()[0];
            assert_eq!(note["fix_command"].as_array().unwrap().last().unwrap(), "--today");
            host.log();
            host.text(&["retry", "--today", &id], 0);
            assert_eq!(host.log(), ["again two g"]);
        }
    }
}

#[test]
fn what_is_gone_or_disabled_is_asked_about_first() {
    type Change = fn(&Host);
    let changes: [(&str, Change, &str); 4] = [
        (
            "gone",
            |host| fs::remove_file(host.hook("hooks.d/x.yaml")).unwrap(),
            "isn't registered any more",
        ),
        ("disabled", |host| drop(host.text(&["disable", "x"], 0)), "disabled in"),
        (
            "masked",
            |host| {
                fs::remove_file(host.hook("hooks.d/x.yaml")).unwrap();
                symlink("/dev/null", host.hook("hooks.d/x.yaml")).unwrap();
            },
            "not used from",
        ),
        (
            "without a directory",
            |host| fs::remove_dir_all(host.hook("hooks.d")).unwrap(),
            "is gone",
        ),
    ];
    for (what, change, words) in changes {
        let host = host("events: after_vm_destroy\nargs: [one]");
        host.guest(RELEASE).run();
        mend(&host);
        let id = id(&host);
        change(&host);
        host.log();
        let said = host.text(&["retry", &id], 2);
        assert!(said.contains(words) && said.contains("--force answers"), "{what}: {said}");
        let error = host.json(&["retry", &id], 2);
        assert_eq!(error["error"]["code"], "unanswered");
        assert_eq!(error["error"]["fix_command"].as_array().unwrap().last().unwrap(), "--force");
        assert!(host.log().is_empty(), "{what}");
        let retried = host.json(&["retry", "--force", &id], 0);
        assert_eq!(host.log(), ["one"], "{what}");
        let now =
            if what.starts_with("disabled") || what == "masked" { "disabled" } else { "gone" };
        assert_eq!(retried["registrations"][0]["now"], now, "{what}");
        // today there is none
        host.text(&["retry", "--today", "--force", &id], 1);
        assert!(host.log().is_empty(), "{what}");
    }
}

/// Whoever answers by an option reads what the question would have said.
#[test]
fn a_forced_retry_says_what_is_gone_or_disabled() {
    let host = host("events: after_vm_destroy");
    host.script("bin/y", ":");
    register(&host, "y", "events: after_vm_destroy");
    host.guest(RELEASE).run();
    mend(&host);
    let id = id(&host);
    host.text(&["disable", "x"], 0);
    fs::remove_file(host.hook("hooks.d/y.yaml")).unwrap();
    let file = |name: &str| host.hook(format!("hooks.d/{name}.yaml")).display().to_string();
    let runs = "what was registered then runs";
    let disabled = format!("after_vm_destroy/x is disabled in {}; {runs}", file("x"));
    let gone =
        format!("after_vm_destroy/y isn't registered any more: {} is gone; {runs}", file("y"));
    for (words, status, end) in [
        (&["--force"][..], 0, ""),
        (&["--force", "--dry-run"], 0, ""),
        (&["--dry-run"], 0, ", with --force"),
    ] {
        let words = [&["retry", &id], words].concat();
        let retried = host.json(&words, status);
        let notes: Vec<&str> = retried["notes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|note| note["message"].as_str().unwrap())
            .collect();
        let said = host.text(&words, status);
        for note in [&disabled, &gone] {
            let note = format!("{note}{end}");
            assert_eq!(notes.iter().filter(|it| **it == note).count(), 1, "{words:?}: {notes:#?}");
            assert_eq!(said.matches(&note).count(), 1, "{words:?}: {said}");
        }
    }
}

#[test]
fn conditions_were_met_and_are_not_asked_again() {
    let host = host("events: after_vm_destroy\nwhen: {property: {once: 'yes'}}\ncheck: bin/check");
    host.script("bin/check", "log check; test ! -e \"$T/no\"");
    let custom = "<h:properties xmlns:h='urn:hookmux:properties:1'><h:property name='once'>yes</h:property></h:properties>";
    host.guest(RELEASE).stdin(documents::guest(custom, "")).run();
    assert_eq!(host.log(), ["check", ""]);
    // a document in which it isn't set, and a check that says no
    rewrite(&host, |_, body| body["document"] = json!(GUEST));
    fs::write(host.path("no"), "").unwrap();
    mend(&host);
    let id = id(&host);
    host.text(&["retry", &id], 0);
    assert_eq!(host.log(), [""], "only the hook");
    // today's are
    host.text(&["retry", "--today", &id], 0);
    assert!(host.log().is_empty());
    register(&host, "x", "events: after_vm_destroy\ncheck: bin/check");
    host.text(&["retry", "--today", &id], 0);
    assert_eq!(host.log(), ["check"]);
}

#[test]
fn a_hook_that_was_kept_from_running_has_its_check_asked() {
    let host = host("events: after_vm_stop\ncheck: bin/check\nweight: 200");
    host.script("bin/check", "log check; exit 1");
    host.script("after_vm_stop/10-a", "test -e \"$T/ok\" || exit 2");
    host.guest("stopped end").run().fails(2, &[]);
    assert!(host.log().is_empty());
    mend(&host);
    // it is registered otherwise now, and has no check
    register(&host, "x", "events: after_vm_stop");
    host.text(&["retry", "last"], 0);
    assert_eq!(host.log(), ["check"]);
}

#[test]
fn hooks_keep_their_order_among_scripts_at_events_and_at_calls() {
    let host = Host::new();
    host.script("bin/who", "log \"$1\"; exit 1");
    let names = [
        ("early", "events: after_vm_destroy\nweight: -5"),
        ("late", "events: after_vm_destroy\nweight: 5"),
        ("call", "calls: qemu/release"),
        ("device", "events: after_device_destroy"),
    ];
    for (name, keys) in names {
        let text = format!("command: [bin/who, {name}]\n{keys}\n");
        host.file(format!("hooks.d/{name}.yaml"), text);
    }
    host.script("after_vm_destroy/10-script", "log script");
    host.script("qemu.d/g/release/end/10-tree", "log tree");
    let property = |device: &str| format!("<h:property name='a' device='{device}'>1</h:property>");
    let metadata = format!(
        "<h:properties xmlns:h='urn:hookmux:properties:1'>{}{}</h:properties>",
        property("ua-x"),
        property("ua-y")
    );
    let devices =
        ["ua-x", "ua-y"].map(|name| format!("<interface><alias name='{name}'/></interface>"));
    host.guest(RELEASE).stdin(documents::guest(&metadata, &devices.concat())).run();
    let before = host.log();
    assert_eq!(before, ["early", "script", "late", "device", "device", "call", "tree"]);
    let id = id(&host);
    for (name, _) in names {
        fs::remove_file(host.hook(format!("hooks.d/{name}.yaml"))).unwrap();
    }
    host.text(&["retry", "--force", &id], 1);
    assert_eq!(host.log(), before);
    // some of them
    host.text(&["retry", "--force", &id, "--hook", "late", "--hook", "10-tree"], 1);
    assert_eq!(host.log(), ["late", "tree"]);
}

#[test]
fn a_detached_hook_is_queued_again_as_it_was() {
    let host = host("events: after_vm_launch\nargs: [one]\nmode: detached\nretries: 0");
    host.guest("started begin").run().succeeds();
    host.text(&["queue", "--work"], 0);
    let tries = || {
        let log = host.json(&["log", "-n", "100"], 0);
        let all = log["executions"].as_array().unwrap().clone();
        all.into_iter().filter(|one| one["cause"] == "queue").collect::<Vec<_>>()
    };
    until("it has failed", || tries().iter().any(|one| one["state"] == "failed"));
    mend(&host);
    register(&host, "x", "events: after_vm_launch\nargs: [two]");
    host.log();
    let own = tries()[0]["id"].as_str().unwrap().to_owned();
    // of the attempt and of the call alike
    for (id, count) in [(own, 2), (id(&host), 3)] {
        let retried = host.json(&["retry", &id], 0);
        assert_eq!(retried["runs"][0]["state"], "queued", "{retried}");
        host.text(&["queue", "--work"], 0);
        until("it has run", || {
            tries().iter().filter(|one| one["state"] != "running").count() == count
        });
        assert_eq!(host.log(), ["one"]);
    }
}

#[test]
fn a_gate_that_is_forced_rolls_back_as_it_was_registered() {
    let host = host("events: before_vm_start\nargs: [one]\nrollback: [bin/undo, then]");
    mend(&host);
    host.script("bin/undo", "log \"undo $1\"");
    host.script("before_vm_start/z", "exit 1");
    host.guest("prepare begin").run().fails(1, &[]);
    let id = id(&host);
    register(&host, "x", "events: before_vm_start\nargs: [two]\nrollback: [bin/undo, now]");
    host.log();
    assert!(host.text(&["retry", &id], 1).contains("is a gate"));
    host.text(&["retry", "--force", &id], 1);
    assert_eq!(host.log(), ["one", "undo then"]);
}

#[test]
fn another_broken_registration_does_not_stop_a_forced_gate() {
    let host = host("events: before_vm_start\nargs: [one]");
    host.guest("prepare begin").run().fails(7, &[]);
    mend(&host);
    register(&host, "other", "events: before_vm_strat");
    host.text(&["retry", "--force", "last"], 0);
    assert_eq!(host.log(), ["one", "one"]);
}

#[test]
fn trust_is_judged_again() {
    let host = host("events: after_vm_destroy");
    host.guest(RELEASE).run();
    host.mode("hooks/bin/x", 0o777);
    let said = host.text(&["retry", "last"], 1);
    assert!(said.contains("refused") && host.log().len() == 1, "{said}");
}

#[test]
fn a_changed_program_is_told_of() {
    let host = host("events: after_vm_destroy");
    host.script("after_vm_destroy/10-script", ":");
    host.guest(RELEASE).run();
    let id = id(&host);
    mend(&host);
    let said = host.text(&["retry", &id], 0);
    assert!(!said.contains("sha256"), "{said}");
    let before = last(&host)["runs"][0]["sha256"].clone();
    host.script("bin/x", "log mended");
    host.script("after_vm_destroy/10-script", "log mended");
    let said = host.text(&["retry", &id], 0);
    for name in ["after_vm_destroy/x", "after_vm_destroy/10-script"] {
        let line =
            said.lines().find(|line| line.starts_with(&format!("hookmux: {name}: "))).unwrap();
        assert!(line.contains("has been changed since: sha256 "), "{said}");
    }
    let retried = host.json(&["retry", &id], 0);
    let changed = retried["changed_programs"].as_array().unwrap();
    assert_eq!(changed.len(), 2);
    assert!(changed.iter().all(|it| it["sha256_then"] != it["sha256_now"]), "{changed:?}");
    assert!(changed.iter().any(|it| it["sha256_then"] == before), "{changed:?}");
}

// --- where the record doesn't have it ------------------------------------------------------------

/// Changes both lines of the newest record on the disk.
fn rewrite(host: &Host, change: impl Fn(&mut Value, &mut Value)) {
    host.text(&["prune"], 0);
    let id = last(host)["id"].as_str().unwrap().to_owned();
    let path = host.path("state/records").join(&id[..6]).join(&id);
    let text = fs::read_to_string(&path).unwrap();
    let (head, body) = text.split_once('\n').unwrap();
    let mut lines = [head, body].map(|line| serde_json::from_str::<Value>(line).unwrap());
    let [head, body] = &mut lines;
    change(head, body);
    fs::write(&path, format!("{head}\n{body}\n")).unwrap();
}

fn without(value: &mut Value, keys: &[&str]) {
    for key in keys {
        value.as_object_mut().unwrap().remove(*key);
    }
}

#[test]
fn a_record_of_an_older_version_takes_todays_and_says_so() {
    let host = host("events: after_vm_destroy\nargs: [one]");
    host.guest(RELEASE).run();
    rewrite(&host, |head, body| {
        without(head, &["registrations"]);
        without(&mut head["hooks"][0], &["status"]);
        without(body, &["is_masked"]);
        without(&mut body["runs"][0], &["command"]);
        head["version"] = json!("0.1.0");
    });
    mend(&host);
    register(&host, "x", "events: after_vm_destroy\nargs: [two]");
    let shown = last(&host);
    assert_eq!(shown["runs"][0]["command_line"], Value::Null);
    assert_eq!(shown["document_masked"], Value::Null);
    let log = host.json(&["log"], 0);
    assert_eq!(log["executions"][0]["runs"][0]["status"], Value::Null);
    let id = id(&host);
    let said = host.text(&["retry", &id], 0);
    assert!(said.contains("hookmux 0.1.0 recorded it without its registration"), "{said}");
    assert_eq!(host.log(), ["one", "two"]);
    let retried = host.json(&["retry", &id], 0);
    assert_eq!(retried["registrations"][0]["used"], "today");
    // and as an older version did where it is gone
    fs::remove_file(host.hook("hooks.d/x.yaml")).unwrap();
    assert!(host.text(&["retry", &id], 1).contains("all of these hooks are gone"));
}

#[test]
fn a_text_that_is_not_there_any_more_is_told_of() {
    for what in ["removed", "changed"] {
        let host = host("events: after_vm_destroy\nargs: [one]");
        host.guest(RELEASE).run();
        host.text(&["prune"], 0);
        let [fresh, kept] = texts(&host);
        for path in fresh.into_iter().chain(kept) {
            match what {
                "removed" => fs::remove_file(path).unwrap(),
                _ => fs::write(path, "events: after_vm_destroy\ncommand: /bin/false\n").unwrap(),
            }
        }
        mend(&host);
        register(&host, "x", "events: after_vm_destroy\nargs: [two]");
        let said = host.text(&["retry", "last"], 0);
        assert!(said.contains("isn't kept any more") && said.contains("today's"), "{said}");
        assert_eq!(host.log(), ["one", "two"], "{what}");
    }
}

#[test]
fn a_call_does_not_depend_on_the_text() {
    type Spoil = fn(&Path);
    let spoils: [(&str, Spoil); 3] = [
        ("a file", |place| fs::write(place, "").unwrap()),
        ("a link to nothing", |place| symlink("/nowhere/at/all", place).unwrap()),
        ("others can write there", |place| {
            use std::os::unix::fs::PermissionsExt;
            fs::create_dir(place).unwrap();
            fs::set_permissions(place, fs::Permissions::from_mode(0o777)).unwrap();
        }),
    ];
    for (what, spoil) in spoils {
        let host = host("events: before_vm_start\nargs: [one]");
        mend(&host);
        host.script("after_vm_stop/x", ":");
        // makes the directories
        host.guest("stopped end").run().succeeds();
        let place = host.path("run/records/registrations");
        spoil(&place);
        host.guest("prepare begin").run().succeeds().never_says("registration");
        assert_eq!(host.log(), ["one"], "{what}");
        assert_eq!(last(&host)["runs"][0]["args"], json!(["one"]), "{what}");
        let said = host.text(&["retry", "--force", "last"], 0);
        assert!(said.contains("isn't kept any more"), "{what}: {said}");
    }
}

// --- how long texts are kept ---------------------------------------------------------------------

#[test]
fn a_text_is_kept_once_and_as_long_as_a_record_refers_to_it() {
    let host = host("events: after_vm_destroy\nargs: [one]\nenvironment: {TOKEN: hush}");
    host.settings("retention: {per_hook: 3}");
    mend(&host);
    let hour_ago = || {
        let time = std::time::SystemTime::now() - std::time::Duration::from_secs(3700);
        for path in &texts(&host)[0] {
            fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
        }
    };
    for _ in 0..3 {
        host.guest(RELEASE).run().succeeds();
    }
    let one = texts(&host)[0].clone();
    assert_eq!(one.len(), 1);
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(&one[0]).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read(&one[0]).unwrap(), fs::read(host.hook("hooks.d/x.yaml")).unwrap());
    // it is copied, and stays in memory for an hour
    host.text(&["prune"], 0);
    let [fresh, kept] = texts(&host);
    assert_eq!((fresh.len(), kept.len()), (1, 1));
    assert_eq!(fs::metadata(&kept[0]).unwrap().permissions().mode() & 0o777, 0o600);
    hour_ago();
    register(&host, "x", "events: after_vm_destroy\nargs: [two]");
    host.guest(RELEASE).run().succeeds();
    let pruned = host.json(&["prune"], 0);
    assert_eq!((&pruned["removed"], &pruned["registrations_removed"]), (&json!(1), &json!(0)));
    let [fresh, kept] = texts(&host);
    assert_eq!((fresh.len(), kept.len()), (1, 2));
    // the last record with the first text goes
    for _ in 0..2 {
        host.guest(RELEASE).run().succeeds();
    }
    let pruned = host.json(&["prune"], 0);
    assert_eq!((&pruned["removed"], &pruned["registrations_removed"]), (&json!(2), &json!(1)));
    assert_eq!(texts(&host)[1].len(), 1);
    // one that a call has just written stays, whatever there is of records
    fs::remove_dir_all(host.path("state/records")).unwrap();
    fs::remove_dir_all(host.path("run/records/done")).unwrap();
    host.guest(RELEASE).run().succeeds();
    host.text(&["prune"], 0);
    assert_eq!(texts(&host).map(|places| places.len()), [1, 1]);
    // and it is there for the retry
    fs::remove_file(host.hook("hooks.d/x.yaml")).unwrap();
    hour_ago();
    host.log();
    host.text(&["retry", "last", "--force"], 0);
    assert_eq!(host.log(), ["two"]);
}

#[test]
fn a_record_of_a_newer_version_keeps_all_texts() {
    let host = host("events: after_vm_destroy");
    mend(&host);
    host.guest(RELEASE).run().succeeds();
    rewrite(&host, |head, _| {
        head["format"] = json!(99);
        without(head, &["registrations"]);
    });
    fs::remove_dir_all(host.path("run/records/registrations")).unwrap();
    assert_eq!(host.json(&["prune"], 0)["registrations_removed"], 0);
    assert_eq!(texts(&host)[1].len(), 1);
}

#[test]
fn texts_count_for_the_size_of_all_records() {
    let long = "x".repeat(200_000);
    let host = host(&format!("events: after_vm_destroy\n# {long}"));
    host.settings("retention: {size: 300 K}");
    mend(&host);
    for number in 0..3 {
        register(&host, "x", &format!("events: after_vm_destroy\n# {number} {long}"));
        host.guest(RELEASE).run().succeeds();
    }
    fs::remove_dir_all(host.path("run/records/registrations")).unwrap_or_default();
    host.text(&["prune"], 0);
    let kept: u64 = host
        .everything()
        .iter()
        .filter(|path| path.starts_with(host.path("state/records")) && path.is_file())
        .map(|path| path.metadata().unwrap().len())
        .sum();
    assert!(kept < 310_000, "{kept}");
}

// --- passwords -----------------------------------------------------------------------------------

const SECRET: &str = "s3cret-w0rd";

/// A host after an incoming migration of a guest with a password, whose hook failed.
fn migrated() -> Host {
    let host = Host::new();
    host.script(
        "before_vm_migrate_destination/10-x",
        "grep -o \"passwd='[^']*'\" \"$_hook_domxml\" >>\"$T/log\"; exit 1",
    );
    let graphics = format!("<graphics type='vnc' passwd='{SECRET}'/>");
    host.guest("migrate begin").stdin(documents::guest("", &graphics)).run().fails(1, &[]);
    assert_eq!(host.log(), [format!("passwd='{SECRET}'")]);
    host
}

/// `retry --force` of the newest execution, where `virsh` is this script.
fn retry_with(host: &Host, virsh: Option<&str>, more: &[&str]) -> Output {
    let tools = host.path("tools");
    let path = match virsh {
        None => "/nowhere".to_owned(),
        Some(text) => {
            host.script(tools.join("virsh"), text);
            format!("{}:/usr/bin:/bin", tools.display())
        }
    };
    let id = id(host);
    let words = [&["retry", "--force", id.as_str()], more].concat();
    let output = Command::new(binary_under_test())
        .arg("--hooks-dir")
        .arg(host.hooks())
        .args(&words)
        .env("PATH", path)
        .output()
        .unwrap();
    schema::judge(&words, &output.stdout);
    output
}

#[test]
fn a_retry_without_the_passwords_takes_the_living_guests_document() {
    let living = |attributes: &str, uuid: &str| {
        let guest = GUEST
            .replace("<domain type='kvm'>", &format!("<domain type='kvm'{attributes}>"))
            .replace(UUID, uuid)
            .replace("</devices>", "<graphics type='vnc' passwd='new-w0rd'/></devices>");
        format!("log \"asked $*\"\ncat <<'E'\n{guest}E")
    };
    let asked = |uri: &str| format!("asked -q -c qemu:///{uri} dumpxml --security-info {UUID}");
    let uri = if crate::support::is_root() { "system" } else { "session" };
    let other = "11111111-9b0d-4a6e-8f57-2d41c6b7a901";
    for (what, virsh, words) in [
        ("it lives", Some(living(" id='7'", UUID)), ""),
        ("it is shut off", Some(living("", UUID)), "is shut off"),
        ("it is another one", Some(living(" id='7'", other)), "document of another guest"),
        ("nothing is printed", Some("true".to_owned()), "another guest"),
        ("there is no daemon", Some("echo no socket >&2; exit 1".to_owned()), "no socket"),
        ("there is no virsh", None, "virsh isn't installed"),
    ] {
        let host = migrated();
        let output = retry_with(&host, virsh.as_deref(), &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{what}: {output:?}");
        let log = host.log();
        if words.is_empty() {
            assert_eq!(log, [asked(uri), "passwd='new-w0rd'".to_owned()], "{what}");
            assert!(said.contains("the document that the guest has now"), "{what}: {said}");
            // and isn't kept either
            let record = host.text(&["show", "--full", "last"], 0);
            assert!(!record.contains("new-w0rd"), "{record}");
            assert_eq!(last(&host)["document_masked"], true);
        } else {
            assert!(said.contains(words) && said.contains(" --masked"), "{what}: {said}");
            assert!(!log.iter().any(|line| line.starts_with("passwd")), "{what}: {log:?}");
            let error = retry_with(&host, virsh.as_deref(), &["--output", "json"]);
            let error = schema::read(&["retry", "--output", "json"], &error.stdout);
            let fix = error["error"]["fix_command"].as_array().unwrap();
            assert_eq!(fix.last().unwrap(), "--masked", "{what}");
            host.log();
            retry_with(&host, virsh.as_deref(), &["--masked"]);
            assert_eq!(host.log(), ["passwd='***'"], "{what}");
        }
    }
}

#[test]
fn libvirt_is_not_asked_where_no_password_was_left_out() {
    let host = Host::new();
    let text = "<title>passwd='is written here in text only</title>";
    host.script(
        "before_vm_migrate_destination/10-x",
        "grep -c passwd \"$_hook_domxml\" >>\"$T/log\"",
    );
    let guest = GUEST.replace("<uuid>", &format!("{}<uuid>", text.replace("='", " ")));
    host.guest("migrate begin").stdin(guest).run().succeeds();
    assert_eq!(last(&host)["document_masked"], false);
    let output = retry_with(&host, Some("log asked"), &[]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(host.log(), ["1", "1"]);
}

// --- what a retry is named by --------------------------------------------------------------------

// O6
#[test]
fn a_hook_and_an_execution_are_named_in_either_way() {
    let host = host("events: [after_vm_destroy, after_vm_stop]\nargs: [$NAME]");
    host.script("after_vm_destroy/20-other", "log other");
    host.guest(RELEASE).run();
    let first = id(&host);
    host.call("qemu", ["two", "release", "end", "shutdown"]).stdin(GUEST).run();
    let second = id(&host);
    mend(&host);
    host.log();
    for (words, id, ran) in [
        (&["retry", "x", &first][..], &first, &["g"][..]),
        (&["retry", "after_vm_destroy/x", "last"], &second, &["two"]),
        (&["retry", "20-other", &first], &first, &["other"]),
    ] {
        // `last` is libvirt's second call only as long as nothing was retried
        let words: Vec<&str> =
            words.iter().map(|word| if *word == "last" { second.as_str() } else { word }).collect();
        let retried = host.json(&words, 0);
        assert_eq!(retried["parent"], json!(id), "{words:?}");
        assert_eq!(host.log(), ran, "{words:?}");
        let shown = host.json(&[&["show"], &words[1..]].concat(), 0);
        assert_eq!(shown["id"], json!(id), "{words:?}");
    }
    // a hook alone means its last execution
    let other = host.json(&["retry", "20-other"], 0);
    host.log();
    let again = host.json(&["retry", "20-other"], 0);
    assert_eq!(again["parent"], other["id"]);
    assert_eq!(host.log(), ["other"]);
    for (words, status, told) in [
        (&["retry", "nothing", &first][..], 1, "nothing did not run in"),
        (&["show", "nothing", &first], 1, "nothing had no part in"),
        (&["retry", "x", "nothing"], 1, "there is no execution `nothing`"),
        (&["retry", "nothing"], 1, "no hook of this name"),
        (&["retry", "x", &first, "--hook", "x"], 2, "cannot be used with"),
    ] {
        let said = host.text(words, status);
        assert!(said.contains(told), "{words:?}: {said}");
    }
    register(&host, "never", "events: after_vm_destroy");
    assert!(host.text(&["retry", "never"], 1).contains("no execution of never is recorded"));
    assert!(host.log().is_empty());
}

#[test]
fn a_hook_that_is_disabled_today_is_not_called_gone() {
    let host = host("events: after_vm_destroy");
    host.guest(RELEASE).run();
    host.text(&["disable", "x"], 0);
    let id = id(&host);
    let said = host.text(&["retry", "--today", &id], 1);
    assert!(said.contains("after_vm_destroy/x is disabled in"), "{said}");
    assert!(!said.contains("gone"), "{said}");
    let error = host.json(&["retry", "--today", &id], 1);
    let fix = error["error"]["fix_command"].as_array().unwrap();
    let words: Vec<&str> = fix.iter().skip(3).filter_map(Value::as_str).collect();
    assert_eq!(words, ["enable", "x"], "{error:#}");
    host.text(&words, 0);
    mend(&host);
    host.text(&["retry", "--today", &id], 0);
}

#[test]
fn a_retry_of_a_detached_hook_is_queued_until_it_has_run() {
    let host = host("events: after_vm_launch\nmode: detached\nretries: 0");
    host.guest("started begin").run().succeeds();
    let jobs_of = |host: &Host| {
        let shown = host.json(&["show", "x"], 0);
        let runs = shown["executions"].as_array().unwrap();
        runs.iter().filter(|run| run["cause"] == "queue").count()
    };
    until("the hook has failed", || jobs_of(&host) == 1);
    mend(&host);
    let said = host.text(&["retry", &id(&host)], 0);
    assert!(said.contains("after_vm_launch/x is queued: `hookmux --hooks-dir"), "{said}");
    assert!(said.contains(" show after_vm_launch/x` shows its result"), "{said}");
    until("the hook has run", || jobs_of(&host) == 2);
    // then its result is the hook's
    until("the job is over", || state_of_last_retry(&host) != "queued");
    assert_eq!(state_of_last_retry(&host), "good");
    let of_retry = |host: &Host| {
        let log = host.text(&["log"], 0);
        let mut lines = log.lines().filter(|line| line.contains("(retry of"));
        lines.next_back().unwrap().to_owned()
    };
    assert!(of_retry(&host).contains("good (retry of"), "{}", of_retry(&host));
    // what has run is one row, with the result
    let shown = host.text(&["show", "x"], 0);
    let rows = shown.lines().filter(|line| line.contains("qemu started")).count();
    assert!(rows == 2 && !shown.contains("queued  "), "{shown}");
    // a hook that fails again; one whose job waits, and is then thrown away
    fs::remove_file(host.path("ok")).unwrap();
    host.text(&["retry", &id(&host)], 0);
    until("it has failed again", || state_of_last_retry(&host) == "failed");
    let line = of_retry(&host);
    assert!(line.contains("failed: ") && line.contains("exit status"), "{line}");
    let retry = host.json(&["log"], 0);
    let mut retry = retry["executions"].as_array().unwrap().iter();
    let retry = retry.rfind(|it| it["cause"] == "retry").unwrap().clone();
    assert!(retry["failure"].as_str().unwrap().contains("exit status"), "{retry:#}");
    assert_eq!(host.json(&["show", retry["id"].as_str().unwrap()], 0)["state"], "failed");
}

/// The states of all retries, as `log` has them for programs.
fn states_of_retries(host: &Host) -> Vec<String> {
    let log = host.json(&["log"], 0);
    let all = log["executions"].as_array().unwrap().iter();
    let retries = all.filter(|it| it["cause"] == "retry");
    retries.map(|it| it["state"].as_str().unwrap().to_owned()).collect()
}

fn state_of_last_retry(host: &Host) -> String {
    states_of_retries(host).pop().unwrap()
}

/// While its job waits a retry is `queued`; where the job is thrown away, nobody knows its end.
#[test]
fn a_retry_whose_job_is_thrown_away_has_no_known_end() {
    let host = host("events: after_vm_launch\nmode: detached\nretries: 0");
    let waits = "[ ! -e \"$T/holds\" ] || until [ -e \"$T/go\" ]; do sleep 0.05; done";
    host.script("bin/x", waits);
    let is_empty = || host.json(&["queue"], 0)["jobs"].as_array().unwrap().is_empty();
    host.guest("started begin").run().succeeds();
    until("it has run", is_empty);
    fs::write(host.path("holds"), "").unwrap();
    // the second one waits behind the first, as jobs of one guest run one after the other
    host.text(&["retry", &id(&host)], 0);
    until("the first one runs", || host.json(&["queue"], 0)["jobs"][0]["state"] == "runs");
    host.text(&["retry", &id(&host)], 0);
    assert_eq!(states_of_retries(&host), ["queued", "queued"]);
    assert!(host.text(&["log"], 0).contains("queued (retry of"));
    host.text(&["queue", "--flush", "--yes"], 0);
    assert_eq!(states_of_retries(&host), ["queued", "unknown"]);
    fs::write(host.path("go"), "").unwrap();
    until("the first one is over", is_empty);
    assert_eq!(states_of_retries(&host), ["good", "unknown"]);
    let log = host.text(&["log"], 0);
    assert!(log.contains("unknown: a hook was taken out of the queue"), "{log}");
}

// the proposed command is typed elsewhere, too
#[test]
fn a_proposed_command_has_no_relative_hooks_directory() {
    let host = host("events: after_vm_destroy");
    host.guest(RELEASE).run();
    fs::remove_file(host.hook("hooks.d/x.yaml")).unwrap();
    let id = id(&host);
    for words in [&["--hooks-dir", "hooks"][..], &["--hooks-dir=hooks"]] {
        let output = Command::new(binary_under_test())
            .args(words)
            .args(["retry", &id, "--output", "json"])
            .current_dir(host.path(""))
            .output()
            .unwrap();
        let error = schema::read(&["retry", "--output", "json"], &output.stdout);
        let fix = error["error"]["fix_command"].as_array().unwrap();
        let fix: Vec<&str> = fix.iter().filter_map(Value::as_str).collect();
        let hooks = host.hooks().display().to_string();
        assert!(fix.iter().any(|word| word.ends_with(&hooks)), "{words:?}: {fix:?}");
    }
}
