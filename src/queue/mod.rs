//! The queue of detached hooks: they run after libvirt has its answer, so they may call libvirt.
//!
//! Each job has two files in the state directory, and the first is replaced by rename: so a job survives
//! the death of any process. A job runs at least once; the jobs of one guest run in their order.

mod caller;
pub(crate) mod item;
mod outcome;
mod read;
mod schedule;
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

use nix::sys::prctl::get_no_new_privs;
use serde::Serialize;

use crate::config::Settings;
use crate::config::settings::QueueLimits;
use crate::document::file::{self, DocumentPlace};
use crate::machine::clock::BootClock;
use crate::machine::files;
use crate::process::{background, internal};
use crate::record::spool;
use crate::state::{Dir, DirPresence};
pub(crate) use item::Item;
pub use item::{ItemBody, ItemHead};
pub(crate) use read::AsideFile;
pub use read::JobReadError;
use usage::Counter;
pub(crate) use usage::QueueUsage;

/// The link that exists while the queue's path unit is enabled: then systemd starts the worker, in a
/// service of its own.
const PATH_UNIT: &str = "/etc/systemd/system/paths.target.wants/hookmux-queue.path";
/// The state directory that the path unit watches, and the hooks directory for the settings of its
/// service.
const UNIT_STATE_DIR: &str = "/var/lib/hookmux";
const UNIT_HOOKS_DIR: &str = "/etc/libvirt/hooks";
/// The file that the path unit waits for. It doesn't wait for jobs: those of a later version stay.
const WORK_FILE: &str = ".work";

/// The suffixes of a job's files: its head and its body.
const HEAD_SUFFIX: &str = ".json";
const BODY_SUFFIX: &str = ".data";
/// The suffix of a file that was put aside.
const ASIDE_SUFFIX: &str = ".broken";
/// The limit of files with one name that are put aside; a further one replaces the first.
const MAX_SAME_NAMES: u32 = 1000;

fn head_name(id: &str) -> String {
    format!("{id}{HEAD_SUFFIX}")
}

fn body_name(id: &str) -> String {
    format!("{id}{BODY_SUFFIX}")
}

/// The jobs of one state directory.
#[derive(Clone, Debug)]
pub struct Queue {
    directory: Dir,
}

/// The names in the queue's directory.
#[derive(Debug, Default)]
pub struct Names {
    /// The ids of jobs, sorted.
    pub ids: Vec<String>,
    /// Files with the suffix of a head, but not with the name of a job.
    pub not_jobs: Vec<OsString>,
    /// Files that were put aside.
    pub aside: Vec<OsString>,
    bodies: Vec<String>,
}

impl Queue {
    pub fn new(state_dir: &Dir) -> Queue {
        Queue { directory: state_dir.child("queue") }
    }

    /// Returns the directory of the jobs.
    pub fn directory(&self) -> &Dir {
        &self.directory
    }

