//! Handles one call from its arguments to the answer, and decides what an error of hookmux itself answers.
//!
//! ```text
//! argv -> candidates -> none: answer
//!      -> document, guest's memory -> plan -> run -> verdict -> answer
//! ```

pub(crate) mod door;
pub(crate) mod fault;
pub(crate) mod restore;
pub mod take_over;

use std::io;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use restore::Restore;

use crate::answer::{self, Answer};
use crate::bypass;
use crate::config::settings::RecordPolicy;
use crate::config::{self, Diagnostic, HookScope, LoadedSettings, Settings, Surroundings};
use crate::document::facts::DocumentFacts;
use crate::document::{file, input};
use crate::hook::candidates::{self, Candidates};
use crate::libvirt::invocation::Invocation;
use crate::libvirt::{Call, Class, Document, Driver, Operation};
use crate::machine::{own_binary, watchdog};
use crate::memory::guest::{self, Guest, Remembered};
use crate::memory::{self, daemon_reload};
use crate::observer::{self, Notice, Observer};
use crate::occasion::{CallMode, Execution, Occasion};
use crate::plan::{self, Decision, property_rules};
use crate::process::exit_status::TERMINATED;
use crate::process::supervise::Supervisor;
use crate::queue::{self, Queue};
use crate::record::digest;
use crate::record::mover;
use crate::record::planned;
use crate::registry::Broken;
use crate::run::launch::Launcher;
use crate::run::nesting::Nesting;
use crate::run::steps::StepRunner;
use crate::search::directory;
use crate::trust::Trust;
use crate::undo;
use crate::undo::call_ledger::{CallLedger, UndoTools};
use crate::undo::ending::CallEnd;
use crate::undo::ledger::Ledger;
use crate::verdict::HookFailure;

/// Handles a call of libvirt's. Reads standard input only if it is needed.
pub(crate) fn handle(invocation: &Invocation, call: &Call, observer: &mut dyn Observer) -> Answer {
    let surroundings = Surroundings::here(&invocation.hooks_dir);
    let mut trust = Trust::new(surroundings.user);
    let mut loaded = config::load(&surroundings, &mut trust, true);
    watchdog::progress();
    // a session daemon calls the same links as its user. Hooks are for the administrator, except for
    // scripts that libvirt itself would call
    let scope = loaded.restrict_to_user(&surroundings);
    if !surroundings.is_root() {
        let user = surroundings.user;
        loaded.settings.roots.retain(|root| !directory::is_inaccessible_to(root, user));
    }
    if invocation.is_beside && is_main_script_hookmux(invocation, &surroundings) {
        return Answer::default();
    }
    let settings = &loaded.settings;
    if call.operation() == Operation::DaemonStart && scope == HookScope::All {
        clean_up_leftovers(&surroundings, settings, &mut |words| {
            observer.observe(&Execution::new(call, None), &Notice::OwnError(words));
        });
    }
    if call.driver == Driver::Daemon && scope == HookScope::All {
        daemon_reload::record_reload(call, settings, &surroundings);
    }
    let occasion = |facts| Occasion::new(call, settings, &surroundings, facts);
    let document = || if call.has_document() { input::read() } else { Document::Absent };
    // an event has the title and the properties too
    let facts_without_hooks = || match settings.outbox {
        true => DocumentFacts::of_head_for_event(document()),
        false => DocumentFacts::of_head(document()),
    };
    match bypass::load(&surroundings.hooks_dir, &mut trust) {
        Ok(bypass) => {
            if let Some(entry) = bypass.of(call) {
                let occasion = occasion(facts_without_hooks());
                return answer(occasion, Handling::Bypassed(entry), observer);
            }
        }
        Err(words) => observer.observe(&Execution::new(call, None), &Notice::OwnError(&words)),
    }
    watchdog::progress();
    let candidates = candidates::find(call, settings, &trust, invocation.is_beside);
    watchdog::progress();
    if candidates.is_empty() && scope == HookScope::DropIns {
        return Answer::default();
    }
    if candidates.is_empty() && loaded.problem.is_none() {
        return if has_no_effect(call, settings) && !Ledger::may_exist(&settings.runtime_dir) {
            Answer::default()
        } else {
            answer(occasion(facts_without_hooks()), Handling::NoHooks, observer)
        };
    }
    let document = document();
    fault::inject("document");
    let occasion = occasion(DocumentFacts::of(document));
    let hooks = Hooks { loaded: &loaded, candidates: &candidates };
    answer(occasion, Handling::Hooks(hooks), observer)
}

