//! Every system call that a call depends on fails once, at every position: the answer stays one
//! that is defined, and what wasn't done isn't passed off as done.
//!
//! strace makes them fail, which it does for each traced process by its own count: with `-f` the
//! hooks of the call are hit as well, whose failures are then a hook's. `HOOKMUX_INJECT=all` tries
//! every error everywhere; without it positions take turns with the errors.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::answer::Answer;
use crate::support::call::Call;
use crate::support::host::binary_under_test;
use crate::support::{GUEST, Host, is_root, skip, until};

/// What a point may take; one that waits for a thing that never comes takes minutes.
const LIMIT: Duration = Duration::from_secs(30);
const WORKERS: usize = 3;
/// Errors per position, where not all are tried.
const TURNS: usize = 1;

/// System calls that do the same, by the names that glibc and musl use.
struct Family {
    names: &'static [&'static str],
    errors: &'static [&'static str],
    /// Callers are to try again after EINTR.
    is_retried: bool,
}

const fn family(
    names: &'static [&'static str],
    errors: &'static [&'static str],
    is_retried: bool,
) -> Family {
    Family { names, errors, is_retried }
}

const FAMILIES: &[Family] = &[
    family(&["open", "openat"], &["EIO", "EMFILE", "EACCES", "ENOMEM", "ENOSPC", "EAGAIN"], true),
    family(&["write", "writev", "pwrite64"], &["ENOSPC", "EIO", "EAGAIN", "ENOMEM"], true),
    family(&["read", "pread64"], &["EIO", "EAGAIN", "ENOMEM"], true),
    family(&["rename", "renameat", "renameat2"], &["ENOSPC", "EIO", "EACCES", "ENOMEM"], false),
    family(&["mkdir", "mkdirat"], &["ENOSPC", "EIO", "EACCES", "ENOMEM"], false),
    family(&["utimensat"], &["EIO", "EACCES", "ENOMEM"], false),
    family(&["fsync", "fdatasync"], &["EIO", "ENOSPC"], true),
    family(&["clone", "clone3", "vfork", "fork"], &["EAGAIN", "ENOMEM"], false),
    family(&["execve"], &["ENOMEM", "EIO", "EACCES", "EAGAIN"], false),
    family(&["pipe2", "pipe"], &["EMFILE", "ENOMEM"], false),
    family(&["poll", "ppoll"], &["ENOMEM", "EIO", "EAGAIN"], true),
    family(&["mmap", "mremap", "brk"], &["ENOMEM", "EAGAIN"], false),
    family(&["memfd_create"], &["EMFILE", "ENOMEM"], false),
    family(&["pidfd_open"], &["EMFILE", "ENOMEM"], false),
    family(&["fcntl"], &["EMFILE", "EAGAIN", "EIO"], false),
    family(&["dup2", "dup3"], &["EMFILE", "EIO"], true),
    family(
        &["lstat", "stat", "newfstatat", "statx", "fstat"],
        &["EIO", "EACCES", "ENOMEM", "EMFILE"],
        false,
    ),
    family(&["getdents64"], &["EIO", "ENOMEM"], false),
    family(&["close_range"], &["EMFILE", "ENOMEM"], false),
    family(&["signalfd4"], &["EMFILE", "ENOMEM"], false),
    family(&["setsid"], &["EACCES"], false),
    family(&["wait4", "waitid"], &["EIO"], true),
    family(&["socket", "connect", "sendto", "sendmsg"], &["EMFILE", "EAGAIN", "ENOMEM"], true),
];

impl Family {
    fn holds(&self, name: &str) -> bool {
        self.names.contains(&name)
    }

    /// For strace; a name that this architecture doesn't have is none of its errors.
    fn set(&self) -> String {
        self.names.iter().map(|name| format!("?{name}")).collect::<Vec<_>>().join(",")
    }
}

// --- calls --------------------------------------------------------------------------------------

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Gate,
    Live,
    /// The same, with scripts that libvirt would have run itself: it kills where these fail.
    Helper,
    Notify,
    /// A gate that gives libvirt a changed document.
    Filter,
    /// The same, and never a failure.
    Restore,
    /// A gate that a restore before it has shut.
    Held,
}

