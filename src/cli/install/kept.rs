//! Scripts that were under a driver's name before hookmux, or were written over it. The newest is
//! `<driver>.adopted` or `<driver>.retired`; earlier ones are `<driver>.adopted.N`, and don't run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::installed::Installed;
use crate::hook::adopted;
use crate::libvirt::Driver;
use crate::machine::files;

/// The largest script that is compared with another one.
const MAX_SCRIPT_BYTES: u64 = 16 << 20;

/// An earlier script that was moved away for a later one.
pub(super) struct MovedScript {
    from: PathBuf,
    /// Where it is kept.
    pub to: PathBuf,
}

impl MovedScript {
    /// Moves it back.
    pub(super) fn undo(&self) {
        let _ = fs::rename(&self.to, &self.from);
    }
}

/// Moves the scripts that are kept already out of the way of `script`. One with the same bytes is removed
/// instead.
///
/// # Errors
/// Those of `rename(2)`; the scripts moved so far are moved back.
pub(super) fn make_room(
    hooks_dir: &Path,
    installed: &Installed,
    script: &Path,
) -> io::Result<Vec<MovedScript>> {
    let mut moved: Vec<MovedScript> = Vec::new();
    for kept in installed.adopted.iter().chain(&installed.retired) {
        let done = if is_same_script(kept, script) {
            fs::remove_file(kept)
        } else {
            let to = free_place(hooks_dir, installed.driver);
            fs::rename(kept, &to).map(|()| moved.push(MovedScript { from: kept.clone(), to }))
        };
        if let Err(error) = done {
            moved.iter().for_each(MovedScript::undo);
            return Err(error);
        }
    }
    Ok(moved)
}

/// Returns the earlier scripts of a driver, the oldest first.
pub(super) fn earlier(hooks_dir: &Path, driver: Driver) -> Vec<PathBuf> {
    let prefix = format!("{driver}.adopted.");
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(hooks_dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            Some((name.to_str()?.strip_prefix(&prefix)?.parse().ok()?, entry.path()))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

/// Returns `<driver>.adopted.N` with a number above all others.
fn free_place(hooks_dir: &Path, driver: Driver) -> PathBuf {
    let last = earlier(hooks_dir, driver)
        .last()
        .and_then(|path| path.extension()?.to_str()?.parse::<u32>().ok())
        .unwrap_or_default();
    let mut name = adopted::place(hooks_dir, driver).into_os_string();
    name.push(format!(".{}", last.saturating_add(1)));
    PathBuf::from(name)
}

fn is_same_script(one: &Path, other: &Path) -> bool {
    let read = |path: &Path| files::read_regular(path, MAX_SCRIPT_BYTES).ok();
    let is_link = |path: &Path| path.is_symlink();
    !is_link(one) && !is_link(other) && read(one).is_some_and(|one| read(other) == Some(one))
}
