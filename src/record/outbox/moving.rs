//! Moves events from the runtime directory to the outbox, and gives each its number; removes those that have
//! been sent, and the oldest where there are too many. Only one process at a time does this.
//!
//! It may die between any two steps. Numbers are noted before they are used; what is in both places stays under
//! its noted number; what is lost is noted before it is removed.

use std::collections::HashSet;
use std::io;

use super::cursor::{self, Cursors};
use super::directory::{DIRECTORY, Directory, Entry};
use super::event;
use super::gap::{self, Gap, GapReason};
use super::sequence::Sequence;
use super::status::{self, HostFacts};
use crate::config::Settings;
use crate::config::settings::OutboxLimits;
use crate::machine::{boot, ulid};
use crate::record::spool::Spool;
use crate::state::Dir;

/// The number of events in a batch.
const MAX_BATCH_EVENTS: usize = 256;
/// Which part of the outbox is removed at least where it is full: else every later event would be a gap too.
const ROOM_DIVISOR: u64 = 10;

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OutboxResult {
    pub moved: usize,
    /// Removed, as they have been sent.
    pub sent: usize,
    /// Removed, as there were too many.
    pub lost: u64,
}

/// Moves all events that wait.
///
/// # Errors
/// The outbox can't be used: the events stay where they are.
pub(crate) fn move_all(
    settings: &Settings,
    spool: &Spool,
    host: &dyn Fn() -> HostFacts,
) -> io::Result<OutboxResult> {
    // what was written before the outbox was switched off is moved and sent
    let has_none = || spool.event_ids().is_empty() && !settings.state_dir.may_contain(DIRECTORY);
    if !settings.outbox && has_none() {
        return Ok(OutboxResult::default());
    }
    settings.state_dir.make()?;
    let known = Sequence::load(&settings.state_dir)?;
    let outbox = Directory::open(&settings.state_dir)?;
    let entries = outbox.entries()?;
    let greatest = entries.last().map_or(0, |entry| entry.number);
    let sequence = match known {
        Some(known) => Sequence { last: known.last.max(greatest), ..known },
        None => {
            // they may have been sent and removed
            let Cursors { highest, .. } = cursor::read(&settings.state_dir, "", u64::MAX);
            Sequence { last: greatest.max(highest), ..Sequence::default() }
        }
    };
    let mut mover = EventMover {
        state_dir: &settings.state_dir,
        limits: settings.outbox_max,
        spool,
        outbox,
        entries,
        sequence,
        done: OutboxResult::default(),
    };
    if mover.begin_epoch()? {
        // who sends the events has to know it before the first number is given
        let _ = status::write(&mover.outbox, &mover.sequence, &mover.entries, host, true);
    }
    let moved = mover.run();
    if settings.outbox {
        let is_changed = mover.done != OutboxResult::default();
        // a file for people and for a heartbeat: without it nothing is lost
        let _ = status::write(&mover.outbox, &mover.sequence, &mover.entries, host, is_changed);
    }
    moved.map(|()| mover.done)
}

struct EventMover<'a> {
    state_dir: &'a Dir,
    limits: OutboxLimits,
    spool: &'a Spool,
    outbox: Directory,
    /// What is in the outbox, the oldest first.
    entries: Vec<Entry>,
    sequence: Sequence,
    done: OutboxResult,
}

impl OutboxResult {
    pub(crate) fn add(&mut self, more: OutboxResult) {
        self.moved += more.moved;
        self.sent += more.sent;
        self.lost += more.lost;
    }
}

