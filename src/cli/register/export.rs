//! `hookmux export`: writes the registrations of the hooks directory as files into another directory, for
//! `hookmux add DIR` on another host.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::{Context, ensure};

use super::registry::{self, RegistryReport, UnknownName};
use super::written::{before, without_header};
use crate::cli::args::ExportArgs;
use crate::cli::json::registration::RegistrationAction;
use crate::cli::output::Output;
use crate::cli::{CommandEnd, CommandPlace};
use crate::config::registration::{EXTENSION, MAX_REGISTRATION_BYTES};
use crate::config::{Registration, Settings};
use crate::machine::files::{self, Rights};
use crate::registry::RegistrationFile;
use crate::search::EntryState;

pub(crate) fn run(
    place: &CommandPlace,
    arguments: &ExportArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let settings = registry::settings(place, output)?;
    let user = place.surroundings.user;
    let sources = registry::scan(&settings, user)?;
    let mut report = RegistryReport::new(arguments.dry_run, arguments.diff.is_wanted);
    let mut wanted: Vec<&RegistrationFile> = Vec::new();
    if arguments.names.is_empty() {
        wanted.extend(sources.iter().filter(|source| registry::is_own(source, &settings)));
    }
    for name in &arguments.names {
        match registry::find(&sources, name).first() {
            Some(source) => wanted.push(source),
            None => match registry::unknown_name(&settings, user, &sources, name) {
                UnknownName::Script(words) | UnknownName::Missing(words) => {
                    report.add_problem(words);
                }
            },
        }
    }
    let directory = std::path::absolute(&arguments.directory)?;
    ensure!(
        settings.all_roots().all(|root| !directory.starts_with(root)),
        "{} is a place of hooks: name a directory elsewhere",
        directory.display()
    );
    let export = Export { directory: &directory, arguments, settings: &settings };
    let mut programs = BTreeSet::new();
    let mut names = BTreeSet::new();
    for source in wanted {
        export.one(source, &mut report, &mut programs)?;
        names.insert(registry::name_of(source));
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

struct Export<'a> {
    directory: &'a Path,
    arguments: &'a ExportArgs,
    settings: &'a Settings,
}

impl Export<'_> {
    fn one(
        &self,
        source: &RegistrationFile,
        report: &mut RegistryReport,
        programs: &mut BTreeSet<String>,
    ) -> anyhow::Result<()> {
        let name = registry::name_of(source);
        let shown = source.path.display();
        if matches!(source.state, EntryState::Disabled(_)) {
            let command = registry::own_command(self.settings, &["disable", &name]);
            report.add_note(format!(
                "{shown} only keeps {name} of another root from running: `{command}` does that"
            ));
            return Ok(());
        }
        let Some(registration) = registry::read(source) else {
            if let Some(Err(diagnostic)) = &source.content {
                report.add_problem(diagnostic.to_string());
            }
            return Ok(());
        };
        programs.extend(programs_of(registration));
        let text = files::read_regular(&source.path, MAX_REGISTRATION_BYTES)
            .and_then(files::into_text)
            .with_context(|| format!("{shown} can't be read"))?;
        let text = without_header(&text);
        let path = self.directory.join(format!("{name}.{EXTENSION}"));
        let there = before(&path);
        let at = path.display();
        if there.as_deref() == Some(text) {
            report.add_unchanged(&name, &path, format!("unchanged: {at}"));
            return Ok(());
        }
        let is_there = path.symlink_metadata().is_ok();
        if is_there && !self.arguments.replace {
            report.add_problem(format!(
                "{at} is there with another content: --replace writes it again, --replace --dry-run --diff shows the difference"
            ));
            return Ok(());
        }
        if !self.arguments.dry_run {
            self.write(&path, text).with_context(|| format!("{at} can't be written"))?;
        }
        let words = (format!("exported to {at}"), format!("would be exported to {at}"));
        report.add(&name, &path, RegistrationAction::Exported, words);
        report.add_diff(there.as_deref(), Some(text));
        Ok(())
    }

    fn write(&self, path: &Path, text: &str) -> anyhow::Result<()> {
        DirBuilder::new().recursive(true).mode(0o755).create(self.directory)?;
        let rights = Rights { owner: None, mode: 0o644 };
        let temporary = files::temporary(path);
        Ok(files::replace_durably(&temporary, path, text.as_bytes(), rights)?)
    }
}

/// Returns the programs that a registration names, and that have to be on the other host too.
fn programs_of(registration: &Registration) -> impl Iterator<Item = String> {
    let programs = [
        Some(&registration.command),
        registration.check.as_ref(),
        registration.rollback.as_ref(),
        registration.undo.as_ref(),
    ];
    programs.into_iter().flatten().filter_map(|words| words.first().cloned())
}

/// Returns the registrations in the directory that have none of these names.
fn others(directory: &Path, names: &BTreeSet<String>) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut found: Vec<String> = paths
        .filter(|path| path.extension().is_some_and(|end| end == EXTENSION))
        .filter(|path| {
            !path.file_stem().is_some_and(|name| names.contains(&*name.to_string_lossy()))
        })
        .map(|path| path.display().to_string())
        .collect();
    found.sort();
    found
}
