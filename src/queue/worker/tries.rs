//! One try of a job, from the look whether anything holds it back to what its end means.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Active, Shift, Sulk, Tried, is_suspect};
use crate::config::TrustPolicy;
use crate::document::exchange::Change;
use crate::document::file::{self, Place as DocumentPlace};
use crate::process::job::{FinishedJob, Job, ProcessOutcome};
use crate::queue::item::{self, Body, EXPIRES, Head};
use crate::queue::outcome;
use crate::queue::read::Unread;
use crate::queue::waiting::StartObstacle;
use crate::record::mover;
use crate::record::recorder::{Place, Recorder};
use crate::state::locks::{self, Holder, Lock, Unlocked};
use crate::trust::Trust;
use crate::verdict::{self, HookFailure};
use crate::witness::{Fact, Run, Witness};

/// After the queue couldn't be written, nothing is started for a while: first this long, then twice
/// as long each time, up to the longest.
const FIRST_SULK: Duration = Duration::from_secs(1);
const LONGEST_SULK: Duration = Duration::from_secs(60);
/// Records after which they are moved to their place.
const MOVED_AT_ONCE: u64 = 200;

impl Shift<'_> {
    fn has_room(&self, head: &Head) -> bool {
        let same = self
            .active
            .iter()
            .filter(|active| active.head.registration == head.registration)
            .count();
        head.max_parallel.is_none_or(|most| same < most as usize)
    }

    /// Starts a job, unless something holds it back. `busy` are locks that others were found to hold.
    pub(super) fn try_to_start(
        &mut self,
        head: &Head,
        busy: &mut HashSet<String>,
        null: &dyn Fn() -> io::Result<File>,
    ) -> Tried {
        if self.watch.add_caller(head.caller) {
            return Tried::Blocked(StartObstacle::Caller(head.caller));
        }
        // they wait as long as hooks are switched off, and expire as others do
        if !self.bypass.is_off() && self.bypass.of(&head.call()).is_some() {
            return Tried::Blocked(StartObstacle::Bypass);
        }
        if !self.has_room(head) {
            return Tried::Blocked(StartObstacle::Hook(head.registration.clone()));
        }
        if is_suspect(head) && self.active.iter().any(|active| is_suspect(&active.head)) {
            return Tried::Blocked(StartObstacle::Suspect);
        }
        let holder = Holder::new(&head.hook, &head.execution);
        let lock = match &head.lock {
            None => None,
            Some(name) if busy.contains(name) => {
                return Tried::Blocked(StartObstacle::Lock(name.clone()));
            }
            Some(name) => match locks::try_take(&self.settings.runtime_dir, name, &holder) {
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
                    return Tried::Blocked(StartObstacle::Lock(name.clone()));
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
        match &trusted {
            Err(refusal) if self.settings.trust == TrustPolicy::Refuse => {
                self.failed(head, Some(&body), &format!("refused: {refusal}"));
                return None;
            }
            _ => {}
        }
        let made = self.documents(&head, &body, &run).and_then(|directory| {
            let path = directory.as_ref().map(|place| place.named().join(file::FILE_NAME));
            let path = path.as_ref().map(|path| path.as_os_str().as_encoded_bytes());
            let ends = Instant::now() + EXPIRES;
            let job = null().and_then(|null| body.job.job(&run, path, null.into(), ends));
            if let (Err(_), Some(directory)) = (&job, &directory) {
                file::remove(directory);
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
        let (path, at) = (Some(body.job.program()), Instant::now());
        let started = Fact::Started { label: &head.hook, device: None, path, at };
        recorder.see(&own, &started);
        self.witness.see(&own, &started);
        recorder
    }

    fn documents(&self, head: &Head, body: &Body, run: &str) -> io::Result<Option<DocumentPlace>> {
        if let Some(started) = &body.started_document {
            self.remove_started(&head.id);
            let place = item::started_place(&self.settings.runtime_dir, &head.id);
            file::make_private(&place, &started.0, body.job.owner())?;
        }
        let Some(document) = &body.document else { return Ok(None) };
        let directory = file::place(&self.settings.runtime_dir, run);
        file::make_private(&directory, &document.0, body.job.owner())?;
        Ok(Some(directory))
    }

    pub(super) fn remove_started(&self, id: &str) {
        let place = item::started_place(&self.settings.runtime_dir, id);
        if place.named().exists() {
            file::remove(&place);
        }
    }

    pub(super) fn over(&mut self, number: usize, ended: FinishedJob) {
        let Some(place) = self.active.iter().position(|active| active.number == number) else {
            return;
        };
        let Active { mut head, program, directory, recorder, has_started_document, lock, .. } =
            self.active.remove(place);
        drop(lock);
        if let Some(directory) = directory {
            file::remove(&directory);
        }
        if has_started_document {
            self.remove_started(&head.id);
        }
        self.give_back(&head, None);
        if matches!(ended.outcome, ProcessOutcome::Terminated) {
            // this worker was told to end; the next one begins anew
            head.take_back();
            let _ = self.queue.keep(&mut head);
            self.waiting.pause(head, 0);
            return;
        }
        head.deaths = 0;
        let fault = verdict::failure_of(&ended);
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
        ended: FinishedJob,
        fault: Option<(i32, String)>,
        mut recorder: Recorder,
    ) {
        let status = fault.as_ref().map_or(0, |(status, _)| *status);
        let failure = fault.map(|(status, what)| HookFailure {
            label: head.hook.clone(),
            status,
            what,
            stderr: ended.stderr.end(verdict::MAX_STDERR_BYTES),
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
    pub(super) fn recorded(&mut self, place: Option<Place>) {
        self.records += 1;
        if let Some(place) = place.filter(|_| self.records % MOVED_AT_ONCE == 0) {
            mover::start_if_needed(&self.settings.hooks_dir, &place);
        }
    }

    /// A try has failed: there is another one, or the job is given up.
    pub(super) fn failed(&mut self, mut head: Head, body: Option<&Body>, what: &str) {
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
}

/// A number of tries for people.
fn tries(count: u32) -> String {
    if count == 1 { "1 try".to_owned() } else { format!("{count} tries") }
}
