//! `hookmux export`: writes the registrations of the hooks directory as files into another directory, for
//! `hookmux add DIR` on another host. All of them are written, or none.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail};
use nix::unistd::{AccessFlags, access};

use super::hooks_d::{self, NewText};
use super::registry::{self, RegistryReport, UnknownName};
use super::written::{before, without_header};
use super::{absolute, draft};
use crate::cli::args::{ExportArgs, Format};
use crate::cli::json::registration::RegistrationAction;
use crate::cli::output::Output;
use crate::cli::{CommandEnd, CommandPlace};
use crate::config::registration::{EXTENSION, MAX_REGISTRATION_BYTES};
use crate::config::{Registration, Settings};
use crate::machine::files;
use crate::registry::RegistrationFile;
use crate::search::EntryState;
use crate::search::directory::leftover_reason;

pub(crate) fn run(
    place: &CommandPlace,
    arguments: &ExportArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let settings = registry::settings(place, output)?;
    let user = place.surroundings.user;
    let sources = registry::scan(&settings, user)?;
    let directory = std::path::absolute(&arguments.directory)?;
    must_be_elsewhere(&settings, &directory)?;
    must_be_writable(&directory)?;
    let mut report = RegistryReport::new(arguments.dry_run, arguments.diff.is_wanted);
    let mut wanted: Vec<&RegistrationFile> = Vec::new();
    if arguments.names.is_empty() {
        wanted.extend(sources.iter().filter(|source| registry::is_own(source, &settings)));
    }
    for name in &arguments.names {
        match registry::find(&sources, name).first() {
            // named twice
            Some(source) if wanted.iter().any(|known| known.path == source.path) => {}
            Some(source) => wanted.push(source),
            None => match registry::unknown_name(&settings, user, &sources, name) {
                UnknownName::Script(words) | UnknownName::Missing(words) => {
                    report.add_problem(words);
                }
            },
        }
    }
    let export = Export { directory: &directory, replaces: arguments.replace, settings: &settings };
    let mut programs = BTreeSet::new();
    let mut names = BTreeSet::new();
    let mut exported = Vec::new();
    for source in wanted {
        names.insert(registry::name_of(source));
        match export.one(source, &mut programs) {
            Ok(Wanted::Text(one)) => exported.push(one),
            Ok(Wanted::Nothing(note)) => report.add_note(note),
            Err(problem) => report.add_problem(format!("{problem:#}")),
        }
    }
    if report.has_problems() {
        let end = report.show(arguments.output.format, output);
        if arguments.output.format == Format::Text {
            output.print_error("nothing was exported");
        }
        return Ok(end);
    }
    if !arguments.dry_run {
        write(&directory, &exported)?;
    }
    for one in &exported {
        one.tell(&mut report);
    }
    if arguments.names.is_empty() {
        for other in others(&directory, &names) {
            report.add_note(format!("{other} is not registered here any more"));
        }
    }
    if !programs.is_empty() {
        let programs: Vec<String> = programs.into_iter().collect();
        report.add_note(format!("they need these files too: {}", programs.join(", ")));
    }
    Ok(report.show(arguments.output.format, output))
}

/// Checks that no root of hooks is written to, by whatever name.
///
/// # Errors
/// The directory is in one.
fn must_be_elsewhere(settings: &Settings, directory: &Path) -> anyhow::Result<()> {
    let place = real_place(directory);
    let is_in = |root: &Path| directory.starts_with(root) || place.starts_with(real_place(root));
    if settings.all_roots().any(is_in) {
        let leads = match place == directory {
            true => String::new(),
            false => format!(" ({})", place.display()),
        };
        bail!("{}{leads} is a place of hooks: name a directory elsewhere", directory.display());
    }
    Ok(())
}

/// Returns where a path leads once its missing directories are made: without links, without `..`.
fn real_place(path: &Path) -> PathBuf {
    let mut place = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => {
                place.push(name);
                // what isn't there yet will be no link
                if let Ok(real) = fs::canonicalize(&place) {
                    place = real;
                }
            }
            Component::ParentDir => drop(place.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    place
}

/// Checks that files can be made in the directory, as far as that shows without making any.
///
/// # Errors
/// They can't.
fn must_be_writable(directory: &Path) -> anyhow::Result<()> {
    let shown = directory.display();
    let place = real_place(directory);
    let there = place.ancestors().find(|part| part.symlink_metadata().is_ok());
    let there = there.unwrap_or(Path::new("/"));
    if !there.is_dir() {
        bail!("{shown} can't be made: {} is not a directory", there.display());
    }
    access(there, AccessFlags::W_OK | AccessFlags::X_OK)
        .map_err(io::Error::from)
        .with_context(|| format!("{shown} can't be written to ({})", there.display()))
}

struct Export<'a> {
    directory: &'a Path,
    replaces: bool,
    settings: &'a Settings,
}

/// What becomes of a file of the registry.
enum Wanted {
    Text(Exported),
    /// It has nothing to export, for this reason.
    Nothing(String),
}

