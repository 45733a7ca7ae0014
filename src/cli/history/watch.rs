//! `hookmux watch`: shows executions as they end, until it is stopped.

use super::follow::Follower;
use super::{executions, log};
use crate::cli::args::WatchArgs;
use crate::cli::output::Output;
use crate::cli::{CommandEnd, CommandPlace};

pub(crate) fn run(
    place: &CommandPlace,
    arguments: &WatchArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let loaded = place.load(output);
    let filter = executions::filter(&arguments.filter)?;
    let history = executions::history(&loaded.settings, output)?;
    let mut follower = Follower::new(&loaded.settings)?;
    loop {
        for head in follower.next(&history)?.iter().filter(|head| filter.holds(head)) {
            log::print_one(head, arguments.output, &loaded.settings.hooks_dir, output);
        }
    }
}
