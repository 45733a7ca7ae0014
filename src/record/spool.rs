//! The spool: new records, in the runtime directory, which is in memory on nearly every host. A disk that
//! hangs must not block the start of a guest.
//!
//! There is one file per execution: in `running/` from before the first hook, in `done/` when the call is
//! over. Every step is a rename, so a file is always complete, and never in both places. Records in
//! `done/` are moved to the state directory by a process that libvirt doesn't wait for.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::form::{self, Record, RecordBody, RecordState};
use super::texts::Texts;
use crate::machine::{locks, ulid};
use crate::state::Dir;

/// The size limit of all records that haven't been moved, in bytes.
pub(crate) const MAX_SPOOL_BYTES: u64 = 64 << 20;
/// The size, in bytes, from which on records are kept without documents and output.
const TIGHT_SPOOL_BYTES: u64 = 48 << 20;

const RUNNING: &str = "running";
const DONE: &str = "done";
/// The directory with running executions of which only the event is kept.
const UNKEPT: &str = "unkept";
/// The directory with the events of finished executions, for the outbox.
const EVENTS: &str = "events";
const DROPPED: &str = "dropped";
/// The file with the sizes of finished records: a sum, then the size of each later record, 8 bytes each.
/// So nobody has to look at all records, or wait for a lock.
const SIZES: &str = "sizes";
/// How the name of a file ends that was put aside, and how long it is kept for who wants to see it.
const ODD_SUFFIX: &str = ".odd";
const ODD_AGE: Duration = Duration::from_secs(24 * 3600);
/// The size of the file `dropped` from the beginning, in bytes: so it can be written on a full file
/// system too.
const COUNTERS_BYTES: usize = 64;
/// The read limit for the file `dropped`, in bytes.
const MAX_COUNTERS_BYTES: u64 = 4096;
/// The read limit for an event, in bytes: far more than any has.
const MAX_EVENT_FILE_BYTES: u64 = 1 << 20;
/// The read limit for the file `sizes`, in bytes: two million records.
const MAX_SIZES_BYTES: u64 = 16 << 20;

/// The new records in a runtime directory.
#[derive(Clone, Debug)]
pub struct Spool {
    base: Dir,
    running: Dir,
    done: Dir,
    unkept: Dir,
    events: Dir,
    texts: Texts,
}

/// The number of records and entries that were lost since the host was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    pub records: u64,
    /// Entries that could not be written to the journal.
    pub journal: u64,
    /// Events for the outbox.
    #[serde(default)]
    pub events: u64,
}

impl Spool {
    pub fn new(runtime_dir: &Dir) -> Spool {
        let base = runtime_dir.child("records");
        let texts = Texts::new(&base);
        let (running, done) = (base.child(RUNNING), base.child(DONE));
        let (unkept, events) = (base.child(UNKEPT), base.child(EVENTS));
        Spool { running, done, unkept, events, texts, base }
    }

    pub fn base(&self) -> &Dir {
        &self.base
    }

    /// Returns the directory with the records of running executions, each under its id.
    pub fn running(&self) -> &Dir {
        &self.running
    }

    /// Returns the directory with the records of finished executions, each under its id.
    pub fn done(&self) -> &Dir {
        &self.done
    }

    /// Returns the directory with running executions that get no record, only an event: each under its id, with what
    /// is needed where its process dies.
    pub(crate) fn unkept(&self) -> &Dir {
        &self.unkept
    }

    /// Returns the texts of registrations that new records refer to.
    pub fn texts(&self) -> &Texts {
        &self.texts
    }

