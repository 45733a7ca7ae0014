//! What a call does with hooks.

use super::message::Message;
use super::shape::{object, words};
use super::value::{PathText, Seconds, Word};
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
        /// Its time limit; null where only the call has one
        timeout_s: Option<Seconds>,
        /// Whether what it sets up is taken back at the end of its guest, network or port
        undo: bool,
    }

    /// What a call would do.
    pub struct Plan {
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
        /// The hooks, in their order
        steps: Vec<Step>,
        /// The hooks whose undo the call runs, in this order; before its own hooks at the beginning of a life, behind them at the end
        undos: Vec<String>,
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
