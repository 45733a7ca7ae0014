//! A fault of hookmux's own ends in its call's answer: it must not kill a guest.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::{Host, is_alive, is_root, skip, until};

/// Statuses by call: a gate's is 125; `restore` goes on, for libvirt deletes the guest's save else.
const ANSWERS: &[(&str, &str, i32)] = &[
    ("prepare begin", "before_vm_prepare", 125),
    ("start begin", "before_vm_launch", 125),
    ("migrate begin", "before_vm_migrate_destination", 125),
    ("restore begin", "before_vm_dehibernate", 0),
    ("started begin", "after_vm_launch", 0),
    ("reconnect begin", "after_vm_reconnect", 0),
    ("stopped end", "after_vm_stop", 0),
    ("release end", "after_vm_destroy", 0),
    ("unheard begin", "on_qemu_unheard", 0),
];

#[test]
fn a_panic_an_abort_and_an_overflow_are_answered() {
    if std::env::var_os("HOOKMUX_BIN").is_some() {
        return crate::support::skip("only debug builds can be told to fall over");
    }
    let host = Host::new();
    for fault in ["panic", "abort", "overflow"] {
        for (call, _, status) in ANSWERS {
            let answer = host.guest(call).env("HOOKMUX_FAULT", fault).run();
            assert_eq!(answer.status, Some(*status), "{fault} at {call}: {answer:?}");
            let says = *status != 0 && fault == "panic";
            assert!(answer.stdout.is_empty() && says != answer.stderr.is_empty(), "{answer:?}");
        }
        for (driver, words, status) in [
            ("network", ["n", "port-created", "begin", "-"], 125),
            ("network", ["n", "started", "begin", "-"], 0),
            ("daemon", ["-", "start", "-", "start"], 0),
        ] {
            let answer = host.call(driver, words).env("HOOKMUX_FAULT", fault).run();
            assert_eq!(answer.status, Some(status), "{fault} at {driver} {words:?}");
        }
    }
}

/// A gate whose first hooks succeed and can be rolled back, and whose last one says what happens.
fn gate_with_rollbacks(last: &str) -> Host {
    let host = Host::new();
    for name in ["a", "b"] {
        host.file(
            format!("hooks.d/{name}.yaml"),
            format!("events: [before_vm_start]\ncommand: bin/{name}\nrollback: [bin/{name}, back]\nargs: ['$NAME']\n"),
        );
        host.script(
            format!("bin/{name}"),
            r#"log "$me $1 $HOOKMUX_EVENT $(grep -c '<name>g</name>' "$_hook_domxml")""#,
        );
    }
    host.script("bin/z", last);
    host.file(
        "hooks.d/z.yaml",
        "events: [before_vm_start]\ncommand: bin/z\nweight: 900\nrollback: [bin/z, back]\n",
    );
    host
}

const ROLLED_BACK: &[&str] = &[
    "a g before_vm_start 1",
    "b g before_vm_start 1",
    "z",
    "b back before_vm_start 1",
    "a back before_vm_start 1",
];

#[test]
fn a_gate_that_falls_over_rolls_back_what_had_succeeded() {
    for signal in ["SEGV", "ABRT", "BUS"] {
        // what runs is ended first, what it started too
        let host = gate_with_rollbacks(&format!(
            "log z; setsid sleep 300 & echo $! >\"$T/left\"; echo $$ >\"$T/own\"; kill -{signal} $PPID; sleep 300; log survived"
        ));
        host.guest("prepare begin").run().fails(125, &[]);
        assert_eq!(host.log(), ROLLED_BACK, "{signal}");
        for name in ["own", "left"] {
            let pid = host.read_text(name).trim().parse().unwrap();
            until("it has ended", || !is_alive(pid));
        }
        assert!(fs::read_dir(host.path("run/data")).unwrap().next().is_none(), "no document stays");
        // what became of it is written down
        let shown = host.json(&["show", "last"], 0);
        assert_eq!(shown["state"], "failed", "{shown}");
        assert_eq!(shown["status"], 125, "{shown}");
        let runs = shown["runs"].to_string();
        assert!(runs.contains("before_vm_start/b (rollback)"), "{runs}");
    }
}

#[test]
fn hooks_are_ended_where_a_call_that_rolls_nothing_back_falls_over() {
    for (call, event, status) in
        [("started begin", "after_vm_launch", 0), ("start begin", "before_vm_launch", 125)]
    {
        let host = Host::new();
        host.script(
            format!("{event}/10-x"),
            "echo $$ >\"$T/own\"; kill -SEGV $PPID; sleep 300; log survived",
        );
        assert_eq!(host.guest(call).run().status, Some(status));
        let pid = host.read_text("own").trim().parse().unwrap();
        until("it has ended", || !is_alive(pid));
        assert_eq!(host.log(), [""; 0]);
    }
}

