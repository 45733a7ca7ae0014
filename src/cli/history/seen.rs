//! An execution with what isn't in its own record: what runs in it now, and what came of it later.

use std::collections::HashMap;

use crate::record::form::{RecordCause, RecordHead, RecordOutcome, RecordState};
use crate::record::history::{History, is_failed};
use crate::record::running::{self, Progress};

/// An execution as commands show it.
pub(crate) struct Seen {
    pub head: RecordHead,
    /// What it has done so far, while it isn't over.
    pub progress: Progress,
    pub after: Aftermath,
}

/// What came of an execution later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Aftermath {
    /// The retry in which everything succeeded that had failed; of an attempt of a detached hook also the later attempt.
    pub mended_by: Option<String>,
    /// What became of the hooks that it queued; `None` where it queued none.
    pub detached: Option<DetachedResult>,
    /// Why the last attempt of one of them has failed.
    pub detached_failure: Option<String>,
    /// Those whose last attempt has failed.
    pub detached_failed: Vec<String>,
    /// Whether the queue still has a job of each of these.
    pub is_tried_again: bool,
}

/// What became of the detached hooks of an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DetachedResult {
    /// No result of one of them is recorded.
    Waiting,
    /// All have succeeded.
    Good,
    /// The last attempt of one has failed.
    Failed,
    /// They were taken out of the queue.
    Gone,
}

impl Seen {
    pub(crate) fn new(head: RecordHead, after: Aftermath) -> Seen {
        let progress = match head.state {
            RecordState::Running => running::read(&head),
            _ => Progress::default(),
        };
        Seen { head, progress, after }
    }

    /// Tells whether something failed that nothing later has mended.
    pub(crate) fn is_open_failure(&self) -> bool {
        is_failed(&self.head) && self.after.mended_by.is_none()
    }
}

/// Returns all executions with what came of them, the newest first. Those that began at or after `since`
/// (milliseconds since 1970) are enough.
pub(crate) fn all(history: &History, since: Option<u64>) -> impl Iterator<Item = Seen> {
    let mut later = Later::default();
    history.heads(since).map(move |head| {
        let after = later.of_recorded(history, &head);
        later.note(&head);
        Seen::new(head, after)
    })
}

/// What later executions say about earlier ones. They are noted the newest first.
#[derive(Default)]
pub(crate) struct Later {
    /// Of what was retried: the retries, and which of their hooks succeeded.
    retries: HashMap<String, Vec<Retry>>,
    /// Of what queued hooks: the last attempt of each.
    attempts: HashMap<(String, String), Attempt>,
}

/// How an attempt of a detached hook ended.
struct Attempt {
    id: String,
    outcome: RecordOutcome,
    failure: Option<String>,
}

struct Retry {
    id: String,
    /// Whether nothing failed.
    is_good: bool,
    good_hooks: Vec<String>,
}

impl Later {
    /// Returns what came of an execution, as far as it was noted.
    pub(crate) fn of(&self, head: &RecordHead) -> Aftermath {
        let failed: Vec<&str> = head
            .hooks
            .iter()
            .filter(|hook| hook.outcome.is_failure())
            .map(|hook| hook.hook.as_str())
            .collect();
        let mends = |retry: &&Retry| match failed.is_empty() {
            true => retry.is_good,
            false => failed.iter().all(|hook| retry.good_hooks.iter().any(|good| good == hook)),
        };
        let of = |id: &str| self.retries.get(id).into_iter().flatten();
        // of a retry also a later one of the same execution
        let parent = match &head.cause {
            RecordCause::Retry(parent) => parent.as_str(),
            _ => "",
        };
        let mut retries = of(&head.id).chain(of(parent)).filter(|_| is_failed(head));
        let mended_by = retries.find(mends).map(|retry| retry.id.clone());
        let mut aftermath =
            Aftermath { mended_by, detached: self.detached(head), ..Aftermath::default() };
        for (hook, attempt) in self.attempts_of(head) {
            let Some(attempt) = attempt.filter(|attempt| attempt.outcome.is_failure()) else {
                continue;
            };
            aftermath.detached_failed.push(hook.to_owned());
            let failure = &mut aftermath.detached_failure;
            *failure = failure.take().or_else(|| attempt.failure.clone());
        }
        aftermath
    }

