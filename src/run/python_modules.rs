//! The Python modules that hooks in vdsm's style import: vdsm's `hooking`, and what they use beside it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::environment::Environment;
use crate::libvirt::program;
use crate::trust::{Refusal, Trust, TrustFault};

/// Where Python looks for modules before its own directories.
pub(crate) const PATH_VARIABLE: &str = "PYTHONPATH";
/// Keeps Python from writing `__pycache__` beside hooks and modules.
const NO_CACHE_VARIABLE: &str = "PYTHONDONTWRITEBYTECODE";

/// Looks for the modules of this program; `None` where it has none.
pub(crate) fn find(user: u32) -> Option<Result<PathBuf, Refusal>> {
    look(program::own_python_modules()?, user)
}

/// Looks for modules in a directory. They are a part of each hook that imports them: nobody else may change
/// them, and `trust: warn` lets no others in.
pub(crate) fn look(directory: PathBuf, user: u32) -> Option<Result<PathBuf, Refusal>> {
    match Trust::new(user).directory(&directory) {
        Ok(()) => Some(Ok(directory)),
        Err(Refusal { fault: TrustFault::Missing | TrustFault::NotDirectory, .. }) => None,
        Err(refusal) => Some(Err(refusal)),
    }
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
