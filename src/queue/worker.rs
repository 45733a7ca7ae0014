//! The worker: one at a time, and one more may wait for it, so that a job which is queued while the
//! last one is about to end isn't forgotten.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;

use super::clock::{self, Clock};
use super::item::{Body, EXPIRES, Head, MAX_DEATHS};
use super::waiting::{StartObstacle, Waiting};
use super::watch::Watch;
use super::{Queue, outcome, remove_started, usage};
use crate::bypass::{self, Bypass};
use crate::config::{Settings, Surroundings};
use crate::document::file::{self, Place as DocumentPlace};
use crate::machine::sys;
use crate::process::job::Job;
use crate::process::supervise::{Next, Supervisor};
use crate::record::recorder::Recorder;
use crate::state::locks::Lock;
use crate::trust::Trust;
use crate::witness::{Fact, Witness};

mod arrivals;
mod tries;

/// How often a worker that waits for another one tries to take its place.
const TAKE_OVER: Duration = Duration::from_millis(100);
/// How often a lock is tried that a call holds, and how often calls and directories are looked at
/// that the kernel doesn't tell of.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// How often the emergency switch is looked at while jobs wait for it.
const BYPASS_AGAIN: Duration = Duration::from_secs(1);
/// The longest wait of all: then the whole directory is looked at, whatever was or wasn't told.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Jobs that are given up at once: those that run are looked at in between.
const EXPIRED_AT_ONCE: usize = 16;
/// One of the jobs with so many deaths runs at a time: so the one that kills its workers is found,
/// and those that ran beside it aren't taken for it.
const SUSPECT_DEATHS: u32 = MAX_DEATHS - 1;

const WORKER: &str = ".worker";
const WAITING: &str = ".waiting";

/// Works until the queue is empty. Where another worker is at it, `waiting` is called once, and that
/// one's end is waited for.
///
/// # Errors
/// The queue can't be used.
pub(crate) fn work(
    settings: &Settings,
    surroundings: &Surroundings,
    witness: &mut dyn Witness,
    waiting: &mut dyn FnMut(),
) -> io::Result<()> {
    let queue = Queue::new(&settings.state_dir);
    // where the directory is somebody else's, none of it is run
    queue.names()?;
    super::sweep(settings);
    queue.bring_back();
    if queue.is_empty() {
        queue.want_no_worker();
        return Ok(());
    }
    let Some(_only_one) = become_the_worker(&queue, waiting)? else { return Ok(()) };
    let mut supervisor = Supervisor::new(&[Signal::SIGTERM, Signal::SIGINT])?;
    file::sweep(&settings.runtime_dir);
    // the worker that this one waited for may have been an older version's
    queue.bring_back();
    // no job runs by now
    remove_started(settings, |_| true);
    let watch = Watch::new(queue.directory().path()?);
    if let Some(descriptor) = watch.descriptor()? {
        supervisor.wake_on(descriptor);
    }
    let mut shift = Shift {
        settings,
        surroundings,
        queue: &queue,
        clock: Clock::here(),
        waiting: Waiting::default(),
        passed_over: HashSet::new(),
        watch,
        active: Vec::new(),
        started: 0,
        witness,
        bypass: Bypass::default(),
        sulk: None,
        records: 0,
        asked: Instant::now(),
        looked: Instant::now(),
    };
    shift.look_at_all();
    let shift = RefCell::new(shift);
    let null = || File::options().read(true).write(true).open("/dev/null");
    let mut next = |is_terminated| match is_terminated {
        // what runs is ended; what waits is the next worker's
        true => {
            shift.borrow_mut().watch.changes();
            shift.borrow_mut().watch.ended_callers(false);
            Next::Done
        }
        false => shift.borrow_mut().next(&null),
    };
    supervisor
        .drive(&mut next, &mut |_| {}, &mut |number, ended| shift.borrow_mut().over(number, ended));
    supervisor.release_leftovers()
}

/// The worker's lock; `None` where one works and one waits already, or where this process was told
/// to end while it waited.
fn become_the_worker(queue: &Queue, waiting: &mut dyn FnMut()) -> io::Result<Option<Flock<File>>> {
    let Some(waits) = try_lock(queue, WAITING)? else { return Ok(None) };
    let mut is_told = false;
    loop {
        if let Some(worker) = try_lock(queue, WORKER)? {
            drop(waits);
            return Ok(Some(worker));
        }
        if !is_told {
            waiting();
            is_told = true;
        }
        // these are blocked: waiting in the kernel nothing would end it
        if [Signal::SIGTERM, Signal::SIGINT].iter().any(|signal| sys::is_pending(*signal as i32)) {
            return Ok(None);
        }
        thread::sleep(TAKE_OVER);
    }
}

