//! Follows executions: returns each when it ends.

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

/// How often the records are read even without a message from inotify, as the directory may have been
/// replaced.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How old executions may be to be searched for, except those that were seen running.
const MAX_AGE_MILLISECONDS: u64 = 3_600_000;
/// How many ids are remembered before old ones are forgotten.
const MAX_KNOWN_IDS: usize = 100_000;

/// Returns each execution once, when it has ended.
pub(crate) struct Follower {
    spool: Spool,
    inotify: Inotify,
    /// The executions that were returned, or had ended before.
    known: HashSet<String>,
    /// The executions that were running at the last check.
    running: Vec<String>,
}

impl Follower {
    /// Starts to follow. Executions that have ended before are not returned.
    ///
    /// # Errors
    /// The runtime directory can't be watched.
    pub(crate) fn new(settings: &Settings) -> anyhow::Result<Follower> {
        let spool = Spool::new(&settings.runtime_dir);
        spool.make().with_context(|| {
            format!("{} can't be made", spool.base().unchecked_path().display())
        })?;
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
            .context("the records can't be watched")?;
        let mut follower = Follower { spool, inotify, known: HashSet::new(), running: Vec::new() };
        follower.watch();
        let history = History::new(&settings.runtime_dir, &settings.state_dir);
        let ended = follower.ended(&history);
        follower.known.extend(ended.into_iter().map(|head| head.id));
        Ok(follower)
    }

    /// Watches the directory of ended executions; does no harm if it is watched already.
    fn watch(&mut self) {
        let flags = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_ONLYDIR;
        // if that fails, the regular check still finds them
        if let Ok(done) = self.spool.done().path() {
            let _ = self.inotify.add_watch(done, flags);
        }
    }

    /// Marks an execution as one that must not be returned.
    pub(crate) fn skip(&mut self, id: &str) {
        self.known.insert(id.to_owned());
    }

    /// Waits for executions that have ended since, in the order in which they began.
    ///
    /// # Errors
    /// Those of `poll(2)`.
    pub(crate) fn next(&mut self, history: &History) -> anyhow::Result<Vec<RecordHead>> {
        loop {
            let mut descriptors = [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(POLL_INTERVAL).unwrap_or(PollTimeout::MAX);
            match poll(&mut descriptors, timeout) {
                Ok(0) => self.watch(),
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            // the events are only a signal to read the records: so an overflow of their queue loses nothing
            while self.inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
            let ended = self.ended(history);
            if !ended.is_empty() {
                self.known.extend(ended.iter().map(|head| head.id.clone()));
                return Ok(ended);
            }
        }
    }

    /// Returns the executions that have ended and aren't known yet, the oldest first.
    fn ended(&mut self, history: &History) -> Vec<RecordHead> {
        let since =
            ulid::smallest_at((clock::unix_seconds() * 1000).saturating_sub(MAX_AGE_MILLISECONDS));
        if self.known.len() > MAX_KNOWN_IDS {
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
