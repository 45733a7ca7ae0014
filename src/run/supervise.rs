//! The leash: one loop over the ends of processes, their output, signals and limits in time. It
//! drives any number of jobs at once.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;

use super::capture::Capture;
use super::job::{Ended, Job, Leftover, Outcome};
use super::processes;
use super::sys::{self, End};

/// Between SIGTERM and SIGKILL.
pub const GRACE: Duration = Duration::from_secs(5);
/// How long what had SIGKILL is waited for: a process in the kernel can't be ended by anybody.
const AFTER_KILL: Duration = Duration::from_secs(2);
/// How often what is being ended is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Tries to start a process where the kernel says that it is short of something for now.
const SPAWN_TRIES: u32 = 4;

/// What happens while jobs run.
pub enum Progress<'a> {
    Started {
        job: usize,
        pid: i32,
    },
    /// A third of its time is over.
    Slow {
        job: usize,
        limit: Duration,
    },
    Ended {
        job: usize,
        ended: &'a Ended,
    },
}

/// What is to be done next.
pub enum Next {
    Start(Box<Job>),
    /// Nothing for now: ask again when something has happened, or after a time.
    Wait(Duration),
    /// Nothing more will come.
    Done,
}

/// Runs jobs, for the time of one call.
pub struct Supervisor {
    signals: SignalFd,
    null: File,
    me: i32,
    is_terminated: bool,
    /// No signal ends what runs now: rollbacks have to be finished.
    is_deaf: bool,
    /// Pipes that left-over processes still hold.
    held: Vec<OwnedFd>,
}

