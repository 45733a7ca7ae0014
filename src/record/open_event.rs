//! The event of a call that runs, for the outbox: what its record doesn't have.

use std::io;

use super::form::Record;
use super::mask::Secrets;
use super::outbox::event::{self, EventFacts, EventSource};
use super::spool::Spool;
use crate::config::choice::ResultKind;
use crate::observer::HookRun;

/// The event of the call, for the outbox.
pub(super) struct OpenEvent {
    pub(super) facts: EventFacts,
    /// What happened in each run that failed, without its output.
    failures: Vec<Option<String>>,
}

impl OpenEvent {
    pub(super) fn new(facts: EventFacts) -> OpenEvent {
        OpenEvent { facts, failures: Vec::new() }
    }

    pub(super) fn note(&mut self, run: &HookRun) {
        let what = run.failure.as_ref().map(|failure| match &run.ended {
            // behind a colon is what it answered
            Some(ended) if ended.result == ResultKind::StatusLine => {
                failure.what.split(": ").next().unwrap_or_default().to_owned()
            }
            _ => failure.what.clone(),
        });
        self.failures.push(what);
    }

    pub(super) fn encode(&self, record: &Record, secrets: &Secrets) -> serde_json::Result<Vec<u8>> {
        event::encode(&EventSource {
            head: &record.head,
            runs: &record.body.runs,
            failures: &self.failures,
            facts: &self.facts,
            secrets,
        })
    }

    pub(super) fn write(
        &self,
        record: &Record,
        secrets: &Secrets,
        spool: &Spool,
    ) -> io::Result<()> {
        spool.put_event(&record.head.id, &self.encode(record, secrets)?)
    }
}
