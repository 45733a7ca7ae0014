//! What one call would do: its hooks, what is taken back, and what libvirt is told. Runs nothing.

use super::failing::{FailingHooks, is_asked};
use crate::answer;
use crate::call::Hooks;
use crate::cli::CommandPlace;
use crate::cli::hooks::described_call;
use crate::cli::rights::{self, Denied};
use crate::config::{LoadedSettings, Surroundings};
use crate::document::facts::DocumentFacts;
use crate::event::{self, Event, Origin};
use crate::hook::OnFailure;
use crate::hook::candidates::{self, Candidates};
use crate::libvirt::{Call, Class, Document};
use crate::memory;
use crate::memory::guest::HeldFailure;
use crate::observer::{Notice, Observer};
use crate::occasion::Execution;
use crate::occasion::{CallMode, Occasion};
use crate::plan::{self, Decision, Step, property_rules};
use crate::process::job::Part;
use crate::process::startable;
use crate::process::supervise::Supervisor;
use crate::run::launch::{self, Launcher};
use crate::run::left_rollback;
use crate::run::steps::StepRunner;
use crate::trust::Trust;
use crate::undo::call_ledger::CallLedger;
use crate::undo::moment;
use crate::verdict::HookFailure;

/// The host for which calls are planned, and what is asked.
pub(super) struct PlanHost<'a> {
    pub place: &'a CommandPlace,
    pub loaded: &'a LoadedSettings,
    /// Those of the daemon.
    pub surroundings: Surroundings,
    pub failing: FailingHooks,
}

impl<'a> PlanHost<'a> {
    pub(super) fn new(
        place: &'a CommandPlace,
        loaded: &'a LoadedSettings,
        failing: FailingHooks,
    ) -> PlanHost<'a> {
        let user = startable::daemons_user(&loaded.settings, place.surroundings.user);
        let surroundings = Surroundings { user, ..place.surroundings.clone() };
        PlanHost { place, loaded, surroundings, failing }
    }
}

/// A call to be planned.
pub(super) struct CallSpec {
    pub call: Call,
    pub document: Document,
    /// How the guest came to run; `None` for what hookmux remembers.
    pub origin: Option<Origin>,
    /// What a `restore` before it left to be told here.
    pub held: Option<HeldFailure>,
}

/// What a call would do.
pub(super) struct PlannedCall {
    pub call: Call,
    pub origin: Origin,
    pub facts: DocumentFacts,
    pub events: Vec<Event>,
    pub steps: Vec<Step>,
    /// The hooks whose undo it runs, as the ledger has them now: at the beginning of a life before its own hooks, at the
    /// end behind them.
    pub owed: Vec<String>,
    /// The exit status that libvirt gets, and the text.
    pub status: i32,
    pub stderr: String,
    pub notes: Vec<String>,
    /// Whether it fails without `--fail`.
    pub has_own_failure: bool,
}