#[test]
fn a_rollback_has_its_users_rights_and_a_document_of_its_own_after_a_fault() {
    if !is_root() {
        return skip("only root can become another user");
    }
    let host = gate_with_rollbacks("log z; kill -SEGV $PPID; sleep 300");
    host.mode("", 0o755);
    fs::write(host.path("log"), "").unwrap();
    host.mode("log", 0o666);
    host.file(
        "hooks.d/nobody.yaml",
        "events: [before_vm_start]\ncommand: bin/nobody\nrollback: [bin/nobody, back]\nrun_as: nobody\nweight: 700\n",
    );
    host.script(
        "bin/nobody",
        r#"log "nobody $1 $(id -un) $HOME $(grep -c '<name>g</name>' "$_hook_domxml")""#,
    );
    host.guest("prepare begin").run().fails(125, &[]);
    let log = host.log();
    let of_nobody: Vec<&str> =
        log.iter().map(String::as_str).filter(|line| line.starts_with("nobody")).collect();
    let home = of_nobody[0].split(' ').nth(3).unwrap();
    assert_eq!(
        of_nobody,
        [format!("nobody  nobody {home} 1"), format!("nobody back nobody {home} 1")]
    );
    assert!(fs::read_dir(host.path("run/data")).unwrap().next().is_none(), "no document stays");
}

#[test]
fn left_over_processes_of_hooks_that_ended_are_left() {
    let host = gate_with_rollbacks("log z; kill -SEGV $PPID; sleep 300");
    host.script(
        "before_vm_prepare/10-helper",
        "sleep 300 >/dev/null 2>&1 & echo $! >\"$T/helper\"",
    );
    host.guest("prepare begin").run().fails(125, &[]);
    let pid: i32 = host.read_text("helper").trim().parse().unwrap();
    assert!(is_alive(pid), "a helper that a hook started is no part of the fault");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

#[test]
fn work_of_our_own_that_never_ends_is_ended() {
    if std::env::var_os("HOOKMUX_BIN").is_some() {
        return skip("only debug builds can be told to fall over");
    }
    let tried = |fault: &'static str, call: &'static str, at: &'static str| {
        thread::spawn(move || {
            let host = gate_with_rollbacks("log z");
            host.follow(&["after_vm_launch/10-x"]);
            let answer =
                host.guest(call).env("HOOKMUX_FAULT", fault).env("HOOKMUX_FAULT_AT", at).run();
            (answer, host.log())
        })
    };
    let all = [
        ("loop", "prepare begin", "document"),
        ("loop", "started begin", "document"),
        ("wait", "prepare begin", "hooks"),
        ("wait", "started begin", "start"),
        ("memory", "prepare begin", "hooks"),
        ("memory", "started begin", "hooks"),
    ];
    let running: Vec<_> = all
        .into_iter()
        .map(|(fault, call, at)| (fault, call, at, tried(fault, call, at)))
        .collect();
    for (fault, call, at, running) in running {
        let (answer, log) = running.join().unwrap();
        let is_gate = call.starts_with("prepare");
        assert_eq!(
            answer.status,
            Some(if is_gate { 125 } else { 0 }),
            "{fault} {call}: {answer:?}"
        );
        assert!(answer.stdout.is_empty());
        let expected = match (is_gate, at) {
            (true, "hooks") => [ROLLED_BACK, &["z"]].concat(),
            (false, "hooks") => vec!["after_vm_launch/10-x"],
            _ => vec![],
        };
        let mut log: Vec<&str> = log.iter().map(String::as_str).collect();
        let mut expected: Vec<&str> = expected;
        // the last hook has succeeded as well, and is the first that is rolled back
        log.sort_unstable();
        expected.sort_unstable();
        assert_eq!(log, expected, "{fault} {call}");
        let words = match fault {
            "loop" => "processor time",
            "wait" => "waited for its own files",
            _ => "memory allocation",
        };
        assert_eq!(answer.stderr.contains(words), is_gate || fault == "memory", "{answer:?}");
    }
}

