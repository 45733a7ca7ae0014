//! The worker: one at a time, and one more may wait for it, so that a job which is queued while the
//! last one is about to end isn't forgotten.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;

use super::{Item, Queue, item};
use crate::answer::Answer;
use crate::bypass;
use crate::config::{Settings, Surroundings, TrustPolicy};
use crate::libvirt::{Call, Driver};
use crate::record::form::{Cause, Planned};
use crate::record::recorder::Recorder;
use crate::record::{Begun, Execution, Fact, Plan, Run, Witness, ulid};
use crate::run::document_file::{self, Place};
use crate::run::exchange::Change;
use crate::run::interpreter;
use crate::run::job::{Ended, Outcome};
use crate::run::locks::{self, Lock, Unlocked};
use crate::run::processes;
use crate::run::supervise::{Next, Supervisor};
use crate::run::sys;
use crate::trust::Trust;
use crate::verdict::{self, Failure};

/// How often jobs are looked at that wait for a time, a lock or the end of their call.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// After the queue couldn't be written, nothing is started for a while: first this long, then twice
/// as long each time, up to the longest.
const FIRST_SULK: Duration = Duration::from_secs(1);
const LONGEST_SULK: Duration = Duration::from_secs(60);

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
    // where the directory is somebody else's, none of it is run
    if queue.ids()?.is_empty() {
        return Ok(());
    }
    let Some(_only_one) = become_the_worker(&queue, waiting)? else { return Ok(()) };
    let mut supervisor = Supervisor::new(&[Signal::SIGTERM, Signal::SIGINT])?;
    document_file::sweep(&settings.runtime_dir);
    clear_up(&queue);
    let shift = RefCell::new(Shift {
        settings,
        surroundings,
        queue: &queue,
        active: Vec::new(),
        started: 0,
        witness,
        sulk: None,
    });
    let null = || File::options().read(true).write(true).open("/dev/null");
    let mut next = |is_terminated| match is_terminated {
        // what runs is ended; what waits is the next worker's
        true => Next::Done,
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
        thread::sleep(LOOK_AGAIN);
    }
}

fn try_lock(queue: &Queue, name: &str) -> io::Result<Option<Flock<File>>> {
    let file = queue.directory().append(name)?;
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

/// A worker that died left its runs behind: they are ended before they are begun again.
fn clear_up(queue: &Queue) {
    for mut item in queue.items().unwrap_or_default() {
        if let Some(run) = item.run.take() {
            processes::end_carriers(&run);
            item.last = Some("its worker died".to_owned());
            // it was no fault of the hook's
            item.attempts = item.attempts.saturating_sub(1);
            let _ = queue.keep(&item);
        }
    }
}

/// A job that runs.
struct Active {
    number: usize,
    item: Item,
    recorder: Recorder,
    directory: Option<Place>,
    _lock: Option<Lock>,
}

struct Shift<'a> {
    settings: &'a Settings,
    surroundings: &'a Surroundings,
    queue: &'a Queue,
    active: Vec<Active>,
    started: usize,
    witness: &'a mut dyn Witness,
    sulk: Option<Sulk>,
}

/// A pause after the queue couldn't be written.
#[derive(Clone, Copy)]
struct Sulk {
    pause: Duration,
    until: Instant,
}

