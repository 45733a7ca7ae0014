//! `hookmux prune`: moves records out of the runtime directory, and removes those that are too old.

use anyhow::Context;

use super::{audit, executions};
use crate::call::door;
use crate::cli::args::{Format, PruneArgs};
use crate::cli::json::change::ChangeSummary;
use crate::cli::json::message::Message;
use crate::cli::json::prune::Pruned;
use crate::cli::output::{Output, Tone};
use crate::cli::{CommandEnd, CommandPlace, outbox};
use crate::queue::{self, Queue, worker};
use crate::record::outbox::moving::OutboxResult;
use crate::record::store::Store;
use crate::record::{counters, mover};
use crate::state::trash::Trash;

pub(crate) fn run(
    place: &CommandPlace,
    arguments: &PruneArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let loaded = place.load(output);
    let settings = &loaded.settings;
    let done = if arguments.linger {
        door::prepare_process();
        // start a worker for jobs that wait because their worker died
        let queue = Queue::new(&settings.state_dir);
        if !queue.is_empty() && !worker::is_at_work(&queue) {
            let _ = queue::start_worker_outside(&settings.hooks_dir, &settings.state_dir);
        }
        mover::linger(settings, &|| outbox::host_facts(place, &loaded, false))
    } else if arguments.dry_run {
        Ok(mover::forecast(settings))
    } else {
        mover::move_and_prune(settings, &|| outbox::host_facts(place, &loaded, true))
    };
    let done = done.with_context(|| {
        format!("the records in {} can't be moved", settings.runtime_dir.unchecked_path().display())
    })?;
    if !arguments.dry_run {
        audit::prune(&settings.state_dir, &settings.retention);
    }
    let stuck = done.stuck.as_ref().map(|error| {
        format!(
            "records stay in {}: they can't be moved to {}: {error}",
            settings.runtime_dir.unchecked_path().display(),
            settings.state_dir.unchecked_path().display()
        )
    });
    if let Some(newer) = done.uncounted {
        let path = counters::path(Store::new(&settings.state_dir).base());
        output.print_error(&format!("{}: {newer}", executions::not_counted(&path)));
    }
    let OutboxResult { moved, sent, lost } = done.outbox;
    let events = moved + sent + usize::try_from(lost).unwrap_or_default();
    let sum = done.moved + done.lost + done.pruned + done.texts + done.swept + events;
    if arguments.output.format == Format::Json {
        output.json(&Pruned {
            moved: done.moved,
            lost: done.lost,
            removed: done.pruned,
            registrations_removed: done.texts,
            trash_removed: done.swept,
            trash_left: done.is_trash_left,
            events_moved: done.outbox.moved,
            events_removed: done.outbox.sent,
            events_lost: done.outbox.lost,
            counted: done.uncounted.is_none(),
            problems: Message::all(&stuck),
            summary: ChangeSummary::new(sum > 0, arguments.dry_run),
        });
    } else if arguments.dry_run {
        output.line(&format!(
            "{} records would be moved, {} removed; {} executions are lost.",
            done.moved, done.pruned, done.lost
        ));
    } else {
        output.line(&format!(
            "Records: {} moved, {} removed; executions that were lost: {}.",
            done.moved, done.pruned, done.lost
        ));
    }
    let is_text = arguments.output.format == Format::Text;
    if is_text && events > 0 {
        let moved = if arguments.dry_run { "would be moved" } else { "moved" };
        output.line(&format!(
            "Events: {} {moved}, {sent} removed after they were sent, {lost} lost.",
            done.outbox.moved
        ));
    }
    if is_text && done.texts > 0 {
        let removed = if arguments.dry_run { "would be removed" } else { "removed" };
        let words =
            format!("Texts of registrations that no record needs: {} {removed}.", done.texts);
        output.line(&words);
    }
    if is_text && done.swept > 0 {
        let removed = if arguments.dry_run { "would be removed" } else { "removed" };
        output.line(&format!("Files and directories that hooks left: {} {removed}.", done.swept));
    }
    if is_text && done.is_trash_left {
        let trash = Trash::new(&settings.runtime_dir);
        let words = format!(
            "something is left in {}: run it again, and look for mounts there",
            trash.unchecked_path().display()
        );
        output.toned(Tone::Warning, &words);
    }
    if is_text && arguments.dry_run {
        output.line("nothing was changed: --dry-run");
    }
    match stuck {
        None => Ok(CommandEnd::Good),
        Some(words) => {
            if is_text {
                output.lines(Tone::Bad, &words);
            }
            Ok(CommandEnd::Problem)
        }
    }
}
