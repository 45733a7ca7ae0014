//! What is told of a call, to whom it concerns: the journal, and who watches at a terminal.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::document::exchange::Change;
use crate::event::Origin;
use crate::occasion::{Execution, Occasion};
use crate::process::job::FinishedJob;
use crate::verdict::HookFailure;

/// Something that happened in a call.
pub(crate) enum Fact<'a> {
    /// A call came that is to be told of.
    Begun(&'a Occasion<'a>),
    /// What it would run is known; nothing of it has been started yet.
    Planned(Plan<'a>),
    /// A hook has been started; `at` is just before its process was made.
    Started { label: &'a str, device: Option<&'a str>, path: Option<&'a Path>, at: Instant },
    /// A third of its time is over.
    Slow { label: &'a str, limit: Duration },
    /// A hook is over, whether it ran or not.
    Over(&'a Run),
    /// A hook isn't run in this call, and hasn't failed: why.
    Out { label: &'a str, why: NotRun<'a> },
    /// A hook did something that its administrator should know of.
    Warning { label: &'a str, words: &'a str },
    /// hookmux itself is in trouble.
    Trouble(&'a str),
    /// The emergency switch is on: nothing is run.
    Bypassed(&'a str),
    /// libvirt is given this document in place of its own.
    Given(&'a [u8]),
}

/// Why a hook isn't run that hasn't failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotRun<'a> {
    /// It has no part in this call: its conditions, its check or its file say so, in words.
    NoPart(&'a str),
    /// It would have run; the hook with this label stopped the call.
    StoppedBy(&'a str),
    /// It would have run; hookmux was told to end.
    Terminated,
}

impl NotRun<'_> {
    /// What a record has of it: `retry` runs what would have run.
    pub(crate) fn decision(self) -> PlanDecision {
        match self {
            NotRun::NoPart(_) => PlanDecision::Out,
            NotRun::StoppedBy(_) | NotRun::Terminated => PlanDecision::Stopped,
        }
    }
}

impl fmt::Display for NotRun<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotRun::NoPart(why) => f.write_str(why),
            NotRun::StoppedBy(by) => write!(f, "not run: {by} stopped the call"),
            NotRun::Terminated => f.write_str("not run: hookmux got SIGTERM"),
        }
    }
}

/// What was to become of a hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlanDecision {
    Run,
    /// It counts as failed without being run.
    Fail,
    /// It had no part in the call.
    Out,
    /// It would have run, and something before it ended the call.
    Stopped,
    /// A word of another version's.
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

/// A hook that the call could have run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Planned {
    pub hook: String,
    pub event: Option<String>,
    pub device: Option<String>,
    pub decision: PlanDecision,
    pub reason: Option<String>,
}

/// What a call would run, and why not the rest.
pub(crate) struct Plan<'a> {
    pub planned: &'a [Planned],
    /// Of a guest.
    pub origin: Option<Origin>,
    /// The file with the document of `started`, where hooks are given it.
    pub started: Option<&'a Path>,
}

/// Who is told.
pub(crate) trait Witness {
    fn see(&mut self, execution: &Execution, fact: &Fact<'_>);
}

/// Two who are told, one after the other.
pub(crate) struct Both<'a>(pub &'a mut dyn Witness, pub &'a mut dyn Witness);

impl Witness for Both<'_> {
    fn see(&mut self, execution: &Execution, fact: &Fact<'_>) {
        self.0.see(execution, fact);
        self.1.see(execution, fact);
    }
}

/// One hook in an execution.
#[derive(Debug)]
pub(crate) struct Run {
    pub label: String,
    pub event: Option<String>,
    /// The device of a device event, as people know it.
    pub device: Option<String>,
    /// What is executed.
    pub path: PathBuf,
    /// `None` where it could not be tried.
    pub ended: Option<FinishedJob>,
    pub change: Change,
    pub failure: Option<HookFailure>,
    /// The queue's job, of a detached hook.
    pub job: Option<String>,
}

impl Run {
    /// A detached hook that was left to the queue.
    pub(crate) fn is_queued(&self) -> bool {
        self.ended.is_none() && self.failure.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_hook_is_not_run_is_said_as_ever() {
        for (why, words, decision) in [
            (NotRun::NoPart("its check says no"), "its check says no", "out"),
            // whatever the words are
            (NotRun::NoPart("not run: x"), "not run: x", "out"),
            (NotRun::StoppedBy("a/b"), "not run: a/b stopped the call", "stopped"),
            (NotRun::Terminated, "not run: hookmux got SIGTERM", "stopped"),
        ] {
            assert_eq!((why.to_string().as_str(), why.decision().name()), (words, decision));
        }
    }
}
