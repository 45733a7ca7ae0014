//! Runs of hooks, and what calls did that a person made.

use super::message::Message;
use super::shape::{object, words};
use super::value::Seconds;
use crate::record::form::{HookSummary, LeftRunning, RecordOutcome};

words! {
    /// How a hook's run ended:
    pub enum RunState {
        /// it succeeded
        Good = "good",
        /// it failed, or could not be run
        Failed = "failed",
        /// it was left to the queue, and runs on its own
        Queued = "queued",
        /// it isn't known: not over yet, or lost, or a word of another version's
        Unknown = "unknown",
    }
}

object! {
    /// A hook's run in short.
    pub struct RunHead {
        /// The hook
        hook: String,
        /// The event; null where it ran at a call
        event: Option<String>,
        /// How it ended
        state: RunState,
        /// Whether it was ended for want of time
        timed_out: bool,
        /// How long it took
        duration_s: Option<Seconds>,
    }

    /// A process.
    pub struct Process {
        /// Its number
        pid: i32,
        /// Its name
        name: String,
    }

    /// A hook's run.
    pub struct Run {
        ..head: RunHead,
        /// Of a device's event: the device
        device: Option<String>,
        /// 0, its exit status, 128 and a signal's number, 124 where its time was over, 125 to 127 where it couldn't be run; null where it isn't known
        status: Option<i32>,
        /// What happened, where it failed
        failure: Option<String>,
        /// What it printed
        stdout: Option<String>,
        /// What it complained of
        stderr: Option<String>,
        /// Whether libvirt's document was changed
        changed_document: bool,
        /// What it left running
        left_running: Vec<Process>,
        /// The queue's job, of a detached hook
        job: Option<String>,
        /// What was executed
        path: Option<String>,
    }

    /// What a call of a person's did.
    pub struct Ran {
        /// The execution that it is recorded as
        id: Option<String>,
        /// The exit status that libvirt would get
        status: i32,
        /// What libvirt would get on standard error
        stderr: String,
        /// The document that libvirt would be given in place of its own
        document: Option<String>,
        /// The hooks that ran
        runs: Vec<Run>,
        /// What else there is to say
        notes: Vec<Message>,
    }

    /// What a retry did.
    pub struct Retried {
        ..ran: Ran,
        /// The id of the execution that was retried
        parent: String,
        /// The hooks that aren't there any more
        missing: Vec<String>,
    }
}

impl From<RecordOutcome> for RunState {
    fn from(outcome: RecordOutcome) -> RunState {
        match outcome {
            RecordOutcome::Success => RunState::Good,
            RecordOutcome::Failure | RecordOutcome::Timeout => RunState::Failed,
            RecordOutcome::Queued => RunState::Queued,
            RecordOutcome::Bypassed | RecordOutcome::Unknown => RunState::Unknown,
        }
    }
}

impl From<&HookSummary> for RunHead {
    fn from(hook: &HookSummary) -> RunHead {
        RunHead {
            hook: hook.hook.clone(),
            event: hook.event.clone(),
            state: hook.outcome.into(),
            timed_out: hook.outcome == RecordOutcome::Timeout,
            duration_s: hook.duration_us.map(Seconds::of_micros),
        }
    }
}

impl From<&LeftRunning> for Process {
    fn from(left: &LeftRunning) -> Process {
        Process { pid: left.pid, name: left.name.clone() }
    }
}
