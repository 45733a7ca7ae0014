//! `hookmux import saschpe`: the port forwards of saschpe/libvirt-hook-qemu's hooks.json become registrations of the
//! ready-made hook `port-forward`, one for each guest. All of them are registered or none, and nothing is run.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use super::super::add::draft_checks::DraftChecker;
use super::super::written::{self, WriteOptions};
use super::super::{add, contrib, registry};
use crate::cli::args::{Format, ImportArgs};
use crate::cli::install::libvirt_version;
use crate::cli::json::change::ChangeSummary;
use crate::cli::json::message::{EntryProblem, Message};
use crate::cli::json::registration::Added;
use crate::cli::output::Output;
use crate::cli::register::draft::DraftContext;
use crate::cli::register::module;
use crate::cli::register::translate::DescriptionEntry;
use crate::cli::remark::Remark;
use crate::cli::{CommandEnd, CommandPlace};
use crate::config::registration::MAX_REGISTRATION_BYTES;
use crate::config::{Registration, yaml};
use crate::machine::files;
use crate::trust::Trust;
use guests::Forwards;

mod guests;
mod relaxed_json;

/// The ready-made hook, and the variable of its registration with the words.
const HOOK: &str = "port-forward";
const WORDS: &str = "PORT_FORWARD";

pub(super) fn run(
    place: &CommandPlace,
    arguments: &ImportArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let settings = registry::settings(place, output)?;
    let user = place.surroundings.user;
    let hook = contrib::find(&contrib::directory(arguments.from.as_deref())?, HOOK)?;
    let keys = registration_keys(&hook.directory, &settings.hooks_dir)?;
    let (mut forwards, mut problems) = (Vec::new(), Vec::new());
    let mut notes: Vec<Remark> = Vec::new();
    for file in &arguments.files {
        let (shown, text) = read(file)?;
        let content =
            relaxed_json::parse(&text).map_err(|why| anyhow::anyhow!("{shown}: {why}"))?;
        let found = guests::read(&content).map_err(|why| anyhow::anyhow!("{shown}: {why}"))?;
        forwards.extend(found.guests);
        notes.extend(found.notes.into_iter().map(Remark::from));
        problems.extend(found.problems.into_iter().map(|why| format!("{shown}: {why}")));
    }
    // from here on no other process changes the registry
    let lock = match arguments.dry_run || !problems.is_empty() {
        true => None,
        false => Some(registry::lock(&settings, user)?),
    };
    let sources = registry::scan(&settings, user)?;
    let registered: Vec<&Registration> = sources.iter().filter_map(registry::read).collect();
    let context =
        DraftContext { hooks_dir: &settings.hooks_dir, registered: &registered, header: header() };
    let entries = forwards.into_iter().zip(1..).map(|(forwards, number)| DescriptionEntry {
        number,
        name: Some(name(&forwards.guest)),
        keys: of_guest(&keys, &forwards),
        is_unescalated: false,
    });
    let drafts = context.draft(entries.collect(), HOOK).unwrap_or_else(|found| {
        problems.extend(found.iter().map(ToString::to_string));
        Vec::new()
    });
    let checker = DraftChecker {
        settings: &settings,
        user,
        replaces: arguments.replace,
        is_nameable: false,
        libvirt: libvirt_version::of_host(),
    };
    problems.extend(drafts.iter().filter_map(|draft| checker.obstacle(draft, &sources)));
    if !problems.is_empty() {
        return Ok(refuse(&problems, &notes, arguments, output));
    }
    if arguments.output.format == Format::Text {
        add::show(&drafts, output);
    }
    let mut trust = Trust::new(user);
    for draft in &drafts {
        checker.warn(draft, &mut trust, &mut notes);
    }
    let options = WriteOptions {
        is_dry_run: arguments.dry_run,
        has_diff: arguments.diff.is_wanted,
        format: arguments.output.format,
    };
    written::write(lock.as_ref(), &drafts, &sources, &notes, options, output)
}

/// Reads a file, or standard input; with it its name for people.
fn read(file: &Path) -> anyhow::Result<(String, String)> {
    let (shown, bytes) = if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().take(MAX_REGISTRATION_BYTES + 1).read_to_end(&mut bytes)?;
        ("standard input".to_owned(), bytes)
    } else {
        let shown = file.display().to_string();
        let bytes = files::read_regular(file, MAX_REGISTRATION_BYTES)
            .with_context(|| format!("{shown} can't be read"))?;
        (shown, bytes)
    };
    if bytes.len() as u64 > MAX_REGISTRATION_BYTES {
        bail!("{shown} has more than 1 MiB");
    }
    let text = files::into_text(bytes).with_context(|| format!("{shown} can't be read"))?;
    Ok((shown, text))
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

fn header() -> String {
    let typed: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<String> = std::iter::once("hookmux".to_owned()).chain(typed).collect();
    format!(
        "Registered by: {}\nYou may edit this file; the next call of libvirt uses it as it is then.\n{WORDS} has the words of the property port_forward: see README.md beside the script.",
        module::command_line(&words)
    )
}

fn refuse(
    problems: &[String],
    notes: &[Remark],
    arguments: &ImportArgs,
    output: &mut Output,
) -> CommandEnd {
    if arguments.output.format == Format::Json {
        let problem = |words: &String| EntryProblem {
            message: Message { message: words.clone(), code: None, fix_keys: None.into() },
            entry: None,
            key: None,
        };
        output.json(&Added {
            registrations: Vec::new(),
            notes: Message::all(notes),
            problems: problems.iter().map(problem).collect(),
            summary: ChangeSummary::new(false, arguments.dry_run),
        });
        return CommandEnd::Problem;
    }
    for problem in problems {
        output.print_error(problem);
    }
    output.print_error("nothing was registered");
    CommandEnd::Problem
}
