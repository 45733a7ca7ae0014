//! `hookmux completions`: scripts that complete commands, made from their definition.

use clap_complete::{Shell, generate};

use super::End;
use super::output::Output;

pub(super) fn run(
    shell: Shell,
    mut command: clap::Command,
    output: &mut Output,
) -> anyhow::Result<End> {
    let mut script = Vec::new();
    generate(shell, &mut command, "hookmux", &mut script);
    output.bytes(&script);
    Ok(End::Good)
}
