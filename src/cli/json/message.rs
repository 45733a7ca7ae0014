//! Messages beside an output or instead of it, and what to do about them.

use super::shape::object;
use crate::cli::check::finding::Code;
use crate::cli::register::description::DescriptionProblem;
use crate::cli::remark::Remark;
use crate::cli::usage::WrongUsage;
use crate::command::Fix;

object! {
    /// What to do about something.
    pub struct FixKeys {
        /// What to do, for people: a command for a shell, or a sentence; null where nothing is proposed
        fix: Option<String>,
        /// The words of the command, for programs; null where there is no command because a person has to decide
        fix_command: Option<Vec<String>>,
    }

    /// A message: a note or a problem.
    pub struct Message {
        /// For people
        message: String,
        /// A code of `hookmux check`, for programs; null where there is none
        code: Option<String>,
        ..=fix_keys: FixKeys,
    }

    /// A message about a script's or a module's description, or about options.
    pub struct EntryProblem {
        ..message: Message,
        /// The number of the description's entry, or of the file's template, from 1; null where it is about the whole
        entry: Option<usize>,
        /// The key or the option that is wrong; null where it is about the whole entry
        key: Option<String>,
    }

    /// Why a command failed.
    pub struct Failure {
        /// For people
        message: String,
        /// A word for programs: `failed`; `no-rights`: this user may not read what was asked for; `usage`: the command line is wrong; `unanswered`: a question has to be answered first, and there is no terminal to ask; `declined`: the user was asked, and said no
        code: &'static str,
        ..=fix_keys: FixKeys,
    }

    /// The output of every command that fails.
    pub struct Error {
        /// Why
        error: Failure,
    }
}

impl From<Option<&Fix>> for FixKeys {
    fn from(fix: Option<&Fix>) -> FixKeys {
        FixKeys { fix: fix.map(|fix| fix.text.clone()), fix_command: fix.and_then(Fix::command) }
    }
}

impl From<&Remark> for Message {
    fn from(remark: &Remark) -> Message {
        let fix_keys = remark.fix.as_ref().into();
        Message { message: remark.words.clone(), code: None, fix_keys }
    }
}

impl From<&String> for Message {
    fn from(words: &String) -> Message {
        Message { message: words.clone(), code: None, fix_keys: None.into() }
    }
}

impl Message {
    /// Makes a message with a code of `check`.
    pub(crate) fn coded(code: Code, words: &str) -> Message {
        let code = Some(code.name().to_owned());
        Message { message: words.to_owned(), code, fix_keys: None.into() }
    }

    /// Makes messages of all items.
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
        let usage = error.downcast_ref::<WrongUsage>();
        let remark = error.downcast_ref::<Remark>().or(usage.map(|usage| &usage.0));
        let code = if usage.is_some() { "usage" } else { "failed" };
        Error::new(code, format!("{error:#}"), remark.and_then(|remark| remark.fix.as_ref()))
    }
}

impl Error {
    pub(crate) fn new(code: &'static str, message: String, fix: Option<&Fix>) -> Error {
        Error { error: Failure { message, code, fix_keys: fix.into() } }
    }
}
