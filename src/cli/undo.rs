//! `hookmux undo`: shows what hooks have set up and still have to take back, and takes it back.

use anyhow::Context;

use super::output::Output;
use super::{CommandEnd, CommandPlace};
use crate::call::door;
use crate::record::journal::Journal;
use crate::record::mover;
use crate::undo::worker::{self, Workshop};

/// Takes back what had to wait; waits for another worker that is active.
pub(super) fn work(
    place: &CommandPlace,
    started: Option<&str>,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let loaded = place.load(output);
    let (settings, surroundings) = (&loaded.settings, &place.surroundings);
    if !surroundings.is_root() && !settings.session {
        return Ok(CommandEnd::Good);
    }
    door::prepare_process();
    if let Some(daemon) = started {
        worker::note_start(settings, daemon);
    }
    let mut journal = Journal::default();
    let worked = worker::work(&mut Workshop { settings, surroundings, observer: &mut journal });
    journal.finish();
    mover::start(&settings.hooks_dir, settings);
    worked.context("the ledger of undos can't be worked on")?;
    Ok(CommandEnd::Good)
}
