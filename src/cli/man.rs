//! `hookmux man`: writes the man pages, made from the definition of the commands.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap_mangen::Man;

use super::CommandEnd;
use super::output::Output;

pub(super) fn run(
    directory: Option<PathBuf>,
    command: clap::Command,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let mut command = command.disable_help_subcommand(true);
    // global options are added to each command
    command.build();
    let Some(directory) = directory else {
        output.bytes(&page(command)?);
        return Ok(CommandEnd::Good);
    };
    fs::create_dir_all(&directory)
        .with_context(|| format!("{} can't be made", directory.display()))?;
    write_subcommands(&directory, &command, "hookmux")?;
    write(&directory, "hookmux", &page(command)?)?;
    Ok(CommandEnd::Good)
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
        write(directory, &name, &page(sub)?)?;
    }
    Ok(())
}

fn page(command: clap::Command) -> anyhow::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command).section("8").manual("hookmux").render(&mut page)?;
    Ok(page)
}

fn write(directory: &Path, name: &str, page: &[u8]) -> anyhow::Result<()> {
    let path = directory.join(format!("{name}.8"));
    fs::write(&path, page).with_context(|| format!("{} can't be written", path.display()))
}