impl Supervisor {
    /// Takes over SIGCHLD, the signals that mean the end of the call, and every orphan of what it
    /// will start.
    ///
    /// # Errors
    /// The kernel gave no descriptor.
    pub fn new(ends: &[Signal]) -> io::Result<Supervisor> {
        sys::heed_children();
        let mut taken = SigSet::empty();
        taken.extend(ends.iter().copied().chain([Signal::SIGCHLD]));
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&taken), None)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&taken, flags)?;
        // before 3.4 there is no such thing; then orphans are init's, and are left alone
        let _ = prctl::set_child_subreaper(true);
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let me = std::process::id().cast_signed();
        Ok(Supervisor { signals, null, me, is_terminated: false, is_deaf: false, held: Vec::new() })
    }

    /// Whether hookmux was told to end: then no further job may start.
    pub fn is_terminated(&mut self) -> bool {
        self.read_signals();
        self.is_terminated
    }

    /// From here on jobs run whether hookmux was told to end or not: they undo others, and have a
    /// limit of their own.
    pub fn turn_deaf(&mut self) {
        self.read_signals();
        self.is_deaf = true;
    }

    /// `/dev/null` as a job's standard input.
    ///
    /// # Errors
    /// As of `dup(2)`.
    pub fn null(&self) -> io::Result<OwnedFd> {
        Ok(self.null.try_clone()?.into())
    }

    /// Runs jobs side by side until all have ended, and tells of their progress. They end in the
    /// order in which they were given.
    pub fn run(&mut self, jobs: Vec<Job>, progress: &mut dyn FnMut(Progress<'_>)) -> Vec<Ended> {
        let mut ended: Vec<Option<Ended>> = jobs.iter().map(|_| None).collect();
        let mut jobs = jobs.into_iter();
        let mut next = || jobs.next().map_or(Next::Done, |job| Next::Start(Box::new(job)));
        self.drive(&mut next, progress, &mut |index, result| {
            if let Some(place) = ended.get_mut(index) {
                *place = Some(result);
            }
        });
        ended.into_iter().flatten().collect()
    }

    /// Runs jobs side by side as they come, numbered from 0: whenever something has happened,
    /// `next` is asked for one more until it has none for now.
    pub fn drive(
        &mut self,
        next: &mut dyn FnMut() -> Next,
        progress: &mut dyn FnMut(Progress<'_>),
        over: &mut dyn FnMut(usize, Ended),
    ) {
        let mut active: Vec<Active> = Vec::new();
        let mut started = 0;
        loop {
            let mut finish = |index: usize, result: Ended| {
                progress(Progress::Ended { job: index, ended: &result });
                over(index, result);
            };
            let pause = loop {
                match next() {
                    Next::Done if active.is_empty() => return,
                    Next::Done => break None,
                    Next::Wait(pause) => break Some(pause),
                    Next::Start(job) => {
                        match Active::start(started, *job) {
                            Ok(begun) => active.push(begun),
                            Err(error) => finish(started, Ended::never(error)),
                        }
                        started += 1;
                    }
                }
            };
            for begun in active.iter_mut().filter(|job| !job.told_started) {
                begun.told_started = true;
                progress(Progress::Started { job: begun.index, pid: begun.pid });
            }
            self.wait(&active, pause);
            self.read_signals();
            let now = Instant::now();
            for job in &mut active {
                job.look();
                if self.is_terminated && !self.is_deaf {
                    job.end_as(|_| Outcome::Terminated, now, self.me);
                }
                if job.is_slow(now) {
                    progress(Progress::Slow { job: job.index, limit: job.limit });
                }
                job.step(now, self.me);
            }
            let (done, going) = active.into_iter().partition(|job: &Active| job.is_over);
            active = going;
            for job in done {
                let index = job.index;
                let result = self.conclude(job, !active.is_empty());
                progress(Progress::Ended { job: index, ended: &result });
                over(index, result);
            }
        }
    }

    fn wait(&mut self, active: &[Active], pause: Option<Duration>) {
        let now = Instant::now();
        let pause = pause.map(|pause| now + pause);
        let until = active.iter().map(|job| job.wakes_at(now)).chain(pause).min().unwrap_or(now);
        let timeout = TimeSpec::from_duration(until.saturating_duration_since(now));
        let mut polls = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        let pipes = active.iter().flat_map(Active::pipes);
        polls.extend(pipes.map(|pipe| PollFd::new(pipe, PollFlags::POLLIN)));
        let first_held = polls.len();
        polls.extend(self.held.iter().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)));
        // EINTR and the like: the round that follows finds nothing new and comes back
        let ready = ppoll(&mut polls, Some(timeout), None).unwrap_or(0);
        let any_held = ready > 0
            && polls[first_held..].iter().any(|poll| poll.revents().is_some_and(|r| !r.is_empty()));
        if any_held {
            self.held.retain(|pipe| discard(pipe.as_fd()));
        }
    }

    fn read_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            if info.ssi_signo != libc::SIGCHLD.cast_unsigned() {
                self.is_terminated = true;
            }
        }
    }

    /// Makes the result of a job whose process has ended, and keeps the pipes that others hold.
    fn conclude(&mut self, job: Active, others_run: bool) -> Ended {
        let unkillable = job.exited.is_none();
        let outcome = match (job.verdict, job.exited) {
            (Some(verdict), _) => verdict,
            (None, Some(exited)) => exited,
            (None, None) => Outcome::Terminated,
        };
        let pipes: Vec<OwnedFd> =
            [job.stdout, job.stderr].into_iter().flatten().map(OwnedFd::from).collect();
        // without children of ours and with closed pipes there is nothing to look for; its number
        // is kept until here, so that the search can't mean another process
        let alone = !others_run && pipes.is_empty();
        let may_have_left = !alone || sys::reap_all();
        let leftovers = if may_have_left {
            processes::of_run(job.pid, &job.run, self.me)
                .into_iter()
                .map(|pid| Leftover { pid, name: processes::name(pid) })
                .collect()
        } else {
            Vec::new()
        };
        sys::reap(job.pid);
        self.held.extend(pipes);
        Ended {
            outcome,
            duration: job.duration.unwrap_or_else(|| job.started.elapsed()),
            stdout: job.stdout_capture,
            stderr: job.stderr_capture,
            leftovers,
            unkillable,
        }
    }

    /// Lets go of what hooks left running: their pipes go to a small process that reads them to
    /// the end.
    ///
    /// # Errors
    /// No process could be made; what still writes will meet closed pipes.
    pub fn let_go(mut self) -> io::Result<()> {
        self.held.retain(|pipe| discard(pipe.as_fd()));
        if !self.held.is_empty() {
            sys::drain_apart(&self.held, self.null.as_fd())?;
        }
        Ok(())
    }
}

/// Reads what is there; `false` once nobody can write any more.
fn discard(pipe: BorrowedFd<'_>) -> bool {
    let mut buffer = [0; 16384];
    // one that never pauses has to wait for its turn
    for _ in 0..16 {
        match nix::unistd::read(pipe, &mut buffer) {
            Ok(0) => return false,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return true,
            Err(_) => return false,
        }
    }
    true
}

/// A job that runs.
struct Active {
    index: usize,
    run: String,
    pid: i32,
    started: Instant,
    /// The limit that comes first, its own or the call's.
    limit: Duration,
    told_started: bool,
    told_slow: bool,
    kill_leftovers: bool,
    stdout: Option<File>,
    stderr: Option<File>,
    stdout_capture: Capture,
    stderr_capture: Capture,
    exited: Option<Outcome>,
    /// When its process ended.
    duration: Option<Duration>,
    /// Why it is being ended.
    verdict: Option<Outcome>,
    ending: Option<Ending>,
    is_over: bool,
}

/// A job that is being ended.
#[derive(Clone, Copy)]
struct Ending {
    kill_at: Instant,
    is_killed: bool,
    look_at: Instant,
}

