//! The ledger in one call: which entries the call finds, which it writes, and when it takes back what is
//! owed.

use std::time::{Duration, Instant};

use super::ending::{self, CallEnd, Ending};
use super::entry::{Entry, EntryName};
use super::ledger::Ledger;
use super::marks::MarkKind;
use super::moment::{self, Moment};
use super::owed::{Owed, UnreadableEntry};
use super::owner::Owner;
use super::owner_ledger::OwnerLedger;
use super::runner::{UndoResult, UndoRunner};
use super::shared::Share;
use crate::config::Settings;
use crate::libvirt::Call;
use crate::machine::sys;
use crate::memory::guest::Guest;
use crate::observer::{MIN_WAIT, Notice, Observer, WaitedFor};
use crate::occasion::{Execution, Occasion};
use crate::process::supervise::Supervisor;
use crate::state::locks::{HookLock, LockError, LockHolder};
use crate::verdict::HookFailure;

/// The entries of the guest, network or port of a call.
pub(crate) struct CallLedger {
    ledger: OwnerLedger,
    /// The ports of a network that has stopped.
    ports: Vec<OwnerLedger>,
    moment: Moment,
    ends_when_failed: bool,
    is_gate: bool,
    /// Whether libvirt made the call. A person's trial undoes nothing.
    is_real: bool,
    lock: Option<HookLock>,
    /// Why the lock couldn't be taken.
    lock_error: Option<String>,
    /// The time limit of the call.
    total: Duration,
    /// Until when the call waits for locks of the ledger.
    waits_until: Instant,
    /// How long it has waited for them.
    waited: Duration,
    /// The last wait, until it is told.
    untold_wait: Option<(Instant, Duration)>,
    /// What is left of the time for all undos of the call.
    time_left: Duration,
    /// Undos that failed.
    failures: Vec<HookFailure>,
    /// What earlier lives owe.
    earlier: Vec<Owed>,
    /// What this call has entered.
    entered: Vec<EntryName>,
    /// Whether the present life owes something, or did when the call began.
    owes: bool,
    /// Whether hookmux was told to end, so that the worker has to do what isn't a rollback.
    is_terminated: bool,
    /// Whether the worker has something to do.
    pub has_work: bool,
}

/// What runs undos in a call.
pub(crate) struct UndoTools<'a> {
    pub settings: &'a Settings,
    pub user: u32,
    pub execution: &'a Execution,
    pub observer: &'a mut dyn Observer,
}

impl CallLedger {
    /// Makes one for a call; `None` where the call has nothing to do with the ledger. `has_undo` tells
    /// whether one of its hooks can be undone.
    pub(crate) fn of(
        occasion: &Occasion<'_>,
        guest: Option<&Guest>,
        has_undo: bool,
    ) -> Option<CallLedger> {
        let (call, runtime_dir) = (occasion.call, &occasion.settings.runtime_dir);
        if !has_undo && !Ledger::may_exist(runtime_dir) {
            return None;
        }
        // a person's trial of a guest that doesn't live is over with the call
        if !occasion.is_real() && !guest.is_some_and(Guest::is_remembered) {
            return None;
        }
        let ledger = Ledger::new(runtime_dir);
        let owner = Owner::of(occasion, guest)?;
        let moment = Moment::of(call);
        let ports =
            if occasion.is_real() { ending::ports(&ledger, &owner, call) } else { Vec::new() };
        let own = ledger.of(&owner);
        if !has_undo && !own.may_exist() && ports.is_empty() {
            return None;
        }
        Some(CallLedger {
            ledger: own,
            ports,
            moment,
            ends_when_failed: moment::ends_when_failed(call),
            is_gate: moment::is_gate(call),
            is_real: occasion.is_real(),
            lock: None,
            lock_error: None,
            total: occasion.settings.total_timeout(call),
            waits_until: Instant::now() + occasion.settings.total_timeout(call),
            waited: Duration::ZERO,
            untold_wait: None,
            time_left: moment::timeout(call.driver),
            failures: Vec::new(),
            earlier: Vec::new(),
            entered: Vec::new(),
            owes: false,
            is_terminated: false,
            has_work: false,
        })
    }

