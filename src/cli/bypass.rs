//! `hookmux bypass`: the emergency switch.

use std::path::Path;

use anyhow::Context;

use super::args::{BypassArgs, Format, Turn};
use super::json;
use super::json::value::Time;
use super::output::{Output, Tone};
use super::{End, Place, person, question, time};
use crate::bypass::{self, Bypass, Entry};
use crate::machine::boot;
use crate::trust::Trust;

pub(super) fn run(
    place: &Place,
    arguments: &BypassArgs,
    output: &mut Output,
) -> anyhow::Result<End> {
    let hooks_dir = &place.surroundings.hooks_dir;
    let path = bypass::path(hooks_dir);
    let mut trust = Trust::new(place.surroundings.user);
    refuse(arguments)?;
    if arguments.turn == Some(Turn::On) {
        let whose = arguments.guest.as_ref().map_or_else(
            || "any call of this host".to_owned(),
            |guest| format!("calls about {guest}"),
        );
        let question = if arguments.this_boot {
            format!("No hook runs for {whose} until the host is started anew.")
        } else {
            format!("Without --for no hook runs for {whose} for {} days.", bypass::MAX_DAYS)
        };
        let is_answered = arguments.yes || arguments.duration.is_some();
        if let Some(end) =
            question::refused(&question, is_answered, arguments.output.format, output)
        {
            return Ok(end);
        }
    }
    // one that can't be read is replaced: whoever turns the switch means it
    let loaded = bypass::load(hooks_dir, &mut trust);
    let is_replaced = loaded.is_err();
    let before = match (loaded, arguments.turn) {
        (Ok(bypass), _) => bypass,
        (Err(words), None) => anyhow::bail!("{words}"),
        (Err(words), Some(_)) => {
            output.complain(&format!("{words}; it is replaced"));
            Bypass::default()
        }
    };
    let mut now = before;
    let was_on = now.entries.len();
    let is_its = |entry: &Entry| entry.guest == arguments.guest;
    match arguments.turn {
        None => {}
        Some(Turn::On) => {
            let since = bypass::now();
            let duration = arguments.duration.map_or(bypass::MAX_S, |duration| duration.as_secs());
            // what was switched off for a time stays so after this boot
            let outlives = |entry: &Entry| arguments.this_boot && entry.boot.is_none();
            now.entries.retain(|entry| !is_its(entry) || outlives(entry));
            now.entries.push(Entry {
                guest: arguments.guest.clone(),
                until: (!arguments.this_boot).then_some(since + duration),
                boot: arguments.this_boot.then(boot::id),
                since,
                user: Some(person::name()),
                reason: arguments.reason.clone(),
            });
        }
        // without a guest all of it is off
        Some(Turn::Off) => {
            now.entries.retain(|entry| arguments.guest.is_some() && !is_its(entry));
            let is_same = now.entries.len() == was_on;
            if let Some(guest) = arguments.guest.as_ref().filter(|_| is_same) {
                output.complain(&format!("there was nothing switched off for {guest} alone"));
            }
        }
    }
    if arguments.turn.is_some() {
        bypass::keep(hooks_dir, &now)
            .with_context(|| format!("{} can't be written", path.display()))?;
        // one that counts for nothing must not be believed in
        let seen = bypass::load(hooks_dir, &mut Trust::new(place.surroundings.user));
        let seen = seen.map_err(|words| anyhow::anyhow!("{words}"))?;
        anyhow::ensure!(seen == now, "{} isn't what was written into it", path.display());
    }
    let is_off = arguments.turn == Some(Turn::Off);
    let is_idle = is_off && !is_replaced && now.entries.len() == was_on;
    let end = if is_idle { End::Idle } else { End::Good };
    if arguments.output.format == Format::Json {
        output.json(&json::bypass::Bypass {
            bypasses: now.entries.iter().map(|entry| json_entry(entry, hooks_dir)).collect(),
            path: path.as_path().into(),
        });
        return Ok(end);
    }
    if now.is_off() {
        output.toned(Tone::Good, "The emergency switch is off: hooks run.");
    }
    for entry in &now.entries {
        output.toned(Tone::Bad, &shout(entry, hooks_dir));
    }
    Ok(end)
}

/// What would switch off nothing, or more than was meant.
fn refuse(arguments: &BypassArgs) -> anyhow::Result<()> {
    if let Some(guest) = &arguments.guest {
        let is_uuid = guest.len() == 36 && guest.bytes().filter(|byte| *byte == b'-').count() == 4;
        anyhow::ensure!(!guest.is_empty(), "--guest needs a name");
        anyhow::ensure!(
            !is_uuid,
            "--guest takes a name: it has to be known before libvirt's document is read"
        );
    }
    if let Some(duration) = arguments.duration {
        anyhow::ensure!(arguments.turn == Some(Turn::On), "--for belongs to `bypass on`");
        anyhow::ensure!(duration.as_secs() > 0, "--for needs a second at least");
        anyhow::ensure!(
            duration.as_secs() <= bypass::MAX_S,
            "the emergency switch is for {} days at most: hooks that are never to run are disabled",
            bypass::MAX_DAYS
        );
    }
    if arguments.this_boot {
        anyhow::ensure!(arguments.turn == Some(Turn::On), "--this-boot belongs to `bypass on`");
        anyhow::ensure!(
            !boot::id().is_empty(),
            "/proc doesn't say which boot this is, so that --this-boot could never end: use --for"
        );
    }
    Ok(())
}

/// What everybody is told while the switch is on.
pub(super) fn shout(entry: &Entry, hooks_dir: &Path) -> String {
    format!("THE EMERGENCY SWITCH IS ON: {}", words(entry, hooks_dir))
}

/// Whose hooks don't run, and how long.
pub(super) fn words(entry: &Entry, hooks_dir: &Path) -> String {
    let way_out = entry.way_out(hooks_dir);
    let until = match (entry.until, &entry.boot) {
        (Some(until), _) => format!("until {} or `{way_out}`", time::local(until)),
        (None, Some(_)) => format!("until the next boot or `{way_out}`"),
        (None, None) => format!("until `{way_out}`"),
    };
    let by = entry.user.as_ref().map(|user| format!(", by {user}")).unwrap_or_default();
    let why = entry.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!(
        "no hook runs for {}, {until} (since {}{by}{why})",
        entry.whose(),
        time::local(entry.since)
    )
}

fn json_entry(entry: &Entry, hooks_dir: &Path) -> json::bypass::BypassEntry {
    json::bypass::BypassEntry {
        guest: entry.guest.clone(),
        since: Time::of_seconds(entry.since),
        until: entry.until.map(Time::of_seconds),
        this_boot: entry.boot.is_some(),
        user: entry.user.clone(),
        reason: entry.reason.clone(),
        way_out: Some(&entry.way_out(hooks_dir)).into(),
    }
}
