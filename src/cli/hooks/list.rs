//! `hookmux list`: shows every hook, its order and its state.

use std::collections::BTreeSet;
use std::path::Path;

use super::{available, registered_list, vdsm};
use crate::cli::args::{Format, ListArgs};
use crate::cli::check::finding::Code;
use crate::cli::inventory::Inventory;
use crate::cli::inventory::listed::{self, Listed};
use crate::cli::json::hook::{List, ListedHook};
use crate::cli::json::message::Message;
use crate::cli::json::value::Word;
use crate::cli::output::{Cell, Output, Tone};
use crate::cli::register::module_file::CalledFunction;
use crate::cli::register::{cpanel_words, module, registered};
use crate::cli::{CommandEnd, CommandPlace, json as output_json, pattern, rights};
use crate::config::suggest::suggest_or;
use crate::config::{Registration, Settings};
use crate::event;
use crate::hook::Style;
use crate::hook::candidates::VDSM_ROOT;
use crate::machine::files;
use crate::record::history::has_name;
use crate::record::selection::NamePattern;

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

    /// Returns the function that it is, if `add module` registered it.
    fn called_function(&self, settings: &Settings) -> Option<CalledFunction> {
        CalledFunction::of(self.registered.as_deref()?, &settings.hooks_dir)
    }

    /// Returns the digest of what decides what it does: its program, or its module.
    fn sha256(&self, called: Option<&CalledFunction>) -> Option<String> {
        let path = called.map_or(Some(&self.path), |called| called.file.as_ref())?;
        Some(files::sha256(&files::read_regular(path, MAX_HASHED_BYTES).ok()?))
    }
}

/// Describes a hook for programs.
pub(crate) fn json(listed: &Listed, settings: &Settings) -> ListedHook {
    let called = listed.called_function(settings);
    ListedHook {
        hook: listed.label.clone(),
        event: event::is_known(&listed.place).then(|| listed.place.clone()),
        place: listed.place.clone(),
        name: listed.name.clone(),
        order: listed.order,
        state: Word(listed.state),
        reason: listed.reason.clone(),
        weight: listed.weight,
        style: listed.style.map(Word),
        source: Word(listed.source),
        path: listed.path.as_path().into(),
        root: Path::new(&listed.root(settings)).into(),
        sha256: listed.sha256(called.as_ref()),
        module: called.map(|called| output_json::hook::CalledFunction {
            language: called.language.name(),
            module: called.module,
            function: called.function,
            file: called.file.as_deref().map(Into::into),
        }),
        registration: listed.registration.as_deref().map(Into::into),
        registered: listed.registered.as_deref().map(Into::into),
        cpanel: listed.registered.as_deref().map(|one| cpanel_words::of(one, &listed.place)),
        fix_keys: listed.fix.as_ref().into(),
    }
}

/// Returns a registered hook's arguments, and what else differs from a plain hook.
fn more(registration: &Registration, called: Option<&CalledFunction>) -> String {
    if let (Some(called), Some(interpreter)) = (called, registration.command.first()) {
        let what = format!("{} of {}, by {interpreter}", called.function, called.module);
        let words = [what, registered::more(registration)];
        return words.into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join("; ");
    }
    let arguments = registration.args.iter().map(|argument| argument.as_str().to_owned());
    let arguments: Vec<String> =
        registration.command.iter().skip(1).cloned().chain(arguments).collect();
    let words = [module::command_line(&arguments), registered::more(registration)];
    words.into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join("; ")
}

