//! Checks settings and registrations: what can't be read, what can't run, and what has no effect.

use std::path::Path;

use super::finding::{Code, Findings, Fix, empty_directory_into, words};
use super::survey::Survey;
use super::{commands, content, nulls, unreadable};
use crate::cli::fixes;
use crate::config::diagnostic::DiagnosticKind;
use crate::config::settings::FILE_NAME;
use crate::config::{Diagnostic, LoadedSettings, Registration};
use crate::machine::files;
use crate::machine::privileges::UserIdentity;
use crate::process::supervise::Supervisor;
use crate::process::users;
use crate::registry::{LOCK_NAME, RegistrationFile, matched_calls, matching};
use crate::run::launch;
use crate::search::EntryState;
use crate::search::directory::leftover_reason;

/// Checks hookmux.yaml and the file that it names.
pub(super) fn examine_settings(
    survey: &Survey<'_>,
    loaded: &LoadedSettings,
    findings: &mut Findings,
) {
    let settings = &loaded.settings;
    if let Some(problem) = loaded.problem.as_ref().filter(|problem| !is_refused(problem)) {
        let consequence = match &loaded.last_good {
            Some(last_good) => format!("calls use {last_good}"),
            None => "there is no good copy of it, and gates fail".to_owned(),
        };
        let words = format!("{} ({consequence})", problem.one_line());
        findings.add_mistake(Code::BrokenSettings, problem, words, edit_at(survey, problem));
    }
    if let Some(file) = &settings.environment_file {
        environment_file(file, FILE_NAME, survey, findings);
    }
}

/// Tells whether a problem is that the file isn't trusted, which is reported elsewhere.
pub(super) fn is_refused(problem: &Diagnostic) -> bool {
    problem.kind == DiagnosticKind::NotTrusted
}

/// Returns the command that opens the file at the mistake.
fn edit_at(survey: &Survey<'_>, problem: &Diagnostic) -> Fix {
    fixes::edit(survey.settings, &problem.path, problem.place.map(|(line, _)| line))
}

pub(super) fn environment_file(
    file: &Path,
    owner: &str,
    survey: &Survey<'_>,
    findings: &mut Findings,
) {
    let Err(why) = launch::read_environment_file(file, survey.user) else { return };
    if why.is_not_trusted() && file.exists() {
        return;
    }
    let fix = Fix::edit(file, None);
    findings.add(Code::EnvironmentFile, file, format!("{owner}: {why}"), fix);
}

pub(super) fn examine(survey: &Survey<'_>, findings: &mut Findings) {
    for source in &survey.sources {
        file(survey, source, findings);
    }
    let mut supervisor = None;
    for registration in survey.registrations.iter().filter(|one| one.enabled) {
        examine_meaning(survey, registration, &mut supervisor, findings);
    }
}

/// Checks what a registration that can be read means. `supervisor` is made where it is needed.
pub(super) fn examine_meaning(
    survey: &Survey<'_>,
    registration: &Registration,
    supervisor: &mut Option<Supervisor>,
    findings: &mut Findings,
) {
    examine_one(survey, registration, findings);
    let identity = user(survey, registration, supervisor, findings);
    commands::examine(survey, registration, identity.as_ref(), findings);
}

