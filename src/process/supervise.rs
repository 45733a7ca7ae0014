//! The leash: one loop over the ends of processes, their output, signals and limits in time. It
//! drives any number of jobs at once.

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

use super::active::{self, Active};
use super::job::{Ended, Job, Leftover, Outcome};
use super::members;
use crate::machine::{proc, sys, watchdog};

/// What happens while jobs run.
pub(crate) enum Progress {
    Started {
        job: usize,
        /// Just before its process was made.
        at: Instant,
    },
    /// A third of its time is over.
    Slow { job: usize, limit: Duration },
}

/// What is to be done next.
pub(crate) enum Next {
    Start(Box<Job>),
    /// Nothing for now: ask again when something has happened, or after a time.
    Wait(Duration),
    /// Nothing more will come.
    Done,
}

/// Runs jobs, for the time of one call.
pub(crate) struct Supervisor {
    signals: SignalFd,
    null: File,
    me: i32,
    is_terminated: bool,
    /// No signal ends what runs now: rollbacks have to be finished.
    is_deaf: bool,
    /// Pipes that left-over processes still hold.
    held: Vec<OwnedFd>,
    /// Left-over processes.
    left: Vec<i32>,
    /// What ends a wait when it becomes readable, beside all that jobs do.
    waker: Option<OwnedFd>,
}

