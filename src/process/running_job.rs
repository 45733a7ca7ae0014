//! One running process: reads its output, enforces its time limit, and ends it together with
//! everything that it started.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::capture::{Capture, Stream};
use super::feed::StdinFeed;
use super::job::{Job, ProcessOutcome};
use super::members::{self, Member};
use super::shell;
use super::startable;
use super::startable::obstacle::StartObstacle;
use crate::config::choice::ResultKind;
use crate::machine::sys::{self, ChildExit};

/// The time between SIGTERM and SIGKILL.
pub(super) const TERMINATE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait after SIGKILL for processes in uninterruptible sleep: nothing can end these.
pub(super) const KILL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long to wait after SIGKILL for all others: thousands of processes need some time to exit.
const MAX_KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// How often to check whether the processes that are being ended are gone.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How many times a start is attempted where the kernel lacks a resource for the moment.
const MAX_SPAWN_ATTEMPTS: u32 = 4;

/// How long a job runs before its last line is reported, and the shortest time between two such reports.
const LAST_LINE_INTERVAL: Duration = Duration::from_secs(1);
/// How much of the end of a stream is searched for its last line, in bytes.
const MAX_LAST_LINE_BYTES: usize = 4096;

/// A job that is running.
pub(super) struct RunningJob {
    pub(super) index: usize,
    pub(super) run: String,
    pub(super) pid: i32,
    pub(super) started: Instant,
    /// The shorter of its own time limit and what is left of the call's.
    pub(super) limit: Duration,
    pub(super) has_reported_start: bool,
    has_reported_slow: bool,
    kill_leftovers: bool,
    pub(super) result: ResultKind,
    pub(super) stdout: Option<File>,
    pub(super) stderr: Option<File>,
    pub(super) feed: Option<StdinFeed>,
    pub(super) stdout_capture: Capture,
    pub(super) stderr_capture: Capture,
    /// The stream that was written last, if it was written since its last line was reported.
    unreported: Option<Stream>,
    /// When a last line was reported.
    reported: Option<Instant>,
    pub(super) exited: Option<ProcessOutcome>,
    /// When its process ended.
    pub(super) duration: Option<Duration>,
    /// The outcome of a job that hookmux ends.
    pub(super) stopped_as: Option<ProcessOutcome>,
    termination: Option<Termination>,
    pub(super) is_over: bool,
    /// Whether a process of it is still there after SIGKILL.
    pub(super) is_unkillable: bool,
}

/// The progress of ending a job.
#[derive(Clone, Copy)]
struct Termination {
    kill_at: Instant,
    /// When SIGKILL was first sent.
    killed: Option<Instant>,
    next_check: Instant,
}

impl RunningJob {
    /// Starts a job.
    ///
    /// # Errors
    /// Why it could not be started.
    pub(super) fn start(index: usize, mut job: Job) -> Result<RunningJob, StartObstacle> {
        let (stdout, stdout_writer) = pipe()?;
        let (stderr, stderr_writer) = pipe()?;
        let started = Instant::now();
        let mut tries = 0;
        let pid = loop {
            tries += 1;
            let streams = [job.stdin.as_fd(), stdout_writer.as_fd(), stderr_writer.as_fd()];
            let started =
                sys::spawn(&job.path, &job.arguments, &job.environment, streams, &job.privileges);
            match started {
                Err(error) if tries < MAX_SPAWN_ATTEMPTS && is_transient(&error) => {
                    thread::sleep(Duration::from_millis(if is_text_busy(&error) {
                        20
                    } else {
                        50
                    }));
                }
                Err(error) if job.is_text_run && error.raw_os_error() == Some(libc::ENOEXEC) => {
                    job.is_text_run = false;
                    if !shell::run_by_shell(&mut job) {
                        return Err(startable::explain(&job, &error));
                    }
                }
                Err(error) => return Err(startable::explain(&job, &error)),
                Ok(pid) => break pid,
            }
        };
        let of_call = job.call_ends.saturating_duration_since(started);
        let limit = job.timeout.map_or(of_call, |own| own.min(of_call));
        Ok(RunningJob {
            index,
            run: job.run,
            pid,
            started,
            limit,
            has_reported_start: false,
            has_reported_slow: false,
            kill_leftovers: job.kill_leftovers,
            result: job.result,
            stdout: Some(stdout),
            stderr: Some(stderr),
            feed: job.feed.take(),
            stdout_capture: Capture::with_head(job.stdout_head),
            stderr_capture: Capture::default(),
            unreported: None,
            reported: None,
            exited: None,
            duration: None,
            stopped_as: None,
            termination: None,
            is_over: false,
            is_unkillable: false,
        })
    }