    /// Adds a new job.
    ///
    /// # Errors
    /// There is no room for it, or it could not be written.
    pub fn add(&self, item: &mut Item, limits: QueueLimits) -> io::Result<()> {
        self.directory.make()?;
        let body = serde_json::to_vec(&item.body)?;
        let head = &mut item.head;
        head.bytes = (body.len() + serde_json::to_vec(head)?.len()) as u64;
        let Some(mut counter) = Counter::take(&self.directory) else {
            // without the counter the job is one file, so that nobody takes half of it for a leftover
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
        counter.set(QueueUsage {
            jobs: usage.jobs + 1,
            bytes: usage.bytes.saturating_add(head.bytes),
        });
        counter.keep();
        Ok(())
    }

    /// Returns the size of the queue, if there is room for so many bytes more.
    fn make_room(
        &self,
        counter: &mut Counter,
        bytes: u64,
        limits: QueueLimits,
    ) -> io::Result<QueueUsage> {
        let count = || self.count();
        let usage = counter.usage(&count)?;
        let Err(words) = admit(limits, usage, bytes) else { return Ok(usage) };
        if counter.is_fresh() {
            return Err(self.full(&words));
        }
        // the counter may be too high, if a process died
        let usage = counter.count(&count)?;
        admit(limits, usage, bytes).map(|()| usage).map_err(|words| self.full(&words))
    }

    fn full(&self, words: &str) -> io::Error {
        io::Error::other(format!(
            "{words} in {}; `hookmux queue` shows what waits, `hookmux queue --flush HOOK` removes it",
            self.directory.unchecked_path().display()
        ))
    }

    /// Counts the files of the jobs.
    fn count(&self) -> io::Result<QueueUsage> {
        let names = self.names()?;
        let ids: HashSet<&str> = names.ids.iter().map(String::as_str).collect();
        let size = |name: String| match self.directory.entry_metadata(name) {
            Ok(file) if file.is_file() && file.len() <= read::MAX_FILE_BYTES => file.len(),
            _ => 0,
        };
        let heads = names.ids.iter().map(|id| size(head_name(id)));
        let bodies = names.bodies.iter().filter(|id| ids.contains(id.as_str()));
        let bytes = heads.chain(bodies.map(|id| size(body_name(id)))).sum();
        Ok(QueueUsage { jobs: names.ids.len() as u64, bytes })
    }

    /// Returns the size of the queue.
    ///
    /// # Errors
    /// As [`Queue::ids`].
    pub fn usage(&self) -> io::Result<QueueUsage> {
        self.count()
    }

    /// Writes a changed head. A job of 0.1.0, which has both in one file, is split first.
    ///
    /// # Errors
    /// It could not be written, or its body could not be read.
    pub fn keep(&self, head: &mut ItemHead) -> io::Result<()> {
        if head.has_body {
            let mut body = self.body(head).map_err(io::Error::other)?;
            body.format = item::FORMAT;
            self.directory.replace(body_name(&head.id), &serde_json::to_vec(&body)?)?;
            head.has_body = false;
        }
        head.format = item::FORMAT;
        self.directory.replace(head_name(&head.id), &serde_json::to_vec(head)?)
    }

    /// Removes a job.
    ///
    /// # Errors
    /// Its head could not be removed.
    pub fn forget(&self, head: &ItemHead) -> io::Result<()> {
        let counter = Counter::take(&self.directory);
        self.directory.remove(head_name(&head.id))?;
        // without the head the body is a leftover, which the next worker removes
        let _ = self.directory.remove(body_name(&head.id));
        if let Some(mut counter) = counter {
            counter.subtract(1, head.bytes);
            counter.keep();
        }
        Ok(())
    }

    /// Reads the names in the directory.
    ///
    /// # Errors
    /// The directory exists but can't be read.
    pub fn names(&self) -> io::Result<Names> {
        let mut names = Names::default();
        for name in self.directory.names()? {
            let stem = |end: &str| name.as_bytes().strip_suffix(end.as_bytes());
            let id = |stem: &[u8]| {
                std::str::from_utf8(stem).ok().filter(|word| item::is_id(word)).map(str::to_owned)
            };
            if let Some(stem) = stem(HEAD_SUFFIX) {
                match id(stem) {
                    Some(id) => names.ids.push(id),
                    None => names.not_jobs.push(name),
                }
            } else if let Some(stem) = stem(BODY_SUFFIX) {
                names.bodies.extend(id(stem));
            } else if stem(ASIDE_SUFFIX).is_some() {
                names.aside.push(name);
            }
        }
        names.ids.sort_unstable();
        names.aside.sort_unstable();
        Ok(names)
    }

    /// Returns the ids of the jobs, sorted.
    ///
    /// # Errors
    /// The directory exists but can't be read.
    pub fn ids(&self) -> io::Result<Vec<String>> {
        Ok(self.names()?.ids)
    }

    /// Returns the heads of all jobs that this version can run, in their order.
    ///
    /// # Errors
    /// As [`Queue::ids`].
    pub fn heads(&self) -> io::Result<Vec<ItemHead>> {
        let clock = BootClock::here();
        let ids = self.ids()?;
        let mut heads: Vec<ItemHead> = ids.iter().filter_map(|id| self.head(id).ok()).collect();
        heads.sort_by_cached_key(|head| head.order(&clock));
        Ok(heads)
    }

    /// Puts a file aside that can't be run, so that no worker is started for it again and again.
    ///
    /// # Errors
    /// As of `rename(2)`.
    pub fn put_aside(&self, name: &OsStr) -> io::Result<()> {
        let stem = name.as_bytes().strip_suffix(HEAD_SUFFIX.as_bytes()).unwrap_or(name.as_bytes());
        let place = |number: u32| {
            let number = if number == 0 { String::new() } else { format!(".{number}") };
            OsString::from_vec([stem, number.as_bytes(), ASIDE_SUFFIX.as_bytes()].concat())
        };
        let free = (0..MAX_SAME_NAMES).map(place).find(|name| !self.has(name));
        let counter = Counter::take(&self.directory);
        self.rename(name, &free.unwrap_or_else(|| place(0)))?;
        if let Some(mut counter) = counter {
            // its size is corrected by the next count
            counter.subtract(1, 0);
            counter.keep();
        }
        Ok(())
    }

    /// Puts a job into the queue again that was put aside, as if it were new.
    ///
    /// # Errors
    /// It is not a job, there is no room for it, or it could not be written.
    pub fn requeue(&self, aside: &AsideFile, limits: QueueLimits) -> io::Result<()> {
        let Ok(head) = &aside.job else {
            return Err(io::Error::other("it is not a job; `hookmux queue --flush` removes it"));
        };
        let (mut head, from) = (head.clone(), &aside.name);
        let to = head_name(&head.id);
        if self.has(&to) {
            let path = self.directory.unchecked_path().join(to);
            return Err(io::Error::other(format!("{} exists already", path.display())));
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
            counter.set(QueueUsage { jobs: usage.jobs + 1, bytes });
        }
        self.directory.replace(from, &serde_json::to_vec(&head)?)?;
        self.rename(from, to.as_ref())?;
        if let Some(counter) = counter {
            counter.keep();
        }
        Ok(())
    }

    /// Puts jobs into the queue again that this version can run and did not put aside. A worker of 0.1.0,
    /// which may still run after an update, puts every job aside that has its body in a file of its own.
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

    /// Removes a file that was put aside.
    ///
    /// # Errors
    /// As of `unlink(2)`.
    pub fn forget_aside(&self, aside: &AsideFile) -> io::Result<()> {
        self.remove_anything(&aside.name)?;
        match read::id_aside(&aside.name) {
            Some(id) if !self.is_there(id) => self.remove_anything(body_name(id).as_ref()),
            _ => Ok(()),
        }
    }

    /// Removes a file or directory.
    fn remove_anything(&self, name: &OsStr) -> io::Result<()> {
        if self.directory.entry_metadata(name).is_ok_and(|found| found.is_dir()) {
            return fs::remove_dir_all(self.directory.file(name)?);
        }
        self.directory.remove(name)
    }

    /// Removes leftovers of dead processes: half-written files, and bodies without a head. Counts the rest.
    /// While a call has the counter's lock, bodies stay: it may be about to write the head.
    fn remove_leftovers(&self) {
        spool::remove_half_written(&self.directory);
        let Some(mut counter) = Counter::take(&self.directory) else { return };
        if let Ok(names) = self.names() {
            let ids = names.ids.iter().map(String::as_str);
            let aside = names.aside.iter().filter_map(|name| read::id_aside(name));
            let wanted: HashSet<&str> = ids.chain(aside).collect();
            for id in names.bodies.iter().filter(|id| !wanted.contains(id.as_str())) {
                let _ = self.remove_anything(body_name(id).as_ref());
            }
        }
        if counter.count(&|| self.count()).is_ok() {
            counter.keep();
        }
    }

    /// Tells whether there is nothing to do for a worker.
    pub fn is_empty(&self) -> bool {
        self.names().map_or(true, |names| names.ids.is_empty() && names.not_jobs.is_empty())
    }
}

/// Checks that there is room for one more job of so many bytes.
///
/// # Errors
/// The message about the limit.
fn admit(limits: QueueLimits, usage: QueueUsage, bytes: u64) -> Result<(), String> {
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

/// Returns a job as one object, as 0.1.0 wrote it.
fn whole(head: &ItemHead, body: &ItemBody) -> io::Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Whole<'a> {
        #[serde(flatten)]
        head: serde_json::Value,
        #[serde(flatten)]
        body: &'a ItemBody,
    }
    let mut head = serde_json::to_value(head)?;
    if let Some(head) = head.as_object_mut() {
        // the body has it too
        head.remove("format");
    }
    Ok(serde_json::to_vec(&Whole { head, body })?)
}

