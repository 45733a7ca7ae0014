//! Locks on files, as of `flock(2)`. The kernel releases one when its holder ends, however that happens.

use std::fs::File;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::machine::watchdog;

/// A file that is locked for this process alone; dropping it releases the lock.
pub(crate) type FileLock = Flock<File>;

/// Locks a file if nobody else has locked it; `None` where somebody has.
///
/// # Errors
/// As of `flock(2)`.
pub(crate) fn try_lock(file: File) -> io::Result<Option<FileLock>> {
    Ok(try_or_return(file)?.ok())
}

/// Locks a file, and waits for that as long as it takes.
///
/// # Errors
/// As of `flock(2)`.
pub(crate) fn lock(file: File) -> io::Result<FileLock> {
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error.into())
}

/// Locks a file, and waits for that until a point in time: tries again after each `interval`, while
/// `goes_on` says so. `None` where somebody else has locked it all the time.
///
/// # Errors
/// As of `flock(2)`.
pub(crate) fn lock_until(
    mut file: File,
    until: Instant,
    interval: Duration,
    goes_on: &mut dyn FnMut() -> bool,
) -> io::Result<Option<FileLock>> {
    loop {
        file = match try_or_return(file)? {
            Ok(lock) => return Ok(Some(lock)),
            Err(file) => file,
        };
        let left = until.saturating_duration_since(Instant::now());
        if !goes_on() || left.is_zero() {
            return Ok(None);
        }
        watchdog::wait(|| thread::sleep(interval.min(left)));
    }
}

/// Tries once. Gives the file back where somebody else has locked it.
fn try_or_return(mut file: File) -> io::Result<Result<FileLock, File>> {
    loop {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Ok(lock)),
            Err((file, Errno::EWOULDBLOCK)) => return Ok(Err(file)),
            Err((file, Errno::EINTR)) => file,
            Err((_, error)) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_file_is_waited_for_until_a_time_or_a_word() {
        let directory = tempfile::tempdir().unwrap();
        let open = || File::create(directory.path().join("lock")).unwrap();
        let step = Duration::from_millis(5);
        let wait = |time, words: &mut dyn FnMut() -> bool| {
            lock_until(open(), Instant::now() + time, step, words).unwrap()
        };
        let held = try_lock(open()).unwrap().unwrap();
        assert!(try_lock(open()).unwrap().is_none());
        let mut count = 0;
        let counting = &mut || {
            count += 1;
            true
        };
        assert!(wait(Duration::from_millis(50), counting).is_none());
        assert!(count > 1, "tried again and again");
        assert!(wait(Duration::from_secs(3600), &mut || false).is_none());
        let mut held = Some(held);
        let release = &mut || {
            held = None;
            true
        };
        assert!(wait(Duration::from_secs(3600), release).is_some());
        drop(lock(open()).unwrap());
    }
}
