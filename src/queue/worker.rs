//! The worker runs the jobs. Only one works at a time; one more may wait for it, so that a job that is
//! queued while the worker ends isn't forgotten.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::item::{ItemBody, ItemHead, MAX_DEATHS, MAX_JOB_AGE};
use super::waiting::{WaitReason, Waiting};
use super::watch::Watch;
use super::{Queue, outcome, remove_started, usage};
use crate::bypass::{self, Bypass};
use crate::config::{Settings, Surroundings};
use crate::document::file::{self, DocumentPlace};
use crate::machine::clock::{self, BootClock};
use crate::machine::locks::{self, FileLock};
use crate::machine::sys;
use crate::observer::{Notice, Observer};
use crate::process::job::Job;
use crate::process::supervise::{Next, Supervisor};
use crate::record::recorder::Recorder;
use crate::state::locks::HookLock;
use crate::trust::Trust;

mod arrivals;
mod attempts;

/// The interval at which a waiting worker tries to take the lock.
const LOCK_INTERVAL: Duration = Duration::from_millis(100);
/// The interval at which a lock that a call holds is tried again, and at which calls and directories are
/// looked at for which the kernel gives no events.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The interval at which the emergency switch is read while jobs wait for it.
const BYPASS_INTERVAL: Duration = Duration::from_secs(1);
/// The longest interval: after it the whole directory is read, with or without events.
const MAX_WAIT_INTERVAL: Duration = Duration::from_secs(60);
/// The number of expired jobs that are given up at once; then running jobs get their turn.
const MAX_EXPIRED_JOBS: usize = 16;
/// The number of worker deaths from which on a job is suspect. Only one suspect job runs at a time: so the
/// job that kills its workers is found, and not those that ran in parallel.
const SUSPECT_DEATHS: u32 = MAX_DEATHS - 1;

const WORKER_LOCK: &str = ".worker";
const WAITING_LOCK: &str = ".waiting";

/// Works until the queue is empty. Where another worker runs, calls `waiting` once and waits for its end.
///
/// # Errors
/// The queue can't be used.
pub(crate) fn work(
    settings: &Settings,
    surroundings: &Surroundings,
    observer: &mut dyn Observer,
    waiting: &mut dyn FnMut(),
) -> io::Result<()> {
    let queue = Queue::new(&settings.state_dir);
    // jobs in a directory of another user are never run
    queue.names()?;
    super::sweep(settings);
    queue.bring_back();
    if queue.is_empty() {
        queue.withdraw_request();
        return Ok(());
    }
    let Some(_only_one) = become_the_worker(&queue, waiting)? else { return Ok(()) };
    let mut supervisor = Supervisor::new(&[Signal::SIGTERM, Signal::SIGINT])?;
    file::sweep(&settings.runtime_dir);
    // the worker before this one may have been of an older version
    queue.bring_back();
    // no job runs by now
    remove_started(settings, |_| true);
    let watch = Watch::new(queue.directory().path()?);
    if let Some(descriptor) = watch.descriptor()? {
        supervisor.wake_on(descriptor);
    }
    let mut state = WorkerState {
        settings,
        surroundings,
        queue: &queue,
        clock: BootClock::here(),
        waiting: Waiting::default(),
        ignored: HashSet::new(),
        watch,
        active: Vec::new(),
        started: 0,
        observer,
        bypass: Bypass::default(),
        backoff: None,
        records: 0,
        asked: Instant::now(),
        looked: Instant::now(),
    };
    state.scan();
    let state = RefCell::new(state);
    let null = || File::options().read(true).write(true).open("/dev/null");
    let mut next = |is_terminated| match is_terminated {
        // running jobs are ended; waiting jobs are left to the next worker
        true => {
            state.borrow_mut().watch.changes();
            state.borrow_mut().watch.ended_callers(false);
            Next::Done
        }
        false => state.borrow_mut().next(&null),
    };
    supervisor.drive(&mut next, &mut |_| {}, &mut |number, ended| {
        state.borrow_mut().finish(number, ended)
    });
    supervisor.release_leftovers()
}

/// Takes the worker's lock. Returns `None` where one worker runs and one waits already, or if this process
/// was told to end while it waited.
fn become_the_worker(queue: &Queue, waiting: &mut dyn FnMut()) -> io::Result<Option<FileLock>> {
    let Some(waits) = try_lock(queue, WAITING_LOCK)? else { return Ok(None) };
    let mut is_told = false;
    loop {
        if let Some(worker) = try_lock(queue, WORKER_LOCK)? {
            drop(waits);
            return Ok(Some(worker));
        }
        if !is_told {
            waiting();
            is_told = true;
        }
        // these signals are blocked, so they would not end a wait in the kernel
        if [Signal::SIGTERM, Signal::SIGINT].iter().any(|signal| sys::is_pending(*signal as i32)) {
            return Ok(None);
        }
        thread::sleep(LOCK_INTERVAL);
    }
}

