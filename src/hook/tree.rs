//! The per-guest tree of the VFIO community's helper: `<driver>.d/GUEST/OPERATION/SUB`, a file or
//! a directory of files. `tree` in the settings can give it another name.
//!
//! The helper runs what `find -L -maxdepth 1 -type f -executable` prints, with any name; a file in place
//! of the directory is run alone. hookmux does the same, in byte order.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::config::Settings;
use crate::libvirt::{Call, Driver};
use crate::search::directory::{self, UnreadablePath};
use crate::search::{EntryState, companion};

/// Returns where a call's scripts would lie; `None` where it can have none. The guest's name is one path
/// component, compared as a whole.
pub fn place(settings: &Settings, call: &Call) -> Option<PathBuf> {
    if call.driver == Driver::Daemon {
        return None;
    }
    let object = component(call.object())?;
    let operation = call.plain_operation()?;
    let sub = call.plain_sub_operation()?;
    Some(settings.tree_of(call.driver).join(object).join(operation).join(sub))
}

fn component(name: &OsStr) -> Option<&OsStr> {
    let bytes = name.as_bytes();
    let is_one = !bytes.is_empty()
        && bytes != b"."
        && bytes != b".."
        && !bytes.contains(&b'/')
        && !bytes.contains(&0);
    is_one.then_some(name)
}

/// Returns the scripts at a place, in byte order, with the state of each file.
///
/// # Errors
/// The directory is there and can't be read.
pub(crate) fn scripts(place: &Path) -> Result<Vec<(PathBuf, EntryState)>, UnreadablePath> {
    let Some(mut names) = directory::names(place)? else {
        // a file in place of the directory; a missing one isn't reported
        return Ok(match directory::try_state(place)? {
            EntryState::Skipped(_) | EntryState::Dangling => Vec::new(),
            state => vec![(place.to_path_buf(), state)],
        });
    };
    names.sort_unstable();
    names
        .into_iter()
        .map(|name| {
            let path = place.join(name);
            let state = directory::try_state(&path)?;
            Ok((path, state))
        })
        // what lies beside scripts and clearly is none
        .filter(|script| {
            !script.as_ref().is_ok_and(|(path, state)| companion::is_companion(path, state))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Surroundings;
    use std::ffi::OsString;

    #[test]
    fn a_guest_is_one_component() {
        let place = |driver, arguments: &[&str]| {
            let call = Call::new(driver, arguments.iter().map(OsString::from).collect());
            let settings = Settings::defaults(&Surroundings::here(Path::new("/h")));
            super::place(&settings, &call).map(|path| path.to_string_lossy().into_owned())
        };
        for (name, expected) in [
            ("win10", Some("/h/qemu.d/win10/prepare/begin")),
            ("--help", Some("/h/qemu.d/--help/prepare/begin")),
            (" lead", Some("/h/qemu.d/ lead/prepare/begin")),
            ("*", Some("/h/qemu.d/*/prepare/begin")),
            ("..x", Some("/h/qemu.d/..x/prepare/begin")),
            ("..", None),
            (".", None),
            ("", None),
            ("a/b", None),
        ] {
            assert_eq!(
                place(Driver::Qemu, &[name, "prepare", "begin", "-"]).as_deref(),
                expected,
                "{name:?}"
            );
        }
        assert_eq!(place(Driver::Qemu, &["g", "../..", "begin"]), None);
        assert_eq!(place(Driver::Qemu, &["g", "prepare", ".."]), None);
        assert_eq!(place(Driver::Daemon, &["-", "reload", "begin", "SIGHUP"]), None);
        let network = place(Driver::Network, &["n", "port-created", "begin", "-"]);
        assert_eq!(network.as_deref(), Some("/h/network.d/n/port-created/begin"));
    }
}
