//! A file that a stored job reads: what its hook got or wrote.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use super::file::{self, DocumentPlace};
use crate::machine::files;

/// Such a file: in the runtime directory, or in memory where that is full. It is gone with this value.
pub(crate) enum InputFile {
    File(DocumentPlace),
    Memory { _file: File, path: PathBuf },
}

impl InputFile {
    /// Makes one that only `owner` (uid and gid) can read, or our user.
    ///
    /// # Errors
    /// There is no room for it, or `owner` couldn't be given it.
    pub(crate) fn make(
        place: DocumentPlace,
        content: &[u8],
        owner: Option<(u32, u32)>,
    ) -> io::Result<InputFile> {
        match file::make_private(&place, content, owner) {
            Ok(_) => Ok(InputFile::File(place)),
            // another user can't read this process's memory
            Err(error) if owner.is_some() => Err(error),
            Err(_) => {
                let file = files::memory_file(c"hookmux-input", content)?;
                let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
                Ok(InputFile::Memory { _file: file, path: path.into() })
            }
        }
    }

    /// Returns its path, for the one that reads it.
    pub(crate) fn path(&self) -> PathBuf {
        match self {
            InputFile::File(place) => place.named().join(file::FILE_NAME),
            InputFile::Memory { path, .. } => path.clone(),
        }
    }
}

impl Drop for InputFile {
    fn drop(&mut self) {
        if let InputFile::File(place) = self {
            file::remove(place);
        }
    }
}
