//! Follows executions: returns what happens in them, and when they have ended.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::Context;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::seen::{Aftermath, Seen};
use crate::config::Settings;
use crate::machine::{clock, ulid};
use crate::record::form::{RecordHead, RecordState};
use crate::record::history::History;
use crate::record::running::{EndedHook, StartedHook};
use crate::record::spool::Spool;

/// How often the records are read even without a message from inotify, as the directory may have been
/// replaced.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How often running calls are looked at: what happens in them isn't told by inotify.
const RUNNING_INTERVAL: Duration = Duration::from_millis(200);
/// How old executions may be to be searched for, except those that were seen running.
const MAX_AGE_MILLISECONDS: u64 = 3_600_000;
/// How long before the time from which is followed a call may have begun.
const MAX_CALL_MILLISECONDS: u64 = 24 * 3_600_000;
/// A record appears a little later than the end that it has. What ended so shortly before comes again.
const MARGIN_MICROSECONDS: u64 = 5_000_000;
/// How many ids are remembered before old ones are forgotten.
const MAX_KNOWN_IDS: usize = 100_000;

/// Something that happened in an execution.
pub(crate) struct Happening {
    pub what: What,
    /// In microseconds since 1970.
    pub at_us: u64,
    pub seen: Seen,
}

pub(crate) enum What {
    Begun,
    /// The pid is known only if the hook was seen running.
    Started {
        hook: StartedHook,
        is_seen: bool,
    },
    Ended {
        hook: EndedHook,
        pid: Option<i32>,
    },
    Done,
}

/// What is told: everything, or only the ends of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    All,
    Ends,
}

/// What was told of a running execution.
#[derive(Default)]
struct Told {
    has_begun: bool,
    started: Vec<StartedHook>,
    ended: usize,
    /// The time of the last happening: the next ones aren't earlier.
    at_us: u64,
}

/// Returns what happens in executions, everything once.
pub(crate) struct Follower {
    spool: Spool,
    inotify: Inotify,
    extent: Extent,
    /// The executions that were told to the end, or had ended before.
    known: HashSet<String>,
    /// The executions that were running at the last check.
    running: HashMap<String, Told>,
    /// The smallest id to look for at the first check; `None` later.
    first: Option<String>,
    /// When to end, in milliseconds since 1970; `None` for never.
    until: Option<u64>,
    /// Whether that time has come.
    is_over: bool,
}

impl Follower {
    /// Starts to follow. Executions that had ended before `since` (in microseconds since 1970) are not
    /// told; without it, before now. It ends when `until` (in milliseconds since 1970) is past.
    ///
    /// # Errors
    /// The runtime directory can't be watched.
    pub(crate) fn new(
        settings: &Settings,
        extent: Extent,
        since: Option<u64>,
        until: Option<u64>,
    ) -> anyhow::Result<Follower> {
        let spool = Spool::new(&settings.runtime_dir);
        spool.make().with_context(|| {
            format!("{} can't be made", spool.base().unchecked_path().display())
        })?;
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
            .context("the records can't be watched")?;
        let (known, running) = (HashSet::new(), HashMap::new());
        let (first, is_over) = (None, false);
        let mut follower =
            Follower { spool, inotify, extent, known, running, first, until, is_over };
        follower.watch();
        let history = History::new(&settings.runtime_dir, &settings.state_dir);
        let first = since
            .map(|since| ulid::smallest_at((since / 1000).saturating_sub(MAX_CALL_MILLISECONDS)));
        follower.first = first;
        let before = since.map(|since| since.saturating_sub(MARGIN_MICROSECONDS));
        for id in follower.new_ids(&history) {
            let Ok(head) = history.head(&id) else { continue };
            let is_over = head.state != RecordState::Running;
            if is_over && before.is_none_or(|before| end_us(&head) < before) {
                follower.known.insert(id);
            }
        }
        Ok(follower)
    }

