//! Notices of what happens in a call, and the observers that get them: the record, the journal, a
//! terminal.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::document::exchange::Change;
use crate::event::Origin;
use crate::occasion::{Execution, Occasion};
use crate::process::capture::Stream;
use crate::process::job::FinishedJob;
use crate::process::supervise::Progress;
use crate::verdict::{HookFailure, MAX_STDERR_BYTES};

/// Something that happened in a call, as observers are told of it.
pub(crate) enum Notice<'a> {
    /// A call has begun.
    Begun(&'a Occasion<'a>),
    /// The plan is made; no hook has been started yet.
    Planned(CallPlan<'a>),
    /// A hook has been started; `at` is the time just before its process was made. The limit is what is left
    /// for it, whoever set it.
    Started {
        label: &'a str,
        device: Option<&'a str>,
        path: Option<&'a Path>,
        at: Instant,
        pid: i32,
        limit: Duration,
    },
    /// The check of a hook has been started; likewise.
    CheckStarted { label: &'a str, device: Option<&'a str>, at: Instant, pid: i32, limit: Duration },
    /// The check of a hook has ended.
    CheckEnded { label: &'a str, device: Option<&'a str> },
    /// A hook has written this. It may be a part of a line.
    Output { label: &'a str, device: Option<&'a str>, stream: Stream, bytes: &'a [u8] },
    /// A hook had to wait before it could start; the call itself, where there is no label.
    Waited {
        label: Option<&'a str>,
        device: Option<&'a str>,
        reason: WaitedFor<'a>,
        at: Instant,
        time: Duration,
    },
    /// The last line of a hook that has been running for a while.
    LastLine { label: &'a str, device: Option<&'a str>, line: &'a [u8] },
    /// A hook still runs after a third of its time limit.
    Slow { label: &'a str, limit: Duration },
    /// A hook is done, whether it ran or not.
    Finished(&'a HookRun),
    /// A hook isn't run in this call, and hasn't failed.
    Skipped { label: &'a str, why: NotRun<'a> },
    /// A hook did something that its administrator should know about.
    Warning { label: &'a str, words: &'a str },
    /// An error of hookmux itself.
    OwnError(&'a str),
    /// The emergency switch is on: no hook is run.
    Bypassed(&'a str),
    /// libvirt gets this document instead of its own.
    DocumentGiven(&'a [u8]),
}

impl<'a> Notice<'a> {
    /// Returns the notice for the progress of a hook's process.
    pub(crate) fn of_progress(
        progress: Progress<'a>,
        label: &'a str,
        device: Option<&'a str>,
        path: &'a Path,
    ) -> Notice<'a> {
        match progress {
            Progress::Started { at, pid, limit, .. } => {
                Notice::Started { label, device, path: Some(path), at, pid, limit }
            }
            Progress::Slow { limit, .. } => Notice::Slow { label, limit },
            Progress::Output { stream, bytes, .. } => {
                Notice::Output { label, device, stream, bytes }
            }
            Progress::LastLine { line, .. } => Notice::LastLine { label, device, line },
        }
    }
}

/// What was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitedFor<'a> {
    /// The lock of this name.
    Lock(&'a str),
    /// Another guest's call or undo, which sets up or takes back what guests share.
    Share,
    /// Another call or an undo of the same guest, network or port.
    Undo,
}

impl fmt::Display for WaitedFor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitedFor::Lock(name) => write!(f, "the lock `{name}`"),
            WaitedFor::Share => f.write_str("another guest that shares it"),
            WaitedFor::Undo => f.write_str("an undo of an earlier call"),
        }
    }
}

/// A wait that is shorter isn't told of. One for a lock that somebody holds takes longer, as it is tried again
/// each 20 ms.
pub(crate) const MIN_WAIT: Duration = Duration::from_millis(15);

/// The reason why a hook that hasn't failed isn't run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotRun<'a> {
    /// The hook doesn't apply to this call: its conditions, its check or its file say so.
    NotConcerned(&'a str),
    /// The hook would have run, but the hook with this label stopped the call.
    StoppedBy(&'a str),
    /// The hook would have run, but hookmux got SIGTERM.
    Terminated,
}

impl NotRun<'_> {
    /// Returns the word for it in a record: `retry` runs what would have run.
    pub(crate) fn decision(self) -> PlanDecision {
        match self {
            NotRun::NotConcerned(_) => PlanDecision::Out,
            NotRun::StoppedBy(_) | NotRun::Terminated => PlanDecision::Stopped,
        }
    }
}

impl fmt::Display for NotRun<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotRun::NotConcerned(why) => f.write_str(why),
            NotRun::StoppedBy(by) => write!(f, "not run: {by} stopped the call"),
            NotRun::Terminated => f.write_str("not run: hookmux got SIGTERM"),
        }
    }
}

