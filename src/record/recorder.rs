//! Writes the record of a call. Errors here never affect the call.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::form::{
    FORMAT, HookRegistration, HookSummary, LeftRunning, Record, RecordBody, RecordCause,
    RecordHead, RecordOutcome, RecordProcess, RecordRemote, RecordState, RunRecord, WaitRecord,
};
use super::mask::{self, Secrets};
use super::open_event::OpenEvent;
use super::outbox::event::EventFacts;
use super::running::{self, RunningFile};
use super::spool::{Dropped, Spool};
use super::store;
use super::text::RecordText;
use crate::answer::Answer;
use crate::config::Settings;
use crate::config::settings::RecordPolicy;
use crate::document::exchange::Change;
use crate::libvirt::document::MAX_DOCUMENT_BYTES;
use crate::machine::{boot, clock, files, proc, sanitize};
use crate::observer::PlannedRegistration;
use crate::observer::{CallPlan, CommandLine, HookRun, NotRun, Notice, Observer};
use crate::observer::{PlanDecision, PlanEntry};
use crate::occasion::{Execution, Occasion};
use crate::process::capture::Capture;
use crate::process::job;
use crate::verdict::HookFailure;

/// The size limit, in bytes, of programs whose SHA-256 is recorded: it is computed while they run.
const MAX_HASHED_BYTES: u64 = 256 * 1024;

/// The record of one call, from its beginning to its answer.
pub(crate) struct Recorder {
    cause: RecordCause,
    began: Instant,
    began_us: u64,
    /// Set once the call has begun, if it is to be recorded.
    open: Option<Open>,
}

/// The result of writing a record.
#[derive(Default)]
pub(crate) struct RecorderResult {
    /// Set if the call was to be recorded.
    pub execution: Option<Execution>,
    pub place: Option<RecordPlace>,
    /// The error, in words.
    pub error: Option<String>,
}

/// Where a call's record is written.
#[derive(Clone, Debug)]
pub(crate) struct RecordPlace {
    pub spool: Spool,
}

struct Open {
    execution: Execution,
    place: RecordPlace,
    record: Record,
    /// Hooks that have been started and haven't ended.
    started: Vec<StartedHook>,
    /// Indexes in the plan of hooks that still have to run, by label: a hook of a device event has one for
    /// each device.
    waiting: HashMap<String, VecDeque<usize>>,
    /// What runs at this moment.
    running: RunningFile,
    is_bypassed: bool,
    secrets: Secrets,
    /// Whether a record is kept.
    is_kept: bool,
    event: Option<OpenEvent>,
    /// Why the record wasn't written at the beginning.
    error: Option<io::Error>,
}

struct StartedHook {
    label: String,
    device: Option<String>,
    start_us: u64,
    limit_us: Option<u64>,
    sha256: Option<String>,
}

impl RecordPlace {
    pub(crate) fn new(settings: &Settings) -> RecordPlace {
        RecordPlace { spool: Spool::new(&settings.runtime_dir) }
    }
}

impl Recorder {
    /// Continues the record that another process has begun, which this process replaces. Where there is
    /// none, nothing is written.
    pub(crate) fn resume(
        cause: RecordCause,
        execution: &Execution,
        place: &RecordPlace,
        event: Option<EventFacts>,
    ) -> Recorder {
        let mut recorder = Recorder::new(cause);
        let (spool, id) = (&place.spool, &execution.id);
        let kept = store::read(spool.running(), id).map(|record| (record, true));
        let begun = kept.or_else(|_| store::read(spool.unkept(), id).map(|record| (record, false)));
        // the process may have died after it had written the event
        let event = event.filter(|_| !spool.has_event(id));
        let Ok((mut record, is_kept)) = begun else {
            spool.count(Dropped { events: event.is_some().into(), ..Dropped::default() });
            return recorder;
        };
        let passed_us = recorder.began_us.saturating_sub(record.head.began_us);
        let passed = Duration::from_micros(passed_us);
        recorder.began = recorder.began.checked_sub(passed).unwrap_or(recorder.began);
        recorder.began_us = record.head.began_us;
        record.head.process = here();
        recorder.open = Some(Open {
            secrets: Secrets::default(),
            execution: execution.clone(),
            place: place.clone(),
            record,
            started: Vec::new(),
            running: RunningFile::default(),
            is_bypassed: false,
            is_kept,
            event: event.map(OpenEvent::new),
            error: None,
            waiting: HashMap::new(),
        });
        recorder
    }

