//! `hookmux schema`: what an editor needs to know of a registration file, and a program of an output.

use super::End;
use super::args::SchemaArgs;
use super::json::outputs::OutputName;
use super::output::Output;

pub(super) fn run(arguments: &SchemaArgs, output: &mut Output) -> anyhow::Result<End> {
    let wanted = arguments.output.unwrap_or(OutputName::Registration);
    output.pretty(&wanted.schema());
    Ok(End::Good)
}
