//! What was done to the entries, as people and programs are told.

use std::path::{Path, PathBuf};

use crate::cli::End;
use crate::cli::args::Format;
use crate::cli::install::daemons::Daemon;
use crate::cli::install::reload;
use crate::cli::json::install::{Installed, Link};
use crate::cli::json::message::Message;
use crate::cli::json::value::Word;
use crate::cli::output::{Output, Tone};
use crate::cli::remark::Remark;
use crate::libvirt::{Driver, program};

/// One thing that was done, or found done already.
pub(super) struct Step {
    /// `None` where it is no driver's.
    pub(super) driver: Option<Driver>,
    pub(super) path: PathBuf,
    pub(super) action: &'static str,
    pub(super) words: String,
}

#[derive(Default)]
pub(super) struct Report {
    pub(super) steps: Vec<Step>,
    pub(super) notes: Vec<Remark>,
    pub(super) problems: Vec<Remark>,
    /// Those that have to look for their hook programs again.
    pub(super) daemons: Vec<Daemon>,
    /// Those that have been told to, where that was asked for.
    pub(super) told: Vec<reload::Told>,
    pub(super) is_reloaded: bool,
}

impl Report {
    pub(super) fn did(&mut self, driver: Driver, path: &Path, action: &'static str, words: String) {
        self.steps.push(Step { driver: Some(driver), path: path.to_path_buf(), action, words });
    }

    pub(super) fn has_changed(&self) -> bool {
        self.steps.iter().any(|step| step.action != "none" && !step.action.starts_with("would-"))
    }

    /// The drivers whose daemons have to look for their hook programs again: not where they call the
    /// same names as before.
    pub(super) fn changed(&self) -> Vec<Driver> {
        let is_changed = |step: &&Step| {
            !matches!(step.action, "none" | "renewed" | "relinked" | "purged")
                && !step.action.starts_with("would-")
                && !program::is_copy(&step.path)
        };
        self.steps.iter().filter(is_changed).filter_map(|step| step.driver).collect()
    }

    fn json(&self) -> Installed {
        let link = |step: &Step| Link {
            driver: step.driver.map(Word),
            path: step.path.as_path().into(),
            action: step.action,
            message: step.words.clone(),
        };
        let still = |daemon: &Daemon| Message {
            message: format!("{} has to look for its hook programs again", daemon.name),
            code: None,
            way_out: Some(&daemon.reload()).into(),
        };
        Installed {
            links: self.steps.iter().map(link).collect(),
            notes: Message::all(&self.notes),
            problems: Message::all(&self.problems),
            reload: self.daemons.iter().map(still).collect(),
            daemons: self.told.iter().map(reload::Told::json).collect(),
        }
    }

    pub(super) fn show(self, format: Format, output: &mut Output) -> End {
        let is_good = self.problems.is_empty() && self.told.iter().all(reload::Told::is_good);
        let end = match is_good {
            true if self.told.is_empty() && !self.has_changed() => End::Idle,
            true => End::Good,
            false => End::Problem,
        };
        if format == Format::Json {
            output.json(&self.json());
            return end;
        }
        for step in &self.steps {
            output.line(&format!("{}: {}", step.path.display(), step.words));
        }
        for problem in &self.problems {
            output.complain(&problem.words);
        }
        for note in &self.notes {
            output.lines(Tone::Careful, &note.words);
        }
        for told in &self.told {
            match told.is_good() {
                true => output.line(&told.words),
                false => output.complain(&told.words),
            }
        }
        if !self.is_reloaded && !self.changed().is_empty() {
            reload::advice(&self.daemons).iter().for_each(|line| output.line(line));
        }
        end
    }
}
