//! The command line.

mod args;
mod bypass;
mod check;
mod completions;
mod demo;
mod digest;
mod edit;
mod fixes;
mod guests;
mod help;
mod history;
pub(crate) mod hooks;
mod install;
mod inventory;
mod json;
mod login_name;
mod man;
mod metrics;
mod outbox;
mod output;
mod pager;
mod parse_error;
mod pattern;
mod place;
mod plan;
mod question;
mod queue;
pub(crate) mod register;
mod relay;
mod remark;
mod rights;
mod schema;
mod script_text;
mod shell_code;
mod status;
mod table;
mod terminal;
mod time;
mod typed;
mod undo;
mod unified_diff;
mod usage;
mod wrap;
pub(crate) mod xml;

use std::env;
use std::process;

use clap::FromArgMatches;

use crate::trust::Trust;
use args::{Arguments, Command, Format, XmlCommand};
use history::{audit, log, prune, retry, show, stop, watch};
use hooks::{events, list, remote, run};
use install::entries;
use output::Output;
pub(crate) use place::{CommandEnd, CommandPlace};
use register::{add, delete, enable, export, import, new};

pub fn main() -> ! {
    completions::answer();
    let mut output = Output::new();
    let mut words = typed::with_values(env::args_os());
    if typed::ask_for_version(&words) {
        words = vec!["hookmux".into(), "--version".into()];
    }
    let all_help = typed::ask_for_all_help(&words);
    if let Some(rest) = relay::words_of_watch(&words) {
        let Err(error) = relay::execute(rest);
        output.print_error(&format!("{error:#}"));
        output.finish();
        process::exit(1);
    }
    let parse = || {
        let matches = help::command().try_get_matches_from(&words);
        let arguments = matches.and_then(|matches| Arguments::from_arg_matches(&matches));
        arguments.unwrap_or_else(|error| parse_error::end_by(error))
    };
    let arguments = if all_help { None } else { Some(parse()) };
    let Some(arguments) = arguments.filter(|it| !matches!(it.command, Some(Command::Fullhelp)))
    else {
        print_all_help(&mut output);
        output.finish();
        process::exit(0);
    };
    let format = arguments.format();
    let view = &arguments.view;
    output.set(view.color, view.wide, view.time);
    if format == Format::Text && arguments.may_be_long() && !view.no_pager {
        output.page();
    }
    let status = match dispatch(arguments, &mut output) {
        Ok(CommandEnd::Good | CommandEnd::Idle) => 0,
        Ok(CommandEnd::Problem | CommandEnd::Declined | CommandEnd::Differs) => 1,
        Ok(CommandEnd::Unanswered | CommandEnd::WrongUsage) => 2,
        Ok(CommandEnd::TryAgain) => 75,
        Err(error) => {
            let status = if usage::is_wrong(&error) { 2 } else { 1 };
            match error.downcast_ref::<rights::Denied>() {
                Some(denied) if format == Format::Json => output.json(&denied.json()),
                None if format == Format::Json => {
                    output.json(&json::message::Error::from(&rights::with_sudo_hint(error)));
                }
                None => output.print_error(&format!("{:#}", rights::with_sudo_hint(error))),
                Some(denied) => output.print_error(&denied.to_string()),
            }
            status
        }
    };
    output.finish();
    process::exit(status)
}

/// Prints the help of every command.
fn print_all_help(output: &mut Output) {
    if !env::args_os().any(|word| word == "--no-pager") {
        output.page();
    }
    let mut command = help::command();
    output.write(&format!("{}\n", command.render_long_help()));
    for sub in command.get_subcommands_mut().filter(|sub| !sub.is_hide_set()) {
        let name = format!("hookmux {}", sub.get_name());
        output.line("");
        output.toned(output::Tone::Bold, &name);
        output.line("");
        let mut sub = sub.clone().bin_name(name);
        output.write(&format!("{}\n", sub.render_long_help()));
    }
}

