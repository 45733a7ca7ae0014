//! The per-guest tree `<driver>.d/GUEST/OPERATION/SUB`, looked through for all that lies there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::config::Settings;
use crate::config::suggest::did_you_mean;
use crate::hook::candidates::{self, Candidate};
use crate::hook::tree;
use crate::libvirt::{Call, Driver, Operation, operation};
use crate::search::directory::{self, UnreadablePath};

/// Something in the tree.
pub(crate) enum Found {
    Moment(Moment),
    /// What lies where an operation's directory would, and is none.
    TooHigh(PathBuf),
    Unreadable(UnreadablePath),
}

/// A place in the tree for the scripts of one call.
pub(crate) struct Moment {
    pub call: Call,
    pub path: PathBuf,
    /// Whether libvirt makes such a call.
    pub is_called: bool,
    pub scripts: Result<Vec<Candidate>, UnreadablePath>,
}

/// A call's moment, as it is called in the tree: `prepare/begin`.
pub(crate) fn name(call: &Call) -> String {
    let operation = call.operation_name().to_string_lossy();
    format!("{operation}/{}", call.sub_operation().to_string_lossy())
}

/// The moment of a driver's that another word for one was meant as.
pub(crate) fn meant_by(driver: Driver, word: &str) -> Option<String> {
    let moments = moments(driver);
    did_you_mean(word, moments.iter().map(String::as_str)).map(str::to_owned)
}

/// All moments of a driver, as they are called in the tree.
pub(crate) fn moments(driver: Driver) -> Vec<String> {
    let rows = operation::TABLE.iter().filter(|row| row.drivers.contains(&driver));
    rows.map(|row| format!("{}/{}", row.name, row.sub.unwrap_or("begin"))).collect()
}

/// Looks through the tree of a driver.
pub(crate) fn look(settings: &Settings, driver: Driver) -> Vec<Found> {
    let base = settings.tree_of(driver);
    let mut found = Vec::new();
    for guest in names(&base, &mut found) {
        for operation in names(&base.join(&guest), &mut found) {
            let path = base.join(&guest).join(&operation);
            if !path.is_dir() {
                found.push(Found::TooHigh(path));
                continue;
            }
            for sub in names(&path, &mut found) {
                found.push(Found::Moment(moment(settings, driver, [&guest, &operation, &sub])));
            }
        }
    }
    found
}

fn moment(settings: &Settings, driver: Driver, [guest, operation, sub]: [&OsString; 3]) -> Moment {
    let words = vec![guest.clone(), operation.clone(), sub.clone(), "-".into()];
    let call = Call::new(driver, words);
    Moment {
        path: settings.tree_of(driver).join(guest).join(operation).join(sub),
        is_called: tree::place(settings, &call).is_some() && call.operation() != Operation::Unknown,
        scripts: candidates::tree_scripts(&call, settings),
        call,
    }
}

/// The names below a directory, in byte order; of what is none, none.
fn names(path: &Path, found: &mut Vec<Found>) -> Vec<OsString> {
    let mut names = directory::names(path).unwrap_or_else(|unreadable| {
        found.push(Found::Unreadable(unreadable));
        None
    });
    if let Some(names) = &mut names {
        names.sort_unstable();
    }
    names.unwrap_or_default()
}
