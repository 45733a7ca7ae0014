//! Managed saves: before libvirt is given another document at `restore`, a second name for the
//! save. libvirt 11.3.0 deletes the save of a guest whose changed document it refuses (seen there;
//! 9.0.0 keeps it).

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::files;

/// The end of the second name.
pub const SUFFIX: &str = ".hookmux";

/// The names of a guest's save and of its second name.
fn names(save_dir: &Path, guest: &OsStr) -> Option<(PathBuf, PathBuf)> {
    if guest.is_empty() || guest.as_bytes().contains(&b'/') {
        return None;
    }
    let mut save = guest.to_owned();
    save.push(".save");
    let mut second: OsString = save.clone();
    second.push(SUFFIX);
    Some((save_dir.join(save), save_dir.join(second)))
}

/// Gives the guest's managed save its second name; that it has no save is no error.
///
/// # Errors
/// In words, with the way out: then nothing that libvirt could refuse may be printed.
pub fn protect(save_dir: &Path, guest: &OsStr) -> Result<(), String> {
    let Some((save, second)) = names(save_dir, guest) else { return Ok(()) };
    let saved = match fs::symlink_metadata(&save) {
        Ok(metadata) => metadata,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(());
        }
        Err(error) => return Err(format!("{} can't be looked at: {error}", save.display())),
    };
    match fs::hard_link(&save, &second) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let is_same = fs::symlink_metadata(&second)
                .is_ok_and(|held| (held.dev(), held.ino()) == (saved.dev(), saved.ino()));
            if is_same {
                return Ok(());
            }
            // an earlier save that libvirt deleted, and nobody has brought back yet
            Err(format!(
                "{} is an earlier save of the guest: bring it back or remove it",
                second.display()
            ))
        }
        Err(error) => {
            Err(format!("{} can't be kept as {}: {error}", save.display(), second.display()))
        }
    }
}

/// Drops the second name, once the guest runs: libvirt removes the save itself after that.
///
/// # Errors
/// In words: libvirt has deleted the save before the guest could start from it, so that the second
/// name is the only one. It stays.
pub fn release(save_dir: &Path, guest: &OsStr) -> Result<(), String> {
    let Some((save, second)) = names(save_dir, guest) else { return Ok(()) };
    let Ok(held) = fs::symlink_metadata(&second) else { return Ok(()) };
    let is_same = fs::symlink_metadata(&save)
        .is_ok_and(|saved| (held.dev(), held.ino()) == (saved.dev(), saved.ino()));
    if !is_same {
        return Err(format!(
            "the guest runs, but not from its managed save, which libvirt has deleted: {} is what was saved. \
             Its disks have changed since: bring it back only together with theirs, or remove it",
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
        protect(save_dir, guest).unwrap();
        assert_eq!(fs::read_dir(save_dir).unwrap().count(), 0, "no save, no second name");
        fs::write(save_dir.join("vm.save"), "state").unwrap();
        protect(save_dir, guest).unwrap();
        protect(save_dir, guest).unwrap();
        fs::remove_file(save_dir.join("vm.save")).unwrap();
        assert_eq!(fs::read(save_dir.join("vm.save.hookmux")).unwrap(), b"state");
        // a second save never costs the first, which somebody may want back
        fs::write(save_dir.join("vm.save"), "later").unwrap();
        assert!(protect(save_dir, guest).unwrap_err().contains("earlier save"));
        assert_eq!(fs::read(save_dir.join("vm.save.hookmux")).unwrap(), b"state");
        // and a guest that starts afresh doesn't either
        assert!(release(save_dir, guest).unwrap_err().contains("vm.save.hookmux"));
        assert_eq!(fs::read(save_dir.join("vm.save.hookmux")).unwrap(), b"state");
        fs::remove_file(save_dir.join("vm.save")).unwrap();
        assert!(release(save_dir, guest).is_err());
        fs::rename(save_dir.join("vm.save.hookmux"), save_dir.join("vm.save")).unwrap();
        protect(save_dir, guest).unwrap();
        release(save_dir, guest).unwrap();
        release(save_dir, guest).unwrap();
        assert!(!save_dir.join("vm.save.hookmux").exists());
    }

    #[test]
    fn where_no_link_can_be_made_it_is_said() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("file"), "").unwrap();
        assert_eq!(protect(&directory.path().join("file"), OsStr::new("vm")), Ok(()));
        assert_eq!(protect(directory.path(), OsStr::new("a/b")), Ok(()));
    }
}
