//! Moves records from the runtime directory to the state directory, and removes old ones, in a process
//! that libvirt doesn't wait for. The disk of the state directory may be slow, full or gone; then records
//! stay in the runtime directory, as long as there is room.

use std::collections::{HashMap, HashSet};
use std::io::{
    self,
    ErrorKind::{InvalidData, NotFound},
};
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use super::counters::Counters;
use super::form::{Record, RecordHead, RecordState};
use super::outbox::moving::{self, OutboxResult};
use super::outbox::status::HostFacts;
use super::recorder::RecordPlace;
use super::retention::{self, KeptRecord};
use super::spool::{self, Dropped, Spool};
use super::store::{self, Store};
use crate::config::Settings;
use crate::libvirt::Driver;
use crate::machine::locks::{self, FileLock};
use crate::machine::{clock, ulid};
use crate::process::{background, internal};
use crate::state::format::NewerFormat;
use crate::state::trash::{Trash, TrashLimits};
use crate::state::{Dir, DirPresence};

/// The link that exists while the path unit for records is enabled: then systemd starts the mover.
const PATH_UNIT: &str = "/etc/systemd/system/paths.target.wants/hookmux-prune.path";
/// The directory that the path unit watches, and the hooks directory for the settings of its service.
const UNIT_RUNTIME_DIR: &str = "/run/hookmux";
const UNIT_HOOKS_DIR: &str = "/etc/libvirt/hooks";

/// The number of waiting records from which on the unit counts as not working.
const UNIT_MAX_WAITING: u64 = 100;

/// The number of records in a batch; the counters are written after each batch.
const MAX_BATCH_RECORDS: usize = 256;
/// The interval at which a lingering mover looks for more records, and the number of looks without any
/// before it ends.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
const MAX_IDLE_ROUNDS: u32 = 3;
/// The time limit of the wait for another mover: the disk may be slow.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);
/// The interval at which a lingering mover removes old records.
const PRUNE_INTERVAL: Duration = Duration::from_secs(600);
/// A record that is later than now by more than this is from a wrong clock.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(3600);
/// The time without a new mover after one could not move anything.
const STUCK_INTERVAL: Duration = Duration::from_secs(30);

/// The lock of a lingering mover.
const MOVER_LOCK: &str = ".mover";
/// The lock of any mover, while it moves.
const MOVING_LOCK: &str = ".moving";
const STUCK_FILE: &str = ".stuck";
const PRUNED_FILE: &str = ".pruned";

/// The result of moving and removing.
#[derive(Debug, Default)]
pub(crate) struct MoverResult {
    pub moved: usize,
    pub lost: usize,
    pub pruned: usize,
    /// The number of texts of registrations that were removed.
    pub texts: usize,
    /// The number of leftover files and directories of hooks that were removed.
    pub swept: usize,
    /// Whether there are more of these leftovers.
    pub is_trash_left: bool,
    /// Why some records stay in the runtime directory.
    pub stuck: Option<io::Error>,
    /// Set if nothing was counted, because a newer version wrote the counters.
    pub uncounted: Option<NewerFormat>,
    /// What was done in the outbox.
    pub outbox: OutboxResult,
}

/// The limits of one round of removing leftovers of hooks, during which other movers wait; and the limit
/// of rounds: a program that makes new files all the time must not keep the mover busy.
const ROUND: TrashLimits = TrashLimits { max_entries: 20_000, max_time: Duration::from_secs(1) };
const MAX_ROUNDS: u32 = 60;
/// The same limits for `hookmux prune`.
const LONG_ROUND: TrashLimits =
    TrashLimits { max_entries: 500_000, max_time: Duration::from_secs(20) };

/// Tells whether the last mover could not move anything.
pub(crate) fn is_stuck(spool: &Spool) -> bool {
    spool.base().entry_metadata(STUCK_FILE).is_ok()
}

/// Starts a mover for the records of a call, unless one runs, or systemd starts it.
pub(crate) fn start_if_needed(hooks_dir: &Path, place: &RecordPlace) {
    let spool = &place.spool;
    let is_recent = |time: SystemTime| time.elapsed().is_ok_and(|age| age < STUCK_INTERVAL);
    let stuck = spool.base().entry_metadata(STUCK_FILE).and_then(|file| file.modified());
    if stuck.is_ok_and(is_recent) {
        return;
    }
    // an enabled unit may not run, or have failed
    if is_the_units(hooks_dir, spool) && spool.count_since_move() < UNIT_MAX_WAITING {
        return;
    }
    start_one(hooks_dir, spool);
}

