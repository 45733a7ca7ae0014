//! `check --entries`: only checks whether libvirt still calls hookmux where it was installed.

use std::path::PathBuf;

use super::finding::{Code, Findings, Fix};
use super::report;
use crate::cli::args::Format;
use crate::cli::install::entries;
use crate::cli::install::installed::{self, DriverEntry};
use crate::cli::output::Output;
use crate::cli::{CommandEnd, CommandPlace};

/// Checks only the entries, for a unit that is started when one is written to. Prints nothing if nothing is
/// wrong.
pub(super) fn check(place: &CommandPlace, format: Format, output: &mut Output) -> CommandEnd {
    let hooks_dir = &place.surroundings.hooks_dir;
    let mut findings = Findings::default();
    for installed in installed::all(hooks_dir) {
        let driver = installed.driver;
        let (code, at, message, fix): (Code, PathBuf, String, Fix) =
            match (&installed.main, installed.overwriting_program()) {
                (_, Some(script)) => (
                    Code::OverwrittenEntry,
                    installed.path.clone(),
                    entries::describe(&installed, script),
                    entries::adopt_command(hooks_dir, driver),
                ),
                (DriverEntry::Dangling(target), None) => (
                    Code::DanglingInstall,
                    installed.path.clone(),
                    format!(
                        "{} leads to {}, which is not there: libvirt runs nothing for {driver}",
                        installed.path.display(),
                        target.display()
                    ),
                    Fix::hookmux(hooks_dir, &["install", "--driver", driver.name()]),
                ),
                _ => continue,
            };
        findings.add(code, &at, message, fix);
    }
    let findings = findings.sorted();
    if format == Format::Json {
        report::show(&findings, hooks_dir, format, output);
    } else {
        for finding in &findings {
            output.print_error(&format!("{}; to correct it: {}", finding.message, finding.fix));
        }
    }
    if findings.is_empty() { CommandEnd::Good } else { CommandEnd::Problem }
}
