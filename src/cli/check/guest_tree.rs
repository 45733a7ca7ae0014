//! The per-guest tree `<driver>.d/GUEST/OPERATION/SUB`, looked through for its scripts, for those that
//! lie where libvirt makes no call, and for those that lie where the tree was before it had another
//! name.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use super::finding::{Code, Findings, Fix, quoted, words};
use super::survey::{Spot, Survey, Uncalled};
use super::unreadable::complain;
use crate::config::settings::FILE_NAME;
use crate::config::tree_name::TreeName;
use crate::hook::{adopted, tree};
use crate::libvirt::{Call, Driver, Operation};
use crate::machine::files::is_executable;
use crate::machine::own_binary;
use crate::search::EntryState;
use crate::search::directory;

pub fn look(survey: &mut Survey<'_>, driver: Driver, findings: &mut Findings) {
    let base = survey.settings.tree_of(driver);
    for guest in names(survey, &base, findings) {
        for operation in names(survey, &base.join(&guest), findings) {
            let path = base.join(&guest).join(&operation);
            if !path.is_dir() {
                let moment = operation.to_string_lossy().into_owned();
                uncalled(survey, Uncalled { driver, path, moment });
                continue;
            }
            for sub in names(survey, &path, findings) {
                moment(survey, driver, [&guest, &operation, &sub], findings);
            }
        }
    }
}

fn moment(
    survey: &mut Survey<'_>,
    driver: Driver,
    [guest, operation, sub]: [&OsString; 3],
    findings: &mut Findings,
) {
    let words = vec![guest.clone(), operation.clone(), sub.clone(), "-".into()];
    let call = Call::new(driver, words);
    let place = tree::place(survey.settings, &call);
    let Some(place) = place.filter(|_| call.operation() != Operation::Unknown) else {
        let path = survey.settings.tree_of(driver).join(guest).join(operation).join(sub);
        let moment = format!("{}/{}", operation.to_string_lossy(), sub.to_string_lossy());
        return uncalled(survey, Uncalled { driver, path, moment });
    };
    match tree::scripts(&place) {
        Ok(scripts) => {
            for (path, state) in scripts {
                survey.add(path, state, Spot::Tree(driver));
            }
        }
        Err(unreadable) => complain(survey.settings, &unreadable, findings),
    }
}

/// Tells of scripts where the tree would be without `tree` in the settings.
pub fn left_behind(survey: &Survey<'_>, findings: &mut Findings) {
    let settings = survey.settings;
    let usual = TreeName::default();
    for driver in Driver::ALL.into_iter().filter(|_| settings.tree != usual) {
        let (old, new) = (usual.place(&settings.hooks_dir, driver), settings.tree_of(driver));
        // somebody else runs what lies there
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
        for guest in names(survey, &old, findings) {
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

/// How far below a guest's directory its scripts lie: `prepare/begin/NAME`.
const MOMENT_DEPTH: usize = 3;

/// Whether an executable lies somewhere below a directory, and not directly in it.
fn has_script(directory: &Path, depth: usize) -> bool {
    let names = directory::names(directory).ok().flatten().unwrap_or_default();
    names.iter().map(|name| directory.join(name)).any(|path| {
        let is_deep = depth < MOMENT_DEPTH;
        (is_deep && is_executable(&path)) || (depth > 1 && has_script(&path, depth - 1))
    })
}

/// What scripts keep beside them is no mistake: only what looks like a script is one.
fn uncalled(survey: &mut Survey<'_>, uncalled: Uncalled) {
    let path = &uncalled.path;
    let name = path.file_name().unwrap_or_default();
    let has_script = || {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).any(|path| is_executable(&path))
    };
    if directory::leftover_reason(name).is_none() && (is_executable(path) || has_script()) {
        survey.uncalled.push(uncalled);
    }
}

/// The names below a directory, in byte order; of what is none, none.
fn names(survey: &Survey<'_>, path: &Path, findings: &mut Findings) -> Vec<OsString> {
    let mut names = match directory::names(path) {
        Ok(names) => names.unwrap_or_default(),
        Err(unreadable) => complain(survey.settings, &unreadable, findings),
    };
    names.sort_unstable();
    names
}
