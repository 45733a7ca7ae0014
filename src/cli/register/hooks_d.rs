//! Changes the files of `hooks.d`. One lock is held for every change; files are written as a whole or not
//! at all.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::draft::Draft;
use crate::config::registration::{DIRECTORY, MAX_REGISTRATION_BYTES};
use crate::machine::files;
use crate::registry::LOCK_NAME;

/// How long a change waits for another process that holds the lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
const FILE_MODE: u32 = 0o644;

/// The lock held while registrations change. Readers don't need it.
#[derive(Debug)]
pub(crate) struct RegistryLock(
    #[expect(dead_code, reason = "dropping it releases the lock")] Flock<File>,
);

/// Makes `hooks.d` if it is missing, and locks it.
///
/// # Errors
/// It can't be made, or another process holds the lock for too long.
pub(crate) fn lock(hooks_dir: &Path) -> anyhow::Result<RegistryLock> {
    let directory = hooks_dir.join(DIRECTORY);
    if let Err(error) = DirBuilder::new().recursive(true).mode(0o755).create(&directory) {
        return Err(error).with_context(|| format!("{} can't be made", directory.display()));
    }
    let path = directory.join(LOCK_NAME);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY);
    let mut file =
        options.open(&path).with_context(|| format!("{} can't be opened", path.display()))?;
    if !file.metadata().is_ok_and(|found| found.is_file()) {
        bail!("{} is not a regular file: rm '{0}'", path.display());
    }
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(RegistryLock(lock)),
            Err((file, Errno::EWOULDBLOCK)) if Instant::now() < deadline => file,
            Err((_, Errno::EWOULDBLOCK)) => bail!(
                "another process has been changing registrations for {} s ({} is locked)",
                LOCK_TIMEOUT.as_secs(),
                path.display()
            ),
            Err((_, error)) => {
                return Err(error).with_context(|| format!("{} can't be locked", path.display()));
            }
        };
        thread::sleep(POLL_INTERVAL);
    }
}

/// Writes all drafts, or none.
///
/// # Errors
/// Those of `open(2)`, `write(2)` and `rename(2)`. The files are then as they were before.
pub(crate) fn write_all(_lock: &RegistryLock, drafts: &[Draft]) -> anyhow::Result<()> {
    let mut done: Vec<(&Path, PreviousContent)> = Vec::new();
    for draft in drafts {
        let before = PreviousContent::of(&draft.path);
        match replace(&draft.path, draft.text.as_bytes(), None) {
            Ok(()) => done.push((&draft.path, before)),
            Err(error) => {
                for (path, before) in done.into_iter().rev() {
                    before.restore(path);
                }
                return Err(error).with_context(|| {
                    format!("{} can't be written; nothing was changed", draft.path.display())
                });
            }
        }
    }
    Ok(())
}

/// What was at a path before it was written.
enum PreviousContent {
    None,
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
            _ => PreviousContent::None,
        }
    }

    /// Restores it as well as possible; this runs after a failure, so errors are ignored.
    fn restore(self, path: &Path) {
        let _ = match self {
            PreviousContent::None => files::remove(path),
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
/// Those of [`write_all`].
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
/// Those of `symlink(2)`.
pub(crate) fn mask(_lock: &RegistryLock, path: &Path) -> anyhow::Result<()> {
    symlink("/dev/null", path).with_context(|| format!("{} can't be made", path.display()))
}

/// Removes a name.
///
/// # Errors
/// Those of `unlink(2)`.
pub(crate) fn remove(_lock: &RegistryLock, path: &Path) -> anyhow::Result<()> {
    fs::remove_file(path).with_context(|| format!("{} can't be removed", path.display()))
}

/// Writes a file under a temporary name and renames it, so that readers find the old one or the new one.
/// The file is on the disk afterwards, as with [`files::replace_for_good`].
fn replace(path: &Path, bytes: &[u8], template: Option<&Metadata>) -> io::Result<()> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.new", std::process::id()));
    let temporary = path.with_file_name(name);
    let write = || {
        files::remove(&temporary)?;
        let mut file = files::create_private(&temporary)?;
        file.write_all(bytes)?;
        if let Some(template) = template {
            let made = file.metadata()?;
            if (made.uid(), made.gid()) != (template.uid(), template.gid()) {
                std::os::unix::fs::fchown(&file, Some(template.uid()), Some(template.gid()))?;
            }
        }
        let mode = template.map_or(FILE_MODE, |template| template.mode() & 0o777);
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        files::sync_names(path);
        Ok(())
    };
    write().inspect_err(|_| drop(fs::remove_file(&temporary)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Registration;

    fn draft(path: PathBuf, text: &str) -> Draft {
        let registration =
            Registration::parse(&path, Path::new("/h"), "events: '*'\ncommand: /x\n").unwrap();
        Draft { name: "x".to_owned(), is_named: true, path, text: text.to_owned(), registration }
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
        let error = write_all(&lock, &drafts).unwrap_err();
        assert!(error.to_string().contains("nothing was changed"), "{error}");
        assert_eq!(fs::read_to_string(place("old")).unwrap(), "old");
        assert_eq!(fs::read_link(place("link")).unwrap(), Path::new("/dev/null"));
        assert!(!place("new").exists());
        write_all(&lock, &drafts[..3]).unwrap();
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
