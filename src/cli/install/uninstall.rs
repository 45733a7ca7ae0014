//! `hookmux uninstall`: removes the entries, and restores what was there before, byte for byte.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::afterwards::reload_daemons;
use super::put::remove_copy;
use super::report::InstallReport;
use crate::cli::args::UninstallArgs;
use crate::cli::install::installed::{self, DriverEntry, Installed};
use crate::cli::install::purge::{self, Purged};
use crate::cli::install::{copies, kept};
use crate::cli::json::install::LinkAction;
use crate::cli::output::Output;
use crate::cli::remark::Remark;
use crate::cli::{CommandEnd, CommandPlace, question};
use crate::command::Fix;
use crate::config;
use crate::libvirt::Driver;
use crate::trust::Trust;
use crate::undo::ledger::Ledger;
use crate::undo::owed::Owed;

pub(crate) fn uninstall(
    place: &CommandPlace,
    arguments: &UninstallArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let hooks_dir = &place.surroundings.hooks_dir;
    let binary = env::current_exe().context("hookmux's own file can't be found")?;
    arguments.reload.check()?;
    // before anything is changed
    let settings = arguments.purge.then(|| purge::settings(place)).transpose()?;
    let drivers =
        if arguments.driver.is_empty() { Driver::ALL.to_vec() } else { arguments.driver.clone() };
    let owed = owed(place, &drivers);
    let question =
        [owed.as_ref().map(|owed| owed.words.clone()), settings.as_ref().map(purge::question)];
    let question: Vec<String> = question.into_iter().flatten().collect();
    let is_answered = arguments.yes || arguments.dry_run || question.is_empty();
    let question = question.join(" ");
    if let Some(end) = question::ask(&question, is_answered, arguments.output.format, output) {
        return Ok(end);
    }
    let mut report = InstallReport::new(arguments.dry_run);
    report.notes.extend(owed);
    for driver in drivers.iter().copied() {
        let installed = installed::look(hooks_dir, driver, &binary);
        if let Some(beside) = &installed.beside {
            if !arguments.dry_run {
                fs::remove_file(beside)
                    .with_context(|| format!("{} can't be removed", beside.display()))?;
                // the directory, if it is empty
                let _ = beside.parent().map(fs::remove_dir);
            }
            report.add(driver, beside, LinkAction::Removed, "removed".to_owned());
        }
        uninstall_main(hooks_dir, &installed, &mut report)?;
    }
    if report.changes.is_empty() && report.problems.is_empty() {
        report.notes.push(format!("hookmux is not installed in {}.", hooks_dir.display()).into());
    } else if report.has_changed() && settings.is_none() {
        report
            .notes
            .push("Event directories and settings were left as they are.".to_owned().into());
    }
    if let Some(settings) = &settings {
        if report.problems.is_empty() {
            add_purged(purge::purge(settings, arguments.dry_run), &mut report);
        } else {
            report.problems.push("records and state were not removed".to_owned().into());
        }
    }
    if arguments.dry_run {
        report.notes.push("nothing was changed: --dry-run".to_owned().into());
        return Ok(report.show(arguments.output.format, output));
    }
    reload_daemons(place, &drivers, "uninstall", &arguments.reload, &mut report, output)?;
    Ok(report.show(arguments.output.format, output))
}