    /// Returns what a call would take back, in this order, if libvirt made it now.
    pub(crate) fn preview(occasion: &Occasion<'_>, guest: Option<&Guest>) -> Vec<Owed> {
        let runtime_dir = &occasion.settings.runtime_dir;
        if !Ledger::may_exist(runtime_dir) {
            return Vec::new();
        }
        let Some(owner) = Owner::of(occasion, guest) else { return Vec::new() };
        let ledger = Ledger::new(runtime_dir);
        let (mut entries, _) = ledger.of(&owner).entries();
        match Moment::of(occasion.call) {
            Moment::Begins => {
                entries.retain(|owed| !owed.is_waiting());
                entries
            }
            Moment::Ends => {
                let ports = ending::ports(&ledger, &owner, occasion.call).into_iter();
                let all = ports.flat_map(|port| port.entries().0).chain(entries);
                all.filter(|owed| !owed.is_waiting()).collect()
            }
            Moment::Arrives | Moment::Lives => Vec::new(),
        }
    }

    /// Looks at the entries, before any hook runs. `is_bypassed` tells that hooks are switched off: then nothing is
    /// waited for. Returns what has to be told.
    pub(crate) fn begin(
        &mut self,
        call: &Call,
        execution: &Execution,
        is_bypassed: bool,
    ) -> Vec<String> {
        if is_bypassed {
            self.waits_until = Instant::now();
        }
        if !self.is_real || (!self.ledger.may_exist() && self.ports.is_empty()) {
            return Vec::new();
        }
        self.ledger.note_call(&execution.id);
        if self.moment == Moment::Lives {
            if moment::shows_life(call) {
                self.ledger.note_life();
            }
            return Vec::new();
        }
        let mut words = Vec::new();
        if let Err(error) = self.take_lock(call, execution) {
            if self.moment == Moment::Begins {
                words.extend(self.mark(MarkKind::Begun));
            }
            if self.moment == Moment::Ends && !is_bypassed {
                words.extend(self.mark(MarkKind::Due));
            }
            if !is_bypassed {
                words.push(error);
            }
            return words;
        }
        let (mut entries, unreadable) = self.ledger.entries();
        words.extend(unreadable.iter().map(UnreadableEntry::words));
        // what is over makes room for what begins to live
        entries.sort_by_key(Owed::is_provisional);
        for owed in &mut entries {
            let is_waiting = owed.is_waiting();
            let moved = match self.moment {
                _ if owed.is_over() => self.ledger.end(owed),
                Moment::Begins if is_waiting => self.ledger.make_firm(owed),
                Moment::Begins => self.ledger.end(owed),
                // the guest may live: libvirt asks before it refuses one that runs here already
                Moment::Arrives if owed.is_expired() => {
                    self.has_work = true;
                    self.ledger.end_as_due(owed)
                }
                Moment::Arrives | Moment::Ends | Moment::Lives => Ok(()),
            };
            if let Err(error) = moved {
                words.push(format!("the entry of {} can't be renamed: {error}", owed.entry.hook));
            }
        }
        entries.sort_by(Owed::by_time);
        let (earlier, own): (Vec<Owed>, Vec<Owed>) = entries.into_iter().partition(Owed::is_over);
        (self.earlier, self.owes) = (earlier, own.iter().any(|owed| !owed.is_waiting()));
        if self.moment == Moment::Begins {
            self.ledger.unmark(MarkKind::Arrived);
        }
        if self.moment == Moment::Ends && self.owes && !is_bypassed {
            // if this process dies before it has run any undo, the worker finds that it is due
            words.extend(self.mark(MarkKind::Due));
        }
        words
    }

    /// Leaves a mark for whoever has the lock next. Returns why that isn't possible.
    fn mark(&self, kind: MarkKind) -> Option<String> {
        let error = self.ledger.mark(kind).err()?;
        Some(format!("the ledger of undos can't be marked: {error}"))
    }

    /// Takes the lock before any other lock of a hook. Where that fails, `enter` tells it.
    pub(crate) fn lock_first(&mut self, call: &Call, execution: &Execution) {
        let _ = self.take_lock(call, execution);
    }

    /// Returns how long the call has waited for the ledger: that counts against the time of its hooks.
    pub(crate) fn waited(&self) -> Duration {
        self.waited
    }

