//! Detached hooks: work that begins after libvirt has its answer, so that it may call libvirt.
//!
//! Two files per job in the state directory, the first replaced by rename: it survives the death of
//! any process. A job runs at least once; those of one guest in their order.

pub(crate) mod item;
mod outcome;
mod read;
mod usage;
mod waiting;
mod watch;
pub(crate) mod worker;

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use serde::Serialize;

use crate::config::Settings;
use crate::config::settings::QueueLimits;
use crate::document::file::{self, Place};
use crate::machine::clock::BootClock;
use crate::machine::files;
use crate::process::{background, internal};
use crate::record::spool;
use crate::state::{Dir, DirPresence};
pub(crate) use item::Item;
pub use item::{Body, Head};
pub(crate) use read::Aside;
pub use read::Unread;
use usage::Counter;
pub(crate) use usage::Usage;

/// Where systemd keeps that the queue's path unit is enabled: then it starts the worker, in a
/// service of its own.
const PATH_UNIT: &str = "/etc/systemd/system/paths.target.wants/hookmux-queue.path";
/// The state directory that the path unit watches, and the hooks directory whose settings its
/// service follows.
const UNIT_STATE_DIR: &str = "/var/lib/hookmux";
const UNIT_HOOKS_DIR: &str = "/etc/libvirt/hooks";
/// The file that the path unit waits for. Not for the jobs themselves: those of a later version stay.
const WORK: &str = ".work";

/// How the names of a job's files end: its head and its body.
const HEAD: &str = ".json";
const BODY: &str = ".data";
/// How the name of a head ends that was put aside, or of a file that was never one.
const ASIDE: &str = ".broken";
/// Files of one name that are put aside; a further one replaces the first.
const MAX_SAME_NAMES: u32 = 1000;

fn head_name(id: &str) -> String {
    format!("{id}{HEAD}")
}

fn body_name(id: &str) -> String {
    format!("{id}{BODY}")
}

/// The jobs of one state directory.
#[derive(Clone, Debug)]
pub struct Queue {
    directory: Dir,
}

/// What lies in the queue's directory, by name.
#[derive(Debug, Default)]
pub struct Names {
    /// Jobs, by their ids in byte order.
    pub ids: Vec<String>,
    /// Files that end as jobs do, and have no job's name.
    pub odd: Vec<OsString>,
    /// What was put aside.
    pub aside: Vec<OsString>,
    bodies: Vec<String>,
}

impl Queue {
    pub fn new(state_dir: &Dir) -> Queue {
        Queue { directory: state_dir.child("queue") }
    }

    /// Where the jobs lie.
    pub fn directory(&self) -> &Dir {
        &self.directory
    }

    /// Takes a new job in.
    ///
    /// # Errors
    /// There is no room for it, or it could not be written.
    pub fn add(&self, item: &mut Item, limits: QueueLimits) -> io::Result<()> {
        self.directory.make()?;
        let body = serde_json::to_vec(&item.body)?;
        let head = &mut item.head;
        head.bytes = (body.len() + serde_json::to_vec(head)?.len()) as u64;
        let Some(mut counter) = Counter::take(&self.directory) else {
            // without the counter the job is one file: nobody takes half of it for a left-over
            admit(limits, self.count()?, head.bytes).map_err(|words| self.full(&words))?;
            return self.directory.replace(head_name(&head.id), &whole(&item.head, &item.body)?);
        };
        let usage = self.make_room(&mut counter, head.bytes, limits)?;
        let write = || {
            let body_path = self.directory.file(body_name(&head.id))?;
            files::create_private(&body_path)?.write_all(&body)?;
            self.directory.replace(head_name(&head.id), &serde_json::to_vec(head)?)
        };
        write().inspect_err(|_| drop(self.directory.remove(body_name(&head.id))))?;
        counter.set(Usage { jobs: usage.jobs + 1, bytes: usage.bytes.saturating_add(head.bytes) });
        counter.keep();
        Ok(())
    }

