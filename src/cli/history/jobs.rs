//! Detached hooks that were taken out of the queue: nobody knows how they would have ended.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use super::seen::{DetachedResult, Later, Seen};
use crate::config::Settings;
use crate::queue::Queue;
use crate::record::history::History;

/// How many later executions are looked at once more for attempts that have just ended.
pub(super) const MAX_SEARCHED_EXECUTIONS: usize = 1000;

/// The executions that have a job in the queue; read when it is first asked for.
pub(crate) struct Jobs {
    queue: Queue,
    executions: OnceCell<Option<BTreeSet<String>>>,
}

impl Jobs {
    pub(crate) fn new(settings: &Settings) -> Jobs {
        Jobs { queue: Queue::new(&settings.state_dir), executions: OnceCell::new() }
    }

    /// Notes of an execution whose detached hooks seem to wait that none of them is in the queue any more.
    pub(crate) fn settle(&self, seen: &mut Seen, history: &History) {
        if seen.after.detached != Some(DetachedResult::Waiting) || self.may_have(&seen.head.id) {
            return;
        }
        // an attempt may have ended since the records were read
        let mut later = Later::default();
        let newer = history.newest().take_while(|id| *id > seen.head.id);
        let newer = newer.take(MAX_SEARCHED_EXECUTIONS).filter_map(|id| history.head(&id).ok());
        newer.for_each(|head| later.note(&head));
        seen.after = later.of(&seen.head);
        if seen.after.detached == Some(DetachedResult::Waiting) {
            seen.after.detached = Some(DetachedResult::Gone);
        }
    }

    /// Tells whether an execution has a job in the queue, or may have one because the queue can't be read.
    fn may_have(&self, execution: &str) -> bool {
        let executions = self.executions.get_or_init(|| self.read());
        executions.as_ref().is_none_or(|executions| executions.contains(execution))
    }

    fn read(&self) -> Option<BTreeSet<String>> {
        let waiting = self.queue.ids().ok()?;
        let waiting = waiting.iter().filter_map(|id| self.queue.head(id).ok());
        let aside = self.queue.aside().ok()?.into_iter().filter_map(|aside| aside.job.ok());
        Some(waiting.chain(aside).map(|head| head.execution).collect())
    }
}