impl Supervisor {
    /// Takes over SIGCHLD, the signals that mean the end of the call, and every orphan of what it
    /// will start.
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
        // before 3.4 there is no such thing; then orphans are init's, and are left alone
        let _ = prctl::set_child_subreaper(true);
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let me = nix::unistd::getpid().as_raw();
        Ok(Supervisor {
            signals,
            null,
            me,
            is_terminated: false,
            is_deaf: false,
            held: Vec::new(),
            left: Vec::new(),
            waker: None,
        })
    }

    /// Has one more descriptor end a wait when it becomes readable. Whoever gives it reads it.
    pub(crate) fn wake_on(&mut self, waker: OwnedFd) {
        self.waker = Some(waker);
    }

    /// Whether hookmux was told to end: then no further job may start.
    pub(crate) fn is_terminated(&mut self) -> bool {
        self.read_signals();
        self.is_terminated
    }

    /// From here on jobs run whether hookmux was told to end or not: they undo others, and have a
    /// limit of their own.
    pub(crate) fn turn_deaf(&mut self) {
        self.read_signals();
        self.is_deaf = true;
    }

    /// `/dev/null` as a job's standard input.
    ///
    /// # Errors
    /// As of `dup(2)`.
    pub(crate) fn null(&self) -> io::Result<OwnedFd> {
        Ok(self.null.try_clone()?.into())
    }

    /// Runs jobs side by side until all have ended, and tells of their progress. They end in the
    /// order in which they were given.
    pub(crate) fn run(&mut self, jobs: Vec<Job>, progress: &mut dyn FnMut(Progress)) -> Vec<Ended> {
        let mut ended: Vec<Option<Ended>> = jobs.iter().map(|_| None).collect();
        let mut jobs = jobs.into_iter();
        // those that were given end, however: what ends them is told
        let mut next = |_| jobs.next().map_or(Next::Done, |job| Next::Start(Box::new(job)));
        self.drive(&mut next, progress, &mut |index, result| {
            if let Some(place) = ended.get_mut(index) {
                *place = Some(result);
            }
        });
        ended.into_iter().flatten().collect()
    }

    /// Runs jobs side by side as they come, numbered from 0: whenever something has happened,
    /// `next` is asked for one more until it has none for now; it is told whether hookmux was told to
    /// end.
    pub(crate) fn drive(
        &mut self,
        next: &mut dyn FnMut(bool) -> Next,
        progress: &mut dyn FnMut(Progress),
        over: &mut dyn FnMut(usize, Ended),
    ) {
        let mut active: Vec<Active> = Vec::new();
        let mut started = 0;
        loop {
            let mut finish = |index: usize, result: Ended| {
                over(index, result);
            };
            let pause = loop {
                match next(self.is_terminated) {
                    Next::Done if active.is_empty() => return,
                    Next::Done => break None,
                    Next::Wait(pause) => break Some(pause),
                    Next::Start(job) => {
                        match Active::start(started, *job) {
                            Ok(begun) => active.push(begun),
                            Err(obstacle) => finish(started, Ended::never(obstacle)),
                        }
                        started += 1;
                    }
                }
            };
            for begun in active.iter_mut().filter(|job| !job.told_started) {
                begun.told_started = true;
                let (job, at) = (begun.index, begun.started);
                progress(Progress::Started { job, at });
            }
            self.wait(&active, pause);
            self.read_signals();
            let now = Instant::now();
            for job in &mut active {
                job.look();
                if self.is_terminated && !self.is_deaf {
                    job.end_as(|_| Outcome::Terminated, self.me);
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
                let others: Vec<i32> = active.iter().map(|job| job.pid).collect();
                let result = self.conclude(job, &others);
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
        let feeds = active.iter().filter_map(|job| job.feed.as_ref());
        polls.extend(feeds.map(|feed| PollFd::new(feed.pipe(), PollFlags::POLLOUT)));
        polls.extend(self.waker.iter().map(|waker| PollFd::new(waker.as_fd(), PollFlags::POLLIN)));
        let first_held = polls.len();
        polls.extend(self.held.iter().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)));
        // EINTR and the like: the round that follows finds nothing new and comes back
        let ready = watchdog::wait(|| ppoll(&mut polls, Some(timeout), None)).unwrap_or(0);
        let any_held = ready > 0
            && polls[first_held..].iter().any(|poll| poll.revents().is_some_and(|r| !r.is_empty()));
        if any_held {
            self.held.retain(|pipe| discard(pipe.as_fd()));
        }
    }

    fn read_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            if info.ssi_signo != libc::SIGCHLD as u32 {
                self.is_terminated = true;
            }
        }
    }

    /// Makes the result of a job whose process has ended, and keeps the pipes that others hold.
    fn conclude(&mut self, job: Active, others: &[i32]) -> Ended {
        let unkillable = job.is_unkillable;
        let outcome = match (job.verdict, job.exited) {
            (Some(verdict), _) => verdict,
            (None, Some(exited)) => exited,
            (None, None) => Outcome::Terminated,
        };
        let pipes: Vec<OwnedFd> =
            [job.stdout, job.stderr].into_iter().flatten().map(OwnedFd::from).collect();
        // with closed pipes and without a child that is new there is nothing to look for; its number
        // is kept until here, so that the search can't mean another process
        let leftovers: Vec<Leftover> =
            if !pipes.is_empty() || self.has_new_children(job.pid, others) {
                members::of_run(job.pid, &job.run, self.me)
                    .into_iter()
                    .map(|member| Leftover { pid: member.pid, name: proc::name(member.pid) })
                    .collect()
            } else {
                Vec::new()
            };
        self.left.extend(leftovers.iter().map(|leftover| leftover.pid));
        sys::process_ended(job.pid);
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

    /// Whether an orphan has come to us that nobody knows yet. Those that have ended are taken off
    /// the kernel's list on the way.
    fn has_new_children(&self, job: i32, others: &[i32]) -> bool {
        let Some(children) = proc::children(self.me) else { return true };
        let is_known = |pid: &i32| *pid == job || others.contains(pid) || self.left.contains(pid);
        children.into_iter().filter(|pid| !is_known(pid)).any(|pid| !sys::reap(pid))
    }

    /// Ends what runs that another process has started, in whose place this one is: SIGTERM, and
    /// SIGKILL after the usual time.
    pub(crate) fn end_left(&mut self, pids: &[i32]) {
        let mut left: Vec<(i32, String)> = pids
            .iter()
            .filter_map(|pid| {
                Some((*pid, proc::environment_variable(*pid, members::RUN_VARIABLE)?))
            })
            .collect();
        let begun = Instant::now();
        for (pid, run) in &left {
            members::signal_run(*pid, run, self.me, libc::SIGTERM);
            members::signal_run(*pid, run, self.me, libc::SIGCONT);
        }
        while !left.is_empty() && begun.elapsed() < active::GRACE + active::AFTER_KILL {
            left.retain(|(pid, run)| {
                sys::reap(*pid);
                !members::of_run(*pid, run, self.me).is_empty()
            });
            if begun.elapsed() >= active::GRACE {
                for (pid, run) in &left {
                    members::signal_run(*pid, run, self.me, libc::SIGKILL);
                }
            }
            watchdog::wait(|| sys::pause(active::LOOK_AGAIN));
        }
        for pid in pids {
            sys::reap(*pid);
        }
    }

    /// Lets go of what hooks left running: their pipes go to a small process that reads them to
    /// the end.
    ///
    /// # Errors
    /// No process could be made; what still writes will meet closed pipes.
    pub(crate) fn let_go(mut self) -> io::Result<()> {
        self.held.retain(|pipe| discard(pipe.as_fd()));
        if !self.held.is_empty() {
            sys::drain_in_background(&self.held, self.null.as_fd())?;
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
