//! The two directories in which hookmux keeps files, `state_dir` and `runtime_dir`, and all below them.
//!
//! A user who can write there could make root run a job, believe a record, or write to the target of a link. So
//! nothing below is read, followed or written before the directory has been checked by [`Dir`], which is the
//! only way to these files.

pub(crate) mod format;
pub(crate) mod locks;
pub(crate) mod trash;

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::command::{Fix, quoted, words};
use crate::machine::files;
use crate::trust::{Refusal, Trust, TrustFault};

/// A directory of hookmux's own: `state_dir`, `runtime_dir`, or one below them. Each process checks it once, before
/// its first use: it, its parents, and the targets of links on its path belong to root or to this process's
/// user, and nobody else can write to them.
#[derive(Clone)]
pub struct Dir(Arc<Inner>);

struct Inner {
    path: PathBuf,
    user: u32,
    /// `None` for `state_dir` and `runtime_dir` themselves.
    parent: Option<Dir>,
    /// Whether it existed and was ours alone. A missing directory may be made by somebody else later, so that isn't
    /// remembered.
    is_judged: AtomicBool,
}

/// Whether a directory that can be used exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirPresence {
    Present,
    Missing,
}

/// Why a directory isn't used: other users could change it, or it isn't a directory. An `io::Error` of [`Dir`]
/// contains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirRefusal {
    pub refusal: Refusal,
    /// Whether the refused directory is hookmux's own, not one on the path to it.
    is_own: bool,
}

impl fmt::Display for DirRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refusal = &self.refusal;
        let fix = self.fix();
        match refusal.fault {
            TrustFault::NotDirectory => write!(f, "{refusal}; {fix}"),
            TrustFault::Missing => write!(f, "{refusal}, and a link leads to it; {fix}"),
            _ => write!(
                f,
                "{refusal}, and hookmux doesn't use a directory that other users can change; {fix}"
            ),
        }
    }
}

impl Error for DirRefusal {}

impl From<DirRefusal> for io::Error {
    fn from(refusal: DirRefusal) -> io::Error {
        io::Error::new(io::ErrorKind::PermissionDenied, refusal)
    }
}

impl DirRefusal {
    /// Returns the way to fix it: one command where one does it, else a sentence.
    pub fn fix(&self) -> Fix {
        let path = &self.refusal.path;
        match &self.refusal.fault {
            TrustFault::NotDirectory if self.is_own => {
                let mut aside = path.as_os_str().to_owned();
                aside.push(".old");
                Fix::run(&words!["mv", "-n", path, aside])
            }
            TrustFault::Missing => {
                format!("make the directory {}, or remove the link that leads to it", quoted(path))
                    .into()
            }
            TrustFault::Owner(_) if self.is_own => match path.is_symlink() {
                true => Fix::run(&words!["chown", "-h", "root", path]),
                false => Fix::run(&words!["chown", "root", path]),
            },
            TrustFault::GroupWrites | TrustFault::OthersWrite if self.is_own => {
                Fix::run(&words!["chmod", "go-w", path])
            }
            _ => "set another directory in hookmux.yaml, one with a path that only root can change"
                .into(),
        }
    }

    /// Tells whether other users could have put something there; else it isn't a directory.
    pub fn is_of_others(&self) -> bool {
        !matches!(self.refusal.fault, TrustFault::NotDirectory | TrustFault::Missing)
    }

    /// Finds it in an I/O error; `None` for every other error.
    pub fn of(error: &io::Error) -> Option<&DirRefusal> {
        error.get_ref()?.downcast_ref()
    }
}

impl Dir {
    /// Makes `state_dir` or `runtime_dir`. `user` is the effective uid, trusted besides root.
    pub fn new(path: PathBuf, user: u32) -> Dir {
        Dir::make_new(path, user, None)
    }