/// The decision about a hook, as records and `hookmux plan` show it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlanDecision {
    Run,
    /// The hook counts as failed without being run.
    Fail,
    /// The hook doesn't apply to the call.
    Out,
    /// The hook would have run, but something before it ended the call.
    Stopped,
    /// A word that only another version knows.
    #[default]
    #[serde(other)]
    Unknown,
}

impl PlanDecision {
    pub fn name(self) -> &'static str {
        match self {
            PlanDecision::Run => "run",
            PlanDecision::Fail => "fail",
            PlanDecision::Out => "out",
            PlanDecision::Stopped => "stopped",
            PlanDecision::Unknown => "unknown",
        }
    }
}

/// A hook that the call could run, with the decision about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PlanEntry {
    pub hook: String,
    pub event: Option<String>,
    pub device: Option<String>,
    pub decision: PlanDecision,
    pub reason: Option<String>,
}

/// All hooks that a call could run, and what they are given.
pub(crate) struct CallPlan<'a> {
    pub planned: &'a [PlanEntry],
    /// How the guest came to run; `None` for networks and the daemon.
    pub origin: Option<Origin>,
    /// The file with the document of `started`, where hooks get it.
    pub started: Option<&'a Path>,
    /// Of the hooks that it runs.
    pub registrations: Vec<PlannedRegistration<'a>>,
    /// The digest of all hooks and settings, where it is known.
    pub digest: Option<String>,
}

/// The registration of a hook in a plan.
pub(crate) struct PlannedRegistration<'a> {
    pub hook: &'a str,
    /// The file.
    pub path: &'a Path,
    /// The SHA-256 of its text.
    pub sha256: &'a str,
    /// Its text; `None` where an earlier process kept it.
    pub text: Option<&'a str>,
}

/// What a hook's program is started with. The document is left out, so that it isn't kept twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CommandLine {
    /// The arguments that belong to the program in the registration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fixed: Vec<String>,
    /// The arguments as they are registered, with their placeholders.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Whether these are lines on standard input.
    pub args_stdin: bool,
    /// Whether libvirt's arguments follow.
    pub has_libvirts: bool,
    /// The values of the placeholders, without that of the document.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
    /// The size of the document, where a placeholder stands for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document_bytes: Option<u64>,
}

/// Something that gets the notices of a call.
pub(crate) trait Observer {
    fn observe(&mut self, execution: &Execution, notice: &Notice<'_>);
}

/// Two observers that get the same notices, one after the other.
pub(crate) struct Tee<'a>(pub &'a mut dyn Observer, pub &'a mut dyn Observer);

impl Observer for Tee<'_> {
    fn observe(&mut self, execution: &Execution, notice: &Notice<'_>) {
        self.0.observe(execution, notice);
        self.1.observe(execution, notice);
    }
}