struct Scene {
    kind: Kind,
    driver: &'static str,
    words: [&'static str; 4],
    /// What runs in it, by the lines that it logs.
    hooks: &'static [&'static str],
    /// One that runs later.
    detached: Option<&'static str>,
    /// hookmux has its registrations in its cache, and trusts it.
    is_warm: bool,
    /// Each execution is also an event for other hosts.
    is_sent: bool,
}

const fn guest(
    kind: Kind,
    operation: &'static str,
    sub: &'static str,
    hooks: &'static [&'static str],
) -> Scene {
    Scene {
        kind,
        driver: "qemu",
        words: ["g", operation, sub, "-"],
        hooks,
        detached: None,
        is_warm: false,
        is_sent: false,
    }
}

const GATE: Scene = guest(
    Kind::Gate,
    "prepare",
    "begin",
    &[
        "before_vm_prepare/10-a",
        "before_vm_start/20-b",
        "bin/registered",
        "qemu.adopted",
        "qemu.d/g/prepare/begin/30-c",
    ],
);
const LIVE: Scene =
    guest(Kind::Live, "started", "begin", &["after_vm_launch/10-a", "after_vm_start/20-b"]);
/// Where a failure of the guest's own scripts means that it is to be killed.
const HELPER: Scene =
    guest(Kind::Helper, "started", "begin", &["qemu.adopted", "qemu.d/g/started/begin/10-a"]);
const NOTIFY: Scene =
    guest(Kind::Notify, "release", "end", &["after_vm_destroy/10-a", "after_vm_destroy/20-b"]);
const FILTER: Scene = guest(
    Kind::Filter,
    "migrate",
    "begin",
    &["before_vm_migrate_destination/10-edit", "before_vm_migrate_destination/20-b"],
);
const RESTORE: Scene = guest(
    Kind::Restore,
    "restore",
    "begin",
    &["before_vm_dehibernate/10-edit", "before_vm_dehibernate/20-b"],
);
const HELD: Scene = guest(Kind::Held, "prepare", "begin", &["before_vm_prepare/10-a"]);
const DAEMON: Scene = Scene {
    kind: Kind::Notify,
    driver: "daemon",
    words: ["-", "start", "-", "start"],
    hooks: &["before_daemon_start/10-a", "before_vdsm_start/20-b"],
    detached: None,
    is_warm: false,
    is_sent: false,
};
const DETACHED: Scene = Scene {
    kind: Kind::Gate,
    driver: "qemu",
    words: ["g", "start", "begin", "-"],
    hooks: &["before_vm_launch/10-a"],
    detached: Some("bin/detached"),
    is_warm: false,
    is_sent: false,
};
const SENT: Scene = Scene { is_sent: true, ..NOTIFY };
/// As most calls are, on a host where nothing has changed for a while.
const WARM: Scene = Scene { is_warm: true, ..GATE };

/// The document that `10-edit` makes of libvirt's.
fn edited() -> String {
    GUEST.replace("<devices>", "<devices><hub type=\"usb\"/>")
}

impl Scene {
    fn host(&self) -> Host {
        let host = Host::new();
        if self.is_sent {
            host.settings("outbox: true");
        }
        for place in self.hooks.iter().chain(&self.detached) {
            // a static shell and nothing but its built-in commands: few system calls of its own,
            // and a status that tells when one of them failed
            let edit = if place.ends_with("edit") {
                format!(
                    "echo '{}' >\"$_hook_domxml\"\n",
                    edited().trim_end().replace('\'', r"'\''")
                )
            } else {
                String::new()
            };
            let words = if *place == "bin/registered" { "$1" } else { "" };
            let log = host.path("log");
            let script = format!(
                "#!/bin/busybox sh\nset -e\n{edit}echo {place}{words} >>'{}'\n",
                log.display()
            );
            host.file(place, script);
        }
        host.file(
            "hooks.d/registered.yaml",
            "events: [before_vm_start]\ncommand: bin/registered\nrollback: [bin/registered, ' undone']\n",
        );
        host.file(
            "hooks.d/detached.yaml",
            "events: [before_vm_launch]\ncommand: bin/detached\nmode: detached\n",
        );
        for unused in ["registered", "detached"] {
            if !self.hooks.iter().chain(&self.detached).any(|place| place.ends_with(unused)) {
                fs::remove_file(host.hook(format!("hooks.d/{unused}.yaml"))).unwrap();
            }
        }
        // nobody moves the records: strace would follow and wait
        fs::create_dir_all(host.path("run/records/.mover")).unwrap();
        if self.kind == Kind::Restore {
            fs::create_dir(host.path("save")).unwrap();
            fs::write(host.path("save/g.save"), "memory").unwrap();
        }
        if self.kind == Kind::Held {
            host.script("before_vm_dehibernate/10-no", "exit 3");
            host.guest("restore begin").run().succeeds();
        }
        if self.is_warm {
            // what has just changed counts as changed once more
            thread::sleep(Duration::from_millis(2100));
            self.call(&host).run().succeeds();
            host.log();
        }
        host
    }

