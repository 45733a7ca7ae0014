//! Reads, writes and removes the files of the remembered state, whatever else may be in their place.

use std::fs;
use std::io;

use serde::de::DeserializeOwned;

use super::unreadable::UnreadableMemory;
use crate::state::{Dir, DirRefusal, format};

/// The version of both formats. It is raised when older versions would misread a file.
pub(super) const FORMAT: u32 = 1;
/// The size limit of a file, in bytes. hookmux writes no larger one: only the message of a held failure
/// may be long.
const MAX_FILE_BYTES: u64 = 64 << 10;
/// The number of attempts to write a file, as somebody may remove the directory meanwhile.
const MAX_WRITE_ATTEMPTS: usize = 3;

/// Reads a file of ours. Returns `None` where there is no file, or can't be one.
pub(super) fn read<T: DeserializeOwned>(
    directory: &Dir,
    name: &str,
) -> Result<Option<T>, UnreadableMemory> {
    let path = directory.unchecked_path().join(name);
    // a file in a directory of other users isn't ours
    let is_absence = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
            || DirRefusal::of(error).is_some()
    };
    let error = match read_file(directory, name) {
        Ok(read) => return Ok(Some(read)),
        // a link isn't followed, and has another error
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => error,
    };
    match directory.entry_metadata(name) {
        // another call took it meanwhile
        Ok(file) if is_absence(&error) && !file.is_symlink() => Ok(None),
        Ok(file) => Err(UnreadableMemory::new(&path, &file, error.to_string())),
        Err(error) if is_absence(&error) => Ok(None),
        // a pending file that can't be looked at may hold a failure: the gate stays shut
        Err(error) => Err(UnreadableMemory::unseen(path, &error)),
    }
}

fn read_file<T: DeserializeOwned>(directory: &Dir, name: &str) -> io::Result<T> {
    let bytes = directory.read(name, MAX_FILE_BYTES)?;
    format::check(&bytes, FORMAT)?;
    Ok(serde_json::from_slice(format::object(&bytes)?)?)
}

pub(super) fn is_newer(directory: &Dir, name: &str) -> bool {
    let bytes = directory.read(name, MAX_FILE_BYTES);
    bytes.is_ok_and(|bytes| format::check(&bytes, FORMAT).is_err())
}

/// Writes a file of ours, and makes its directory if it is missing. The directory of pending files may
/// be removed between the two. Anything in the way that isn't a file is put aside.
pub(super) fn write(directory: &Dir, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut result = directory.replace(name, bytes);
    for _ in 0..MAX_WRITE_ATTEMPTS {
        match &result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => drop(directory.make()?),
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
                put_aside(directory, name)?
            }
            Err(error) if is_no_directory(error) => directory.put_aside()?,
            _ => break,
        }
        result = directory.replace(name, bytes);
    }
    result
}

/// Tells whether something that is not a directory is in its place.
fn is_no_directory(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotADirectory
        || DirRefusal::of(error).is_some_and(|shut| !shut.is_of_others())
}

/// Renames a file or directory to a name that nobody looks for.
fn put_aside(directory: &Dir, name: &str) -> io::Result<()> {
    let aside = format!("{name}.{}.odd", std::process::id());
    fs::rename(directory.file(name)?, directory.file(aside)?)
}

/// Removes a file of ours, or an empty directory with its name.
pub(super) fn remove(directory: &Dir, name: &str) {
    if directory.remove(name).is_err() {
        // a directory that isn't empty stays, and has no effect
        let _ = directory.file(name).and_then(fs::remove_dir);
    }
}

/// Returns the names of the state files in a directory.
pub(super) fn state_names(directory: &Dir) -> impl Iterator<Item = String> + use<> {
    let names = directory.names().unwrap_or_default().into_iter();
    names.filter_map(|name| name.into_string().ok()).filter(|name| name.ends_with(".json"))
}
