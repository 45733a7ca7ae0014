//! By what a file or a directory is known to be unchanged, and the roots that are asked for it.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};

use super::wire::{Decoder, Encoder};
use crate::config::registration::DIRECTORY;
use crate::config::settings::Settings;

/// A change this soon before the cache is written may be followed by another one that shows in
/// nothing: time stamps are only as fine as the kernel's tick, or the file system's own.
const GRACE_SECONDS: i64 = 2;

/// What stays the same as long as a file does. Nobody can set the time of the last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    device: u64,
    inode: u64,
    size: u64,
    mode: u32,
    user: u32,
    group: u32,
    /// Seconds and nanoseconds.
    changed: (i64, i64),
}

impl Signature {
    /// Of an open file.
    ///
    /// # Errors
    /// As of `fstat(2)`.
    pub(super) fn of(file: &File) -> io::Result<Signature> {
        Ok(Signature::from(fstat(file)?))
    }

    fn has_type(&self, kind: SFlag) -> bool {
        self.mode & SFlag::S_IFMT.bits() == kind.bits()
    }

    pub(super) fn is_link(&self) -> bool {
        self.has_type(SFlag::S_IFLNK)
    }

    /// Whether it had been left alone long enough at `start` for the next change to show.
    pub(super) fn is_settled(&self, start: Duration) -> bool {
        let start_seconds = i64::try_from(start.as_secs()).unwrap_or(i64::MAX);
        let (seconds, nanoseconds) = self.changed;
        (seconds.saturating_add(GRACE_SECONDS), nanoseconds)
            <= (start_seconds, i64::from(start.subsec_nanos()))
    }

    pub(super) fn encode(&self, to: &mut Encoder) {
        to.number(self.device);
        to.number(self.inode);
        to.number(self.size);
        to.number(self.mode.into());
        to.number(self.user.into());
        to.number(self.group.into());
        to.number(self.changed.0 as u64);
        to.number(self.changed.1 as u64);
    }

    pub(super) fn decode(from: &mut Decoder<'_>) -> Option<Signature> {
        Some(Signature {
            device: from.number()?,
            inode: from.number()?,
            size: from.number()?,
            mode: from.small()?,
            user: from.small()?,
            group: from.small()?,
            changed: (from.number()? as i64, from.number()? as i64),
        })
    }
}

impl From<FileStat> for Signature {
    fn from(stat: FileStat) -> Signature {
        Signature {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size as u64,
            mode: stat.st_mode,
            user: stat.st_uid,
            group: stat.st_gid,
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

/// A name in `hooks.d`, and where it is a link, what the link leads to, if anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub own: Signature,
    pub target: Option<Signature>,
}

impl Seen {
    pub(super) fn is_settled(&self, start: Duration) -> bool {
        self.own.is_settled(start) && self.target.is_none_or(|target| target.is_settled(start))
    }

    /// A link whose end isn't there, or can't be looked at.
    pub(super) fn leads_nowhere(&self) -> bool {
        self.own.is_link() && self.target.is_none()
    }

    pub(super) fn leads_to_regular_file(&self) -> bool {
        self.target.unwrap_or(self.own).has_type(SFlag::S_IFREG)
    }
}

/// One root, and its `hooks.d` where it has one.
pub(super) struct Root {
    pub path: PathBuf,
    pub directory: Option<Directory>,
}

pub(super) struct Directory {
    pub path: PathBuf,
    handle: OwnedFd,
    pub signature: Signature,
}

impl Root {
    /// All roots, in order of precedence. One without `hooks.d` costs the one look that says so.
    ///
    /// # Errors
    /// A directory is there, as far as can be told, and can't be looked at.
    pub(super) fn open_all(settings: &Settings) -> io::Result<Vec<Root>> {
        settings
            .all_roots()
            .map(|path| {
                let directory = Directory::open(path.join(DIRECTORY))?;
                Ok(Root { path: path.to_path_buf(), directory })
            })
            .collect()
    }
}

impl Directory {
    fn open(path: PathBuf) -> io::Result<Option<Directory>> {
        // std would drop O_PATH, where musl counts it as a way of access
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        let (mut handle, mut signature) =
            match open(&path, flags | OFlag::O_NOFOLLOW, Mode::empty()) {
                Ok(handle) => {
                    let signature = Signature::from(fstat(&handle)?);
                    (handle, signature)
                }
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
        if signature.is_link() {
            // one that leads nowhere is no absence: what it stood for is unknown
            handle = open(&path, flags, Mode::empty())?;
            signature = Signature::from(fstat(&handle)?);
        }
        let is_directory = signature.has_type(SFlag::S_IFDIR);
        Ok(is_directory.then_some(Directory { path, handle, signature }))
    }

    /// What is there under a name; `None` where nothing is, or where it can't be looked at.
    pub(super) fn look(&self, name: &OsStr) -> Option<Seen> {
        let stat = |flags| fstatat(&self.handle, name, flags).ok().map(Signature::from);
        let own = stat(AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let target = if own.is_link() { stat(AtFlags::empty()) } else { None };
        Some(Seen { own, target })
    }

    pub(super) fn join(&self, name: &OsStr) -> PathBuf {
        Path::join(&self.path, name)
    }
}
