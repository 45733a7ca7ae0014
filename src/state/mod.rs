//! The two directories in which hookmux keeps things, `state_dir` and `runtime_dir`, and what lies
//! below them.
//!
//! Whoever could write there could make root run a job of his, believe a record of his, or write
//! where a link of his leads. So nothing below is read, followed or written before the directory has
//! been judged: by [`Dir`], which is the only way there.

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

/// A directory of hookmux's own: `state_dir`, `runtime_dir`, or one below them. It is judged before
/// its first use, once in a process: it, its parents and the way that its links lead belong to root
/// or to this process's user, and nobody else may write to them.
#[derive(Clone)]
pub struct Dir(Arc<Inner>);

struct Inner {
    path: PathBuf,
    user: u32,
    /// `None` for the two directories of the settings.
    parent: Option<Dir>,
    /// Whether it was there and belonged to nobody else. What isn't there may be made by others
    /// later, so nothing is remembered of it.
    is_judged: AtomicBool,
}

/// Whether a directory that may be used is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    There,
    Missing,
}

/// Why a directory isn't used: it isn't hookmux's own. An `io::Error` of [`Dir`] carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shut {
    pub refusal: Refusal,
    /// Whether that is a directory of hookmux's own, and not one on the way there.
    is_own: bool,
}

impl fmt::Display for Shut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refusal = &self.refusal;
        let fix = self.fix();
        match refusal.fault {
            TrustFault::NotDirectory => write!(f, "{refusal}; {fix}"),
            TrustFault::Missing => write!(f, "{refusal}, and a link leads to it; {fix}"),
            _ => write!(
                f,
                "{refusal}, and hookmux neither reads nor writes what lies in a directory of others; {fix}"
            ),
        }
    }
}

impl Error for Shut {}

impl From<Shut> for io::Error {
    fn from(shut: Shut) -> io::Error {
        io::Error::new(io::ErrorKind::PermissionDenied, shut)
    }
}

impl Shut {
    /// The way out: one command where one mends it, else what is to be done.
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
            _ => "name another directory in hookmux.yaml, on whose way only root can write".into(),
        }
    }

    /// Whether others could have put something there; else there is no directory.
    pub fn is_of_others(&self) -> bool {
        !matches!(self.refusal.fault, TrustFault::NotDirectory | TrustFault::Missing)
    }

    /// What an error says of a directory that isn't used; `None` for every other error.
    pub fn of(error: &io::Error) -> Option<&Shut> {
        error.get_ref()?.downcast_ref()
    }
}

impl Dir {
    /// One of the two directories of the settings. `user` is the effective uid, trusted beside root.
    pub fn new(path: PathBuf, user: u32) -> Dir {
        Dir::make_new(path, user, None)
    }

    fn make_new(path: PathBuf, user: u32, parent: Option<Dir>) -> Dir {
        Dir(Arc::new(Inner { path, user, parent, is_judged: AtomicBool::new(false) }))
    }

    /// A directory of a test's.
    #[cfg(test)]
    pub fn of_test(path: &Path) -> Dir {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        Dir::new(path, nix::unistd::geteuid().as_raw())
    }

    /// A directory below this one.
    pub fn child(&self, name: impl AsRef<Path>) -> Dir {
        Dir::make_new(self.0.path.join(name), self.0.user, Some(self.clone()))
    }

    /// Its path, for words and comparisons only: it may be anybody's.
    pub fn named(&self) -> &Path {
        &self.0.path
    }

    /// Looks whether it may be used.
    ///
    /// # Errors
    /// It can't be looked at; or, as [`Shut`], others could have put something there.
    pub fn judge(&self) -> io::Result<Found> {
        if self.0.is_judged.load(Ordering::Relaxed) {
            return Ok(Found::There);
        }
        let found = match &self.0.parent {
            Some(parent) => match parent.judge()? {
                Found::Missing => Found::Missing,
                Found::There => self.judge_child()?,
            },
            None => self.judge_whole_way()?,
        };
        if found == Found::There {
            self.0.is_judged.store(true, Ordering::Relaxed);
        }
        Ok(found)
    }

