//! Finds scripts where the per-guest tree was before the setting `tree` gave it another name.

use std::path::Path;

use super::finding::{Code, Findings, Fix, quoted, words};
use super::survey::Survey;
use super::unreadable::report_unreadable;
use crate::config::settings::FILE_NAME;
use crate::config::tree_name::TreeName;
use crate::hook::adopted;
use crate::libvirt::Driver;
use crate::machine::{files, own_binary};
use crate::search::EntryState;
use crate::search::directory;

/// Reports scripts where the tree would be without `tree` in the settings.
pub(super) fn examine(survey: &Survey<'_>, findings: &mut Findings) {
    let settings = survey.settings;
    let usual = TreeName::default();
    for driver in Driver::ALL.into_iter().filter(|_| settings.tree != usual) {
        let (old, new) = (usual.place(&settings.hooks_dir, driver), settings.tree_of(driver));
        // another script runs the scripts there
        let word = usual.mention(&settings.hooks_dir, driver);
        let serves = |script: &Path| {
            directory::state(script) == EntryState::Active && adopted::runs_tree(script, &word)
        };
        let mut scripts =
            [adopted::place(&settings.hooks_dir, driver), settings.hooks_dir.join(driver.name())]
                .into_iter();
        if scripts.any(|script| !own_binary::is_hookmux(&script) && serves(&script)) {
            continue;
        }
        let guests = directory::names(&old)
            .unwrap_or_else(|unreadable| report_unreadable(settings, &unreadable, findings));
        let mut guests = guests.unwrap_or_default();
        guests.sort_unstable();
        for guest in guests {
            let path = old.join(&guest);
            if !has_script(&path, MOMENT_DEPTH) {
                continue;
            }
            let words = format!(
                "{} has scripts, and they don't run: `tree: {}` in {FILE_NAME} has the per-guest tree of {driver} in {}",
                survey.label(&path),
                settings.tree.as_str(),
                survey.label(&new)
            );
            let fix = match new.join(&guest).symlink_metadata() {
                Err(_) => Fix::all(&[words!["mkdir", "-p", &new], words!["mv", "-n", &path, &new]]),
                Ok(_) => format!(
                    "move what is still needed to {}, and remove {}",
                    quoted(new.join(&guest)),
                    quoted(&path)
                )
                .into(),
            };
            findings.add(Code::OldTree, &path, words, fix);
        }
    }
}

/// How far below a guest's directory its scripts are: `prepare/begin/NAME`.
const MOMENT_DEPTH: usize = 3;

/// Tells whether an executable is somewhere below a directory, but not directly in it.
fn has_script(directory: &Path, depth: usize) -> bool {
    let names = directory::names(directory).ok().flatten().unwrap_or_default();
    names.iter().map(|name| directory.join(name)).any(|path| {
        let is_deep = depth < MOMENT_DEPTH;
        (is_deep && files::is_executable(&path)) || (depth > 1 && has_script(&path, depth - 1))
    })
}
