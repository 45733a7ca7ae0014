//! The signals of this process, from its first instruction on.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

/// Signals as the kernel has them: 64 bits. The C libraries hide those that they use themselves
/// from the functions on `sigset_t`, and these end a process too.
const SET_BYTES: usize = 8;

/// The signals that were blocked when this process began.
static INHERITED: AtomicU64 = AtomicU64::new(0);

const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// What the kernel sends for a fault of the process itself; blocked, it would end the process.
const FAULTS: u64 = bit(libc::SIGSEGV)
    | bit(libc::SIGBUS)
    | bit(libc::SIGABRT)
    | bit(libc::SIGILL)
    | bit(libc::SIGFPE)
    | bit(libc::SIGSYS)
    | bit(libc::SIGTRAP);

/// The signals with which the C libraries cancel threads: glibc's, and musl's. They let them through in
/// every new thread, and refuse them to `sigaction(2)`.
const CANCEL_THREADS: [i32; 2] = [32, 33];

/// Sets what the signals do with which the C libraries cancel threads: nothing (`SIG_IGN`), for nothing
/// cancels threads here, and one that comes would end the process; or in a program that is to be
/// executed what they did before (`SIG_DFL`). It is async-signal-safe.
pub(super) fn set_cancelling(handler: libc::sighandler_t) {
    // and no flags; the kernel's structure is shorter than this on every machine
    let action = [handler, 0, 0, 0, 0, 0, 0, 0];
    for signal in CANCEL_THREADS {
        // SAFETY: the kernel reads its structure from the array, and a set of the size that it is told.
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

/// Blocks every signal that isn't a fault. The program has the C library call it before `main` and
/// the runtime: a signal that comes with the first instruction must not end a call.
pub extern "C" fn block_at_start() {
    let blocked = !FAULTS;
    let mut before = 0_u64;
    // SAFETY: both sets have the size that the kernel is told.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const blocked,
            &raw mut before,
            SET_BYTES,
        );
    }
    set_cancelling(libc::SIG_IGN);
    INHERITED.store(before, Ordering::Relaxed);
}

/// Gives a command of a person's the signals back that it was started with.
pub fn restore_inherited() {
    set_cancelling(libc::SIG_DFL);
    let inherited = INHERITED.load(Ordering::Relaxed);
    // SAFETY: the set has the size that the kernel is told.
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

/// Whether a signal that is blocked has come.
pub(crate) fn is_pending(signal: libc::c_int) -> bool {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the set is read only where the call has filled it.
    unsafe {
        libc::sigpending(set.as_mut_ptr()) == 0 && libc::sigismember(set.as_ptr(), signal) == 1
    }
}
