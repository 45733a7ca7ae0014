//! The file in which hooks get the document. It is private when it is made, and read back with care:
//! a hook may have replaced it.

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

/// Makes a new directory with a document in it. Only one user can read them: that of `owner` (uid and
/// gid), or ours.
///
/// # Errors
/// As of `mkdir(2)`, `open(2)`, `write(2)`, `chown(2)`.
pub(crate) fn make_private(
    place: &DocumentPlace,
    document: &[u8],
    owner: Option<(u32, u32)>,
) -> io::Result<CreatedDirectory> {
    let directory = place.make()?;
    fill(&directory, place, document, owner).inspect_err(|_| {
        remove(place);
    })
}

/// Lets other users pass through a directory of ours, but not list it.
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
    place: &DocumentPlace,
    document: &[u8],
    owner: Option<(u32, u32)>,
) -> io::Result<CreatedDirectory> {
    let made = CreatedDirectory::of(directory, owner.map(|(user, _)| user))?;
    let path = directory.join(FILE_NAME);
    files::create_private(&path)?.write_all(document)?;
    if let Some((user, group)) = owner {
        // the user must be able to pass through the directories above, but can't list them
        for directory in [&place.data, &place.runtime_dir] {
            fs::set_permissions(directory.path()?, Permissions::from_mode(0o711))?;
        }
        // later there may be no room for the trash: the user can fill the file system
        let _ = Trash::new(&place.runtime_dir).make();
        chown(&path, Some(user), Some(group))?;
        chown(directory, Some(user), Some(group))?;
    }
    Ok(made)
}

/// The identity of a directory that we made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CreatedDirectory {
    device: u64,
    inode: u64,
    /// The user who may write the document in it; `None` for us and root.
    owner: Option<u32>,
}

impl CreatedDirectory {
    /// Reads the identity of a new directory.
    ///
    /// # Errors
    /// As of `lstat(2)`.
    pub(super) fn of(directory: &Path, owner: Option<u32>) -> io::Result<CreatedDirectory> {
        let found = fs::symlink_metadata(directory)?;
        Ok(CreatedDirectory { device: found.dev(), inode: found.ino(), owner })
    }

    fn is_owner(&self, user: u32) -> bool {
        match self.owner {
            Some(owner) => user == owner,
            None => user == 0 || user == nix::unistd::geteuid().as_raw(),
        }
    }
}

/// Removes a directory with a document in it. Other files, or a very large document, would take time
/// to remove: then the directory is moved to the trash. Returns whether that was done.
pub(crate) fn remove(place: &DocumentPlace) -> bool {
    let Ok(directory) = place.path() else { return false };
    let path = directory.join(FILE_NAME);
    // removing a large file takes time too
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

/// The directory for documents, in the runtime directory.
const DATA_DIRECTORY: &str = "data";

/// The path of a directory with a document in it.
#[derive(Clone, Debug)]
pub struct DocumentPlace {
    runtime_dir: Dir,
    data: Dir,
    name: String,
}

impl DocumentPlace {
    pub fn named_by(runtime_dir: &Dir, name: String) -> DocumentPlace {
        DocumentPlace {
            runtime_dir: runtime_dir.clone(),
            data: runtime_dir.child(DATA_DIRECTORY),
            name,
        }
    }

    /// Returns the place next to it with this suffix in its name.
    pub fn beside(&self, end: &str) -> DocumentPlace {
        DocumentPlace { name: format!("{}{end}", self.name), ..self.clone() }
    }

    /// Returns its path, for messages only.
    pub fn named(&self) -> PathBuf {
        self.data.unchecked_path().join(&self.name)
    }

    /// Returns its path, to use it now.
    ///
    /// # Errors
    /// As [`Dir::judge`].
    pub fn path(&self) -> io::Result<PathBuf> {
        self.data.file(&self.name)
    }

    /// Makes the directory. It must not exist.
    ///
    /// # Errors
    /// As [`Dir::make`].
    pub fn make(&self) -> io::Result<PathBuf> {
        let directory = self.data.make()?.join(&self.name);
        DirBuilder::new().mode(0o700).create(&directory)?;
        Ok(directory)
    }
}

/// Returns the place for the documents of one call. Its name has the pid too, so that leftovers of dead
/// processes are found.
pub(crate) fn place(runtime_dir: &Dir, id: &str) -> DocumentPlace {
    DocumentPlace::named_by(runtime_dir, format!("{id}.{}", std::process::id()))
}

/// Returns the names of the directories with documents.
pub(crate) fn names(runtime_dir: &Dir) -> impl Iterator<Item = String> + use<> {
    let names = runtime_dir.child(DATA_DIRECTORY).names().unwrap_or_default().into_iter();
    names.filter_map(|name| name.into_string().ok())
}

/// Removes all documents of an execution: the shared file, and those of single hooks.
pub(crate) fn remove_all_of(runtime_dir: &Dir, id: &str) {
    for name in names(runtime_dir).filter(|name| name.starts_with(id)) {
        remove(&DocumentPlace::named_by(runtime_dir, name));
    }
}

/// Removes the documents that dead processes left: documents may contain passwords.
pub(crate) fn sweep(runtime_dir: &Dir) {
    for name in names(runtime_dir) {
        let owner = name.rsplit_once('.').map(|(_, rest)| rest);
        let pid =
            owner.and_then(|owner| owner.split('-').next()).and_then(|pid| pid.parse::<i32>().ok());
        if pid.is_some_and(|pid| !is_alive(pid)) {
            remove(&DocumentPlace::named_by(runtime_dir, name));
        }
    }
}

/// Tells whether a process is alive, and not a zombie.
fn is_alive(pid: i32) -> bool {
    proc::start_time(pid).is_some_and(|start| proc::is_running(pid, start))
}

/// The metadata of a file that every write, rename and touch changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileStamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    links: u64,
    mode: u32,
}

impl FileStamp {
    pub(super) const TIME: SystemTime = SystemTime::UNIX_EPOCH;

    pub(super) fn of(path: &Path) -> Option<FileStamp> {
        let file = fs::symlink_metadata(path).ok()?;
        Some(FileStamp {
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            links: file.nlink(),
            mode: file.mode(),
        })
    }
}

/// Reads the document in a directory that was made for a hook. The hook may have replaced it. It is
/// accepted only if the hook's user could have written it: with a symbolic link, a hard link or a file
/// that was moved there, a user could make root read a file of root's.
///
/// # Errors
/// The file is gone, or must not be read.
pub(super) fn read_back(directory: &Path, made: CreatedDirectory) -> io::Result<Vec<u8>> {
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

/// Opens the document for reading. Never waits, and opens only a regular file.
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

/// Repeats a system call that a signal interrupted.
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

/// Reads the document from a file in memory of this process.
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
        let left = DocumentPlace::named_by(&runtime_dir, left);
        let own = place(&runtime_dir, "01M8MJQS6FRJNYE9KZ1184NWCQ");
        for place in [&left, &own] {
            make_private(place, b"<domain/>", None).unwrap();
        }
        sweep(&runtime_dir);
        assert!(left.named().exists() && own.named().exists());
        drop(child.stdin.take());
        // a zombie for now
        while is_alive(pid as i32) {
            std::thread::yield_now();
        }
        sweep(&runtime_dir);
        assert!(!left.named().exists() && own.named().exists());
        child.wait().unwrap();
        remove(&own);
    }
}
