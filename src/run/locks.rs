//! Named locks: hooks that must never run side by side. They end with their holder, however that
//! ends.

use std::fs::File;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};

use crate::state::Dir;
use crate::watchdog;

/// How often a lock that somebody else holds is tried.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// A lock that is held; dropping it lets go.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
}

/// Why there is no lock.
#[derive(Debug)]
pub enum Unlocked {
    /// Somebody else held it all the time that there was.
    TimedOut,
    /// hookmux was told to end.
    Terminated,
    Trouble(io::Error),
}

/// Takes a lock if nobody holds it.
///
/// # Errors
/// See [`Unlocked`].
pub fn try_take(runtime_dir: &Dir, name: &str) -> Result<Lock, Unlocked> {
    take(runtime_dir, name, Instant::now(), &mut || false)
}

/// Waits for a lock until a point in time.
///
/// # Errors
/// See [`Unlocked`].
pub fn take(
    runtime_dir: &Dir,
    name: &str,
    until: Instant,
    is_terminated: &mut dyn FnMut() -> bool,
) -> Result<Lock, Unlocked> {
    let directory = runtime_dir.child("locks");
    let opened = directory.make().and_then(|_| directory.append(name));
    let mut file = opened.map_err(Unlocked::Trouble)?;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => return Ok(Lock { _file: held }),
            Err((back, nix::errno::Errno::EWOULDBLOCK | nix::errno::Errno::EINTR)) => file = back,
            Err((_, error)) => return Err(Unlocked::Trouble(error.into())),
        }
        if is_terminated() {
            return Err(Unlocked::Terminated);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Unlocked::TimedOut);
        }
        watchdog::wait(|| thread::sleep(TRY_AGAIN.min(left)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_by_one_and_waiting_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap();
        let runtime_dir = Dir::new(path, nix::unistd::geteuid().as_raw());
        let soon = || Instant::now() + Duration::from_millis(60);
        let held = take(&runtime_dir, "gpu", soon(), &mut || false).unwrap();
        assert!(take(&runtime_dir, "disk", soon(), &mut || false).is_ok());
        assert!(matches!(
            take(&runtime_dir, "gpu", soon(), &mut || false),
            Err(Unlocked::TimedOut)
        ));
        assert!(matches!(
            take(&runtime_dir, "gpu", soon(), &mut || true),
            Err(Unlocked::Terminated)
        ));
        drop(held);
        assert!(take(&runtime_dir, "gpu", soon(), &mut || false).is_ok());
    }
}