fn start_one(hooks_dir: &Path, spool: &Spool) {
    if let Ok(Some(lock)) = lock(spool, MOVER_LOCK) {
        drop(lock);
        // if this fails, the next call starts a mover
        let _ = background::start(hooks_dir, internal::START_MOVER);
    }
}

/// Starts a mover if there are leftovers: records of the last boot at the start of a host, or files that
/// hooks left, for which the unit for records doesn't start.
pub(crate) fn start(hooks_dir: &Path, settings: &Settings) {
    let spool = Spool::new(&settings.runtime_dir);
    if !Trash::new(&settings.runtime_dir).is_empty() {
        let _ = spool.make();
        start_one(hooks_dir, &spool);
    } else if matches!(spool.base().judge(), Ok(DirPresence::Present)) {
        let place = RecordPlace { spool };
        start_if_needed(hooks_dir, &place);
    }
}

fn is_the_units(hooks_dir: &Path, spool: &Spool) -> bool {
    spool.base().unchecked_path().parent() == Some(Path::new(UNIT_RUNTIME_DIR))
        && hooks_dir == Path::new(UNIT_HOOKS_DIR)
        && Path::new(PATH_UNIT).exists()
}

/// Takes one of the two locks. Returns `None` where another process has it.
fn lock(spool: &Spool, name: &str) -> io::Result<Option<FileLock>> {
    locks::try_lock(spool.base().append(name)?)
}

/// Takes the lock of the lingering mover, so that calls start none. Returns `None` where another process
/// has it.
///
/// # Errors
/// The runtime directory can't be used.
pub(crate) fn hold(runtime_dir: &Dir) -> io::Result<Option<FileLock>> {
    let spool = Spool::new(runtime_dir);
    spool.make()?;
    lock(&spool, MOVER_LOCK)
}

/// Moves records until none have come for a while; removes old ones now and then.
///
/// # Errors
/// The runtime directory can't be used.
pub(crate) fn linger(settings: &Settings, host: &dyn Fn() -> HostFacts) -> io::Result<MoverResult> {
    let mover = Mover::new(settings, host);
    // the timer comes before the first call, too
    mover.spool.make()?;
    let mut sum = MoverResult::default();
    let mut rounds = 0;
    loop {
        let Some(lock) = lock(&mover.spool, MOVER_LOCK)? else { return Ok(sum) };
        let mut idle = 0;
        while idle < MAX_IDLE_ROUNDS {
            let mut swept = 0;
            if rounds < MAX_ROUNDS {
                let emptied = mover.exclusively(|mover| mover.trash.empty(ROUND))?;
                sum.swept += emptied.removed;
                rounds += u32::from(emptied.removed > 0);
                swept = emptied.removed;
            }
            let done = mover.exclusively(Mover::move_all)?;
            let is_idle = done.moved + done.lost + swept + done.outbox.moved == 0;
            idle = if is_idle { idle + 1 } else { 0 };
            sum.moved += done.moved;
            sum.outbox.add(done.outbox);
            sum.lost += done.lost;
            sum.uncounted = done.uncounted.or(sum.uncounted);
            if done.stuck.is_some() {
                sum.stuck = done.stuck;
                // a full disk gets room
                mover.prune_if_due(&mut sum)?;
                // else the path unit would start the next mover at once
                thread::sleep(STUCK_INTERVAL);
                return Ok(sum);
            }
            thread::sleep(POLL_INTERVAL);
        }
        mover.prune_if_due(&mut sum)?;
        drop(lock);
        // a call that came while the lock was held has not started a mover
        if !mover.has_work() {
            return Ok(sum);
        }
    }
}

/// Moves records and removes old ones once.
///
/// # Errors
/// The runtime directory can't be used.
pub(crate) fn move_and_prune(
    settings: &Settings,
    host: &dyn Fn() -> HostFacts,
) -> io::Result<MoverResult> {
    let mover = Mover::new(settings, host);
    mover.spool.make()?;
    mover.exclusively(|mover| {
        let mut done = mover.move_all();
        (done.pruned, done.texts) = mover.prune();
        let emptied = mover.trash.empty(LONG_ROUND);
        (done.swept, done.is_trash_left) = (emptied.removed, emptied.is_left);
        // also reported where there was nothing to move
        done.stuck = done.stuck.or_else(|| mover.store.base().judge().err());
        done
    })
}

