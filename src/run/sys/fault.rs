//! The end of a process that has fallen over.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use libc::c_int;

/// What a fault of our own ends in; [`answer_faults_with`] sets it.
static FAULT_STATUS: AtomicI32 = AtomicI32::new(0);

extern "C" fn on_fault(_signal: c_int) {
    // SAFETY: _exit is async-signal-safe, and nothing else is called.
    unsafe { libc::_exit(FAULT_STATUS.load(Ordering::Relaxed)) }
}

/// From here on a fault of this process (a segmentation fault, a stack overflow, a bus error, an
/// abort) ends it with `status` instead of a signal, which libvirt would take for a failure.
///
/// The main thread's alternate signal stack is the standard library's, made for stack overflows.
pub fn answer_faults_with(status: i32) {
    FAULT_STATUS.store(status, Ordering::Relaxed);
    // SAFETY: the handler does nothing but _exit; the structure is plain data.
    unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = on_fault as extern "C" fn(c_int) as usize;
        action.sa_flags = libc::SA_ONSTACK;
        libc::sigemptyset(&raw mut action.sa_mask);
        for signal in [
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGABRT,
            libc::SIGILL,
            libc::SIGFPE,
            libc::SIGSYS,
            libc::SIGTRAP,
        ] {
            libc::sigaction(signal, &raw const action, ptr::null_mut());
        }
    }
}
