//! `hookmux run`: does what a call does, outside of libvirt, with a live view.

use serde_json::{Value, json};

use super::described_call::{self, Described};
use super::difference;
use crate::answer::Answer;
use crate::call::{self, Handling, Hooks, door};
use crate::cli::args::{CallArgs, Format};
use crate::cli::output::{Output, Tone};
use crate::cli::{End, Place};
use crate::document::exchange::Change;
use crate::document::facts::Facts;
use crate::occasion::Execution;
use crate::occasion::{Mode, Occasion};
use crate::record::form::Cause;
use crate::record::recorder::Recorder;
use crate::record::{mask, mover};
use crate::verdict;
use crate::witness::{Both, Fact, Run, Witness};

pub fn run(place: &Place, arguments: &CallArgs, output: &mut Output) -> anyhow::Result<End> {
    let Described { call, loaded, candidates, document, document_source, .. } =
        described_call::describe(place, arguments, output)?;
    let is_text = arguments.output == Format::Text;
    let facts = Facts::of(document);
    let mut occasion = Occasion::new(&call, &loaded.settings, &place.surroundings, facts);
    occasion.mode = Mode::Trial { origin: arguments.origin, started: None };
    if is_text {
        let origin = described_call::arrival(&occasion).origin;
        described_call::head(&call, &loaded.settings, origin, &document_source, output);
        if candidates.is_narrow {
            output.line(&format!("  {}", super::plan::NARROW));
        }
    }
    door::settle();
    output.go_on();
    let hooks = Hooks { loaded: &loaded, candidates: &candidates };
    let trial = Trial::make(occasion, hooks, Cause::Person, is_text, output);
    if is_text {
        show_answer(&trial, output);
    } else {
        output.json(&trial.json());
    }
    Ok(if trial.is_good() { End::Good } else { End::Problem })
}

/// A call that was made by a person, and recorded.
pub struct Trial {
    pub answer: Answer,
    pub seen: Vec<Value>,
    notes: Vec<String>,
    /// The document that hooks got, without passwords.
    before: Option<String>,
    /// Its record's.
    pub id: Option<String>,
}

impl Trial {
    /// Handles a call, and shows what happens while it does.
    pub fn make(
        occasion: Occasion<'_>,
        hooks: Hooks<'_>,
        cause: Cause,
        is_text: bool,
        output: &mut Output,
    ) -> Trial {
        let mut recorder = Recorder::new(cause);
        let before = occasion.document().map(masked);
        let hooks_dir = occasion.settings.hooks_dir.clone();
        let mut view = View { output, is_text, seen: Vec::new(), notes: Vec::new() };
        let answer =
            call::answer(occasion, Handling::Hooks(hooks), &mut Both(&mut recorder, &mut view));
        let kept = recorder.finish(&answer);
        let View { seen, mut notes, .. } = view;
        if let Some(trouble) = kept.trouble {
            output.complain(&trouble);
            notes.push(trouble);
        }
        if let Some(place) = &kept.place {
            mover::start_if_needed(&hooks_dir, place);
        }
        let id = kept.execution.map(|execution| execution.id);
        Trial { answer, seen, notes, before, id }
    }

    pub fn is_good(&self) -> bool {
        self.answer.status == 0 && self.seen.iter().all(|run| run["failed"] == json!(false))
    }

    pub fn json(&self) -> Value {
        json!({
            "id": self.id,
            "status": self.answer.status,
            "stderr": self.answer.stderr,
            "document": self.answer.stdout.as_deref().map(masked),
            "runs": self.seen,
            "notes": self.notes,
        })
    }
}

/// What may be shown of a document or an output: not the guest's passwords.
fn masked(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&mask::passwords(bytes)).into_owned()
}

pub fn show_answer(trial: &Trial, output: &mut Output) {
    let answer = &trial.answer;
    if trial.seen.is_empty() {
        output.line("  no hook ran");
    }
    let tone = if answer.status == 0 { Tone::Good } else { Tone::Bad };
    output.toned(tone, &format!("libvirt would get exit status {}", answer.status));
    for line in answer.stderr.lines() {
        output.line(&format!("  {line}"));
    }
    if let Some(document) = &answer.stdout {
        output.line("and the document, changed:");
        let before = trial.before.as_deref().unwrap_or_default();
        difference::show(before, &masked(document), output);
    }
}

/// Shows what happens while it does.
struct View<'a> {
    output: &'a mut Output,
    is_text: bool,
    seen: Vec<Value>,
    notes: Vec<String>,
}

impl View<'_> {
    fn note(&mut self, tone: Tone, words: String) {
        if self.is_text {
            self.output.toned(tone, &format!("  {words}"));
        }
        self.notes.push(words);
    }

    fn over(&mut self, run: &Run) {
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
                    &format!("  + {}{device}: queued, to run on its own now", run.label),
                ),
                None => {
                    let took = took.map(verdict::seconds).unwrap_or_default();
                    let changed =
                        if run.change == Change::Taken { ", changed the document" } else { "" };
                    self.output
                        .toned(Tone::Good, &format!("  + {}{device}: {took}{changed}", run.label));
                }
            }
            for (name, capture) in run
                .ended
                .iter()
                .flat_map(|ended| [("stdout", &ended.stdout), ("stderr", &ended.stderr)])
            {
                for line in masked(&capture.kept()).lines() {
                    self.output.line(&format!("    {name}: {line}"));
                }
            }
            for leftover in run.ended.iter().flat_map(|ended| &ended.leftovers) {
                self.output.toned(
                    Tone::Careful,
                    &format!("    left running: {} ({})", leftover.name, leftover.pid),
                );
            }
        }
        let text =
            |stream: fn(&crate::process::job::Ended) -> &crate::process::capture::Capture| {
                run.ended.as_ref().map(|ended| masked(&stream(ended).kept()))
            };
        self.seen.push(json!({
            "hook": run.label,
            "event": run.event,
            "device": run.device,
            "failed": run.failure.is_some(),
            "queued": run.is_queued(),
            "status": run.failure.as_ref().map_or(0, |failure| failure.status),
            "what": run.failure.as_ref().map(|failure| failure.what.clone()),
            "duration_s": took.map(|took| took.as_secs_f64()),
            "changed_document": run.change == Change::Taken,
            "stdout": text(|ended| &ended.stdout),
            "stderr": text(|ended| &ended.stderr),
            "left_running": run.ended.iter().flat_map(|ended| &ended.leftovers).map(|left| left.pid).collect::<Vec<_>>(),
        }));
    }
}

impl Witness for View<'_> {
    fn see(&mut self, _execution: &Execution, fact: &Fact<'_>) {
        match fact {
            Fact::Begun(_) | Fact::Planned(_) | Fact::Started { .. } | Fact::Given(_) => {}
            Fact::Slow { label, limit } => {
                self.note(
                    Tone::Careful,
                    format!(
                        "… {label} is still running after a third of its {}",
                        verdict::seconds(*limit)
                    ),
                );
            }
            Fact::Over(run) => self.over(run),
            Fact::Out { label, why } => self.note(Tone::Dim, format!("- {label}: {why}")),
            Fact::Warning { label, words } => {
                self.note(Tone::Careful, format!("! {label}: {words}"))
            }
            Fact::Trouble(words) | Fact::Bypassed(words) => {
                self.note(Tone::Bad, format!("! {words}"));
            }
        }
    }
}
