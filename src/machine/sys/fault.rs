//! The end of a call that can't go on: with the answer of its class, whatever the cause is. The same
//! program, executed in place of this one, ends the hooks that run and rolls back those that succeeded.
//!
//! Everything in this file can be used in a signal handler: it allocates nothing and takes no lock.

use std::ffi::{CString, c_void};
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering};

use libc::{c_char, c_int};

/// Signals that the kernel sends for a fault of this process. They can't be blocked: the kernel would end the
/// process.
const FAULT_SIGNALS: [c_int; 7] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGABRT,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGSYS,
    libc::SIGTRAP,
];

/// How many jobs at a time are noted here. With more, the program that takes over searches `/proc` for
/// them.
const MAX_ACTIVE: usize = 64;

/// The process of the call: a child before its exec isn't it.
static OWNER: AtomicI32 = AtomicI32::new(0);
/// The exit status after a fault.
static FAULT_STATUS: AtomicI32 = AtomicI32::new(0);
/// The exit status after SIGTERM.
static TERMINATED_STATUS: AtomicI32 = AtomicI32::new(0);
/// The thread that ends this process; 0 before there is one.
static ENDING: AtomicI32 = AtomicI32::new(0);
/// How long other threads wait for that one, in seconds.
const MAX_END_SECONDS: u64 = 10;
/// Processes of hooks that run now; 0 is a free slot.
static ACTIVE: [AtomicI32; MAX_ACTIVE] = [const { AtomicI32::new(0) }; MAX_ACTIVE];
/// How the program that takes over is started; null where none takes over.
static PROGRAM: AtomicPtr<Program> = AtomicPtr::new(ptr::null_mut());
/// What that program has to roll back, the last hook first.
static ROLLBACKS: AtomicPtr<Rollback> = AtomicPtr::new(ptr::null_mut());

/// The size of a number in digits, with a NUL byte.
const NUMBER_BYTES: usize = 16;

/// Arguments and environment of the program that takes over, allocated before they are needed.
struct Program {
    arguments: Vec<*const c_char>,
    /// The last argument: the number of a descriptor, written when it is known.
    descriptor: *mut [u8; NUMBER_BYTES],
    environment: Vec<*const c_char>,
    /// The call: the first line of what is handed over.
    call: Vec<u8>,
    _strings: Vec<CString>,
}

/// A hook that succeeded and has a rollback.
struct Rollback {
    /// One line of JSON.
    line: Vec<u8>,
    is_done: AtomicBool,
    next: *mut Rollback,
}

/// A handle on a rollback that the program that takes over would run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RollbackHandle(*mut Rollback);

/// Why a call is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndCause {
    /// A fault of hookmux's own.
    Fault,
    /// SIGTERM came, and the work in progress didn't react to it.
    Terminated,
}

extern "C" fn on_fault(_signal: c_int) {
    // SAFETY: getpid and _exit are async-signal-safe.
    unsafe {
        // a child that shares our memory until its exec isn't the call
        if libc::getpid() != OWNER.load(Ordering::Relaxed) {
            libc::_exit(127);
        }
    }
    end_call(EndCause::Fault)
}

/// Installs handlers, so that a fault of this process (a segmentation fault, a stack overflow, a bus error, an
/// abort) ends it as [`end_call`] does, not by a signal, which libvirt would take for a failure.
///
/// The main thread's alternate signal stack is the standard library's, made for stack overflows.
pub(crate) fn install_fault_handlers(status: i32, terminated: i32) {
    FAULT_STATUS.store(status, Ordering::Relaxed);
    TERMINATED_STATUS.store(terminated, Ordering::Relaxed);
    // SAFETY: the handler does nothing but what a handler may; the structure is plain data.
    unsafe {
        OWNER.store(libc::getpid(), Ordering::Relaxed);
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = on_fault as extern "C" fn(c_int) as usize;
        action.sa_flags = libc::SA_ONSTACK;
        libc::sigemptyset(&raw mut action.sa_mask);
        for signal in FAULT_SIGNALS {
            libc::sigaction(signal, &raw const action, ptr::null_mut());
        }
    }
}

/// Sets the exit status for whatever happens from here on, and prevents rollbacks: the answer is given.
pub(crate) fn set_final_status(status: i32) {
    FAULT_STATUS.store(status, Ordering::Relaxed);
    TERMINATED_STATUS.store(status, Ordering::Relaxed);
    PROGRAM.store(ptr::null_mut(), Ordering::Relaxed);
}

/// Prepares the program that ends running hooks and rolls back those that succeeded, in case this process
/// can't. Its last argument will be the number of a descriptor, from which it reads what is handed over;
/// `call` is the first line of that.
pub(crate) fn prepare_take_over(arguments: &[&[u8]], environment: &[&[u8]], call: Vec<u8>) {
    let strings = |all: &[&[u8]]| -> Vec<CString> {
        all.iter().filter_map(|bytes| CString::new(*bytes).ok()).collect()
    };
    let (arguments, environment) = (strings(arguments), strings(environment));
    let descriptor: *mut [u8; NUMBER_BYTES] = Box::leak(Box::new([0; NUMBER_BYTES]));
    let pointers = |all: &[CString], last: *const c_char| -> Vec<*const c_char> {
        all.iter().map(|string| string.as_ptr()).chain([last, ptr::null()]).collect()
    };
    let program = Program {
        arguments: pointers(&arguments, descriptor.cast_const().cast()),
        environment: pointers(&environment, ptr::null()),
        descriptor,
        call,
        _strings: arguments.into_iter().chain(environment).collect(),
    };
    // it is needed as long as this process lives
    PROGRAM.store(Box::leak(Box::new(program)), Ordering::Release);
}

