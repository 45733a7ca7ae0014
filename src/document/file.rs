//! The file that a document is given in: private when it is made, looked at with care when it comes
//! back.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, fstat, fstatat};

use crate::libvirt::document::MAX_DOCUMENT_BYTES;
use crate::machine::{files, proc};
use crate::state::Dir;
use crate::state::trash::Trash;

/// The file's name in its directory.
pub(crate) const FILE_NAME: &str = "document.xml";

/// Makes a new directory with a document in it, both readable to one user (uid and gid; else to
/// ours) and to nobody else.
///
/// # Errors
/// As of `mkdir(2)`, `open(2)`, `write(2)`, `chown(2)`.
pub(crate) fn make_private(
    place: &Place,
    document: &[u8],
    owner: Option<(u32, u32)>,
) -> io::Result<Made> {
    let directory = place.make()?;
    fill(&directory, place, document, owner).inspect_err(|_| {
        remove(place);
    })
}

/// Lets all pass through a directory of ours that nobody else can list.
pub(crate) fn open_way(directory: &Dir) {
    let Ok(path) = directory.path() else { return };
    let is_private = |found: &fs::Metadata| {
        found.is_dir()
            && found.uid() == nix::unistd::geteuid().as_raw()
            && found.mode() & 0o777 == 0o700
    };
    if fs::symlink_metadata(path).is_ok_and(|found| is_private(&found)) {
        let _ = fs::set_permissions(path, Permissions::from_mode(0o711));
    }
}

fn fill(
    directory: &Path,
    place: &Place,
    document: &[u8],
    owner: Option<(u32, u32)>,
) -> io::Result<Made> {
    let made = Made::of(directory, owner.map(|(user, _)| user))?;
    let path = directory.join(FILE_NAME);
    files::create_private(&path)?.write_all(document)?;
    if let Some((user, group)) = owner {
        // the way there has to be open, and shows nothing: no directory on it can be listed
        for directory in [&place.data, &place.runtime_dir] {
            fs::set_permissions(directory.path()?, Permissions::from_mode(0o711))?;
        }
        // a user can use up all room; then the trash can't be made any more
        let _ = Trash::new(&place.runtime_dir).make();
        chown(&path, Some(user), Some(group))?;
        chown(directory, Some(user), Some(group))?;
    }
    Ok(made)
}

/// A directory of ours, as it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    device: u64,
    inode: u64,
    /// Whose document is taken from it: the user's to whom it was given, else ours or root's.
    owner: Option<u32>,
}

impl Made {
    /// # Errors
    /// As of `lstat(2)`.
    pub(super) fn of(directory: &Path, owner: Option<u32>) -> io::Result<Made> {
        let found = fs::symlink_metadata(directory)?;
        Ok(Made { device: found.dev(), inode: found.ino(), owner })
    }

    fn is_owner(&self, user: u32) -> bool {
        match self.owner {
            Some(owner) => user == owner,
            None => user == 0 || user == nix::unistd::geteuid().as_raw(),
        }
    }
}

/// Removes a directory with a document in it. Where there is more than a document of usual size, it
/// takes no time all the same: all of it is put into the trash. Returns whether that was so.
pub(crate) fn remove(place: &Place) -> bool {
    let Ok(directory) = place.path() else { return false };
    let path = directory.join(FILE_NAME);
    // to free a large file takes its time too
    let is_small = |file: fs::Metadata| file.len() <= MAX_DOCUMENT_BYTES as u64;
    if fs::symlink_metadata(&path).is_ok_and(is_small) {
        let _ = files::remove(&path);
    }
    let is_there = |error: io::Error| error.kind() != io::ErrorKind::NotFound;
    if !fs::remove_dir(&directory).is_err_and(is_there) {
        return false;
    }
    Trash::new(&place.runtime_dir).take(&directory).is_ok()
}

/// Where the directories with documents lie, in the runtime directory.
const DATA: &str = "data";

/// The place for a directory with a document in it.
#[derive(Clone, Debug)]
pub struct Place {
    runtime_dir: Dir,
    data: Dir,
    name: String,
}

impl Place {
    pub fn named_by(runtime_dir: &Dir, name: String) -> Place {
        Place { runtime_dir: runtime_dir.clone(), data: runtime_dir.child(DATA), name }
    }

    /// One beside it, with this at the end of its name.
    pub fn beside(&self, end: &str) -> Place {
        Place { name: format!("{}{end}", self.name), ..self.clone() }
    }

    /// Its path, for words only.
    pub fn named(&self) -> PathBuf {
        self.data.unchecked_path().join(&self.name)
    }

    /// Its path, for what is done there now.
    ///
    /// # Errors
    /// As [`Dir::judge`].
    pub fn path(&self) -> io::Result<PathBuf> {
        self.data.file(&self.name)
    }

    /// Makes the directory, which must not be there.
    ///
    /// # Errors
    /// As [`Dir::make`].
    pub fn make(&self) -> io::Result<PathBuf> {
        let directory = self.data.make()?.join(&self.name);
        DirBuilder::new().mode(0o700).create(&directory)?;
        Ok(directory)
    }
}