/// Reports a file of `hooks.d` that is not a registration, or a broken one.
fn file(survey: &Survey<'_>, source: &RegistrationFile, findings: &mut Findings) {
    let (path, label) = (&source.path, survey.label(&source.path));
    let name = path.file_name().unwrap_or_default();
    match (&source.content, &source.state) {
        (Some(Err(problem)), _)
            if problem.kind == DiagnosticKind::Unreadable
                && unreadable::report_shut_file(survey.settings, path, findings) => {}
        (Some(Err(problem)), _) if !is_refused(problem) => {
            let stands_in = survey.stand_ins.contains(path);
            let consequence = match stands_in {
                true => "its last good form runs".to_owned(),
                false => problem.recovered().consequence(),
            };
            let words = format!("{} ({consequence})", problem.one_line());
            let is_link = path.is_symlink() && !path.exists();
            let fix =
                if is_link { Fix::run(&words!["rm", path]) } else { edit_at(survey, problem) };
            findings.add_mistake(Code::BrokenRegistration, problem, words, fix);
        }
        (_, EntryState::Disabled(_)) => {
            let hides = |other: &RegistrationFile| matches!(&other.state, EntryState::Masked(by) if by == path);
            if !survey.sources.iter().any(hides) {
                let words = format!(
                    "{label} is a link to /dev/null, and there is no registration for it to disable"
                );
                findings.add(Code::IdleMask, path, words, Fix::run(&words!["rm", path]));
            }
        }
        (_, EntryState::Skipped(_)) if name == LOCK_NAME => {}
        (_, EntryState::Skipped(_)) if leftover_reason(name).is_some() => {
            let words = format!("{label} is skipped: by its name it is a leftover");
            findings.add(Code::LeftBehind, path, words, Fix::run(&words!["rm", path]));
        }
        (_, EntryState::Skipped(_)) if path.is_dir() => {
            let words = format!("{label} is a directory: what lies in it is never read");
            let above = path.parent().unwrap_or(path);
            let fix = empty_directory_into(path, above);
            findings.add(Code::Subdirectory, path, words, fix);
        }
        (_, EntryState::Skipped(why)) if path.exists() => {
            let words = format!("{label} isn't read: {why}");
            // a file that was meant as a registration, or another file
            let has_similar_ending =
                path.extension().is_some_and(|end| end == "yml" || end == "YAML");
            let is_script = files::is_executable(path)
                || content::beginning(path).is_some_and(|text| text.starts_with(b"#!"));
            let fix = match (has_similar_ending, is_script) {
                (true, _) => Fix::run(&words!["mv", "-n", path, path.with_extension("yaml")]),
                // in another directory it wouldn't run either
                (false, true) => survey.register(path).into(),
                (false, false) => Fix::run(&words!["mv", "-n", path, &survey.settings.hooks_dir]),
            };
            findings.add(Code::NotARegistration, path, words, fix);
        }
        _ => {}
    }
}

fn examine_one(survey: &Survey<'_>, registration: &Registration, findings: &mut Findings) {
    let (source, label) = (&registration.source, survey.label(&registration.source));
    let edit = fixes::edit(survey.settings, source, None);
    nulls::examine(survey, source, &registration.written.text, findings);
    if let Some(why) = matching::impossibility(registration) {
        findings.add(
            Code::NeverMatches,
            source,
            format!("{label} never runs: {why}"),
            edit.clone(),
        );
    }
    for pattern in &registration.triggers.calls {
        if let Some(why) = matched_calls::unmatched(pattern) {
            findings.add(Code::NeverCalled, source, format!("{label}: {why}"), edit.clone());
        }
    }
    for warning in registration.warnings() {
        findings.add(Code::MeaninglessKey, source, format!("{label}: {warning}"), edit.clone());
    }
    if let Some(file) = &registration.environment_file {
        environment_file(file, &label, survey, findings);
    }
}

/// Resolves the user that a registration runs as. A user that isn't in `/etc/passwd` is asked for with
/// `getent`, which needs a supervisor.
fn user(
    survey: &Survey<'_>,
    registration: &Registration,
    supervisor: &mut Option<Supervisor>,
    findings: &mut Findings,
) -> Option<UserIdentity> {
    let run_as = registration.run_as.as_ref()?;
    if supervisor.is_none() {
        *supervisor = Supervisor::new(&[]).ok();
    }
    let why = match users::resolve(run_as, survey.user, supervisor.as_mut()?) {
        Ok(identity) => return Some(identity),
        Err(why) => why,
    };
    let source = &registration.source;
    let fix = fixes::for_user(&why, source);
    findings.add(Code::UnknownUser, source, format!("{}: {why}", survey.label(source)), fix);
    None
}