    /// Keeps the text of a registration, if it isn't there. Where that fails, `retry` says that it is
    /// missing.
    pub(crate) fn keep_text(&self, sha256: &str, text: Option<&str>) {
        if self.texts.renew(sha256) {
            return;
        }
        let Some(text) = text else { return };
        let size = text.len() as u64;
        if self.room(size) == Room::All && self.texts.write(sha256, text.as_bytes()).is_ok() {
            self.note_size(size);
        }
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

    /// Writes the record of an execution that has begun.
    ///
    /// # Errors
    /// The record could not be written.
    pub fn begin(&self, record: &Record) -> io::Result<()> {
        let bytes = record.encode()?;
        if self.room(bytes.len() as u64) == Room::None {
            return Err(full());
        }
        self.put(&record.head.id, &bytes)
    }

    /// Writes what is needed of an execution that gets no record.
    ///
    /// # Errors
    /// It could not be written.
    pub(crate) fn begin_unkept(&self, record: &Record) -> io::Result<()> {
        let owed_event = record.body.owed_event.clone();
        let body = RecordBody { owed_event, ..RecordBody::default() };
        let bytes = Record { head: record.head.clone(), body }.encode()?;
        if self.room(bytes.len() as u64) != Room::All {
            return Err(full());
        }
        self.replace_in(&self.unkept, &record.head.id, &bytes)
    }

    /// Ends it.
    pub(crate) fn end_unkept(&self, id: &str) {
        // what stays is of a dead process soon: the mover removes it
        let _ = self.unkept.remove(id);
    }

    /// Writes the record of a finished execution. Where there is no room for all of it, documents and
    /// output are left out.
    ///
    /// # Errors
    /// The record could not be written.
    pub fn finish(&self, record: &mut Record) -> io::Result<()> {
        let id = record.head.id.clone();
        let bytes = record.encode()?;
        let mut size = bytes.len() as u64;
        let written = match self.room(bytes.len() as u64) {
            Room::All => self.put(&id, &bytes),
            Room::Tight | Room::None => Err(full()),
        };
        if let Err(error) = written {
            // removing the first version makes room
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

    /// Writes the event of a finished execution, if there is room for it.
    ///
    /// # Errors
    /// The event could not be written.
    pub fn put_event(&self, id: &str, bytes: &[u8]) -> io::Result<()> {
        let size = bytes.len() as u64;
        // an outbox that is stuck takes no room from records
        if self.room(size) != Room::All {
            return Err(full());
        }
        self.replace_in(&self.events, id, bytes)?;
        self.note_size(size);
        Ok(())
    }

    /// Tells whether the event of an execution is written, and waits to be moved.
    pub(crate) fn has_event(&self, id: &str) -> bool {
        self.events.entry_metadata(id).is_ok()
    }

    /// Tells whether the end of an execution isn't written yet.
    pub(crate) fn is_open(&self, id: &str) -> bool {
        [&self.running, &self.unkept].into_iter().any(|dir| dir.entry_metadata(id).is_ok())
    }

    /// Replaces a file in one of the directories that aren't always needed.
    fn replace_in(&self, dir: &Dir, id: &str, bytes: &[u8]) -> io::Result<()> {
        dir.replace(id, bytes).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                self.make()?;
                dir.make()?;
                dir.replace(id, bytes)
            }
            _ => Err(error),
        })
    }

    /// Returns the ids of the executions with events that aren't moved yet, the oldest first.
    pub fn event_ids(&self) -> Vec<String> {
        ids(&self.events)
    }

    /// Reads an event.
    ///
    /// # Errors
    /// As [`Dir::read`].
    pub fn read_event(&self, id: &str) -> io::Result<Vec<u8>> {
        self.events.read(id, MAX_EVENT_FILE_BYTES)
    }

    /// Removes an event.
    ///
    /// # Errors
    /// As of `unlink(2)`.
    pub fn remove_event(&self, id: &str) -> io::Result<()> {
        self.events.remove(id)
    }

    /// Renames what isn't an event, so that it doesn't stop the mover.
    ///
    /// # Errors
    /// As of `rename(2)`.
    pub fn put_event_aside(&self, id: &str) -> io::Result<()> {
        put_aside(&self.events, id)
    }

    /// Removes what was put aside a day ago, or earlier.
    pub(crate) fn remove_odd(&self) {
        for dir in [&self.done, &self.events] {
            for name in dir.names().unwrap_or_default() {
                let is_odd = name.to_str().is_some_and(|name| name.ends_with(ODD_SUFFIX));
                let Some(found) = dir.entry_metadata(&name).ok().filter(|_| is_odd) else {
                    continue;
                };
                let age = found.modified().ok().and_then(|time| time.elapsed().ok());
                if age.is_none_or(|age| age < ODD_AGE) {
                    continue;
                }
                let _ = match found.is_dir() {
                    // links in it aren't followed
                    true => dir.file(&name).and_then(fs::remove_dir_all),
                    false => dir.remove(&name),
                };
            }
        }
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
        if sum > MAX_SPOOL_BYTES {
            Room::None
        } else if sum > TIGHT_SPOOL_BYTES {
            Room::Tight
        } else {
            Room::All
        }
    }

    /// Returns the size of the finished records, in bytes.
    fn size(&self) -> u64 {
        let Ok(bytes) = self.base.read(SIZES, MAX_SIZES_BYTES) else { return self.recount() };
        let sizes = bytes.chunks_exact(8).filter_map(|size| size.first_chunk());
        sizes.fold(0, |sum, size| sum.saturating_add(u64::from_le_bytes(*size)))
    }

    /// Returns how many records have been finished since the last move, as far as it is noted.
    pub fn count_since_move(&self) -> u64 {
        self.base.entry_metadata(SIZES).map_or(0, |file| (file.len() / 8).saturating_sub(1))
    }

    fn note_size(&self, size: u64) {
        let append =
            || -> io::Result<()> { self.base.append(SIZES)?.write_all(&size.to_le_bytes()) };
        // a size that can't be noted is missing until the next recount
        let _ = append();
    }

    /// Counts the sizes again. Records that are finished meanwhile are counted the next time.
    pub fn recount(&self) -> u64 {
        let files = [&self.done, &self.events].into_iter().flat_map(|directory| {
            let names = directory.names().unwrap_or_default().into_iter();
            names.filter_map(|name| directory.entry_metadata(name).ok())
        });
        // only regular files take space
        let sizes = files.filter(fs::Metadata::is_file).map(|file| file.len());
        let texts = self.texts.all();
        let sizes = sizes.chain(texts.iter().map(|sha256| self.texts.size(sha256)));
        let sum = sizes.fold(0_u64, u64::saturating_add);
        // without the directory nothing is noted
        let _ = self.base.replace(SIZES, &sum.to_le_bytes());
        sum
    }

