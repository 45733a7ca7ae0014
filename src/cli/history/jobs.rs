//! What the queue says about the detached hooks of an execution: whether a failed one is tried again, and which were
//! taken out, so that nobody knows how they would have ended.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use super::seen::{DetachedResult, Later, Seen};
use crate::config::Settings;
use crate::queue::Queue;
use crate::record::history::History;

/// How many later executions are looked at once more for attempts that have just ended.
pub(super) const MAX_SEARCHED_EXECUTIONS: usize = 1000;

/// The jobs in the queue; read when it is first asked for.
pub(crate) struct Jobs {
    queue: Queue,
    read: OnceCell<Option<Queued>>,
}

struct Queued {
    /// The jobs that are tried again: the execution that queued each, and its hook.
    waiting: BTreeSet<(String, String)>,
    /// The executions of those that were put aside.
    aside: BTreeSet<String>,
}

impl Jobs {
    pub(crate) fn new(settings: &Settings) -> Jobs {
        Jobs { queue: Queue::new(&settings.state_dir), read: OnceCell::new() }
    }

    /// Notes of an execution what the queue says about its detached hooks.
    pub(crate) fn settle(&self, seen: &mut Seen, history: &History) {
        if seen.after.detached == Some(DetachedResult::Failed) {
            let failed = &seen.after.detached_failed;
            seen.after.is_tried_again = failed.iter().all(|hook| self.waits(&seen.head.id, hook));
        }
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

    /// Tells whether a hook of an execution has a job in the queue that is tried again.
    fn waits(&self, execution: &str, hook: &str) -> bool {
        let key = (execution.to_owned(), hook.to_owned());
        self.queued().is_some_and(|queued| queued.waiting.contains(&key))
    }

    /// Tells whether an execution has a job in the queue, or may have one because the queue can't be read.
    fn may_have(&self, execution: &str) -> bool {
        let Some(queued) = self.queued() else { return true };
        let mut waiting = queued.waiting.iter();
        queued.aside.contains(execution) || waiting.any(|(parent, _)| parent == execution)
    }

    fn queued(&self) -> Option<&Queued> {
        self.read.get_or_init(|| self.read()).as_ref()
    }

    fn read(&self) -> Option<Queued> {
        let waiting = self.queue.ids().ok()?;
        let waiting = waiting.iter().filter_map(|id| self.queue.head(id).ok());
        let aside = self.queue.aside().ok()?.into_iter().filter_map(|aside| aside.job.ok());
        Some(Queued {
            waiting: waiting.map(|head| (head.execution, head.hook)).collect(),
            aside: aside.map(|head| head.execution).collect(),
        })
    }
}