/// Returns the notes about directories that look like an event's, but belong to no event.
fn describe_unknown_directories(inventory: &Inventory<'_>) -> Vec<String> {
    let names: BTreeSet<&str> = inventory.unknown_directories().map(|(_, name)| name).collect();
    names.into_iter().map(vdsm::why_never_called).collect()
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
    let inventory = Inventory::look(settings, place.surroundings.user);
    let is_of_all = arguments.event.is_none() && arguments.hook.is_none() && !arguments.registered;
    let unknown_directories =
        if is_of_all { describe_unknown_directories(&inventory) } else { Vec::new() };
    let mut hooks = listed::all(inventory)?;
    let place = arguments.event.as_deref().map(|word| places(word, &hooks)).transpose()?;
    if let Some(place) = &place {
        hooks.retain(|hook| place.matches(&hook.place));
    }
    if let Some(word) = &arguments.hook {
        let wanted = hooks_called(word, &hooks)?;
        hooks.retain(|hook| has_name(&hook.label, &wanted));
    }
    if arguments.registered {
        hooks.retain(|hook| hook.registration.is_some());
    }
    if arguments.output.format == Format::Json {
        output.json(&List {
            hooks: hooks.iter().map(|hook| json(hook, settings)).collect(),
            notes: unknown_directories
                .iter()
                .map(|words| Message::coded(Code::UnknownEvent, words))
                .collect(),
        });
        return Ok(CommandEnd::Good);
    }
    if arguments.registered {
        registered_list::show(&hooks, output);
        return Ok(CommandEnd::Good);
    }
    if hooks.is_empty() {
        explain_empty(settings, arguments.event.as_deref(), place.as_ref(), output);
    } else {
        let rows: Vec<Vec<Cell>> = hooks.iter().map(|hook| row(hook, settings)).collect();
        output.table(
            &["EVENT", "ORDER", "WEIGHT", "HOOK", "STATE", "STYLE", "SHA256", "ROOT", "MORE"],
            &rows,
        );
        for hook in &hooks {
            if let Some(reason) = &hook.reason {
                // of a module's hook, the interpreter says nothing
                let is_module = hook.called_function(settings).is_some();
                let named = hook.registration.as_ref().filter(|_| is_module);
                let shown = named.unwrap_or(&hook.path).display().to_string();
                // a mistake in a file begins with its path
                match reason.starts_with(&shown) {
                    true => output.line(reason),
                    false => output.line(&format!("{shown}: {reason}")),
                }
            }
        }
    }
    for directory in &unknown_directories {
        output.print_error(directory);
    }
    Ok(CommandEnd::Good)
}

/// Reads a word for events, or for places in the per-guest tree.
///
/// # Errors
/// There is no such event, and no hook in such a place.
fn places(word: &str, hooks: &[Listed]) -> anyhow::Result<NamePattern> {
    let no_event = match pattern::events(word) {
        Ok(pattern) => return Ok(pattern),
        Err(no_event) => no_event,
    };
    let others =
        hooks.iter().map(|hook| hook.place.as_str()).filter(|place| !event::is_known(place));
    NamePattern::among(word, others).ok_or(no_event)
}

/// Reads a word for hooks.
///
/// # Errors
/// There is no such hook.
fn hooks_called(word: &str, hooks: &[Listed]) -> anyhow::Result<NamePattern> {
    let is_one = |wanted: &NamePattern| hooks.iter().any(|hook| has_name(&hook.label, wanted));
    let name = NamePattern::Name(word.to_owned());
    if is_one(&name) {
        return Ok(name);
    }
    let pattern = NamePattern::of(word);
    if is_one(&pattern) {
        return Ok(pattern);
    }
    let names = hooks.iter().flat_map(|hook| [hook.label.as_str(), hook.name.as_str()]);
    let hint = suggest_or(word, names, "`hookmux list` shows all hooks");
    anyhow::bail!("there is no hook `{word}`; {hint}")
}

fn row(hook: &Listed, settings: &Settings) -> Vec<Cell> {
    let called = hook.called_function(settings);
    let sha256 = hook.sha256(called.as_ref()).map(|digest| digest[..12].to_owned());
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
        hook.registered.as_deref().map(|one| more(one, called.as_ref())).unwrap_or_default().into(),
    ]
}

fn explain_empty(
    settings: &Settings,
    event: Option<&str>,
    place: Option<&NamePattern>,
    output: &mut Output,
) {
    let example = match place {
        Some(NamePattern::Name(event)) => event.as_str(),
        _ => "before_vm_start",
    };
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
