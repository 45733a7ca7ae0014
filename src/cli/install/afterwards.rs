//! What follows after the entries were changed: notes, and the daemons that have to look for their hook
//! programs again.

use std::env;
use std::path::Path;

use anyhow::Context;

use super::installed::{self, DriverEntry, Installed};
use super::reload;
use super::report::InstallReport;
use crate::cli::CommandPlace;
use crate::cli::args::ReloadArgs;
use crate::cli::json::install::LinkAction;
use crate::cli::output::Output;
use crate::cli::remark::Remark;
use crate::cli::rights;
use crate::command::Fix;
use crate::config::Surroundings;
use crate::hook::adopted;
use crate::libvirt::Driver;
use crate::repair::{OwnPaths, RepairTarget};
use crate::search::directory;
use crate::trust::Trust;

/// Reloads the daemons of these drivers if that is asked for, and finds those that still have to look for
/// their hook programs.
///
/// # Errors
/// hookmux's own file can't be found.
pub(super) fn reload_daemons(
    place: &CommandPlace,
    drivers: &[Driver],
    word: &str,
    arguments: &ReloadArgs,
    report: &mut InstallReport,
    output: &mut Output,
) -> anyhow::Result<()> {
    let Surroundings { hooks_dir, user, .. } = &place.surroundings;
    let daemons = |drivers: &[Driver]| reload::of_drivers(hooks_dir, *user, drivers);
    if !arguments.reload {
        report.daemons = daemons(&report.changed());
        return Ok(());
    }
    let settings = place.load(output).settings;
    let binary = env::current_exe().context("hookmux's own file can't be found")?;
    let entry = installed::look(hooks_dir, Driver::Daemon, &binary);
    let is_called = matches!(entry.main, DriverEntry::Ours(_)) || entry.beside.is_some();
    let leaves_notes = is_called && (*user == 0 || settings.session);
    let named = drivers.iter().flat_map(|driver| ["--driver", driver.name()]);
    let again: Vec<&str> = [word, "--reload"].into_iter().chain(named).collect();
    let options = reload::ReloadOptions {
        notes: leaves_notes.then_some(&settings.runtime_dir),
        timeout: arguments.reload_timeout,
        again: Fix::hookmux(hooks_dir, &again),
    };
    report.is_reloaded = true;
    report.reloads = reload::reload(daemons(drivers), &options);
    if report.reloads.is_empty() {
        // a daemon of root's may be there, and this user can't send it a signal
        match reload::of_drivers(hooks_dir, 0, drivers).first() {
            Some(of_root) => report.problems.push(Remark::followed_by(
                &format!("{} is root's, and can't be reloaded by this user", of_root.name),
                Some(rights::ask_as_root()),
            )),
            None => report.notes.push(reload::NO_DAEMON.to_owned().into()),
        }
    }
    let still = report.reloads.iter().filter(|reloads| !reloads.is_good());
    report.daemons = still.map(|reloads| reloads.daemon.clone()).collect();
    Ok(())
}

/// Adds notes about what was installed.
pub(super) fn notes(
    place: &CommandPlace,
    places: &[Installed],
    binary: &Path,
    report: &mut InstallReport,
) {
    if places.iter().any(|installed| installed.driver == Driver::Network) {
        report.notes.push("libvirt marks every network that has a hook as tainted (hook-script): that is a mark, and changes nothing.".to_owned().into());
    }
    for loose in places.iter().flat_map(|installed| &installed.loose) {
        report.notes.push(format!("{} is run by libvirt itself, at every call and without a limit: move it into an event's directory.", loose.display()).into());
    }
    let mut trust = Trust::new(place.surroundings.user);
    if let Err(refusal) = trust.file(binary) {
        report.notes.push(format!("{refusal}: whoever can change that can change what libvirt runs. Install hookmux in /usr/sbin.").into());
    } else if !["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .any(|dir| binary.parent() == Some(Path::new(dir)))
    {
        report.notes.push(format!(
            "{} is outside of /usr/sbin and /usr/bin: where AppArmor confines libvirt, it may not run it.",
            binary.display()
        ).into());
    }
    for change in report.changes.iter().filter(|change| change.action == LinkAction::Adopted) {
        let Some(driver) = change.driver else { continue };
        let script = adopted::place(&place.surroundings.hooks_dir, driver);
        let state = directory::state(&script);
        if let Some(reason) = state.reason() {
            report.notes.push(
                format!("{} didn't run before, and doesn't now: {reason}", script.display()).into(),
            );
            continue;
        }
        report.notes.push(
            format!(
                "Its `$0` is {} now: a script that looks at its own name has to know that.",
                script.display()
            )
            .into(),
        );
        if let Err(refusal) = trust.file(&script) {
            let hooks_dir = &place.surroundings.hooks_dir;
            let fix = OwnPaths::of_hooks_dir(hooks_dir, place.surroundings.user)
                .fix(&[RepairTarget::at(&script)]);
            let words =
                format!("{} will be refused, and count as failed: {refusal}", script.display());
            report.notes.push(Remark::followed_by(&words, fix));
        }
    }
}
