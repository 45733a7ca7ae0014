//! Detached hooks: they begin after libvirt has its answer. (O4, O6, O8)

use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};

use crate::support::host::binary_under_test;
use crate::support::{GUEST, Host, is_alive, until};

fn detached(host: &Host, name: &str, script: &str, more: &str) {
    host.script(format!("bin/{name}"), script);
    host.file(
        format!("hooks.d/{name}.yaml"),
        format!("events: [after_vm_launch]\ncommand: bin/{name}\nmode: detached\n{more}\n"),
    );
}

fn jobs(host: &Host) -> Vec<serde_json::Value> {
    host.json(&["queue"], 0)["jobs"].as_array().unwrap().clone()
}

fn done(host: &Host) {
    until("the queue is empty", || jobs(host).is_empty());
}

#[test]
fn a_detached_hook_runs_after_the_answer_with_all_that_it_would_have_had() {
    let host = Host::new();
    // the call that queued it must be over: its process is the session leader's parent no more
    detached(
        &host,
        "x",
        r#"sleep 3; cmp "$_hook_domxml" "$T/guest.xml" && log "$HOOKMUX_EVENT $HOOKMUX_OBJECT $HOOKMUX_ORIGIN $1 $(cat)""#,
        "args: [$NAME]\nstdin: none",
    );
    fs::write(host.path("guest.xml"), GUEST).unwrap();
    let begun = Instant::now();
    host.guest("started begin").run().succeeds();
    assert!(begun.elapsed() < Duration::from_secs(3), "nobody waits: {:?}", begun.elapsed());
    assert!(host.log().is_empty());
    until("it has run", || !host.read_text("log").is_empty());
    assert_eq!(host.log(), ["after_vm_launch g unknown g "]);
    done(&host);
    assert!(fs::read_dir(host.path("run/data")).unwrap().next().is_none(), "its document is gone");
}

#[test]
fn the_document_of_started_outlives_the_guest_for_a_detached_hook() {
    let host = Host::new();
    host.script(
        "bin/x",
        r#"sleep 0.3; log "$(grep -c 'a bridge' "$HOOKMUX_STARTED_XML") $(grep -o "$HOOKMUX_STARTED_XML")""#,
    );
    host.file(
        "hooks.d/x.yaml",
        "events: [after_vm_destroy]\ncommand: bin/x\nmode: detached\nstdin: json\n",
    );
    host.guest("started begin")
        .stdin(GUEST.replace("</name>", "</name><!-- a bridge -->"))
        .run()
        .succeeds();
    host.guest("release end").run().succeeds();
    until("it has run", || !host.read_text("log").is_empty());
    let log = host.log();
    assert!(log[0].starts_with("1 /") && log[0].ends_with("document.xml"), "{log:?}");
    done(&host);
    assert!(fs::read_dir(host.path("run/data")).unwrap().next().is_none(), "and is removed");
}

#[test]
fn trying_a_detached_hook_says_that_it_is_queued() {
    let host = Host::new();
    detached(&host, "x", "log ran", "");
    let text = host.text(&["run", "qemu", "g", "started", "--xml", "guest.xml"], 0);
    assert!(text.contains("+ after_vm_launch/x: queued"), "{text}");
    until("it has run", || host.read_text("log") == "ran\n");
}

#[test]
fn jobs_of_one_guest_run_in_order_and_of_others_beside_them() {
    let host = Host::new();
    detached(
        &host,
        "x",
        r#"log "+$HOOKMUX_OBJECT$HOOKMUX_OPERATION"; sleep 0.3; log "-$HOOKMUX_OBJECT$HOOKMUX_OPERATION""#,
        "",
    );
    host.file("hooks.d/x.yaml", "calls: ['*/*/begin']\ncommand: bin/x\nmode: detached\n");
    let document = |name: &str| format!("<domain><name>{name}</name></domain>");
    for operation in ["prepare", "start", "started"] {
        for guest in ["a", "b"] {
            host.call("qemu", [guest, operation, "begin", "-"])
                .stdin(document(guest))
                .run()
                .succeeds();
        }
    }
    done(&host);
    let log = host.log();
    for guest in ["a", "b"] {
        let own: Vec<_> = log.iter().filter(|line| line[1..].starts_with(guest)).cloned().collect();
        let expected = ["prepare", "start", "started"]
            .map(|op| [format!("+{guest}{op}"), format!("-{guest}{op}")])
            .concat();
        assert_eq!(own, expected);
    }
    let beside = log.windows(2).any(|two| two[0].starts_with('+') && two[1].starts_with('+'));
    assert!(beside, "guests don't wait for each other: {log:?}");
}

