//! `hookmux run`: does what a call does, outside of libvirt, and shows it live.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::described_call::{self, DescribedCall};
use super::difference;
use crate::answer::Answer;
use crate::call::{self, Handling, Hooks, door};
use crate::cli::args::{Format, RunArgs};
use crate::cli::json;
use crate::cli::json::message::Message;
use crate::cli::json::run::{Process, Ran, RunHead, RunState};
use crate::cli::output::{Output, Tone, shortened};
use crate::cli::plan::known;
use crate::cli::{CommandEnd, CommandPlace, question};
use crate::command::Fix;
use crate::config::settings::RecordPolicy;
use crate::document::exchange::Change;
use crate::document::facts::DocumentFacts;
use crate::observer::{HookRun, Notice, Observer, Tee};
use crate::occasion::{CallMode, Execution, Occasion};
use crate::process::capture::Stream;
use crate::process::{exit_status, job};
use crate::record::form::RecordCause;
use crate::record::mask::Secrets;
use crate::record::recorder::Recorder;
use crate::record::{mask, mover};
use crate::verdict;

pub(crate) fn run(
    place: &CommandPlace,
    arguments: &RunArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let RunArgs { yes, .. } = arguments;
    let Some(words) = &arguments.call() else { return Ok(CommandEnd::WrongUsage) };
    let DescribedCall { call, loaded, candidates, document, document_source, .. } =
        described_call::describe(place, words, output)?;
    let is_silent = candidates.is_empty() && loaded.problem.is_none();
    if !yes {
        let unknown = known::unknown(place, &loaded.settings, ("run", words), &call)?;
        if let Some(unknown) = unknown {
            let question = format!("{}. Run its hooks anyway?", unknown.words());
            let format = arguments.output.format;
            if let Some(end) = question::ask(&question, *yes, format, output) {
                return Ok(end);
            }
        }
    }
    let is_text = arguments.output.format == Format::Text;
    let facts = DocumentFacts::of(document);
    let mut occasion = Occasion::new(&call, &loaded.settings, &place.surroundings, facts);
    occasion.mode = CallMode::Trial { origin: words.origin, started: None };
    if is_text {
        let origin = described_call::remembered(&occasion).origin;
        described_call::head(&call, &loaded.settings, origin, &document_source, output);
        if candidates.is_drop_ins_only {
            output.line(&format!("  {}", described_call::SESSION_NOTE));
        }
    }
    door::prepare_process();
    output.ignore_closed_output();
    // as with libvirt's own call, one without hooks leaves no record
    let handling = match is_silent {
        true => Handling::NoHooks,
        false => Handling::Hooks(Hooks { loaded: &loaded, candidates: &candidates }),
    };
    let trial = Trial::make(occasion, handling, RecordCause::Person, is_text, output);
    let end = if trial.is_good() { CommandEnd::Good } else { CommandEnd::Problem };
    if is_text {
        show_answer(&trial, output);
    } else {
        output.json(&trial.json());
    }
    Ok(end)
}

/// A call that a command made, and its results.
pub(crate) struct Trial {
    pub answer: Answer,
    runs: Vec<json::run::Run>,
    notes: Vec<String>,
    /// The document that hooks got, without passwords.
    before: Option<String>,
    /// The id of its record.
    id: Option<String>,
    hooks_dir: PathBuf,
    /// Where the rest of a long line is.
    rest: String,
}

impl Trial {
    /// Handles a call, and shows what happens while it does.
    pub(crate) fn make(
        occasion: Occasion<'_>,
        handling: Handling<'_>,
        cause: RecordCause,
        is_text: bool,
        output: &mut Output,
    ) -> Trial {
        let mut recorder = Recorder::new(cause);
        let before = occasion.document().map(masked);
        let hooks_dir = occasion.settings.hooks_dir.clone();
        // the mover that a call starts knows only the places of the settings
        let starts_mover = occasion.mode.remote().is_none();
        let rest = rest(&occasion);
        let mut view = LiveView::new(output, is_text, rest.clone());
        let answer = call::answer(occasion, handling, &mut Tee(&mut recorder, &mut view));
        let kept = recorder.finish(&answer);
        let LiveView { runs, mut notes, .. } = view;
        if let Some(error) = kept.error {
            output.print_error(&error);
            notes.push(error);
        }
        if let Some(place) = kept.place.as_ref().filter(|_| starts_mover) {
            mover::start_if_needed(&hooks_dir, place);
        }
        let id = kept.execution.map(|execution| execution.id);
        Trial { answer, runs, notes, before, id, hooks_dir, rest }
    }