/// Tells whether a call without hooks changes no remembered state and isn't recorded. Then its document
/// isn't even read.
fn has_no_effect(call: &Call, settings: &Settings) -> bool {
    let drops = || call.driver.is_guest() && guest::is_any_pending(&settings.runtime_dir);
    !records_all(settings) && !memory::is_needed(call) && !drops()
}

/// Tells whether a call without hooks is told of too.
fn records_all(settings: &Settings) -> bool {
    settings.record == RecordPolicy::All || settings.outbox
}

/// Removes document files of dead processes; starts mover and worker if the last boot or a dead process
/// left work for them. Else jobs would wait until a call queues one.
fn clean_up_leftovers(
    surroundings: &Surroundings,
    settings: &Settings,
    report: &mut dyn FnMut(&str),
) {
    for (key, dir) in [("state_dir", &settings.state_dir), ("runtime_dir", &settings.runtime_dir)] {
        if let Err(error) = dir.judge() {
            report(&format!("{key} {} can't be used: {error}", dir.unchecked_path().display()));
        }
    }
    // an older version may have made the directory
    file::open_way(&settings.runtime_dir);
    file::sweep(&settings.runtime_dir);
    queue::sweep(settings);
    mover::start(&surroundings.hooks_dir, settings);
    if undo::worker::note_start(settings, &surroundings.daemon()) {
        let _ = undo::worker::start(&surroundings.hooks_dir);
    }
    if !Queue::new(&settings.state_dir).is_empty() {
        let _ = queue::start_worker(&surroundings.hooks_dir, &settings.state_dir);
    }
}

/// Tells whether the main script is hookmux too, as a link or a copy. Then it has answered already.
fn is_main_script_hookmux(invocation: &Invocation, surroundings: &Surroundings) -> bool {
    own_binary::is_hookmux(&surroundings.hooks_dir.join(invocation.driver.name()))
}

/// How a call is handled.
pub(crate) enum Handling<'a> {
    /// The emergency switch is on: no hook is run, which is recorded and reported. The remembered state of
    /// the guest is updated; a held failure of its restore is ignored too.
    Bypassed(&'a bypass::BypassEntry),
    /// There is no hook. The remembered state of the guest is updated. The call is recorded only if the
    /// settings say so, or if there is an error.
    NoHooks,
    Hooks(Hooks<'a>),
}

/// The settings and candidates of a call that has hooks, or errors.
pub(crate) struct Hooks<'a> {
    pub loaded: &'a LoadedSettings,
    pub candidates: &'a Candidates,
}

/// The result of running the plan.
#[derive(Default)]
struct RunResult {
    failures: Vec<HookFailure>,
    /// The document, where hooks changed it.
    document: Option<Vec<u8>>,
    is_terminated: bool,
    has_queued: bool,
}

/// The message of a `prepare` that fails because of its `restore`.
const HELD_MESSAGE: &str = "the restore before this call had failed; it is answered here";