    pub(super) fn pipes(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [&self.stdout, &self.stderr].into_iter().flatten().map(AsFd::as_fd)
    }

    /// Checks whether the process has ended, then reads what it wrote: in this order, all output has
    /// been read once the end is known.
    pub(super) fn poll(&mut self, written: &mut dyn FnMut(Stream, &[u8])) {
        if self.exited.is_none() {
            self.exited = sys::child_exit(self.pid).map(|end| match end {
                ChildExit::Exited(code) => ProcessOutcome::Exited(code),
                ChildExit::Killed(signal) => ProcessOutcome::Signaled(signal),
            });
        }
        self.feed = self.feed.take().and_then(|mut feed| feed.write_more().then_some(feed));
        let streams = [
            (Stream::Output, &mut self.stdout, &mut self.stdout_capture),
            (Stream::Error, &mut self.stderr, &mut self.stderr_capture),
        ];
        for (stream, pipe, capture) in streams {
            read_into(pipe, &mut |bytes| {
                capture.push(bytes);
                self.unreported = Some(stream);
                written(stream, bytes);
            });
        }
    }

    /// Returns when the last line is to be reported, if there is a new one.
    fn report_due(&self) -> Option<Instant> {
        self.unreported?;
        Some(self.reported.unwrap_or(self.started) + LAST_LINE_INTERVAL)
    }

    /// Returns the last line, if it is time to report a new one. A hook that ends within a second costs
    /// nothing here.
    pub(super) fn new_last_line(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.exited.is_some() || self.report_due()? > now {
            return None;
        }
        let capture = match self.unreported.take()? {
            Stream::Output => &self.stdout_capture,
            Stream::Error => &self.stderr_capture,
        };
        self.reported = Some(now);
        last_line(&capture.end(MAX_LAST_LINE_BYTES)).map(<[u8]>::to_vec)
    }

    pub(super) fn next_wakeup(&self, now: Instant) -> Instant {
        match &self.termination {
            Some(termination) => termination.next_check,
            None => {
                let limit = if self.has_reported_slow { self.limit } else { self.limit / 3 };
                let end = self.started + limit;
                self.report_due().map_or(end, |due| due.min(end))
            }
        }
        .max(now)
    }

    /// Tells, only once, that a third of the time limit is over.
    pub(super) fn is_slow(&mut self, now: Instant) -> bool {
        let is_slow = !self.has_reported_slow
            && self.termination.is_none()
            && now >= self.started + self.limit / 3;
        self.has_reported_slow |= is_slow;
        is_slow && self.exited.is_none()
    }

    /// Does what is due now: notes the end of the process, enforces the time limit, ends leftovers.
    pub(super) fn advance(&mut self, now: Instant, own_pid: i32) {
        if self.exited.is_some() && self.duration.is_none() {
            self.duration = Some(now - self.started);
        }
        if self.termination.is_none() {
            if self.exited.is_some() {
                if self.kill_leftovers && !members::of_run(self.pid, &self.run, own_pid).is_empty()
                {
                    self.begin_termination(own_pid);
                } else {
                    self.is_over = true;
                }
            } else if now >= self.started + self.limit {
                let limit = self.limit;
                let timed_out = |calls_libvirt| ProcessOutcome::TimedOut { limit, calls_libvirt };
                self.terminate(timed_out, own_pid);
            }
            return;
        }
        self.escalate(now, own_pid);
    }