    pub(crate) fn is_good(&self) -> bool {
        self.answer.status == 0 && self.runs.iter().all(|run| run.head.state != RunState::Failed)
    }

    /// Returns the labels of the hooks that were queued.
    fn queued(&self) -> impl Iterator<Item = &str> {
        let queued = self.runs.iter().filter(|run| run.head.state == RunState::Queued);
        queued.map(|run| run.head.hook.as_str())
    }

    /// Returns the output for programs.
    pub(crate) fn json(self) -> Ran {
        Ran {
            id: self.id,
            status: self.answer.status,
            document_after: self.answer.stdout.as_deref().map(masked),
            stderr: self.answer.stderr,
            runs: self.runs,
            notes: Message::all(&self.notes),
        }
    }
}

/// Says where the rest of a long line is.
fn rest(occasion: &Occasion<'_>) -> String {
    let Occasion { settings, execution, .. } = occasion;
    match settings.record {
        RecordPolicy::None => "`--output json` has them".to_owned(),
        RecordPolicy::Hooks | RecordPolicy::All => {
            let show = Fix::hookmux(&settings.hooks_dir, &["show", "--full", &execution.id]);
            format!("`{show}` has them")
        }
    }
}

/// Returns a document or an output without the guest's passwords.
fn masked(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&mask::passwords(bytes)).into_owned()
}

/// Shows what libvirt would get, and where all of it is.
pub(crate) fn show_answer(trial: &Trial, output: &mut Output) {
    let answer = &trial.answer;
    if trial.runs.is_empty() {
        output.line("  no hook ran");
    }
    let tone = if answer.status == 0 { Tone::Good } else { Tone::Bad };
    output.toned(tone, &format!("libvirt would get exit status {}", answer.status));
    for line in answer.stderr.lines() {
        output.line(&format!("  {}", shortened(line, &trial.rest)));
    }
    if let Some(document) = &answer.stdout {
        output.line("and the document, changed:");
        let before = trial.before.as_deref().unwrap_or_default();
        difference::show(before, &masked(document), output);
    }
    let show = |what: &str| Fix::hookmux(&trial.hooks_dir, &["show", what]);
    if let Some(id) = &trial.id {
        output.line(&format!("`{}` shows all of it", show(id)));
    }
    for label in trial.queued() {
        output.line(&format!("{label} is queued: `{}` shows its result", show(label)));
    }
}

fn json_run(run: &HookRun) -> json::run::Run {
    let ended = run.ended.as_ref();
    let state = match &run.failure {
        Some(_) => RunState::Failed,
        None if run.is_queued() => RunState::Queued,
        None => RunState::Good,
    };
    let timed_out = match (ended.map(|ended| &ended.outcome), &run.failure) {
        (Some(outcome), Some(_)) => matches!(outcome, job::ProcessOutcome::TimedOut { .. }),
        (None, Some(failure)) => failure.status == exit_status::TIMED_OUT,
        (_, None) => false,
    };
    let left = ended.into_iter().flat_map(|ended| &ended.leftovers);
    json::run::Run {
        head: RunHead {
            hook: run.label.clone(),
            event: run.event.clone(),
            state,
            timed_out,
            start_s: None,
            duration_s: ended.map(|ended| ended.duration.into()),
            status: Some(run.failure.as_ref().map_or(0, |failure| failure.status)),
        },
        device: run.device.clone(),
        failure: run
            .failure
            .as_ref()
            .map(|failure| failure.reason(&|text| masked(text.as_bytes()))),
        stdout: ended.map(|ended| masked(&ended.stdout.kept())),
        stderr: ended.map(|ended| masked(&ended.stderr.kept())),
        changed_document: run.change == Change::Taken,
        left_running: left.map(|left| Process { pid: left.pid, name: left.name.clone() }).collect(),
        job: run.job.clone(),
        path: Some(run.path.to_string_lossy().into_owned()),
    }
}

/// The longest line that is waited for, in bytes: what has no line ends is shown in pieces.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// A stream of a hook: its label, its device, and which one.
type StreamKey = (String, Option<String>, bool);

/// Shows what happens during the call.
struct LiveView<'a> {
    output: &'a mut Output,
    is_text: bool,
    runs: Vec<json::run::Run>,
    notes: Vec<String>,
    secrets: Secrets,
    /// Where the rest of a long line is.
    rest: String,
    /// The begun lines of hooks that run.
    begun: BTreeMap<StreamKey, Vec<u8>>,
}