/// Handles a call from its document to the answer.
pub(crate) fn answer(
    mut occasion: Occasion<'_>,
    handling: Handling<'_>,
    observer: &mut dyn Observer,
) -> Answer {
    let (call, settings) = (occasion.call, occasion.settings);
    watchdog::progress();
    let guest = occasion.guest();
    let has_undo = matches!(&handling, Handling::Hooks(hooks) if hooks.candidates.have_undo());
    let mut ledger = CallLedger::of(&occasion, guest.as_ref(), has_undo);
    let mut warnings = Vec::new();
    let is_bypassed = matches!(handling, Handling::Bypassed(_));
    if let Some(ledger) = ledger.as_mut().filter(|_| !matches!(handling, Handling::Hooks(_))) {
        warnings.extend(ledger.begin(call, &occasion.execution, is_bypassed));
    }
    let will_undo = ledger.as_ref().is_some_and(CallLedger::will_undo);
    let is_silent = matches!(handling, Handling::NoHooks) && !records_all(settings) && !will_undo;
    if !is_silent {
        observer.observe(&occasion.execution, &Notice::Begun(&occasion));
    }
    let mut nesting = 0;
    let mut own_errors = Vec::new();
    match &handling {
        Handling::Bypassed(entry) => {
            let words = format!(
                "no hook is run: the emergency switch is on for {}; `{}` ends that",
                entry.whose(),
                entry.way_out(&occasion.surroundings.hooks_dir)
            );
            observer.observe(&occasion.execution, &Notice::Bypassed(&words));
        }
        Handling::NoHooks => {}
        Handling::Hooks(hooks) => {
            let Nesting { refusal, depth } = Nesting::of(call);
            if let Some(words) = &refusal {
                observer.observe(&occasion.execution, &Notice::OwnError(words));
                return answer::conclude(call, std::slice::from_ref(words), &[], false);
            }
            nesting = depth;
            own_errors = hooks.own_errors();
            warnings = hooks.warnings(&occasion.facts);
            if let Some(ledger) = &mut ledger {
                warnings.extend(ledger.begin(call, &occasion.execution, false));
            }
            let violated_rules = property_rules::broken(&occasion);
            match call.class() {
                Class::Gate => own_errors.extend(violated_rules),
                Class::Live | Class::Notify => warnings.extend(violated_rules),
            }
        }
    }
    let remembering = guest.as_ref().filter(|_| occasion.is_real());
    let remembered = match remembering {
        Some(guest) => {
            memory::before_hooks(call, settings, guest, &occasion.facts.document, &mut warnings)
        }
        None => memory::preview(call, guest.as_ref(), occasion.mode.given_origin()),
    };
    occasion.origin = remembered.origin;
    // a held failure comes from hooks, so it is recorded
    let has_words = !warnings.is_empty() || remembered.held.is_some();
    if is_silent && has_words {
        observer.observe(&occasion.execution, &Notice::Begun(&occasion));
    }
    let runs_no_hooks = !matches!(handling, Handling::Hooks(_));
    if runs_no_hooks && guest.is_some() && (!is_silent || has_words) {
        observer.observe(&occasion.execution, &empty_plan(&remembered));
    }
    for words in own_errors.iter().chain(&warnings) {
        observer.observe(&occasion.execution, &Notice::OwnError(words));
    }
    if let Some(ledger) = ledger.as_mut().filter(|_| !is_bypassed) {
        ledger.undo_earlier(&mut undo_tools(&occasion, observer));
    }
    if let Some(held) = remembered.held.filter(|_| !matches!(handling, Handling::Bypassed(_))) {
        // an unreadable file has been reported
        if !remembered.is_in_doubt {
            observer.observe(&occasion.execution, &Notice::OwnError(HELD_MESSAGE));
        }
        let answer = Answer::error(held.status, held.words);
        return end_ledger(ledger, &occasion, answer, false, observer);
    }
    let answer = match handling {
        Handling::Bypassed(_) | Handling::NoHooks => Answer::default(),
        Handling::Hooks(hooks) => {
            occasion.started = started_document(&occasion, guest.as_ref());
            let restore = Restore::begin(call, remembering);
            let is_restore = restore.is_some();
            let answer =
                hooks.answer(&occasion, nesting, restore, own_errors, ledger.as_mut(), observer);
            if is_restore {
                return end_ledger(ledger, &occasion, answer, false, observer);
            }
            answer
        }
    };
    let answer = end_ledger(ledger, &occasion, answer, is_bypassed, observer);
    if let Some(guest) = remembering.filter(|_| answer.status == 0 || call.class() == Class::Notify)
    {
        memory::after_hooks(call, guest);
    }
    answer
}

/// Returns what undos of this call are run with.
fn undo_tools<'a>(occasion: &'a Occasion<'_>, observer: &'a mut dyn Observer) -> UndoTools<'a> {
    UndoTools {
        settings: occasion.settings,
        user: occasion.surroundings.user,
        execution: &occasion.execution,
        observer,
    }
}

