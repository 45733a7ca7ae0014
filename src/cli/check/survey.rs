//! Surveys the host once; all parts of `check` use the result.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::finding::{Findings, Fix, words};
use super::unreadable::report_unreadable;
use crate::cli::install::daemons::{self, Daemon};
use crate::cli::install::installed::{self, Installed};
use crate::cli::install::libvirt_version::{self, LibvirtVersion};
use crate::cli::inventory::Inventory;
use crate::cli::inventory::per_guest::{self, TreeItem};
use crate::command;
use crate::config::{Registration, Settings};
use crate::hook::HookSource;
use crate::hook::candidates::{Candidate, VDSM_ROOT};
use crate::libvirt::Driver;
use crate::machine::files;
use crate::record::history::History;
use crate::record::last_day::{self, LastDay};
use crate::registry::RegistrationFile;
use crate::repair::OwnPaths;
use crate::search::EntryState;
use crate::search::directory;

/// Where a script was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ScriptPlace {
    Event(String),
    /// In the per-guest tree, at a call that libvirt makes.
    Tree(Driver),
    Adopted(Driver),
}

/// A script, or something else in a place for scripts.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub label: String,
    pub path: PathBuf,
    pub state: EntryState,
    pub place: ScriptPlace,
}

/// Something in the per-guest tree in a place for which libvirt makes no call.
#[derive(Clone, Debug)]
pub(super) struct Uncalled {
    pub driver: Driver,
    pub path: PathBuf,
    /// `prepair/begin`; only the file's name if it is too high in the tree.
    pub call: String,
}

pub(super) struct Survey<'a> {
    pub settings: &'a Settings,
    /// The user who runs `check`, trusted like root.
    pub user: u32,
    /// The root directory with `proc` and `sys`: `/`, except in tests.
    pub root: &'a Path,
    pub installed: Vec<Installed>,
    pub daemons: Vec<Daemon>,
    pub scripts: Vec<Script>,
    pub uncalled: Vec<Uncalled>,
    /// Every file of every `hooks.d`.
    pub sources: Vec<RegistrationFile>,
    /// The registrations that can be read, and the last good copies of others.
    pub registrations: Vec<Arc<Registration>>,
    /// The files for which a last good copy is used.
    pub stand_ins: Vec<PathBuf>,
    /// Directories of hookmux's own roots that look like an event's, but belong to no event.
    pub unknown_directories: Vec<PathBuf>,
    /// Directories of vdsm's tree for which libvirt makes no call, with the names of the scripts in them.
    pub unfired_of_vdsm: Vec<(PathBuf, Vec<String>)>,
    pub libvirt: Option<LibvirtVersion>,
    /// The calls of the last day.
    pub last_day: LastDay,
    /// Whether a file may be made to see whether a directory can be written to.
    pub makes_files: bool,
}