    /// Returns what came of an execution, also of an attempt by later ones.
    pub(crate) fn of_recorded(&self, history: &History, head: &RecordHead) -> Aftermath {
        let mut aftermath = self.of(head);
        let parent = match (&head.cause, &aftermath.mended_by) {
            (RecordCause::Queue(parent), None) if is_failed(head) => history.head(parent).ok(),
            _ => None,
        };
        aftermath.mended_by =
            aftermath.mended_by.or_else(|| self.good_attempt_after(head, &parent?));
        aftermath
    }

    /// Returns the last attempt of what failed in an attempt, if that has succeeded. Where the call queued a hook
    /// several times, for several devices, that may be another job's.
    fn good_attempt_after(&self, head: &RecordHead, parent: &RecordHead) -> Option<String> {
        let is_one = |hook: &str| {
            let queued = parent.hooks.iter().filter(|it| it.outcome == RecordOutcome::Queued);
            queued.filter(|it| it.hook == hook).count() == 1
        };
        let good = |hook: &str| {
            let attempt = self.attempts.get(&(parent.id.clone(), hook.to_owned()));
            attempt.filter(|it| it.outcome == RecordOutcome::Success && is_one(hook))
        };
        let mut failed = head.hooks.iter().filter(|hook| hook.outcome.is_failure());
        let first = good(&failed.next()?.hook)?;
        failed.all(|hook| good(&hook.hook).is_some()).then(|| first.id.clone())
    }

