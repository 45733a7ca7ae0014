//! The result of `new`.

use super::change::ChangeSummary;
use super::message::Message;
use super::shape::{object, words};
use super::value::PathText;

words! {
    /// What a new file is.
    pub enum NewFileKind {
        /// A script
        Script = "script",
        /// The registration that runs it
        Registration = "registration",
    }
}

object! {
    /// A file of a new hook.
    pub struct NewFile {
        /// What it is
        kind: NewFileKind,
        /// Where it is
        path: PathText,
        /// What is in it
        text: String,
    }

    /// A new hook.
    pub struct New {
        /// The event
        event: String,
        /// Its name
        name: String,
        /// Whether the files were made: not with --dry-run
        made: bool,
        /// Its files
        files: Vec<NewFile>,
        /// What to do next: to edit it, to see whether it would run, to run it. Words in capitals stand for names
        next: Vec<Message>,
        /// Notes: that it never runs on this host, or would be refused
        notes: Vec<Message>,
        ..=summary: ChangeSummary,
    }
}
