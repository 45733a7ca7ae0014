//! What an installation has to know: the hooks directory, and where its entries should lead.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::copies;
use super::report::InstallReport;
use crate::libvirt::{Driver, program};
use crate::machine::own_binary;

/// The hooks directory, and the program that its entries should lead to.
pub(super) struct InstallContext {
    pub hooks_dir: PathBuf,
    /// The program that is running; `/usr/sbin/hookmux` if that leads to it.
    pub binary: PathBuf,
    /// Whether each driver has a copy of its own.
    pub has_copies: bool,
    /// Whether the VFIO helper continues to run its own tree.
    pub keeps_helper: bool,
}

impl InstallContext {
    /// # Errors
    /// hookmux's own file can't be found.
    pub(super) fn new(hooks_dir: &Path) -> anyhow::Result<InstallContext> {
        let binary = env::current_exe().context("hookmux's own file can't be found")?;
        let is_source = copies::is_source(&binary);
        Ok(InstallContext {
            hooks_dir: hooks_dir.to_path_buf(),
            has_copies: is_source && copies::are_for(hooks_dir),
            keeps_helper: false,
            binary: if is_source { PathBuf::from(program::PROGRAM_PATH) } else { binary },
        })
    }

    /// Makes or renews the driver's copy, if it has one. Returns where the entry should lead: to the copy, or
    /// to the program itself if no copy can be made.
    pub(super) fn target(&self, driver: Driver, report: &mut InstallReport) -> PathBuf {
        if !self.has_copies {
            return self.binary.clone();
        }
        let copy = program::copy_of(driver);
        if own_binary::is_hookmux(&copy) && copies::is_current(&copy) {
            return copy;
        }
        if report.is_dry_run {
            return copy;
        }
        match copies::make(driver) {
            Ok(()) => copy,
            Err(error) => {
                report.notes.push(format!(
                    "{} can't be made ({error}): the entry leads to {}, and whoever writes through it overwrites the program of all drivers.",
                    copy.display(),
                    self.binary.display()
                ).into());
                self.binary.clone()
            }
        }
    }
}
