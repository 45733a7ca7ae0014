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
    INHERITED.store(before, Ordering::Relaxed);
}

/// Gives a command of a person's the signals back that it was started with.
pub fn restore_inherited() {
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
pub fn is_pending(signal: libc::c_int) -> bool {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the set is read only where the call has filled it.
    unsafe {
        libc::sigpending(set.as_mut_ptr()) == 0 && libc::sigismember(set.as_ptr(), signal) == 1
    }
}
