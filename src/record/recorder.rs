//! Who writes down what happens in a call. Nothing that goes wrong here has any effect on it.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::form::{
    Body, Cause, FORMAT, Head, HookHead, LeftRunning, Outcome, Process, Record, RunRecord, State,
};
use super::mask::{self, Secrets};
use super::spool::Spool;
use super::store;
use super::text::Text;
use crate::answer::Answer;
use crate::config::Settings;
use crate::config::settings::RecordPolicy;
use crate::document::exchange::Change;
use crate::document::facts::Facts;
use crate::libvirt::document::MAX_DOCUMENT_BYTES;
use crate::machine::{boot, clock, files, proc};
use crate::occasion::{Execution, Occasion};
use crate::plan::{Decision, Step};
use crate::process::capture::Capture;
use crate::process::job;
use crate::state::Dir;
use crate::witness::{Fact, NotRun, Plan, Run, Witness};
use crate::witness::{PlanDecision, Planned};

/// Programs up to this size are told by their SHA-256, in bytes: it is worked out while they run.
const MOST_HASHED: u64 = 256 * 1024;

/// The record of one call, from its beginning to its answer.
pub(crate) struct Recorder {
    cause: Cause,
    began: Instant,
    began_us: u64,
    /// There once the call has begun, where it is to be recorded.
    open: Option<Open>,
}

/// What came of writing it down.
#[derive(Default)]
pub(crate) struct Kept {
    /// There where the call was to be recorded.
    pub execution: Option<Execution>,
    pub place: Option<Place>,
    /// What went wrong, in words.
    pub trouble: Option<String>,
}

/// Where a call's record lies, and where it will.
#[derive(Clone, Debug)]
pub struct Place {
    pub spool: Spool,
    pub state_dir: Dir,
}

struct Open {
    execution: Execution,
    place: Place,
    record: Record,
    /// Hooks that have been started and aren't over.
    started: Vec<Started>,
    /// Places in the plan of what is to run and hasn't yet, by hook: of one, those of a guest's devices.
    waiting: HashMap<String, VecDeque<usize>>,
    is_bypassed: bool,
    secrets: Secrets,
    /// Why it wasn't written down when it began.
    trouble: Option<io::Error>,
}

struct Started {
    label: String,
    device: Option<String>,
    start_us: u64,
    sha256: Option<String>,
}

impl Place {
    pub fn new(settings: &Settings) -> Place {
        Place { spool: Spool::new(&settings.runtime_dir), state_dir: settings.state_dir.clone() }
    }
}

impl Recorder {
    /// Goes on with the record that another process has begun, in whose place this one is. Where
    /// there is none, nothing is written.
    pub(crate) fn resume(cause: Cause, execution: &Execution, place: &Place) -> Recorder {
        let mut recorder = Recorder::new(cause);
        let Ok(mut record) = store::read(place.spool.running(), &execution.id) else {
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
            is_bypassed: false,
            trouble: None,
            waiting: HashMap::new(),
        });
        recorder
    }

    pub(crate) fn new(cause: Cause) -> Recorder {
        Recorder { cause, began: Instant::now(), began_us: clock::unix_microseconds(), open: None }
    }

    /// Keeps the passwords of a document out of what is written down.
    pub(crate) fn hide(&mut self, document: &[u8]) {
        if let Some(open) = &mut self.open {
            open.secrets.add(document);
        }
    }

    /// Writes down how it ended.
    pub(crate) fn finish(self, answer: &Answer) -> Kept {
        let duration_us = micros(self.began);
        let Some(open) = self.open else { return Kept::default() };
        let Open { execution, place, mut record, is_bypassed, trouble, secrets, .. } = open;
        let spool = &place.spool;
        let Record { head, body } = &mut record;
        head.state = State::Done;
        head.duration_us = Some(duration_us);
        head.status = Some(answer.status);
        body.stderr = Text(secrets.mask(answer.stderr.as_bytes()).into_owned());
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
            _ if is_bypassed => Outcome::Bypassed,
            Some(run) => run.outcome,
            None if answer.status != 0 => Outcome::Failure,
            None => Outcome::Success,
        };
        head.hooks = body.runs.iter().map(hook_head).collect();
        let trouble = match spool.finish(&mut record) {
            Ok(()) => trouble
                .map(|error| format!("the record of this call was kept only at its end: {error}")),
            Err(error) => {
                spool.count(super::spool::Dropped { records: 1, journal: 0 });
                Some(format!(
                    "the record of this call can't be kept in {}: {error}",
                    spool.base().unchecked_path().display()
                ))
            }
        };
        Kept { execution: Some(execution), trouble, place: Some(place) }
    }

    fn begin(&mut self, execution: &Execution, occasion: &Occasion<'_>) {
        if occasion.settings.record == RecordPolicy::None {
            return;
        }
        let call = occasion.call;
        let head = Head {
            format: FORMAT,
            id: execution.id.clone(),
            state: State::Running,
            outcome: Outcome::Unknown,
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
        };
        let body = Body {
            arguments: call.arguments.iter().map(|argument| argument.as_os_str().into()).collect(),
            hooks_dir: occasion.settings.hooks_dir.as_os_str().into(),
            daemon: occasion.surroundings.daemon(),
            path: occasion.surroundings.path.as_deref().map(Text::from),
            home: occasion.surroundings.daemons_home.as_deref().map(Text::from),
            document: occasion.document().map(masked),
            ..Body::default()
        };
        let mut secrets = Secrets::default();
        secrets.add(occasion.document().unwrap_or_default());
        self.open = Some(Open {
            secrets,
            execution: execution.clone(),
            place: Place::new(occasion.settings),
            record: Record { head, body },
            started: Vec::new(),
            waiting: HashMap::new(),
            is_bypassed: false,
            trouble: None,
        });
    }
}

