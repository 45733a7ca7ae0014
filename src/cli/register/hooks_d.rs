//! The files of `hooks.d`: one lock for all who change them, and files that are either there as a
//! whole or not at all.

use std::fs::{self, DirBuilder, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::draft::Draft;
use crate::config::registration::{DIRECTORY, MAX_REGISTRATION_BYTES};
use crate::machine::files::{self, Rights};
use crate::machine::locks::{self, FileLock};
use crate::registry::LOCK_NAME;

/// How long somebody else's change is waited for.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
const FILE_MODE: u32 = 0o644;

/// Held while registrations change. Readers need none.
#[derive(Debug)]
pub(crate) struct RegistryLock(
    #[expect(dead_code, reason = "dropping it lets go of the lock")] FileLock,
);

/// Makes `hooks.d` where there is none, and locks it.
///
/// # Errors
/// It can't be made, or somebody else has it for too long.
pub(crate) fn lock(hooks_dir: &Path) -> anyhow::Result<RegistryLock> {
    let directory = hooks_dir.join(DIRECTORY);
    if let Err(error) = DirBuilder::new().recursive(true).mode(0o755).create(&directory) {
        return Err(error).with_context(|| format!("{} can't be made", directory.display()));
    }
    let path = directory.join(LOCK_NAME);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY);
    let file =
        options.open(&path).with_context(|| format!("{} can't be opened", path.display()))?;
    if !file.metadata().is_ok_and(|found| found.is_file()) {
        bail!("{} is not a regular file: rm '{0}'", path.display());
    }
    let until = Instant::now() + LOCK_TIMEOUT;
    let lock = locks::lock_until(file, until, POLL_INTERVAL, &mut || true)
        .with_context(|| format!("{} can't be locked", path.display()))?;
    lock.map(RegistryLock).with_context(|| {
        format!(
            "somebody else has been changing registrations for {} s ({} is locked)",
            LOCK_TIMEOUT.as_secs(),
            path.display()
        )
    })
}

/// Writes all drafts, or none.
///
/// # Errors
/// As of `open(2)`, `write(2)` and `rename(2)`; what was there before is there again.
pub(crate) fn write_all(_lock: &RegistryLock, drafts: &[&Draft]) -> anyhow::Result<()> {
    let mut done: Vec<(&Path, PreviousContent)> = Vec::new();
    for draft in drafts {
        let before = PreviousContent::of(&draft.path);
        match replace(&draft.path, draft.text.as_bytes(), None) {
            Ok(()) => done.push((&draft.path, before)),
            Err(error) => {
                for (path, before) in done.into_iter().rev() {
                    before.put_back(path);
                }
                return Err(error).with_context(|| {
                    format!("{} can't be written; nothing was changed", draft.path.display())
                });
            }
        }
    }
    Ok(())
}

/// What lay at a path before it was written to.
enum PreviousContent {
    Nothing,
    Link(PathBuf),
    File(Vec<u8>, Metadata),
}

impl PreviousContent {
    fn of(path: &Path) -> PreviousContent {
        if let Ok(target) = fs::read_link(path) {
            return PreviousContent::Link(target);
        }
        match (files::read_regular(path, MAX_REGISTRATION_BYTES), fs::metadata(path)) {
            (Ok(bytes), Ok(metadata)) => PreviousContent::File(bytes, metadata),
            _ => PreviousContent::Nothing,
        }
    }

    /// As well as it can be done: this is the way back from a failure.
    fn put_back(self, path: &Path) {
        let _ = match self {
            PreviousContent::Nothing => files::remove(path),
            PreviousContent::Link(target) => {
                files::remove(path).and_then(|()| symlink(target, path))
            }
            PreviousContent::File(bytes, metadata) => replace(path, &bytes, Some(&metadata)),
        };
    }
}

