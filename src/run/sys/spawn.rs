//! Starting a program: by `posix_spawn` where that will do, by a fork where the child has to become
//! somebody else first.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;
use std::sync::OnceLock;

use libc::{c_char, c_int, c_short};

use super::become_user::{Step, become_user};
use crate::config::registration::Limits;
use crate::run::privileges::Privileges;

/// `POSIX_SPAWN_SETSID` of musl and glibc; the libc crate has no name for it.
const POSIX_SPAWN_SETSID: c_short = 0x80;

/// Starts a program in a session of its own, with these three as its standard streams, default
/// signals and none blocked. All other descriptors of ours are close-on-exec.
///
/// `posix_spawn` shares our memory until the exec, so its cost doesn't grow with our size.
///
/// # Errors
/// The `errno` of the fork or of the exec.
pub fn spawn(
    path: &CStr,
    arguments: &[CString],
    environment: &[CString],
    streams: [BorrowedFd<'_>; 3],
) -> io::Result<i32> {
    let argv = pointers(arguments);
    let envp = pointers(environment);
    let mut pid: libc::pid_t = 0;
    // SAFETY: both objects are initialised before any other use and destroyed at the end; the
    // strings and arrays live until the call returns; signal sets are plain data.
    let result = unsafe {
        let mut actions = MaybeUninit::uninit();
        check(libc::posix_spawn_file_actions_init(actions.as_mut_ptr()))?;
        let mut attributes = MaybeUninit::uninit();
        check(libc::posix_spawnattr_init(attributes.as_mut_ptr()))?;
        let mut result = 0;
        for (target, stream) in (0..).zip(streams) {
            let source = stream.as_raw_fd();
            result |= libc::posix_spawn_file_actions_adddup2(actions.as_mut_ptr(), source, target);
        }
        let mut none = MaybeUninit::uninit();
        libc::sigemptyset(none.as_mut_ptr());
        let ignored = ignored_signals();
        let flags = POSIX_SPAWN_SETSID
            | libc::POSIX_SPAWN_SETSIGMASK as c_short
            | libc::POSIX_SPAWN_SETSIGDEF as c_short;
        result |= libc::posix_spawnattr_setsigmask(attributes.as_mut_ptr(), none.as_ptr());
        result |= libc::posix_spawnattr_setsigdefault(attributes.as_mut_ptr(), ignored);
        result |= libc::posix_spawnattr_setflags(attributes.as_mut_ptr(), flags);
        if result == 0 {
            result = libc::posix_spawn(
                &raw mut pid,
                path.as_ptr(),
                actions.as_ptr(),
                attributes.as_ptr(),
                argv.as_ptr(),
                envp.as_ptr(),
            );
        }
        libc::posix_spawnattr_destroy(attributes.as_mut_ptr());
        libc::posix_spawn_file_actions_destroy(actions.as_mut_ptr());
        result
    };
    check(result)?;
    Ok(pid)
}

/// The signals that this process ignores: an exec resets all others by itself. Looked up once.
fn ignored_signals() -> &'static libc::sigset_t {
    static IGNORED: OnceLock<libc::sigset_t> = OnceLock::new();
    IGNORED.get_or_init(|| {
        // SAFETY: the set is initialised first; asking for a disposition changes none.
        unsafe {
            let mut set = MaybeUninit::uninit();
            libc::sigemptyset(set.as_mut_ptr());
            for signal in 1..32 {
                let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
                let asked = libc::sigaction(signal, ptr::null(), &raw mut action);
                if asked == 0 && action.sa_sigaction == libc::SIG_IGN {
                    libc::sigaddset(set.as_mut_ptr(), signal);
                }
            }
            set.assume_init()
        }
    })
}

/// The steps of a child that becomes somebody else, by the number that it reports.
const STEPS: [&str; 7] =
    ["setsid", "dup2", "sigaction", "setrlimit", "setpriority", "sigprocmask", "execve"];

/// The steps of [`become_user`] are reported from this number on.
const USER_STEPS: u8 = 100;

