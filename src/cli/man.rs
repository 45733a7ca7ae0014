//! `hookmux man`: the pages, made from the commands' definition.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap_mangen::Man;

use super::End;
use super::output::Output;

pub(super) fn run(
    directory: Option<PathBuf>,
    command: clap::Command,
    output: &mut Output,
) -> anyhow::Result<End> {
    let mut command = command.disable_help_subcommand(true);
    // the options of all commands come to each
    command.build();
    let Some(directory) = directory else {
        output.bytes(&page(command)?);
        return Ok(End::Good);
    };
    fs::create_dir_all(&directory)
        .with_context(|| format!("{} can't be made", directory.display()))?;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let name = format!("hookmux-{}", sub.get_name());
        let sub = sub
            .clone()
            .name(name.clone())
            .bin_name(name.replacen('-', " ", 1))
            .display_name(name.clone());
        write(&directory, &name, &page(sub)?)?;
    }
    write(&directory, "hookmux", &page(command)?)?;
    Ok(End::Good)
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