/// Moves records at once, and removes old ones if it is time for that.
///
/// # Errors
/// The runtime directory can't be used.
pub(crate) fn move_now(settings: &Settings) -> io::Result<MoverResult> {
    let mover = Mover::new(settings, &HostFacts::default);
    mover.spool.make()?;
    mover.exclusively(|mover| {
        let mut done = mover.move_all();
        if mover.is_prune_due() {
            (done.pruned, done.texts) = mover.prune();
        }
        done
    })
}

/// Returns what moving and removing would do. Changes nothing, and waits for no other mover.
pub(crate) fn forecast(settings: &Settings) -> MoverResult {
    let mover = Mover::new(settings, &HostFacts::default);
    let lost = mover.spool.running_ids().into_iter().filter(|id| mover.is_lost(id)).count();
    let (records, texts) = mover.to_be_removed();
    let gone: HashSet<&str> = records.iter().map(String::as_str).collect();
    MoverResult {
        moved: mover.spool.done_ids().len() + lost,
        lost,
        pruned: records.len(),
        texts: mover.unused_texts(&texts, &gone).len(),
        swept: mover.trash.count(LONG_ROUND.max_entries),
        stuck: mover.store.base().judge().err(),
        uncounted: Counters::load(mover.store.base()).err(),
        outbox: OutboxResult { moved: mover.spool.event_ids().len(), ..OutboxResult::default() },
        ..MoverResult::default()
    }
}

/// Tells whether an error means that the file is not a record.
fn is_not_a_record(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData || error.raw_os_error() == Some(libc::EISDIR)
}

/// Tells whether bytes may be the record with this id. A record of a newer version may be.
fn is_of(bytes: &[u8], id: &str) -> bool {
    RecordHead::decode(first_line(bytes)).is_none_or(|head| head.id == id)
}

fn first_line(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == b'\n').next().unwrap_or_default()
}

struct Mover<'a> {
    settings: &'a Settings,
    spool: Spool,
    store: Store,
    trash: Trash,
    /// What `outbox/status.json` has of the host: asked only where it is written.
    host: &'a dyn Fn() -> HostFacts,
}

