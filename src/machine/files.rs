//! Files: replaced as a whole or not at all, and read only where they are of the kind that is expected.

use std::ffi::{CStr, OsStr};
use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, FcntlArg, OFlag, SealFlag, fcntl, openat};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{Mode, UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use sha2::{Digest, Sha256};

use crate::machine::sys;

/// The largest file of `/proc` or `/sys` that is read.
const MAX_KERNEL_BYTES: u64 = 16 << 20;
/// How many bytes of such a file are read at a time: most are shorter.
const KERNEL_PART_BYTES: usize = 1024;
/// What only its owner can use.
const PRIVATE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR);

/// Opens a file; executed programs don't inherit it. By way of openat(2): for open(2) musl makes a second system
/// call.
///
/// # Errors
/// As of `open(2)`.
fn open(path: &Path, flags: OFlag, mode: Mode) -> io::Result<File> {
    loop {
        match openat(AT_FDCWD, path, flags | OFlag::O_CLOEXEC, mode) {
            Err(Errno::EINTR) => {}
            opened => return Ok(File::from(opened?)),
        }
    }
}

/// Makes a directory that only its owner can use. The parent must exist.
///
/// # Errors
/// As of `mkdir(2)`; it is no error that the directory exists.
pub fn private_directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Makes a directory, and its parents, that everybody can traverse and only its owner can list: the
/// files that are given to a hook's user lie below it.
///
/// # Errors
/// As of `mkdir(2)` and `chmod(2)`; it is no error that the directory exists.
pub(crate) fn traversable_directory(path: &Path) -> io::Result<()> {
    let make = || match DirBuilder::new().mode(0o711).create(path) {
        // whatever the umask
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(0o711)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    };
    match (make(), path.parent()) {
        (Err(error), Some(parent)) if error.kind() == io::ErrorKind::NotFound => {
            traversable_directory(parent)?;
            // some file systems allow no directory, and report the same error
            make()
        }
        (made, _) => made,
    }
}

/// Creates a file that only its owner can use; it must not exist.
///
/// # Errors
/// As of `open(2)`.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    open(path, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL, PRIVATE)
}

/// Replaces a file by rename: readers see the old file or the new one. Without fsync(2): no file is lost
/// when a process dies.
///
/// # Errors
/// As of `open(2)`, `write(2)`, `rename(2)`; the old file stays.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_by_rename(&temporary(path), path, |file| file.write_all(bytes))
}

/// Replaces a file by rename with the given owner and mode, and writes it to the disk: for changes that are
/// reported to a person as done. Without this, the file is empty after a power failure within half a
/// minute (ext4), and an empty registration makes every gate fail.
///
/// # Errors
/// As [`replace_by_rename`], and of `chown(2)`, `chmod(2)` and `fsync(2)`.
pub(crate) fn replace_durably(
    temporary: &Path,
    path: &Path,
    bytes: &[u8],
    rights: Rights,
) -> io::Result<()> {
    replace_by_rename(temporary, path, |file| {
        file.write_all(bytes)?;
        rights.give(file)?;
        file.sync_all()
    })?;
    sync_directory(path);
    Ok(())
}

/// Owner and mode of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rights {
    /// User and group; `None`: those of this process.
    pub owner: Option<(u32, u32)>,
    /// The bits that `chmod(2)` takes.
    pub mode: u32,
}

impl Rights {
    /// Returns the rights of a file, with all mode bits that `chmod(2)` takes.
    pub(crate) fn of(file: &Metadata) -> Rights {
        Rights { owner: Some((file.uid(), file.gid())), mode: file.mode() & 0o7777 }
    }

    /// Applies the rights to an open file: first the owner, since a change of owner clears some mode bits.
    ///
    /// # Errors
    /// As of `fchown(2)` and `fchmod(2)`.
    pub(crate) fn give(self, file: &File) -> io::Result<()> {
        let made = file.metadata()?;
        if let Some((user, group)) = self.owner.filter(|own| *own != (made.uid(), made.gid())) {
            fchown(file, Some(user), Some(group))?;
        }
        file.set_permissions(fs::Permissions::from_mode(self.mode))
    }
}

