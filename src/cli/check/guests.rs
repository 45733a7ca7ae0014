//! Finds directories of the per-guest tree with names that no guest has: their scripts never run.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;

use super::finding::{Code, Findings, Fix, quoted, words};
use super::survey::{ScriptPlace, Survey};
use crate::cli::guests::defined;
use crate::config::suggest::did_you_mean;
use crate::libvirt::Driver;

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
