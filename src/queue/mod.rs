//! Detached hooks: work that begins after libvirt has its answer, so that it may call libvirt.
//!
//! One file per job in the state directory, replaced by rename: it survives the death of any
//! process. A job runs at least once; those of one guest in their order.

pub mod item;
pub mod worker;

use std::fs;
use std::io;
use std::path::Path;

pub use item::Item;

use crate::run::background;
use crate::state::Dir;

/// Where systemd keeps that the queue's path unit is enabled: then it starts the worker, in a
/// service of its own.
const PATH_UNIT: &str = "/etc/systemd/system/paths.target.wants/hookmux-queue.path";
/// The state directory that the path unit watches, and the hooks directory whose settings its
/// service follows.
const UNIT_STATE_DIR: &str = "/var/lib/hookmux";
const UNIT_HOOKS_DIR: &str = "/etc/libvirt/hooks";

/// What is read of a job at most, in bytes: two documents in base 64, and all else.
const MAX_JOB_BYTES: u64 = 64 << 20;

fn file_name(id: &str) -> String {
    format!("{id}.json")
}

/// The jobs of one state directory.
#[derive(Clone, Debug)]
pub struct Queue {
    directory: Dir,
}

impl Queue {
    pub fn new(state_dir: &Dir) -> Queue {
        Queue { directory: state_dir.child("queue") }
    }

    /// Where jobs lie.
    pub fn directory(&self) -> &Dir {
        &self.directory
    }

    /// Keeps a job, new or changed.
    ///
    /// # Errors
    /// It could not be written.
    pub fn keep(&self, item: &Item) -> io::Result<()> {
        self.directory.make()?;
        self.directory.replace(file_name(&item.id), &serde_json::to_vec(item)?)
    }

    /// Forgets a job.
    ///
    /// # Errors
    /// Its file could not be removed.
    pub fn forget(&self, id: &str) -> io::Result<()> {
        self.directory.remove(file_name(id))
    }

    /// The jobs' ids, the oldest first.
    ///
    /// # Errors
    /// The directory is there and can't be read.
    pub fn ids(&self) -> io::Result<Vec<String>> {
        let names = self.directory.names()?;
        let mut ids: Vec<String> = names
            .iter()
            .filter_map(|name| Some(name.to_str()?.strip_suffix(".json")?.to_owned()))
            .collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// A job.
    ///
    /// # Errors
    /// The kernel's where it can't be read, or is gone by now; others where it is no job at all.
    pub fn get(&self, id: &str) -> io::Result<Item> {
        Ok(serde_json::from_slice(&self.directory.read(file_name(id), MAX_JOB_BYTES)?)?)
    }

    /// Puts a file aside that is no job, so that nobody is started for it again and again.
    pub fn put_aside(&self, id: &str) {
        let rename = || -> io::Result<()> {
            let aside = self.directory.file(format!("{id}.broken"))?;
            fs::rename(self.directory.file(file_name(id))?, aside)
        };
        // where it can't be, the next worker tries again
        let _ = rename();
    }

    /// All jobs, the oldest first.
    ///
    /// # Errors
    /// As [`Queue::ids`].
    pub fn items(&self) -> io::Result<Vec<Item>> {
        Ok(self.ids()?.iter().filter_map(|id| self.get(id).ok()).collect())
    }

    /// Whether there is any work that a worker could do.
    pub fn is_empty(&self) -> bool {
        self.ids().map_or(true, |ids| ids.is_empty())
    }
}

/// Sees to it that somebody works on the queue: systemd's path unit, or a process of our own in a
/// session of its own, which holds none of libvirt's descriptors and waits until this call is over.
///
/// # Errors
/// The process could not be started; the jobs wait for the next call that has some, or the daemon's
/// next start.
pub fn start_worker(hooks_dir: &Path, state_dir: &Dir) -> io::Result<()> {
    let is_the_units =
        state_dir.named() == Path::new(UNIT_STATE_DIR) && hooks_dir == Path::new(UNIT_HOOKS_DIR);
    if is_the_units && Path::new(PATH_UNIT).exists() {
        return Ok(());
    }
    background::start(hooks_dir, &[c"worker"])
}