    fn make_new(path: PathBuf, user: u32, parent: Option<Dir>) -> Dir {
        Dir(Arc::new(Inner { path, user, parent, is_judged: AtomicBool::new(false) }))
    }

    /// Makes a directory for a test.
    #[cfg(test)]
    pub fn of_test(path: &Path) -> Dir {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        Dir::new(path, nix::unistd::geteuid().as_raw())
    }

    /// Makes a directory below this one.
    pub fn child(&self, name: impl AsRef<Path>) -> Dir {
        Dir::make_new(self.0.path.join(name), self.0.user, Some(self.clone()))
    }

    /// Returns its path without a check: for messages and comparisons only.
    pub fn unchecked_path(&self) -> &Path {
        &self.0.path
    }

    /// Checks whether it can be used.
    ///
    /// # Errors
    /// It can't be examined; or, as [`DirRefusal`], other users could have put something there.
    pub fn judge(&self) -> io::Result<DirPresence> {
        if self.0.is_judged.load(Ordering::Relaxed) {
            return Ok(DirPresence::Present);
        }
        let found = match &self.0.parent {
            Some(parent) => match parent.judge()? {
                DirPresence::Missing => DirPresence::Missing,
                DirPresence::Present => self.judge_child()?,
            },
            None => self.judge_whole_way()?,
        };
        if found == DirPresence::Present {
            self.0.is_judged.store(true, Ordering::Relaxed);
        }
        Ok(found)
    }

    fn judge_whole_way(&self) -> io::Result<DirPresence> {
        let path = self.unchecked_path();
        let mut trust = Trust::new(self.0.user);
        let refusal = match trust.directory_metadata(path) {
            Ok(metadata) => {
                self.refuse_others(&metadata)?;
                return Ok(DirPresence::Present);
            }
            Err(refusal) => refusal,
        };
        let above = path.ancestors().find(|part| part.symlink_metadata().is_ok());
        match (&refusal.fault, above) {
            // the directory in which it would be made
            (TrustFault::Missing, Some(above)) if above != path => {
                trust.directory(above).map_err(|refusal| refused(refusal, path))?;
                Ok(DirPresence::Missing)
            }
            _ => Err(refused(refusal, path)),
        }
    }