fn try_lock(queue: &Queue, name: &str) -> io::Result<Option<Flock<File>>> {
    let file = usage::open_lock(queue.directory(), name)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error.into()),
    }
}

/// Whether somebody works on a queue.
pub(crate) fn is_at_work(queue: &Queue) -> bool {
    matches!(try_lock(queue, WORKER), Ok(None))
}

/// A job that runs.
struct Active {
    number: usize,
    head: Head,
    program: PathBuf,
    recorder: Recorder,
    directory: Option<DocumentPlace>,
    has_started_document: bool,
    lock: Option<Lock>,
}

struct Shift<'a> {
    settings: &'a Settings,
    surroundings: &'a Surroundings,
    queue: &'a Queue,
    clock: Clock,
    waiting: Waiting,
    /// Jobs that this worker leaves alone: of a later version, or over, and not to be removed.
    passed_over: HashSet<String>,
    watch: Watch,
    active: Vec<Active>,
    started: usize,
    witness: &'a mut dyn Witness,
    bypass: Bypass,
    sulk: Option<Sulk>,
    /// Records so far.
    records: u64,
    /// When locks, calls and the emergency switch were asked for last.
    asked: Instant,
    /// When the whole directory was looked at last.
    looked: Instant,
}

/// A pause after the queue couldn't be written.
#[derive(Clone, Copy)]
struct Sulk {
    pause: Duration,
    until: Instant,
}

/// What became of a job that was ready.
enum Tried {
    Started(Box<Job>),
    /// It waits for something.
    Blocked(StartObstacle),
    /// It was put elsewhere, or is over.
    Settled,
}

