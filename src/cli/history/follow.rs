//! Executions as they end.

use std::collections::{BTreeSet, HashSet};
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::Context;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::config::Settings;
use crate::machine::{clock, ulid};
use crate::record::form::{RecordHead, RecordState};
use crate::record::history::History;
use crate::record::spool::Spool;

/// A look is taken this often, whatever the kernel says: the directory may be another one by now.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How far back a look goes, in milliseconds, but for those that were seen running.
const HORIZON: u64 = 3_600_000;
/// Older ones are forgotten when there are more than this.
const MOST_KNOWN: usize = 100_000;

/// Tells each execution once, when it is over.
pub(crate) struct Follower {
    spool: Spool,
    inotify: Inotify,
    /// Those that have been told, or were over before.
    known: HashSet<String>,
    /// Those that were running when last looked at.
    running: Vec<String>,
}

impl Follower {
    /// What is over by now is not told.
    ///
    /// # Errors
    /// The runtime directory can't be watched.
    pub(crate) fn new(settings: &Settings) -> anyhow::Result<Follower> {
        let spool = Spool::new(&settings.runtime_dir);
        spool.make().with_context(|| {
            format!("{} can't be made", spool.base().unchecked_path().display())
        })?;
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
            .context("nothing can be watched")?;
        let mut follower = Follower { spool, inotify, known: HashSet::new(), running: Vec::new() };
        follower.watch();
        let history = History::new(&settings.runtime_dir, &settings.state_dir);
        let ended = follower.ended(&history);
        follower.known.extend(ended.into_iter().map(|head| head.id));
        Ok(follower)
    }

    /// Also where it is watched already.
    fn watch(&mut self) {
        let flags = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_ONLYDIR;
        // without it the look that is taken now and then is all there is
        if let Ok(done) = self.spool.done().path() {
            let _ = self.inotify.add_watch(done, flags);
        }
    }

    /// One that is told by somebody else.
    pub(crate) fn known(&mut self, id: &str) {
        self.known.insert(id.to_owned());
    }

    /// Waits for executions that have ended since, in the order in which they began.
    ///
    /// # Errors
    /// Waiting isn't possible.
    pub(crate) fn next(&mut self, history: &History) -> anyhow::Result<Vec<RecordHead>> {
        loop {
            let mut descriptors = [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)];
            let patience = PollTimeout::try_from(LOOK_AGAIN).unwrap_or(PollTimeout::MAX);
            match poll(&mut descriptors, patience) {
                Ok(0) => self.watch(),
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            // what they say is found by looking: a queue that overflowed loses nothing then
            while self.inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
            let ended = self.ended(history);
            if !ended.is_empty() {
                self.known.extend(ended.iter().map(|head| head.id.clone()));
                return Ok(ended);
            }
        }
    }

    /// Those that are over and aren't known, the oldest first.
    fn ended(&mut self, history: &History) -> Vec<RecordHead> {
        let since = ulid::smallest_at((clock::unix_seconds() * 1000).saturating_sub(HORIZON));
        if self.known.len() > MOST_KNOWN {
            self.known.retain(|id| *id >= since);
        }
        let before = std::mem::replace(&mut self.running, self.spool.running_ids());
        let ids: BTreeSet<String> = history
            .newest()
            .take_while(|id| *id >= since)
            .chain(before)
            .filter(|id| !self.known.contains(id))
            .collect();
        ids.iter()
            .filter_map(|id| history.head(id).ok())
            .filter(|head| head.state != RecordState::Running)
            .collect()
    }
}
