//! The thread of the watchdog: its start, and what it asks the kernel.

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use libc::c_int;

/// The thread's stack: it calls little. A mapping of its own would cost more than the thread.
const STACK_BYTES: usize = 32 * 1024;

#[repr(align(4096))]
struct Stack([MaybeUninit<u8>; STACK_BYTES]);

static mut STACK: Stack = Stack([MaybeUninit::uninit(); STACK_BYTES]);

/// The value of `oom_score_adj` with which this process was started, restored for hooks;
/// [`UNKNOWN_SCORE`] where it was not changed.
static OOM_SCORE: AtomicI32 = AtomicI32::new(UNKNOWN_SCORE);
/// Not a value of the kernel's: those are -1000 to 1000.
const UNKNOWN_SCORE: c_int = c_int::MIN;

/// Starts the thread. There is one only, and it ends with the process.
///
/// # Errors
/// The `errno` of `pthread_create(3)`: no other thread is possible.
pub(crate) fn start_thread(run: fn() -> !) -> std::io::Result<()> {
    extern "C" fn enter(run: *mut c_void) -> *mut c_void {
        // SAFETY: the pointer is that of the function that `start_thread` was given.
        let run: fn() -> ! = unsafe { std::mem::transmute(run) };
        run()
    }
    // SAFETY: the attributes are initialised before any other use; the stack is used by this thread
    // alone, for callers start it once, and it is there as long as the process.
    let error = unsafe {
        let mut attributes = MaybeUninit::uninit();
        let mut error = libc::pthread_attr_init(attributes.as_mut_ptr());
        if error == 0 {
            let stack = (&raw mut STACK.0).cast::<c_void>();
            error = libc::pthread_attr_setstack(attributes.as_mut_ptr(), stack, STACK_BYTES);
        }
        if error == 0 {
            let mut thread = MaybeUninit::uninit();
            let start = run as *mut c_void;
            error = libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), enter, start);
        }
        error
    };
    if error == 0 { Ok(()) } else { Err(std::io::Error::from_raw_os_error(error)) }
}

/// Returns the processor time of this process, with all its threads.
pub(crate) fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Returns the processor time after which the kernel kills this process; `None` without a limit.
pub(crate) fn processor_limit() -> Option<Duration> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the structure outlives the call.
    let asked = unsafe { libc::getrlimit(libc::RLIMIT_CPU, &raw mut limit) };
    // the kernel takes 0 for 1
    let seconds = (asked == 0 && limit.rlim_max != libc::RLIM_INFINITY).then_some(limit.rlim_max);
    seconds.map(|seconds| Duration::from_secs(seconds.max(1)))
}

/// Returns the number of context switches of the main thread: it stays the same while the thread waits for one
/// thing. `None` without /proc.
pub(crate) fn main_thread_switches() -> Option<u64> {
    let mut buffer = [0_u8; 4096];
    // the process's own file is that of its main thread
    let status = read_small(c"/proc/self/status", &mut buffer)?;
    let numbers = status.split(|byte| *byte == b'\n').filter_map(|line| {
        let (name, number) = line.split_at(line.iter().position(|byte| *byte == b':')?);
        let number = std::str::from_utf8(number.get(1..)?.trim_ascii()).ok()?;
        name.ends_with(b"voluntary_ctxt_switches").then(|| number.parse::<u64>().ok())?
    });
    numbers.reduce(u64::wrapping_add)
}

/// Makes this process the last that the OOM killer ends, if that isn't done yet. Without the right to do that,
/// nothing changes. A child that is between its clone and its exec would get the changed value too: none may be.
pub(crate) fn lower_oom_score() {
    if OOM_SCORE.load(Ordering::SeqCst) != UNKNOWN_SCORE {
        return;
    }
    let mut buffer = [0_u8; 16];
    let own = read_small(OOM_FILE, &mut buffer)
        .and_then(|text| std::str::from_utf8(text.trim_ascii()).ok()?.parse().ok());
    let Some(own) = own else { return };
    // before it is changed: a child that is made in between needs it
    OOM_SCORE.store(own, Ordering::SeqCst);
    // without CAP_SYS_RESOURCE a process may go back to 0 where it was started with more
    if !write_small(OOM_FILE, b"-1000") && (own <= 0 || !write_small(OOM_FILE, b"0")) {
        OOM_SCORE.store(UNKNOWN_SCORE, Ordering::SeqCst);
    }
}

/// Returns the value of `oom_score_adj` with which this process was started, for the program that takes over.
pub(super) fn own_oom_score() -> c_int {
    OOM_SCORE.load(Ordering::SeqCst)
}

/// Notes that value in the program that takes over: the kernel keeps the changed value across the exec.
pub(crate) fn inherit_oom_score(own: c_int) {
    OOM_SCORE.store(own, Ordering::SeqCst);
}

/// Restores that value in a child, before its exec. Allocates nothing.
pub(super) fn restore_oom_score() {
    let own = OOM_SCORE.load(Ordering::SeqCst);
    if own == UNKNOWN_SCORE {
        return;
    }
    let mut buffer = [0; 12];
    write_small(OOM_FILE, super::decimal(own, &mut buffer));
}

const OOM_FILE: &std::ffi::CStr = c"/proc/self/oom_score_adj";

fn read_small<'a>(path: &std::ffi::CStr, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    // SAFETY: the path and the buffer outlive the calls; the descriptor is closed here.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return None;
        }
        let got = libc::read(file, buffer.as_mut_ptr().cast(), buffer.len());
        libc::close(file);
        buffer.get(..usize::try_from(got).ok()?)
    }
}

fn write_small(path: &std::ffi::CStr, bytes: &[u8]) -> bool {
    // SAFETY: as above.
    unsafe {
        let file = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file < 0 {
            return false;
        }
        let written = libc::write(file, bytes.as_ptr().cast::<c_void>(), bytes.len());
        libc::close(file);
        usize::try_from(written).is_ok_and(|written| written == bytes.len())
    }
}

/// Sleeps; signals are not looked at.
pub(crate) fn pause(time: Duration) {
    let time = libc::timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(0),
        tv_nsec: time.subsec_nanos().into(),
    };
    // SAFETY: the structure outlives the call; a null remainder is allowed.
    unsafe {
        libc::nanosleep(&raw const time, ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_grows() {
        let before = processor_time();
        let mut sum = 0_u64;
        while processor_time() == before {
            sum = sum.wrapping_add(1);
        }
        assert!(processor_time() > before, "{sum}");
    }
}