#[test]
fn sigterm_is_heard_while_hookmux_is_at_work_of_its_own() {
    if std::env::var_os("HOOKMUX_BIN").is_some() {
        return skip("only debug builds can be told to fall over");
    }
    for (call, at, status) in [
        ("prepare begin", "document", 143),
        ("prepare begin", "hooks", 143),
        ("started begin", "document", 0),
        ("release end", "document", 143),
    ] {
        let host = gate_with_rollbacks("log z");
        host.follow(&["after_vm_launch/10-x", "after_vm_destroy/10-x"]);
        let file = host.path("waits");
        let running = host
            .guest(call)
            .env("HOOKMUX_FAULT", "wait")
            .env("HOOKMUX_FAULT_AT", at)
            .env("HOOKMUX_FAULT_FILE", &file)
            .start();
        until("it waits", || file.exists());
        running.signal(Signal::SIGTERM);
        let answer = running.wait();
        assert_eq!(answer.status, Some(status), "{call} {at}: {answer:?}");
        answer.took_less_than(9);
        let is_rolled_back = host.log().iter().any(|line| line.starts_with("a back"));
        assert_eq!(is_rolled_back, at == "hooks");
    }
}

/// Signals that tell of a fault of the process: they end the call as a fault of hookmux's does.
const FAULTS: [i32; 7] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGABRT,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGSYS,
    libc::SIGTRAP,
];

#[test]
fn no_signal_ends_a_call_but_by_its_answer() {
    let host = Host::new();
    for (call, event, status) in ANSWERS {
        let is_ended = |signal: i32| FAULTS.contains(&signal) || signal == libc::SIGTERM;
        for signal in (1..=64).filter(|n| ![libc::SIGKILL, libc::SIGSTOP].contains(n)) {
            // what a busy machine is slow to see is seen while the hook runs
            let pause = if is_ended(signal) { 30 } else { 0 };
            host.script(
                format!("{event}/10-x"),
                &format!("log first; /bin/kill -{signal} $PPID; sleep {pause}"),
            );
            host.follow(&[&format!("{event}/20-x")]);
            let answer = host.guest(call).run();
            let expected = match (signal, *status) {
                _ if !is_ended(signal) => 0,
                (libc::SIGTERM, _) if call.ends_with("end") => 143,
                (libc::SIGTERM, 125) => 143,
                (_, status) => status,
            };
            assert_eq!(answer.status, Some(expected), "signal {signal} at {call}: {answer:?}");
            let log = host.log();
            let went_on = log.contains(&format!("{event}/20-x"));
            assert_eq!(went_on, !is_ended(signal), "signal {signal} at {call}: {log:?}");
            // what restore holds back would be told at the next prepare
            host.guest("reconnect begin").run();
            host.log();
        }
    }
}

#[test]
fn a_signal_at_any_moment_from_the_first_instruction_ends_no_call() {
    let host = Host::new();
    host.follow(&["before_vm_prepare/10-x", "after_vm_launch/10-x"]);
    for (call, statuses) in [("prepare begin", &[0, 143][..]), ("started begin", &[0][..])] {
        for (index, signal) in
            [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGALRM, Signal::SIGPROF]
                .into_iter()
                .cycle()
                .take(150)
                .enumerate()
        {
            let running = host.guest(call).start();
            // before its first instruction nothing that a program does can help
            let status = format!("/proc/{}/status", running.pid());
            while fs::read_to_string(&status)
                .is_ok_and(|text| text.contains("SigBlk:\t0000000000000000"))
            {
                std::hint::spin_loop();
            }
            let begun = Instant::now();
            let delay = Duration::from_micros(25 * (index as u64 / 5));
            while begun.elapsed() < delay {
                std::hint::spin_loop();
            }
            running.signal(signal);
            let answer = running.wait();
            assert!(
                answer.status.is_some_and(|status| statuses.contains(&status)),
                "{signal} after {delay:?} at {call}: {answer:?}"
            );
        }
    }
}