    /// Returns the ids of executions that run, or did when their process died.
    pub fn running_ids(&self) -> Vec<String> {
        ids(&self.running)
    }

    /// Returns the ids of finished executions that are not moved yet, the oldest first.
    pub fn done_ids(&self) -> Vec<String> {
        ids(&self.done)
    }

    /// Removes temporary files of writers that died.
    pub fn remove_half_written(&self) {
        let dirs = [&self.base, &self.running, &self.unkept, &self.events, self.texts.directory()];
        dirs.into_iter().for_each(remove_half_written);
    }

    /// Ends the record of an execution whose process is dead.
    ///
    /// # Errors
    /// As of `rename(2)`; also that the record is gone.
    pub fn settle(&self, id: &str, record: &mut Record) -> io::Result<()> {
        if record.head.state == RecordState::Running {
            record.head.state = RecordState::Lost;
            // keys that only another version knows stay
            let marked = form::mark_lost(&self.running.read(id, MAX_SPOOL_BYTES)?);
            self.running.replace(id, &marked.map_or_else(|| record.encode(), Ok)?)?;
        }
        self.end(id)
    }

    /// Returns the numbers of lost records and entries so far.
    pub fn dropped(&self) -> Dropped {
        let text = self.base.read(DROPPED, MAX_COUNTERS_BYTES).unwrap_or_default();
        serde_json::from_slice(text.trim_ascii()).unwrap_or_default()
    }

    /// Adds to the numbers of lost records and entries. Where that fails too, only the journal has them.
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
                events: before.events.saturating_add(more.events),
            };
            // overwrites the file: no further block is needed
            let file: &mut File = &mut file;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&counters_text(sum))
        };
        let _ = count();
    }
}

/// The room for another record.
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
        format!("the records that wait to be moved take {} MiB", MAX_SPOOL_BYTES >> 20),
    )
}

fn counters_text(dropped: Dropped) -> Vec<u8> {
    let mut text = serde_json::to_vec(&dropped).unwrap_or_default();
    text.resize(COUNTERS_BYTES.max(text.len()), b' ');
    text
}

/// Removes temporary files of dead processes from a directory.
pub(crate) fn remove_half_written(directory: &Dir) {
    let is_torn = |name: &OsStr| {
        let pid = name.to_str().and_then(|name| name.strip_suffix(".new")?.rsplit('.').next());
        pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
    };
    for name in directory.names().unwrap_or_default().iter().filter(|name| is_torn(name)) {
        let _ = directory.remove(name);
    }
}

/// Renames a file that isn't one of hookmux's, so that it doesn't stop the mover.
///
/// # Errors
/// As of `rename(2)`.
pub(crate) fn put_aside(dir: &Dir, id: &str) -> io::Result<()> {
    let aside = format!("{id}{ODD_SUFFIX}");
    fs::rename(dir.file(id)?, dir.file(&aside)?)?;
    // from now on it is kept for a day
    dir.touch(aside)
}

/// Returns the names of records in a directory, sorted.
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
        record.head.state = RecordState::Running;
        spool.begin(&record).unwrap();
        assert_eq!((spool.running_ids(), spool.done_ids()), (vec![id.clone()], vec![]));
        record.head.state = RecordState::Done;
        spool.finish(&mut record).unwrap();
        assert_eq!((spool.running_ids(), spool.done_ids()), (vec![], vec![id.clone()]));
        assert_eq!(Record::decode(&spool.done().read(&id, MAX_SPOOL_BYTES).unwrap()), Some(record));
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
        filler.set_len(TIGHT_SPOOL_BYTES).unwrap();
        spool.recount();
        let mut tight = record();
        spool.finish(&mut tight).unwrap();
        let kept =
            Record::decode(&spool.done().read(&tight.head.id, MAX_SPOOL_BYTES).unwrap()).unwrap();
        assert!(kept.body.document.is_none() && kept.body.left_out.is_some());
        assert_eq!(kept.head.hooks, tight.head.hooks);
        filler.set_len(MAX_SPOOL_BYTES).unwrap();
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
        let one = Dropped { records: 1, ..Dropped::default() };
        spool.count(one);
        assert_eq!(spool.dropped(), Dropped::default(), "there is nowhere to count");
        spool.make().unwrap();
        for _ in 0..3 {
            spool.count(Dropped { records: 1, journal: 500, events: 2 });
        }
        assert_eq!(spool.dropped(), Dropped { records: 3, journal: 1500, events: 6 });
        // what 0.1.0 wrote
        spool.base.replace(DROPPED, b"{\"records\":4,\"journal\":5}").unwrap();
        assert_eq!(spool.dropped(), Dropped { records: 4, journal: 5, events: 0 });
    }
}
