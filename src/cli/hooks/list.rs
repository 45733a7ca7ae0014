//! `hookmux list`: shows every hook, its order and its state.

use std::collections::BTreeSet;
use std::path::Path;

use super::{available, guest_list, registered_list, vdsm};
use crate::cli::args::{Format, ListArgs};
use crate::cli::check::finding::Code;
use crate::cli::history::last_results::LastResults;
use crate::cli::history::misplaced_word;
use crate::cli::inventory::Inventory;
use crate::cli::inventory::listed::{self, Listed};
use crate::cli::json::hook::{List, ListedHook};
use crate::cli::json::message::Message;
use crate::cli::json::run::RunState;
use crate::cli::json::value::Word;
use crate::cli::output::{Cell, Output, Tone};
use crate::cli::plan::guest;
use crate::cli::register::module_file::CalledFunction;
use crate::cli::register::{cpanel_words, module, registered, whom};
use crate::cli::remark::Remark;
use crate::cli::time::TimeStyle;
use crate::cli::{CommandEnd, CommandPlace, digest, json as output_json, pattern, rights, usage};
use crate::command::Fix;
use crate::config::Settings;
use crate::config::suggest::suggest_or;
use crate::event;
use crate::hook::candidates::VDSM_ROOT;
use crate::hook::{HookSource, Style};
use crate::machine::{clock, files};
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

    /// Returns for whom it runs, in short; `None` for everybody.
    pub(crate) fn condition(&self) -> Option<String> {
        if let Some(registration) = &self.registered {
            return whom::whom(&registration.when);
        }
        // a place in the per-guest tree has the guest's name
        let mut parts = self.place.rsplitn(3, '/').skip(2);
        let guest = parts.next().filter(|_| self.source == HookSource::Tree)?;
        Some(format!("name={}", guest.rsplit('/').next().unwrap_or(guest)))
    }

    /// Returns what it runs: the command of a registration, or where a link leads.
    /// With a hooks directory it is short: a program in it is named from there.
    fn runs(&self, called: Option<&CalledFunction>, hooks_dir: Option<&Path>) -> String {
        if let Some(called) = called {
            let what = format!("{} of {}", called.function, called.module);
            let interpreter = self.registered.as_ref().and_then(|one| one.command.first());
            return match interpreter.filter(|_| hooks_dir.is_none()) {
                Some(interpreter) => format!("{what}, by {interpreter}"),
                None => what,
            };
        }
        match &self.registered {
            Some(registration) => {
                let args = registration.args.iter().map(|argument| argument.as_str().to_owned());
                let program = registration.command.iter().take(1).map(|program| {
                    let below = hooks_dir.and_then(|dir| Path::new(program).strip_prefix(dir).ok());
                    below.map_or_else(|| program.clone(), |below| below.display().to_string())
                });
                let words: Vec<String> = program
                    .chain(registration.command.iter().skip(1).cloned())
                    .chain(args)
                    .collect();
                module::command_line(&words)
            }
            None => match self.path.read_link() {
                Ok(target) => format!("-> {}", target.display()),
                Err(_) => String::new(),
            },
        }
    }
}

