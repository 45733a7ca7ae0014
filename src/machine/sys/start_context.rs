//! The working directory and the umask with which this process was started: a drop-in inherits both.

use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use libc::c_int;

/// A descriptor of the directory; negative where none was remembered.
static DIRECTORY_FD: AtomicI32 = AtomicI32::new(-1);
/// The umask; [`UNKNOWN_UMASK`] where none was remembered.
static UMASK: AtomicU32 = AtomicU32::new(UNKNOWN_UMASK);
/// Not a umask: those have nine bits.
const UNKNOWN_UMASK: u32 = u32::MAX;

/// Remembers both. To be called once, before either changes; the descriptor stays open as long as the process
/// lives.
pub(crate) fn remember_start_context() {
    // SAFETY: the path outlives the call. The umask is changed for a moment only, while no other thread
    // of this process makes files.
    unsafe {
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
        DIRECTORY_FD.store(libc::open(c".".as_ptr(), flags), Ordering::SeqCst);
        let mask = libc::umask(0o077);
        libc::umask(mask);
        UMASK.store(mask, Ordering::SeqCst);
    }
}

/// Restores both in a child, before its exec. Allocates nothing. Where the directory can't be entered, the
/// child stays where it is.
pub(super) fn restore_start_context() {
    let directory: c_int = DIRECTORY_FD.load(Ordering::SeqCst);
    let mask = UMASK.load(Ordering::SeqCst);
    // SAFETY: plain system calls without memory.
    unsafe {
        if directory >= 0 {
            libc::fchdir(directory);
        }
        if mask != UNKNOWN_UMASK {
            libc::umask(mask);
        }
    }
}
