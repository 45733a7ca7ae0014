//! A watchdog for hookmux's own work in a call: a thread that ends the call, with the answer of its
//! class, where the work takes too much processor time, waits too long, or doesn't react to SIGTERM.
//! libvirt itself waits for a hook program without limit.
//!
//! Hooks have time limits of their own: while a call waits for them, or for anything else that has a
//! limit, it says so by [`wait`], and isn't watched.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::machine::sys::{self, EndCause};

/// The processor time that hookmux's own work in a call may take.
pub(crate) const MAX_PROCESSOR_TIME: Duration = Duration::from_secs(5);
/// How long hookmux may wait for anything that has no limit of its own: a lock, a file of its state.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(10);
/// How often the thread takes a sample.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(250);
/// The time before the limit on processor time at which the call is ended. At the limit itself the kernel
/// kills the process, and no thread runs any more.
const LIMIT_MARGIN: Duration = Duration::from_millis(400);

/// Counts the pieces of work of a call: an odd number is hookmux's own work, an even one a wait that has
/// a limit.
static WORK: AtomicU64 = AtomicU64::new(1);
/// Whether the reason is written to standard error: libvirt shows it for a gate.
static SHOWS_REASON: AtomicBool = AtomicBool::new(false);
/// Whether this process is a call that is watched.
static IS_ACTIVE: AtomicBool = AtomicBool::new(false);

/// Starts the watchdog. Where no thread can be started, the call goes on without it.
pub(crate) fn start(shows_reason: bool) {
    SHOWS_REASON.store(shows_reason, Ordering::Relaxed);
    IS_ACTIVE.store(true, Ordering::Relaxed);
    let _ = sys::start_thread(watch);
}

/// Tells whether this process is a call by libvirt, not a command by a person.
pub(crate) fn is_active() -> bool {
    IS_ACTIVE.load(Ordering::Relaxed)
}

/// Reports progress: another piece of work begins.
pub(crate) fn progress() {
    WORK.fetch_add(2, Ordering::Relaxed);
}

/// Runs something that waits and has a limit of its own.
pub(crate) fn wait<T>(work: impl FnOnce() -> T) -> T {
    WORK.fetch_add(1, Ordering::Relaxed);
    let result = work();
    WORK.fetch_add(1, Ordering::Relaxed);
    result
}

fn watch() -> ! {
    let hard_limit = sys::processor_limit().map(|limit| limit.saturating_sub(LIMIT_MARGIN));
    let mut watched = WatchState::default();
    loop {
        let begun = Instant::now();
        sys::pause(SAMPLE_INTERVAL);
        let sample = Sample {
            work: WORK.load(Ordering::Relaxed),
            processor_time: sys::processor_time(),
            passed: begun.elapsed(),
            switches: sys::main_thread_switches(),
            is_terminated: sys::is_pending(libc::SIGTERM),
        };
        if hard_limit.is_some_and(|limit| sample.processor_time >= limit) {
            end(EndCause::Fault, "hookmux: its limit of processor time (RLIMIT_CPU) is reached\n");
        }
        match watched.judge(&sample) {
            None => {}
            Some(EndReason::Processor) => {
                end(
                    EndCause::Fault,
                    "hookmux: its own work took more than 5 s of processor time\n",
                );
            }
            Some(EndReason::Wait) => {
                end(EndCause::Fault, "hookmux: it waited for its own files for more than 10 s\n");
            }
            Some(EndReason::Terminated) => end(EndCause::Terminated, "hookmux: ended by SIGTERM\n"),
        }
    }
}

/// Ends the call. Allocates nothing: the main thread may be stopped while it holds the lock of the allocator.
fn end(cause: EndCause, words: &'static str) -> ! {
    if SHOWS_REASON.load(Ordering::Relaxed) {
        sys::write_stderr(words.as_bytes());
    }
    sys::end_call(cause)
}