impl<'a> Survey<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        user: u32,
        root: &'a Path,
        findings: &mut Findings,
    ) -> Survey<'a> {
        let inventory = Inventory::look(settings, user);
        let unknown_directories =
            inventory.unknown_directories().map(|(path, _)| path.to_path_buf()).collect();
        let hooks_dir = &settings.hooks_dir;
        let mut survey = Survey {
            settings,
            user,
            root,
            installed: installed::all(hooks_dir),
            daemons: daemons::running(root, hooks_dir),
            scripts: Vec::new(),
            uncalled: Vec::new(),
            sources: inventory
                .sources
                .unwrap_or_else(|unreadable| report_unreadable(settings, &unreadable, findings)),
            registrations: inventory.registrations,
            stand_ins: inventory.stand_ins,
            unknown_directories,
            unfired_of_vdsm: Vec::new(),
            libvirt: libvirt_version::of_host_below(root),
            last_day: last_day::look(&History::new(&settings.runtime_dir, &settings.state_dir)),
            makes_files: true,
        };
        for at in inventory.events {
            let scripts = at.scripts;
            let scripts =
                scripts.unwrap_or_else(|unread| report_unreadable(settings, &unread, findings));
            survey.add(scripts, &ScriptPlace::Event(at.event));
        }
        for at in inventory.unknown {
            let scripts = at.scripts;
            let scripts: Vec<Candidate> =
                scripts.unwrap_or_else(|unread| report_unreadable(settings, &unread, findings));
            let of_vdsm = scripts
                .iter()
                .map(|script| &script.hook)
                .filter(|hook| hook.source == HookSource::Vdsm && files::is_executable(&hook.path));
            let names: Vec<String> =
                of_vdsm.map(|hook| hook.name.to_string_lossy().into_owned()).collect();
            if !names.is_empty() {
                let directory = Path::new(VDSM_ROOT).join(&at.event);
                survey.unfired_of_vdsm.push((directory, names));
            }
        }
        for of in inventory.drivers {
            let driver = of.driver;
            if let Some(adopted) = of.adopted {
                // what can't be checked may run
                let state =
                    adopted.candidate.map_or(EntryState::Active, |candidate| candidate.state);
                survey.add_one(adopted.path, state, ScriptPlace::Adopted(driver));
            }
            for found in of.tree {
                survey.add_found(driver, found, findings);
            }
        }
        survey
    }

    /// Returns a hookmux command for this hooks directory, from plain words.
    pub(super) fn command(&self, line: &str) -> Fix {
        Fix::run(&self.words(line))
    }

    /// Returns the words of such a command, to be combined with others.
    pub(super) fn words(&self, line: &str) -> Vec<OsString> {
        let more: Vec<&str> = line.split_whitespace().collect();
        command::hookmux(&self.settings.hooks_dir, &more)
    }

    /// Returns which files belong to hookmux here.
    pub(super) fn ground(&self) -> OwnPaths<'_> {
        OwnPaths::of(self.settings, self.user)
    }

    /// Returns how a script in a wrong place becomes a hook. It needs an event, which only the user knows.
    pub(super) fn register(&self, script: &Path) -> String {
        let place = self.ground().free_path_for(script);
        let mut add = self.words("add script");
        add.extend(words![&place, "--event", "EVENT"]);
        let directory = place.parent().unwrap_or(&place);
        format!(
            "{} && {} && {} (`hookmux events` shows the events)",
            command::text(&words!["mkdir", "-p", directory]),
            command::text(&words!["mv", "-n", script, &place]),
            command::text(&add)
        )
    }

    /// Returns a path as people know it: relative to the hooks directory.
    pub(super) fn label(&self, path: &Path) -> String {
        path.strip_prefix(&self.settings.hooks_dir).unwrap_or(path).display().to_string()
    }

    fn add(&mut self, scripts: Vec<Candidate>, place: &ScriptPlace) {
        for script in scripts {
            self.add_one(script.hook.path, script.state, place.clone());
        }
    }

    fn add_one(&mut self, path: PathBuf, state: EntryState, place: ScriptPlace) {
        self.scripts.push(Script { label: self.label(&path), path, state, place });
    }

    fn add_found(&mut self, driver: Driver, found: TreeItem, findings: &mut Findings) {
        let uncalled = match found {
            TreeItem::Unreadable(unreadable) => {
                return report_unreadable(self.settings, &unreadable, findings);
            }
            TreeItem::Directory(directory) if directory.is_called => {
                let scripts = directory.scripts;
                let scripts = scripts
                    .unwrap_or_else(|unread| report_unreadable(self.settings, &unread, findings));
                return self.add(scripts, &ScriptPlace::Tree(driver));
            }
            TreeItem::Directory(directory) => {
                Uncalled { driver, call: per_guest::name(&directory.call), path: directory.path }
            }
            TreeItem::TooHigh(path) => {
                let call = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                Uncalled { driver, path, call }
            }
        };
        if looks_like_script(&uncalled.path) {
            self.uncalled.push(uncalled);
        }
    }
}

/// Tells whether something for which libvirt makes no call was probably meant as a script. Other files that
/// scripts keep beside them are no mistake.
fn looks_like_script(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    let has_script = || {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).any(|path| files::is_executable(&path))
    };
    directory::leftover_reason(name).is_none() && (files::is_executable(path) || has_script())
}
