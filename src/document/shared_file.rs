//! The file in which the scripts of an event find the document and leave it. It is in the runtime directory, or in
//! memory where there is no room.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use super::file::{CreatedDirectory, DocumentPlace, FILE_NAME, FileStamp, read_back, read_memory};
use crate::machine::files;

/// The file in which scripts find the document.
pub(super) enum SharedFile {
    File(PathBuf, CreatedDirectory),
    /// A file in memory, where the runtime directory is full or can't be written.
    Memory(File, PathBuf),
}

impl SharedFile {
    /// Writes the document, and makes the file again if it is in the directory: a hook may have put anything in its
    /// place. Returns the file's stamp, by which nobody has touched it; a file in memory has none.
    ///
    /// # Errors
    /// There is no memory for it.
    pub(super) fn write(
        shared: &mut Option<SharedFile>,
        place: &DocumentPlace,
        content: &[u8],
    ) -> io::Result<Option<FileStamp>> {
        if let Some(SharedFile::Memory(file, _)) = shared {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(content)?;
            return Ok(None);
        }
        let path = place.named().join(FILE_NAME);
        let result = match shared {
            Some(_) => files::remove(&path).and_then(|()| files::create_private(&path)),
            None => place.make().and_then(|_| files::create_private(&path)),
        }
        .and_then(|mut file| {
            file.write_all(content)?;
            // no later write can result in this time, however coarse the clock of the file system is
            file.set_modified(FileStamp::TIME)
        });
        // hooks that run as root may have made the directory again
        if let (Ok(()), Ok(made)) = (&result, CreatedDirectory::of(&place.named(), None)) {
            let stamp = FileStamp::of(&path);
            *shared = Some(SharedFile::File(path, made));
            return Ok(stamp);
        }
        // a file that was written in part would take room for ever
        if let Ok(directory) = place.path() {
            let _ = files::remove(&path);
            let _ = fs::remove_dir(directory);
        }
        let file = files::memory_file(c"hookmux-document", content)?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        *shared = Some(SharedFile::Memory(file, path.into()));
        Ok(None)
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            SharedFile::File(path, _) | SharedFile::Memory(_, path) => path,
        }
    }

    /// Reads what the scripts have left.
    pub(super) fn read_back(&self, place: &DocumentPlace) -> io::Result<Vec<u8>> {
        match self {
            SharedFile::File(_, made) => read_back(&place.path()?, *made),
            SharedFile::Memory(_, path) => read_memory(path),
        }
    }

    /// Tells whether there is a directory to remove.
    pub(super) fn is_in_directory(&self) -> bool {
        matches!(self, SharedFile::File(..))
    }
}