impl Shift<'_> {
    /// The next job that may start.
    fn next(&mut self, null: &dyn Fn() -> io::Result<File>) -> Next {
        let mut trust = Trust::new(self.surroundings.user);
        let bypass = bypass::load(&self.settings.hooks_dir, &mut trust).unwrap_or_default();
        let ids = self.queue.ids().unwrap_or_default();
        let mut is_waiting = false;
        let mut busy: Vec<(String, String)> =
            self.active.iter().map(|active| owned(active.item.queue_of())).collect();
        for id in ids {
            if self.active.iter().any(|active| active.item.id == id) {
                continue;
            }
            let item = match self.queue.get(&id) {
                Ok(item) => item,
                Err(error) => {
                    // jobs are replaced whole: this one was made by nobody of ours. One that can't
                    // be read now waits for the next worker.
                    if error.raw_os_error().is_none() {
                        self.queue.put_aside(&id);
                    }
                    continue;
                }
            };
            if item.is_expired() {
                self.give_up(
                    &item,
                    format!("given up: it waited longer than {} s", super::item::EXPIRES),
                );
                continue;
            }
            is_waiting = true;
            let queue = owned(item.queue_of());
            if busy.contains(&queue) {
                continue;
            }
            // what comes first of a guest goes first, due or not
            busy.push(queue);
            // they wait as long as hooks are switched off, and expire as others do
            let is_held = !bypass.is_off() && bypass.of(&call(&item)).is_some();
            let sulks = self.sulk.is_some_and(|sulk| Instant::now() < sulk.until);
            if !sulks
                && !is_held
                && self.active.len() < self.settings.max_parallel
                && self.has_room(&item)
                && item.is_due()
                && let Some(job) = self.start(item, null)
            {
                return job;
            }
        }
        if is_waiting || !self.active.is_empty() { Next::Wait(LOOK_AGAIN) } else { Next::Done }
    }

    fn has_room(&self, item: &Item) -> bool {
        let same = self
            .active
            .iter()
            .filter(|active| active.item.registration == item.registration)
            .count();
        item.max_parallel.is_none_or(|most| same < most as usize)
    }

    fn start(&mut self, mut item: Item, null: &dyn Fn() -> io::Result<File>) -> Option<Next> {
        let lock = match &item.lock {
            None => None,
            Some(name) => match locks::try_take(&self.settings.runtime_dir, name) {
                Ok(lock) => Some(lock),
                Err(Unlocked::Trouble(error)) => {
                    let what = format!("the lock `{name}` can't be taken: {error}");
                    item.attempts += 1;
                    self.failed(item, what);
                    return None;
                }
                Err(_) => return None,
            },
        };
        let run = item.begin();
        // kept before it starts: a worker that dies leaves what it began behind
        if let Err(error) = self.queue.keep(&item) {
            let pause = self.sulk.map_or(FIRST_SULK, |sulk| (sulk.pause * 2).min(LONGEST_SULK));
            self.sulk = Some(Sulk { pause, until: Instant::now() + pause });
            let pause = pause.as_secs();
            let words = format!("the queue can't be written: {error}; tried again in {pause} s");
            self.trouble(&item, &words);
            return None;
        }
        self.sulk = None;
        // as before every run: an hour may have passed since the call asked
        let trusted = Trust::new(nix::unistd::geteuid().as_raw()).file(item.program());
        if let Err(refusal) = trusted.as_ref()
            && self.settings.trust == TrustPolicy::Refuse
        {
            self.failed(item, format!("refused: {refusal}"));
            return None;
        }
        let made = self.document(&item, &run).and_then(|directory| {
            let path = directory.as_ref().map(|place| place.named().join(document_file::FILE_NAME));
            let path = path.as_ref().map(|path| path.as_os_str().as_encoded_bytes());
            let ends = Instant::now() + Duration::from_secs(super::item::EXPIRES);
            let job = null().and_then(|null| item.job(&run, path, null.into(), ends));
            if let (Err(_), Some(directory)) = (&job, &directory) {
                document_file::remove(directory);
            }
            Ok((job?, directory))
        });
        match made {
            Ok((job, directory)) => {
                let recorder = self.recorder(&item);
                self.active.push(Active {
                    number: self.started,
                    item,
                    recorder,
                    directory,
                    _lock: lock,
                });
                self.started += 1;
                Some(Next::Start(Box::new(job)))
            }
            Err(error) => {
                self.remove_started(&item);
                self.failed(item, format!("can't be started: {error}"));
                None
            }
        }
    }

    /// Each try has a record of its own, beside that of the call that queued it.
    fn recorder(&mut self, item: &Item) -> Recorder {
        let mut recorder = Recorder::new(Cause::Queue(item.execution.clone()));
        let call = call(item);
        let execution = Execution { id: ulid::new(), ..execution(item) };
        let document = item.document.as_ref().map(|document| document.0.as_slice());
        let (settings, surroundings) = (self.settings, self.surroundings);
        recorder.see(
            &execution,
            &Fact::Begun(&Begun { call: &call, settings, surroundings, document }),
        );
        let planned = Planned {
            hook: item.hook.clone(),
            event: item.event.clone(),
            device: None,
            decision: "run".to_owned(),
            reason: None,
        };
        let plan = Plan { planned: &[planned], origin: None, started: None };
        recorder.see(&execution, &Fact::Planned(plan));
        let at = Instant::now();
        let path = Some(item.program());
        let started = Fact::Started { label: &item.hook, device: None, path, at };
        recorder.see(&execution, &started);
        self.witness.see(&execution, &started);
        recorder
    }

    fn document(&self, item: &Item, run: &str) -> io::Result<Option<Place>> {
        if let Some(started) = &item.started_document {
            self.remove_started(item);
            let place = item::started_place(&self.settings.runtime_dir, &item.id);
            document_file::make_private(&place, &started.0, item.owner())?;
        }
        let Some(document) = &item.document else { return Ok(None) };
        let directory = document_file::place(&self.settings.runtime_dir, run);
        document_file::make_private(&directory, &document.0, item.owner())?;
        Ok(Some(directory))
    }

    /// Also what a worker that died has left.
    fn remove_started(&self, item: &Item) {
        if item.started_document.is_some() {
            document_file::remove(&item::started_place(&self.settings.runtime_dir, &item.id));
        }
    }

    fn over(&mut self, number: usize, ended: Ended) {
        let Some(place) = self.active.iter().position(|active| active.number == number) else {
            return;
        };
        let Active { mut item, directory, mut recorder, .. } = self.active.remove(place);
        if let Some(directory) = directory {
            document_file::remove(&directory);
        }
        self.remove_started(&item);
        if matches!(ended.outcome, Outcome::Terminated) {
            // this worker was told to end; the next one begins anew
            item.run = None;
            item.attempts = item.attempts.saturating_sub(1);
            let _ = self.queue.keep(&item);
            return;
        }
        let fault = interpreter::fault(&ended, item.program());
        let run = of_try(&item, ended, fault.clone());
        let own = execution(&item);
        let fact = Fact::Over(&run);
        recorder.see(&own, &fact);
        self.witness.see(&own, &fact);
        let status = fault.as_ref().map_or(0, |(status, _)| *status);
        let kept = recorder.finish(&Answer { status, ..Answer::default() });
        if let Some(trouble) = kept.trouble {
            self.witness.see(&own, &Fact::Trouble(&trouble));
        }
        match fault {
            None => drop(self.queue.forget(&item.id)),
            Some((_, what)) => self.failed(item, what),
        }
    }

    fn failed(&mut self, mut item: Item, what: String) {
        if item.fail(what.clone()) {
            let words = format!(
                "detached: {what}; tried again, {} of {} times",
                item.attempts, item.retries
            );
            self.witness
                .see(&execution(&item), &Fact::Warning { label: &item.hook, words: &words });
            if let Err(error) = self.queue.keep(&item) {
                self.trouble(&item, &format!("the queue can't be written: {error}"));
            }
        } else {
            self.give_up(&item, format!("given up after {} tries: {what}", item.attempts));
        }
    }

    fn give_up(&mut self, item: &Item, words: String) {
        self.trouble(item, &words);
        let _ = self.queue.forget(&item.id);
    }

    fn trouble(&mut self, item: &Item, words: &str) {
        let words = format!("{} (detached, {}): {words}", item.hook, item.id);
        self.witness.see(&execution(item), &Fact::Trouble(&words));
    }
}