    fn call<'h>(&self, host: &'h Host) -> Call<'h> {
        // as libvirt calls it: without cargo's places for the loader to look at, and a fault tells
        // no more than it must
        let call = host.call(self.driver, self.words);
        call.without_env("LD_LIBRARY_PATH").without_env("RUST_BACKTRACE")
    }
}

// --- points -------------------------------------------------------------------------------------

/// One fault.
struct Point {
    family: &'static Family,
    error: &'static str,
    position: usize,
    /// Hooks and what else the call starts are hit as well.
    follows: bool,
    /// No hook makes that many of these calls: only hookmux is hit.
    spares_hooks: bool,
    /// The one that is hit in hookmux comes before its first own instruction.
    is_before_main: bool,
    /// The one that is hit is about the settings: without them hookmux takes the usual places for
    /// what it remembers, which are not those of the host that is tried.
    hits_settings: bool,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let follows = if self.follows { " -f" } else { "" };
        write!(f, "{} {} of {}{follows}", self.error, self.position, self.family.names.join("/"))
    }
}

impl Point {
    fn strace(&self) -> Vec<String> {
        let set = self.family.set();
        let mut words = vec!["strace".to_owned()];
        if self.follows {
            // stops at these calls only, which saves most of the time
            words.extend(["-f", "--seccomp-bpf"].map(str::to_owned));
        }
        words.extend(["-qq", "-o", "/dev/null", "-e"].map(str::to_owned));
        words.push(format!("trace={set}"));
        words.push("-e".to_owned());
        words.push(format!("inject={set}:error={}:when={}", self.error, self.position));
        words
    }
}

/// How many calls of a family were made.
#[derive(Default, Clone, Copy)]
struct Counts {
    /// By hookmux itself, before and with its own instructions.
    before_main: usize,
    own: usize,
    /// The first and the last of hookmux's that is about the settings.
    settings: Option<(usize, usize)>,
    /// By the busiest of the hooks, and of all processes.
    hooks: usize,
    most: usize,
}