/// The same as [`spawn`], with other rights: by a fork, for what `posix_spawn` can't do. Whatever
/// fails on the way is reported, and the program isn't run.
///
/// # Errors
/// The `errno` of the fork or of the exec; of any other step an error that names it.
pub fn spawn_with(
    path: &CStr,
    arguments: &[CString],
    environment: &[CString],
    streams: [BorrowedFd<'_>; 3],
    privileges: &Privileges,
) -> io::Result<i32> {
    let argv = pointers(arguments);
    let envp = pointers(environment);
    let limits = rlimits(&privileges.limits);
    let streams = streams.map(|stream| stream.as_raw_fd());
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    let child = Becoming {
        path: path.as_ptr(),
        argv: argv.as_ptr(),
        envp: envp.as_ptr(),
        streams,
        limits: &limits,
        privileges,
        ignored: ignored_signals(),
    };
    // SAFETY: the child allocates nothing and calls only async-signal-safe functions; all that it
    // reads was made before the fork.
    let pid = match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {
            // SAFETY: as above; the report fits into the pipe.
            unsafe {
                let (step, error) = child.run();
                let report = [step, error.to_ne_bytes()[0], error.to_ne_bytes()[1]];
                libc::write(writer.as_raw_fd(), report.as_ptr().cast(), report.len());
                libc::_exit(127)
            }
        }
        pid => pid,
    };
    drop(writer);
    let mut report = [0u8; 3];
    let got = loop {
        match nix::unistd::read(&reader, &mut report) {
            Err(nix::errno::Errno::EINTR) => {}
            other => break other.unwrap_or(0),
        }
    };
    if got < report.len() {
        return Ok(pid);
    }
    // SAFETY: a null status is allowed; the child is on its way out.
    unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
    let error = io::Error::from_raw_os_error(i32::from(u16::from_ne_bytes([report[1], report[2]])));
    let step = STEPS.get(usize::from(report[0])).copied();
    let step = step.or_else(|| user_step(report[0])).unwrap_or_default();
    if step == "execve" {
        return Err(error);
    }
    Err(io::Error::other(format!("{step}: {error}")))
}

fn user_step(number: u8) -> Option<&'static str> {
    Step::name(number.checked_sub(USER_STEPS)?)
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

/// A child between the fork and the exec.
struct Becoming<'a> {
    path: *const c_char,
    argv: *const *mut c_char,
    envp: *const *mut c_char,
    streams: [RawFd; 3],
    limits: &'a [(c_int, libc::rlimit)],
    privileges: &'a Privileges,
    ignored: &'static libc::sigset_t,
}

impl Becoming<'_> {
    /// Returns only where a step failed: its number, and `errno`.
    ///
    /// # Safety
    /// To be called in the child of a fork, by nobody else.
    unsafe fn run(&self) -> (u8, u16) {
        // SAFETY: plain system calls on memory made before the fork.
        unsafe {
            let failed = |step: u8| (step, u16::try_from(*libc::__errno_location()).unwrap_or(0));
            if libc::setsid() < 0 {
                return failed(0);
            }
            for (target, stream) in (0..).zip(self.streams) {
                if libc::dup2(stream, target) < 0 {
                    return failed(1);
                }
            }
            let mut default: libc::sigaction = MaybeUninit::zeroed().assume_init();
            default.sa_sigaction = libc::SIG_DFL;
            for signal in 1..32 {
                let is_ignored = libc::sigismember(self.ignored, signal) == 1;
                if is_ignored && libc::sigaction(signal, &raw const default, ptr::null_mut()) < 0 {
                    return failed(2);
                }
            }
            for (resource, limit) in self.limits {
                if libc::setrlimit(*resource as _, limit) < 0 {
                    return failed(3);
                }
            }
            if let Some(nice) = self.privileges.nice
                && libc::setpriority(libc::PRIO_PROCESS as _, 0, nice) < 0
            {
                return failed(4);
            }
            if let Some(identity) = &self.privileges.identity
                && let Err((step, errno)) = become_user(identity)
            {
                return (USER_STEPS + step as u8, u16::try_from(errno).unwrap_or(0));
            }
            let mut none = MaybeUninit::uninit();
            libc::sigemptyset(none.as_mut_ptr());
            if libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut()) < 0 {
                return failed(5);
            }
            libc::execve(self.path, self.argv.cast(), self.envp.cast());
            failed(6)
        }
    }
}

fn pointers(strings: &[CString]) -> Vec<*mut c_char> {
    strings.iter().map(|string| string.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect()
}

fn check(error: c_int) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}
