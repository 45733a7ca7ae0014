//! `hookmux schema`: what an editor needs to know of a registration file.

use super::End;
use super::output::Output;
use crate::registry_edit::schema;

pub fn run(output: &mut Output) -> anyhow::Result<End> {
    output.json(&schema::schema());
    Ok(End::Good)
}
