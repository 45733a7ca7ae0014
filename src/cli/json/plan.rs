//! What becomes of hooks at a call.

use super::message::Message;
use super::shape::{object, words};
use super::value::{Place, Seconds, Word};
use crate::event::Origin;
use crate::hook::{HookSource, Style};
use crate::libvirt::{Class, Driver};
use crate::observer::{PlanDecision, PlanEntry};

words! {
    /// What becomes of a hook at a call:
    pub enum PlanState {
        /// it runs
        Runs = "runs",
        /// it counts as failed, and isn't run
        Fails = "fails",
        /// it has no part in the call
        NotRun = "not run",
        /// it would have run, and something before it ended the call
        Stopped = "stopped",
        /// a word of another version's
        Unknown = "unknown",
    }
}

object! {
    /// What becomes of a hook at a call.
    pub struct PlannedHook {
        /// The hook
        hook: String,
        /// The event; null where it runs at a call
        event: Option<String>,
        /// Of a device's event: the device
        device: Option<String>,
        /// What becomes of it
        state: PlanState,
        /// Why it doesn't run, or fails
        reason: Option<String>,
    }

    /// A hook that has a part in a call, or hasn't.
    pub struct Step {
        ..planned: PlannedHook,
        /// Its turn in the call, from 1; null where it doesn't run
        order: Option<usize>,
        /// What is executed
        path: Place,
        /// How it is called
        style: Word<Style>,
        /// Where it was found
        source: Word<HookSource>,
        /// The file that registers it; null for a script
        registration: Option<Place>,
        /// Its limit; null where it has none but the call's
        timeout_s: Option<Seconds>,
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
