//! The supervisor: one loop that handles the ends of processes, their output, signals and time limits.
//! It runs any number of jobs at once.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;

use super::capture::Stream;
use super::job::{FinishedJob, Job, Leftover, ProcessOutcome};
use super::members;
use super::running_job::{KILL_TIMEOUT, POLL_INTERVAL, RunningJob, TERMINATE_TIMEOUT};
use crate::machine::proc::{self, ChildList};
use crate::machine::{sys, watchdog};

/// A progress report on a running job.
pub(crate) enum Progress<'a> {
    Started {
        job: usize,
        /// The time just before its process was created.
        at: Instant,
        pid: i32,
        limit: Duration,
    },
    /// A third of its time limit is over.
    Slow { job: usize, limit: Duration },
    /// It has written this.
    Output { job: usize, stream: Stream, bytes: &'a [u8] },
    /// Its last line so far: after a second, and at most once a second.
    LastLine { job: usize, line: &'a [u8] },
}

impl Progress<'_> {
    /// Returns the number of the job.
    pub(crate) fn job(&self) -> usize {
        match self {
            Progress::Started { job, .. }
            | Progress::Slow { job, .. }
            | Progress::Output { job, .. }
            | Progress::LastLine { job, .. } => *job,
        }
    }
}

/// What the supervisor does next.
pub(crate) enum Next {
    Start(Box<Job>),
    /// Nothing for now: asks again after an event, or after this time.
    Wait(Duration),
    /// Nothing more will come.
    Done,
}

/// Runs the jobs of one call.
pub(crate) struct Supervisor {
    signals: SignalFd,
    null: File,
    /// Our children; `None` before they are asked for, and where the kernel doesn't tell.
    children: Option<ChildList>,
    own_pid: i32,
    is_terminated: bool,
    /// Whether termination signals no longer end jobs: rollbacks have to finish.
    ignores_termination: bool,
    /// Pipes that leftover processes still hold open.
    held_pipes: Vec<OwnedFd>,
    /// The pids of leftover processes.
    leftovers: Vec<i32>,
    /// A descriptor that ends a wait when it becomes readable.
    waker: Option<OwnedFd>,
}

