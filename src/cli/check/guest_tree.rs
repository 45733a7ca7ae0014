//! The per-guest tree `<driver>.d/GUEST/OPERATION/SUB`, looked through for its scripts, and for
//! those that lie where libvirt makes no call.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use super::finding::Findings;
use super::survey::{Spot, Survey, Uncalled};
use super::unreadable::complain;
use crate::hook::directory;
use crate::hook::tree;
use crate::libvirt::{Call, Driver, Operation};
use crate::startable::is_executable;

pub fn look(survey: &mut Survey<'_>, driver: Driver, findings: &mut Findings) {
    let base = survey.settings.hooks_dir.join(format!("{driver}.d"));
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
    let hooks_dir = &survey.settings.hooks_dir;
    let words = vec![guest.clone(), operation.clone(), sub.clone(), "-".into()];
    let call = Call::new(driver, words);
    let place = tree::place(hooks_dir, &call);
    let Some(place) = place.filter(|_| call.operation() != Operation::Unknown) else {
        let path = hooks_dir.join(format!("{driver}.d")).join(guest).join(operation).join(sub);
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

/// What scripts keep beside them is no mistake: only what looks like a script is one.
fn uncalled(survey: &mut Survey<'_>, uncalled: Uncalled) {
    let path = &uncalled.path;
    let name = path.file_name().unwrap_or_default();
    let has_script = || {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).any(|path| is_executable(&path))
    };
    if directory::left_behind(name).is_none() && (is_executable(path) || has_script()) {
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
