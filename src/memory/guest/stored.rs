//! The files of what is remembered: read, written and removed, whatever stands in their place.

use std::fs;
use std::io;

use serde::de::DeserializeOwned;

use super::unreadable::Unreadable;
use crate::state::{Dir, DirRefusal, format};

/// The version of both formats. Raised when what an older version reads from one would be wrong.
pub(super) const FORMAT: u32 = 1;
/// A file that is larger was not written by hookmux: only a held failure's words may be long.
const MAX_FILE_BYTES: u64 = 64 << 10;
/// Tries to write where somebody removes the directory meanwhile.
const TRIES: usize = 3;

/// Reads a file of ours; `None` where there is none, and where there can't be one.
pub(super) fn read<T: DeserializeOwned>(
    directory: &Dir,
    name: &str,
) -> Result<Option<T>, Unreadable> {
    let path = directory.unchecked_path().join(name);
    // what lies in a directory of others isn't ours
    let is_absence = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
            || DirRefusal::of(error).is_some()
    };
    let file = match directory.entry_metadata(name) {
        Ok(file) => file,
        Err(error) if is_absence(&error) => return Ok(None),
        // what waits and can't be looked at may be a failure: the gate stays shut
        Err(error) => {
            return Err(Unreadable::unseen(path, &error));
        }
    };
    match read_file(directory, name) {
        Ok(read) => Ok(Some(read)),
        // it was taken meanwhile
        Err(error) if is_absence(&error) && !file.is_symlink() => Ok(None),
        Err(error) => Err(Unreadable::new(&path, &file, error.to_string())),
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

/// Writes a file of ours, and makes its directory where it is missing. A directory of expectations
/// may go between the two. What stands in the way and isn't a file is put aside.
pub(super) fn write(directory: &Dir, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut result = directory.replace(name, bytes);
    for _ in 0..TRIES {
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

/// Whether something else stands in a directory's place.
fn is_no_directory(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotADirectory
        || DirRefusal::of(error).is_some_and(|shut| !shut.is_of_others())
}

/// Gives something another name, under which nobody looks for it.
fn put_aside(directory: &Dir, name: &str) -> io::Result<()> {
    let aside = format!("{name}.{}.odd", std::process::id());
    fs::rename(directory.file(name)?, directory.file(aside)?)
}

/// Removes what has the name of a file of ours, if it can.
pub(super) fn remove(directory: &Dir, name: &str) {
    if directory.remove(name).is_err() {
        // an empty directory; one that isn't is left, and counts for nothing
        let _ = directory.file(name).and_then(fs::remove_dir);
    }
}

/// The names of the states in a directory.
pub(super) fn state_names(directory: &Dir) -> impl Iterator<Item = String> + use<> {
    let names = directory.names().unwrap_or_default().into_iter();
    names.filter_map(|name| name.into_string().ok()).filter(|name| name.ends_with(".json"))
}
