//! What lies in a directory that others could have changed is neither run, nor believed, nor
//! followed, nor written; and it is told.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use crate::support::{Host, is_root, skip, until};

const OTHER: u32 = 54321;
const NO_ROOT: &str = "only root can give a directory away";

/// Every file below a directory, with what it holds.
fn below(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut todo = vec![directory.to_path_buf()];
    while let Some(place) = todo.pop() {
        for entry in fs::read_dir(place).unwrap().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => todo.push(entry.path()),
                false => found.push((entry.path(), fs::read(entry.path()).unwrap_or_default())),
            }
        }
    }
    found.sort();
    found
}

/// Gives all that is below a directory away, and the directory itself.
fn give_away(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            give_away(&entry.path());
        } else {
            lchown(entry.path(), Some(OTHER), Some(OTHER)).unwrap();
        }
    }
    chown(directory, Some(OTHER), Some(OTHER)).unwrap();
}

fn detached(host: &Host) {
    host.script("bin/job", "log job");
    host.file("hooks.d/job.yaml", "events: [after_vm_launch]\ncommand: bin/job\nmode: detached\n");
}

/// A job of somebody's, as he would write it.
fn forge_job(host: &Host, queue: &Path) {
    let program = base64(b"/bin/sh");
    let script = format!("echo pwned >>'{}'", host.path("log").display());
    let words = [base64(b"sh"), base64(b"-c"), base64(script.as_bytes())];
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let job = serde_json::json!({
        "id": "01M8MJPXM6WJT1CN2QBC6973ZZ", "execution": "01M8MJPXM6WJT1CN2QBC6973ZY",
        "hook": "after_vm_launch/x", "event": "after_vm_launch", "driver": "qemu", "object": "g",
        "operation": "started", "uuid": null, "call_arguments": [], "registration": "x",
        "caller": {"pid": 1, "start": 1}, "path": program, "arguments": words, "environment": [],
        "stdin": null, "document": null, "started_document": null, "identity": null,
        "limits": {}, "nice": null, "timeout": null, "kill_leftovers": false, "lock": null,
        "max_parallel": null, "retries": 0, "queued_at": now, "not_before": 0, "attempts": 0,
        "run": null, "last": null,
    });
    fs::create_dir_all(queue).unwrap();
    fs::write(queue.join("01M8MJPXM6WJT1CN2QBC6973ZZ.json"), job.to_string()).unwrap();
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// What `check` says.
#[track_caller]
fn check(host: &Host, status: i32) -> String {
    let findings = host.json(&["check"], status)["findings"].as_array().unwrap().clone();
    findings.iter().map(|one| one["message"].as_str().unwrap().to_owned() + "\n").collect()
}

/// The words that tell of a refusal.
const OWNED: &str = "is owned by uid 54321";

#[test]
fn a_job_of_somebody_elses_never_runs() {
    if !is_root() {
        return skip(NO_ROOT);
    }
    // the forged job is one that would run
    let host = Host::new();
    fs::set_permissions(host.path("state"), fs::Permissions::from_mode(0o700)).unwrap();
    forge_job(&host, &host.path("state/queue"));
    host.text(&["queue", "--work"], 0);
    assert_eq!(host.log(), ["pwned"], "the test's own job is a good one");

    type Spoil = fn(&Host);
    let spoils: [(&str, Spoil); 5] = [
        ("state", |host| give_away(&host.path("state"))),
        ("state", |host| chown(host.path("state"), Some(OTHER), None).unwrap()),
        ("state", |host| {
            host.mode("state", 0o777);
        }),
        // one that was taken back, with what its owner left in it
        ("state/queue", |host| give_away(&host.path("state/queue"))),
        ("state/queue", |host| {
            fs::rename(host.path("state/queue"), host.path("theirs")).unwrap();
            symlink(host.path("theirs"), host.path("state/queue")).unwrap();
            lchown(host.path("state/queue"), Some(OTHER), None).unwrap();
        }),
    ];
    for (index, (place, spoil)) in spoils.into_iter().enumerate() {
        let host = Host::new();
        host.follow(&["after_vm_stop/10-x"]);
        forge_job(&host, &host.path("state/queue"));
        spoil(&host);
        let words = if index == 2 { "is writable by" } else { OWNED };
        let before = below(&host.path("state"));
        host.call("daemon", ["-", "start", "-", "start"]).run().succeeds();
        host.guest("stopped end").run().succeeds();
        assert_eq!(host.log(), ["after_vm_stop/10-x"], "{index}");
        for command in
            [&["queue"][..], &["queue", "--work"], &["worker"], &["queue", "--flush", "--yes"]]
        {
            let text = host.text(command, 1);
            assert!(text.contains(words) && text.contains(place), "{index} {command:?}: {text}");
            let fix = [("chmod go-w", index == 2), ("chown -h root", index == 4)];
            let fix = fix.iter().find(|(_, is_it)| *is_it).map_or("chown root", |(fix, _)| *fix);
            assert!(text.contains(fix), "{index} {command:?}: {text}");
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert_eq!(host.log(), [""; 0], "{index}");
        let after = below(&host.path("state"));
        let queue = |files: &[(PathBuf, Vec<u8>)]| -> Vec<PathBuf> {
            let of_queue =
                |(path, _): &&(PathBuf, Vec<u8>)| path.to_string_lossy().contains("/queue/");
            files.iter().filter(of_queue).map(|(path, _)| path.clone()).collect()
        };
        assert_eq!(queue(&before), queue(&after), "{index}: nothing is written there");
        let check = check(&host, 1);
        assert!(check.contains(words) && check.contains("not trusted, and refused"), "{check}");
    }
}

#[test]
fn with_a_runtime_directory_of_others_hooks_run_and_nothing_is_written() {
    if !is_root() {
        return skip(NO_ROOT);
    }
    let host = Host::new();
    host.script(
        "before_vm_start/10-x",
        r#"log "start $(grep -c '<name>g</name>' "$_hook_domxml")""#,
    );
    host.script("before_vm_prepare/10-x", "log prepare");
    host.script(
        "after_vm_launch/10-x",
        r#"log "launch $(grep -c '<name>g</name>' "$_hook_domxml")""#,
    );
    host.script("after_vm_stop/10-x", r#"log "stop ${HOOKMUX_STARTED_XML:-none}""#);
    // links of theirs, to where root alone may write
    fs::create_dir(host.path("roots")).unwrap();
    for name in ["guests", "pending", "data", "records", "locks", "daemons"] {
        symlink(host.path("roots"), host.path("run").join(name)).unwrap();
    }
    give_away(&host.path("run"));
    host.call("daemon", ["-", "start", "-", "start"]).run().succeeds();
    host.guest("prepare begin").run().succeeds();
    host.guest("started begin").run().succeeds();
    host.guest("reconnect begin").run().succeeds();
    host.guest("stopped end").run().succeeds();
    host.guest("release end").run().succeeds();
    assert_eq!(host.log(), ["prepare", "start 1", "launch 1", "stop none"]);
    assert_eq!(below(&host.path("roots")), [], "nothing is written through their links");
    assert_eq!(fs::read_dir(host.path("run")).unwrap().count(), 6);
    for command in [&["log"][..], &["show", "last"], &["retry", "last"], &["prune"], &["metrics"]] {
        let text = host.text(command, 1);
        assert!(text.contains(OWNED) && text.contains("chown root"), "{command:?}: {text}");
    }
    assert!(check(&host, 1).contains("what runtime_dir remembers is not trusted, and refused"));
}

#[test]
fn what_needs_a_directory_of_others_fails_at_a_gate_and_never_at_a_live_call() {
    if !is_root() {
        return skip(NO_ROOT);
    }
    for (place, key, name) in
        [("run", "lock: gpu", "can't be taken"), ("state", "mode: detached", "can't be queued")]
    {
        for on_failure in ["fail", "warn"] {
            let host = Host::new();
            host.script("bin/x", "log x");
            host.file(
                "hooks.d/x.yaml",
                format!(
                    "events: [before_vm_prepare, after_vm_launch]\ncommand: bin/x\n{key}\non_failure: {on_failure}\n"
                ),
            );
            give_away(&host.path(place));
            let answer = host.guest("prepare begin").run();
            let _ = match on_failure {
                "fail" => answer.fails(125, &["before_vm_prepare/x", name, OWNED, "chown root"]),
                _ => answer.succeeds(),
            };
            host.guest("started begin").run().succeeds();
            assert_eq!(host.log(), [""; 0], "{key}");
        }
    }
}

#[test]
fn a_failed_restore_goes_on_where_its_failure_cant_be_kept() {
    if !is_root() {
        return skip(NO_ROOT);
    }
    let host = Host::new();
    host.script("before_vm_dehibernate/10-x", "log restore; exit 3");
    give_away(&host.path("run"));
    host.guest("restore begin").run().succeeds();
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), ["restore"]);
}

#[test]
fn a_held_failure_that_others_wrote_shuts_no_gate() {
    if !is_root() {
        return skip(NO_ROOT);
    }
    let host = Host::new();
    host.script("before_vm_dehibernate/10-x", "exit 3");
    host.guest("restore begin").run().succeeds();
    give_away(&host.path("run"));
    host.guest("prepare begin").run().succeeds();
    chown(host.path("run"), Some(0), None).unwrap();
    host.guest("prepare begin").run().succeeds();
}

#[test]
fn a_record_that_others_wrote_is_not_retried() {
    if !is_root() {
        return skip(NO_ROOT);
    }
    type Spoil = fn(&Path, &Host);
    let spoils: [(&str, Spoil); 6] = [
        ("belongs to uid 54321", |path, _| chown(path, Some(OTHER), None).unwrap()),
        ("others may write to it", |path, _| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
        }),
        ("more than one name", |path, host| {
            fs::hard_link(path, host.path("second")).unwrap();
        }),
        ("it is a link", |path, host| {
            fs::rename(path, host.path("elsewhere")).unwrap();
            symlink(host.path("elsewhere"), path).unwrap();
        }),
        (OWNED, |path, _| chown(path.parent().unwrap(), Some(OTHER), None).unwrap()),
        ("not a regular file", |path, _| {
            fs::remove_file(path).unwrap();
            nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        }),
    ];
    for (words, spoil) in spoils {
        let host = Host::new();
        host.follow(&["after_vm_stop/10-x"]);
        host.guest("stopped end").run().succeeds();
        host.text(&["prune"], 0);
        let id = host.json(&["log"], 0)["executions"][0]["id"].as_str().unwrap().to_owned();
        host.log();
        let path = host.path(format!("state/records/{}/{id}", &id[..6]));
        spoil(&path, &host);
        for command in [&["retry", &id][..], &["show", &id]] {
            let text = host.text(command, 1);
            assert!(text.contains(words), "{command:?}: {text}");
        }
        assert_eq!(host.log(), [""; 0], "{words}: nothing is run");
        let check = check(&host, i32::from(words == OWNED));
        assert!(check.contains(words) && check.contains(&id[..6]), "{words}: {check}");
    }
    // a copy under another id
    let host = Host::new();
    host.follow(&["after_vm_stop/10-x"]);
    host.guest("stopped end").run().succeeds();
    host.text(&["prune"], 0);
    let id = host.json(&["log"], 0)["executions"][0]["id"].as_str().unwrap().to_owned();
    let other = format!("{}0", &id[..25]);
    let other = if other == id { format!("{}1", &id[..25]) } else { other };
    let group = host.path(format!("state/records/{}", &id[..6]));
    fs::copy(group.join(&id), group.join(&other)).unwrap();
    fs::set_permissions(group.join(&other), fs::Permissions::from_mode(0o600)).unwrap();
    let text = host.text(&["retry", &other], 1);
    assert!(text.contains("under another name"), "{text}");
}