/// Counts the calls of a scene that nothing befalls.
fn count(scene: &Scene) -> Vec<Counts> {
    let host = scene.host();
    let trace = host.path("trace");
    let answer = scene
        .call(&host)
        .through(["strace", "-f", "-y", "-qq", "-o", trace.to_str().unwrap()])
        .run();
    let expected = if scene.kind == Kind::Held { 3 } else { 0 };
    assert_eq!(answer.status, Some(expected), "{:?}: {answer:?}", scene.words);
    let text = String::from_utf8_lossy(&fs::read(trace).unwrap()).into_owned();
    let settings = host.hook("hookmux.yaml").display().to_string();
    let hooks_dir = format!("execve(\"{}/", host.hooks().display());
    let mut by_process: HashMap<&str, Vec<Counts>> = HashMap::new();
    let mut is_hook: HashMap<&str, bool> = HashMap::new();
    let main = text.split(' ').next().unwrap();
    let mut is_main = false;
    for line in text.lines() {
        let (process, event) = line.split_once(' ').unwrap();
        let event = event.trim_start();
        if event.starts_with(&hooks_dir) && process != main {
            is_hook.insert(process, true);
        }
        // the last handler that the first instructions of hookmux's own install
        if process == main && event.starts_with("rt_sigaction(SIGTRAP") {
            is_main = true;
        }
        let name = event.split('(').next().unwrap();
        if let Some(family) = FAMILIES.iter().position(|family| family.holds(name)) {
            let counts = by_process
                .entry(process)
                .or_insert_with(|| vec![Counts::default(); FAMILIES.len()]);
            counts[family].own += 1;
            let counts = &mut counts[family];
            if process == main && !is_main {
                counts.before_main += 1;
            }
            if process == main && event.contains(&settings) {
                counts.settings = Some((counts.settings.map_or(counts.own, |s| s.0), counts.own));
            }
        }
    }
    assert!(is_main, "hookmux's first own instructions are found");
    assert_eq!(is_hook.is_empty(), scene.kind == Kind::Held, "the hooks are found");
    let mut counts = by_process[main].clone();
    for (process, others) in &by_process {
        for (counts, other) in counts.iter_mut().zip(others) {
            counts.most = counts.most.max(other.own);
            if is_hook.contains_key(process) {
                counts.hooks = counts.hooks.max(other.own);
            }
        }
    }
    counts
}

fn points(scene: &Scene, counts: &[Counts]) -> Vec<Point> {
    let is_all = std::env::var_os("HOOKMUX_INJECT").is_some_and(|what| what == "all");
    let mut points = Vec::new();
    for (family, counts) in FAMILIES.iter().zip(counts) {
        let first = if scene.kind == Kind::Gate { 1 } else { counts.before_main + 1 };
        // one more: a call that has met an error makes other calls than one that hasn't
        for position in first..=counts.most + 1 {
            let turns = if is_all { family.errors.len() } else { TURNS.min(family.errors.len()) };
            let errors = (0..turns)
                .map(|turn| family.errors[(position * TURNS + turn) % family.errors.len()])
                .chain(["EINTR"].into_iter().filter(|_| is_all || family.is_retried));
            for error in errors {
                let point = |follows| Point {
                    family,
                    error,
                    position,
                    follows,
                    spares_hooks: !follows || position > counts.hooks,
                    is_before_main: position <= counts.before_main,
                    hits_settings: counts
                        .settings
                        .is_some_and(|(first, last)| (first..=last).contains(&position)),
                };
                // EINTR says nothing where hooks are hit by it: shells make of it what they will
                if error != "EINTR" || position > counts.hooks {
                    points.push(point(true));
                }
                if position <= counts.hooks && position <= counts.own {
                    points.push(point(false));
                }
            }
        }
    }
    points
}

// --- what must hold -----------------------------------------------------------------------------