/// Removes leftovers of dead processes from the queue, and the documents of `started` of jobs that are not
/// in the queue any more.
pub(crate) fn sweep(settings: &Settings) {
    let queue = Queue::new(&settings.state_dir);
    if matches!(queue.directory.judge(), Ok(DirPresence::Present)) {
        queue.remove_leftovers();
    }
    remove_started(settings, |id| !queue.is_there(id));
}

/// Removes the documents of `started` of matching jobs.
fn remove_started(settings: &Settings, is_meant: impl Fn(&str) -> bool) {
    let runtime_dir = &settings.runtime_dir;
    for name in file::names(runtime_dir) {
        if name.strip_suffix(item::STARTED_SUFFIX).is_some_and(&is_meant) {
            file::remove(&DocumentPlace::named_by(runtime_dir, name));
        }
    }
}

/// Starts a worker: by systemd's path unit, or as a process in a session of its own, which has none of
/// libvirt's descriptors and waits until this call is over.
///
/// # Errors
/// The process could not be started. The jobs wait for the next call that queues one, or for the next
/// start of the daemon.
pub(crate) fn start_worker(hooks_dir: &Path, state_dir: &Dir) -> io::Result<()> {
    match is_the_units(hooks_dir, state_dir) {
        true => Queue::new(state_dir).request_worker(),
        false => background::start(hooks_dir, internal::START_WORKER),
    }
}

