//! `hookmux bypass`: the emergency switch.

use anyhow::Context;
use serde_json::{Value, json};

use super::args::{BypassArgs, Format, Turn};
use super::output::{Output, Tone};
use super::{End, Place, time};
use crate::bypass::{self, Bypass, Entry};
use crate::trust::Trust;

pub fn run(place: &Place, arguments: &BypassArgs, output: &mut Output) -> anyhow::Result<End> {
    let hooks_dir = &place.surroundings.hooks_dir;
    let path = bypass::path(hooks_dir);
    let mut trust = Trust::new(place.surroundings.user);
    refuse(arguments)?;
    // one that can't be read is replaced: whoever turns the switch means it
    let before = match (bypass::load(hooks_dir, &mut trust), arguments.turn) {
        (Ok(bypass), _) => bypass,
        (Err(words), None) => anyhow::bail!("{words}"),
        (Err(words), Some(_)) => {
            output.complain(&format!("{words}; it is replaced"));
            Bypass::default()
        }
    };
    let mut now = before;
    let is_its = |entry: &Entry| entry.guest == arguments.guest;
    match arguments.turn {
        None => {}
        Some(Turn::On) => {
            let since = bypass::now();
            let until = arguments.duration.map(|duration| since.saturating_add(duration.as_secs()));
            now.entries.retain(|entry| !is_its(entry));
            now.entries.push(Entry { guest: arguments.guest.clone(), until, since });
        }
        // without a guest all of it is off
        Some(Turn::Off) => {
            let before = now.entries.len();
            now.entries.retain(|entry| arguments.guest.is_some() && !is_its(entry));
            if let Some(guest) = &arguments.guest
                && now.entries.len() == before
            {
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
    if arguments.output == Format::Json {
        let entries: Vec<Value> = now.entries.iter().map(json_entry).collect();
        output.json(&json!({ "bypasses": entries, "path": path.to_string_lossy() }));
        return Ok(End::Good);
    }
    if now.is_off() {
        output.toned(Tone::Good, "The emergency switch is off: hooks run.");
    }
    for entry in &now.entries {
        output.toned(Tone::Bad, &shout(entry));
    }
    Ok(End::Good)
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
    }
    Ok(())
}

/// What everybody is told while the switch is on.
pub fn shout(entry: &Entry) -> String {
    format!("THE EMERGENCY SWITCH IS ON: {}", words(entry))
}

/// Whose hooks don't run, and how long.
pub fn words(entry: &Entry) -> String {
    let until = entry.until.map_or_else(
        || "until `hookmux bypass off`".to_owned(),
        |until| format!("until {}", time::local(until)),
    );
    format!("no hook runs for {}, {until} (since {})", entry.whose(), time::local(entry.since))
}

fn json_entry(entry: &Entry) -> Value {
    json!({
        "guest": entry.guest,
        "since": time::rfc3339(entry.since * 1_000_000),
        "until": entry.until.map(|until| time::rfc3339(until * 1_000_000)),
    })
}
