//! The working directory and the umask that this process was started with: a drop-in finds both.

use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use libc::c_int;

/// A descriptor of the directory; negative where none was remembered.
static DIRECTORY: AtomicI32 = AtomicI32::new(-1);
/// The umask; [`UNKNOWN_MASK`] where none was remembered.
static MASK: AtomicU32 = AtomicU32::new(UNKNOWN_MASK);
/// No umask: those have nine bits.
const UNKNOWN_MASK: u32 = u32::MAX;

/// Remembers both. To be called once, before either is changed; the descriptor stays open as long as
/// the process.
pub(crate) fn remember_place() {
    // SAFETY: the path outlives the call. The umask is set for a moment only, while this process has
    // one thread that makes files.
    unsafe {
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
        DIRECTORY.store(libc::open(c".".as_ptr(), flags), Ordering::SeqCst);
        let mask = libc::umask(0o077);
        libc::umask(mask);
        MASK.store(mask, Ordering::SeqCst);
    }
}

/// Gives a child both, before its exec. Allocates nothing. A directory that nobody may enter is not
/// entered: the child stays where it is.
pub(super) fn restore_place() {
    let directory: c_int = DIRECTORY.load(Ordering::SeqCst);
    let mask = MASK.load(Ordering::SeqCst);
    // SAFETY: plain system calls without memory.
    unsafe {
        if directory >= 0 {
            libc::fchdir(directory);
        }
        if mask != UNKNOWN_MASK {
            libc::umask(mask);
        }
    }
}
