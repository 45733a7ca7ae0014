//! What a call does with hooks.

use super::hook::LastRun;
use super::message::Message;
use super::shape::{object, words};
use super::value::{PathText, Seconds, Word};
use crate::cli::plan::actions::Action;
use crate::event::Origin;
use crate::hook::{HookSource, Style};
use crate::libvirt::{Class, Driver};
use crate::observer::{PlanDecision, PlanEntry};

words! {
    /// What a call does with a hook:
    pub enum PlanState {
        /// it runs
        Runs = "runs",
        /// it counts as failed, and doesn't run
        Fails = "fails",
        /// it doesn't belong to the call
        NotRun = "not run",
        /// it would have run, but something before it ended the call
        Stopped = "stopped",
        /// a word of another version
        Unknown = "unknown",
    }
}

object! {
    /// What a call does with a hook.
    pub struct PlannedHook {
        /// The hook
        hook: String,
        /// The event; null where it runs at a call
        event: Option<String>,
        /// The device, for an event of a device
        device: Option<String>,
        /// What the call does with it
        state: PlanState,
        /// Why it doesn't run, or fails
        reason: Option<String>,
    }

    /// A hook, and whether the call runs it.
    pub struct Step {
        ..planned: PlannedHook,
        /// Its position in the call, from 1; null where it doesn't run
        order: Option<usize>,
        /// What is executed
        path: PathText,
        /// How it is called
        style: Word<Style>,
        /// Where it was found
        source: Word<HookSource>,
        /// The file that registers it; null for a script
        registration: Option<PathText>,
        /// How a registered hook says whether it succeeded: `exit-status` or `status-line`; null for a script
        result: Option<String>,
        /// Its time limit; null where only the call has one
        timeout_s: Option<Seconds>,
        /// Whether what it sets up is taken back at the end of its guest, network or port
        undo: bool,
        /// Whether it runs after libvirt has its answer
        detached: bool,
        /// Its last run for this guest or network, if one of the newest 1000 records has it
        last: Option<LastRun>,
    }

    /// An event that belongs to a call.
    pub struct PlannedEvent {
        /// The event
        event: String,
        /// Whether it fires
        fires: bool,
        /// Why it doesn't
        reason: Option<String>,
    }

    /// What a call would do.
    pub struct PlannedCall {
        /// libvirt's driver
        driver: Word<Driver>,
        /// The guest or the network
        object: String,
        /// libvirt's operation
        operation: String,
        /// libvirt's sub-operation
        sub_operation: String,
        /// libvirt's extra argument
        extra: String,
        /// All of libvirt's arguments
        arguments: Vec<String>,
        /// What a failure means: `gate`: the operation is stopped; `live`: it isn't passed on; `notify`: libvirt logs it
        class: Word<Class>,
        /// Whether libvirt takes the document that hooks made
        filter: bool,
        /// How the guest came to run; null for networks and the daemon
        origin: Option<Word<Origin>>,
        /// Whether libvirt would be told of a failure
        would_fail: bool,
        /// The limit of the call
        total_timeout_s: Seconds,
        /// The events of the call, in their order
        events: Vec<PlannedEvent>,
        /// The hooks, in their order
        steps: Vec<Step>,
        /// The hooks that are rolled back because the call fails, in this order
        rollbacks: Vec<String>,
        /// The hooks whose undo the call runs, in this order
        undos: Vec<String>,
        /// Those of `undos` that run before the call's own hooks, because an earlier life still owes them; the others run behind them
        undos_first: Vec<String>,
        /// The exit status that libvirt would get
        status: i32,
        /// What libvirt would get on standard error
        stderr: String,
        /// What libvirt does because the call fails; null where it does nothing
        outcome: Option<String>,
        /// What else there is to say
        notes: Vec<Message>,
    }

    /// What a call would do.
    pub struct Plan {
        ..call: PlannedCall,
    }

    /// A call of a guest's life.
    pub struct LifeCall {
        ..call: PlannedCall,
        /// Whether libvirt makes it only because an earlier one fails
        after_failure: bool,
    }

    /// A part of a guest's life.
    pub struct LifePart {
        /// What is done with the guest
        action: Word<Action>,
        /// The same, for people
        what: &'static str,
        /// libvirt's calls, in their order: those for the guest, and those for the networks that it is connected to
        calls: Vec<LifeCall>,
        /// Why libvirt makes no call
        reason: Option<&'static str>,
        /// Whether one of the calls would fail
        would_fail: bool,
        /// What becomes of the guest because of that
        outcome: Option<&'static str>,
    }

    /// A guest's whole life, or a part of it.
    pub struct Life {
        /// libvirt's driver
        driver: Word<Driver>,
        /// The guest or the network
        object: String,
        /// The guest's or the network's
        uuid: Option<String>,
        /// The file with the document by which conditions were judged: libvirt's, or that of --xml; null where there is none
        document: Option<String>,
        /// Whether the guest runs; null where that isn't known
        running: Option<bool>,
        /// Whether libvirt has a managed save of it: then its start is a restore
        managed_save: bool,
        /// The networks of its interfaces
        networks: Vec<String>,
        /// The hooks that were assumed to fail
        fail: Vec<String>,
        /// Whether a call would fail
        would_fail: bool,
        /// The parts: all of them, or what was asked for
        parts: Vec<LifePart>,
        /// What else there is to say
        notes: Vec<Message>,
    }
}

impl From<PlanDecision> for PlanState {
    fn from(decision: PlanDecision) -> PlanState {
        match decision {
            PlanDecision::Run => PlanState::Runs,
            PlanDecision::Fail => PlanState::Fails,
            PlanDecision::Out => PlanState::NotRun,
            PlanDecision::Stopped => PlanState::Stopped,
            PlanDecision::Unknown => PlanState::Unknown,
        }
    }
}

impl From<&PlanEntry> for PlannedHook {
    fn from(planned: &PlanEntry) -> PlannedHook {
        PlannedHook {
            hook: planned.hook.clone(),
            event: planned.event.clone(),
            device: planned.device.clone(),
            state: planned.decision.into(),
            reason: planned.reason.clone(),
        }
    }
}