/// Writes the directory of a file to the disk, after a name in it has changed. Errors are ignored: some
/// file systems can't sync a directory, and the change itself is made.
pub(crate) fn sync_directory(path: &Path) {
    let _ = File::open(path.parent().unwrap_or(path)).and_then(|directory| directory.sync_all());
}

/// Replaces a file as [`replace`] does, and sets its modification time.
///
/// # Errors
/// As [`replace`].
pub(crate) fn replace_with_time(path: &Path, bytes: &[u8], modified: SystemTime) -> io::Result<()> {
    replace_by_rename(&temporary(path), path, |file| {
        file.write_all(bytes)?;
        file.set_modified(modified)
    })
}

/// Sets the modification time of a file to now. A link isn't followed.
///
/// # Errors
/// As of `utimensat(2)`.
pub(crate) fn touch(path: &Path) -> io::Result<()> {
    let now = TimeSpec::UTIME_NOW;
    Ok(utimensat(AT_FDCWD, path, &now, &now, UtimensatFlags::NoFollowSymlink)?)
}

/// Writes a file under a temporary name in the same directory, then renames it: the only way in which
/// hookmux replaces a file.
///
/// # Errors
/// As of `open(2)`, `rename(2)`, and those of `write`; the old file stays, the temporary one goes.
pub(crate) fn replace_by_rename(
    temporary: &Path,
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let replace = || {
        let mut file = create_private(temporary).or_else(|error| {
            // left by a process that died with our number
            if error.kind() == io::ErrorKind::AlreadyExists {
                fs::remove_file(temporary)?;
                return create_private(temporary);
            }
            Err(error)
        })?;
        write(&mut file)?;
        // who executes it under its new name must not find it open for writing
        drop(file);
        fs::rename(temporary, path)
    };
    replace().inspect_err(|_| drop(fs::remove_file(temporary)))
}

/// Returns the temporary name of what is to replace a file: it tells which process writes it.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}

/// Opens a regular file for reading. Never blocks: a FIFO without a writer, a device, or a directory is
/// an error.
///
/// # Errors
/// As of `open(2)`; `InvalidData` where it is not a regular file.
pub(crate) fn open_regular(path: &Path) -> io::Result<(File, Metadata)> {
    // the kind is checked first: to open some devices has side effects
    if !fs::metadata(path)?.is_file() {
        return Err(not_regular());
    }
    open_known_regular(path)
}

/// Opens a regular file for reading where the caller has just checked its kind, as `Trust::file` does.
///
/// # Errors
/// As [`open_regular`].
pub(crate) fn open_known_regular(path: &Path) -> io::Result<(File, Metadata)> {
    open_with_flags(path, OFlag::empty())
}

fn open_with_flags(path: &Path, flags: OFlag) -> io::Result<(File, Metadata)> {
    let flags = flags | OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = open(path, flags, Mode::empty())?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(not_regular());
    }
    Ok((file, metadata))
}

/// Opens a file of `/proc` for reading.
///
/// # Errors
/// As of `open(2)`.
pub(crate) fn open_proc(path: impl AsRef<Path>) -> io::Result<File> {
    open(path.as_ref(), OFlag::O_RDONLY, Mode::empty())
}

/// Reads a file of `/proc` that the kernel makes for us, in fewer system calls than other files need: its size isn't
/// known before.
///
/// # Errors
/// As of `open(2)` and `read(2)`.
pub(crate) fn read_proc(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let file = open_proc(path)?;
    let mut bytes = Vec::new();
    loop {
        bytes.reserve(KERNEL_PART_BYTES);
        match sys::read_into_room(file.as_fd(), &mut bytes) {
            Ok(0) => return Ok(bytes),
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
}

/// Reads a text file of `/proc` or `/sys`. The kernel reports size 0 for these files.
///
/// # Errors
/// As [`read_regular`]; `InvalidData` where it is not UTF-8.
pub(crate) fn read_kernel_text(path: &Path) -> io::Result<String> {
    read_regular(path, MAX_KERNEL_BYTES).and_then(into_text)
}

/// Tells whether a path is an executable file, or a link to one.
pub(crate) fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && has_x_bit(&file))
}

