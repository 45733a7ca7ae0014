//! Hooks at events and calls that this host's libvirt is too old or too new for.

use std::path::Path;

use super::finding::{Code, Findings};
use super::survey::{Script, Spot, Survey};
use crate::cli::hooks::events;
use crate::cli::install::libvirt_version::{LibvirtVersion, spans};
use crate::libvirt::{Driver, operation};
use crate::registry::called;
use crate::search::State;

pub(super) fn examine(survey: &Survey<'_>, findings: &mut Findings) {
    let Some(libvirt) = survey.libvirt else { return };
    for script in survey.scripts.iter().filter(|script| script.state == State::Active) {
        match &script.spot {
            Spot::Event(event) => of_event(survey, libvirt, event, &script.path, findings),
            Spot::Tree(driver) => of_tree(survey, libvirt, *driver, script, findings),
            Spot::Adopted(_) => {}
        }
    }
    for registration in survey.registrations.iter().filter(|one| one.enabled) {
        for event in &registration.triggers.events {
            of_event(survey, libvirt, event, &registration.source, findings);
        }
        for pattern in &registration.triggers.calls {
            let since = called::since(pattern);
            if !since.is_empty() && !since.iter().any(|since| spans(since, libvirt)) {
                let why = never(libvirt, &since);
                told(survey, &pattern.to_string(), &why, &registration.source, findings);
            }
        }
    }
}

fn never(libvirt: LibvirtVersion, since: &[&str]) -> String {
    format!("libvirt {libvirt} never calls it, {} does", since.join(" or "))
}

fn of_event(
    survey: &Survey<'_>,
    libvirt: LibvirtVersion,
    event: &str,
    path: &Path,
    findings: &mut Findings,
) {
    if let Some(why) = events::never(event, libvirt) {
        told(survey, event, &why, path, findings);
    }
}

/// `<driver>.d/GUEST/OPERATION/SUB/script`, or without the last.
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
        let why = never(libvirt, &[row.since]);
        told(survey, &format!("{driver}'s {}", row.name), &why, &script.path, findings);
    }
}

fn told(survey: &Survey<'_>, moment: &str, why: &str, path: &Path, findings: &mut Findings) {
    let words = format!("{} never runs at {moment} on this host: {why}", survey.label(path));
    let fix = "another event in its place: `hookmux events` shows those that fire here";
    findings.add(Code::NeverHere, path, words, fix);
}
