//! The way of one call through the house, and what becomes of it when something of ours fails.
//!
//! ```text
//! argv -> candidates -> none: answer
//!      -> facts (document, guest's state) -> event -> plan -> run -> verdict -> answer
//! ```

pub mod door;
pub mod fault;
pub mod restore;
pub mod take_over;

use std::cell::LazyCell;
use std::io;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use restore::Restore;

use crate::answer::{self, Answer};
use crate::bypass;
use crate::config::settings::RecordPolicy;
use crate::config::{self, Diagnostic, Loaded, Scope, Settings, Surroundings};
use crate::document::exchange::Exchange;
use crate::document::{file, input};
use crate::event::Origin;
use crate::hook::candidates::{self, Candidates};
use crate::libvirt::driver::Front;
use crate::libvirt::{Call, Class, Document, Driver, Operation, document};
use crate::machine::{own_binary, ulid, watchdog};
use crate::memory::guest::{self, Arrival, Guest};
use crate::memory::{self, daemon_reload};
use crate::plan::facts::{self, Facts};
use crate::plan::{self, Decision, Knowledge, property_rules};
use crate::process::supervise::Supervisor;
use crate::queue::{self, Queue};
use crate::record::mover;
use crate::record::recorder::{self, Place};
use crate::registry::Broken;
use crate::run::environment::Environment;
use crate::run::nesting::Nesting;
use crate::run::steps::Course;
use crate::search::directory;
use crate::trust::Trust;
use crate::verdict::Failure;
use crate::witness::{self, Begun, Execution, Fact, Witness};

/// Whether a call is real, or tried by a person: then nothing is remembered for later calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    Real,
    Trial {
        origin: Option<Origin>,
        /// The document of `started`, where it isn't what is remembered of the guest.
        started: Option<PathBuf>,
    },
}

impl Mode {
    /// The origin that a person gave.
    fn told(&self) -> Option<Origin> {
        match self {
            Mode::Trial { origin, .. } => *origin,
            Mode::Real => None,
        }
    }

    /// The signals that end a call: a person at a terminal has one more.
    fn ending_signals(&self) -> &'static [Signal] {
        match self {
            Mode::Real => &[Signal::SIGTERM],
            Mode::Trial { .. } => &[Signal::SIGTERM, Signal::SIGINT],
        }
    }
}

/// Handles a call of libvirt's: reads standard input where it has to.
pub fn handle(front: &Front, call: &Call, witness: &mut dyn Witness) -> Answer {
    let surroundings = Surroundings::here(&front.hooks_dir);
    let mut trust = Trust::new(surroundings.user);
    let mut loaded = config::load(&surroundings, &mut trust, true);
    watchdog::go_on();
    // a session daemon calls the same links as its user: hooks are the administrator's, but for
    // scripts that libvirt itself would call
    let scope = loaded.narrow(&surroundings);
    if !surroundings.is_root() {
        let user = surroundings.user;
        loaded.settings.roots.retain(|root| !directory::is_shut_to(root, user));
    }
    if front.beside && is_main_script_ours(front, &surroundings) {
        return Answer::default();
    }
    if call.operation() == Operation::DaemonStart && scope == Scope::All {
        take_up(&surroundings, &loaded.settings, &mut |words| {
            witness.see(&execution(call, None), &Fact::Trouble(words));
        });
    }
    if call.driver == Driver::Daemon && scope == Scope::All {
        daemon_reload::note(call, &loaded.settings, &surroundings);
    }
    match bypass::load(&surroundings.hooks_dir, &mut trust) {
        Ok(bypass) => {
            if let Some(entry) = bypass.of(call) {
                return passed_over(call, &loaded.settings, &surroundings, entry, witness);
            }
        }
        Err(words) => witness.see(&execution(call, None), &Fact::Trouble(&words)),
    }
    watchdog::go_on();
    let candidates = candidates::find(call, &loaded.settings, &trust, front.beside);
    watchdog::go_on();
    if candidates.is_empty() && scope == Scope::DropIns {
        return Answer::default();
    }
    if candidates.is_empty() && loaded.problem.is_none() {
        return without_hooks(call, &loaded.settings, &surroundings, witness);
    }
    let document = if facts::has_document(call) { input::read() } else { Document::Absent };
    let handling = Handling {
        call,
        surroundings: &surroundings,
        loaded: &loaded,
        candidates: &candidates,
        mode: Mode::Real,
    };
    handling.answer(document, witness)
}