    pub(crate) fn new(cause: RecordCause) -> Recorder {
        Recorder { cause, began: Instant::now(), began_us: clock::unix_microseconds(), open: None }
    }

    /// Returns why a hook failed, without the passwords of the execution's documents. Where nothing is recorded they
    /// aren't known, and what the hook said is left out.
    pub(crate) fn reason(&self, failure: &HookFailure) -> String {
        match &self.open {
            Some(open) => {
                failure.reason(&|text: String| open.secrets.mask_text(&text).into_owned())
            }
            None => failure.what.clone(),
        }
    }

    /// Adds the passwords of a document to those that are masked in the record.
    pub(crate) fn add_secrets_of(&mut self, document: &[u8]) {
        if let Some(open) = &mut self.open {
            open.secrets.add(document);
        }
    }

    /// Writes the end of the call.
    pub(crate) fn finish(self, answer: &Answer) -> RecorderResult {
        let duration_us = micros(self.began);
        let Some(open) = self.open else { return RecorderResult::default() };
        let Open {
            execution, place, mut record, is_bypassed, is_kept, event, error, secrets, ..
        } = open;
        let spool = &place.spool;
        let Record { head, body } = &mut record;
        head.state = RecordState::Done;
        head.duration_us = Some(duration_us);
        head.status = Some(answer.status);
        body.stderr = RecordText(secrets.mask(answer.stderr.as_bytes()).into_owned());
        if let Some(document) = &answer.stdout {
            body.document_after = Some(masked(document));
        }
        let failed = body.runs.iter().find(|run| run.outcome.is_failure());
        head.failure = match failed {
            Some(run) => {
                let what = run.failure.as_deref().unwrap_or_default();
                Some(format!("{}: {what}", run.hook))
            }
            None if answer.status != 0 => body.stderr.lossy().lines().next().map(str::to_owned),
            None => None,
        };
        head.outcome = match failed {
            _ if is_bypassed => RecordOutcome::Bypassed,
            Some(run) => run.outcome,
            None if answer.status != 0 => RecordOutcome::Failure,
            None => RecordOutcome::Success,
        };
        head.hooks = body.runs.iter().map(hook_head).collect();
        body.owed_event = None;
        // before the record: where a call has its end in a record, its event isn't lost
        let unsent = event.and_then(|event| event.write(&record, &secrets, spool).err());
        let finished = if is_kept { spool.finish(&mut record) } else { Ok(()) };
        let directory = || spool.base().unchecked_path().display();
        let error = match finished {
            Ok(()) => error
                .map(|error| format!("the record of this call was kept only at its end: {error}")),
            Err(error) => {
                spool.count(Dropped { records: 1, ..Dropped::default() });
                Some(format!("the record of this call can't be kept in {}: {error}", directory()))
            }
        };
        let unsent = unsent.map(|error| {
            spool.count(Dropped { events: 1, ..Dropped::default() });
            format!("the event of this call can't be kept in {}: {error}", directory())
        });
        if !is_kept {
            spool.end_unkept(&execution.id);
        }
        let error = match (error, unsent) {
            (Some(error), Some(unsent)) => Some(format!("{error}; {unsent}")),
            (error, unsent) => error.or(unsent),
        };
        RecorderResult { execution: Some(execution), error, place: Some(place) }
    }

