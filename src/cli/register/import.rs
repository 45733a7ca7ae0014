//! `hookmux import`: registers the hooks of another hook system's files. All of them are registered or none, and
//! nothing is run.

use crate::cli::args::{ForeignSystem, ImportArgs};
use crate::cli::output::Output;
use crate::cli::parse_error;
use crate::cli::{CommandEnd, CommandPlace};

mod imported;
pub(crate) mod opennebula;
pub(crate) mod saschpe;

pub(crate) fn run(
    place: &CommandPlace,
    arguments: &ImportArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    match arguments.system {
        ForeignSystem::OpenNebula => {
            only_for("saschpe", &[("--from", arguments.register.from.is_some())]);
            opennebula::run(place, arguments, output)
        }
        ForeignSystem::Saschpe => {
            let given = [("--event", !arguments.event.is_empty()), ("--skip", arguments.skip)];
            only_for("opennebula", &given);
            saschpe::run(place, arguments, output)
        }
    }
}

/// Ends the process as clap does if an option is given that belongs to another system.
fn only_for(system: &str, given: &[(&str, bool)]) {
    if let Some((option, _)) = given.iter().find(|(_, is_given)| *is_given) {
        parse_error::wrong_usage("import", &format!("{option} belongs to `import {system}`"));
    }
}