/// Takes back what is owed where a life ends with this call; starts the worker for what has to wait. Returns the
/// answer with the undos that failed.
fn end_ledger(
    ledger: Option<CallLedger>,
    occasion: &Occasion<'_>,
    mut answer: Answer,
    is_bypassed: bool,
    observer: &mut dyn Observer,
) -> Answer {
    let (call, Some(mut ledger)) = (occasion.call, ledger) else { return answer };
    let end =
        CallEnd { has_failed: answer.status != 0, is_terminated: answer.status == TERMINATED };
    let failures = match is_bypassed {
        true => {
            ledger.end_bypassed(call, &occasion.execution);
            Vec::new()
        }
        false => ledger.end(call, end, &mut undo_tools(occasion, observer)),
    };
    answer.add_undos(call, failures);
    let has_work = ledger.has_work;
    // a worker that finds the lock held would come back later
    ledger.release();
    let started = match has_work {
        true => undo::worker::start(&occasion.settings.hooks_dir),
        false => Ok(()),
    };
    if let Err(error) = started {
        let words = format!("what is owed waits: no worker can be started: {error}");
        observer.observe(&occasion.execution, &Notice::OwnError(&words));
    }
    answer
}

/// Makes the notice of an empty plan, which has the origin of the guest.
fn empty_plan(remembered: &Remembered) -> Notice<'static> {
    Notice::Planned(observer::CallPlan {
        planned: &[],
        origin: Some(remembered.origin),
        started: None,
        registrations: Vec::new(),
        digest: None,
    })
}

/// Returns the file with the document of `started`, from the remembered state or from a record.
fn started_document(occasion: &Occasion<'_>, guest: Option<&Guest>) -> Option<PathBuf> {
    match &occasion.mode {
        CallMode::Trial { started: Some(path), .. } => Some(path.clone()),
        _ => guest.and_then(|guest| memory::started_document(occasion.call, guest)),
    }
}

/// Returns the signals that end a call. A person at a terminal has one more.
fn ending_signals(mode: &CallMode) -> &'static [Signal] {
    match mode {
        CallMode::Real => &[Signal::SIGTERM],
        CallMode::Trial { .. } | CallMode::Remote(_) => &[Signal::SIGTERM, Signal::SIGINT],
    }
}