impl Shift<'_> {
    /// The next job that may start.
    fn next(&mut self, null: &dyn Fn() -> io::Result<File>) -> Next {
        let is_time = self.asked.elapsed() >= ASK_AGAIN;
        if is_time {
            self.asked = Instant::now();
        }
        self.see_changes(is_time);
        self.ask(is_time);
        for _ in 0..EXPIRED_AT_ONCE {
            let Some(id) = self.waiting.expired(self.clock.now_ns()) else { break };
            self.expire(&id);
        }
        // also where nothing may start: what is over is waited for no more
        self.waiting.end_pauses(self.clock.now_ns());
        let sulks = self.sulk.is_some_and(|sulk| Instant::now() < sulk.until);
        let mut busy = HashSet::new();
        while !sulks && self.active.len() < self.settings.max_parallel {
            let Some(head) = self.waiting.next(self.clock.now_ns()).cloned() else { break };
            match self.try_to_start(&head, &mut busy, null) {
                Tried::Started(job) => return Next::Start(job),
                Tried::Blocked(obstacle) => {
                    self.waiting.block(&head.id, obstacle.clone());
                    // what it was woken for is another one's
                    self.give_back(&head, Some(&obstacle));
                }
                Tried::Settled => self.give_back(&head, None),
            }
            if self.sulk.is_some_and(|sulk| Instant::now() < sulk.until) {
                break;
            }
        }
        if self.waiting.is_empty() {
            // what is queued from here on asks for a worker of its own
            self.queue.want_no_worker();
            self.look_at_all();
            if self.waiting.is_empty() {
                return Next::Done;
            }
        }
        Next::Wait(self.wait())
    }

    /// How long there is nothing to do unless something happens.
    fn wait(&self) -> Duration {
        let now_ns = self.clock.now_ns();
        let change = self.waiting.next_change_ns().map(|change_ns| clock::until(change_ns, now_ns));
        let sulk = self.sulk.map(|sulk| sulk.until.saturating_duration_since(Instant::now()));
        // while it sulks no pause that is over makes a difference
        let change = match sulk.filter(|left| !left.is_zero()) {
            Some(left) => Some(left),
            None => change,
        };
        let obstacle = self.waiting.obstacles().filter_map(|obstacle| match obstacle {
            StartObstacle::Hook(_) | StartObstacle::Lock(_) | StartObstacle::Suspect => {
                Some(ASK_AGAIN)
            }
            StartObstacle::Bypass => Some(BYPASS_AGAIN),
            StartObstacle::Caller(_) => None,
        });
        let is_blind = self.watch.is_blind() || self.watch.has_unwatched_callers();
        let blind = is_blind.then_some(ASK_AGAIN);
        obstacle.chain(change).chain(blind).min().unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT)
    }

    /// Asks for what the kernel doesn't tell of.
    fn ask(&mut self, is_time: bool) {
        for caller in self.watch.ended_callers(is_time) {
            self.waiting.unblock_all(&StartObstacle::Caller(caller));
        }
        let mut trust = Trust::new(self.surroundings.user);
        let bypass = bypass::load(&self.settings.hooks_dir, &mut trust).unwrap_or_default();
        if bypass != self.bypass {
            self.bypass = bypass;
            self.waiting.unblock_all(&StartObstacle::Bypass);
        }
        if is_time {
            let is_anybodys = |obstacle: &&StartObstacle| {
                matches!(
                    obstacle,
                    StartObstacle::Hook(_) | StartObstacle::Lock(_) | StartObstacle::Suspect
                )
            };
            let obstacles: Vec<StartObstacle> =
                self.waiting.obstacles().filter(is_anybodys).cloned().collect();
            for obstacle in &obstacles {
                self.waiting.unblock_one(obstacle);
            }
        }
    }

    /// Wakes who waits for what a job had, or would have had; but for what it waits for itself.
    fn give_back(&mut self, head: &Head, but: Option<&StartObstacle>) {
        let place = head.max_parallel.map(|_| StartObstacle::Hook(head.registration.clone()));
        let lock = head.lock.clone().map(StartObstacle::Lock);
        let suspect = is_suspect(head).then_some(StartObstacle::Suspect);
        for obstacle in [place, lock, suspect].into_iter().flatten() {
            if but != Some(&obstacle) {
                self.waiting.unblock_one(&obstacle);
            }
        }
    }

    fn expire(&mut self, id: &str) {
        let Some(head) = self.waiting.remove(id) else { return };
        if !self.queue.is_there(id) {
            return;
        }
        let body = self.queue.body(&head).ok();
        let last = head.last.as_ref().map(|last| format!(" (last: {last})")).unwrap_or_default();
        let words = format!(
            "given up: it expired, for it waited longer than {} s{last}",
            EXPIRES.as_secs()
        );
        self.remove_started(id);
        self.end(&head, body.as_ref(), &words);
        self.forget(&head);
    }

    /// Tells that a job isn't run any more: to the journal, and in a record.
    fn end(&mut self, head: &Head, body: Option<&Body>, words: &str) {
        self.trouble(head, words);
        let (settings, surroundings) = (self.settings, self.surroundings);
        let place = outcome::record_end(settings, surroundings, self.witness, (head, body), words);
        self.recorded(place);
    }

    /// Takes a job out of the queue for good.
    fn forget(&mut self, head: &Head) {
        self.waiting.remove(&head.id);
        if let Err(error) = self.queue.forget(head) {
            // not by this worker once more
            self.passed_over.insert(head.id.clone());
            self.trouble(head, &format!("it is over, and can't be removed: {error}"));
        }
    }

    fn trouble(&mut self, head: &Head, words: &str) {
        let words = format!("{} (detached, {}): {words}", head.hook, head.id);
        self.witness.see(&head.queued_by(), &Fact::Trouble(&words));
    }

    /// Tells what belongs to no job.
    fn shout(&mut self, words: &str) {
        self.witness.see(&Default::default(), &Fact::Trouble(words));
    }
}

fn is_suspect(head: &Head) -> bool {
    head.deaths >= SUSPECT_DEATHS
}

/// Removes the jobs that are meant and that no worker runs, and those that were put aside; returns
/// how many. What a worker that died was at goes with them.
///
/// # Errors
/// The queue can't be read or written.
pub(crate) fn flush(
    settings: &Settings,
    is_meant: &dyn Fn(&Head) -> bool,
    is_meant_aside: &dyn Fn(&super::Aside) -> bool,
) -> io::Result<usize> {
    let queue = Queue::new(&settings.state_dir);
    let names = queue.names()?;
    if names.ids.is_empty() && names.aside.is_empty() {
        return Ok(0);
    }
    // with it nobody begins, and nothing is begun
    let own = try_lock(&queue, WORKER)?;
    let mut count = 0;
    for head in queue.heads()? {
        if (own.is_some() || head.run.is_none()) && is_meant(&head) {
            queue.forget(&head)?;
            count += 1;
        }
    }
    for aside in queue.aside()?.iter().filter(|aside| is_meant_aside(aside)) {
        queue.forget_aside(aside)?;
        count += 1;
    }
    drop(own);
    super::sweep(settings);
    Ok(count)
}
