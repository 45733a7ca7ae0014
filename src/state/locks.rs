//! Named locks of hooks that must never run at the same time. The kernel releases a lock when its holder ends. The
//! lock's file names the holder, for messages.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::machine::locks::{self, FileLock};
use crate::machine::{sanitize, truncate};
use crate::state::{Dir, format};

/// How often a held lock is tried again.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The version of the format of a lock's file.
const FORMAT: u32 = 1;
/// The largest file that is read.
const MAX_LOCK_FILE_BYTES: u64 = 4096;
/// The longest name of a hook that is written.
const MAX_HOOK_BYTES: usize = 1024;

/// The holder of a lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LockHolder {
    format: u32,
    /// The name that people see.
    hook: String,
    execution: String,
    /// The hookmux process that holds the lock.
    pid: i32,
    /// RFC 3339.
    since: String,
}

impl LockHolder {
    /// Describes a hook that takes a lock now.
    pub(crate) fn new(hook: &str, execution: &str) -> LockHolder {
        LockHolder {
            format: FORMAT,
            hook: truncate::keep_start(hook, MAX_HOOK_BYTES).to_owned(),
            execution: execution.to_owned(),
            pid: nix::unistd::getpid().as_raw(),
            since: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        }
    }

    /// Returns a sentence for messages. The holder may have gone in between.
    pub(crate) fn description(&self) -> String {
        let LockHolder { hook, execution, pid, since, .. } = self;
        let line = format!("{hook} holds it since {since} (execution {execution}, process {pid})");
        sanitize::line(line.as_bytes())
    }

    /// Writes the holder into the lock's file. Errors are ignored.
    fn write(&self, mut file: &File) {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        let _ = file.set_len(0).and_then(|()| file.write_all(&line));
    }

    /// Reads the holder; `None` where the file is empty, or holds something else.
    fn read(locks: &Dir, name: &str) -> Option<LockHolder> {
        let bytes = locks.read(name, MAX_LOCK_FILE_BYTES).ok()?;
        format::read_object(&bytes).ok().filter(|holder: &LockHolder| !holder.hook.is_empty())
    }
}

/// A held lock; dropping it releases it.
#[derive(Debug)]
pub(crate) struct HookLock {
    file: FileLock,
    directory: Dir,
    name: String,
}

impl HookLock {
    /// Releases it, and removes its file. Whoever waits for it makes a new one.
    pub(crate) fn remove(self) {
        let _ = self.directory.remove(&self.name);
    }
}

impl Drop for HookLock {
    fn drop(&mut self) {
        // no holder any more; the text of a holder that died is replaced by the next one
        let _ = self.file.set_len(0);
    }
}

/// Why a lock could not be taken.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Somebody else held it all the time: who, as far as is known.
    TimedOut(Option<LockHolder>),
    /// hookmux received SIGTERM.
    Terminated,
    Failed(io::Error),
}

/// Takes a lock if it is free.
///
/// # Errors
/// See [`LockError`].
pub(crate) fn try_take(
    runtime_dir: &Dir,
    name: &str,
    holder: &LockHolder,
) -> Result<HookLock, LockError> {
    take(runtime_dir, name, holder, Instant::now(), &mut || false)
}

/// Waits for a lock until a point in time.
///
/// # Errors
/// See [`LockError`].
pub(crate) fn take(
    runtime_dir: &Dir,
    name: &str,
    holder: &LockHolder,
    until: Instant,
    is_terminated: &mut dyn FnMut() -> bool,
) -> Result<HookLock, LockError> {
    take_in(&runtime_dir.child("locks"), name, holder, until, is_terminated)
}

/// Waits for a lock in a directory of its own.
///
/// # Errors
/// See [`LockError`].
pub(crate) fn take_in(
    directory: &Dir,
    name: &str,
    holder: &LockHolder,
    until: Instant,
    is_terminated: &mut dyn FnMut() -> bool,
) -> Result<HookLock, LockError> {
    loop {
        let opened = directory.make().and_then(|_| directory.append(name));
        let file = opened.map_err(LockError::Failed)?;
        let mut was_terminated = false;
        let mut goes_on = || {
            was_terminated = is_terminated();
            !was_terminated
        };
        match locks::lock_until(file, until, POLL_INTERVAL, &mut goes_on) {
            // its holder has removed it: others lock another file of this name
            Ok(Some(file)) if is_removed(&file) => {}
            Ok(Some(file)) => {
                holder.write(&file);
                return Ok(HookLock { file, directory: directory.clone(), name: name.to_owned() });
            }
            Ok(None) if was_terminated => return Err(LockError::Terminated),
            Ok(None) => return Err(LockError::TimedOut(LockHolder::read(directory, name))),
            Err(error) => return Err(LockError::Failed(error)),
        }
    }
}

fn is_removed(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn who_waits_for_a_lock_that_is_removed_gets_the_next_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap();
        let locks = Dir::new(path, nix::unistd::geteuid().as_raw());
        let one = LockHolder::new("x", "-");
        let later = Instant::now() + Duration::from_secs(60);
        let held = take_in(&locks, "gpu", &one, later, &mut || false).unwrap();
        let mut held = Some(held);
        // this is asked while it is held
        let waited = take_in(&locks, "gpu", &one, later, &mut || {
            held.take().into_iter().for_each(HookLock::remove);
            false
        });
        let waited = waited.unwrap();
        let file = directory.path().join("gpu");
        assert!(file.exists(), "it is one that others see");
        let now = take_in(&locks, "gpu", &one, Instant::now(), &mut || false);
        assert!(matches!(now, Err(LockError::TimedOut(Some(_)))), "{now:?}");
        waited.remove();
        assert!(!file.exists());
    }

    #[test]
    fn a_lock_is_held_by_one_and_waiting_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap();
        let runtime_dir = Dir::new(path, nix::unistd::geteuid().as_raw());
        let soon = || Instant::now() + Duration::from_millis(60);
        let one = |hook| LockHolder::new(hook, "01M8MJQS6FRJNYE9KZ1184NWCQ");
        let take = |name, hook, is_terminated: bool| {
            take(&runtime_dir, name, &one(hook), soon(), &mut || is_terminated)
        };
        let held = take("gpu", "before_vm_start/first", false).unwrap();
        assert!(take("disk", "before_vm_start/second", false).is_ok());
        let Err(LockError::TimedOut(Some(holder))) = take("gpu", "before_vm_start/second", false)
        else {
            panic!("the holder is known");
        };
        let words = holder.description();
        for part in ["before_vm_start/first holds it since 2", "01M8MJQS6FRJNYE9KZ1184NWCQ"] {
            assert!(words.contains(part), "{words}");
        }
        assert!(words.ends_with(&format!("process {})", std::process::id())), "{words}");
        assert!(matches!(take("gpu", "x/y", true), Err(LockError::Terminated)));
        drop(held);
        assert_eq!(fs::read(directory.path().join("locks/gpu")).unwrap(), b"");
        let long = "x".repeat(5000);
        drop(take("gpu", &long, false).unwrap());
        let held = take("gpu", "x/y\n", false).unwrap();
        let file = directory.path().join("locks/gpu");
        assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 1);
        fs::write(&file, "").unwrap();
        assert!(matches!(take("gpu", "z", false), Err(LockError::TimedOut(None))));
        drop(held);
    }
}
