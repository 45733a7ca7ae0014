//! Hooks on their leash: output, limits in time, what they leave running, signals. (L6, V4)

use std::fs::OpenOptions;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{GUEST, Host, is_alive, until};

fn pid(host: &Host, name: &str) -> i32 {
    until(&format!("{name} is written"), || host.read_text(name).ends_with('\n'));
    host.read_text(name).trim().parse().unwrap()
}

/// Ends a process of a script's that a test left behind on purpose.
fn end(pid: i32) {
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
}

// --- what hooks leave running -------------------------------------------------------------------

#[test]
fn what_a_hook_leaves_running_delays_nothing_and_goes_on_printing() {
    let host = Host::new();
    host.script(
        "before_vm_start/10-x",
        r#"( echo $$ >/dev/null
             sh -c 'echo $$ >"$0/helper"; n=0
                while [ ! -e "$0/go" ]; do sleep 0.05; n=$((n + 1)); [ $n -lt 1200 ] || exit 1; done
                yes | head -c 300000; yes | head -c 300000 >&2; echo survived >"$0/survived"
                exec sleep 300' "$T" ) &
           log ended"#,
    );
    host.follow(&["before_vm_start/20-x"]);
    let answer = host.guest("prepare begin").run();
    // hookmux has ended, and with it whoever read the helper's output
    answer.succeeds().took_less_than(30);
    assert_eq!(host.log(), ["ended", "before_vm_start/20-x"]);
    let helper = pid(&host, "helper");
    std::fs::write(host.path("go"), "").unwrap();
    until("the helper has printed", || host.read_text("survived") == "survived\n");
    assert!(is_alive(helper), "left alone on success");
    end(helper);
}

#[test]
fn what_holds_no_pipe_is_left_alone_too() {
    let host = Host::new();
    host.script(
        "before_vm_start/10-x",
        r#"setsid sh -c 'echo $$ >"$0/daemon"; exec sleep 300' "$T" >/dev/null 2>&1 </dev/null &
           while [ ! -s "$T/daemon" ]; do sleep 0.05; done"#,
    );
    host.guest("prepare begin").run().succeeds();
    let daemon = pid(&host, "daemon");
    thread::sleep(Duration::from_millis(200));
    assert!(is_alive(daemon));
    end(daemon);
}

#[test]
fn what_never_stops_printing_holds_nobody_up() {
    let host = Host::new();
    host.script(
        "before_vm_start/10-x",
        r#"for n in 1 2 3 4; do yes & echo $! >>"$T/pids"; yes >&2 & echo $! >>"$T/pids"; done"#,
    );
    host.script("before_vm_start/20-x", "sleep 0.2; log ran");
    let answer = host.guest("prepare begin").start();
    let answer = answer.wait_and_tidy(|| {
        for pid in host.read_text("pids").lines() {
            end(pid.parse().unwrap());
        }
    });
    answer.succeeds().took_less_than(30);
    assert_eq!(host.log(), ["ran"]);
}

#[test]
fn a_failed_hook_may_leave_something_running_too() {
    let host = Host::new();
    host.script("before_vm_start/10-x", "sleep 300 & echo $! >\"$T/helper\"; echo no >&2; exit 3");
    let answer = host.guest("prepare begin").run();
    answer.fails(3, &["10-x: exit status 3", ": no"]).took_less_than(30);
    let helper = pid(&host, "helper");
    assert!(is_alive(helper));
    end(helper);
}

#[test]
fn with_kill_leftovers_nothing_is_left_running() {
    let host = Host::new();
    host.settings("kill_leftovers: true");
    host.script(
        "before_vm_start/10-x",
        r#"sleep 300 & echo $! >"$T/plain"
           setsid sh -c 'echo $$ >"$0/session"; exec sleep 300' "$T" >/dev/null 2>&1 &
           while [ ! -s "$T/session" ]; do sleep 0.05; done"#,
    );
    host.follow(&["before_vm_start/20-x"]);
    host.guest("prepare begin").run().succeeds().took_less_than(30);
    assert_eq!(host.log(), ["before_vm_start/20-x"]);
    for name in ["plain", "session"] {
        assert!(!is_alive(pid(&host, name)), "{name} is left");
    }
}

// --- limits in time -----------------------------------------------------------------------------

// L6
#[test]
fn a_hook_that_hangs_is_ended_at_its_timeout_and_the_rest_runs() {
    let host = Host::new();
    host.settings("timeout: 1s");
    host.script(
        "before_vm_start/10-x",
        r#"trap 'log got TERM; exit 0' TERM; echo waiting for a lock >&2
           while :; do sleep 0.1; done"#,
    );
    host.follow(&["before_vm_start/20-x"]);
    let answer = host.guest("prepare begin").run();
    answer.fails(
        124,
        &["hookmux: before_vm_start/10-x: timed out after 1.0 s", "waiting for a lock"],
    );
    answer.never_says("called libvirt");
    assert_eq!(host.log(), ["got TERM", "before_vm_start/20-x"]);
}

