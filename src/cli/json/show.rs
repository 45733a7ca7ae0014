//! A complete execution.

use std::collections::BTreeMap;

use super::execution::{Call, DetachedState, Execution};
use super::message::Message;
use super::plan::PlannedHook;
use super::run::{Process, Run, RunHead};
use super::running::RunningHook;
use super::shape::object;
use super::undo::UndoOutcome;
use super::value::Seconds;
use crate::cli::history::command_line;
use crate::cli::history::seen::Seen;
use crate::observer::{CommandLine, UndoneSetup};
use crate::record::form::{HookRegistration, Record, RecordOutcome, RunRecord, WaitRecord};
use crate::record::text::RecordText;
use crate::run::left_rollback;

object! {
    /// A hook's run with what is recorded of it.
    pub struct KeptRun {
        ..run: Run,
        /// The program, and the arguments that belong to it in the registration; null where it isn't recorded, as in records of 0.1.0
        command: Option<Vec<String>>,
        /// The arguments as they are registered, with their placeholders
        args: Vec<String>,
        /// Whether it got these as lines on standard input
        args_stdin: bool,
        /// The values of the placeholders; the document's isn't among them
        args_values: BTreeMap<String, String>,
        /// The size of the document that it got as an argument
        args_document_bytes: Option<u64>,
        /// The command line as `show` prints it: filled in as far as the record tells, and quoted for a shell
        command_line: Option<String>,
        /// The file that registered it; null for a script, and in records of 0.1.0
        registration: Option<String>,
        /// The digest of that file's text, as it was then
        registration_sha256: Option<String>,
        /// The digest of what was executed, if that is at most 256 KiB
        sha256: Option<String>,
        /// After how long it would have been ended: what was left of its own time limit and the call's; null where it has none, or wasn't started, and in records of 0.1.0
        limit_s: Option<Seconds>,
        /// What it takes back, where it is an undo
        undo: Option<UndoneHook>,
    }

    /// What an undo takes back.
    pub struct UndoneHook {
        /// The hook that set it up
        hook: String,
        /// The id of the execution in which that ran
        parent: String,
        /// How it ended
        outcome: UndoOutcome,
        /// Whether an earlier try of the undo was interrupted
        interrupted: bool,
        /// The guest for which a hook that guests share ran; null where it isn't shared
        shared_object: Option<String>,
    }

    /// A wait for something that others held.
    pub struct Wait {
        /// The hook that waited; null for the call itself
        hook: Option<String>,
        /// The device, for an event of a device
        device: Option<String>,
        /// What it waited for, in words
        reason: String,
        /// The time from the beginning of the call to that of the wait
        start_s: Seconds,
        /// How long it waited
        duration_s: Seconds,
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
        /// What hooks, or the call itself, had to wait for before they could start
        waits: Vec<Wait>,
        /// Of an attempt of a detached hook: how long the job had waited in the queue, since it was queued or since the attempt before; null for other executions
        waited_in_queue_s: Option<Seconds>,
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
        /// Whether passwords in libvirt's document were replaced; null where that isn't recorded, as in records of 0.1.0
        document_masked: Option<bool>,
        /// Its retries, and the tries of its detached hooks
        later: Vec<Execution>,
        /// The hooks that run at this moment
        running: Vec<RunningHook>,
        /// The id of a later retry in which everything succeeded that had failed; of an attempt of a detached hook also of the later attempt that did
        mended_by: Option<String>,
        /// What became of the hooks that it queued; null where it queued none
        detached: Option<DetachedState>,
        /// The job by whose id it was asked for
        job: Option<String>,
        /// The ids of newer executions that `last` and conditions pass over: what libvirt calls after a failure, retries, runs by hand, tries of detached hooks
        passed_over: Vec<String>,
    }
}

impl From<&UndoneSetup> for UndoneHook {
    fn from(undo: &UndoneSetup) -> UndoneHook {
        UndoneHook {
            hook: undo.hook.clone(),
            parent: undo.execution.clone(),
            outcome: UndoOutcome::of(undo.is_done),
            interrupted: undo.is_again,
            shared_object: undo.set_up_for.clone(),
        }
    }
}