/// A registration, and where it goes.
struct Exported {
    name: String,
    path: PathBuf,
    text: String,
    mode: u32,
    /// What is there.
    before: Option<String>,
    change: ExportChange,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ExportChange {
    None,
    Text,
    /// The file that is there can be read by more than the registration can.
    Mode,
}

impl Export<'_> {
    /// Says what is to be written for a registration.
    ///
    /// # Errors
    /// It can't be read, or something else is in the way.
    fn one(
        &self,
        source: &RegistrationFile,
        programs: &mut BTreeSet<String>,
    ) -> anyhow::Result<Wanted> {
        let name = registry::name_of(source);
        let shown = source.path.display();
        if matches!(source.state, EntryState::Disabled(_)) {
            let command = registry::own_command(self.settings, &["disable", &name]);
            return Ok(Wanted::Nothing(format!(
                "{shown} only keeps {name} of another root from running: `{command}` does that"
            )));
        }
        let registration = match &source.content {
            Some(Ok(registration)) => registration,
            Some(Err(diagnostic)) => bail!("{diagnostic}"),
            None => bail!("{shown} can't be read"),
        };
        programs.extend(programs_of(registration));
        let unreadable = || format!("{shown} can't be read");
        let mode = fs::metadata(&source.path).with_context(unreadable)?.mode() & draft::FILE_MODE;
        let text = files::read_regular(&source.path, MAX_REGISTRATION_BYTES)
            .and_then(files::into_text)
            .with_context(unreadable)?;
        let mut text = without_header(&text).to_owned();
        if !registry::is_own(source, self.settings) {
            // paths below the hooks directory are below another one there
            text = absolute::text(&source.path, &text, &source.root, &self.settings.hooks_dir)?;
        }
        let path = self.directory.join(format!("{name}.{EXTENSION}"));
        let at = path.display();
        let (mut there, mut change) = (None, ExportChange::Text);
        match path.symlink_metadata() {
            Err(_) => {}
            Ok(found) if found.is_file() => {
                there = before(&path);
                let is_same = there.as_deref() == Some(text.as_str());
                let is_wider = found.mode() & 0o777 & !mode != 0;
                change = match (is_same, is_wider) {
                    (false, _) => ExportChange::Text,
                    (true, true) => ExportChange::Mode,
                    (true, false) => ExportChange::None,
                };
            }
            Ok(found) if found.is_symlink() => {}
            Ok(_) => bail!("{at} is in the way: it is not a regular file"),
        }
        let is_taken = change == ExportChange::Text && path.symlink_metadata().is_ok();
        if is_taken && !self.replaces {
            bail!(
                "{at} is there with another content: --replace writes it again, --replace --dry-run --diff shows the difference"
            );
        }
        Ok(Wanted::Text(Exported { name, path, text, mode, before: there, change }))
    }
}

impl Exported {
    fn tell(&self, report: &mut RegistryReport) {
        let (name, path, at) = (&self.name, &self.path, self.path.display());
        let words = match self.change {
            ExportChange::None => {
                return report.add_unchanged(name, path, format!("unchanged: {at}"));
            }
            ExportChange::Text => {
                (format!("exported to {at}"), format!("would be exported to {at}"))
            }
            ExportChange::Mode => (
                format!("{at} has mode {:o} now, as the registration", self.mode),
                format!("{at} would have mode {:o}, as the registration", self.mode),
            ),
        };
        report.add(name, path, RegistrationAction::Exported, words);
        report.add_diff(self.before.as_deref(), Some(&self.text));
    }
}

/// Writes what is new or different.
///
/// # Errors
/// Something can't be written; nothing was changed then.
fn write(directory: &Path, exported: &[Exported]) -> anyhow::Result<()> {
    let changed: Vec<NewText<'_>> = exported
        .iter()
        .filter(|one| one.change != ExportChange::None)
        .map(|one| NewText { path: &one.path, text: &one.text, mode: one.mode })
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    let missing: Vec<&Path> = directory.ancestors().take_while(|part| !part.exists()).collect();
    let made = DirBuilder::new().recursive(true).mode(0o755).create(directory);
    let made = made.with_context(|| format!("{} can't be made", directory.display()));
    made.and_then(|()| hooks_d::replace_all(&changed)).inspect_err(|_| {
        for made in missing {
            let _ = fs::remove_dir(made);
        }
    })
}

/// Returns the files that a registration names, and that have to be on the other host too.
fn programs_of(registration: &Registration) -> impl Iterator<Item = String> {
    let programs = [
        Some(&registration.command),
        registration.check.as_ref(),
        registration.rollback.as_ref(),
        registration.undo.as_ref(),
    ];
    let variables = registration.environment_file.iter().map(|file| file.display().to_string());
    let programs = programs.into_iter().flatten().filter_map(|words| words.first().cloned());
    programs.chain(variables)
}

/// Returns the registrations in the directory that have none of these names.
fn others(directory: &Path, names: &BTreeSet<String>) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut found: Vec<String> = paths
        .filter(|path| path.extension().is_some_and(|end| end == EXTENSION))
        // no `add` takes them
        .filter(|path| path.file_name().is_some_and(|name| leftover_reason(name).is_none()))
        .filter(|path| {
            !path.file_stem().is_some_and(|name| names.contains(&*name.to_string_lossy()))
        })
        .map(|path| path.display().to_string())
        .collect();
    found.sort();
    found
}