fn try_lock(queue: &Queue, name: &str) -> io::Result<Option<FileLock>> {
    locks::try_lock(usage::open_lock(queue.directory(), name)?)
}

/// Tells whether a worker runs.
pub(crate) fn is_at_work(queue: &Queue) -> bool {
    matches!(try_lock(queue, WORKER_LOCK), Ok(None))
}

/// A running job.
struct ActiveItem {
    number: usize,
    head: ItemHead,
    program: PathBuf,
    recorder: Recorder,
    directory: Option<DocumentPlace>,
    has_started_document: bool,
    lock: Option<HookLock>,
}

/// The state of the worker: its jobs, and what it waits for.
struct WorkerState<'a> {
    settings: &'a Settings,
    surroundings: &'a Surroundings,
    queue: &'a Queue,
    clock: BootClock,
    waiting: Waiting,
    /// Jobs that this worker ignores: of a later version, or done but impossible to remove.
    ignored: HashSet<String>,
    watch: Watch,
    active: Vec<ActiveItem>,
    started: usize,
    observer: &'a mut dyn Observer,
    bypass: Bypass,
    backoff: Option<WriteBackoff>,
    /// The number of records so far.
    records: u64,
    /// When locks, calls and the emergency switch were last looked at.
    asked: Instant,
    /// When the whole directory was last read.
    looked: Instant,
}

/// A pause in which no job is started, after the queue couldn't be written.
#[derive(Clone, Copy)]
struct WriteBackoff {
    pause: Duration,
    until: Instant,
}

/// The result of trying to start a job.
enum StartResult {
    Started(Box<Job>),
    /// The job waits for something.
    Waiting(WaitReason),
    /// The job needs nothing more here: it is done, put aside, or paused.
    Settled,
}

