//! The only unsafe code: what neither the standard library nor nix offers.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use libc::{c_char, c_int, c_short, c_uint};

use super::privileges::Privileges;
use crate::config::registration::Limits;

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
    let step = STEPS.get(usize::from(report[0])).copied().unwrap_or_default();
    if step == "execve" {
        return Err(error);
    }
    Err(io::Error::other(format!("{step}: {error}")))
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
            if let Some(identity) = &self.privileges.identity {
                let (user, group) = (identity.user, identity.group);
                // somebody who is that user already can't set groups, and needn't
                if libc::geteuid() == 0
                    && libc::setgroups(identity.groups.len() as _, identity.groups.as_ptr()) < 0
                {
                    return failed(5);
                }
                if libc::setresgid(group, group, group) < 0 {
                    return failed(6);
                }
                if libc::setresuid(user, user, user) < 0 {
                    return failed(7);
                }
                let (mut real, mut effective, mut saved) = (0, 0, 0);
                let is_known =
                    libc::getresuid(&raw mut real, &raw mut effective, &raw mut saved) == 0;
                let is_that = is_known && [real, effective, saved].iter().all(|one| *one == user);
                if !is_that || (user != 0 && libc::setuid(0) == 0) {
                    return failed(8);
                }
                if user != 0 && libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 {
                    return failed(9);
                }
            }
            let mut none = MaybeUninit::uninit();
            libc::sigemptyset(none.as_mut_ptr());
            if libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut()) < 0 {
                return failed(10);
            }
            libc::execve(self.path, self.argv.cast(), self.envp.cast());
            failed(11)
        }
    }
}

fn pointers(strings: &[CString]) -> Vec<*mut c_char> {
    strings.iter().map(|string| string.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect()
}

fn check(error: c_int) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// A handle on a process that can't come to mean another one.
///
/// # Errors
/// As of `pidfd_open(2)`.
pub fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed; the descriptor that comes back is ours alone.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// Signals the process behind a handle.
///
/// # Errors
/// As of `pidfd_send_signal(2)`.
pub fn pidfd_signal(pidfd: BorrowedFd<'_>, signal: c_int) -> io::Result<()> {
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

/// Standard input, without the buffer that the standard library's handle comes with.
pub fn standard_input() -> BorrowedFd<'static> {
    // SAFETY: descriptor 0 is open for the life of the process: the runtime opens /dev/null where
    // a caller left it closed, and nothing here closes it.
    unsafe { BorrowedFd::borrow_raw(0) }
}

/// Reads once into the room that a buffer has left; touches no more of it than is read.
///
/// # Errors
/// As of `read(2)`.
pub fn read_into_room(fd: BorrowedFd<'_>, buffer: &mut Vec<u8>) -> io::Result<usize> {
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

/// Signals a process by its number. Never a group: ours is libvirtd's.
///
/// # Errors
/// As of `kill(2)`; `EINVAL` for what is no single process.
pub fn signal(pid: i32, signal: c_int) -> io::Result<()> {
    if pid <= 1 {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: no memory is passed.
    let result = unsafe { libc::kill(pid, signal) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether a signal that is blocked has come.
pub fn is_pending(signal: c_int) -> bool {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the set is read only where the call has filled it.
    unsafe {
        libc::sigpending(set.as_mut_ptr()) == 0 && libc::sigismember(set.as_ptr(), signal) == 1
    }
}

/// Takes a child's end for news again: a caller may have left SIGCHLD ignored, and then the kernel
/// forgets how children ended.
pub fn heed_children() {
    // SAFETY: the default disposition needs no handler.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
    }
}

/// Marks all descriptors from `first` on close-on-exec: nothing that a caller left open reaches a
/// hook. Kernels before 5.11 can't; libvirt leaves none open.
pub fn close_on_exec_from(first: c_uint) {
    // SAFETY: only descriptor flags change.
    unsafe {
        libc::syscall(libc::SYS_close_range, first, c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
}

/// What a child that [`drain_apart`] makes needs, made before the fork.
struct Drain {
    polls: Vec<libc::pollfd>,
    keep: Vec<RawFd>,
    null: RawFd,
}

/// Leaves a small process behind that reads these pipes to their end, so that what still writes
/// to them doesn't die of SIGPIPE. It holds no other descriptor of ours, libvirt's least of all.
///
/// # Errors
/// As of `fork(2)`; the pipes are closed then.
pub fn drain_apart(pipes: &[OwnedFd], null: BorrowedFd<'_>) -> io::Result<i32> {
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

/// What a fault of our own ends in; [`answer_faults_with`] sets it.
static FAULT_STATUS: AtomicI32 = AtomicI32::new(0);

extern "C" fn on_fault(_signal: c_int) {
    // SAFETY: _exit is async-signal-safe, and nothing else is called.
    unsafe { libc::_exit(FAULT_STATUS.load(Ordering::Relaxed)) }
}

/// From here on a fault of this process (a segmentation fault, a stack overflow, a bus error, an
/// abort) ends it with `status` instead of a signal, which libvirt would take for a failure.
///
/// The main thread's alternate signal stack is the standard library's, made for stack overflows.
pub fn answer_faults_with(status: i32) {
    FAULT_STATUS.store(status, Ordering::Relaxed);
    // SAFETY: the handler does nothing but _exit; the structure is plain data.
    unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = on_fault as extern "C" fn(c_int) as usize;
        action.sa_flags = libc::SA_ONSTACK;
        libc::sigemptyset(&raw mut action.sa_mask);
        for signal in [
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGABRT,
            libc::SIGILL,
            libc::SIGFPE,
            libc::SIGSYS,
            libc::SIGTRAP,
        ] {
            libc::sigaction(signal, &raw const action, ptr::null_mut());
        }
    }
}

/// One write to standard error; that it fails or is cut short changes nothing.
pub fn say(bytes: &[u8]) {
    // SAFETY: the bytes outlive the call.
    unsafe {
        libc::write(2, bytes.as_ptr().cast(), bytes.len());
    }
}

/// Ends the process now: no destructor, no thread is waited for.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit has no precondition.
    unsafe { libc::_exit(status) }
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Exited(i32),
    Killed(i32),
}

/// How a child of ours ended, if it has. It stays on the kernel's list, so that its number can't
/// come to mean another process before [`reap`] takes it off.
pub fn end_of(pid: i32) -> Option<End> {
    // SAFETY: the structure is plain data, and outlives the call; its fields are read only where
    // the kernel says that they are set.
    unsafe {
        let mut info: libc::siginfo_t = MaybeUninit::zeroed().assume_init();
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        let result = libc::waitid(libc::P_PID, pid.cast_unsigned(), &raw mut info, options);
        if result != 0 || info.si_pid() != pid {
            return None;
        }
        Some(match info.si_code {
            libc::CLD_EXITED => End::Exited(info.si_status()),
            _ => End::Killed(info.si_status()),
        })
    }
}

/// Takes a child off the kernel's list, if it has ended; whether it had.
pub fn reap(pid: i32) -> bool {
    // SAFETY: a null status is allowed.
    unsafe { libc::waitpid(pid, ptr::null_mut(), libc::WNOHANG | libc::__WALL) == pid }
}
