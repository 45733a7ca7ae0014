//! What runs at this moment: who sees it, who follows it, who ends it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::records::Following;
use crate::support::call::Running;
use crate::support::host::{binary_under_test, writing};
use crate::support::{Host, is_alive, is_root, schema, skip, until};

/// What a hook says, and then waits for the file `go`.
const WAITS: &str =
    r#"log "pid $$"; echo 'step 1'; log begun; while [ ! -e "$T/go" ]; do sleep 0.05; done"#;

fn go(host: &Host) {
    fs::write(host.path("go"), "").unwrap();
}

fn newest(host: &Host) -> Value {
    host.json(&["log", "-n", "1"], 0)["executions"][0].clone()
}

fn id_of(head: &Value) -> String {
    head["id"].as_str().unwrap().to_owned()
}

/// A call whose hook `70-loop` waits, seen as running.
fn waiting<'h>(host: &'h Host, call: &str) -> (Running<'h>, Value) {
    let mut running = host.guest(call).start();
    running.until_logged("begun");
    until("the hook is seen", || newest(host)["running"][0]["pid"].is_i64());
    (running, newest(host))
}

// --- seeing --------------------------------------------------------------------------------------

#[test]
fn a_hook_that_runs_is_seen_with_its_process_and_its_last_line() {
    let host = Host::new();
    host.script("before_vm_start/10-first", ":");
    host.script("before_vm_start/70-loop", &format!("{WAITS}; printf 'half a line'; sleep 60"));
    host.file("hooks.d/last.yaml", "events: before_vm_start\ncommand: /bin/true\ntimeout: 9s\n");
    let (call, _) = waiting(&host, "prepare begin");
    until("its last line is seen", || newest(&host)["running"][0]["last_line"] == "step 1");
    let head = newest(&host);
    let hook = &head["running"][0];
    let pid = hook["pid"].as_i64().unwrap();
    assert!(host.read_text("log").lines().any(|line| line == format!("pid {pid}")));
    assert_eq!(hook["hook"], "before_vm_start/70-loop");
    assert_eq!((&hook["event"], &hook["limit_s"]), (&json!("before_vm_start"), &json!(120.0)));
    assert!(hook["running_s"].as_f64().unwrap() >= 1.0, "{hook}");
    let states: Vec<&str> =
        head["runs"].as_array().unwrap().iter().map(|run| run["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["good", "running", "unknown"]);
    let id = id_of(&head);
    let now = format!("of 2:00, pid {pid}: step 1");
    let logged = host.text(&["log"], 0);
    assert!(logged.contains("running: before_vm_start/70-loop for 0:"), "{logged}");
    assert!(logged.contains(&now), "{logged}");
    let shown = host.text(&["show", &id], 0);
    for words in [
        "before_vm_start/70-loop runs for 0:",
        "│ step 1",
        "before_vm_start/10-first  ",
        "? before_vm_start/last: hasn't run yet",
        &format!("stop {id}` ends it"),
    ] {
        assert!(shown.contains(words), "{words} is missing in\n{shown}");
    }
    let object = host.json(&["show", &id], 0);
    assert_eq!(object["running"][0]["pid"], pid);
    assert_eq!(object["runs"][1]["state"], "running");
    let of_hook = host.json(&["show", "70-loop"], 0);
    assert_eq!(of_hook["executions"][0]["state"], "running");
    // a line that has no end yet is one, too
    go(&host);
    until("the new last line is seen", || {
        newest(&host)["running"][0]["last_line"] == "half a line"
    });
    call.signal(nix::sys::signal::Signal::SIGTERM);
    call.wait();
    let head = newest(&host);
    assert_eq!((&head["running"], &head["status"]), (&json!([]), &json!(143)));
    let left = fs::read_dir(host.path("run/records/running")).unwrap().count();
    assert_eq!(left, 0, "nothing stays there");
}

#[test]
fn a_password_isnt_seen_in_a_last_line() {
    let host = Host::new();
    host.script(
        "before_vm_migrate_destination/10-x",
        &format!("echo 'is s3cret!'; {WAITS}; exit 0"),
    );
    let document = b"<domain><name>g</name><uuid>4d7c5c1e-6f0a-4c57-9d5e-2f6f1b6c8a10</uuid><devices><graphics type='vnc' passwd='step 1'/></devices></domain>";
    let mut call = host.guest("migrate begin").stdin(document).start();
    call.until_logged("begun");
    until("its last line is seen", || newest(&host)["running"][0]["last_line"].is_string());
    assert_eq!(newest(&host)["running"][0]["last_line"], "***");
    go(&host);
    call.wait();
}

#[test]
fn hooks_side_by_side_a_detached_one_and_an_undo_are_seen() {
    let host = Host::new();
    host.script("bin/x", WAITS);
    let parallel = "events: before_vm_start\ncommand: bin/x\nparallel: true\nweight: 5\n";
    host.file("hooks.d/a.yaml", parallel).file("hooks.d/b.yaml", parallel);
    let mut call = host.guest("prepare begin").start();
    call.until_logged("begun");
    until("both are seen", || {
        newest(&host)["running"].as_array().is_some_and(|all| all.len() == 2)
    });
    go(&host);
    call.wait().succeeds();
    fs::remove_file(host.path("go")).unwrap();
    host.log();
    host.file("hooks.d/c.yaml", "events: after_vm_launch\ncommand: bin/x\nmode: detached\n");
    host.guest("started begin").run().succeeds();
    until("the detached one is seen", || {
        let head = newest(&host);
        head["cause"] == "queue" && head["running"][0]["hook"] == "after_vm_launch/c"
    });
    go(&host);
    until("it is over", || newest(&host)["state"] == "good");
}

#[test]
fn a_check_that_takes_its_time_is_seen() {
    let host = Host::new();
    host.script("bin/check", WAITS).script("bin/x", ":");
    let text = "events: before_vm_start\ncommand: bin/x\ncheck: bin/check\n";
    host.file("hooks.d/x.yaml", text);
    let watch = Following::start(&host, &["watch", "--output", "json"]);
    let (call, head) = waiting(&host, "prepare begin");
    assert_eq!(head["running"][0]["hook"], "before_vm_start/x (check)");
    assert_eq!(head["runs"][0]["state"], "unknown");
    go(&host);
    call.wait().succeeds();
    let kinds: Vec<String> = (0..4).map(|_| kind(&line(&watch))).collect();
    assert_eq!(kinds, ["begun", "hook-started x", "hook-ended x", "done"]);
}

// --- following -----------------------------------------------------------------------------------

fn line(watch: &Following) -> Value {
    schema::read(&["watch"], watch.next().as_bytes())
}

/// The kind of a line, with its hook.
fn kind(line: &Value) -> String {
    let hook = line["run"]["hook"].as_str().and_then(|hook| hook.split('/').nth(1));
    let kind = line["kind"].as_str().unwrap();
    hook.map_or_else(|| kind.to_owned(), |hook| format!("{kind} {hook}"))
}

#[test]
fn watch_tells_what_happens_while_it_happens() {
    let host = Host::new();
    host.script("before_vm_start/10-first", ":");
    host.script("before_vm_start/70-loop", &format!("{WAITS}; echo no >&2; exit 3"));
    let watch = Following::start(&host, &["watch", "--output", "json"]);
    let text = Following::start(&host, &["watch"]);
    let one = Following::start(&host, &["watch", "--hook", "10-first", "--output", "json"]);
    let call = host.guest("prepare begin").start();
    let first: Vec<Value> = (0..4).map(|_| line(&watch)).collect();
    let kinds: Vec<String> = first.iter().map(kind).collect();
    assert_eq!(
        kinds,
        ["begun", "hook-started 10-first", "hook-ended 10-first", "hook-started 70-loop"]
    );
    // it came while the hook runs
    let pid = first[3]["run"]["pid"].as_i64().unwrap();
    assert!(is_alive(i32::try_from(pid).unwrap()));
    assert_eq!(first[3]["state"], "running");
    for words in
        ["TIME ", "begins: 2 hooks", "10-first: started", "10-first: good", "70-loop: started, pid"]
    {
        let line = text.next();
        assert!(line.contains(words), "{words}: {line}");
    }
    go(&host);
    let rest: Vec<Value> = (0..2).map(|_| line(&watch)).collect();
    assert_eq!(rest.iter().map(kind).collect::<Vec<_>>(), ["hook-ended 70-loop", "done"]);
    let run = &rest[0]["run"];
    assert_eq!((&run["state"], &run["status"]), (&json!("failed"), &json!(3)));
    assert!(run["failure"].as_str().unwrap().ends_with(": no"), "{run}");
    let times: Vec<&str> =
        first.iter().chain(&rest).map(|line| line["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    call.wait().fails(3, &["70-loop"]);
    let kinds: Vec<String> = (0..4).map(|_| kind(&line(&one))).collect();
    assert_eq!(kinds, ["begun", "hook-started 10-first", "hook-ended 10-first", "done"]);
    assert!(one.is_quiet());
}

#[test]
fn watch_misses_nothing_of_calls_that_are_over_at_once() {
    let host = Host::new();
    host.script("before_vm_start/10-x", ":");
    host.script("before_vm_start/20-y", ":");
    let watch = Following::start(&host, &["watch", "--output", "json"]);
    for _ in 0..8 {
        host.guest("prepare begin").run().succeeds();
    }
    let mut kinds: std::collections::BTreeMap<String, Vec<String>> = Default::default();
    for _ in 0..8 * 6 {
        let line = line(&watch);
        kinds.entry(id_of(&line)).or_default().push(kind(&line));
    }
    let whole = [
        "begun",
        "hook-started 10-x",
        "hook-ended 10-x",
        "hook-started 20-y",
        "hook-ended 20-y",
        "done",
    ];
    assert_eq!(kinds.len(), 8);
    assert!(kinds.values().all(|kinds| kinds == &whole), "{kinds:#?}");
    assert!(watch.is_quiet());
}

#[test]
fn watch_goes_on_where_it_had_stopped() {
    let host = Host::new();
    host.script("before_vm_start/10-x", ":");
    host.script("after_vm_launch/70-loop", WAITS);
    // one that has begun before, and goes on
    let (call, running) = waiting(&host, "started begin");
    let mut ids = vec![id_of(&running)];
    for _ in 0..3 {
        host.guest("prepare begin").run().succeeds();
        ids.push(id_of(&newest(&host)));
    }
    let whole = |watch: &Following| {
        let mut begun: Vec<String> = Vec::new();
        while begun.len() < 3 {
            let line = line(watch);
            if line["kind"] == "begun" {
                begun.push(id_of(&line));
            }
        }
        begun
    };
    // the end of the first is as good as a time; others may come again, but nothing is missing
    for since in [ids[1].as_str(), &ids[1].to_lowercase(), &format!("…{}", &ids[1][20..]), "1h"] {
        let watch = Following::start(&host, &["watch", "--output", "json", "--since", since]);
        let mut told = whole(&watch);
        if since == "1h" {
            while told.len() < 4 {
                let line = line(&watch);
                if line["kind"] == "begun" {
                    told.push(id_of(&line));
                }
            }
        }
        for id in ids.iter().filter(|id| since == "1h" || **id != ids[1]) {
            assert!(told.contains(id), "{since}: {id} is missing in {told:?}");
        }
        assert_eq!(told.contains(&ids[1]), since == "1h", "its own end was told");
    }
    let said = host.text(&["watch", "--since", "nothing"], 1);
    assert!(said.contains("is not a time") && said.contains("nor is it the id"), "{said}");
    go(&host);
    call.wait().succeeds();
}

/// What a command prints that has to end by itself; it has a minute.
fn said_at_the_end(host: &Host, words: &[&str]) -> String {
    let mut command = Command::new("timeout");
    command.arg("60").arg(binary_under_test()).arg("--hooks-dir").arg(host.hooks()).args(words);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{words:?}: {output:?}");
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

#[test]
fn what_follows_ends_when_its_time_is_past() {
    let host = Host::new();
    host.script("before_vm_start/10-x", ":");
    host.guest("prepare begin").run().succeeds();
    let first = id_of(&newest(&host));
    host.guest("prepare begin").run().succeeds();
    let second = id_of(&newest(&host));
    // an hour ago
    let said = said_at_the_end(&host, &["watch", "--until", "1h"]);
    assert!(said.contains("that time is past") && said.contains("log --until"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    let said = said_at_the_end(&host, &["log", "-f", "--until", "1h"]);
    assert!(!said.contains(&first), "{said}");
    // what began before is told first
    let said = said_at_the_end(&host, &["log", "-f", "--until", "now", "--output", "json"]);
    assert!(said.contains(&first) && said.contains(&second), "{said}");
    let watch = ["watch", "--since", &first, "--until", "now", "--done", "--output", "json"];
    let said = said_at_the_end(&host, &watch);
    let ids: Vec<Value> =
        said.lines().map(|line| schema::read(&["watch"], line.as_bytes())["id"].clone()).collect();
    assert_eq!(ids, [json!(second)], "{said}");
    // one that is still to come
    let soon = std::time::SystemTime::now() + std::time::Duration::from_secs(2);
    let soon = humantime::format_rfc3339_millis(soon).to_string();
    for words in [&["watch", "--until", &soon][..], &["log", "-f", "--until", &soon]] {
        said_at_the_end(&host, words);
    }
}

/// A command, and its lines.
fn lines(host: &Host, words: &[&str]) -> (Child, BufReader<std::process::ChildStdout>) {
    let _writing = writing();
    let mut child = Command::new(binary_under_test())
        .arg("--hooks-dir")
        .arg(host.hooks())
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    (child, out)
}

#[test]
fn run_and_retry_tell_what_a_hook_prints_while_it_runs() {
    let host = Host::new();
    host.script(
        "after_vm_launch/10-net",
        &format!("{WAITS}; echo warned >&2; printf 'no end'; exit 1"),
    );
    host.guest("started begin").stdin("").start().until_logged("begun");
    go(&host);
    until("the call is over", || newest(&host)["state"] == "failed");
    for words in [&["run", "qemu", "g", "started"][..], &["retry", "last"]] {
        fs::remove_file(host.path("go")).unwrap();
        let (mut child, out) = lines(&host, words);
        let mut rest = Vec::new();
        for line in out.lines().map(Result::unwrap) {
            if line == "  10-net │ step 1" {
                // it still runs
                assert!(!host.path("go").exists() && child.try_wait().unwrap().is_none());
                go(&host);
            }
            rest.push(line);
        }
        child.wait().unwrap();
        for line in ["  10-net │ step 1", "  10-net stderr │ warned", "  10-net │ no end"] {
            assert_eq!(rest.iter().filter(|it| *it == line).count(), 1, "{line}: {rest:#?}");
        }
    }
}

// --- ending --------------------------------------------------------------------------------------

#[test]
fn stop_ends_a_call_as_sigterm_does() {
    for (call, event, status) in
        [("prepare begin", "before_vm_start", 143), ("started begin", "after_vm_launch", 0)]
    {
        let host = Host::new();
        host.script("bin/first", "log first").script("bin/back", "log back");
        host.file(
            "hooks.d/first.yaml",
            format!("events: {event}\ncommand: bin/first\nrollback: bin/back\nweight: -5\n"),
        );
        host.script(format!("{event}/70-loop"), WAITS);
        host.script(format!("{event}/80-last"), "log last");
        let (running, head) = waiting(&host, call);
        let id = id_of(&head);
        // without an answer nothing is done
        let error = host.json(&["stop", &id], 2);
        assert_eq!(error["error"]["code"], "unanswered");
        let words = error["error"]["message"].as_str().unwrap();
        assert!(words.contains("70-loop"), "{words}");
        let told = if status == 0 { "libvirt gets success" } else { "rolled back" };
        assert!(words.contains(told), "{words}");
        assert_eq!(newest(&host)["state"], "running");
        let stopped = host.json(&["stop", &id[20..], "--yes", "--reason", "ticket 4711"], 0);
        assert_eq!((&stopped["id"], &stopped["status"]), (&json!(id), &json!(status)));
        assert_eq!((&stopped["state"], &stopped["job"]), (&json!("failed"), &Value::Null));
        assert_eq!(running.wait().status, Some(status), "{call}");
        let log = host.log();
        assert_eq!(log.contains(&"back".to_owned()), status != 0, "{log:?}");
        assert!(!log.contains(&"last".to_owned()), "{log:?}");
        let acts = host.json(&["log", "--audit"], 0);
        let act = &acts["acts"][0];
        assert_eq!((&act["action"], &act["reason"]), (&json!("stop"), &json!("ticket 4711")));
        // and once more
        let said = host.text(&["stop", &id, "--yes"], 1);
        assert!(said.contains("is over; no call is running"), "{said}");
    }
}

#[test]
fn last_means_the_newest_call_that_runs() {
    let host = Host::new();
    host.script("after_vm_launch/70-loop", &format!("{WAITS}; sleep 60"));
    let said = host.text(&["stop", "last", "--yes"], 1);
    assert!(said.contains("no call is running"), "{said}");
    let (call, head) = waiting(&host, "started begin");
    // a newer one that is over isn't meant
    host.script("after_vm_destroy/10-x", ":");
    host.guest("release end").run().succeeds();
    assert_eq!(newest(&host)["operation"], "release");
    let error = host.json(&["stop", "last"], 2);
    assert!(error["error"]["message"].as_str().unwrap().contains("started g"), "{error:#}");
    let stopped = host.json(&["stop", "last", "--yes"], 0);
    assert_eq!(stopped["id"], head["id"], "{stopped:#}");
    call.wait();
    let said = host.text(&["stop", "last", "--yes"], 1);
    assert!(said.contains("no call is running") && !said.contains("is over"), "{said}");
    let help = host.text(&["stop", "--help"], 0);
    let help: Vec<&str> = help.split_whitespace().collect();
    assert!(help.join(" ").contains("`last`, the newest that is running"), "{help:?}");
}

/// At night one knows the guest that hangs, and no id.
#[test]
fn a_guest_names_its_call_that_runs() {
    let host = Host::new();
    host.script("after_vm_launch/70-loop", &format!("{WAITS}; sleep 60"));
    let (call, head) = waiting(&host, "started begin");
    for words in [&["stop", "g", "--dry-run"][..], &["stop", "last", "--dry-run"]] {
        let said = host.text(words, 0);
        for part in ["started g", "The hook will be ended", "nothing was ended: --dry-run"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let stopped = host.json(words, 0);
        assert_eq!((&stopped["id"], &stopped["state"]), (&head["id"], &json!("running")));
        assert_eq!((&stopped["changed"], &stopped["dry_run"]), (&json!(true), &json!(true)));
    }
    // nothing was done, and nobody did it
    assert_eq!(newest(&host)["state"], "running");
    assert_eq!(host.json(&["log", "--audit"], 0)["acts"], json!([]));
    assert!(
        host.text(&["stop", "no-such-guest", "--yes"], 1)
            .contains("no running call of it; running: ")
    );
    let stopped = host.json(&["stop", "g", "--yes"], 0);
    assert_eq!((&stopped["id"], &stopped["dry_run"]), (&head["id"], &json!(false)));
    call.wait();
}

#[test]
fn stop_ends_only_what_is_hookmuxs_and_there() {
    let host = Host::new();
    host.script("after_vm_launch/70-loop", WAITS);
    let said = host.text(&["stop", "01ARYZ6S410000000000000000", "--yes"], 1);
    assert!(
        said.contains("there is no execution") && said.contains("no call is running"),
        "{said}"
    );
    let (call, head) = waiting(&host, "started begin");
    let said = host.text(&["stop", "nothing", "--yes"], 1);
    assert!(
        said.contains(&format!("{} (g started, after_vm_launch/70-loop for", id_of(&head))),
        "{said}"
    );
    let record = host.path("run/records/running").join(id_of(&head));
    let text = fs::read_to_string(&record).unwrap();
    let (first, second) = text.split_once('\n').unwrap();
    let mut other: Value = serde_json::from_str(first).unwrap();
    // a process that isn't hookmux
    let mut sleeper = Command::new("sleep").arg("60").spawn().unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", sleeper.id())).unwrap();
    let start: u64 = stat.rsplit(") ").next().unwrap().split(' ').nth(19).unwrap().parse().unwrap();
    let id = "01ARYZ6S410000000000000000";
    other["id"] = json!(id);
    let mut write = |process: Value| {
        for (key, value) in process.as_object().unwrap() {
            other["process"][key] = value.clone();
        }
        let path = host.path("run/records/running").join(id);
        fs::write(&path, format!("{other}\n{second}")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    };
    write(json!({ "pid": sleeper.id(), "start": start }));
    let said = host.text(&["stop", id, "--yes"], 1);
    assert!(said.contains("isn't hookmux any more; nothing was done"), "{said}");
    // a number that has become another process's
    write(json!({ "start": start + 1 }));
    let said = host.text(&["stop", id, "--yes"], 1);
    assert!(said.contains("its process died"), "{said}");
    assert!(sleeper.try_wait().unwrap().is_none(), "it lives");
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    go(&host);
    call.wait().succeeds();
}

#[test]
fn somebody_elses_call_is_not_for_nobody_to_end() {
    if !is_root() {
        return skip("only root can become somebody else");
    }
    let host = Host::new();
    host.mode("", 0o755);
    host.script("after_vm_launch/70-loop", WAITS);
    let (call, head) = waiting(&host, "started begin");
    let binary = host.path("hookmux");
    {
        let _writing = writing();
        fs::copy(binary_under_test(), &binary).unwrap();
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&binary)
        .arg("--hooks-dir")
        .arg(host.hooks())
        .args(["stop", &id_of(&head), "--yes"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("sudo hookmux") && said.contains("root's"), "{said}");
    assert_eq!(newest(&host)["state"], "running");
    go(&host);
    call.wait().succeeds();
}

#[test]
fn stop_ends_a_try_of_a_detached_hook_and_not_the_worker() {
    let host = Host::new();
    host.script("bin/x", &format!("log try; {WAITS}"));
    for name in ["one", "two"] {
        let text = "events: after_vm_launch\ncommand: bin/x\nmode: detached\nretries: 1\n";
        host.file(format!("hooks.d/{name}.yaml"), text);
    }
    host.guest("started begin").run().succeeds();
    host.call("qemu", ["h", "started", "begin", "-"]).stdin("").run().succeeds();
    let tries = || {
        let all = host.json(&["log"], 0)["executions"].as_array().unwrap().clone();
        let is_running = |head: &Value| head["running"][0]["pid"].is_i64();
        all.into_iter().filter(is_running).collect::<Vec<_>>()
    };
    // those of one guest come one after the other
    until("two tries run", || tries().len() == 2);
    let [one, other] = <[Value; 2]>::try_from(tries()).unwrap();
    let pid = i32::try_from(one["running"][0]["pid"].as_i64().unwrap()).unwrap();
    let jobs = host.json(&["queue"], 0)["jobs"].as_array().unwrap().clone();
    let is_its =
        |job: &&Value| job["object"] == one["object"] && job["hook"] == one["running"][0]["hook"];
    let job = jobs.iter().find(is_its).unwrap()["id"].as_str().unwrap().to_owned();
    // the job leads to it
    let stopped = host.json(&["stop", &job.to_lowercase(), "--yes"], 0);
    assert_eq!((&stopped["id"], &stopped["job"]), (&one["id"], &json!(job)));
    assert_eq!((&stopped["state"], &stopped["tries_left"]), (&json!("failed"), &json!(1)));
    assert!(!is_alive(pid));
    let other = i32::try_from(other["running"][0]["pid"].as_i64().unwrap()).unwrap();
    assert!(is_alive(other), "the worker goes on");
    go(&host);
    until("the queue is empty", || host.json(&["queue"], 0)["jobs"].as_array().unwrap().is_empty());
    assert!(Path::new(&host.path("state")).exists());
}

// --- which one is meant --------------------------------------------------------------------------

#[test]
fn last_is_the_call_that_people_mean() {
    let host = Host::new();
    let broken = r#"test -e "$T/ok" || { echo "licence server says no" >&2; exit 3; }"#;
    host.script("before_vm_start/20-net", broken).script("before_vm_start/10-good", "echo fine");
    host.script("after_vm_stop/x", ":").script("after_vm_destroy/x", ":");
    host.script("after_vm_launch/x", ":");
    let last = |words: &[&str]| host.json(&[&["show"], words].concat(), 0);
    host.call("qemu", ["other", "started", "begin", "-"]).stdin("").run().succeeds();
    let other = id_of(&newest(&host));
    host.guest("prepare begin").run().fails(3, &["licence server says no"]);
    let failed = id_of(&newest(&host));
    host.guest("stopped end").run().succeeds();
    host.guest("release end").run().succeeds();
    host.hookmux(&["run", "qemu", "g", "started"]);
    host.hookmux(&["retry", "--force", &failed]);
    for words in [
        &["last"][..],
        &["--failed"],
        &["last", "--failed"],
        &["--failed", "--guest", "g"],
        &["--hook", "20-net"],
        &["20-net", "--failed"],
        &["--operation", "prepare"],
        &[&failed[..8]][..0],
    ] {
        if words.is_empty() {
            continue;
        }
        let shown = last(words);
        assert_eq!(shown["id"], json!(failed), "{words:?}");
        assert!(shown["failure"].as_str().unwrap().ends_with(": licence server says no"));
    }
    assert_eq!(last(&["last"])["passed_over"].as_array().unwrap().len(), 4);
    assert_eq!(last(&["--guest", "other"])["id"], json!(other));
    assert_eq!(last(&["--operation", "release"])["operation"], "release");
    let said = host.text(&["show", "last"], 0);
    for words in [
        "Passed over, though newer: a retry (…",
        "a run by hand (…",
        "release of g after its failed prepare (…",
        "and 1 more",
        "`virsh start g` makes libvirt call it again",
        "retry --force",
    ] {
        let words = words.replace("retry --force", &format!("retry {failed} --force"));
        assert!(said.contains(&words), "{words} is missing in\n{said}");
    }
    // what failed comes first, and its reason once
    let at = |words: &str| said.find(words).unwrap_or_else(|| panic!("{words}: {said}"));
    assert!(at("stderr: licence server says no") < at("stdout: fine"), "{said}");
    assert!(!said.contains("Told to libvirt"), "{said}");
    assert!(host.text(&["show", "last", "--full"], 0).contains("Told to libvirt"));
    // the advice is taken
    fs::write(host.path("ok"), "").unwrap();
    let retried = host.json(&["retry", "--failed", "--guest", "g", "--force"], 0);
    assert_eq!(retried["parent"], json!(failed));
    for (words, status) in
        [(&["show", "--failed"][..], 1), (&["show", &failed, "--failed"], 1), (&["show"], 2)]
    {
        host.text(words, status);
    }
    // one that was mended isn't among the failed
    let log = host.json(&["log", "--failed"], 0);
    assert!(log["executions"].as_array().unwrap().iter().all(|head| head["id"] != json!(failed)));
    assert!(log["mended"].as_array().unwrap().contains(&json!(failed)), "{log:#}");
    let head = host.json(&["show", &failed], 0);
    assert_eq!(head["mended_by"], retried["id"]);
    assert!(host.text(&["log"], 0).contains("says no; retry …"));
    assert!(
        host.text(&["log", "--failed"], 0).contains("left out, because a later retry succeeded")
    );
}

#[test]
fn last_is_the_newest_where_nothing_else_is_recorded() {
    let host = Host::new();
    host.settings("record: all");
    host.text(&["show", "last"], 1);
    // no hook was considered
    host.guest("stopped end").run().succeeds();
    assert_eq!(host.json(&["show", "last"], 0)["operation"], "stopped");
    host.script("bin/x", ":");
    let text = "events: after_vm_launch\ncommand: bin/x\nwhen: {name: other}\n";
    host.file("hooks.d/x.yaml", text);
    host.text(&["run", "qemu", "other", "started"], 0);
    let shown = host.json(&["show", "last"], 0);
    assert_eq!((&shown["cause"], &shown["passed_over"]), (&json!("run"), &json!([])));
    // one was considered, and left out
    host.guest("started begin").run().succeeds();
    host.guest("stopped end").run().succeeds();
    let shown = host.json(&["show", "last"], 0);
    assert_eq!((&shown["operation"], &shown["runs"]), (&json!("started"), &json!([])));
    assert_eq!(shown["plan"][0]["state"], "not run");
}

#[test]
fn ids_are_taken_as_they_are_printed_and_those_of_jobs_lead_to_them() {
    let host = Host::new();
    host.script("bin/x", "test -e \"$T/ok\"");
    let text = "events: after_vm_launch\ncommand: bin/x\nmode: detached\nretries: 1\n";
    host.file("hooks.d/x.yaml", text);
    host.guest("started begin").run().succeeds();
    let calls = || {
        let all = host.json(&["log"], 0)["executions"].as_array().unwrap().clone();
        all.into_iter().find(|head| head["cause"] == "libvirt").unwrap()
    };
    let id = id_of(&calls());
    let job = host.json(&["show", &id], 0)["runs"][0]["job"].as_str().unwrap().to_owned();
    let end = &id[20..];
    for word in [format!("…{end}"), format!("...{end}"), end.to_lowercase(), id.to_lowercase()] {
        assert_eq!(host.json(&["show", &word], 0)["id"], json!(id), "{word}");
    }
    let by_job = |word: &str| {
        let shown = host.json(&["show", word], 0);
        assert_eq!((&shown["id"], &shown["job"]), (&json!(id), &json!(job)), "{word}");
        shown
    };
    // in the queue, and later
    by_job(&job);
    until("both tries are over", || by_job(&job)["detached"] == "failed");
    until("it was given up", || host.json(&["queue"], 0)["jobs"] == json!([]));
    by_job(&format!("…{}", &job[20..]));
    assert_eq!(by_job(&job.to_lowercase())["later"].as_array().unwrap().len(), 2);
    assert_eq!((&calls()["state"], &calls()["detached"]), (&json!("good"), &json!("failed")));
    assert!(host.text(&["log"], 0).contains("good, but a detached hook failed"));
    assert!(host.text(&["show", &job], 0).contains(&format!("job        {job}")));
    // `last` is the call, and not its tries
    assert_eq!(host.json(&["show", "last"], 0)["id"], json!(id));
    let unknown = host.text(&["show", "01ARYZ6S410000000000000000"], 1);
    assert!(unknown.contains("there is no execution"), "{unknown}");
}

#[test]
fn pages_of_the_log_follow_each_other() {
    let host = Host::new();
    host.script("before_vm_start/10-x", "test \"$HOOKMUX_OBJECT\" = g");
    for _ in 0..5 {
        host.guest("prepare begin").run().succeeds();
        host.call("qemu", ["h", "prepare", "begin", "-"]).run();
    }
    let mut seen: Vec<String> = Vec::new();
    let mut before: Option<String> = None;
    loop {
        let mut words = vec!["log", "--guest", "g", "-n", "2", "--total"];
        words.extend(before.iter().flat_map(|id| ["--before", id]));
        let page = host.json(&words, 0);
        let ids = page["executions"].as_array().unwrap().iter().map(id_of);
        seen.extend(ids.rev());
        match page["next"].as_str() {
            Some(next) => before = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted_by(|one, other| one > other), "{seen:?}");
    let page = host.json(&["log", "--guest", "g", "-n", "2", "--total"], 0);
    assert_eq!(page["total"], 5);
    assert_eq!(host.json(&["log"], 0)["total"], Value::Null);
    assert!(host.text(&["log", "-n", "2", "--total"], 0).contains("2 of 10; `hookmux"));
}
