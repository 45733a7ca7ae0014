//! Finds the records of all executions: in the runtime directory until they are moved, then in the
//! state directory. Reads only.

use std::cell::Cell;
use std::io;

use super::form::{HookSummary, Record, RecordHead, RecordOutcome, RecordState};
use super::selection::{NamePattern, OccasionPattern};
use super::spool::Spool;
use super::store::{self, Store};
use crate::config::glob;
use crate::machine::ulid;
use crate::state::format::NewerFormat;
use crate::state::{Dir, DirRefusal};

/// All records of a runtime directory and a state directory.
pub struct History {
    spool: Spool,
    store: Store,
    /// The number of records of a newer version that `find` has met, and the format of the last one.
    newer: Cell<(usize, Option<NewerFormat>)>,
}

/// Conditions for executions. All of them must hold.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// A name or a uuid.
    pub guest: Option<NamePattern>,
    /// The event of a hook.
    pub event: Option<NamePattern>,
    /// `before_vm_start/10-x`, or without its event.
    pub hook: Option<NamePattern>,
    /// Events and calls, any of which must match; empty for all.
    pub occasions: Vec<OccasionPattern>,
    pub driver: Option<String>,
    pub operation: Option<String>,
    /// Whether something failed: of these hooks, where an event or a hook is wanted.
    pub is_failed: bool,
    /// Whether all went well, likewise.
    pub is_success: bool,
    pub is_lost: bool,
    /// Milliseconds since 1970.
    pub since: Option<u64>,
    pub until: Option<u64>,
}

impl Filter {
    pub fn holds(&self, head: &RecordHead) -> bool {
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == value)
        };
        let guest = self.guest.as_ref().is_none_or(|wanted| is_of(head, wanted));
        let event = self.event.as_ref().is_none_or(|wanted| {
            head.hooks.iter().filter_map(|hook| hook.event.as_ref()).any(|it| wanted.matches(it))
        });
        let hook = self
            .hook
            .as_ref()
            .is_none_or(|wanted| head.hooks.iter().any(|hook| has_name(&hook.hook, wanted)));
        let occasion = self.occasions.is_empty()
            || self.occasions.iter().any(|occasion| occasion.matches(head));
        let began = head.began_us / 1000;
        guest
            && event
            && hook
            && occasion
            && is(&self.driver, &head.driver)
            && is(&self.operation, &head.operation)
            && (!self.is_failed || self.has_failed(head))
            && (!self.is_success || self.has_succeeded(head))
            && (!self.is_lost || head.state == RecordState::Lost)
            && self.since.is_none_or(|since| began >= since)
            && self.until.is_none_or(|until| began <= until)
    }
}

impl Filter {
    /// Returns the wanted hooks of an execution; `None` where all are wanted.
    fn wanted_hooks<'h>(&self, head: &'h RecordHead) -> Option<Vec<&'h HookSummary>> {
        let Filter { event, hook, .. } = self;
        if event.is_none() && hook.is_none() {
            return None;
        }
        let is_wanted = |it: &&HookSummary| {
            let is_event =
                |wanted: &NamePattern| it.event.as_ref().is_some_and(|it| wanted.matches(it));
            event.as_ref().is_none_or(is_event)
                && hook.as_ref().is_none_or(|wanted| has_name(&it.hook, wanted))
        };
        Some(head.hooks.iter().filter(is_wanted).collect())
    }

    fn has_failed(&self, head: &RecordHead) -> bool {
        match self.wanted_hooks(head) {
            Some(hooks) => hooks.iter().any(|hook| hook.outcome.is_failure()),
            None => is_failed(head),
        }
    }

    fn has_succeeded(&self, head: &RecordHead) -> bool {
        let is_good = |outcome| matches!(outcome, RecordOutcome::Success | RecordOutcome::Queued);
        match self.wanted_hooks(head) {
            Some(hooks) => !hooks.is_empty() && hooks.iter().all(|hook| is_good(hook.outcome)),
            None => head.state == RecordState::Done && is_good(head.outcome) && !is_failed(head),
        }
    }
}

/// Tells whether a hook of an execution failed, or libvirt got an error.
pub(crate) fn is_failed(head: &RecordHead) -> bool {
    head.outcome.is_failure()
        || head.status.is_some_and(|status| status != 0)
        || head.hooks.iter().any(|hook| hook.outcome.is_failure())
}

