//! `hookmux prune`: moves records out of the runtime directory, and removes those whose time is over.

use anyhow::Context;
use serde_json::json;

use super::args::{Format, PruneArgs};
use super::output::{Output, Tone};
use super::{End, Place};
use crate::front_door;
use crate::queue::{self, Queue, worker};
use crate::record::mover;

pub fn run(place: &Place, arguments: &PruneArgs, output: &mut Output) -> anyhow::Result<End> {
    let loaded = place.load(output);
    let settings = &loaded.settings;
    let done = if arguments.linger {
        front_door::settle();
        // jobs whose worker died wait for somebody who looks
        let queue = Queue::new(&settings.state_dir);
        if !queue.is_empty() && !worker::is_at_work(&queue) {
            let _ = queue::start_worker(&settings.hooks_dir, &settings.state_dir);
        }
        mover::linger(settings)
    } else {
        mover::tidy(settings)
    };
    let done = done.with_context(|| {
        format!("the records in {} can't be moved", settings.runtime_dir.named().display())
    })?;
    let stuck = done.stuck.as_ref().map(|error| {
        format!(
            "records stay in {}: they can't be moved to {}: {error}",
            settings.runtime_dir.named().display(),
            settings.state_dir.named().display()
        )
    });
    if arguments.output == Format::Json {
        output.json(&json!({
            "moved": done.moved, "lost": done.lost, "pruned": done.pruned, "stuck": stuck,
        }));
    } else {
        output.line(&format!(
            "{} records moved, {} removed; {} executions were lost.",
            done.moved, done.pruned, done.lost
        ));
    }
    match stuck {
        None => Ok(End::Good),
        Some(words) => {
            if arguments.output == Format::Text {
                output.toned(Tone::Bad, &words);
            }
            Ok(End::Problem)
        }
    }
}
