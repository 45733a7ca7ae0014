//! What the cache promises. Most calls here are made as though ten seconds had passed, so that
//! everything counts as settled; edits then wait for the clock's next tick.

mod damage;
mod races;
mod random;
mod warm;

use std::cell::RefCell;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;
use crate::config::{Registration, Surroundings};
use crate::registry::Broken;
use crate::state::Dir;

thread_local! {
    static READ: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
}

/// The sources that this thread has read.
pub(super) fn note_read(path: &Path) {
    READ.with_borrow_mut(|read| read.push(path.to_path_buf()));
}

/// Those since it was last asked, by their names.
fn read_since() -> Vec<String> {
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    READ.with_borrow_mut(|read| std::mem::take(read).iter().map(name).collect())
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// Lets the kernel's coarse clock go on: what is changed from now on has another time.
fn tick() {
    thread::sleep(Duration::from_millis(11));
}

/// Three roots and a state directory.
struct Site {
    directory: tempfile::TempDir,
    settings: Settings,
    user: u32,
}

const EVENT: &str = "before_vm_start";
const OTHER: &str = "after_vm_stop";

fn text(event: &str, weight: usize) -> String {
    format!("events: {event}\ncommand: /bin/true\nweight: {weight}\n")
}

impl Site {
    fn new() -> Site {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().canonicalize().unwrap();
        let surroundings = Surroundings::here(&base.join("high"));
        let mut settings = Settings::defaults(&surroundings);
        settings.roots = vec![base.join("middle"), base.join("low")];
        settings.state_dir = Dir::new(base.join("state"), surroundings.user);
        let site = Site { directory, settings, user: surroundings.user };
        for root in ["high", "middle", "low", "elsewhere"] {
            fs::create_dir(site.path(root)).unwrap();
            site.mode(root, 0o755);
        }
        site
    }

    /// With `hooks.d` in the first root.
    fn with_hooks() -> Site {
        let site = Site::new();
        site.make_directory("high/hooks.d");
        site
    }

    fn make_directory(&self, name: &str) {
        fs::create_dir(self.path(name)).unwrap();
        self.mode(name, 0o755);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().canonicalize().unwrap().join(name)
    }

    fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        self.mode(name, 0o644);
    }

    /// One in the first root.
    fn add(&self, name: &str, text: &str) {
        self.write(&format!("high/hooks.d/{name}.yaml"), text);
    }

    fn link(&self, target: &str, name: &str) {
        symlink(target, self.path(name)).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    fn cache(&self) -> PathBuf {
        CacheFile::new(&self.settings).path()
    }

    /// A call for all of them, ten seconds from now.
    fn load(&self) -> Registry {
        load_at(&self.settings, &Trust::new(self.user), &|_| true, now() + Duration::from_secs(10))
    }

    fn load_for(&self, event: &str) -> Registry {
        let wants = |triggers: &Triggers| triggers.has_event(event);
        load_at(&self.settings, &Trust::new(self.user), &wants, now() + Duration::from_secs(10))
    }

    /// Without the cache.
    fn truth(&self) -> Registry {
        registry::load(&self.settings, &mut Trust::new(self.user), &|_| true)
    }

    /// What the cache alone says, if it counts as up to date.
    fn warm(&self) -> Option<Registry> {
        let mut task = CacheQuery {
            settings: &self.settings,
            user: self.user,
            start: now(),
            wants: &|_| true,
            trust: Trust::new(self.user),
            keeps: true,
        };
        task.unchanged(&CacheFile::new(&self.settings), &Root::open_all(&self.settings).unwrap())
    }
}

/// What of a registry can be compared.
fn told(registry: &Registry) -> (Vec<Registration>, Vec<(Diagnostic, bool)>, Vec<PathBuf>) {
    let broken = registry.broken.iter();
    (
        registry.registrations.clone(),
        broken.map(|broken| (broken.diagnostic.clone(), broken.has_last_good)).collect(),
        registry.unreadable.iter().map(|unreadable| unreadable.path.clone()).collect(),
    )
}

/// Names and weights.
fn names(registry: &Registry) -> Vec<(&str, i64)> {
    registry.registrations.iter().map(|hook| (hook.name.as_str(), hook.weight)).collect()
}

/// Changes the index of a cache, and mends its checksum.
fn patch(image: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut image = image.to_vec();
    let end = index::HEADER_BYTES + index::index_length(&image).unwrap();
    let at = image[..end].windows(from.len()).position(|window| window == from).unwrap();
    image[at..at + to.len()].copy_from_slice(to);
    let sum = encoding::checksum(&image[index::HEADER_BYTES..end]);
    image[index::HEADER_BYTES - 8..index::HEADER_BYTES].copy_from_slice(&sum.to_le_bytes());
    image
}