/// Replaces the text of a file, with its mode and owner. A link is followed: its target changes.
///
/// # Errors
/// As [`write_all`].
pub(crate) fn rewrite(_lock: &RegistryLock, path: &Path, text: &str) -> anyhow::Result<()> {
    let write = || {
        let target = fs::canonicalize(path)?;
        let metadata = fs::metadata(&target)?;
        replace(&target, text.as_bytes(), Some(&metadata))
    };
    write().with_context(|| format!("{} can't be written", path.display()))
}

/// Links a name to `/dev/null`.
///
/// # Errors
/// As of `symlink(2)`.
pub(crate) fn mask(_lock: &RegistryLock, path: &Path) -> anyhow::Result<()> {
    symlink("/dev/null", path).with_context(|| format!("{} can't be made", path.display()))
}

/// Removes a name.
///
/// # Errors
/// As of `unlink(2)`.
pub(crate) fn remove(_lock: &RegistryLock, path: &Path) -> anyhow::Result<()> {
    fs::remove_file(path).with_context(|| format!("{} can't be removed", path.display()))
}

/// Replaces a file: readers find the old one or the new one. The temporary name begins with a dot, so that
/// nobody takes it for a registration.
fn replace(path: &Path, bytes: &[u8], like: Option<&Metadata>) -> io::Result<()> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    let temporary = files::temporary(&path.with_file_name(name));
    let rights = like.map_or(Rights { owner: None, mode: FILE_MODE }, |like| Rights {
        mode: like.mode() & 0o777,
        ..Rights::of(like)
    });
    files::replace_durably(&temporary, path, bytes, rights)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::thread;

    use super::*;
    use crate::config::Registration;

    fn draft(path: PathBuf, text: &str) -> Draft {
        let registration =
            Registration::parse(&path, Path::new("/h"), "events: '*'\ncommand: /x\n").unwrap();
        let (name, text) = ("x".to_owned(), text.to_owned());
        Draft { name, is_named: true, path, text, registration, is_unescalated: false, given: None }
    }

    #[test]
    fn all_are_written_or_none() {
        let directory = tempfile::tempdir().unwrap();
        let lock = lock(directory.path()).unwrap();
        let place = |name: &str| directory.path().join(DIRECTORY).join(name);
        fs::write(place("old"), "old").unwrap();
        symlink("/dev/null", place("link")).unwrap();
        fs::create_dir(place("taken")).unwrap();
        let drafts = ["old", "link", "new", "taken"].map(|name| draft(place(name), "text"));
        let error = write_all(&lock, &drafts.each_ref()).unwrap_err();
        assert!(error.to_string().contains("nothing was changed"), "{error}");
        assert_eq!(fs::read_to_string(place("old")).unwrap(), "old");
        assert_eq!(fs::read_link(place("link")).unwrap(), Path::new("/dev/null"));
        assert!(!place("new").exists());
        write_all(&lock, &drafts.each_ref()[..3]).unwrap();
        for name in ["old", "link", "new"] {
            let metadata = fs::symlink_metadata(place(name)).unwrap();
            assert!(metadata.is_file() && metadata.mode() & 0o777 == 0o644, "{name}");
        }
        let left: Vec<_> = fs::read_dir(place("")).unwrap().flatten().collect();
        assert_eq!(left.len(), 5, "{left:?}");
    }

    #[test]
    fn a_rewritten_file_keeps_its_mode_and_its_link() {
        let directory = tempfile::tempdir().unwrap();
        let lock = lock(directory.path()).unwrap();
        let (target, link) = (directory.path().join("target"), directory.path().join("link"));
        fs::write(&target, "old").unwrap();
        fs::set_permissions(&target, Permissions::from_mode(0o640)).unwrap();
        symlink("target", &link).unwrap();
        rewrite(&lock, &link, "new").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
        assert_eq!(fs::metadata(&target).unwrap().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn one_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let first = lock(directory.path()).unwrap();
        let path = directory.path().to_path_buf();
        let second = thread::spawn(move || lock(&path).map(drop));
        thread::sleep(Duration::from_millis(100));
        assert!(!second.is_finished());
        drop(first);
        second.join().unwrap().unwrap();
    }
}
