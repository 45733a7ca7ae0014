//! Protects managed saves: a save gets a second name (a hard link) while hooks run at `restore`. Where
//! libvirt gets a changed document, the second name stays until the guest has started. libvirt 11.3.0
//! deletes the save if the hook program dies at `restore`, or if it refuses the changed document (seen
//! there; 9.0.0 keeps it).

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::machine::files;

/// The suffix of the second name.
pub(crate) const SECOND_NAME_SUFFIX: &str = ".hookmux";

/// Returns the paths of a guest's save and of its second name.
fn names(save_dir: &Path, guest: &OsStr) -> Option<(PathBuf, PathBuf)> {
    if guest.is_empty() || guest.as_bytes().contains(&b'/') {
        return None;
    }
    let mut save = guest.to_owned();
    save.push(".save");
    let mut second: OsString = save.clone();
    second.push(SECOND_NAME_SUFFIX);
    Some((save_dir.join(save), save_dir.join(second)))
}

/// The result of giving a save its second name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Protection {
    /// The guest has no managed save: there is nothing to lose.
    #[default]
    NoSave,
    /// The save has its second name.
    Done,
    /// The second name belongs to an earlier save, which libvirt deleted and nobody has restored yet.
    /// The message has the way out.
    Earlier(String),
    /// The second name could not be made; the reason in words.
    Failed(String),
}

/// Gives the guest's managed save its second name.
pub(crate) fn protect(save_dir: &Path, guest: &OsStr) -> Protection {
    let Some((save, second)) = names(save_dir, guest) else { return Protection::NoSave };
    match fs::hard_link(&save, &second) {
        Ok(()) => Protection::Done,
        Err(error) if is_absence(&error) && is_absent(&save) => Protection::NoSave,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if is_absent(&save) {
                return Protection::NoSave;
            }
            if are_same(&save, &second) {
                return Protection::Done;
            }
            Protection::Earlier(format!(
                "{} is an earlier save of the guest: rename it back or remove it",
                second.display()
            ))
        }
        Err(error) => Protection::Failed(format!(
            "{} can't be kept as {}: {error}",
            save.display(),
            second.display()
        )),
    }
}

/// Removes the second name again; libvirt keeps the first one.
///
/// # Errors
/// As of `unlink(2)`. Nothing is removed where the second name is the only one.
pub(crate) fn unprotect(save_dir: &Path, guest: &OsStr) -> io::Result<()> {
    match names(save_dir, guest) {
        Some((save, second)) if are_same(&save, &second) => files::remove(&second),
        _ => Ok(()),
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn is_absent(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| is_absence(&error))
}

/// Tells whether two paths name the same file.
fn are_same(first: &Path, second: &Path) -> bool {
    let file = |path| fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()));
    matches!((file(first), file(second)), (Ok(first), Ok(second)) if first == second)
}

/// Removes the second name once the guest runs: libvirt removes the save itself after that.
///
/// # Errors
/// libvirt has deleted the save before the guest could start from it, so the second name is the only
/// one. It stays. The message says so.
pub(crate) fn release(save_dir: &Path, guest: &OsStr) -> Result<(), String> {
    let Some((save, second)) = names(save_dir, guest) else { return Ok(()) };
    if fs::symlink_metadata(&second).is_err() {
        return Ok(());
    }
    if !are_same(&save, &second) {
        return Err(format!(
            "the guest runs, but not from its managed save, which libvirt has deleted: {} is what was saved. \
             Its disks have changed since: restore it only together with the disks' state of that time, or remove it",
            second.display()
        ));
    }
    files::remove(&second).map_err(|error| format!("{}: {error}", second.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_save_is_protected_and_released() {
        let directory = tempfile::tempdir().unwrap();
        let (guest, save_dir) = (OsStr::new("vm"), directory.path());
        assert_eq!(protect(save_dir, guest), Protection::NoSave);
        assert_eq!(fs::read_dir(save_dir).unwrap().count(), 0, "no save, no second name");
        fs::write(save_dir.join("vm.save"), "state").unwrap();
        assert_eq!(protect(save_dir, guest), Protection::Done);
        assert_eq!(protect(save_dir, guest), Protection::Done);
        fs::remove_file(save_dir.join("vm.save")).unwrap();
        assert_eq!(fs::read(save_dir.join("vm.save.hookmux")).unwrap(), b"state");
        // a second save never costs the first, which somebody may want back
        fs::write(save_dir.join("vm.save"), "later").unwrap();
        assert!(
            matches!(protect(save_dir, guest), Protection::Earlier(why) if why.contains("earlier save"))
        );
        assert_eq!(fs::read(save_dir.join("vm.save.hookmux")).unwrap(), b"state");
        // and a guest that starts afresh doesn't either
        assert!(release(save_dir, guest).unwrap_err().contains("vm.save.hookmux"));
        assert_eq!(fs::read(save_dir.join("vm.save.hookmux")).unwrap(), b"state");
        fs::remove_file(save_dir.join("vm.save")).unwrap();
        assert!(release(save_dir, guest).is_err());
        fs::rename(save_dir.join("vm.save.hookmux"), save_dir.join("vm.save")).unwrap();
        assert_eq!(protect(save_dir, guest), Protection::Done);
        release(save_dir, guest).unwrap();
        release(save_dir, guest).unwrap();
        assert!(!save_dir.join("vm.save.hookmux").exists());
    }

    #[test]
    fn where_no_link_can_be_made_it_is_said() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("file"), "").unwrap();
        assert_eq!(protect(&directory.path().join("file"), OsStr::new("vm")), Protection::NoSave);
        assert_eq!(protect(directory.path(), OsStr::new("a/b")), Protection::NoSave);
    }
}
