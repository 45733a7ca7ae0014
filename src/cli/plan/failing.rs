//! `plan --fail`: the hooks that are assumed to fail.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::cli::usage;
use crate::config::suggest::suggest_or;
use crate::plan::{Decision, Step};
use crate::record::history::is_hook;

/// The failure that is assumed.
const WHAT: &str = "exit status 1, as --fail says";
const STATUS: i32 = 1;

/// The hooks of `--fail`, and what became of them in the calls that were planned.
#[derive(Debug, Default)]
pub(super) struct FailingHooks {
    words: Vec<String>,
    met: RefCell<Met>,
}

#[derive(Debug, Default)]
struct Met {
    /// The words of which a hook failed.
    failed: BTreeSet<String>,
    /// Why the hook of a word doesn't run.
    left_out: BTreeMap<String, String>,
    /// All hooks.
    labels: BTreeSet<String>,
}

impl FailingHooks {
    pub(super) fn new(words: &[String]) -> FailingHooks {
        FailingHooks { words: words.to_vec(), met: RefCell::default() }
    }

    pub(super) fn words(&self) -> &[String] {
        &self.words
    }

    /// Lets the hooks fail. Returns what to say about those of which libvirt hears nothing.
    pub(super) fn mark(&self, steps: &mut [Step]) -> Vec<String> {
        let mut notes = Vec::new();
        let mut met = self.met.borrow_mut();
        for step in steps {
            let label = &step.hook.label;
            met.labels.insert(label.clone());
            let Some(word) = self.words.iter().find(|word| is_hook(label, word)) else { continue };
            match &step.decision {
                Decision::Run if step.hook.detached().is_some() => {
                    met.failed.insert(word.clone());
                    notes.push(format!(
                        "{label} is detached: its failure has no effect on the call, and the queue tries it again."
                    ));
                }
                Decision::Run => {
                    met.failed.insert(word.clone());
                    let why = WHAT.to_owned();
                    step.decision = Decision::Fails { status: STATUS, why, is_its_own: true };
                }
                // it fails already
                Decision::Fails { .. } => {
                    met.failed.insert(word.clone());
                }
                Decision::Skipped(why) | Decision::SkippedWithWarning(why) => {
                    met.left_out.insert(word.clone(), format!("{label} doesn't run: {why}"));
                }
            }
        }
        notes
    }

    /// Returns what to say about hooks that don't run anyhow.
    ///
    /// # Errors
    /// There is no hook of a name in what was planned.
    pub(super) fn finish(&self) -> anyhow::Result<Vec<String>> {
        let met = self.met.borrow();
        let mut notes = Vec::new();
        for word in self.words.iter().filter(|word| !met.failed.contains(*word)) {
            let Some(left_out) = met.left_out.get(word) else {
                let labels = met.labels.iter().map(String::as_str);
                let names = labels.clone().filter_map(|label| label.rsplit('/').next());
                let hint = suggest_or(word, labels.chain(names), "`hookmux list` shows all hooks");
                return Err(usage::wrong(format!(
                    "--fail {word}: no call of this plan has such a hook; {hint}"
                )));
            };
            notes.push(format!("{left_out}."));
        }
        Ok(notes)
    }
}

/// Tells whether a step fails only because `--fail` says so.
pub(super) fn is_asked(step: &Step) -> bool {
    matches!(&step.decision, Decision::Fails { why, .. } if why == WHAT)
}
