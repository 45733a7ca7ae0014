//! One process on its leash: its output, its limit in time, and its end, which takes along
//! everything that it started.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::capture::Capture;
use super::feed::Feed;
use super::job::{Job, Outcome};
use super::members::{self, Member};
use super::shell;
use super::startable;
use super::startable::obstacle::Obstacle;
use crate::machine::sys::{self, ChildExit};

/// Between SIGTERM and SIGKILL.
pub(super) const GRACE: Duration = Duration::from_secs(5);
/// How long what had SIGKILL is waited for: a process in the kernel can't be ended by anybody.
pub(super) const AFTER_KILL: Duration = Duration::from_secs(2);
/// How long where it isn't in the kernel: thousands of processes need their time to go.
const AFTER_KILL_LONGEST: Duration = Duration::from_secs(10);
/// How often what is being ended is looked for.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Tries to start a process where the kernel says that it is short of something for now.
const SPAWN_TRIES: u32 = 4;

/// A job that runs.
pub(super) struct Active {
    pub(super) index: usize,
    pub(super) run: String,
    pub(super) pid: i32,
    pub(super) started: Instant,
    /// The limit that comes first, its own or the call's.
    pub(super) limit: Duration,
    pub(super) told_started: bool,
    told_slow: bool,
    kill_leftovers: bool,
    pub(super) stdout: Option<File>,
    pub(super) stderr: Option<File>,
    pub(super) feed: Option<Feed>,
    pub(super) stdout_capture: Capture,
    pub(super) stderr_capture: Capture,
    pub(super) exited: Option<Outcome>,
    /// When its process ended.
    pub(super) duration: Option<Duration>,
    /// Why it is being ended.
    pub(super) verdict: Option<Outcome>,
    ending: Option<Ending>,
    pub(super) is_over: bool,
    /// Something of it had SIGKILL and is still there.
    pub(super) is_unkillable: bool,
}

/// A job that is being ended.
#[derive(Clone, Copy)]
struct Ending {
    kill_at: Instant,
    /// When everything had SIGKILL.
    killed: Option<Instant>,
    look_at: Instant,
}

