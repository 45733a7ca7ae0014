//! The ledger in one call: which entries the call finds, which it writes, and when it takes back what is
//! owed.

use std::time::{Duration, Instant};

use super::entry::{Entry, EntryName};
use super::ledger::{Ledger, Owed, OwnerLedger, UnreadableEntry};
use super::moment::{self, Moment};
use super::owner::Owner;
use super::runner::{UndoResult, UndoRunner};
use super::shared::Share;
use crate::config::Settings;
use crate::libvirt::Call;
use crate::machine::sys;
use crate::memory::guest::Guest;
use crate::observer::Observer;
use crate::occasion::{Execution, Occasion};
use crate::process::supervise::Supervisor;
use crate::state::locks::{HookLock, LockError, LockHolder};

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
    /// What earlier lives owe.
    earlier: Vec<Owed>,
    /// Whether the present life owes something, or did when the call began.
    owes: bool,
    /// Whether hookmux was told to end, so that the worker has to do what isn't a rollback.
    is_terminated: bool,
    /// Whether the worker has something to do.
    pub has_work: bool,
}

/// How a call has ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CallEnd {
    pub has_failed: bool,
    /// Whether hookmux was told to end.
    pub is_terminated: bool,
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
        let ports = if moment == Moment::Ends && occasion.is_real() {
            let owners = ledger.owners().unwrap_or_default();
            let ports = owners.iter().filter(|other| other.is_port_of(&owner));
            ports.map(|port| ledger.of(port)).collect()
        } else {
            Vec::new()
        };
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
            earlier: Vec::new(),
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
                let is_waiting = |owed: &Owed| owed.name.is_provisional && !owed.is_expired();
                entries.retain(|owed| !is_waiting(owed));
                entries
            }
            Moment::Ends => {
                let owners = ledger.owners().unwrap_or_default();
                let ports = owners.iter().filter(|other| other.is_port_of(&owner));
                ports.flat_map(|port| ledger.of(port).entries().0).chain(entries).collect()
            }
            Moment::Arrives | Moment::Lives => Vec::new(),
        }
    }

    /// Looks at the entries, before any hook runs. Returns what has to be told.
    pub(crate) fn begin(
        &mut self,
        call: &Call,
        settings: &Settings,
        execution: &Execution,
    ) -> Vec<String> {
        if !self.is_real || (!self.ledger.may_exist() && self.ports.is_empty()) {
            return Vec::new();
        }
        self.ledger.note_call(&execution.id);
        if self.moment == Moment::Lives {
            return Vec::new();
        }
        if let Err(words) = self.take_lock(call, settings, execution) {
            return vec![words];
        }
        let (entries, unreadable) = self.ledger.entries();
        let mut words: Vec<String> = unreadable.iter().map(UnreadableEntry::words).collect();
        for mut owed in entries {
            if self.moment == Moment::Arrives && owed.is_expired() {
                owed.entry.is_due = true;
                let _ = self.ledger.keep(&owed);
                self.has_work = true;
            }
            let is_waiting = owed.name.is_provisional && !owed.is_expired();
            let moved = match self.moment {
                _ if owed.name.is_over() => Ok(()),
                Moment::Begins if is_waiting => self.ledger.make_firm(&mut owed),
                Moment::Arrives if is_waiting => Ok(()),
                Moment::Begins | Moment::Arrives => self.ledger.end(&mut owed),
                Moment::Ends | Moment::Lives => Ok(()),
            };
            if let Err(error) = moved {
                words.push(format!("the entry of {} can't be renamed: {error}", owed.entry.hook));
            }
            match owed.name.is_over() {
                true => self.earlier.push(owed),
                false => self.owes = true,
            }
        }
        words
    }

    /// Takes the lock before any other lock of a hook. Where that fails, `enter` tells it.
    pub(crate) fn lock_first(&mut self, call: &Call, settings: &Settings, execution: &Execution) {
        let _ = self.take_lock(call, settings, execution);
    }

    fn take_lock(
        &mut self,
        call: &Call,
        settings: &Settings,
        execution: &Execution,
    ) -> Result<(), String> {
        if self.lock.is_some() {
            return Ok(());
        }
        if let Some(words) = &self.lock_error {
            return Err(words.clone());
        }
        let operation = call.operation_name().to_string_lossy();
        let holder = LockHolder::new(&format!("a call ({operation})"), &execution.id);
        let until = Instant::now() + settings.total_timeout(call);
        let is_terminated = &mut || sys::is_pending(libc::SIGTERM);
        match self.ledger.lock(&holder, until, is_terminated) {
            Ok(lock) => {
                self.lock = Some(lock);
                Ok(())
            }
            Err(error) => {
                let words = match error {
                    LockError::TimedOut(holder) => {
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
    pub(crate) fn undo_earlier(&mut self, call: &Call, tools: &mut UndoTools<'_>) {
        if self.moment == Moment::Begins {
            let entries = std::mem::take(&mut self.earlier);
            self.run(call, entries, tools, false);
        }
    }

    /// Enters a hook, before it starts.
    ///
    /// # Errors
    /// There is no room for its entry, or the ledger can't be used.
    pub(crate) fn enter(
        &mut self,
        (call, settings): (&Call, &Settings),
        execution: &Execution,
        entry: Entry,
    ) -> Result<EntryName, String> {
        self.take_lock(call, settings, execution)?;
        let is_provisional = self.moment == Moment::Arrives;
        let name = EntryName::new(&entry.registration, entry.device.as_deref(), is_provisional);
        match self.ledger.begin(&name, entry) {
            Ok(()) => Ok(name),
            Err(error) => Err(format!("its undo can't be kept: {error}")),
        }
    }

    /// Returns what the guest of this call shares by a hook.
    pub(crate) fn share(&self, registration: &str, device: Option<&str>) -> Share {
        let name = EntryName::new(registration, device, self.moment == Moment::Arrives);
        self.ledger.share(registration, &name)
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

    /// Returns where an entry is, for the program that takes over where this process dies.
    pub(crate) fn place_of(&self, name: &EntryName) -> (String, String) {
        (self.ledger.owner().directory().to_owned(), name.file())
    }

    /// Takes back what is owed at the end of a life, after the call's own hooks.
    pub(crate) fn end(&mut self, call: &Call, end: CallEnd, tools: &mut UndoTools<'_>) {
        self.is_terminated = end.is_terminated;
        self.finish(call, end.has_failed, Some(tools));
    }

    /// Does the same while hooks are switched off: it stays owed.
    pub(crate) fn end_bypassed(&mut self, call: &Call) {
        self.finish(call, false, None);
    }

    fn finish(&mut self, call: &Call, has_failed: bool, tools: Option<&mut UndoTools<'_>>) {
        let is_last = self.moment == Moment::Ends || (self.ends_when_failed && has_failed);
        if !self.is_real || !self.ledger.may_exist() && self.ports.is_empty() {
            return;
        }
        if !is_last {
            let is_waiting = |owed: &Owed| owed.name.is_provisional;
            self.has_work |=
                self.moment == Moment::Arrives && self.ledger.entries().0.iter().any(is_waiting);
            return;
        }
        if self.lock_error.is_some() {
            return;
        }
        let (mut entries, _) = self.ledger.entries();
        // what an earlier life owes and failed to take back is tried at its own times
        if self.moment != Moment::Ends {
            entries.retain(|owed| !owed.name.is_over());
        }
        let Some(tools) = tools else {
            for owed in &mut entries {
                let _ = self.ledger.end(owed);
            }
            return;
        };
        let ports = std::mem::take(&mut self.ports);
        for port in ports {
            self.run_port(call, &port, tools);
        }
        self.run(call, entries, tools, self.moment != Moment::Ends);
        self.ledger.remove_if_empty();
    }

    fn run_port(&mut self, call: &Call, port: &OwnerLedger, tools: &mut UndoTools<'_>) {
        let holder = LockHolder::new("a call (stopped)", &tools.execution.id);
        let until = Instant::now() + moment::timeout(call.driver);
        let Ok(_lock) = port.lock(&holder, until, &mut || false) else { return };
        let (entries, _) = port.entries();
        self.run_in(call, port.clone(), entries, tools, false);
        port.remove_if_empty();
    }

    fn run(
        &mut self,
        call: &Call,
        entries: Vec<Owed>,
        tools: &mut UndoTools<'_>,
        is_rollback: bool,
    ) {
        self.run_in(call, self.ledger.clone(), entries, tools, is_rollback);
    }

    /// Runs undos. Where that isn't possible they are left to the worker.
    fn run_in(
        &mut self,
        call: &Call,
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
        let timeout = if is_left { Duration::ZERO } else { moment::timeout(call.driver) };
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
                ends: Instant::now() + timeout,
                ignores_termination: is_rollback,
                hands_over: true,
            };
            let result = runner.run(entries);
            supervisor.pass_termination_on();
            let _ = supervisor.release_leftovers();
            result
        });
        match result {
            Ok(UndoResult { left, .. }) => self.has_work |= left > 0,
            Err(_) => self.has_work = true,
        }
    }
}