#[test]
fn what_others_keep_as_the_last_good_settings_is_not_believed() {
    if !is_root() {
        return skip(NO_ROOT);
    }
    let host = Host::new();
    host.follow(&["before_vm_prepare/10-x"]);
    host.guest("prepare begin").run().succeeds();
    host.raw_settings(&format!("{}oops\n", host.private_settings()));
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log().len(), 2, "its last good copy is used");
    give_away(&host.path("state"));
    host.guest("prepare begin").run().fails(125, &["hookmux.yaml:"]);
    assert_eq!(host.log(), [""; 0]);
}

#[test]
fn what_is_no_directory_is_told_and_costs_no_guest() {
    type Make = fn(&Path);
    let kinds: [(&str, Make); 3] = [
        ("is not a directory", |path| fs::write(path, "").unwrap()),
        ("does not exist", |path| symlink("/nowhere/at/all", path).unwrap()),
        ("is not a directory", |path| {
            nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        }),
    ];
    for (words, make) in kinds {
        for place in ["state", "run"] {
            let host = Host::new();
            host.follow(&["before_vm_prepare/10-x", "after_vm_launch/10-x"]);
            fs::remove_dir(host.path(place)).unwrap();
            make(&host.path(place));
            host.guest("prepare begin").run().succeeds();
            host.guest("started begin").run().succeeds();
            assert_eq!(host.log().len(), 2, "{words} {place}");
            let metadata = fs::symlink_metadata(host.path(place)).unwrap();
            assert!(!metadata.is_dir(), "it is left as it is");
            let text = host.text(&["prune"], 1);
            assert!(text.contains(words), "{place}: {text}");
            let findings = host.json(&["check"], 1)["findings"].as_array().unwrap().clone();
            assert!(findings.iter().any(|one| one["code"] == "not-a-directory"), "{findings:?}");
        }
    }
}

