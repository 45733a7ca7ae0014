//! `uninstall --purge`: removes what hookmux wrote for itself in the state and runtime directories, and
//! nothing else, as a setting may name a directory that others use too.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cli::CommandPlace;
use crate::config::{self, Settings};
use crate::state::DirPresence;
use crate::trust::Trust;

/// What hookmux makes in `state_dir`.
const STATE_CHILDREN: [&str; 7] =
    ["records", "queue", "last-good", "cache", "audit", "outbox", "outbox-sequence"];
/// What hookmux makes in `runtime_dir`. `hooks` there is a root, and belongs to the administrator.
const RUNTIME_CHILDREN: [&str; 9] =
    ["records", "guests", "pending", "data", "daemons", "locks", "trash", "undo", "undo-locks"];

/// The root in `runtime_dir`.
const RUNTIME_ROOT: &str = "hooks";

/// What was removed, what was kept, and what went wrong.
#[derive(Default)]
pub(super) struct Purged {
    is_dry_run: bool,
    pub removed: Vec<PathBuf>,
    pub kept: Vec<String>,
    pub problems: Vec<String>,
}

/// Returns the question that is asked first.
pub(super) fn question(settings: &Settings) -> String {
    format!(
        "All records, waiting jobs and state in {} and {} will be removed for good.",
        settings.state_dir.unchecked_path().display(),
        settings.runtime_dir.unchecked_path().display()
    )
}

/// Reads the settings, which name the directories.
///
/// # Errors
/// They can't be read, so the directories are unknown.
pub(super) fn settings(place: &CommandPlace) -> anyhow::Result<Settings> {
    let loaded = config::load(&place.surroundings, &mut Trust::new(place.surroundings.user), false);
    if loaded.is_lost() {
        anyhow::bail!(
            "the settings can't be read, so the directories to remove are unknown: `hookmux check` says why; nothing was changed"
        );
    }
    Ok(loaded.settings)
}

/// Removes everything, or tells what would be removed.
pub(super) fn purge(settings: &Settings, is_dry_run: bool) -> Purged {
    let mut purged = Purged { is_dry_run, ..Purged::default() };
    for (dir, children) in [
        (&settings.state_dir, STATE_CHILDREN.as_slice()),
        (&settings.runtime_dir, RUNTIME_CHILDREN.as_slice()),
    ] {
        let directory = dir.unchecked_path();
        match dir.judge() {
            Ok(DirPresence::Present) => {}
            Ok(DirPresence::Missing) => continue,
            // files in a directory of other users aren't hookmux's
            Err(error) => {
                purged.problems.push(format!("{} was not removed: {error}", directory.display()));
                continue;
            }
        }
        for child in children.iter().map(|child| directory.join(child)) {
            remove(&child, &mut purged);
        }
        sweep(directory, &mut purged);
        if is_dry_run {
            match would_be_empty(directory, &purged) {
                true => purged.removed.push(directory.to_path_buf()),
                false => purged.kept.push(has_others(directory)),
            }
            continue;
        }
        // an empty root that the package made
        let _ = fs::remove_dir(directory.join(RUNTIME_ROOT));
        match fs::remove_dir(directory) {
            Ok(()) => purged.removed.push(directory.to_path_buf()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => purged.kept.push(has_others(directory)),
        }
    }
    let hooks_dir = &settings.hooks_dir;
    if hooks_dir.is_dir() {
        purged.kept.push(format!(
            "{}: settings, registrations and scripts are yours",
            hooks_dir.display()
        ));
    }
    for save in save_copies(&settings.save_dir) {
        purged.kept.push(format!(
            "{} is a second name of a managed save, and may be the only one left",
            save.display()
        ));
    }
    purged
}

fn has_others(directory: &Path) -> String {
    format!("{} has files that hookmux didn't make", directory.display())
}

/// Tells whether a directory would be empty after a purge.
fn would_be_empty(directory: &Path, purged: &Purged) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).all(|path| {
        let is_empty_root = path.ends_with(RUNTIME_ROOT)
            && fs::read_dir(&path).is_ok_and(|mut inside| inside.next().is_none());
        is_empty_root || purged.removed.contains(&path)
    })
}

fn remove(path: &Path, purged: &mut Purged) {
    let Ok(metadata) = path.symlink_metadata() else { return };
    if purged.is_dry_run {
        purged.removed.push(path.to_path_buf());
        return;
    }
    // a link is removed, its target stays
    let removed = if metadata.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Ok(()) => purged.removed.push(path.to_path_buf()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            purged.problems.push(format!("{} can't be removed: {error}", path.display()));
        }
    }
}

/// Removes files of a writer or a check that died, and those that were put aside.
fn sweep(directory: &Path, purged: &mut Purged) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_ours = name.starts_with(".hookmux-check.")
            || (name.starts_with("pending.") && name.ends_with(".odd"));
        if is_ours {
            remove(&entry.path(), purged);
        }
    }
}

fn save_copies(save_dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(save_dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(".save.hookmux"))
        .collect();
    found.sort();
    found
}