/// Tells whether a file has an execute bit.
pub(crate) fn has_x_bit(file: &Metadata) -> bool {
    file.mode() & 0o111 != 0
}

/// Reads the beginning of a regular file: `limit` bytes, or all of it where it is shorter.
///
/// # Errors
/// As [`open_regular`] and of `read(2)`.
pub(crate) fn read_beginning(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (file, _) = open_regular(path)?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// As [`open_regular`] and of `read(2)`; `InvalidData` where it is larger.
pub(crate) fn read_regular(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (file, metadata) = open_regular(path)?;
    read_bounded(file, &metadata, limit)
}

/// Reads a regular file where the caller has just checked its kind, as `Trust::file` does.
///
/// # Errors
/// As [`read_regular`].
pub(crate) fn read_known_regular(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (file, metadata) = open_known_regular(path)?;
    read_bounded(file, &metadata, limit)
}

/// Reads a file that only hookmux writes: a regular file, not a link, with one hard link, owned by root
/// or by `user`, and writable by nobody else.
///
/// # Errors
/// As [`read_regular`]; `InvalidData` where somebody else could have made or changed it.
pub(crate) fn read_own(path: &Path, limit: u64, user: u32) -> io::Result<Vec<u8>> {
    let (file, metadata) = open_own(path, user)?;
    read_bounded(file, &metadata, limit)
}

/// Opens such a file for reading. A device is opened only where root has made it in this place: links are not
/// followed.
///
/// # Errors
/// As [`read_own`].
pub(crate) fn open_own(path: &Path, user: u32) -> io::Result<(File, Metadata)> {
    let (file, metadata) = match open_with_flags(path, OFlag::O_NOFOLLOW) {
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            return Err(invalid("it is a link"));
        }
        opened => opened?,
    };
    require_own(&metadata, user)?;
    Ok((file, metadata))
}

/// Opens such a file for appending; creates it, with mode 0600, where it is missing.
///
/// # Errors
/// As [`read_own`].
pub(crate) fn append_own(path: &Path, user: u32) -> io::Result<File> {
    write_own(OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_APPEND, path, user)
}

/// Opens such a file for reading and writing. It must exist.
///
/// # Errors
/// As [`read_own`].
pub(crate) fn update_own(path: &Path, user: u32) -> io::Result<File> {
    write_own(OFlag::O_RDWR, path, user)
}

fn write_own(flags: OFlag, path: &Path, user: u32) -> io::Result<File> {
    let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = match open(path, flags, PRIVATE) {
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
            return Err(invalid("it is a link"));
        }
        // a FIFO without a reader
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => return Err(not_regular()),
        opened => opened?,
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(not_regular());
    }
    require_own(&metadata, user)?;
    Ok(file)
}

fn require_own(metadata: &Metadata, user: u32) -> io::Result<()> {
    if metadata.uid() != 0 && metadata.uid() != user {
        return Err(invalid(&format!("it belongs to uid {}", metadata.uid())));
    }
    // zero: the file was replaced after it was opened
    if metadata.nlink() > 1 {
        return Err(invalid("it has more than one name"));
    }
    if metadata.mode() & 0o6000 != 0 {
        return Err(invalid("it is setuid or setgid"));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(invalid("others may write to it"));
    }
    Ok(())
}

/// Reads the rest of an open file, at most `limit` bytes.
///
/// # Errors
/// As of `fstat(2)` and `read(2)`; `InvalidData` where it is larger.
pub(crate) fn read_open(file: &File, limit: u64) -> io::Result<Vec<u8>> {
    read_bounded(file, &file.metadata()?, limit)
}

