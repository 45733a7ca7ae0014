//! Signatures that show whether files and directories are unchanged, and the roots that have them.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};

use super::encoding::{Decoder, Encoder};
use crate::config::registration::DIRECTORY;
use crate::config::settings::Settings;

/// A change within this time before the cache is written may be followed by another one with the same
/// time stamp: these are only as fine as the kernel's tick, or the file system's own.
const SETTLE_SECONDS: i64 = 2;

/// Values that stay the same as long as a file doesn't change. Nobody can set the change time (ctime).
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
    /// Returns that of an open file.
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

    /// Tells whether the last change was long enough before `start` that the next one will show.
    pub(super) fn is_settled(&self, start: Duration) -> bool {
        let start_seconds = i64::try_from(start.as_secs()).unwrap_or(i64::MAX);
        let (seconds, nanoseconds) = self.changed;
        (seconds.saturating_add(SETTLE_SECONDS), nanoseconds)
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

/// The signature of an entry of `hooks.d` and, if it is a link, of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntrySignature {
    pub own: Signature,
    pub target: Option<Signature>,
}

impl EntrySignature {
    pub(super) fn is_settled(&self, start: Duration) -> bool {
        self.own.is_settled(start) && self.target.is_none_or(|target| target.is_settled(start))
    }

    /// Tells whether it is a link to something that doesn't exist or can't be examined.
    pub(super) fn is_dangling(&self) -> bool {
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
    /// Opens all roots, in order of precedence. A root without `hooks.d` costs one system call.
    ///
    /// # Errors
    /// A directory exists, as far as that can be known, and can't be examined.
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
        // std would drop O_PATH, because musl has it among the access modes
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
            // a dangling link is not the same as no directory: its contents are unknown
            handle = open(&path, flags, Mode::empty())?;
            signature = Signature::from(fstat(&handle)?);
        }
        let is_directory = signature.has_type(SFlag::S_IFDIR);
        Ok(is_directory.then_some(Directory { path, handle, signature }))
    }

    /// Returns the signature of an entry; `None` where it doesn't exist or can't be examined.
    pub(super) fn look(&self, name: &OsStr) -> Option<EntrySignature> {
        let stat = |flags| fstatat(&self.handle, name, flags).ok().map(Signature::from);
        let own = stat(AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let target = if own.is_link() { stat(AtFlags::empty()) } else { None };
        Some(EntrySignature { own, target })
    }

    pub(super) fn join(&self, name: &OsStr) -> PathBuf {
        Path::join(&self.path, name)
    }
}