// L6
#[test]
fn what_ignores_sigterm_is_killed_in_other_sessions_too() {
    let host = Host::new();
    host.settings("timeout: 1s");
    host.script(
        "before_vm_start/10-x",
        r#"stubborn='trap "" TERM HUP INT; echo $$ >"$0/$1"; while :; do sleep 0.2; done'
           setsid sh -c "$stubborn" "$T" session >/dev/null 2>&1 </dev/null &
           # an orphan in a session of its own
           ( setsid sh -c "$stubborn" "$T" orphan >/dev/null 2>&1 </dev/null & )
           sh -c "$stubborn" "$T" child &
           trap '' TERM
           while :; do sleep 0.2; done"#,
    );
    let answer = host.guest("prepare begin").run();
    answer.fails(124, &["before_vm_start/10-x: timed out after 1.0 s"]).took_less_than(40);
    assert!(answer.took >= Duration::from_secs(5), "SIGKILL comes 5 s after SIGTERM: {answer:?}");
    for name in ["session", "orphan", "child"] {
        assert!(!is_alive(pid(&host, name)), "{name} is left");
    }
}

#[test]
fn a_timeout_of_a_live_hook_costs_nothing_but_the_time() {
    let host = Host::new();
    host.settings("timeout: 500ms");
    host.script("after_vm_start/10-x", "exec sleep 300");
    host.follow(&["after_vm_start/20-x"]);
    host.guest("started begin").run().succeeds().took_less_than(30);
    assert_eq!(host.log(), ["after_vm_start/20-x"]);
}

#[test]
fn a_stopped_hook_is_ended_at_its_timeout() {
    let host = Host::new();
    host.settings("timeout: 1s");
    host.script("before_vm_start/10-x", "echo $$ >\"$T/hook\"; kill -STOP $$");
    host.guest("prepare begin").run().fails(124, &["timed out"]).took_less_than(30);
    assert!(!is_alive(pid(&host, "hook")));
}

#[test]
fn no_limit_of_its_own_leaves_the_calls() {
    let host = Host::new();
    host.settings("timeout: 0\ntotal_timeout: 2s");
    host.script("before_vm_start/10-x", "exec sleep 300");
    host.guest("prepare begin").run().fails(124, &["timed out after 2.0 s"]).took_less_than(30);
}

#[test]
fn what_the_calls_time_leaves_unrun_fails_a_gate_and_is_skipped_elsewhere() {
    let host = Host::new();
    host.settings("timeout: 0\ntotal_timeout: 1s");
    for event in ["before_vm_start", "after_vm_start", "after_vm_stop"] {
        host.script(format!("{event}/10-x"), "log ran; sleep 0.5");
        host.script(format!("{event}/20-x"), "log ran; exec sleep 300");
        host.follow(&[&format!("{event}/30-x"), &format!("{event}/40-x")]);
    }
    let answer = host.guest("prepare begin").run();
    answer.fails(124, &["20-x: timed out", "30-x: not run", "40-x: not run"]).never_says("10-x");
    answer.took_less_than(30);
    assert_eq!(host.log(), ["ran", "ran"]);
    host.guest("started begin").run().succeeds();
    assert_eq!(host.log(), ["ran", "ran"]);
    host.guest("stopped end").run().fails(124, &["20-x: timed out"]).never_says("30-x");
    assert_eq!(host.log(), ["ran", "ran"]);
}

#[test]
fn a_process_that_uses_libvirts_library_is_diagnosed() {
    let host = Host::new();
    host.settings("timeout: 1s");
    // what maps a file of the library's name, without the library
    let Ok(python) = std::process::Command::new("python3").arg("--version").output() else {
        return crate::support::skip("no python3");
    };
    assert!(python.status.success());
    std::fs::write(host.path("libvirt.so.0"), vec![0; 8192]).unwrap();
    host.script(
        "before_vm_start/10-x",
        r#"exec python3 -c '
import mmap, sys, time
with open(sys.argv[1] + "/libvirt.so.0", "rb") as library:
    held = mmap.mmap(library.fileno(), 0, prot=mmap.PROT_READ)
open(sys.argv[1] + "/mapped", "w").write("yes")
time.sleep(300)' "$T""#,
    );
    // python may take its time: what counts is what it has mapped by then
    for timeout in [1, 5, 20] {
        host.settings(&format!("timeout: {timeout}s"));
        let answer = host.guest("prepare begin").run();
        answer.fails(124, &["timed out"]);
        if host.read_text("mapped") == "yes" && answer.stderr.contains("called libvirt") {
            answer.fails(124, &["it called libvirt, which is waiting for this hook"]);
            return;
        }
    }
    panic!("never diagnosed");
}

