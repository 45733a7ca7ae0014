//! The only unsafe code: system calls that neither the standard library nor nix offers.
#![allow(unsafe_code)]

mod become_user;
mod drain;
mod fault;
mod label;
mod local_time;
mod signals;
mod spawn;
mod start_context;
mod watch;

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use libc::{c_int, c_uint};

pub(crate) use drain::drain_in_background;
pub(crate) use fault::{
    EndCause, RollbackHandle, add_rollback, end_call, install_fault_handlers, mark_rolled_back,
    prepare_take_over, process_ended, set_final_status,
};
pub(crate) use label::{selinux_context, set_selinux_context};
pub(crate) use local_time::{LocalTime, local_time, unix_seconds_of};
pub(crate) use signals::is_pending;
pub use signals::{block_at_start, restore_inherited};
pub(crate) use spawn::spawn;
pub(crate) use start_context::remember_start_context;
pub(crate) use watch::{
    inherit_oom_score, lower_oom_score, main_thread_switches, pause, processor_limit,
    processor_time, start_thread,
};

/// Opens a handle on a process, which never comes to mean another process.
///
/// # Errors
/// As of `pidfd_open(2)`.
pub(crate) fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed; the descriptor that comes back is ours alone.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// Returns the file that the replaced process hands over to the program that takes over.
///
/// # Errors
/// No file is open under this number.
pub(crate) fn take_over_descriptor(descriptor: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: asking for a descriptor's flags changes nothing. Only the program that takes over
    // asks, once and before it opens anything: nobody else in it owns this descriptor.
    unsafe {
        if descriptor < 3 || libc::fcntl(descriptor, libc::F_GETFD) < 0 {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        Ok(OwnedFd::from_raw_fd(descriptor))
    }
}

/// Sends a signal to the process of a handle.
///
/// # Errors
/// As of `pidfd_send_signal(2)`.
pub(crate) fn pidfd_signal(pidfd: BorrowedFd<'_>, signal: c_int) -> io::Result<()> {
    // SAFETY: a null siginfo asks the kernel to fill in its own.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Returns standard input without the buffer of the standard library's handle.
pub(crate) fn standard_input() -> BorrowedFd<'static> {
    // SAFETY: descriptor 0 is open for the life of the process: the runtime opens /dev/null where
    // a caller left it closed, and nothing here closes it.
    unsafe { BorrowedFd::borrow_raw(0) }
}

/// Reads once into a buffer's spare capacity. Touches no more of it than is read.
///
/// # Errors
/// As of `read(2)`.
pub(crate) fn read_into_room(fd: BorrowedFd<'_>, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let room = buffer.spare_capacity_mut();
    // SAFETY: the kernel writes into the spare capacity only, and what it says that it wrote is
    // initialised then.
    unsafe {
        let got = libc::read(fd.as_raw_fd(), room.as_mut_ptr().cast(), room.len());
        let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
        buffer.set_len(buffer.len() + got);
        Ok(got)
    }
}

/// Fills a buffer with random bytes; returns `false` where the kernel has none yet, or can't give them without a file.
pub(crate) fn fill_with_random(buffer: &mut [u8]) -> bool {
    // SAFETY: the kernel writes into the buffer only.
    let got =
        unsafe { libc::getrandom(buffer.as_mut_ptr().cast(), buffer.len(), libc::GRND_NONBLOCK) };
    usize::try_from(got).is_ok_and(|got| got == buffer.len())
}

/// Sends a signal to a process by its pid. Never to a group: ours is libvirtd's.
///
/// # Errors
/// As of `kill(2)`; `EINVAL` for a number that isn't a single process.
pub(crate) fn signal(pid: i32, signal: c_int) -> io::Result<()> {
    if pid <= 1 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: no memory is passed.
    let result = unsafe { libc::kill(pid, signal) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Restores the default action of SIGCHLD: a caller may have left it ignored, and then the kernel forgets how
/// children ended.
pub(crate) fn restore_sigchld() {
    // SAFETY: the default disposition needs no handler.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
    }
}

/// Marks all descriptors from `first` on as close-on-exec, so that a hook inherits nothing that a caller
/// left open. Kernels before 5.11 can't do that; libvirt leaves none open.
pub(crate) fn close_on_exec_from(first: c_uint) {
    // SAFETY: only descriptor flags change.
    unsafe {
        libc::syscall(libc::SYS_close_range, first, c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
}

/// Writes to standard error, once. Errors and short writes are ignored.
pub(crate) fn write_stderr(bytes: &[u8]) {
    // SAFETY: the bytes outlive the call.
    unsafe {
        libc::write(2, bytes.as_ptr().cast(), bytes.len());
    }
}

/// Ends the process at once: runs no destructor, waits for no thread.
pub(crate) fn exit_now(status: i32) -> ! {
    // SAFETY: _exit has no precondition.
    unsafe { libc::_exit(status) }
}

/// Formats a number in decimal digits, without an allocation.
fn decimal(number: c_int, buffer: &mut [u8; 12]) -> &[u8] {
    let mut at = buffer.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        buffer[at] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        at -= 1;
        buffer[at] = b'-';
    }
    &buffer[at..]
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChildExit {
    Exited(i32),
    Killed(i32),
}

/// How often the kernel is asked how a child ended.
const MAX_WAITID_TRIES: u32 = 3;

/// Returns how a child ended; `None` where it runs. It stays a zombie, so that its pid can't come to mean
/// another process before [`reap`].
///
/// SIGCHLD comes only once: where the call fails, it is repeated at once.
pub(crate) fn child_exit(pid: i32) -> Option<ChildExit> {
    // SAFETY: the structure is plain data, and outlives the call; its fields are read only where
    // the kernel says that they are set.
    unsafe {
        let mut info: libc::siginfo_t = MaybeUninit::zeroed().assume_init();
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        let mut ask = || libc::waitid(libc::P_PID, pid as libc::id_t, &raw mut info, options);
        let is_answered = (0..MAX_WAITID_TRIES).any(|_| ask() == 0);
        if !is_answered || info.si_pid() != pid {
            return None;
        }
        Some(match info.si_code {
            libc::CLD_EXITED => ChildExit::Exited(info.si_status()),
            _ => ChildExit::Killed(info.si_status()),
        })
    }
}

/// Reaps a child, if it has ended; tells whether it had.
pub(crate) fn reap(pid: i32) -> bool {
    // SAFETY: a null status is allowed.
    unsafe { libc::waitpid(pid, ptr::null_mut(), libc::WNOHANG | libc::__WALL) == pid }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_without_an_allocation() {
        for number in [0, 7, 1000, -1000, c_int::MAX, c_int::MIN] {
            assert_eq!(decimal(number, &mut [0; 12]), number.to_string().as_bytes());
        }
    }
}
