//! Starting a program: by a child that shares our memory until its exec, as `vfork(2)` makes it. So
//! the cost doesn't grow with our size, and the child can become somebody else on the way.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;
use std::sync::OnceLock;

use libc::{c_char, c_int};

use super::{fault, watch};
use crate::config::registration::Limits;
use crate::run::privileges::{Identity, Privileges};

/// The child's stack until its exec, in bytes: system calls need little.
const STACK_BYTES: usize = 32 * 1024;

/// What a child does before its program runs, by the number that it reports.
const STEPS: [&str; 12] = [
    "setsid",
    "dup2",
    "sigaction",
    "setrlimit",
    "setpriority",
    "setgroups",
    "setresgid",
    "setresuid",
    "the check that root is gone",
    "no_new_privs",
    "sigprocmask",
    "execve",
];
const EXEC: u8 = 11;

/// Starts a program in a session of its own, with these three as its standard streams, default
/// signals and none blocked. All other descriptors of ours are close-on-exec. Where a step on the
/// way fails, the program isn't run. Until [`fault::process_over`] it counts as a hook that runs.
///
/// # Errors
/// The `errno` of the clone or of the exec; of any other step an error that names it.
pub fn spawn(
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
        handled: changed_signals(),
        failed: Cell::new(None),
    };
    let mut stack = MaybeUninit::<[u8; STACK_BYTES]>::uninit();
    // SAFETY: with CLONE_VFORK this thread stands still until the child has executed its program
    // or ended, so that all that the child reads, its stack too, is there for as long as it needs
    // it. The child allocates nothing, takes no lock, and makes plain system calls. All signals but
    // faults are blocked in it until its exec, and their handlers are reset: none of ours runs in
    // our memory. The stack grows down from an address that is a multiple of 16.
    let pid = unsafe {
        let top = stack.as_mut_ptr().cast::<u8>().add(STACK_BYTES);
        let top = top.sub(top as usize % 16);
        let before = block_all();
        let pid = libc::clone(
            enter,
            top.cast::<c_void>(),
            libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
            (&raw const child).cast_mut().cast::<c_void>(),
        );
        let error = io::Error::last_os_error();
        restore(before);
        if pid < 0 {
            return Err(error);
        }
        pid
    };
    let Some((step, error)) = child.failed.get() else { return Ok(pid) };
    fault::process_over(pid);
    // SAFETY: a null status is allowed; the child has ended.
    unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
    let error = io::Error::from_raw_os_error(error);
    if step == EXEC {
        return Err(error);
    }
    let step = STEPS.get(usize::from(step)).copied().unwrap_or_default();
    Err(io::Error::other(format!("{step}: {error}")))
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
fn block_all() -> u64 {
    let (all, mut before) = (u64::MAX, 0_u64);
    // SAFETY: both sets have the size that the kernel is told.
    unsafe {
        let (all, before) = (&raw const all, &raw mut before);
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, all, before, size_of::<u64>());
    }
    before
}

fn restore(before: u64) {
    // SAFETY: as above.
    unsafe {
        let (before, none) = (&raw const before, ptr::null_mut::<u64>());
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, before, none, size_of::<u64>());
    }
}

/// The signals that this process ignores or handles, one bit each. An exec resets handlers by
/// itself, but until then a handler of ours would run in the child. Looked up once: nothing changes
/// them later.
fn changed_signals() -> u64 {
    static CHANGED: OnceLock<u64> = OnceLock::new();
    *CHANGED.get_or_init(|| {
        (1..=64).filter(|signal| is_changed(*signal)).fold(0, |set, signal| set | 1 << (signal - 1))
    })
}

fn is_changed(signal: c_int) -> bool {
    // SAFETY: asking for a disposition changes none; the structure is plain data.
    unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        libc::sigaction(signal, ptr::null(), &raw mut action) == 0
            && action.sa_sigaction != libc::SIG_DFL
    }
}

fn rlimits(limits: &Limits) -> Vec<(c_int, libc::rlimit)> {
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
    /// The signals whose default has to be restored, one bit each.
    handled: u64,
    /// The step that failed, and `errno`: the child writes it, in our memory.
    failed: Cell<Option<Failed>>,
}

/// A step by its number, and `errno`.
type Failed = (u8, i32);

