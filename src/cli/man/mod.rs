//! `hookmux man`: writes the man pages, made from the definition of the commands and the program's other tables.

mod page;
mod pages;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap_mangen::Man;

use super::CommandEnd;
use super::help;
use super::hooks::events;
use super::output::Output;

pub(super) fn run(directory: Option<PathBuf>, output: &mut Output) -> anyhow::Result<CommandEnd> {
    let mut command = help::command().disable_help_subcommand(true);
    // global options are added to each command
    command.build();
    let Some(directory) = directory else {
        output.bytes(&program_page(command)?);
        return Ok(CommandEnd::Good);
    };
    fs::create_dir_all(&directory)
        .with_context(|| format!("{} can't be made", directory.display()))?;
    write_subcommands(&directory, &command, "hookmux")?;
    write(&directory, "hookmux.8", &program_page(command)?)?;
    write(&directory, "hookmux.yaml.5", &pages::settings())?;
    write(&directory, "hookmux-registration.5", &pages::registration())?;
    write(&directory, "hookmux-events.7", &pages::events(&events::lines(None)))?;
    write(&directory, "hookmux-hooks.7", &pages::hooks())?;
    Ok(CommandEnd::Good)
}

/// Returns hookmux(8).
fn program_page(command: clap::Command) -> anyhow::Result<Vec<u8>> {
    let mut roff = Vec::new();
    // the examples have a section of their own
    let man = Man::new(command.after_help("")).section("8").manual("hookmux");
    man.render_title(&mut roff)?;
    man.render_name_section(&mut roff)?;
    man.render_synopsis_section(&mut roff)?;
    man.render_description_section(&mut roff)?;
    man.render_options_section(&mut roff)?;
    man.render_subcommands_section(&mut roff)?;
    let examples = help::EXAMPLES.iter().find(|(name, _)| name.is_empty());
    pages::more_of_the_program(&mut roff, examples.map_or(&[], |(_, examples)| examples));
    Ok(roff)
}

/// Writes a page for each command below this one, `hookmux-log` and `hookmux-xml-get`.
fn write_subcommands(
    directory: &Path,
    command: &clap::Command,
    parent: &str,
) -> anyhow::Result<()> {
    let is_shown = |sub: &&clap::Command| !sub.is_hide_set() && sub.get_name() != "help";
    for sub in command.get_subcommands().filter(is_shown) {
        let name = format!("{parent}-{}", sub.get_name());
        write_subcommands(directory, sub, &name)?;
        let sub = sub
            .clone()
            .name(name.clone())
            .bin_name(name.replace('-', " "))
            .display_name(name.clone());
        write(directory, &format!("{name}.8"), &page(sub)?)?;
    }
    Ok(())
}

fn page(mut command: clap::Command) -> anyhow::Result<Vec<u8>> {
    let mut roff = Vec::new();
    let usage = command.render_usage().to_string();
    let name = command.get_bin_name().unwrap_or_default().to_owned();
    let has_subcommands = command.has_subcommands();
    // the examples have a section of their own
    let man = Man::new(command.after_help("")).section("8").manual("hookmux");
    man.render_title(&mut roff)?;
    man.render_name_section(&mut roff)?;
    // clap_mangen's has each option, and none of their values
    roff.extend(pages::synopsis(&name, &usage));
    man.render_description_section(&mut roff)?;
    man.render_options_section(&mut roff)?;
    if has_subcommands {
        man.render_subcommands_section(&mut roff)?;
    }
    let word = name.strip_prefix("hookmux ").unwrap_or_default();
    let examples = help::EXAMPLES.iter().find(|(command, _)| *command == word);
    roff.extend(pages::more_of_a_command(examples.map_or(&[], |(_, examples)| examples)));
    Ok(roff)
}

fn write(directory: &Path, file: &str, page: &[u8]) -> anyhow::Result<()> {
    let path = directory.join(file);
    fs::write(&path, page).with_context(|| format!("{} can't be written", path.display()))
}