    /// Watches the directories of running and ended executions; does no harm if they are watched already.
    fn watch(&mut self) {
        let flags = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_ONLYDIR;
        for directory in [self.spool.running(), self.spool.done()] {
            // if that fails, the regular check still finds them
            if let Ok(path) = directory.path() {
                let _ = self.inotify.add_watch(path, flags);
            }
        }
    }

    /// Marks an execution as one that must not be told.
    pub(crate) fn skip(&mut self, id: &str) {
        self.known.insert(id.to_owned());
    }

    /// Waits for something to happen, and returns it in the order of its times; `None` at the end.
    ///
    /// # Errors
    /// Those of `poll(2)`.
    pub(crate) fn next(&mut self, history: &History) -> anyhow::Result<Option<Vec<Happening>>> {
        while !self.is_over {
            let left = self.until.map(time_left);
            // what has happened until then is still told
            self.is_over = left.is_some_and(|left| left.is_zero());
            let mut happenings = self.look(history);
            if !happenings.is_empty() {
                // what happened in one execution stays in its order
                happenings.sort_by_key(|happening| happening.at_us);
                return Ok(Some(happenings));
            }
            if self.is_over {
                break;
            }
            let mut descriptors = [PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)];
            let looks_often = self.extent == Extent::All && !self.running.is_empty();
            let interval = if looks_often { RUNNING_INTERVAL } else { POLL_INTERVAL };
            let interval = left.map_or(interval, |left| left.min(interval));
            let timeout = PollTimeout::try_from(interval).unwrap_or(PollTimeout::MAX);
            match poll(&mut descriptors, timeout) {
                Ok(0) => self.watch(),
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            // the events are only a signal to read the records: so an overflow of their queue loses nothing
            while self.inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
        }
        Ok(None)
    }

    /// Returns the ids that are to be looked at, the oldest first.
    fn new_ids(&self, history: &History) -> BTreeSet<String> {
        let now = clock::unix_seconds() * 1000;
        let recent = ulid::smallest_at(now.saturating_sub(MAX_AGE_MILLISECONDS));
        let since = self.first.clone().unwrap_or(recent);
        let running = self.spool.running_ids().into_iter().chain(self.running.keys().cloned());
        let recent = history.newest().take_while(move |id| *id >= since);
        recent.chain(running).filter(|id| !self.known.contains(id)).collect()
    }

    /// Looks at all executions that aren't known to the end.
    fn look(&mut self, history: &History) -> Vec<Happening> {
        let ids = self.new_ids(history);
        self.first = None;
        if self.known.len() > MAX_KNOWN_IDS {
            let now = clock::unix_seconds() * 1000;
            let recent = ulid::smallest_at(now.saturating_sub(MAX_CALL_MILLISECONDS));
            self.known.retain(|id| *id >= recent);
        }
        let mut happenings = Vec::new();
        for id in ids {
            let Ok(head) = history.head(&id) else {
                self.running.remove(&id);
                continue;
            };
            let mut told = self.running.remove(&id).unwrap_or_default();
            let is_running = head.state == RecordState::Running;
            let seen = Seen::new(head, Aftermath::default());
            match self.extent {
                Extent::All if is_running => told.tell_progress(&seen, &mut happenings),
                Extent::All => {
                    told.tell_rest(&seen, history, &mut happenings);
                }
                Extent::Ends if is_running => {}
                Extent::Ends => {
                    happenings.push(told.happening(What::Done, end_us(&seen.head), &seen))
                }
            }
            if is_running {
                self.running.insert(id, told);
            } else {
                self.known.insert(id);
            }
        }
        happenings
    }
}

/// Returns how long it is until a time (in milliseconds since 1970) is past. It is a little more than that: what begins in
/// the last millisecond belongs to it.
fn time_left(until: u64) -> Duration {
    let end = Duration::from_millis(until.saturating_add(1));
    end.saturating_sub(clock::unix_time())
}