#[test]
fn limits_of_the_caller_end_no_call_but_by_its_answer() {
    let host = gate_with_rollbacks("log z");
    host.follow(&["after_vm_launch/10-x", "after_vm_stop/10-x"]);
    host.script("before_vm_migrate_destination/10-x", r#"sed -i s/vda/vdb/ "$_hook_domxml""#);
    for limit in [
        "ulimit -f 0",
        "ulimit -f 1",
        "ulimit -t 1",
        "ulimit -t 2",
        "ulimit -v 40000",
        "ulimit -v 80000",
        "ulimit -v 200000",
        "ulimit -n 3",
        "ulimit -n 4",
        "ulimit -n 8",
        "ulimit -u 1",
        "ulimit -d 4000",
        "ulimit -s 64",
        "ulimit -l 0",
        "ulimit -c 0",
        "ulimit -i 0",
        "ulimit -q 0",
        "ulimit -x 0",
    ] {
        for (call, is_live) in [
            ("prepare begin", false),
            ("migrate begin", false),
            ("started begin", true),
            ("reconnect begin", true),
            ("stopped end", false),
        ] {
            let shell = format!("{limit} && exec \"$@\"");
            let answer =
                host.guest(call).through(["/bin/bash", "-c", shell.as_str(), "bash"]).run();
            let status = answer.status.unwrap_or(-1);
            // where the limit keeps the program itself from being executed, the shell says so
            let is_never_begun = [126, 127].contains(&status)
                && ["bash: ", "error while loading"]
                    .iter()
                    .any(|words| answer.stderr.contains(words));
            // a hook that the limit ends is a hook that failed
            let is_answer = status == 0 || !is_live && status > 0;
            assert!(is_answer || is_never_begun, "{limit} at {call}: {answer:?}");
        }
    }
}

#[test]
fn the_callers_limit_of_processor_time_is_kept_and_answered() {
    if std::env::var_os("HOOKMUX_BIN").is_some() {
        return skip("only debug builds can be told to fall over");
    }
    let host = gate_with_rollbacks("log z");
    for (call, status) in [("prepare begin", 125), ("started begin", 0)] {
        let answer = host
            .guest(call)
            .through_shell("ulimit -t 1; exec \"$@\"")
            .env("HOOKMUX_FAULT", "loop")
            .run();
        assert_eq!(answer.status, Some(status), "{call}: {answer:?}");
    }
}

#[test]
fn hookmux_is_the_last_for_the_oom_killer_and_its_hooks_are_not() {
    if !is_root() {
        return skip("only root may change oom_score_adj downwards");
    }
    // without CAP_SYS_RESOURCE not even root may go below 0
    let lowering = ["-c", "echo -1000 >/proc/self/oom_score_adj"];
    let is_allowed = Command::new("sh").args(lowering).output().unwrap().status.success();
    let lowest = if is_allowed { -1000 } else { 0 };
    let host = Host::new();
    host.file(
        "hooks.d/nobody.yaml",
        "events: [before_vm_start]\ncommand: bin/nobody\nrun_as: nobody\n",
    );
    host.script("bin/nobody", "cat /proc/self/oom_score_adj; exit 3");
    host.mode(".", 0o755);
    host.script(
        "before_vm_start/10-x",
        &r#"
        for try in 1 2 3 4 5 6 7 8 9 10; do
            own=$(cat /proc/$PPID/oom_score_adj)
            [ "$own" = LOWEST ] && break
            sleep 0.1
        done
        log "$own $(cat /proc/self/oom_score_adj)""#
            .replace("LOWEST", &lowest.to_string()),
    );
    for score in [lowest, 0, 17, 1000] {
        host.guest("prepare begin")
            .through_shell(&format!("echo {score} >/proc/self/oom_score_adj; exec \"$@\""))
            .run();
        assert_eq!(host.log(), [format!("{lowest} {score}")]);
        let shown = host.json(&["show", "last"], 0);
        assert!(shown.to_string().contains(&format!("\"stdout\":\"{score}\\n\"")), "{shown}");
    }
}

#[test]
fn what_the_kernel_sends_is_answered_too() {
    for signal in ["SEGV", "BUS", "ABRT", "ILL", "FPE"] {
        let host = Host::new();
        for (call, event, status) in ANSWERS {
            // a document that was edited by then reaches nobody
            host.script(
                format!("{event}/10-edit"),
                r#"echo "<x/>" >>"${_hook_domxml:-/dev/null}""#,
            );
            host.script(
                format!("{event}/20-x"),
                &format!("log {event}; kill -{signal} $PPID; sleep 0.2"),
            );
            host.follow(&[&format!("{event}/30-x")]);
            let answer = host.guest(call).run();
            assert_eq!(answer.status, Some(*status), "{signal} at {call}: {answer:?}");
            assert!(answer.stdout.is_empty() && answer.stderr.is_empty(), "{answer:?}");
            assert_eq!(host.log()[0], *event, "{signal} at {call}");
            // what restore holds back would be told at the next prepare
            host.guest("release end").stdin("").run();
            host.guest("reconnect begin").run();
            host.log();
        }
    }
}

#[test]
fn a_fault_at_restore_is_answered_at_prepare() {
    let host = Host::new();
    host.script("before_vm_dehibernate/10-x", "kill -SEGV $PPID; sleep 0.2");
    host.follow(&["before_vm_prepare/10-x"]);
    let answer = host.guest("restore begin").run();
    assert_eq!((answer.status, answer.stdout.len()), (Some(0), 0), "{answer:?}");
    host.guest("prepare begin").run().fails(125, &["restore"]);
    assert!(!host.log().contains(&"before_vm_prepare/10-x".to_owned()), "before it runs anything");
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), ["before_vm_prepare/10-x"], "consumed by the first prepare");
}