/// What the last boot, or a process that died, has left: documents, and jobs, which without a worker
/// wait for the next call that queues some.
fn take_up(surroundings: &Surroundings, settings: &Settings, shout: &mut dyn FnMut(&str)) {
    for (key, dir) in [("state_dir", &settings.state_dir), ("runtime_dir", &settings.runtime_dir)] {
        if let Err(error) = dir.judge() {
            shout(&format!("{key} {} can't be used: {error}", dir.named().display()));
        }
    }
    // one that an older version made
    file::open_way(&settings.runtime_dir);
    file::sweep(&settings.runtime_dir);
    queue::sweep(settings);
    mover::start(&surroundings.hooks_dir, settings);
    if !Queue::new(&settings.state_dir).is_empty() {
        let _ = queue::start_worker(&surroundings.hooks_dir, &settings.state_dir);
    }
}

/// The document's way through the hooks of a call.
pub fn exchange(
    call: &Call,
    settings: &Settings,
    facts: &Facts,
    execution: &Execution,
) -> Exchange {
    Exchange::new(
        facts.document.bytes().map(<[u8]>::to_vec),
        facts.identity.clone(),
        call.is_filter(),
        execution.operation.clone(),
        file::place(&settings.runtime_dir, &execution.id),
    )
}

/// Called beside a main script that is hookmux too, by a link or as a copy: that one has answered
/// already.
fn is_main_script_ours(front: &Front, surroundings: &Surroundings) -> bool {
    own_binary::is_hookmux(&surroundings.hooks_dir.join(front.driver.name()))
}

/// Runs nothing, and lets nobody overlook it. What is remembered of the guest is kept up; a failure
/// that its restore has left is passed over with all else.
fn passed_over(
    call: &Call,
    settings: &Settings,
    surroundings: &Surroundings,
    entry: &bypass::Entry,
    witness: &mut dyn Witness,
) -> Answer {
    let document = if facts::has_document(call) { input::read() } else { Document::Absent };
    let identity = document.bytes().and_then(document::head).unwrap_or_default();
    let execution = execution(call, identity.plain_uuid());
    witness.see(
        &execution,
        &Fact::Begun(&Begun { call, settings, surroundings, document: document.bytes() }),
    );
    let words = format!(
        "no hook is run: the emergency switch is on for {}; `{}` ends that",
        entry.whose(),
        entry.way_out(&surroundings.hooks_dir)
    );
    witness.see(&execution, &Fact::Bypassed(&words));
    if let Some(guest) = facts::guest(call, &settings.runtime_dir, &identity) {
        let mut troubles = Vec::new();
        let arrival = memory::before(call, settings, &guest, &document, &mut troubles);
        witness.see(&execution, &nothing_planned(&arrival));
        troubles.iter().for_each(|words| witness.see(&execution, &Fact::Trouble(words)));
        memory::after(call, &guest);
    }
    Answer::default()
}

/// Keeps up what is remembered of a guest. The document is read no further than it must be.
fn without_hooks(
    call: &Call,
    settings: &Settings,
    surroundings: &Surroundings,
    witness: &mut dyn Witness,
) -> Answer {
    if settings.record == RecordPolicy::All {
        let document = if facts::has_document(call) { input::read() } else { Document::Absent };
        return nothing_to_run(call, settings, surroundings, &document, witness);
    }
    let drops = || call.driver.is_guest() && guest::is_any_pending(&settings.runtime_dir);
    if !memory::is_asked(call) && !drops() {
        return Answer::default();
    }
    nothing_to_run(call, settings, surroundings, &input::read(), witness)
}

