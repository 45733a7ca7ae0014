//! Finds hooks at events and calls for which this host's libvirt is too old or too new.

use std::path::Path;

use super::finding::{Code, Findings};
use super::survey::{Script, ScriptPlace, Survey};
use crate::cli::hooks::events;
use crate::cli::install::libvirt_version::{LibvirtVersion, spans};
use crate::config::Registration;
use crate::libvirt::{Driver, operation};
use crate::search::EntryState;

pub(super) fn examine(survey: &Survey<'_>, findings: &mut Findings) {
    let Some(libvirt) = survey.libvirt else { return };
    for script in survey.scripts.iter().filter(|script| script.state == EntryState::Active) {
        match &script.place {
            ScriptPlace::Event(event) => of_event(survey, libvirt, event, &script.path, findings),
            ScriptPlace::Tree(driver) => of_tree(survey, libvirt, *driver, script, findings),
            ScriptPlace::Adopted(_) => {}
        }
    }
    for registration in survey.registrations.iter().filter(|one| one.enabled) {
        examine_one(survey, registration, findings);
    }
}

/// Checks the events and calls of one registration.
pub(super) fn examine_one(
    survey: &Survey<'_>,
    registration: &Registration,
    findings: &mut Findings,
) {
    let Some(libvirt) = survey.libvirt else { return };
    for (moment, why) in events::never_here(&registration.triggers, libvirt) {
        report(survey, &moment, &why, &registration.source, findings);
    }
}

fn of_event(
    survey: &Survey<'_>,
    libvirt: LibvirtVersion,
    event: &str,
    path: &Path,
    findings: &mut Findings,
) {
    if let Some(why) = events::never(event, libvirt) {
        report(survey, event, &why, path, findings);
    }
}

/// Checks a script of the tree: `<driver>.d/GUEST/OPERATION/SUB/script`, or without SUB.
fn of_tree(
    survey: &Survey<'_>,
    libvirt: LibvirtVersion,
    driver: Driver,
    script: &Script,
    findings: &mut Findings,
) {
    let base = survey.settings.tree_of(driver);
    let Ok(below) = script.path.strip_prefix(base) else { return };
    let Some(operation) = below.components().nth(1) else { return };
    let row = operation::TABLE
        .iter()
        .find(|row| row.drivers.contains(&driver) && operation.as_os_str() == row.name);
    if let Some(row) = row.filter(|row| !spans(row.since, libvirt)) {
        let why = events::never_called(libvirt, &[row.since]);
        report(survey, &format!("{driver}'s {}", row.name), &why, &script.path, findings);
    }
}

fn report(survey: &Survey<'_>, moment: &str, why: &str, path: &Path, findings: &mut Findings) {
    let words = format!("never runs at {moment} on this host: {why}");
    let fix = "use another event: `hookmux events` shows those of this host";
    findings.add_alike(Code::NeverHere, path, &survey.label(path), &words, fix);
}
