//! Takes records from the runtime directory to the state directory, and away when their time is
//! over: in a process that libvirt doesn't wait for. The state directory's disk may be slow, full
//! or gone; then they stay where they are, as long as there is room.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use super::counters::Counters;
use super::form::{Head, State};
use super::recorder::Place;
use super::retention::{self, Kept};
use super::spool::{self, Spool};
use super::store::{self, Store};
use crate::config::Settings;
use crate::libvirt::Driver;
use crate::machine::locks::{self, FileLock};
use crate::machine::{clock, ulid};
use crate::process::{background, internal};
use crate::state::format::NewerFormat;
use crate::state::trash::{Trash, TrashLimits};
use crate::state::{Dir, DirPresence};

/// Where systemd keeps that the path unit for records is enabled: then it starts the mover.
const PATH_UNIT: &str = "/etc/systemd/system/paths.target.wants/hookmux-prune.path";
/// What the path unit watches, and whose settings its service follows.
const UNIT_RUNTIME_DIR: &str = "/run/hookmux";
const UNIT_HOOKS_DIR: &str = "/etc/libvirt/hooks";

/// When so many wait, nobody is taken to look after them.
const UNITS_BATCH: u64 = 100;

/// Records that are moved between two looks at the counters.
const BATCH: usize = 256;
/// How long a mover that lingers waits for more, and how often it then finds nothing before it ends.
const PAUSE: Duration = Duration::from_secs(1);
const IDLE_ROUNDS: u32 = 3;
/// How long one who moves is waited for: the disk may be slow.
const PATIENCE: Duration = Duration::from_secs(60);
/// A mover that lingers looks this often for records whose time is over.
const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// What is later than now by more than this is from a clock that was wrong.
const CLOCKS_DIFFER: Duration = Duration::from_secs(3600);
/// After a mover could do nothing, no call starts another one for this long.
const STUCK_FOR: Duration = Duration::from_secs(30);

/// Held by a mover that lingers, for as long as it does.
const MOVER: &str = ".mover";
/// Held by whoever moves, while it does.
const MOVING: &str = ".moving";
const STUCK: &str = ".stuck";
const PRUNED: &str = ".pruned";

/// What has been done.
#[derive(Debug, Default)]
pub(crate) struct Tidied {
    pub moved: usize,
    pub lost: usize,
    pub pruned: usize,
    /// Files and directories that hooks left, and that were removed.
    pub swept: usize,
    /// Whether more of them are there.
    pub is_trash_left: bool,
    /// Why some stay in the runtime directory.
    pub stuck: Option<io::Error>,
    /// The counters are a newer version's, which were left as they are: nothing was counted.
    pub uncounted: Option<NewerFormat>,
}

/// What a mover removes at once of what hooks left, while who wants to move waits; and how often it
/// does so: what makes new files all the time must not keep it there.
const ROUND: TrashLimits = TrashLimits { max_entries: 20_000, max_time: Duration::from_secs(1) };
const MAX_ROUNDS: u32 = 60;
/// The same for one who moves once.
const LONG_ROUND: TrashLimits =
    TrashLimits { max_entries: 500_000, max_time: Duration::from_secs(20) };

/// Whether the last mover could do nothing.
pub(crate) fn is_stuck(spool: &Spool) -> bool {
    spool.base().entry_metadata(STUCK).is_ok()
}

/// Starts a mover for what a call has left, unless one is there, or systemd sees to it.
pub(crate) fn start_if_needed(hooks_dir: &Path, place: &Place) {
    let spool = &place.spool;
    let is_recent = |time: SystemTime| time.elapsed().is_ok_and(|age| age < STUCK_FOR);
    let stuck = spool.base().entry_metadata(STUCK).and_then(|file| file.modified());
    if stuck.is_ok_and(is_recent) {
        return;
    }
    // a unit that is enabled may not have been started, or have failed
    if is_the_units(hooks_dir, spool) && spool.count_since_move() < UNITS_BATCH {
        return;
    }
    start_one(hooks_dir, spool);
}

fn start_one(hooks_dir: &Path, spool: &Spool) {
    if let Ok(Some(lock)) = lock(spool, MOVER) {
        drop(lock);
        // what isn't moved now is moved after the next call
        let _ = background::start(hooks_dir, internal::START_MOVER);
    }
}