    fn begin(&mut self, execution: &Execution, occasion: &Occasion<'_>) {
        let is_kept = occasion.settings.record != RecordPolicy::None;
        let event = EventFacts::of(occasion).map(OpenEvent::new);
        if !is_kept && event.is_none() {
            return;
        }
        let call = occasion.call;
        let head = RecordHead {
            format: FORMAT,
            id: execution.id.clone(),
            state: RecordState::Running,
            outcome: RecordOutcome::Unknown,
            cause: self.cause.clone(),
            driver: execution.driver.to_owned(),
            object: execution.object.clone(),
            operation: execution.operation.clone(),
            sub_operation: call.sub_operation().to_string_lossy().into_owned(),
            extra: call.extra().to_string_lossy().into_owned(),
            uuid: execution.uuid.clone(),
            class: call.class().name().to_owned(),
            origin: None,
            began_us: self.began_us,
            duration_us: None,
            status: None,
            failure: None,
            hooks: Vec::new(),
            process: here(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hooks_dir: Some(occasion.settings.hooks_dir.to_string_lossy().into_owned()),
            registrations: Some(Vec::new()),
            digest: None,
            remote: occasion.mode.remote().map(|remote| RecordRemote {
                host: remote.host.clone(),
                is_again: remote.is_again,
            }),
            is_untrusted: false,
        };
        let document = occasion.document().map(mask::passwords);
        let body = RecordBody {
            arguments: call.arguments.iter().map(|argument| argument.as_os_str().into()).collect(),
            hooks_dir: occasion.settings.hooks_dir.as_os_str().into(),
            daemon: occasion.surroundings.daemon(),
            path: occasion.surroundings.path.as_deref().map(RecordText::from),
            home: occasion.surroundings.daemons_home.as_deref().map(RecordText::from),
            is_masked: Some(document.as_ref().is_some_and(|it| matches!(it, Cow::Owned(_)))),
            document: document.map(|document| RecordText(document.into_owned())),
            ..RecordBody::default()
        };
        let mut secrets = Secrets::default();
        secrets.add(occasion.document().unwrap_or_default());
        self.open = Some(Open {
            secrets,
            execution: execution.clone(),
            place: RecordPlace::new(occasion.settings),
            record: Record { head, body },
            started: Vec::new(),
            waiting: HashMap::new(),
            running: RunningFile::default(),
            is_bypassed: false,
            is_kept,
            event,
            error: None,
        });
    }
}

impl Open {
    /// Records the plan, before any hook runs.
    fn plan(&mut self, plan: &CallPlan<'_>) {
        let Record { head, body } = &mut self.record;
        head.origin = plan.origin.map(|origin| origin.name().to_owned());
        head.digest.clone_from(&plan.digest);
        body.plan = plan.planned.to_vec();
        let limit = MAX_DOCUMENT_BYTES as u64;
        let started = plan.started.and_then(|path| files::read_regular(path, limit).ok());
        self.secrets.add(started.as_deref().unwrap_or_default());
        body.started_document = started.map(|bytes| masked(&bytes));
        head.hooks = body
            .plan
            .iter()
            .filter(|planned| planned.decision != PlanDecision::Out)
            .map(|planned| HookSummary {
                hook: planned.hook.clone(),
                event: planned.event.clone(),
                outcome: RecordOutcome::Unknown,
                duration_us: None,
                start_us: None,
                status: None,
            })
            .collect();
        for (place, planned) in body.plan.iter().enumerate() {
            if planned.decision == PlanDecision::Run {
                self.waiting.entry(planned.hook.clone()).or_default().push_back(place);
            }
        }
        for PlannedRegistration { hook, path, sha256, text } in &plan.registrations {
            if self.is_kept {
                self.place.spool.keep_text(sha256, *text);
            }
            head.registrations.get_or_insert_default().push(HookRegistration {
                hook: (*hook).to_owned(),
                path: path.as_os_str().into(),
                sha256: (*sha256).to_owned(),
            });
        }
        self.begin();
    }

    /// Writes what is known before the first hook runs. Where this process is killed, the mover finds it, with the
    /// event that others get then.
    fn begin(&mut self) {
        let owed = self.event.as_ref().and_then(|it| it.encode(&self.record, &self.secrets).ok());
        self.record.body.owed_event = owed.and_then(|event| String::from_utf8(event).ok());
        let (spool, record) = (&self.place.spool, &self.record);
        match self.is_kept {
            true => self.error = spool.begin(record).err(),
            // without it, only the event of a call that is killed is missing
            false => drop(spool.begin_unkept(record)),
        }
    }