fn check(scene: &Scene, point: &Point, host: &Host, answer: &Answer) -> Result<(), String> {
    let must = |holds: bool, what: &str| if holds { Ok(()) } else { Err(what.to_owned()) };
    let log = host.log();
    let has_run = |place: &&str| log.iter().any(|line| line == place);
    let all_ran = scene.hooks.iter().all(has_run);
    must(answer.took < LIMIT, "took too long")?;
    if scene.kind == Kind::Gate && answer.status == Some(0) && point.spares_hooks {
        must(all_ran, "a gate opened, and not all hooks had run")?;
    }
    if scene.kind == Kind::Held {
        must(answer.status != Some(0) && log.is_empty(), "a held failure was lost")?;
    }
    if point.is_before_main {
        // the C library and the standard library set themselves up, before any instruction of
        // hookmux's: what they do about an error is theirs. Only silence must not be.
        return Ok(());
    }
    let stdout = String::from_utf8_lossy(&answer.stdout);
    let Some(status) = answer.status else { return Err("ended by a signal".to_owned()) };
    must(status != 101, "a panic's status")?;
    // where no memory is to be had, the process ends with its class's answer to a fault of its own;
    // documents of such calls go when the daemon starts
    let has_fallen = point.family.holds("mmap") && answer.stderr.starts_with("memory allocation");
    if has_fallen {
        let gate = matches!(scene.kind, Kind::Gate | Kind::Filter | Kind::Held);
        must(status == if gate { 125 } else { 0 }, "not the answer to a fault")?;
        must(answer.stderr.lines().count() <= 2 && stdout.is_empty(), "a fault says too much")?;
        // before the first hook there is nothing yet that prepare could be told
        if scene.kind == Kind::Restore && !log.is_empty() {
            check_restore(point, host, false, false)?;
        }
        return Ok(());
    }
    let is_defined = match status {
        0 | 125..=127 => true,
        // a hook that was hit, and one whose document isn't there any more
        1 | 2 => !point.spares_hooks || scene.kind == Kind::Filter,
        3 => scene.kind == Kind::Held,
        _ => false,
    };
    must(is_defined, "an undefined status")?;
    if matches!(scene.kind, Kind::Live | Kind::Restore) {
        must(status == 0, "must never fail")?;
    }
    if scene.kind == Kind::Helper && point.spares_hooks {
        let is_scripts =
            answer.stderr.contains("can't be executed") || answer.stderr.contains("refused");
        must(status == 0 || is_scripts, "trouble of hookmux's own kills a guest")?;
    }
    must(answer.stderr.len() <= 4096, "too much on stderr")?;
    let is_clean = |c: char| c == '\n' || !c.is_control();
    must(answer.stderr.chars().all(is_clean), "control characters on stderr")?;
    let is_stderr_hit = point.family.holds("write") && answer.stderr.is_empty();
    must(
        is_stderr_hit || (status != 0) == answer.stderr.starts_with("hookmux: "),
        "stderr and the status don't agree",
    )?;
    if point.error == "EINTR" && point.family.is_retried {
        let is_as_ever =
            if scene.kind == Kind::Held { status == 3 } else { status == 0 && all_ran };
        must(is_as_ever, "EINTR is no failure")?;
    }
    match scene.kind {
        Kind::Filter | Kind::Restore => {
            let is_whole = stdout == edited();
            // libvirt takes nothing from a call that failed
            let is_cut = status != 0 && edited().starts_with(&*stdout);
            must(is_whole || stdout.is_empty() || is_cut, "half a document")?;
            if scene.kind == Kind::Filter && point.spares_hooks {
                must(status != 0 || (is_whole && all_ran), "an edit was lost in silence")?;
            }
            if scene.kind == Kind::Restore {
                let is_well = is_whole && all_ran;
                check_restore(point, host, is_whole, is_well)?;
            }
        }
        _ => must(stdout.is_empty(), "something on stdout")?,
    }
    let has_undone = log.iter().any(|line| line.ends_with(" undone"));
    if status != 0 && has_run(&"bin/registered") {
        must(has_undone || answer.stderr.contains("(rollback)"), "nothing was rolled back")?;
    }
    must(status != 0 || !has_undone, "rolled back, and open")?;
    if let (Some(detached), 0, true) = (&scene.detached, status, point.spares_hooks) {
        must(has_run(detached) || !jobs(host).is_empty(), "a detached hook was lost")?;
    }
    if scene.detached.is_some() && !point.follows {
        // the worker goes on when strace has seen the end of the call
        until("the worker is done", || !is_anything_running(host));
    }
    if scene.detached.is_some() && point.family.holds("mmap") {
        // the worker may have had no memory: the next one clears up
        return Ok(());
    }
    let left: Vec<_> = host.everything().into_iter().filter(|path| is_left(host, path)).collect();
    must(left.is_empty(), &format!("left behind: {left:?}"))?;
    must(!is_anything_running(host), "something still runs")
}

/// A failure is kept for `prepare`, and only a failure is.
fn check_restore(point: &Point, host: &Host, is_whole: bool, is_well: bool) -> Result<(), String> {
    if is_whole && !host.path("save/g.save.hookmux").exists() {
        return Err("an edit without a second name for the save".to_owned());
    }
    let prepared = host.guest("prepare begin").run();
    if is_whole && prepared.status != Some(0) {
        return Err(format!("a restore that went well fails at prepare: {prepared:?}"));
    }
    if point.spares_hooks && !point.hits_settings && !is_well && prepared.status == Some(0) {
        return Err("a failure at restore was lost".to_owned());
    }
    Ok(())
}

