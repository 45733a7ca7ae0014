//! Summaries of executions: calls that had hooks, for `log` and `watch`. The format on the disk
//! (`record::form`) is another one, and doesn't change with this one.

use super::change::ChangeSummary;
use super::run::{RunHead, RunState};
use super::running::RunningHook;
use super::shape::{object, words};
use super::value::{Seconds, Time};
use crate::cli::history::seen::{Aftermath, DetachedResult, Seen};
use crate::record::form::{RecordCause, RecordHead, RecordOutcome, RecordState};
use crate::record::running::Progress;
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

    /// What became of the detached hooks of an execution:
    pub enum DetachedState {
        /// no result of one of them is recorded
        Waiting = "waiting",
        /// all have succeeded
        Good = "good",
        /// the last try of one has failed
        Failed = "failed",
        /// they were taken out of the queue
        Unknown = "unknown",
    }

    /// What a line of `watch` says:
    pub enum WatchKind {
        /// a call has begun; its hooks come next
        Begun = "begun",
        /// a hook was started
        HookStarted = "hook-started",
        /// a hook has ended, was queued, or couldn't be started
        HookEnded = "hook-ended",
        /// the call is over
        Done = "done",
    }

    /// What the first line of `watch --ready` says:
    pub enum ReadyKind {
        /// what ends from now on is shown
        Ready = "ready",
    }
}

object! {
    /// The host where libvirt made a call.
    pub struct RemoteHost {
        /// Its name
        host: String,
        /// Whether hooks were started for the call before
        again: bool,
    }

    /// A call, and how it ended.
    pub struct Call {
        /// A ULID: sorts by the time of the call
        id: String,
        /// How it ended
        state: ExecutionState,
        /// Whether it failed because of a time limit
        timed_out: bool,
        /// Who made the call: `libvirt`; `run`; `retry`, with the id of what was retried in `parent`; `queue`, a try of a detached hook, with the id of the call that queued it; `undo`; `remote`, an event of another host, with the id of the execution there
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
        /// The events that fired, with or without hooks; of a retry, and of a try of a detached hook, only those of its hooks
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
        /// The digest of all hooks, the settings and the version (`list --digest`); null where none was computed since something that the call used has changed, and for a try of a detached hook
        digest: Option<String>,
        /// The other host where libvirt made the call; null where it was this one
        remote: Option<RemoteHost>,
        /// Whether the record is one of the user who runs hooks for events of other hosts, and not root's
        untrusted: bool,
    }

    /// A summary of an execution.
    pub struct Execution {
        ..call: Call,
        /// The hooks that ran, or will run
        runs: Vec<RunHead>,
        /// The hooks that run at this moment
        running: Vec<RunningHook>,
        /// The id of a later retry in which everything succeeded that had failed; of a try of a detached hook also of the later try that did
        mended_by: Option<String>,
        /// What became of the hooks that it queued; null where it queued none
        detached: Option<DetachedState>,
    }

    /// Executions.
    pub struct Log {
        /// Executions, the newest last
        executions: Vec<Execution>,
        /// How many aren't shown because a newer version recorded them
        newer: usize,
        /// What `--before` needs to show the next older ones; null where there are none
        next: Option<String>,
        /// How many there are in all; null without `--total`
        total: Option<usize>,
        /// The failed ones that `--failed` leaves out, because a later retry of them, or a later try, succeeded
        mended: Vec<String>,
    }

    /// The result of `stop`.
    pub struct Stopped {
        ..call: Call,
        /// The job whose try was ended
        job: Option<String>,
        /// How often the job is tried again; null with --dry-run
        tries_left: Option<u32>,
        ..=summary: ChangeSummary,
    }

