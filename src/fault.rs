//! What a fault of our own answers libvirt. Installed before anything else is done.

use std::panic;

use crate::call;
use crate::libvirt::Call;
use crate::run::sys;

/// From here on every way in which this process can fall over ends in the call's own answer: a
/// bug of ours must not kill a guest. A panic says where it was, in one write whose end nobody waits
/// for: standard error may be gone or full.
pub fn guard(call: &Call) {
    let status = call::fault_status(call);
    sys::answer_faults_with(status);
    panic::set_hook(Box::new(move |panic| {
        if status != 0 {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            sys::say(format!("hookmux: a fault of hookmux's own, at {place}\n").as_bytes());
        }
        sys::exit_now(status);
    }));
}

/// Falls over in the way that `HOOKMUX_FAULT` names, so that tests can see what libvirt gets. Not
/// in release builds.
#[cfg(debug_assertions)]
#[allow(clippy::panic, unconditional_recursion)]
pub fn inject() {
    fn overflow(depth: &mut [u8; 4096]) -> u8 {
        let mut deeper = [depth[0].wrapping_add(1); 4096];
        overflow(&mut deeper).wrapping_add(deeper[17])
    }
    match std::env::var("HOOKMUX_FAULT").as_deref() {
        Ok("panic") => panic!("asked for"),
        Ok("abort") => std::process::abort(),
        Ok("overflow") => drop(overflow(&mut [0; 4096])),
        _ => {}
    }
}

/// Release builds have no such switch.
#[cfg(not(debug_assertions))]
pub fn inject() {}
