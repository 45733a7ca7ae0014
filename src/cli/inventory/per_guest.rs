//! Reads the per-guest tree `<driver>.d/GUEST/OPERATION/SUB`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::config::Settings;
use crate::config::suggest::did_you_mean;
use crate::hook::candidates::{self, Candidate};
use crate::hook::tree;
use crate::libvirt::{Call, Driver, Operation, operation};
use crate::search::directory::{self, UnreadablePath};

/// Something in the tree.
pub(crate) enum TreeItem {
    Directory(TreeDirectory),
    /// A file in the place of an operation's directory.
    TooHigh(PathBuf),
    Unreadable(UnreadablePath),
}

/// A directory of the tree with the scripts of one call.
pub(crate) struct TreeDirectory {
    pub call: Call,
    pub path: PathBuf,
    /// Whether libvirt makes such a call.
    pub is_called: bool,
    pub scripts: Result<Vec<Candidate>, UnreadablePath>,
}

/// Returns a call's name in the tree: `prepare/begin`.
pub(crate) fn name(call: &Call) -> String {
    let operation = call.operation_name().to_string_lossy();
    format!("{operation}/{}", call.sub_operation().to_string_lossy())
}

/// Returns the call of a driver that a similar word probably means.
pub(crate) fn similar_call(driver: Driver, word: &str) -> Option<String> {
    let call_names = call_names(driver);
    did_you_mean(word, call_names.iter().map(String::as_str)).map(str::to_owned)
}

/// Returns the names of all calls of a driver in the tree.
pub(crate) fn call_names(driver: Driver) -> Vec<String> {
    let rows = operation::TABLE.iter().filter(|row| row.drivers.contains(&driver));
    rows.map(|row| format!("{}/{}", row.name, row.sub.unwrap_or("begin"))).collect()
}

/// Reads the tree of a driver.
pub(crate) fn look(settings: &Settings, driver: Driver) -> Vec<TreeItem> {
    let base = settings.tree_of(driver);
    let mut found = Vec::new();
    for guest in names(&base, &mut found) {
        for operation in names(&base.join(&guest), &mut found) {
            let path = base.join(&guest).join(&operation);
            if !path.is_dir() {
                found.push(TreeItem::TooHigh(path));
                continue;
            }
            for sub in names(&path, &mut found) {
                found.push(TreeItem::Directory(tree_directory(
                    settings,
                    driver,
                    [&guest, &operation, &sub],
                )));
            }
        }
    }
    found
}

fn tree_directory(
    settings: &Settings,
    driver: Driver,
    [guest, operation, sub]: [&OsString; 3],
) -> TreeDirectory {
    let words = vec![guest.clone(), operation.clone(), sub.clone(), "-".into()];
    let call = Call::new(driver, words);
    TreeDirectory {
        path: settings.tree_of(driver).join(guest).join(operation).join(sub),
        is_called: tree::place(settings, &call).is_some() && call.operation() != Operation::Unknown,
        scripts: candidates::tree_scripts(&call, settings),
        call,
    }
}

/// Returns the names in a directory, in byte order; none if it isn't a directory.
fn names(path: &Path, found: &mut Vec<TreeItem>) -> Vec<OsString> {
    let mut names = directory::names(path).unwrap_or_else(|unreadable| {
        found.push(TreeItem::Unreadable(unreadable));
        None
    });
    if let Some(names) = &mut names {
        names.sort_unstable();
    }
    names.unwrap_or_default()
}