impl PlannedCall {
    /// Plans a call.
    ///
    /// # Errors
    /// This user may not read what the daemon would read, or no pipe can be made.
    pub(super) fn of(host: &PlanHost<'_>, spec: CallSpec) -> anyhow::Result<PlannedCall> {
        let (settings, call) = (&host.loaded.settings, &spec.call);
        let beside = described_call::is_beside(host.place, call.driver);
        let trust = Trust::new(host.place.surroundings.user);
        let candidates = candidates::find(call, settings, &trust, beside);
        let user = host.surroundings.user;
        if user != host.place.surroundings.user {
            must_see_all(host, &candidates)?;
        }
        let facts = DocumentFacts::of(spec.document);
        let mut occasion = Occasion::new(call, settings, &host.surroundings, facts);
        occasion.mode = CallMode::Trial { origin: spec.origin, started: None };
        let mut remembered = described_call::remembered(&occasion);
        if spec.held.is_some() {
            remembered.held = spec.held;
        }
        occasion.origin = remembered.origin;
        occasion.started =
            occasion.guest().and_then(|guest| memory::started_document(call, &guest));
        let mut steps = plan::plan(&candidates, &occasion);
        let mut notes = notes(&candidates, &occasion.facts.document);
        notes.extend(host.failing.mark(&mut steps));
        notes.extend(preview_steps(&occasion, &mut steps)?);
        let hooks = Hooks { loaded: host.loaded, candidates: &candidates };
        let mut errors = own_errors(&hooks, user);
        let broken_rules = property_rules::broken(&occasion);
        match call.class() {
            Class::Gate if !candidates.is_empty() => errors.extend(broken_rules),
            Class::Gate => {}
            Class::Live | Class::Notify => {
                notes.extend(broken_rules.iter().map(|words| format!("{words}.")));
            }
        }
        let is_shut = call.class() == Class::Gate && !errors.is_empty();
        if is_shut || remembered.held.is_some() {
            mark_as_not_run(&mut steps);
        }
        notes.extend(errors.iter().map(|words| {
            let consequence =
                if is_shut { "this call would fail" } else { "the call goes on without" };
            format!("{words}; {consequence}.")
        }));
        match (&remembered.held, &remembered.error) {
            (Some(held), None) => notes.push(format!(
                "The previous restore has failed: this call would fail with {}, and run nothing.",
                held.status
            )),
            (Some(held), Some(error)) => notes.push(format!(
                "{error}; this call would fail with {}, and run nothing.",
                held.status
            )),
            (None, error) => notes.extend(error.clone()),
        }
        let failures: Vec<HookFailure> = steps.iter().filter_map(failure).collect();
        let answer = match &remembered.held {
            Some(held) => answer::Answer::error(held.status, held.words.clone()),
            None => answer::conclude(call, &errors, &failures, false),
        };
        let own: Vec<HookFailure> =
            steps.iter().filter(|step| !is_asked(step)).filter_map(failure).collect();
        let has_own_failure = call.class() != Class::Notify
            && (remembered.held.is_some()
                || answer::conclude(call, &errors, &own, false).status != 0);
        let guest = occasion.guest();
        let owed = CallLedger::preview(&occasion, guest.as_ref());
        let owed = owed.into_iter().map(|owed| owed.entry.hook).collect();
        let (origin, facts) = (occasion.origin, occasion.facts);
        Ok(PlannedCall {
            origin,
            facts,
            events: event::candidates(&spec.call),
            steps,
            owed,
            status: answer.status,
            stderr: answer.stderr,
            notes,
            has_own_failure,
            call: spec.call,
        })
    }

    /// Tells whether libvirt is told of a failure, and acts on it.
    pub(super) fn would_fail(&self) -> bool {
        self.call.class() != Class::Notify && self.status != 0
    }

    /// Returns the hooks that have run and can be undone, in their order, with their devices. Those that are rolled
    /// back owe nothing any more.
    pub(super) fn set_up(&self) -> Vec<String> {
        let has_rollbacks = self.rolls_back();
        let steps = self.steps.iter().filter(|step| step.decision == Decision::Run);
        steps
            .filter(|step| step.has(Part::Undo) && !(has_rollbacks && step.has(Part::Rollback)))
            .map(|step| self.label(step))
            .collect()
    }

    /// Returns the hooks that are rolled back, in this order.
    pub(super) fn rollbacks(&self) -> Vec<String> {
        let steps = self.steps.iter().rev().filter(|_| self.rolls_back());
        steps
            .filter(|step| step.decision == Decision::Run && step.has(Part::Rollback))
            .filter(|step| step.hook.detached().is_none())
            .map(|step| self.label(step))
            .collect()
    }

    fn rolls_back(&self) -> bool {
        self.call.class() == Class::Gate && self.would_fail()
    }

    /// Tells whether what it has set up is taken back at its own end: libvirt calls nothing more for it.
    pub(super) fn undoes_its_own(&self) -> bool {
        self.would_fail() && moment::ends_when_failed(&self.call)
    }

    /// Returns the device of a step.
    pub(super) fn device(&self, step: &Step) -> Option<String> {
        let device = self.facts.metadata.devices.get(step.device?)?;
        Some(device.label.clone())
    }

    fn label(&self, step: &Step) -> String {
        match self.device(step) {
            Some(device) => format!("{} [{device}]", step.hook.label),
            None => step.hook.label.clone(),
        }
    }

    /// Returns what libvirt is told, without hookmux's name.
    pub(super) fn told(&self) -> String {
        let lines = self.stderr.lines().map(|line| line.strip_prefix("hookmux: ").unwrap_or(line));
        lines.collect::<Vec<_>>().join("; ")
    }
}