    /// Checks a directory after its parent has been checked.
    fn judge_child(&self) -> io::Result<DirPresence> {
        let path = self.unchecked_path();
        let metadata = match fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => found,
            Ok(_) => Trust::new(self.0.user)
                .directory_metadata(path)
                .map_err(|refusal| refused(refusal, path))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(DirPresence::Missing);
            }
            Err(error) => return Err(error),
        };
        self.refuse_others(&metadata)?;
        Ok(DirPresence::Present)
    }

    /// Refuses a directory that other users can write to. [`Trust`] accepts a sticky directory of root's: it can be a
    /// parent, but not a directory of hookmux's own, since others can make files there.
    fn refuse_others(&self, found: &Metadata) -> Result<(), DirRefusal> {
        let (owner, mode) = (found.uid(), found.mode());
        let fault = if owner != 0 && owner != self.0.user {
            TrustFault::Owner(owner)
        } else if mode & 0o020 != 0 {
            TrustFault::GroupWrites
        } else if mode & 0o002 != 0 {
            TrustFault::OthersWrite
        } else {
            return Ok(());
        };
        Err(DirRefusal { refusal: Refusal { path: self.0.path.clone(), fault }, is_own: true })
    }

    /// Returns its path, for immediate use. It need not exist.
    ///
    /// # Errors
    /// As [`Dir::judge`].
    pub fn path(&self) -> io::Result<&Path> {
        self.judge().map(|_| self.unchecked_path())
    }

    /// Returns its path, and makes it where it is missing, with its parents. Only the owner can use it; `state_dir`
    /// and `runtime_dir` themselves can be traversed by everybody.
    ///
    /// # Errors
    /// As [`Dir::judge`], and of `mkdir(2)`.
    pub fn make(&self) -> io::Result<&Path> {
        if self.0.is_judged.load(Ordering::Relaxed) && !self.unchecked_path().is_dir() {
            // another process has removed it since
            self.0.is_judged.store(false, Ordering::Relaxed);
        }
        if self.judge()? == DirPresence::Missing {
            match &self.0.parent {
                Some(parent) => {
                    parent.make()?;
                    files::private_directory(self.unchecked_path())?;
                }
                None => files::traversable_directory(self.unchecked_path())?,
            }
            // somebody else may have made it first
            self.judge()?;
        }
        Ok(self.unchecked_path())
    }

    /// Returns the path of a file in it, for immediate use.
    ///
    /// # Errors
    /// As [`Dir::judge`]; `NotFound` where the directory doesn't exist.
    pub fn file(&self, name: impl AsRef<Path>) -> io::Result<PathBuf> {
        match self.judge()? {
            DirPresence::Present => Ok(self.unchecked_path().join(name)),
            DirPresence::Missing => Err(io::Error::from_raw_os_error(libc::ENOENT)),
        }
    }

    /// Reads a file of at most `limit` bytes that nobody else could have written.
    ///
    /// # Errors
    /// As [`Dir::judge`] and [`files::read_own`].
    pub fn read(&self, name: impl AsRef<Path>, limit: u64) -> io::Result<Vec<u8>> {
        files::read_own(&self.file(name)?, limit, self.0.user)
    }

    /// Opens such a file for reading.
    ///
    /// # Errors
    /// As [`Dir::judge`] and [`files::open_own`].
    pub fn open(&self, name: impl AsRef<Path>) -> io::Result<(File, Metadata)> {
        files::open_own(&self.file(name)?, self.0.user)
    }

    /// Opens such a file for appending, and creates it where it is missing, but not its directory.
    ///
    /// # Errors
    /// As [`Dir::judge`] and [`files::append_own`].
    pub fn append(&self, name: impl AsRef<Path>) -> io::Result<File> {
        files::append_own(&self.file(name)?, self.0.user)
    }

    /// Opens such a file for reading and writing. It must exist.
    ///
    /// # Errors
    /// As [`Dir::judge`] and [`files::update_own`].
    pub fn update(&self, name: impl AsRef<Path>) -> io::Result<File> {
        files::update_own(&self.file(name)?, self.0.user)
    }

    /// Replaces a file as a whole. Its directory must exist.
    ///
    /// # Errors
    /// As [`Dir::judge`] and [`files::replace`].
    pub fn replace(&self, name: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        files::replace(&self.file(name)?, bytes)
    }

    /// Sets the modification time of a file to now. It must exist.
    ///
    /// # Errors
    /// As [`Dir::judge`] and of `utimensat(2)`.
    pub fn touch(&self, name: impl AsRef<Path>) -> io::Result<()> {
        files::touch(&self.file(name)?)
    }

    /// Removes a file; it is no error that there is none.
    ///
    /// # Errors
    /// As [`Dir::judge`] and of `unlink(2)`.
    pub fn remove(&self, name: impl AsRef<Path>) -> io::Result<()> {
        match self.file(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            path => files::remove(&path?),
        }
    }

    /// Removes the directory where it is empty.
    ///
    /// # Errors
    /// As [`Dir::judge`] and of `rmdir(2)`.
    pub fn remove_empty(&self) -> io::Result<()> {
        fs::remove_dir(self.path()?)?;
        self.0.is_judged.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Renames a file that is in its place and isn't a directory.
    ///
    /// # Errors
    /// As of its parent's [`Dir::judge`], and of `rename(2)`.
    pub fn put_aside(&self) -> io::Result<()> {
        let Some(parent) = &self.0.parent else { return Err(io::ErrorKind::NotADirectory.into()) };
        self.0.is_judged.store(false, Ordering::Relaxed);
        let mut name = self.unchecked_path().file_name().unwrap_or_default().to_owned();
        let path = parent.file(&name)?;
        if path.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        name.push(format!(".{}.odd", std::process::id()));
        fs::rename(path, parent.file(name)?)
    }

    /// Returns the names in it; none where it is missing.
    ///
    /// # Errors
    /// As [`Dir::judge`] and of `open(2)`.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        if self.judge()? == DirPresence::Missing {
            return Ok(Vec::new());
        }
        match files::read_dir(self.unchecked_path()) {
            Ok(entries) => entries.map(|entry| Ok(entry?.file_name())).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Returns the metadata of an entry, without following a link.
    ///
    /// # Errors
    /// As [`Dir::judge`] and of `lstat(2)`.
    pub fn entry_metadata(&self, name: impl AsRef<Path>) -> io::Result<Metadata> {
        fs::symlink_metadata(self.file(name)?)
    }

    /// Tells whether an entry of this name exists, whoever made it: only to decide whether to look closer.
    pub fn may_contain(&self, name: impl AsRef<OsStr>) -> bool {
        self.0.path.join(name.as_ref()).symlink_metadata().is_ok()
    }

    /// Returns the user who is trusted besides root.
    pub fn user(&self) -> u32 {
        self.0.user
    }
}

