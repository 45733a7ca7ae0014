//! Where executions are written down: the runtime directory, which is memory on nearly every host.
//! A disk that hangs must not hang a guest's start.
//!
//! One file per execution, in `running/` from before its first hook, in `done/` when it is over;
//! every step is a rename, so a file is whole wherever it is, and is never in both places. What is
//! in `done/` is moved to the state directory by a process that libvirt doesn't wait for.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::form::{self, Record, State};
use crate::machine::{locks, ulid};
use crate::state::Dir;

/// What all records that haven't been moved may take together, in bytes.
pub(crate) const MOST: u64 = 64 << 20;
/// From there on records are kept without what is large in them, in bytes.
const TIGHT: u64 = 48 << 20;

const RUNNING: &str = "running";
const DONE: &str = "done";
const DROPPED: &str = "dropped";
/// What finished ones take: a sum, and behind it the size of each that has come since, 8 bytes each.
/// Nobody has to look at all of them for it, nor wait for anybody.
const SIZES: &str = "sizes";
/// The counters' file has this size from the beginning: so a full file system can still count.
const COUNTERS_SIZE: usize = 64;
/// What is read of the counters' file at most, in bytes.
const MAX_COUNTERS_BYTES: u64 = 4096;
/// What is read of the file of sizes at most, in bytes: two million records.
const MAX_SIZES_BYTES: u64 = 16 << 20;

/// The records of a runtime directory.
#[derive(Clone, Debug)]
pub struct Spool {
    base: Dir,
    running: Dir,
    done: Dir,
}

/// What could not be kept, since the host was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    pub records: u64,
    /// Entries for which the journal had no room.
    pub journal: u64,
}

impl Spool {
    pub fn new(runtime_dir: &Dir) -> Spool {
        let base = runtime_dir.child("records");
        Spool { running: base.child(RUNNING), done: base.child(DONE), base }
    }

    pub fn base(&self) -> &Dir {
        &self.base
    }

    /// Where the records of those lie that run, each under its id.
    pub fn running(&self) -> &Dir {
        &self.running
    }

    /// Where those lie that are over, likewise.
    pub fn done(&self) -> &Dir {
        &self.done
    }

    /// Makes the directories.
    ///
    /// # Errors
    /// As of `mkdir(2)`.
    pub fn make(&self) -> io::Result<()> {
        self.running.make()?;
        self.done.make()?;
        if self.base.entry_metadata(DROPPED).is_err() {
            self.base.replace(DROPPED, &counters_text(Dropped::default()))?;
        }
        Ok(())
    }

    /// Writes down that an execution has begun, with all that is known of it by then.
    ///
    /// # Errors
    /// It isn't written down.
    pub fn begin(&self, record: &Record) -> io::Result<()> {
        let bytes = record.encode()?;
        if self.room(bytes.len() as u64) == Room::None {
            return Err(full());
        }
        self.put(&record.head.id, &bytes)
    }

    /// Writes down what became of it. Where there is no room for all of it, that it happened is kept.
    ///
    /// # Errors
    /// It isn't written down.
    pub fn finish(&self, record: &mut Record) -> io::Result<()> {
        let id = record.head.id.clone();
        let bytes = record.encode()?;
        let mut size = bytes.len() as u64;
        let written = match self.room(bytes.len() as u64) {
            Room::All => self.put(&id, &bytes),
            Room::Tight | Room::None => Err(full()),
        };
        if let Err(error) = written {
            // what the beginning took makes room
            let _ = self.running.remove(&id);
            record.strip(&format!("the rest had no room: {error}"));
            let bytes = record.encode()?;
            if self.room(bytes.len() as u64) == Room::None {
                return Err(full());
            }
            self.put(&id, &bytes)?;
            size = bytes.len() as u64;
        }
        self.end(&id)?;
        self.note_size(size);
        Ok(())
    }

    fn end(&self, id: &str) -> io::Result<()> {
        fs::rename(self.running.file(id)?, self.done.file(id)?)
    }

