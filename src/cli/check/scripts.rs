//! Checks scripts in event directories, in the per-guest tree and adopted ones: why one wouldn't run.

use std::fs;
use std::path::Path;

use super::content::{self, CheckedProgram};
use super::finding::{Code, Findings, Fix, empty_directory_into, words};
use super::survey::{Script, ScriptPlace, Survey};
use crate::cli::fixes;
use crate::repair::RepairTarget;
use crate::search::directory::leftover_reason;
use crate::search::{EntryState, companion};
use crate::trust::Trust;

pub(super) fn examine(survey: &Survey<'_>, findings: &mut Findings) {
    for script in &survey.scripts {
        check_file(survey, script, findings);
    }
}

fn check_file(survey: &Survey<'_>, script: &Script, findings: &mut Findings) {
    let (label, path) = (&script.label, &script.path);
    match &script.state {
        EntryState::Active => {
            report_left_behind_runs(script, findings);
            let is_of_tree = matches!(script.place, ScriptPlace::Tree(_));
            let checked = CheckedProgram { is_of_tree, ..CheckedProgram::at(survey, path, label) };
            content::startable(survey, &checked, findings);
            content::calls_libvirt(path, label, &detach(survey, script), findings);
        }
        EntryState::Masked(_) => {}
        EntryState::Disabled(_) => disabled(survey, script, findings),
        EntryState::NotExecutable => {
            report(survey, script, Code::NotExecutable, "has no x bit: it doesn't run", findings);
        }
        EntryState::Dangling => {
            let words = format!("is a link to nothing: {}", leads_to(path));
            report(survey, script, Code::DanglingLink, &words, findings);
        }
        EntryState::Skipped(_) => skipped(survey, script, findings),
    }
}

/// Reports what is not a hook but looks as if it was meant as one.
fn report(survey: &Survey<'_>, script: &Script, code: Code, words: &str, findings: &mut Findings) {
    let fix = fixes::for_state(&script.state, &script.path, survey.settings);
    let fix = fix.unwrap_or_else(|| Fix::run(&words!["ls", "-la", &script.path]));
    findings.add_alike(code, &script.path, &script.label, words, fix);
}

/// Reports a leftover in the per-guest tree, where any name runs, as with the community's helper.
fn report_left_behind_runs(script: &Script, findings: &mut Findings) {
    let path = &script.path;
    if !matches!(script.place, ScriptPlace::Tree(_)) {
        return;
    }
    let Some(why) = path.file_name().and_then(leftover_reason) else { return };
    let words = format!("is by its name {why}, but runs: the per-guest tree takes any name");
    let fix = Fix::run(&words!["chmod", "a-x", path]);
    findings.add_alike(Code::LeftBehindRuns, path, &script.label, &words, fix);
}

fn leads_to(path: &Path) -> String {
    match fs::read_link(path) {
        Ok(target) => format!("{} is not there", target.display()),
        Err(_) => "what it leads to is not there".to_owned(),
    }
}

fn detach(survey: &Survey<'_>, script: &Script) -> String {
    let event = match &script.place {
        ScriptPlace::Event(event) => event.as_str(),
        ScriptPlace::Tree(_) | ScriptPlace::Adopted(_) => "EVENT",
    };
    let add = format!("add script SCRIPT --event {event} --mode detached");
    format!(
        "move what calls libvirt to a script elsewhere, which runs afterwards: {}",
        survey.command(&add).text
    )
}

/// Reports a mask that hides nothing.
fn disabled(survey: &Survey<'_>, script: &Script, findings: &mut Findings) {
    let (label, path) = (&script.label, &script.path);
    let hides = |other: &Script| matches!(&other.state, EntryState::Masked(by) if by == path);
    if survey.scripts.iter().any(hides) {
        return;
    }
    if fs::metadata(path).is_ok_and(|file| file.is_file()) {
        if companion::is_empty_module(path) {
            return;
        }
        let words = "is empty: it does nothing, and disables nothing";
        findings.add_alike(Code::EmptyScript, path, label, words, Fix::run(&words!["rm", path]));
    } else {
        let words =
            format!("{label} is a link to /dev/null, and there is no script for it to disable");
        findings.add(Code::IdleMask, path, words, Fix::run(&words!["rm", path]));
    }
}

fn skipped(survey: &Survey<'_>, script: &Script, findings: &mut Findings) {
    let (label, path) = (&script.label, &script.path);
    let is_left = path.file_name().and_then(leftover_reason);
    let Ok(metadata) = fs::metadata(path) else { return };
    if let Some(why) = is_left {
        let words = format!("is skipped: by its name it is {why}");
        return report(survey, script, Code::LeftBehind, &words, findings);
    }
    if metadata.is_dir() {
        let words = format!("{label} is a directory: what lies in it never runs");
        let above = path.parent().unwrap_or(path);
        let fix = empty_directory_into(path, above);
        return findings.add(Code::Subdirectory, path, words, fix);
    }
    let is_null = fs::canonicalize(path).is_ok_and(|end| end == Path::new("/dev/null"));
    if metadata.is_file() || is_null {
        let refusal = Trust::new(survey.user).entry(path).err();
        let why = refusal.as_ref().map(|refusal| format!(" ({refusal})")).unwrap_or_default();
        let words = format!(
            "{label} looks as if it disabled a hook, but hides nothing: others than root could have put it there{why}"
        );
        let fix = refusal.and_then(|_| survey.ground().fix(&[RepairTarget::at(path)]));
        let fix = fix.unwrap_or_else(|| Fix::run(&words!["ls", "-la", path]));
        return findings.add(Code::UntrustedMask, path, words, fix);
    }
    let words = format!("{label} is not a regular file: it can't be a hook");
    findings.add(Code::NotRegular, path, words, Fix::run(&words!["rm", path]));
}
