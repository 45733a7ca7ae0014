//! Finds hooks that are never called: unknown events, places in the per-guest tree for which libvirt makes
//! no call, drivers for which libvirt doesn't call hookmux.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use super::finding::{Code, Findings, Fix, with_suffix, words};
use super::survey::{ScriptPlace, Survey, Uncalled};
use crate::cli::hooks::vdsm;
use crate::cli::inventory::per_guest;
use crate::config::suggest::did_you_mean;
use crate::config::triggers::Triggers;
use crate::event;
use crate::libvirt::Driver;
use crate::registry::matched_calls;
use crate::search::EntryState;

pub(super) fn examine(survey: &Survey<'_>, findings: &mut Findings) {
    for directory in &survey.unknown_directories {
        unknown(directory, findings);
    }
    for (directory, scripts) in &survey.unfired_of_vdsm {
        unfired_of_vdsm(directory, scripts, findings);
    }
    for root in survey.settings.all_roots() {
        for row in event::TABLE {
            file_for_directory(survey, &root.join(row.name), findings);
        }
    }
    for uncalled in &survey.uncalled {
        report_never_called(survey, uncalled, findings);
    }
    report_without_driver(survey, findings);
}

/// Reports a directory that looks like an event's, but belongs to no event.
pub(super) fn unknown(directory: &Path, findings: &mut Findings) {
    let Some(name) = directory.file_name().and_then(OsStr::to_str) else { return };
    if let Some(own_event) = event::known_events_of(name).first() {
        return on_known_operation(directory, own_event, findings);
    }
    let shown = directory.display();
    if let Some((_, nearest)) = vdsm::WITHOUT_SOURCE.iter().find(|(vdsms, _)| *vdsms == name) {
        let nearest = nearest.map(|near| format!("; nearest is {near}")).unwrap_or_default();
        let words = format!(
            "{shown} is for a vdsm event for which libvirt makes no call: nothing in it runs{nearest}"
        );
        return findings.add(Code::UnknownEvent, directory, words, events_command());
    }
    let known = event::TABLE.iter().map(|row| row.name);
    let (hint, fix) = match did_you_mean(name, known) {
        Some(similar) => {
            let Some(fix) = renamed(directory, similar) else { return };
            (format!("did you mean {similar}?"), fix)
        }
        None => ("`hookmux events` shows all events".to_owned(), events_command()),
    };
    let words = format!("{shown} has not the name of an event: nothing in it runs; {hint}");
    findings.add(Code::UnknownEvent, directory, words, fix);
}

/// Returns the command that moves what lies in a directory into another one; `None` if nothing does.
fn move_content(directory: &Path, into: &Path) -> Option<Fix> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut entries: Vec<_> = entries.map(|entry| entry.path().into_os_string()).collect();
    if entries.is_empty() {
        return None;
    }
    entries.sort_unstable();
    let mut mv = words!["mv", "-n"];
    mv.extend(entries);
    mv.push(into.into());
    Some(Fix::run(&mv))
}

/// Reports hooks of vdsm's tree for which libvirt makes no call. The directory is vdsm's, and stays.
fn unfired_of_vdsm(directory: &Path, scripts: &[String], findings: &mut Findings) {
    let Some(name) = directory.file_name().and_then(OsStr::to_str) else { return };
    let (why, scripts) = (vdsm::why_never_called(name), scripts.join(", "));
    let words = format!("{}: {scripts} never runs: {why}", directory.display());
    findings.add(Code::NeverCalled, directory, words, events_command());
}

/// Returns what gives a directory the name of an event. It need not be there yet. `None` for an empty one beside the
/// right one: what was in it has been moved.
fn renamed(directory: &Path, event: &str) -> Option<Fix> {
    let right = directory.with_file_name(event);
    match (directory.is_dir(), right.symlink_metadata()) {
        (true, Err(_)) => Some(Fix::run(&words!["mv", directory, right])),
        // `mv` would put the directory into the other one
        (true, Ok(_)) => move_content(directory, &right),
        (false, _) => Some(format!("put it into {event}").into()),
    }
}

