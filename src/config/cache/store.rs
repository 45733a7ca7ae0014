//! The cache's file, its lock, and the pieces read from it.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::index::{HEADER, index_length};
use super::wire::{Span, checksum};
use crate::config::settings::Settings;
use crate::files;
use crate::trust::Trust;

const DIRECTORY: &str = "cache";
/// Enough for the index of a hundred registrations.
const FIRST_READ: usize = 8192;

/// Where the cache of a hooks directory lies.
pub fn place(settings: &Settings) -> PathBuf {
    let digest = files::name_digest(settings.hooks_dir.as_os_str());
    settings.state_dir.join(DIRECTORY).join(digest)
}

/// The right to write it, for as long as it is kept.
pub struct Lock {
    _file: File,
}

/// Takes the lock if nobody has it. `None` also where nothing could be kept, or what is kept there
/// couldn't be believed later.
pub fn lock(place: &Path, user: u32) -> Option<Lock> {
    let directory = place.parent()?;
    files::private_directory(directory).ok()?;
    // not the call's own, which may remember that there was no such directory
    Trust::new(user).directory(directory).ok()?;
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(place.with_extension("lock"))
        .ok()?;
    file.try_lock().ok()?;
    Some(Lock { _file: file })
}

/// Replaces the cache. Never synced: a lost one costs a compilation.
///
/// # Errors
/// The old one stays.
pub fn replace(place: &Path, _lock: &Lock, image: &[u8]) -> io::Result<()> {
    remove_torn(place);
    files::replace(place, image)
}

/// Removes what writers left that died: whoever has the lock is the only one.
fn remove_torn(place: &Path) {
    let Some((directory, name)) = place.parent().zip(place.file_name()) else { return };
    let is_torn = |other: &OsStr| {
        let (other, name) = (other.as_bytes(), name.as_bytes());
        other
            .strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(b".") && rest.ends_with(b".new"))
    };
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if is_torn(&entry.file_name()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The file as a whole, if it is hookmux's own.
pub fn read(place: &Path, trust: &mut Trust) -> Option<Vec<u8>> {
    trust.file(place).ok()?;
    fs::read(place).ok()
}

/// The file, and its header and index, if it is hookmux's own.
pub fn open(place: &Path, trust: &mut Trust) -> Option<(File, Vec<u8>)> {
    let size = trust.file(place).ok()?.len();
    let file = File::open(place).ok()?;
    let mut bytes = vec![0; FIRST_READ.min(usize::try_from(size).ok()?)];
    file.read_exact_at(&mut bytes, 0).ok()?;
    let end = HEADER.checked_add(index_length(&bytes)?)?;
    if end as u64 > size {
        return None;
    }
    let read = bytes.len().min(end);
    bytes.resize(end, 0);
    file.read_exact_at(bytes.get_mut(read..)?, read as u64).ok()?;
    Some((file, bytes))
}

/// What lies behind the index.
pub enum Pieces<'a> {
    /// In a file, from there on.
    File(&'a File, u64),
    Memory(&'a [u8]),
}

impl<'a> Pieces<'a> {
    /// Those of a whole cache.
    pub fn of(image: &'a [u8]) -> Option<Pieces<'a>> {
        let end = HEADER.checked_add(index_length(image)?)?;
        image.get(end..).map(Pieces::Memory)
    }

    /// One piece, if it is whole.
    pub fn get(&self, span: Span) -> Option<Cow<'a, [u8]>> {
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