#[test]
fn what_is_missing_is_made_for_us_alone() {
    let host = Host::new();
    host.raw_settings(&format!(
        "roots: []\nsession: true\nstate_dir: {0}/new/deep/state\nruntime_dir: {0}/new/run\n",
        host.path("").display()
    ));
    detached(&host);
    host.guest("started begin").run().succeeds();
    until("the job has run", || host.log() == ["job"]);
    host.text(&["prune"], 0);
    for (place, expected) in [
        ("new/deep/state", 0o711),
        ("new/deep/state/queue", 0o700),
        ("new/deep/state/records", 0o700),
        ("new/run", 0o711),
        ("new/run/records", 0o700),
    ] {
        let mode = fs::metadata(host.path(place)).unwrap().mode() & 0o777;
        assert_eq!(mode, expected, "{place}");
    }
    until("the queue is empty", || host.json(&["queue"], 0)["jobs"].as_array().unwrap().is_empty());
}

/// The way out that is told is one.
#[test]
fn a_directory_that_was_taken_back_is_used_again() {
    if !is_root() {
        return skip(NO_ROOT);
    }
    let host = Host::new();
    host.follow(&["before_vm_prepare/10-x"]);
    chown(host.path("state"), Some(OTHER), None).unwrap();
    let text = host.text(&["log"], 1);
    let command = text.rsplit("; ").next().unwrap().trim();
    assert!(command.starts_with("chown root /"), "{text}");
    let status = std::process::Command::new("/bin/sh").args(["-c", command]).status().unwrap();
    assert!(status.success());
    host.text(&["log"], 0);
}

#[test]
fn a_held_lock_file_of_others_is_none() {
    if !is_root() {
        return skip(NO_ROOT);
    }
    let host = Host::new();
    host.script("bin/x", "log x");
    host.file("hooks.d/x.yaml", "events: [before_vm_prepare]\ncommand: bin/x\nlock: gpu\n");
    fs::create_dir_all(host.path("run/locks")).unwrap();
    fs::set_permissions(host.path("run/locks"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(host.path("target"), "").unwrap();
    symlink(host.path("target"), host.path("run/locks/gpu")).unwrap();
    host.guest("prepare begin").run().fails(125, &["the lock `gpu` can't be taken: it is a link"]);
}
