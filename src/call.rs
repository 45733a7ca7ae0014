//! The way of one call through the house, and what becomes of it when something of ours fails.
//!
//! ```text
//! argv -> candidates -> none: answer
//!      -> facts (document, guest's state) -> event -> plan -> run -> verdict -> answer
//! ```

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::config::{self, Loaded, Settings, Surroundings};
use crate::event::Origin;
use crate::facts::{self, Facts};
use crate::guest::{self, Guest, Held};
use crate::hook::candidates::{self, Candidates};
use crate::libvirt::document;
use crate::libvirt::driver::Front;
use crate::libvirt::{Call, Class, Document, Driver, Operation};
use crate::plan::{self, Knowledge};
use crate::queue::{self, Queue};
use crate::record::{Execution, Fact, Run, Witness, ulid};
use crate::run::environment::Environment;
use crate::run::exchange::Exchange;
use crate::run::input;
use crate::run::steps::Course;
use crate::run::supervise::Supervisor;
use crate::sanitize;
use crate::saves;
use crate::trust::Trust;
use crate::verdict::{self, Failure, OWN_TROUBLE};

/// What libvirt gets.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: i32,
    /// Only ever a changed document, on a filter call.
    pub stdout: Option<Vec<u8>>,
    pub stderr: String,
}

impl Answer {
    fn trouble(status: i32, stderr: String) -> Answer {
        Answer { status, stdout: None, stderr }
    }
}

/// Whether a call is real, or tried by a person: then nothing is remembered for later calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Real,
    Trial { origin: Option<Origin> },
}

impl Mode {
    /// The signals that end a call: a person at a terminal has one more.
    fn ending_signals(self) -> &'static [Signal] {
        match self {
            Mode::Real => &[Signal::SIGTERM],
            Mode::Trial { .. } => &[Signal::SIGTERM, Signal::SIGINT],
        }
    }
}

/// What a fault of our own has to end in, before anything else is known. At `restore` that is
/// going on: a failure there can cost the guest's saved state, and the failure that `prepare` is
/// to tell has been written down before the first hook ran.
pub fn fault_status(call: &Call) -> i32 {
    match call.class() {
        Class::Gate if call.operation() != Operation::Restore => OWN_TROUBLE,
        _ => 0,
    }
}

/// Handles a call of libvirt's: reads standard input where it has to.
pub fn handle(front: &Front, call: &Call, witness: &mut dyn Witness) -> Answer {
    let surroundings = Surroundings::here(&front.hooks_dir);
    let mut trust = Trust::new(surroundings.user);
    let loaded = config::load(&surroundings, &mut trust, true);
    // a session daemon calls the same links as its user: hooks are the administrator's
    if !surroundings.is_root() && !loaded.settings.session {
        return Answer::default();
    }
    if front.beside && is_main_script_ours(front, &surroundings) {
        return Answer::default();
    }
    if call.operation() == Operation::DaemonStart
        && !Queue::new(&loaded.settings.state_dir).is_empty()
    {
        // what the last boot, or a worker that died, has left; without one it waits for the next call
        let _ = queue::start_worker(&surroundings.hooks_dir, &loaded.settings.state_dir);
    }
    let candidates = candidates::find(call, &loaded.settings, surroundings.user, front.beside);
    if candidates.is_empty() && loaded.problem.is_none() {
        return without_hooks(call, &loaded.settings);
    }
    let document = if facts::has_document(call) { input::read() } else { Document::Absent };
    with_hooks(call, &surroundings, &loaded, &candidates, document, Mode::Real, witness)
}

/// Called beside a main script that is hookmux too, by a link or as a copy: that one has answered
/// already.
fn is_main_script_ours(front: &Front, surroundings: &Surroundings) -> bool {
    let main = surroundings.hooks_dir.join(front.driver.name());
    let own = Path::new("/proc/self/exe");
    let (Ok(main_file), Ok(own_file)) = (fs::metadata(&main), fs::metadata(own)) else {
        return false;
    };
    let is_same = (main_file.dev(), main_file.ino()) == (own_file.dev(), own_file.ino());
    is_same
        || (main_file.is_file()
            && main_file.len() == own_file.len()
            && fs::read(main).ok() == fs::read(own).ok())
}