impl Open {
    /// The intent is kept before anything runs.
    fn plan(&mut self, plan: &Plan<'_>) {
        let Record { head, body } = &mut self.record;
        head.origin = plan.origin.map(|origin| origin.name().to_owned());
        body.plan = plan.planned.to_vec();
        let limit = MAX_DOCUMENT_BYTES as u64;
        let started = plan.started.and_then(|path| files::read_regular(path, limit).ok());
        self.secrets.add(started.as_deref().unwrap_or_default());
        body.started_document = started.map(|bytes| masked(&bytes));
        head.hooks = body
            .plan
            .iter()
            .filter(|planned| planned.decision != PlanDecision::Out)
            .map(|planned| HookHead {
                hook: planned.hook.clone(),
                event: planned.event.clone(),
                outcome: Outcome::Unknown,
                duration_us: None,
            })
            .collect();
        for (place, planned) in body.plan.iter().enumerate() {
            if planned.decision == PlanDecision::Run {
                self.waiting.entry(planned.hook.clone()).or_default().push_back(place);
            }
        }
        self.trouble = self.place.spool.begin(&self.record).err();
    }

    fn over(&mut self, run: &Run) {
        // devices are gone through in the order of the plan
        let plan = &self.record.body.plan;
        if let Some(places) = self.waiting.get_mut(&run.label) {
            let next = places.front().and_then(|place| plan.get(*place));
            if next.is_some_and(|planned| planned.device == run.device) {
                places.pop_front();
            }
        }
        let is_it = |started: &Started| started.label == run.label && started.device == run.device;
        let place = self.started.iter().position(is_it);
        let started = place.map(|place| self.started.remove(place));
        let ended = run.ended.as_ref();
        let outcome = match (ended.map(|ended| &ended.outcome), &run.failure) {
            (Some(job::Outcome::TimedOut { .. }), Some(_)) => Outcome::Timeout,
            (None, Some(failure)) if failure.status == crate::process::exit_status::TIMED_OUT => {
                Outcome::Timeout
            }
            (_, Some(_)) => Outcome::Failure,
            (None, None) => Outcome::Queued,
            (Some(_), None) => Outcome::Success,
        };
        let duration = ended.map(|ended| ended.duration.as_micros());
        let stream = |stream: &Capture| Text(self.secrets.mask_stream(stream));
        self.record.body.runs.push(RunRecord {
            hook: run.label.clone(),
            event: run.event.clone(),
            device: run.device.clone(),
            path: run.path.as_os_str().into(),
            start_us: started.as_ref().map(|started| started.start_us),
            sha256: started.and_then(|started| started.sha256),
            outcome,
            duration_us: duration.and_then(|duration| u64::try_from(duration).ok()),
            status: run.failure.as_ref().map_or(0, |failure| failure.status),
            failure: run
                .failure
                .as_ref()
                .map(|failure| self.secrets.mask_text(&failure.what).into_owned()),
            stdout: ended.map(|ended| stream(&ended.stdout)).unwrap_or_default(),
            stderr: ended.map(|ended| stream(&ended.stderr)).unwrap_or_default(),
            changed_document: run.change == Change::Taken,
            leftovers: ended
                .iter()
                .flat_map(|ended| &ended.leftovers)
                .map(|left| LeftRunning { pid: left.pid, name: left.name.clone() })
                .collect(),
            job: run.job.clone(),
        });
    }