impl<'a> Mover<'a> {
    fn new(settings: &'a Settings, host: &'a dyn Fn() -> HostFacts) -> Mover<'a> {
        Mover {
            settings,
            host,
            spool: Spool::new(&settings.runtime_dir),
            store: Store::new(&settings.state_dir),
            trash: Trash::new(&settings.runtime_dir),
        }
    }

    /// Does work under the lock of movers, and waits for it.
    fn exclusively<T>(&self, work: impl FnOnce(&Self) -> T) -> io::Result<T> {
        let mut waited = Duration::ZERO;
        loop {
            if let Some(_lock) = lock(&self.spool, MOVING_LOCK)? {
                return Ok(work(self));
            }
            if waited >= LOCK_TIMEOUT {
                return Err(io::Error::new(
                    io::ErrorKind::ResourceBusy,
                    "another hookmux is moving records",
                ));
            }
            thread::sleep(POLL_INTERVAL / 20);
            waited += POLL_INTERVAL / 20;
        }
    }

    /// Tells whether there is something to move.
    fn has_work(&self) -> bool {
        // the event of an execution whose end isn't written waits for that
        !self.spool.done_ids().is_empty()
            || self.spool.event_ids().iter().any(|id| !self.spool.is_open(id))
    }

    fn move_all(&self) -> MoverResult {
        let mut done = MoverResult { lost: self.find_lost(), ..MoverResult::default() };
        let has_work = self.has_work();
        if !self.spool.done_ids().is_empty() {
            self.move_records(&mut done);
        }
        match moving::move_all(self.settings, &self.spool, self.host) {
            Ok(moved) => done.outbox = moved,
            Err(error) => done.stuck = done.stuck.or(Some(error)),
        }
        if has_work {
            self.spool.recount();
        }
        match &done.stuck {
            Some(_) => drop(self.spool.base().replace(STUCK_FILE, b"\n")),
            None if has_work || is_stuck(&self.spool) => {
                drop(self.spool.base().remove(STUCK_FILE));
            }
            None => {}
        }
        done
    }

    fn move_records(&self, done: &mut MoverResult) {
        // before the records that refer to them
        self.spool.texts().move_to(self.store.texts());
        let mut counters = Counters::load(self.store.base());
        done.uncounted = counters.as_ref().err().copied();
        loop {
            match self.move_batch(counters.as_mut().ok()) {
                Ok(0) => break,
                Ok(moved) => done.moved += moved,
                Err(error) => {
                    done.stuck = Some(error);
                    break;
                }
            }
        }
    }

    /// Ends the records of executions whose process is dead.
    fn find_lost(&self) -> usize {
        self.spool.remove_half_written();
        let mut lost = 0;
        for id in self.spool.running_ids() {
            let running = self.spool.running();
            let Ok(head) = store::read_head(running, &id) else { continue };
            if head.process.is_alive() {
                continue;
            }
            // the execution may have ended since the head was read; now nobody writes it any more
            let Ok(mut record) = store::read(running, &id) else { continue };
            let is_lost = record.head.state == RecordState::Running;
            let is_told = self.tell_of_lost(&record);
            // without room for either, both are tried again
            if self.spool.settle(&id, &mut record).is_ok() && is_lost {
                lost += 1;
                if !is_told {
                    self.count_dropped();
                }
            }
        }
        for id in spool::ids(self.spool.unkept()) {
            let read = store::read(self.spool.unkept(), &id);
            if read.as_ref().is_ok_and(|record| record.head.process.is_alive()) {
                continue;
            }
            match read {
                Ok(record) if !self.tell_of_lost(&record) => self.count_dropped(),
                // it may be readable later
                Err(error) if !matches!(error.kind(), NotFound | InvalidData) => continue,
                Ok(_) | Err(_) => {}
            }
            self.spool.end_unkept(&id);
        }
        lost
    }

    /// Writes the event of an execution whose process died before it had done so. Returns `false` where that isn't
    /// possible.
    fn tell_of_lost(&self, record: &Record) -> bool {
        let RecordHead { id, state, .. } = &record.head;
        let Some(event) = &record.body.owed_event else { return true };
        *state != RecordState::Running
            || self.spool.has_event(id)
            || self.spool.put_event(id, event.as_bytes()).is_ok()
    }

    fn count_dropped(&self) {
        self.spool.count(Dropped { events: 1, ..Dropped::default() });
    }

    /// Moves one batch: written in the new place, counted, and only then removed from the old one.
    fn move_batch(&self, mut counters: Option<&mut Counters>) -> io::Result<usize> {
        let mut ids = self.spool.done_ids();
        ids.truncate(MAX_BATCH_RECORDS);
        if ids.is_empty() {
            return Ok(0);
        }
        for id in &ids {
            let done = self.spool.done();
            let bytes = match done.read(id, store::MAX_RECORD_BYTES) {
                Ok(bytes) if is_of(&bytes, id) => bytes,
                // not ours, or a copy under another name
                Ok(_) => {
                    spool::put_aside(done, id)?;
                    continue;
                }
                // not ours
                Err(error) if is_not_a_record(&error) => {
                    spool::put_aside(done, id)?;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if self.store.group(id).entry_metadata(id).is_err() {
                self.store.put(id, &bytes)?;
            }
            let Some(counters) = &mut counters else { continue };
            if counters.batch.contains(id) {
                continue;
            }
            if let Some(head) = RecordHead::decode(first_line(&bytes)) {
                counters.add(&head);
            }
        }
        let moved = ids.len();
        if let Some(counters) = counters {
            counters.batch.clone_from(&ids);
            counters.save(self.store.base())?;
        }
        for id in &ids {
            self.spool.done().remove(id)?;
        }
        Ok(moved)
    }

    /// Removes old records, if it is time for that.
    fn prune_if_due(&self, sum: &mut MoverResult) -> io::Result<()> {
        if self.is_prune_due() {
            let (records, texts) = self.exclusively(Mover::prune)?;
            sum.pruned += records;
            sum.texts += texts;
        }
        Ok(())
    }

    fn is_prune_due(&self) -> bool {
        let last = self.store.base().entry_metadata(PRUNED_FILE).and_then(|file| file.modified());
        // a time in the future is from a wrong clock
        let is_recent = |time: SystemTime| time.elapsed().is_ok_and(|age| age < PRUNE_INTERVAL);
        !last.is_ok_and(is_recent)
    }

    /// Removes old records, and the texts of registrations that no record refers to. Returns how many of
    /// both.
    fn prune(&self) -> (usize, usize) {
        let _ = self.store.base().replace(PRUNED_FILE, b"\n");
        self.remove_half_written();
        self.spool.remove_odd();
        let (gone, texts) = self.to_be_removed();
        let gone = gone.iter().filter(|id| self.store.remove(id).is_ok());
        let gone: HashSet<&str> = gone.map(String::as_str).collect();
        let unused = self.unused_texts(&texts, &gone);
        let texts = self.store.texts();
        (gone.len(), unused.iter().filter(|sha256| texts.remove(sha256)).count())
    }

    /// Returns the records that are too old, and which records refer to which texts.
    fn to_be_removed(&self) -> (Vec<String>, UsedTexts) {
        let now = clock::unix_time();
        let mut texts = UsedTexts::default();
        let records: Vec<KeptRecord> =
            self.store.newest().filter_map(|id| self.look(id, now, &mut texts)).collect();
        (retention::to_be_removed(&records, &self.settings.retention), texts)
    }

    /// Tells whether the process of an execution is dead.
    fn is_lost(&self, id: &str) -> bool {
        store::read_head(self.spool.running(), id)
            .is_ok_and(|head| head.state == RecordState::Running && !head.process.is_alive())
    }

    /// Returns the texts that none of the remaining records refers to.
    fn unused_texts(&self, used: &UsedTexts, gone: &HashSet<&str>) -> Vec<String> {
        // what it refers to is known to the newer version that wrote it
        if used.unread.iter().any(|id| !gone.contains(id.as_str())) {
            return Vec::new();
        }
        let stored =
            used.users.iter().filter(|(_, ids)| ids.iter().any(|id| !gone.contains(&**id)));
        let mut kept: HashSet<&str> = stored.map(|(sha256, _)| sha256.as_str()).collect();
        // records of running calls refer to these, or will in a moment
        let fresh = self.spool.texts().all();
        kept.extend(fresh.iter().map(String::as_str));
        let new = self.spool.running_ids().into_iter().map(|id| (self.spool.running(), id));
        let new = new.chain(self.spool.done_ids().into_iter().map(|id| (self.spool.done(), id)));
        let heads: Vec<RecordHead> =
            new.filter_map(|(place, id)| store::read_head(place, &id).ok()).collect();
        kept.extend(heads.iter().flat_map(texts_of));
        let all = self.store.texts().all().into_iter();
        all.filter(|sha256| !kept.contains(sha256.as_str())).collect()
    }

    fn look(&self, id: String, now: Duration, texts: &mut UsedTexts) -> Option<KeptRecord> {
        let group = self.store.group(&id);
        let mut size = group.entry_metadata(&id).ok()?.len();
        let time = Duration::from_millis(ulid::unix_milliseconds(&id)?);
        let age = now.saturating_sub(time);
        let is_future = time > now + CLOCK_TOLERANCE;
        let head = store::read_head(&group, &id).ok();
        match &head {
            // the newest record with a text counts for its size, as it keeps it
            Some(head) => {
                let new = texts_of(head).filter(|sha256| texts.add(sha256, &id));
                size += new.map(|sha256| self.store.texts().size(sha256)).sum::<u64>();
            }
            None => texts.unread.push(id.clone()),
        }
        let hooks = match &head {
            Some(head) => head.hooks.iter().map(|hook| hook.hook.clone()).collect(),
            // for a record that can't be read, only age and size decide
            None => vec![id.clone()],
        };
        // in calls of the daemon the object has no meaning
        let object = head.as_ref().filter(|head| head.driver != Driver::Daemon.name());
        let object = object.map(|head| {
            format!("{} {}", head.driver, head.uuid.as_deref().unwrap_or(&head.object))
        });
        let is_failure = head.is_some_and(|head| {
            head.state == RecordState::Lost || head.outcome.is_failure() || head.status != Some(0)
        });
        Some(KeptRecord { id, hooks, object, is_failure, size, age, is_future })
    }

    /// Removes temporary files of movers that died.
    fn remove_half_written(&self) {
        let base = self.store.base();
        spool::remove_half_written(base);
        let groups = self.store.groups().into_iter().map(|group| base.child(group));
        groups.for_each(|group| spool::remove_half_written(&group));
        spool::remove_half_written(self.store.texts().directory());
    }
}

/// Which records refer to which texts of registrations.
#[derive(Default)]
struct UsedTexts {
    /// The ids of the records of each text.
    users: HashMap<String, Vec<String>>,
    /// The ids of records that can't be read.
    unread: Vec<String>,
}

impl UsedTexts {
    /// Notes that a record refers to a text. Tells whether it is the first one.
    fn add(&mut self, sha256: &str, id: &str) -> bool {
        let users = self.users.entry(sha256.to_owned()).or_default();
        users.push(id.to_owned());
        users.len() == 1
    }
}

/// Returns the hashes of the texts that a record refers to.
fn texts_of(head: &RecordHead) -> impl Iterator<Item = &str> {
    head.registrations.iter().flatten().map(|registration| registration.sha256.as_str())
}
