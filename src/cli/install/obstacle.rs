//! Finds what keeps a driver's entry from being made. All drivers are checked before anything is changed.

use super::context::InstallContext;
use super::entries;
use super::installed::{BESIDE_NAME, DriverEntry, Installed};
use crate::cli::args::InstallArgs;
use crate::cli::remark::Remark;
use crate::command::Fix;
use crate::libvirt::Driver;

/// Returns the command that removes one driver's entry.
fn uninstall_one(context: &InstallContext, driver: Driver) -> Fix {
    Fix::hookmux(&context.hooks_dir, &["uninstall", "--driver", driver.name()])
}

/// Returns why this driver can't be installed as asked.
pub(super) fn obstacle(
    context: &InstallContext,
    installed: &Installed,
    arguments: &InstallArgs,
) -> Option<Remark> {
    let path = installed.path.display();
    match (&installed.main, arguments.beside) {
        (DriverEntry::NotAFile, _) => {
            Some(format!("{path} is neither a file nor a link: move it away").into())
        }
        (DriverEntry::Ours(_) | DriverEntry::Dangling(_), true) => Some(
            format!("{path} is hookmux already: beside itself it would run every hook twice")
                .into(),
        ),
        (DriverEntry::Foreign, true) if installed.leads_to_copy() => {
            let fix = entries::adopt_command(&context.hooks_dir, installed.driver);
            let words = format!(
                "{path} leads to a program that was written over hookmux: `{fix}` keeps it, and so does `{}`",
                uninstall_one(context, installed.driver)
            );
            Some(Remark::with_fix(words, fix))
        }
        (_, true) => {
            let place =
                installed.path.with_file_name(format!("{}.d", installed.driver)).join(BESIDE_NAME);
            let is_taken = installed.beside.is_none() && place.symlink_metadata().is_ok();
            is_taken.then(|| format!("{} is somebody else's: move it away", place.display()).into())
        }
        (_, false) if installed.beside.is_some() => {
            let fix = uninstall_one(context, installed.driver);
            let words = format!("hookmux is called beside {path} already; `{fix}` first");
            Some(Remark::with_fix(words, fix))
        }
        (DriverEntry::Foreign, false)
            if !arguments.adopt && installed.overwriting_program().is_some() =>
        {
            installed.overwriting_program().map(|script| {
                let words = format!(
                    "{}; --adopt keeps that program as a hook, and `{}` leaves it libvirt's",
                    entries::describe(installed, script),
                    uninstall_one(context, installed.driver)
                );
                Remark::with_fix(
                    words,
                    entries::adopt_command(&context.hooks_dir, installed.driver),
                )
            })
        }
        (DriverEntry::Foreign, false) if !arguments.adopt => {
            let words = format!(
                "{path} is somebody else's; --adopt keeps it as a hook of hookmux's, --beside leaves it libvirt's main script"
            );
            Some(Remark::with_fix(
                words,
                entries::adopt_command(&context.hooks_dir, installed.driver),
            ))
        }
        (_, false) => {
            let copy = installed.copy.as_ref().filter(|copy| !copy.is_ours);
            copy.filter(|_| context.has_copies && !installed.leads_to_copy()).map(|copy| {
                format!("{} is somebody else's: move it away", copy.path.display()).into()
            })
        }
    }
}