    fn judge_whole_way(&self) -> io::Result<Found> {
        let path = self.named();
        let mut trust = Trust::new(self.0.user);
        let refusal = match trust.directory_metadata(path) {
            Ok(metadata) => {
                self.refuse_others(&metadata)?;
                return Ok(Found::There);
            }
            Err(refusal) => refusal,
        };
        let above = path.ancestors().find(|part| part.symlink_metadata().is_ok());
        match (&refusal.fault, above) {
            // what it would be made in
            (TrustFault::Missing, Some(above)) if above != path => {
                trust.directory(above).map_err(|refusal| refused(refusal, path))?;
                Ok(Found::Missing)
            }
            _ => Err(refused(refusal, path)),
        }
    }

    /// Judges a directory whose parent has been judged.
    fn judge_child(&self) -> io::Result<Found> {
        let path = self.named();
        let metadata = match fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => found,
            Ok(_) => Trust::new(self.0.user)
                .directory_metadata(path)
                .map_err(|refusal| refused(refusal, path))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Missing),
            Err(error) => return Err(error),
        };
        self.refuse_others(&metadata)?;
        Ok(Found::There)
    }

    /// Others may write to a sticky directory of root's, and make there what isn't there yet: as a
    /// parent it will do, as a place of ours it won't.
    fn refuse_others(&self, found: &Metadata) -> Result<(), Shut> {
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
        Err(Shut { refusal: Refusal { path: self.0.path.clone(), fault }, is_own: true })
    }

    /// Its path, for what is done below it now. It need not be there.
    ///
    /// # Errors
    /// As [`Dir::judge`].
    pub fn path(&self) -> io::Result<&Path> {
        self.judge().map(|_| self.named())
    }

    /// The same, and makes it where it is missing, with its parents: for its owner alone, but all can
    /// pass through the two directories of the settings.
    ///
    /// # Errors
    /// As [`Dir::judge`], and of `mkdir(2)`.
    pub fn make(&self) -> io::Result<&Path> {
        if self.0.is_judged.load(Ordering::Relaxed) && !self.named().is_dir() {
            // another process has removed it since
            self.0.is_judged.store(false, Ordering::Relaxed);
        }
        if self.judge()? == Found::Missing {
            match &self.0.parent {
                Some(parent) => {
                    parent.make()?;
                    files::private_directory(self.named())?;
                }
                None => files::traversable_directory(self.named())?,
            }
            // somebody else may have been quicker
            self.judge()?;
        }
        Ok(self.named())
    }

    /// The path of a file in it, for what is done with it now.
    ///
    /// # Errors
    /// As [`Dir::judge`]; `NotFound` where the directory isn't there.
    pub fn file(&self, name: impl AsRef<Path>) -> io::Result<PathBuf> {
        match self.judge()? {
            Found::There => Ok(self.named().join(name)),
            Found::Missing => Err(io::Error::from_raw_os_error(libc::ENOENT)),
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

    /// Opens such a file for writing at its end, and makes it where it is missing, but not its
    /// directory.
    ///
    /// # Errors
    /// As [`Dir::judge`] and [`files::append_own`].
    pub fn append(&self, name: impl AsRef<Path>) -> io::Result<File> {
        files::append_own(&self.file(name)?, self.0.user)
    }

    /// Opens such a file for reading and writing. It must be there.
    ///
    /// # Errors
    /// As [`Dir::judge`] and [`files::update_own`].
    pub fn update(&self, name: impl AsRef<Path>) -> io::Result<File> {
        files::update_own(&self.file(name)?, self.0.user)
    }

    /// Replaces a file as a whole. Its directory must be there.
    ///
    /// # Errors
    /// As [`Dir::judge`] and [`files::replace`].
    pub fn replace(&self, name: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
        files::replace(&self.file(name)?, bytes)
    }

    /// Removes a file; that there is none is no error.
    ///
    /// # Errors
    /// As [`Dir::judge`] and of `unlink(2)`.
    pub fn remove(&self, name: impl AsRef<Path>) -> io::Result<()> {
        match self.file(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            path => files::remove(&path?),
        }
    }

    /// Removes it where it is empty.
    ///
    /// # Errors
    /// As [`Dir::judge`] and of `rmdir(2)`.
    pub fn remove_empty(&self) -> io::Result<()> {
        fs::remove_dir(self.path()?)?;
        self.0.is_judged.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Gives what stands in its place, and is no directory, another name.
    ///
    /// # Errors
    /// As of its parent's [`Dir::judge`], and of `rename(2)`.
    pub fn put_aside(&self) -> io::Result<()> {
        let Some(parent) = &self.0.parent else { return Err(io::ErrorKind::NotADirectory.into()) };
        self.0.is_judged.store(false, Ordering::Relaxed);
        let mut name = self.named().file_name().unwrap_or_default().to_owned();
        let path = parent.file(&name)?;
        if path.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        name.push(format!(".{}.odd", std::process::id()));
        fs::rename(path, parent.file(name)?)
    }

    /// The names in it; none where it is missing.
    ///
    /// # Errors
    /// As [`Dir::judge`] and of `open(2)`.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        if self.judge()? == Found::Missing {
            return Ok(Vec::new());
        }
        match files::read_dir(self.named()) {
            Ok(entries) => entries.map(|entry| Ok(entry?.file_name())).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// What a name in it is of, without following a link.
    ///
    /// # Errors
    /// As [`Dir::judge`] and of `lstat(2)`.
    pub fn look(&self, name: impl AsRef<Path>) -> io::Result<Metadata> {
        fs::symlink_metadata(self.file(name)?)
    }

    /// Whether there is something of this name, whoever made it: for what is worth a closer look
    /// only.
    pub fn seems_to_have(&self, name: impl AsRef<OsStr>) -> bool {
        self.0.path.join(name.as_ref()).symlink_metadata().is_ok()
    }

    /// Who is trusted beside root.
    pub fn user(&self) -> u32 {
        self.0.user
    }
}

/// What couldn't be looked at isn't known to be others'.
fn refused(refusal: Refusal, own: &Path) -> io::Error {
    match refusal.fault {
        TrustFault::Unreadable(_) => io::Error::other(refusal.to_string()),
        _ => Shut { is_own: refusal.path.starts_with(own), refusal }.into(),
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
                assert!(Shut::of(&error).is_some(), "{name}: {error:?}");
                assert!(error.to_string().contains(words), "{name}: {error}");
            }
        }
    }

    #[test]
    fn what_is_ours_is_used_and_what_is_missing_is_made_for_us_alone() {
        let place = Place::new();
        let dir = place.dir("a/b");
        let below = dir.child("c");
        assert_eq!(below.judge().unwrap(), Found::Missing);
        assert!(below.names().unwrap().is_empty());
        assert_eq!(below.read("x", 10).unwrap_err().kind(), io::ErrorKind::NotFound);
        below.make().unwrap();
        below.replace("x", b"text").unwrap();
        assert_eq!(below.read("x", 10).unwrap(), b"text");
        assert_eq!(fs::metadata(place.path("a/b/c")).unwrap().mode() & 0o777, 0o700);
        below.remove("x").unwrap();
        below.remove_empty().unwrap();
        assert_eq!(below.judge().unwrap(), Found::Missing);
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
        let fix = Shut::of(&place.dir("group").judge().unwrap_err()).unwrap().fix();
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
        assert!(Shut::of(&error).is_some(), "{error}");
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
        assert!(Shut::of(&below.replace("x", b"x").unwrap_err()).is_some());
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
        assert_eq!(dir.judge().unwrap(), Found::Missing);
        chown(place.make("sticky/x", 0o700), Some(OTHER), None).unwrap();
        assert!(Shut::of(&dir.child("below").make().unwrap_err()).is_some());
        assert!(!place.path("sticky/x/below").exists());
    }
}
