//! The command line: a second door to the same rooms.

mod args;
mod bypass;
mod check;
mod completions;
mod demo;
mod history;
mod hooks;
mod install;
mod inventory;
mod json;
mod man;
mod output;
mod person;
mod place;
mod question;
mod queue;
pub(crate) mod register;
mod remark;
mod rights;
mod schema;
mod script_text;
mod time;
mod way_out;

use std::env;
use std::process;

use clap::{CommandFactory, Parser};

use crate::trust::Trust;
use args::{Arguments, Command, Format};
use history::{audit, log, metrics, prune, retry, show, watch};
use hooks::{events, list, plan, run};
use install::{entries, overview};
use output::Output;
pub(crate) use place::{End, Place};
use register::{add, delete, enable};

pub fn main() -> ! {
    let mut output = Output::new();
    // clap's own help has no word for all of it at once
    if env::args_os().skip(1).eq(["help", "--all"]) {
        help_of_all(&mut output);
        process::exit(0);
    }
    let arguments = Arguments::try_parse().unwrap_or_else(|error| args::end_by(error));
    let format = arguments.format();
    let status = match dispatch(arguments, &mut output) {
        Ok(End::Good | End::Idle) => 0,
        Ok(End::Problem | End::Declined) => 1,
        Ok(End::Unanswered) => 2,
        Err(error) => {
            match error.downcast_ref::<rights::Denied>() {
                Some(denied) if format == Format::Json => output.json(&denied.json()),
                None if format == Format::Json => {
                    output.json(&json::message::Error::from(&rights::with_way_out(error)));
                }
                None => output.complain(&format!("{:#}", rights::with_way_out(error))),
                Some(denied) => output.complain(&denied.to_string()),
            }
            1
        }
    };
    process::exit(status)
}

/// The help of every command, one after another.
fn help_of_all(output: &mut Output) {
    let mut command = Arguments::command();
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

fn dispatch(arguments: Arguments, output: &mut Output) -> anyhow::Result<End> {
    let is_by_person = arguments.is_by_person();
    let place = Place::new(arguments.hooks_dir.clone(), is_by_person);
    if is_by_person {
        rights::must_read_settings(&place.surroundings.hooks_dir)?;
    }
    // `check` says it itself; what calls and units start has no reader
    let is_silent = match &arguments.command {
        Some(Command::Check(_) | Command::Worker | Command::Demo(_)) => true,
        Some(Command::Prune(prune)) => prune.linger,
        _ => false,
    };
    if !is_silent {
        entries::warn(&place, output);
    }
    // these say it themselves, or are about another directory
    if !matches!(arguments.command, Some(Command::Bypass(_) | Command::Check(_) | Command::Demo(_)))
    {
        shout_bypass(&place, output);
    }
    let act = audit::AuditedAct::of(&arguments)?;
    let ended = carry_out(&place, arguments, output);
    if let Some(act) = act {
        act.finish(&place, &ended, output);
    }
    ended
}

fn carry_out(place: &Place, arguments: Arguments, output: &mut Output) -> anyhow::Result<End> {
    match arguments.command {
        None => overview::run(place, output),
        Some(Command::List(list)) => list::run(place, &list, output),
        Some(Command::Events(events)) => events::run(&events, output),
        Some(Command::Plan(plan)) => plan::run(place, &plan, output),
        Some(Command::Run(run)) => run::run(place, &run, output),
        Some(Command::Check(check)) => check::run(place, &check, output),
        Some(Command::Add(add)) => add::run(place, &add, output),
        Some(Command::Delete(delete)) => delete::run(place, &delete, output),
        Some(Command::Enable(switch)) => enable::enable(place, &switch, output),
        Some(Command::Disable(switch)) => enable::disable(place, &switch, output),
        Some(Command::Schema(schema)) => schema::run(&schema, output),
        Some(Command::Install(install)) => install::install(place, &install, output),
        Some(Command::Uninstall(uninstall)) => install::uninstall(place, &uninstall, output),
        Some(Command::Queue(queue)) => queue::run(place, &queue, output),
        Some(Command::Worker) => queue::work(place, output),
        Some(Command::Log(log)) => log::run(place, &log, output),
        Some(Command::Show(show)) => show::run(place, &show, output),
        Some(Command::Retry(retry)) => retry::run(place, &retry, output),
        Some(Command::Watch(watch)) => watch::run(place, &watch, output),
        Some(Command::Prune(prune)) => prune::run(place, &prune, output),
        Some(Command::Bypass(bypass)) => bypass::run(place, &bypass, output),
        Some(Command::Demo(demo)) => demo::run(&demo, output),
        Some(Command::Metrics) => metrics::run(place, output),
        Some(Command::Completions { shell }) => {
            completions::run(shell, Arguments::command(), output)
        }
        Some(Command::Man { directory }) => man::run(directory, Arguments::command(), output),
    }
}

/// That hooks are switched off is told by every command.
fn shout_bypass(place: &Place, output: &mut Output) {
    let mut trust = Trust::new(place.surroundings.user);
    match crate::bypass::load(&place.surroundings.hooks_dir, &mut trust) {
        Ok(now) => {
            let hooks_dir = &place.surroundings.hooks_dir;
            let shouts = now.entries.iter().map(|entry| bypass::shout(entry, hooks_dir));
            shouts.for_each(|words| output.complain(&words));
        }
        Err(words) => output.complain(&words),
    }
}
