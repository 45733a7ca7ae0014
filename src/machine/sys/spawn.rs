//! Starts programs: a child shares our memory until its exec, as with `vfork(2)`. So the cost doesn't grow with
//! our size, and the child can become another user before the exec.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;
use std::sync::OnceLock;

use libc::{c_char, c_int};

use super::become_user::become_user;
use super::signals::set_cancel_signals;
use super::{fault, start_context, watch};
use crate::machine::privileges::{Privileges, ResourceLimits};

/// The child's stack until its exec: system calls need little.
const STACK_BYTES: usize = 32 * 1024;

/// Starts a program in a session of its own, with these three standard streams, with default signal actions
/// and no signal blocked. All other descriptors of ours are close-on-exec. Where a step before the exec
/// fails, the program isn't run. Until [`fault::process_ended`] it counts as a hook that runs.
///
/// # Errors
/// The `errno` of the clone or of the exec; for any other step an error that names it.
pub(crate) fn spawn(
    path: &CStr,
    arguments: &[CString],
    environment: &[CString],
    streams: [BorrowedFd<'_>; 3],
    privileges: &Privileges,
) -> io::Result<i32> {
    let argv = pointers(arguments);
    let envp = pointers(environment);
    let limits = rlimits(&privileges.limits);
    let child = Child {
        path: path.as_ptr(),
        argv: argv.as_ptr(),
        envp: envp.as_ptr(),
        streams: streams.map(|stream| stream.as_raw_fd()),
        limits: &limits,
        privileges,
        ignored: ignored_signals(),
        failed: Cell::new(None),
    };
    let mut stack = MaybeUninit::<[u8; STACK_BYTES]>::uninit();
    // SAFETY: with CLONE_VFORK this thread stands still until the child has executed its program
    // or ended, so that all that the child reads, its stack too, is there for as long as it needs
    // it. The child allocates nothing, takes no lock, and makes plain system calls. All signals but
    // faults are blocked in it until its exec, and the handlers of these do nothing in a child but end
    // it. The stack grows down from an address that is a multiple of 16.
    let pid = unsafe {
        let top = stack.as_mut_ptr().cast::<u8>().add(STACK_BYTES);
        let top = top.sub(top as usize % 16);
        let before = block_all_signals();
        let pid = libc::clone(
            enter,
            top.cast::<c_void>(),
            libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
            (&raw const child).cast_mut().cast::<c_void>(),
        );
        let error = io::Error::last_os_error();
        restore_mask(before);
        if pid < 0 {
            return Err(error);
        }
        pid
    };
    let Some(failed) = child.failed.get() else { return Ok(pid) };
    fault::process_ended(pid);
    // SAFETY: a null status is allowed; the child has ended.
    unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
    Err(match failed {
        SpawnFailure::Exec(error) => io::Error::from_raw_os_error(error),
        SpawnFailure::Step(step, error) => {
            io::Error::other(format!("{step}: {}", io::Error::from_raw_os_error(error)))
        }
    })
}

extern "C" fn enter(child: *mut c_void) -> c_int {
    // SAFETY: the pointer is that of the `Child` which `spawn` made for this child.
    unsafe {
        let child = &*child.cast::<Child<'_>>();
        let Err(failed) = child.run();
        child.failed.set(Some(failed));
        libc::_exit(127)
    }
}

/// Blocks all signals of this thread; returns those that were blocked.
fn block_all_signals() -> u64 {
    let (all, mut before) = (u64::MAX, 0_u64);
    // SAFETY: both sets have the given size.
    unsafe {
        let (all, before) = (&raw const all, &raw mut before);
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, all, before, size_of::<u64>());
    }
    before
}

fn restore_mask(before: u64) {
    // SAFETY: as above.
    unsafe {
        let (before, none) = (&raw const before, ptr::null_mut::<u64>());
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, before, none, size_of::<u64>());
    }
}