// O4
#[test]
fn max_parallel_bounds_a_hook_and_all_of_them() {
    for (settings, more) in [("max_parallel: 1", ""), ("", "max_parallel: 1")] {
        let host = Host::new();
        host.settings(settings);
        detached(&host, "x", "log +; sleep 0.1; log -", more);
        for guest in ["a", "b", "c"] {
            host.call("qemu", [guest, "started", "begin", "-"]).stdin("").run().succeeds();
        }
        done(&host);
        assert_eq!(host.log(), ["+", "-", "+", "-", "+", "-"]);
    }
}

// O6, O8
#[test]
fn a_failure_is_tried_again_with_a_pause_and_given_up_in_the_end() {
    let host = Host::new();
    detached(&host, "x", r#"log "$HOOKMUX_RUN"; test -e "$T/ok""#, "retries: 1");
    host.guest("started begin").run().succeeds();
    until("it was tried", || jobs(&host).iter().any(|job| job["last"] != serde_json::Value::Null));
    fs::write(host.path("ok"), "").unwrap();
    done(&host);
    let log = host.log();
    assert_eq!(log.len(), 2, "{log:?}");
    assert!(log[0].ends_with("-1") && log[1].ends_with("-2"), "{log:?}");
    fs::remove_file(host.path("ok")).unwrap();
    host.guest("started begin").run().succeeds();
    done(&host);
    assert_eq!(host.log().len(), 2, "once, and once again");
    detached(&host, "x", "log x; exec sleep 60", "retries: 0\ntimeout: 1s");
    host.guest("started begin").run().succeeds();
    done(&host);
    assert_eq!(host.log(), ["x"]);
}

/// While it is tried again, that is said, with the reason; once it has succeeded, what failed before is no open failure.
#[test]
fn tries_that_failed_before_a_good_one_are_mended() {
    let host = Host::new();
    // at the first try, and until somebody has looked at the second
    let script = r#"until [ -e "$T/go$(cat "$T/tries")" ]; do sleep 0.05; done
        echo x >>"$T/tried"; [ -e "$T/works" ] || { echo 'dns is away' >&2; exit 1; }"#;
    fs::write(host.path("tries"), "1").unwrap();
    fs::write(host.path("go1"), "").unwrap();
    detached(&host, "x", script, "retries: 5");
    host.guest("started begin").run().succeeds();
    until("a try has failed", || !jobs(&host)[0]["last"].is_null());
    fs::write(host.path("tries"), "2").unwrap();
    let failed = || host.json(&["log", "--failed"], 0);
    until("its record is there", || !failed()["executions"].as_array().unwrap().is_empty());
    let job = &jobs(&host)[0];
    assert!(job["last"].as_str().unwrap().contains(": dns is away"), "{job:#}");
    let status = host.text(&["status"], 0);
    assert!(status.contains(": dns is away"), "{status}");
    let log = host.text(&["log"], 0);
    assert!(log.contains("good, but a detached hook failed; it is tried again"), "{log}");
    assert_eq!(failed()["mended"], serde_json::json!([]));
    fs::write(host.path("works"), "").unwrap();
    fs::write(host.path("go2"), "").unwrap();
    done(&host);
    let left = failed();
    assert_eq!(left["executions"], serde_json::json!([]), "{left:#}");
    let mended = left["mended"].as_array().unwrap().len();
    assert!(mended >= 1, "{left:#}");
    assert!(host.text(&["log"], 0).contains("; a later try …"));
    let all = host.json(&["log"], 0);
    let all = all["executions"].as_array().unwrap();
    let last = all.last().unwrap();
    let by: Vec<_> = all.iter().filter(|one| !one["mended_by"].is_null()).collect();
    assert_eq!(by.len(), mended, "{all:#?}");
    assert!(by.iter().all(|one| one["mended_by"] == last["id"]), "{by:#?}");
    assert!(!host.text(&["log"], 0).contains("detached hook failed"));
}

#[test]
fn a_worker_that_dies_leaves_nothing_behind_and_loses_nothing() {
    let host = Host::new();
    detached(
        &host,
        "x",
        r#"log "$HOOKMUX_RUN $$"; test -e "$T/ok" || exec sleep 600"#,
        "timeout: 0",
    );
    host.guest("started begin").run().succeeds();
    until("it runs", || host.read_text("log").contains(' '));
    let first = host.log().remove(0);
    let pid: i32 = first.split(' ').nth(1).unwrap().parse().unwrap();
    let worker: i32 = fs::read_to_string(format!("/proc/{pid}/stat"))
        .unwrap()
        .rsplit(") ")
        .next()
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(worker), nix::sys::signal::Signal::SIGKILL)
        .unwrap();
    until("the worker is gone", || !is_alive(worker));
    assert!(is_alive(pid), "its hook goes on");
    fs::write(host.path("ok"), "").unwrap();
    // the daemon's next start takes up what is left
    host.call("daemon", ["-", "start", "-", "start"]).stdin("").run().succeeds();
    done(&host);
    assert!(!is_alive(pid), "the run that is repeated was ended first");
    assert_eq!(host.log().len(), 1);
}