    /// Notes that a process runs: its pid, its start in microseconds since the beginning, its limit.
    fn running(&mut self, label: &str, device: Option<&str>, process: (i32, u64, Duration)) {
        let (pid, start_us, limit) = process;
        let hook = running::StartedHook {
            hook: label.to_owned(),
            device: device.map(str::to_owned),
            pid,
            start_us,
            ..running::StartedHook::default()
        };
        self.running.start(&self.execution.id, hook, limit, &self.record.body);
    }

    fn over(&mut self, run: &HookRun) {
        if let Some(event) = &mut self.event {
            event.note(run);
        }
        // devices come in the order of the plan
        let plan = &self.record.body.plan;
        if let Some(places) = self.waiting.get_mut(&run.label) {
            let next = places.front().and_then(|place| plan.get(*place));
            if next.is_some_and(|planned| planned.device == run.device) {
                places.pop_front();
            }
        }
        let is_it =
            |started: &StartedHook| started.label == run.label && started.device == run.device;
        let place = self.started.iter().position(is_it);
        let started = place.map(|place| self.started.remove(place));
        let ended = run.ended.as_ref();
        let outcome = match (ended.map(|ended| &ended.outcome), &run.failure) {
            (Some(job::ProcessOutcome::TimedOut { .. }), Some(_)) => RecordOutcome::Timeout,
            (None, Some(failure)) if failure.status == crate::process::exit_status::TIMED_OUT => {
                RecordOutcome::Timeout
            }
            (_, Some(_)) => RecordOutcome::Failure,
            (None, None) => RecordOutcome::Queued,
            (Some(_), None) => RecordOutcome::Success,
        };
        let duration = ended.map(|ended| ended.duration.as_micros());
        let stream = |stream: &Capture| RecordText(self.secrets.mask_stream(stream));
        self.record.body.runs.push(RunRecord {
            hook: run.label.clone(),
            event: run.event.clone(),
            device: run.device.clone(),
            path: run.path.as_os_str().into(),
            command: Some(self.masked_command(&run.command)),
            start_us: started.as_ref().map(|started| started.start_us),
            limit_us: started.as_ref().and_then(|started| started.limit_us),
            sha256: started.and_then(|started| started.sha256),
            outcome,
            duration_us: duration.and_then(|duration| u64::try_from(duration).ok()),
            status: run.failure.as_ref().map_or(0, |failure| failure.status),
            failure: run
                .failure
                .as_ref()
                .map(|failure| failure.reason(&|text| self.secrets.mask_text(&text).into_owned())),
            stdout: ended.map(|ended| stream(&ended.stdout)).unwrap_or_default(),
            stderr: ended.map(|ended| stream(&ended.stderr)).unwrap_or_default(),
            changed_document: run.change == Change::Taken,
            leftovers: ended
                .iter()
                .flat_map(|ended| &ended.leftovers)
                .map(|left| LeftRunning { pid: left.pid, name: left.name.clone() })
                .collect(),
            job: run.job.clone(),
            undo: run.undo.clone(),
        });
        if let Some(run) = self.record.body.runs.last() {
            self.running.end(run);
        }
    }

    /// Replaces passwords of the call's documents, which may be arguments too.
    fn masked_command(&self, command: &CommandLine) -> CommandLine {
        let mut command = command.clone();
        let words = command.fixed.iter_mut().chain(&mut command.args);
        for word in words.chain(command.values.values_mut()) {
            if let Cow::Owned(masked) = self.secrets.mask_text(word) {
                *word = masked;
            }
        }
        command
    }