fn events_command() -> Fix {
    Fix::run(&["hookmux", "events"])
}

/// Reports a script that has the name of an event's directory.
fn file_for_directory(survey: &Survey<'_>, path: &Path, findings: &mut Findings) {
    if !path.exists() || path.is_dir() {
        return;
    }
    let words = format!(
        "{} is not a directory: the scripts of an event are in a directory with its name, and this file never runs",
        survey.label(path)
    );
    let aside = with_suffix(path, ".x");
    let fix = Fix::all(&[
        words!["mv", "-n", path, &aside],
        words!["mkdir", path],
        words!["mv", aside, path.join("10-script")],
    ]);
    findings.add(Code::NotADirectory, path, words, fix);
}

/// Reports `on_qemu_started` and the like: only operations that hookmux doesn't know fire such events.
fn on_known_operation(directory: &Path, own_event: &str, findings: &mut Findings) {
    let words = format!(
        "{} never runs: the operation is known, and fires {own_event}",
        directory.display()
    );
    let Some(fix) = renamed(directory, own_event) else { return };
    findings.add(Code::NeverCalled, directory, words, fix);
}

fn report_never_called(survey: &Survey<'_>, uncalled: &Uncalled, findings: &mut Findings) {
    let driver = uncalled.driver;
    let similar = per_guest::similar_call(driver, &uncalled.call);
    let label = survey.label(&uncalled.path);
    let (hint, fix) = match similar {
        Some(similar) => {
            let guest = uncalled.path.parent().and_then(Path::parent).unwrap_or(&uncalled.path);
            let right = guest.join(&similar);
            let above = right.parent().unwrap_or(guest);
            let fix = Fix::all(&[
                words!["mkdir", "-p", above],
                words!["mv", "-nT", &uncalled.path, &right],
            ]);
            (format!("; did you mean {similar}?"), fix)
        }
        None => (
            String::new(),
            format!("move it to one of {}", per_guest::call_names(driver).join(", ")).into(),
        ),
    };
    let words =
        format!("{label} is never called: libvirt has no {} for {driver}{hint}", uncalled.call);
    findings.add(Code::NeverCalled, &uncalled.path, words, fix);
}

/// Reports hooks of drivers for which libvirt doesn't call hookmux.
fn report_without_driver(survey: &Survey<'_>, findings: &mut Findings) {
    let called: Vec<Driver> = survey
        .installed
        .iter()
        .filter(|one| one.called_at().is_some())
        .map(|one| one.driver)
        .collect();
    if called.is_empty() {
        // this is reported already
        return;
    }
    let mut check = |path: &Path, label: &str, drivers: BTreeSet<Driver>| {
        let Some(first) = drivers.first() else { return };
        if drivers.iter().any(|driver| called.contains(driver)) {
            return;
        }
        let names: Vec<&str> = drivers.iter().map(|driver| driver.name()).collect();
        let words = format!("never runs: libvirt doesn't call hookmux for {}", names.join(", "));
        let fix = survey.command(&format!("install --driver {first}"));
        findings.add_alike(Code::HooksWithoutDriver, path, label, &words, fix);
    };
    for script in survey.scripts.iter().filter(|script| script.state == EntryState::Active) {
        let drivers = match &script.place {
            ScriptPlace::Event(event) => {
                let events = vec![event.clone()];
                drivers_of(&Triggers { events, ..Triggers::default() })
            }
            ScriptPlace::Tree(driver) | ScriptPlace::Adopted(driver) => BTreeSet::from([*driver]),
        };
        check(&script.path, &script.label, drivers);
    }
    for one in survey.registrations.iter().filter(|one| one.enabled) {
        let mut drivers = drivers_of(&one.triggers);
        if let Some(patterns) = &one.when.driver {
            drivers.retain(|driver| patterns.match_value(driver.name()));
        }
        check(&one.source, &survey.label(&one.source), drivers);
    }
}

fn drivers_of(triggers: &Triggers) -> BTreeSet<Driver> {
    matched_calls::of(triggers).into_iter().map(|call| call.driver).collect()
}
