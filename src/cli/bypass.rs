//! `hookmux bypass`: shows and changes the emergency switch.

use std::path::Path;

use anyhow::Context;

use super::args::{BypassArgs, BypassSwitch, Format};
use super::json;
use super::json::change::ChangeSummary;
use super::json::value::Time;
use super::output::{Output, Tone};
use super::{CommandEnd, CommandPlace, login_name, question, time, usage};
use crate::bypass::{self, Bypass, BypassEntry};
use crate::machine::{boot, clock};
use crate::trust::Trust;

pub(super) fn run(
    place: &CommandPlace,
    arguments: &BypassArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let hooks_dir = &place.surroundings.hooks_dir;
    let path = bypass::path(hooks_dir);
    let mut trust = Trust::new(place.surroundings.user);
    check_options(arguments)?;
    if arguments.turn == Some(BypassSwitch::On) {
        let calls = calls(arguments.guest.as_ref());
        let question = if arguments.this_boot {
            format!("No hook runs for {calls} until the host is restarted.")
        } else {
            format!("Without --for no hook runs for {calls} for {} days.", bypass::MAX_DAYS)
        };
        let is_answered = arguments.yes || arguments.duration.is_some() || arguments.dry_run;
        if let Some(end) = question::ask(&question, is_answered, arguments.output.format, output) {
            return Ok(end);
        }
    }
    // a file that can't be read is replaced, as the user wants to change the switch
    let loaded = bypass::load(hooks_dir, &mut trust);
    let is_replaced = loaded.is_err();
    let before = match (loaded, arguments.turn) {
        (Ok(bypass), _) => bypass,
        (Err(words), None) => anyhow::bail!("{words}"),
        (Err(words), Some(_)) => {
            let is = if arguments.dry_run { "would be" } else { "is" };
            output.print_error(&format!("{words}; it {is} replaced"));
            Bypass::default()
        }
    };
    let mut now = before;
    let was_on = now.entries.len();
    let is_for_guest = |entry: &BypassEntry| entry.guest == arguments.guest;
    match arguments.turn {
        None => {}
        Some(BypassSwitch::On) => {
            let since = clock::unix_seconds();
            let duration =
                arguments.duration.map_or(bypass::MAX_SECONDS, |duration| duration.as_secs());
            // hooks that are off for a time stay off after this boot
            let outlives = |entry: &BypassEntry| arguments.this_boot && entry.boot.is_none();
            now.entries.retain(|entry| !is_for_guest(entry) || outlives(entry));
            now.entries.push(BypassEntry {
                guest: arguments.guest.clone(),
                until: (!arguments.this_boot).then_some(since + duration),
                boot: arguments.this_boot.then(boot::id),
                since,
                user: Some(login_name::get()),
                reason: arguments.reason.clone(),
            });
        }
        // without a guest all entries are removed
        Some(BypassSwitch::Off) => {
            now.entries.retain(|entry| arguments.guest.is_some() && !is_for_guest(entry));
            let is_same = now.entries.len() == was_on;
            if let Some(guest) = arguments.guest.as_ref().filter(|_| is_same) {
                output.print_error(&format!("nothing was switched off for {guest} alone"));
            }
        }
    }
    if arguments.turn.is_some() && !arguments.dry_run {
        bypass::keep(hooks_dir, &now)
            .with_context(|| format!("{} can't be written", path.display()))?;
        // make sure that the written file is really used
        let seen = bypass::load(hooks_dir, &mut Trust::new(place.surroundings.user));
        let seen = seen.map_err(|words| anyhow::anyhow!("{words}"))?;
        anyhow::ensure!(seen == now, "{} isn't what was written into it", path.display());
    }
    let is_off = arguments.turn == Some(BypassSwitch::Off);
    let is_idle = is_off && !is_replaced && now.entries.len() == was_on;
    let is_change = arguments.turn.is_some() && !is_idle;
    let end = if is_idle { CommandEnd::Idle } else { CommandEnd::Good };
    if arguments.output.format == Format::Json {
        output.json(&json::bypass::Bypass {
            bypasses: json_entries(&now, hooks_dir),
            path: path.as_path().into(),
            summary: ChangeSummary::new(is_change, arguments.dry_run),
        });
        return Ok(end);
    }
    if arguments.dry_run {
        output.line("nothing was changed: --dry-run; it would be so:");
    }
    if now.is_off() {
        output.toned(Tone::Good, "The emergency switch is off: hooks run.");
    }
    for entry in &now.entries {
        output.toned(Tone::Bad, &warning(entry, hooks_dir));
    }
    Ok(end)
}

