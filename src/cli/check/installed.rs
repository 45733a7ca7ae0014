//! Checks how libvirt calls hookmux: the entry of each driver, and what else libvirt runs.

use std::fs;
use std::path::PathBuf;

use super::finding::{Code, Findings, Fix, with_suffix, words};
use super::link;
use super::survey::{ScriptPlace, Survey};
use crate::cli::install::adoption::{MAX_SCRIPT_BYTES, shorten_line};
use crate::cli::install::installed::{DriverEntry, Installed};
use crate::cli::install::{copies, entries, own_name};
use crate::command;
use crate::hook::adopted;
use crate::libvirt::program;
use crate::machine::{files, own_binary};
use crate::process::startable::Program;
use crate::process::startable::executing_user::ExecutingUser;
use crate::search::EntryState;
use crate::search::directory;

pub(super) fn examine(survey: &Survey<'_>, findings: &mut Findings) {
    let has_any = survey.installed.iter().any(|one| one.called_at().is_some());
    let is_taken = survey.installed.iter().any(|one| one.main == DriverEntry::Foreign);
    if !has_any {
        let hooks_dir = &survey.settings.hooks_dir;
        let words = format!(
            "libvirt calls hookmux for no driver: there is no link to it in {}, and no hook runs",
            hooks_dir.display()
        );
        let fix = if is_taken { "install --adopt" } else { "install" };
        findings.add(Code::NotInstalled, hooks_dir, words, survey.command(fix));
    }
    let mut unproven = Vec::new();
    for installed in &survey.installed {
        main(survey, installed, findings);
        twice(installed, findings);
        loose(survey, installed, findings);
        tree_left_alone(survey, installed, findings);
        own_name(survey, installed, findings);
        if let Some(link) = installed.called_at() {
            link::check_reachable(survey, installed.driver, link, findings);
            unproven.extend(link::unproven(survey, installed.driver, link));
        }
    }
    link::report_unproven(&unproven, findings);
}

fn main(survey: &Survey<'_>, installed: &Installed, findings: &mut Findings) {
    let (driver, path) = (installed.driver, &installed.path);
    let shown = path.display();
    if let Some(script) = installed.overwriting_program() {
        let fix = entries::adopt_command(&survey.settings.hooks_dir, driver);
        findings.add(Code::OverwrittenEntry, path, entries::describe(installed, script), fix);
        return;
    }
    copy(survey, installed, findings);
    match &installed.main {
        DriverEntry::Dangling(target) => findings.add(
            Code::DanglingInstall,
            path,
            format!("{shown} leads to {}, which is not there: libvirt runs nothing for {driver}, and no gate can stop a call", target.display()),
            survey.command(&format!("install --driver {driver}")),
        ),
        DriverEntry::NotAFile => findings.add(
            Code::OddInstall,
            path,
            format!("{shown} is neither a file nor a link: libvirt runs nothing for {driver}"),
            Fix::all(&[
                words!["mv", "-n", path, with_suffix(path, ".old")],
                survey.words(&format!("install --driver {driver}")),
            ]),
        ),
        DriverEntry::Foreign if !path.exists() => findings.add(
            Code::DanglingInstall,
            path,
            format!("{shown} is a link to nothing: libvirt runs nothing for {driver}"),
            Fix::all(&[
                words!["rm", path],
                survey.words(&format!("install --driver {driver}")),
            ]),
        ),
        DriverEntry::Foreign if installed.beside.is_none() => findings.add(
            Code::ForeignScript,
            path,
            format!("{shown} is somebody else's script: hookmux isn't called for {driver}"),
            survey.command(&format!("install --driver {driver} --adopt")),
        ),
        DriverEntry::Foreign | DriverEntry::Ours(_) | DriverEntry::Missing => {}
    }
    if let Some(beside) = installed.beside.as_ref().filter(|beside| !beside.exists()) {
        let words = format!("{} leads to a hookmux that is not there", beside.display());
        let fix = survey.command(&format!("install --driver {driver} --beside"));
        findings.add(Code::DanglingInstall, beside, words, fix);
    }
}

