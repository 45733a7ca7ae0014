//! The report of what was done to the entries, for people and programs.

use std::path::{Path, PathBuf};

use crate::cli::CommandEnd;
use crate::cli::args::Format;
use crate::cli::install::daemons::Daemon;
use crate::cli::install::reload;
use crate::cli::json::change::ChangeSummary;
use crate::cli::json::install::LinkAction;
use crate::cli::json::install::{Installed, Link};
use crate::cli::json::message::Message;
use crate::cli::json::value::Word;
use crate::cli::output::{Output, Tone};
use crate::cli::remark::Remark;
use crate::libvirt::{Driver, program};

/// One change of an entry, or one that wasn't needed.
pub(super) struct EntryChange {
    /// `None` if it belongs to no driver.
    pub(super) driver: Option<Driver>,
    pub(super) path: PathBuf,
    pub(super) action: LinkAction,
    pub(super) words: String,
}

#[derive(Default)]
pub(super) struct InstallReport {
    /// Whether nothing is done: what would be is reported.
    pub(super) is_dry_run: bool,
    pub(super) changes: Vec<EntryChange>,
    pub(super) notes: Vec<Remark>,
    pub(super) problems: Vec<Remark>,
    /// The daemons that have to look for their hook programs again.
    pub(super) daemons: Vec<Daemon>,
    /// The daemons that were reloaded, if that was asked for.
    pub(super) reloads: Vec<reload::ReloadResult>,
    pub(super) is_reloaded: bool,
}

impl InstallReport {
    pub(super) fn new(is_dry_run: bool) -> InstallReport {
        InstallReport { is_dry_run, ..InstallReport::default() }
    }

    /// Reports what was done, or in a dry run what would be.
    pub(super) fn add(&mut self, driver: Driver, path: &Path, action: LinkAction, words: String) {
        self.add_change(Some(driver), path, action, words);
    }

    pub(super) fn add_change(
        &mut self,
        driver: Option<Driver>,
        path: &Path,
        action: LinkAction,
        words: String,
    ) {
        let (action, words) = match self.is_dry_run && action.is_change() {
            true => {
                let words = words.strip_prefix("is ").unwrap_or(&words);
                (action.in_dry_run(), format!("would be {words}"))
            }
            false => (action, words),
        };
        self.changes.push(EntryChange { driver, path: path.to_path_buf(), action, words });
    }

    pub(super) fn has_changed(&self) -> bool {
        self.changes.iter().any(|change| change.action.is_change())
    }

    /// Returns the drivers of the daemons that have to look for their hook programs again. Those that call
    /// the same names as before needn't.
    pub(super) fn changed(&self) -> Vec<Driver> {
        let is_changed = |change: &&EntryChange| {
            change.action.is_change()
                && !matches!(
                    change.action,
                    LinkAction::Renewed | LinkAction::Relinked | LinkAction::Purged
                )
                && !program::is_copy(&change.path)
        };
        self.changes.iter().filter(is_changed).filter_map(|change| change.driver).collect()
    }

    fn json(&self) -> Installed {
        let link = |change: &EntryChange| Link {
            driver: change.driver.map(Word),
            path: change.path.as_path().into(),
            action: change.action,
            message: change.words.clone(),
        };
        let still = |daemon: &Daemon| Message {
            message: format!("{} has to look for its hook programs again", daemon.name),
            code: None,
            fix_keys: Some(&daemon.reload()).into(),
        };
        Installed {
            links: self.changes.iter().map(link).collect(),
            notes: Message::all(&self.notes),
            problems: Message::all(&self.problems),
            reload: self.daemons.iter().map(still).collect(),
            daemons: self.reloads.iter().map(reload::ReloadResult::json).collect(),
            summary: ChangeSummary::new(
                self.changes.iter().any(|change| change.action != LinkAction::None),
                self.is_dry_run,
            ),
        }
    }

    pub(super) fn show(self, format: Format, output: &mut Output) -> CommandEnd {
        let is_good =
            self.problems.is_empty() && self.reloads.iter().all(reload::ReloadResult::is_good);
        let end = match is_good {
            true if self.reloads.is_empty() && !self.has_changed() => CommandEnd::Idle,
            true => CommandEnd::Good,
            false => CommandEnd::Problem,
        };
        if format == Format::Json {
            output.json(&self.json());
            return end;
        }
        for change in &self.changes {
            output.line(&format!("{}: {}", change.path.display(), change.words));
        }
        for problem in &self.problems {
            output.print_error(&problem.words);
        }
        for note in &self.notes {
            output.lines(Tone::Warning, &note.words);
        }
        for reloads in &self.reloads {
            match reloads.is_good() {
                true => output.line(&reloads.words),
                false => output.print_error(&reloads.words),
            }
        }
        if !self.is_reloaded && !self.changed().is_empty() {
            reload::advice(&self.daemons).iter().for_each(|line| output.line(line));
        }
        end
    }
}