impl<'a> LiveView<'a> {
    fn new(output: &'a mut Output, is_text: bool, rest: String) -> LiveView<'a> {
        let secrets = Secrets::default();
        let (runs, notes, begun) = (Vec::new(), Vec::new(), BTreeMap::new());
        LiveView { output, is_text, runs, notes, secrets, rest, begun }
    }

    /// Prints what a hook has written, line by line as it comes.
    fn print_output(&mut self, key: StreamKey, bytes: &[u8]) {
        let mut rest = self.begun.remove(&key).unwrap_or_default();
        rest.extend_from_slice(bytes);
        let whole = match rest.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if rest.len() >= MAX_LINE_BYTES => rest.len(),
            None => 0,
        };
        let begun = rest.split_off(whole);
        self.print_lines(&key, &rest);
        if !begun.is_empty() {
            self.begun.insert(key, begun);
        }
    }

    fn print_lines(&mut self, (label, device, is_error): &StreamKey, text: &[u8]) {
        let name = label.rsplit('/').next().unwrap_or(label);
        let device = device.as_ref().map(|device| format!(" [{device}]")).unwrap_or_default();
        let stream = if *is_error { " stderr" } else { "" };
        for line in String::from_utf8_lossy(&self.secrets.mask(text)).lines() {
            // a carriage return begins a line anew
            let line = line.rsplit('\r').find(|line| !line.is_empty()).unwrap_or_default();
            let line = shortened(line, &self.rest);
            self.output.line(&format!("  {name}{device}{stream} │ {line}"));
        }
    }

    /// Prints what has no line end, once nothing more comes.
    fn print_rest(&mut self, run: &HookRun) {
        for is_error in [false, true] {
            let key = (run.label.clone(), run.device.clone(), is_error);
            if let Some(rest) = self.begun.remove(&key) {
                self.print_lines(&key, &rest);
            }
        }
    }

    fn note(&mut self, tone: Tone, words: String) {
        if self.is_text {
            self.output.toned(tone, &format!("  {words}"));
        }
        self.notes.push(words);
    }

    fn print_run(&mut self, run: &HookRun) {
        self.print_rest(run);
        let took = run.ended.as_ref().map(|ended| ended.duration);
        if self.is_text {
            let device =
                run.device.as_ref().map(|device| format!(" [{device}]")).unwrap_or_default();
            match &run.failure {
                Some(failure) => self
                    .output
                    .toned(Tone::Bad, &format!("  x {}{device}: {}", run.label, failure.what)),
                None if run.is_queued() => self.output.toned(
                    Tone::Good,
                    &format!("  + {}{device}: queued, now runs on its own", run.label),
                ),
                None => {
                    let took = took.map(verdict::took).unwrap_or_default();
                    let changed =
                        if run.change == Change::Taken { ", changed the document" } else { "" };
                    self.output
                        .toned(Tone::Good, &format!("  + {}{device}: {took}{changed}", run.label));
                }
            }
            for leftover in run.ended.iter().flat_map(|ended| &ended.leftovers) {
                self.output.toned(
                    Tone::Warning,
                    &format!("    left running: {} ({})", leftover.name, leftover.pid),
                );
            }
        }
        self.runs.push(json_run(run));
    }
}

impl Observer for LiveView<'_> {
    fn observe(&mut self, _execution: &Execution, notice: &Notice<'_>) {
        match notice {
            Notice::Begun(occasion) => self.secrets.add(occasion.document().unwrap_or_default()),
            Notice::DocumentGiven(document) => self.secrets.add(document),
            Notice::Planned(_)
            | Notice::Started { .. }
            | Notice::CheckStarted { .. }
            | Notice::CheckEnded { .. }
            | Notice::Waited { .. }
            | Notice::LastLine { .. } => {}
            Notice::Output { label, device, stream, bytes } => {
                if self.is_text {
                    let is_error = *stream == Stream::Error;
                    let key = ((*label).to_owned(), device.map(str::to_owned), is_error);
                    self.print_output(key, bytes);
                }
            }
            Notice::Slow { label, limit } => {
                self.note(
                    Tone::Warning,
                    format!(
                        "… {label} is still running after a third of its limit of {}",
                        verdict::seconds(*limit)
                    ),
                );
            }
            Notice::Finished(run) => self.print_run(run),
            Notice::Skipped { label, why } => self.note(Tone::Dim, format!("- {label}: {why}")),
            Notice::Warning { label, words } => {
                self.note(Tone::Warning, format!("! {label}: {words}"))
            }
            Notice::OwnError(words) | Notice::Bypassed(words) => {
                self.note(Tone::Bad, format!("! {words}"));
            }
        }
    }
}