/// One hook in an execution.
#[derive(Debug)]
pub(crate) struct HookRun {
    pub label: String,
    pub event: Option<String>,
    /// The label of the device, for a device event.
    pub device: Option<String>,
    /// The program.
    pub path: PathBuf,
    pub command: CommandLine,
    /// `None` where the hook could not be started, or was queued.
    pub ended: Option<FinishedJob>,
    pub change: Change,
    pub failure: Option<HookFailure>,
    /// The id of the job in the queue, for a detached hook.
    pub job: Option<String>,
    /// What it takes back, for an undo.
    pub undo: Option<UndoneSetup>,
}

/// What an undo takes back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UndoneSetup {
    pub hook: String,
    /// The execution in which the hook ran.
    pub execution: String,
    /// Whether the hook is known to have succeeded.
    pub is_done: bool,
    /// Whether an earlier try was interrupted.
    pub is_again: bool,
    /// The guest for which a hook that guests share ran; nobody holds a share any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_up_for: Option<String>,
}

/// What identifies a run in a call: the hook, its event, its device.
pub(crate) struct HookIdentity {
    pub label: String,
    pub event: Option<String>,
    /// The label of the device, for a device event.
    pub device: Option<String>,
    /// The program.
    pub path: PathBuf,
    pub command: CommandLine,
}

impl HookRun {
    /// Makes the run of a detached hook that was put into the queue as this job.
    pub(crate) fn queued(hook: HookIdentity, job: String) -> HookRun {
        HookRun { job: Some(job), ..HookRun::new(hook, None, None) }
    }

    /// Makes the run of a hook that counts as failed without having been started.
    pub(crate) fn not_started(hook: HookIdentity, failure: HookFailure) -> HookRun {
        HookRun::new(hook, None, Some(failure))
    }

    /// Makes the run of a hook that isn't started, because another guest's run does for this one.
    pub(crate) fn joined(hook: HookIdentity) -> HookRun {
        HookRun::new(hook, None, None)
    }

    /// Makes the run of a hook that has ended, with what it did to the document.
    pub(crate) fn ended(
        hook: HookIdentity,
        ended: FinishedJob,
        change: Change,
        failure: Option<HookFailure>,
    ) -> HookRun {
        HookRun { change, ..HookRun::new(hook, Some(ended), failure) }
    }

    /// Makes the run of a detached hook or of a rollback. A failure of these is only reported: it has
    /// no effect on the answer to libvirt.
    pub(crate) fn tolerated(
        hook: HookIdentity,
        ended: Option<FinishedJob>,
        fault: Option<(i32, String)>,
    ) -> HookRun {
        let stderr =
            ended.as_ref().map(|ended| ended.stderr.end(MAX_STDERR_BYTES)).unwrap_or_default();
        let failure = fault.map(|fault| HookFailure::tolerated(&hook.label, fault, stderr));
        HookRun::new(hook, ended, failure)
    }

    fn new(
        hook: HookIdentity,
        ended: Option<FinishedJob>,
        failure: Option<HookFailure>,
    ) -> HookRun {
        let HookIdentity { label, event, device, path, command } = hook;
        let change = Change::None;
        HookRun {
            label,
            event,
            device,
            path,
            command,
            ended,
            change,
            failure,
            job: None,
            undo: None,
        }
    }

    /// Tells whether it is a detached hook that was put into the queue.
    pub(crate) fn is_queued(&self) -> bool {
        self.ended.is_none() && self.failure.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_why_a_hook_is_not_run_keeps_its_words() {
        for (why, words, decision) in [
            (NotRun::NotConcerned("its check says no"), "its check says no", "out"),
            // whatever the words are
            (NotRun::NotConcerned("not run: x"), "not run: x", "out"),
            (NotRun::StoppedBy("a/b"), "not run: a/b stopped the call", "stopped"),
            (NotRun::Terminated, "not run: hookmux got SIGTERM", "stopped"),
        ] {
            assert_eq!((why.to_string().as_str(), why.decision().name()), (words, decision));
        }
    }
}
