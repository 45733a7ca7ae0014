//! Runs of hooks, and the results of `run` and `retry`.

use super::change::ChangeSummary;
use super::message::Message;
use super::shape::{object, words};
use super::value::Seconds;
use crate::record::form::{HookSummary, LeftRunning, RecordOutcome};

words! {
    /// How a hook's run ended:
    pub enum RunState {
        /// it succeeded
        Good = "good",
        /// it failed, or couldn't be started
        Failed = "failed",
        /// it was queued, and runs on its own
        Queued = "queued",
        /// it runs at this moment
        Running = "running",
        /// unknown: not begun yet, or lost, or a word of another version
        Unknown = "unknown",
    }
}

words! {
    /// By which registration a retry runs a hook:
    pub enum RegistrationUsed {
        /// by the one that is recorded
        Recorded = "recorded",
        /// by today's
        Today = "today",
    }

    /// What became of a registration since:
    pub enum RegistrationNow {
        /// it is the same
        Same = "same",
        /// its text is another
        Changed = "changed",
        /// it is disabled, or another file or link stands in its place
        Disabled = "disabled",
        /// there is none of this name
        Gone = "gone",
        /// it can't be used: it is wrong, can't be read, or isn't trusted
        Unusable = "unusable",
        /// unknown: today's is used
        Unknown = "unknown",
    }
}

object! {
    /// A summary of a hook's run.
    pub struct RunHead {
        /// The hook
        hook: String,
        /// The event; null where it ran at a call
        event: Option<String>,
        /// How it ended
        state: RunState,
        /// Whether it was ended because of a time limit
        timed_out: bool,
        /// The time from the beginning of the call to its start; null where it wasn't started, in the outputs of `run` and `retry`, and in lists of what was recorded by 0.2.0 and before
        start_s: Option<Seconds>,
        /// How long it took
        duration_s: Option<Seconds>,
        /// 0, its exit status, 128 and a signal's number, 124 where its time limit ended it, 125 to 127 where it couldn't be run; null where it is unknown
        status: Option<i32>,
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
        /// The device, for an event of a device
        device: Option<String>,
        /// What happened, where it failed
        failure: Option<String>,
        /// Its standard output
        stdout: Option<String>,
        /// Its standard error
        stderr: Option<String>,
        /// Whether libvirt's document was changed
        changed_document: bool,
        /// Processes that it left running
        left_running: Vec<Process>,
        /// The job in the queue, for a detached hook
        job: Option<String>,
        /// What was executed
        path: Option<String>,
    }

    /// The result of a call that a command made.
    pub struct Ran {
        /// The id of its execution
        id: Option<String>,
        /// The exit status that libvirt would get
        status: i32,
        /// What libvirt would get on standard error
        stderr: String,
        /// The document that libvirt would be given in place of its own
        document_after: Option<String>,
        /// The hooks that ran
        runs: Vec<Run>,
        /// Notes
        notes: Vec<Message>,
    }

    /// The result of a retry.
    pub struct Retried {
        ..ran: Ran,
        /// The id of the execution that was retried
        parent: String,
        /// The hooks that are gone
        missing: Vec<String>,
        /// The registrations by which hooks were run
        registrations: Vec<RetriedRegistration>,
        /// The programs that aren't those that ran then
        changed_programs: Vec<ChangedProgram>,
        /// The hooks that the retry is about, in the order of events and weights; with --dry-run they would run
        hooks: Vec<String>,
        ..=summary: ChangeSummary,
    }

    /// The registration of a hook that was retried.
    pub struct RetriedRegistration {
        /// The hook
        hook: String,
        /// The file
        registration: Option<String>,
        /// Which one was used
        used: RegistrationUsed,
        /// What became of it since
        now: RegistrationNow,
    }

    /// A program that isn't the one that ran then.
    pub struct ChangedProgram {
        /// The hook
        hook: String,
        /// What ran then
        path_then: String,
        /// What runs now
        path_now: String,
        /// Its digest then; null where it wasn't recorded
        sha256_then: Option<String>,
        /// Its digest now; null where it can't be read, or is larger than 256 KiB
        sha256_now: Option<String>,
    }
}

impl Ran {
    /// The result of a command that ran nothing.
    pub(crate) fn nothing(notes: Vec<Message>) -> Ran {
        Ran {
            id: None,
            status: 0,
            stderr: String::new(),
            document_after: None,
            runs: Vec::new(),
            notes,
        }
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
            start_s: hook.start_us.map(Seconds::of_micros),
            duration_s: hook.duration_us.map(Seconds::of_micros),
            // records of 0.1.0 have it in their second line
            status: hook.status.or((hook.outcome == RecordOutcome::Success).then_some(0)),
        }
    }
}

impl From<&LeftRunning> for Process {
    fn from(left: &LeftRunning) -> Process {
        Process { pid: left.pid, name: left.name.clone() }
    }
}
