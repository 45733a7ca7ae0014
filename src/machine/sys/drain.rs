//! A small process that stays behind and reads what other processes still write.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr;

use libc::c_uint;

/// What the child of [`drain_in_background`] needs, allocated before the fork.
struct Drain {
    polls: Vec<libc::pollfd>,
    keep: Vec<RawFd>,
    null: RawFd,
}

/// Starts a small process that reads these pipes to their end, so that a process that still writes to them
/// isn't killed by SIGPIPE. It keeps no other descriptor of ours, and none of libvirt's.
///
/// # Errors
/// As of `fork(2)`; the pipes are closed then.
pub(crate) fn drain_in_background(pipes: &[OwnedFd], null: BorrowedFd<'_>) -> io::Result<i32> {
    let mut keep: Vec<RawFd> = pipes.iter().map(AsRawFd::as_raw_fd).collect();
    keep.sort_unstable();
    let polls =
        keep.iter().map(|&fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 }).collect();
    let mut drain = Drain { polls, keep, null: null.as_raw_fd() };
    // SAFETY: the child allocates nothing and calls only async-signal-safe functions, as it must
    // where another thread may hold a lock at the fork.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => run_drain(&mut drain),
        pid => Ok(pid),
    }
}

fn run_drain(drain: &mut Drain) -> ! {
    // SAFETY: this is the child of a fork: everything here is a plain system call on memory that
    // was allocated before, and it ends by _exit.
    unsafe {
        libc::setsid();
        for stream in 0..3 {
            libc::dup2(drain.null, stream);
        }
        let mut from: RawFd = 3;
        for &fd in &drain.keep {
            if fd > from {
                libc::syscall(libc::SYS_close_range, from as c_uint, (fd - 1) as c_uint, 0);
            }
            from = fd + 1;
        }
        libc::syscall(libc::SYS_close_range, from as c_uint, c_uint::MAX, 0);
        let mut none = MaybeUninit::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
        libc::prctl(libc::PR_SET_NAME, c"hookmux-drain".as_ptr());
        let mut buffer = [0u8; 16384];
        let mut open = drain.polls.len();
        while open > 0 {
            let count = drain.polls.len() as libc::nfds_t;
            if libc::poll(drain.polls.as_mut_ptr(), count, -1) < 0
                && *libc::__errno_location() != libc::EINTR
            {
                break;
            }
            for poll in &mut drain.polls {
                if poll.fd < 0 || poll.revents == 0 {
                    continue;
                }
                let got = libc::read(poll.fd, buffer.as_mut_ptr().cast(), buffer.len());
                let again =
                    got < 0 && matches!(*libc::__errno_location(), libc::EAGAIN | libc::EINTR);
                if got <= 0 && !again {
                    libc::close(poll.fd);
                    poll.fd = -1;
                    open -= 1;
                }
            }
        }
        libc::_exit(0)
    }
}
