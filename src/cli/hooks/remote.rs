//! `hookmux run --remote`: runs what is registered for an event of another host, as a user of its own.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::remote_event::{self, MAX_EVENT_BYTES, Meaning, RemoteEvent};
use super::remote_marks::{self, Earlier};
use super::remote_places::{HOOKS_DIR, ROOTS, RUNTIME_DIR, STATE_DIR};
use super::run::Trial;
use crate::bypass;
use crate::call::{Handling, Hooks, door};
use crate::cli::args::{Format, RunArgs};
use crate::cli::json::message::{Error, Message};
use crate::cli::json::run::Ran;
use crate::cli::output::{Output, Tone};
use crate::cli::{CommandEnd, CommandPlace, usage};
use crate::config::{self, LoadedSettings, Surroundings};
use crate::hook::candidates;
use crate::occasion::{CallMode, Execution, Occasion};
use crate::record::form::RecordCause;
use crate::record::mover;
use crate::state::Dir;
use crate::trust::Trust;

/// The variable by which hookmux-relay says how often the event was delivered.
const DELIVERY_VARIABLE: &str = "HOOKMUX_REMOTE_DELIVERY";

/// Returns a path below the root directory of a test.
fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// Returns the settings for events of other hosts: those of their own hooks directory, but the places are fixed.
fn settings(root: &Path) -> (Surroundings, LoadedSettings) {
    let surroundings = Surroundings::here(&below(root, HOOKS_DIR));
    let mut loaded = config::load(&surroundings, &mut Trust::new(surroundings.user), false);
    let settings = &mut loaded.settings;
    settings.session = true;
    settings.state_dir = Dir::new(below(root, STATE_DIR), surroundings.user);
    settings.runtime_dir = Dir::new(below(root, RUNTIME_DIR), surroundings.user);
    settings.roots = ROOTS.iter().skip(1).map(|path| below(root, path)).collect();
    settings.vdsm_hooks = false;
    // else there would be events of events
    settings.outbox = false;
    (surroundings, loaded)
}

pub(in crate::cli) fn run(
    place: &CommandPlace,
    arguments: &RunArgs,
    file: &Path,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let bytes = read(file).with_context(|| format!("{} can't be read", file.display()))?;
    let event = match remote_event::read(&bytes) {
        Ok(Meaning::Call(event)) => *event,
        Ok(Meaning::Nothing(why)) => return Ok(nothing(arguments, &why, output)),
        Err(why) => {
            return Err(usage::wrong(format!("this isn't an event of hookmux: {why:#}")));
        }
    };
    let (surroundings, loaded) = settings(&arguments.root);
    match handle(place, arguments, event, &surroundings, &loaded, output) {
        Ok(end) => Ok(end),
        Err(error) => {
            let words = format!("{error:#}");
            tell(arguments, &words, output);
            Ok(CommandEnd::TryAgain)
        }
    }
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = MAX_EVENT_BYTES as u64 + 1;
    match file.as_os_str() == "-" {
        true => io::stdin().lock().take(limit).read_to_end(&mut bytes)?,
        false => std::fs::File::open(file)?.take(limit).read_to_end(&mut bytes)?,
    };
    Ok(bytes)
}

/// Runs the hooks of an event.
///
/// # Errors
/// Something of this host can't be used: the event may be tried again.
fn handle(
    place: &CommandPlace,
    arguments: &RunArgs,
    mut event: RemoteEvent,
    surroundings: &Surroundings,
    loaded: &LoadedSettings,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let settings = &loaded.settings;
    if let Some(problem) = loaded.problem.as_ref() {
        anyhow::bail!("{}", problem.one_line());
    }
    let call = event.call.clone();
    let mut trust = Trust::new(surroundings.user);
    let candidates = candidates::find_remote(&call, settings, &trust);
    if let Some(unreadable) = candidates.unreadable.first() {
        anyhow::bail!("{}: {}", unreadable.path.display(), unreadable.error);
    }
    // those of packages may be meant for calls of this host
    let own = candidates.broken.iter().find(|broken| {
        !broken.has_last_good && broken.diagnostic.path.starts_with(&settings.hooks_dir)
    });
    if let Some(broken) = own {
        anyhow::bail!("{}", broken.diagnostic.one_line());
    }
    if candidates.all().next().is_none() {
        return Ok(nothing(arguments, "no hook is registered for it", output));
    }
    for dir in [&settings.state_dir, &settings.runtime_dir] {
        dir.make().map_err(|error| {
            anyhow::anyhow!("{} can't be used: {error}", dir.unchecked_path().display())
        })?;
    }
    let mark = match remote_marks::begin(
        &settings.state_dir,
        &event.remote.host,
        &event.remote.execution,
    )? {
        Earlier::Free(mark) => mark,
        Earlier::Done => {
            return Ok(nothing(arguments, "its hooks have succeeded already", output));
        }
        Earlier::Runs => anyhow::bail!("its hooks run at this moment"),
    };
    let delivery = std::env::var(DELIVERY_VARIABLE).ok().and_then(|word| word.parse::<u64>().ok());
    event.remote.is_again = mark.is_again || delivery.is_some_and(|times| times > 1);
    let execution = Execution::new(&call, event.uuid.clone());
    let facts = event.facts();
    let cause = RecordCause::Remote(event.remote.execution.clone());
    let mut occasion = Occasion::of_execution(&call, settings, surroundings, facts, execution);
    occasion.mode = CallMode::Remote(Box::new(event.remote));
    // a switch that can't be read is off, as for calls
    let bypass = bypass::load(&place.surroundings.hooks_dir, &mut trust).unwrap_or_default();
    let handling = match bypass.of(&call) {
        Some(entry) => Handling::Bypassed(entry),
        None => Handling::Hooks(Hooks { loaded, candidates: &candidates }),
    };
    door::prepare_process();
    output.ignore_closed_output();
    let is_text = arguments.output.format == Format::Text;
    let trial = Trial::make(occasion, handling, cause, is_text, output);
    let is_good = trial.is_good();
    let ended = mark.end(is_good);
    if !is_text {
        output.json(&trial.json());
    }
    if let Err(error) = ended {
        output.print_error(&format!("that it is done can't be noted: {error}"));
    }
    // else the record stays in memory until the next event comes
    let stuck = mover::move_now(settings).map_or_else(Some, |moved| moved.stuck);
    if let Some(error) = stuck {
        output.print_error(&format!("the record can't be moved to the state directory: {error}"));
    }
    Ok(if is_good { CommandEnd::Good } else { CommandEnd::Problem })
}

/// Says that nothing is run, and why.
fn nothing(arguments: &RunArgs, why: &str, output: &mut Output) -> CommandEnd {
    let words = format!("nothing is run: {why}");
    match arguments.output.format {
        Format::Text => output.toned(Tone::Dim, &words),
        Format::Json => output.json(&Ran::nothing(Message::all(&[words]))),
    }
    CommandEnd::Idle
}

fn tell(arguments: &RunArgs, words: &str, output: &mut Output) {
    match arguments.output.format {
        Format::Text => output.print_error(words),
        Format::Json => {
            output.json(&Error::from(&anyhow::anyhow!("{words}")));
        }
    }
}