fn jobs(host: &Host) -> Vec<fs::DirEntry> {
    let queue = fs::read_dir(host.path("state/queue")).into_iter().flatten().flatten();
    queue.filter(|entry| entry.path().extension().is_some_and(|end| end == "json")).collect()
}

fn is_left(host: &Host, path: &std::path::Path) -> bool {
    let is_document = path.starts_with(host.path("run/data")) && path.ends_with("document.xml");
    is_document || path.extension().is_some_and(|end| end == "new")
}

fn is_anything_running(host: &Host) -> bool {
    let root = host.hooks().display().to_string();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .any(|line| String::from_utf8_lossy(&line).contains(&root))
}

/// Tries all points of a scene, and shows all that went wrong.
fn try_all(scene: &Scene) {
    if !has_strace() {
        return;
    }
    let points = points(scene, &count(scene));
    let next = AtomicUsize::new(0);
    let wrong: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let slowest = Mutex::new((Duration::ZERO, String::new()));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let warm = scene.is_warm.then(|| scene.host());
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let cold = warm.is_none().then(|| scene.host());
                    let Some(host) = warm.as_ref().or(cold.as_ref()) else { continue };
                    // without settings hookmux takes the machine's own places for what it remembers
                    let call = scene.call(host).through(point.strace()).with_private_state(host);
                    let answer = call.run();
                    if let Err(what) = check(scene, point, host, &answer) {
                        wrong.lock().unwrap().push(format!("{point}: {what}: {answer:?}"));
                    }
                    if warm.is_some() {
                        let _ = fs::remove_dir_all(host.path("run/data"));
                    }
                    let mut slowest = slowest.lock().unwrap();
                    if answer.took > slowest.0 {
                        *slowest = (answer.took, point.to_string());
                    }
                }
            });
        }
    });
    let (took, point) = slowest.into_inner().unwrap();
    println!("{:?}: {} points, the slowest took {took:?}: {point}", scene.words, points.len());
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), points.len(), wrong.join("\n"));
}

/// A machine that judges changes has to have what the tests need.
fn has_strace() -> bool {
    let runs = |program: &str, word: &str| {
        Command::new(program).arg(word).output().is_ok_and(|output| output.status.success())
    };
    let has = runs("strace", "--version") && runs("/bin/busybox", "true");
    assert!(has || std::env::var_os("CI").is_none(), "strace and busybox are to be installed here");
    if !has {
        skip("no strace or no busybox");
    }
    has
}

/// A file with a new name is empty after a power cut, unless it was brought to the disk: and an empty
/// registration keeps every gate shut.
#[test]
fn what_a_command_says_it_has_done_is_on_the_disk() {
    if !has_strace() {
        return;
    }
    let host = Host::new();
    host.script("bin/x", "exit 0");
    let script = host.hook("bin/x").display().to_string();
    let add = ["add", "script", &script, "--manual", "--event", "after_vm_stop", "--name", "x"];
    for (words, file) in [
        (&add[..], "hooks/hooks.d/x.yaml"),
        (&["disable", "x"], "hooks/hooks.d/x.yaml"),
        (&["bypass", "on", "--for", "1h"], "hooks/hookmux.bypass"),
    ] {
        let trace = host.path("trace");
        let output = Command::new("strace")
            .args(["-f", "-y", "-qq", "-e", "trace=fsync,rename,renameat,renameat2", "-o"])
            .args([&trace, &binary_under_test(), Path::new("--hooks-dir"), &host.hooks()])
            .args(words)
            .output()
            .unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        let trace = fs::read_to_string(trace).unwrap();
        let file = host.path(file).canonicalize().unwrap();
        let directory = file.parent().unwrap().display().to_string();
        let name = file.file_name().unwrap().to_str().unwrap();
        let at = |what: &dyn Fn(&str) -> bool| trace.lines().position(what);
        let is_sync = |line: &str| line.contains("fsync(") && line.ends_with("= 0");
        let written = at(&|line| is_sync(line) && line.contains(name));
        let renamed = at(&|line| line.contains("rename") && line.contains(&format!("/{name}\"")));
        let named = at(&|line| is_sync(line) && line.contains(&format!("<{directory}>")));
        assert!(written.is_some() && written < renamed && renamed < named, "{words:?}:\n{trace}");
    }
}