    /// What is in the queue, where there is room for so many bytes more.
    fn make_room(
        &self,
        counter: &mut Counter,
        bytes: u64,
        limits: QueueLimits,
    ) -> io::Result<Usage> {
        let count = || self.count();
        let usage = counter.usage(&count)?;
        let Err(words) = admit(limits, usage, bytes) else { return Ok(usage) };
        if counter.is_fresh() {
            return Err(self.full(&words));
        }
        // a death may have left the counter too high
        let usage = counter.count(&count)?;
        admit(limits, usage, bytes).map(|()| usage).map_err(|words| self.full(&words))
    }

    fn full(&self, words: &str) -> io::Error {
        io::Error::other(format!(
            "{words} in {}; `hookmux queue` shows what waits, `hookmux queue --flush HOOK` removes it",
            self.directory.unchecked_path().display()
        ))
    }

    /// Counts the jobs themselves.
    fn count(&self) -> io::Result<Usage> {
        let names = self.names()?;
        let ids: HashSet<&str> = names.ids.iter().map(String::as_str).collect();
        let size = |name: String| match self.directory.entry_metadata(name) {
            Ok(file) if file.is_file() && file.len() <= read::MAX_FILE_BYTES => file.len(),
            _ => 0,
        };
        let heads = names.ids.iter().map(|id| size(head_name(id)));
        let bodies = names.bodies.iter().filter(|id| ids.contains(id.as_str()));
        let bytes = heads.chain(bodies.map(|id| size(body_name(id)))).sum();
        Ok(Usage { jobs: names.ids.len() as u64, bytes })
    }

    /// What is in the queue.
    ///
    /// # Errors
    /// As [`Queue::ids`].
    pub fn usage(&self) -> io::Result<Usage> {
        self.count()
    }

    /// Writes a head that has changed. One that 0.1.0 wrote is parted from its body first.
    ///
    /// # Errors
    /// It could not be written, or its body could not be read.
    pub fn keep(&self, head: &mut Head) -> io::Result<()> {
        if head.has_body {
            let mut body = self.body(head).map_err(io::Error::other)?;
            body.format = item::FORMAT;
            self.directory.replace(body_name(&head.id), &serde_json::to_vec(&body)?)?;
            head.has_body = false;
        }
        head.format = item::FORMAT;
        self.directory.replace(head_name(&head.id), &serde_json::to_vec(head)?)
    }

    /// Forgets a job.
    ///
    /// # Errors
    /// Its head could not be removed.
    pub fn forget(&self, head: &Head) -> io::Result<()> {
        let counter = Counter::take(&self.directory);
        self.directory.remove(head_name(&head.id))?;
        // without its head it is a left-over, which the next worker removes
        let _ = self.directory.remove(body_name(&head.id));
        if let Some(mut counter) = counter {
            counter.subtract(1, head.bytes);
            counter.keep();
        }
        Ok(())
    }

    /// What lies there.
    ///
    /// # Errors
    /// The directory is there and can't be read.
    pub fn names(&self) -> io::Result<Names> {
        let mut names = Names::default();
        for name in self.directory.names()? {
            let stem = |end: &str| name.as_bytes().strip_suffix(end.as_bytes());
            let id = |stem: &[u8]| {
                std::str::from_utf8(stem).ok().filter(|word| item::is_id(word)).map(str::to_owned)
            };
            if let Some(stem) = stem(HEAD) {
                match id(stem) {
                    Some(id) => names.ids.push(id),
                    None => names.odd.push(name),
                }
            } else if let Some(stem) = stem(BODY) {
                names.bodies.extend(id(stem));
            } else if stem(ASIDE).is_some() {
                names.aside.push(name);
            }
        }
        names.ids.sort_unstable();
        names.aside.sort_unstable();
        Ok(names)
    }

    /// The jobs' ids, in byte order.
    ///
    /// # Errors
    /// The directory is there and can't be read.
    pub fn ids(&self) -> io::Result<Vec<String>> {
        Ok(self.names()?.ids)
    }

