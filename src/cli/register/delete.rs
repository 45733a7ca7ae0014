//! `hookmux delete`: removes the registrations of a script or a module, or one by its name.

use std::fs;
use std::path::Path;

use super::registry::{self, RegistryReport, UnknownName};
use crate::cli::args::{DeleteArgs, Selectors};
use crate::cli::inventory::listed::Listed;
use crate::cli::json::registration::RegistrationAction;
use crate::cli::output::Output;
use crate::cli::parse_error;
use crate::cli::register::hooks_d::{self, RegistryLock};
use crate::cli::register::module::{self, Language, Module};
use crate::cli::register::select::{self, Selected, Selection};
use crate::cli::register::translate::ScriptOrModule;
use crate::cli::register::{cpanel_words, registered, written};
use crate::cli::{CommandEnd, CommandPlace};
use crate::config::suggest::suggestion;
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
    let mut report = RegistryReport::new(arguments.dry_run, arguments.diff.is_wanted);
    parse_error::check_exectype("delete", arguments.exectype.as_deref(), &what);
    match (what.as_str(), &arguments.reference) {
        ("script", Some(path)) => {
            let path = std::path::absolute(path)?;
            let subject = ScriptOrModule::Script(path.to_string_lossy().into_owned());
            let selection = selection(arguments, &subject);
            let lock = lock(arguments, &settings, user)?;
            let sources = registry::scan(&settings, user)?;
            let runs_it = |registration: &Registration| runs(registration, &path);
            let of_it = Wanted { selection, is_of_it: &runs_it, subject: &path.to_string_lossy() };
            delete_all(lock.as_ref(), &settings, arguments, &sources, &of_it, &mut report)?;
            if report.is_empty() {
                let of_path = |hook: &Listed| is_same(&hook.path, &path);
                match registry::how_to_switch_script(&settings, user, of_path) {
                    Some(way) => report.add_problem(way),
                    None => missing(
                        arguments,
                        format!(
                            "no registration runs {}; `hookmux list` shows all hooks",
                            path.display()
                        ),
                        &mut report,
                    ),
                }
            }
        }
        ("module", Some(name)) => {
            let name = name.to_string_lossy();
            let module = match Module::parse(&name) {
                Ok(module) => module,
                Err(message) => parse_error::wrong_usage("delete", &message),
            };
            let name = module.name.clone();
            let selection = selection(arguments, &ScriptOrModule::Module(module));
            let lock = lock(arguments, &settings, user)?;
            let sources = registry::scan(&settings, user)?;
            let calls_it = |registration: &Registration| {
                module::called_function(&registration.command)
                    .is_some_and(|(module, _)| module == name)
            };
            let of_it = Wanted { selection, is_of_it: &calls_it, subject: &name };
            delete_all(lock.as_ref(), &settings, arguments, &sources, &of_it, &mut report)?;
            if report.is_empty() {
                let words = format!("no registration calls {name}; `hookmux list` shows all hooks");
                missing(arguments, words, &mut report);
            }
        }
        ("script" | "module", None) => {
            let kind = if what == "script" { "the script's path" } else { "the module's name" };
            parse_error::wrong_usage("delete", &format!("`delete {what}` needs {kind}"));
        }
        (word, Some(_)) => {
            let hint = suggestion(word, ["script", "module"]);
            let message =
                format!("`{word}` is neither `script` nor `module`{hint}, and a name stands alone");
            parse_error::wrong_action("delete", &message)
        }
        (name, None) => {
            if arguments.manual.is_some() || arguments.selectors != Selectors::default() {
                parse_error::wrong_usage(
                    "delete",
                    "these options select registrations of a script or a module: a name stands alone",
                );
            }
            let lock = lock(arguments, &settings, user)?;
            let sources = registry::scan(&settings, user)?;
            delete_one(lock.as_ref(), &settings, (arguments, user), &sources, name, &mut report)?;
        }
    }
    report.note_remaining_jobs(&settings);
    report.note_undos(&settings);
    Ok(report.show(arguments.output.format, output))
}

/// Locks the registry; `None` with `--dry-run`, which changes nothing.
fn lock(
    arguments: &DeleteArgs,
    settings: &Settings,
    user: u32,
) -> anyhow::Result<Option<RegistryLock>> {
    (!arguments.dry_run).then(|| registry::lock(settings, user)).transpose()
}

/// Reads the options that select. Ends the process as clap does if they are wrong.
fn selection(arguments: &DeleteArgs, subject: &ScriptOrModule) -> Option<Selection> {
    let usage = |message: &str| -> ! { parse_error::wrong_usage("delete", message) };
    let has_selectors = arguments.selectors != Selectors::default();
    match (arguments.manual, has_selectors) {
        (Some(true), false) => usage(
            "--manual says that options select what is deleted: add --event or another one, or leave it out to \
             delete everything",
        ),
        (Some(false), true) => usage(
            "--manual 0 deletes everything that the script or module has: leave the other options out, or write \
             --manual 1",
        ),
        (_, false) => return None,
        (_, true) => {}
    }
    match Selection::new(&arguments.selectors, subject, &Language::find_interpreter) {
        Ok(selection) => Some(selection),
        Err((key, message)) => usage(&format!("--{key}: {message}")),
    }
}

