//! All calls of a guest's life, or of a part of it: each planned, and what a failure leads to.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::Path;

use super::actions::{Action, Course, Piece};
use super::consequence;
use super::planned_call::{CallSpec, CallUndos, PlanHost, PlannedCall};
use super::ports::{self, Port};
use super::release_reason;
use crate::cli::guests::Guests;
use crate::cli::install::libvirt_version::{self, LibvirtVersion};
use crate::document::facts::DocumentFacts;
use crate::event::Origin;
use crate::libvirt::{Call, Document, Driver, Operation, operation};
use crate::memory;
use crate::memory::guest::HeldFailure;
use crate::occasion::Occasion;
use crate::undo::moment::Moment;

/// A guest or a network whose life is planned.
pub(super) struct Subject {
    pub driver: Driver,
    pub name: OsString,
    /// The document by which it is started.
    pub document: Document,
    /// That of the running guest.
    pub running_document: Document,
    /// Whether it runs; `None` if that isn't known.
    pub is_running: Option<bool>,
    /// Whether libvirt has a managed save of it.
    pub is_saved: bool,
    /// Its origin, where a person gives one.
    pub origin: Option<Origin>,
}

/// A guest's life, with what was found out about the guest.
pub(super) struct PlannedLife {
    pub subject: Subject,
    pub facts: DocumentFacts,
    /// Where the document is from.
    pub source: Source,
    /// The hooks of `--fail`.
    pub fail: Vec<String>,
    pub parts: Vec<PlannedAction>,
    pub notes: Vec<String>,
}

/// Where a document is from.
pub(super) struct Source {
    /// The file, if there is one.
    pub file: Option<String>,
    /// Why there is none.
    pub why_none: String,
}

/// A part of a life.
pub(super) struct PlannedAction {
    pub action: Action,
    pub calls: Vec<CallOfAction>,
    /// Why libvirt makes no call.
    pub none: Option<&'static str>,
    /// What becomes of the guest if a call fails.
    pub outcome: Option<&'static str>,
}

/// A call with its place in the life.
pub(super) struct CallOfAction {
    pub planned: PlannedCall,
    /// Whether libvirt makes it only because an earlier one failed.
    pub is_after_failure: bool,
    /// Whether it fails only because of `--fail`.
    pub is_asked: bool,
    /// The hooks whose undo it runs.
    pub undos: CallUndos,
}

impl CallOfAction {
    /// Returns libvirt's operation.
    pub(super) fn operation(&self) -> &str {
        self.planned.call.operation_name().to_str().unwrap_or_default()
    }
}

impl PlannedAction {
    /// Tells whether a call fails that wouldn't with other words of the command.
    pub(super) fn has_own_failure(&self) -> bool {
        self.calls
            .iter()
            .any(|call| call.planned.has_own_failure && !call.is_after_failure && !call.is_asked)
    }

    pub(super) fn would_fail(&self) -> bool {
        self.calls.iter().any(|call| call.planned.would_fail() && !call.is_after_failure)
    }
}

/// What hooks have set up, each with its owner.
#[derive(Clone, Debug, Default)]
struct SetUp(Vec<(SetUpOwner, String)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SetUpOwner {
    Object,
    Port(usize),
}

impl SetUp {
    fn add(&mut self, owner: SetUpOwner, hooks: Vec<String>) {
        for hook in hooks {
            let entry = (owner, hook);
            // a second run in one life keeps the place of the first
            if !self.0.contains(&entry) {
                self.0.push(entry);
            }
        }
    }

    /// Takes out what an owner has to take back, in this order.
    fn take(&mut self, owner: SetUpOwner) -> Vec<String> {
        let (taken, kept) = std::mem::take(&mut self.0).into_iter().partition(|it| it.0 == owner);
        self.0 = kept;
        let taken: Vec<(SetUpOwner, String)> = taken;
        taken.into_iter().rev().map(|(_, hook)| hook).collect()
    }
}

/// Plans a life.
pub(super) struct LifePlanner<'a> {
    host: &'a PlanHost<'a>,
    subject: &'a Subject,
    guests: &'a Guests,
    version: Option<LibvirtVersion>,
}

/// A part of the life while it is planned.
struct Progress {
    set_up: SetUp,
    ports: Vec<(Port, bool)>,
    held: Option<HeldFailure>,
    /// Whether a call has failed, and libvirt takes back what it did.
    is_over: bool,
    /// Whether the guest has been stopped in this part.
    is_stopped: bool,
    result: PlannedAction,
}

/// Which port a call is about.
#[derive(Clone, Copy)]
enum Target {
    Object,
    Port(usize),
}

