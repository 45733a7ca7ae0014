//! What became of retries that only queued detached hooks. Their own records end when the hooks are queued, so the
//! results are in the queue and in the records of the hooks' attempts.

use std::collections::{HashMap, HashSet};

use crate::cli::json::execution::{Execution, ExecutionState};
use crate::config::Settings;
use crate::queue::Queue;
use crate::record::form::{RecordCause, RecordHead};
use crate::record::history::History;

/// How a retry ended.
#[derive(Clone, Debug)]
pub(crate) struct RetryEnd {
    pub state: ExecutionState,
    /// What failed.
    pub failure: Option<String>,
}

/// The ends of queued retries, by their ids.
#[derive(Debug, Default)]
pub(crate) struct QueuedRetries(HashMap<String, RetryEnd>);

impl QueuedRetries {
    /// Looks for what became of those of these executions that are queued retries.
    pub(crate) fn look<'a>(
        settings: &Settings,
        history: &History,
        heads: impl IntoIterator<Item = &'a RecordHead>,
    ) -> QueuedRetries {
        let is_queued = |head: &&RecordHead| ExecutionState::of(head) == ExecutionState::Queued;
        let mut open: HashMap<&str, &RecordHead> =
            heads.into_iter().filter(is_queued).map(|head| (head.id.as_str(), head)).collect();
        if open.is_empty() {
            return QueuedRetries::default();
        }
        // a worker records an attempt before it removes the job: so the queue is read first
        let Ok(jobs) = Queue::new(&settings.state_dir).heads() else {
            return QueuedRetries::default();
        };
        let waiting: HashSet<String> = jobs.into_iter().map(|job| job.execution).collect();
        open.retain(|id, _| !waiting.contains(*id));
        let Some(first) = open.keys().min().map(|id| (*id).to_owned()) else {
            return QueuedRetries::default();
        };
        let mut attempts: HashMap<&str, Vec<RecordHead>> = HashMap::new();
        for id in history.newest().take_while(|id| *id > first) {
            let Ok(attempt) = history.head(&id) else { continue };
            let RecordCause::Queue(parent) = &attempt.cause else { continue };
            if let Some((id, _)) = open.get_key_value(parent.as_str()) {
                attempts.entry(id).or_default().push(attempt);
            }
        }
        let end = |(id, head): (&str, &RecordHead)| {
            let attempts = attempts.get(id).map(Vec::as_slice).unwrap_or_default();
            (id.to_owned(), end_of(head, attempts))
        };
        QueuedRetries(open.into_iter().map(end).collect())
    }

    pub(crate) fn end(&self, head: &RecordHead) -> Option<&RetryEnd> {
        self.0.get(&head.id)
    }

    /// Returns an execution for programs.
    pub(crate) fn json(&self, head: &RecordHead) -> Execution {
        let mut execution = Execution::from(head);
        if let Some(end) = self.end(head) {
            execution.call.state = end.state;
            execution.call.failure.clone_from(&end.failure);
        }
        execution
    }
}

/// Returns how a retry ended whose jobs are over: by the last attempt of each hook. The attempts are the newest first.
fn end_of(retry: &RecordHead, attempts: &[RecordHead]) -> RetryEnd {
    let mut state = ExecutionState::Good;
    for hook in &retry.hooks {
        let is_its = |attempt: &&RecordHead| attempt.hooks.iter().any(|it| it.hook == hook.hook);
        match attempts.iter().find(is_its) {
            // its job was removed before it had run
            None => state = ExecutionState::Unknown,
            Some(attempt) => match ExecutionState::of(attempt) {
                ExecutionState::Good => {}
                ExecutionState::Failed => {
                    let failure = attempt.failure.clone();
                    return RetryEnd { state: ExecutionState::Failed, failure };
                }
                _ => state = ExecutionState::Unknown,
            },
        }
    }
    RetryEnd { state, failure: None }
}
