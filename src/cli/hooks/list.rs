//! `hookmux list`: shows every hook, its order and its state.

use std::collections::BTreeSet;
use std::path::Path;

use super::{available, events};
use crate::cli::args::{Format, ListArgs};
use crate::cli::check::finding::Code;
use crate::cli::inventory::Inventory;
use crate::cli::inventory::listed::{self, Listed};
use crate::cli::json::hook::{List, ListedHook};
use crate::cli::json::message::Message;
use crate::cli::json::value::Word;
use crate::cli::output::{Cell, Output, Tone};
use crate::cli::register::{module, registered};
use crate::cli::{CommandEnd, CommandPlace, rights};
use crate::config::suggest::did_you_mean;
use crate::config::{Registration, Settings};
use crate::event;
use crate::hook::Style;
use crate::hook::candidates::VDSM_ROOT;
use crate::machine::files;

/// The largest file of which the SHA-256 is shown; even large programs are smaller.
const MAX_HASHED_BYTES: u64 = 64 << 20;

impl Listed {
    fn root(&self, settings: &Settings) -> String {
        let file = self.registration.as_ref().unwrap_or(&self.path);
        let roots = settings.all_roots().chain([Path::new(VDSM_ROOT)]);
        let root =
            roots.filter(|root| file.starts_with(root)).max_by_key(|root| root.as_os_str().len());
        root.unwrap_or(&settings.hooks_dir).display().to_string()
    }

    fn sha256(&self) -> Option<String> {
        Some(files::sha256(&files::read_regular(&self.path, MAX_HASHED_BYTES).ok()?))
    }

    fn json(&self, settings: &Settings) -> ListedHook {
        ListedHook {
            hook: self.label.clone(),
            event: event::is_known(&self.place).then(|| self.place.clone()),
            place: self.place.clone(),
            name: self.name.clone(),
            order: self.order,
            state: Word(self.state),
            reason: self.reason.clone(),
            weight: self.weight,
            style: self.style.map(Word),
            source: Word(self.source),
            path: self.path.as_path().into(),
            root: Path::new(&self.root(settings)).into(),
            sha256: self.sha256(),
            registration: self.registration.as_deref().map(Into::into),
            registered: self.registered.as_deref().map(Into::into),
            fix_keys: self.fix.as_ref().into(),
        }
    }
}

/// Returns a registered hook's arguments, and what else differs from a plain hook.
fn more(registration: &Registration) -> String {
    let arguments = registration.args.iter().map(|argument| argument.as_str().to_owned());
    let arguments: Vec<String> =
        registration.command.iter().skip(1).cloned().chain(arguments).collect();
    let words = [module::command_line(&arguments), registered::more(registration)];
    words.into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join("; ")
}

/// Returns the notes about directories that look like an event's, but belong to no event.
fn describe_unknown_directories(inventory: &Inventory<'_>) -> Vec<String> {
    let names: BTreeSet<&str> = inventory.unknown_directories().map(|(_, name)| name).collect();
    let known = || event::TABLE.iter().map(|row| row.name);
    let words = names.into_iter().map(|name| match did_you_mean(name, known()) {
        Some(similar) => format!("{name}/ is not an event: did you mean {similar}?"),
        None => format!("{name}/ is not an event: see `hookmux events`"),
    });
    words.collect()
}

pub(crate) fn run(
    place: &CommandPlace,
    arguments: &ListArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let loaded = place.load(output);
    let settings = &loaded.settings;
    rights::must_read_hooks(settings)?;
    if arguments.available {
        return available::run(place, settings, arguments, output);
    }
    if let Some(event) = &arguments.event {
        events::must_be_known(event)?;
    }
    let inventory = Inventory::look(settings, place.surroundings.user);
    let is_of_all = arguments.event.is_none();
    let unknown_directories =
        if is_of_all { describe_unknown_directories(&inventory) } else { Vec::new() };
    let mut hooks = listed::all(inventory)?;
    if let Some(event) = &arguments.event {
        hooks.retain(|hook| hook.place == *event);
    }
    if arguments.output.format == Format::Json {
        output.json(&List {
            hooks: hooks.iter().map(|hook| hook.json(settings)).collect(),
            notes: unknown_directories
                .iter()
                .map(|words| Message::coded(Code::UnknownEvent, words))
                .collect(),
        });
        return Ok(CommandEnd::Good);
    }
    if hooks.is_empty() {
        explain_empty(settings, arguments.event.as_deref(), output);
    } else {
        let rows: Vec<Vec<Cell>> = hooks.iter().map(|hook| row(hook, settings)).collect();
        output.table(
            &["EVENT", "ORDER", "WEIGHT", "HOOK", "STATE", "STYLE", "SHA256", "ROOT", "MORE"],
            &rows,
        );
        for hook in &hooks {
            if let Some(reason) = &hook.reason {
                output.line(&format!("{}: {reason}", hook.path.display()));
            }
        }
    }
    for directory in &unknown_directories {
        output.print_error(directory);
    }
    Ok(CommandEnd::Good)
}

fn row(hook: &Listed, settings: &Settings) -> Vec<Cell> {
    let sha256 = hook.sha256().map(|digest| digest[..12].to_owned());
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    vec![
        hook.place.clone().into(),
        or_dash(hook.order.map(|position| position.to_string())).into(),
        or_dash(hook.weight.map(|weight| weight.to_string())).into(),
        hook.name.clone().into(),
        Cell(hook.state.name().to_owned(), hook.state.tone()),
        hook.style.map_or("-", Style::name).into(),
        Cell(or_dash(sha256), Tone::Dim),
        Cell(hook.root(settings), Tone::Dim),
        hook.registered.as_deref().map(more).unwrap_or_default().into(),
    ]
}

fn explain_empty(settings: &Settings, event: Option<&str>, output: &mut Output) {
    let example = event.unwrap_or("before_vm_start");
    let directory = settings.hooks_dir.join(example);
    output.line(&match event {
        Some(event) => format!("No hook for {event}."),
        None => format!("No hook in {} yet.", settings.hooks_dir.display()),
    });
    output.line("A hook is an executable in a directory named after its event:");
    output.line("");
    output.line(&format!("  mkdir -p {}", directory.display()));
    output.line(&format!("  install -m 755 my-script {}/10-my-script", directory.display()));
    output.line("");
    output.line("`hookmux events` shows the events; nothing needs to be reloaded.");
}