#[test]
fn a_job_that_is_torn_or_foreign_holds_nobody_up() {
    let host = Host::new();
    detached(&host, "x", "log x", "");
    fs::create_dir(host.path("state/queue")).unwrap();
    fs::write(host.path("state/queue/00000000000000000000000000.json"), "{").unwrap();
    host.guest("started begin").run().succeeds();
    until("it has run", || !host.read_text("log").is_empty());
    done(&host);
}

#[test]
fn the_queue_is_shown_and_flushed() {
    let host = Host::new();
    detached(&host, "x", "exit 1", "retries: 9");
    host.guest("started begin").run().succeeds();
    until("it was tried", || {
        jobs(&host).iter().any(|job| job["attempts"].as_u64() > Some(0) && job["state"] != "runs")
    });
    let text = String::from_utf8(host.hookmux(&["queue"]).stdout).unwrap();
    assert!(text.contains("after_vm_launch/x") && text.contains("exit status 1"), "{text}");
    until("a job waits, and is removed", || {
        String::from_utf8(host.hookmux(&["queue", "--flush", "--yes"]).stdout)
            .unwrap()
            .contains("1 job removed")
    });
    done(&host);
}

#[test]
fn a_detached_hook_that_cannot_be_queued_has_failed() {
    let host = Host::new();
    detached(&host, "x", "log x", "");
    host.file(
        "hooks.d/x.yaml",
        "events: [before_vm_start, after_vm_launch]\ncommand: bin/x\nmode: detached\n",
    );
    fs::write(host.path("state/queue"), "in the way").unwrap();
    host.guest("prepare begin").run().fails(125, &["before_vm_start/x: can't be queued: "]);
    host.guest("started begin").run().succeeds();
}

#[test]
fn a_hook_is_trusted_when_it_runs_and_not_only_when_it_was_queued() {
    let host = Host::new();
    detached(&host, "x", "test -e \"$T/ok\" && log ran; exit 1", "retries: 2");
    host.guest("started begin").run().succeeds();
    until("it was tried", || jobs(&host).iter().any(|job| job["last"] != serde_json::Value::Null));
    host.mode("hooks/bin/x", 0o777);
    fs::write(host.path("ok"), "").unwrap();
    done(&host);
    assert!(host.log().is_empty(), "others can write it by now");
}

/// A worker of the host's queue, ended when it is dropped.
struct Worker(std::process::Child);

