//! The store: records in the state directory, one file each. They are grouped by the first characters of
//! their ids, so a group has 17 minutes. So the newest are found without reading all names.

use std::io::{self, Read};
use std::path::PathBuf;

use super::form::{Record, RecordError, RecordHead};
use super::spool;
use super::texts::Texts;
use crate::state::Dir;

/// The number of characters of an id that name its group.
pub(crate) const GROUP_CHARS: usize = 6;
/// The first read for the head of a record, in bytes.
const FIRST_READ_BYTES: usize = 4096;
/// The size limit of a head, in bytes.
const MAX_HEAD_BYTES: usize = 8 << 20;
/// The size limit of a record, in bytes: that of all records in the runtime directory, as none can have
/// been larger.
pub(crate) const MAX_RECORD_BYTES: u64 = spool::MAX_SPOOL_BYTES;

/// The records of a state directory.
#[derive(Clone, Debug)]
pub struct Store {
    base: Dir,
    texts: Texts,
}

impl Store {
    pub fn new(state_dir: &Dir) -> Store {
        let base = state_dir.child("records");
        Store { texts: Texts::new(&base), base }
    }

    pub fn base(&self) -> &Dir {
        &self.base
    }

    /// Returns the texts of registrations that records refer to.
    pub fn texts(&self) -> &Texts {
        &self.texts
    }

    /// Returns the directory of a record; its file name is its id.
    pub fn group(&self, id: &str) -> Dir {
        self.base.child(group_of(id))
    }

    /// Returns the path of a record, for messages only.
    pub fn path(&self, id: &str) -> PathBuf {
        self.base.unchecked_path().join(group_of(id)).join(id)
    }

    /// Writes a record, completely or not at all.
    ///
    /// # Errors
    /// As of `mkdir(2)`, `open(2)`, `write(2)`, `rename(2)`.
    pub fn put(&self, id: &str, bytes: &[u8]) -> io::Result<()> {
        let group = self.group(id);
        group.replace(id, bytes).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                group.make()?;
                group.replace(id, bytes)
            }
            _ => Err(error),
        })
    }

    /// Removes a record, and its group if it was the last one.
    ///
    /// # Errors
    /// As of `unlink(2)`.
    pub fn remove(&self, id: &str) -> io::Result<()> {
        let group = self.group(id);
        group.remove(id)?;
        // fails while there are others
        let _ = group.remove_empty();
        Ok(())
    }

    /// Returns the groups, the newest first.
    pub fn groups(&self) -> Vec<String> {
        let names = self.base.names().unwrap_or_default().into_iter();
        let mut groups: Vec<String> = names
            .filter_map(|name| name.into_string().ok())
            .filter(|name| name.len() == GROUP_CHARS)
            .collect();
        groups.sort_unstable_by(|a, b| b.cmp(a));
        groups
    }

    /// Returns the ids in a group, the newest first.
    pub fn ids(&self, group: &str) -> Vec<String> {
        let mut ids = spool::ids(&self.base.child(group));
        ids.reverse();
        ids
    }

    /// Returns all ids, the newest first. Groups are read only when they are needed.
    pub fn newest(&self) -> impl Iterator<Item = String> {
        self.groups().into_iter().flat_map(|group| self.ids(&group))
    }
}

/// Returns the group of an id.
pub(crate) fn group_of(id: &str) -> &str {
    id.get(..GROUP_CHARS).unwrap_or(id)
}

/// Reads the first line of a record.
///
/// # Errors
/// It doesn't exist, or can't be read; `InvalidData` where it is not a record of hookmux, with a
/// `format::Newer` inside where a newer version wrote it.
pub fn read_head(directory: &Dir, id: &str) -> io::Result<RecordHead> {
    let (mut file, _) = directory.open(id)?;
    let mut bytes = vec![0; FIRST_READ_BYTES];
    let mut filled = 0;
    loop {
        let read = file.read(bytes.get_mut(filled..).unwrap_or_default())?;
        let line_end = bytes.get(filled..filled + read).and_then(|new| memchr::memchr(b'\n', new));
        if let Some(end) = line_end {
            bytes.truncate(filled + end);
            return RecordHead::read(&bytes).map_err(unread).and_then(|head| named(head, id));
        }
        filled += read;
        if read == 0 {
            return Err(not_a_record());
        }
        if filled >= MAX_HEAD_BYTES {
            return Err(not_a_record());
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
pub fn read(directory: &Dir, id: &str) -> io::Result<Record> {
    let bytes = directory.read(id, MAX_RECORD_BYTES)?;
    let Record { head, body } = Record::read(&bytes).map_err(unread)?;
    Ok(Record { head: named(head, id)?, body })
}

/// Refuses a copy of a record under another name.
fn named(head: RecordHead, id: &str) -> io::Result<RecordHead> {
    if head.id == id {
        return Ok(head);
    }
    let words = format!("it is the record of {}, under another name", head.id);
    Err(io::Error::new(io::ErrorKind::InvalidData, words))
}

fn unread(why: RecordError) -> io::Error {
    match why {
        RecordError::Newer(newer) => newer.into(),
        RecordError::NotARecord => not_a_record(),
    }
}

fn not_a_record() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is not a record of this version")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::ulid;
    use crate::record::form::tests::record;

    #[test]
    fn records_are_found_the_newest_first() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap();
        let store = Store::new(&Dir::new(path, nix::unistd::geteuid().as_raw()));
        let times = [1_000_000_000_000, 1_000_000_001_000, 1_700_000_000_000, 1_700_009_000_000];
        let ids: Vec<String> = times.into_iter().map(ulid::smallest_at).collect();
        for id in &ids {
            let mut record = record();
            record.head.id.clone_from(id);
            store.put(id, &record.encode().unwrap()).unwrap();
            assert_eq!(read_head(&store.group(id), id).unwrap(), record.head);
            assert_eq!(read(&store.group(id), id).unwrap(), record);
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
        record.head.object = "x".repeat(3 * FIRST_READ_BYTES);
        let path = directory.path().canonicalize().unwrap();
        let dir = Dir::new(path, nix::unistd::geteuid().as_raw());
        let id = record.head.id.clone();
        dir.replace(&id, &record.encode().unwrap()).unwrap();
        assert_eq!(read_head(&dir, &id).unwrap(), record.head);
        dir.replace(ulid::new(), &record.encode().unwrap()).unwrap();
        for bytes in [&b""[..], b"{", b"{}\n", b"\n\n"] {
            dir.replace(&id, bytes).unwrap();
            assert!(read_head(&dir, &id).is_err() && read(&dir, &id).is_err());
        }
        // a copy under another name
        let other = ulid::new();
        dir.replace(&other, &record.encode().unwrap()).unwrap();
        assert!(read_head(&dir, &other).is_err() && read(&dir, &other).is_err());
        // gigabytes of nothing
        let long = std::fs::File::create(dir.unchecked_path().join(&id)).unwrap();
        long.set_len(5 << 30).unwrap();
        assert!(read_head(&dir, &id).is_err() && read(&dir, &id).is_err());
    }
}