/// The same where a host has just been started: what the last boot left is looked at. Also where
/// hooks have left files, which the unit for records doesn't wait for.
pub(crate) fn start(hooks_dir: &Path, settings: &Settings) {
    let spool = Spool::new(&settings.runtime_dir);
    if !Trash::new(&settings.runtime_dir).is_empty() {
        let _ = spool.make();
        start_one(hooks_dir, &spool);
    } else if matches!(spool.base().judge(), Ok(DirPresence::Present)) {
        let place = Place { spool, state_dir: settings.state_dir.clone() };
        start_if_needed(hooks_dir, &place);
    }
}

fn is_the_units(hooks_dir: &Path, spool: &Spool) -> bool {
    spool.base().unchecked_path().parent() == Some(Path::new(UNIT_RUNTIME_DIR))
        && hooks_dir == Path::new(UNIT_HOOKS_DIR)
        && Path::new(PATH_UNIT).exists()
}

/// One of the two locks; `None` where somebody has it.
fn lock(spool: &Spool, name: &str) -> io::Result<Option<FileLock>> {
    locks::try_lock(spool.base().append(name)?)
}

/// Takes the place of a mover that lingers: calls start none meanwhile. `None` where somebody has it.
///
/// # Errors
/// The runtime directory can't be used.
pub(crate) fn hold(runtime_dir: &Dir) -> io::Result<Option<FileLock>> {
    let spool = Spool::new(runtime_dir);
    spool.make()?;
    lock(&spool, MOVER)
}

/// Moves, and waits for more until it has been quiet for a while; prunes now and then.
///
/// # Errors
/// The runtime directory can't be used.
pub(crate) fn linger(settings: &Settings) -> io::Result<Tidied> {
    let mover = Mover::new(settings);
    let mut sum = Tidied::default();
    let mut rounds = 0;
    loop {
        let Some(lock) = lock(&mover.spool, MOVER)? else { return Ok(sum) };
        let mut idle = 0;
        while idle < IDLE_ROUNDS {
            let mut swept = 0;
            if rounds < MAX_ROUNDS {
                let emptied = mover.exclusively(|mover| mover.trash.empty(ROUND))?;
                sum.swept += emptied.removed;
                rounds += u32::from(emptied.removed > 0);
                swept = emptied.removed;
            }
            let done = mover.exclusively(Mover::move_all)?;
            idle = if done.moved + done.lost + swept == 0 { idle + 1 } else { 0 };
            sum.moved += done.moved;
            sum.lost += done.lost;
            sum.uncounted = done.uncounted.or(sum.uncounted);
            if done.stuck.is_some() {
                sum.stuck = done.stuck;
                // whoever starts movers for what is there would start the next one at once
                thread::sleep(STUCK_FOR);
                return Ok(sum);
            }
            thread::sleep(PAUSE);
        }
        if mover.is_prune_due() {
            sum.pruned += mover.exclusively(Mover::prune)?;
        }
        drop(lock);
        // a call that came while the lock was held has started nobody
        if mover.spool.done_ids().is_empty() {
            return Ok(sum);
        }
    }
}

/// Moves and prunes once.
///
/// # Errors
/// The runtime directory can't be used.
pub(crate) fn tidy(settings: &Settings) -> io::Result<Tidied> {
    let mover = Mover::new(settings);
    mover.spool.make()?;
    mover.exclusively(|mover| {
        let mut done = mover.move_all();
        done.pruned = mover.prune();
        let emptied = mover.trash.empty(LONG_ROUND);
        (done.swept, done.is_trash_left) = (emptied.removed, emptied.is_left);
        // where there was nothing to move
        done.stuck = done.stuck.or_else(|| mover.store.base().judge().err());
        done
    })
}

/// Whether what lies in a record's place isn't one, whoever looks.
fn is_odd(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData || error.raw_os_error() == Some(libc::EISDIR)
}

/// Puts something aside, so that it holds nobody up.
fn put_aside(done: &Dir, id: &str) -> io::Result<()> {
    fs::rename(done.file(id)?, done.file(format!("{id}.odd"))?)
}

/// Whether bytes may be the record of this id: one of a newer version can't be asked.
fn is_of(bytes: &[u8], id: &str) -> bool {
    Head::decode(first_line(bytes)).is_none_or(|head| head.id == id)
}

fn first_line(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == b'\n').next().unwrap_or_default()
}

struct Mover<'a> {
    settings: &'a Settings,
    spool: Spool,
    store: Store,
    trash: Trash,
}

