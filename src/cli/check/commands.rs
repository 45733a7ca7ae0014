//! Checks the programs of a registration: whether they exist, can be started, and may call libvirt.

use std::path::{Path, PathBuf};

use super::content::{self, CheckedProgram};
use super::finding::{Code, Findings, quoted};
use super::survey::Survey;
use crate::cli::register::module;
use crate::cli::script_text;
use crate::config::Registration;
use crate::config::registration::Mode;
use crate::machine::files;
use crate::machine::privileges::UserIdentity;
use crate::process::startable;
use crate::process::startable::executing_user::ExecutingUser;

/// Checks them with the rights of the user that runs them: that of `run_as`, or hookmux's own.
pub(super) fn examine(
    survey: &Survey<'_>,
    registration: &Registration,
    identity: Option<&UserIdentity>,
    findings: &mut Findings,
) {
    let executor = match identity {
        Some(identity) => ExecutingUser { user: identity.user, groups: &identity.groups },
        None => ExecutingUser::of(startable::daemons_user(survey.settings, survey.user)),
    };
    for (key, words) in commands(registration) {
        command(survey, registration, executor, key, words, findings);
    }
}

/// Returns the programs of a registration, each with its key.
pub(super) fn commands(registration: &Registration) -> Vec<(&'static str, &Vec<String>)> {
    let mut commands = vec![("command", &registration.command)];
    commands.extend(registration.check.as_ref().map(|words| ("check", words)));
    commands.extend(registration.rollback.as_ref().map(|words| ("rollback", words)));
    commands.extend(registration.undo.as_ref().map(|words| ("undo", words)));
    commands
}

fn command(
    survey: &Survey<'_>,
    registration: &Registration,
    executor: ExecutingUser<'_>,
    key: &str,
    words: &[String],
    findings: &mut Findings,
) {
    let Some(program) = words.first().map(PathBuf::from) else { return };
    let label = survey.label(&registration.source);
    let what = format!("`{key}` of {label}");
    let source = &registration.source;
    let registered = Some(registration);
    let checked = CheckedProgram {
        path: &program,
        label: &what,
        registration: registered,
        executor,
        is_of_tree: false,
        is_installed: true,
    };
    content::startable(survey, &checked, findings);
    if !files::is_executable(&program) {
        return;
    }
    if registration.mode == Mode::Detached {
        return;
    }
    let fix = format!("add `mode: detached` to {}, if it may run afterwards", quoted(source));
    if program.file_name().is_some_and(|name| name == "virsh") {
        let message = format!("{what} is virsh, and libvirt waits for it");
        findings.add(Code::LibvirtCall, source, message, fix);
        return;
    }
    // `sh -c TEXT`, `python3 SCRIPT`
    let texts = words.iter().skip(1).filter(|_| module::called_function(words).is_none());
    for text in texts {
        if let Some((_, word)) = script_text::libvirt_call(text) {
            let message = format!("{what} calls libvirt ({word}), which waits for it");
            findings.add(Code::LibvirtCall, source, message, fix.as_str());
        } else if text.starts_with('/') {
            content::calls_libvirt(Path::new(text), &what, &fix, findings);
        }
    }
    content::calls_libvirt(&program, &what, &fix, findings);
}
