//! Finds out what the hooks directory has under a driver's name, and to whom it belongs.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::copies::{self, DriverCopy};
use crate::hook::adopted;
use crate::libvirt::Driver;
use crate::machine::{files, own_binary};

/// hookmux's name in `<driver>.d/`, if it is called beside another main script.
pub(crate) const BESIDE_NAME: &str = "50-hookmux";

/// What libvirt finds under the driver's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DriverEntry {
    Missing,
    /// hookmux; the target of the link.
    Ours(PathBuf),
    /// A link to a hookmux that is gone.
    Dangling(PathBuf),
    /// A script or a link that isn't hookmux's.
    Foreign,
    /// Something that can't be a hook: neither a file nor a link.
    NotAFile,
}

/// What is installed for one driver.
#[derive(Clone, Debug)]
pub(crate) struct Installed {
    pub driver: Driver,
    pub path: PathBuf,
    pub main: DriverEntry,
    /// The driver's copy of hookmux, if this hooks directory uses copies.
    pub copy: Option<DriverCopy>,
    /// hookmux in `<driver>.d/`.
    pub beside: Option<PathBuf>,
    /// The script that hookmux has adopted.
    pub adopted: Option<PathBuf>,
    /// A script that hookmux replaces; kept for `uninstall`.
    pub retired: Option<PathBuf>,
    /// Executables in `<driver>.d/` that libvirt runs itself.
    pub loose: Vec<PathBuf>,
}

impl Installed {
    /// Returns the program that somebody has put in place of hookmux: written to its copy through the
    /// entry, or put in the entry's place. `None` if hookmux was never called, or still is.
    pub(crate) fn overwriting_program(&self) -> Option<&Path> {
        let copy = self.copy.as_ref().filter(|_| self.main == DriverEntry::Foreign)?;
        if self.leads_to_copy() {
            return (!copy.is_ours).then_some(&copy.path);
        }
        (copy.is_ours && self.beside.is_none()).then_some(&self.path)
    }

    /// Returns the path by which libvirt calls hookmux.
    pub(crate) fn called_at(&self) -> Option<&Path> {
        match self.main {
            DriverEntry::Ours(_) => Some(&self.path),
            _ => self.beside.as_deref().filter(|beside| beside.exists()),
        }
    }

    /// Tells whether the entry is a link to the driver's copy.
    pub(crate) fn leads_to_copy(&self) -> bool {
        let target_of = |path: &Path| fs::canonicalize(path).ok();
        self.copy.as_ref().is_some_and(|copy| {
            self.path.is_symlink() && target_of(&self.path) == target_of(&copy.path)
        })
    }
}

/// Looks at the entries of all drivers, for the program that is running.
pub(crate) fn all(hooks_dir: &Path) -> Vec<Installed> {
    Driver::ALL.into_iter().map(|driver| own(hooks_dir, driver)).collect()
}

/// Looks at one driver's entry, for the program that is running.
pub(crate) fn own(hooks_dir: &Path, driver: Driver) -> Installed {
    look(hooks_dir, driver, &env::current_exe().unwrap_or_default())
}

/// Looks at one driver's entry.
pub(crate) fn look(hooks_dir: &Path, driver: Driver, binary: &Path) -> Installed {
    let path = hooks_dir.join(driver.name());
    let directory = hooks_dir.join(format!("{driver}.d"));
    let beside = directory.join(BESIDE_NAME);
    let copy = copies::are_for(hooks_dir).then(|| copies::look(driver)).flatten();
    let is_there = |path: PathBuf| path.symlink_metadata().is_ok().then_some(path);
    let mut loose: Vec<PathBuf> = fs::read_dir(&directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| *path != beside && files::is_executable(path))
        .collect();
    loose.sort_unstable();
    Installed {
        driver,
        main: entry_state_of(&path, driver, binary, copy.as_ref()),
        copy,
        beside: matches!(
            entry_state_of(&beside, driver, binary, None),
            DriverEntry::Ours(_) | DriverEntry::Dangling(_)
        )
        .then_some(beside),
        adopted: is_there(adopted::place(hooks_dir, driver)),
        retired: is_there(retired(hooks_dir, driver)),
        loose,
        path,
    }
}

/// Returns the path of a retired script.
pub(crate) fn retired(hooks_dir: &Path, driver: Driver) -> PathBuf {
    hooks_dir.join(format!("{driver}.retired"))
}

fn entry_state_of(
    path: &Path,
    driver: Driver,
    binary: &Path,
    copy: Option<&DriverCopy>,
) -> DriverEntry {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return DriverEntry::Missing,
        Err(_) => return DriverEntry::NotAFile,
        Ok(metadata) => metadata,
    };
    let target = fs::read_link(path).ok();
    let is_ours = |file: &fs::Metadata| {
        // a copy has been checked already
        let copy = copy.filter(|copy| is_same(file, &copy.path));
        is_same(file, binary)
            || copy.map_or_else(|| own_binary::is_hookmux(path), |copy| copy.is_ours)
    };
    match (fs::metadata(path), target) {
        (Ok(file), target) if is_ours(&file) => {
            DriverEntry::Ours(target.unwrap_or_else(|| path.to_path_buf()))
        }
        // the program was removed without `hookmux uninstall`
        (Err(_), Some(target)) if is_name_of_ours(&target, driver) => DriverEntry::Dangling(target),
        // a pipe, a device or a directory at the end of a link
        (Ok(file), _) if !file.is_file() => DriverEntry::NotAFile,
        _ if metadata.is_file() || metadata.is_symlink() => DriverEntry::Foreign,
        _ => DriverEntry::NotAFile,
    }
}

fn is_name_of_ours(target: &Path, driver: Driver) -> bool {
    target.file_name().and_then(OsStr::to_str).is_some_and(|name| {
        name == "hookmux" || name.strip_prefix("hookmux-") == Some(driver.name())
    })
}

fn is_same(file: &fs::Metadata, binary: &Path) -> bool {
    fs::metadata(binary).is_ok_and(|own| (own.dev(), own.ino()) == (file.dev(), file.ino()))
}