/// Makes an error. A directory that couldn't be examined isn't known to be another user's.
fn refused(refusal: Refusal, own: &Path) -> io::Error {
    match refusal.fault {
        TrustFault::Unreadable(_) => io::Error::other(refusal.to_string()),
        _ => DirRefusal { is_own: refusal.path.starts_with(own), refusal }.into(),
    }
}

impl fmt::Debug for Dir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.path.fmt(f)
    }
}

impl PartialEq for Dir {
    fn eq(&self, other: &Dir) -> bool {
        self.0.path == other.0.path && self.0.user == other.0.user
    }
}

impl Eq for Dir {}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    const OTHER: u32 = 54321;

    struct Place {
        _directory: tempfile::TempDir,
        base: PathBuf,
    }

    impl Place {
        fn new() -> Place {
            let directory = tempfile::tempdir().unwrap();
            let base = directory.path().canonicalize().unwrap();
            Place { _directory: directory, base }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.base.join(name)
        }

        fn dir(&self, name: &str) -> Dir {
            Dir::new(self.path(name), nix::unistd::geteuid().as_raw())
        }

        fn make(&self, name: &str, mode: u32) -> PathBuf {
            fs::create_dir_all(self.path(name)).unwrap();
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
            self.path(name)
        }

        #[track_caller]
        fn refused(&self, name: &str, words: &str) {
            let dir = self.dir(name);
            for error in [
                dir.judge().unwrap_err(),
                dir.read("x", 10).unwrap_err(),
                dir.replace("x", b"x").unwrap_err(),
                dir.names().unwrap_err(),
                dir.make().unwrap_err(),
                dir.child("below").make().unwrap_err(),
            ] {
                assert!(DirRefusal::of(&error).is_some(), "{name}: {error:?}");
                assert!(error.to_string().contains(words), "{name}: {error}");
            }
        }
    }

    #[test]
    fn what_is_ours_is_used_and_what_is_missing_is_made_for_us_alone() {
        let place = Place::new();
        let dir = place.dir("a/b");
        let below = dir.child("c");
        assert_eq!(below.judge().unwrap(), DirPresence::Missing);
        assert!(below.names().unwrap().is_empty());
        assert_eq!(below.read("x", 10).unwrap_err().kind(), io::ErrorKind::NotFound);
        below.make().unwrap();
        below.replace("x", b"text").unwrap();
        assert_eq!(below.read("x", 10).unwrap(), b"text");
        assert_eq!(fs::metadata(place.path("a/b/c")).unwrap().mode() & 0o777, 0o700);
        below.remove("x").unwrap();
        below.remove_empty().unwrap();
        assert_eq!(below.judge().unwrap(), DirPresence::Missing);
    }

    #[test]
    fn what_others_could_write_to_is_refused() {
        let place = Place::new();
        for (name, mode, words) in [
            ("group", 0o770, "group is writable by group"),
            ("others", 0o707, "others is writable by others"),
            // nobody can remove what is there, and anybody can make what isn't
            ("sticky", 0o1777, "sticky is writable by group"),
        ] {
            place.make(name, mode);
            place.refused(name, words);
        }
        let fix = DirRefusal::of(&place.dir("group").judge().unwrap_err()).unwrap().fix();
        assert_eq!(fix.text, format!("chmod go-w {}", place.path("group").display()));
        place.make("open/own", 0o700);
        place.make("open", 0o777);
        place.refused("open/own", "open is writable by group");
        place.refused("open/none", "open is writable by group");
        symlink(place.path("open/own"), place.path("link")).unwrap();
        place.refused("link", "open is writable by group");
    }

    #[test]
    fn what_is_no_directory_is_refused() {
        let place = Place::new();
        fs::write(place.path("file"), "").unwrap();
        place.refused("file", "file is not a directory");
        place.refused("file/below", "file is not a directory");
        symlink(place.path("nowhere"), place.path("dangling")).unwrap();
        place.refused("dangling", "nowhere: does not exist");
        place.refused("dangling/below", "nowhere: does not exist");
        assert!(!place.path("nowhere").exists());
        nix::unistd::mkfifo(&place.path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        place.refused("fifo", "fifo is not a directory");
        place.make("own", 0o700);
        fs::write(place.path("own/file"), "").unwrap();
        let error = place.dir("own").child("file").make().unwrap_err();
        assert!(DirRefusal::of(&error).is_some(), "{error}");
    }

    #[test]
    fn a_directory_of_ours_may_lie_behind_a_link_of_ours() {
        let place = Place::new();
        place.make("own", 0o700);
        symlink("own", place.path("link")).unwrap();
        place.dir("link").replace("x", b"text").unwrap();
        assert_eq!(place.dir("link").read("x", 10).unwrap(), b"text");
    }

    #[test]
    fn what_belongs_to_another_user_is_refused_at_every_level() {
        if !nix::unistd::geteuid().is_root() {
            return; // only root can give a directory away
        }
        let place = Place::new();
        chown(place.make("theirs", 0o700), Some(OTHER), None).unwrap();
        place.refused("theirs", "theirs is owned by uid 54321");
        place.refused("theirs/none", "theirs is owned by uid 54321");
        place.make("own", 0o700);
        chown(place.make("own/theirs", 0o755), Some(OTHER), None).unwrap();
        let below = place.dir("own").child("theirs");
        for error in [below.judge().unwrap_err(), below.child("deeper").make().unwrap_err()] {
            assert!(error.to_string().contains("own/theirs is owned by uid 54321"), "{error}");
        }
        place.make("elsewhere", 0o700);
        symlink(place.path("elsewhere"), place.path("own/link")).unwrap();
        std::os::unix::fs::lchown(place.path("own/link"), Some(OTHER), None).unwrap();
        let below = place.dir("own").child("link");
        assert!(DirRefusal::of(&below.replace("x", b"x").unwrap_err()).is_some());
        assert!(!place.path("elsewhere/x").exists());
    }

    #[test]
    fn what_somebody_makes_after_the_first_look_is_judged_again() {
        if !nix::unistd::geteuid().is_root() {
            return; // only root can give a directory away
        }
        let place = Place::new();
        place.make("sticky", 0o1777);
        let dir = place.dir("sticky/x");
        assert_eq!(dir.judge().unwrap(), DirPresence::Missing);
        chown(place.make("sticky/x", 0o700), Some(OTHER), None).unwrap();
        assert!(DirRefusal::of(&dir.child("below").make().unwrap_err()).is_some());
        assert!(!place.path("sticky/x/below").exists());
    }
}
