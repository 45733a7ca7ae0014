//! The signals of this process, from its first instruction on.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

/// The size of the kernel's signal set: 64 bits. The functions on `sigset_t` don't let us block the signals
/// that the C library uses itself, and these end a process too.
const SET_BYTES: usize = 8;

/// The signals that were blocked when this process began.
static INHERITED: AtomicU64 = AtomicU64::new(0);

const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Signals that the kernel sends for a fault of the process itself; where they are blocked, it ends the process.
const FAULT_SIGNALS: u64 = bit(libc::SIGSEGV)
    | bit(libc::SIGBUS)
    | bit(libc::SIGABRT)
    | bit(libc::SIGILL)
    | bit(libc::SIGFPE)
    | bit(libc::SIGSYS)
    | bit(libc::SIGTRAP);

/// The signals with which the C libraries cancel threads: glibc's, and musl's. They unblock them in every new
/// thread, and don't allow them in `sigaction(2)`.
const CANCEL_SIGNALS: [i32; 2] = [32, 33];

/// Sets the action of the signals with which the C libraries cancel threads. `SIG_IGN`: nothing cancels threads
/// here, and such a signal would end the process. `SIG_DFL`: the action before, for a program that is to be
/// executed. Async-signal-safe.
pub(super) fn set_cancel_signals(handler: libc::sighandler_t) {
    // no flags; the kernel's structure is shorter than this on every architecture
    let action = [handler, 0, 0, 0, 0, 0, 0, 0];
    for signal in CANCEL_SIGNALS {
        // SAFETY: the kernel reads its structure from the array, and a set of the given size.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                action.as_ptr(),
                ptr::null_mut::<usize>(),
                SET_BYTES,
            );
        }
    }
}

/// Blocks every signal that isn't a fault. The C library calls this before `main` and the runtime: a signal
/// that comes with the first instruction must not end a call.
pub extern "C" fn block_at_start() {
    let blocked = !FAULT_SIGNALS;
    let mut before = 0_u64;
    // SAFETY: both sets have the given size.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const blocked,
            &raw mut before,
            SET_BYTES,
        );
    }
    set_cancel_signals(libc::SIG_IGN);
    INHERITED.store(before, Ordering::Relaxed);
}

/// Restores the signal mask with which a person's command was started.
pub fn restore_inherited() {
    set_cancel_signals(libc::SIG_DFL);
    let inherited = INHERITED.load(Ordering::Relaxed);
    // SAFETY: the set has the given size.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const inherited,
            ptr::null_mut::<u64>(),
            SET_BYTES,
        );
    }
}

/// Tells whether a blocked signal is pending.
pub(crate) fn is_pending(signal: libc::c_int) -> bool {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the set is read only where the call has filled it.
    unsafe {
        libc::sigpending(set.as_mut_ptr()) == 0 && libc::sigismember(set.as_ptr(), signal) == 1
    }
}