    /// The heads of all jobs that this version can run, in the order in which they may.
    ///
    /// # Errors
    /// As [`Queue::ids`].
    pub fn heads(&self) -> io::Result<Vec<Head>> {
        let clock = BootClock::here();
        let ids = self.ids()?;
        let mut heads: Vec<Head> = ids.iter().filter_map(|id| self.head(id).ok()).collect();
        heads.sort_by_cached_key(|head| head.order(&clock));
        Ok(heads)
    }

    /// Puts a file aside that can't be run, so that nobody is started for it again and again.
    ///
    /// # Errors
    /// As of `rename(2)`.
    pub fn put_aside(&self, name: &OsStr) -> io::Result<()> {
        let stem = name.as_bytes().strip_suffix(HEAD.as_bytes()).unwrap_or(name.as_bytes());
        let place = |number: u32| {
            let number = if number == 0 { String::new() } else { format!(".{number}") };
            OsString::from_vec([stem, number.as_bytes(), ASIDE.as_bytes()].concat())
        };
        let free = (0..MAX_SAME_NAMES).map(place).find(|name| !self.has(name));
        let counter = Counter::take(&self.directory);
        self.rename(name, &free.unwrap_or_else(|| place(0)))?;
        if let Some(mut counter) = counter {
            // what it held is seen by the next count
            counter.subtract(1, 0);
            counter.keep();
        }
        Ok(())
    }

    /// Takes a job in again that was put aside, as though it had been queued just now.
    ///
    /// # Errors
    /// It is no job, there is no room for it, or it could not be written.
    pub fn requeue(&self, aside: &Aside, limits: QueueLimits) -> io::Result<()> {
        let Ok(head) = &aside.job else {
            return Err(io::Error::other("it is no job; `hookmux queue --flush` removes it"));
        };
        let (mut head, from) = (head.clone(), &aside.name);
        let to = head_name(&head.id);
        if self.has(&to) {
            let path = self.directory.unchecked_path().join(to);
            return Err(io::Error::other(format!("{} is there already", path.display())));
        }
        if head.has_body {
            let mut body = self.body_in(from, &head).map_err(io::Error::other)?;
            body.format = item::FORMAT;
            self.directory.replace(body_name(&head.id), &serde_json::to_vec(&body)?)?;
            head.has_body = false;
        } else {
            self.body(&head).map_err(io::Error::other)?;
        }
        head.renew(&BootClock::here());
        head.format = item::FORMAT;
        let mut counter = Counter::take(&self.directory);
        if let Some(counter) = &mut counter {
            let usage = self.make_room(counter, head.bytes, limits)?;
            let bytes = usage.bytes.saturating_add(head.bytes);
            counter.set(Usage { jobs: usage.jobs + 1, bytes });
        }
        self.directory.replace(from, &serde_json::to_vec(&head)?)?;
        self.rename(from, to.as_ref())?;
        if let Some(counter) = counter {
            counter.keep();
        }
        Ok(())
    }

    /// Takes jobs in again that this version can run and never put aside: a worker of 0.1.0, which
    /// may outlive an update, does so with every job that has its body in a file of its own.
    fn bring_back(&self) {
        for aside in self.aside().unwrap_or_default() {
            let Ok(head) = &aside.job else { continue };
            if head.put_aside.is_none() && !head.has_body && !self.is_there(&head.id) {
                let _ = self.rename(&aside.name, head_name(&head.id).as_ref());
            }
        }
    }

    fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        fs::rename(self.directory.file(from)?, self.directory.file(to)?)
    }

    /// Removes what was put aside.
    ///
    /// # Errors
    /// As of `unlink(2)`.
    pub fn forget_aside(&self, aside: &Aside) -> io::Result<()> {
        self.remove_whatever(&aside.name)?;
        match read::id_aside(&aside.name) {
            Some(id) if !self.is_there(id) => self.remove_whatever(body_name(id).as_ref()),
            _ => Ok(()),
        }
    }

    /// Removes what has a name, whatever it is.
    fn remove_whatever(&self, name: &OsStr) -> io::Result<()> {
        if self.directory.entry_metadata(name).is_ok_and(|found| found.is_dir()) {
            return fs::remove_dir_all(self.directory.file(name)?);
        }
        self.directory.remove(name)
    }

    /// Removes what deaths have left, half-written files and bodies without a head, and counts the
    /// rest. Bodies stay where a call keeps the counter: it may be about to write the head.
    fn tidy(&self) {
        spool::remove_torn(&self.directory);
        let Some(mut counter) = Counter::take(&self.directory) else { return };
        if let Ok(names) = self.names() {
            let ids = names.ids.iter().map(String::as_str);
            let aside = names.aside.iter().filter_map(|name| read::id_aside(name));
            let wanted: HashSet<&str> = ids.chain(aside).collect();
            for id in names.bodies.iter().filter(|id| !wanted.contains(id.as_str())) {
                let _ = self.remove_whatever(body_name(id).as_ref());
            }
        }
        if counter.count(&|| self.count()).is_ok() {
            counter.keep();
        }
    }

    /// Whether there is any work that a worker could do.
    pub fn is_empty(&self) -> bool {
        self.names().map_or(true, |names| names.ids.is_empty() && names.odd.is_empty())
    }
}

/// Whether there is room for one more job of so many bytes; else the words that say why not.
fn admit(limits: QueueLimits, usage: Usage, bytes: u64) -> Result<(), String> {
    if usage.jobs >= limits.jobs {
        return Err(format!(
            "the queue is full: {} jobs are the most that `queue: {{jobs: {}}}` of hookmux.yaml lets in,",
            usage.jobs, limits.jobs
        ));
    }
    if usage.bytes.saturating_add(bytes) > limits.size {
        return Err(format!(
            "the queue is full: with this job of {bytes} bytes its {} bytes are more than `queue: {{size: {}}}` of hookmux.yaml lets in,",
            usage.bytes.saturating_add(bytes),
            limits.size
        ));
    }
    Ok(())
}

/// A job as one object.
fn whole(head: &Head, body: &Body) -> io::Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Whole<'a> {
        #[serde(flatten)]
        head: serde_json::Value,
        #[serde(flatten)]
        body: &'a Body,
    }
    let mut head = serde_json::to_value(head)?;
    if let Some(head) = head.as_object_mut() {
        // the body has it too
        head.remove("format");
    }
    Ok(serde_json::to_vec(&Whole { head, body })?)
}

/// Removes what deaths have left in the queue, and the documents of `started` of jobs that are over,
/// expired or were put aside while their worker was dead.
pub(crate) fn sweep(settings: &Settings) {
    let queue = Queue::new(&settings.state_dir);
    if matches!(queue.directory.judge(), Ok(DirPresence::Present)) {
        queue.tidy();
    }
    remove_started(settings, |id| !queue.is_there(id));
}

/// Removes the documents of `started` of the jobs that are meant.
fn remove_started(settings: &Settings, is_meant: impl Fn(&str) -> bool) {
    let runtime_dir = &settings.runtime_dir;
    for name in file::names(runtime_dir) {
        if name.strip_suffix(item::STARTED).is_some_and(&is_meant) {
            file::remove(&Place::named_by(runtime_dir, name));
        }
    }
}

/// Sees to it that somebody works on the queue: systemd's path unit, or a process of our own in a
/// session of its own, which holds none of libvirt's descriptors and waits until this call is over.
///
/// # Errors
/// The process could not be started; the jobs wait for the next call that has some, or the daemon's
/// next start.
pub(crate) fn start_worker(hooks_dir: &Path, state_dir: &Dir) -> io::Result<()> {
    let is_the_units = state_dir.unchecked_path() == Path::new(UNIT_STATE_DIR)
        && hooks_dir == Path::new(UNIT_HOOKS_DIR);
    if is_the_units && Path::new(PATH_UNIT).exists() {
        return Queue::new(state_dir).want_worker();
    }
    background::start(hooks_dir, internal::START_WORKER)
}

impl Queue {
    /// Makes the file that the path unit waits for.
    fn want_worker(&self) -> io::Result<()> {
        self.directory.make()?;
        usage::open_lock(&self.directory, WORK).map(drop)
    }

    /// Removes it.
    fn want_no_worker(&self) {
        let _ = self.directory.remove(WORK);
    }
}