/// Describes a hook for programs.
pub(crate) fn json(listed: &Listed, settings: &Settings, last: &LastResults) -> ListedHook {
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
        condition: listed.condition(),
        last: last.get(&listed.label).cloned(),
        cpanel: listed.registered.as_deref().map(|one| cpanel_words::of(one, &listed.place)),
        fix_keys: listed.fix.as_ref().into(),
    }
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
    let computed_us = clock::unix_microseconds();
    let loaded = place.load(output);
    let settings = &loaded.settings;
    rights::must_list_hooks(settings)?;
    // all the others are shown
    let denied = rights::must_read_registrations(settings).err();
    let end = match denied {
        Some(_) => CommandEnd::Problem,
        None => CommandEnd::Good,
    };
    if let Some(denied) = denied {
        output.print_error(&denied.to_string());
    }
    if arguments.available {
        return available::run(place, settings, arguments, output);
    }
    if arguments.guests {
        return guest_list::run(place, settings, arguments.output.format, output);
    }
    let inventory = Inventory::look(settings, place.surroundings.user);
    let is_of_all = arguments.event.is_none()
        && arguments.hook.is_none()
        && arguments.guest.is_none()
        && !arguments.registered;
    let unknown_directories =
        if is_of_all { describe_unknown_directories(&inventory) } else { Vec::new() };
    let mut hooks = listed::all(inventory)?;
    let whole = || digest::compute(place, &loaded, &hooks);
    let digest = match arguments.digest {
        true => {
            let digest = whole()?;
            digest::keep(&loaded, &digest, computed_us);
            if arguments.output.format == Format::Text {
                output.line(&digest.value);
                return Ok(CommandEnd::Good);
            }
            Some(digest)
        }
        // a file that this user may not read leaves it out
        false if is_of_all && arguments.output.format == Format::Json => whole().ok(),
        false => None,
    };
    if let Some(guest) = &arguments.guest {
        let runs = guest::hooks_of(place, &loaded, (guest, arguments.driver))?;
        hooks.retain(|hook| runs.contains(&hook.label) && hook.state.may_run());
    }
    let place =
        arguments.event.as_deref().map(|word| places(word, place, settings, &hooks)).transpose()?;
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
    let last = LastResults::of(settings, hooks.iter().map(|hook| hook.label.as_str()));
    let last = last.unwrap_or_else(|_| {
        let fix = rights::ask_as_root();
        output.print_error(&format!("last results can't be read: {fix}"));
        LastResults::default()
    });
    if arguments.output.format == Format::Json {
        output.json(&List {
            hooks: hooks.iter().map(|hook| json(hook, settings, &last)).collect(),
            notes: unknown_directories
                .iter()
                .map(|words| Message::coded(Code::UnknownEvent, words))
                .collect(),
            digest: digest.map(|digest| digest.value),
        });
        return Ok(end);
    }
    if arguments.registered {
        registered_list::show(&hooks, output);
        return Ok(end);
    }
    if hooks.is_empty() {
        match &arguments.guest {
            Some(guest) => output.line(&format!("No hook would run for {guest}.")),
            None => explain_empty(settings, arguments.event.as_deref(), place.as_ref(), output),
        }
    } else {
        show(&hooks, settings, &last, output.is_wide(), output);
        for hook in &hooks {
            if let Some(reason) = &hook.reason {
                // a mistake in a file begins with its path
                let registration = hook.registration.as_ref().unwrap_or(&hook.path);
                match reason.starts_with(&*registration.to_string_lossy()) {
                    true => output.line(reason),
                    false => output.line(&format!("{}: {reason}", hook.label)),
                }
            }
        }
    }
    for directory in &unknown_directories {
        output.print_error(directory);
    }
    Ok(end)
}

