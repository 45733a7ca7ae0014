//! Checks the content of one file, as it would be once it is installed. `check FILE` and `edit` use it.

use std::io;
use std::path::{Path, PathBuf};

use super::super::content::{self, CheckedProgram};
use super::super::finding::{Code, Findings, Fix};
use super::super::survey::Survey;
use super::super::{guests, habits, nulls, registrations, trust, version};
use crate::cli::args::FileKind;
use crate::cli::register::registry;
use crate::config::registration::DIRECTORY;
use crate::config::{Diagnostic, Registration, Settings, Surroundings};
use crate::machine::files;

/// A file that need not be installed.
pub(crate) struct NewFile<'a> {
    /// Its name in messages.
    pub shown: &'a Path,
    /// Where it will lie, as far as that is known.
    pub place: Option<PathBuf>,
    pub kind: FileKind,
    /// A file that has its content.
    pub content: &'a Path,
    pub bytes: &'a [u8],
}

impl NewFile<'_> {
    /// Returns the name that a registration will have.
    pub(super) fn name(&self) -> Option<String> {
        let place = self.place.as_ref()?;
        Some(place.file_stem()?.to_string_lossy().into_owned())
    }
}

/// Checks a file. Returns the registration that it is, if it is one and can be read.
pub(super) fn judge(
    survey: &Survey<'_>,
    surroundings: &Surroundings,
    file: &NewFile<'_>,
    findings: &mut Findings,
) -> Option<Registration> {
    if file.kind == FileKind::Script {
        script(survey, file, findings);
        return None;
    }
    let code = match file.kind {
        FileKind::Settings => Code::BrokenSettings,
        _ => Code::BrokenRegistration,
    };
    let broken = |problem: Diagnostic, findings: &mut Findings| {
        let fix = Fix::edit(file.shown, problem.place.map(|(line, _)| line));
        findings.add_mistake(code, &problem, problem.one_line(), fix);
    };
    let text = match files::into_text(file.bytes.to_vec()) {
        Ok(text) => text,
        Err(error) => {
            broken(Diagnostic::unreadable(file.shown, error.to_string()), findings);
            return None;
        }
    };
    if file.kind == FileKind::Settings {
        match Settings::parse(file.shown, &text, surroundings) {
            Ok(settings) => of_settings(survey, file, &settings, findings),
            Err(problem) => broken(problem, findings),
        }
        nulls::examine(survey, file.shown, &text, findings);
        return None;
    }
    let mut registration = match Registration::parse(file.shown, &survey.settings.hooks_dir, &text)
    {
        Ok(registration) => registration,
        Err(problem) => {
            broken(problem, findings);
            return None;
        }
    };
    if let Some(name) = file.name() {
        registration.name = name;
    }
    let mut supervisor = None;
    registrations::examine_meaning(survey, &registration, &mut supervisor, findings);
    trust::examine_named(survey, &registration, findings);
    version::examine_one(survey, &registration, findings);
    habits::of_registration(survey, &registration, findings);
    guests::condition(survey, &registration, findings);
    same_name(survey, file, &registration, findings);
    Some(registration)
}

fn of_settings(
    survey: &Survey<'_>,
    file: &NewFile<'_>,
    settings: &Settings,
    findings: &mut Findings,
) {
    if let Some(named) = &settings.environment_file {
        let owner = file.shown.display().to_string();
        registrations::environment_file(named, &owner, survey, findings);
    }
    for root in &settings.roots {
        if root.exists() && !root.is_dir() {
            let words = format!("`roots` names {}, which is not a directory", root.display());
            let fix = Fix::edit(file.shown, None);
            findings.add(Code::NotADirectory, file.shown, words, fix);
        }
    }
}

/// Reports what else has this name, or is the same.
fn same_name(
    survey: &Survey<'_>,
    file: &NewFile<'_>,
    registration: &Registration,
    findings: &mut Findings,
) {
    let Some(place) = &file.place else { return };
    let name = &registration.name;
    let own = survey.settings.hooks_dir.join(DIRECTORY);
    for other in &survey.sources {
        if registry::name_of(other) != *name || other.path == file.shown {
            continue;
        }
        let path = other.path.display();
        let words = match other.path.starts_with(&own) {
            true => format!("{path} has the name `{name}` already, and would be replaced"),
            false => format!("{path} has the name `{name}` too, and would be masked"),
        };
        let fix = "give it another name, if both are meant to run";
        findings.add(Code::SameName, file.shown, words, fix);
    }
    let again = survey.registrations.iter().find(|known| {
        let same = Registration {
            name: known.name.clone(),
            source: known.source.clone(),
            root: known.root.clone(),
            weight: known.weight,
            enabled: known.enabled,
            ..registration.clone()
        };
        known.source != *place && known.name != *name && ***known == same
    });
    if let Some(again) = again {
        let words = format!(
            "{} is the same under another name: it would run twice",
            survey.label(&again.source)
        );
        let fix = survey.command(&format!("delete {}", again.name));
        findings.add(Code::SameName, file.shown, words, fix);
    }
}

fn script(survey: &Survey<'_>, file: &NewFile<'_>, findings: &mut Findings) {
    let label = file.shown.display().to_string();
    let in_tree = crate::libvirt::Driver::ALL.into_iter().any(|driver| {
        file.place.as_ref().is_some_and(|place| place.starts_with(survey.settings.tree_of(driver)))
    });
    let checked = CheckedProgram {
        is_installed: false,
        is_of_tree: in_tree,
        ..CheckedProgram::at(survey, file.content, &label)
    };
    content::startable(survey, &checked, findings);
    habits::bashisms(file.content, &label, findings);
    let fix = "let it run afterwards: register it with `--mode detached`";
    content::calls_libvirt(file.content, &label, fix, findings);
    if file.bytes.is_empty() {
        let words = format!("{label} is empty: it does nothing");
        findings.add(Code::EmptyScript, file.shown, words, "write what it does");
    }
}

/// Reads a file, or standard input, up to a limit.
///
/// # Errors
/// It can't be read, or is no regular file, or is too large.
pub(super) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    use std::io::Read;
    if path != Path::new("-") {
        return files::read_regular(path, limit);
    }
    let mut bytes = Vec::new();
    io::stdin().lock().take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}
