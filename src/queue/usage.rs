//! How much is in the queue: a counter beside the jobs, so that a call need not look at all of them.
//!
//! It is changed under a lock, together with the files that it counts. What a death in between leaves
//! wrong is put right by every worker, and by a call that would be refused for it.

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
/// How long the counter's lock is waited for: whoever holds it writes one job.
const PATIENCE: Duration = Duration::from_secs(1);
const TRY_AGAIN: Duration = Duration::from_millis(2);
/// A queue that was found full isn't looked at again for this long.
const STAYS_FULL: Duration = Duration::from_secs(2);

/// Jobs and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub jobs: u64,
    pub bytes: u64,
}

/// The counter as it is written.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Written {
    format: u64,
    jobs: u64,
    bytes: u64,
    /// When the jobs themselves were counted last.
    counted: Option<BootTime>,
}

/// The counter, while nobody else changes it.
pub(super) struct Counter {
    file: FileLock,
    written: Written,
    /// Whether what stands in the file can be believed.
    is_known: bool,
}

impl Counter {
    /// Takes the counter; `None` where it can't be had, or somebody keeps it too long.
    pub(super) fn take(directory: &Dir) -> Option<Counter> {
        let mut file = lock_within(open_lock(directory, FILE_NAME).ok()?, PATIENCE).ok()?;
        let mut bytes = Vec::with_capacity(512);
        (&mut *file).take(MAX_COUNTER_BYTES).read_to_end(&mut bytes).ok()?;
        let written = serde_json::from_slice(&bytes).ok();
        let written = written.filter(|written: &Written| written.format == FORMAT);
        Some(Counter { file, is_known: written.is_some(), written: written.unwrap_or_default() })
    }

    /// What is in the queue; `count` looks at the jobs themselves where the counter doesn't know.
    ///
    /// # Errors
    /// Those of `count`.
    pub(super) fn usage(&mut self, count: &dyn Fn() -> io::Result<Usage>) -> io::Result<Usage> {
        if !self.is_known {
            self.count(count)?;
        }
        Ok(Usage { jobs: self.written.jobs, bytes: self.written.bytes })
    }

    /// Counts the jobs themselves.
    ///
    /// # Errors
    /// Those of `count`.
    pub(super) fn count(&mut self, count: &dyn Fn() -> io::Result<Usage>) -> io::Result<Usage> {
        let usage = count()?;
        self.set(usage);
        self.written.counted = BootClock::here().moment(Duration::ZERO);
        self.is_known = true;
        Ok(usage)
    }

    /// Whether the jobs themselves were counted a moment ago.
    pub(super) fn is_fresh(&self) -> bool {
        let clock = BootClock::here();
        let counted = clock.of_this_boot(self.written.counted.as_ref());
        counted.is_some_and(|counted_ns| {
            let age_ns = clock.now_ns().saturating_sub(counted_ns);
            (0..clock::nanoseconds(STAYS_FULL)).contains(&age_ns)
        })
    }

    pub(super) fn set(&mut self, usage: Usage) {
        (self.written.jobs, self.written.bytes) = (usage.jobs, usage.bytes);
    }

    /// Takes jobs off.
    pub(super) fn subtract(&mut self, jobs: u64, bytes: u64) {
        self.written.jobs = self.written.jobs.saturating_sub(jobs);
        self.written.bytes = self.written.bytes.saturating_sub(bytes);
    }

    /// Writes it down, where it is known, and lets others have it. What goes wrong makes it unknown,
    /// and the next one counts.
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

/// Opens a file to take a lock on. What can't be one, a FIFO or a link, makes way for it.
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
        let is_odd = || fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file());
        if !is_odd() {
            return Err(error);
        }
        // one at a time: what is seen as odd may have become the file that another one has locked
        let _alone = lock_within(File::open(directory.path()?)?, PATIENCE)?;
        if is_odd() {
            fs::remove_file(&path)?;
        }
        open()
    })
}

/// Locks a file for this process alone, where whoever has it gives it back in time.
fn lock_within(file: File, patience: Duration) -> io::Result<FileLock> {
    let lock = locks::lock_until(file, Instant::now() + patience, TRY_AGAIN, &mut || true)?;
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
        let two = || Ok(Usage { jobs: 2, bytes: 200 });
        let never = || -> io::Result<Usage> { panic!("counted without need") };
        let mut counter = take();
        assert_eq!(counter.usage(&two).unwrap().jobs, 2);
        counter.subtract(1, 50);
        counter.keep();
        let mut counter = take();
        assert_eq!(counter.usage(&never).unwrap(), Usage { jobs: 1, bytes: 150 });
        assert!(counter.is_fresh());
        // less than nothing is nothing
        counter.subtract(7, 7000);
        counter.keep();
        assert_eq!(take().usage(&never).unwrap(), Usage::default());
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