impl<'a> LifePlanner<'a> {
    /// `root` is where libvirt's programs are.
    pub(super) fn new(
        host: &'a PlanHost<'a>,
        subject: &'a Subject,
        guests: &'a Guests,
        root: &Path,
    ) -> LifePlanner<'a> {
        LifePlanner { host, subject, guests, version: libvirt_version::of_host_below(root) }
    }

    /// Plans these parts.
    ///
    /// # Errors
    /// Those of [`PlannedCall::of`].
    pub(super) fn plan(&self, actions: &[Action]) -> anyhow::Result<Vec<PlannedAction>> {
        // what a life that hasn't begun will have set up; of one that has, the ledger knows it
        let needs_start = actions.iter().any(|action| action.needs_running()) && !self.is_running();
        let set_up = match needs_start {
            true => self.action(self.usual_start(), SetUp::default())?.set_up,
            false => SetUp::default(),
        };
        let of = |action: &Action| {
            let set_up = if action.needs_running() { set_up.clone() } else { SetUp::default() };
            Ok(self.action(*action, set_up)?.result)
        };
        actions.iter().map(of).collect()
    }

    fn is_running(&self) -> bool {
        self.subject.is_running == Some(true)
    }

    /// A guest with a managed save is restored when it is started.
    fn usual_start(&self) -> Action {
        if self.subject.is_saved { Action::Restore } else { Action::Start }
    }

    fn action(&self, action: Action, set_up: SetUp) -> anyhow::Result<Progress> {
        let course = match action {
            Action::Start if self.subject.is_saved => Action::Restore.course(self.subject.driver),
            _ => action.course(self.subject.driver),
        };
        let (pieces, none) = match course {
            Course::Calls(pieces) => (pieces, None),
            Course::None(why) => (Vec::new(), Some(why)),
            Course::Unknown => (Vec::new(), Some("such guests can't do that")),
        };
        let of_running = action.needs_running();
        let ports = ports::of(self.document(of_running)).into_iter();
        let mut progress = Progress {
            set_up,
            ports: ports.map(|port| (port, of_running)).collect(),
            held: self.held(action),
            is_over: false,
            is_stopped: false,
            result: PlannedAction { action, calls: Vec::new(), none, outcome: None },
        };
        let mut pieces: VecDeque<Piece> = pieces.into();
        while let Some(piece) = pieces.pop_front() {
            match piece {
                Piece::Call(name, reason) => {
                    self.step(&mut progress, &mut pieces, Target::Object, name, reason)?;
                }
                Piece::Ports => {
                    for index in 0..progress.ports.len() {
                        if !progress.is_over {
                            let target = Target::Port(index);
                            self.step(&mut progress, &mut pieces, target, "port-created", "")?;
                        }
                    }
                }
                Piece::PortsGone => {
                    for index in 0..progress.ports.len() {
                        if progress.ports.get(index).is_some_and(|(_, is_there)| *is_there) {
                            let target = Target::Port(index);
                            self.step(&mut progress, &mut pieces, target, "port-deleted", "")?;
                        }
                    }
                }
            }
        }
        Ok(progress)
    }

    /// Plans one call, and what follows from it.
    fn step(
        &self,
        progress: &mut Progress,
        pieces: &mut VecDeque<Piece>,
        target: Target,
        name: &str,
        reason: &'static str,
    ) -> anyhow::Result<()> {
        let action = progress.result.action;
        let call = self.call(progress, target, name, reason);
        let mut is_asked = false;
        let held = match call.operation() {
            Operation::Prepare => progress.held.take(),
            _ => None,
        };
        // a restore that failed before it is told here
        if held.is_some() {
            is_asked = progress.result.calls.iter().any(|call| {
                call.planned.call.operation() == Operation::Restore && !call.planned.has_own_failure
            });
        }
        let document = match target {
            Target::Object => self.document(action.needs_running() && !progress.is_stopped).clone(),
            Target::Port(index) => match progress.ports.get(index) {
                Some((port, _)) => port.document(self.guests),
                None => Document::Absent,
            },
        };
        let origin = match target {
            Target::Object => self.origin(action, progress.is_stopped),
            Target::Port(_) => None,
        };
        let planned = PlannedCall::of(self.host, CallSpec { call, document, origin, held })?;
        let is_failure = planned.would_fail();
        let consequence = consequence::of(&planned.call, Some(action)).filter(|_| is_failure);
        let owner = match target {
            Target::Object => SetUpOwner::Object,
            Target::Port(index) => SetUpOwner::Port(index),
        };
        progress.set_up.add(owner, planned.set_up());
        let undos = CallUndos {
            first: match Moment::of(&planned.call) {
                // where an end comes before it, that has taken everything back
                Moment::Begins if !action.needs_running() => planned.owed.clone(),
                Moment::Begins | Moment::Arrives | Moment::Lives | Moment::Ends => Vec::new(),
            },
            last: match Moment::of(&planned.call) {
                Moment::Ends => self.taken_back(progress, owner, &planned),
                _ if planned.undoes_its_own() => progress.set_up.take(owner),
                Moment::Begins | Moment::Arrives | Moment::Lives => Vec::new(),
            },
        };
        if let (Target::Port(index), false) = (target, is_failure) {
            if let Some((_, is_there)) = progress.ports.get_mut(index) {
                *is_there = name == "port-created";
            }
        }
        progress.is_stopped |= planned.call.operation() == Operation::Release;
        let is_after_failure = progress.is_over;
        if planned.call.operation() == Operation::Restore && is_failure {
            let (status, words) = (planned.status, planned.stderr.clone());
            progress.held = Some(HeldFailure { status, words });
        }
        progress.result.calls.push(CallOfAction { planned, is_after_failure, is_asked, undos });
        if let Some(consequence) = consequence.filter(|_| !is_after_failure) {
            if !consequence.goes_on {
                progress.result.outcome = Some(consequence.words);
                progress.is_over = true;
                *pieces = consequence.next.into();
            }
        }
        Ok(())
    }

    /// Returns what a call at the end of a life takes back.
    fn taken_back(
        &self,
        progress: &mut Progress,
        owner: SetUpOwner,
        planned: &PlannedCall,
    ) -> Vec<String> {
        let is_of_now =
            self.is_running() && progress.result.action.needs_running() && !progress.is_stopped;
        let owed = planned.owed.iter().filter(|_| is_of_now).cloned();
        owed.chain(progress.set_up.take(owner)).collect()
    }

    fn call(&self, progress: &Progress, target: Target, name: &str, reason: &'static str) -> Call {
        let (driver, object) = match target {
            Target::Object => (self.subject.driver, self.subject.name.clone()),
            Target::Port(index) => {
                let network = progress.ports.get(index).map(|(port, _)| port.network.clone());
                (Driver::Network, network.unwrap_or_default().into())
            }
        };
        let sub = operation::TABLE
            .iter()
            .find(|row| row.drivers.contains(&driver) && row.name == name)
            .and_then(|row| row.sub)
            .unwrap_or("-");
        let extra = release_reason::given(reason, driver, self.version).unwrap_or("-");
        Call::new(driver, vec![object, name.into(), sub.into(), extra.into()])
    }

    fn document(&self, of_running: bool) -> &Document {
        match of_running && self.is_running() {
            true => &self.subject.running_document,
            false => &self.subject.document,
        }
    }

    /// Returns how the guest came to run, at a call of this part.
    fn origin(&self, action: Action, is_stopped: bool) -> Option<Origin> {
        if !self.subject.driver.is_guest() {
            return None;
        }
        Some(match action {
            Action::Start if self.subject.is_saved => Origin::Restore,
            Action::Start | Action::Restore | Action::MigrateIn => action.origin(),
            _ if is_stopped => Origin::Fresh,
            _ => self.subject.origin.unwrap_or_else(|| self.remembered_origin()),
        })
    }

    /// Returns the origin that hookmux remembers; a guest that doesn't run will be started.
    fn remembered_origin(&self) -> Origin {
        let call = self.call_of_object("stopped");
        let facts = DocumentFacts::of_head(self.document(true).clone());
        let settings = &self.host.loaded.settings;
        let occasion = Occasion::new(&call, settings, &self.host.surroundings, facts);
        let guest = occasion.guest();
        match guest.filter(|guest| guest.is_remembered()) {
            Some(guest) => guest.origin(),
            None if self.is_running() => Origin::Unknown,
            None => self.usual_start().origin(),
        }
    }

    /// Returns a failure of a restore that the next `prepare` has to report.
    fn held(&self, action: Action) -> Option<HeldFailure> {
        // a restore or a migration comes before `prepare`, and replaces it
        let is_next = action == Action::Start && !self.subject.is_saved;
        if !is_next || !self.subject.driver.is_guest() || self.subject.origin.is_some() {
            return None;
        }
        let call = self.call_of_object("prepare");
        let facts = DocumentFacts::of_head(self.subject.document.clone());
        let settings = &self.host.loaded.settings;
        let occasion = Occasion::new(&call, settings, &self.host.surroundings, facts);
        memory::preview(&call, occasion.guest().as_ref(), None).held
    }

    fn call_of_object(&self, name: &str) -> Call {
        let words = vec![self.subject.name.clone(), name.into(), "-".into(), "-".into()];
        Call::new(self.subject.driver, words)
    }
}