/// Returns the signals that this process ignores, one bit each: an exec leaves these as they are. It resets handlers by
/// itself; until then ours, which are for faults only, know a child and end it. Looked up once: nothing changes them
/// later.
fn ignored_signals() -> u64 {
    static IGNORED: OnceLock<u64> = OnceLock::new();
    *IGNORED.get_or_init(|| {
        (1..=64)
            .filter(|signal| is_ignored(*signal))
            .fold(0, |set, signal| set | (1 << (signal - 1)))
    })
}

fn is_ignored(signal: c_int) -> bool {
    // SAFETY: asking for a disposition changes none; the structure is plain data.
    unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        libc::sigaction(signal, ptr::null(), &raw mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}

fn rlimits(limits: &ResourceLimits) -> Vec<(c_int, libc::rlimit)> {
    [
        (libc::RLIMIT_NOFILE as c_int, limits.nofile),
        (libc::RLIMIT_AS as c_int, limits.address_space),
        (libc::RLIMIT_CPU as c_int, limits.cpu),
        (libc::RLIMIT_NPROC as c_int, limits.nproc),
    ]
    .into_iter()
    .filter_map(|(resource, limit)| {
        let limit = limit?;
        Some((resource, libc::rlimit { rlim_cur: limit, rlim_max: limit }))
    })
    .collect()
}

/// A child between the clone and the exec.
struct Child<'a> {
    path: *const c_char,
    argv: *const *mut c_char,
    envp: *const *mut c_char,
    streams: [RawFd; 3],
    limits: &'a [(c_int, libc::rlimit)],
    privileges: &'a Privileges,
    /// The signals that need their default action back, one bit each.
    ignored: u64,
    /// The step that failed, and `errno`: the child writes it, in our memory.
    failed: Cell<Option<SpawnFailure>>,
}

/// What a child could not do, and `errno`.
#[derive(Clone, Copy)]
enum SpawnFailure {
    /// A step before the exec, as messages name it.
    Step(&'static str, c_int),
    Exec(c_int),
}

impl Child<'_> {
    /// Returns only where a step failed.
    ///
    /// # Safety
    /// Only for the child of a clone.
    unsafe fn run(&self) -> Result<std::convert::Infallible, SpawnFailure> {
        // SAFETY: plain system calls on memory that was made before the clone.
        unsafe {
            let mut default: libc::sigaction = MaybeUninit::zeroed().assume_init();
            default.sa_sigaction = libc::SIG_DFL;
            for signal in (1..=64).filter(|signal| (self.ignored >> (signal - 1)) & 1 == 1) {
                check("sigaction", libc::sigaction(signal, &raw const default, ptr::null_mut()))?;
            }
            set_cancel_signals(libc::SIG_DFL);
            fault::process_started(libc::getpid());
            check("setsid", libc::setsid())?;
            for (target, stream) in (0..).zip(self.streams) {
                if stream == target {
                    check("fcntl", libc::fcntl(stream, libc::F_SETFD, 0))?;
                } else {
                    check("dup2", libc::dup2(stream, target))?;
                }
            }
            watch::restore_oom_score();
            if self.privileges.is_drop_in {
                start_context::restore_start_context();
            }
            for (resource, limit) in self.limits {
                check("setrlimit", libc::setrlimit(*resource as _, limit))?;
            }
            if let Some(nice) = self.privileges.nice {
                check("setpriority", libc::setpriority(libc::PRIO_PROCESS as _, 0, nice))?;
            }
            if let Some(identity) = &self.privileges.identity {
                become_user(identity)
                    .map_err(|(step, error)| SpawnFailure::Step(step.name(), error))?;
            }
            restore_mask(0);
            libc::execve(self.path, self.argv.cast(), self.envp.cast());
            Err(SpawnFailure::Exec(*libc::__errno_location()))
        }
    }
}

fn check(step: &'static str, result: c_int) -> Result<(), SpawnFailure> {
    if result >= 0 {
        return Ok(());
    }
    // SAFETY: the address is always good.
    Err(SpawnFailure::Step(step, unsafe { *libc::__errno_location() }))
}

fn pointers(strings: &[CString]) -> Vec<*mut c_char> {
    strings.iter().map(|string| string.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect()
}