    /// Tells how long the call had to wait for the ledger.
    pub(crate) fn tell_wait(&mut self, execution: &Execution, observer: &mut dyn Observer) {
        if let Some((at, time)) = self.untold_wait.take() {
            let (label, device, reason) = (None, None, WaitedFor::Undo);
            observer.observe(execution, &Notice::Waited { label, device, reason, at, time });
        }
    }

    fn take_lock(&mut self, call: &Call, execution: &Execution) -> Result<(), String> {
        if self.lock.is_some() {
            return Ok(());
        }
        if let Some(words) = &self.lock_error {
            return Err(words.clone());
        }
        let operation = call.operation_name().to_string_lossy();
        let holder = LockHolder::new(&format!("a call ({operation})"), &execution.id);
        let begun = Instant::now();
        // the signal may have been read, or come now
        let is_terminated = self.is_terminated && self.moment == Moment::Ends;
        let is_told_to_end = &mut || is_terminated || sys::is_pending(libc::SIGTERM);
        let taken = self.ledger.lock(&holder, self.waits_until, is_told_to_end);
        let wait = begun.elapsed();
        self.waited += wait;
        self.untold_wait = Some((begun, wait)).filter(|(_, wait)| *wait >= MIN_WAIT);
        match taken {
            Ok(lock) => {
                self.lock = Some(lock);
                // where an entry can't be renamed, its mark stays
                let _ = self.ledger.settle();
                Ok(())
            }
            Err(error) => {
                let words = match error {
                    LockError::TimedOut(holder) => {
                        // nothing is left of it, to the last millisecond
                        self.waited = self.total;
                        let who = holder.map(|holder| format!(": {}", holder.description()));
                        format!("an undo still runs{}", who.unwrap_or_default())
                    }
                    LockError::Terminated => "hookmux got SIGTERM".to_owned(),
                    LockError::Failed(error) => error.to_string(),
                };
                let words = format!("the ledger can't be used: {words}");
                self.lock_error = Some(words.clone());
                Err(words)
            }
        }
    }

    /// Tells whether the call will run undos, if only hooks of earlier calls owe some.
    pub(crate) fn will_undo(&self) -> bool {
        match self.moment {
            Moment::Begins => !self.earlier.is_empty(),
            Moment::Ends => self.owes || !self.earlier.is_empty() || !self.ports.is_empty(),
            Moment::Arrives | Moment::Lives => false,
        }
    }

    /// Takes back what earlier lives owe, before the hooks of a new one run.
    pub(crate) fn undo_earlier(&mut self, tools: &mut UndoTools<'_>) {
        self.tell_wait(tools.execution, tools.observer);
        if self.moment == Moment::Begins {
            let entries = std::mem::take(&mut self.earlier);
            self.run(entries, tools, false);
        }
    }

    /// Enters a hook, before it starts.
    ///
    /// # Errors
    /// There is no room for its entry, or the ledger can't be used.
    pub(crate) fn enter(
        &mut self,
        call: &Call,
        execution: &Execution,
        entry: Entry,
    ) -> Result<EntryName, String> {
        self.take_lock(call, execution)?;
        let is_provisional = self.moment == Moment::Arrives;
        let name = EntryName::new(&entry.registration, entry.device.as_deref(), is_provisional);
        match self.ledger.begin(&name, entry) {
            Ok(()) => {
                self.entered.push(name.clone());
                Ok(name)
            }
            Err(error) => Err(format!("its undo can't be kept: {error}")),
        }
    }

    /// Returns what this life of the guest shares by a hook.
    pub(crate) fn share(
        &self,
        registration: &str,
        device: Option<&str>,
        execution: &Execution,
    ) -> Share {
        let name = EntryName::new(registration, device, self.moment == Moment::Arrives);
        let life = self.ledger.life_of(&name).unwrap_or_else(|| execution.id.clone());
        self.ledger.share(registration, &name, &life)
    }

    /// Tells whether a hook that can't be entered isn't started.
    pub(crate) fn is_gate(&self) -> bool {
        self.is_gate
    }

    /// Notes that a hook has succeeded.
    ///
    /// # Errors
    /// Its output can't be kept.
    pub(crate) fn done(&self, name: &EntryName, output: Vec<u8>) -> std::io::Result<()> {
        self.ledger.done(name, output)
    }