/// Refuses options that would have no effect, or a larger one than intended.
fn check_options(arguments: &BypassArgs) -> anyhow::Result<()> {
    if let Some(guest) = &arguments.guest {
        let is_uuid = guest.len() == 36 && guest.bytes().filter(|byte| *byte == b'-').count() == 4;
        usage::ensure(!guest.is_empty(), "--guest needs a name")?;
        usage::ensure(
            !is_uuid,
            "--guest takes a name: it has to be known before libvirt's document is read",
        )?;
    }
    if let Some(duration) = arguments.duration {
        let is_on = arguments.turn == Some(BypassSwitch::On);
        usage::ensure(is_on, "--for belongs to `bypass on`")?;
        usage::ensure(duration.as_secs() > 0, "--for needs a second at least")?;
        usage::ensure(
            duration.as_secs() <= bypass::MAX_SECONDS,
            format!(
                "the emergency switch is for {} days at most: disable hooks that should never run",
                bypass::MAX_DAYS
            ),
        )?;
    }
    if arguments.this_boot {
        usage::ensure(
            arguments.turn == Some(BypassSwitch::On),
            "--this-boot belongs to `bypass on`",
        )?;
        anyhow::ensure!(
            !boot::id().is_empty(),
            "/proc doesn't say which boot this is, so --this-boot would never end: use --for"
        );
    }
    Ok(())
}

/// Returns the warning that every command prints while the switch is on.
pub(super) fn warning(entry: &BypassEntry, hooks_dir: &Path) -> String {
    format!("THE EMERGENCY SWITCH IS ON: {}", describe(entry, hooks_dir))
}

/// Says for which calls no hook runs.
fn calls(guest: Option<&String>) -> String {
    guest.map_or_else(|| "any call of this host".to_owned(), |guest| format!("calls about {guest}"))
}

/// Describes which calls run no hooks, and how long.
pub(super) fn describe(entry: &BypassEntry, hooks_dir: &Path) -> String {
    let fix = entry.way_out(hooks_dir);
    let until = match (entry.until, &entry.boot) {
        (Some(until), _) => format!("until {} or `{fix}`", time::local(until)),
        (None, Some(_)) => format!("until the next boot or `{fix}`"),
        (None, None) => format!("until `{fix}`"),
    };
    let by = entry.user.as_ref().map(|user| format!(", by {user}")).unwrap_or_default();
    let why = entry.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!(
        "no hook runs for {}, {until} (since {}{by}{why})",
        calls(entry.guest.as_ref()),
        time::local(entry.since)
    )
}

/// Returns all entries for programs.
pub(super) fn json_entries(now: &Bypass, hooks_dir: &Path) -> Vec<json::bypass::BypassEntry> {
    now.entries.iter().map(|entry| json_entry(entry, hooks_dir)).collect()
}

fn json_entry(entry: &BypassEntry, hooks_dir: &Path) -> json::bypass::BypassEntry {
    json::bypass::BypassEntry {
        object: entry.guest.clone(),
        since: Time::of_seconds(entry.since),
        until: entry.until.map(Time::of_seconds),
        this_boot: entry.boot.is_some(),
        user: entry.user.clone(),
        reason: entry.reason.clone(),
        fix_keys: Some(&entry.way_out(hooks_dir)).into(),
    }
}
