//! The worker: one at a time, and one more may wait for it, so that a job which is queued while the
//! last one is about to end isn't forgotten.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;

use super::clock::{self, Clock};
use super::item::{self, Body, EXPIRES, Head, MAX_DEATHS};
use super::read::{Unread, id_of};
use super::waiting::{Obstacle, Waiting};
use super::watch::Watch;
use super::{Queue, outcome, remove_started, usage};
use crate::bypass::{self, Bypass};
use crate::command::Fix;
use crate::config::{Settings, Surroundings, TrustPolicy};
use crate::record::mover;
use crate::record::recorder::{Place, Recorder};
use crate::record::{Fact, Run, Witness};
use crate::run::document_file;
use crate::run::exchange::Change;
use crate::run::job::{Ended, Job, Outcome};
use crate::run::locks::{self, Lock, Unlocked};
use crate::run::processes;
use crate::run::supervise::{Next, Supervisor};
use crate::run::sys;
use crate::trust::Trust;
use crate::verdict::{self, Failure};

/// How often a worker that waits for another one tries to take its place.
const TAKE_OVER: Duration = Duration::from_millis(100);
/// How often a lock is tried that a call holds, and how often calls and directories are looked at
/// that the kernel doesn't tell of.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// How often the emergency switch is looked at while jobs wait for it.
const BYPASS_AGAIN: Duration = Duration::from_secs(1);
/// The longest wait of all: then the whole directory is looked at, whatever was or wasn't told.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// After the queue couldn't be written, nothing is started for a while: first this long, then twice
/// as long each time, up to the longest.
const FIRST_SULK: Duration = Duration::from_secs(1);
const LONGEST_SULK: Duration = Duration::from_secs(60);
/// Jobs that are given up at once: those that run are looked at in between.
const EXPIRED_AT_ONCE: usize = 16;
/// Records after which they are moved to their place.
const MOVED_AT_ONCE: u64 = 200;
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
pub fn work(
    settings: &Settings,
    surroundings: &Surroundings,
    witness: &mut dyn Witness,
    waiting: &mut dyn FnMut(),
) -> io::Result<()> {
    let queue = Queue::new(&settings.state_dir);
    super::sweep(settings);
    queue.bring_back();
    if queue.is_empty() {
        queue.want_no_worker();
        return Ok(());
    }
    let Some(_only_one) = become_the_worker(&queue, waiting)? else { return Ok(()) };
    let mut supervisor = Supervisor::new(&[Signal::SIGTERM, Signal::SIGINT])?;
    document_file::sweep(&settings.runtime_dir);
    // the worker that this one waited for may have been an older version's
    queue.bring_back();
    // no job runs by now
    remove_started(settings, |_| true);
    let watch = Watch::new(queue.directory());
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
    supervisor.let_go()
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
    let file = usage::open_lock(&queue.lock_path(name))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error.into()),
    }
}

/// Whether somebody works on a queue.
pub fn is_at_work(queue: &Queue) -> bool {
    matches!(try_lock(queue, WORKER), Ok(None))
}

