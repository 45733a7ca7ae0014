//! Files that hooks leave in hookmux's directories: a call moves them aside with one system call, and a process
//! that nobody waits for removes them later.
//!
//! The owner of such a directory may have made any number of files and nested directories in it, and may have a
//! process that still runs. So no path below it is followed: a directory that is found is moved up into the
//! trash itself, and taken from its owner before it is read.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::unistd::{getegid, geteuid};

use crate::machine::{files, ulid};
use crate::state::Dir;

/// The name of the trash in the runtime directory.
pub(crate) const TRASH_DIRECTORY: &str = "trash";

/// Limits on what is removed at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrashLimits {
    pub max_entries: usize,
    pub max_time: Duration,
}

/// The result of a removal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Emptied {
    /// Files and directories.
    pub removed: usize,
    /// Whether something is left.
    pub is_left: bool,
}

/// The trash of one runtime directory: no other user can read it, or reach files in it.
#[derive(Clone, Debug)]
pub(crate) struct Trash {
    runtime_dir: Dir,
}

impl Trash {
    pub(crate) fn new(runtime_dir: &Dir) -> Trash {
        Trash { runtime_dir: runtime_dir.clone() }
    }

    /// Returns its path without a check: for messages only.
    pub(crate) fn unchecked_path(&self) -> PathBuf {
        self.runtime_dir.unchecked_path().join(TRASH_DIRECTORY)
    }

    /// Returns its path, for immediate use. [`Trash::inspect`] checks whether it is ours.
    fn path(&self) -> io::Result<PathBuf> {
        self.runtime_dir.file(TRASH_DIRECTORY)
    }

    /// Makes the trash early, while there is space: later there may be none.
    ///
    /// # Errors
    /// As of `mkdir(2)`, or something that isn't ours is in its place.
    pub(crate) fn make(&self) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(self.path()?) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.restrict(),
            other => other,
        }
    }

    /// Removes the rights of other users, where the trash is ours.
    fn restrict(&self) -> io::Result<()> {
        let path = self.path()?;
        let found = fs::symlink_metadata(&path)?;
        let is_open = found.mode() & 0o77 != 0;
        if is_open && found.is_dir() && found.uid() == geteuid().as_raw() {
            fs::set_permissions(&path, Permissions::from_mode(0o700))?;
        }
        self.inspect().map(drop)
    }

    /// Returns its metadata, where nobody else can have made it or can reach it.
    fn inspect(&self) -> io::Result<fs::Metadata> {
        let found = fs::symlink_metadata(self.path()?)?;
        let is_ours =
            found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o77 == 0;
        if is_ours {
            return Ok(found);
        }
        let words =
            format!("{} is not a private directory of hookmux", self.unchecked_path().display());
        Err(io::Error::new(io::ErrorKind::InvalidData, words))
    }

    /// Moves a directory with all its content into the trash; a mount point stays.
    ///
    /// # Errors
    /// As of `mkdir(2)` and `rename(2)`: the directory stays where it is.
    pub(crate) fn take(&self, directory: &Path) -> io::Result<()> {
        self.make()?;
        let place = self.path()?.join(ulid::new());
        fs::rename(directory, &place)?;
        take_from_owner(&place);
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inspect().is_err()
            || !files::read_dir(&self.unchecked_path()).is_ok_and(|mut all| all.next().is_some())
    }

    /// Counts files and directories in it, down to the second level, up to `limit`.
    pub(crate) fn count(&self, limit: usize) -> usize {
        if self.inspect().is_err() {
            return 0;
        }
        let entries = |path: &Path| files::read_dir(path).into_iter().flatten().flatten();
        entries(&self.unchecked_path())
            .flat_map(|entry| {
                let path = entry.path();
                let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
                let inner = is_directory.then(|| entries(&path)).into_iter().flatten();
                std::iter::once(()).chain(inner.map(drop))
            })
            .take(limit)
            .count()
    }

    /// Removes its content, within the limits. What can't be removed is left: a mount point, an immutable
    /// file.
    pub(crate) fn empty(&self, round: TrashLimits) -> Emptied {
        let Ok(own) = self.inspect() else { return Emptied::default() };
        let ends = Instant::now() + round.max_time;
        let path = &self.unchecked_path();
        let mut work =
            Removal { path, device: own.dev(), left: round.max_entries, removed: 0, ends };
        let mut todo: Vec<OsString> = files::read_dir(path)
            .into_iter()
            .flatten()
            .flatten()
            .take(round.max_entries)
            .map(|entry| entry.file_name())
            .collect();
        while let Some(name) = todo.pop() {
            if !work.goes_on() {
                break;
            }
            work.remove(&path.join(name), &mut todo);
        }
        Emptied { removed: work.removed, is_left: !self.is_empty() }
    }
}

struct Removal<'a> {
    /// The trash itself.
    path: &'a Path,
    /// The device of the trash: a file on another device was mounted.
    device: u64,
    left: usize,
    removed: usize,
    ends: Instant,
}