    fn put(&self, id: &str, bytes: &[u8]) -> io::Result<()> {
        self.running.replace(id, bytes).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                self.make()?;
                self.running.replace(id, bytes)
            }
            _ => Err(error),
        })
    }

    fn room(&self, more: u64) -> Room {
        let sum = more.saturating_add(self.size());
        if sum > MOST {
            Room::None
        } else if sum > TIGHT {
            Room::Tight
        } else {
            Room::All
        }
    }

    /// What the finished ones take, in bytes.
    fn size(&self) -> u64 {
        let Ok(bytes) = self.base.read(SIZES, MAX_SIZES_BYTES) else { return self.recount() };
        let sizes = bytes.chunks_exact(8).filter_map(|size| size.first_chunk());
        sizes.fold(0, |sum, size| sum.saturating_add(u64::from_le_bytes(*size)))
    }

    /// How many have come since they were last moved, as far as is noted.
    pub fn count_since_move(&self) -> u64 {
        self.base.entry_metadata(SIZES).map_or(0, |file| (file.len() / 8).saturating_sub(1))
    }

    fn note_size(&self, size: u64) {
        let append =
            || -> io::Result<()> { self.base.append(SIZES)?.write_all(&size.to_le_bytes()) };
        // one that isn't noted is missed until they are counted again
        let _ = append();
    }

    /// Looks at all of them; what comes meanwhile is counted the next time.
    pub fn recount(&self) -> u64 {
        let names = self.done.names().unwrap_or_default();
        let files = names.iter().filter_map(|name| self.done.entry_metadata(name).ok());
        // what is no file has no room of its own
        let files = files.filter(fs::Metadata::is_file);
        let sum = files.fold(0_u64, |sum, file| sum.saturating_add(file.len()));
        // where the directory isn't there, nothing is noted
        let _ = self.base.replace(SIZES, &sum.to_le_bytes());
        sum
    }

    /// The ids of those that run, or did when their process died.
    pub fn running_ids(&self) -> Vec<String> {
        ids(&self.running)
    }

    /// The ids of those that are over and not moved yet, the oldest first.
    pub fn done_ids(&self) -> Vec<String> {
        ids(&self.done)
    }

    /// Removes files that a writer left when it died half-way, and that nobody can mean any more.
    pub fn remove_torn(&self) {
        [&self.base, &self.running].into_iter().for_each(remove_torn);
    }

    /// Takes an execution whose process is gone for over.
    ///
    /// # Errors
    /// As of `rename(2)`; also that it is gone.
    pub fn settle(&self, id: &str, record: &mut Record) -> io::Result<()> {
        if record.head.state == State::Running {
            record.head.state = State::Lost;
            // also what only another version wrote into it stays
            let marked = form::mark_lost(&self.running.read(id, MOST)?);
            self.running.replace(id, &marked.map_or_else(|| record.encode(), Ok)?)?;
        }
        self.end(id)
    }

    /// What has been dropped so far.
    pub fn dropped(&self) -> Dropped {
        let text = self.base.read(DROPPED, MAX_COUNTERS_BYTES).unwrap_or_default();
        serde_json::from_slice(text.trim_ascii()).unwrap_or_default()
    }

    /// Counts what was dropped. Where that isn't possible either, only the journal tells.
    pub fn count(&self, more: Dropped) {
        if more == Dropped::default() {
            return;
        }
        let count = || -> io::Result<()> {
            let mut file = locks::lock(self.base.update(DROPPED)?)?;
            let before = self.dropped();
            let sum = Dropped {
                records: before.records.saturating_add(more.records),
                journal: before.journal.saturating_add(more.journal),
            };
            // over what is there: no further block is needed
            let file: &mut File = &mut file;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&counters_text(sum))
        };
        let _ = count();
    }
}

/// Whether another record fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    All,
    /// Without documents and output.
    Tight,
    None,
}

