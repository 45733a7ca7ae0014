//! `hookmux import saschpe`: the port forwards of saschpe/libvirt-hook-qemu's hooks.json become registrations of the
//! ready-made hook `port-forward`, one for each guest.

use std::path::Path;

use anyhow::Context;
use serde_json::{Map, Value, json};

use super::super::add::given;
use super::super::{contrib, draft, registry};
use super::imported::{ImportOrigin, Imported, ImportedHook};
use crate::cli::args::ImportArgs;
use crate::cli::output::Output;
use crate::cli::remark::Remark;
use crate::cli::{CommandEnd, CommandPlace};
use crate::config::registration::MAX_REGISTRATION_BYTES;
use crate::config::yaml;
use crate::machine::files;
use guests::Forwards;

mod guests;
pub(crate) mod relaxed_json;

/// The ready-made hook, and the variable of its registration with the words.
const HOOK: &str = "port-forward";
const WORDS: &str = "PORT_FORWARD";

pub(super) fn run(
    place: &CommandPlace,
    arguments: &ImportArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let settings = registry::settings(place, output)?;
    let directory = contrib::directory(arguments.register.from.as_deref())?;
    let hook = contrib::find(&directory, HOOK)?;
    let keys = registration_keys(&hook.directory, &settings.hooks_dir)?;
    let header = draft::header(&[format!(
        "{WORDS} has the words of the property port_forward: see README.md beside the script."
    )]);
    let mut imported = Imported::default();
    for file in &arguments.files {
        let (shown, text) = given::read_given(file, "a hooks.json")?;
        let content =
            relaxed_json::parse(&text).map_err(|why| anyhow::anyhow!("{shown}: {why}"))?;
        let found = guests::read(&content).map_err(|why| anyhow::anyhow!("{shown}: {why}"))?;
        let origin =
            |guest: &str| ImportOrigin { place: format!("{shown}: guest {guest}"), entry: None };
        let hooks = found.guests.iter().map(|forwards| ImportedHook {
            origin: origin(&forwards.guest),
            name: name(&forwards.guest),
            keys: of_guest(&keys, forwards),
            header: header.clone(),
        });
        imported.hooks.extend(hooks);
        for (guest, note) in found.notes_of_guests {
            imported.notes_of_hooks.add(&format!("guest {guest}"), note.into());
        }
        imported.notes.extend(found.notes.into_iter().map(Remark::from));
        let problems = found.problems.iter();
        imported
            .problems
            .extend(problems.map(|(guest, why)| origin(guest).problem(None, why, None)));
    }
    imported.register(place, &settings, &arguments.register, output)
}

/// Returns the keys of the ready-made hook's own registration, with absolute paths.
fn registration_keys(directory: &Path, hooks_dir: &Path) -> anyhow::Result<Map<String, Value>> {
    let source = directory.join(format!("{HOOK}.yaml"));
    let written = files::read_regular(&source, MAX_REGISTRATION_BYTES)
        .and_then(files::into_text)
        .with_context(|| format!("{} can't be read", source.display()))?;
    let text = contrib::text(&source, &written, hooks_dir)?;
    yaml::read(&text).map_err(|_| anyhow::anyhow!("{} is no registration", source.display()))
}

/// Returns the keys of one guest's registration.
fn of_guest(keys: &Map<String, Value>, forwards: &Forwards) -> Map<String, Value> {
    let mut keys = keys.clone();
    keys.insert("when".to_owned(), json!({ "name": forwards.guest }));
    keys.insert("environment".to_owned(), json!({ WORDS: forwards.words.join(" ") }));
    keys
}

/// Returns the name of a guest's registration.
fn name(guest: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._+-".contains(c) { c } else { '_' };
    format!("{HOOK}-{}", guest.chars().map(plain).collect::<String>())
}