#[test]
fn a_gate_stays_a_gate() {
    try_all(&GATE);
}

#[test]
fn a_gate_that_knows_its_hooks_stays_a_gate() {
    try_all(&WARM);
}

#[test]
fn a_live_call_never_fails() {
    try_all(&LIVE);
}

#[test]
fn only_its_own_scripts_kill_a_guest() {
    try_all(&HELPER);
}

#[test]
fn a_notification_is_answered() {
    try_all(&NOTIFY);
}

#[test]
fn a_call_that_is_an_event_too_is_answered() {
    try_all(&SENT);
}

#[test]
fn a_changed_document_arrives_whole_or_not_at_all() {
    try_all(&FILTER);
}

#[test]
fn a_restore_is_answered_at_prepare() {
    try_all(&RESTORE);
}

#[test]
fn a_held_failure_keeps_its_gate_shut() {
    try_all(&HELD);
}

#[test]
fn a_daemon_starts() {
    try_all(&DAEMON);
}

#[test]
fn a_detached_hook_is_not_lost() {
    try_all(&DETACHED);
}

// --- where nothing can be written ---------------------------------------------------------------

/// Mounts over the runtime directory and the state directory that take no file at all.
fn barren(host: &Host) -> [(&'static str, String); 2] {
    let each = |script: &str| {
        ["run", "state"]
            .map(|name| script.replace("DIR", &host.path(name).display().to_string()))
            .join("\n")
    };
    [
        ("read-only", each("mount --bind 'DIR' 'DIR'; mount -o remount,bind,ro 'DIR'")),
        // one inode for the root of it, and one for what fills it
        (
            "full",
            each(
                "mount -t tmpfs -o size=64k,nr_inodes=2,mode=755 tmpfs 'DIR'\n\
                 head -c 1000000 /dev/zero >'DIR/full' 2>/dev/null || :",
            ),
        ),
    ]
}

#[test]
fn hooks_run_where_nothing_can_be_written() {
    if !is_root() {
        return skip("only root can make mounts");
    }
    for scene in [&GATE, &LIVE, &NOTIFY, &FILTER, &RESTORE, &DAEMON] {
        let host = scene.host();
        for (what, mounts) in barren(&host) {
            let answer = scene.call(&host).with_mounts(&mounts).run();
            answer.took_less_than(5);
            match scene.kind {
                Kind::Filter | Kind::Restore => answer.answers(edited()),
                _ => answer.succeeds(),
            };
            assert_eq!(sorted(host.log()), sorted(scene.hooks), "{:?}, {what}", scene.words);
        }
    }
}

#[test]
fn what_has_to_be_written_and_cannot_be_is_a_failure() {
    if !is_root() {
        return skip("only root can make mounts");
    }
    let host = DETACHED.host();
    host.script("before_vm_dehibernate/10-no", "exit 3");
    host.script("bin/locked", "log locked");
    host.file(
        "hooks.d/locked.yaml",
        "events: [before_vm_prepare, after_vm_launch]\ncommand: bin/locked\nlock: one\n",
    );
    for (_, mounts) in barren(&host) {
        let call = |words: &str| host.guest(words).with_mounts(&mounts);
        call("start begin").run().fails(125, &["before_vm_launch/detached", "can't be queued"]);
        assert_eq!(host.log(), DETACHED.hooks);
        // never side by side with another that holds the lock, and so not at all
        call("prepare begin").run().fails(125, &["before_vm_prepare/locked", "lock `one`"]);
        call("started begin").run().succeeds();
        // nothing could tell prepare of it
        call("restore begin").run().succeeds();
        assert!(host.log().is_empty());
    }
}

fn sorted<T: AsRef<str>>(lines: impl IntoIterator<Item = T>) -> Vec<String> {
    let mut lines: Vec<String> = lines.into_iter().map(|line| line.as_ref().to_owned()).collect();
    lines.sort();
    lines
}