impl WorkerState<'_> {
    /// Starts the next job, or tells how long to wait.
    fn next(&mut self, null: &dyn Fn() -> io::Result<File>) -> Next {
        let is_time = self.asked.elapsed() >= POLL_INTERVAL;
        if is_time {
            self.asked = Instant::now();
        }
        self.read_changes(is_time);
        self.poll(is_time);
        for _ in 0..MAX_EXPIRED_JOBS {
            let Some(id) = self.waiting.expired(self.clock.now_ns()) else { break };
            self.expire(&id);
        }
        // also where no job may start: else the wait would end at once for pauses that are over
        self.waiting.end_pauses(self.clock.now_ns());
        let backs_off = self.backoff.is_some_and(|backoff| Instant::now() < backoff.until);
        let mut busy = HashSet::new();
        while !backs_off && self.active.len() < self.settings.max_parallel {
            let Some(head) = self.waiting.next(self.clock.now_ns()).cloned() else { break };
            match self.try_start(&head, &mut busy, null) {
                StartResult::Started(job) => return Next::Start(job),
                StartResult::Waiting(reason) => {
                    self.waiting.block(&head.id, reason.clone());
                    // another job may use what this one doesn't
                    self.release(&head, Some(&reason));
                }
                StartResult::Settled => self.release(&head, None),
            }
            if self.backoff.is_some_and(|backoff| Instant::now() < backoff.until) {
                break;
            }
        }
        if self.waiting.is_empty() {
            // a call that queues a job from now on requests a worker again
            self.queue.withdraw_request();
            self.scan();
            if self.waiting.is_empty() {
                return Next::Done;
            }
        }
        Next::Wait(self.wait())
    }

    /// Returns how long to wait for the next event.
    fn wait(&self) -> Duration {
        let now_ns = self.clock.now_ns();
        let change =
            self.waiting.next_change_ns().map(|change_ns| clock::duration_until(change_ns, now_ns));
        let backoff =
            self.backoff.map(|backoff| backoff.until.saturating_duration_since(Instant::now()));
        // during the backoff the ends of pauses do not matter
        let change = match backoff.filter(|left| !left.is_zero()) {
            Some(left) => Some(left),
            None => change,
        };
        let reason = self.waiting.reasons().filter_map(|reason| match reason {
            WaitReason::Hook(_) | WaitReason::Lock(_) | WaitReason::Suspect => Some(POLL_INTERVAL),
            WaitReason::Bypass => Some(BYPASS_INTERVAL),
            WaitReason::Caller(_) => None,
        });
        let is_without_inotify =
            self.watch.is_without_inotify() || self.watch.has_unwatched_callers();
        let blind = is_without_inotify.then_some(POLL_INTERVAL);
        reason.chain(change).chain(blind).min().unwrap_or(MAX_WAIT_INTERVAL).min(MAX_WAIT_INTERVAL)
    }

    /// Looks for changes for which the kernel gives no events.
    fn poll(&mut self, is_time: bool) {
        for caller in self.watch.ended_callers(is_time) {
            self.waiting.unblock_all(&WaitReason::Caller(caller));
        }
        let mut trust = Trust::new(self.surroundings.user);
        let bypass = bypass::load(&self.settings.hooks_dir, &mut trust).unwrap_or_default();
        if bypass != self.bypass {
            self.bypass = bypass;
            self.waiting.unblock_all(&WaitReason::Bypass);
        }
        if is_time {
            let is_shared = |reason: &&WaitReason| {
                matches!(reason, WaitReason::Hook(_) | WaitReason::Lock(_) | WaitReason::Suspect)
            };
            let reasons: Vec<WaitReason> =
                self.waiting.reasons().filter(is_shared).cloned().collect();
            for reason in &reasons {
                self.waiting.unblock_one(reason);
            }
        }
    }

    /// Wakes jobs that wait for what this job had or wanted, except for what it still waits for itself.
    fn release(&mut self, head: &ItemHead, but: Option<&WaitReason>) {
        let place = head.max_parallel.map(|_| WaitReason::Hook(head.registration.clone()));
        let lock = head.lock.clone().map(WaitReason::Lock);
        let suspect = is_suspect(head).then_some(WaitReason::Suspect);
        for reason in [place, lock, suspect].into_iter().flatten() {
            if but != Some(&reason) {
                self.waiting.unblock_one(&reason);
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
            "given up: it expired, because it waited longer than {} s{last}",
            MAX_JOB_AGE.as_secs()
        );
        self.remove_started(id);
        self.end(&head, body.as_ref(), &words);
        self.forget(&head);
    }

    /// Reports that a job isn't run any more: to the journal, and in a record.
    fn end(&mut self, head: &ItemHead, body: Option<&ItemBody>, words: &str) {
        self.report_error(head, words);
        let (settings, surroundings) = (self.settings, self.surroundings);
        let place = outcome::record_end(settings, surroundings, self.observer, (head, body), words);
        self.recorded(place);
    }

    /// Removes a job from the queue.
    fn forget(&mut self, head: &ItemHead) {
        self.waiting.remove(&head.id);
        if let Err(error) = self.queue.forget(head) {
            // else this worker would run it again
            self.ignored.insert(head.id.clone());
            self.report_error(head, &format!("it is done, but can't be removed: {error}"));
        }
    }

    fn report_error(&mut self, head: &ItemHead, words: &str) {
        let words = format!("{} (detached, {}): {words}", head.hook, head.id);
        self.observer.observe(&head.queued_by(), &Notice::OwnError(&words));
    }

    /// Reports an error that belongs to no job.
    fn report(&mut self, words: &str) {
        self.observer.observe(&Default::default(), &Notice::OwnError(words));
    }
}

fn is_suspect(head: &ItemHead) -> bool {
    head.deaths >= SUSPECT_DEATHS
}

/// Removes jobs that match and don't run, and files that were put aside and match. Returns their ids, or
/// names. Jobs that a dead worker began are removed too.
///
/// # Errors
/// The queue can't be read or written.
pub(crate) fn flush(
    settings: &Settings,
    is_meant: &dyn Fn(&ItemHead) -> bool,
    is_meant_aside: &dyn Fn(&super::AsideFile) -> bool,
) -> io::Result<Vec<String>> {
    let queue = Queue::new(&settings.state_dir);
    let names = queue.names()?;
    if names.ids.is_empty() && names.aside.is_empty() {
        return Ok(Vec::new());
    }
    // with the lock no worker starts, and no job runs
    let own = try_lock(&queue, WORKER_LOCK)?;
    let mut removed = Vec::new();
    for head in queue.heads()? {
        if (own.is_some() || head.run.is_none()) && is_meant(&head) {
            queue.forget(&head)?;
            removed.push(head.id);
        }
    }
    for aside in queue.aside()?.iter().filter(|aside| is_meant_aside(aside)) {
        queue.forget_aside(aside)?;
        removed.push(aside.id());
    }
    drop(own);
    super::sweep(settings);
    Ok(removed)
}

#[cfg(test)]
mod tests;
