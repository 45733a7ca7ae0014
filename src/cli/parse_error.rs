//! How a command ends for words that it doesn't understand.

use std::ffi::OsString;
use std::io::Write;

use clap::error::ErrorKind;

use super::args::EXECTYPES;
use super::help;
use super::json::message;
use super::output::Output;

/// Ends the process as clap does if `--exectype` isn't what the command is about.
pub(super) fn check_exectype(command: &str, exectype: Option<&str>, what: &str) {
    let exectype = exectype.map(str::to_ascii_lowercase);
    if let Some(exectype) = exectype.filter(|exectype| exectype != what) {
        let message = match EXECTYPES.contains(&what) {
            true => format!(
                "`--exectype {exectype}` and `{command} {what}` say different things: leave --exectype out, or write `{command} {exectype}`"
            ),
            false => format!("--exectype belongs to `{command} script` and `{command} module`"),
        };
        wrong_usage(command, &message);
    }
}

/// Ends the process as clap does for words that can't be combined.
pub(super) fn wrong_usage(command: &str, message: &str) -> ! {
    let mut found = command_named(command);
    end_by(found.error(ErrorKind::ArgumentConflict, message))
}

/// Ends the process for a first word of a command that isn't one of its words: with the command's help.
pub(super) fn wrong_action(command: &str, message: &str) -> ! {
    let mut found = command_named(command);
    if !is_json_wanted() {
        print_help(&mut found);
    }
    end_by(found.error(ErrorKind::InvalidValue, message))
}

fn command_named(name: &str) -> clap::Command {
    let mut arguments = help::command();
    arguments.build();
    arguments.find_subcommand(name).cloned().unwrap_or(arguments)
}

/// Prints the short help to standard error, before an error.
fn print_help(command: &mut clap::Command) {
    let mut stderr = std::io::stderr().lock();
    // nobody may be there to read it
    let _ = writeln!(stderr, "{}", command.render_help());
}

fn is_json_wanted() -> bool {
    let words: Vec<OsString> =
        std::env::args_os().skip(1).take_while(|word| word != "--").collect();
    let is_json = |word: &OsString| word.eq_ignore_ascii_case("json");
    let joined = ["--output=json", "-ojson", "-o=json"];
    words.iter().any(|word| joined.iter().any(|joined| word.eq_ignore_ascii_case(joined)))
        || words
            .windows(2)
            .any(|pair| (pair[0] == "--output" || pair[0] == "-o") && is_json(&pair[1]))
}

/// Ends the process with clap's help or error. With `--output json` the error is JSON. The help comes before
/// the error for a command that doesn't exist.
pub(super) fn end_by(error: clap::Error) -> ! {
    if !error.use_stderr() || !is_json_wanted() {
        if error.kind() == ErrorKind::InvalidSubcommand {
            print_help(&mut help::command());
        }
        error.exit();
    }
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let words = first.strip_prefix("error: ").unwrap_or(first).split_whitespace();
    let message = words.collect::<Vec<_>>().join(" ");
    Output::new().json(&message::Error::new("usage", message, None));
    std::process::exit(error.exit_code())
}
