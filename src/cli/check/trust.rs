//! Finds files and directories that others than root could change.

use std::fs;
use std::path::{Path, PathBuf};

use super::commands::commands;
use super::finding::{Code, Findings, Fix, counted, words};
use super::python_hooks;
use super::survey::Survey;
use crate::cli::install::installed::Installed;
use crate::cli::register::module;
use crate::config::registration::DIRECTORY;
use crate::config::settings::FILE_NAME;
use crate::config::{LoadedSettings, Registration, TrustPolicy};
use crate::event;
use crate::repair::RepairTarget;
use crate::search::EntryState;
use crate::state::{Dir, DirRefusal};
use crate::trust::{Refusal, Trust, TrustFault};

/// How deep hookmux's own directories are: `records/01KH3Z`, `records/running`.
const STATE_DEPTH: usize = 2;
/// How deep modules are searched.
const MODULE_DEPTH: usize = 4;

/// Whether calls refuse what isn't trusted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Refused {
    /// No call looks at it.
    Never,
    /// With `trust: warn` it is used.
    ByTrust,
    Always,
}

/// One fault, and everything that is refused because of it.
struct UntrustedItem {
    refusal: Refusal,
    what: Vec<String>,
    subjects: Vec<RepairTarget>,
    /// What holds for that of it which is refused most.
    refused: Refused,
}

struct TrustExaminer {
    trust: Trust,
    items: Vec<UntrustedItem>,
}

impl TrustExaminer {
    fn file(&mut self, subject: RepairTarget, what: impl Into<String>, refused: Refused) {
        if let Err(refusal) = self.trust.file(&subject.path) {
            self.add_refusal(refusal, subject, what.into(), refused);
        }
    }

    fn directory(&mut self, path: &Path, what: impl Into<String>, refused: Refused) {
        if !path.is_dir() {
            return;
        }
        if let Err(refusal) = self.trust.directory(path) {
            self.add_refusal(refusal, RepairTarget::at(path), what.into(), refused);
        }
    }

    fn add_refusal(
        &mut self,
        refusal: Refusal,
        subject: RepairTarget,
        what: String,
        refused: Refused,
    ) {
        // missing files, and what isn't a file, are reported elsewhere
        if matches!(
            refusal.fault,
            TrustFault::NotRegular
                | TrustFault::NotDirectory
                | TrustFault::Missing
                | TrustFault::Unreadable(_)
        ) {
            return;
        }
        match self.items.iter_mut().find(|known| known.refusal == refusal) {
            Some(known) => {
                known.refused = known.refused.max(refused);
                if !known.subjects.contains(&subject) {
                    known.subjects.push(subject);
                }
                if !known.what.contains(&what) {
                    known.what.push(what);
                }
            }
            None => {
                let (what, subjects) = (vec![what], vec![subject]);
                self.items.push(UntrustedItem { refusal, what, subjects, refused });
            }
        }
    }
}

pub(super) fn examine(survey: &Survey<'_>, loaded: &LoadedSettings, findings: &mut Findings) {
    let mut examiner = TrustExaminer { trust: Trust::new(survey.user), items: Vec::new() };
    settings(survey, loaded, &mut examiner);
    for link in survey.installed.iter().filter_map(Installed::called_at) {
        examiner.file(RepairTarget::at(link), "hookmux itself", Refused::ByTrust);
    }
    for script in survey.scripts.iter().filter(|script| script.state == EntryState::Active) {
        examiner.file(RepairTarget::at(&script.path), &*script.label, Refused::ByTrust);
    }
    registrations(survey, &mut examiner);
    directories(survey, &mut examiner);
    let is_relaxed = survey.settings.trust == TrustPolicy::Warn;
    for item in examiner.items {
        report(survey, &item, is_relaxed, findings);
    }
}

/// Checks the programs and files that one registration names.
pub(super) fn examine_named(
    survey: &Survey<'_>,
    registration: &Registration,
    findings: &mut Findings,
) {
    let mut examiner = TrustExaminer { trust: Trust::new(survey.user), items: Vec::new() };
    named(survey, registration, &mut examiner);
    let is_relaxed = survey.settings.trust == TrustPolicy::Warn;
    for item in examiner.items {
        report(survey, &item, is_relaxed, findings);
    }
}

fn settings(survey: &Survey<'_>, loaded: &LoadedSettings, examiner: &mut TrustExaminer) {
    let file = survey.settings.hooks_dir.join(FILE_NAME);
    if file.exists() {
        examiner.file(RepairTarget::at(&file), FILE_NAME, Refused::Always);
    }
    if let Some(named) = &loaded.settings.environment_file {
        let subject = RepairTarget::named(named, &file);
        examiner.file(subject, format!("`environment_file` of {FILE_NAME}"), Refused::Always);
    }
}