/// One sample of the process.
struct Sample {
    work: u64,
    /// Of the whole process.
    processor_time: Duration,
    /// Since the last sample.
    passed: Duration,
    /// The main thread's context switches: the number stays the same while it waits for one thing.
    switches: Option<u64>,
    /// Whether SIGTERM is pending.
    is_terminated: bool,
}

/// Why a call is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndReason {
    Processor,
    Wait,
    Terminated,
}

/// What is known about the present piece of work.
#[derive(Default)]
struct WatchState {
    work: u64,
    processor_time: Duration,
    switches: Option<u64>,
    /// Processor time of pieces of work that lasted from one sample to the next.
    used: Duration,
    /// How long this piece has waited.
    waited: Duration,
    was_terminated: bool,
}

impl WatchState {
    fn judge(&mut self, sample: &Sample) -> Option<EndReason> {
        let is_same = sample.work == self.work && sample.work % 2 == 1;
        let used = sample.processor_time.saturating_sub(self.processor_time);
        self.processor_time = sample.processor_time;
        self.work = sample.work;
        // on a busy machine work is slow but goes on; without a context switch it is one and the same wait
        let is_one_wait = std::mem::replace(&mut self.switches, sample.switches) == sample.switches;
        // there was a whole interval to react to it
        let was_terminated = std::mem::replace(&mut self.was_terminated, sample.is_terminated);
        if !is_same {
            self.waited = Duration::ZERO;
            return None;
        }
        self.used += used;
        let is_idle = used < sample.passed / 4;
        self.waited =
            if is_one_wait && is_idle { self.waited + sample.passed } else { Duration::ZERO };
        if sample.is_terminated && was_terminated {
            Some(EndReason::Terminated)
        } else if self.used > MAX_PROCESSOR_TIME {
            Some(EndReason::Processor)
        } else {
            (self.waited > MAX_WAIT).then_some(EndReason::Wait)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(work: u64, processor_ms: u64) -> Sample {
        Sample {
            work,
            processor_time: Duration::from_millis(processor_ms),
            passed: SAMPLE_INTERVAL,
            switches: Some(processor_ms),
            is_terminated: false,
        }
    }

    #[test]
    fn work_that_never_ends_is_ended_and_other_work_is_not() {
        let mut watched = WatchState::default();
        // one piece, all of the processor
        let ended =
            (0..).find(|n| watched.judge(&sample(1, n * 250)) == Some(EndReason::Processor));
        assert_eq!(ended, Some(21), "5 s, and the first sample to compare with");
        // pieces that end, and waits with a limit
        let mut watched = WatchState::default();
        for n in 0..1000 {
            assert_eq!(watched.judge(&sample(1 + 2 * n, n * 250)), None);
            assert_eq!(watched.judge(&sample(2, n * 250)), None);
        }
    }

    #[test]
    fn a_wait_is_ended_and_a_busy_machine_is_no_wait() {
        let mut watched = WatchState::default();
        let blocked = |work| Sample { switches: Some(7), ..sample(work, 3) };
        let ended = (0..).find(|_| watched.judge(&blocked(1)) == Some(EndReason::Wait));
        assert_eq!(ended, Some(41), "10 s, and the first sample to compare with");
        let mut watched = WatchState::default();
        for n in 0..1000 {
            assert_eq!(watched.judge(&sample(1, n)), None, "it goes on, if slowly");
            assert_eq!(watched.judge(&blocked(2)), None, "it waits for a hook");
        }
    }

    #[test]
    fn sigterm_is_given_time_to_be_heard() {
        let mut watched = WatchState::default();
        let term = |work| Sample { is_terminated: true, ..sample(work, 3) };
        assert_eq!(watched.judge(&sample(1, 3)), None);
        assert_eq!(watched.judge(&term(1)), None);
        assert_eq!(watched.judge(&term(3)), None, "another piece of work: it may look soon");
        assert_eq!(watched.judge(&term(2)), None, "who waits for hooks hears it");
        assert_eq!(watched.judge(&term(5)), None);
        assert_eq!(watched.judge(&term(5)), Some(EndReason::Terminated));
    }
}
