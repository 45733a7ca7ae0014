//! `hookmux delete`: removes the registrations of a script or a module, or one by its name.

use std::fs;
use std::path::Path;

use super::registry::{self, RegistryReport};
use crate::cli::args::{self, DeleteArgs};
use crate::cli::inventory::listed::Listed;
use crate::cli::json::registration::RegistrationAction;
use crate::cli::output::Output;
use crate::cli::register::hooks_d::{self, RegistryLock};
use crate::cli::register::module::{self, Module};
use crate::cli::{CommandEnd, CommandPlace};
use crate::config::{Registration, Settings};
use crate::registry::RegistrationFile;
use crate::search::EntryState;

pub(crate) fn run(
    place: &CommandPlace,
    arguments: &DeleteArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let what = arguments.what.to_string_lossy().into_owned();
    let user = place.surroundings.user;
    let settings = registry::settings(place, output)?;
    let mut report = RegistryReport::default();
    match (what.as_str(), &arguments.reference) {
        ("script", Some(path)) => {
            let path = std::path::absolute(path)?;
            let lock = registry::lock(&settings, user)?;
            let sources = registry::scan(&settings, user)?;
            let runs_it = |registration: &Registration| runs(registration, &path);
            delete_all(&lock, &settings, &sources, &runs_it, &mut report)?;
            if report.is_empty() {
                let of_path = |hook: &Listed| is_same(&hook.path, &path);
                report.add_problem(
                    registry::how_to_switch_script(&settings, user, of_path).unwrap_or_else(|| {
                        format!(
                            "no registration runs {}; `hookmux list` shows all hooks",
                            path.display()
                        )
                    }),
                );
            }
        }
        ("module", Some(name)) => {
            let name = name.to_string_lossy();
            let name = match Module::parse(&name) {
                Ok(module) => module.name,
                Err(message) => args::wrong_usage("delete", &message),
            };
            let lock = registry::lock(&settings, user)?;
            let sources = registry::scan(&settings, user)?;
            let calls_it = |registration: &Registration| {
                module::called_function(&registration.command)
                    .is_some_and(|(module, _)| module == name)
            };
            delete_all(&lock, &settings, &sources, &calls_it, &mut report)?;
            if report.is_empty() {
                report.add_problem(format!(
                    "no registration calls {name}; `hookmux list` shows all hooks"
                ));
            }
        }
        ("script" | "module", None) => {
            let kind = if what == "script" { "the script's path" } else { "the module's name" };
            args::wrong_usage("delete", &format!("`delete {what}` needs {kind}"));
        }
        (_, Some(_)) => args::wrong_usage(
            "delete",
            &format!("`{what}` is neither `script` nor `module`, and a name stands alone"),
        ),
        (name, None) => {
            let lock = registry::lock(&settings, user)?;
            let sources = registry::scan(&settings, user)?;
            delete_one(&lock, &settings, user, &sources, name, &mut report)?;
        }
    }
    report.note_remaining_jobs(&settings);
    report.note_undos(&settings);
    Ok(report.show(arguments.output.format, output))
}

fn delete_one(
    lock: &RegistryLock,
    settings: &Settings,
    user: u32,
    sources: &[RegistrationFile],
    name: &str,
    report: &mut RegistryReport,
) -> anyhow::Result<()> {
    let found = registry::find(sources, name);
    let Some(top) = found.first() else {
        report.add_problem(registry::unknown_name(settings, user, sources, name));
        return Ok(());
    };
    let path = top.path.display();
    let name = registry::name_of(top);
    if !registry::is_own(top, settings) {
        report.add_problem(format!(
            "{path} is not in {}: `{}` keeps it from running",
            settings.hooks_dir.display(),
            registry::own_command(settings, &["disable", &name])
        ));
        return Ok(());
    }
    if matches!(top.state, EntryState::Disabled(_)) {
        report.add_problem(format!(
            "{path} is not a registration, it keeps one from running: `{}` removes it",
            registry::own_command(settings, &["enable", &name])
        ));
        return Ok(());
    }
    delete_file(lock, settings, top, sources, report)
}

/// Deletes the matching registrations of the hooks directory, and reports those of other roots.
fn delete_all(
    lock: &RegistryLock,
    settings: &Settings,
    sources: &[RegistrationFile],
    is_selected: &dyn Fn(&Registration) -> bool,
    report: &mut RegistryReport,
) -> anyhow::Result<()> {
    let selected = |source: &&RegistrationFile| registry::read(source).is_some_and(is_selected);
    for source in sources.iter().filter(selected) {
        if registry::is_own(source, settings) {
            delete_file(lock, settings, source, sources, report)?;
        } else {
            let name = registry::name_of(source);
            report.add_problem(format!(
                "{} is not in {}: `{}` keeps it from running",
                source.path.display(),
                settings.hooks_dir.display(),
                registry::own_command(settings, &["disable", &name])
            ));
        }
    }
    Ok(())
}

fn delete_file(
    lock: &RegistryLock,
    settings: &Settings,
    source: &RegistrationFile,
    sources: &[RegistrationFile],
    report: &mut RegistryReport,
) -> anyhow::Result<()> {
    hooks_d::remove(lock, &source.path)?;
    let name = registry::name_of(source);
    report.add(
        &name,
        &source.path,
        RegistrationAction::Deleted,
        format!("deleted {}", source.path.display()),
    );
    let is_masked = |other: &&RegistrationFile| matches!(&other.state, EntryState::Masked(by) if *by == source.path);
    if let Some(masked) = sources.iter().find(is_masked) {
        report.add_note(format!(
            "{} was masked by it, and counts from now on; `{}` masks it again",
            masked.path.display(),
            registry::own_command(settings, &["disable", &name])
        ));
    }
    Ok(())
}

/// Tells whether a registration's program is this file, by its name or by the target of a link.
pub(crate) fn runs(registration: &Registration, path: &Path) -> bool {
    registration.command.first().is_some_and(|program| is_same(Path::new(program), path))
}

fn is_same(one: &Path, other: &Path) -> bool {
    one == other
        || matches!((fs::canonicalize(one), fs::canonicalize(other)), (Ok(a), Ok(b)) if a == b)
}
