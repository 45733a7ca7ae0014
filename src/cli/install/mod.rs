//! `hookmux install`: links in the hooks directory, never over a foreign file.

pub(super) mod adoption;
mod afterwards;
pub(super) mod copies;
pub(super) mod daemons;
pub(super) mod entries;
pub(super) mod installed;
mod kept;
pub(super) mod libvirt_version;
mod obstacle;
pub(super) mod overview;
pub(super) mod own_name;
mod purge;
mod put;
mod reload;
mod report;
mod site;
mod uninstall;
mod vfio_helper;

use super::args::InstallArgs;
use super::output::Output;
use super::{End, Place};
use crate::libvirt::driver::DEFAULT_HOOKS_DIR;
use crate::libvirt::{Driver, program};
use installed::{Installed, Main};
use report::Report;
use site::Site;
pub(super) use uninstall::uninstall;

/// Those that `install` makes links for where none is named. libxl and bhyve hosts name theirs.
const USUAL: [Driver; 4] = [Driver::Daemon, Driver::Qemu, Driver::Lxc, Driver::Network];

pub(super) fn install(
    place: &Place,
    arguments: &InstallArgs,
    output: &mut Output,
) -> anyhow::Result<End> {
    let hooks_dir = &place.surroundings.hooks_dir;
    let mut site = Site::new(hooks_dir)?;
    if arguments.renew {
        return Ok(renew(&site, arguments, output));
    }
    site.has_copies &= !arguments.beside && !arguments.link;
    let drivers = if arguments.driver.is_empty() {
        usual(&site, arguments)
    } else {
        arguments.driver.clone()
    };
    arguments.reload.check()?;
    let mut report = Report::default();
    // all are looked at before anything is changed
    let places: Vec<Installed> =
        drivers.iter().map(|driver| installed::look(hooks_dir, *driver, &site.binary)).collect();
    for installed in &places {
        report.problems.extend(obstacle::obstacle(&site, installed, arguments));
    }
    let adoption = adoption::look(place, arguments, &places, output);
    site.keeps_helper = adoption.keeps_helper;
    let told = if arguments.force { &mut report.notes } else { &mut report.problems };
    told.extend(adoption.problems);
    report.notes.extend(adoption.notes);
    if arguments.dry_run {
        for (driver, path, action, words) in adoption.would {
            report.did(driver, &path, action, words);
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
            put::beside(hooks_dir, installed, &site.binary, &mut report)?;
        } else {
            put::main(&site, installed, &mut report)?;
        }
    }
    afterwards::notes(place, &places, &site.binary, &mut report);
    afterwards::tell_daemons(place, &drivers, "install", &arguments.reload, &mut report, output)?;
    Ok(report.show(arguments.output.format, output))
}

/// The drivers that are meant where none is named: the usual ones; and for `--link`, which is about
/// entries that are there, those.
fn usual(site: &Site, arguments: &InstallArgs) -> Vec<Driver> {
    let has_entry = |driver: &Driver| {
        let installed = installed::look(&site.hooks_dir, *driver, &site.binary);
        matches!(installed.main, Main::Ours(_) | Main::OursDangling(_))
    };
    if arguments.link && !arguments.adopt {
        return Driver::ALL.into_iter().filter(has_entry).collect();
    }
    USUAL.to_vec()
}

/// Renews the copies, and links the entries that lead to the shared program to copies. All else is
/// left as it is: what isn't hookmux's, entries in other places, drivers without an entry.
fn renew(site: &Site, arguments: &InstallArgs, output: &mut Output) -> End {
    let mut report = Report::default();
    if !site.has_copies {
        report.notes.push(format!(
            "There is nothing to renew: copies are kept for the entries in {DEFAULT_HOOKS_DIR}, and made of {}.",
            program::PATH
        ).into());
        return report.show(arguments.output.format, output);
    }
    let drivers =
        if arguments.driver.is_empty() { Driver::ALL.to_vec() } else { arguments.driver.clone() };
    for driver in drivers {
        let installed = installed::look(&site.hooks_dir, driver, &site.binary);
        if let Err(error) = put::renew(site, &installed, &mut report) {
            report.problems.push(format!("{error:#}").into());
        }
    }
    report.show(arguments.output.format, output)
}
