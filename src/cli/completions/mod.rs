//! Completion of the command line in shells: `hookmux completions SHELL` prints the script, which asks the program
//! for each word. So events, hooks, guests, executions and jobs are those of the host.

mod candidates;

use std::env;
use std::ffi::OsStr;
use std::process;

use clap_complete::env::{Bash, CompleteEnv, EnvCompleter, Fish, Zsh};
use clap_complete::{ArgValueCompleter, PathCompleter};

use super::CommandEnd;
use super::args::CompletionShell;
use super::help;
use super::output::Output;
use candidates::Kind;

/// The variable by which a shell's script asks. Its value is the shell's name.
const VARIABLE: &str = "HOOKMUX_COMPLETE";

/// In a directory of zsh's fpath the script is the function itself when it is first asked.
const ZSH_FIRST: &str =
    "if [[ $funcstack[1] == _hookmux ]]; then\n    _clap_dynamic_completer_hookmux \"$@\"\nfi\n";

/// Which arguments are completed with what: the command, the argument's name, and what it names.
const ARGUMENTS: &[(&str, &str, &[Kind])] = &[
    ("list", "event", &[Kind::Event]),
    ("list", "hook", &[Kind::Hook]),
    ("list", "guest", &[Kind::Guest]),
    ("events", "event", &[Kind::Event]),
    ("plan", "first", &[Kind::Guest, Kind::Driver]),
    ("plan", "second", &[Kind::Action, Kind::Guest]),
    ("plan", "of_driver", &[Kind::Driver]),
    ("plan", "fail", &[Kind::Hook]),
    ("plan", "operation", &[Kind::Operation]),
    ("plan", "origin", &[Kind::Origin]),
    ("run", "origin", &[Kind::Origin]),
    ("run", "driver", &[Kind::Driver]),
    ("run", "object", &[Kind::Guest]),
    ("run", "operation", &[Kind::Operation]),
    ("log", "occasions", &[Kind::Event, Kind::Driver]),
    ("log", "hook", &[Kind::Hook]),
    ("watch", "occasions", &[Kind::Event, Kind::Driver]),
    ("watch", "hook", &[Kind::Hook]),
    ("show", "id", &[Kind::Last, Kind::Execution, Kind::Hook, Kind::Job]),
    ("show", "execution", &[Kind::Execution]),
    ("show", "hook", &[Kind::Hook]),
    ("stop", "id", &[Kind::Running, Kind::Job]),
    ("retry", "id", &[Kind::Last, Kind::Execution, Kind::Hook]),
    ("retry", "execution", &[Kind::Execution]),
    ("retry", "hook", &[Kind::Hook]),
    ("queue", "flush", &[Kind::Job]),
    ("queue", "requeue", &[Kind::Job]),
    ("undo", "guest", &[Kind::Guest]),
    ("bypass", "guest", &[Kind::Guest]),
    ("enable", "names", &[Kind::Registration]),
    ("disable", "names", &[Kind::Registration]),
    ("edit", "name", &[Kind::Registration, Kind::Hook]),
    ("new", "event", &[Kind::Event]),
    ("add", "event", &[Kind::Event]),
    ("delete", "what", &[Kind::DeleteWord, Kind::Registration]),
    ("delete", "event", &[Kind::Event]),
    ("install", "driver", &[Kind::Driver]),
    ("uninstall", "driver", &[Kind::Driver]),
];

/// The conditions of the commands that find executions.
const CONDITIONS: &[(&str, &[Kind])] = &[
    ("guest", &[Kind::Guest]),
    ("event", &[Kind::Event]),
    ("driver", &[Kind::Driver]),
    ("operation", &[Kind::Operation]),
];
const WITH_CONDITIONS: [&str; 4] = ["log", "watch", "show", "retry"];

/// Returns every argument that is completed: its command, its name, and what it names.
fn completed() -> impl Iterator<Item = (&'static str, &'static str, &'static [Kind])> {
    let conditions = WITH_CONDITIONS
        .into_iter()
        .flat_map(|command| CONDITIONS.iter().map(move |(name, kinds)| (command, *name, *kinds)));
    ARGUMENTS.iter().copied().chain(conditions)
}

/// Prints the script of a shell.
pub(super) fn run(shell: CompletionShell, output: &mut Output) -> anyhow::Result<CommandEnd> {
    let mut script = Vec::new();
    let completer: &dyn EnvCompleter = match shell {
        CompletionShell::Bash => &Bash,
        CompletionShell::Zsh => &Zsh,
        CompletionShell::Fish => &Fish,
    };
    completer.write_registration(VARIABLE, "hookmux", "hookmux", "hookmux", &mut script)?;
    if shell == CompletionShell::Zsh {
        script.extend_from_slice(ZSH_FIRST.as_bytes());
    }
    output.bytes(&script);
    Ok(CommandEnd::Good)
}

/// Answers a shell that asks for completions, and ends the process.
pub(super) fn answer() {
    if env::var_os(VARIABLE).is_some() {
        CompleteEnv::with_factory(command).var(VARIABLE).complete();
        process::exit(0);
    }
}

/// Returns the commands with what completes their arguments.
fn command() -> clap::Command {
    let mut command = help::command();
    for (name, argument, kinds) in completed() {
        let complete = |argument: clap::Arg| {
            argument.add(ArgValueCompleter::new(|current: &OsStr| {
                candidates::of(kinds, &current.to_string_lossy())
            }))
        };
        command = of_argument(command, name, argument, complete);
    }
    let what = ArgValueCompleter::new(|current: &OsStr| {
        let mut all = candidates::of(&[Kind::AddWord], &current.to_string_lossy());
        all.extend(clap_complete::engine::ValueCompleter::complete(
            &PathCompleter::file(),
            current,
        ));
        all
    });
    of_argument(command, "add", "what", |argument| argument.add(what.clone()))
}

/// Changes an argument of a command, in its place: `mut_arg` would move it behind the others.
fn of_argument(
    command: clap::Command,
    name: &str,
    id: &str,
    change: impl Fn(clap::Arg) -> clap::Arg,
) -> clap::Command {
    let change = |argument: clap::Arg| {
        if argument.get_id() == id { change(argument) } else { argument }
    };
    command.mut_subcommand(name, |sub| sub.mut_args(change))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_completed_is_there() {
        let command = help::command();
        let missing: Vec<_> = completed()
            .filter(|(name, argument, _)| {
                let sub = command.find_subcommand(name);
                !sub.is_some_and(|sub| sub.get_arguments().any(|it| it.get_id() == argument))
            })
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
