//! Writing files that are either there as a whole or not at all.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use sha2::{Digest, Sha256};

/// Makes a directory and its parents, for its owner alone.
///
/// # Errors
/// As of `mkdir(2)`; that it exists is none.
pub fn private_directory(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    match builder.create(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(path)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Creates a file for its owner alone; it must not exist.
///
/// # Errors
/// As of `open(2)`.
pub fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Replaces a file by rename: readers see the old one or the new one. Not synced: the death of
/// any process loses nothing.
///
/// # Errors
/// As of `open(2)`, `write(2)`, `rename(2)`; the old file stays.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_with_time(path, bytes, None)
}

/// The same, with a modification time of the caller's.
///
/// # Errors
/// As [`replace`].
pub fn replace_with_time(
    path: &Path,
    bytes: &[u8],
    modified: Option<SystemTime>,
) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = path.with_file_name(name);
    let write = || {
        let mut file = create_private(&temporary).or_else(|error| {
            // left by a process that died with our number
            if error.kind() == io::ErrorKind::AlreadyExists {
                fs::remove_file(&temporary)?;
                return create_private(&temporary);
            }
            Err(error)
        })?;
        file.write_all(bytes)?;
        if let Some(modified) = modified {
            file.set_modified(modified)?;
        }
        fs::rename(&temporary, path)
    };
    write().inspect_err(|_| drop(fs::remove_file(&temporary)))
}

/// Removes a file; that there is none is no error.
///
/// # Errors
/// As of `unlink(2)`.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The entries of a directory. The C library's `opendir` gives up where a signal comes in between.
///
/// # Errors
/// As of `open(2)`.
pub fn read_dir(path: &Path) -> io::Result<fs::ReadDir> {
    loop {
        match fs::read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// A file name for something whose own name can't be trusted to be one: 32 hexadecimal digits of
/// its SHA-256.
pub fn name_digest(name: &OsStr) -> String {
    sha256(name.as_bytes())[..32].to_owned()
}

/// SHA-256, in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
