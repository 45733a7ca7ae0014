//! Runs the undos of one owner, one at a time, the last hook's first.

use std::time::Instant;

use super::entry::Entry;
use super::label_of;
use super::owed::Owed;
use super::owner_ledger::OwnerLedger;
use super::shared::HeldShare;
use crate::config::Settings;
use crate::document::file;
use crate::document::input_file::InputFile;
use crate::machine::{clock, watchdog};
use crate::observer::{
    HookIdentity, HookRun, MIN_WAIT, NotRun, Notice, Observer, UndoneSetup, WaitedFor,
};
use crate::occasion::Execution;
use crate::process::exit_status::{NOT_EXECUTABLE, OWN_ERROR, TIMED_OUT};
use crate::process::job::{FinishedJob, ProcessOutcome, c_string};
use crate::process::members;
use crate::process::supervise::{Progress, Supervisor};
use crate::state::locks::{self, HookLock, LockError, LockHolder};
use crate::verdict::{self, HookFailure};

/// Runs undos.
pub(crate) struct UndoRunner<'a> {
    pub settings: &'a Settings,
    /// The user that is trusted besides root.
    pub user: u32,
    pub ledger: &'a OwnerLedger,
    pub supervisor: &'a mut Supervisor,
    pub observer: &'a mut dyn Observer,
    /// The execution that runs them.
    pub execution: &'a Execution,
    /// When the time for all of them is over.
    pub ends: Instant,
    /// Whether they run although hookmux was told to end.
    pub ignores_termination: bool,
    /// Whether the worker goes on where the time is over. Else whoever runs them waits no longer for a lock than
    /// for anything else.
    pub hands_over: bool,
}

/// What became of the undos.
#[derive(Debug, Default)]
pub(crate) struct UndoResult {
    pub done: usize,
    /// How many failed, and are still owed.
    pub failed: usize,
    /// What has to be told: of those, and of undos that are done all the same.
    pub failures: Vec<HookFailure>,
    /// How many are left to the worker.
    pub left: usize,
}

impl UndoResult {
    pub(super) fn add(&mut self, more: UndoResult) {
        self.done += more.done;
        self.failed += more.failed;
        self.failures.extend(more.failures);
        self.left += more.left;
    }
}

/// How one undo ended.
enum UndoEnd {
    Done,
    Failed(Box<HookFailure>),
    /// There was no time for it, or hookmux was told to end.
    Left,
}

/// What is told of one try.
#[derive(Clone, Debug, Default)]
struct Try {
    /// Whether an earlier one was interrupted.
    is_again: bool,
    /// The guest for which a shared hook ran.
    set_up_for: Option<String>,
}

/// What the undo of a shared hook is.
enum SharedUndo {
    /// Nobody else holds a share: the first one's run is taken back.
    IsLast(HeldShare, Box<Entry>),
    NothingToDo(String),
}