/// Adds a rollback, as one line, to what is handed over.
pub(crate) fn add_rollback(mut line: Vec<u8>) -> RollbackHandle {
    line.push(b'\n');
    let next = ROLLBACKS.load(Ordering::Relaxed);
    let rollback = Rollback { line, is_done: AtomicBool::new(false), next };
    let rollback: *mut Rollback = Box::leak(Box::new(rollback));
    ROLLBACKS.store(rollback, Ordering::Release);
    RollbackHandle(rollback)
}

/// Notes that a rollback has been run.
pub(crate) fn mark_rolled_back(handle: RollbackHandle) {
    // SAFETY: only `add_rollback` makes handles, and it never frees what they point to.
    unsafe { (*handle.0).is_done.store(true, Ordering::Relaxed) }
}

/// Notes that a hook's process runs. The child itself calls it, before its exec: it may end this process
/// before `spawn` has returned.
pub(super) fn process_started(pid: i32) {
    if let Some(place) = ACTIVE.iter().find(|place| place.load(Ordering::Relaxed) == 0) {
        place.store(pid, Ordering::Relaxed);
    }
}

/// Notes that a hook's process has ended: its pid may come to mean another process.
pub(crate) fn process_ended(pid: i32) {
    if let Some(place) = ACTIVE.iter().find(|place| place.load(Ordering::Relaxed) == pid) {
        place.store(0, Ordering::Relaxed);
    }
}

/// Ends this process with the answer of its call. Where hooks run, or have to be rolled back, the same program
/// takes over and does that first.
pub(crate) fn end_call(cause: EndCause) -> ! {
    let status = match cause {
        EndCause::Fault => FAULT_STATUS.load(Ordering::Relaxed),
        EndCause::Terminated => TERMINATED_STATUS.load(Ordering::Relaxed),
    };
    // SAFETY: gettid has no precondition.
    let me = unsafe { libc::gettid() };
    let first = ENDING.compare_exchange(0, me, Ordering::AcqRel, Ordering::Acquire);
    if first.is_ok() {
        take_over(cause, status);
        for place in &ACTIVE {
            let pid = place.load(Ordering::Relaxed);
            if pid > 1 {
                // SAFETY: no memory is passed. Each hook leads a group of its own.
                unsafe {
                    libc::kill(-pid, libc::SIGKILL);
                    libc::kill(pid, libc::SIGKILL);
                }
            }
        }
    } else if first != Err(me) {
        // another thread is doing it, and ends this one too; a fault of that thread itself goes on below
        super::pause(std::time::Duration::from_secs(MAX_END_SECONDS));
    }
    super::exit_now(status)
}

/// Executes the program that takes over, where one was prepared and has something to do. Returns where that
/// isn't possible.
fn take_over(cause: EndCause, status: i32) {
    let program = PROGRAM.load(Ordering::Acquire);
    let rollbacks = ROLLBACKS.load(Ordering::Acquire);
    if program.is_null() || (!is_any_active() && !is_any_left(rollbacks)) {
        return;
    }
    // SAFETY: both lists are never freed, and were whole before they were stored. All calls are
    // plain system calls on memory that is there already.
    unsafe {
        let name = c"hookmux-take-over".as_ptr();
        let mut memory = libc::memfd_create(name, 0);
        if memory < 0 {
            // no descriptor was left: ours aren't needed any more
            libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0);
            memory = libc::memfd_create(name, 0);
        }
        let to = HandoverFile(memory);
        let mut is_whole = to.write(&(*program).call) && to.write(b"\n");
        is_whole &= to.write_number(status)
            && to.write_number(c_int::from(cause == EndCause::Terminated))
            && to.write_number(super::watch::own_oom_score());
        for place in &ACTIVE {
            let pid = place.load(Ordering::Relaxed);
            if pid > 1 {
                is_whole &= to.write_number(pid);
            }
        }
        is_whole &= to.write(b"\n");
        let mut next = rollbacks;
        while !next.is_null() {
            if !(*next).is_done.load(Ordering::Relaxed) {
                is_whole &= to.write(&(*next).line);
            }
            next = (*next).next;
        }
        if !is_whole || libc::lseek(memory, 0, libc::SEEK_SET) != 0 {
            return;
        }
        let mut buffer = [0; 12];
        for (place, digit) in
            (*(*program).descriptor).iter_mut().zip(super::decimal(memory, &mut buffer))
        {
            *place = *digit;
        }
        libc::execve(
            c"/proc/self/exe".as_ptr(),
            (*program).arguments.as_ptr(),
            (*program).environment.as_ptr(),
        );
    }
}

fn is_any_active() -> bool {
    ACTIVE.iter().any(|place| place.load(Ordering::Relaxed) > 1)
}

fn is_any_left(mut next: *mut Rollback) -> bool {
    while !next.is_null() {
        // SAFETY: as in `take_over`.
        unsafe {
            if !(*next).is_done.load(Ordering::Relaxed) {
                return true;
            }
            next = (*next).next;
        }
    }
    false
}

/// A file in memory with what is handed over.
struct HandoverFile(c_int);

impl HandoverFile {
    fn write(&self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            // SAFETY: the bytes outlive the call.
            let written =
                unsafe { libc::write(self.0, bytes.as_ptr().cast::<c_void>(), bytes.len()) };
            match usize::try_from(written) {
                Ok(written) if written > 0 => bytes = bytes.get(written..).unwrap_or_default(),
                _ => return false,
            }
        }
        true
    }

    /// Writes a number and a space.
    fn write_number(&self, number: c_int) -> bool {
        let mut buffer = [0; 12];
        self.write(super::decimal(number, &mut buffer)) && self.write(b" ")
    }
}