    /// Strikes a hook that failed, or was rolled back.
    pub(crate) fn strike(&self, name: &EntryName) {
        self.ledger.strike(name);
    }

    /// Returns whose lives end with this call.
    pub(crate) fn ending(&self) -> Ending {
        // the guest that a `migrate` is refused for may live
        let is_if_failed = self.ends_when_failed && self.moment != Moment::Arrives;
        if !self.is_real || !(is_if_failed || self.moment == Moment::Ends) {
            return Ending::default();
        }
        let all = self.ports.iter().chain([&self.ledger]);
        Ending::of(all, self.moment != Moment::Ends)
    }

    /// Returns where an entry is, for the program that takes over where this process dies.
    pub(crate) fn place_of(&self, name: &EntryName) -> (String, String) {
        (self.ledger.owner().directory().to_owned(), name.file())
    }

    /// Takes back what is owed at the end of a life, after the call's own hooks. Returns the undos of this call that
    /// failed.
    pub(crate) fn end(
        &mut self,
        call: &Call,
        end: CallEnd,
        tools: &mut UndoTools<'_>,
    ) -> Vec<HookFailure> {
        self.is_terminated = end.is_terminated;
        self.tell_wait(tools.execution, tools.observer);
        if self.ends_life(end.has_failed) {
            self.take_ports_back(tools);
            self.take_back(call, tools);
        }
        std::mem::take(&mut self.failures)
    }

    /// Releases the lock, and leaves nothing of it where nothing is owed.
    pub(crate) fn release(&mut self) {
        if let Some(lock) = self.lock.take() {
            self.ledger.release(lock);
        }
    }

    /// Does the same while hooks are switched off: it stays owed.
    pub(crate) fn end_bypassed(&mut self, call: &Call, execution: &Execution) {
        if !self.ends_life(false) {
            return;
        }
        let holder = LockHolder::new("a call (stopped)", &execution.id);
        for port in std::mem::take(&mut self.ports) {
            match port.lock(&holder, self.waits_until, &mut || false) {
                Ok(lock) => {
                    ending::leave_owed(&port, true);
                    port.release(lock);
                }
                Err(_) => ending::leave_owed(&port, false),
            }
        }
        if self.ledger.may_exist() {
            let is_locked = self.take_lock(call, execution).is_ok();
            ending::leave_owed(&self.ledger, is_locked);
        }
    }

    /// Tells whether the life is over with this call. Where it isn't, notes what others have to know of it.
    fn ends_life(&mut self, has_failed: bool) -> bool {
        if !self.ledger.may_exist() && self.ports.is_empty() {
            return false;
        }
        if !self.is_real {
            if !self.entered.is_empty() && self.moment == Moment::Arrives {
                self.note_arrival();
            }
            return !self.entered.is_empty() && self.is_failed_arrival(has_failed);
        }
        if self.moment == Moment::Ends || (self.ends_when_failed && has_failed) {
            return true;
        }
        match self.moment {
            Moment::Begins => self.ledger.note_life(),
            Moment::Arrives if self.lock.is_some() => self.note_arrival(),
            _ => {}
        }
        false
    }

    /// Tells whether a person's trial has failed after which no `prepare` comes.
    fn is_failed_arrival(&self, has_failed: bool) -> bool {
        has_failed && self.moment == Moment::Arrives
    }

    /// The wait for `prepare` counts from the end of this call.
    fn note_arrival(&mut self) {
        if self.ledger.entries().0.iter().any(Owed::is_provisional) {
            self.ledger.unmark(MarkKind::Arrived);
            // without it, the wait counts from the end of the hook
            let _ = self.ledger.mark(MarkKind::Arrived);
            self.has_work = true;
        }
    }

