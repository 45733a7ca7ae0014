//! The counter of the jobs in the queue, so that a call need not look at all of them.
//!
//! It is changed under a lock, together with the files. If a process dies in between, the counter is wrong;
//! every worker corrects it, and so does a call that would be refused because of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::machine::clock::{self, BootClock, BootTime};
use crate::machine::locks::{self, FileLock};
use crate::state::Dir;

/// The file's name in the queue's directory.
const FILE_NAME: &str = ".usage";
const FORMAT: u64 = 1;
const MAX_COUNTER_BYTES: u64 = 4096;
/// The time limit for taking the lock: its holder writes only one job.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
const LOCK_INTERVAL: Duration = Duration::from_millis(2);
/// The time for which the result of counting a full queue is used.
const FULL_INTERVAL: Duration = Duration::from_secs(2);

/// The number of jobs and their size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueUsage {
    pub jobs: u64,
    pub bytes: u64,
}

/// The content of the counter's file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct StoredCounter {
    format: u64,
    jobs: u64,
    bytes: u64,
    /// When the files of the jobs were last counted.
    counted: Option<BootTime>,
}

/// The counter, with its lock.
pub(super) struct Counter {
    file: FileLock,
    written: StoredCounter,
    /// Whether the content of the file was valid.
    is_known: bool,
}

impl Counter {
    /// Takes the lock and reads the counter. Returns `None` where that fails, or takes too long.
    pub(super) fn take(directory: &Dir) -> Option<Counter> {
        let mut file = lock_within(open_lock(directory, FILE_NAME).ok()?, LOCK_TIMEOUT).ok()?;
        let mut bytes = Vec::with_capacity(512);
        (&mut *file).take(MAX_COUNTER_BYTES).read_to_end(&mut bytes).ok()?;
        let written = serde_json::from_slice(&bytes).ok();
        let written = written.filter(|written: &StoredCounter| written.format == FORMAT);
        Some(Counter { file, is_known: written.is_some(), written: written.unwrap_or_default() })
    }

    /// Returns the number and size of jobs. `count` counts the files if the counter isn't valid.
    ///
    /// # Errors
    /// Those of `count`.
    pub(super) fn usage(
        &mut self,
        count: &dyn Fn() -> io::Result<QueueUsage>,
    ) -> io::Result<QueueUsage> {
        if !self.is_known {
            self.count(count)?;
        }
        Ok(QueueUsage { jobs: self.written.jobs, bytes: self.written.bytes })
    }

    /// Counts the files of the jobs.
    ///
    /// # Errors
    /// Those of `count`.
    pub(super) fn count(
        &mut self,
        count: &dyn Fn() -> io::Result<QueueUsage>,
    ) -> io::Result<QueueUsage> {
        let usage = count()?;
        self.set(usage);
        self.written.counted = BootClock::here().moment(Duration::ZERO);
        self.is_known = true;
        Ok(usage)
    }

    /// Tells whether the files were counted just now.
    pub(super) fn is_fresh(&self) -> bool {
        let clock = BootClock::here();
        let counted = clock.of_this_boot(self.written.counted.as_ref());
        counted.is_some_and(|counted_ns| {
            let age_ns = clock.now_ns().saturating_sub(counted_ns);
            (0..clock::nanoseconds(FULL_INTERVAL)).contains(&age_ns)
        })
    }

    pub(super) fn set(&mut self, usage: QueueUsage) {
        (self.written.jobs, self.written.bytes) = (usage.jobs, usage.bytes);
    }

    /// Subtracts jobs.
    pub(super) fn subtract(&mut self, jobs: u64, bytes: u64) {
        self.written.jobs = self.written.jobs.saturating_sub(jobs);
        self.written.bytes = self.written.bytes.saturating_sub(bytes);
    }

    /// Writes the counter if it is valid, and releases the lock. An error makes it invalid: then the next
    /// process counts.
    pub(super) fn keep(mut self) {
        if !self.is_known {
            return;
        }
        self.written.format = FORMAT;
        let text = serde_json::to_vec(&self.written).unwrap_or_default();
        let mut write = || {
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(&text)?;
            self.file.set_len(text.len() as u64)
        };
        if write().is_err() {
            let _ = self.file.set_len(0);
        }
    }
}

/// Opens a file for locking. Anything else in its place, such as a FIFO or a link, is removed.
///
/// # Errors
/// As of [`Dir::judge`] and `open(2)`.
pub(super) fn open_lock(directory: &Dir, name: &str) -> io::Result<File> {
    let path = directory.file(name)?;
    let open = || {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(&path)?;
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::Error::other("it is not a regular file")),
        }
    };
    open().or_else(|error| {
        let is_not_a_file = || fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file());
        if !is_not_a_file() {
            return Err(error);
        }
        // under a lock: meanwhile another process may have replaced and locked the file
        let _alone = lock_within(File::open(directory.path()?)?, LOCK_TIMEOUT)?;
        if is_not_a_file() {
            fs::remove_file(&path)?;
        }
        open()
    })
}

/// Locks a file exclusively, within a time limit.
fn lock_within(file: File, timeout: Duration) -> io::Result<FileLock> {
    let lock = locks::lock_until(file, Instant::now() + timeout, LOCK_INTERVAL, &mut || true)?;
    lock.ok_or_else(|| io::ErrorKind::WouldBlock.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_counted_once_and_survives_what_stands_in_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let dir = Dir::of_test(directory.path());
        let take = || Counter::take(&dir).unwrap();
        let two = || Ok(QueueUsage { jobs: 2, bytes: 200 });
        let never = || -> io::Result<QueueUsage> { panic!("counted without need") };
        let mut counter = take();
        assert_eq!(counter.usage(&two).unwrap().jobs, 2);
        counter.subtract(1, 50);
        counter.keep();
        let mut counter = take();
        assert_eq!(counter.usage(&never).unwrap(), QueueUsage { jobs: 1, bytes: 150 });
        assert!(counter.is_fresh());
        // less than nothing is nothing
        counter.subtract(7, 7000);
        counter.keep();
        assert_eq!(take().usage(&never).unwrap(), QueueUsage::default());
        let path = directory.path().join(FILE_NAME);
        for text in ["", "{", "{\"format\":99,\"jobs\":5}", "\u{0}\u{1}"] {
            fs::write(&path, text).unwrap();
            assert_eq!(take().usage(&two).unwrap().jobs, 2, "{text:?}");
        }
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(take().usage(&two).unwrap().jobs, 2);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        assert_eq!(take().usage(&two).unwrap().jobs, 2);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(Counter::take(&dir).is_none());
    }
}
