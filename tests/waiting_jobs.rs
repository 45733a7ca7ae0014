//! Jobs that wait: many of them, odd ones, those that kill their worker, and clocks that are set.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::fcntl::{Flock, FlockArg};
use serde_json::{Value, json};

use crate::support::host::binary_under_test;
use crate::support::{Host, is_root, until};

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn base64(text: impl AsRef<[u8]>) -> String {
    STANDARD.encode(text)
}

fn id(number: usize) -> String {
    format!("01M8MJPXM6WJT1CN2Q{number:08}")
}

/// A job of a guest, as 0.1.0 wrote it, that runs `bin/x` of the host with these arguments.
fn job(host: &Host, number: usize, guest: &str, arguments: &[&str]) -> Value {
    let program = host.hook("bin/x");
    let program = program.as_os_str().as_bytes();
    let arguments = arguments.iter().map(|argument| argument.as_bytes());
    let arguments: Vec<String> = std::iter::once(program).chain(arguments).map(base64).collect();
    let call = [guest, "started", "begin", "-"].map(base64);
    json!({
        "id": id(number), "execution": "01M8MJQS5PY2RQCEVCDJ4JJ11K", "hook": "after_vm_launch/x",
        "event": "after_vm_launch", "driver": "qemu", "object": guest, "operation": "started",
        "uuid": null,
        "call_arguments": call,
        "registration": "x", "caller": {"pid": 0, "start": 0}, "path": base64(program),
        "arguments": arguments,
        "environment": [base64("PATH=/usr/sbin:/usr/bin:/sbin:/bin"), base64(format!("HOOKMUX_OBJECT={guest}"))],
        "stdin": null, "document": base64("<domain/>"), "started_document": null,
        "identity": null, "limits": {}, "nice": null, "timeout": {"secs": 120, "nanos": 0},
        "kill_leftovers": false, "lock": null, "max_parallel": null, "retries": 3,
        "queued_at": now(), "not_before": 0, "attempts": 0, "run": null, "last": null,
    })
}

fn queue(host: &Host) -> PathBuf {
    let queue = host.path("state/queue");
    if !queue.exists() {
        fs::create_dir(&queue).unwrap();
        host.mode("state/queue", 0o700);
    }
    queue
}

fn head_path(host: &Host, number: usize) -> PathBuf {
    queue(host).join(format!("{}.json", id(number)))
}

fn put(host: &Host, number: usize, job: &Value) -> PathBuf {
    let path = head_path(host, number);
    write(&path, job.to_string());
    path
}

fn write(path: &PathBuf, text: impl AsRef<[u8]>) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Changes the head of a job in place.
fn change(path: &PathBuf, change: impl FnOnce(&mut Value)) {
    let mut head: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut head);
    write(path, head.to_string());
}

/// Keeps workers from working while it lives.
struct Quiet {
    _locks: Vec<Flock<File>>,
}

impl Quiet {
    fn new(host: &Host) -> Quiet {
        let lock = |name: &str| {
            let file =
                File::options().create(true).append(true).open(queue(host).join(name)).unwrap();
            Flock::lock(file, FlockArg::LockExclusive).unwrap()
        };
        Quiet { _locks: vec![lock(".waiting"), lock(".worker")] }
    }
}