impl Child<'_> {
    /// Returns only where a step failed.
    ///
    /// # Safety
    /// To be called in the child of a clone, by nobody else.
    unsafe fn run(&self) -> Result<std::convert::Infallible, Failed> {
        // SAFETY: plain system calls on memory that was made before the clone.
        unsafe {
            let mut default: libc::sigaction = MaybeUninit::zeroed().assume_init();
            default.sa_sigaction = libc::SIG_DFL;
            for signal in (1..=64).filter(|signal| self.handled >> (signal - 1) & 1 == 1) {
                check(2, libc::sigaction(signal, &raw const default, ptr::null_mut()))?;
            }
            fault::process_started(libc::getpid());
            check(0, libc::setsid())?;
            for (target, stream) in (0..).zip(self.streams) {
                if stream == target {
                    check(1, libc::fcntl(stream, libc::F_SETFD, 0))?;
                } else {
                    check(1, libc::dup2(stream, target))?;
                }
            }
            watch::restore_oom_score();
            for (resource, limit) in self.limits {
                check(3, libc::setrlimit(*resource as _, limit))?;
            }
            if let Some(nice) = self.privileges.nice {
                check(4, libc::setpriority(libc::PRIO_PROCESS as _, 0, nice))?;
            }
            if let Some(identity) = &self.privileges.identity {
                become_user(identity)?;
            }
            restore(0);
            libc::execve(self.path, self.argv.cast(), self.envp.cast());
            Err((EXEC, *libc::__errno_location()))
        }
    }
}

/// Becomes a user for good. By system calls alone: the C library's functions would change the
/// threads of the parent, in its memory.
///
/// # Safety
/// As for [`Child::run`].
unsafe fn become_user(identity: &Identity) -> Result<(), Failed> {
    let (user, group) = (identity.user, identity.group);
    // SAFETY: plain system calls on memory that was made before the clone.
    unsafe {
        // somebody who is that user already can't set groups, and needn't
        if libc::geteuid() == 0 {
            let groups = &identity.groups;
            check(5, libc::syscall(SYS_SETGROUPS, groups.len(), groups.as_ptr()))?;
        }
        check(6, libc::syscall(SYS_SETRESGID, group, group, group))?;
        check(7, libc::syscall(SYS_SETRESUID, user, user, user))?;
        let (mut real, mut effective, mut saved) = (0, 0, 0);
        let is_known = libc::getresuid(&raw mut real, &raw mut effective, &raw mut saved) == 0;
        let is_that = is_known && [real, effective, saved].iter().all(|one| *one == user);
        if !is_that || (user != 0 && libc::syscall(SYS_SETRESUID, -1, 0, -1) == 0) {
            return Err((8, *libc::__errno_location()));
        }
        if user != 0 {
            check(9, libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        }
    }
    Ok(())
}

/// The calls for ids of 32 bits: some 32-bit machines have older ones under the plain names.
#[cfg(any(target_arch = "x86", target_arch = "arm"))]
const SYS_SETGROUPS: libc::c_long = libc::SYS_setgroups32;
#[cfg(any(target_arch = "x86", target_arch = "arm"))]
const SYS_SETRESGID: libc::c_long = libc::SYS_setresgid32;
#[cfg(any(target_arch = "x86", target_arch = "arm"))]
const SYS_SETRESUID: libc::c_long = libc::SYS_setresuid32;
#[cfg(not(any(target_arch = "x86", target_arch = "arm")))]
const SYS_SETGROUPS: libc::c_long = libc::SYS_setgroups;
#[cfg(not(any(target_arch = "x86", target_arch = "arm")))]
const SYS_SETRESGID: libc::c_long = libc::SYS_setresgid;
#[cfg(not(any(target_arch = "x86", target_arch = "arm")))]
const SYS_SETRESUID: libc::c_long = libc::SYS_setresuid;

fn check(step: u8, result: impl Into<i64>) -> Result<(), Failed> {
    if result.into() >= 0 {
        return Ok(());
    }
    // SAFETY: the address is always good.
    Err((step, unsafe { *libc::__errno_location() }))
}

fn pointers(strings: &[CString]) -> Vec<*mut c_char> {
    strings.iter().map(|string| string.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect()
}
