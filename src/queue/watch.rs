//! Wakes a waiting worker at new files in the queue's directory, and at the ends of calls. One descriptor
//! for both.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::caller::Caller;
use crate::machine::sys;

/// The limit of handles on calls: each takes a descriptor. Further calls are polled.
const MAX_HANDLES: usize = 64;

/// The changes of the directory.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Names of files that were created, removed or written.
    pub names: Vec<OsString>,
    /// Whether events were lost, so that the whole directory has to be read.
    pub is_overrun: bool,
}

/// The descriptors that become readable at an event.
pub(super) struct Watch {
    epoll: Option<Epoll>,
    /// `None` where the kernel refused it: then the directory is polled.
    inotify: Option<Inotify>,
    directory: PathBuf,
    callers: HashMap<Caller, Option<OwnedFd>>,
}

impl Watch {
    /// Watches a directory. Where the kernel refuses that, the worker polls.
    pub(super) fn new(directory: &Path) -> Watch {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).ok();
        let inotify = epoll.as_ref().and_then(|epoll| watch(epoll, directory).ok());
        Watch { epoll, inotify, directory: directory.to_path_buf(), callers: HashMap::new() }
    }

    /// Returns the descriptor that becomes readable at an event.
    ///
    /// # Errors
    /// As of `dup(2)`.
    pub(super) fn descriptor(&self) -> io::Result<Option<OwnedFd>> {
        self.epoll.as_ref().map(|epoll| epoll.0.try_clone()).transpose()
    }

    /// Tells whether the directory has to be polled.
    pub(super) fn is_without_inotify(&self) -> bool {
        self.inotify.is_none()
    }

    /// Returns the changes since the last call.
    pub(super) fn changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        while let Some(inotify) = &self.inotify {
            match inotify.read_events() {
                Ok(events) => {
                    for event in events {
                        let gone = AddWatchFlags::IN_IGNORED | AddWatchFlags::IN_MOVE_SELF;
                        if event.mask.intersects(gone) {
                            self.inotify = None;
                            changes.is_overrun = true;
                            break;
                        }
                        changes.is_overrun |= event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW);
                        let created = event.mask.contains(AddWatchFlags::IN_CREATE);
                        let is_unfinished = |name: &OsString| created && self.is_file(name);
                        changes.names.extend(event.name.filter(|name| !is_unfinished(name)));
                    }
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(_) => {
                    self.inotify = None;
                    changes.is_overrun = true;
                }
            }
        }
        changes
    }

    /// Tells whether a name is a regular file. When that appears, its writer isn't done yet.
    fn is_file(&self, name: &OsStr) -> bool {
        fs::symlink_metadata(self.directory.join(name)).is_ok_and(|found| found.is_file())
    }

    /// Watches a call. Returns `false` if the call is over already.
    pub(super) fn add_caller(&mut self, caller: Caller) -> bool {
        if self.callers.contains_key(&caller) {
            return caller.is_there();
        }
        let handle = if self.callers.len() < MAX_HANDLES { self.handle(caller) } else { None };
        // checked after the handle was opened: the pid may have been reused by then
        if !caller.is_there() {
            return false;
        }
        self.callers.insert(caller, handle);
        true
    }

    fn handle(&self, caller: Caller) -> Option<OwnedFd> {
        let epoll = self.epoll.as_ref()?;
        let handle = sys::pidfd_open(caller.pid).ok()?;
        epoll.add(handle.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, key(caller))).ok()?;
        Some(handle)
    }

    /// Returns the calls that have ended; they aren't watched any more. Calls without a handle are polled
    /// only if `is_time` is set.
    pub(super) fn ended_callers(&mut self, is_time: bool) -> Vec<Caller> {
        let mut ready = [EpollEvent::empty(); MAX_HANDLES + 1];
        let count = match &self.epoll {
            Some(epoll) => epoll.wait(&mut ready, EpollTimeout::ZERO).unwrap_or(0),
            None => 0,
        };
        let has_ended = |(caller, handle): &(&Caller, &Option<OwnedFd>)| match handle {
            Some(_) => ready.iter().take(count).any(|event| event.data() == key(**caller)),
            None => is_time && !caller.is_there(),
        };
        let ended: Vec<Caller> =
            self.callers.iter().filter(has_ended).map(|(caller, _)| *caller).collect();
        for caller in &ended {
            self.callers.remove(caller);
        }
        ended
    }

    /// Tells whether there are calls that have to be polled.
    pub(super) fn has_unwatched_callers(&self) -> bool {
        self.callers.values().any(Option::is_none)
    }
}

/// Returns the key of a call's handle in epoll: its pid.
fn key(caller: Caller) -> u64 {
    u64::from(caller.pid.unsigned_abs())
}

fn watch(epoll: &Epoll, directory: &Path) -> nix::Result<Inotify> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    let flags = AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_ONLYDIR;
    inotify.add_watch(directory, flags)?;
    // no process has this number
    epoll.add(&inotify, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
    Ok(inotify)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;
    use crate::machine::proc;

    fn is_woken(descriptor: &OwnedFd, patience: PollTimeout) -> bool {
        poll(&mut [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)], patience).unwrap() > 0
    }

    #[test]
    fn new_files_and_the_ends_of_calls_wake_who_waits() {
        let directory = tempfile::tempdir().unwrap();
        let mut watch = Watch::new(directory.path());
        let descriptor = watch.descriptor().unwrap().unwrap();
        assert!(!is_woken(&descriptor, PollTimeout::ZERO));
        fs::write(directory.path().join("new.json"), "").unwrap();
        assert!(is_woken(&descriptor, PollTimeout::MAX));
        assert!(watch.changes().names.iter().any(|name| name == "new.json"));
        assert!(!is_woken(&descriptor, PollTimeout::ZERO), "all of it was read");

        let mut call = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = call.id() as i32;
        let caller = Caller { pid, start: proc::start_time(pid).unwrap() };
        assert!(watch.add_caller(caller) && watch.ended_callers(true).is_empty());
        drop(call.stdin.take());
        assert!(is_woken(&descriptor, PollTimeout::MAX));
        assert_eq!(watch.ended_callers(false), [caller], "a zombie has given its answer");
        assert!(!is_woken(&descriptor, PollTimeout::ZERO) && !watch.add_caller(caller));
        call.wait().unwrap();

        drop(directory);
        assert!(is_woken(&descriptor, PollTimeout::MAX));
        assert!(watch.changes().is_overrun && watch.is_without_inotify());
    }
}
