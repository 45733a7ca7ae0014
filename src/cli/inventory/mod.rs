//! The inventory: all hooks of all places, read once. `list`, `check` and the overview use it, so that they
//! see the same things.

mod forecast;
pub(super) mod listed;
pub(super) mod per_guest;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use per_guest::TreeItem;

use crate::config::{Registration, Settings};
use crate::event;
use crate::hook::adopted;
use crate::hook::candidates::{self, Candidate, VDSM_ROOT};
use crate::libvirt::{Call, Driver};
use crate::registry::{self, RegistrationFile, cache};
use crate::search::directory::UnreadablePath;
use crate::search::{EntryState, companion};
use crate::trust::Trust;

/// All hooks below the hooks directory and the roots.
pub(super) struct Inventory<'a> {
    pub settings: &'a Settings,
    /// The user who asks, trusted like root.
    pub user: u32,
    /// Every file of every `hooks.d`, or the first of these directories that can't be read.
    pub sources: Result<Vec<RegistrationFile>, UnreadablePath>,
    /// The registrations that can be read, and the last good forms of others.
    pub registrations: Vec<Arc<Registration>>,
    /// The files for which a last good form is used.
    pub stand_ins: Vec<PathBuf>,
    pub events: Vec<EventScripts>,
    /// Directories that look like an event's, but belong to no event, and the scripts in them.
    pub unknown: Vec<EventScripts>,
    pub drivers: Vec<DriverScripts>,
    /// The directories directly below the roots.
    directories: BTreeSet<PathBuf>,
}

/// An event, and the scripts in its directories.
pub(super) struct EventScripts {
    pub event: String,
    pub scripts: Result<Vec<Candidate>, UnreadablePath>,
}

/// A driver's adopted script and its per-guest tree.
pub(super) struct DriverScripts {
    pub driver: Driver,
    pub adopted: Option<AdoptedScript>,
    /// The per-guest tree, in byte order.
    pub tree: Vec<TreeItem>,
    /// Why hookmux doesn't run the scripts of the tree: another program does.
    pub tree_left_to: Option<String>,
}

/// The file in the place of an adopted script.
pub(super) struct AdoptedScript {
    pub path: PathBuf,
    /// `None` if it can't be read.
    pub candidate: Option<Candidate>,
}

impl<'a> Inventory<'a> {
    /// Reads everything. What can't be read is part of the result.
    pub(super) fn look(settings: &'a Settings, user: u32) -> Inventory<'a> {
        let mut trust = Trust::new(user);
        let mut sources = registry::scan(settings, &mut trust);
        if let Ok(sources) = &mut sources {
            let is_document = |source: &RegistrationFile| {
                let name = source.path.file_name();
                matches!(source.state, EntryState::Skipped(_))
                    && name.is_some_and(companion::is_document)
            };
            sources.retain(|source| !is_document(source));
        }
        let all = sources.as_deref().unwrap_or_default();
        let is_broken = all.iter().any(|source| matches!(source.content, Some(Err(_))));
        let stand_ins = if is_broken { stand_ins(settings, &trust) } else { Vec::new() };
        let readable = all.iter().filter_map(|source| source.content.as_ref()?.as_ref().ok());
        let registrations: Vec<Arc<Registration>> =
            readable.chain(&stand_ins).map(|one| Arc::new(one.clone())).collect();
        let directories = directories(settings);
        let scripts_of = |event: String| {
            let scripts = candidates::event_hooks(&event, settings);
            EventScripts { event, scripts }
        };
        let events = events(&directories, &registrations).into_iter().map(scripts_of);
        let unknown: BTreeSet<&str> =
            directories.iter().filter_map(|path| unknown_name(path)).collect();
        let unknown = unknown.into_iter().map(|name| scripts_of(name.to_owned())).collect();
        Inventory {
            settings,
            user,
            events: events.collect(),
            unknown,
            drivers: Driver::ALL.map(|driver| of_driver(settings, driver)).into(),
            stand_ins: stand_ins.into_iter().map(|one| one.source).collect(),
            sources,
            registrations,
            directories,
        }
    }

    /// Returns directories of hookmux's own roots that look like an event's, but belong to no event.
    pub(super) fn unknown_directories(&self) -> impl Iterator<Item = (&Path, &str)> {
        let directories = self.directories.iter().filter(|path| !is_of_vdsm(path));
        directories.filter_map(|path| Some((path.as_path(), unknown_name(path)?)))
    }
}

/// Returns the name of a directory that looks like an event's, but belongs to no event. In vdsm's tree all
/// directories are meant as events'.
fn unknown_name(path: &Path) -> Option<&str> {
    let name = name(path)?;
    let looks_like_event = ["before_", "after_", "on_"].iter().any(|start| name.starts_with(start));
    ((looks_like_event || is_of_vdsm(path)) && !event::is_known(name)).then_some(name)
}

fn is_of_vdsm(path: &Path) -> bool {
    path.parent() == Some(Path::new(VDSM_ROOT))
}

/// Returns the names of the hooks at events, as `<event>/<name>`: for the completion of a word, which has to be there
/// at once. Registrations are those of the cache, if it is there, and nothing is judged.
pub(super) fn labels(settings: &Settings, user: u32) -> BTreeSet<String> {
    let registry = cache::load_read_only(settings, &Trust::new(user), &|_| true);
    let registrations: Vec<Arc<Registration>> =
        registry.registrations.into_iter().map(Arc::new).collect();
    let scripts = events(&directories(settings), &registrations)
        .into_iter()
        .filter_map(|event| candidates::event_hooks(&event, settings).ok())
        .flatten()
        .map(|candidate| candidate.hook.label);
    let registered = registrations.iter().flat_map(|registration| {
        let events = registration.triggers.events.iter();
        events.map(|event| format!("{event}/{}", registration.name))
    });
    scripts.chain(registered).collect()
}

/// Returns the last good forms of registrations that can't be read.
fn stand_ins(settings: &Settings, trust: &Trust) -> Vec<Registration> {
    let registry = cache::load_read_only(settings, trust, &|_| true);
    let is_broken = |registration: &Registration| {
        registry.broken.iter().any(|broken| broken.diagnostic.path == registration.source)
    };
    registry.registrations.iter().filter(|one| is_broken(one)).cloned().collect()
}

fn directories(settings: &Settings) -> BTreeSet<PathBuf> {
    let vdsm = settings.vdsm_hooks.then_some(Path::new(VDSM_ROOT));
    let roots = settings.all_roots().chain(vdsm);
    let entries = roots.filter_map(|root| fs::read_dir(root).ok()).flatten();
    entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

fn name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// Returns the table's events, and those of unknown operations that have a directory or a registration.
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

fn of_driver(settings: &Settings, driver: Driver) -> DriverScripts {
    let path = adopted::place(&settings.hooks_dir, driver);
    let adopted = path.symlink_metadata().is_ok().then(|| {
        let call = Call::new(driver, vec!["-".into(), "any".into()]);
        let candidate = candidates::adopted_script(&call, settings).ok().flatten();
        AdoptedScript { path, candidate }
    });
    let tree = per_guest::look(settings, driver);
    let tree_left_to = candidates::tree_owner(driver, settings, false);
    DriverScripts { driver, adopted, tree, tree_left_to }
}
