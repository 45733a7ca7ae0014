//! Records: what happened is written down, kept, found and done again. (O5, O6, V7)

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::host::{binary_under_test, writing};
use crate::support::{GUEST, Host, is_root, schema, skip, until};

const SECRET: &str = "s3cret-w0rd";

/// The executions that `log` lists, the oldest first.
fn log(host: &Host, more: &[&str]) -> Vec<Value> {
    let words = [&["log", "-n", "1000"], more].concat();
    host.json(&words, 0)["executions"].as_array().unwrap().clone()
}

fn show(host: &Host, id: &str) -> Value {
    host.json(&["show", id], 0)
}

fn last(host: &Host) -> Value {
    show(host, "last")
}

/// All files that hold records.
fn files(host: &Host) -> Vec<PathBuf> {
    let is_record = |path: &PathBuf| {
        path.is_file() && path.components().any(|part| part.as_os_str() == "records")
    };
    host.everything().into_iter().filter(is_record).collect()
}

// --- what is kept --------------------------------------------------------------------------------

// O5
#[test]
fn a_call_is_kept_with_all_that_it_was_and_did() {
    let host = Host::new();
    host.script("before_vm_start/10-a", "echo out; echo err >&2");
    host.script("before_vm_start/20-b", "exit 3");
    host.script("before_vm_start/30-off", ":").mode("hooks/before_vm_start/30-off", 0o644);
    host.guest("prepare begin").run().fails(3, &[]);
    let all = log(&host, &[]);
    assert_eq!(all.len(), 1);
    let head = &all[0];
    for (key, value) in [
        ("state", "failed"),
        ("cause", "libvirt"),
        ("driver", "qemu"),
        ("object", "g"),
        ("operation", "prepare"),
        ("sub_operation", "begin"),
        ("extra", "-"),
        ("uuid", "3c8e1f52-9b0d-4a6e-8f57-2d41c6b7a901"),
        ("class", "gate"),
        ("origin", "fresh"),
    ] {
        assert_eq!(head[key], value, "{key}");
    }
    assert_eq!(head["status"], 3);
    assert!(head["duration_s"].as_f64().unwrap() > 0.0);
    assert!(head["failure"].as_str().unwrap().starts_with("before_vm_start/20-b: exit status 3"));
    let record = show(&host, head["id"].as_str().unwrap());
    assert_eq!(record["arguments"], json!(["g", "prepare", "begin", "-"]));
    assert_eq!(record["document"], GUEST);
    assert_eq!(record["document_after"], Value::Null);
    assert!(record["stderr"].as_str().unwrap().contains("before_vm_start/20-b"));
    let runs = record["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    assert_eq!((&runs[0]["stdout"], &runs[0]["stderr"]), (&json!("out\n"), &json!("err\n")));
    assert_eq!((&runs[0]["state"], &runs[1]["state"]), (&json!("good"), &json!("failed")));
    assert_eq!((&runs[0]["status"], &runs[1]["status"]), (&json!(0), &json!(3)));
    let path = host.hook("before_vm_start/10-a");
    assert_eq!(runs[0]["path"], path.display().to_string());
    let sum = Command::new("sha256sum").arg(&path).output().unwrap().stdout;
    assert_eq!(runs[0]["sha256"].as_str().unwrap().as_bytes(), &sum[..64]);
    let starts: Vec<f64> = runs.iter().map(|run| run["start_s"].as_f64().unwrap()).collect();
    assert!(starts[0] < starts[1] && runs[0]["duration_s"].as_f64().unwrap() > 0.0);
    let plan = record["plan"].as_array().unwrap();
    let off = plan.iter().find(|step| step["hook"] == "before_vm_start/30-off").unwrap();
    assert_eq!(off["state"], "not run");
    assert!(off["reason"].as_str().unwrap().contains("not executable"));
}

#[test]
fn a_record_is_nobodys_to_read_and_holds_no_password() {
    let host = Host::new();
    host.mode("", 0o755);
    let document = GUEST.replace(
        "<devices>",
        &format!("<devices><graphics type='vnc' passwd='{SECRET}' port='5900'/>"),
    );
    for event in ["before_vm_dehibernate", "before_vm_migrate_destination"] {
        host.script(
            format!("{event}/10-x"),
            r#"cat "$_hook_domxml"; sed 's/x/x/' "$_hook_domxml" >&2
               sed -i "s/5900/5901/; s/'vnc' passwd='\([^']*\)'/\"vnc\" passwd = \"\1\"/" "$_hook_domxml""#,
        );
    }
    host.script(
        "qemu.d/g/restore/begin/20-libvirt-style",
        "tee \"$T/seen\"; grep -o 'passwd.*' \"$T/seen\" >&2",
    );
    host.script("after_vm_destroy/10-x", "exit 1");
    let answer = host.guest("restore begin").stdin(document.as_str()).run();
    let given = String::from_utf8(answer.stdout.clone()).unwrap();
    assert!(given.contains(SECRET) && given.contains("5901"), "libvirt gets it: {answer:?}");
    host.guest("migrate begin").stdin(document.as_str()).run();
    host.guest("started begin").stdin(document.as_str()).run().succeeds();
    host.guest("release end").stdin("").run();
    host.text(&["prune"], 0);
    let files = files(&host);
    assert!(files.len() >= 3, "{files:?}");
    for path in &files {
        let bytes = fs::read(path).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains(SECRET), "{}", path.display());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{path:?}");
        for directory in path.ancestors().skip(1).take_while(|path| !path.ends_with("records")) {
            let mode = directory.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{}", directory.display());
        }
    }
    for id in log(&host, &[]).iter().map(|head| head["id"].as_str().unwrap()) {
        let said = host.text(&["show", "--full", id], 0) + &show(&host, id).to_string();
        assert!(!said.contains(SECRET), "{said}");
    }
    let restore = log(&host, &["--operation", "restore"]);
    let said = host.text(&["show", restore[0]["id"].as_str().unwrap()], 0);
    assert!(said.contains("5901") && said.contains("passwd = \"***\""), "the diff: {said}");
    // the document of `started`, for a retry of `release`
    let release = log(&host, &["--operation", "release"]);
    let started = &show(&host, release[0]["id"].as_str().unwrap())["started_document"];
    assert!(started.as_str().unwrap().contains("passwd='***'"));
}

#[test]
fn a_password_is_masked_however_a_hook_prints_it() {
    let host = Host::new();
    let document = GUEST.replace(
        "<devices>",
        &format!("<devices><graphics type='spice' passwd='{SECRET}&amp;&lt;' port='5900'/>"),
    );
    host.script(
        "before_vm_dehibernate/10-x",
        r#"set -x
           xml=$(cat "$_hook_domxml")
           printf '%s' "$xml" | sed "s/&/\\&amp;/g; s/'/\\&#x27;/g"
           printf '%s' "$xml" | grep -o "passwd='[^']*" | cut -d"'" -f2 | rev | rev
           yes 0123456789 | head -c 262100; printf '%s' "$xml" | sed 's/.*passwd//' | tr -d '\n'
           yes 0123456789 | head -c 65536; printf "%s' port" "$xml" | head -c 10
           exit 1"#,
    );
    host.guest("restore begin").stdin(document.as_str()).run().succeeds();
    host.guest("prepare begin").stdin(document.as_str()).run().fails(1, &[]);
    host.text(&["prune"], 0);
    for path in files(&host) {
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        assert!(!text.contains("s3cret") && !text.contains("w0rd"), "{}: {text}", path.display());
    }
    let record = log(&host, &["--operation", "restore"]);
    let out = show(&host, record[0]["id"].as_str().unwrap());
    assert!(out["runs"][0]["stderr"].as_str().unwrap().contains("xml="), "the trace is there");
}