    /// Begins to end everything that the job started. The given reason becomes its outcome.
    pub(super) fn terminate(&mut self, outcome: impl FnOnce(bool) -> ProcessOutcome, own_pid: i32) {
        if self.termination.is_some() || self.exited.is_some() {
            return;
        }
        let members = members::of_run(self.pid, &self.run, own_pid);
        self.stopped_as = Some(outcome(members::uses_libvirt(&members)));
        self.begin_termination(own_pid);
    }

    fn begin_termination(&mut self, own_pid: i32) {
        members::signal_run(self.pid, &self.run, own_pid, libc::SIGTERM);
        // a stopped process handles SIGTERM only after it was continued
        members::signal_run(self.pid, &self.run, own_pid, libc::SIGCONT);
        // a search takes its time where there are thousands of processes
        let now = Instant::now();
        self.termination = Some(Termination {
            kill_at: now + TERMINATE_TIMEOUT,
            killed: None,
            next_check: now + POLL_INTERVAL,
        });
    }

    /// Checks whether all processes are gone; sends SIGKILL to the rest once it is time.
    fn escalate(&mut self, now: Instant, own_pid: i32) {
        let Some(termination) = &mut self.termination else { return };
        if now < termination.next_check && self.exited.is_none() {
            return;
        }
        let left = members::of_run(self.pid, &self.run, own_pid);
        if left.is_empty() && self.exited.is_some() {
            self.is_over = true;
        } else if termination.killed.is_some_and(|killed| is_kill_overdue(killed, now, &left)) {
            self.is_unkillable = true;
            self.is_over = true;
        } else if now >= termination.kill_at {
            members::signal_run(self.pid, &self.run, own_pid, libc::SIGKILL);
            termination.killed.get_or_insert_with(Instant::now);
        }
        // a search takes longer the more processes there are; leave them most of the time
        let next = Instant::now();
        termination.next_check = next + POLL_INTERVAL.max((next - now) * 9);
    }
}

/// Tells whether to stop waiting for processes that were killed at `killed`: they are in
/// uninterruptible sleep, or the longest wait is over.
fn is_kill_overdue(killed: Instant, now: Instant, left: &[Member]) -> bool {
    now >= killed + KILL_TIMEOUT && (now >= killed + MAX_KILL_TIMEOUT || are_uninterruptible(left))
}

fn are_uninterruptible(left: &[Member]) -> bool {
    !left.is_empty() && left.iter().all(|member| member.is_uninterruptible)
}

/// Makes a pipe with a reading end that never blocks. Executed programs inherit neither end.
fn pipe() -> io::Result<(File, OwnedFd)> {
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((File::from(reader), writer))
}

/// Returns the last line that isn't empty. A carriage return begins a new one, as on a terminal.
fn last_line(text: &[u8]) -> Option<&[u8]> {
    text.split(|byte| matches!(byte, b'\n' | b'\r'))
        .map(<[u8]>::trim_ascii)
        .rfind(|line| !line.is_empty())
}

fn read_into(pipe: &mut Option<File>, taken: &mut dyn FnMut(&[u8])) {
    let Some(file) = pipe else { return };
    let mut buffer = [0; 16384];
    // a process that writes without pause must not keep the loop from checking time limits; what a
    // process that has ended wrote fits into a pipe
    for _ in 0..256 {
        match file.read(&mut buffer) {
            Ok(count) if count > 0 => taken(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Ok(_) | Err(_) => {
                *pipe = None;
                return;
            }
        }
    }
}

/// Tells whether another attempt to start may succeed.
fn is_transient(error: &io::Error) -> bool {
    is_text_busy(error) || matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOMEM))
}

/// Tells whether the file is open for writing, because somebody is replacing it.
fn is_text_busy(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ETXTBSY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_what_a_terminal_would_show() {
        for (text, line) in [
            (&b""[..], None),
            (b"\n \r\n", None),
            (b"one", Some(&b"one"[..])),
            (b"one\ntwo", Some(b"two")),
            (b"one\n  two\n\n", Some(b"two")),
            (b" 10 %\r 20 %", Some(b"20 %")),
        ] {
            assert_eq!(last_line(text), line, "{text:?}");
        }
    }
}
