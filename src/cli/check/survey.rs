//! What there is, looked at once: all rooms of `check` ask this.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::finding::{Findings, Fix, words};
use super::guest_tree;
use super::unreadable::complain;
use crate::cli::hooks::list;
use crate::cli::install::daemons::{self, Daemon};
use crate::cli::install::installed::{self, Installed};
use crate::cli::install::libvirt_version::{self, Version};
use crate::command;
use crate::config::{Registration, Settings};
use crate::hook::{adopted, candidates};
use crate::libvirt::Driver;
use crate::mend::Ground;
use crate::registry::{self, Source};
use crate::search::State;
use crate::search::directory;
use crate::trust::Trust;

/// Where a script is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spot {
    Event(String),
    /// In the per-guest tree, at a moment that libvirt has.
    Tree(Driver),
    Adopted(Driver),
}

/// A script, or what lies where one would.
#[derive(Clone, Debug)]
pub struct Script {
    pub label: String,
    pub path: PathBuf,
    pub state: State,
    pub spot: Spot,
}

/// Something in the per-guest tree where libvirt makes no call.
#[derive(Clone, Debug)]
pub struct Uncalled {
    pub driver: Driver,
    pub path: PathBuf,
    /// `prepair/begin`; the file's name alone where it lies too high.
    pub moment: String,
}

pub struct Survey<'a> {
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
    pub libvirt: Option<Version>,
}

impl<'a> Survey<'a> {
    pub fn new(
        settings: &'a Settings,
        user: u32,
        root: &'a Path,
        findings: &mut Findings,
    ) -> Survey<'a> {
        let hooks_dir = &settings.hooks_dir;
        let mut trust = Trust::new(user);
        let sources = registry::scan(settings, &mut trust)
            .unwrap_or_else(|unreadable| complain(settings, &unreadable, findings));
        let is_broken = sources.iter().any(|source| matches!(source.content, Some(Err(_))));
        let stand_ins = if is_broken { list::stand_ins(settings, &trust) } else { Vec::new() };
        let readable = sources.iter().filter_map(|source| source.content.as_ref()?.as_ref().ok());
        let registrations: Vec<Arc<Registration>> =
            readable.chain(&stand_ins).map(|one| Arc::new(one.clone())).collect();
        let binary = env::current_exe().unwrap_or_default();
        let mut survey = Survey {
            settings,
            user,
            root,
            installed: Driver::ALL.map(|driver| installed::look(hooks_dir, driver, &binary)).into(),
            daemons: daemons::running(root, hooks_dir),
            scripts: Vec::new(),
            uncalled: Vec::new(),
            stand_ins: stand_ins.iter().map(|one| one.source.clone()).collect(),
            libvirt: libvirt_version::of_host_below(root),
            sources,
            registrations,
        };
        survey.look_at_events(findings);
        for driver in Driver::ALL {
            let path = adopted::place(hooks_dir, driver);
            if path.symlink_metadata().is_ok() {
                let state = directory::state(&path);
                survey.add(path, state, Spot::Adopted(driver));
            }
            guest_tree::look(&mut survey, driver, findings);
        }
        survey
    }

    /// The hooks directory and the roots.
    pub fn roots(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.settings.hooks_dir.as_path())
            .chain(self.settings.roots.iter().map(PathBuf::as_path))
    }

    /// A command of hookmux's own about this hooks directory, of plain words.
    pub fn command(&self, line: &str) -> Fix {
        Fix::run(&self.words(line))
    }

    /// The same as words, to be part of more.
    pub fn words(&self, line: &str) -> Vec<OsString> {
        let more: Vec<&str> = line.split_whitespace().collect();
        command::hookmux(&self.settings.hooks_dir, &more)
    }

    /// What is hookmux's own here.
    pub fn ground(&self) -> Ground<'_> {
        Ground::of(self.settings, self.user)
    }

    /// The text that tells how a script that lies in a wrong place becomes a hook. It wants an event,
    /// which only a person knows.
    pub fn register(&self, script: &Path) -> String {
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
    pub fn label(&self, path: &Path) -> String {
        path.strip_prefix(&self.settings.hooks_dir).unwrap_or(path).display().to_string()
    }

    pub fn add(&mut self, path: PathBuf, state: State, spot: Spot) {
        self.scripts.push(Script { label: self.label(&path), path, state, spot });
    }

    fn look_at_events(&mut self, findings: &mut Findings) {
        for event in list::events(self.settings, &self.registrations) {
            match candidates::event_hooks(&event, self.settings) {
                Ok(found) => {
                    for candidate in found {
                        let spot = Spot::Event(event.clone());
                        self.add(candidate.hook.path, candidate.state, spot);
                    }
                }
                Err(unreadable) => complain(self.settings, &unreadable, findings),
            }
        }
    }

    /// The names of all directories directly below the roots, with their paths.
    pub fn directories(&self) -> BTreeSet<PathBuf> {
        self.roots()
            .filter_map(|root| fs::read_dir(root).ok())
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect()
    }
}
