//! The file that a document is given in: private when it is made, looked at with care when it comes
//! back.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::files;
use crate::libvirt::document::MAX_BYTES;
use crate::state::Dir;

/// The file's name in its directory.
pub const FILE_NAME: &str = "document.xml";

/// Makes a new directory with a document in it, both readable to one user (uid and gid; else to
/// ours) and to nobody else.
///
/// # Errors
/// As of `mkdir(2)`, `open(2)`, `write(2)`, `chown(2)`.
pub fn make_private(place: &Place, document: &[u8], owner: Option<(u32, u32)>) -> io::Result<()> {
    let directory = place.make()?;
    fill(&directory, document, owner).inspect_err(|_| remove(place))
}

fn fill(directory: &Path, document: &[u8], owner: Option<(u32, u32)>) -> io::Result<()> {
    let path = directory.join(FILE_NAME);
    files::create_private(&path)?.write_all(document)?;
    if let Some((user, group)) = owner {
        let parent = directory.parent().unwrap_or(directory);
        // the way there has to be open, and shows nothing: no directory on it can be listed
        for directory in [Some(parent), parent.parent()].into_iter().flatten() {
            fs::set_permissions(directory, Permissions::from_mode(0o711))?;
        }
        chown(&path, Some(user), Some(group))?;
        chown(directory, Some(user), Some(group))?;
    }
    Ok(())
}

/// Removes a directory with a document in it: the document first, whatever else may fail.
pub fn remove(place: &Place) {
    let Ok(directory) = place.path() else { return };
    let directory = directory.as_path();
    let _ = files::remove(&directory.join(FILE_NAME));
    if fs::remove_dir(directory).is_err() {
        // editors leave files of their own beside
        let _ = fs::remove_dir_all(directory);
    }
}

/// Where the directories with documents lie, in the runtime directory.
const DATA: &str = "data";

/// The place for a directory with a document in it.
#[derive(Clone, Debug)]
pub struct Place {
    data: Dir,
    name: String,
}

impl Place {
    pub fn named_by(runtime_dir: &Dir, name: String) -> Place {
        Place { data: runtime_dir.child(DATA), name }
    }

    /// One beside it, with this at the end of its name.
    pub fn beside(&self, end: &str) -> Place {
        Place { data: self.data.clone(), name: format!("{}{end}", self.name) }
    }

    /// Its path, for words only.
    pub fn named(&self) -> PathBuf {
        self.data.named().join(&self.name)
    }

    /// Its path, for what is done there now.
    ///
    /// # Errors
    /// As [`Dir::judge`].
    pub fn path(&self) -> io::Result<PathBuf> {
        self.data.file(&self.name)
    }

    /// Makes the directory, which must not be there.
    ///
    /// # Errors
    /// As [`Dir::make`].
    pub fn make(&self) -> io::Result<PathBuf> {
        let directory = self.data.make()?.join(&self.name);
        DirBuilder::new().mode(0o700).create(&directory)?;
        Ok(directory)
    }
}

/// The place for one call's documents: named after the process too, so that what a dead one left
/// is known.
pub fn place(runtime_dir: &Dir, id: &str) -> Place {
    Place::named_by(runtime_dir, format!("{id}.{}", std::process::id()))
}

/// Removes what processes left that didn't come to their end: documents may hold passwords.
pub fn sweep(runtime_dir: &Dir) {
    let data = runtime_dir.child(DATA);
    for name in data.names().unwrap_or_default() {
        let owner = name.to_str().and_then(|name| name.rsplit_once('.')).map(|(_, rest)| rest);
        let pid =
            owner.and_then(|owner| owner.split('-').next()).and_then(|pid| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = data.file(&name).and_then(fs::remove_dir_all);
        }
    }
}

/// What a write, a rename and a touch all change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    links: u64,
    mode: u32,
}

impl Mark {
    pub(super) const TIME: SystemTime = SystemTime::UNIX_EPOCH;

    pub(super) fn of(path: &Path) -> Option<Mark> {
        let file = fs::symlink_metadata(path).ok()?;
        Some(Mark {
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            links: file.nlink(),
            mode: file.mode(),
        })
    }
}

/// Reads a file that a hook may have replaced, by its path.
///
/// # Errors
/// It is gone, or something that no document may be read from.
pub(super) fn read_back(path: &Path) -> io::Result<Vec<u8>> {
    let is_ours = path.starts_with("/proc");
    let flags = if is_ours { libc::O_NONBLOCK } else { libc::O_NONBLOCK | libc::O_NOFOLLOW };
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file any more"));
    }
    if !is_ours && metadata.nlink() != 1 {
        return Err(io::Error::other("it has more than one name"));
    }
    let limit = MAX_BYTES as u64 + 1;
    let mut bytes =
        Vec::with_capacity(usize::try_from(metadata.len().min(limit)).unwrap_or_default());
    file.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_BYTES {
        return Err(io::Error::other(format!("it is larger than {} MiB", MAX_BYTES >> 20)));
    }
    Ok(bytes)
}