/// Keeps up what is remembered of a guest. The document is read no further than it must be.
fn without_hooks(call: &Call, settings: &Settings) -> Answer {
    let remembers = matches!(
        call.operation(),
        Operation::Prepare
            | Operation::Started
            | Operation::Release
            | Operation::Migrate
            | Operation::Restore
            | Operation::Reconnect
            | Operation::Attach
    );
    let drops = || call.driver.is_guest() && guest::is_any_pending(&settings.runtime_dir);
    if !remembers && !drops() {
        return Answer::default();
    }
    let document = input::read();
    let identity = document.bytes().and_then(document::head).unwrap_or_default();
    let Some(guest) = facts::guest(call, &settings.runtime_dir, &identity) else {
        return Answer::default();
    };
    let mut troubles = Vec::new();
    let arrival = remember_before(call, settings, &guest, &document, &mut troubles);
    if let Some(held) = arrival.held {
        return Answer::trouble(held.status, held.words);
    }
    remember_after(call, &guest);
    Answer::default()
}

struct Arrived {
    origin: Origin,
    held: Option<Held>,
}

/// What a guest's memory is asked and told before any hook runs.
fn remember_before(
    call: &Call,
    settings: &Settings,
    guest: &Guest,
    document: &Document,
    troubles: &mut Vec<String>,
) -> Arrived {
    match call.operation() {
        Operation::Prepare => {
            let arrival = guest.arrive();
            return Arrived { origin: arrival.origin, held: arrival.held };
        }
        // replaced at the end of the call
        Operation::Migrate | Operation::Restore => {
            return Arrived { origin: Origin::Unknown, held: None };
        }
        _ => guest.forget_pending(),
    }
    if matches!(call.operation(), Operation::Started | Operation::Reconnect)
        && let Some(bytes) = document.bytes()
        && let Err(error) = guest.keep_document(bytes)
    {
        troubles.push(format!("the document of the running guest can't be kept: {error}; HOOKMUX_STARTED_XML will be missing"));
    }
    if call.operation() == Operation::Started && call.driver == Driver::Qemu {
        saves::release(&settings.save_dir, call.object());
    }
    Arrived { origin: guest.origin(), held: None }
}

/// What a guest's memory is told once the call has succeeded.
fn remember_after(call: &Call, guest: &Guest) {
    // without the memory, the guest's origin will be taken for fresh
    let _ = match call.operation() {
        Operation::Migrate => guest.expect(Origin::Migration, None),
        Operation::Restore => guest.expect(Origin::Restore, None),
        Operation::Release => {
            guest.forget();
            Ok(())
        }
        _ => Ok(()),
    };
}