/// Says how many undos of these drivers are owed: without the entries, none of them runs at the end of a guest's
/// life.
fn owed(place: &CommandPlace, drivers: &[Driver]) -> Option<Remark> {
    let user = place.surroundings.user;
    let loaded = config::load(&place.surroundings, &mut Trust::new(user), false);
    let ledger = Ledger::new(&loaded.settings.runtime_dir);
    let owners = ledger.owners().unwrap_or_default();
    let entries = owners.iter().flat_map(|owner| ledger.of(owner).entries().0);
    let is_meant = |owed: &Owed| drivers.iter().any(|one| one.name() == owed.entry.driver);
    let count = entries.filter(is_meant).count();
    if count == 0 {
        return None;
    }
    let undos = if count == 1 { "undo is" } else { "undos are" };
    let [list, all] = [&["undo", "--list"][..], &["undo"]]
        .map(|words| Fix::hookmux(&place.surroundings.hooks_dir, words));
    let words = format!(
        "{count} {undos} owed, and won't run without hookmux's entries: `{list}` shows what hooks have set up for guests and networks, and `{all}`, with `--guest NAME` for one that runs, takes it back."
    );
    Some(Remark::with_fix(words, list))
}

fn add_purged(purged: Purged, report: &mut InstallReport) {
    for path in purged.removed {
        report.add_change(None, &path, LinkAction::Purged, "removed".to_owned());
    }
    report.problems.extend(purged.problems.into_iter().map(Remark::from));
    report.notes.extend(purged.kept.into_iter().map(|kept| format!("Kept: {kept}.").into()));
}

fn uninstall_main(
    hooks_dir: &Path,
    installed: &Installed,
    report: &mut InstallReport,
) -> anyhow::Result<()> {
    let (driver, path) = (installed.driver, &installed.path);
    let kept = installed.adopted.as_ref().or(installed.retired.as_ref());
    let mut is_moved = false;
    let mut others: Vec<PathBuf> = kept::earlier(hooks_dir, driver);
    others.extend(installed.retired.iter().filter(|one| Some(*one) != kept).cloned());
    match (&installed.main, kept) {
        _ if installed.overwriting_program().is_some() => {
            // it was written to be libvirt's script, and it is the newest one
            others.extend(kept.cloned());
            if let Some(copy) = installed.copy.as_ref().filter(|copy| !copy.is_ours) {
                let moved = match report.is_dry_run {
                    true => Ok(()),
                    false => copies::duplicate(&copy.path, path)
                        .and_then(|()| fs::remove_file(&copy.path)),
                };
                moved.with_context(|| {
                    format!("{} can't be moved to {}", copy.path.display(), path.display())
                })?;
                is_moved = true;
                let words = format!(
                    "is the script now that somebody had written over hookmux, to {}",
                    copy.path.display()
                );
                report.add(driver, path, LinkAction::Restored, words);
            }
        }
        (DriverEntry::Ours(_) | DriverEntry::Dangling(_) | DriverEntry::Missing, Some(kept)) => {
            if !report.is_dry_run {
                fs::rename(kept, path)
                    .with_context(|| format!("{} can't be put back", kept.display()))?;
            }
            report.add(
                driver,
                path,
                LinkAction::Restored,
                format!("is the script again that was kept as {}", kept.display()),
            );
        }
        (DriverEntry::Ours(_) | DriverEntry::Dangling(_), None) => {
            if !report.is_dry_run {
                fs::remove_file(path)
                    .with_context(|| format!("{} can't be removed", path.display()))?;
            }
            report.add(driver, path, LinkAction::Removed, "removed".to_owned());
        }
        (DriverEntry::Foreign | DriverEntry::NotAFile, Some(kept)) => {
            report.problems.push(format!(
                "{} is somebody else's by now, so {} was not put back: decide which of them is right",
                path.display(),
                kept.display()
            ).into());
        }
        (DriverEntry::Foreign | DriverEntry::NotAFile | DriverEntry::Missing, None) => {}
    }
    for other in others {
        report.notes.push(format!("{} is an earlier script, and stays.", other.display()).into());
    }
    // the entry was removed before, so it never led nowhere
    let is_there = installed.copy.as_ref().is_some_and(|copy| copy.path.symlink_metadata().is_ok());
    if is_there && !is_moved {
        remove_copy(installed, report)?;
    }
    if copies::are_for(hooks_dir) && !report.is_dry_run {
        copies::sweep(driver);
    }
    Ok(())
}