fn nothing_to_run(
    call: &Call,
    settings: &Settings,
    surroundings: &Surroundings,
    document: &Document,
    witness: &mut dyn Witness,
) -> Answer {
    let identity = document.bytes().and_then(document::head).unwrap_or_default();
    let begun = Begun { call, settings, surroundings, document: document.bytes() };
    let execution = LazyCell::new(|| execution(call, identity.plain_uuid()));
    let is_recorded = settings.record == RecordPolicy::All;
    if is_recorded {
        witness.see(&execution, &Fact::Begun(&begun));
    }
    let Some(guest) = facts::guest(call, &settings.runtime_dir, &identity) else {
        return Answer::default();
    };
    let mut troubles = Vec::new();
    let arrival = memory::before(call, settings, &guest, document, &mut troubles);
    if is_recorded {
        witness.see(&execution, &nothing_planned(&arrival));
    }
    // a failure that is answered here belongs to hooks, and is told of
    if !troubles.is_empty() || arrival.held.is_some() {
        if !is_recorded {
            witness.see(&execution, &Fact::Begun(&begun));
            witness.see(&execution, &nothing_planned(&arrival));
        }
        troubles.iter().for_each(|words| witness.see(&execution, &Fact::Trouble(words)));
        // what can't be read has been told
        if arrival.held.is_some() && !arrival.is_in_doubt {
            witness.see(&execution, &Fact::Trouble(HELD));
        }
    }
    if let Some(held) = arrival.held {
        return Answer::trouble(held.status, held.words);
    }
    memory::after(call, &guest);
    Answer::default()
}

/// How the guest of a call came to run at which no hook does.
fn nothing_planned(arrival: &Arrival) -> Fact<'static> {
    Fact::Planned(witness::Plan { planned: &[], origin: Some(arrival.origin), started: None })
}

/// What a `prepare` that fails for its `restore` has to say.
const HELD: &str = "the restore before this call had failed; it is answered here";

/// A new execution of a call.
pub fn execution(call: &Call, uuid: Option<String>) -> Execution {
    Execution {
        id: ulid::new(),
        driver: call.driver.name(),
        object: call.object().to_string_lossy().into_owned(),
        operation: call.operation_name().to_string_lossy().into_owned(),
        uuid,
    }
}

/// A call that has hooks, or trouble, with all that was found for it.
pub struct Handling<'a> {
    pub call: &'a Call,
    pub surroundings: &'a Surroundings,
    pub loaded: &'a Loaded,
    pub candidates: &'a Candidates,
    pub mode: Mode,
}

/// What is known of the guest beside its document.
struct Known<'a, 'b> {
    origin: Origin,
    /// The file with the document of `started`.
    started: Option<PathBuf>,
    restore: Option<&'a mut Restore<'b>>,
}

/// What running the plan came to.
#[derive(Default)]
struct Ran {
    failures: Vec<Failure>,
    /// The document, where hooks changed it.
    document: Option<Vec<u8>>,
    is_terminated: bool,
    has_queued: bool,
}

