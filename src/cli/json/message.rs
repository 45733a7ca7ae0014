//! Sentences beside an answer or in its place, and the way out of what they tell of.

use super::shape::object;
use crate::cli::check::finding::Code;
use crate::cli::register::description::DescriptionProblem;
use crate::cli::remark::Remark;
use crate::command::Fix;

object! {
    /// What can be done about something.
    pub struct WayOut {
        /// What is to be done, for people: a command that a shell takes as it is, or words; null where nothing is proposed
        fix: Option<String>,
        /// The command's words, for programs; null where there is no command, and a person has to decide or to write
        fix_command: Option<Vec<String>>,
    }

    /// A sentence: a note, which changes nothing, or a problem.
    pub struct Message {
        /// For people
        message: String,
        /// A word for programs, of those of `hookmux check`; null where there is none
        code: Option<String>,
        ..=way_out: WayOut,
    }

    /// A sentence about what a script or a module says of itself, or about options.
    pub struct EntryProblem {
        ..message: Message,
        /// Which entry of the description, from 1; null where it is about all of it
        entry: Option<usize>,
        /// The key or the option that is wrong; null where it is about all of the entry
        key: Option<String>,
    }

    /// Why there is no answer.
    pub struct Failure {
        /// For people
        message: String,
        /// A word for programs: `failed`; `no-rights`: this user may not read what was asked for; `usage`: the words make no sense; `unanswered`: a question would have to be answered first, and nobody can be asked; `declined`: somebody was asked, and said no
        code: &'static str,
        ..=way_out: WayOut,
    }

    /// What is printed where there is no answer, whatever the command is.
    pub struct Error {
        /// Why
        error: Failure,
    }
}

impl From<Option<&Fix>> for WayOut {
    fn from(fix: Option<&Fix>) -> WayOut {
        WayOut { fix: fix.map(|fix| fix.text.clone()), fix_command: fix.and_then(Fix::command) }
    }
}

impl From<&Remark> for Message {
    fn from(remark: &Remark) -> Message {
        let way_out = remark.fix.as_ref().into();
        Message { message: remark.words.clone(), code: None, way_out }
    }
}

impl From<&String> for Message {
    fn from(words: &String) -> Message {
        Message { message: words.clone(), code: None, way_out: None.into() }
    }
}

impl Message {
    /// A sentence about something that `check` has a code for.
    pub(crate) fn coded(code: Code, words: &str) -> Message {
        let code = Some(code.name().to_owned());
        Message { message: words.to_owned(), code, way_out: None.into() }
    }

    /// All of a list.
    pub(crate) fn all<'a, T: 'a>(list: impl IntoIterator<Item = &'a T>) -> Vec<Message>
    where
        Message: From<&'a T>,
    {
        list.into_iter().map(Message::from).collect()
    }
}

impl From<&DescriptionProblem> for EntryProblem {
    fn from(problem: &DescriptionProblem) -> EntryProblem {
        EntryProblem {
            message: (&problem.message).into(),
            entry: problem.entry,
            key: problem.key.clone(),
        }
    }
}

impl From<&anyhow::Error> for Error {
    fn from(error: &anyhow::Error) -> Error {
        let fix = error.downcast_ref::<Remark>().and_then(|remark| remark.fix.as_ref());
        Error::new("failed", format!("{error:#}"), fix)
    }
}

impl Error {
    pub(crate) fn new(code: &'static str, message: String, fix: Option<&Fix>) -> Error {
        Error { error: Failure { message, code, way_out: fix.into() } }
    }
}