/// Checks whether the entry leads to the driver's copy, and whether the copy is of this version.
fn copy(survey: &Survey<'_>, installed: &Installed, findings: &mut Findings) {
    if !matches!(installed.main, DriverEntry::Ours(_)) {
        return;
    }
    let (driver, path) = (installed.driver, &installed.path);
    match &installed.copy {
        Some(copy) if installed.leads_to_copy() && !copies::is_current(&copy.path) => {
            match copies::appended_bytes(&copy.path) {
                Some(bytes) => {
                    let words = format!(
                        "somebody has appended {bytes} bytes to {}, by {}: that file is hookmux, a program, and never runs them",
                        copy.path.display(),
                        path.display()
                    );
                    let name = PathBuf::from(format!("{driver}-hook"));
                    let place = survey.ground().free_path_for(&name);
                    let directory = place.parent().unwrap_or(&place).to_owned();
                    let tail = command::text(&words!["tail", "-c", bytes.to_string(), &copy.path]);
                    let fix = Fix::shell(format!(
                        "{} && {tail} > {} && {}",
                        command::text(&words!["mkdir", "-p", directory]),
                        command::quoted(&place),
                        survey.command("install --renew")
                    ));
                    findings.add(Code::AppendedCopy, &copy.path, words, fix);
                }
                None => {
                    let words = format!(
                        "{} has not the version of {}: libvirt calls another version for {driver}",
                        copy.path.display(),
                        program::PROGRAM_PATH
                    );
                    let fix = survey.command("install --renew");
                    findings.add(Code::StaleCopy, &copy.path, words, fix);
                }
            }
        }
        _ if copies::is_shared(&survey.settings.hooks_dir, path) => {
            let words = format!(
                "leads to {} itself: whoever writes through it overwrites the program of all drivers",
                program::PROGRAM_PATH
            );
            let (entry, fix) = (path.display().to_string(), survey.command("install --renew"));
            findings.add_alike(Code::SharedEntry, path, &entry, &words, fix);
        }
        _ => {}
    }
}

fn twice(installed: &Installed, findings: &mut Findings) {
    let is_main = matches!(installed.main, DriverEntry::Ours(_));
    let more = installed.loose.iter().filter(|path| own_binary::is_hookmux(path));
    for path in installed.beside.iter().chain(more).skip(usize::from(!is_main)) {
        let words = format!(
            "libvirt calls hookmux for {} a second time, by {}: every hook runs twice",
            installed.driver,
            path.display()
        );
        findings.add(Code::InstalledTwice, path, words, Fix::run(&words!["rm", path]));
    }
}

fn loose(survey: &Survey<'_>, installed: &Installed, findings: &mut Findings) {
    for path in installed.loose.iter().filter(|path| !own_binary::is_hookmux(path)) {
        let (shown, driver) = (path.display(), installed.driver);
        // usually root runs it
        let executor = ExecutingUser::of(0);
        let program = Program { path, executor, is_text_run: false, search: None };
        let is_empty = fs::metadata(path).is_ok_and(|file| file.len() == 0);
        let obstacle = program.obstacle();
        let words = match &obstacle {
            None => format!(
                "libvirt (6.5 and later) runs {shown} itself at every call of {driver}, beside hookmux and without a limit"
            ),
            Some(obstacle) => format!(
                "libvirt (6.5 and later) would run {shown} itself at every call of {driver}, and every call fails because of it: it {obstacle}"
            ),
        };
        let fix = match (&obstacle, is_empty) {
            (_, true) => Fix::run(&words!["rm", path]),
            (Some(_), false) => Fix::run(&words!["chmod", "a-x", path]),
            (None, false) => survey.register(path).into(),
        };
        findings.add(Code::LooseExecutable, path, words, fix);
    }
}

/// Reports a script that runs the per-guest tree itself, so that hookmux doesn't.
fn tree_left_alone(survey: &Survey<'_>, installed: &Installed, findings: &mut Findings) {
    let driver = installed.driver;
    let word = survey.settings.tree.mention(&survey.settings.hooks_dir, driver);
    let has_tree = survey.scripts.iter().any(|script| script.place == ScriptPlace::Tree(driver));
    let of_main = (installed.main == DriverEntry::Foreign && installed.beside.is_some())
        .then(|| installed.path.clone());
    for script in installed.adopted.iter().cloned().chain(of_main) {
        let is_active = directory::state(&script) == EntryState::Active;
        if has_tree && is_active && adopted::runs_tree(&script, &word) {
            let words = format!(
                "{} mentions {word}: hookmux leaves the scripts there to it, so that none runs twice, and doesn't supervise them; if it does nothing else, hookmux can replace it",
                script.display()
            );
            let fix = Fix::run(&words!["chmod", "a-x", &script]);
            findings.add(Code::TreeLeftAlone, &script, words, fix);
        }
    }
}

/// Reports an adopted script that decides by its own name, which is another one now.
fn own_name(survey: &Survey<'_>, installed: &Installed, findings: &mut Findings) {
    let driver = installed.driver;
    let Some(script) = installed.adopted.as_ref() else { return };
    if directory::state(script) != EntryState::Active {
        return;
    }
    let text = files::read_regular(script, MAX_SCRIPT_BYTES).unwrap_or_default();
    let Some((line, text)) = own_name::find_own_name_decision(&text) else { return };
    let words = format!(
        "{} decides by its own name, which was {driver} when libvirt called it (line {line}: {}): it may do nothing, which counts as success",
        script.display(),
        shorten_line(&text)
    );
    let fix = Fix::all(&[
        survey.words(&format!("uninstall --driver {driver}")),
        survey.words(&format!("install --driver {driver} --beside")),
    ]);
    findings.add(Code::OwnName, script, words, fix);
}
