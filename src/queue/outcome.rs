//! Records of attempts, and of jobs that end without having run.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::item::{ItemBody, ItemHead};
use crate::answer::Answer;
use crate::config::{Settings, Surroundings};
use crate::document::facts::DocumentFacts;
use crate::libvirt::Document;
use crate::machine::ulid;
use crate::observer::{CallPlan, HookIdentity, HookRun, Notice, Observer};
use crate::observer::{PlanDecision, PlanEntry, PlannedRegistration};
use crate::occasion::{Execution, Occasion};
use crate::process::exit_status::OWN_ERROR;
use crate::process::job::FinishedJob;
use crate::record::form::RecordCause;
use crate::record::recorder::{RecordPlace, Recorder};

/// Begins the record of an attempt, which is separate from that of the call that queued the job.
pub(super) fn begin(
    settings: &Settings,
    surroundings: &Surroundings,
    head: &ItemHead,
    document: Option<&[u8]>,
) -> Recorder {
    let mut recorder = Recorder::new(RecordCause::Queue(head.execution.clone()));
    let call = head.call();
    let execution = Execution { id: ulid::new(), ..head.queued_by() };
    let document = document.map_or(Document::Absent, |bytes| Document::Whole(bytes.to_vec()));
    let facts = DocumentFacts::without_content(document);
    let occasion = Occasion::of_execution(&call, settings, surroundings, facts, execution);
    recorder.observe(&occasion.execution, &Notice::Begun(&occasion));
    let planned = PlanEntry {
        hook: head.hook.clone(),
        event: head.event.clone(),
        device: None,
        decision: PlanDecision::Run,
        reason: None,
    };
    let registration = head.registered.as_ref().map(|registered| PlannedRegistration {
        hook: &head.hook,
        path: Path::new(OsStr::from_bytes(&registered.path.0)),
        sha256: &registered.sha256,
        // the call kept it
        text: None,
    });
    let registrations = registration.into_iter().collect();
    let plan =
        CallPlan { planned: &[planned], origin: None, started: None, registrations, digest: None };
    recorder.observe(&occasion.execution, &Notice::Planned(plan));
    recorder
}

/// Writes a record of why a job is not run again. Returns where it is.
pub(super) fn record_end(
    settings: &Settings,
    surroundings: &Surroundings,
    observer: &mut dyn Observer,
    (head, body): (&ItemHead, Option<&ItemBody>),
    words: &str,
) -> Option<RecordPlace> {
    let document = body.and_then(|body| body.document.as_ref());
    let document = document.map(|document| document.0.as_slice());
    let mut recorder = begin(settings, surroundings, head, document);
    let program = body.map(|body| body.job.program().to_path_buf()).unwrap_or_default();
    let run = run(head, program, None, Some((OWN_ERROR, words.to_owned())));
    recorder.observe(&head.queued_by(), &Notice::Finished(&run));
    finish(recorder, observer, head, OWN_ERROR)
}

/// Makes the run of a job's program, with or without an attempt.
pub(super) fn run(
    head: &ItemHead,
    program: PathBuf,
    ended: Option<FinishedJob>,
    fault: Option<(i32, String)>,
) -> HookRun {
    let (label, event) = (head.hook.clone(), head.event.clone());
    let command = head.command.clone();
    let hook = HookIdentity { label, event, device: None, path: program, command };
    HookRun { job: Some(head.id.clone()), ..HookRun::tolerated(hook, ended, fault) }
}

/// Ends a record, and reports errors. Returns where it is.
pub(super) fn finish(
    recorder: Recorder,
    observer: &mut dyn Observer,
    head: &ItemHead,
    status: i32,
) -> Option<RecordPlace> {
    let kept = recorder.finish(&Answer { status, ..Answer::default() });
    if let Some(error) = kept.error {
        observer.observe(&head.queued_by(), &Notice::OwnError(&error));
    }
    kept.place
}
