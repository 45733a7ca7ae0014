//! Named locks: hooks that must never run side by side. They end with their holder, however that
//! ends. The file says who holds it, for those who wait in vain.

use std::fs::File;
use std::io::{self, Write};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::machine::locks::{self, FileLock};
use crate::machine::{sanitize, truncate};
use crate::state::{Dir, format};

/// How often a lock that somebody else holds is tried.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// The version of what a lock's file says.
const FORMAT: u32 = 1;
/// The largest file that is one of ours, in bytes.
const MAX_FILE_BYTES: u64 = 4096;
/// The longest name of a hook that is written down, in bytes.
const MAX_HOOK_BYTES: usize = 1024;

/// Who holds a lock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Holder {
    format: u32,
    /// As people call it.
    hook: String,
    execution: String,
    /// The process of hookmux's that holds it.
    pid: i32,
    /// RFC 3339.
    since: String,
}

impl Holder {
    /// One that takes a lock now.
    pub(crate) fn new(hook: &str, execution: &str) -> Holder {
        Holder {
            format: FORMAT,
            hook: truncate::keep_start(hook, MAX_HOOK_BYTES).to_owned(),
            execution: execution.to_owned(),
            pid: nix::unistd::getpid().as_raw(),
            since: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        }
    }

    /// In words; the other one may have gone a moment ago.
    pub(crate) fn words(&self) -> String {
        let Holder { hook, execution, pid, since, .. } = self;
        let line = format!("{hook} holds it since {since} (execution {execution}, process {pid})");
        sanitize::line(line.as_bytes())
    }

    /// Writes it down. That it can't be written stops nobody.
    fn note(&self, mut file: &File) {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        let _ = file.set_len(0).and_then(|()| file.write_all(&line));
    }

    /// Reads it; `None` where nothing is written, or something else.
    fn read(locks: &Dir, name: &str) -> Option<Holder> {
        let bytes = locks.read(name, MAX_FILE_BYTES).ok()?;
        format::read_object(&bytes).ok().filter(|holder: &Holder| !holder.hook.is_empty())
    }
}

/// A lock that is held; dropping it lets go.
#[derive(Debug)]
pub(crate) struct Lock {
    file: FileLock,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // nobody holds it then; what a death leaves there is replaced by the next one
        let _ = self.file.set_len(0);
    }
}

/// Why there is no lock.
#[derive(Debug)]
pub(crate) enum Unlocked {
    /// Somebody else held it all the time that there was: who, as far as is known.
    TimedOut(Option<Holder>),
    /// hookmux was told to end.
    Terminated,
    Trouble(io::Error),
}

/// Takes a lock if nobody holds it.
///
/// # Errors
/// See [`Unlocked`].
pub(crate) fn try_take(runtime_dir: &Dir, name: &str, holder: &Holder) -> Result<Lock, Unlocked> {
    take(runtime_dir, name, holder, Instant::now(), &mut || false)
}

/// Waits for a lock until a point in time.
///
/// # Errors
/// See [`Unlocked`].
pub(crate) fn take(
    runtime_dir: &Dir,
    name: &str,
    holder: &Holder,
    until: Instant,
    is_terminated: &mut dyn FnMut() -> bool,
) -> Result<Lock, Unlocked> {
    let directory = runtime_dir.child("locks");
    let opened = directory.make().and_then(|_| directory.append(name));
    let file = opened.map_err(Unlocked::Trouble)?;
    let mut was_terminated = false;
    let mut goes_on = || {
        was_terminated = is_terminated();
        !was_terminated
    };
    match locks::lock_until(file, until, TRY_AGAIN, &mut goes_on) {
        Ok(Some(file)) => {
            holder.note(&file);
            Ok(Lock { file })
        }
        Ok(None) if was_terminated => Err(Unlocked::Terminated),
        Ok(None) => Err(Unlocked::TimedOut(Holder::read(&directory, name))),
        Err(error) => Err(Unlocked::Trouble(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_lock_is_held_by_one_and_waiting_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap();
        let runtime_dir = Dir::new(path, nix::unistd::geteuid().as_raw());
        let soon = || Instant::now() + Duration::from_millis(60);
        let one = |hook| Holder::new(hook, "01M8MJQS6FRJNYE9KZ1184NWCQ");
        let take = |name, hook, is_terminated: bool| {
            take(&runtime_dir, name, &one(hook), soon(), &mut || is_terminated)
        };
        let held = take("gpu", "before_vm_start/first", false).unwrap();
        assert!(take("disk", "before_vm_start/second", false).is_ok());
        let Err(Unlocked::TimedOut(Some(holder))) = take("gpu", "before_vm_start/second", false)
        else {
            panic!("the holder is known");
        };
        let words = holder.words();
        for part in ["before_vm_start/first holds it since 2", "01M8MJQS6FRJNYE9KZ1184NWCQ"] {
            assert!(words.contains(part), "{words}");
        }
        assert!(words.ends_with(&format!("process {})", std::process::id())), "{words}");
        assert!(matches!(take("gpu", "x/y", true), Err(Unlocked::Terminated)));
        drop(held);
        assert_eq!(fs::read(directory.path().join("locks/gpu")).unwrap(), b"");
        let long = "x".repeat(5000);
        drop(take("gpu", &long, false).unwrap());
        let held = take("gpu", "x/y\n", false).unwrap();
        let file = directory.path().join("locks/gpu");
        assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 1);
        fs::write(&file, "").unwrap();
        assert!(matches!(take("gpu", "z", false), Err(Unlocked::TimedOut(None))));
        drop(held);
    }
}