fn full() -> io::Error {
    io::Error::new(
        io::ErrorKind::QuotaExceeded,
        format!("the records that wait to be moved take {} MiB", MOST >> 20),
    )
}

fn counters_text(dropped: Dropped) -> Vec<u8> {
    let mut text = serde_json::to_vec(&dropped).unwrap_or_default();
    text.resize(COUNTERS_SIZE.max(text.len()), b' ');
    text
}

/// Removes what in a directory was to replace a file, by processes that aren't there any more.
pub(crate) fn remove_torn(directory: &Dir) {
    let is_torn = |name: &OsStr| {
        let pid = name.to_str().and_then(|name| name.strip_suffix(".new")?.rsplit('.').next());
        pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
    };
    for name in directory.names().unwrap_or_default().iter().filter(|name| is_torn(name)) {
        let _ = directory.remove(name);
    }
}

/// What in a directory has the name of a record, sorted.
pub(crate) fn ids(directory: &Dir) -> Vec<String> {
    let mut ids: Vec<String> = directory
        .names()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|name| name.into_string().ok())
        .filter(|name| ulid::is_valid(name))
        .collect();
    ids.sort_unstable();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::form::tests::record;

    fn spool_in(directory: &tempfile::TempDir) -> Spool {
        let path = directory.path().canonicalize().unwrap();
        Spool::new(&Dir::new(path, nix::unistd::geteuid().as_raw()))
    }

    #[test]
    fn an_execution_is_running_and_then_done() {
        let directory = tempfile::tempdir().unwrap();
        let spool = spool_in(&directory);
        let mut record = record();
        let id = record.head.id.clone();
        record.head.state = State::Running;
        spool.begin(&record).unwrap();
        assert_eq!((spool.running_ids(), spool.done_ids()), (vec![id.clone()], vec![]));
        record.head.state = State::Done;
        spool.finish(&mut record).unwrap();
        assert_eq!((spool.running_ids(), spool.done_ids()), (vec![], vec![id.clone()]));
        assert_eq!(Record::decode(&spool.done().read(&id, MOST).unwrap()), Some(record));
    }

    #[test]
    fn one_that_never_was_running_is_done_all_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let spool = spool_in(&directory);
        spool.finish(&mut record()).unwrap();
        assert_eq!((spool.running_ids().len(), spool.done_ids().len()), (0, 1));
    }

    #[test]
    fn what_is_large_is_left_out_first_and_then_everything() {
        let directory = tempfile::tempdir().unwrap();
        let spool = spool_in(&directory);
        spool.make().unwrap();
        let filler = File::create(spool.done().unchecked_path().join(ulid::new())).unwrap();
        filler.set_len(TIGHT).unwrap();
        spool.recount();
        let mut tight = record();
        spool.finish(&mut tight).unwrap();
        let kept = Record::decode(&spool.done().read(&tight.head.id, MOST).unwrap()).unwrap();
        assert!(kept.body.document.is_none() && kept.body.left_out.is_some());
        assert_eq!(kept.head.hooks, tight.head.hooks);
        filler.set_len(MOST).unwrap();
        spool.recount();
        let mut none = record();
        none.head.id = ulid::new();
        assert!(spool.begin(&none).is_err());
        assert!(spool.finish(&mut none).is_err());
        assert_eq!(spool.done_ids().len(), 2);
    }

    #[test]
    fn what_is_dropped_is_counted() {
        let directory = tempfile::tempdir().unwrap();
        let spool = spool_in(&directory);
        assert_eq!(spool.dropped(), Dropped::default());
        spool.count(Dropped { records: 1, journal: 0 });
        assert_eq!(spool.dropped(), Dropped::default(), "there is nowhere to count");
        spool.make().unwrap();
        for _ in 0..3 {
            spool.count(Dropped { records: 1, journal: 500 });
        }
        assert_eq!(spool.dropped(), Dropped { records: 3, journal: 1500 });
    }
}