/// The place for one call's documents: named after the process too, so that what a dead one left
/// is known.
pub(crate) fn place(runtime_dir: &Dir, id: &str) -> Place {
    Place::named_by(runtime_dir, format!("{id}.{}", std::process::id()))
}

/// The names of the directories with documents.
pub(crate) fn names(runtime_dir: &Dir) -> impl Iterator<Item = String> + use<> {
    let names = runtime_dir.child(DATA).names().unwrap_or_default().into_iter();
    names.filter_map(|name| name.into_string().ok())
}

/// Removes all documents of an execution: the shared one, and those that were one hook's own.
pub(crate) fn remove_all_of(runtime_dir: &Dir, id: &str) {
    for name in names(runtime_dir).filter(|name| name.starts_with(id)) {
        remove(&Place::named_by(runtime_dir, name));
    }
}

/// Removes what processes left that didn't come to their end: documents may hold passwords.
pub(crate) fn sweep(runtime_dir: &Dir) {
    for name in names(runtime_dir) {
        let owner = name.rsplit_once('.').map(|(_, rest)| rest);
        let pid =
            owner.and_then(|owner| owner.split('-').next()).and_then(|pid| pid.parse::<i32>().ok());
        if pid.is_some_and(|pid| !is_alive(pid)) {
            remove(&Place::named_by(runtime_dir, name));
        }
    }
}

/// Whether a process is there and isn't just waiting to be reaped.
fn is_alive(pid: i32) -> bool {
    proc::start_time(pid).is_some_and(|start| proc::is_running(pid, start))
}

/// What a write, a rename and a touch all change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    links: u64,
    mode: u32,
}

impl Mark {
    pub(super) const TIME: SystemTime = SystemTime::UNIX_EPOCH;

    pub(super) fn of(path: &Path) -> Option<Mark> {
        let file = fs::symlink_metadata(path).ok()?;
        Some(Mark {
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            links: file.nlink(),
            mode: file.mode(),
        })
    }
}

/// Reads the document in a directory that was made for a hook, who may have replaced it. It is taken
/// only where the hook's user could have written it: by a link, a second name or a file that was
/// moved there, a user could have root read what is root's.
///
/// # Errors
/// It is gone, or something that no document may be read from.
pub(super) fn read_back(directory: &Path, made: Made) -> io::Result<Vec<u8>> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let place = uninterrupted(|| open(directory, flags, Mode::empty()))?;
    let found = fstat(&place)?;
    // the widths of these numbers differ between platforms
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
    let identity = (found.st_dev as u64, found.st_ino as u64);
    if identity != (made.device, made.inode) {
        return Err(io::Error::other("its directory is not the one that was made for it"));
    }
    let file = open_document(&place)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(not_regular());
    }
    if metadata.nlink() != 1 {
        return Err(io::Error::other("it has more than one name"));
    }
    if !made.is_owner(metadata.uid()) {
        let words = format!("it belongs to uid {}, not to the hook's user", metadata.uid());
        return Err(io::Error::other(words));
    }
    read_document(file, metadata.len())
}

/// Opens it for reading; never waits, and opens nothing but a regular file.
fn open_document(directory: &OwnedFd) -> io::Result<File> {
    let found = fstatat(directory, FILE_NAME, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
        return Err(not_regular());
    }
    let flags = OFlag::O_RDONLY
        | OFlag::O_NONBLOCK
        | OFlag::O_NOCTTY
        | OFlag::O_NOFOLLOW
        | OFlag::O_CLOEXEC;
    Ok(uninterrupted(|| openat(directory, FILE_NAME, flags, Mode::empty()))?.into())
}

/// Tries again where a signal came in between.
fn uninterrupted<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

fn not_regular() -> io::Error {
    io::Error::other("it is not a regular file any more")
}

/// Reads the document that has no directory, in memory of this process.
///
/// # Errors
/// As of `open(2)` and `read(2)`, or it is too large.
pub(super) fn read_memory(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let size = file.metadata()?.len();
    read_document(file, size)
}

fn read_document(file: File, size: u64) -> io::Result<Vec<u8>> {
    let limit = MAX_DOCUMENT_BYTES as u64 + 1;
    let mut bytes = Vec::with_capacity(usize::try_from(size.min(limit)).unwrap_or_default());
    file.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_DOCUMENT_BYTES {
        return Err(io::Error::other(format!(
            "it is larger than {} MiB",
            MAX_DOCUMENT_BYTES >> 20
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn what_dead_processes_left_is_removed_and_zombies_are_dead() {
        let directory = tempfile::tempdir().unwrap();
        let runtime_dir = Dir::of_test(directory.path());
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        let left = format!("01M8MJQS6FRJNYE9KZ1184NWCQ.{pid}-3");
        let left = Place::named_by(&runtime_dir, left);
        let own = place(&runtime_dir, "01M8MJQS6FRJNYE9KZ1184NWCQ");
        for place in [&left, &own] {
            make_private(place, b"<domain/>", None).unwrap();
        }
        sweep(&runtime_dir);
        assert!(left.named().exists() && own.named().exists());
        drop(child.stdin.take());
        // not reaped yet
        while is_alive(pid as i32) {
            std::thread::yield_now();
        }
        sweep(&runtime_dir);
        assert!(!left.named().exists() && own.named().exists());
        child.wait().unwrap();
        remove(&own);
    }
}