impl Supervisor {
    /// Takes over SIGCHLD and the signals that end the call, and becomes the parent of all orphans of
    /// the processes that it will start.
    ///
    /// # Errors
    /// The kernel gave no descriptor.
    pub(crate) fn new(ends: &[Signal]) -> io::Result<Supervisor> {
        sys::restore_sigchld();
        let mut taken = SigSet::empty();
        taken.extend(ends.iter().copied().chain([Signal::SIGCHLD]));
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&taken), None)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&taken, flags)?;
        // Linux before 3.4 can't do this; orphans then go to init, and are left alone
        let _ = prctl::set_child_subreaper(true);
        // a call without hooks is over at once, and doesn't pay for this
        if watchdog::is_active() {
            sys::lower_oom_score();
        }
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let own_pid = nix::unistd::getpid().as_raw();
        Ok(Supervisor {
            signals,
            null,
            children: None,
            own_pid,
            is_terminated: false,
            ignores_termination: false,
            held_pipes: Vec::new(),
            leftovers: Vec::new(),
            waker: None,
        })
    }

    /// Adds a descriptor that ends a wait when it becomes readable. The caller reads it.
    pub(crate) fn wake_on(&mut self, waker: OwnedFd) {
        self.waker = Some(waker);
    }

    /// Tells whether hookmux was told to end: then no further job may start.
    pub(crate) fn is_terminated(&mut self) -> bool {
        self.read_signals();
        self.is_terminated
    }

    /// Lets whoever comes next know too that hookmux was told to end: the signal is blocked, and waits again.
    pub(crate) fn pass_termination_on(&mut self) {
        if self.is_terminated() {
            let _ = nix::sys::signal::raise(Signal::SIGTERM);
        }
    }

    /// Lets jobs run from here on even if hookmux was told to end: they undo other jobs, and have a
    /// time limit of their own.
    pub(crate) fn ignore_termination(&mut self) {
        self.read_signals();
        self.ignores_termination = true;
    }

    /// Returns `/dev/null` as a job's standard input.
    ///
    /// # Errors
    /// As of `dup(2)`.
    pub(crate) fn null(&self) -> io::Result<OwnedFd> {
        Ok(self.null.try_clone()?.into())
    }

    /// Runs jobs in parallel until all have ended, and reports their progress. The results are in the
    /// order of the jobs.
    pub(crate) fn run(
        &mut self,
        jobs: Vec<Job>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Vec<FinishedJob> {
        let mut ended: Vec<Option<FinishedJob>> = jobs.iter().map(|_| None).collect();
        let mut jobs = jobs.into_iter();
        // all given jobs are started: a termination ends them through their outcome
        let mut next = |_| jobs.next().map_or(Next::Done, |job| Next::Start(Box::new(job)));
        self.drive(&mut next, progress, &mut |index, result| {
            if let Some(place) = ended.get_mut(index) {
                *place = Some(result);
            }
        });
        ended.into_iter().flatten().collect()
    }

    /// Runs jobs in parallel as they come, numbered from 0: after each event, `next` is called for
    /// one more job until it has none for now. Its argument is whether hookmux was told to end.
    pub(crate) fn drive(
        &mut self,
        next: &mut dyn FnMut(bool) -> Next,
        progress: &mut dyn FnMut(Progress<'_>),
        over: &mut dyn FnMut(usize, FinishedJob),
    ) {
        let mut active: Vec<RunningJob> = Vec::new();
        let mut started = 0;
        loop {
            let mut finish = |index: usize, result: FinishedJob| {
                over(index, result);
            };
            let pause = loop {
                match next(self.is_terminated) {
                    Next::Done if active.is_empty() => return,
                    Next::Done => break None,
                    Next::Wait(pause) => break Some(pause),
                    Next::Start(job) => {
                        match RunningJob::start(started, *job) {
                            Ok(begun) => active.push(begun),
                            Err(obstacle) => finish(started, FinishedJob::not_started(obstacle)),
                        }
                        started += 1;
                    }
                }
            };
            for begun in active.iter_mut().filter(|job| !job.has_reported_start) {
                begun.has_reported_start = true;
                let RunningJob { index: job, started: at, pid, limit, .. } = *begun;
                progress(Progress::Started { job, at, pid, limit });
            }
            self.wait(&active, pause);
            self.read_signals();
            let now = Instant::now();
            for job in &mut active {
                let index = job.index;
                job.poll(&mut |stream, bytes| {
                    progress(Progress::Output { job: index, stream, bytes });
                });
                if let Some(line) = job.new_last_line(now) {
                    progress(Progress::LastLine { job: index, line: &line });
                }
                if self.is_terminated && !self.ignores_termination {
                    job.terminate(|_| ProcessOutcome::Terminated, self.own_pid);
                }
                if job.is_slow(now) {
                    progress(Progress::Slow { job: job.index, limit: job.limit });
                }
                job.advance(now, self.own_pid);
            }
            let (done, going) = active.into_iter().partition(|job: &RunningJob| job.is_over);
            active = going;
            for job in done {
                let index = job.index;
                let others: Vec<i32> = active.iter().map(|job| job.pid).collect();
                let result = self.conclude(job, &others);
                over(index, result);
            }
        }
    }

    fn wait(&mut self, active: &[RunningJob], pause: Option<Duration>) {
        let now = Instant::now();
        let pause = pause.map(|pause| now + pause);
        let until = active.iter().map(|job| job.next_wakeup(now)).chain(pause).min().unwrap_or(now);
        let timeout = TimeSpec::from_duration(until.saturating_duration_since(now));
        let mut polls = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        let pipes = active.iter().flat_map(RunningJob::pipes);
        polls.extend(pipes.map(|pipe| PollFd::new(pipe, PollFlags::POLLIN)));
        let feeds = active.iter().filter_map(|job| job.feed.as_ref());
        polls.extend(feeds.map(|feed| PollFd::new(feed.pipe(), PollFlags::POLLOUT)));
        polls.extend(self.waker.iter().map(|waker| PollFd::new(waker.as_fd(), PollFlags::POLLIN)));
        let first_held = polls.len();
        polls.extend(
            self.held_pipes.iter().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)),
        );
        // after EINTR or a similar error, the next round finds nothing new and waits again
        let ready = watchdog::wait(|| ppoll(&mut polls, Some(timeout), None)).unwrap_or(0);
        let any_held = ready > 0
            && polls[first_held..].iter().any(|poll| poll.revents().is_some_and(|r| !r.is_empty()));
        if any_held {
            self.held_pipes.retain(|pipe| discard(pipe.as_fd()));
        }
    }

    fn read_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            if info.ssi_signo != libc::SIGCHLD as u32 {
                self.is_terminated = true;
            }
        }
    }

    /// Makes the result of a job that has ended, and keeps the pipes that leftovers hold open.
    fn conclude(&mut self, job: RunningJob, others: &[i32]) -> FinishedJob {
        let unkillable = job.is_unkillable;
        let outcome = match (job.stopped_as, job.exited) {
            (Some(stopped), _) => stopped,
            (None, Some(exited)) => exited,
            (None, None) => ProcessOutcome::Terminated,
        };
        let pipes: Vec<OwnedFd> =
            [job.stdout, job.stderr].into_iter().flatten().map(OwnedFd::from).collect();
        // with closed pipes and no new child there can be no leftover; the process is reaped only after
        // this search, so that its pid can't belong to another process
        let leftovers: Vec<Leftover> =
            if !pipes.is_empty() || self.has_new_children(job.pid, others) {
                members::of_run(job.pid, &job.run, self.own_pid)
                    .into_iter()
                    .map(|member| Leftover { pid: member.pid, name: proc::name(member.pid) })
                    .collect()
            } else {
                Vec::new()
            };
        self.leftovers.extend(leftovers.iter().map(|leftover| leftover.pid));
        sys::process_ended(job.pid);
        sys::reap(job.pid);
        self.held_pipes.extend(pipes);
        FinishedJob {
            outcome,
            duration: job.duration.unwrap_or_else(|| job.started.elapsed()),
            result: job.result,
            stdout: job.stdout_capture,
            stderr: job.stderr_capture,
            leftovers,
            unkillable,
        }
    }

    /// Tells whether this process has become the parent of an orphan that isn't known yet. Orphans that
    /// have ended are reaped on the way.
    fn has_new_children(&mut self, job: i32, others: &[i32]) -> bool {
        if self.children.is_none() {
            self.children = ChildList::open(self.own_pid).ok();
        }
        let Some(children) = self.children.as_ref().and_then(ChildList::read) else { return true };
        let is_known =
            |pid: &i32| *pid == job || others.contains(pid) || self.leftovers.contains(pid);
        children.into_iter().filter(|pid| !is_known(pid)).any(|pid| !sys::reap(pid))
    }

    /// Ends processes that were started by the process that this one replaces: sends SIGTERM, and
    /// SIGKILL after the usual timeout.
    pub(crate) fn terminate_inherited(&mut self, pids: &[i32]) {
        let mut left: Vec<(i32, String)> = pids
            .iter()
            .filter_map(|pid| {
                Some((*pid, proc::environment_variable(*pid, members::RUN_VARIABLE)?))
            })
            .collect();
        let begun = Instant::now();
        for (pid, run) in &left {
            members::signal_run(*pid, run, self.own_pid, libc::SIGTERM);
            members::signal_run(*pid, run, self.own_pid, libc::SIGCONT);
        }
        while !left.is_empty() && begun.elapsed() < TERMINATE_TIMEOUT + KILL_TIMEOUT {
            left.retain(|(pid, run)| {
                sys::reap(*pid);
                !members::of_run(*pid, run, self.own_pid).is_empty()
            });
            if begun.elapsed() >= TERMINATE_TIMEOUT {
                for (pid, run) in &left {
                    members::signal_run(*pid, run, self.own_pid, libc::SIGKILL);
                }
            }
            watchdog::wait(|| sys::pause(POLL_INTERVAL));
        }
        for pid in pids {
            sys::reap(*pid);
        }
    }

    /// Releases the processes that hooks left running: hands their pipes to a small process that reads
    /// them to the end.
    ///
    /// # Errors
    /// No process could be created; leftovers that still write will get a closed pipe.
    pub(crate) fn release_leftovers(mut self) -> io::Result<()> {
        self.held_pipes.retain(|pipe| discard(pipe.as_fd()));
        if !self.held_pipes.is_empty() {
            sys::drain_in_background(&self.held_pipes, self.null.as_fd())?;
        }
        Ok(())
    }
}

/// Reads and drops what is in a pipe. Returns `false` once nobody can write to it any more.
fn discard(pipe: BorrowedFd<'_>) -> bool {
    let mut buffer = [0; 16384];
    // a process that writes without pause has to wait for the next round
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
