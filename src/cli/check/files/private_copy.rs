//! A copy of a text that only this user can read, in a directory of its own that goes with it.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::machine::{files, ulid};

/// Removed when it is dropped.
#[derive(Debug)]
pub(crate) struct PrivateCopy {
    directory: PathBuf,
    path: PathBuf,
    is_kept: bool,
}

impl PrivateCopy {
    /// Makes a copy with this name.
    ///
    /// # Errors
    /// As of `mkdir(2)`, `open(2)` and `write(2)`.
    pub(crate) fn new(name: &str, bytes: &[u8]) -> anyhow::Result<PrivateCopy> {
        let directory = env::temp_dir().join(format!("hookmux-{}", ulid::new()));
        let path = directory.join(name);
        let make = || -> io::Result<PrivateCopy> {
            fs::DirBuilder::new().mode(0o700).create(&directory)?;
            let copy =
                PrivateCopy { directory: directory.clone(), path: path.clone(), is_kept: false };
            files::create_private(&path)?.write_all(bytes)?;
            Ok(copy)
        };
        make().with_context(|| format!("no copy can be made in {}", directory.display()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the copy where it is.
    pub(crate) fn keep(&mut self) {
        self.is_kept = true;
    }
}

impl Drop for PrivateCopy {
    fn drop(&mut self) {
        if !self.is_kept {
            // an editor may have left files of its own there
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}
