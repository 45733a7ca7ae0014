//! One attempt of a job: whether it may start, its start, and what its end means.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{ActiveItem, StartResult, WorkerState, WriteBackoff, is_suspect};
use crate::config::TrustPolicy;
use crate::document::file::{self, DocumentPlace};
use crate::observer::{Notice, Observer};
use crate::process::job::{FinishedJob, Job, ProcessOutcome};
use crate::process::supervise::Progress;
use crate::queue::item::{self, ItemBody, ItemHead, MAX_JOB_AGE};
use crate::queue::outcome;
use crate::queue::read::JobReadError;
use crate::queue::waiting::WaitReason;
use crate::record::mover;
use crate::record::recorder::{RecordPlace, Recorder};
use crate::state::locks::{self, HookLock, LockError, LockHolder};
use crate::trust::Trust;
use crate::verdict::{self, HookFailure};

/// The limits of the backoff after the queue couldn't be written. It doubles each time.
const MIN_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// The number of records after which they are moved to the state directory.
const RECORDS_PER_MOVE: u64 = 200;

impl WorkerState<'_> {
    fn has_room(&self, head: &ItemHead) -> bool {
        let same = self
            .active
            .iter()
            .filter(|active| active.head.registration == head.registration)
            .count();
        head.max_parallel.is_none_or(|most| same < most as usize)
    }

    /// Starts a job, unless it has to wait. `busy` are the locks that are known to be held.
    pub(super) fn try_start(
        &mut self,
        head: &ItemHead,
        busy: &mut HashSet<String>,
        null: &dyn Fn() -> io::Result<File>,
    ) -> StartResult {
        if self.watch.add_caller(head.caller) {
            return StartResult::Waiting(WaitReason::Caller(head.caller));
        }
        // jobs wait while hooks are switched off, and may expire meanwhile
        if !self.bypass.is_off() && self.bypass.of(&head.call()).is_some() {
            return StartResult::Waiting(WaitReason::Bypass);
        }
        if !self.has_room(head) {
            return StartResult::Waiting(WaitReason::Hook(head.registration.clone()));
        }
        if is_suspect(head) && self.active.iter().any(|active| is_suspect(&active.head)) {
            return StartResult::Waiting(WaitReason::Suspect);
        }
        let holder = LockHolder::new(&head.hook, &head.execution);
        let lock = match &head.lock {
            None => None,
            Some(name) if busy.contains(name) => {
                return StartResult::Waiting(WaitReason::Lock(name.clone()));
            }
            Some(name) => match locks::try_take(&self.settings.runtime_dir, name, &holder) {
                Ok(lock) => Some(lock),
                Err(LockError::Failed(error)) => {
                    let what = format!("the lock `{name}` can't be taken: {error}");
                    let mut head = head.clone();
                    head.attempts = head.attempts.saturating_add(1);
                    self.failed(head, None, &what);
                    return StartResult::Settled;
                }
                Err(_) => {
                    busy.insert(name.clone());
                    return StartResult::Waiting(WaitReason::Lock(name.clone()));
                }
            },
        };
        match self.start(head.clone(), lock, null) {
            Some(job) => StartResult::Started(job),
            None => StartResult::Settled,
        }
    }

    fn start(
        &mut self,
        mut head: ItemHead,
        lock: Option<HookLock>,
        null: &dyn Fn() -> io::Result<File>,
    ) -> Option<Box<Job>> {
        let body = match self.queue.body(&head) {
            Ok(body) if self.queue.is_there(&head.id) => body,
            // it was just removed
            Ok(_) | Err(JobReadError::Gone) => {
                self.waiting.remove(&head.id);
                return None;
            }
            Err(JobReadError::Broken(why)) => {
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
        // written before it starts, so that the next worker finds it if this one dies
        if let Err(error) = self.queue.keep(&mut head) {
            let pause =
                self.backoff.map_or(MIN_BACKOFF, |backoff| (backoff.pause * 2).min(MAX_BACKOFF));
            self.backoff = Some(WriteBackoff { pause, until: Instant::now() + pause });
            let pause = pause.as_secs();
            let words = format!("the queue can't be written: {error}; tried again in {pause} s");
            self.report_error(&before, &words);
            return None;
        }
        self.backoff = None;
        // checked before every run: an hour may have passed since the call
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
            let ends = Instant::now() + MAX_JOB_AGE;
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
                self.active.push(ActiveItem {
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

    /// Begins the record of an attempt, which is separate from that of the call that queued the job.
    fn recorder(&mut self, head: &ItemHead, body: &ItemBody) -> Recorder {
        let document = body.document.as_ref().map(|document| document.0.as_slice());
        outcome::begin(self.settings, self.surroundings, head, document)
    }

    /// Tells what a job's process does.
    pub(super) fn tell(&mut self, progress: Progress<'_>) {
        let number = progress.job();
        let Some(active) = self.active.iter_mut().find(|active| active.number == number) else {
            return;
        };
        let ActiveItem { head, program, recorder, .. } = active;
        let own = head.queued_by();
        let notice = Notice::of_progress(progress, &head.hook, None, program);
        recorder.observe(&own, &notice);
        self.observer.observe(&own, &notice);
    }

    fn documents(
        &self,
        head: &ItemHead,
        body: &ItemBody,
        run: &str,
    ) -> io::Result<Option<DocumentPlace>> {
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

    pub(super) fn finish(&mut self, number: usize, ended: FinishedJob) {
        let Some(place) = self.active.iter().position(|active| active.number == number) else {
            return;
        };
        let ActiveItem {
            mut head, program, directory, recorder, has_started_document, lock, ..
        } = self.active.remove(place);
        drop(lock);
        if let Some(directory) = directory {
            file::remove(&directory);
        }
        if has_started_document {
            self.remove_started(&head.id);
        }
        self.release(&head, None);
        if matches!(ended.outcome, ProcessOutcome::Terminated) {
            // this worker was told to end; the next one starts the job again
            head.take_back();
            let _ = self.queue.keep(&mut head);
            self.waiting.pause(head, 0);
            return;
        }
        head.deaths = 0;
        let fault = verdict::failure_of(&ended);
        // what people read about the job; its record makes the same of the same parts
        let why = fault.clone().map(|fault| {
            let stderr = ended.stderr.end(verdict::MAX_STDERR_BYTES);
            recorder.reason(&HookFailure::tolerated(&head.hook, fault, stderr))
        });
        let is_last = head.attempts > head.retries;
        let reported = fault.clone().map(|(status, what)| match is_last {
            true => (status, format!("{what}; given up after {}", tries(head.attempts))),
            false => (status, what),
        });
        self.report_attempt(&head, program, ended, reported, recorder);
        match why {
            None => self.forget(&head),
            Some(why) if is_last => {
                let words = format!("given up after {}: {why}", tries(head.attempts));
                self.report_error(&head, &words);
                self.forget(&head);
            }
            Some(why) => self.failed(head, None, &why),
        }
    }

    fn report_attempt(
        &mut self,
        head: &ItemHead,
        program: PathBuf,
        ended: FinishedJob,
        fault: Option<(i32, String)>,
        mut recorder: Recorder,
    ) {
        let status = fault.as_ref().map_or(0, |(status, _)| *status);
        let run = outcome::run(head, program, Some(ended), fault);
        let own = head.queued_by();
        let notice = Notice::Finished(&run);
        recorder.observe(&own, &notice);
        self.observer.observe(&own, &notice);
        let place = outcome::finish(recorder, self.observer, head, status);
        self.recorded(place);
    }

    /// Starts the mover now and then: the runtime directory is in memory, and many jobs may wait.
    pub(super) fn recorded(&mut self, place: Option<RecordPlace>) {
        self.records += 1;
        if let Some(place) = place.filter(|_| self.records % RECORDS_PER_MOVE == 0) {
            mover::start_if_needed(&self.settings.hooks_dir, &place);
        }
    }

    /// Handles a failed attempt: pauses the job for the next attempt, or gives it up.
    pub(super) fn failed(&mut self, mut head: ItemHead, body: Option<&ItemBody>, what: &str) {
        if head.fail(what, &self.clock) {
            let words = format!(
                "detached: {what}; tried again, {} of {} times",
                head.attempts, head.retries
            );
            let notice = Notice::Warning { label: &head.hook, words: &words };
            self.observer.observe(&head.queued_by(), &notice);
            if let Err(error) = self.queue.keep(&mut head) {
                self.report_error(&head, &format!("the queue can't be written: {error}"));
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

/// Returns a number of attempts in words.
fn tries(count: u32) -> String {
    if count == 1 { "1 try".to_owned() } else { format!("{count} tries") }
}
