//! Hooks at moments that don't come: events that nobody knows, places in the per-guest tree that
//! libvirt makes no call for, drivers that hookmux isn't called for.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;

use super::finding::{Code, Findings, Fix, with_end, words};
use super::survey::{Spot, Survey, Uncalled};
use crate::cli::hooks::vdsm;
use crate::cli::inventory::per_guest;
use crate::config::suggest::did_you_mean;
use crate::config::triggers::Triggers;
use crate::event;
use crate::libvirt::Driver;
use crate::registry::matched_calls;
use crate::search::EntryState;

pub(super) fn examine(survey: &Survey<'_>, findings: &mut Findings) {
    for directory in &survey.strangers {
        unknown(directory, findings);
    }
    for root in survey.settings.all_roots() {
        for row in event::TABLE {
            file_for_directory(survey, &root.join(row.name), findings);
        }
    }
    for uncalled in &survey.uncalled {
        never_called(survey, uncalled, findings);
    }
    without_driver(survey, findings);
}

/// A directory that was meant for an event, and is none's.
fn unknown(directory: &Path, findings: &mut Findings) {
    let Some(name) = directory.file_name().and_then(OsStr::to_str) else { return };
    if let Some(meant) = event::known_events_of(name).first() {
        return on_known_operation(directory, meant, findings);
    }
    let shown = directory.display();
    if let Some((_, nearest)) = vdsm::WITHOUT_SOURCE.iter().find(|(vdsms, _)| *vdsms == name) {
        let nearest = nearest.map(|near| format!("; nearest is {near}")).unwrap_or_default();
        let words = format!(
            "{shown} is for an event of vdsm's that libvirt makes no call for: nothing in it runs{nearest}"
        );
        return findings.add(Code::UnknownEvent, directory, words, events_command());
    }
    let known = event::TABLE.iter().map(|row| row.name);
    let (hint, fix) = match did_you_mean(name, known) {
        Some(meant) => (
            format!("did you mean {meant}?"),
            Fix::run(&words!["mv", directory, &directory.with_file_name(meant)]),
        ),
        None => ("`hookmux events` shows those there are".to_owned(), events_command()),
    };
    let words = format!("{shown} is no event's: nothing in it runs; {hint}");
    findings.add(Code::UnknownEvent, directory, words, fix);
}

fn events_command() -> Fix {
    Fix::run(&["hookmux", "events"])
}

/// A script in the place of its event's directory.
fn file_for_directory(survey: &Survey<'_>, path: &Path, findings: &mut Findings) {
    if !path.exists() || path.is_dir() {
        return;
    }
    let words = format!(
        "{} is no directory: an event's scripts lie in a directory of its name, and this never runs",
        survey.label(path)
    );
    let aside = with_end(path, ".x");
    let fix = Fix::all(&[
        words!["mv", "-n", path, &aside],
        words!["mkdir", path],
        words!["mv", aside, path.join("10-script")],
    ]);
    findings.add(Code::NotADirectory, path, words, fix);
}

/// `on_qemu_started`: only an operation that hookmux doesn't know fires such an event.
fn on_known_operation(directory: &Path, meant: &str, findings: &mut Findings) {
    let words =
        format!("{} never runs: the operation is known, and fires {meant}", directory.display());
    let fix = Fix::run(&words!["mv", directory, &directory.with_file_name(meant)]);
    findings.add(Code::NeverCalled, directory, words, fix);
}

fn never_called(survey: &Survey<'_>, uncalled: &Uncalled, findings: &mut Findings) {
    let driver = uncalled.driver;
    let meant = per_guest::meant_by(driver, &uncalled.moment);
    let label = survey.label(&uncalled.path);
    let (hint, fix) = match meant {
        Some(meant) => {
            let guest = uncalled.path.parent().and_then(Path::parent).unwrap_or(&uncalled.path);
            let right = guest.join(&meant);
            let above = right.parent().unwrap_or(guest);
            let fix = Fix::all(&[
                words!["mkdir", "-p", above],
                words!["mv", "-nT", &uncalled.path, &right],
            ]);
            (format!("; did you mean {meant}?"), fix)
        }
        None => (
            String::new(),
            format!("move it to one of {}", per_guest::moments(driver).join(", ")).into(),
        ),
    };
    let words =
        format!("{label} is never called: libvirt has no {} for {driver}{hint}", uncalled.moment);
    findings.add(Code::NeverCalled, &uncalled.path, words, fix);
}

/// Hooks all of whose drivers call somebody else, or nobody.
fn without_driver(survey: &Survey<'_>, findings: &mut Findings) {
    let called: Vec<Driver> = survey
        .installed
        .iter()
        .filter(|one| one.called_at().is_some())
        .map(|one| one.driver)
        .collect();
    if called.is_empty() {
        // that is said already
        return;
    }
    let mut check = |path: &Path, label: &str, drivers: BTreeSet<Driver>| {
        let Some(first) = drivers.first() else { return };
        if drivers.iter().any(|driver| called.contains(driver)) {
            return;
        }
        let names: Vec<&str> = drivers.iter().map(|driver| driver.name()).collect();
        let words =
            format!("{label} never runs: libvirt doesn't call hookmux for {}", names.join(", "));
        findings.add(
            Code::HooksWithoutDriver,
            path,
            words,
            survey.command(&format!("install --driver {first}")),
        );
    };
    for script in survey.scripts.iter().filter(|script| script.state == EntryState::Active) {
        let drivers = match &script.spot {
            Spot::Event(event) => {
                let events = vec![event.clone()];
                drivers_of(&Triggers { events, ..Triggers::default() })
            }
            Spot::Tree(driver) | Spot::Adopted(driver) => BTreeSet::from([*driver]),
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
    matched_calls::of(triggers).into_iter().map(|moment| moment.driver).collect()
}