    /// Returns the last attempt of each hook that an execution queued, if one is recorded.
    fn attempts_of<'s>(
        &'s self,
        head: &'s RecordHead,
    ) -> impl Iterator<Item = (&'s str, Option<&'s Attempt>)> {
        let queued = head.hooks.iter().filter(|hook| hook.outcome == RecordOutcome::Queued);
        queued.map(|hook| {
            let key = (head.id.clone(), hook.hook.clone());
            (hook.hook.as_str(), self.attempts.get(&key))
        })
    }

    fn detached(&self, head: &RecordHead) -> Option<DetachedResult> {
        let results =
            self.attempts_of(head).map(|(_, attempt)| match attempt.map(|it| it.outcome) {
                Some(RecordOutcome::Success) => DetachedResult::Good,
                Some(outcome) if outcome.is_failure() => DetachedResult::Failed,
                _ => DetachedResult::Waiting,
            });
        let results: Vec<DetachedResult> = results.collect();
        let any = |wanted| results.contains(&wanted).then_some(wanted);
        any(DetachedResult::Failed)
            .or_else(|| any(DetachedResult::Waiting))
            .or_else(|| any(DetachedResult::Good))
    }

    /// Notes an execution that is newer than those that are asked about.
    pub(crate) fn note(&mut self, head: &RecordHead) {
        match &head.cause {
            RecordCause::Retry(parent) if head.state == RecordState::Done => {
                let after = self.of(head);
                let is_mended = after.mended_by.is_some();
                let is_waiting = matches!(
                    after.detached,
                    Some(DetachedResult::Waiting | DetachedResult::Failed)
                );
                let is_good = (!is_failed(head) || is_mended) && !is_waiting;
                let good = head.hooks.iter().filter(|hook| match hook.outcome {
                    RecordOutcome::Success => true,
                    // it is what its last attempt was
                    RecordOutcome::Queued => {
                        let key = (head.id.clone(), hook.hook.clone());
                        let attempt = self.attempts.get(&key);
                        attempt.is_some_and(|it| it.outcome == RecordOutcome::Success)
                    }
                    outcome => outcome.is_failure() && is_mended,
                });
                let good_hooks = good.map(|hook| hook.hook.clone()).collect();
                let id = after.mended_by.unwrap_or_else(|| head.id.clone());
                let retry = Retry { id, is_good, good_hooks };
                self.retries.entry(parent.clone()).or_default().push(retry);
            }
            RecordCause::Queue(parent) => {
                for hook in head.hooks.iter().filter(|hook| hook.outcome != RecordOutcome::Unknown)
                {
                    let key = (parent.clone(), hook.hook.clone());
                    let (id, failure) = (head.id.clone(), head.failure.clone());
                    let attempt = Attempt { id, outcome: hook.outcome, failure };
                    self.attempts.entry(key).or_insert(attempt);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::form::HookSummary;

    fn head(id: &str, cause: RecordCause, hooks: &[(&str, RecordOutcome)]) -> RecordHead {
        let hooks: Vec<HookSummary> = hooks
            .iter()
            .map(|(hook, outcome)| HookSummary {
                hook: (*hook).to_owned(),
                outcome: *outcome,
                ..HookSummary::default()
            })
            .collect();
        let failed = hooks.iter().find(|hook| hook.outcome.is_failure());
        RecordHead {
            id: id.to_owned(),
            cause,
            state: RecordState::Done,
            outcome: failed.map_or(RecordOutcome::Success, |hook| hook.outcome),
            hooks,
            ..RecordHead::default()
        }
    }

    #[test]
    fn a_retry_mends_what_it_has_repeated_with_success() {
        use RecordOutcome::{Failure, Queued, Success};
        let failed = head("A", RecordCause::Libvirt, &[("a", Success), ("b", Failure)]);
        let retry = |id: &str, of: &str, hooks| head(id, RecordCause::Retry(of.to_owned()), hooks);
        for (newer, mended_by) in [
            (vec![], None),
            (vec![retry("B", "A", &[("b", Success)])], Some("B")),
            (vec![retry("B", "A", &[("a", Success)])], None),
            (vec![retry("B", "A", &[("b", Failure)])], None),
            (vec![retry("B", "A", &[("b", Queued)])], None),
            (vec![retry("B", "X", &[("b", Success)])], None),
            // the newest first: a retry of a retry
            (
                vec![retry("C", "B", &[("b", Success)]), retry("B", "A", &[("b", Failure)])],
                Some("C"),
            ),
        ] {
            let mut later = Later::default();
            newer.iter().for_each(|head| later.note(head));
            assert_eq!(later.of(&failed).mended_by.as_deref(), mended_by);
        }
        let mut later = Later::default();
        later.note(&retry("C", "A", &[("b", Success)]));
        let first = retry("B", "A", &[("b", Failure)]);
        assert_eq!(later.of(&first).mended_by.as_deref(), Some("C"));
        let mut later = Later::default();
        later.note(&retry("B", "A", &[("a", Success)]));
        let good = head("A", RecordCause::Libvirt, &[("a", Success)]);
        assert_eq!(later.of(&good), Aftermath::default());
    }

    #[test]
    fn a_detached_hook_is_what_its_last_attempt_was() {
        use RecordOutcome::{Failure, Queued, Success, Timeout};
        let call = head("A", RecordCause::Libvirt, &[("a", Queued), ("b", Queued)]);
        let attempt = |hooks| head("B", RecordCause::Queue("A".to_owned()), hooks);
        for (newer, result) in [
            (vec![], DetachedResult::Waiting),
            (vec![attempt(&[("a", Success)])], DetachedResult::Waiting),
            (vec![attempt(&[("a", Timeout)])], DetachedResult::Failed),
            (vec![attempt(&[("a", Success)]), attempt(&[("b", Success)])], DetachedResult::Good),
            // the newest first
            (
                vec![
                    attempt(&[("a", Success)]),
                    attempt(&[("a", Failure)]),
                    attempt(&[("b", Success)]),
                ],
                DetachedResult::Good,
            ),
        ] {
            let mut later = Later::default();
            newer.iter().for_each(|head| later.note(head));
            assert_eq!(later.of(&call).detached, Some(result));
        }
    }

    #[test]
    fn a_later_attempt_mends_those_before_it() {
        use RecordOutcome::{Failure, Queued, Success, Timeout, Unknown};
        let attempt =
            |id: &str, outcome| head(id, RecordCause::Queue("A".to_owned()), &[("a", outcome)]);
        let other = head("D", RecordCause::Queue("Z".to_owned()), &[("a", Success)]);
        let first = attempt("B", Failure);
        let call = |hooks| head("A", RecordCause::Libvirt, hooks);
        let once = call(&[("a", Queued), ("b", Queued)]);
        let for_two_devices = call(&[("a", Queued), ("a", Queued)]);
        for (newer, mended_by) in [
            (vec![], None),
            (vec![attempt("C", Success)], Some("C")),
            (vec![attempt("C", Timeout)], None),
            // one that runs says nothing yet
            (vec![attempt("D", Unknown), attempt("C", Failure)], None),
            (vec![attempt("D", Success), attempt("C", Failure)], Some("D")),
            (vec![other], None),
        ] {
            let mut later = Later::default();
            newer.iter().for_each(|head| later.note(head));
            assert_eq!(later.good_attempt_after(&first, &once).as_deref(), mended_by);
            assert_eq!(later.good_attempt_after(&first, &for_two_devices), None);
        }
        // what succeeded isn't mended
        let mut later = Later::default();
        later.note(&attempt("C", Success));
        assert_eq!(later.good_attempt_after(&attempt("B", Success), &once), None);
    }
}