    fn take_back(&mut self, call: &Call, tools: &mut UndoTools<'_>) {
        if !self.ledger.may_exist() {
            return;
        }
        if let Err(words) = self.take_lock(call, tools.execution) {
            self.leave_to_worker(&self.ledger.clone(), &words, tools);
            return;
        }
        let mut entries = self.ledger.entries().0;
        // what waits is of a life that hasn't begun yet: the worker comes when its time is over
        self.has_work |= entries.iter().any(Owed::is_waiting);
        entries.retain(|owed| match self.moment {
            Moment::Ends => !owed.is_waiting(),
            // the guest may live, and a `migrate` to it was refused
            Moment::Arrives if self.is_real => owed.is_provisional(),
            // a person's trial leaves nothing of its own, and takes nothing else
            Moment::Arrives => owed.is_provisional() && self.entered.contains(&owed.name),
            // what an earlier life owes and failed to take back is tried at its own times
            Moment::Begins | Moment::Lives => !owed.is_over(),
        });
        if self.moment != Moment::Arrives {
            self.ledger.unmark(MarkKind::Begun);
        }
        self.run(entries, tools, self.moment != Moment::Ends);
        if self.moment == Moment::Ends {
            // what is left is told by its name
            self.ledger.unmark(MarkKind::Due);
        }
        self.ledger.remove_if_empty();
    }

    fn take_ports_back(&mut self, tools: &mut UndoTools<'_>) {
        let holder = LockHolder::new("a call (stopped)", &tools.execution.id);
        for port in std::mem::take(&mut self.ports) {
            let begun = Instant::now();
            let until = self.waits_until.min(begun + self.time_left);
            // the signal may have been read, or come now
            let is_terminated = self.is_terminated;
            let is_told_to_end = &mut || is_terminated || sys::is_pending(libc::SIGTERM);
            let lock = port.lock(&holder, until, is_told_to_end);
            self.time_left = self.time_left.saturating_sub(begun.elapsed());
            let lock = match lock {
                Ok(lock) => lock,
                Err(error) => {
                    let words = match error {
                        LockError::Terminated => "hookmux got SIGTERM".to_owned(),
                        LockError::TimedOut(_) => "an undo of a port still runs".to_owned(),
                        LockError::Failed(error) => format!("a port's lock: {error}"),
                    };
                    self.leave_to_worker(&port, &words, tools);
                    continue;
                }
            };
            let _ = port.settle();
            let (entries, _) = port.entries();
            self.run_in(port.clone(), entries, tools, false);
            port.release(lock);
        }
    }

    /// Leaves everything that an owner owes to the worker.
    fn leave_to_worker(&mut self, ledger: &OwnerLedger, words: &str, tools: &mut UndoTools<'_>) {
        self.has_work = true;
        if self.moment == Moment::Arrives {
            // it goes when its time is over; the guest that may run here has to keep its own
            return;
        }
        let words = match ledger.mark(MarkKind::Due) {
            Ok(()) => format!("{words}: what is owed is taken back in the background"),
            Err(error) => format!("{words}; that its life is over can't be noted: {error}"),
        };
        tools.observer.observe(tools.execution, &Notice::OwnError(&words));
    }

    fn run(&mut self, entries: Vec<Owed>, tools: &mut UndoTools<'_>, is_rollback: bool) {
        self.run_in(self.ledger.clone(), entries, tools, is_rollback);
    }

    /// Runs undos. Where that isn't possible they are left to the worker.
    fn run_in(
        &mut self,
        ledger: OwnerLedger,
        entries: Vec<Owed>,
        tools: &mut UndoTools<'_>,
        is_rollback: bool,
    ) {
        if entries.is_empty() {
            return;
        }
        let UndoTools { settings, user, execution, observer } = tools;
        let signals = &[nix::sys::signal::Signal::SIGTERM];
        let is_left = self.is_terminated && !is_rollback;
        let timeout = if is_left { Duration::ZERO } else { self.time_left };
        let begun = Instant::now();
        let result = Supervisor::new(signals).map(|mut supervisor| {
            if is_rollback {
                supervisor.ignore_termination();
            }
            let mut runner = UndoRunner {
                settings,
                user: *user,
                ledger: &ledger,
                supervisor: &mut supervisor,
                observer: *observer,
                execution,
                ends: begun + timeout,
                ignores_termination: is_rollback,
                hands_over: true,
            };
            let result = runner.run(entries);
            supervisor.pass_termination_on();
            let _ = supervisor.release_leftovers();
            result
        });
        self.time_left = self.time_left.saturating_sub(begun.elapsed());
        match result {
            Ok(UndoResult { left, failures, .. }) => {
                self.has_work |= left > 0;
                self.failures.extend(failures);
            }
            Err(error) => {
                self.leave_to_worker(&ledger, &format!("no undo can be run: {error}"), tools)
            }
        }
    }
}
