//! Entries of the hooks directory that were hookmux's, and that somebody wrote another program over.
//! Who did so meant it: it is told, and never put back by itself.

use std::path::{Path, PathBuf};

use super::copies;
use super::installed::{self, Installed, Main};
use crate::cli::args::Format;
use crate::cli::check::finding::{Code, Findings};
use crate::cli::check::report;
use crate::cli::output::Output;
use crate::cli::{End, Place};
use crate::command::Fix;
use crate::libvirt::Driver;

/// The entries that are written over; none where no copies are kept.
pub fn overwritten(hooks_dir: &Path) -> Vec<Installed> {
    if !copies::are_for(hooks_dir) {
        return Vec::new();
    }
    installed::all(hooks_dir)
        .into_iter()
        .filter(|installed| installed.overwritten_by().is_some())
        .collect()
}

/// What has happened to an entry.
pub fn words(installed: &Installed, script: &Path) -> String {
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

/// The way out.
pub fn way_out(hooks_dir: &Path, driver: Driver) -> Fix {
    Fix::hookmux(hooks_dir, &["install", "--adopt", "--driver", driver.name()])
}

/// Says so in the first lines of a command.
pub fn shout(place: &Place, output: &mut Output) {
    for installed in overwritten(&place.surroundings.hooks_dir) {
        if let Some(script) = installed.overwritten_by() {
            output.complain(&format!(
                "{}; `{}` makes both run",
                words(&installed, script),
                way_out(&place.surroundings.hooks_dir, installed.driver)
            ));
        }
    }
}

/// Looks at the entries alone, for a unit that is started when one is written to: silent where
/// nothing is wrong.
pub fn check(place: &Place, format: Format, output: &mut Output) -> End {
    let hooks_dir = &place.surroundings.hooks_dir;
    let mut findings = Findings::default();
    for installed in installed::all(hooks_dir) {
        let driver = installed.driver;
        let (code, at, message, fix): (Code, PathBuf, String, Fix) =
            match (&installed.main, installed.overwritten_by()) {
                (_, Some(script)) => (
                    Code::OverwrittenEntry,
                    installed.path.clone(),
                    words(&installed, script),
                    way_out(hooks_dir, driver),
                ),
                (Main::OursDangling(target), None) => (
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
            output.complain(&format!("{}; the way out: {}", finding.message, finding.fix));
        }
    }
    if findings.is_empty() { End::Good } else { End::Problem }
}
