//! The files of `hooks.d`: one lock for all who change them, and files that are either there as a
//! whole or not at all.

use std::fs::{self, DirBuilder, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::draft::{Draft, FILE_MODE};
use crate::config::registration::DIRECTORY;
use crate::machine::files::{self, Rights};
use crate::machine::locks::{self, FileLock};
use crate::registry::LOCK_NAME;

/// How long somebody else's change is waited for.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// The largest file that is replaced. It needn't be a registration.
const MAX_REPLACED_BYTES: u64 = 16 * 1024 * 1024;

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

/// A text for a file.
pub(crate) struct NewText<'a> {
    pub path: &'a Path,
    pub text: &'a str,
    /// What `chmod(2)` takes, where no file is there, or one that more can read.
    pub mode: u32,
}

/// Writes all drafts, or none.
///
/// # Errors
/// As [`replace_all`].
pub(crate) fn write_all(_lock: &RegistryLock, drafts: &[&Draft]) -> anyhow::Result<()> {
    let texts: Vec<NewText<'_>> = drafts
        .iter()
        .map(|draft| NewText { path: &draft.path, text: &draft.text, mode: draft.mode })
        .collect();
    replace_all(&texts)
}

/// Writes all texts, or none.
///
/// # Errors
/// As of `open(2)`, `write(2)` and `rename(2)`; what was there before is there again.
pub(crate) fn replace_all(texts: &[NewText<'_>]) -> anyhow::Result<()> {
    let mut done: Vec<(&Path, PreviousContent)> = Vec::new();
    for NewText { path, text, mode } in texts {
        let replaced = PreviousContent::of(path).and_then(|before| {
            replace_as(path, text.as_bytes(), before.rights(*mode)).map(|()| before)
        });
        match replaced {
            Ok(before) => done.push((path, before)),
            Err(error) => {
                for (path, before) in done.into_iter().rev() {
                    before.put_back(path);
                }
                return Err(error).with_context(|| {
                    format!("{} can't be written; nothing was changed", path.display())
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
    /// Reads what is there.
    ///
    /// # Errors
    /// It can't be read, so that it could not be put back either.
    fn of(path: &Path) -> io::Result<PreviousContent> {
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(PreviousContent::Nothing),
            Err(error) => Err(error),
            Ok(found) if found.is_symlink() => fs::read_link(path).map(PreviousContent::Link),
            Ok(found) => {
                let bytes = files::read_regular(path, MAX_REPLACED_BYTES)?;
                Ok(PreviousContent::File(bytes, found))
            }
        }
    }

    /// Returns the rights of what is put in its place: those of a file, but that nobody else owns it or may write to
    /// it, and that no more can read it than the given mode says.
    fn rights(&self, mode: u32) -> Rights {
        let mode = mode & FILE_MODE;
        let PreviousContent::File(_, before) = self else { return Rights { owner: None, mode } };
        let is_own = before.uid() == nix::unistd::geteuid().as_raw();
        let owner = Rights::of(before).owner.filter(|_| is_own);
        Rights { owner, mode: before.mode() & mode }
    }

    /// As well as it can be done: this is the way back from a failure.
    fn put_back(self, path: &Path) {
        let _ = match self {
            PreviousContent::Nothing => files::remove(path),
            PreviousContent::Link(target) => {
                files::remove(path).and_then(|()| symlink(target, path))
            }
            PreviousContent::File(bytes, metadata) => replace(path, &bytes, &metadata),
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
        replace(&target, text.as_bytes(), &metadata)
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

/// Replaces a file as [`replace_as`] does, with mode and owner of another.
fn replace(path: &Path, bytes: &[u8], like: &Metadata) -> io::Result<()> {
    replace_as(path, bytes, Rights { mode: like.mode() & 0o777, ..Rights::of(like) })
}

/// Replaces a file: readers find the old one or the new one. The temporary name begins with a dot, so that
/// nobody takes it for a registration.
fn replace_as(path: &Path, bytes: &[u8], rights: Rights) -> io::Result<()> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    let temporary = files::temporary(&path.with_file_name(name));
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
        Draft {
            name,
            is_named: true,
            path,
            text,
            mode: FILE_MODE,
            registration,
            is_unescalated: false,
            given: None,
        }
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
        // what could not be put back isn't replaced
        fs::File::create(place("new")).unwrap().set_len(MAX_REPLACED_BYTES + 1).unwrap();
        let drafts = ["old", "new", "taken"].map(|name| draft(place(name), "other"));
        write_all(&lock, &drafts.each_ref()).unwrap_err();
        assert_eq!(fs::metadata(place("new")).unwrap().len(), MAX_REPLACED_BYTES + 1);
        assert_eq!(fs::read_to_string(place("old")).unwrap(), "text");
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