impl EventMover<'_> {
    /// Begins another numbering where numbers may be given a second time. Tells whether it does.
    ///
    /// A state directory that was put back from a copy has a number that was the last one once. Who sends the events
    /// knows a later one, and would pass over all up to that.
    fn begin_epoch(&mut self) -> io::Result<bool> {
        let Sequence { epoch, epoch_after, last, .. } = &self.sequence;
        let Cursors { is_ahead, is_behind, .. } = cursor::read(self.state_dir, epoch, *last);
        if !epoch.is_empty() && !is_ahead {
            return Ok(false);
        }
        // one who hasn't heard of the numbering before this one has to go back as far as that
        let is_earlier = !epoch.is_empty() && is_behind;
        let after = if is_earlier { (*epoch_after).min(*last) } else { *last };
        (self.sequence.epoch, self.sequence.epoch_after) = (ulid::new(), after);
        self.sequence.save(self.state_dir)?;
        Ok(true)
    }

    fn run(&mut self) -> io::Result<()> {
        let known = (self.sequence.files, self.sequence.bytes);
        if self.entries.len() as u64 != self.sequence.files {
            // somebody else was here, or a mover died
            self.sequence.files = self.entries.len() as u64;
            self.sequence.bytes = self.entries.iter().map(|entry| self.outbox.size(entry)).sum();
        }
        // what has been sent makes room, where the disk is full
        let finished = self.finish_batch();
        self.remove_sent()?;
        let unreadable = finished?;
        if let Some(gap) = self.sequence.gap.clone() {
            self.finish_gap(&gap)?;
        }
        if unreadable > 0 {
            self.add_gap(None, unreadable, GapReason::Unreadable)?;
        }
        while self.move_batch()? > 0 {
            self.make_room()?;
        }
        self.tell_of_dropped()?;
        self.make_room()?;
        if (self.sequence.files, self.sequence.bytes) != known {
            self.sequence.save(self.state_dir)?;
        }
        Ok(())
    }

    /// Moves what is left of the last batch, whose mover died. Returns how many events of it can't be read.
    fn finish_batch(&mut self) -> io::Result<u64> {
        let mut unreadable = 0;
        let waiting = self.spool.event_ids();
        let batch: Vec<(u64, String)> =
            self.sequence.numbered().map(|(number, id)| (number, id.clone())).collect();
        for (number, id) in batch.into_iter().filter(|(_, id)| waiting.contains(id)) {
            let is_moved = self.entries.iter().any(|entry| entry.number == number);
            let bytes = match self.spool.read_event(&id) {
                Err(error) if is_not_an_event(&error) => {
                    self.spool.put_event_aside(&id)?;
                    unreadable += 1;
                    continue;
                }
                read => read?,
            };
            if let (false, Some(event)) = (is_moved, event::with_number(&bytes, &id, number)) {
                self.put(Entry { number, id: id.clone() }, &event)?;
            }
            self.spool.remove_event(&id)?;
            self.done.moved += 1;
        }
        Ok(unreadable)
    }

    /// Gives numbers to a batch of events, and moves it.
    fn move_batch(&mut self) -> io::Result<usize> {
        let waiting = self.spool.event_ids().into_iter();
        // an execution whose end isn't written may die: then its event would be written again
        let closed = waiting.filter(|id| !self.spool.is_open(id));
        let mut ids: Vec<String> = closed.take(MAX_BATCH_EVENTS).collect();
        let count = ids.len();
        self.remove_numbered(&mut ids)?;
        let mut events = Vec::new();
        let mut odd = 0;
        for id in &ids {
            let bytes = match self.spool.read_event(id) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) if is_not_an_event(&error) => Vec::new(),
                Err(error) => return Err(error),
            };
            match event::with_number(&bytes, id, 0) {
                Some(_) => events.push((id.clone(), bytes)),
                None => {
                    self.spool.put_event_aside(id)?;
                    odd += 1;
                }
            }
        }
        if odd > 0 {
            self.add_gap(None, odd, GapReason::Unreadable)?;
        }
        if events.is_empty() {
            return Ok(count);
        }
        for _ in &events {
            self.sequence.next()?;
        }
        self.sequence.batch = events.iter().map(|(id, _)| id.clone()).collect();
        self.sequence.batch_end = self.sequence.last;
        self.sequence.save(self.state_dir)?;
        let numbers: Vec<u64> = self.sequence.numbered().map(|(number, _)| number).collect();
        for (number, (id, bytes)) in numbers.into_iter().zip(&events) {
            if let Some(event) = event::with_number(bytes, id, number) {
                self.put(Entry { number, id: id.clone() }, &event)?;
            }
        }
        for (id, _) in &events {
            self.spool.remove_event(id)?;
        }
        self.done.moved += events.len();
        Ok(count)
    }

    /// Removes what has a number already: it must not get another one.
    fn remove_numbered(&self, ids: &mut Vec<String>) -> io::Result<()> {
        let waiting: HashSet<&str> = ids.iter().map(String::as_str).collect();
        let known = self.entries.iter().map(|entry| &entry.id).chain(&self.sequence.batch);
        let known: HashSet<String> =
            known.filter(|id| waiting.contains(id.as_str())).cloned().collect();
        for id in &known {
            self.spool.remove_event(id)?;
        }
        ids.retain(|id| !known.contains(id));
        Ok(())
    }

    fn put(&mut self, entry: Entry, bytes: &[u8]) -> io::Result<()> {
        self.outbox.put(&entry.name(), bytes)?;
        self.sequence.files += 1;
        self.sequence.bytes = self.sequence.bytes.saturating_add(bytes.len() as u64);
        let place = self.entries.partition_point(|other| other.number < entry.number);
        self.entries.insert(place, entry);
        Ok(())
    }

    /// Removes the oldest events, this many.
    fn remove_first(&mut self, count: usize) -> io::Result<()> {
        for entry in self.entries.drain(..count.min(self.entries.len())) {
            let size = self.outbox.size(&entry);
            self.outbox.remove(&entry)?;
            self.sequence.files = self.sequence.files.saturating_sub(1);
            self.sequence.bytes = self.sequence.bytes.saturating_sub(size);
        }
        Ok(())
    }

    /// Removes what has been sent everywhere.
    fn remove_sent(&mut self) -> io::Result<()> {
        let Sequence { epoch, last, .. } = &self.sequence;
        let Cursors { lowest, .. } = cursor::read(self.state_dir, epoch, *last);
        let sent = self.entries.partition_point(|entry| entry.number <= lowest);
        self.remove_first(sent)?;
        self.done.sent += sent;
        Ok(())
    }

    /// Removes the oldest events where there are too many, and tells of them.
    fn make_room(&mut self) -> io::Result<()> {
        let OutboxLimits { events, size } = self.limits;
        if self.sequence.files <= events && self.sequence.bytes <= size {
            return Ok(());
        }
        // the event of the gap needs room too
        let most_files = (events - (events / ROOM_DIVISOR).max(1)).max(1);
        let most_bytes = size - size / ROOM_DIVISOR;
        let (mut files, mut bytes) = (self.sequence.files + 1, self.sequence.bytes);
        let mut count = 0;
        for entry in &self.entries {
            if files <= most_files && bytes <= most_bytes {
                break;
            }
            files -= 1;
            bytes = bytes.saturating_sub(self.outbox.size(entry));
            count += 1;
        }
        let Some(lost) = self.entries.get(..count).filter(|lost| !lost.is_empty()) else {
            return Ok(());
        };
        let (mut first, mut last) = (u64::MAX, 0);
        let (mut executions, mut told): (u64, u64) = (0, 0);
        for entry in lost {
            (first, last) = (first.min(entry.number), last.max(entry.number));
            // what a lost event of a gap told of is told again
            let earlier = self.outbox.read(entry).ok().and_then(|bytes| gap::read(&bytes));
            executions = executions.saturating_add(earlier.map_or(1, |earlier| earlier.events));
            told = told.saturating_add(earlier.map_or(0, |earlier| earlier.events));
            if let Some((its_first, its_last)) = earlier.and_then(|earlier| earlier.lost) {
                (first, last) = (first.min(its_first), last.max(its_last));
            }
        }
        // the event of a gap alone can be larger than what is allowed
        if executions == told && count == 1 {
            return Ok(());
        }
        self.done.lost += executions.saturating_sub(told);
        // they were counted when they were lost
        self.sequence.lost = self.sequence.lost.saturating_sub(told);
        self.add_gap(Some((first, last)), executions, GapReason::Full)
    }

    /// Tells of events that calls couldn't write.
    fn tell_of_dropped(&mut self) -> io::Result<()> {
        let (dropped, boot) = (self.spool.dropped().events, boot::id());
        let before = if self.sequence.boot == boot { self.sequence.dropped } else { 0 };
        if dropped == before && self.sequence.boot == boot {
            return Ok(());
        }
        (self.sequence.dropped, self.sequence.boot) = (dropped, boot);
        match dropped.checked_sub(before).filter(|more| *more > 0) {
            Some(more) => self.add_gap(None, more, GapReason::NoRoom),
            None => self.sequence.save(self.state_dir),
        }
    }

    /// Notes a run of lost events, writes its event, and removes them.
    fn add_gap(&mut self, lost: Option<(u64, u64)>, events: u64, why: GapReason) -> io::Result<()> {
        let gap = Gap::new(self.sequence.next()?, lost, events, why);
        self.sequence.gap = Some(gap.clone());
        self.sequence.gaps = self.sequence.gaps.saturating_add(1);
        self.sequence.lost = self.sequence.lost.saturating_add(events);
        self.sequence.save(self.state_dir)?;
        self.finish_gap(&gap)
    }

    fn finish_gap(&mut self, gap: &Gap) -> io::Result<()> {
        if !self.entries.iter().any(|entry| entry.number == gap.number) {
            let entry = Entry { number: gap.number, id: gap.id.clone() };
            self.put(entry, &gap.encode()?)?;
        }
        if let Some((_, last)) = gap.lost {
            let count = self.entries.partition_point(|entry| entry.number <= last);
            self.remove_first(count)?;
        }
        self.sequence.gap = None;
        self.sequence.save(self.state_dir)
    }
}

/// Tells whether an error means that the file isn't one that hookmux wrote.
fn is_not_an_event(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData || error.raw_os_error() == Some(libc::EISDIR)
}
