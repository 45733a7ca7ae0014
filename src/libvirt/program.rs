//! The paths of the installed program, of its data, and of its copies that libvirt calls. Each driver has a copy of its own:
//! a program that writes through an entry in the hooks directory changes the copy of that driver and nothing
//! else. The copies lie directly in /usr/sbin, since libvirt's AppArmor profile lets programs there run
//! unconfined.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::libvirt::Driver;

/// The installed program.
pub(crate) const PROGRAM_PATH: &str = "/usr/sbin/hookmux";

/// The beginning of a copy's name; the driver's name follows.
const COPY_PREFIX: &[u8] = b"hookmux-";

/// Where the program's data lie below its prefix, and the modules for hooks in Python among them.
const DATA_DIRECTORY: &str = "share/hookmux";
const PYTHON_MODULES: &str = "python";

/// Returns where the data of a program lie, whether they are there or not: `/usr/share/hookmux` for
/// `/usr/sbin/hookmux`, and for the drivers' copies beside it.
fn data_directory_of(program: &Path) -> Option<PathBuf> {
    Some(program.parent()?.parent()?.join(DATA_DIRECTORY))
}

/// Returns where the data of the running program lie.
pub(crate) fn own_data_directory() -> Option<PathBuf> {
    data_directory_of(&fs::read_link("/proc/self/exe").ok()?)
}

/// Returns where a program's modules for hooks in Python lie.
pub(crate) fn python_modules_of(program: &Path) -> Option<PathBuf> {
    Some(data_directory_of(program)?.join(PYTHON_MODULES))
}

/// Returns where those of the running program lie.
pub(crate) fn own_python_modules() -> Option<PathBuf> {
    Some(own_data_directory()?.join(PYTHON_MODULES))
}

/// Returns the path of a driver's copy.
pub(crate) fn copy_of(driver: Driver) -> PathBuf {
    PathBuf::from(format!("{PROGRAM_PATH}-{driver}"))
}

/// Returns the driver of a copy, by its base name.
pub(crate) fn driver_of_copy(base_name: &[u8]) -> Option<Driver> {
    Driver::from_name(OsStr::from_bytes(base_name.strip_prefix(COPY_PREFIX)?))
}

/// Tells whether a program, named as in `/proc/self/exe`, is a driver's copy.
pub(crate) fn is_copy(program: &Path) -> bool {
    let name = program.file_name().map(OsStr::as_bytes).unwrap_or_default();
    // the kernel appends this to the name of a file that was replaced
    driver_of_copy(name.strip_suffix(b" (deleted)").unwrap_or(name)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_lie_below_the_prefix_of_the_program() {
        for (program, expected) in [
            ("/usr/sbin/hookmux", Some("/usr/share/hookmux/python")),
            ("/usr/sbin/hookmux-qemu (deleted)", Some("/usr/share/hookmux/python")),
            ("/nix/store/x-hookmux/bin/hookmux", Some("/nix/store/x-hookmux/share/hookmux/python")),
            ("/hookmux", None),
        ] {
            assert_eq!(
                python_modules_of(Path::new(program)),
                expected.map(PathBuf::from),
                "{program}"
            );
        }
    }

    #[test]
    fn a_copy_is_known_by_its_name() {
        for driver in Driver::ALL {
            let copy = copy_of(driver);
            assert!(is_copy(&copy) && copy.starts_with("/usr/sbin"), "{}", copy.display());
        }
        for (program, expected) in [
            ("/usr/sbin/hookmux-qemu", true),
            ("/usr/sbin/hookmux-qemu (deleted)", true),
            ("/usr/sbin/hookmux", false),
            ("/usr/sbin/hookmux-qem", false),
            ("/usr/sbin/qemu", false),
            ("/", false),
        ] {
            assert_eq!(is_copy(Path::new(program)), expected, "{program}");
        }
    }
}