/// Reports that there is nothing to delete: a problem, but not with --ignore-missing.
fn missing(arguments: &DeleteArgs, words: String, report: &mut RegistryReport) {
    match arguments.ignore_missing {
        true => report.add_note(format!("nothing was deleted: {words}")),
        false => report.add_problem(words),
    }
}

/// What is to be deleted.
struct Wanted<'a> {
    /// `None` for everything.
    selection: Option<Selection>,
    /// Whether a registration is one of the script or module.
    is_of_it: &'a dyn Fn(&Registration) -> bool,
    /// The script or module, for people.
    subject: &'a str,
}

fn delete_one(
    lock: Option<&RegistryLock>,
    settings: &Settings,
    (arguments, user): (&DeleteArgs, u32),
    sources: &[RegistrationFile],
    name: &str,
    report: &mut RegistryReport,
) -> anyhow::Result<()> {
    let found = registry::find(sources, name);
    if found.is_empty() {
        if let Some((source, registration, place)) = with_id(sources, name) {
            let others = registered::moments(registration);
            if others.0.len() + others.1.len() > 1 || registration.triggers.every_event {
                let words =
                    partly(settings, registration, &format!("{name} is its id at {place} only"));
                report.add_problem(words);
                return Ok(());
            }
            let name = registry::name_of(source);
            return delete_one(lock, settings, (arguments, user), sources, &name, report);
        }
    }
    let Some(top) = found.first() else {
        match registry::unknown_name(settings, user, sources, name) {
            UnknownName::Script(way) => report.add_problem(way),
            UnknownName::Missing(words) => missing(arguments, words, report),
        }
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

/// Returns the registration that has this id at one of its events.
fn with_id<'a>(
    sources: &'a [RegistrationFile],
    id: &str,
) -> Option<(&'a RegistrationFile, &'a Registration, String)> {
    sources.iter().find_map(|source| {
        let registration = registry::read(source)?;
        Some((source, registration, cpanel_words::place_with_id(registration, id)?))
    })
}

/// Says why a registration with several events isn't deleted.
fn partly(settings: &Settings, registration: &Registration, why: &str) -> String {
    let name = &registration.name;
    format!(
        "{} was not deleted: {why}, and it runs at other events or calls too; remove the event from {}, or `{}` \
         deletes it as a whole",
        select::description(registration),
        registration.source.display(),
        registry::own_command(settings, &["delete", name])
    )
}

/// Deletes the matching registrations of the hooks directory, and reports those of other roots.
fn delete_all(
    lock: Option<&RegistryLock>,
    settings: &Settings,
    arguments: &DeleteArgs,
    sources: &[RegistrationFile],
    wanted: &Wanted<'_>,
    report: &mut RegistryReport,
) -> anyhow::Result<()> {
    let of_it = |source: &&RegistrationFile| registry::read(source).is_some_and(wanted.is_of_it);
    let mut others = Vec::new();
    for source in sources.iter().filter(of_it) {
        let selection = wanted.selection.as_ref().zip(registry::read(source));
        if let Some((selection, registration)) = selection {
            match selection.of(registration) {
                Selected::Yes => {}
                Selected::No => {
                    others.push(select::description(registration));
                    continue;
                }
                Selected::Partly => {
                    let words = partly(settings, registration, "the options name only some events");
                    report.add_problem(words);
                    continue;
                }
            }
        }
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
    if report.is_empty() && !others.is_empty() {
        let words = format!(
            "no registration of {} is as the options say; there are: {}",
            wanted.subject,
            others.join("; ")
        );
        missing(arguments, words, report);
    }
    Ok(())
}

fn delete_file(
    lock: Option<&RegistryLock>,
    settings: &Settings,
    source: &RegistrationFile,
    sources: &[RegistrationFile],
    report: &mut RegistryReport,
) -> anyhow::Result<()> {
    let name = registry::name_of(source);
    let path = source.path.display();
    let before = written::before(&source.path);
    if let Some(lock) = lock {
        hooks_d::remove(lock, &source.path)?;
    }
    let words = (format!("deleted {path}"), format!("would delete {path}"));
    report.add(&name, &source.path, RegistrationAction::Deleted, words);
    report.add_diff(before.as_deref(), None);
    let is_masked = |other: &&RegistrationFile| matches!(&other.state, EntryState::Masked(by) if *by == source.path);
    if let Some(masked) = sources.iter().find(is_masked) {
        report.add_note(format!(
            "{} {}; `{}` masks it again",
            masked.path.display(),
            match lock {
                Some(_) => "was masked by it, and counts from now on",
                None => "is masked by it, and would count from then on",
            },
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