impl Active {
    fn start(index: usize, job: Job) -> io::Result<Active> {
        let (stdout, stdout_writer) = pipe()?;
        let (stderr, stderr_writer) = pipe()?;
        let streams = [job.stdin.as_fd(), stdout_writer.as_fd(), stderr_writer.as_fd()];
        let started = Instant::now();
        let mut tries = 0;
        let pid = loop {
            tries += 1;
            let started = if job.privileges.are_plain() {
                sys::spawn(&job.path, &job.arguments, &job.environment, streams)
            } else {
                sys::spawn_with(
                    &job.path,
                    &job.arguments,
                    &job.environment,
                    streams,
                    &job.privileges,
                )
            };
            match started {
                Err(error) if tries < SPAWN_TRIES && is_passing(&error) => {
                    thread::sleep(Duration::from_millis(if is_busy(&error) { 20 } else { 50 }));
                }
                other => break other?,
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
            stdout_capture: Capture::with_head(job.stdout_head),
            stderr_capture: Capture::default(),
            exited: None,
            duration: None,
            verdict: None,
            ending: None,
            is_over: false,
        })
    }

    fn pipes(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [&self.stdout, &self.stderr].into_iter().flatten().map(AsFd::as_fd)
    }

    /// Looks at its process, and reads what it wrote: in this order, so that all it wrote is
    /// read once its end is known.
    fn look(&mut self) {
        if self.exited.is_none() {
            self.exited = sys::end_of(self.pid).map(|end| match end {
                End::Exited(code) => Outcome::Exited(code),
                End::Killed(signal) => Outcome::Signaled(signal),
            });
        }
        read_into(&mut self.stdout, &mut self.stdout_capture);
        read_into(&mut self.stderr, &mut self.stderr_capture);
    }

    fn wakes_at(&self, now: Instant) -> Instant {
        match &self.ending {
            Some(ending) => ending.look_at,
            None if self.told_slow => self.started + self.limit,
            None => self.started + self.limit / 3,
        }
        .max(now)
    }

    /// Once, when a third of the time is over.
    fn is_slow(&mut self, now: Instant) -> bool {
        let is_slow =
            !self.told_slow && self.ending.is_none() && now >= self.started + self.limit / 3;
        self.told_slow |= is_slow;
        is_slow && self.exited.is_none()
    }

    /// One step of the job's life.
    fn step(&mut self, now: Instant, me: i32) {
        if self.exited.is_some() && self.duration.is_none() {
            self.duration = Some(now - self.started);
        }
        if self.ending.is_none() {
            if self.exited.is_some() {
                if self.kill_leftovers && !processes::of_run(self.pid, &self.run, me).is_empty() {
                    self.begin_ending(now, me);
                } else {
                    self.is_over = true;
                }
            } else if now >= self.started + self.limit {
                let limit = self.limit;
                let timed_out = |calls_libvirt| Outcome::TimedOut { limit, calls_libvirt };
                self.end_as(timed_out, now, me);
            }
            return;
        }
        self.press(now, me);
    }

    /// Begins to end all that the job started, for a reason that becomes its outcome.
    fn end_as(&mut self, outcome: impl FnOnce(bool) -> Outcome, now: Instant, me: i32) {
        if self.ending.is_some() || self.exited.is_some() {
            return;
        }
        let members = processes::of_run(self.pid, &self.run, me);
        self.verdict = Some(outcome(processes::uses_libvirt(&members)));
        self.begin_ending(now, me);
    }

    fn begin_ending(&mut self, now: Instant, me: i32) {
        processes::signal_run(self.pid, &self.run, me, libc::SIGTERM);
        // a stopped process takes SIGTERM only once it goes on
        processes::signal_run(self.pid, &self.run, me, libc::SIGCONT);
        self.ending =
            Some(Ending { kill_at: now + GRACE, is_killed: false, look_at: now + LOOK_AGAIN });
    }

    /// Looks whether all is gone, and presses harder where it isn't.
    fn press(&mut self, now: Instant, me: i32) {
        let Some(ending) = &mut self.ending else { return };
        if now < ending.look_at && self.exited.is_none() {
            return;
        }
        ending.look_at = now + LOOK_AGAIN;
        let left = processes::of_run(self.pid, &self.run, me);
        if left.is_empty() && self.exited.is_some() {
            self.is_over = true;
        } else if now >= ending.kill_at {
            if !ending.is_killed {
                ending.is_killed = true;
                ending.kill_at = now + AFTER_KILL;
            } else if self.is_hopeless(now) {
                self.is_over = true;
                return;
            }
            processes::signal_run(self.pid, &self.run, me, libc::SIGKILL);
        }
    }

    fn is_hopeless(&self, now: Instant) -> bool {
        self.ending.is_some_and(|ending| ending.is_killed && now >= ending.kill_at)
    }
}

impl Ended {
    /// Of a job that could not be started.
    pub fn never(error: io::Error) -> Ended {
        Ended {
            outcome: Outcome::NotStarted(error),
            duration: Duration::ZERO,
            stdout: Capture::default(),
            stderr: Capture::default(),
            leftovers: Vec::new(),
            unkillable: false,
        }
    }
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
