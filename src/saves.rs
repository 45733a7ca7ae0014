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

/// Drops the second name, once the guest runs: what was saved is older than its disks now.
pub fn release(save_dir: &Path, guest: &OsStr) {
    if let Some((_, second)) = names(save_dir, guest) {
        let _ = files::remove(&second);
    }
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
        release(save_dir, guest);
        release(save_dir, guest);
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
