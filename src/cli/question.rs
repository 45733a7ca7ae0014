//! What would lose something is asked first, on a terminal.

use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal, Write};

use super::End;
use super::args::Format;
use super::json::message::Error;
use super::output::Output;
use crate::command::Fix;

/// Asks whether to go on. `None` is yes; else nothing is done, and the command ends so: where nobody
/// can be asked, as wrong usage does.
pub(super) fn refused(
    question: &str,
    is_answered: bool,
    format: Format,
    output: &mut Output,
) -> Option<End> {
    if is_answered {
        return None;
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        let words =
            format!("{question} There is no terminal to ask on: --yes answers. Nothing was done.");
        match format {
            Format::Text => output.complain(&words),
            Format::Json => output.json(&Error::new("unanswered", words, Some(&answered()))),
        }
        return Some(End::Unanswered);
    }
    let _ = write!(io::stderr(), "{question} [y/N] ");
    let mut answer = String::new();
    let is_read = io::stdin().lock().read_line(&mut answer).is_ok();
    if is_read && ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) {
        return None;
    }
    match format {
        Format::Text => output.complain("nothing was done"),
        Format::Json => output.json(&Error::new("declined", "nothing was done".to_owned(), None)),
    }
    Some(End::Declined)
}

/// The same command with its answer.
fn answered() -> Fix {
    let typed = std::env::args_os().skip(1);
    let words: Vec<OsString> =
        std::iter::once("hookmux".into()).chain(typed).chain(["--yes".into()]).collect();
    Fix::run(&words)
}