fn read_bounded(file: impl Read, metadata: &Metadata, limit: u64) -> io::Result<Vec<u8>> {
    let too_large = || invalid(&format!("it is larger than {limit} bytes"));
    if metadata.len() > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    // the file may grow in between
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(bytes) }
}

/// Converts bytes to text.
///
/// # Errors
/// `InvalidData` where they aren't UTF-8.
pub(crate) fn into_text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        // editors on Windows save it, and it always has this mark
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            return invalid("it is written in UTF-16: save it as UTF-8");
        }
        let line = bytes.iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
        let byte = bytes.get(at).copied().unwrap_or_default();
        invalid(&format!("it is not UTF-8: line {line} has the byte 0x{byte:02x}"))
    })
}

fn not_regular() -> io::Error {
    invalid("it is not a regular file")
}

fn invalid(words: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
}

/// Returns a file in memory that holds these bytes, positioned at its beginning. `/proc/PID/fd` shows
/// `name`.
///
/// # Errors
/// As of `memfd_create(2)` and `write(2)`.
pub(crate) fn memory_file(name: &CStr, bytes: &[u8]) -> io::Result<File> {
    filled_memory_file(name, MFdFlags::MFD_CLOEXEC, bytes)
}

/// Returns such a file, sealed: nobody can change it.
///
/// # Errors
/// As [`memory_file`], and of `fcntl(2)`.
pub(crate) fn sealed_memory_file(name: &CStr, bytes: &[u8]) -> io::Result<File> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let file = filled_memory_file(name, flags, bytes)?;
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file)
}

fn filled_memory_file(name: &CStr, flags: MFdFlags, bytes: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create(name, flags)?);
    if !bytes.is_empty() {
        file.write_all(bytes)?;
        file.seek(SeekFrom::Start(0))?;
    }
    Ok(file)
}

/// Removes a file; it is no error that there is none.
///
/// # Errors
/// As of `unlink(2)`.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Returns the entries of a directory. Tries again where a signal interrupts the C library's `opendir`.
///
/// # Errors
/// As of `open(2)`.
pub(crate) fn read_dir(path: &Path) -> io::Result<fs::ReadDir> {
    loop {
        match fs::read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Returns a safe file name for any name: 32 hexadecimal digits of its SHA-256.
pub fn name_digest(name: &OsStr) -> String {
    sha256(name.as_bytes())[..32].to_owned()
}

/// Returns the SHA-256 of bytes, in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn only_a_small_regular_file_of_ours_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let user = nix::unistd::geteuid().as_raw();
        replace(&path("good"), b"text").unwrap();
        assert_eq!(read_regular(&path("good"), 4).unwrap(), b"text");
        assert_eq!(read_own(&path("good"), 4, user).unwrap(), b"text");
        let refused = |name: &str, words: &str| {
            let error = read_own(&path(name), 4, user).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{name}: {error}");
            assert!(error.to_string().contains(words), "{name}: {error}");
        };
        replace(&path("large"), b"texts").unwrap();
        refused("large", "larger than 4 bytes");
        symlink(path("good"), path("link")).unwrap();
        assert_eq!(read_regular(&path("link"), 4).unwrap(), b"text");
        refused("link", "it is a link");
        replace(&path("two"), b"text").unwrap();
        fs::hard_link(path("two"), path("names")).unwrap();
        refused("two", "more than one name");
        replace(&path("open"), b"text").unwrap();
        fs::set_permissions(path("open"), fs::Permissions::from_mode(0o620)).unwrap();
        refused("open", "others may write");
        fs::create_dir(path("directory")).unwrap();
        refused("directory", "not a regular file");
        nix::unistd::mkfifo(&path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        refused("fifo", "not a regular file");
        symlink("/dev/zero", path("device")).unwrap();
        assert!(read_regular(&path("device"), 4).is_err());
        assert_eq!(read_own(&path("none"), 4, user).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
