//! `hookmux install`: links in the hooks directory, never over a foreign file.

pub(super) mod adoption;
mod afterwards;
mod context;
pub(super) mod copies;
pub(super) mod daemons;
pub(super) mod entries;
pub(super) mod installed;
mod kept;
pub(super) mod libvirt_version;
mod obstacle;
pub(super) mod own_name;
mod purge;
mod put;
mod reload;
mod report;
mod uninstall;
mod vfio_helper;

use std::path::Path;

use super::args::InstallArgs;
use super::output::Output;
use super::{CommandEnd, CommandPlace};
use crate::libvirt::driver::DEFAULT_HOOKS_DIR;
use crate::libvirt::{Driver, program};
use context::InstallContext;
use installed::{DriverEntry, Installed};
use report::InstallReport;
pub(super) use uninstall::uninstall;

/// The drivers that `install` makes links for if none is named. Hosts with libxl or bhyve name theirs.
const USUAL: [Driver; 4] = [Driver::Daemon, Driver::Qemu, Driver::Lxc, Driver::Network];

pub(super) fn install(
    place: &CommandPlace,
    arguments: &InstallArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let hooks_dir = &place.surroundings.hooks_dir;
    let mut context = InstallContext::new(hooks_dir)?;
    if arguments.renew {
        return Ok(renew(&context, arguments, output));
    }
    context.has_copies &= !arguments.beside && !arguments.link;
    let drivers = if arguments.driver.is_empty() {
        usual(&context, arguments)
    } else {
        arguments.driver.clone()
    };
    arguments.reload.check()?;
    let mut report = InstallReport::new(arguments.dry_run);
    // all are checked before anything is changed
    let places: Vec<Installed> =
        drivers.iter().map(|driver| installed::look(hooks_dir, *driver, &context.binary)).collect();
    for installed in &places {
        report.problems.extend(obstacle::obstacle(&context, installed, arguments));
    }
    let adoption = adoption::look(place, arguments, &places, output);
    context.keeps_helper = adoption.keeps_helper;
    let messages = if arguments.force { &mut report.notes } else { &mut report.problems };
    messages.extend(adoption.problems);
    report.notes.extend(adoption.notes);
    // a slip of the pen in --hooks-dir is seen at once
    if !hooks_dir.exists() && hooks_dir != Path::new(DEFAULT_HOOKS_DIR) {
        let made = if arguments.dry_run { "would be made" } else { "is new" };
        report.notes.push(
            format!("{} {made}: libvirt looks for hooks in {DEFAULT_HOOKS_DIR}, unless it was built with another directory.", hooks_dir.display()).into(),
        );
    }
    if arguments.dry_run {
        for ((driver, path, action, words), installed) in adoption.preview.into_iter().zip(&places)
        {
            // what is hookmux's already may be of another version, or lead elsewhere than it should
            match (&installed.main, arguments.beside) {
                (DriverEntry::Ours(_), false) => put::main(&context, installed, &mut report)?,
                _ => report.add(driver, &path, action, words),
            }
        }
        report.notes.push("nothing was changed: --dry-run".to_owned().into());
        return Ok(report.show(arguments.output.format, output));
    }
    if !report.problems.is_empty() {
        report.problems.push("nothing was changed".to_owned().into());
        return Ok(report.show(arguments.output.format, output));
    }
    put::make_directory(hooks_dir)?;
    for installed in &places {
        if arguments.beside {
            put::beside(hooks_dir, installed, &context.binary, &mut report)?;
        } else {
            put::main(&context, installed, &mut report)?;
        }
    }
    afterwards::notes(place, &places, &context.binary, &mut report);
    afterwards::reload_daemons(place, &drivers, "install", &arguments.reload, &mut report, output)?;
    Ok(report.show(arguments.output.format, output))
}

/// Returns the drivers if none is named: the usual ones, or for `--link` those that have an entry.
fn usual(context: &InstallContext, arguments: &InstallArgs) -> Vec<Driver> {
    let has_entry = |driver: &Driver| {
        let installed = installed::look(&context.hooks_dir, *driver, &context.binary);
        matches!(installed.main, DriverEntry::Ours(_) | DriverEntry::Dangling(_))
    };
    if arguments.link && !arguments.adopt {
        return Driver::ALL.into_iter().filter(has_entry).collect();
    }
    USUAL.to_vec()
}

/// Renews the copies, and links the entries that lead to the shared program to copies. Nothing else is
/// changed: not what isn't hookmux's, not entries in other places, not drivers without an entry.
fn renew(context: &InstallContext, arguments: &InstallArgs, output: &mut Output) -> CommandEnd {
    let mut report = InstallReport::new(arguments.dry_run);
    if !context.has_copies {
        report.notes.push(format!(
            "There is nothing to renew: copies are kept for the entries in {DEFAULT_HOOKS_DIR}, and made of {}.",
            program::PROGRAM_PATH
        ).into());
        return report.show(arguments.output.format, output);
    }
    let drivers =
        if arguments.driver.is_empty() { Driver::ALL.to_vec() } else { arguments.driver.clone() };
    for driver in drivers {
        let installed = installed::look(&context.hooks_dir, driver, &context.binary);
        if let Err(error) = put::renew(context, &installed, &mut report) {
            report.problems.push(format!("{error:#}").into());
        }
    }
    if arguments.dry_run {
        report.notes.push("nothing was changed: --dry-run".to_owned().into());
    }
    report.show(arguments.output.format, output)
}
