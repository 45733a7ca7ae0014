//! Summaries of executions: calls that had hooks, for `log` and `watch`. The format on the disk
//! (`record::form`) is another one, and doesn't change with this one.

use super::run::RunHead;
use super::shape::{object, words};
use super::value::{Seconds, Time};
use crate::record::form::{RecordCause, RecordHead, RecordOutcome, RecordState};
use crate::record::selection;

words! {
    /// How an execution ended:
    pub enum ExecutionState {
        /// it isn't over
        Running = "running",
        /// no hook failed
        Good = "good",
        /// a retry has queued detached hooks, and they haven't run yet
        Queued = "queued",
        /// a hook failed, or hookmux did; `status` says whether libvirt was told
        Failed = "failed",
        /// no hook ran because the emergency switch was on
        Bypassed = "bypassed",
        /// its process died before it could record the end
        Lost = "lost",
        /// a word of another version
        Unknown = "unknown",
    }
}

object! {
    /// A call, and how it ended.
    pub struct Call {
        /// A ULID: sorts by the time of the call
        id: String,
        /// How it ended
        state: ExecutionState,
        /// Whether it failed because of a time limit
        timed_out: bool,
        /// Who made the call: `libvirt`; `run`; `retry`, with the id of what was retried in `parent`; `queue`, an attempt of a detached hook, with the id of the call that queued it
        cause: String,
        /// The id of the execution that it comes from
        parent: Option<String>,
        /// The hooks directory; null in records of 0.1.0
        hooks_dir: Option<String>,
        /// libvirt's driver: `daemon`, `qemu`, `lxc`, `libxl`, `network` or `bhyve`
        driver: String,
        /// The guest or the network
        object: String,
        /// libvirt's operation
        operation: String,
        /// libvirt's sub-operation
        sub_operation: String,
        /// libvirt's extra argument
        extra: String,
        /// The guest's or the network's
        uuid: Option<String>,
        /// What a failure means: `gate`, `live` or `notify`
        class: String,
        /// How the guest was started: `fresh`, `restore`, `migration` or `unknown`; null for networks and the daemon
        origin: Option<String>,
        /// The events that fired, with or without hooks; of a retry, and of an attempt of a detached hook, only those of its hooks
        events: Vec<String>,
        /// When the call began
        began: Time,
        /// How long it took until libvirt had its answer
        duration_s: Option<Seconds>,
        /// The exit status that libvirt got
        status: Option<i32>,
        /// The first thing that failed
        failure: Option<String>,
        /// The version of hookmux that handled it
        hookmux_version: String,
    }

    /// A summary of an execution.
    pub struct Execution {
        ..call: Call,
        /// The hooks that ran
        runs: Vec<RunHead>,
    }

    /// Executions.
    pub struct Log {
        /// Executions, the newest last
        executions: Vec<Execution>,
        /// How many aren't shown because a newer version recorded them
        newer: usize,
    }
}

impl ExecutionState {
    pub(crate) fn of(head: &RecordHead) -> ExecutionState {
        match (head.state, head.outcome) {
            (RecordState::Running, _) => ExecutionState::Running,
            (RecordState::Lost, _) => ExecutionState::Lost,
            (RecordState::Unknown, _) => ExecutionState::Unknown,
            // of a retry the hooks' results count, and these have none yet
            (RecordState::Done, _) if is_queued_retry(head) => ExecutionState::Queued,
            (RecordState::Done, RecordOutcome::Success | RecordOutcome::Queued) => {
                ExecutionState::Good
            }
            (RecordState::Done, RecordOutcome::Bypassed) => ExecutionState::Bypassed,
            (RecordState::Done, RecordOutcome::Unknown)
                if head.status == Some(0) && head.failure.is_none() =>
            {
                ExecutionState::Good
            }
            (
                RecordState::Done,
                RecordOutcome::Failure | RecordOutcome::Timeout | RecordOutcome::Unknown,
            ) => ExecutionState::Failed,
        }
    }
}

/// Tells whether a retry only queued hooks.
fn is_queued_retry(head: &RecordHead) -> bool {
    let is_queued = || head.hooks.iter().all(|hook| hook.outcome == RecordOutcome::Queued);
    matches!(head.cause, RecordCause::Retry(_)) && !head.hooks.is_empty() && is_queued()
}

impl From<&RecordHead> for Call {
    fn from(head: &RecordHead) -> Call {
        Call {
            id: head.id.clone(),
            state: ExecutionState::of(head),
            timed_out: head.outcome == RecordOutcome::Timeout,
            cause: head.cause.name().to_owned(),
            parent: head.cause.parent().map(str::to_owned),
            hooks_dir: head.hooks_dir.clone(),
            driver: head.driver.clone(),
            object: head.object.clone(),
            operation: head.operation.clone(),
            sub_operation: head.sub_operation.clone(),
            extra: head.extra.clone(),
            uuid: head.uuid.clone(),
            class: head.class.clone(),
            origin: head.origin.clone(),
            events: selection::events(head),
            began: Time::of_micros(head.began_us),
            duration_s: head.duration_us.map(Seconds::of_micros),
            status: head.status,
            failure: head.failure.clone(),
            hookmux_version: head.version.clone(),
        }
    }
}

impl From<&RecordHead> for Execution {
    fn from(head: &RecordHead) -> Execution {
        Execution { call: head.into(), runs: head.hooks.iter().map(RunHead::from).collect() }
    }
}
