//! `hookmux import`: registers the hooks of another hook system's files.

use crate::cli::args::{ForeignSystem, ImportArgs};
use crate::cli::output::Output;
use crate::cli::{CommandEnd, CommandPlace};

mod saschpe;

pub(crate) fn run(
    place: &CommandPlace,
    arguments: &ImportArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    match arguments.system {
        ForeignSystem::Saschpe => saschpe::run(place, arguments, output),
    }
}