/// A job that runs.
struct Active {
    number: usize,
    head: Head,
    program: PathBuf,
    recorder: Recorder,
    directory: Option<PathBuf>,
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
    Blocked(Obstacle),
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
            Obstacle::Hook(_) | Obstacle::Lock(_) | Obstacle::Suspect => Some(ASK_AGAIN),
            Obstacle::Bypass => Some(BYPASS_AGAIN),
            Obstacle::Caller(_) => None,
        });
        let is_blind = self.watch.is_blind() || self.watch.has_unwatched_callers();
        let blind = is_blind.then_some(ASK_AGAIN);
        obstacle.chain(change).chain(blind).min().unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT)
    }

    /// Looks at what came into the directory and what went.
    fn see_changes(&mut self, is_time: bool) {
        let changes = self.watch.changes();
        if changes.is_overrun
            || self.looked.elapsed() >= LONGEST_WAIT
            || (is_time && self.watch.is_blind())
        {
            return self.look_at_all();
        }
        let mut seen = HashSet::new();
        for name in changes.names {
            if seen.insert(name.clone()) {
                self.look_at(&name);
            }
        }
    }

    fn look_at(&mut self, name: &OsStr) {
        match id_of(name) {
            Some(id) if self.waiting.contains(id) => {
                let is_active = self.active.iter().any(|active| active.head.id == id);
                if !is_active && !self.queue.is_there(id) {
                    self.waiting.remove(id);
                }
            }
            Some(id) => self.take_in(id),
            None if name.as_encoded_bytes().ends_with(super::HEAD.as_bytes()) => {
                let path = self.queue.directory().join(name);
                if super::read::is_there(&path) {
                    self.put_file_aside(name, "it has no job's name");
                }
            }
            None => {}
        }
    }

    /// Looks at all names; reads only what is new.
    fn look_at_all(&mut self) {
        self.looked = Instant::now();
        let Ok(names) = self.queue.names() else { return };
        for name in &names.odd {
            self.put_file_aside(name, "it has no job's name");
        }
        for id in &names.ids {
            if !self.waiting.contains(id) {
                self.take_in(id);
            }
        }
        for id in self.waiting.idle_ids() {
            if names.ids.binary_search(&id).is_err() {
                self.waiting.remove(&id);
            }
        }
    }

    /// Takes a job in that is new to this worker.
    fn take_in(&mut self, id: &str) {
        if self.passed_over.contains(id) {
            return;
        }
        match self.queue.head(id) {
            Ok(head) if head.run.is_some() => self.take_over(head),
            Ok(head) => self.waiting_for(head),
            Err(unread) => self.not_read(id, &unread),
        }
    }

    fn waiting_for(&mut self, head: Head) {
        let times = head.times(&self.clock);
        self.waiting.insert(head, times);
    }

    /// Takes over from a worker that died: what it began is ended before it is begun again.
    fn take_over(&mut self, mut head: Head) {
        if let Some(run) = &head.run {
            processes::end_carriers(run);
        }
        // it was no fault of the hook's, as long as it doesn't happen again and again
        head.take_back();
        head.last = Some("its worker died".to_owned());
        head.deaths = head.deaths.saturating_add(1);
        if head.deaths >= MAX_DEATHS {
            let words = format!("its worker died {} times while it ran", head.deaths);
            return self.put_job_aside(head, &words);
        }
        let _ = self.queue.keep(&mut head);
        self.waiting_for(head);
    }

    /// Deals with a file that is no job to run.
    fn not_read(&mut self, id: &str, unread: &Unread) {
        let name = self.queue.path(id);
        match unread {
            Unread::Gone => {}
            Unread::Broken(why) => {
                self.put_file_aside(name.file_name().unwrap_or_default(), why);
            }
            Unread::Newer(_) | Unread::Trouble(_) => {
                self.passed_over.insert(id.to_owned());
                self.shout(&format!("{} is left alone: {unread}", name.display()));
            }
        }
    }

    fn put_file_aside(&mut self, name: &OsStr, why: &str) {
        let shown = self.queue.directory().join(name);
        let shown = shown.display();
        let words = match self.queue.put_aside(name) {
            Ok(()) => format!("{shown} is no job to run, and is put aside: {why}"),
            Err(error) => {
                if let Some(id) = id_of(name)
                    && !self.passed_over.insert(id.to_owned())
                {
                    return;
                }
                format!("{shown} is no job to run: {why}; it can't be put aside: {error}")
            }
        };
        self.shout(&words);
    }

    /// Puts a job aside that this version could run: it can be brought back.
    fn put_job_aside(&mut self, mut head: Head, why: &str) {
        let body = self.queue.body(&head).ok();
        head.put_aside = Some(why.to_owned());
        let _ = self.queue.keep(&mut head);
        self.waiting.remove(&head.id);
        self.remove_started(&head.id);
        let path = self.queue.path(&head.id);
        let words = match self.queue.put_aside(path.file_name().unwrap_or_default()) {
            Ok(()) => {
                let words = ["queue", "--requeue", &head.id];
                let way_back = Fix::hookmux(&self.settings.hooks_dir, &words);
                format!("put aside: {why}; `{way_back}` brings it back")
            }
            Err(error) => {
                self.passed_over.insert(head.id.clone());
                format!("not run any more: {why}; it can't be put aside: {error}")
            }
        };
        self.end(&head, body.as_ref(), &words);
    }

    /// Asks for what the kernel doesn't tell of.
    fn ask(&mut self, is_time: bool) {
        for caller in self.watch.ended_callers(is_time) {
            self.waiting.unblock_all(&Obstacle::Caller(caller));
        }
        let mut trust = Trust::new(self.surroundings.user);
        let bypass = bypass::load(&self.settings.hooks_dir, &mut trust).unwrap_or_default();
        if bypass != self.bypass {
            self.bypass = bypass;
            self.waiting.unblock_all(&Obstacle::Bypass);
        }
        if is_time {
            let is_anybodys = |obstacle: &&Obstacle| {
                matches!(obstacle, Obstacle::Hook(_) | Obstacle::Lock(_) | Obstacle::Suspect)
            };
            let obstacles: Vec<Obstacle> =
                self.waiting.obstacles().filter(is_anybodys).cloned().collect();
            for obstacle in &obstacles {
                self.waiting.unblock_one(obstacle);
            }
        }
    }

    /// Wakes who waits for what a job had, or would have had; but for what it waits for itself.
    fn give_back(&mut self, head: &Head, but: Option<&Obstacle>) {
        let place = head.max_parallel.map(|_| Obstacle::Hook(head.registration.clone()));
        let lock = head.lock.clone().map(Obstacle::Lock);
        let suspect = is_suspect(head).then_some(Obstacle::Suspect);
        for obstacle in [place, lock, suspect].into_iter().flatten() {
            if but != Some(&obstacle) {
                self.waiting.unblock_one(&obstacle);
            }
        }
    }

    fn has_room(&self, head: &Head) -> bool {
        let same = self
            .active
            .iter()
            .filter(|active| active.head.registration == head.registration)
            .count();
        head.max_parallel.is_none_or(|most| same < most as usize)
    }

    /// Starts a job, unless something holds it back. `busy` are locks that others were found to hold.
    fn try_to_start(
        &mut self,
        head: &Head,
        busy: &mut HashSet<String>,
        null: &dyn Fn() -> io::Result<File>,
    ) -> Tried {
        if self.watch.add_caller(head.caller) {
            return Tried::Blocked(Obstacle::Caller(head.caller));
        }
        // they wait as long as hooks are switched off, and expire as others do
        if !self.bypass.is_off() && self.bypass.of(&head.call()).is_some() {
            return Tried::Blocked(Obstacle::Bypass);
        }
        if !self.has_room(head) {
            return Tried::Blocked(Obstacle::Hook(head.registration.clone()));
        }
        if is_suspect(head) && self.active.iter().any(|active| is_suspect(&active.head)) {
            return Tried::Blocked(Obstacle::Suspect);
        }
        let lock = match &head.lock {
            None => None,
            Some(name) if busy.contains(name) => {
                return Tried::Blocked(Obstacle::Lock(name.clone()));
            }
            Some(name) => match locks::try_take(&self.settings.runtime_dir, name) {
                Ok(lock) => Some(lock),
                Err(Unlocked::Trouble(error)) => {
                    let what = format!("the lock `{name}` can't be taken: {error}");
                    let mut head = head.clone();
                    head.attempts = head.attempts.saturating_add(1);
                    self.failed(head, None, &what);
                    return Tried::Settled;
                }
                Err(_) => {
                    busy.insert(name.clone());
                    return Tried::Blocked(Obstacle::Lock(name.clone()));
                }
            },
        };
        match self.start(head.clone(), lock, null) {
            Some(job) => Tried::Started(job),
            None => Tried::Settled,
        }
    }

    fn start(
        &mut self,
        mut head: Head,
        lock: Option<Lock>,
        null: &dyn Fn() -> io::Result<File>,
    ) -> Option<Box<Job>> {
        let body = match self.queue.body(&head) {
            Ok(body) if self.queue.is_there(&head.id) => body,
            // it was removed a moment ago
            Ok(_) | Err(Unread::Gone) => {
                self.waiting.remove(&head.id);
                return None;
            }
            Err(Unread::Broken(why)) => {
                self.put_job_aside(head, &why);
                return None;
            }
            Err(unread) => {
                self.waiting.remove(&head.id);
                self.not_read(&head.id, &unread);
                return None;
            }
        };
        let before = head.clone();
        let run = head.begin();
        // kept before it starts: a worker that dies leaves what it began behind
        if let Err(error) = self.queue.keep(&mut head) {
            let pause = self.sulk.map_or(FIRST_SULK, |sulk| (sulk.pause * 2).min(LONGEST_SULK));
            self.sulk = Some(Sulk { pause, until: Instant::now() + pause });
            let pause = pause.as_secs();
            let words = format!("the queue can't be written: {error}; tried again in {pause} s");
            self.trouble(&before, &words);
            return None;
        }
        self.sulk = None;
        // as before every run: an hour may have passed since the call asked
        let trusted = Trust::new(nix::unistd::geteuid().as_raw()).file(body.job.program());
        if let Err(refusal) = trusted.as_ref()
            && self.settings.trust == TrustPolicy::Refuse
        {
            self.failed(head, Some(&body), &format!("refused: {refusal}"));
            return None;
        }
        let made = self.documents(&head, &body, &run).and_then(|directory| {
            let path = directory.as_ref().map(|directory| directory.join(document_file::FILE_NAME));
            let path = path.as_ref().map(|path| path.as_os_str().as_encoded_bytes());
            let ends = Instant::now() + EXPIRES;
            let job = null().and_then(|null| body.job.job(&run, path, null.into(), ends));
            if let (Err(_), Some(directory)) = (&job, &directory) {
                document_file::remove(directory);
            }
            Ok((job?, directory))
        });
        match made {
            Ok((job, directory)) => {
                let recorder = self.recorder(&head, &body);
                self.waiting.activate(&head.id);
                self.active.push(Active {
                    number: self.started,
                    program: body.job.program().to_path_buf(),
                    has_started_document: body.started_document.is_some(),
                    head,
                    recorder,
                    directory,
                    lock,
                });
                self.started += 1;
                Some(Box::new(job))
            }
            Err(error) => {
                self.remove_started(&head.id);
                self.failed(head, Some(&body), &format!("can't be started: {error}"));
                None
            }
        }
    }

    /// Each try has a record of its own, beside that of the call that queued it.
    fn recorder(&mut self, head: &Head, body: &Body) -> Recorder {
        let document = body.document.as_ref().map(|document| document.0.as_slice());
        let mut recorder = outcome::begin(self.settings, self.surroundings, head, document);
        let own = head.queued_by();
        let path = Some(body.job.program());
        let started = Fact::Started { label: &head.hook, device: None, path };
        recorder.see(&own, &started);
        self.witness.see(&own, &started);
        recorder
    }

    fn documents(&self, head: &Head, body: &Body, run: &str) -> io::Result<Option<PathBuf>> {
        if let Some(started) = &body.started_document {
            self.remove_started(&head.id);
            let path = item::started_path(&self.settings.runtime_dir, &head.id);
            let directory = path.parent().unwrap_or(&path);
            document_file::make_private(directory, &started.0, body.job.owner())?;
        }
        let Some(document) = &body.document else { return Ok(None) };
        let directory = document_file::place(&self.settings.runtime_dir, run);
        document_file::make_private(&directory, &document.0, body.job.owner())?;
        Ok(Some(directory))
    }

    fn remove_started(&self, id: &str) {
        let path = item::started_path(&self.settings.runtime_dir, id);
        if let Some(directory) = path.parent().filter(|directory| directory.exists()) {
            document_file::remove(directory);
        }
    }

    fn over(&mut self, number: usize, ended: Ended) {
        let Some(place) = self.active.iter().position(|active| active.number == number) else {
            return;
        };
        let Active { mut head, program, directory, recorder, has_started_document, lock, .. } =
            self.active.remove(place);
        drop(lock);
        if let Some(directory) = directory {
            document_file::remove(&directory);
        }
        if has_started_document {
            self.remove_started(&head.id);
        }
        self.give_back(&head, None);
        if matches!(ended.outcome, Outcome::Terminated) {
            // this worker was told to end; the next one begins anew
            head.take_back();
            let _ = self.queue.keep(&mut head);
            self.waiting.pause(head, 0);
            return;
        }
        head.deaths = 0;
        let fault = verdict::fault(&ended);
        let is_last = head.attempts > head.retries;
        let told = fault.clone().map(|(status, what)| match is_last {
            true => (status, format!("{what}; given up after {}", tries(head.attempts))),
            false => (status, what),
        });
        self.tell_try(&head, program, ended, told, recorder);
        match fault {
            None => self.forget(&head),
            Some((_, what)) if is_last => {
                let words = format!("given up after {}: {what}", tries(head.attempts));
                self.trouble(&head, &words);
                self.forget(&head);
            }
            Some((_, what)) => self.failed(head, None, &what),
        }
    }

    fn tell_try(
        &mut self,
        head: &Head,
        program: PathBuf,
        ended: Ended,
        fault: Option<(i32, String)>,
        mut recorder: Recorder,
    ) {
        let status = fault.as_ref().map_or(0, |(status, _)| *status);
        let failure = fault.map(|(status, what)| Failure {
            label: head.hook.clone(),
            status,
            what,
            stderr: ended.stderr.end(verdict::MAX_STDERR),
            kill: false,
            is_tolerated: true,
        });
        let run = Run {
            label: head.hook.clone(),
            event: head.event.clone(),
            device: None,
            path: program,
            ended: Some(ended),
            change: Change::None,
            failure,
            job: Some(head.id.clone()),
        };
        let own = head.queued_by();
        let fact = Fact::Over(&run);
        recorder.see(&own, &fact);
        self.witness.see(&own, &fact);
        let place = outcome::finish(recorder, self.witness, head, status);
        self.recorded(place);
    }

    /// Has records moved now and then: the runtime directory is in memory, and many jobs may wait.
    fn recorded(&mut self, place: Option<Place>) {
        self.records += 1;
        if let Some(place) = place.filter(|_| self.records.is_multiple_of(MOVED_AT_ONCE)) {
            mover::start_if_needed(&self.settings.hooks_dir, &place);
        }
    }

    /// A try has failed: there is another one, or the job is given up.
    fn failed(&mut self, mut head: Head, body: Option<&Body>, what: &str) {
        if head.fail(what, &self.clock) {
            let words = format!(
                "detached: {what}; tried again, {} of {} times",
                head.attempts, head.retries
            );
            let fact = Fact::Warning { label: &head.hook, words: &words };
            self.witness.see(&head.queued_by(), &fact);
            if let Err(error) = self.queue.keep(&mut head) {
                self.trouble(&head, &format!("the queue can't be written: {error}"));
            }
            let times = head.times(&self.clock);
            self.waiting.pause(head, times.due_ns);
        } else {
            let words = format!("given up after {}: {what}", tries(head.attempts));
            self.end(&head, body, &words);
            self.forget(&head);
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

/// A number of tries for people.
fn tries(count: u32) -> String {
    if count == 1 { "1 try".to_owned() } else { format!("{count} tries") }
}

/// Removes the jobs that are meant and that no worker runs, and those that were put aside; returns
/// how many. What a worker that died was at goes with them.
///
/// # Errors
/// The queue can't be read or written.
pub fn flush(
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
