//! `hookmux schema`: what an editor needs to know of a registration file.

use super::End;
use super::output::Output;
use crate::cli::register::registration_schema;

pub fn run(output: &mut Output) -> anyhow::Result<End> {
    output.json(&registration_schema::schema());
    Ok(End::Good)
}