// O5
#[test]
fn the_reason_of_a_failure_is_told_where_libvirt_has_it() {
    let host = Host::new();
    host.script("before_vm_start/10-x", "echo noise >&2; echo ' no licence' >&2; echo >&2; exit 3");
    host.guest("prepare begin").run().fails(3, &[": no licence\n"]);
    let failure = last(&host)["failure"].as_str().unwrap().to_owned();
    assert!(failure.starts_with("before_vm_start/10-x: exit status 3 after "), "{failure}");
    assert!(failure.ends_with(" s: no licence"), "{failure}");
    let run = &last(&host)["runs"][0];
    assert!(run["failure"].as_str().unwrap().ends_with(" s: no licence"), "{run:#}");
    for words in [&["log"][..], &["show", "last"], &["show", "before_vm_start/10-x"]] {
        let said = host.text(words, 0);
        assert!(said.contains(" s: no licence"), "{words:?}\n{said}");
    }
    let trial = host.json(&["run", "qemu", "g", "prepare", "begin"], 1);
    assert!(trial["runs"][0]["failure"].as_str().unwrap().ends_with(" s: no licence"), "{trial:#}");
    // a password is masked before the line is cut
    let document =
        GUEST.replace("<devices>", &format!("<devices><graphics type='vnc' passwd='{SECRET}'/>"));
    let script = "printf '%296s%s\\n' '' \"$(grep -o \"passwd='[^']*\" \"$_hook_domxml\" | cut -c 9-)\" | tr ' ' x >&2; exit 1";
    host.script("before_vm_start/10-x", script);
    host.guest("prepare begin").stdin(document).run().fails(1, &["xxx"]);
    let failure = last(&host)["failure"].as_str().unwrap().to_owned();
    assert!(failure.ends_with("xxx***") && !failure.contains("s3c"), "{failure}");
}

#[test]
fn a_document_that_was_changed_at_restore_is_kept_too() {
    let host = Host::new();
    host.script(
        "before_vm_dehibernate/10-x",
        r#"sed -i 's/<devices>/<devices> /' "$_hook_domxml""#,
    );
    let answer = host.guest("restore begin").run();
    let record = last(&host);
    assert_eq!(record["document_after"].as_str().unwrap().as_bytes(), answer.stdout);
}

#[test]
fn output_is_kept_bounded_and_bytes_that_are_no_text_are_survived() {
    let host = Host::new();
    host.script("before_vm_start/10-x", "yes 0123456789 | head -c 3000000; printf '\\377\\000end'");
    host.call("qemu", [b"caf\xe9".as_slice(), b"prepare", b"begin", b"-"].map(os)).run().succeeds();
    let record = last(&host);
    let out = record["runs"][0]["stdout"].as_str().unwrap();
    assert!(
        out.len() < 340_000 && out.contains("bytes left out") && out.ends_with("end"),
        "{}",
        out.len()
    );
    assert_eq!(record["object"], "caf\u{fffd}");
    // it is the name as it was that a retry gives
    host.script("before_vm_start/10-x", "printf %s \"$HOOKMUX_OBJECT\" | od -An -tx1");
    let retried = host.json(&["retry", "last", "--force"], 0);
    assert_eq!(retried["runs"][0]["stdout"], " 63 61 66 e9\n");
}

fn os(bytes: &[u8]) -> std::ffi::OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes.to_vec())
}

#[test]
fn a_call_for_which_no_hook_was_considered_leaves_none_unless_it_is_asked_for() {
    let host = Host::new();
    host.script("after_vm_stop/10-x", ":");
    for call in ["prepare begin", "start begin", "started begin", "release end"] {
        host.guest(call).run().succeeds();
    }
    assert!(log(&host, &[]).is_empty());
    assert!(!host.path("run/records").exists() && !host.path("state/records").exists());
    host.settings("record: all");
    for call in ["prepare begin", "start begin", "started begin", "release end"] {
        host.guest(call).run().succeeds();
    }
    host.call("daemon", ["-", "reload", "begin", "SIGHUP"]).run().succeeds();
    let operations: Vec<String> =
        log(&host, &[]).iter().map(|head| head["operation"].as_str().unwrap().to_owned()).collect();
    assert_eq!(operations, ["prepare", "start", "started", "release", "reload"]);
    host.settings("record: none");
    host.guest("stopped end").run().succeeds();
    assert_eq!(log(&host, &[]).len(), 5);
}

#[test]
fn a_call_that_ran_nothing_is_recorded_with_all_that_is_known() {
    let host = Host::new();
    host.settings("record: all");
    host.guest("prepare begin").run().succeeds();
    host.guest("started begin").run().succeeds();
    host.call("network", ["n", "start", "begin", "-"]).stdin("<hookData/>").run().succeeds();
    host.text(&["bypass", "on", "--for", "1h"], 0);
    host.guest("reconnect begin").run().succeeds();
    let all = log(&host, &[]);
    let of = |operation: &str| all.iter().find(|head| head["operation"] == operation).unwrap();
    for (operation, origin, state) in [
        ("prepare", json!("fresh"), "good"),
        ("started", json!("fresh"), "good"),
        ("start", Value::Null, "good"),
        ("reconnect", json!("fresh"), "bypassed"),
    ] {
        let head = of(operation);
        assert_eq!(head["state"], state, "{head}");
        assert_eq!((&head["origin"], &head["status"]), (&origin, &json!(0)), "{head}");
        assert_eq!((&head["runs"], &head["failure"]), (&json!([]), &Value::Null), "{head}");
        assert!(head["duration_s"].as_f64().unwrap() > 0.0, "{head}");
        let id = head["id"].as_str().unwrap();
        let record = show(&host, id);
        assert_eq!((&record["plan"], &record["runs"]), (&json!([]), &json!([])), "{record}");
        assert!(record["document"].as_str().unwrap().starts_with('<'), "{record}");
        let said = host.text(&["show", id, "--full"], 0);
        assert!(said.contains("no hook ran"), "{said}");
        assert_eq!(said.contains("origin fresh"), origin != Value::Null, "{said}");
    }
}

#[test]
fn a_start_is_told_from_before_the_process_was_made() {
    let host = Host::new();
    // what is hashed before it is told takes its time
    let padding = format!("#{}\n", "x".repeat(250_000));
    let names = ["a", "b", "c", "d"];
    for name in names {
        let script = format!("log \"{name} $(date +%s%N)\"; exit 0\n{padding}");
        host.script(format!("bin/{name}"), &script);
        host.file(
            format!("hooks.d/{name}.yaml"),
            format!("events: before_vm_prepare\ncommand: bin/{name}\nparallel: true\n"),
        );
    }
    host.guest("prepare begin").run().succeeds();
    let logged = host.log();
    let head = &log(&host, &[])[0];
    let record = show(&host, head["id"].as_str().unwrap());
    let began = host_time(head["began"].as_str().unwrap());
    for run in record["runs"].as_array().unwrap() {
        let name = run["hook"].as_str().unwrap().rsplit('/').next().unwrap();
        let line = logged.iter().find(|line| line.starts_with(name)).unwrap();
        let seen: u64 = line.split(' ').nth(1).unwrap().parse().unwrap();
        let start = began + (run["start_s"].as_f64().unwrap() * 1e6) as u64;
        assert!(start <= seen / 1000, "{name}: {start} is later than {seen}");
    }
}