/// Tells whether an execution is about this guest or network, by its name or its uuid.
pub(crate) fn is_of(head: &RecordHead, wanted: &NamePattern) -> bool {
    let has_uuid = |uuid: &String| match wanted {
        NamePattern::Name(name) => uuid.eq_ignore_ascii_case(name),
        NamePattern::Glob(pattern) => {
            glob::matches(&pattern.to_ascii_lowercase(), &uuid.to_ascii_lowercase())
        }
    };
    wanted.matches(&head.object) || head.uuid.as_ref().is_some_and(has_uuid)
}

/// Tells whether a hook's label, or its name after the event, matches.
pub(crate) fn has_name(label: &str, wanted: &NamePattern) -> bool {
    wanted.matches(label) || label.rsplit('/').next().is_some_and(|name| wanted.matches(name))
}

/// Tells whether a hook has this label, or this name after the event.
pub(crate) fn is_hook(label: &str, wanted: &str) -> bool {
    label == wanted || label.rsplit('/').next() == Some(wanted)
}

impl History {
    pub fn new(runtime_dir: &Dir, state_dir: &Dir) -> History {
        let (spool, store) = (Spool::new(runtime_dir), Store::new(state_dir));
        History { spool, store, newer: Cell::default() }
    }

    /// Returns how many records of a newer version `find` has met so far, and their format. They can't
    /// be listed.
    pub fn newer(&self) -> Option<(usize, NewerFormat)> {
        let (count, newer) = self.newer.get();
        Some((count, newer?))
    }