impl Mover<'_> {
    fn new(settings: &Settings) -> Mover<'_> {
        Mover {
            settings,
            spool: Spool::new(&settings.runtime_dir),
            store: Store::new(&settings.state_dir),
            trash: Trash::new(&settings.runtime_dir),
        }
    }

    /// Does something that only one may do at a time; who is at it is waited for.
    fn exclusively<T>(&self, work: impl FnOnce(&Self) -> T) -> io::Result<T> {
        let mut waited = Duration::ZERO;
        loop {
            if let Some(_lock) = lock(&self.spool, MOVING)? {
                return Ok(work(self));
            }
            if waited >= PATIENCE {
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, "somebody is at it"));
            }
            thread::sleep(PAUSE / 20);
            waited += PAUSE / 20;
        }
    }

    fn move_all(&self) -> Tidied {
        let mut done = Tidied { lost: self.find_lost(), ..Tidied::default() };
        if self.spool.done_ids().is_empty() {
            if is_stuck(&self.spool) {
                let _ = self.spool.base().remove(STUCK);
            }
            return done;
        }
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
        self.spool.recount();
        match &done.stuck {
            None => drop(self.spool.base().remove(STUCK)),
            Some(_) => drop(self.spool.base().replace(STUCK, b"\n")),
        }
        done
    }

    /// Executions whose process is gone are over, whatever became of them.
    fn find_lost(&self) -> usize {
        self.spool.remove_torn();
        let mut lost = 0;
        for id in self.spool.running_ids() {
            let running = self.spool.running();
            let Ok(head) = store::read_head(running, &id) else { continue };
            if head.process.is_alive() {
                continue;
            }
            // it may have come to its end between the two looks; now nobody writes any more
            let Ok(mut record) = store::read(running, &id) else { continue };
            let is_lost = record.head.state == State::Running;
            if self.spool.settle(&id, &mut record).is_ok() && is_lost {
                lost += 1;
            }
        }
        lost
    }

    /// One batch: kept in the new place, counted, and only then removed from the old one.
    fn move_batch(&self, mut counters: Option<&mut Counters>) -> io::Result<usize> {
        let mut ids = self.spool.done_ids();
        ids.truncate(BATCH);
        if ids.is_empty() {
            return Ok(0);
        }
        for id in &ids {
            let done = self.spool.done();
            let bytes = match done.read(id, store::MAX_RECORD_BYTES) {
                Ok(bytes) if is_of(&bytes, id) => bytes,
                // nothing of ours, or a copy under another name
                Ok(_) => {
                    put_aside(done, id)?;
                    continue;
                }
                // nothing of ours: it is put aside, and holds nobody up
                Err(error) if is_odd(&error) => {
                    put_aside(done, id)?;
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
            if let Some(head) = Head::decode(first_line(&bytes)) {
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

    fn is_prune_due(&self) -> bool {
        let last = self.store.base().entry_metadata(PRUNED).and_then(|file| file.modified());
        // one in the future was noted by a clock that was wrong
        let is_recent = |time: SystemTime| time.elapsed().is_ok_and(|age| age < PRUNE_EVERY);
        !last.is_ok_and(is_recent)
    }

    /// Removes records whose time is over; returns how many.
    fn prune(&self) -> usize {
        let _ = self.store.base().replace(PRUNED, b"\n");
        self.remove_torn();
        let now = clock::unix_time();
        let records: Vec<Kept> = self.store.newest().filter_map(|id| self.look(id, now)).collect();
        let gone = retention::superfluous(&records, &self.settings.retention);
        gone.iter().filter(|id| self.store.remove(id).is_ok()).count()
    }

    fn look(&self, id: String, now: Duration) -> Option<Kept> {
        let group = self.store.group(&id);
        let size = group.entry_metadata(&id).ok()?.len();
        let time = Duration::from_millis(ulid::unix_milliseconds(&id)?);
        let age = now.saturating_sub(time);
        let is_future = time > now + CLOCKS_DIFFER;
        let head = store::read_head(&group, &id).ok();
        let hooks = match &head {
            Some(head) => head.hooks.iter().map(|hook| hook.hook.clone()).collect(),
            // what can't be read, a newer version's, is let go by age and size alone
            None => vec![id.clone()],
        };
        // of the daemon's calls the object says nothing
        let object = head.as_ref().filter(|head| head.driver != Driver::Daemon.name());
        let object = object.map(|head| {
            format!("{} {}", head.driver, head.uuid.as_deref().unwrap_or(&head.object))
        });
        let is_failure = head.is_some_and(|head| {
            head.state == State::Lost || head.outcome.is_failure() || head.status != Some(0)
        });
        Some(Kept { id, hooks, object, is_failure, size, age, is_future })
    }

    /// Files that a mover left when it died half-way.
    fn remove_torn(&self) {
        let base = self.store.base();
        spool::remove_torn(base);
        let groups = self.store.groups().into_iter().map(|group| base.child(group));
        groups.for_each(|group| spool::remove_torn(&group));
    }
}