fn worker(host: &Host) -> Command {
    let mut command = Command::new(binary_under_test());
    command.arg("--hooks-dir").arg(host.hooks()).args(["queue", "--work"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A worker that is ended when it is dropped.
struct Worker(Child);

impl Worker {
    fn start(host: &Host) -> Worker {
        Worker(worker(host).spawn().unwrap())
    }

    fn end(&mut self) {
        until("the worker has ended", || self.0.try_wait().unwrap().is_some());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Works until the queue is empty.
#[track_caller]
fn work(host: &Host) {
    Worker::start(host).end();
}

fn shown(host: &Host) -> Value {
    host.json(&["queue"], 0)
}

fn count(value: &Value) -> usize {
    value.as_array().unwrap().len()
}

fn executions(host: &Host) -> Vec<Value> {
    host.json(&["log"], 0)["executions"].as_array().unwrap().clone()
}

fn detached(host: &Host, script: &str, more: &str) {
    host.script("bin/x", script);
    host.file(
        "hooks.d/x.yaml",
        format!("events: [after_vm_launch]\ncommand: bin/x\nmode: detached\n{more}\n"),
    );
}

fn names(host: &Host) -> Vec<String> {
    let entries = fs::read_dir(queue(host)).unwrap().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

// --- clocks ------------------------------------------------------------------------------------

#[test]
fn a_clock_that_is_set_stops_no_job_and_throws_none_away() {
    for seconds in [7200, -86400i64] {
        let host = Host::new();
        detached(&host, "log \"$HOOKMUX_OBJECT $HOOKMUX_OPERATION\"", "");
        let quiet = Quiet::new(&host);
        host.guest("started begin").run().succeeds();
        host.guest("reconnect begin").run().succeeds();
        host.file(
            "hooks.d/x.yaml",
            "events: [after_vm_launch, after_vm_reconnect]\ncommand: bin/x\nmode: detached\n",
        );
        host.guest("reconnect begin").run().succeeds();
        for name in names(&host).iter().filter(|name| name.ends_with(".json")) {
            // as though the clock had been set since
            let shift = |value: &Value| value.as_u64().unwrap().saturating_add_signed(-seconds);
            change(&queue(&host).join(name), |head| {
                let (queued_at, due) = (shift(&head["queued_at"]), shift(&json!(now())));
                head["queued_at"] = queued_at.into();
                head["not_before"] = due.into();
                head["due"] = head["queued"].clone();
            });
        }
        drop(quiet);
        work(&host);
        assert_eq!(host.log(), ["g started", "g reconnect"], "{seconds}");
    }
}

#[test]
fn a_pause_is_a_minute_at_most_whatever_the_clocks_say() {
    let host = Host::new();
    host.script("bin/x", "log \"$1\"");
    let mut paused = job(&host, 0, "a", &["0"]);
    paused["not_before"] = (now() + 86400).into();
    paused["queued_at"] = (now() + 86400).into();
    put(&host, 0, &paused);
    put(&host, 1, &job(&host, 1, "a", &["1"]));
    put(&host, 2, &job(&host, 2, "b", &["2"]));
    let jobs = shown(&host)["jobs"].as_array().unwrap().clone();
    let of = |number: usize| jobs.iter().find(|job| job["id"] == id(number)).unwrap();
    assert!(of(0)["wait_s"].as_f64().unwrap() <= 60.0, "{:?}", of(0));
    let _worker = Worker::start(&host);
    until("the other guest's job has run", || host.read_text("log") == "2\n");
    assert_eq!(count(&shown(&host)["jobs"]), 2);
}

#[test]
fn a_job_that_expires_leaves_a_record_and_no_document() {
    let host = Host::new();
    host.script("bin/x", "log ran");
    let mut old = job(&host, 0, "g", &[]);
    old["queued_at"] = (now() - 7200).into();
    old["last"] = "exit status 7".into();
    old["started_document"] = base64("<domain/>").into();
    put(&host, 0, &old);
    // its worker was killed
    for directory in [id(0), id(1)] {
        let directory = host.path("run/data").join(format!("{directory}.started"));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("document.xml"), "<domain/>").unwrap();
    }
    work(&host);
    assert!(host.log().is_empty());
    assert_eq!(names(&host), [""; 0]);
    assert_eq!(fs::read_dir(host.path("run/data")).unwrap().count(), 0, "no document is left");
    let all = executions(&host);
    let [one] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(one["state"], "failed");
    let said = host.text(&["show", one["id"].as_str().unwrap()], 0);
    assert!(said.contains("it expired") && said.contains("exit status 7"), "{said}");
    assert!(host.text(&["log", "--failed"], 0).contains("it expired"));
}

#[test]
fn giving_up_is_told_by_the_record_of_the_last_try() {
    let host = Host::new();
    host.script("bin/x", "exit 3");
    let mut job = job(&host, 0, "g", &[]);
    job["retries"] = 0.into();
    put(&host, 0, &job);
    work(&host);
    assert_eq!(names(&host), [""; 0]);
    let all = executions(&host);
    let [one] = all.as_slice() else { panic!("{all:?}") };
    let why = one["failure"].as_str().unwrap();
    assert!(why.contains("exit status 3") && why.contains("given up after 1 try"), "{why}");
    // one that isn't even tried leaves one too
    host.mode("hooks/bin/x", 0o777);
    put(&host, 0, &job);
    work(&host);
    let is_told = |one: &Value| {
        let why = one["failure"].as_str().unwrap();
        why.contains("refused") && why.contains("given up after 1 try")
    };
    assert!(executions(&host).iter().any(is_told), "{:?}", executions(&host));
}

#[test]
fn the_daemons_start_removes_documents_of_jobs_that_are_gone() {
    let host = Host::new();
    let directory = host.path("run/data").join(format!("{}.started", id(0)));
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("document.xml"), "<domain/>").unwrap();
    host.call("daemon", ["-", "start", "-", "start"]).stdin("").run().succeeds();
    assert!(!directory.exists());
}

#[test]
fn what_killed_writers_left_is_removed() {
    let host = Host::new();
    // larger than any process's number
    let torn = queue(&host).join(format!("{}.json.4194305.new", id(0)));
    let body = queue(&host).join(format!("{}.data", id(1)));
    for left in [&torn, &body] {
        write(left, "{");
    }
    work(&host);
    assert_eq!(names(&host), [""; 0]);
}

// --- odd files -----------------------------------------------------------------------------------

/// Something that lies in the queue under a job's name.
type Odd = (&'static str, Box<dyn Fn(&Host, usize)>);

/// What is put aside.
fn poisons() -> Vec<Odd> {
    fn text(what: &'static str, text: &'static [u8]) -> Odd {
        (what, Box::new(move |host, number| write(&head_path(host, number), text)))
    }
    fn with(what: &'static str, key: &'static str, value: Value) -> Odd {
        let put_it = move |host: &Host, number| {
            let mut job = job(host, number, &format!("odd{number}"), &["odd"]);
            job[key] = value.clone();
            put(host, number, &job);
        };
        (what, Box::new(put_it))
    }
    fn file(what: &'static str, make: impl Fn(&Host, &PathBuf) + 'static) -> Odd {
        let put_it = move |host: &Host, number| {
            let job = job(host, number, &format!("odd{number}"), &["odd"]);
            let path = put(host, number, &job);
            make(host, &path);
        };
        (what, Box::new(put_it))
    }
    let mut all = vec![
        text("nothing", b""),
        text("half of it", b"{\"id\": \"01M8"),
        text("not UTF-8", b"{\"id\": \"\xff\xfe\"}"),
        text("another kind", b"[1, 2]"),
        text("null", b"null"),
        with("another's id", "id", json!(id(99))),
        with("no id", "id", json!("")),
        with("a number that is none", "attempts", json!(-1)),
        with("a huge number", "queued_at", json!(1e30)),
        with("a lock out of its place", "lock", json!("../../lock")),
        with("somebody else's run", "run", json!("01M8MJQS5PY2RQCEVCDJ4JJ11K-1")),
        with("no program", "path", json!("")),
        with("a document that is none", "document", json!("<domain/>")),
        file("a FIFO", |_, path| {
            fs::remove_file(path).unwrap();
            nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        }),
        file("a link", |host, path| {
            fs::rename(path, host.path("elsewhere")).unwrap();
            symlink(host.path("elsewhere"), path).unwrap();
        }),
        file("a link to nothing", |_, path| {
            fs::remove_file(path).unwrap();
            symlink("/nowhere", path).unwrap();
        }),
        file("a link to itself", |_, path| {
            fs::remove_file(path).unwrap();
            symlink(path, path).unwrap();
        }),
        file("a device", |_, path| {
            fs::remove_file(path).unwrap();
            symlink("/dev/zero", path).unwrap();
        }),
        file("a directory", |_, path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
            fs::write(path.join("file"), "").unwrap();
        }),
        file("gigabytes", |_, path| {
            File::options().write(true).open(path).unwrap().set_len(8 << 30).unwrap();
        }),
        file("two names", |host, path| fs::hard_link(path, host.path("second")).unwrap()),
        file("one that others may write", |_, path| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o620)).unwrap();
        }),
        file("no name of a job", |_, path| {
            fs::rename(path, path.with_file_name(OsStr::from_bytes(b"\xff.json"))).unwrap();
        }),
        (
            "a head without a body",
            Box::new(|host, number| {
                let head =
                    json!({"format": 2, "id": id(number), "driver": "qemu", "object": "odd"});
                put(host, number, &head);
            }),
        ),
        (
            "a body that is a FIFO",
            Box::new(|host, number| {
                let head =
                    json!({"format": 2, "id": id(number), "driver": "qemu", "object": "odd2"});
                let body = put(host, number, &head).with_extension("data");
                nix::unistd::mkfifo(&body, nix::sys::stat::Mode::S_IRWXU).unwrap();
            }),
        ),
    ];
    if is_root() {
        all.push(file("another's", |_, path| chown(path, Some(65534), Some(65534)).unwrap()));
    }
    all
}

#[test]
fn odd_files_stop_no_job_and_are_put_aside() {
    let poisons = poisons();
    let host = Host::new();
    host.script("bin/x", "log \"$1\"");
    for (number, (_, put_it)) in poisons.iter().enumerate() {
        put_it(&host, number);
    }
    put(&host, 90, &job(&host, 90, "good", &["good"]));
    let before = host.json(&["check"], 0).to_string();
    assert!(before.contains("broken-job"), "{before}");
    work(&host);
    assert_eq!(host.log(), ["good"]);
    let left = names(&host);
    let aside = left.iter().filter(|name| name.ends_with(".broken")).count();
    assert_eq!(aside, poisons.len(), "{left:?}");
    assert!(!left.iter().any(|name| name.ends_with(".json")), "{left:?}");
    // they are told, and aren't run again
    let shown = shown(&host);
    assert_eq!((count(&shown["jobs"]), count(&shown["put_aside"])), (0, poisons.len()));
    assert!(
        shown["put_aside"].as_array().unwrap().iter().all(|job| job["reason"] != ""),
        "{shown}"
    );
    assert!(host.text(&["queue"], 0).contains("Put aside"));
    assert!(host.json(&["check"], 0).to_string().contains("broken-job"));
    work(&host);
    assert!(host.log().is_empty());
    // and no call sees anything of them
    detached(&host, "log call", "");
    host.guest("started begin").run().succeeds();
    until("the call's job has run", || host.log() == ["call"]);
    let said = host.text(&["queue", "--flush", "--yes"], 0);
    assert!(said.contains(&format!("{} jobs removed", poisons.len())), "{said}");
    until("nothing is left", || names(&host).is_empty());
}

#[test]
fn numbers_that_are_too_large_are_survived() {
    let host = Host::new();
    host.script("bin/x", "log \"$1\"; test \"$1\" != bad");
    let values = [
        ("attempts", json!(u32::MAX)),
        ("retries", json!(u32::MAX)),
        ("queued_at", json!(u64::MAX)),
        ("max_parallel", json!(0)),
        ("deaths", json!(0)),
        ("timeout", json!({"secs": u64::MAX, "nanos": 0})),
        ("caller", json!({"pid": i32::MIN, "start": u64::MAX})),
        ("driver", json!("hyperv")),
        ("colour", json!("red")),
    ];
    for (number, (key, value)) in values.iter().enumerate() {
        let mut job = job(&host, number, &format!("g{number}"), &[key]);
        job[*key] = value.clone();
        put(&host, number, &job);
    }
    let mut bad = job(&host, 50, "bad", &["bad"]);
    bad["attempts"] = u32::MAX.into();
    put(&host, 50, &bad);
    work(&host);
    let mut log = host.log();
    log.sort();
    let mut expected: Vec<&str> = values.iter().map(|(key, _)| *key).chain(["bad"]).collect();
    expected.sort();
    assert_eq!(log, expected, "each ran once");
    assert_eq!(names(&host), [""; 0]);
}

#[test]
fn jobs_of_a_later_version_are_left_alone_and_told() {
    let host = Host::new();
    host.script("bin/x", "log \"$1\"");
    let mut newer = job(&host, 0, "g", &["newer"]);
    newer["format"] = 99.into();
    newer["attempts"] = "many".into();
    let path = put(&host, 0, &newer);
    let before = fs::read(&path).unwrap();
    put(&host, 1, &job(&host, 1, "g", &["good"]));
    // what makes systemd start a worker goes, or it would start one for ever
    fs::write(queue(&host).join(".work"), "").unwrap();
    for _ in 0..2 {
        work(&host);
        assert_eq!(fs::read(&path).unwrap(), before);
        assert!(!queue(&host).join(".work").exists());
    }
    assert_eq!(host.log(), ["good"]);
    let shown = shown(&host);
    assert_eq!((count(&shown["jobs"]), count(&shown["unread"])), (0, 1));
    assert_eq!(shown["unread"][0]["newer"], true);
    assert!(host.text(&["queue"], 0).contains("a later version of hookmux wrote it (format 99)"));
    assert!(host.json(&["check"], 0).to_string().contains("newer-job"));
    host.text(&["queue", "--flush", "--yes"], 0);
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn what_a_worker_of_an_older_version_put_aside_is_run() {
    let host = Host::new();
    detached(&host, "log ran", "");
    let quiet = Quiet::new(&host);
    host.guest("started begin").run().succeeds();
    let heads: Vec<String> =
        names(&host).into_iter().filter(|name| name.ends_with(".json")).collect();
    let head = queue(&host).join(&heads[0]);
    fs::rename(&head, head.with_extension("broken")).unwrap();
    drop(quiet);
    work(&host);
    assert_eq!(host.log(), ["ran"]);
    assert_eq!(names(&host), [""; 0]);
}

/// Hooks would be shut in as their worker is: the mover's unit lets it do next to nothing.
#[test]
fn a_mover_that_is_shut_in_starts_no_worker() {
    let host = Host::new();
    host.script("bin/x", "log ran");
    // no call has started a worker that might be late
    put(&host, 1, &job(&host, 1, "web1", &[]));
    let waiting = names(&host);
    let mover = |wrapper: &[&str]| {
        let (program, before) = wrapper.split_first().unwrap();
        let mut command = Command::new(program);
        command.args(before).arg(binary_under_test()).arg("--hooks-dir").arg(host.hooks());
        command.args(["prune", "--linger"]).stdin(Stdio::null()).stdout(Stdio::null());
        assert!(command.status().unwrap().success());
    };
    mover(&["setpriv", "--no-new-privs"]);
    assert_eq!(host.log(), [""; 0]);
    assert_eq!(names(&host), waiting, "it waits for a worker that isn't shut in");
    mover(&["setpriv"]);
    until("the job has run", || host.log() == ["ran"]);
    until("the queue is empty", || names(&host).is_empty());
}

#[test]
fn odd_files_in_the_place_of_the_queues_own_are_survived() {
    let host = Host::new();
    detached(&host, "log ran", "");
    for name in [".usage", ".worker", ".waiting", ".work"] {
        let path = queue(&host).join(name);
        let _ = fs::remove_file(&path);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    host.guest("started begin").run().succeeds();
    until("it has run", || host.log() == ["ran"]);
    let usage = queue(&host).join(".usage");
    until("the worker has ended", || count(&shown(&host)["jobs"]) == 0);
    // without a counter the jobs themselves are counted
    fs::remove_file(&usage).unwrap();
    fs::create_dir(&usage).unwrap();
    fs::write(usage.join("file"), "").unwrap();
    host.guest("started begin").run().succeeds();
    until("it has run", || host.log() == ["ran"]);
}

// --- jobs that kill their worker -----------------------------------------------------------------

#[test]
fn a_job_that_kills_its_worker_is_put_aside_and_those_beside_it_are_not() {
    let host = Host::new();
    host.script(
        "bin/x",
        r#"log "$HOOKMUX_OBJECT $1"
if [ "$1" = kill ] && [ ! -e "$T/mended" ]; then kill -KILL $PPID; exec sleep 60; fi
[ "$1" != slow ] || sleep 0.3"#,
    );
    let mut killer = job(&host, 0, "g", &["kill"]);
    killer["started_document"] = base64("<domain/>").into();
    put(&host, 0, &killer);
    put(&host, 1, &job(&host, 1, "g", &["after"]));
    for number in 2..6 {
        put(&host, number, &job(&host, number, &format!("g{number}"), &["slow"]));
    }
    let mut workers = 0;
    until("all others have run", || {
        workers += 1;
        work(&host);
        names(&host).iter().all(|name| !name.ends_with(".json"))
    });
    let log = host.log();
    assert_eq!(log.iter().filter(|line| *line == "g kill").count(), 3, "{log:?}");
    assert_eq!(log.iter().filter(|line| *line == "g after").count(), 1, "{log:?}");
    for number in 2..6 {
        assert!(log.contains(&format!("g{number} slow")), "{log:?}");
    }
    assert!(workers < 20, "{workers}");
    // it is told, and can be brought back
    let shown = shown(&host);
    assert_eq!((count(&shown["jobs"]), count(&shown["put_aside"])), (0, 1), "{shown}");
    assert_eq!(shown["put_aside"][0]["id"], id(0));
    assert_eq!(shown["put_aside"][0]["job"]["deaths"], 3);
    let said = host.text(&["queue"], 0);
    assert!(said.contains("its worker died 3 times while it ran"), "{said}");
    assert!(host.json(&["check"], 0).to_string().contains("job-put-aside"));
    assert!(host.text(&["log", "--failed"], 0).contains("put aside"));
    let data = fs::read_dir(host.path("run/data")).unwrap().flatten();
    assert!(!data.into_iter().any(|entry| entry.path().extension() == Some("started".as_ref())));
    host.text(&["queue", "--requeue", "nothing"], 1);
    fs::write(host.path("mended"), "").unwrap();
    assert!(host.text(&["queue", "--requeue", &id(0)], 0).contains("1 job brought back"));
    until("it has run", || host.read_text("log").contains("g kill"));
    until("the queue is empty", || names(&host).is_empty());
    // or removed
    fs::remove_file(host.path("mended")).unwrap();
    put(&host, 0, &killer);
    until("it is put aside again", || {
        work(&host);
        names(&host).iter().any(|name| name.ends_with(".broken"))
    });
    assert!(host.text(&["queue", "--flush", "x"], 0).contains("1 job removed"));
    assert_eq!(names(&host), [""; 0], "its document too");
    let pattern = host.hook("bin/x").display().to_string();
    let _ = Command::new("pkill").args(["-KILL", "-f", &pattern]).status();
}

#[test]
fn workers_that_are_killed_at_any_moment_lose_nothing_and_keep_the_order() {
    const JOBS: usize = 60;
    let host = Host::new();
    host.script("bin/x", "log \"$1 $2\"; sleep 0.01");
    for number in 0..JOBS {
        let guest = format!("g{}", number % 6);
        put(&host, number, &job(&host, number, &guest, &[&guest, &number.to_string()]));
    }
    let lines = || host.read_text("log").lines().count();
    for round in 0..25u64 {
        let mut workers: Vec<Worker> = (0..3).map(|_| Worker::start(&host)).collect();
        // what ran through is over, but for the last ones
        let enough = lines() + 14 + usize::try_from(round % 5).unwrap();
        until("it has come further", || {
            lines() >= enough || workers[0].0.try_wait().unwrap().is_some()
        });
        std::thread::sleep(Duration::from_millis(round * 7 % 23));
        drop(workers);
    }
    work(&host);
    let mut guests: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for line in host.log() {
        let (guest, number) = line.split_once(' ').unwrap();
        guests.entry(guest.to_owned()).or_default().push(number.parse().unwrap());
    }
    for (guest, numbers) in &guests {
        assert!(numbers.is_sorted(), "{guest}: {numbers:?}");
    }
    let mut all: Vec<usize> = guests.into_values().flatten().collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all, (0..JOBS).collect::<Vec<_>>());
    let left = names(&host);
    assert!(!left.iter().any(|name| name.ends_with(".json")), "{left:?}");
}

// --- many ----------------------------------------------------------------------------------------

#[test]
fn a_full_queue_fails_the_hook_and_says_why() {
    let host = Host::new();
    host.settings("queue: {jobs: 2}");
    host.script("bin/x", "log ran");
    host.file("hooks.d/x.yaml", "events: [before_vm_start]\ncommand: bin/x\nmode: detached\n");
    let quiet = Quiet::new(&host);
    let call = || host.guest("prepare begin").run();
    call().succeeds();
    call().succeeds();
    let words = &["before_vm_start/x: can't be queued: the queue is full: ", "hookmux queue"];
    call().fails(125, words);
    assert!(host.text(&["log", "--failed"], 0).contains("the queue is full"));
    let check = host.json(&["check"], 0).to_string();
    assert!(check.contains("queue-nearly-full"), "{check}");
    // what is left alone is the registration's to say
    host.file(
        "hooks.d/x.yaml",
        "events: [before_vm_start]\ncommand: bin/x\nmode: detached\non_failure: warn\n",
    );
    call().succeeds();
    assert_eq!(count(&shown(&host)["jobs"]), 2);
    // a counter that is wrong is found out
    for name in names(&host) {
        fs::remove_file(queue(&host).join(name)).unwrap();
    }
    until("there is room again", || {
        call().succeeds();
        count(&shown(&host)["jobs"]) > 0
    });
    fs::write(queue(&host).join(".usage"), "garbage").unwrap();
    call().succeeds();
    assert_eq!(count(&shown(&host)["jobs"]), 2);
    drop(quiet);
    work(&host);
    assert_eq!(host.log(), ["ran", "ran"]);
}

#[test]
fn the_bytes_of_all_jobs_are_bounded() {
    let host = Host::new();
    host.settings("queue: {size: 100 KiB}");
    detached(&host, "log ran", "");
    host.file("hooks.d/x.yaml", "events: [before_vm_start]\ncommand: bin/x\nmode: detached\n");
    let _quiet = Quiet::new(&host);
    let document =
        |bytes: usize| format!("<domain><name>g</name><!--{}--></domain>", "x".repeat(bytes));
    let call = |bytes: usize| host.guest("prepare begin").stdin(document(bytes)).run();
    call(40_000).succeeds();
    call(40_000).fails(125, &["the queue is full", "size: 102400"]);
    call(10_000).succeeds();
    host.text(&["queue", "--flush", "--yes"], 0);
    call(40_000).succeeds();
    // jobs that are removed give their room back
    assert_eq!(count(&shown(&host)["jobs"]), 1);
}

/// How often a process has asked the kernel to read something.
fn reads(pid: u32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    io.lines().find_map(|line| line.strip_prefix("syscr: ")).unwrap().parse().unwrap()
}

#[test]
fn jobs_that_wait_are_not_read_again() {
    const JOBS: usize = 1500;
    let host = Host::new();
    host.script("bin/x", "log \"$1\"");
    let mut one = job(&host, 0, "g", &["1"]);
    one["document"] = base64(vec![b'x'; 2000]).into();
    for number in 0..JOBS {
        one["id"] = id(number).into();
        one["object"] = format!("g{number}").into();
        put(&host, number, &one);
    }
    host.text(&["bypass", "on", "--yes"], 0);
    let worker = Worker::start(&host);
    let pid = worker.0.id();
    until("all were read", || reads(pid) > JOBS as u64);
    // the beginning may take a while
    until_quiet(pid);
    // one that comes now is seen all the same
    host.text(&["bypass", "off"], 0);
    until("some have run", || host.read_text("log").lines().count() > 20);
    drop(worker);
}

/// Waits for two seconds in which a worker hardly reads anything. Whatever it is at on a machine under
/// load, it comes to them; one that goes on looking doesn't.
fn until_quiet(pid: u32) {
    until("it is quiet", || {
        let before = reads(pid);
        std::thread::sleep(Duration::from_secs(2));
        reads(pid) - before < 200
    });
}

#[test]
fn a_worker_that_may_start_nothing_more_is_quiet() {
    let host = Host::new();
    host.settings("max_parallel: 1");
    host.script("bin/x", "log x; until test -e \"$T/end\"; do sleep 0.05; done");
    let put_one = |number: usize| {
        let mut job = job(&host, number, &format!("g{number}"), &[]);
        // a host that has no process left for `sleep` is none of ours
        job["retries"] = 0.into();
        put(&host, number, &job);
    };
    (0..3).for_each(put_one);
    let mut worker = Worker::start(&host);
    let pid = worker.0.id();
    until("one runs", || !host.read_text("log").is_empty());
    // one more comes
    put_one(9);
    until_quiet(pid);
    fs::write(host.path("end"), "").unwrap();
    worker.end();
    assert_eq!(host.log().len(), 4);
}

#[test]
fn twice_as_many_jobs_take_twice_as_long() {
    let cpu_s = |jobs: usize| {
        let host = Host::new();
        host.script("bin/x", "exit 0");
        let mut one = job(&host, 0, "g", &[]);
        one["path"] = base64("/bin/true").into();
        one["document"] = base64(vec![b'x'; 20_000]).into();
        for number in 0..jobs {
            one["id"] = id(number).into();
            one["object"] = format!("g{number}").into();
            put(&host, number, &one);
        }
        // the shell tells what its children used
        let script = format!(
            "'{}' --hooks-dir '{}' queue --work >/dev/null 2>&1 || exit 1; times",
            binary_under_test().display(),
            host.hooks().display()
        );
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(names(&host), [""; 0]);
        let text = String::from_utf8(output.stdout).unwrap();
        let used = text.lines().nth(1).unwrap().split_whitespace().map(|word| {
            let (minutes, seconds) = word.trim_end_matches('s').split_once('m').unwrap();
            minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap()
        });
        used.sum::<f64>()
    };
    let (few, many) = (cpu_s(100), cpu_s(400));
    assert!(many < few * 8.0, "{few} s of 100 jobs, {many} s of 400");
}

#[test]
fn ten_thousand_jobs_are_shown() {
    const JOBS: usize = 10_000;
    let host = Host::new();
    let mut one = job(&host, 0, "g", &[]);
    for number in 0..JOBS {
        one["id"] = id(number).into();
        one["object"] = format!("g{}", number / 2).into();
        put(&host, number, &one);
    }
    let shown = shown(&host);
    assert_eq!(count(&shown["jobs"]), JOBS);
    assert_eq!(shown["jobs"][1]["reason"], "behind an earlier job of g0");
    assert_eq!(host.text(&["queue"], 0).lines().count(), JOBS + 1);
    assert!(host.text(&["queue", "--flush", "--yes"], 0).contains("10000 jobs removed"));
    assert_eq!(names(&host), [""; 0]);
}

// --- why they wait -------------------------------------------------------------------------------

#[test]
fn why_a_job_waits_is_told() {
    let host = Host::new();
    host.script("bin/x", "log x; until test -e \"$T/end\"; do sleep 0.05; done");
    let mut locked = job(&host, 0, "a", &[]);
    locked["lock"] = "gpu".into();
    put(&host, 0, &locked);
    put(&host, 1, &job(&host, 1, "a", &[]));
    locked["id"] = id(2).into();
    locked["object"] = "b".into();
    put(&host, 2, &locked);
    let mut bounded = job(&host, 3, "c", &[]);
    bounded["max_parallel"] = 1.into();
    put(&host, 3, &bounded);
    let why = |number: usize| {
        let shown = shown(&host);
        let jobs = shown["jobs"].as_array().unwrap().clone();
        let job = jobs.into_iter().find(|job| job["id"] == id(number)).unwrap();
        (job["state"].as_str().unwrap().to_owned(), job["reason"].as_str().unwrap_or("").to_owned())
    };
    assert!(why(0).1.contains("no worker runs"), "{:?}", why(0));
    let mut worker = Worker::start(&host);
    until("one runs", || !host.read_text("log").is_empty());
    until("it is told", || why(0).0 == "runs");
    assert!(why(1).1.contains("behind an earlier job of a"));
    assert!(why(2).1.contains("the lock `gpu`"), "{:?}", why(2));
    assert!(why(3).1.contains("of its hook run"), "{:?}", why(3));
    fs::write(host.path("end"), "").unwrap();
    worker.end();
    assert_eq!(host.log().len(), 4, "what one gives back another one takes");
}
