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

/// Removes jobs that match and don't run, and files that were put aside and match. Returns how many. Jobs
/// that a dead worker began are removed too.
///
/// # Errors
/// The queue can't be read or written.
pub(crate) fn flush(
    settings: &Settings,
    is_meant: &dyn Fn(&ItemHead) -> bool,
    is_meant_aside: &dyn Fn(&super::AsideFile) -> bool,
) -> io::Result<usize> {
    let queue = Queue::new(&settings.state_dir);
    let names = queue.names()?;
    if names.ids.is_empty() && names.aside.is_empty() {
        return Ok(0);
    }
    // with the lock no worker starts, and no job runs
    let own = try_lock(&queue, WORKER_LOCK)?;
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

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use serde_json::{Value, json};

    use super::*;
    use crate::bypass::BypassEntry;
    use crate::config::TrustPolicy;
    use crate::occasion::Execution;
    use crate::process::capture::Capture;
    use crate::process::job::{FinishedJob, ProcessOutcome};
    use crate::queue::item::{Bytes, Caller, Item};
    use crate::state::Dir;

    /// What the worker tells of troubles and tries.
    #[derive(Default)]
    struct Told(Vec<String>);

    impl Observer for Told {
        fn observe(&mut self, _: &Execution, fact: &Notice<'_>) {
            if let Notice::OwnError(words) | Notice::Warning { words, .. } = fact {
                self.0.push((*words).to_owned());
            }
        }
    }

    /// A job of the hook `h` for the guest `g`, but for what `more` says.
    fn item(id: &str, more: &Value) -> Item {
        let mut head = json!({
            "id": id, "driver": "qemu", "object": "g", "operation": "started", "hook": "e/h",
            "registration": "h", "retries": 3,
        });
        for (key, value) in more.as_object().unwrap() {
            head[key] = value.clone();
        }
        let mut head = ItemHead::parse(&serde_json::to_vec(&head).unwrap(), id).unwrap();
        head.call_arguments = vec![Bytes(head.object.clone().into_bytes())];
        // `/bin/true`
        let body = json!({"path": "L2Jpbi90cnVl", "arguments": ["L2Jpbi90cnVl"]});
        Item { head, body: ItemBody::parse(&serde_json::to_vec(&body).unwrap()).unwrap() }
    }

    /// Gives a test a worker for these jobs, whose ids are `1`, `2` and so on; returns what is told.
    fn with_worker(
        max_parallel: usize,
        jobs: &[Value],
        test: impl FnOnce(&mut WorkerState<'_>),
    ) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let surroundings = Surroundings::here(&root);
        let mut settings = Settings::defaults(&surroundings);
        settings.state_dir = Dir::of_test(&root.join("state"));
        settings.runtime_dir = Dir::of_test(&root.join("run"));
        settings.max_parallel = max_parallel;
        // of a host, whose programs are not this test's subject
        settings.trust = TrustPolicy::Warn;
        let queue = Queue::new(&settings.state_dir);
        for (index, more) in jobs.iter().enumerate() {
            queue.add(&mut item(&(index + 1).to_string(), more), settings.queue).unwrap();
        }
        let mut told = Told::default();
        let mut state = WorkerState {
            settings: &settings,
            surroundings: &surroundings,
            queue: &queue,
            clock: BootClock::here(),
            waiting: Waiting::default(),
            ignored: HashSet::new(),
            watch: Watch::new(queue.directory().path().unwrap()),
            active: Vec::new(),
            started: 0,
            observer: &mut told,
            bypass: Bypass::default(),
            backoff: None,
            records: 0,
            asked: Instant::now(),
            looked: Instant::now(),
        };
        state.scan();
        test(&mut state);
        drop(state);
        told.0
    }

    fn null() -> io::Result<File> {
        File::options().read(true).write(true).open("/dev/null")
    }

    /// Starts what may start; returns the ids.
    fn start_all(state: &mut WorkerState<'_>) -> String {
        let mut started = Vec::new();
        while let Next::Start(_) = state.next(&null) {
            started.push(state.active.last().unwrap().head.id.clone());
        }
        started.join(" ")
    }

    /// Ends the job that was started as this one.
    fn end(state: &mut WorkerState<'_>, number: usize, outcome: ProcessOutcome) {
        let ended = FinishedJob {
            outcome,
            duration: Duration::from_millis(230),
            stdout: Capture::default(),
            stderr: Capture::default(),
            leftovers: Vec::new(),
            unkillable: false,
        };
        state.finish(number, ended);
    }

    /// Switches hooks off for a guest, or for all; `false` switches them on again.
    fn bypass(state: &WorkerState<'_>, is_on: bool, guest: Option<&str>) {
        let guest = guest.map(str::to_owned);
        let entry =
            BypassEntry { guest, until: None, boot: None, since: 0, user: None, reason: None };
        let entries = if is_on { vec![entry] } else { Vec::new() };
        bypass::keep(&state.settings.hooks_dir, &Bypass { entries }).unwrap();
    }

    fn ago(seconds: u64) -> u64 {
        crate::machine::clock::unix_seconds() - seconds
    }

    fn ahead(seconds: u64) -> u64 {
        crate::machine::clock::unix_seconds() + seconds
    }

    #[test]
    fn each_job_starts_unless_its_own_row_says_what_it_waits_for() {
        let other = || json!({"object": "other"});
        let of = |object: &str, more: Value| {
            let mut job = more;
            job["object"] = json!(object);
            job
        };
        let lock = |object: &str, name: &str| of(object, json!({"lock": name}));
        let one_of =
            |object: &str, hook: &str| of(object, json!({"registration": hook, "max_parallel": 1}));
        let died = |object: &str, deaths: u32| of(object, json!({"deaths": deaths}));
        // the most at a time, the jobs, which of them start, and what the others wait for
        #[rustfmt::skip]
        let table = [
            // a guest's one after the other, of several guests side by side
            (9, vec![json!({})],                                         "1",   vec![]),
            (9, vec![json!({}), json!({})],                              "1",   vec![]),
            (9, vec![json!({}), other(), json!({})],                     "1 2", vec![]),
            // names count only where there is no uuid
            (9, vec![json!({"uuid": "a"}), json!({"uuid": "b"})],        "1 2", vec![]),
            (9, vec![json!({"uuid": "a"}), of("new name", json!({"uuid": "a"}))], "1", vec![]),
            (9, vec![json!({}), json!({"driver": "lxc"})],               "1 2", vec![]),
            // no more than the settings allow
            (1, vec![json!({}), other()],                                "1",   vec![]),
            (2, vec![json!({}), other(), of("third", json!({}))],        "1 2", vec![]),
            // no more of a hook than it allows
            (9, vec![one_of("a", "x"), one_of("b", "x")],                "1",   vec![WaitReason::Hook("x".into())]),
            (9, vec![one_of("a", "x"), one_of("b", "y")],                "1 2", vec![]),
            (9, vec![one_of("a", "h"), other()],                         "1 2", vec![]),
            (9, vec![json!({}), one_of("b", "h")],                       "1",   vec![WaitReason::Hook("h".into())]),
            // one lock, one holder
            (9, vec![lock("a", "gpu"), lock("b", "gpu")],                "1",   vec![WaitReason::Lock("gpu".into())]),
            (9, vec![lock("a", "gpu"), lock("b", "nic"), other()],       "1 2 3", vec![]),
            // a pause holds back the guest, and nobody else
            (9, vec![json!({"not_before": ahead(30)}), json!({}), other()], "3", vec![]),
            (9, vec![json!({"not_before": ago(1)})],                     "1",   vec![]),
            // too old: given up, and the next has its turn
            (9, vec![json!({"queued_at": ago(3700)}), json!({})],        "2",   vec![]),
            (9, vec![json!({"queued_at": ago(3500)}), json!({})],        "1",   vec![]),
            // the call that queued it has no answer yet
            (9, vec![json!({"caller": Caller::here()}), json!({}), other()], "3", vec![WaitReason::Caller(Caller::here())]),
            (9, vec![json!({"caller": {"pid": i32::MAX, "start": 1}})],  "1",   vec![]),
            // those that may have killed their workers run one at a time, beside all others
            (9, vec![died("a", 2), died("b", 2), other()],               "1 3", vec![WaitReason::Suspect]),
            (9, vec![died("a", 1), died("b", 1)],                        "1 2", vec![]),
        ];
        for (max_parallel, jobs, started, obstacles) in table {
            let told = with_worker(max_parallel, &jobs, |state| {
                assert_eq!(start_all(state), started, "{jobs:?}");
                let seen: Vec<WaitReason> = state.waiting.reasons().cloned().collect();
                assert_eq!(seen, obstacles, "{jobs:?}");
            });
            let is_given_up = jobs[0]["queued_at"].as_u64().is_some_and(|at| at <= ago(3600));
            assert_eq!(told.len(), usize::from(is_given_up), "{told:?}");
            assert!(told.iter().all(|words| words.contains("given up: it expired")), "{told:?}");
        }
    }

    #[test]
    fn the_emergency_switch_holds_back_whom_it_names_until_it_is_off() {
        for (guest, started, later) in
            [(None, "", "1 2"), (Some("g"), "2", "1"), (Some("else"), "1 2", "")]
        {
            let told = with_worker(9, &[json!({}), json!({"object": "other"})], |state| {
                bypass(state, true, guest);
                assert_eq!(start_all(state), started, "{guest:?}");
                let is_blocked = state.waiting.reasons().any(|one| *one == WaitReason::Bypass);
                assert_eq!(is_blocked, !later.is_empty(), "{guest:?}");
                bypass(state, false, guest);
                assert_eq!(start_all(state), later, "{guest:?}");
            });
            assert!(told.is_empty(), "{told:?}");
        }
    }

    #[test]
    fn a_job_waits_for_the_end_of_the_call_that_queued_it() {
        // it ends with this test, whatever comes of it
        let mut call = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(call.id()).unwrap();
        let start = crate::machine::proc::start_time(pid).unwrap();
        let jobs = [json!({"caller": Caller { pid, start }})];
        with_worker(9, &jobs, |state| {
            assert_eq!(start_all(state), "");
            call.kill().unwrap();
            call.wait().unwrap();
            state.asked -= POLL_INTERVAL;
            assert_eq!(start_all(state), "1");
        });
    }

    #[test]
    fn the_end_of_a_job_gives_its_turn_its_lock_and_its_place_to_the_next() {
        #[rustfmt::skip]
        let table = [
            (9, vec![json!({}), json!({})]),
            (1, vec![json!({}), json!({"object": "b"})]),
            (9, vec![json!({"lock": "gpu"}), json!({"object": "b", "lock": "gpu"})]),
            (9, vec![json!({"max_parallel": 1}), json!({"object": "b", "max_parallel": 1})]),
            (9, vec![json!({"deaths": 2}), json!({"object": "b", "deaths": 2})]),
        ];
        for (max_parallel, jobs) in table {
            with_worker(max_parallel, &jobs, |state| {
                assert_eq!(start_all(state), "1", "{jobs:?}");
                end(state, 0, ProcessOutcome::Exited(0));
                // at once: not only when it is asked again
                state.asked = Instant::now();
                assert_eq!(start_all(state), "2", "{jobs:?}");
                end(state, 1, ProcessOutcome::Exited(0));
                assert!(matches!(state.next(&null), Next::Done), "{jobs:?}");
                assert!(state.queue.is_empty(), "{jobs:?}");
            });
        }
    }

    #[test]
    fn how_a_try_ends_decides_whether_there_is_another_and_when() {
        let timed_out =
            || ProcessOutcome::TimedOut { limit: Duration::from_secs(1), calls_libvirt: false };
        // retries, tries before, deaths of workers before; then tries, deaths and the pause in
        // seconds of what is left, and what is told
        #[rustfmt::skip]
        let table = [
            (3, 0, 0, ProcessOutcome::Exited(0),   None,            ""),
            (0, 0, 2, ProcessOutcome::Exited(0),   None,            ""),
            (3, 0, 0, ProcessOutcome::Exited(7),   Some((1, 0, 1)), "exit status 7 after 0.2 s; tried again, 1 of 3 times"),
            (3, 1, 0, ProcessOutcome::Exited(7),   Some((2, 0, 2)), "tried again, 2 of 3 times"),
            (3, 2, 0, ProcessOutcome::Exited(7),   Some((3, 0, 4)), "tried again, 3 of 3 times"),
            (3, 3, 0, ProcessOutcome::Exited(7),   None,            "given up after 4 tries: exit status 7"),
            (0, 0, 0, ProcessOutcome::Exited(7),   None,            "given up after 1 try: exit status 7"),
            (9, 8, 0, ProcessOutcome::Signaled(9), Some((9, 0, 60)), "tried again, 9 of 9 times"),
            (1, 0, 0, timed_out(),          Some((1, 0, 1)), "timed out after 1.0 s; tried again, 1 of 1 times"),
            (1, 1, 0, timed_out(),          None,            "given up after 2 tries: timed out"),
            // its worker lived: whatever died before was no fault of this one
            (3, 0, 2, ProcessOutcome::Exited(7),   Some((1, 0, 1)), "tried again"),
            // the worker was told to end: that was no try
            (3, 0, 0, ProcessOutcome::Terminated,  Some((0, 0, 0)), ""),
            (3, 2, 2, ProcessOutcome::Terminated,  Some((2, 2, 0)), ""),
            (0, 0, 0, ProcessOutcome::Terminated,  Some((0, 0, 0)), ""),
        ];
        for (retries, attempts, deaths, outcome, left, words) in table {
            let place = format!("{retries} {attempts} {deaths} {outcome:?}");
            let job = json!({"retries": retries, "attempts": attempts, "deaths": deaths});
            let told = with_worker(9, &[job], |state| {
                assert_eq!(start_all(state), "1", "{place}");
                let before_ns = state.clock.now_ns();
                end(state, 0, outcome);
                let after_ns = state.clock.now_ns();
                let head = state.queue.head("1").ok();
                let seen = head.as_ref().map(|head| (head.attempts, head.deaths));
                assert_eq!(seen, left.map(|(attempts, deaths, _)| (attempts, deaths)), "{place}");
                if let (Some(head), Some((.., pause_s))) = (head, left) {
                    assert_eq!(head.run, None, "{place}: nothing runs any more");
                    let due_ns = head.due.map_or(after_ns, |due| due.boottime_ns);
                    let pause_ns = pause_s * 1_000_000_000;
                    let expected = before_ns + pause_ns..=after_ns + pause_ns;
                    assert!(expected.contains(&due_ns), "{place}: {due_ns} {expected:?}");
                }
                assert_eq!(state.waiting.contains("1"), left.is_some(), "{place}");
            });
            assert_eq!(told.len(), usize::from(!words.is_empty()), "{place}: {told:?}");
            assert!(told.iter().all(|told| told.contains(words)), "{place}: {told:?}");
        }
    }

    #[test]
    fn a_job_is_suspected_when_one_more_death_would_put_it_aside() {
        for (deaths, expected) in [(0, false), (1, false), (2, true), (3, true)] {
            let head = item("1", &json!({"deaths": deaths})).head;
            assert_eq!(is_suspect(&head), expected, "{deaths} of {MAX_DEATHS}");
        }
    }

    #[test]
    fn a_worker_sleeps_until_the_next_pause_is_over_and_asks_for_what_nobody_tells() {
        let second = Duration::from_secs(1);
        #[rustfmt::skip]
        let table = [
            (vec![json!({"not_before": ahead(50)})],                                 30 * second..=50 * second),
            (vec![json!({"not_before": ahead(50)}), json!({"object": "b", "not_before": ahead(25)})], second..=25 * second),
            // one that expires before that
            (vec![json!({"not_before": ahead(50), "queued_at": ago(3575)})],         second..=25 * second),
            (vec![json!({"lock": "x"}), json!({"object": "b", "lock": "x"})],        POLL_INTERVAL..=POLL_INTERVAL),
            (vec![json!({"max_parallel": 1}), json!({"object": "b", "max_parallel": 1})], POLL_INTERVAL..=POLL_INTERVAL),
            // all run: nothing to ask for
            (vec![json!({})],                                                        MAX_WAIT_INTERVAL..=MAX_WAIT_INTERVAL),
        ];
        for (jobs, expected) in table {
            with_worker(9, &jobs, |state| {
                start_all(state);
                let wait = state.wait();
                assert!(
                    expected.contains(&wait) || state.watch.is_without_inotify(),
                    "{jobs:?}: {wait:?}"
                );
            });
        }
        with_worker(9, &[json!({})], |state| {
            bypass(state, true, None);
            start_all(state);
            assert!(state.wait() == BYPASS_INTERVAL || state.watch.is_without_inotify());
        });
    }

    #[test]
    fn a_worker_of_an_empty_queue_is_done() {
        with_worker(9, &[], |state| assert!(matches!(state.next(&null), Next::Done)));
    }
}
