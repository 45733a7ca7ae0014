//! `hookmux list --available`: shows the ready-made hooks, and which of them are registered.

use crate::cli::args::{Format, ListArgs};
use crate::cli::json::available::{Available, AvailableHook, AvailableRegistration};
use crate::cli::output::{Cell, Output, Tone};
use crate::cli::register::contrib::{self, ContribHook};
use crate::cli::register::registry;
use crate::cli::{CommandEnd, CommandPlace};
use crate::config::{Registration, Settings};
use crate::registry::RegistrationFile;
use crate::search::EntryState;

pub(super) fn run(
    place: &CommandPlace,
    settings: &Settings,
    arguments: &ListArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let directory = contrib::directory(arguments.from.as_deref())?;
    let hooks = contrib::all(&directory)?;
    let sources = registry::scan(settings, place.surroundings.user)?;
    let hooks = hooks.into_iter().map(|hook| {
        let registrations = registrations(&hook, &sources);
        AvailableHook {
            name: hook.name,
            summary: hook.summary,
            path: hook.directory.as_path().into(),
            registered: !registrations.is_empty(),
            registrations,
            metadata: hook.metadata,
        }
    });
    let available = Available { hooks: hooks.collect(), path: directory.as_path().into() };
    if arguments.output.format == Format::Json {
        output.json(&available);
        return Ok(CommandEnd::Good);
    }
    let rows: Vec<Vec<Cell>> = available.hooks.iter().map(row).collect();
    output.table(&["NAME", "REGISTERED", "WHAT FOR"], &rows);
    output.line(&format!("They lie in {}, each with a README.md.", directory.display()));
    output.line("`hookmux add contrib/NAME` registers one.");
    Ok(CommandEnd::Good)
}

/// Returns the registrations that run a program of a hook, or were copied from it.
fn registrations(hook: &ContribHook, sources: &[RegistrationFile]) -> Vec<AvailableRegistration> {
    let is_its_name = |name: &str| {
        let stems = hook.registrations.iter().filter_map(|path| path.file_stem());
        stems.into_iter().any(|stem| stem == name)
    };
    let runs = |registration: &Registration| {
        let program = registration.command.first().map(String::as_str).unwrap_or_default();
        std::path::Path::new(program).starts_with(&hook.directory)
    };
    let is_there = |source: &&RegistrationFile| {
        matches!(source.state, EntryState::Active | EntryState::Disabled(_))
    };
    let found = sources
        .iter()
        .filter(is_there)
        .filter_map(|source| Some((source, registry::read(source)?)));
    let mut registrations: Vec<AvailableRegistration> = found
        .filter(|(source, registration)| {
            runs(registration) || is_its_name(&registry::name_of(source))
        })
        .map(|(source, registration)| AvailableRegistration {
            name: registry::name_of(source),
            registration: source.path.as_path().into(),
            enabled: registration.enabled,
        })
        .collect();
    registrations.sort_by(|one, other| one.name.cmp(&other.name));
    registrations
}

fn row(hook: &AvailableHook) -> Vec<Cell> {
    let enabled = hook.registrations.iter().filter(|registration| registration.enabled).count();
    let state = match (hook.registrations.len(), enabled) {
        (0, _) => Cell("no".to_owned(), Tone::Dim),
        (_, 0) => Cell("disabled".to_owned(), Tone::Dim),
        (_, _) => Cell("yes".to_owned(), Tone::Good),
    };
    vec![hook.name.clone().into(), state, hook.summary.clone().unwrap_or_default().into()]
}
