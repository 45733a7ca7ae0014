//! Entries of the hooks directory that were hookmux, and that somebody has overwritten with another
//! program. That was done on purpose, so hookmux reports it and never undoes it by itself.

use std::path::Path;

use super::copies;
use super::installed::{self, Installed};
use crate::cli::CommandPlace;
use crate::cli::output::Output;
use crate::command::Fix;
use crate::libvirt::Driver;

/// Returns the overwritten entries; none if the hooks directory uses no copies.
pub(crate) fn overwritten(hooks_dir: &Path) -> Vec<Installed> {
    if !copies::are_for(hooks_dir) {
        return Vec::new();
    }
    installed::all(hooks_dir)
        .into_iter()
        .filter(|installed| installed.overwriting_program().is_some())
        .collect()
}

/// Describes what happened to an entry.
pub(crate) fn describe(installed: &Installed, script: &Path) -> String {
    let entry = installed.path.display();
    let place = if script == installed.path {
        format!("{entry} was hookmux, and somebody has put another program there")
    } else {
        format!(
            "{entry} was hookmux, and somebody has written another program to {}",
            script.display()
        )
    };
    format!("{place}: libvirt runs that for {}, and no hook of hookmux", installed.driver)
}

/// Returns the command that adopts the program that was written.
pub(crate) fn adopt_command(hooks_dir: &Path, driver: Driver) -> Fix {
    Fix::hookmux(hooks_dir, &["install", "--adopt", "--driver", driver.name()])
}

/// Warns about overwritten entries, before a command prints anything else.
pub(crate) fn warn(place: &CommandPlace, output: &mut Output) {
    for installed in overwritten(&place.surroundings.hooks_dir) {
        if let Some(script) = installed.overwriting_program() {
            output.print_error(&format!(
                "{}; `{}` makes both run",
                describe(&installed, script),
                adopt_command(&place.surroundings.hooks_dir, installed.driver)
            ));
        }
    }
}
