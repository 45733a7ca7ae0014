//! What there is, looked at once: all rooms of `check` ask this.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::finding::{Findings, Fix, words};
use super::unreadable::complain;
use crate::cli::install::daemons::{self, Daemon};
use crate::cli::install::installed::{self, Installed};
use crate::cli::install::libvirt_version::{self, LibvirtVersion};
use crate::cli::inventory::Inventory;
use crate::cli::inventory::per_guest::{self, Found};
use crate::command;
use crate::config::{Registration, Settings};
use crate::hook::candidates::Candidate;
use crate::libvirt::Driver;
use crate::machine::files;
use crate::mend::Ground;
use crate::registry::Source;
use crate::search::State;
use crate::search::directory;

/// Where a script is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Spot {
    Event(String),
    /// In the per-guest tree, at a moment that libvirt has.
    Tree(Driver),
    Adopted(Driver),
}

/// A script, or what lies where one would.
#[derive(Clone, Debug)]
pub(super) struct Script {
    pub label: String,
    pub path: PathBuf,
    pub state: State,
    pub spot: Spot,
}

/// Something in the per-guest tree where libvirt makes no call.
#[derive(Clone, Debug)]
pub(super) struct Uncalled {
    pub driver: Driver,
    pub path: PathBuf,
    /// `prepair/begin`; the file's name alone where it lies too high.
    pub moment: String,
}

pub(super) struct Survey<'a> {
    pub settings: &'a Settings,
    /// Who runs `check`; trusted beside root.
    pub user: u32,
    /// Below it lie `proc` and `sys`: `/`, but in tests.
    pub root: &'a Path,
    pub installed: Vec<Installed>,
    pub daemons: Vec<Daemon>,
    pub scripts: Vec<Script>,
    pub uncalled: Vec<Uncalled>,
    /// Every file of every `hooks.d`.
    pub sources: Vec<Source>,
    /// Those that can be read, and the last good forms of others.
    pub registrations: Vec<Arc<Registration>>,
    /// The files that a last good form stands in for.
    pub stand_ins: Vec<PathBuf>,
    /// Directories that look as though they were meant for an event, and are none's.
    pub strangers: Vec<PathBuf>,
    pub libvirt: Option<LibvirtVersion>,
}

impl<'a> Survey<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        user: u32,
        root: &'a Path,
        findings: &mut Findings,
    ) -> Survey<'a> {
        let inventory = Inventory::look(settings, user);
        let strangers = inventory.strangers().map(|(path, _)| path.to_path_buf()).collect();
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
                .unwrap_or_else(|unreadable| complain(settings, &unreadable, findings)),
            registrations: inventory.registrations,
            stand_ins: inventory.stand_ins,
            strangers,
            libvirt: libvirt_version::of_host_below(root),
        };
        for at in inventory.events {
            let scripts = at.scripts;
            let scripts = scripts.unwrap_or_else(|unread| complain(settings, &unread, findings));
            survey.add(scripts, &Spot::Event(at.event));
        }
        for of in inventory.drivers {
            let driver = of.driver;
            if let Some(adopted) = of.adopted {
                // what can't be looked at may well run
                let state = adopted.candidate.map_or(State::Active, |candidate| candidate.state);
                survey.add_one(adopted.path, state, Spot::Adopted(driver));
            }
            for found in of.tree {
                survey.add_found(driver, found, findings);
            }
        }
        survey
    }

    /// A command of hookmux's own about this hooks directory, of plain words.
    pub(super) fn command(&self, line: &str) -> Fix {
        Fix::run(&self.words(line))
    }

    /// The same as words, to be part of more.
    pub(super) fn words(&self, line: &str) -> Vec<OsString> {
        let more: Vec<&str> = line.split_whitespace().collect();
        command::hookmux(&self.settings.hooks_dir, &more)
    }

    /// What is hookmux's own here.
    pub(super) fn ground(&self) -> Ground<'_> {
        Ground::of(self.settings, self.user)
    }

    /// The text that tells how a script that lies in a wrong place becomes a hook. It wants an event,
    /// which only a person knows.
    pub(super) fn register(&self, script: &Path) -> String {
        let place = self.ground().place_for(script);
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

    /// A path as people know it: from the hooks directory on.
    pub(super) fn label(&self, path: &Path) -> String {
        path.strip_prefix(&self.settings.hooks_dir).unwrap_or(path).display().to_string()
    }

    fn add(&mut self, scripts: Vec<Candidate>, spot: &Spot) {
        for script in scripts {
            self.add_one(script.hook.path, script.state, spot.clone());
        }
    }

    fn add_one(&mut self, path: PathBuf, state: State, spot: Spot) {
        self.scripts.push(Script { label: self.label(&path), path, state, spot });
    }

    fn add_found(&mut self, driver: Driver, found: Found, findings: &mut Findings) {
        let uncalled = match found {
            Found::Unreadable(unreadable) => return complain(self.settings, &unreadable, findings),
            Found::Moment(moment) if moment.is_called => {
                let scripts = moment.scripts;
                let scripts =
                    scripts.unwrap_or_else(|unread| complain(self.settings, &unread, findings));
                return self.add(scripts, &Spot::Tree(driver));
            }
            Found::Moment(moment) => {
                Uncalled { driver, moment: per_guest::name(&moment.call), path: moment.path }
            }
            Found::TooHigh(path) => {
                let moment = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                Uncalled { driver, path, moment }
            }
        };
        if is_meant(&uncalled.path) {
            self.uncalled.push(uncalled);
        }
    }
}

/// Whether something that libvirt has no call for was meant to be called. What scripts keep beside them
/// is no mistake: only what looks like a script is one.
fn is_meant(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    let has_script = || {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).any(|path| files::is_executable(&path))
    };
    directory::left_behind(name).is_none() && (files::is_executable(path) || has_script())
}