fn of_try(item: &Item, ended: Ended, fault: Option<(i32, String)>) -> Run {
    let failure = fault.map(|(status, what)| Failure {
        label: item.hook.clone(),
        status,
        what,
        stderr: ended.stderr.end(verdict::MAX_STDERR),
        kill: false,
        is_tolerated: true,
    });
    Run {
        label: item.hook.clone(),
        event: item.event.clone(),
        device: None,
        path: item.program().to_path_buf(),
        ended: Some(ended),
        change: Change::None,
        failure,
        job: Some(item.id.clone()),
    }
}

/// The call that queued a job.
fn call(item: &Item) -> Call {
    let driver = Driver::from_name(&item.driver).unwrap_or(Driver::Qemu);
    let argument = |bytes: &item::Bytes| OsString::from_vec(bytes.0.clone());
    Call::new(driver, item.call_arguments.iter().map(argument).collect())
}

fn owned((driver, object): (&str, &str)) -> (String, String) {
    (driver.to_owned(), object.to_owned())
}

fn execution(item: &Item) -> Execution {
    let driver = Driver::from_name(&item.driver).map_or("", |driver| driver.name());
    Execution {
        id: item.execution.clone(),
        driver,
        object: item.object.clone(),
        operation: item.operation.clone(),
        uuid: item.uuid.clone(),
    }
}

/// Removes the jobs that are meant and that no worker runs; returns how many. What a worker that
/// died was at goes with them.
///
/// # Errors
/// The queue can't be read or written.
pub fn flush(queue: &Queue, is_meant: &dyn Fn(&Item) -> bool) -> io::Result<usize> {
    if queue.ids()?.is_empty() {
        return Ok(0);
    }
    // with it nobody begins, and nothing is begun
    let own = try_lock(queue, WORKER)?;
    let waiting: Vec<Item> = queue
        .items()?
        .into_iter()
        .filter(|item| (own.is_some() || item.run.is_none()) && is_meant(item))
        .collect();
    for item in &waiting {
        queue.forget(&item.id)?;
    }
    Ok(waiting.len())
}
