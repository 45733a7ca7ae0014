//! The answer to libvirt if hookmux itself crashes. Installed before anything else.

use std::panic;

use crate::libvirt::{Call, Class, Operation};
use crate::machine::sys::{self, EndCause};
use crate::machine::watchdog;
use crate::process::exit_status::{OWN_ERROR, TERMINATED};

/// Makes every crash of this process end with the right answer for the call: a bug of ours must not kill a
/// guest. A panic reports its place, in one write without waiting: standard error may be closed or full.
pub(crate) fn guard(call: &Call) {
    let status = status(call);
    sys::install_fault_handlers(status, terminated_status(call));
    panic::set_hook(Box::new(move |panic| {
        if status != 0 {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            sys::write_stderr(
                format!("hookmux: a fault of hookmux's own, at {place}\n").as_bytes(),
            );
        }
        sys::end_call(EndCause::Fault);
    }));
    watchdog::start(status != 0);
}

/// Does the same for the program that takes over: every crash ends with this status.
pub(crate) fn guard_with(status: i32) {
    sys::install_fault_handlers(status, status);
    panic::set_hook(Box::new(|_| sys::end_call(EndCause::Fault)));
    watchdog::start(false);
}

/// Returns the exit status of a crash. At `restore` it is 0: a failure there can delete the guest's saved
/// state, and the failure for `prepare` has been stored before the first hook ran.
fn status(call: &Call) -> i32 {
    match call.class() {
        Class::Gate if call.operation() != Operation::Restore => OWN_ERROR,
        _ => 0,
    }
}

/// Returns the exit status after SIGTERM.
fn terminated_status(call: &Call) -> i32 {
    match call.class() {
        Class::Live => 0,
        Class::Gate if call.operation() == Operation::Restore => 0,
        Class::Gate | Class::Notify => TERMINATED,
    }
}

/// Crashes in the way that `HOOKMUX_FAULT` names, at the place that `HOOKMUX_FAULT_AT` names, for tests of
/// the answer. Not in release builds.
#[cfg(debug_assertions)]
#[allow(clippy::panic, unconditional_recursion)]
pub(crate) fn inject(place: &str) {
    fn overflow(depth: &mut [u8; 4096]) -> u8 {
        let mut deeper = [depth[0].wrapping_add(1); 4096];
        overflow(&mut deeper).wrapping_add(deeper[17])
    }
    if std::env::var("HOOKMUX_FAULT_AT").as_deref().unwrap_or("start") != place {
        return;
    }
    match std::env::var("HOOKMUX_FAULT").as_deref() {
        Ok("panic") => panic!("asked for"),
        Ok("abort") => std::process::abort(),
        Ok("overflow") => drop(overflow(&mut [0; 4096])),
        Ok("memory") => drop(std::hint::black_box(vec![1_u8; usize::MAX >> 2])),
        Ok("loop") => loop {
            std::hint::black_box(0);
        },
        Ok("wait") => {
            // the file says that it waits
            if let Some(path) = std::env::var_os("HOOKMUX_FAULT_FILE") {
                let _ = std::fs::write(path, "");
            }
            std::thread::sleep(std::time::Duration::from_secs(600));
        }
        _ => {}
    }
}

/// Does nothing in release builds.
#[cfg(not(debug_assertions))]
pub(crate) fn inject(_place: &str) {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libvirt::Driver;
    use crate::libvirt::operation::TABLE;

    #[test]
    fn a_fault_never_ends_what_runs_and_never_opens_a_gate() {
        for (driver, words, fault, terminated) in [
            (Driver::Qemu, ["g", "prepare", "begin", "-"], 125, 143),
            (Driver::Qemu, ["g", "restore", "begin", "-"], 0, 0),
            (Driver::Qemu, ["g", "started", "begin", "-"], 0, 0),
            (Driver::Qemu, ["g", "stopped", "end", "-"], 0, 143),
            (Driver::Network, ["n", "port-created", "begin", "-"], 125, 143),
            (Driver::Daemon, ["-", "start", "-", "start"], 0, 143),
        ] {
            let call = Call::new(driver, words.map(Into::into).into());
            assert_eq!((status(&call), terminated_status(&call)), (fault, terminated), "{words:?}");
        }
    }

    /// What libvirt gets where this process falls over, and where SIGTERM ended its work.
    #[rustfmt::skip]
    const ANSWERS: &[(&[Driver], &str, i32, i32)] = &[
        (Driver::GUESTS,     "prepare",      125, 143),
        (Driver::GUESTS,     "start",        125, 143),
        (Driver::GUESTS,     "started",      0,   0),
        (Driver::GUESTS,     "stopped",      0,   143),
        (Driver::GUESTS,     "release",      0,   143),
        (Driver::GUESTS,     "migrate",      125, 143),
        // a failure here can cost the guest's saved state: it is answered at `prepare`
        (Driver::GUESTS,     "restore",      0,   0),
        (Driver::GUESTS,     "reconnect",    0,   0),
        (Driver::GUESTS,     "attach",       0,   0),
        (&[Driver::Network], "start",        125, 143),
        (&[Driver::Network], "started",      0,   0),
        (&[Driver::Network], "stopped",      0,   143),
        (&[Driver::Network], "updated",      0,   0),
        (&[Driver::Network], "port-created", 125, 143),
        (&[Driver::Network], "plugged",      125, 143),
        (&[Driver::Network], "port-deleted", 0,   143),
        (&[Driver::Network], "unplugged",    0,   143),
        (&[Driver::Daemon],  "start",        0,   143),
        (&[Driver::Daemon],  "shutdown",     0,   143),
        (&[Driver::Daemon],  "reload",       0,   143),
    ];

    #[test]
    fn every_operation_of_every_driver_has_its_answer_to_a_fault_and_to_sigterm() {
        let mut seen = Vec::new();
        for row in TABLE {
            for driver in row.drivers {
                let of_row = |(drivers, name, ..): &&(&[Driver], &str, i32, i32)| {
                    drivers.contains(driver) && *name == row.name
                };
                let answers: Vec<_> = ANSWERS.iter().filter(of_row).collect();
                let [(_, name, fault, terminated)] = answers[..] else {
                    panic!("{driver} {} has {} lines in this test", row.name, answers.len());
                };
                let sub = row.sub.unwrap_or("-");
                let call = Call::new(*driver, ["x", name, sub, "-"].map(Into::into).into());
                let statuses = (status(&call), terminated_status(&call));
                assert_eq!(statuses, (*fault, *terminated), "{driver} {name}");
                seen.push((*driver, *name));
            }
        }
        for (drivers, name, ..) in ANSWERS {
            for driver in *drivers {
                assert!(seen.contains(&(*driver, name)), "libvirt has no {driver} {name}");
            }
        }
    }

    #[test]
    fn at_what_is_not_known_a_fault_changes_nothing() {
        for driver in Driver::ALL {
            for words in [&[][..], &["x"], &["x", "paused", "begin"], &["x", "prepare", "later"]] {
                let call = Call::new(driver, words.iter().map(Into::into).collect());
                assert_eq!((status(&call), terminated_status(&call)), (0, 0), "{driver} {words:?}");
            }
        }
    }
}
