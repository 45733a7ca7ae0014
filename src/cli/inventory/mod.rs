//! What is installed: all hooks of all places, looked at once. `list`, `check` and the overview ask
//! this, so that they can't see different things.

mod judged;
pub(super) mod listed;
pub(super) mod per_guest;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use per_guest::Found;

use crate::config::{Registration, Settings};
use crate::event;
use crate::hook::adopted;
use crate::hook::candidates::{self, Candidate};
use crate::libvirt::{Call, Driver};
use crate::registry::{self, Source, cache};
use crate::search::directory::Unreadable;
use crate::trust::Trust;

/// All hooks below the hooks directory and the roots.
pub(super) struct Inventory<'a> {
    pub settings: &'a Settings,
    /// Who asks; trusted beside root.
    pub user: u32,
    /// Every file of every `hooks.d`, or the one of these directories that can't be read.
    pub sources: Result<Vec<Source>, Unreadable>,
    /// Those that can be read, and the last good forms of others.
    pub registrations: Vec<Arc<Registration>>,
    /// The files that a last good form stands in for.
    pub stand_ins: Vec<PathBuf>,
    pub events: Vec<AtEvent>,
    pub drivers: Vec<OfDriver>,
    /// The directories directly below the roots.
    directories: BTreeSet<PathBuf>,
}

/// An event, and what lies in its directories.
pub(super) struct AtEvent {
    pub event: String,
    pub scripts: Result<Vec<Candidate>, Unreadable>,
}

/// The scripts that were libvirt's own.
pub(super) struct OfDriver {
    pub driver: Driver,
    pub adopted: Option<Adopted>,
    /// The per-guest tree, in byte order.
    pub tree: Vec<Found>,
    /// Why hookmux doesn't run the scripts of the tree: somebody else does.
    pub tree_left_to: Option<String>,
}

/// What lies where an adopted script does.
pub(super) struct Adopted {
    pub path: PathBuf,
    /// `None` where it can't be looked at.
    pub candidate: Option<Candidate>,
}

impl<'a> Inventory<'a> {
    /// Looks at everything. What can't be read is kept as that.
    pub(super) fn look(settings: &'a Settings, user: u32) -> Inventory<'a> {
        let mut trust = Trust::new(user);
        let sources = registry::scan(settings, &mut trust);
        let all = sources.as_deref().unwrap_or_default();
        let is_broken = all.iter().any(|source| matches!(source.content, Some(Err(_))));
        let stand_ins = if is_broken { stand_ins(settings, &trust) } else { Vec::new() };
        let readable = all.iter().filter_map(|source| source.content.as_ref()?.as_ref().ok());
        let registrations: Vec<Arc<Registration>> =
            readable.chain(&stand_ins).map(|one| Arc::new(one.clone())).collect();
        let directories = directories(settings);
        let events = events(&directories, &registrations).into_iter().map(|event| {
            let scripts = candidates::event_hooks(&event, settings);
            AtEvent { event, scripts }
        });
        Inventory {
            settings,
            user,
            events: events.collect(),
            drivers: Driver::ALL.map(|driver| of_driver(settings, driver)).into(),
            stand_ins: stand_ins.into_iter().map(|one| one.source).collect(),
            sources,
            registrations,
            directories,
        }
    }

    /// Directories that look as though they were meant for an event, and are none's.
    pub(super) fn unknown_directories(&self) -> impl Iterator<Item = (&Path, &str)> {
        let is_meant = |name: &str| {
            ["before_", "after_", "on_"].iter().any(|start| name.starts_with(start))
                && !event::is_known(name)
        };
        let named = self.directories.iter().filter_map(|path| Some((path.as_path(), name(path)?)));
        named.filter(move |(_, name)| is_meant(name))
    }
}

/// What stands in for the registrations that can't be read.
fn stand_ins(settings: &Settings, trust: &Trust) -> Vec<Registration> {
    let registry = cache::look(settings, trust, &|_| true);
    let is_broken = |registration: &Registration| {
        registry.broken.iter().any(|broken| broken.diagnostic.path == registration.source)
    };
    registry.registrations.iter().filter(|one| is_broken(one)).cloned().collect()
}

fn directories(settings: &Settings) -> BTreeSet<PathBuf> {
    let entries = settings.all_roots().filter_map(|root| fs::read_dir(root).ok()).flatten();
    entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

fn name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// The table's events, and unknown operations' where a directory or a registration is there.
fn events(directories: &BTreeSet<PathBuf>, registered: &[Arc<Registration>]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for row in event::TABLE {
        if !names.iter().any(|name| name == row.name) {
            names.push(row.name.to_owned());
        }
    }
    let registered = registered.iter().flat_map(|registration| &registration.triggers.events);
    let named = directories.iter().filter_map(|path| name(path));
    let named = named.chain(registered.map(String::as_str));
    let unknown: BTreeSet<&str> =
        named.filter(|name| name.starts_with("on_") && event::is_known(name)).collect();
    names.extend(unknown.into_iter().map(str::to_owned));
    names
}

fn of_driver(settings: &Settings, driver: Driver) -> OfDriver {
    let path = adopted::place(&settings.hooks_dir, driver);
    let adopted = path.symlink_metadata().is_ok().then(|| {
        let call = Call::new(driver, vec!["-".into(), "any".into()]);
        let candidate = candidates::adopted_script(&call, settings).ok().flatten();
        Adopted { path, candidate }
    });
    let tree = per_guest::look(settings, driver);
    let tree_left_to = candidates::tree_owner(driver, settings, false);
    OfDriver { driver, adopted, tree, tree_left_to }
}
