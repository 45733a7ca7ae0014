//! Where executions are written down: the runtime directory, which is memory on nearly every host.
//! A disk that hangs must not hang a guest's start.
//!
//! One file per execution, in `running/` from before its first hook, in `done/` when it is over;
//! every step is a rename, so a file is whole wherever it is, and is never in both places. What is
//! in `done/` is moved to the state directory by a process that libvirt doesn't wait for.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::form::{self, Record, State};
use super::ulid;
use crate::files;

/// What all records that haven't been moved may take together, in bytes.
pub const MOST: u64 = 64 << 20;
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

/// The records of a runtime directory.
#[derive(Clone, Debug)]
pub struct Spool {
    base: PathBuf,
}

/// What could not be kept, since the host was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    pub records: u64,
    /// Entries for which the journal had no room.
    pub journal: u64,
}

impl Spool {
    pub fn new(runtime_dir: &Path) -> Spool {
        Spool { base: runtime_dir.join("records") }
    }

    pub fn base(&self) -> &Path {
        &self.base
    }

    pub fn done_directory(&self) -> PathBuf {
        self.base.join(DONE)
    }

    pub fn running(&self, id: &str) -> PathBuf {
        self.base.join(RUNNING).join(id)
    }

    pub fn done(&self, id: &str) -> PathBuf {
        self.base.join(DONE).join(id)
    }

    /// Makes the directories.
    ///
    /// # Errors
    /// As of `mkdir(2)`.
    pub fn make(&self) -> io::Result<()> {
        for directory in [&self.base, &self.base.join(RUNNING), &self.base.join(DONE)] {
            files::private_directory(directory)?;
        }
        let counters = self.base.join(DROPPED);
        if !counters.exists() {
            files::replace(&counters, &counters_text(Dropped::default()))?;
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
            let _ = files::remove(&self.running(&id));
            record.strip(&format!("the rest had no room: {error}"));
            let bytes = record.encode()?;
            if self.room(bytes.len() as u64) == Room::None {
                return Err(full());
            }
            self.put(&id, &bytes)?;
            size = bytes.len() as u64;
        }
        fs::rename(self.running(&id), self.done(&id))?;
        self.note_size(size);
        Ok(())
    }

    fn put(&self, id: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.running(id);
        files::replace(&path, bytes).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                self.make()?;
                files::replace(&path, bytes)
            }
            _ => Err(error),
        })
    }

    fn room(&self, more: u64) -> Room {
        let sum = more + self.size();
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
        let Ok(bytes) = fs::read(self.base.join(SIZES)) else { return self.recount() };
        let (sizes, _) = bytes.as_chunks::<8>();
        sizes.iter().map(|size| u64::from_le_bytes(*size)).sum()
    }

    /// How many have come since they were last moved, as far as is noted.
    pub fn count_since_move(&self) -> u64 {
        fs::metadata(self.base.join(SIZES)).map_or(0, |file| (file.len() / 8).saturating_sub(1))
    }

    fn note_size(&self, size: u64) {
        let append = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            let mut file =
                options.create(true).append(true).mode(0o600).open(self.base.join(SIZES))?;
            file.write_all(&size.to_le_bytes())
        };
        // one that isn't noted is missed until they are counted again
        let _ = append();
    }

    /// Looks at all of them; what comes meanwhile is counted the next time.
    pub fn recount(&self) -> u64 {
        let entries = fs::read_dir(self.done_directory()).into_iter().flatten().flatten();
        let sizes = entries.filter_map(|entry| entry.metadata().ok()).map(|file| file.len());
        let sum: u64 = sizes.sum();
        if self.base.exists() {
            let _ = files::replace(&self.base.join(SIZES), &sum.to_le_bytes());
        }
        sum
    }

    /// The ids of those that run, or did when their process died.
    pub fn running_ids(&self) -> Vec<String> {
        ids(&self.base.join(RUNNING))
    }

    /// The ids of those that are over and not moved yet, the oldest first.
    pub fn done_ids(&self) -> Vec<String> {
        ids(&self.done_directory())
    }

    /// Files that a writer left when it died half-way, and that nobody can mean any more.
    pub fn torn(&self) -> Vec<PathBuf> {
        [&self.base, &self.base.join(RUNNING)].into_iter().flat_map(|place| torn(place)).collect()
    }

    /// Takes an execution whose process is gone for over.
    ///
    /// # Errors
    /// As of `rename(2)`; also that it is gone.
    pub fn settle(&self, id: &str, record: &mut Record) -> io::Result<()> {
        if record.head.state == State::Running {
            record.head.state = State::Lost;
            // also what only another version wrote into it stays
            let marked = form::mark_lost(&fs::read(self.running(id))?);
            files::replace(&self.running(id), &marked.map_or_else(|| record.encode(), Ok)?)?;
        }
        fs::rename(self.running(id), self.done(id))
    }

    /// What has been dropped so far.
    pub fn dropped(&self) -> Dropped {
        let text = fs::read(self.base.join(DROPPED)).unwrap_or_default();
        serde_json::from_slice(text.trim_ascii()).unwrap_or_default()
    }

    /// Counts what was dropped. Where that isn't possible either, only the journal tells.
    pub fn count(&self, more: Dropped) {
        if more == Dropped::default() {
            return;
        }
        let count = || -> io::Result<()> {
            let path = self.base.join(DROPPED);
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(libc::O_NOFOLLOW)
                .open(path)?;
            let mut file =
                Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error)?;
            let before = self.dropped();
            let sum = Dropped {
                records: before.records + more.records,
                journal: before.journal + more.journal,
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

/// What in a directory was to replace a file, by processes that aren't there any more.
pub fn torn(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let is_torn = |name: &OsStr| {
        let pid = name.to_str().and_then(|name| name.strip_suffix(".new")?.rsplit('.').next());
        pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
    };
    entries.filter(|entry| is_torn(&entry.file_name())).map(|entry| entry.path()).collect()
}

/// What in a directory has the name of a record, sorted.
pub fn ids(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut ids: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| ulid::is_one(name))
        .collect();
    ids.sort_unstable();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::form::tests::record;

    #[test]
    fn an_execution_is_running_and_then_done() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::new(directory.path());
        let mut record = record();
        let id = record.head.id.clone();
        record.head.state = State::Running;
        spool.begin(&record).unwrap();
        assert_eq!((spool.running_ids(), spool.done_ids()), (vec![id.clone()], vec![]));
        record.head.state = State::Done;
        spool.finish(&mut record).unwrap();
        assert_eq!((spool.running_ids(), spool.done_ids()), (vec![], vec![id.clone()]));
        assert_eq!(Record::decode(&fs::read(spool.done(&id)).unwrap()), Some(record));
    }

    #[test]
    fn one_that_never_was_running_is_done_all_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::new(directory.path());
        spool.finish(&mut record()).unwrap();
        assert_eq!((spool.running_ids().len(), spool.done_ids().len()), (0, 1));
    }

    #[test]
    fn what_is_large_is_left_out_first_and_then_everything() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::new(directory.path());
        spool.make().unwrap();
        let filler = File::create(spool.done(&ulid::new())).unwrap();
        filler.set_len(TIGHT).unwrap();
        spool.recount();
        let mut tight = record();
        spool.finish(&mut tight).unwrap();
        let kept = Record::decode(&fs::read(spool.done(&tight.head.id)).unwrap()).unwrap();
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
        let spool = Spool::new(directory.path());
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