// --- output and input ---------------------------------------------------------------------------

// L5: 4 MiB of it disconnect libvirt's client
#[test]
fn a_hundred_megabytes_of_output_neither_block_nor_grow_hookmux() {
    let host = Host::new();
    // what it takes without output is mostly the mapped binary, which a debug build has a lot of
    let mut without = 0;
    for (bytes, stream) in [(0, "1"), (100_000_000, "1"), (100_000_000, "2")] {
        host.script(
            "before_vm_start/10-x",
            &format!(
                "yes 0123456789 | head -c {bytes} >&{stream}; echo >&2; echo last >&2; exit 3"
            ),
        );
        host.script("before_vm_start/20-x", "grep VmHWM /proc/$PPID/status >\"$T/peak\"");
        let answer = host.guest("prepare begin").run();
        answer.fails(3, &[": last"]).took_less_than(50);
        let peak = host.read_text("peak");
        let kilobytes: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
        if bytes == 0 {
            without = kilobytes;
        }
        assert!(kilobytes < without + 4 * 1024, "stream {stream}: {without}, {kilobytes} KiB");
    }
}

#[test]
fn a_hook_that_closes_its_output_is_waited_for_nevertheless() {
    let host = Host::new();
    host.script("before_vm_start/10-x", "exec >&- 2>&-; sleep 0.5; log ended; exit 3");
    host.guest("prepare begin").run().fails(3, &["exit status 3"]);
    assert_eq!(host.log(), ["ended"]);
}

// L3
#[test]
fn a_hook_that_reads_nothing_of_four_mebibytes_hinders_nobody() {
    let host = Host::new();
    host.follow(&["qemu.d/g/prepare/begin/10-x", "before_vm_start/10-x"]);
    host.script("qemu.d/g/prepare/begin/20-x", "log $(wc -c)");
    let document = GUEST.replace("<devices>", &format!("<devices><!--{}-->", "x".repeat(4 << 20)));
    let length = document.len();
    host.guest("prepare begin").stdin(document).run().succeeds().took_less_than(30);
    assert_eq!(host.log()[2], length.to_string(), "from its beginning for each");
}

// --- starting -----------------------------------------------------------------------------------

#[test]
fn a_script_that_is_being_written_is_tried_again() {
    let host = Host::new();
    let place = host.hook("before_vm_start/20-x");
    // held open for writing when it is first tried, and closed a little later
    let hold = r#"( exec 9>>"${0%/*}/20-x"; : >"$T/held"; sleep 0.03 ) >/dev/null 2>&1 &
        while [ ! -e "$T/held" ]; do sleep 0.005; done; rm "$T/held""#;
    host.script("before_vm_start/10-x", hold);
    let mut said = String::new();
    for _ in 0..10 {
        host.follow(&["before_vm_start/20-x"]);
        let answer = host.guest("prepare begin").run();
        if answer.status == Some(0) {
            assert_eq!(host.log(), ["before_vm_start/20-x"]);
            return;
        }
        // on a loaded machine the writer may take longer than the tries
        answer.fails(126, &["20-x: can't be executed"]);
        said = answer.stderr;
        thread::sleep(Duration::from_millis(100));
    }
    panic!("{} was never run: {said}", place.display());
}

#[test]
fn a_script_that_stays_open_for_writing_fails() {
    let host = Host::new();
    host.script("before_vm_start/10-x", ":");
    let held = OpenOptions::new().append(true).open(host.hook("before_vm_start/10-x")).unwrap();
    let answer = host.guest("prepare begin").run();
    answer.fails(126, &["before_vm_start/10-x: can't be executed: Text file busy"]);
    drop(held);
    host.guest("prepare begin").run().succeeds();
}

// --- signals to hookmux -------------------------------------------------------------------------

#[test]
fn sigterm_ends_the_hook_and_starts_no_other() {
    for (call, event, status) in [
        ("prepare begin", "before_vm_start", 143),
        ("started begin", "after_vm_start", 0),
        ("stopped end", "after_vm_stop", 143),
    ] {
        let host = Host::new();
        host.script(
            format!("{event}/10-x"),
            r#"trap 'log got TERM; exit 0' TERM; echo $$ >"$T/hook"
               setsid sh -c 'echo $$ >"$0/session"; exec sleep 300' "$T" >/dev/null 2>&1 &
               while [ ! -s "$T/session" ]; do sleep 0.05; done
               log started; while :; do sleep 0.1; done"#,
        );
        host.follow(&[&format!("{event}/20-x")]);
        let mut running = host.guest(call).start();
        running.until_logged("started");
        running.signal(Signal::SIGTERM);
        let answer = running.wait();
        assert_eq!(answer.status, Some(status), "{call}: {answer:?}");
        assert!(answer.took_less_than(40).stdout.is_empty());
        assert_eq!(host.log(), ["started", "got TERM"], "{call}");
        for name in ["hook", "session"] {
            assert!(!is_alive(pid(&host, name)), "{name} is left at {call}");
        }
        if status != 0 {
            answer.fails(143, &[&format!("hookmux: {event}/10-x: "), "SIGTERM"]);
        }
    }
}