/// Lets a worker be started for jobs that wait, by a process that must run no hook itself: in a sandbox such as that of
/// `hookmux-prune.service`, hooks would be shut in too. There only systemd's path unit starts one.
///
/// # Errors
/// As `start_worker`.
pub(crate) fn start_worker_outside(hooks_dir: &Path, state_dir: &Dir) -> io::Result<()> {
    // each sandbox of systemd's that restricts more than files has it; where it can't be asked for, there is none
    let is_shut_in = get_no_new_privs().unwrap_or(false);
    match is_shut_in && !is_the_units(hooks_dir, state_dir) {
        true => Ok(()),
        false => start_worker(hooks_dir, state_dir),
    }
}

/// Tells whether systemd's path unit starts the worker.
fn is_the_units(hooks_dir: &Path, state_dir: &Dir) -> bool {
    state_dir.unchecked_path() == Path::new(UNIT_STATE_DIR)
        && hooks_dir == Path::new(UNIT_HOOKS_DIR)
        && Path::new(PATH_UNIT).exists()
}

impl Queue {
    /// Creates the file that the path unit waits for.
    fn request_worker(&self) -> io::Result<()> {
        self.directory.make()?;
        usage::open_lock(&self.directory, WORK_FILE).map(drop)
    }

    /// Removes the file that the path unit waits for.
    fn withdraw_request(&self) {
        let _ = self.directory.remove(WORK_FILE);
    }
}