impl Worker {
    fn start(host: &Host) -> Worker {
        Worker(
            Command::new(binary_under_test())
                .arg("--hooks-dir")
                .arg(host.hooks())
                .args(["queue", "--work"])
                .stdin(std::process::Stdio::null())
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap(),
        )
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.0.id() as i32), signal).unwrap();
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Leaves jobs in the queue that nobody works on. The place of the worker that waits for another one is
/// taken meanwhile: the workers that calls start end at once and run nothing.
fn queue_quietly(host: &Host, calls: usize) {
    let queue = host.path("state/queue");
    fs::create_dir_all(&queue).unwrap();
    for directory in [host.path("state"), queue.clone()] {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let place = fs::File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .open(queue.join(".waiting"))
        .unwrap();
    let place = Flock::lock(place, FlockArg::LockExclusive).unwrap();
    for _ in 0..calls {
        host.guest("started begin").run().succeeds();
    }
    // the workers, and the movers that would start another one; a process has no words for a moment
    // while it becomes another program
    let pattern = format!("--hooks-dir {} ", host.hooks().display());
    let mut looks = 0;
    until("nobody works", || {
        let _ = Command::new("pkill").args(["-KILL", "-f", "--", &pattern]).status();
        let is_there =
            Command::new("pgrep").args(["-f", "--", &pattern]).status().unwrap().success();
        looks = if is_there { 0 } else { looks + 1 };
        looks == 5
    });
    drop(place);
}

#[test]
fn a_worker_that_is_told_to_end_starts_nothing_more() {
    let host = Host::new();
    detached(&host, "x", "log start; sleep 30; log end", "retries: 3");
    queue_quietly(&host, 2);
    until("both wait", || jobs(&host).len() == 2);
    let mut worker = Worker::start(&host);
    until("one runs", || !host.read_text("log").is_empty());
    worker.signal(nix::sys::signal::Signal::SIGTERM);
    until("it has ended", || worker.has_ended());
    assert_eq!(host.log(), ["start"], "and nothing was started again");
    assert_eq!(jobs(&host).len(), 2, "both are the next worker's");
}

#[test]
fn a_worker_that_waits_can_be_ended() {
    let host = Host::new();
    detached(&host, "x", "log x; test -e \"$T/now\" || sleep 60; exit 1", "retries: 9");
    queue_quietly(&host, 1);
    until("it waits", || jobs(&host).len() == 1);
    fs::write(host.path("now"), "").unwrap();
    let mut first = Worker::start(&host);
    until("it pauses between tries", || {
        jobs(&host)[0]["last"].as_str().is_some_and(|last| last.starts_with("exit status"))
    });
    let mut second = Worker::start(&host);
    until("the second says that it waits", || {
        let mut said = [0; 128];
        let read = std::io::Read::read(second.0.stderr.as_mut().unwrap(), &mut said).unwrap();
        String::from_utf8_lossy(&said[..read]).contains("another worker is active")
    });
    second.signal(nix::sys::signal::Signal::SIGINT);
    until("the second has ended", || second.has_ended());
    first.signal(nix::sys::signal::Signal::SIGTERM);
    until("the first has ended", || first.has_ended());
}

#[test]
fn what_a_dead_worker_was_at_is_told_and_can_be_removed() {
    let host = Host::new();
    detached(&host, "x", "log x; sleep 60", "");
    detached(&host, "y", "log y; sleep 60", "");
    queue_quietly(&host, 1);
    until("both wait", || jobs(&host).len() == 2);
    let worker = Worker::start(&host);
    until("one runs", || !host.read_text("log").is_empty());
    drop(worker);
    until("it is told", || host.text(&["queue"], 0).contains("left by a worker that died"));
    assert!(jobs(&host).iter().all(|job| job["state"] != "runs"));
    let said = host.text(&["disable", "x"], 0);
    assert!(said.contains("queue --flush x"), "{said}");
    assert!(host.text(&["queue", "--flush", "x"], 0).contains("1 job removed"));
    assert_eq!(jobs(&host).len(), 1);
    assert!(host.text(&["queue", "--flush", "--yes"], 0).contains("1 job removed"));
    let pattern = host.directory().join("hooks/bin").display().to_string();
    let _ = Command::new("pkill").args(["-KILL", "-f", &pattern]).status();
}

#[test]
fn a_queue_that_cannot_be_written_is_told_once_and_not_tried_again_at_once() {
    let host = Host::new();
    if !crate::support::is_root() {
        return crate::support::skip("only root can mount");
    }
    detached(&host, "x", "log ran; sleep 60", "retries: 3");
    queue_quietly(&host, 1);
    until("it waits", || jobs(&host).len() == 1);
    let queue = host.path("state/queue").display().to_string();
    let script = format!(
        "mount --bind '{queue}' '{queue}' && mount -o remount,ro,bind '{queue}' && \
         timeout -s TERM 2 '{}' --hooks-dir '{}' queue --work; true",
        binary_under_test().display(),
        host.hooks().display()
    );
    let output = Command::new("unshare").args(["-m", "--", "sh", "-c", &script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(host.log().is_empty(), "what can't be noted isn't started");
}