/// The hooks whose undo a call runs.
#[derive(Clone, Debug, Default)]
pub(super) struct CallUndos {
    /// Those that run before the call's own hooks: what an earlier life still owes.
    pub first: Vec<String>,
    /// Those that run behind them.
    pub last: Vec<String>,
}

/// Returns the label of a hook's rollback or undo, as records have them.
pub(super) fn rollback_label(label: &str) -> String {
    left_rollback::label_of(label)
}

/// Returns the failure of a step that fails.
fn failure(step: &Step) -> Option<HookFailure> {
    let Decision::Fails { status, why, is_its_own } = &step.decision else { return None };
    let failure = HookFailure::new(&step.hook.label, (*status, why.clone()), Vec::new());
    let is_tolerated = step.hook.on_failure == OnFailure::Warn;
    Some(HookFailure { kill: *is_its_own && step.hook.kill, is_tolerated, ..failure })
}

/// Marks all steps as not run, because the call would fail before them.
fn mark_as_not_run(steps: &mut [Step]) {
    let has_a_part =
        |step: &&mut Step| matches!(step.decision, Decision::Run | Decision::Fails { .. });
    for step in steps.iter_mut().filter(has_a_part) {
        step.decision =
            Decision::Skipped("not run: the call fails before its first hook".to_owned());
    }
}

/// Does what the call does up to the start of each hook; returns the warnings.
fn preview_steps(occasion: &Occasion<'_>, steps: &mut [Step]) -> anyhow::Result<Vec<String>> {
    let mut supervisor = Supervisor::new(&[])?;
    let mut exchange = occasion.exchange();
    let mut warnings = Warnings(Vec::new());
    // an error in the settings' `environment_file` is reported with hookmux's own errors
    let (launcher, _) = Launcher::new(occasion, 0, &mut supervisor, &mut exchange, &mut warnings);
    StepRunner::new(launcher, None).preview(steps);
    Ok(warnings.0)
}

/// Collects the warnings of the preview.
struct Warnings(Vec<String>);

impl Observer for Warnings {
    fn observe(&mut self, _: &Execution, notice: &Notice<'_>) {
        let words = match notice {
            Notice::Warning { label, words } => format!("{label}: {words}"),
            Notice::OwnError(words) => (*words).to_owned(),
            _ => return,
        };
        // one for each part of a hook
        if !self.0.contains(&words) {
            self.0.push(words);
        }
    }
}

/// Checks that this user can read everything that the daemon would read.
fn must_see_all(host: &PlanHost<'_>, candidates: &Candidates) -> Result<(), Denied> {
    let settings = &host.loaded.settings;
    rights::must_read_hooks(settings)?;
    let unreadable = candidates.unreadable.iter();
    unreadable.into_iter().try_for_each(|one| rights::must_list(&[&one.path]))?;
    rights::must_read_state(settings)
}

fn notes(candidates: &Candidates, document: &Document) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    for broken in &candidates.broken {
        if broken.has_last_good {
            notes.push(format!("{}\nIts last good form is used.", broken.diagnostic));
        } else if !broken.diagnostic.recovered().fails_gates() {
            notes.push(format!("{}\nIt doesn't run, and stops no call.", broken.diagnostic));
        }
    }
    match document {
        Document::Broken(why) => notes.push(format!("The document counts as absent: {why}.")),
        Document::NotRead { why, .. } => {
            notes.push(format!("Only name and uuid of the document are read: {why}."));
        }
        Document::Absent | Document::Whole(_) => {}
    }
    if candidates.is_drop_ins_only {
        notes.push(described_call::SESSION_NOTE.to_owned());
    }
    notes.extend(
        candidates.tree_left_to.as_ref().map(|owner| format!("The per-guest tree is {owner}.")),
    );
    notes
}

/// Returns errors of hookmux itself for which a gate would fail.
fn own_errors(hooks: &Hooks<'_>, user: u32) -> Vec<String> {
    let file = hooks.loaded.settings.environment_file.as_ref();
    let environment = file
        .and_then(|file| launch::read_environment_file(file, user).err())
        .map(|error| error.to_string());
    hooks.own_errors().into_iter().chain(environment).collect()
}
