//! What `edit` did.

use super::change::ChangeSummary;
use super::check::Finding;
use super::shape::{object, words};
use super::value::PathText;

words! {
    /// What was done.
    pub enum EditAction {
        /// The file has the new text
        Saved = "saved",
        /// Nothing was changed: the text is as before, or has mistakes
        None = "none",
    }
}

object! {
    /// What `edit` did.
    pub struct Edited {
        /// The file
        path: PathText,
        /// What it is: `registration`, `settings` or `script`
        kind: &'static str,
        /// What was done
        action: EditAction,
        /// What is wrong with the text that was written
        findings: Vec<Finding>,
        /// With --diff: what was changed in the file, as a unified diff; empty where nothing was
        diff: Option<String>,
        /// Where the text is that the user wrote and that wasn't saved; null where there is none, or it was given up
        kept: Option<PathText>,
        ..=summary: ChangeSummary,
    }
}
