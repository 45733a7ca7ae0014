//! Where records stay: the state directory, one file each, grouped by the first letters of their
//! ids, which stand for 17 minutes of time. So the newest are found without reading all names.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::form::{Head, Record, Unread};
use super::spool;
use crate::files;

/// Letters of an id that name its group.
const GROUP: usize = 6;
/// How much of a record is read at once for its head.
const FIRST_READ: usize = 4096;

/// The records of a state directory.
#[derive(Clone, Debug)]
pub struct Store {
    base: PathBuf,
}

impl Store {
    pub fn new(state_dir: &Path) -> Store {
        Store { base: state_dir.join("records") }
    }

    pub fn base(&self) -> &Path {
        &self.base
    }

    pub fn path(&self, id: &str) -> PathBuf {
        self.base.join(group_of(id)).join(id)
    }

    /// Keeps a record, whole or not at all.
    ///
    /// # Errors
    /// As of `mkdir(2)`, `open(2)`, `write(2)`, `rename(2)`.
    pub fn put(&self, id: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(id);
        files::replace(&path, bytes).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                files::private_directory(&self.base)?;
                files::private_directory(path.parent().unwrap_or(&self.base))?;
                files::replace(&path, bytes)
            }
            _ => Err(error),
        })
    }

    /// Forgets a record, and its group where it was the last.
    ///
    /// # Errors
    /// As of `unlink(2)`.
    pub fn remove(&self, id: &str) -> io::Result<()> {
        files::remove(&self.path(id))?;
        // not while there are others
        let _ = fs::remove_dir(self.base.join(group_of(id)));
        Ok(())
    }

    /// The groups, the newest first.
    pub fn groups(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.base).into_iter().flatten().flatten();
        let mut groups: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.len() == GROUP)
            .collect();
        groups.sort_unstable_by(|a, b| b.cmp(a));
        groups
    }

    /// The ids in a group, the newest first.
    pub fn ids(&self, group: &str) -> Vec<String> {
        let mut ids = spool::ids(&self.base.join(group));
        ids.reverse();
        ids
    }

    /// All ids, the newest first, read as they are asked for.
    pub fn newest(&self) -> impl Iterator<Item = String> {
        self.groups().into_iter().flat_map(|group| self.ids(&group))
    }
}

/// The group that an id, or the smallest id of a time, belongs to.
pub fn group_of(id: &str) -> &str {
    id.get(..GROUP).unwrap_or(id)
}

/// Reads the first line of a record.
///
/// # Errors
/// It isn't there, or can't be read; `InvalidData` where it is no record, made of a `format::Newer`
/// where it is a newer version's.
pub fn read_head(path: &Path) -> io::Result<Head> {
    let mut file = open(path)?;
    let mut bytes = vec![0; FIRST_READ];
    let mut filled = 0;
    loop {
        let read = file.read(bytes.get_mut(filled..).unwrap_or_default())?;
        let line_end = bytes.get(filled..filled + read).and_then(|new| memchr::memchr(b'\n', new));
        if let Some(end) = line_end {
            bytes.truncate(filled + end);
            return Head::read(&bytes).map_err(unread);
        }
        filled += read;
        if read == 0 {
            return Err(no_record());
        }
        if filled == bytes.len() {
            bytes.resize(bytes.len() * 2, 0);
        }
    }
}

/// Reads a record.
///
/// # Errors
/// As [`read_head`].
pub fn read(path: &Path) -> io::Result<Record> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Record::read(&bytes).map_err(unread)
}

/// What isn't a regular file is no record; a pipe isn't waited for.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW)
        .open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(no_record()) }
}

fn unread(why: Unread) -> io::Error {
    match why {
        Unread::Newer(newer) => newer.into(),
        Unread::NoRecord => no_record(),
    }
}

fn no_record() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no record of this version's")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::form::tests::record;
    use crate::record::ulid;

    #[test]
    fn records_are_found_the_newest_first() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path());
        let times = [1_000_000_000_000, 1_000_000_001_000, 1_700_000_000_000, 1_700_009_000_000];
        let ids: Vec<String> = times.into_iter().map(ulid::first_of).collect();
        for id in &ids {
            let mut record = record();
            record.head.id.clone_from(id);
            store.put(id, &record.encode().unwrap()).unwrap();
            assert_eq!(read_head(&store.path(id)).unwrap(), record.head);
            assert_eq!(read(&store.path(id)).unwrap(), record);
        }
        assert_eq!(store.groups().len(), 3);
        let newest: Vec<String> = store.newest().collect();
        assert!(newest.iter().eq(ids.iter().rev()));
        store.remove(&ids[3]).unwrap();
        assert_eq!(store.groups().len(), 2);
    }

    #[test]
    fn a_long_head_is_read_whole_and_nonsense_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let mut record = record();
        record.head.object = "x".repeat(3 * FIRST_READ);
        let path = directory.path().join("a");
        fs::write(&path, record.encode().unwrap()).unwrap();
        assert_eq!(read_head(&path).unwrap(), record.head);
        for bytes in [&b""[..], b"{", b"{}\n", b"\n\n"] {
            fs::write(&path, bytes).unwrap();
            assert!(read_head(&path).is_err() && read(&path).is_err());
        }
    }
}