impl Removal<'_> {
    fn goes_on(&self) -> bool {
        self.left > 0 && Instant::now() < self.ends
    }

    fn count(&mut self, result: io::Result<()>) {
        self.left = self.left.saturating_sub(1);
        self.removed += usize::from(result.is_ok());
    }

    /// Removes an entry of the trash. Directories in it become entries, and are added to `todo`.
    fn remove(&mut self, place: &Path, todo: &mut Vec<OsString>) {
        let Ok(found) = fs::symlink_metadata(place) else { return };
        if !found.is_dir() {
            return self.count(fs::remove_file(place));
        }
        if found.dev() != self.device {
            return self.count(Err(io::ErrorKind::CrossesDevices.into()));
        }
        take_from_owner(place);
        for entry in files::read_dir(place).into_iter().flatten().flatten() {
            if !self.goes_on() {
                return;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let name = OsString::from(ulid::new());
                let moved = fs::rename(entry.path(), self.path.join(&name));
                self.left = self.left.saturating_sub(1);
                if moved.is_ok() {
                    todo.push(name);
                }
            } else {
                self.count(fs::remove_file(entry.path()));
            }
        }
        self.count(fs::remove_dir(place));
    }
}

/// Takes a directory in the trash from its owner, whose processes can't make files there any more. Nobody else can
/// put a link in its place in between.
fn take_from_owner(place: &Path) {
    if fs::symlink_metadata(place).is_ok_and(|found| found.is_dir()) {
        let _ = lchown(place, Some(geteuid().as_raw()), Some(getegid().as_raw()));
        let _ = fs::set_permissions(place, Permissions::from_mode(0o700));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const ALL: TrashLimits =
        TrashLimits { max_entries: usize::MAX, max_time: Duration::from_secs(60) };

    fn place() -> (tempfile::TempDir, Trash) {
        let directory = tempfile::tempdir().unwrap();
        let trash = Trash::new(&Dir::of_test(directory.path()));
        (directory, trash)
    }

    #[test]
    fn what_is_put_aside_goes_and_links_are_not_followed() {
        let (directory, trash) = place();
        let path = |name: &str| directory.path().join(name);
        fs::create_dir_all(path("x/a/b/c")).unwrap();
        fs::create_dir(trash.unchecked_path()).unwrap();
        fs::set_permissions(trash.unchecked_path(), Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(path("kept")).unwrap();
        fs::write(path("kept/file"), "").unwrap();
        fs::write(path("x/a/file"), "").unwrap();
        symlink(path("kept"), path("x/link")).unwrap();
        symlink(path("kept/file"), path("x/a/b/link")).unwrap();
        fs::set_permissions(path("x/a"), Permissions::from_mode(0o000)).unwrap();
        assert!(trash.is_empty());
        trash.take(&path("x")).unwrap();
        assert!(!path("x").exists() && !trash.is_empty());
        assert_eq!(trash.count(100), 3);
        assert_eq!(trash.count(2), 2);
        assert_eq!(trash.empty(ALL), Emptied { removed: 7, is_left: false });
        assert!(trash.is_empty() && path("kept/file").exists());
        assert_eq!(fs::metadata(trash.unchecked_path()).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_round_has_an_end() {
        let (directory, trash) = place();
        let many = directory.path().join("many");
        fs::create_dir(&many).unwrap();
        for n in 0..50 {
            fs::write(many.join(n.to_string()), "").unwrap();
        }
        trash.take(&many).unwrap();
        let some = TrashLimits { max_entries: 20, ..ALL };
        assert_eq!(trash.empty(some), Emptied { removed: 20, is_left: true });
        let no_time = TrashLimits { max_time: Duration::ZERO, ..ALL };
        assert_eq!(trash.empty(no_time), Emptied { removed: 0, is_left: true });
        assert_eq!(trash.empty(some), Emptied { removed: 20, is_left: true });
        assert_eq!(trash.empty(some), Emptied { removed: 11, is_left: false });
    }

    #[test]
    fn directories_one_in_another_need_no_long_path() {
        let (directory, trash) = place();
        let base = directory.path().join("deep");
        fs::create_dir(&base).unwrap();
        let mut place =
            nix::fcntl::open(&base, nix::fcntl::OFlag::O_DIRECTORY, nix::sys::stat::Mode::empty())
                .unwrap();
        for _ in 0..5000 {
            let mode = nix::sys::stat::Mode::S_IRWXU;
            nix::sys::stat::mkdirat(&place, "d", mode).unwrap();
            let flags = nix::fcntl::OFlag::O_DIRECTORY;
            place = nix::fcntl::openat(&place, "d", flags, nix::sys::stat::Mode::empty()).unwrap();
        }
        drop(place);
        trash.take(&base).unwrap();
        assert_eq!(trash.empty(ALL), Emptied { removed: 5001, is_left: false });
    }

    #[test]
    fn a_link_in_its_place_is_not_used() {
        let (directory, trash) = place();
        let path = |name: &str| directory.path().join(name);
        fs::create_dir(path("elsewhere")).unwrap();
        fs::write(path("elsewhere/file"), "").unwrap();
        fs::create_dir(path("x")).unwrap();
        symlink(path("elsewhere"), path(TRASH_DIRECTORY)).unwrap();
        assert!(trash.take(&path("x")).is_err() && path("x").exists());
        assert_eq!((trash.count(9), trash.empty(ALL).removed), (0, 0));
        assert!(path("elsewhere/file").exists());
    }
}
