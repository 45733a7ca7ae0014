//! The answer to libvirt if hookmux itself crashes. Installed before anything else.

use std::panic;

use crate::libvirt::{Call, Class, Operation};
use crate::machine::sys::{self, Cause};
use crate::machine::watchdog;
use crate::process::exit_status::{OWN_TROUBLE, TERMINATED};

/// Makes every crash of this process end with the right answer for the call: a bug of ours must not kill a
/// guest. A panic reports its place, in one write without waiting: standard error may be closed or full.
pub(crate) fn guard(call: &Call) {
    let status = status(call);
    sys::answer_faults_with(status, terminated_status(call));
    panic::set_hook(Box::new(move |panic| {
        if status != 0 {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            sys::say(format!("hookmux: a fault of hookmux's own, at {place}\n").as_bytes());
        }
        sys::end(Cause::Fault);
    }));
    watchdog::start(status != 0);
}

/// Does the same for the program that takes over: every crash ends with this status.
pub(crate) fn guard_with(status: i32) {
    sys::answer_faults_with(status, status);
    panic::set_hook(Box::new(|_| sys::end(Cause::Fault)));
    watchdog::start(false);
}

/// Returns the exit status of a crash. At `restore` it is 0: a failure there can delete the guest's saved
/// state, and the failure for `prepare` has been stored before the first hook ran.
fn status(call: &Call) -> i32 {
    match call.class() {
        Class::Gate if call.operation() != Operation::Restore => OWN_TROUBLE,
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
        Ok("wait") => std::thread::sleep(std::time::Duration::from_secs(600)),
        _ => {}
    }
}

/// Does nothing in release builds.
#[cfg(not(debug_assertions))]
pub fn inject(_place: &str) {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libvirt::Driver;

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
}
