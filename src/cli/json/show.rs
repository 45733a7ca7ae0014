//! A complete execution.

use super::execution::{Call, Execution};
use super::message::Message;
use super::plan::PlannedHook;
use super::run::{Process, Run, RunHead};
use super::shape::object;
use super::value::Seconds;
use crate::record::form::{HookSummary, Record, RecordHead, RecordOutcome, RunRecord};
use crate::record::text::RecordText;

object! {
    /// A hook's run with what is recorded of it.
    pub struct KeptRun {
        ..run: Run,
        /// The digest of what was executed, if that is at most 256 KiB
        sha256: Option<String>,
        /// The time from the beginning of the call to its start
        start_s: Option<Seconds>,
    }

    /// A complete execution.
    pub struct Show {
        ..call: Call,
        /// libvirt's arguments
        arguments: Vec<String>,
        /// The name of the process that called
        daemon: String,
        /// What was planned for each hook
        plan: Vec<PlannedHook>,
        /// The hooks that ran
        runs: Vec<KeptRun>,
        /// Notes of hookmux itself
        notes: Vec<Message>,
        /// What libvirt got on standard error
        stderr: String,
        /// libvirt's document
        document: Option<String>,
        /// The document that libvirt got instead
        document_after: Option<String>,
        /// The document of `started`, if hooks got it
        started_document: Option<String>,
        /// Why documents and output weren't kept
        left_out: Option<String>,
        /// Its retries, and the attempts of its detached hooks
        later: Vec<Execution>,
    }
}

/// A run of which only the summary is known.
impl From<&HookSummary> for KeptRun {
    fn from(hook: &HookSummary) -> KeptRun {
        let run = Run {
            head: hook.into(),
            device: None,
            status: None,
            failure: None,
            stdout: None,
            stderr: None,
            changed_document: false,
            left_running: Vec::new(),
            job: None,
            path: None,
        };
        KeptRun { run, sha256: None, start_s: None }
    }
}

impl From<&RunRecord> for KeptRun {
    fn from(kept: &RunRecord) -> KeptRun {
        let head = RunHead {
            hook: kept.hook.clone(),
            event: kept.event.clone(),
            state: kept.outcome.into(),
            timed_out: kept.outcome == RecordOutcome::Timeout,
            duration_s: kept.duration_us.map(Seconds::of_micros),
        };
        let run = Run {
            head,
            device: kept.device.clone(),
            status: Some(kept.status),
            failure: kept.failure.clone(),
            stdout: Some(text(&kept.stdout)),
            stderr: Some(text(&kept.stderr)),
            changed_document: kept.changed_document,
            left_running: kept.leftovers.iter().map(Process::from).collect(),
            job: kept.job.clone(),
            path: Some(text(&kept.path)),
        };
        KeptRun { run, sha256: kept.sha256.clone(), start_s: kept.start_us.map(Seconds::of_micros) }
    }
}

impl Show {
    pub(crate) fn new(record: &Record, later: &[RecordHead]) -> Show {
        let Record { head, body } = record;
        let optional = |document: &Option<RecordText>| document.as_ref().map(text);
        // an execution that hasn't ended has only the summaries of its planned runs
        let runs = match head.state.is_over() {
            true => body.runs.iter().map(KeptRun::from).collect(),
            false => head.hooks.iter().map(KeptRun::from).collect(),
        };
        let mut call = Call::from(head);
        call.hooks_dir = Some(text(&body.hooks_dir));
        Show {
            call,
            arguments: body.arguments.iter().map(text).collect(),
            daemon: body.daemon.clone(),
            plan: body.plan.iter().map(PlannedHook::from).collect(),
            runs,
            notes: Message::all(&body.notes),
            stderr: text(&body.stderr),
            document: optional(&body.document),
            document_after: optional(&body.document_after),
            started_document: optional(&body.started_document),
            left_out: body.left_out.clone(),
            later: later.iter().map(Execution::from).collect(),
        }
    }
}

fn text(text: &RecordText) -> String {
    text.lossy().into_owned()
}
