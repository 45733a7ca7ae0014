//! Finds scripts that import vdsm's `hooking`, and why they wouldn't find it.

use std::path::{Path, PathBuf};

use super::commands::commands;
use super::content;
use super::finding::{Code, Findings, Fix, quoted};
use super::survey::{Script, ScriptPlace, Survey};
use crate::cli::install::installed::Installed;
use crate::cli::script_text;
use crate::config::Registration;
use crate::config::registration::CallStyle;
use crate::libvirt::program;
use crate::repair::RepairTarget;
use crate::run::{launch, python_modules};
use crate::search::EntryState;

/// The files of a module of this name.
const MODULE_FILES: [&str; 2] = ["hooking.py", "hooking/__init__.py"];

/// How a script is called, as far as it decides whether it gets the modules.
enum Caller<'a> {
    /// In vdsm's style: hookmux names their directory.
    Vdsm(Option<&'a Registration>),
    /// As libvirt would call it.
    DropIn,
    /// A registration with `style: libvirt`.
    Libvirt(&'a Registration),
}

pub(super) fn examine(survey: &Survey<'_>, findings: &mut Findings) {
    for script in survey.scripts.iter().filter(|script| script.state == EntryState::Active) {
        let Script { label, path, place, .. } = script;
        let caller = match place {
            ScriptPlace::Event(_) => Caller::Vdsm(None),
            ScriptPlace::Tree(_) | ScriptPlace::Adopted(_) => Caller::DropIn,
        };
        examine_script(survey, path, label, &caller, findings);
    }
    for registration in survey.registrations.iter().filter(|one| one.enabled) {
        let label = survey.label(&registration.source);
        for (key, words) in commands(registration) {
            let caller = match registration.style {
                CallStyle::Vdsm => Caller::Vdsm(Some(registration)),
                CallStyle::Libvirt => Caller::Libvirt(registration),
            };
            // the program, or the script that it runs: `python3 SCRIPT`
            for path in words.iter().filter(|word| word.starts_with('/')).map(Path::new) {
                examine_script(survey, path, &format!("`{key}` of {label}"), &caller, findings);
            }
        }
    }
}

/// Returns the directories with modules of the programs that libvirt calls; of the running one, if it calls none.
pub(super) fn module_directories(survey: &Survey<'_>) -> Vec<PathBuf> {
    let called = survey.installed.iter().filter_map(Installed::called_at);
    let programs = called.filter_map(|path| path.canonicalize().ok());
    let mut directories: Vec<PathBuf> =
        programs.filter_map(|path| program::python_modules_of(&path)).collect();
    directories.dedup();
    if directories.is_empty() {
        directories.extend(program::own_python_modules());
    }
    directories
}

fn examine_script(
    survey: &Survey<'_>,
    path: &Path,
    label: &str,
    caller: &Caller<'_>,
    findings: &mut Findings,
) {
    let Some(bytes) = content::beginning(path) else { return };
    if bytes.starts_with(b"\x7fELF") {
        return;
    }
    let text = String::from_utf8_lossy(&bytes);
    let Some(line) = script_text::hooking_import(&text) else { return };
    let Some((why, fix)) = obstacle(survey, path, &text, caller) else { return };
    let words = format!("{label} imports vdsm's `hooking` (line {line}), and won't find it: {why}");
    findings.add(Code::MissingModule, path, words, fix);
}

/// Returns why a script doesn't find the module, and what to do.
fn obstacle(
    survey: &Survey<'_>,
    path: &Path,
    text: &str,
    caller: &Caller<'_>,
) -> Option<(String, Fix)> {
    let real = path.canonicalize().ok()?;
    if real.parent().is_some_and(has_module) {
        return None;
    }
    let registration = match caller {
        Caller::DropIn => {
            let why =
                "an adopted script or one of the per-guest tree gets libvirt's environment alone";
            let fix = "let it lie in an event's directory (`hookmux events` shows them), or set PYTHONPATH in the script";
            return Some((why.to_owned(), fix.into()));
        }
        Caller::Libvirt(registration) => {
            let why = "hooks with `style: libvirt` get no modules of hookmux's".to_owned();
            let no_style = format!("take `style: libvirt` out of {}", quoted(&registration.source));
            return (!is_named(survey, Some(registration))).then(|| (why, no_style.into()));
        }
        Caller::Vdsm(registration) => *registration,
    };
    if let Some(option) = script_text::ignored_environment(text) {
        let why = format!("`{option}` in its first line makes Python ignore PYTHONPATH");
        let fix = format!("take {option} out of the first line of {}", quoted(path));
        return Some((why, fix.into()));
    }
    if is_named(survey, registration) {
        return None;
    }
    module_directories(survey).into_iter().find_map(|directory| {
        let shown = directory.display().to_string();
        match python_modules::look(directory, survey.user) {
            Some(Ok(_)) => None,
            Some(Err(refusal)) => {
                let fix = survey.ground().fix(&[RepairTarget::at(&refusal.path)]);
                let fix = fix.unwrap_or_else(|| format!("look at {shown}").into());
                Some((format!("{shown} is refused: {refusal}"), fix))
            }
            None => {
                let fix = format!(
                    "install hookmux again, from its package or by `make install`: {shown} comes with it"
                );
                Some((format!("{shown} is not there"), fix.into()))
            }
        }
    })
}

fn has_module(directory: &Path) -> bool {
    MODULE_FILES.iter().any(|file| directory.join(file).is_file())
}

/// Tells whether a PYTHONPATH of the administrator's leads to a module of that name.
fn is_named(survey: &Survey<'_>, registration: Option<&Registration>) -> bool {
    let settings = survey.settings;
    let written =
        registration.map(|one| &one.environment).into_iter().chain([&settings.environment]);
    let written = written.flatten().map(|(name, value)| (name.into(), value.into()));
    let files = registration.map(|one| &one.environment_file).into_iter();
    let files = files.chain([&settings.environment_file]).flatten();
    let read = files.filter_map(|file| launch::read_environment_file(file, survey.user).ok());
    let mut all = written.chain(read.flatten());
    all.any(|(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        name == python_modules::PATH_VARIABLE
            && std::env::split_paths(&value).any(|directory| has_module(&directory))
    })
}