/// Microseconds since 1970 of a time that is told.
fn host_time(text: &str) -> u64 {
    let output = Command::new("date").args(["-d", text, "+%s%6N"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

#[test]
fn a_failure_that_restore_left_for_prepare_is_told_in_both_records() {
    let host = Host::new();
    host.script("before_vm_dehibernate/10-x", "exit 4");
    host.guest("restore begin").run().succeeds();
    host.guest("prepare begin").run().fails(4, &[]);
    let all = log(&host, &["--failed"]);
    let of = |operation: &str| all.iter().find(|head| head["operation"] == operation).unwrap();
    assert_eq!((&of("restore")["status"], &of("prepare")["status"]), (&json!(0), &json!(4)));
    let said = host.text(&["show", of("prepare")["id"].as_str().unwrap()], 0);
    assert!(said.contains("the restore before this call had failed"), "{said}");
    let said = host.text(&["log", "--failed"], 0);
    assert!(said.contains("failed, libvirt not told"), "{said}");
}

#[test]
fn each_try_of_a_detached_hook_has_a_record_of_its_own() {
    let host = Host::new();
    host.script("bin/x", "echo try; test -e \"$T/ok\"");
    host.file(
        "hooks.d/x.yaml",
        "events: [after_vm_launch]\ncommand: bin/x\nmode: detached\nretries: 1\n",
    );
    host.guest("started begin").run().succeeds();
    let tries = || {
        let all = log(&host, &[]);
        all.into_iter().filter(|head| head["cause"] == "queue").collect::<Vec<_>>()
    };
    until("both tries are over", || {
        tries().iter().filter(|head| head["state"] != "running").count() == 2
    });
    let call = log(&host, &[]).into_iter().find(|head| head["cause"] == "libvirt").unwrap();
    let id = call["id"].as_str().unwrap();
    assert_eq!(call["runs"][0]["state"], "queued");
    assert!(tries().iter().all(|head| head["parent"] == *id && head["state"] == "failed"));
    let shown = show(&host, id);
    assert_eq!(shown["later"].as_array().unwrap().len(), 2);
    assert!(shown["runs"][0]["job"].as_str().unwrap().len() == 26);
    // what the worker did is done again as the call would
    fs::write(host.path("ok"), "").unwrap();
    let own = tries()[0]["id"].as_str().unwrap().to_owned();
    let retried = host.json(&["retry", &own], 0);
    assert_eq!(retried["runs"][0]["state"], "queued");
    until("it has run", || tries().iter().any(|head| head["state"] == "good"));
}

// --- what dies -----------------------------------------------------------------------------------

#[test]
fn a_killed_hookmux_leaves_an_execution_that_is_lost() {
    let host = Host::new();
    host.script("before_vm_start/10-x", "log $PPID; kill -KILL $PPID");
    let answer = host.guest("prepare begin").run();
    assert_eq!(answer.status, None, "{answer:?}");
    let lost = log(&host, &["--lost"]);
    assert_eq!(lost.len(), 1);
    assert_eq!((&lost[0]["state"], &lost[0]["status"]), (&json!("lost"), &Value::Null));
    let said = host.text(&["show", "last"], 0);
    assert!(
        said.contains("lost: hookmux died")
            && said.contains("before_vm_start/10-x: was planned to run"),
        "{said}"
    );
    assert_eq!(last(&host)["document"], GUEST, "its input is there");
    // and stays so when it is moved
    assert_eq!(host.json(&["prune"], 0)["lost"], 1);
    assert!(fs::read_dir(host.path("run/records/running")).unwrap().next().is_none());
    assert_eq!(log(&host, &["--lost"]).len(), 1);
    host.script("before_vm_start/10-x", "log again");
    host.text(&["retry", "last", "--force"], 0);
    assert!(host.log().contains(&"again".to_owned()));
}

#[test]
fn one_that_is_under_way_is_running() {
    let host = Host::new();
    host.script("before_vm_start/10-x", "log begun; sleep 60");
    let mut call = host.guest("prepare begin").start();
    call.until_logged("begun");
    assert_eq!(log(&host, &[])[0]["state"], "running");
    host.text(&["prune"], 0);
    assert_eq!(log(&host, &[])[0]["state"], "running", "and is left alone");
    assert!(host.text(&["retry", "last", "--force"], 1).contains("isn't over yet"));
    call.signal(nix::sys::signal::Signal::SIGTERM);
    call.wait();
    assert_eq!(log(&host, &[])[0]["status"], 143);
}

// --- where it can't be kept ----------------------------------------------------------------------

/// Mounts for a call whose runtime directory is like this; what was there is kept under it.
fn with_runtime_dir(host: &Host, how: &str) -> String {
    let run = host.path("run").display().to_string();
    fs::create_dir_all(host.path("run")).unwrap();
    match how {
        "full" => format!(
            "mount -t tmpfs -o size=64k,mode=700 tmpfs '{run}'\n\
             dd if=/dev/zero of='{run}/filler' bs=4k 2>/dev/null || true"
        ),
        "read-only" => format!("mount -t tmpfs -o ro,mode=700 tmpfs '{run}'"),
        _ => unreachable!(),
    }
}

#[test]
fn a_runtime_directory_that_takes_nothing_changes_no_outcome() {
    if !is_root() {
        return skip("only root can mount");
    }
    for how in ["full", "read-only", "no directory"] {
        let host = Host::new();
        host.script("before_vm_start/10-a", "log a");
        host.script("before_vm_start/20-b", "log b; exit 3");
        host.script("after_vm_launch/10-c", "log c");
        let took = |mounts: &str| {
            let answer = host.guest("prepare begin").with_mounts(mounts).run();
            answer.fails(3, &["20-b"]);
            answer.took
        };
        let usual = took("true");
        let mounts = match how {
            "no directory" => {
                until("nobody moves records", || {
                    let _ = fs::remove_dir_all(host.path("run"));
                    fs::write(host.path("run"), "").is_ok()
                });
                "true".to_owned()
            }
            how => with_runtime_dir(&host, how),
        };
        // a machine that does other things shows it in one of its calmer moments
        until("it costs little", || took(&mounts) < usual + Duration::from_millis(150));
        host.guest("started begin").with_mounts(&mounts).run().succeeds();
        assert_eq!(host.log().last().unwrap(), "c", "{how}");
    }
}

#[test]
fn what_has_no_room_is_counted_and_a_stripped_record_is_kept_first() {
    if !is_root() {
        return skip("only root can mount");
    }
    let host = Host::new();
    host.script("before_vm_start/10-a", "yes | head -c 200000");
    let run = host.path("run").display().to_string();
    fs::create_dir_all(host.path("run")).unwrap();
    // a file system that lives as long as the script does
    let script = format!(
        "mount -t tmpfs -o size=96k,mode=700 tmpfs '{run}'\n\
         '{hooks}/qemu' g prepare begin - <'{guest}' || exit 9\n\
         '{hookmux}' --hooks-dir '{hooks}' show last --output json >'{t}/stripped'\n\
         '{hookmux}' --hooks-dir '{hooks}' prune >/dev/null\n\
         dd if=/dev/zero of='{run}/filler' bs=4k 2>/dev/null\n\
         for i in 1 2 3; do '{hooks}/qemu' g prepare begin - <'{guest}' || exit 9; done\n\
         cat '{run}/records/dropped' >'{t}/dropped'\n\
         '{hookmux}' --hooks-dir '{hooks}' log --output json >'{t}/kept'",
        hooks = host.hooks().display(),
        hookmux = binary_under_test().display(),
        guest = host.path("guest.xml").display(),
        t = host.directory().display(),
    );
    fs::write(host.path("guest.xml"), GUEST).unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", &script])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let stripped = schema::read(&["show"], &host.read("stripped"));
    assert_eq!((&stripped["state"], &stripped["status"]), (&json!("good"), &json!(0)));
    assert!(stripped["left_out"].as_str().unwrap().contains("no room"), "{stripped}");
    assert_eq!(stripped["runs"][0]["state"], "good");
    let dropped: Value = serde_json::from_slice(&host.read("dropped")).unwrap();
    let dropped = dropped["records"].as_u64().unwrap();
    assert!(dropped > 0);
    let kept = schema::read(&["log"], &host.read("kept"));
    let kept = kept["executions"].as_array().unwrap().len() as u64;
    assert_eq!(kept + dropped, 1 + 3, "each is kept or counted");
}

#[test]
fn a_state_directory_that_takes_nothing_leaves_records_where_they_are() {
    let host = Host::new();
    host.script("before_vm_start/10-a", ":");
    fs::write(host.path("file"), "").unwrap();
    host.raw_settings(&host.private_settings().replace(
        &host.path("state").display().to_string(),
        &host.path("file/state").display().to_string(),
    ));
    host.guest("prepare begin").run().succeeds();
    assert_eq!(log(&host, &[]).len(), 1);
    let said = host.text(&["prune"], 1);
    assert!(said.contains("they can't be moved to"), "{said}");
    assert_eq!(log(&host, &[]).len(), 1);
}

// --- where it goes -------------------------------------------------------------------------------

#[test]
fn records_are_moved_without_anybody_asking() {
    let host = Host::new();
    host.script("before_vm_start/10-a", ":");
    host.guest("prepare begin").run().succeeds();
    let id = last(&host)["id"].as_str().unwrap().to_owned();
    until("it is moved", || host.path("state/records").join(&id[..6]).join(&id).exists());
    until("and only there", || {
        fs::read_dir(host.path("run/records/done")).unwrap().next().is_none()
    });
    assert_eq!(log(&host, &[]).len(), 1);
}

// O5
#[test]
fn what_is_old_or_too_much_is_removed() {
    let host = Host::new();
    host.settings("retention: {per_hook: 3, age: 30days, size: 100 MiB}");
    host.script("before_vm_start/10-a", ":");
    host.script("before_vm_launch/10-b", "exit 1");
    for _ in 0..5 {
        host.guest("prepare begin").run().succeeds();
        host.guest("start begin").run().fails(1, &[]);
    }
    let all = log(&host, &[]);
    assert_eq!(all.len(), 10);
    host.text(&["prune"], 0);
    let left: BTreeSet<String> =
        log(&host, &[]).iter().map(|head| head["id"].as_str().unwrap().to_owned()).collect();
    let good: Vec<&Value> = all.iter().filter(|head| head["state"] == "good").collect();
    assert!(good[..2].iter().all(|head| !left.contains(head["id"].as_str().unwrap())));
    // failures stay four times longer
    assert_eq!(left.len(), 8);
    host.settings("retention: {per_hook: 1000, age: 30days, size: 1}");
    host.text(&["prune"], 0);
    assert!(log(&host, &[]).is_empty());
}

#[test]
fn nothing_odd_in_the_directories_holds_anybody_up() {
    let host = Host::new();
    host.settings("retention: {per_hook: 2, age: 30days, size: 100 MiB}");
    host.script("before_vm_start/10-a", ":");
    host.guest("prepare begin").run().succeeds();
    let id = last(&host)["id"].as_str().unwrap().to_owned();
    host.text(&["prune"], 0);
    // a directory and a pipe with names of records, one that nobody can read, and one of the future
    let mut odd =
        "ABCD".chars().map(|letter| format!("{}{letter}", &id[..25])).filter(|odd| *odd != id);
    fs::create_dir(host.path("run/records/done").join(odd.next().unwrap())).unwrap();
    let group = host.path("state/records").join(&id[..6]);
    let pipe = group.join(odd.next().unwrap()).display().to_string();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let newer = group.join(odd.next().unwrap());
    fs::write(&newer, "{\"format\":2}\n{}\n").unwrap();
    let future = "7ZZZZZ0000000000000000000A";
    let record = fs::read(group.join(&id)).unwrap();
    fs::create_dir(host.path("state/records/7ZZZZZ")).unwrap();
    let record = String::from_utf8(record).unwrap().replace(&id, future);
    fs::write(host.path("state/records/7ZZZZZ").join(future), record).unwrap();
    // and pruning was last done by a clock that was wrong
    let pruned = fs::File::create(host.path("state/records/.pruned")).unwrap();
    pruned.set_modified(std::time::SystemTime::now() + Duration::from_secs(1_000_000)).unwrap();
    host.guest("prepare begin").run().succeeds();
    let ids = |host: &Host| -> BTreeSet<String> {
        log(host, &[]).iter().map(|head| head["id"].as_str().unwrap().to_owned()).collect()
    };
    let newest = ids(&host).into_iter().rfind(|id| id != future).unwrap();
    host.text(&["prune"], 0);
    let left = ids(&host);
    assert!(left.contains(&newest), "what is new stays: {left:?}");
    assert!(!left.contains(future), "and what is dated later doesn't push it out");
    assert!(newer.exists(), "nor is a newer version's removed by count");
    assert!(
        fs::read_dir(host.path("run/records/done"))
            .unwrap()
            .all(|entry| { entry.unwrap().file_name().len() != 26 })
    );
}

#[test]
fn executions_are_found_by_what_they_were() {
    let host = Host::new();
    host.script("before_vm_start/10-a", ":");
    host.script("after_vm_destroy/10-b", "exit 1");
    host.script("before_network_start/10-n", ":");
    host.guest("prepare begin").run().succeeds();
    host.call("qemu", ["other", "prepare", "begin", "-"]).stdin("").run();
    host.guest("release end").run();
    let network = "<hookData><network><name>lan</name></network></hookData>";
    host.call("network", ["lan", "start", "begin", "-"]).stdin(network).run().succeeds();
    for (filter, expected) in [
        (&["--guest", "g"][..], &["prepare", "release"][..]),
        (&["--guest", "3C8E1F52-9b0d-4a6e-8f57-2d41c6b7a901"], &["prepare", "release"]),
        (&["--object", "lan"], &["start"]),
        (&["--event", "before_vm_start"], &["prepare", "prepare"]),
        (&["--hook", "10-b"], &["release"]),
        (&["--hook", "after_vm_destroy/10-b"], &["release"]),
        (&["--driver", "network"], &["start"]),
        (&["--operation", "release"], &["release"]),
        (&["--failed"], &["release"]),
        (&["--lost"], &[]),
        (&["--since", "1h"], &["prepare", "prepare", "release", "start"]),
        (&["--until", "1h"], &[]),
        (&["--since", "yesterday", "--until", "now", "-n", "2"], &["release", "start"]),
    ] {
        let found = log(&host, filter);
        let operations: Vec<&str> =
            found.iter().map(|head| head["operation"].as_str().unwrap()).collect();
        assert_eq!(operations, expected, "{filter:?}");
    }
    assert!(host.text(&["log", "--since", "soon"], 2).contains("is not a time"));
    assert!(host.text(&["log", "--event", "before_vm_strat"], 2).contains("before_vm_start"));
    assert!(host.text(&["log", "--guest", "nobody"], 0).contains("No such execution"));
    assert!(host.text(&["show", "01ABCDEF"], 1).contains("there is no execution"));
    // a part of an id that only one has is enough
    let id = log(&host, &["--driver", "network"])[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(show(&host, &id[20..].to_lowercase())["id"], *id);
    assert_eq!(show(&host, &format!("…{}", &id[20..]))["id"], *id);
    assert!(host.text(&["show", &id[..2]], 1).contains("more than one"));
}

// O5: `onehook log` has other names for these
#[test]
fn options_of_opennebulas_log_are_taken() {
    let host = Host::new();
    host.script("after_vm_stop/10-bad", "exit 1").script("after_vm_stop/20-good", ":");
    host.guest("stopped end").run();
    let text = "events: after_vm_launch\ncommand: /bin/true\n";
    host.file("hooks.d/true.yaml", text);
    host.guest("started begin").run().succeeds();
    for (theirs, ours) in [
        (&["--error"][..], &["--failed"][..]),
        (&["--hook-id", "true"], &["--hook", "true"]),
        (&["--hook-id", "10-bad", "--error"], &["--hook", "10-bad", "--failed"]),
    ] {
        let found = log(&host, theirs);
        assert_eq!((found.len(), &found), (1, &log(&host, ours)), "{theirs:?}");
    }
    assert!(!host.text(&["log", "--help"], 0).contains("--hook-id"));
}

#[test]
fn an_empty_word_is_wrong_usage() {
    let host = Host::new();
    host.script("after_vm_stop/10-x", ":");
    host.guest("stopped end").run().succeeds();
    for words in [
        &["show", ""][..],
        &["show", "10-x", ""],
        &["retry", ""],
        &["retry", "last", "--hook", ""],
        &["log", "--guest", ""],
        &["log", "--hook", ""],
        &["log", "--event", ""],
        &["log", "--operation", ""],
        &["log", ""],
        &["watch", "--hook", ""],
    ] {
        let said = host.text(words, 2);
        assert!(said.contains("a value is required for"), "{words:?}: {said}");
    }
}

#[test]
fn show_draws_what_happened() {
    let host = Host::new();
    host.script("before_vm_migrate_destination/10-a", "sleep 0.2; echo said");
    host.script(
        "before_vm_migrate_destination/20-b",
        r#"sleep 0.2; sed -i 's/<devices>/<devices> /' "$_hook_domxml""#,
    );
    host.guest("migrate begin").run();
    let said = host.text(&["show", "last"], 0);
    let bars: Vec<&str> = said.lines().filter(|line| line.contains('━')).collect();
    assert_eq!(bars.len(), 2, "{said}");
    assert!(bars[0].find('━') < bars[1].find('━'), "{said}");
    assert!(bars[1].ends_with(" changed"), "{said}");
    for words in ["stdout: said", "-  <devices>", "+  <devices> "] {
        assert!(said.contains(words), "{words} is missing in\n{said}");
    }
    // what is rarely asked
    let all = host.text(&["show", "last", "--full"], 0);
    for words in
        ["uuid ", "class      gate, origin migration", "arguments  g migrate begin -", "sha256 "]
    {
        assert!(all.contains(words) && !said.contains(words), "{words}: {said}\n{all}");
    }
}

#[test]
fn limits_and_waits_are_recorded() {
    let host = Host::new();
    host.file("hooks.d/a.yaml", "events: before_vm_start\ncommand: /bin/true\ntimeout: 7s\n");
    // somebody else's
    fs::create_dir_all(host.path("run/locks")).unwrap();
    host.mode("run", 0o711).mode("run/locks", 0o700);
    let lock = fs::File::create(host.path("run/locks/gpu")).unwrap();
    let _held = Flock::lock(lock, FlockArg::LockExclusive).unwrap();
    let text =
        "events: before_vm_start\ncommand: /bin/true\ntimeout: 300ms\nlock: gpu\nweight: 200\n";
    host.file("hooks.d/b.yaml", text);
    host.guest("prepare begin").run().fails(124, &[]);
    let record = last(&host);
    let runs = record["runs"].as_array().unwrap();
    assert_eq!(runs[0]["limit_s"], 7.0);
    assert_eq!((&runs[1]["limit_s"], &runs[1]["start_s"]), (&Value::Null, &Value::Null));
    let wait = &record["waits"][0];
    assert_eq!(wait["hook"], "before_vm_start/b");
    assert_eq!((&wait["reason"], &wait["device"]), (&json!("the lock `gpu`"), &Value::Null));
    let waited = wait["duration_s"].as_f64().unwrap();
    assert!(waited >= 0.29 && wait["start_s"].as_f64().unwrap() > 0.0, "{wait}");
    assert_eq!(record["waits"].as_array().unwrap().len(), 1);
    let said = host.text(&["show", "last"], 0);
    let row = said.lines().find(|line| line.contains('░')).unwrap();
    assert!(row.contains("before_vm_start/b") && row.contains('┃') && row.ends_with("timed out"));
    assert!(said.contains(" for the lock `gpu`\n"), "{said}");
}

#[test]
fn an_attempt_says_how_long_its_job_waited() {
    let host = Host::new();
    host.script("bin/x", "exit 1");
    let text = "events: after_vm_launch\ncommand: bin/x\nmode: detached\nretries: 1\n";
    host.file("hooks.d/x.yaml", text);
    host.guest("started begin").run().succeeds();
    let tries = || {
        let all = log(&host, &[]);
        let is_over = |head: &Value| head["cause"] == "queue" && head["state"] != "running";
        all.into_iter().filter(is_over).collect::<Vec<_>>()
    };
    until("both tries are over", || tries().len() == 2);
    let waited = tries().into_iter().map(|head| {
        let shown = show(&host, head["id"].as_str().unwrap());
        shown["waited_in_queue_s"].as_f64().unwrap()
    });
    let waited: Vec<f64> = waited.collect();
    let began = |head: &Value| host_time(head["began"].as_str().unwrap()) as f64 / 1e6;
    let all = tries();
    // the second one since the end of the first one
    let between = began(&all[1]) - began(&all[0]) - all[0]["duration_s"].as_f64().unwrap();
    assert!((waited[1] - between).abs() < 0.01, "{waited:?} {between}");
    let said = host.text(&["show", all[1]["id"].as_str().unwrap()], 0);
    assert!(said.contains('░') && said.contains("for its turn in the queue"), "{said}");
    assert!(said.lines().any(|line| line.trim_start().starts_with("queued ")), "the scale: {said}");
    let call = log(&host, &[]).into_iter().find(|head| head["cause"] == "libvirt").unwrap();
    assert_eq!(show(&host, call["id"].as_str().unwrap())["waited_in_queue_s"], Value::Null);
}

// --- doing it again ------------------------------------------------------------------------------

// O6
#[test]
fn a_retry_runs_the_same_hooks_with_the_same_input() {
    let host = Host::new();
    let tell = r#"echo "$HOOKMUX_OBJECT $HOOKMUX_REASON $HOOKMUX_ORIGIN $HOOKMUX_DAEMON $PATH $HOME $(md5sum <"$_hook_domxml") $(md5sum <"$HOOKMUX_STARTED_XML")""#;
    host.script("after_vm_destroy/10-good", tell);
    host.script("after_vm_destroy/20-bad", &format!("{tell}; exit 5"));
    host.guest("started begin")
        .stdin(GUEST.replace("</name>", "</name><!-- a -->"))
        .run()
        .succeeds();
    host.guest("release end shutdown").env("PATH", "/usr/bin:/bin").env("HOME", "/somewhere").run();
    let first = last(&host);
    assert_eq!(first["state"], "failed");
    // mended, and others have come
    host.script("after_vm_destroy/20-bad", tell);
    host.script("after_vm_destroy/30-new", tell);
    let retried = host.json(&["retry", first["id"].as_str().unwrap()], 0);
    let second = show(&host, retried["id"].as_str().unwrap());
    assert_eq!((&second["cause"], &second["parent"]), (&json!("retry"), &first["id"]));
    assert_eq!(second["state"], "good");
    let said = |record: &Value| -> Vec<String> {
        let runs = record["runs"].as_array().unwrap();
        runs.iter().map(|run| run["stdout"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(said(&second), said(&first), "the same two, with the same of everything");
    assert!(
        said(&first)[0].contains("g shutdown unknown") && said(&first)[0].contains("/somewhere")
    );
    // and the first one says what came of it
    assert_eq!(show(&host, first["id"].as_str().unwrap())["later"][0]["id"], second["id"]);
    let one = host.json(&["retry", first["id"].as_str().unwrap(), "--hook", "20-bad"], 0);
    assert_eq!(one["runs"].as_array().unwrap().len(), 1);
    assert!(host.text(&["retry", "last", "--hook", "nothing"], 1).contains("did not run in"));
    fs::remove_file(host.hook("after_vm_destroy/20-bad")).unwrap();
    let rest = host.json(&["retry", first["id"].as_str().unwrap()], 1);
    assert_eq!(rest["missing"], json!(["after_vm_destroy/20-bad"]));
    assert_eq!(rest["runs"].as_array().unwrap().len(), 1);
}

#[test]
fn a_retry_runs_what_the_failure_kept_from_running() {
    let host = Host::new();
    host.script("after_vm_stop/10-a", "test -e \"$T/ok\" || exit 2; log a");
    host.follow(&["after_vm_stop/20-b"]);
    host.guest("stopped end").run().fails(2, &[]);
    assert!(host.log().is_empty());
    let said = host.text(&["show", "last"], 0);
    assert!(said.contains("20-b: not run: after_vm_stop/10-a stopped the call"), "{said}");
    fs::write(host.path("ok"), "").unwrap();
    host.text(&["retry", "last"], 0);
    assert_eq!(host.log(), ["a", "after_vm_stop/20-b"]);
}

#[test]
fn nobody_waits_for_a_gate_that_is_over() {
    let host = Host::new();
    host.script("before_vm_start/10-x", "log \"$HOOKMUX_ORIGIN\"");
    host.script("before_vm_migrate_destination/10-x", "log migrate");
    host.guest("prepare begin").run().succeeds();
    let said = host.text(&["retry", "last"], 1);
    assert!(said.contains("is a gate") && said.contains("--force"), "{said}");
    host.guest("migrate begin").run().succeeds();
    assert!(host.text(&["retry", "last"], 1).contains("may change the document"));
    assert_eq!(host.log(), ["fresh", "migrate"]);
    host.text(&["retry", "last", "--force"], 0);
    let prepare = log(&host, &["--operation", "prepare"])[0]["id"].as_str().unwrap().to_owned();
    host.text(&["retry", &prepare, "--force"], 0);
    assert_eq!(host.log(), ["migrate", "fresh"]);
    // what the migration left to be remembered is still there
    host.guest("started begin").run().succeeds();
    assert!(
        !host.path("run/pending").exists()
            || host.path("run/pending").read_dir().unwrap().next().is_none()
    );
}

// --- following -----------------------------------------------------------------------------------

/// A command that goes on, and its lines.
pub(crate) struct Following {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Following {
    pub(crate) fn start(host: &Host, words: &[&str]) -> Following {
        let mut command = Command::new(binary_under_test());
        command.arg("--hooks-dir").arg(host.hooks()).args(words);
        Following::of(command)
    }

    /// A command that follows, or that starts one that does.
    pub(crate) fn of(mut command: Command) -> Following {
        // what it starts ends with it
        command.process_group(0).stdout(Stdio::piped());
        let mut child = {
            let _writing = writing();
            command.spawn().unwrap()
        };
        let out = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            out.lines().map_while(Result::ok).for_each(|line| drop(send.send(line)));
        });
        let group = child.id().to_string();
        until("it watches", || {
            let processes = fs::read_dir("/proc").unwrap().flatten();
            processes.map(|entry| entry.path()).any(|process| is_watching(&process, &group))
        });
        // what is over by then is known a moment later
        std::thread::sleep(Duration::from_millis(500));
        Following { child, lines }
    }

    #[track_caller]
    pub(crate) fn next(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(20)).expect("nothing came")
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.lines.recv_timeout(Duration::from_millis(1500)).is_err()
    }
}

/// Whether a process of a group has something of inotify's open.
fn is_watching(process: &Path, group: &str) -> bool {
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default();
    if fields.split(' ').nth(2) != Some(group) {
        return false;
    }
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    descriptors
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|target| target.as_os_str() == "anon_inode:inotify")
}

impl Drop for Following {
    fn drop(&mut self) {
        let group = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

#[test]
fn watch_tells_each_execution_once_when_it_is_over() {
    let host = Host::new();
    host.script("before_vm_start/10-x", "sleep 0.1");
    host.script("after_vm_launch/10-x", ":");
    host.guest("prepare begin").run().succeeds();
    let watch = Following::start(&host, &["watch", "--done", "--output", "json"]);
    let failed = Following::start(&host, &["watch", "--failed"]);
    for _ in 0..3 {
        host.guest("prepare begin").run().succeeds();
        host.guest("started begin").run().succeeds();
    }
    let mut ids = BTreeSet::new();
    for operation in ["prepare", "started", "prepare", "started", "prepare", "started"] {
        let head = schema::read(&["watch"], watch.next().as_bytes());
        assert_eq!((&head["operation"], &head["state"]), (&json!(operation), &json!("good")));
        ids.insert(head["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), 6);
    // also when they are moved, and when the directory is another one
    host.text(&["prune"], 0);
    assert!(watch.is_quiet());
    // a mover may still be at work there
    until("the records are gone", || fs::remove_dir_all(host.path("run/records")).is_ok());
    host.guest("started begin").run().succeeds();
    let head = schema::read(&["watch"], watch.next().as_bytes());
    assert_eq!(head["operation"], "started");
    host.script("after_vm_launch/10-x", "exit 1");
    host.guest("started begin").run().succeeds();
    assert!(failed.next().starts_with("TIME "));
    assert!(failed.next().contains("failed, libvirt not told"));
}

/// What no name may bring to a terminal: an end of line, and what can't be seen there.
const UNSEEN: &str =
    "g\n2030-01-01\u{9b}31m\u{ad}\u{61c}\u{200b}\u{202e}\u{feff}\u{fff9}\u{e0041}\x1b";

fn is_seen(text: &str) -> bool {
    let unseen = UNSEEN.chars().filter(|c| *c != '\n' && !c.is_ascii_graphic());
    !unseen.into_iter().any(|c| text.contains(c))
}

#[test]
fn names_stay_on_their_line_and_steer_no_terminal() {
    let host = Host::new();
    host.script("before_vm_start/10-x", r#"printf '%s' "$HOOKMUX_OBJECT" >&2; exit 1"#);
    let watches = [&["watch", "--done"][..], &["watch", "--done", "--output", "json"]]
        .map(|words| Following::start(&host, words));
    let answer = host.call("qemu", [UNSEEN, "prepare", "begin", "-"]).run();
    assert!(is_seen(&answer.fails(1, &["before_vm_start/10-x"]).stderr), "{answer:?}");
    let [text, json] = watches.map(|watch| {
        let mut line = watch.next();
        if line.starts_with("TIME") {
            line = watch.next();
        }
        assert!(watch.is_quiet(), "one line");
        line
    });
    assert!(text.contains("g\\n2030-01-01\\u{9b}") && is_seen(&text), "{text}");
    assert!(is_seen(&json), "{json}");
    assert_eq!(schema::read(&["watch"], json.as_bytes())["object"], UNSEEN);
    for words in [
        &["log"][..],
        &["show", "last"],
        &["plan", "qemu", UNSEEN, "prepare"],
        &["run", "qemu", UNSEEN, "prepare"],
        &["metrics"],
    ] {
        let output = host.hookmux(words);
        let text =
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert!(is_seen(&text) && !text.contains("\n2030"), "{words:?}: {text}");
        if words != ["metrics"] {
            let output = host.hookmux(&[words, &["--output", "json"]].concat());
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(is_seen(&text), "{words:?}: {text}");
            assert!(text.contains("\\u009b"), "{words:?}: {text}");
        }
    }
}

#[test]
fn log_goes_on_with_what_comes() {
    let host = Host::new();
    host.script("before_vm_start/10-x", ":");
    for _ in 0..3 {
        host.guest("prepare begin").run().succeeds();
    }
    let follow = Following::start(&host, &["log", "-f", "-n", "2"]);
    assert!(follow.next().starts_with("TIME "));
    for _ in 0..2 {
        assert!(follow.next().contains("  qemu prepare      g "));
    }
    host.guest("prepare begin").run().succeeds();
    assert!(follow.next().contains("good"));
    assert!(follow.is_quiet());
}

// --- counting ------------------------------------------------------------------------------------

fn metric(text: &str, name: &str) -> Option<f64> {
    let line = text
        .lines()
        .find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn metrics_count_what_happened_moved_or_not() {
    let host = Host::new();
    host.settings("retention: {per_hook: 1, age: 1h, size: 1}");
    host.script("before_vm_start/10-x", "test ! -e \"$T/bad\"");
    host.guest("prepare begin").run().succeeds();
    fs::write(host.path("bad"), "").unwrap();
    host.guest("prepare begin").run().fails(1, &[]);
    let good = r#"hookmux_executions_total{driver="qemu",operation="prepare",outcome="success"}"#;
    let bad = r#"hookmux_hook_runs_total{driver="qemu",event="before_vm_start",outcome="failure"}"#;
    let count = r#"hookmux_hook_run_duration_seconds_count{driver="qemu",event="before_vm_start"}"#;
    for _ in 0..2 {
        let text = host.text(&["metrics"], 0);
        assert_eq!(metric(&text, good), Some(1.0), "{text}");
        assert_eq!(metric(&text, bad), Some(1.0));
        assert_eq!(metric(&text, count), Some(2.0));
        let last =
            r#"hookmux_last_failure_timestamp_seconds{driver="qemu",event="before_vm_start"}"#;
        assert!(metric(&text, last).unwrap() > 1e9);
        for name in ["hookmux_queue_jobs", "hookmux_records_dropped_total", "hookmux_bypass_active"]
        {
            assert_eq!(metric(&text, name), Some(0.0), "{name}");
        }
        // every series has its type, and every line its form
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let family = name.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| family.strip_suffix(end))
                .unwrap_or(family);
            assert!(text.contains(&format!("# TYPE {family} ")), "{family}");
        }
        // what retention removes has been counted
        host.text(&["prune"], 0);
        assert!(log(&host, &[]).is_empty());
    }
}

// --- the emergency switch ------------------------------------------------------------------------

#[test]
fn the_emergency_switch_passes_over_all_hooks_and_everybody_is_told() {
    let host = Host::new();
    host.follow(&["before_vm_start/10-x", "qemu.d/g/prepare/begin/x", "qemu.adopted"]);
    host.script("before_vm_start/20-bad", "exit 1");
    host.guest("prepare begin").run().fails(1, &[]);
    host.log();
    let said = host.text(&["bypass", "on", "--for", "1h"], 0);
    assert!(said.contains("THE EMERGENCY SWITCH IS ON") && said.contains("until"), "{said}");
    host.guest("prepare begin").run().succeeds();
    assert!(host.log().is_empty());
    let record = last(&host);
    assert_eq!((&record["state"], &record["status"]), (&json!("bypassed"), &json!(0)));
    for command in [&["list"][..], &["log"], &["events"], &["metrics"], &["queue"]] {
        let output = host.hookmux(command);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(err.contains("THE EMERGENCY SWITCH IS ON"), "{command:?}: {err}");
    }
    assert_eq!(metric(&host.text(&["metrics"], 0), "hookmux_bypass_active"), Some(1.0));
    // whatever is wrong with the settings
    let settings = host.read("hooks/hookmux.yaml");
    fs::write(host.hook("hookmux.yaml"), [&settings[..], b"broken: [\n"].concat()).unwrap();
    host.guest("prepare begin").run().succeeds();
    fs::write(host.hook("hookmux.yaml"), settings).unwrap();
    assert!(host.text(&["bypass", "off"], 0).contains("hooks run"));
    // longer than numbers go
    let told = host.text(&["bypass", "on", "--for", "18446744073709551615s"], 2);
    assert!(told.contains("30 days at most"), "{told}");
    host.guest("prepare begin").run().fails(1, &[]);
}

#[test]
fn it_may_be_for_one_guest_and_ends_by_itself() {
    let host = Host::new();
    host.script("before_vm_start/10-bad", "exit 1");
    host.text(&["bypass", "on", "--guest", "g", "--for", "6s"], 0);
    host.guest("prepare begin").run().succeeds();
    host.call("qemu", ["h", "prepare", "begin", "-"]).stdin("").run().fails(1, &[]);
    let entries = host.json(&["bypass"], 0);
    assert_eq!(entries["bypasses"][0]["object"], "g");
    until("it is over", || host.json(&["bypass"], 0)["bypasses"].as_array().unwrap().is_empty());
    host.guest("prepare begin").run().fails(1, &[]);
    // one that others could have made switches nothing off
    host.text(&["bypass", "on", "--yes"], 0);
    host.mode("hooks/hookmux.bypass", 0o666);
    host.guest("prepare begin").run().fails(1, &[]);
    assert!(host.text(&["bypass"], 1).contains("is ignored"));
    assert!(host.text(&["list"], 0).contains("is ignored"));
}

#[test]
fn what_would_switch_off_nothing_is_refused() {
    let host = Host::new();
    for (words, status, said) in [
        (&["on", "--guest", "3c8e1f52-9b0d-4a6e-8f57-2d41c6b7a901"][..], 2, "takes a name"),
        (&["on", "--guest", ""], 2, "needs a name"),
        (&["on", "--for", "0"], 2, "a second at least"),
        (&["off", "--for", "1h"], 2, "belongs to"),
        (&["off", "--guest", "nobody"], 0, "nothing was switched off for nobody"),
    ] {
        let words = [&["bypass"], words].concat();
        let text = host.text(&words, status);
        assert!(text.contains(said), "{words:?}: {text}");
    }
    // a hooks directory that others may write to
    host.mode("hooks", 0o777);
    let text = host.text(&["bypass", "on", "--yes"], 1);
    assert!(text.contains("is ignored") && text.contains("chmod go-w"), "{text}");
    host.mode("hooks", 0o755);
    host.text(&["bypass", "off"], 0);
}

#[test]
fn it_says_who_and_why_and_has_a_bound() {
    let host = Host::new();
    host.script("before_vm_start/10-bad", "exit 1");
    let long = "x".repeat(501);
    for (words, said) in [
        (&["on", "--for", "31d"][..], "30 days at most"),
        (&["on", "--for", "1h", "--reason", " "], "--reason needs a text"),
        (&["on", "--for", "1h", "--reason", &long], "--reason needs a text"),
    ] {
        let text = host.text(&[&["bypass"], words].concat(), 2);
        assert!(text.contains(said), "{words:?}: {text}");
    }
    host.guest("prepare begin").run().fails(1, &[]);
    let said = host.text(&["bypass", "on", "--yes", "--reason", "ticket 4711"], 0);
    assert!(said.contains("ticket 4711") && said.contains(", by "), "{said}");
    host.guest("prepare begin").run().succeeds();
    let entry = host.json(&["bypass"], 0)["bypasses"][0].clone();
    assert_eq!(entry["reason"], "ticket 4711");
    assert!(!entry["user"].as_str().unwrap().is_empty(), "{entry:#}");
    // without --for it is bound all the same
    let file: Value = serde_json::from_slice(&host.read("hooks/hookmux.bypass")).unwrap();
    let entry = &file["entries"][0];
    let seconds = entry["until"].as_u64().unwrap() - entry["since"].as_u64().unwrap();
    assert_eq!((seconds, &file["format"]), (30 * 24 * 3600, &json!(2)));
    host.text(&["bypass", "on", "--for", "30d"], 0);
}

#[test]
fn it_may_be_for_this_boot_only() {
    let host = Host::new();
    host.script("before_vm_start/10-bad", "exit 1");
    for (words, status, said) in [
        (&["off", "--this-boot"][..], 2, "belongs to"),
        (&["on", "--this-boot", "--for", "1h", "--yes"], 2, "--for"),
        (&["on", "--this-boot"], 2, "until the host is restarted"),
    ] {
        let text = host.text(&[&["bypass"], words].concat(), status);
        assert!(text.contains(said), "{words:?}: {text}");
    }
    host.guest("prepare begin").run().fails(1, &[]);
    let said = host.text(&["bypass", "on", "--this-boot", "--yes"], 0);
    assert!(said.contains("until the next boot or `hookmux"), "{said}");
    host.guest("prepare begin").run().succeeds();
    let entry = host.json(&["bypass"], 0)["bypasses"][0].clone();
    assert_eq!((&entry["this_boot"], &entry["until"]), (&json!(true), &Value::Null), "{entry:#}");

    // the next boot
    let file = String::from_utf8(host.read("hooks/hookmux.bypass")).unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let later = file.replace(boot.trim_end(), "3c8e1f52-9b0d-4a6e-8f57-2d41c6b7a901");
    assert_ne!(file, later);
    fs::write(host.hook("hookmux.bypass"), later).unwrap();
    host.guest("prepare begin").run().fails(1, &[]);
    assert!(host.text(&["bypass"], 0).contains("The emergency switch is off"));
    assert!(!host.text(&["list"], 0).contains("EMERGENCY"));

    // what is switched off for a time outlives the boot, and is replaced by neither
    host.text(&["bypass", "on", "--for", "1h"], 0);
    host.text(&["bypass", "on", "--this-boot", "--yes"], 0);
    host.text(&["bypass", "on", "--this-boot", "--yes"], 0);
    let entries = host.json(&["bypass"], 0)["bypasses"].clone();
    let boots: Vec<&Value> =
        entries.as_array().unwrap().iter().map(|one| &one["this_boot"]).collect();
    assert_eq!(boots, [&json!(false), &json!(true)], "{entries:#}");
    host.text(&["bypass", "off"], 0);
    host.guest("prepare begin").run().fails(1, &[]);
}

#[test]
fn a_word_on_the_kernels_command_line_switches_it_on_for_that_boot() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd");
    let unit = fs::read_to_string(directory.join("hookmux-bypass.service")).unwrap();
    let is_there = |line: &str| unit.lines().any(|one| one == line);
    assert!(is_there("ConditionKernelCommandLine=hookmux.bypass"), "{unit}");
    assert!(is_there("WantedBy=multi-user.target") && is_there("RemainAfterExit=yes"), "{unit}");
    let before: Vec<&str> = unit.lines().filter_map(|line| line.strip_prefix("Before=")).collect();
    let before: Vec<&str> = before.iter().flat_map(|line| line.split(' ')).collect();
    for daemon in ["libvirtd", "virtqemud", "virtlxcd", "virtxend", "virtnetworkd"] {
        assert!(before.contains(&&*format!("{daemon}.service")), "{daemon}: {unit}");
    }
    // what it starts does that, and asks nothing
    let host = Host::new();
    host.script("before_vm_start/10-bad", "exit 1");
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/sbin/hookmux "));
    let words = shell_words(line.unwrap());
    let said = host.text(&words.iter().map(String::as_str).collect::<Vec<_>>(), 0);
    assert!(said.contains("no hook runs for any call of this host"), "{said}");
    assert!(said.contains("until the next boot") && said.contains("command line"), "{said}");
    host.guest("prepare begin").run().succeeds();
}

/// Parts a line of words, some of them in double quotes.
fn shell_words(line: &str) -> Vec<String> {
    let parts = line.split('"').enumerate();
    let words = parts.flat_map(|(at, part)| match at % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect(),
        _ => vec![part.to_owned()],
    });
    words.collect()
}

/// Runs a command that an output proposes in backquotes, as a person would paste it.
fn paste(host: &Host, text: &str, contains: &str) -> std::process::Output {
    let mut quoted = text.split('`').skip(1).step_by(2);
    let line = quoted.find(|line| line.contains(contains)).unwrap_or_else(|| panic!("{text}"));
    let bin = host.path("path");
    if !bin.exists() {
        fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(binary_under_test(), bin.join("hookmux")).unwrap();
    }
    let output = Command::new("/bin/sh")
        .args(["-c", line])
        .current_dir(host.directory())
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!host.path("pwned").exists(), "{line}");
    output
}

#[test]
fn what_is_proposed_can_be_pasted() {
    let host = Host::new();
    host.script("before_vm_start/10-bad", "log ran; exit 1");
    for guest in ["it's", "a b", "z';touch pwned;'", "$(touch pwned)", "-rf", "--help"] {
        let guest = format!("--guest={guest}");
        let said = host.text(&["bypass", "on", "--for", "1h", &guest], 0);
        let output = paste(&host, &said, "bypass off");
        assert!(output.status.success(), "{said}: {output:?}");
        assert!(!host.hook("hookmux.bypass").exists(), "{said}");
    }
    // the hint after a gate that failed is none that is refused
    host.guest("prepare begin").run().fails(1, &[]);
    host.log();
    let said = host.text(&["show", "last"], 0);
    let output = paste(&host, &said, "retry");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("is a gate"), "{output:?}");
    assert_eq!(host.log(), ["ran"]);
    // nor the one of a notification
    host.script("after_vm_stop/10-bad", "log ran; exit 1");
    host.guest("stopped end").run();
    host.log();
    let said = host.text(&["show", "--operation", "stopped"], 0);
    assert!(!said.contains("--force"), "{said}");
    paste(&host, &said, "retry");
    assert_eq!(host.log(), ["ran"]);
}

#[test]
fn what_loses_something_asks_first() {
    let host = Host::new();
    host.script("before_vm_start/10-bad", "exit 1");
    let job = host.path("state/queue/x.broken");
    fs::create_dir_all(job.parent().unwrap()).unwrap();
    host.mode("state/queue", 0o700);
    fs::write(&job, "{").unwrap();
    // nobody can be asked
    for words in [
        &["bypass", "on"][..],
        &["bypass", "on", "--guest", "g"],
        &["queue", "--flush"],
        &["uninstall", "--purge"],
    ] {
        let text = host.text(words, 2);
        assert!(text.contains("--yes answers") && text.contains("Nothing was done"), "{text}");
    }
    assert!(!host.hook("hookmux.bypass").exists() && job.exists());
    // on a terminal
    if !Path::new("/usr/bin/script").exists() {
        return skip("script (of bsdutils) is not installed");
    }
    for (answer, is_yes) in [("n\n", false), ("\n", false), ("y\n", true)] {
        for words in ["bypass on", "queue --flush", "uninstall --purge"] {
            let line = format!(
                "{} --hooks-dir {} {words}",
                binary_under_test().display(),
                host.hooks().display()
            );
            let mut child = Command::new("script")
                .args(["-qec", &line, "/dev/null"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.status.code(), Some(i32::from(!is_yes)), "{said}");
            assert!(said.contains("[y/N]"), "{said}");
        }
        assert_eq!(host.hook("hookmux.bypass").exists(), is_yes);
        assert_eq!(job.exists(), !is_yes);
        assert_eq!(host.path("state").exists(), !is_yes);
        assert_eq!(host.hook("qemu").exists(), !is_yes);
    }
}

#[test]
fn detached_hooks_wait_while_hooks_are_switched_off() {
    let host = Host::new();
    host.script("bin/x", "test -e \"$T/ok\" && log ran");
    host.file(
        "hooks.d/x.yaml",
        "events: [after_vm_launch]\ncommand: bin/x\nmode: detached\nretries: 100\n",
    );
    host.guest("started begin").run().succeeds();
    until("it was tried", || host.json(&["queue"], 0)["jobs"][0]["attempts"] == 1);
    host.text(&["bypass", "on", "--guest", "g", "--yes"], 0);
    // a try that had begun by then may still look
    until("it waits", || {
        let job = &host.json(&["queue"], 0)["jobs"][0];
        job["state"] != "runs" && job["last"] != json!(null)
    });
    fs::write(host.path("ok"), "").unwrap();
    std::thread::sleep(Duration::from_millis(2500));
    assert!(host.log().is_empty());
    host.text(&["bypass", "off"], 0);
    until("it has run", || host.read_text("log") == "ran\n");
}

#[test]
fn a_restore_that_failed_is_passed_over_too() {
    let host = Host::new();
    host.script("before_vm_dehibernate/10-bad", "exit 1");
    host.guest("restore begin").run().succeeds();
    host.text(&["bypass", "on", "--guest", "g", "--yes"], 0);
    host.guest("prepare begin").run().succeeds();
    host.text(&["bypass", "off", "--guest", "g"], 0);
    host.guest("prepare begin").run().succeeds();
}

#[test]
fn a_record_of_another_hooks_directory_says_so_and_is_not_retried_here() {
    let host = Host::new();
    let other = Host::new();
    other.raw_settings(&host.private_settings());
    for one in [&host, &other] {
        one.script("after_vm_stop/10-x", "exit 3");
        one.guest("stopped end").run().fails(3, &[]);
    }
    let theirs = other.hooks();
    let text = host.text(&["log"], 0);
    let marked: Vec<bool> =
        text.lines().skip(1).map(|line| line.contains(theirs.to_str().unwrap())).collect();
    assert_eq!(marked, [false, true], "{text}");
    let all = log(&host, &[]);
    let dirs: Vec<&Value> = all.iter().map(|head| &head["hooks_dir"]).collect();
    assert_eq!(dirs, [host.hooks().to_str().unwrap(), theirs.to_str().unwrap()]);
    assert!(host.text(&["show", "last"], 0).contains(theirs.to_str().unwrap()));
    let told = host.text(&["retry", "last"], 1);
    let command = told.trim().rsplit_once("; ").unwrap().1;
    assert!(command.starts_with("hookmux --hooks-dir "), "{told}");
}
