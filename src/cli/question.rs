//! Asks on a terminal before something is lost.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;

use super::CommandEnd;
use super::args::Format;
use super::json::message::Error;
use super::output::Output;
use crate::command::Fix;

/// Asks whether to go on; `--yes` answers.
pub(super) fn ask(
    question: &str,
    is_answered: bool,
    format: Format,
    output: &mut Output,
) -> Option<CommandEnd> {
    ask_by("--yes", question, is_answered, format, output)
}

/// Asks whether to go on; this option answers. `None` means yes; else the command has to end so without doing anything. Without a
/// terminal to ask on it ends like wrong usage.
pub(super) fn ask_by(
    option: &str,
    question: &str,
    is_answered: bool,
    format: Format,
    output: &mut Output,
) -> Option<CommandEnd> {
    if is_answered {
        return None;
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        let words = format!(
            "{question} There is no terminal to ask on: {option} answers. Nothing was done."
        );
        match format {
            Format::Text => output.print_error(&words),
            Format::Json => {
                output.json(&Error::new("unanswered", words, Some(&command_with(option))))
            }
        }
        return Some(CommandEnd::Unanswered);
    }
    let _ = write!(io::stderr(), "{question} [y/N] ");
    let mut answer = String::new();
    let is_read = io::stdin().lock().read_line(&mut answer).is_ok();
    if is_read && ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) {
        return None;
    }
    match format {
        Format::Text => output.print_error("nothing was done"),
        Format::Json => output.json(&Error::new("declined", "nothing was done".to_owned(), None)),
    }
    Some(CommandEnd::Declined)
}

/// Returns the same command with an option. A relative hooks directory becomes absolute, so that it holds
/// wherever the command is run.
pub(super) fn command_with(option: &str) -> Fix {
    let mut words: Vec<OsString> = vec!["hookmux".into()];
    let mut is_value = false;
    for word in std::env::args_os().skip(1) {
        let joined = word.as_bytes().strip_prefix(b"--hooks-dir=").map(OsStr::from_bytes);
        words.push(match joined {
            _ if is_value => absolute(&word),
            Some(directory) => {
                let mut whole = OsString::from("--hooks-dir=");
                whole.push(absolute(directory));
                whole
            }
            None => word.clone(),
        });
        is_value = !is_value && word == "--hooks-dir";
    }
    words.push(option.into());
    Fix::run(&words)
}

fn absolute(path: &OsStr) -> OsString {
    std::path::absolute(path).map_or_else(|_| path.to_owned(), Into::into)
}
