//! Watches over hookmux's own work in a call, whatever that is: a thread that ends the call by the
//! answer of its class where the work takes too much processor time, waits too long, or doesn't
//! hear SIGTERM. libvirt itself waits for a hook program without limit.
//!
//! Hooks have limits of their own: while a call waits for them, or for anything else that has a
//! limit, it says so by [`wait`], and isn't watched.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::machine::sys::{self, Cause};

/// Processor time that hookmux may use for itself in a call.
pub(crate) const MAX_PROCESSOR_TIME: Duration = Duration::from_secs(5);
/// How long hookmux may wait for anything that has no limit of its own: a lock, a file of its state.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(10);
/// How often the thread looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Before the limit on processor time at which the kernel ends the process, in which no thread of
/// it comes to anything any more.
const BEFORE_LIMIT: Duration = Duration::from_millis(400);

/// Counts the pieces of work of a call: an odd number is work of hookmux's own, an even one a wait
/// that has a limit.
static WORK: AtomicU64 = AtomicU64::new(1);
/// Whether the end has something to say on standard error: libvirt shows what a gate says.
static IS_TOLD: AtomicBool = AtomicBool::new(false);
/// Whether this process is a call that is watched.
static IS_ON: AtomicBool = AtomicBool::new(false);

/// Begins to watch. Without room for a thread the call goes on unwatched.
pub(crate) fn start(is_told: bool) {
    IS_TOLD.store(is_told, Ordering::Relaxed);
    IS_ON.store(true, Ordering::Relaxed);
    let _ = sys::start_thread(watch);
}

/// Whether this process is a call of libvirt's, as against a command of a person's.
pub(crate) fn is_on() -> bool {
    IS_ON.load(Ordering::Relaxed)
}

/// Tells that the work goes on: another piece of it begins.
pub(crate) fn go_on() {
    WORK.fetch_add(2, Ordering::Relaxed);
}

/// Does something that waits, and has a limit of its own.
pub(crate) fn wait<T>(work: impl FnOnce() -> T) -> T {
    WORK.fetch_add(1, Ordering::Relaxed);
    let result = work();
    WORK.fetch_add(1, Ordering::Relaxed);
    result
}

fn watch() -> ! {
    sys::be_last_for_oom_killer();
    let hard_limit = sys::processor_limit().map(|limit| limit.saturating_sub(BEFORE_LIMIT));
    let mut watched = Watched::default();
    loop {
        let begun = Instant::now();
        sys::pause(LOOK_EVERY);
        let look = Look {
            work: WORK.load(Ordering::Relaxed),
            processor_time: sys::processor_time(),
            passed: begun.elapsed(),
            switches: sys::main_thread_switches(),
            is_terminated: sys::is_pending(libc::SIGTERM),
        };
        if hard_limit.is_some_and(|limit| look.processor_time >= limit) {
            end(Cause::Fault, "hookmux: its limit of processor time (RLIMIT_CPU) is reached\n");
        }
        match watched.judge(&look) {
            None => {}
            Some(End::Processor) => {
                end(Cause::Fault, "hookmux: its own work took more than 5 s of processor time\n");
            }
            Some(End::Wait) => {
                end(Cause::Fault, "hookmux: it waited for its own files for more than 10 s\n");
            }
            Some(End::Terminated) => end(Cause::Terminated, "hookmux: ended by SIGTERM\n"),
        }
    }
}

/// Allocates nothing: the main thread may stand still while it holds the allocator.
fn end(cause: Cause, words: &'static str) -> ! {
    if IS_TOLD.load(Ordering::Relaxed) {
        sys::say(words.as_bytes());
    }
    sys::end(cause)
}

/// What the thread sees when it looks.
struct Look {
    work: u64,
    /// All that this process has used.
    processor_time: Duration,
    /// Since the look before.
    passed: Duration,
    /// A number that stands still while the main thread waits for one thing.
    switches: Option<u64>,
    /// Whether SIGTERM came, and nobody has taken it yet.
    is_terminated: bool,
}

/// Why a call is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Processor,
    Wait,
    Terminated,
}

/// What is known of the piece of work that is under way.
#[derive(Default)]
struct Watched {
    work: u64,
    processor_time: Duration,
    switches: Option<u64>,
    /// What pieces of work took that were under way at two looks.
    used: Duration,
    /// How long this one has waited.
    waited: Duration,
    was_terminated: bool,
}

impl Watched {
    fn judge(&mut self, look: &Look) -> Option<End> {
        let is_same = look.work == self.work && look.work % 2 == 1;
        let used = look.processor_time.saturating_sub(self.processor_time);
        self.processor_time = look.processor_time;
        self.work = look.work;
        // on a busy machine work is slow, and goes on; one wait is one that never came back
        let is_one_wait = std::mem::replace(&mut self.switches, look.switches) == look.switches;
        // it has had the time between two looks to hear it
        let was_terminated = std::mem::replace(&mut self.was_terminated, look.is_terminated);
        if !is_same {
            self.waited = Duration::ZERO;
            return None;
        }
        self.used += used;
        let is_idle = used < look.passed / 4;
        self.waited =
            if is_one_wait && is_idle { self.waited + look.passed } else { Duration::ZERO };
        if look.is_terminated && was_terminated {
            Some(End::Terminated)
        } else if self.used > MAX_PROCESSOR_TIME {
            Some(End::Processor)
        } else {
            (self.waited > MAX_WAIT).then_some(End::Wait)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(work: u64, processor_ms: u64) -> Look {
        Look {
            work,
            processor_time: Duration::from_millis(processor_ms),
            passed: LOOK_EVERY,
            switches: Some(processor_ms),
            is_terminated: false,
        }
    }

    #[test]
    fn work_that_never_ends_is_ended_and_other_work_is_not() {
        let mut watched = Watched::default();
        // one piece, all of the processor
        let ended = (0..).find(|n| watched.judge(&look(1, n * 250)) == Some(End::Processor));
        assert_eq!(ended, Some(21), "5 s, and the first look to compare with");
        // pieces that end, and waits with a limit
        let mut watched = Watched::default();
        for n in 0..1000 {
            assert_eq!(watched.judge(&look(1 + 2 * n, n * 250)), None);
            assert_eq!(watched.judge(&look(2, n * 250)), None);
        }
    }

    #[test]
    fn a_wait_is_ended_and_a_busy_machine_is_no_wait() {
        let mut watched = Watched::default();
        let blocked = |work| Look { switches: Some(7), ..look(work, 3) };
        let ended = (0..).find(|_| watched.judge(&blocked(1)) == Some(End::Wait));
        assert_eq!(ended, Some(41), "10 s, and the first look to compare with");
        let mut watched = Watched::default();
        for n in 0..1000 {
            assert_eq!(watched.judge(&look(1, n)), None, "it goes on, if slowly");
            assert_eq!(watched.judge(&blocked(2)), None, "it waits for a hook");
        }
    }

    #[test]
    fn sigterm_is_given_time_to_be_heard() {
        let mut watched = Watched::default();
        let term = |work| Look { is_terminated: true, ..look(work, 3) };
        assert_eq!(watched.judge(&look(1, 3)), None);
        assert_eq!(watched.judge(&term(1)), None);
        assert_eq!(watched.judge(&term(3)), None, "another piece of work: it may look soon");
        assert_eq!(watched.judge(&term(2)), None, "who waits for hooks hears it");
        assert_eq!(watched.judge(&term(5)), None);
        assert_eq!(watched.judge(&term(5)), Some(End::Terminated));
    }
}