impl Handling<'_> {
    /// The way from libvirt's document to the answer.
    pub fn answer(&self, document: Document, witness: &mut dyn Witness) -> Answer {
        let (call, settings) = (self.call, &self.loaded.settings);
        fault::inject("document");
        let facts = Facts::of(document);
        watchdog::go_on();
        let execution = execution(call, facts.identity.plain_uuid());
        let surroundings = self.surroundings;
        let document = facts.document.bytes();
        witness.see(&execution, &Fact::Begun(&Begun { call, settings, surroundings, document }));
        let nesting = Nesting::of(call);
        if let Some(words) = &nesting.refusal {
            witness.see(&execution, &Fact::Trouble(words));
            let refusal = std::slice::from_ref(words);
            return answer::conclude(call, refusal, &[], false);
        }
        let mut troubles = self.troubles();
        let mut warnings = self.warnings(&facts);
        let broken_rules = property_rules::broken(call, settings, &facts);
        match call.class() {
            Class::Gate => troubles.extend(broken_rules),
            Class::Live | Class::Notify => warnings.extend(broken_rules),
        }
        let guest = facts::guest(call, &settings.runtime_dir, &facts.identity);
        let remembering = guest.as_ref().filter(|_| self.mode == Mode::Real);
        let arrival = match remembering {
            Some(guest) => memory::before(call, settings, guest, &facts.document, &mut warnings),
            None => memory::foresee(call, guest.as_ref(), self.mode.told()),
        };
        let mut shout = |words: &str| witness.see(&execution, &Fact::Trouble(words));
        troubles.iter().chain(&warnings).for_each(|words| shout(words));
        if let Some(held) = arrival.held {
            if !arrival.is_in_doubt {
                shout(HELD);
            }
            return Answer::trouble(held.status, held.words);
        }
        let mut restore = Restore::begin(call, remembering);
        let is_shut = |troubles: &[String]| call.class() == Class::Gate && !troubles.is_empty();
        let mut ran = Ran::default();
        if !is_shut(&troubles) {
            let started = self.started_document(guest.as_ref());
            let known = Known { origin: arrival.origin, started, restore: restore.as_mut() };
            match self.run(&facts, &execution, nesting.depth, known, &mut troubles, witness) {
                Ok(result) => ran = result,
                Err(error) => troubles.push(format!("no hook can be run: {error}")),
            }
        }
        let mut shout = |words: &str| witness.see(&execution, &Fact::Trouble(words));
        let worker = if ran.has_queued {
            queue::start_worker(&settings.hooks_dir, &settings.state_dir)
        } else {
            Ok(())
        };
        if let Err(error) = worker {
            shout(&format!("detached hooks wait: no worker can be started: {error}"));
        }
        let mut answer = answer::conclude(call, &troubles, &ran.failures, ran.is_terminated);
        if answer.status == 0 && call.is_filter() {
            answer.stdout = ran.document;
        }
        if let Some(restore) = restore {
            let document = answer.stdout.clone();
            let (answer, is_given) = restore.end(answer, call, settings, &mut shout);
            if let Some(document) = document.filter(|_| is_given) {
                witness.see(&execution, &Fact::Given(&document));
            }
            return answer;
        }
        if let Some(guest) =
            remembering.filter(|_| answer.status == 0 || call.class() == Class::Notify)
        {
            memory::after(call, guest);
        }
        answer
    }

    /// The file with the document of `started`, as it is remembered or as a record has it.
    fn started_document(&self, guest: Option<&Guest>) -> Option<PathBuf> {
        match &self.mode {
            Mode::Trial { started: Some(path), .. } => Some(path.clone()),
            _ => guest.and_then(|guest| memory::started_document(self.call, guest)),
        }
    }

    /// Makes the plan and runs it.
    fn run(
        &self,
        facts: &Facts,
        execution: &Execution,
        depth: u32,
        known: Known<'_, '_>,
        troubles: &mut Vec<String>,
        witness: &mut dyn Witness,
    ) -> io::Result<Ran> {
        let (call, settings) = (self.call, &self.loaded.settings);
        let Known { origin, started: started_document, restore } = known;
        let mut supervisor = Supervisor::new(self.mode.ending_signals())?;
        let uuid = execution.uuid.as_deref();
        let knowledge =
            Knowledge { origin, document: &facts.document, metadata: &facts.metadata, uuid };
        let steps = plan::plan(call, self.candidates, &knowledge);
        let runs_any = steps.iter().any(|step| step.decision == Decision::Run);
        if let Some(restore) = restore.filter(|_| runs_any) {
            restore.protect(call, settings);
        }
        let started = started_document.as_deref();
        let origin_of_guest = call.driver.is_guest().then_some(origin);
        let planned: Vec<_> = steps.iter().map(|step| recorder::planned(step, facts)).collect();
        let planned = witness::Plan { planned: &planned, origin: origin_of_guest, started };
        witness.see(execution, &Fact::Planned(planned));
        watchdog::go_on();
        if watchdog::is_on() {
            let place = Place::new(settings);
            let (hooks_dir, runtime_dir) = (settings.hooks_dir.clone(), &settings.runtime_dir);
            take_over::prepare(execution, hooks_dir, &place, runtime_dir);
        }
        let mut exchange = exchange(call, settings, facts, execution);
        let mut course = Course {
            call,
            settings,
            surroundings: self.surroundings,
            facts,
            execution,
            origin,
            started_document,
            supervisor: &mut supervisor,
            exchange: &mut exchange,
            witness,
            depth,
            is_real: self.mode == Mode::Real,
            base: Environment::default(),
            own: Environment::default(),
            undone: Vec::new(),
            has_queued: false,
        };
        let mut ran = Ran::default();
        let trouble = course.prepare();
        for words in trouble.iter() {
            course.tell(&Fact::Trouble(words));
        }
        if trouble.is_none() || call.class() != Class::Gate {
            let runs = course.run(steps);
            fault::inject("hooks");
            ran.failures = runs.into_iter().filter_map(|run| run.failure).collect();
            ran.failures.append(&mut course.undone);
            ran.has_queued = course.has_queued;
        }
        troubles.extend(trouble);
        ran.document = exchange.result().map(<[u8]>::to_vec);
        if exchange.remove_files() && settings.record == RecordPolicy::None {
            // elsewhere it is looked for with the records
            mover::start(&self.surroundings.hooks_dir, settings);
        }
        ran.is_terminated = supervisor.is_terminated();
        if let Err(error) = supervisor.let_go() {
            let words = format!("left-over processes lose their output: {error}");
            witness.see(execution, &Fact::Trouble(&words));
        }
        Ok(ran)
    }

    /// What of hookmux's own is in a state that a gate must not open in.
    pub fn troubles(&self) -> Vec<String> {
        let loaded = self.loaded;
        let settings = loaded.problem.iter().filter(|_| loaded.is_lost()).map(Diagnostic::one_line);
        let unreadable = self.candidates.unreadable.iter();
        let directories = unreadable
            .map(|directory| format!("{}: {}", directory.path.display(), directory.error));
        let shuts = |broken: &&Broken| !broken.has_stand_in && broken.diagnostic.meaning().shuts();
        let broken = self.candidates.broken.iter().filter(shuts);
        settings
            .chain(directories)
            .chain(broken.map(|broken| broken.diagnostic.one_line()))
            .collect()
    }

    /// What stands in for something broken, or is missing, and stops nothing.
    fn warnings(&self, facts: &Facts) -> Vec<String> {
        let stand_in = self.loaded.problem.iter().zip(&self.loaded.stand_in);
        let stand_in = stand_in
            .map(|(problem, stand_in)| format!("{}; {stand_in} is used", problem.one_line()));
        let broken = self.candidates.broken.iter().filter(|broken| broken.has_stand_in);
        let broken = broken
            .map(|broken| format!("{}; its last good form is used", broken.diagnostic.one_line()));
        let lenient =
            |broken: &&Broken| !broken.has_stand_in && !broken.diagnostic.meaning().shuts();
        let lenient = self.candidates.broken.iter().filter(lenient);
        let lenient = lenient.map(|broken| {
            format!("{}; it doesn't run, and stops nothing", broken.diagnostic.one_line())
        });
        let document = match &facts.document {
            Document::Broken(why) => Some(format!("libvirt's document counts as absent: {why}")),
            Document::NotRead { why, .. } => {
                Some(format!("of libvirt's document only name and uuid are read: {why}"))
            }
            Document::Absent | Document::Whole(_) => None,
        };
        stand_in.chain(broken).chain(lenient).chain(document).collect()
    }
}