/// Everything for a call that has hooks, or trouble.
#[allow(clippy::too_many_arguments)]
pub fn with_hooks(
    call: &Call,
    surroundings: &Surroundings,
    loaded: &Loaded,
    candidates: &Candidates,
    document: Document,
    mode: Mode,
    witness: &mut dyn Witness,
) -> Answer {
    let settings = &loaded.settings;
    let facts = Facts::of(document);
    let execution = Execution {
        id: ulid::new(),
        driver: call.driver.name(),
        object: call.object().to_string_lossy().into_owned(),
        operation: call.operation_name().to_string_lossy().into_owned(),
        uuid: facts.identity.plain_uuid(),
    };
    let mut troubles = own_troubles(loaded, candidates);
    let mut warnings = Vec::new();
    if let (Some(problem), Some(copy)) = (&loaded.problem, &loaded.copy) {
        let words =
            format!("{}; its last good copy {} is used", problem.one_line(), copy.display());
        warnings.push(words);
    }
    for broken in candidates.broken.iter().filter(|broken| broken.has_stand_in) {
        warnings.push(format!("{}; its last good form is used", broken.diagnostic.one_line()));
    }
    if let Document::Broken(why) = &facts.document {
        warnings.push(format!("libvirt's document counts as absent: {why}"));
    }
    let guest = facts::guest(call, &settings.runtime_dir, &facts.identity);
    let is_real = mode == Mode::Real;
    let arrived = match (&guest, mode) {
        (Some(guest), Mode::Real) => {
            remember_before(call, settings, guest, &facts.document, &mut warnings)
        }
        (guest, mode) => foresee(call, guest.as_ref(), mode),
    };
    for words in troubles.iter().chain(&warnings) {
        witness.see(&execution, &Fact::Trouble(words));
    }
    if let Some(held) = arrived.held {
        witness.see(
            &execution,
            &Fact::Trouble("the restore before this call had failed; it is answered here"),
        );
        return Answer::trouble(held.status, held.words);
    }
    let restore = Restore::begin(call, guest.as_ref().filter(|_| is_real));

    let mut runs = Vec::new();
    let mut undone = Vec::new();
    let mut has_work = false;
    let mut result = None;
    let mut is_terminated = false;
    let is_closed = call.class() == Class::Gate && !troubles.is_empty();
    if !is_closed {
        match Supervisor::new(mode.ending_signals()) {
            Err(error) => troubles.push(format!("no hook can be run: {error}")),
            Ok(mut supervisor) => {
                let knowledge = Knowledge {
                    origin: arrived.origin,
                    document: &facts.document,
                    metadata: &facts.metadata,
                    uuid: execution.uuid.as_deref(),
                };
                let steps = plan::plan(call, candidates, &knowledge);
                let mut exchange = Exchange::new(
                    facts.document.bytes().map(<[u8]>::to_vec),
                    facts.identity.clone(),
                    call.is_filter(),
                    execution.operation.clone(),
                    settings.runtime_dir.join("data").join(&execution.id),
                );
                let mut course = Course {
                    call,
                    settings,
                    surroundings,
                    facts: &facts,
                    execution: &execution,
                    origin: arrived.origin,
                    started_document: guest
                        .as_ref()
                        .and_then(|guest| started_document(call, guest)),
                    supervisor: &mut supervisor,
                    exchange: &mut exchange,
                    witness,
                    base: Environment::default(),
                    undone: Vec::new(),
                    has_queued: false,
                };
                if let Some(trouble) = course.prepare() {
                    course.witness.see(&execution, &Fact::Trouble(&trouble));
                    troubles.push(trouble);
                }
                if troubles.is_empty() || call.class() != Class::Gate {
                    runs = course.run(steps);
                    undone = course.undone;
                    has_work = course.has_queued;
                }
                result = exchange.result().map(<[u8]>::to_vec);
                exchange.remove_files();
                is_terminated = supervisor.is_terminated();
                if let Err(error) = supervisor.let_go() {
                    witness.see(
                        &execution,
                        &Fact::Trouble(&format!("left-over processes lose their output: {error}")),
                    );
                }
            }
        }
    }

    if has_work && let Err(error) = queue::start_worker(&settings.hooks_dir, &settings.state_dir) {
        witness.see(
            &execution,
            &Fact::Trouble(&format!("detached hooks wait: no worker can be started: {error}")),
        );
    }
    let mut answer = conclude(call, &troubles, &runs, undone, is_terminated);
    if answer.status == 0 && call.is_filter() {
        answer.stdout = result;
    }
    if let Some(restore) = restore {
        answer = restore.end(answer, call, settings, &mut |words| {
            witness.see(&execution, &Fact::Trouble(words))
        });
    } else if let Some(guest) =
        guest.filter(|_| is_real && (answer.status == 0 || call.class() == Class::Notify))
    {
        remember_after(call, &guest);
    }
    answer
}

fn foresee(call: &Call, guest: Option<&Guest>, mode: Mode) -> Arrived {
    let told = match mode {
        Mode::Trial { origin } => origin,
        Mode::Real => None,
    };
    let remembered = guest.map(|guest| match call.operation() {
        Operation::Prepare => guest.foresee().origin,
        _ => guest.origin(),
    });
    Arrived { origin: told.or(remembered).unwrap_or(Origin::Unknown), held: None }
}

fn started_document(call: &Call, guest: &Guest) -> Option<std::path::PathBuf> {
    let asks = matches!(call.operation(), Operation::Stopped | Operation::Release);
    asks.then(|| guest.started_document()).flatten()
}

