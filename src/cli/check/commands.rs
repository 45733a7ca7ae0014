//! The programs that a registration names: whether they are there, can be started, and may call
//! libvirt.

use std::fs;
use std::path::{Path, PathBuf};

use super::content;
use super::finding::{Code, Findings, Fix, quoted, words};
use super::reach::{EXECUTE, READ, Walker};
use super::script_text;
use super::survey::Survey;
use crate::config::Registration;
use crate::config::registration::Mode;
use crate::registry_edit::module;
use crate::run::privileges::Identity;

pub fn examine(survey: &Survey<'_>, registration: &Registration, findings: &mut Findings) {
    for (key, words) in commands(registration) {
        command(survey, registration, key, words, findings);
    }
}

/// The programs that a registration names, each with its key.
pub fn commands(registration: &Registration) -> Vec<(&'static str, &Vec<String>)> {
    let mut commands = vec![("command", &registration.command)];
    commands.extend(registration.check.as_ref().map(|words| ("check", words)));
    commands.extend(registration.rollback.as_ref().map(|words| ("rollback", words)));
    commands
}

/// Whether the user of `run_as` gets to them.
pub fn reachable(
    survey: &Survey<'_>,
    registration: &Registration,
    identity: &Identity,
    findings: &mut Findings,
) {
    let walker = Walker { user: identity.user, groups: &identity.groups };
    for (key, words) in commands(registration) {
        let program = words.first().map(PathBuf::from).unwrap_or_default();
        if !content::is_executable(&program) {
            continue;
        }
        // an interpreter has to read its script
        let is_script = content::beginning(&program).is_some_and(|text| text.starts_with(b"#!"));
        let bits = if is_script { READ | EXECUTE } else { EXECUTE };
        let (shut, mode) = match walker.shut_out_by(&program) {
            Some(directory) => (directory, "a+x"),
            None if walker.may(&program, bits) => continue,
            None => (program.clone(), "a+rx"),
        };
        let source = &registration.source;
        let words = format!(
            "`{key}` of {} is {}, and user {} can't execute it: {} is shut to it",
            survey.label(source),
            program.display(),
            registration.run_as.as_ref().map_or("", |run_as| &run_as.user),
            shut.display()
        );
        let fix = match survey.ground().has(&shut) {
            true => Some(Fix::run(&words!["chmod", mode, &shut])),
            false => survey.ground().moved(&program, source),
        };
        let fix = fix.unwrap_or_else(|| Fix::edit(source, None));
        findings.add(Code::UnreachableCommand, source, words, fix);
    }
}

fn command(
    survey: &Survey<'_>,
    registration: &Registration,
    key: &str,
    words: &[String],
    findings: &mut Findings,
) {
    let Some(program) = words.first().map(PathBuf::from) else { return };
    let label = survey.label(&registration.source);
    let what = format!("`{key}` of {label}");
    let source = &registration.source;
    if !program.exists() {
        // an unreadable directory hides it from whoever isn't root
        let is_hidden = fs::metadata(&program)
            .is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
        if !is_hidden {
            let message = format!("{what} is {}, which is not there", program.display());
            let fix = Fix::edit(source, None);
            findings.add(Code::CommandMissing, source, message, fix);
        }
        return;
    }
    if !content::is_executable(&program) {
        let (why, fix) = if program.is_file() {
            let ground = survey.ground();
            let fix = match ground.has(&program) {
                true => Some(Fix::run(&words!["chmod", "a+x", &program])),
                false => ground.moved(&program, source),
            };
            ("has no x bit", fix.unwrap_or_else(|| Fix::edit(source, None)))
        } else {
            ("is not a regular file", Fix::edit(source, None))
        };
        let message = format!("{what} is {}, which {why}", program.display());
        return findings.add(Code::CommandNotExecutable, source, message, fix);
    }
    content::startable(survey, &program, &what, findings);
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
    let texts = words.iter().skip(1).filter(|_| module::called(words).is_none());
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
