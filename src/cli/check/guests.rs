//! Finds directories of the per-guest tree with names that no guest has, and conditions that none meets: their
//! hooks never run.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;

use super::finding::{Code, Findings, Fix, quoted, words};
use super::survey::{ScriptPlace, Survey};
use crate::cli::guests::defined;
use crate::config::Registration;
use crate::config::suggest::did_you_mean;
use crate::config::values::Patterns;
use crate::libvirt::Driver;
use crate::registry::matched_calls;

pub(super) fn examine(survey: &Survey<'_>, findings: &mut Findings) {
    for driver in Driver::ALL {
        let Some(known) = defined(&survey.settings.hooks_dir, driver) else { continue };
        let base = survey.settings.tree_of(driver);
        let of_tree =
            survey.scripts.iter().filter(|script| script.place == ScriptPlace::Tree(driver));
        let names: BTreeSet<&OsStr> = of_tree
            .filter_map(|script| script.path.strip_prefix(&base).ok()?.iter().next())
            .collect();
        for name in names {
            if !known.iter().any(|known| name == known.as_str()) {
                unknown(survey, driver, &base.join(name), &known, findings);
            }
        }
    }
    for registration in survey.registrations.iter().filter(|one| one.enabled) {
        condition(survey, registration, findings);
    }
}

/// How many names of guests are told.
const MAX_TOLD: usize = 6;

/// Reports a condition on the name that no defined guest or network meets.
pub(super) fn condition(survey: &Survey<'_>, registration: &Registration, findings: &mut Findings) {
    let Some(patterns) = &registration.when.name else { return };
    let drivers: BTreeSet<Driver> = matched_calls::of(&registration.triggers)
        .into_iter()
        .map(|call| call.driver)
        .filter(|driver| *driver != Driver::Daemon)
        .filter(|driver| {
            registration.when.driver.as_ref().is_none_or(|own| own.match_value(driver.name()))
        })
        .collect();
    let known: BTreeSet<String> = drivers
        .iter()
        .filter_map(|driver| defined(&survey.settings.hooks_dir, *driver))
        .flatten()
        .collect();
    if known.is_empty() || known.iter().any(|name| patterns.match_value(name)) {
        return;
    }
    let source = &registration.source;
    let lower = Patterns(patterns.0.iter().map(|pattern| pattern.to_lowercase()).collect());
    let similar = known.iter().find(|name| lower.match_value(&name.to_lowercase()));
    let similar = similar.or_else(|| {
        let wanted = patterns.0.iter().find(|pattern| !pattern.starts_with('!'))?;
        let found = did_you_mean(wanted, known.iter().map(String::as_str))?;
        known.get(found)
    });
    let hint = similar.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
    let told: Vec<&str> = known.iter().take(MAX_TOLD).map(String::as_str).collect();
    let more = known.len().saturating_sub(told.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let what = match drivers.iter().all(|driver| *driver == Driver::Network) {
        true => "network",
        false => "guest",
    };
    let words = format!(
        "{}: no {what} that libvirt has defined has a name like `{patterns}` (`when: name`); there are {}{more}{hint}",
        survey.label(source),
        told.join(", "),
    );
    let fix = format!("define such a {what}, or correct `when` in {}", quoted(source));
    findings.add(Code::NoSuchGuest, source, words, fix);
}

fn unknown(
    survey: &Survey<'_>,
    driver: Driver,
    path: &Path,
    known: &[String],
    findings: &mut Findings,
) {
    let (base, name) = (path.parent().unwrap_or(path), path.file_name().unwrap_or_default());
    let what = if driver == Driver::Network { "network" } else { "guest" };
    let shown = name.to_string_lossy();
    let lower = shown.to_lowercase();
    let similar = known
        .iter()
        .find(|known| known.to_lowercase() == lower)
        .map(String::as_str)
        .or_else(|| did_you_mean(&shown, known.iter().map(String::as_str)));
    let (hint, fix) = match similar {
        Some(similar) => (
            format!("; did you mean {similar}?"),
            Fix::run(&words!["mv", path, &base.join(similar)]),
        ),
        None => {
            let fix = format!("define a {what} called {shown}, or remove {}", quoted(path)).into();
            (String::new(), fix)
        }
    };
    let words = format!(
        "{} has scripts, and libvirt has no {what} of that name defined{hint}",
        survey.label(path)
    );
    findings.add(Code::UnknownGuest, path, words, fix);
}
