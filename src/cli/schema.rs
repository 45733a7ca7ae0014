//! `hookmux schema`: prints the schema of a registration file, for editors, or of an output, for programs.

use super::CommandEnd;
use super::args::SchemaArgs;
use super::json::outputs::OutputName;
use super::output::Output;

pub(super) fn run(arguments: &SchemaArgs, output: &mut Output) -> anyhow::Result<CommandEnd> {
    let wanted = arguments.output.unwrap_or(OutputName::Registration);
    output.pretty(&wanted.schema());
    Ok(CommandEnd::Good)
}
