//! The cache's file, its lock, and the pieces that are read from it.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

use super::encoding::{PieceSpan, checksum};
use super::index::{HEADER_BYTES, index_length};
use crate::config::settings::Settings;
use crate::machine::files;
use crate::machine::locks::{self, FileLock};
use crate::state::Dir;

const DIRECTORY: &str = "cache";
/// The first read has the index of a hundred registrations.
const FIRST_READ_BYTES: usize = 8192;

/// How many bytes of a cache are read at most: it has the text and compiled form of each registration.
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

    /// Returns the file's path, for messages only.
    #[cfg(test)]
    pub(super) fn path(&self) -> std::path::PathBuf {
        self.directory.unchecked_path().join(&self.name)
    }
}

/// The right to write the cache, as long as this value exists.
pub(super) struct CacheLock {
    _file: FileLock,
}

/// Takes the lock if it is free. `None` also where nothing could be stored, or what is stored there
/// couldn't be trusted later.
pub(super) fn lock(place: &CacheFile) -> Option<CacheLock> {
    place.directory.make().ok()?;
    let file = place.directory.append(format!("{}.lock", place.name)).ok()?;
    Some(CacheLock { _file: locks::try_lock(file).ok()?? })
}

/// Replaces the cache. It isn't synced to disk: a lost one only has to be compiled again.
///
/// # Errors
/// The old one stays.
pub(super) fn replace(place: &CacheFile, _lock: &CacheLock, image: &[u8]) -> io::Result<()> {
    remove_half_written(place);
    place.directory.replace(&place.name, image)
}

/// Removes files of writers that died: only the owner of the lock writes.
fn remove_half_written(place: &CacheFile) {
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

/// Reads the whole file, if it is hookmux's own.
pub(super) fn read(place: &CacheFile) -> Option<Vec<u8>> {
    place.directory.read(&place.name, MAX_FILE_BYTES).ok()
}

/// Opens the file and reads header and index, if it is hookmux's own.
pub(super) fn open(place: &CacheFile) -> Option<(File, Vec<u8>)> {
    let (file, metadata) = place.directory.open(&place.name).ok()?;
    let size = metadata.len();
    let mut bytes = vec![0; FIRST_READ_BYTES.min(usize::try_from(size).ok()?)];
    file.read_exact_at(&mut bytes, 0).ok()?;
    let end = HEADER_BYTES.checked_add(index_length(&bytes)?)?;
    if end as u64 > size || size > MAX_FILE_BYTES {
        return None;
    }
    let read = bytes.len().min(end);
    bytes.resize(end, 0);
    file.read_exact_at(bytes.get_mut(read..)?, read as u64).ok()?;
    Some((file, bytes))
}

/// The pieces after the index.
pub(super) enum Pieces<'a> {
    /// In a file, from this offset.
    File(&'a File, u64),
    Memory(&'a [u8]),
}

impl<'a> Pieces<'a> {
    /// Returns those of a whole cache in memory.
    pub(super) fn of(image: &'a [u8]) -> Option<Pieces<'a>> {
        let end = HEADER_BYTES.checked_add(index_length(image)?)?;
        image.get(end..).map(Pieces::Memory)
    }

    /// Returns one piece, if its checksum is right.
    pub(super) fn get(&self, span: PieceSpan) -> Option<Cow<'a, [u8]>> {
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