fn registrations(survey: &Survey<'_>, examiner: &mut TrustExaminer) {
    for source in survey.sources.iter().filter(|source| source.state == EntryState::Active) {
        examiner.file(RepairTarget::at(&source.path), survey.label(&source.path), Refused::ByTrust);
    }
    for registration in survey.registrations.iter().filter(|one| one.enabled) {
        named(survey, registration, examiner);
    }
}

/// Examines what a registration names.
fn named(survey: &Survey<'_>, registration: &Registration, examiner: &mut TrustExaminer) {
    let label = survey.label(&registration.source);
    for (key, words) in commands(registration) {
        let program = words.first().map(PathBuf::from).unwrap_or_default();
        let subject = RepairTarget::named(&program, &registration.source);
        examiner.file(subject, format!("`{key}` of {label}"), Refused::ByTrust);
    }
    if let Some(file) = &registration.environment_file {
        let subject = RepairTarget::named(file, &registration.source);
        examiner.file(subject, format!("`environment_file` of {label}"), Refused::Always);
    }
}

fn directories(survey: &Survey<'_>, examiner: &mut TrustExaminer) {
    for root in survey.settings.all_roots() {
        examiner.directory(root, "what lies there", Refused::ByTrust);
        let names = event::TABLE.iter().map(|row| row.name).chain([DIRECTORY]);
        for name in names {
            examiner.directory(&root.join(name), "what lies there", Refused::ByTrust);
        }
    }
    let settings = survey.settings;
    // the setting `trust` is about scripts, hookmux's own state must always be safe
    if survey.user == 0 || settings.session {
        for (key, dir) in
            [("state_dir", &settings.state_dir), ("runtime_dir", &settings.runtime_dir)]
        {
            for shut in shut_directories(dir, STATE_DEPTH) {
                let subject = RepairTarget::at(&shut.refusal.path);
                examiner.add_refusal(
                    shut.refusal,
                    subject,
                    format!("what {key} remembers"),
                    Refused::Always,
                );
            }
        }
    }
    let modules = survey.settings.hooks_dir.join(module::DIRECTORY);
    modules_below(&modules, MODULE_DEPTH, Refused::ByTrust, Refused::ByTrust, examiner);
    for directory in python_hooks::module_directories(survey) {
        modules_below(&directory, MODULE_DEPTH, Refused::Always, Refused::Never, examiner);
    }
}

/// Returns hookmux's own directories that it refuses to use, down to a depth.
fn shut_directories(dir: &Dir, depth: usize) -> Vec<DirRefusal> {
    match dir.judge() {
        Err(error) => DirRefusal::of(&error).cloned().into_iter().collect(),
        // the queue has only files, which are reported with the jobs
        Ok(_) if depth == 0 || dir.unchecked_path().ends_with("queue") => Vec::new(),
        Ok(_) => dir
            .names()
            .unwrap_or_default()
            .iter()
            .filter(|name| dir.entry_metadata(name).is_ok_and(|found| !found.is_file()))
            .flat_map(|name| shut_directories(&dir.child(name), depth - 1))
            .collect(),
    }
}

/// Checks a directory with modules, and what is below it.
fn modules_below(
    directory: &Path,
    depth: usize,
    refused: Refused,
    refused_below: Refused,
    examiner: &mut TrustExaminer,
) {
    examiner.directory(directory, "modules that lie there", refused);
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        if path.is_dir() && depth > 0 {
            modules_below(&path, depth - 1, refused_below, refused_below, examiner);
        } else if path.extension().is_some_and(|end| end == "py" || end == "pm" || end == "so") {
            examiner.file(RepairTarget::at(&path), "a module that hooks load", refused_below);
        }
    }
}

fn report(survey: &Survey<'_>, item: &UntrustedItem, is_relaxed: bool, findings: &mut Findings) {
    let refusal = &item.refusal;
    let first = item.what.first().map(String::as_str).unwrap_or_default();
    let more = match item.what.len() {
        0 | 1 => String::new(),
        count => format!(" and {}", counted(count - 1, "other")),
    };
    let fix = survey.ground().fix(&item.subjects);
    let fix = fix.unwrap_or_else(|| Fix::run(&words!["ls", "-la", &refusal.path]));
    let (code, consequence) = match item.refused {
        Refused::Never => (Code::Untrusted, "not trusted: who changes it changes what hooks do"),
        Refused::ByTrust if is_relaxed => {
            (Code::UntrustedButRun, "used anyway, because hookmux.yaml says `trust: warn`")
        }
        Refused::ByTrust | Refused::Always => (Code::Untrusted, "not trusted, and refused"),
    };
    let verb = if item.what.len() > 1 { "are" } else { "is" };
    let words = format!("{refusal}: {first}{more} {verb} {consequence}");
    findings.add(code, &refusal.path, words, fix);
}