impl From<&WaitRecord> for Wait {
    fn from(wait: &WaitRecord) -> Wait {
        Wait {
            hook: wait.hook.clone(),
            device: wait.device.clone(),
            reason: wait.reason.clone(),
            start_s: Seconds::of_micros(wait.start_us),
            duration_s: Seconds::of_micros(wait.duration_us),
        }
    }
}

impl KeptRun {
    /// Makes one of which only the summary is known.
    fn of_summary(head: RunHead) -> KeptRun {
        let run = Run {
            head,
            device: None,
            failure: None,
            stdout: None,
            stderr: None,
            changed_document: false,
            left_running: Vec::new(),
            job: None,
            path: None,
        };
        KeptRun::new(run, None, None)
    }

    fn new(
        run: Run,
        command: Option<&CommandLine>,
        registered: Option<&HookRegistration>,
    ) -> KeptRun {
        let command = command.cloned().unwrap_or_default();
        KeptRun {
            run,
            command: None,
            args: command.args,
            args_stdin: command.args_stdin,
            args_values: command.values,
            args_document_bytes: command.document_bytes,
            command_line: None,
            registration: registered.map(|registered| text(&registered.path)),
            registration_sha256: registered.map(|registered| registered.sha256.clone()),
            sha256: None,
            limit_s: None,
            undo: None,
        }
    }

    fn of(kept: &RunRecord, record: &Record) -> KeptRun {
        let head = RunHead {
            hook: kept.hook.clone(),
            event: kept.event.clone(),
            state: kept.outcome.into(),
            timed_out: kept.outcome == RecordOutcome::Timeout,
            start_s: kept.start_us.map(Seconds::of_micros),
            duration_s: kept.duration_us.map(Seconds::of_micros),
            status: Some(kept.status),
        };
        let run = Run {
            head,
            device: kept.device.clone(),
            failure: kept.failure.clone(),
            stdout: Some(text(&kept.stdout)),
            stderr: Some(text(&kept.stderr)),
            changed_document: kept.changed_document,
            left_running: kept.leftovers.iter().map(Process::from).collect(),
            job: kept.job.clone(),
            path: Some(text(&kept.path)),
        };
        KeptRun {
            command: command_line::words(kept),
            command_line: command_line::line(kept, &record.body.arguments, true),
            sha256: kept.sha256.clone(),
            limit_s: kept.limit_us.map(Seconds::of_micros),
            undo: kept.undo.as_ref().map(UndoneHook::from),
            ..KeptRun::new(
                run,
                kept.command.as_ref(),
                record.head.registration_of(left_rollback::hook_of(&kept.hook)),
            )
        }
    }
}

impl Show {
    pub(crate) fn new(
        record: &Record,
        seen: &Seen,
        later: &[Seen],
        job: Option<String>,
        passed_over: Vec<String>,
        waited_in_queue_us: Option<u64>,
    ) -> Show {
        let Record { head, body } = record;
        let optional = |document: &Option<RecordText>| document.as_ref().map(text);
        // an execution that hasn't ended has only the summaries of its planned runs
        let now = Execution::from(seen);
        let runs = match head.state.is_over() {
            true => body.runs.iter().map(|run| KeptRun::of(run, record)).collect(),
            false => now.runs.iter().cloned().map(KeptRun::of_summary).collect(),
        };
        let mut call = now.call;
        call.hooks_dir = Some(text(&body.hooks_dir));
        Show {
            call,
            arguments: body.arguments.iter().map(text).collect(),
            daemon: body.daemon.clone(),
            plan: body.plan.iter().map(PlannedHook::from).collect(),
            runs,
            waits: body.waits.iter().chain(&seen.progress.waits).map(Wait::from).collect(),
            waited_in_queue_s: waited_in_queue_us.map(Seconds::of_micros),
            notes: Message::all(&body.notes),
            stderr: text(&body.stderr),
            document: optional(&body.document),
            document_after: optional(&body.document_after),
            started_document: optional(&body.started_document),
            left_out: body.left_out.clone(),
            document_masked: body.is_masked,
            later: later.iter().map(Execution::from).collect(),
            running: now.running,
            mended_by: now.mended_by,
            detached: now.detached,
            job,
            passed_over,
        }
    }
}

fn text(text: &RecordText) -> String {
    text.lossy().into_owned()
}
