//! A fault of hookmux's own ends in its call's answer: it must not kill a guest.

use crate::support::Host;

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
