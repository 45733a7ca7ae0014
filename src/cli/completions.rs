//! `hookmux completions`: prints completion scripts, made from the definition of the commands.

use clap_complete::{Shell, generate};

use super::CommandEnd;
use super::output::Output;

pub(super) fn run(
    shell: Shell,
    mut command: clap::Command,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let mut script = Vec::new();
    generate(shell, &mut command, "hookmux", &mut script);
    output.bytes(&script);
    Ok(CommandEnd::Good)
}