impl UndoRunner<'_> {
    /// Runs the undos of these entries, in their order.
    pub(crate) fn run(&mut self, entries: Vec<Owed>) -> UndoResult {
        let mut result = UndoResult::default();
        for mut owed in entries {
            watchdog::progress();
            if let Err(error) = self.ledger.end(&mut owed) {
                self.report(&owed.entry, &format!("its entry can't be renamed: {error}"));
            }
            match self.run_one(&mut owed) {
                UndoEnd::Done => {
                    result.done += 1;
                    self.ledger.remove(&owed.name);
                }
                UndoEnd::Failed(failure) => {
                    self.note_failure(&mut owed, &failure.what);
                    result.failed += 1;
                    result.failures.push(*failure);
                }
                UndoEnd::Left => {
                    result.left += 1;
                    if let Err(error) = self.ledger.set_due(&mut owed, true) {
                        let words =
                            format!("that the worker takes it back can't be noted: {error}");
                        self.report(&owed.entry, &words);
                    }
                }
            }
        }
        result
    }

    /// Leaves an entry in the ledger whose undo has failed. It is tried at its own times.
    fn note_failure(&mut self, owed: &mut Owed, what: &str) {
        owed.entry.set_last(what);
        let moved = self.ledger.set_due(owed, false);
        if let Err(error) = self.ledger.keep(owed).and(moved) {
            // without room for the words it is owed all the same
            self.report(&owed.entry, &format!("that it has failed can't be noted: {error}"));
        }
    }

    fn report(&mut self, entry: &Entry, words: &str) {
        let label = label_of(&entry.hook);
        self.observer.observe(self.execution, &Notice::Warning { label: &label, words });
    }

    fn run_one(&mut self, owed: &mut Owed) -> UndoEnd {
        if Instant::now() >= self.ends || self.is_terminated() {
            return UndoEnd::Left;
        }
        let lock = match self.lock(&owed.entry) {
            Ok(lock) => lock,
            Err(error) => return self.without_lock(&owed.entry, error, "its lock"),
        };
        let mut this_try = Try { is_again: owed.name.is_undoing, set_up_for: None };
        let held = match owed.entry.shared.then(|| self.give_up(owed)) {
            None => None,
            Some(Ok(SharedUndo::IsLast(held, first))) => {
                // the first one's document and output, whoever is the last
                owed.entry.current = first.current;
                owed.entry.earlier = first.earlier;
                this_try.set_up_for = Some(first.object);
                Some(held)
            }
            Some(Ok(SharedUndo::NothingToDo(why))) => {
                let label = label_of(&owed.entry.hook);
                let why = NotRun::NotConcerned(&why);
                self.observer.observe(self.execution, &Notice::Skipped { label: &label, why });
                return UndoEnd::Done;
            }
            Some(Err(error)) => {
                return self.without_lock(&owed.entry, error, "the lock of what it shares");
            }
        };
        let current = &owed.entry.current;
        if this_try.is_again {
            watchdog::wait(|| members::kill_all_of_run(&current.undo_run()));
        }
        if !current.is_done {
            // the call died, and its hook may still be setting up
            watchdog::wait(|| members::kill_all_of_run(&current.run));
        }
        match current.job.check_trust(self.user, self.settings.trust) {
            Ok(None) => {}
            Ok(Some(words)) => self.report(&owed.entry, &words),
            Err(words) => return self.not_started(&owed.entry, (NOT_EXECUTABLE, words)),
        }
        if let Err(error) = self.ledger.set_undoing(owed, true) {
            // a death of this process would go unseen
            self.report(&owed.entry, &format!("that it begins can't be noted: {error}"));
        }
        if let Some(held) = &held {
            held.share.set_undoing();
        }
        let end = self.start(&owed.entry, &this_try);
        if let (Some(held), UndoEnd::Done) = (&held, &end) {
            held.share.remove();
        }
        drop((held, lock));
        // one that is done goes as it is: a death before that would else run it again without a word
        if matches!(end, UndoEnd::Failed(_)) {
            let _ = self.ledger.set_undoing(owed, false);
        }
        end
    }

    /// Gives up the share of an entry.
    fn give_up(&mut self, owed: &Owed) -> Result<SharedUndo, LockError> {
        let Entry { registration, life, .. } = &owed.entry;
        let share = self.ledger.share(registration, &owed.name, life);
        let holder = LockHolder::new(&label_of(&owed.entry.hook), &self.execution.id);
        let begun = Instant::now();
        let held = share.lock(&holder, self.waits_until(), &mut || self.is_terminated());
        self.tell_wait(&owed.entry, WaitedFor::Share, begun);
        let held = held?;
        let first = held.share.record().map_err(LockError::Failed)?;
        let others = held.share.give_up();
        if !others.is_empty() {
            let why = format!("others still need what it shares: {}", others.join(", "));
            return Ok(SharedUndo::NothingToDo(why));
        }
        Ok(match first {
            Some(first) => SharedUndo::IsLast(held, Box::new(first)),
            None => {
                held.share.remove();
                SharedUndo::NothingToDo("it was taken back already".to_owned())
            }
        })
    }

    /// Returns until when a lock is waited for.
    fn waits_until(&self) -> Instant {
        match self.hands_over {
            true => self.ends,
            false => self.ends.min(Instant::now() + watchdog::MAX_WAIT),
        }
    }

    /// Answers for an undo without a lock that it needs.
    fn without_lock(&mut self, entry: &Entry, error: LockError, lock: &str) -> UndoEnd {
        let fault = match error {
            LockError::Terminated => return UndoEnd::Left,
            LockError::TimedOut(_) if self.hands_over => return UndoEnd::Left,
            LockError::TimedOut(holder) => {
                let who = holder.map(|holder| format!(": {}", holder.description()));
                (TIMED_OUT, format!("{lock} wasn't free{}", who.unwrap_or_default()))
            }
            LockError::Failed(error) => (OWN_ERROR, format!("{lock} can't be taken: {error}")),
        };
        self.not_started(entry, fault)
    }

    fn is_terminated(&mut self) -> bool {
        !self.ignores_termination && self.supervisor.is_terminated()
    }

    fn lock(&mut self, entry: &Entry) -> Result<Option<HookLock>, LockError> {
        let Some(name) = &entry.lock else { return Ok(None) };
        let holder = LockHolder::new(&label_of(&entry.hook), &self.execution.id);
        let until = self.waits_until();
        let supervisor = &mut *self.supervisor;
        let begun = Instant::now();
        let ignores_termination = self.ignores_termination;
        let taken = locks::take(&self.settings.runtime_dir, name, &holder, until, &mut || {
            !ignores_termination && supervisor.is_terminated()
        });
        self.tell_wait(entry, WaitedFor::Lock(name), begun);
        taken.map(Some)
    }

    /// Tells how long an undo has waited until now, if it had to.
    fn tell_wait(&mut self, entry: &Entry, reason: WaitedFor<'_>, since: Instant) {
        let time = since.elapsed();
        if time >= MIN_WAIT {
            let (label, device) = (label_of(&entry.hook), entry.device.as_deref());
            let label = Some(label.as_str());
            let notice = Notice::Waited { label, device, reason, at: since, time };
            self.observer.observe(self.execution, &notice);
        }
    }

    /// Reports an undo that counts as failed without having been started.
    fn not_started(&mut self, entry: &Entry, fault: (i32, String)) -> UndoEnd {
        match self.finished(entry, None, Some(fault), &Try::default()) {
            Some(failure) => UndoEnd::Failed(Box::new(failure)),
            None => UndoEnd::Left,
        }
    }

    fn finished(
        &mut self,
        entry: &Entry,
        ended: Option<FinishedJob>,
        fault: Option<(i32, String)>,
        this_try: &Try,
    ) -> Option<HookFailure> {
        let hook = HookIdentity {
            label: label_of(&entry.hook),
            event: entry.event.clone(),
            device: entry.device.clone(),
            path: entry.current.job.program().to_path_buf(),
            command: entry.current.command.clone(),
        };
        let undo = UndoneSetup {
            hook: entry.hook.clone(),
            execution: entry.current.execution.clone(),
            is_done: entry.current.is_done,
            is_again: this_try.is_again,
            set_up_for: this_try.set_up_for.clone(),
        };
        let run = HookRun { undo: Some(undo), ..HookRun::tolerated(hook, ended, fault) };
        self.observer.observe(self.execution, &Notice::Finished(&run));
        run.failure
    }

    /// Starts an undo, and waits for its end.
    fn start(&mut self, entry: &Entry, this_try: &Try) -> UndoEnd {
        let setup = &entry.current;
        let run = setup.undo_run();
        let owner = setup.job.owner();
        let place = |end: &str| {
            // two tries may come close to each other
            let id = format!("{run}{end}-{}", clock::boottime_ns());
            file::place(&self.settings.runtime_dir, &id)
        };
        let document = setup.document.as_ref();
        let document = document.map(|bytes| InputFile::make(place(""), &bytes.0, owner));
        let output = InputFile::make(place("-output"), entry.output(), owner);
        let made = document.transpose().and_then(|document| Ok((document, output?)));
        let (document, output) = match made {
            Ok(made) => made,
            Err(error) => {
                let fault = (OWN_ERROR, format!("its input can't be made: {error}"));
                return self.not_started(entry, fault);
            }
        };
        let path = document.as_ref().map(InputFile::path);
        let path = path.as_ref().map(|path| path.as_os_str().as_encoded_bytes());
        let job =
            self.supervisor.null().and_then(|null| setup.job.job(&run, path, null, self.ends));
        let ended = job.map(|mut job| {
            let mut set = |name: &str, value: &[u8]| {
                job.environment.push(c_string(&[name.as_bytes(), b"=", value].concat()));
            };
            set("HOOKMUX_UNDO_OUTPUT", output.path().as_os_str().as_encoded_bytes());
            let outcome: &[u8] = if setup.is_done { b"done" } else { b"unknown" };
            set("HOOKMUX_UNDO_OUTCOME", outcome);
            if this_try.is_again {
                set("HOOKMUX_UNDO_AGAIN", b"1");
            }
            let label = label_of(&entry.hook);
            let (device, path) = (entry.device.as_deref(), setup.job.program());
            let mut progress = |progress: Progress<'_>| {
                let notice = Notice::of_progress(progress, &label, device, path);
                self.observer.observe(self.execution, &notice);
            };
            self.supervisor.run(vec![job], &mut progress).pop()
        });
        drop((document, output));
        let ended = match ended {
            Ok(Some(ended)) => ended,
            Ok(None) => return UndoEnd::Left,
            Err(error) => {
                let fault = (OWN_ERROR, format!("can't be started: {error}"));
                return self.not_started(entry, fault);
            }
        };
        let is_out_of_time = self.hands_over
            && matches!(ended.outcome, ProcessOutcome::TimedOut { .. })
            && Instant::now() >= self.ends;
        let is_left = is_out_of_time || matches!(ended.outcome, ProcessOutcome::Terminated);
        let fault = verdict::failure_of(&ended);
        match self.finished(entry, Some(ended), fault, this_try) {
            None => UndoEnd::Done,
            Some(_) if is_left => UndoEnd::Left,
            Some(failure) => UndoEnd::Failed(Box::new(failure)),
        }
    }
}
