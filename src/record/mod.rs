//! What is told of a call, to whom it concerns: the journal, and who watches at a terminal.

pub mod journal;
pub mod ulid;

use std::time::Duration;

use crate::run::exchange::Change;
use crate::run::job::Ended;
use crate::verdict::Failure;

/// Something that happened in a call.
pub enum Fact<'a> {
    /// A hook has been started.
    Started { label: &'a str, device: Option<&'a str> },
    /// A third of its time is over.
    Slow { label: &'a str, limit: Duration },
    /// A hook is over, whether it ran or not.
    Over(&'a Run),
    /// A hook has no part in this call: why.
    Out { label: &'a str, why: &'a str },
    /// A hook did something that its administrator should know of.
    Warning { label: &'a str, words: &'a str },
    /// hookmux itself is in trouble.
    Trouble(&'a str),
}

/// Who is told.
pub trait Witness {
    fn see(&mut self, execution: &Execution, fact: &Fact<'_>);
}

/// One call of libvirt's, as it is told of.
#[derive(Clone, Debug, Default)]
pub struct Execution {
    /// A ULID.
    pub id: String,
    pub driver: &'static str,
    pub object: String,
    pub operation: String,
    pub uuid: Option<String>,
}

/// One hook in an execution.
#[derive(Debug)]
pub struct Run {
    pub label: String,
    pub event: Option<String>,
    /// The device of a device event, as people know it.
    pub device: Option<String>,
    /// `None` where it could not be tried.
    pub ended: Option<Ended>,
    pub change: Change,
    pub failure: Option<Failure>,
}

impl Run {
    /// A detached hook that was left to the queue.
    pub fn is_queued(&self) -> bool {
        self.ended.is_none() && self.failure.is_none()
    }
}