    /// A hook in a line of `watch`.
    pub struct WatchedHook {
        /// The hook
        hook: String,
        /// The event; null where it runs at a call
        event: Option<String>,
        /// The device, for an event of a device
        device: Option<String>,
        /// How it ended; `running` where it was started
        state: RunState,
        /// Whether it was ended because of a time limit
        timed_out: bool,
        /// Its process; null where the call was over before it was looked at
        pid: Option<i32>,
        /// After how long it is ended; null where it has no limit, or where that isn't known
        limit_s: Option<Seconds>,
        /// How long it took
        duration_s: Option<Seconds>,
        /// Its exit status, as in `runs`
        status: Option<i32>,
        /// What happened, where it failed
        failure: Option<String>,
    }

    /// The first line of `watch --ready`: what ends after it is shown, and what ended before is in `log`.
    pub struct WatchReady {
        /// What this line is
        kind: ReadyKind,
        /// Since when calls are watched
        at: Time,
    }

    /// Something that happened in an execution. The other keys are those of the execution at that time.
    pub struct Watched {
        /// What happened
        kind: WatchKind,
        /// When it happened
        at: Time,
        /// The hook that was started or has ended
        run: Option<WatchedHook>,
        ..=execution: Execution,
    }
}

impl ExecutionState {
    pub(crate) fn of(head: &RecordHead, after: &Aftermath) -> ExecutionState {
        match (head.state, head.outcome) {
            (RecordState::Running, _) => ExecutionState::Running,
            (RecordState::Lost, _) => ExecutionState::Lost,
            (RecordState::Unknown, _) => ExecutionState::Unknown,
            // of a retry the hooks' results count
            (RecordState::Done, _) if is_queued_retry(head) => match after.detached {
                Some(DetachedResult::Good) => ExecutionState::Good,
                Some(DetachedResult::Failed) => ExecutionState::Failed,
                Some(DetachedResult::Gone) => ExecutionState::Unknown,
                Some(DetachedResult::Waiting) | None => ExecutionState::Queued,
            },
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
            state: ExecutionState::of(head, &Aftermath::default()),
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
            digest: head.digest.clone(),
            remote: head
                .remote
                .as_ref()
                .map(|remote| RemoteHost { host: remote.host.clone(), again: remote.is_again }),
            untrusted: head.is_untrusted,
        }
    }
}

impl From<&RecordHead> for Execution {
    fn from(head: &RecordHead) -> Execution {
        Execution::new(head, &Progress::default(), &Aftermath::default())
    }
}

impl From<&Seen> for Execution {
    fn from(Seen { head, progress, after }: &Seen) -> Execution {
        Execution::new(head, progress, after)
    }
}

impl Execution {
    fn new(head: &RecordHead, progress: &Progress, after: &Aftermath) -> Execution {
        let running = progress.running();
        let mut runs: Vec<RunHead> = head.hooks.iter().map(RunHead::from).collect();
        for run in &mut runs {
            if let Some(ended) = progress.ended.iter().find(|ended| ended.hook == run.hook) {
                run.state = ended.outcome.into();
                run.timed_out = ended.outcome == RecordOutcome::Timeout;
                run.start_s = ended.start_us.map(Seconds::of_micros);
                run.duration_s = ended.duration_us.map(Seconds::of_micros);
                run.status = Some(ended.status).filter(|_| ended.outcome != RecordOutcome::Queued);
            }
            if let Some(started) = running.iter().find(|hook| hook.hook == run.hook) {
                run.state = RunState::Running;
                run.start_s = Some(Seconds::of_micros(started.start_us));
            }
        }
        let mut call = Call { state: ExecutionState::of(head, after), ..head.into() };
        if is_queued_retry(head) {
            call.failure = call.failure.or_else(|| after.detached_failure.clone());
        }
        Execution {
            call,
            runs,
            running: running.iter().map(|hook| RunningHook::of(hook, head)).collect(),
            mended_by: after.mended_by.clone(),
            detached: after.detached.map(DetachedState::from),
        }
    }
}

impl From<DetachedResult> for DetachedState {
    fn from(result: DetachedResult) -> DetachedState {
        match result {
            DetachedResult::Waiting => DetachedState::Waiting,
            DetachedResult::Good => DetachedState::Good,
            DetachedResult::Failed => DetachedState::Failed,
            DetachedResult::Gone => DetachedState::Unknown,
        }
    }
}