fn dispatch(arguments: Arguments, output: &mut Output) -> anyhow::Result<CommandEnd> {
    let is_about_system = arguments.is_about_system();
    let place = CommandPlace::new(arguments.hooks_dir.clone(), is_about_system);
    if arguments.needs_hooks_dir() {
        place.must_be_there()?;
    }
    if is_about_system {
        rights::must_read_settings(&place.surroundings.hooks_dir)?;
    }
    // `check` reports it itself; no user reads what calls and units start
    let is_silent = match &arguments.command {
        Some(
            Command::Check(_)
            | Command::Worker
            | Command::UndoWorker { .. }
            | Command::Demo(_)
            | Command::Xml(_),
        ) => true,
        Some(Command::Prune(prune)) => prune.linger,
        // it runs as another user, and its output is a service's
        Some(Command::Run(run)) => run.remote.is_some(),
        // the metrics say it
        Some(Command::Metrics(metrics)) => metrics.write.is_some(),
        _ => false,
    };
    if !is_silent {
        entries::warn(&place, output);
    }
    // these commands report it themselves, or use another directory
    let is_told = match &arguments.command {
        Some(Command::Bypass(_) | Command::Check(_) | Command::Demo(_) | Command::Xml(_)) => true,
        Some(Command::Run(run)) => run.remote.is_some(),
        Some(Command::Metrics(metrics)) => metrics.write.is_some(),
        _ => false,
    };
    if !is_told {
        warn_of_bypass(&place, output);
    }
    let act = audit::AuditedAct::of(&arguments)?;
    let ended = run_command(&place, arguments, output);
    if let Some(act) = act {
        act.finish(&place, &ended, output);
        digest::renew(&place);
    }
    ended
}

fn run_command(
    place: &CommandPlace,
    arguments: Arguments,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    match arguments.command {
        None => status::run_bare(place, output),
        Some(Command::Status(status)) => status::run(place, &status, output),
        Some(Command::List(list)) => list::run(place, &list, output),
        Some(Command::Events(events)) => events::run(&events, output),
        Some(Command::Plan(plan)) => plan::run(place, &plan, output),
        Some(Command::Run(run)) => match &run.remote {
            Some(file) => remote::run(place, &run, file, output),
            None => run::run(place, &run, output),
        },
        Some(Command::Check(check)) => check::run(place, &check, output),
        Some(Command::New(new)) => new::run(place, &new, output),
        Some(Command::Add(add)) => add::run(place, &add, output),
        Some(Command::Import(import)) => import::run(place, &import, output),
        Some(Command::Delete(delete)) => delete::run(place, &delete, output),
        Some(Command::Edit(edit)) => edit::run(place, &edit, output),
        Some(Command::Export(arguments)) => export::run(place, &arguments, output),
        Some(Command::Enable(switch)) => enable::enable(place, &switch, output),
        Some(Command::Disable(switch)) => enable::disable(place, &switch, output),
        Some(Command::Schema(schema)) => schema::run(&schema, output),
        Some(Command::Install(install)) => install::install(place, &install, output),
        Some(Command::Uninstall(uninstall)) => install::uninstall(place, &uninstall, output),
        Some(Command::Queue(queue)) => queue::run(place, &queue, output),
        Some(Command::Worker) => queue::work(place, output),
        Some(Command::Fullhelp) => {
            print_all_help(output);
            Ok(CommandEnd::Good)
        }
        Some(Command::Undo(undo)) => undo::run(place, &undo, output),
        Some(Command::UndoWorker { started }) => undo::work(place, started.as_deref(), output),
        Some(Command::Log(log)) => log::run(place, &log, output),
        Some(Command::Show(show)) => show::run(place, &show, output),
        Some(Command::Retry(retry)) => retry::run(place, &retry, output),
        Some(Command::Watch(watch)) => watch::run(place, &watch, output),
        Some(Command::Stop(stop)) => stop::run(place, &stop, output),
        Some(Command::Prune(prune)) => prune::run(place, &prune, output),
        Some(Command::Bypass(bypass)) => bypass::run(place, &bypass, output),
        Some(Command::Demo(demo)) => demo::run(&demo, output),
        Some(Command::Xml(XmlCommand::Get(get))) => xml::get(&get, output),
        Some(Command::Metrics(metrics)) => metrics::run(place, &metrics, output),
        Some(Command::Completions { shell }) => completions::run(shell, output),
        Some(Command::Man { directory }) => man::run(directory, output),
    }
}

/// Warns that hooks are switched off, in every command.
fn warn_of_bypass(place: &CommandPlace, output: &mut Output) {
    let mut trust = Trust::new(place.surroundings.user);
    match crate::bypass::load(&place.surroundings.hooks_dir, &mut trust) {
        Ok(now) => {
            let hooks_dir = &place.surroundings.hooks_dir;
            let shouts = now.entries.iter().map(|entry| bypass::warning(entry, hooks_dir));
            shouts.for_each(|words| output.print_error(&words));
        }
        Err(words) => output.print_error(&words),
    }
}
