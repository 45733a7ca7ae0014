//! The Python modules that hooks in vdsm's style import: vdsm's `hooking`, and what they use beside it. They lie
//! in `share/hookmux/python`, below the prefix of the program: `/usr/share/hookmux/python` for `/usr/sbin/hookmux`
//! and for the drivers' copies beside it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use super::environment::Environment;
use crate::trust::{Refusal, Trust, TrustFault};

/// The directory, below a prefix.
const DIRECTORY: &str = "share/hookmux/python";

/// Where Python looks for modules before its own directories.
pub(crate) const PATH_VARIABLE: &str = "PYTHONPATH";
/// Keeps Python from writing `__pycache__` beside hooks and modules.
const NO_CACHE_VARIABLE: &str = "PYTHONDONTWRITEBYTECODE";

/// Returns where the modules of a program lie, whether they are there or not.
pub(crate) fn directory_of(program: &Path) -> Option<PathBuf> {
    Some(program.parent()?.parent()?.join(DIRECTORY))
}

/// Returns where the modules of this program lie.
pub(crate) fn own_directory() -> Option<PathBuf> {
    directory_of(&fs::read_link("/proc/self/exe").ok()?)
}

/// Looks for the modules of this program; `None` where it has none. They are as much as part of each hook that
/// imports them: nobody else may change them.
pub(crate) fn find(user: u32) -> Option<Result<PathBuf, Refusal>> {
    let directory = own_directory()?;
    match Trust::new(user).directory(&directory) {
        Ok(()) => Some(Ok(directory)),
        Err(refusal) if is_absent(&refusal) => None,
        Err(refusal) => Some(Err(refusal)),
    }
}

/// Tells whether there are no modules.
pub(crate) fn is_absent(refusal: &Refusal) -> bool {
    matches!(refusal.fault, TrustFault::Missing | TrustFault::NotDirectory)
}

/// Adds the directory behind what the environment names already, as vdsm does.
pub(crate) fn add(environment: &mut Environment, directory: &Path) {
    let mut path = environment.get(PATH_VARIABLE).map_or_else(OsString::new, OsStr::to_owned);
    if !path.is_empty() {
        path.push(":");
    }
    path.push(directory);
    environment.set(PATH_VARIABLE, path);
    if environment.get(NO_CACHE_VARIABLE).is_none() {
        environment.set(NO_CACHE_VARIABLE, "1");
    }
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
            assert_eq!(directory_of(Path::new(program)), expected.map(PathBuf::from), "{program}");
        }
    }

    #[test]
    fn what_the_administrator_names_comes_first() {
        for (named, expected) in [(None, "/m"), (Some(""), "/m"), (Some("/a:/b"), "/a:/b:/m")] {
            let mut environment = Environment::default();
            if let Some(named) = named {
                environment.set(PATH_VARIABLE, named);
            }
            add(&mut environment, Path::new("/m"));
            assert_eq!(environment.get(PATH_VARIABLE), Some(OsStr::new(expected)), "{named:?}");
            assert_eq!(environment.get(NO_CACHE_VARIABLE), Some(OsStr::new("1")));
        }
        let mut environment = Environment::default();
        environment.set(NO_CACHE_VARIABLE, "");
        add(&mut environment, Path::new("/m"));
        assert_eq!(environment.get(NO_CACHE_VARIABLE), Some(OsStr::new("")));
    }
}