impl Active {
    /// # Errors
    /// It could not be started: why not.
    pub(super) fn start(index: usize, mut job: Job) -> Result<Active, Obstacle> {
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
                Err(error) if tries < SPAWN_TRIES && is_passing(&error) => {
                    thread::sleep(Duration::from_millis(if is_busy(&error) { 20 } else { 50 }));
                }
                Err(error) if job.is_text_run && error.raw_os_error() == Some(libc::ENOEXEC) => {
                    job.is_text_run = false;
                    if !shell::run_by_shell(&mut job) {
                        return Err(startable::met(&job, &error));
                    }
                }
                Err(error) => return Err(startable::met(&job, &error)),
                Ok(pid) => break pid,
            }
        };
        let of_call = job.call_ends.saturating_duration_since(started);
        let limit = job.timeout.map_or(of_call, |own| own.min(of_call));
        Ok(Active {
            index,
            run: job.run,
            pid,
            started,
            limit,
            told_started: false,
            told_slow: false,
            kill_leftovers: job.kill_leftovers,
            stdout: Some(stdout),
            stderr: Some(stderr),
            feed: job.feed.take(),
            stdout_capture: Capture::with_head(job.stdout_head),
            stderr_capture: Capture::default(),
            exited: None,
            duration: None,
            verdict: None,
            ending: None,
            is_over: false,
            is_unkillable: false,
        })
    }

    pub(super) fn pipes(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [&self.stdout, &self.stderr].into_iter().flatten().map(AsFd::as_fd)
    }

    /// Looks at its process, and reads what it wrote: in this order, so that all it wrote is
    /// read once its end is known.
    pub(super) fn look(&mut self) {
        if self.exited.is_none() {
            self.exited = sys::child_exit(self.pid).map(|end| match end {
                ChildExit::Exited(code) => Outcome::Exited(code),
                ChildExit::Killed(signal) => Outcome::Signaled(signal),
            });
        }
        self.feed = self.feed.take().and_then(|mut feed| feed.go_on().then_some(feed));
        read_into(&mut self.stdout, &mut self.stdout_capture);
        read_into(&mut self.stderr, &mut self.stderr_capture);
    }

    pub(super) fn wakes_at(&self, now: Instant) -> Instant {
        match &self.ending {
            Some(ending) => ending.look_at,
            None if self.told_slow => self.started + self.limit,
            None => self.started + self.limit / 3,
        }
        .max(now)
    }

    /// Once, when a third of the time is over.
    pub(super) fn is_slow(&mut self, now: Instant) -> bool {
        let is_slow =
            !self.told_slow && self.ending.is_none() && now >= self.started + self.limit / 3;
        self.told_slow |= is_slow;
        is_slow && self.exited.is_none()
    }

    /// One step of the job's life.
    pub(super) fn step(&mut self, now: Instant, me: i32) {
        if self.exited.is_some() && self.duration.is_none() {
            self.duration = Some(now - self.started);
        }
        if self.ending.is_none() {
            if self.exited.is_some() {
                if self.kill_leftovers && !members::of_run(self.pid, &self.run, me).is_empty() {
                    self.begin_ending(me);
                } else {
                    self.is_over = true;
                }
            } else if now >= self.started + self.limit {
                let limit = self.limit;
                let timed_out = |calls_libvirt| Outcome::TimedOut { limit, calls_libvirt };
                self.end_as(timed_out, me);
            }
            return;
        }
        self.press(now, me);
    }

    /// Begins to end all that the job started, for a reason that becomes its outcome.
    pub(super) fn end_as(&mut self, outcome: impl FnOnce(bool) -> Outcome, me: i32) {
        if self.ending.is_some() || self.exited.is_some() {
            return;
        }
        let members = members::of_run(self.pid, &self.run, me);
        self.verdict = Some(outcome(members::uses_libvirt(&members)));
        self.begin_ending(me);
    }

    fn begin_ending(&mut self, me: i32) {
        members::signal_run(self.pid, &self.run, me, libc::SIGTERM);
        // a stopped process takes SIGTERM only once it goes on
        members::signal_run(self.pid, &self.run, me, libc::SIGCONT);
        // a search takes its time where there are thousands of processes
        let now = Instant::now();
        self.ending =
            Some(Ending { kill_at: now + GRACE, killed: None, look_at: now + LOOK_AGAIN });
    }

    /// Looks whether all is gone, and presses harder where it isn't.
    fn press(&mut self, now: Instant, me: i32) {
        let Some(ending) = &mut self.ending else { return };
        if now < ending.look_at && self.exited.is_none() {
            return;
        }
        let left = members::of_run(self.pid, &self.run, me);
        if left.is_empty() && self.exited.is_some() {
            self.is_over = true;
        } else if ending.killed.is_some_and(|killed| is_beyond_help(killed, now, &left)) {
            self.is_unkillable = true;
            self.is_over = true;
        } else if now >= ending.kill_at {
            members::signal_run(self.pid, &self.run, me, libc::SIGKILL);
            ending.killed.get_or_insert_with(Instant::now);
        }
        // a search takes longer the more there are; most of the time is theirs
        let next = Instant::now();
        ending.look_at = next + LOOK_AGAIN.max((next - now) * 9);
    }
}

/// Whether all that is left waits for the kernel, and nobody can end it.
/// Whether what was killed at that moment will hardly end any more.
fn is_beyond_help(killed: Instant, now: Instant, left: &[Member]) -> bool {
    now >= killed + AFTER_KILL && (now >= killed + AFTER_KILL_LONGEST || are_in_the_kernel(left))
}

fn are_in_the_kernel(left: &[Member]) -> bool {
    !left.is_empty() && left.iter().all(|member| member.is_uninterruptible)
}

/// A pipe whose reading end never blocks; both ends are closed in every program that is executed.
fn pipe() -> io::Result<(File, OwnedFd)> {
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((File::from(reader), writer))
}

fn read_into(pipe: &mut Option<File>, capture: &mut Capture) {
    let Some(file) = pipe else { return };
    let mut buffer = [0; 16384];
    // a writer that never pauses must not keep the loop from its clocks; what an ended process
    // wrote fits into a pipe
    for _ in 0..256 {
        match file.read(&mut buffer) {
            Ok(count) if count > 0 => capture.push(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Ok(_) | Err(_) => {
                *pipe = None;
                return;
            }
        }
    }
}

/// Errors of a start that another try may not meet.
fn is_passing(error: &io::Error) -> bool {
    is_busy(error) || matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOMEM))
}

/// Somebody has the file open for writing: it is being replaced.
fn is_busy(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ETXTBSY)
}