/// Reads a word for events, or for places in the per-guest tree.
///
/// # Errors
/// There is no such event, and no hook in such a place; of a hook's name the message says how to select by that.
fn places(
    word: &str,
    place: &CommandPlace,
    settings: &Settings,
    hooks: &[Listed],
) -> anyhow::Result<NamePattern> {
    let no_event = match pattern::events(word) {
        Ok(pattern) => return Ok(pattern),
        Err(no_event) => no_event,
    };
    let others =
        hooks.iter().map(|hook| hook.place.as_str()).filter(|place| !event::is_known(place));
    if let Some(pattern) = NamePattern::among(word, others) {
        return Ok(pattern);
    }
    let is_hook = |wanted: &NamePattern| hooks.iter().any(|hook| has_name(&hook.label, wanted));
    if is_hook(&NamePattern::Name(word.to_owned())) || is_hook(&NamePattern::of(word)) {
        let fix = Fix::hookmux(&settings.hooks_dir, &["list", "--hook", word]);
        let words = format!("`{word}` names a hook, and here an event is expected: `{fix}`");
        return Err(usage::wrong(Remark::with_fix(words, fix)));
    }
    if let Some(fix) = misplaced_word::of_guest(place, settings, None, ("list", word)) {
        let words =
            format!("`{word}` names a guest or a network, and here an event is expected: `{fix}`");
        return Err(usage::wrong(Remark::with_fix(words, fix)));
    }
    let words = format!("{no_event}; --guest selects by a guest, --hook by a hook");
    Err(usage::wrong(words))
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

/// How many characters of a command, and of a condition, are shown without `--wide`.
const MAX_CELL_CHARACTERS: usize = 34;

/// Prints a table. Without `--wide` it has what people ask first, and no column that is empty.
fn show(
    hooks: &[Listed],
    settings: &Settings,
    last: &LastResults,
    is_wide: bool,
    output: &mut Output,
) {
    let titles = ["EVENT", "TURN", "HOOK", "RUNS", "FOR", "STATE", "LAST"];
    let more_titles = ["WEIGHT", "STYLE", "SHA256", "ROOT", "MORE"];
    let times = output.times(TimeStyle::Relative);
    let mut rows: Vec<Vec<Cell>> =
        hooks.iter().map(|hook| row(hook, settings, (last, times), is_wide)).collect();
    if is_wide {
        for (row, hook) in rows.iter_mut().zip(hooks) {
            row.extend(more_cells(hook, settings));
        }
        output.table(&[&titles[..], &more_titles].concat(), &rows);
        return;
    }
    let is_filled = |column: usize| {
        let mut cells = rows.iter().filter_map(|row| row.get(column));
        cells.any(|cell| !cell.0.is_empty())
    };
    let columns: Vec<usize> = (0..titles.len()).filter(|column| is_filled(*column)).collect();
    let titles: Vec<&str> = columns.iter().filter_map(|at| titles.get(*at).copied()).collect();
    let cells = |row: &Vec<Cell>| columns.iter().filter_map(|at| row.get(*at).cloned()).collect();
    let rows: Vec<Vec<Cell>> = rows.iter().map(cells).collect();
    output.grouped_table(&titles, &rows);
}

fn row(
    hook: &Listed,
    settings: &Settings,
    (last, times): (&LastResults, TimeStyle),
    is_wide: bool,
) -> Vec<Cell> {
    let called = hook.called_function(settings);
    let hooks_dir = Some(settings.hooks_dir.as_path()).filter(|_| !is_wide);
    let shortened = |text: String| match is_wide {
        true => text,
        false => middle_cut(&text, MAX_CELL_CHARACTERS),
    };
    let turn = hook.order.map_or_else(|| "-".to_owned(), |position| position.to_string());
    let (last, tone) = match last.get(&hook.label) {
        Some(last) if last.state == RunState::Failed => (last.words(times), Tone::Bad),
        Some(last) => (last.words(times), Tone::Plain),
        None => (String::new(), Tone::Plain),
    };
    vec![
        hook.place.clone().into(),
        turn.into(),
        hook.name.clone().into(),
        shortened(hook.runs(called.as_ref(), hooks_dir)).into(),
        shortened(hook.condition().unwrap_or_default()).into(),
        Cell(hook.state.name().to_owned(), hook.state.tone()),
        Cell(last, tone),
    ]
}

fn more_cells(hook: &Listed, settings: &Settings) -> Vec<Cell> {
    let called = hook.called_function(settings);
    let sha256 = hook.sha256(called.as_ref()).map(|digest| digest[..12].to_owned());
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    vec![
        or_dash(hook.weight.map(|weight| weight.to_string())).into(),
        hook.style.map_or("-", Style::name).into(),
        Cell(or_dash(sha256), Tone::Dim),
        Cell(hook.root(settings), Tone::Dim),
        hook.registered.as_deref().map(registered::more).unwrap_or_default().into(),
    ]
}

/// Cuts the middle out of a long text: the beginning of a command and its end say most.
fn middle_cut(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let (first, last) = (most / 2, most - most / 2 - 1);
    let beginning: String = text.chars().take(first).collect();
    let end: String = text.chars().skip(count - last).collect();
    format!("{beginning}…{end}")
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
