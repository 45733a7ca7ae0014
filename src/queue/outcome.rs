//! What is told of a job that comes to its end without having run: a record, and the journal.

use super::item::{Body, Head};
use crate::answer::Answer;
use crate::config::{Settings, Surroundings};
use crate::document::exchange::Change;
use crate::document::facts::Facts;
use crate::libvirt::Document;
use crate::machine::ulid;
use crate::occasion::{Execution, Occasion};
use crate::process::exit_status::OWN_ERROR;
use crate::record::form::Cause;
use crate::record::recorder::{Place, Recorder};
use crate::verdict::HookFailure;
use crate::witness::{Fact, Plan, Run, Witness};
use crate::witness::{PlanDecision, Planned};

/// Begins the record of a try, which stands beside that of the call that queued the job.
pub(super) fn begin(
    settings: &Settings,
    surroundings: &Surroundings,
    head: &Head,
    document: Option<&[u8]>,
) -> Recorder {
    let mut recorder = Recorder::new(Cause::Queue(head.execution.clone()));
    let call = head.call();
    let execution = Execution { id: ulid::new(), ..head.queued_by() };
    let document = document.map_or(Document::Absent, |bytes| Document::Whole(bytes.to_vec()));
    let mut occasion = Occasion::new(&call, settings, surroundings, Facts::of_head(document));
    occasion.execution = execution.clone();
    recorder.see(&execution, &Fact::Begun(&occasion));
    let planned = Planned {
        hook: head.hook.clone(),
        event: head.event.clone(),
        device: None,
        decision: PlanDecision::Run,
        reason: None,
    };
    let plan = Plan { planned: &[planned], origin: None, started: None };
    recorder.see(&execution, &Fact::Planned(plan));
    recorder
}

/// Keeps a record of a job that is not run again: why. Returns where it lies.
pub(super) fn record_end(
    settings: &Settings,
    surroundings: &Surroundings,
    witness: &mut dyn Witness,
    (head, body): (&Head, Option<&Body>),
    words: &str,
) -> Option<Place> {
    let document = body.and_then(|body| body.document.as_ref());
    let document = document.map(|document| document.0.as_slice());
    let mut recorder = begin(settings, surroundings, head, document);
    let own = head.queued_by();
    let failure = HookFailure {
        label: head.hook.clone(),
        status: OWN_ERROR,
        what: words.to_owned(),
        stderr: Vec::new(),
        kill: false,
        is_tolerated: true,
    };
    let run = Run {
        label: head.hook.clone(),
        event: head.event.clone(),
        device: None,
        path: body.map(|body| body.job.program().to_path_buf()).unwrap_or_default(),
        ended: None,
        change: Change::None,
        failure: Some(failure),
        job: Some(head.id.clone()),
    };
    recorder.see(&own, &Fact::Over(&run));
    finish(recorder, witness, head, OWN_ERROR)
}

/// Ends a record; that it can't be kept is told. Returns where it lies.
pub(super) fn finish(
    recorder: Recorder,
    witness: &mut dyn Witness,
    head: &Head,
    status: i32,
) -> Option<Place> {
    let kept = recorder.finish(&Answer { status, ..Answer::default() });
    if let Some(trouble) = kept.trouble {
        witness.see(&head.queued_by(), &Fact::Trouble(&trouble));
    }
    kept.place
}