/// What of hookmux's own is in a state that a gate must not open in.
fn own_troubles(loaded: &Loaded, candidates: &Candidates) -> Vec<String> {
    let settings =
        loaded.problem.iter().filter(|_| loaded.is_lost()).map(|problem| problem.one_line());
    let directories = candidates
        .unreadable
        .iter()
        .map(|directory| format!("{}: {}", directory.path.display(), directory.error));
    let broken = candidates.broken.iter().filter(|broken| !broken.has_stand_in);
    settings.chain(directories).chain(broken.map(|broken| broken.diagnostic.one_line())).collect()
}

/// The verdict on what ran, and on what of ours could not.
fn conclude(
    call: &Call,
    troubles: &[String],
    runs: &[Run],
    undone: Vec<Failure>,
    is_terminated: bool,
) -> Answer {
    let mut failures: Vec<_> = runs.iter().filter_map(|run| run.failure.clone()).collect();
    failures.extend(undone);
    let mut status = verdict::status(call.class(), &failures, is_terminated);
    let mut stderr = String::new();
    if !troubles.is_empty() && call.class() == Class::Gate {
        for trouble in troubles {
            stderr.push_str(&format!("hookmux: {}\n", sanitize::line(trouble.as_bytes())));
        }
        if status == 0 {
            status = OWN_TROUBLE;
        }
    }
    if status != 0 {
        stderr.push_str(&verdict::words(&failures));
        if is_terminated && failures.is_empty() {
            stderr.push_str("hookmux: ended by SIGTERM\n");
        }
        truncate(&mut stderr);
    } else {
        stderr.clear();
    }
    Answer { status, stdout: None, stderr }
}

fn truncate(text: &mut String) {
    if text.len() > verdict::MAX_STDERR {
        text.truncate(text.floor_char_boundary(verdict::MAX_STDERR - 1));
        text.push('\n');
    }
}

/// `restore` is answered at `prepare`: libvirt 11.3.0 deletes the managed save of a guest whose
/// hook fails here, and keeps it when `prepare` fails.
struct Restore<'a> {
    guest: Option<&'a Guest>,
}

impl<'a> Restore<'a> {
    /// Writes down that this call failed, in case that it never gets to say otherwise.
    fn begin(call: &Call, guest: Option<&'a Guest>) -> Option<Restore<'a>> {
        if call.operation() != Operation::Restore {
            return None;
        }
        if let Some(guest) = guest {
            let words = "hookmux: died of a fault of its own while it handled restore\n".to_owned();
            // where this can't be written, what is written at the end can't either, and says so
            let _ = guest.expect(Origin::Restore, Some(Held { status: OWN_TROUBLE, words }));
        }
        Some(Restore { guest })
    }

    /// Keeps a failure for `prepare`, and the guest's save while libvirt looks at a new document.
    fn end(
        self,
        mut answer: Answer,
        call: &Call,
        settings: &Settings,
        shout: &mut dyn FnMut(&str),
    ) -> Answer {
        let Some(guest) = self.guest else { return answer };
        if answer.stdout.is_some()
            && call.driver == Driver::Qemu
            && let Err(why) = saves::protect(&settings.save_dir, call.object())
        {
            let words = format!(
                "hookmux: the changed document is not given to libvirt, which deletes a save that it refuses to restore: {why}\n"
            );
            shout(words.trim_end());
            answer = Answer::trouble(OWN_TROUBLE, sanitize::text(words.as_bytes()));
        }
        let held = (answer.status != 0)
            .then(|| Held { status: answer.status, words: answer.stderr.clone() });
        let is_held = held.is_some();
        match guest.expect(Origin::Restore, held) {
            Ok(()) if is_held => {
                shout(
                    "restore has failed; libvirt is told at prepare, which keeps the managed save",
                );
                Answer::default()
            }
            Ok(()) => answer,
            Err(error) if is_held => {
                shout(&format!(
                    "restore has failed, and goes on: the failure can't be kept for prepare: {error}"
                ));
                Answer::default()
            }
            Err(_) => answer,
        }
    }
}