    fn out(&mut self, label: &str, why: NotRun<'_>) {
        let place = self.waiting.get_mut(label).and_then(VecDeque::pop_front);
        if let Some(entry) = place.and_then(|place| self.record.body.plan.get_mut(place)) {
            entry.decision = why.decision();
            entry.reason = Some(why.to_string());
        }
    }
}

impl Witness for Recorder {
    fn see(&mut self, execution: &Execution, fact: &Fact<'_>) {
        if let Fact::Begun(occasion) = fact {
            return self.begin(execution, occasion);
        }
        let began = self.began;
        let Some(open) = &mut self.open else { return };
        match fact {
            Fact::Begun(_) | Fact::Slow { .. } => {}
            Fact::Planned(plan) => open.plan(plan),
            Fact::Started { label, device, path, at } => open.started.push(Started {
                label: (*label).to_owned(),
                device: device.map(str::to_owned),
                start_us: micros_between(began, *at),
                sha256: path.and_then(sha256),
            }),
            Fact::Over(run) => open.over(run),
            Fact::Out { label, why } => open.out(label, *why),
            Fact::Warning { label, words } => {
                let words = format!("{label}: {words}");
                let words = open.secrets.mask_text(&words).into_owned();
                open.record.body.notes.push(words);
            }
            Fact::Trouble(words) => {
                let words = open.secrets.mask_text(words).into_owned();
                open.record.body.notes.push(words);
            }
            Fact::Given(document) => {
                open.secrets.add(document);
                open.record.body.document_after = Some(masked(document));
            }
            Fact::Bypassed(words) => {
                open.is_bypassed = true;
                open.record.body.notes.push((*words).to_owned());
            }
        }
    }
}

/// A step as a record has it.
pub(crate) fn planned(step: &Step, facts: &Facts) -> Planned {
    let device = step.device.and_then(|index| facts.metadata.devices.get(index));
    Planned {
        hook: step.hook.label.clone(),
        event: step.event.as_deref().map(str::to_owned),
        device: device.map(|device| device.label.clone()),
        decision: decision_of(step),
        reason: step.decision.reason().map(str::to_owned),
    }
}

/// The word that a record, and `hookmux plan`, have for what is to become of a step.
pub(crate) fn decision_of(step: &Step) -> PlanDecision {
    match step.decision {
        Decision::Run => PlanDecision::Run,
        Decision::Fails { .. } => PlanDecision::Fail,
        Decision::Out(_) | Decision::Odd(_) => PlanDecision::Out,
    }
}

fn hook_head(run: &RunRecord) -> HookHead {
    HookHead {
        hook: run.hook.clone(),
        event: run.event.clone(),
        outcome: run.outcome,
        duration_us: run.duration_us,
    }
}

fn masked(bytes: &[u8]) -> Text {
    Text(mask::passwords(bytes).into_owned())
}

fn micros(since: Instant) -> u64 {
    micros_between(since, Instant::now())
}

fn micros_between(since: Instant, until: Instant) -> u64 {
    u64::try_from(until.saturating_duration_since(since).as_micros()).unwrap_or(u64::MAX)
}

/// This process.
fn here() -> Process {
    let pid = nix::unistd::getpid().as_raw();
    Process { boot: boot::id(), pid, start: proc::start_time(pid).unwrap_or_default() }
}

impl Process {
    /// Whether it still runs.
    pub fn is_alive(&self) -> bool {
        proc::is_running(self.pid, self.start) && boot::id() == self.boot
    }
}

fn sha256(path: &Path) -> Option<String> {
    Some(files::sha256(&files::read_regular(path, MOST_HASHED).ok()?))
}
