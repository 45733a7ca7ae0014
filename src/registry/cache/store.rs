//! The cache's file, its lock, and the pieces read from it.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

use super::index::{HEADER, index_length};
use super::wire::{Span, checksum};
use crate::config::settings::Settings;
use crate::machine::files;
use crate::machine::locks::{self, FileLock};
use crate::state::Dir;

const DIRECTORY: &str = "cache";
/// Enough for the index of a hundred registrations.
const FIRST_READ: usize = 8192;

/// What is read of a cache at most, in bytes: it keeps each registration's text, and its compiled form.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// Where the cache of a hooks directory lies.
pub(super) struct CacheFile {
    directory: Dir,
    name: String,
}

impl CacheFile {
    pub(super) fn new(settings: &Settings) -> CacheFile {
        let name = files::name_digest(settings.hooks_dir.as_os_str());
        CacheFile { directory: settings.state_dir.child(DIRECTORY), name }
    }

    /// The file, for words only.
    #[cfg(test)]
    pub(super) fn path(&self) -> std::path::PathBuf {
        self.directory.unchecked_path().join(&self.name)
    }
}

/// The right to write it, for as long as it is kept.
pub(super) struct Lock {
    _file: FileLock,
}

/// Takes the lock if nobody has it. `None` also where nothing could be kept, or what is kept there
/// couldn't be believed later.
pub(super) fn lock(place: &CacheFile) -> Option<Lock> {
    place.directory.make().ok()?;
    let file = place.directory.append(format!("{}.lock", place.name)).ok()?;
    Some(Lock { _file: locks::try_lock(file).ok()?? })
}

/// Replaces the cache. Never synced: a lost one costs a compilation.
///
/// # Errors
/// The old one stays.
pub(super) fn replace(place: &CacheFile, _lock: &Lock, image: &[u8]) -> io::Result<()> {
    remove_torn(place);
    place.directory.replace(&place.name, image)
}

/// Removes what writers left that died: whoever has the lock is the only one.
fn remove_torn(place: &CacheFile) {
    let is_torn = |other: &OsStr| {
        let (other, name) = (other.as_bytes(), place.name.as_bytes());
        other
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(b".") && rest.ends_with(b".new"))
    };
    for name in place.directory.names().unwrap_or_default().iter().filter(|name| is_torn(name)) {
        let _ = place.directory.remove(name);
    }
}

/// The file as a whole, if it is hookmux's own.
pub(super) fn read(place: &CacheFile) -> Option<Vec<u8>> {
    place.directory.read(&place.name, MAX_FILE_BYTES).ok()
}

/// The file, and its header and index, if it is hookmux's own.
pub(super) fn open(place: &CacheFile) -> Option<(File, Vec<u8>)> {
    let (file, metadata) = place.directory.open(&place.name).ok()?;
    let size = metadata.len();
    let mut bytes = vec![0; FIRST_READ.min(usize::try_from(size).ok()?)];
    file.read_exact_at(&mut bytes, 0).ok()?;
    let end = HEADER.checked_add(index_length(&bytes)?)?;
    if end as u64 > size || size > MAX_FILE_BYTES {
        return None;
    }
    let read = bytes.len().min(end);
    bytes.resize(end, 0);
    file.read_exact_at(bytes.get_mut(read..)?, read as u64).ok()?;
    Some((file, bytes))
}

/// What lies behind the index.
pub(super) enum Pieces<'a> {
    /// In a file, from there on.
    File(&'a File, u64),
    Memory(&'a [u8]),
}

impl<'a> Pieces<'a> {
    /// Those of a whole cache.
    pub(super) fn of(image: &'a [u8]) -> Option<Pieces<'a>> {
        let end = HEADER.checked_add(index_length(image)?)?;
        image.get(end..).map(Pieces::Memory)
    }

    /// One piece, if it is whole.
    pub(super) fn get(&self, span: Span) -> Option<Cow<'a, [u8]>> {
        let piece = match self {
            Pieces::Memory(bytes) => {
                let start = usize::try_from(span.offset).ok()?;
                let end = start.checked_add(usize::try_from(span.length).ok()?)?;
                Cow::Borrowed(bytes.get(start..end)?)
            }
            Pieces::File(file, start) => {
                let mut piece = vec![0; usize::try_from(span.length).ok()?];
                file.read_exact_at(&mut piece, start.checked_add(span.offset)?).ok()?;
                Cow::Owned(piece)
            }
        };
        (checksum(&piece) == span.sum).then_some(piece)
    }
}