/// Returns when an execution ended; of one that was lost, when it began.
fn end_us(head: &RecordHead) -> u64 {
    head.began_us.saturating_add(head.duration_us.unwrap_or_default())
}

impl Told {
    /// Makes a happening that is no earlier than the one before.
    fn happening(&mut self, what: What, at_us: u64, seen: &Seen) -> Happening {
        self.at_us = self.at_us.max(at_us);
        let Seen { head, progress, after } = seen;
        let (head, progress, after) = (head.clone(), progress.clone(), after.clone());
        Happening { what, at_us: self.at_us, seen: Seen { head, progress, after } }
    }

    fn begin(&mut self, seen: &Seen, happenings: &mut Vec<Happening>) {
        if !self.has_begun {
            self.has_begun = true;
            happenings.push(self.happening(What::Begun, seen.head.began_us, seen));
        }
    }

    /// Tells what has happened in a running execution since the last look.
    fn tell_progress(&mut self, seen: &Seen, happenings: &mut Vec<Happening>) {
        self.begin(seen, happenings);
        let (started, ended) = seen.progress.runs();
        let mut news: Vec<(u64, What)> = Vec::new();
        for hook in started.iter().copied().skip(self.started.len()) {
            news.push((hook.start_us, What::Started { hook: hook.clone(), is_seen: true }));
            self.started.push(hook.clone());
        }
        for hook in ended.iter().copied().skip(self.ended) {
            let pid = pid_of(&self.started, hook);
            news.push((hook_end_us(hook), What::Ended { hook: hook.clone(), pid }));
        }
        self.ended = self.ended.max(ended.len());
        self.tell(news, seen, happenings);
    }

    /// Tells what wasn't told yet of an execution that is over.
    fn tell_rest(&mut self, seen: &Seen, history: &History, happenings: &mut Vec<Happening>) {
        self.begin(seen, happenings);
        let record = history.record(&seen.head.id).ok().filter(|it| it.head.state.is_over());
        let runs = record.map(|record| record.body.runs).unwrap_or_default();
        let mut news: Vec<(u64, What)> = Vec::new();
        for run in runs.iter().skip(self.ended) {
            let hook = EndedHook::from(run);
            let pid = pid_of(&self.started, &hook);
            if let Some(start_us) = hook.start_us.filter(|_| pid.is_none()) {
                let started = StartedHook {
                    hook: hook.hook.clone(),
                    device: hook.device.clone(),
                    start_us,
                    ..StartedHook::default()
                };
                news.push((start_us, What::Started { hook: started, is_seen: false }));
            }
            news.push((hook_end_us(&hook), What::Ended { hook, pid }));
        }
        self.tell(news, seen, happenings);
        happenings.push(self.happening(What::Done, end_us(&seen.head), seen));
    }

    /// Tells what happened in one execution, in the order of its times. One that failed without a start has
    /// none: it comes where the record has it.
    fn tell(&mut self, mut news: Vec<(u64, What)>, seen: &Seen, happenings: &mut Vec<Happening>) {
        let mut last = 0;
        for (at, _) in &mut news {
            if *at == 0 {
                *at = last;
            }
            last = *at;
        }
        news.sort_by_key(|(at, _)| *at);
        for (at, what) in news {
            happenings.push(self.happening(what, seen.head.began_us.saturating_add(at), seen));
        }
    }
}

fn pid_of(started: &[StartedHook], ended: &EndedHook) -> Option<i32> {
    let is_it = |hook: &&StartedHook| {
        hook.hook == ended.hook
            && hook.device == ended.device
            && Some(hook.start_us) == ended.start_us
    };
    started.iter().find(is_it).map(|hook| hook.pid)
}

/// Returns when a hook ended, in microseconds since the beginning of the call; 0 where it isn't known.
fn hook_end_us(hook: &EndedHook) -> u64 {
    hook.start_us.map_or(0, |start| start.saturating_add(hook.duration_us.unwrap_or_default()))
}