    fn out(&mut self, label: &str, why: NotRun<'_>) {
        let place = self.waiting.get_mut(label).and_then(VecDeque::pop_front);
        if let Some(entry) = place.and_then(|place| self.record.body.plan.get_mut(place)) {
            entry.decision = why.decision();
            entry.reason = Some(why.to_string());
        } else if !self.record.body.plan.iter().any(|planned| planned.hook == label) {
            // an undo, which the call's plan doesn't have
            let (hook, reason) = (label.to_owned(), Some(why.to_string()));
            let entry =
                PlanEntry { hook, decision: why.decision(), reason, ..PlanEntry::default() };
            self.record.body.plan.push(entry);
        }
    }
}

impl Observer for Recorder {
    fn observe(&mut self, execution: &Execution, notice: &Notice<'_>) {
        if let Notice::Begun(occasion) = notice {
            return self.begin(execution, occasion);
        }
        let began = self.began;
        let Some(open) = &mut self.open else { return };
        match notice {
            Notice::Begun(_) | Notice::Slow { .. } | Notice::Output { .. } => {}
            Notice::Planned(plan) => open.plan(plan),
            Notice::Started { label, device, path, at, pid, limit } => {
                let start_us = micros_between(began, *at);
                open.running(label, *device, (*pid, start_us, *limit));
                open.started.push(StartedHook {
                    label: (*label).to_owned(),
                    device: device.map(str::to_owned),
                    start_us,
                    limit_us: running::limit_us(*limit),
                    sha256: path.and_then(sha256),
                });
            }
            Notice::CheckStarted { label, device, at, pid, limit } => {
                let process = (*pid, micros_between(began, *at), *limit);
                open.running(&running::check_label(label), *device, process);
            }
            Notice::CheckEnded { label, device } => {
                open.running.end_check(running::check_label(label), *device);
            }
            Notice::Waited { label, device, reason, at, time } => {
                let wait = WaitRecord {
                    hook: label.map(str::to_owned),
                    device: device.map(str::to_owned),
                    reason: reason.to_string(),
                    start_us: micros_between(began, *at),
                    duration_us: u64::try_from(time.as_micros()).unwrap_or(u64::MAX),
                };
                open.running.wait(&wait);
                open.record.body.waits.push(wait);
            }
            Notice::LastLine { label, device, line } => {
                let line = open.secrets.mask(line);
                open.running.say(label, *device, &sanitize::line(&line));
            }
            Notice::Finished(run) => open.over(run),
            Notice::Skipped { label, why } => open.out(label, *why),
            Notice::Warning { label, words } => {
                let words = format!("{label}: {words}");
                let words = open.secrets.mask_text(&words).into_owned();
                open.record.body.notes.push(words);
            }
            Notice::OwnError(words) => {
                let words = open.secrets.mask_text(words).into_owned();
                open.record.body.notes.push(words);
            }
            Notice::DocumentGiven(document) => {
                open.secrets.add(document);
                open.record.body.document_after = Some(masked(document));
            }
            Notice::Bypassed(words) => {
                open.is_bypassed = true;
                open.record.body.notes.push((*words).to_owned());
            }
        }
    }
}

fn hook_head(run: &RunRecord) -> HookSummary {
    HookSummary {
        hook: run.hook.clone(),
        event: run.event.clone(),
        outcome: run.outcome,
        duration_us: run.duration_us,
        start_us: run.start_us,
        status: (run.outcome != RecordOutcome::Queued).then_some(run.status),
    }
}

fn masked(bytes: &[u8]) -> RecordText {
    RecordText(mask::passwords(bytes).into_owned())
}

fn micros(since: Instant) -> u64 {
    micros_between(since, Instant::now())
}

fn micros_between(since: Instant, until: Instant) -> u64 {
    u64::try_from(until.saturating_duration_since(since).as_micros()).unwrap_or(u64::MAX)
}

/// Returns the identity of this process.
fn here() -> RecordProcess {
    let pid = nix::unistd::getpid().as_raw();
    RecordProcess { boot: boot::id(), pid, start: proc::start_time(pid).unwrap_or_default() }
}

impl RecordProcess {
    /// Tells whether the process still runs.
    pub fn is_alive(&self) -> bool {
        proc::is_running(self.pid, self.start) && boot::id() == self.boot
    }
}

/// Returns the SHA-256 of a program; `None` where it can't be read, or is larger than those that are recorded.
pub(crate) fn sha256(path: &Path) -> Option<String> {
    Some(files::sha256(&files::read_regular(path, MAX_HASHED_BYTES).ok()?))
}
