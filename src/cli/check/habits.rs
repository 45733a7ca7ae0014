//! Finds scripts that are written for another way to be called: for bash under `sh`, or for libvirt's arguments
//! in vdsm's style.

use std::path::{Path, PathBuf};

use super::finding::{Code, Findings, Fix, words};
use super::survey::{Script, ScriptPlace, Survey};
use super::{bashisms, content, inputs};
use crate::cli::fixes;
use crate::command;
use crate::config::Registration;
use crate::config::registration::{CallStyle, StdinKind};
use crate::machine::files;
use crate::search::EntryState;

/// The shells that take what `sh` doesn't.
const BASH: [&str; 2] = ["/bin/bash", "/usr/bin/bash"];
/// How many of its words are told.
const MAX_TOLD: usize = 3;

pub(super) fn examine(survey: &Survey<'_>, findings: &mut Findings) {
    for script in survey.scripts.iter().filter(|script| script.state == EntryState::Active) {
        bashisms(&script.path, &script.label, findings);
        if let ScriptPlace::Event(event) = &script.place {
            event_script(survey, script, event, findings);
        }
    }
    for registration in survey.registrations.iter().filter(|one| one.enabled) {
        of_registration(survey, registration, findings);
    }
}

/// Checks the program of a registration.
pub(super) fn of_registration(
    survey: &Survey<'_>,
    registration: &Registration,
    findings: &mut Findings,
) {
    let Some(program) = registration.command.first().map(PathBuf::from) else { return };
    let label = survey.label(&registration.source);
    let what = format!("{} of {label}", program.display());
    if program.file_name().is_some_and(|name| name == "sh") {
        return;
    }
    bashisms(&program, &what, findings);
    if registration.style != CallStyle::Vdsm {
        return;
    }
    let given = registration.command.len() - 1 + registration.args.len();
    let has_stdin = registration.args_stdin || registration.stdin != StdinKind::None;
    let Some(words) = missing_inputs(&program, given, has_stdin) else { return };
    let source = &registration.source;
    let fix =
        libvirt_style(registration).unwrap_or_else(|| fixes::edit(survey.settings, source, None));
    let words = format!("{what} {words}; with `style: libvirt` it gets libvirt's");
    findings.add(Code::MissingInput, source, words, fix);
}

/// Returns the command that gives a registration `style: libvirt`, if one line at its end does that.
fn libvirt_style(registration: &Registration) -> Option<Fix> {
    let line = "\nstyle: libvirt\n";
    let text = format!("{}{line}", registration.written.text);
    let wanted = Registration { style: CallStyle::Libvirt, ..registration.clone() };
    let read = Registration::parse(&registration.source, &registration.root, &text).ok()?;
    (read == wanted).then(|| {
        Fix::shell(format!(
            "printf '\\nstyle: libvirt\\n' >> {}",
            command::quoted(&registration.source)
        ))
    })
}

/// Checks a script in an event's directory.
fn event_script(survey: &Survey<'_>, script: &Script, event: &str, findings: &mut Findings) {
    let Some(words) = missing_inputs(&script.path, 0, false) else { return };
    let place = survey.ground().free_path_for(&script.path);
    let mut add = survey.words("add script");
    add.extend(words![&place, "--event", event, "--style", "libvirt", "--weight", "0"]);
    let directory = place.parent().unwrap_or(&place).to_path_buf();
    let is_own = script.path.starts_with(&survey.settings.hooks_dir);
    let fix = match is_own {
        true => Fix::all(&[
            words!["mkdir", "-p", directory],
            words!["mv", "-n", &script.path, &place],
            add,
        ]),
        false => {
            "read HOOKMUX_* and $_hook_domxml in it, or register it with --style libvirt".into()
        }
    };
    let words =
        format!("{} {words}; registered with `style: libvirt` it gets libvirt's", script.label);
    findings.add(Code::MissingInput, &script.path, words, fix);
}

/// Says what a script reads and doesn't get in vdsm's style; `given` arguments are there.
fn missing_inputs(path: &Path, given: usize, has_stdin: bool) -> Option<String> {
    let read = inputs::of(&text_of(path)?);
    let argument = read.argument.filter(|(number, ..)| *number > given);
    let argument = argument.map(|(_, word, line)| format!("{word} (line {line})"));
    let stdin = read.stdin.filter(|_| !has_stdin);
    let stdin = stdin.map(|(word, line)| format!("standard input ({word}, line {line})"));
    let what = match (argument, stdin) {
        (Some(argument), Some(stdin)) => format!("{argument} and {stdin}"),
        (one, other) => one.or(other)?,
    };
    Some(format!(
        "reads {what}, and in vdsm's style a hook gets neither arguments nor a document there: what it needs is in HOOKMUX_* variables and in the file $_hook_domxml"
    ))
}

/// Reports what only bash understands in a script for `sh`.
pub(super) fn bashisms(path: &Path, label: &str, findings: &mut Findings) {
    let Some(text) = text_of(path).filter(|text| bashisms::is_for_sh(text)) else { return };
    let found = bashisms::find(&text);
    if found.is_empty() {
        return;
    }
    let told: Vec<String> = found
        .iter()
        .take(MAX_TOLD)
        .map(|one| format!("`{}` in line {}", one.what, one.line))
        .collect();
    let words = format!(
        "{label} is for sh by its first line, and has what only bash understands: {}",
        told.join(", ")
    );
    let bash = BASH.into_iter().find(|bash| files::is_executable(Path::new(bash)));
    let fix = match bash {
        Some(bash) => Fix::run(&words!["sed", "-i", format!("1s,^.*,#!{bash},"), path]),
        None => "install bash, and name it in the first line; or write it for sh".into(),
    };
    findings.add(Code::Bashism, path, words, fix);
}

fn text_of(path: &Path) -> Option<String> {
    let bytes = content::beginning(path).filter(|bytes| bytes.starts_with(b"#!"))?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