    pub fn spool(&self) -> &Spool {
        &self.spool
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Returns all ids, the newest first, without duplicates.
    pub fn newest(&self) -> impl Iterator<Item = String> {
        // the spool first: a record that is moved meanwhile is then found in the store
        let mut fresh = self.spool.running_ids();
        fresh.extend(self.spool.done_ids());
        fresh.sort_unstable();
        fresh.dedup();
        Merge { fresh, stored: self.store.newest().peekable() }
    }

    /// Returns all executions that began at or after a time in milliseconds since 1970, and some from
    /// shortly before, the newest first.
    pub(crate) fn heads(&self, since: Option<u64>) -> impl Iterator<Item = RecordHead> {
        // the time in a record's id may be a little later than the call itself
        let after = since.map(|since| ulid::smallest_at(since.saturating_sub(1000)));
        self.newest()
            .take_while(move |id| after.as_ref().is_none_or(|after| id >= after))
            .filter_map(|id| self.head(&id).inspect_err(|error| self.note(error)).ok())
    }

    /// Returns the executions for which a filter holds, the newest first.
    pub fn find(&self, filter: &Filter) -> impl Iterator<Item = RecordHead> {
        // as in `heads`
        let after = filter.since.map(|since| ulid::smallest_at(since.saturating_sub(1000)));
        let before = filter.until.map(|until| ulid::smallest_at(until.saturating_add(60_000)));
        self.newest()
            .take_while(move |id| after.as_ref().is_none_or(|after| id >= after))
            .filter(move |id| before.as_ref().is_none_or(|before| id <= before))
            .filter_map(|id| self.head(&id).inspect_err(|error| self.note(error)).ok())
            .filter(|head| filter.holds(head))
    }

    fn note(&self, error: &io::Error) {
        if let Some(newer) = NewerFormat::of(error) {
            self.newer.set((self.newer.get().0 + 1, Some(newer)));
        }
    }

    /// Reads the head of a record. An execution whose process is dead is marked as lost.
    ///
    /// # Errors
    /// There is no such record, or it can't be read.
    pub fn head(&self, id: &str) -> io::Result<RecordHead> {
        // most are stored, and what is stored is over: a list of a hundred thousand looks for each in one place
        if let Ok(head) = store::read_head(&self.store.group(id), id) {
            if head.state.is_over() {
                return Ok(head);
            }
        }
        let mut head = self.read(id, store::read_head)?;
        if is_dead(&head) {
            // it may have ended since it was read
            head = self.read(id, store::read_head)?;
            mark_if_lost(&mut head);
        }
        // the name of a record is its id
        id.clone_into(&mut head.id);
        Ok(head)
    }

    /// Reads a record.
    ///
    /// # Errors
    /// There is no such record, or it can't be read.
    pub fn record(&self, id: &str) -> io::Result<Record> {
        let mut record = self.read(id, store::read)?;
        if is_dead(&record.head) {
            record = self.read(id, store::read)?;
            mark_if_lost(&mut record.head);
        }
        id.clone_into(&mut record.head.id);
        Ok(record)
    }

    /// Returns the text of a registration that a record refers to.
    ///
    /// # Errors
    /// It wasn't kept, or can't be read.
    pub fn registration_text(&self, sha256: &str) -> io::Result<String> {
        match self.spool.texts().read(sha256) {
            Err(error) if is_absence(&error) => self.store.texts().read(sha256),
            read => read,
        }
    }

    fn read<T>(&self, id: &str, read: impl Fn(&Dir, &str) -> io::Result<T>) -> io::Result<T> {
        // in the order in which records move
        let group = self.store.group(id);
        for place in [self.spool.running(), self.spool.done(), &group] {
            match read(place, id) {
                Err(error) if is_absence(&error) => {}
                other => return other,
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// Returns the ids that match a word: an id, the beginning or the end of one, or `last`.
    pub fn find_ids(&self, word: &str) -> Vec<String> {
        if word == "last" {
            return self.newest().next().into_iter().collect();
        }
        let part = IdPart::of(word);
        match part.whole() {
            Some(id) => vec![id],
            None => self.newest().filter(|id| part.is_of(id)).take(MAX_FOUND_IDS).collect(),
        }
    }

    /// Checks that the directories can be read, if they exist.
    ///
    /// # Errors
    /// As of `opendir(3)`; or they belong to other users.
    pub fn check(&self) -> io::Result<()> {
        let spool = [self.spool.base(), self.spool.running(), self.spool.done()];
        for directory in spool.into_iter().chain([self.store.base()]) {
            match directory.names() {
                Err(error) if !is_absence(&error) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// How many ids that match a word are returned.
const MAX_FOUND_IDS: usize = 20;

/// An id as people write it: whole, its beginning or its end, in any case, shortened as in tables.
#[derive(Debug)]
pub(crate) struct IdPart {
    begin: String,
    /// What stands behind an ellipsis.
    end: Option<String>,
}

impl IdPart {
    pub(crate) fn of(word: &str) -> IdPart {
        let word = word.trim().replace("...", "…").to_ascii_uppercase();
        let word = word.trim_matches('.');
        match word.split_once('…') {
            Some((begin, end)) if !begin.is_empty() && !end.is_empty() => {
                IdPart { begin: begin.to_owned(), end: Some(end.to_owned()) }
            }
            _ => IdPart { begin: word.trim_matches('…').to_owned(), end: None },
        }
    }

    /// Returns the id, if the word is a whole one.
    pub(crate) fn whole(&self) -> Option<String> {
        (self.end.is_none() && ulid::is_valid(&self.begin)).then(|| self.begin.clone())
    }

    pub(crate) fn is_of(&self, id: &str) -> bool {
        match &self.end {
            Some(end) => id.starts_with(&self.begin) && id.ends_with(end),
            None => id.starts_with(&self.begin) || id.ends_with(&self.begin),
        }
    }
}

/// Tells whether an error means that there is no file, also where there can't be one.
fn is_absence(error: &io::Error) -> bool {
    if let Some(shut) = DirRefusal::of(error) {
        return !shut.is_of_others();
    }
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Tells whether the record says `running` but the process is dead.
fn is_dead(head: &RecordHead) -> bool {
    head.state == RecordState::Running && !head.process.is_alive()
}

fn mark_if_lost(head: &mut RecordHead) {
    if is_dead(head) {
        head.state = RecordState::Lost;
    }
}

/// Merges two sequences of ids, the newest first.
struct Merge<I: Iterator<Item = String>> {
    /// The oldest first.
    fresh: Vec<String>,
    stored: std::iter::Peekable<I>,
}

impl<I: Iterator<Item = String>> Iterator for Merge<I> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        match (self.fresh.last(), self.stored.peek()) {
            (Some(fresh), Some(stored)) if fresh == stored => {
                self.fresh.pop();
                self.stored.next()
            }
            (Some(fresh), Some(stored)) if fresh > stored => self.fresh.pop(),
            (_, Some(_)) => self.stored.next(),
            (Some(_), None) => self.fresh.pop(),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_may_be_written_as_it_is_printed() {
        let id = "01ARYZ6S410000000000003TE1CQ";
        for word in ["…3TE1CQ", "3te1cq", "...3TE1CQ", "01aryz", "01ARYZ…", "01ARYZ…1CQ", id]
        {
            assert!(IdPart::of(word).is_of(id), "{word}");
        }
        for word in ["…3TE1C", "1ARYZ", "01ARYZ…1CR", "02ARYZ…1CQ"] {
            assert!(!IdPart::of(word).is_of(id), "{word}");
        }
        let id = "01ARYZ6S410000000000000000";
        assert_eq!(IdPart::of(&id.to_lowercase()).whole().as_deref(), Some(id));
        assert_eq!(IdPart::of("…3TE1CQ").whole(), None);
    }
}