impl Hooks<'_> {
    /// Runs the hooks, and makes the answer.
    fn answer(
        &self,
        occasion: &Occasion<'_>,
        nesting: u32,
        mut restore: Option<Restore<'_>>,
        mut own_errors: Vec<String>,
        ledger: Option<&mut CallLedger>,
        observer: &mut dyn Observer,
    ) -> Answer {
        let (call, settings) = (occasion.call, occasion.settings);
        let mut ran = RunResult::default();
        if call.class() != Class::Gate || own_errors.is_empty() {
            let restore = restore.as_mut();
            match self.run(occasion, nesting, restore, &mut own_errors, ledger, observer) {
                Ok(result) => ran = result,
                Err(error) => own_errors.push(format!("no hook can be run: {error}")),
            }
        }
        let mut report =
            |words: &str| observer.observe(&occasion.execution, &Notice::OwnError(words));
        let worker = if ran.has_queued {
            queue::start_worker(&settings.hooks_dir, &settings.state_dir)
        } else {
            Ok(())
        };
        if let Err(error) = worker {
            report(&format!("detached hooks wait: no worker can be started: {error}"));
        }
        let mut answer = answer::conclude(call, &own_errors, &ran.failures, ran.is_terminated);
        if answer.status == 0 && call.is_filter() {
            answer.stdout = ran.document;
        }
        let Some(restore) = restore else { return answer };
        let document = answer.stdout.clone();
        let (answer, is_given) = restore.end(answer, call, settings, &mut report);
        if let Some(document) = document.filter(|_| is_given) {
            observer.observe(&occasion.execution, &Notice::DocumentGiven(&document));
        }
        answer
    }

    /// Makes the plan and runs it.
    fn run(
        &self,
        occasion: &Occasion<'_>,
        nesting: u32,
        restore: Option<&mut Restore<'_>>,
        own_errors: &mut Vec<String>,
        ledger: Option<&mut CallLedger>,
        observer: &mut dyn Observer,
    ) -> io::Result<RunResult> {
        let Occasion { call, settings, facts, execution, .. } = occasion;
        let mut supervisor = Supervisor::new(ending_signals(&occasion.mode))?;
        let steps = plan::plan(self.candidates, occasion);
        let runs_any = steps.iter().any(|step| step.decision == Decision::Run);
        if let Some(restore) = restore.filter(|_| runs_any) {
            restore.protect(call, settings);
        }
        let planned: Vec<_> = steps.iter().map(|step| planned::planned(step, facts)).collect();
        let origin = call.driver.is_guest().then_some(occasion.origin);
        let started = occasion.started.as_deref();
        let registrations = planned::registrations(&steps);
        let digest = digest::of_call(settings, &steps);
        let planned =
            observer::CallPlan { planned: &planned, origin, started, registrations, digest };
        observer.observe(execution, &Notice::Planned(planned));
        watchdog::progress();
        if watchdog::is_active() {
            let ends = ledger.as_deref().map(CallLedger::ending).unwrap_or_default();
            take_over::prepare(occasion, ends);
        }
        let mut exchange = occasion.exchange();
        let mut ran = RunResult::default();
        let (mut launcher, error) =
            Launcher::new(occasion, nesting, &mut supervisor, &mut exchange, observer);
        for words in error.iter() {
            launcher.notify(&Notice::OwnError(words));
        }
        if error.is_none() || call.class() != Class::Gate {
            let mut runner = StepRunner::new(launcher, ledger);
            let runs = runner.run(steps);
            fault::inject("hooks");
            ran.failures = runs.into_iter().filter_map(|run| run.failure).collect();
            ran.failures.append(&mut runner.failed_rollbacks);
            ran.has_queued = runner.has_queued;
        }
        own_errors.extend(error);
        ran.document = exchange.result().map(<[u8]>::to_vec);
        if exchange.remove_files() && settings.record == RecordPolicy::None {
            // else the mover is started for the record anyway
            mover::start(&occasion.surroundings.hooks_dir, settings);
        }
        ran.is_terminated = supervisor.is_terminated();
        if let Err(error) = supervisor.release_leftovers() {
            let words = format!("leftover processes lose their output: {error}");
            observer.observe(execution, &Notice::OwnError(&words));
        }
        Ok(ran)
    }

    /// Returns the errors of hookmux itself (settings, registrations, directories) for which a gate fails.
    pub(crate) fn own_errors(&self) -> Vec<String> {
        let loaded = self.loaded;
        let settings = loaded.problem.iter().filter(|_| loaded.is_lost()).map(Diagnostic::one_line);
        let unreadable = self.candidates.unreadable.iter();
        let directories = unreadable
            .map(|directory| format!("{}: {}", directory.path.display(), directory.error));
        let shuts =
            |broken: &&Broken| !broken.has_last_good && broken.diagnostic.recovered().fails_gates();
        let broken = self.candidates.broken.iter().filter(shuts);
        settings
            .chain(directories)
            .chain(broken.map(|broken| broken.diagnostic.one_line()))
            .collect()
    }

    /// Returns warnings about broken files that have a substitute, or that have no effect on the call.
    fn warnings(&self, facts: &DocumentFacts) -> Vec<String> {
        let stand_in = self.loaded.problem.iter().zip(&self.loaded.last_good);
        let stand_in = stand_in
            .map(|(problem, stand_in)| format!("{}; {stand_in} is used", problem.one_line()));
        let broken = self.candidates.broken.iter().filter(|broken| broken.has_last_good);
        let broken = broken
            .map(|broken| format!("{}; its last good form is used", broken.diagnostic.one_line()));
        let lenient = |broken: &&Broken| {
            !broken.has_last_good && !broken.diagnostic.recovered().fails_gates()
        };
        let lenient = self.candidates.broken.iter().filter(lenient);
        let lenient = lenient.map(|broken| {
            format!(
                "{}; it doesn't run, and has no effect on the call",
                broken.diagnostic.one_line()
            )
        });
        let document = match &facts.document {
            Document::Broken(why) => Some(format!("libvirt's document counts as absent: {why}")),
            Document::NotRead { why, .. } => {
                Some(format!("only name and uuid of libvirt's document are read: {why}"))
            }
            Document::Absent | Document::Whole(_) => None,
        };
        stand_in.chain(broken).chain(lenient).chain(document).collect()
    }
}
