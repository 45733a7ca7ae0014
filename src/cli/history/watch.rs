//! `hookmux watch`: shows executions as they end, until it is stopped.

use super::follow::Follower;
use super::queued_retries::QueuedRetries;
use super::{executions, log, selection};
use crate::cli::args::WatchArgs;
use crate::cli::output::Output;
use crate::cli::{CommandEnd, CommandPlace};

pub(crate) fn run(
    place: &CommandPlace,
    arguments: &WatchArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let loaded = place.load(output);
    let history = executions::history(&loaded.settings, output)?;
    let filter = selection::filter(&arguments.filter, &history)?;
    // it may come later: so this is no error
    selection::unknown_names(&filter, &history).iter().for_each(|it| output.print_error(it));
    let mut follower = Follower::new(&loaded.settings)?;
    loop {
        for head in follower.next(&history)?.iter().filter(|head| filter.holds(head)) {
            log::print_one(
                head,
                &QueuedRetries::default(),
                arguments.output,
                &loaded.settings.hooks_dir,
                output,
            );
        }
    }
}
