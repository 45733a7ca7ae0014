//! `hookmux watch`: executions as they end, until somebody stops it.

use super::args::WatchArgs;
use super::follow::Follower;
use super::output::Output;
use super::{End, Place, executions, log};

pub fn run(place: &Place, arguments: &WatchArgs, output: &mut Output) -> anyhow::Result<End> {
    let loaded = place.load(output);
    let filter = executions::filter(&arguments.filter)?;
    let history = executions::history(&loaded.settings, output)?;
    let mut follower = Follower::new(&loaded.settings)?;
    loop {
        for head in follower.next(&history)?.iter().filter(|head| filter.holds(head)) {
            log::say(head, arguments.output, &loaded.settings.hooks_dir, output);
        }
    }
}