#[test]
fn sigterm_at_restore_is_answered_at_prepare() {
    let host = Host::new();
    host.script("before_vm_dehibernate/10-x", "log started; exec sleep 300");
    let mut running = host.guest("restore begin").start();
    running.until_logged("started");
    running.signal(Signal::SIGTERM);
    running.wait().succeeds();
    host.guest("prepare begin").run().fails(143, &["before_vm_dehibernate/10-x", "SIGTERM"]);
}

#[test]
fn a_hook_that_ignores_sigterm_is_killed_after_five_seconds() {
    let host = Host::new();
    host.script(
        "before_vm_start/10-x",
        "trap '' TERM; echo $$ >\"$T/hook\"; log started; while :; do sleep 0.1; done",
    );
    let mut running = host.guest("prepare begin").start();
    running.until_logged("started");
    let began = Instant::now();
    running.signal(Signal::SIGTERM);
    running.wait().fails(143, &[]).took_less_than(50);
    assert!(began.elapsed() >= Duration::from_secs(4));
    assert!(!is_alive(pid(&host, "hook")));
}

#[test]
fn interrupt_hangup_and_quit_end_nothing() {
    let host = Host::new();
    host.script(
        "before_vm_start/10-x",
        "log started; while [ ! -e \"$T/go\" ]; do sleep 0.05; done; log ended",
    );
    host.follow(&["before_vm_start/20-x"]);
    let mut running = host.guest("prepare begin").start();
    running.until_logged("started");
    for signal in [Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        running.signal(signal);
    }
    thread::sleep(Duration::from_millis(200));
    std::fs::write(host.path("go"), "").unwrap();
    running.wait().succeeds();
    assert_eq!(host.log(), ["started", "ended", "before_vm_start/20-x"]);
}

#[test]
fn a_hook_cannot_end_libvirtd_by_signalling_its_own_group() {
    let host = Host::new();
    host.script("before_vm_start/10-x", "kill -TERM 0; sleep 60");
    let answer = host.guest("prepare begin").run();
    answer.fails(143, &["before_vm_start/10-x: killed by signal 15 (SIGTERM)"]);
}

#[test]
fn nothing_of_a_hooks_is_left_as_a_zombie_for_the_next() {
    let host = Host::new();
    host.script(
        "before_vm_start/10-x",
        "for n in 1 2 3 4 5; do ( sleep 0.01 & ) ; done; sleep 0.1",
    );
    host.script(
        "before_vm_start/20-x",
        "for stat in /proc/[0-9]*/stat; do grep -s \") Z $PPID \" \"$stat\" >>\"$T/log\"; done; exit 0",
    );
    host.guest("prepare begin").run().succeeds();
    assert_eq!(host.log(), [""; 0]);
}

#[test]
fn sigterm_ends_a_call_that_still_waits_for_its_document() {
    let host = Host::new();
    host.follow(&["before_vm_start/10-x", "after_vm_start/10-x"]);
    for (call, status) in [("prepare begin", 143), ("started begin", 0)] {
        let running = host.guest(call).endless_stdin("<domain>").start();
        std::thread::sleep(Duration::from_millis(300));
        running.signal(Signal::SIGTERM);
        let answer = running.wait();
        assert_eq!(answer.status, Some(status), "{answer:?}");
        answer.took_less_than(8);
    }
    assert!(host.log().is_empty());
}

#[test]
fn hundreds_of_processes_that_ignore_sigterm_end_and_none_is_called_unkillable() {
    let host = Host::new();
    host.settings("timeout: 2s");
    // what ignores a signal has children that do
    host.script(
        "before_vm_start/10-x",
        "trap '' TERM; i=0; while [ $i -lt 600 ]; do sleep 1000 & echo $! >> \"$T/pids\"; i=$((i + 1)); done; wait",
    );
    let answer = host.guest("prepare begin").run();
    answer.fails(124, &["timed out after 2"]).never_says("killed");
    let pids: Vec<i32> = host.read_text("pids").lines().map(|pid| pid.parse().unwrap()).collect();
    assert!(!pids.is_empty());
    assert!(!pids.iter().any(|pid| is_alive(*pid)));
}
