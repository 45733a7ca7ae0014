//! What `add`, `delete`, `enable` and `disable` have in common: the registry as it is, and a report
//! of what was done to it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};

use crate::cli::args::Format;
use crate::cli::inventory::Inventory;
use crate::cli::inventory::listed::{self, Listed};
use crate::cli::json::message::Message;
use crate::cli::json::registration::{Changed, ChangedRegistration};
use crate::cli::output::{Output, Tone};
use crate::cli::register::hooks_d::{self, Lock};
use crate::cli::remark::Remark;
use crate::cli::{End, Place};
use crate::command::{Fix, words};
use crate::config::registration::{DIRECTORY, EXTENSION};
use crate::config::suggest::suggest_or;
use crate::config::{Registration, Settings, TrustPolicy};
use crate::queue::Queue;
use crate::registry::{self, RegistrationFile};
use crate::repair::{OwnPaths, RepairTarget};
use crate::search::EntryState;
use crate::trust::Trust;

/// The settings, without which nobody knows where registrations lie.
///
/// # Errors
/// They can't be read, and nothing stands in for them.
pub(crate) fn settings(place: &Place, output: &mut Output) -> anyhow::Result<Settings> {
    let loaded = place.load(output);
    if loaded.is_lost() {
        bail!("no registration is changed until the settings can be read");
    }
    Ok(loaded.settings)
}

/// The registry, locked.
///
/// # Errors
/// Somebody else changes it, or could.
pub(crate) fn lock(settings: &Settings, user: u32) -> anyhow::Result<Lock> {
    let lock = hooks_d::lock(&settings.hooks_dir)?;
    let directory = settings.hooks_dir.join(DIRECTORY);
    if settings.trust != TrustPolicy::Refuse {
        return Ok(lock);
    }
    if let Err(refusal) = Trust::new(user).directory(&directory) {
        let fix = OwnPaths::of(settings, user).fix(&[RepairTarget::at(&directory)]);
        let words = format!("registrations in {} would be refused: {refusal}", directory.display());
        bail!(Remark::and(&words, fix));
    }
    Ok(lock)
}

/// Every registration of every root.
///
/// # Errors
/// A directory is there and can't be read.
pub(crate) fn scan(settings: &Settings, user: u32) -> anyhow::Result<Vec<RegistrationFile>> {
    let sources = registry::scan(settings, &mut Trust::new(user)).map_err(|unreadable| {
        anyhow!("{} can't be read: {}", unreadable.path.display(), unreadable.error)
    })?;
    let is_one = |source: &RegistrationFile| !matches!(source.state, EntryState::Skipped(_));
    Ok(sources.into_iter().filter(is_one).collect())
}

pub(crate) fn name_of(source: &RegistrationFile) -> String {
    source.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The files of one name, those of higher roots first.
pub(crate) fn find<'a>(sources: &'a [RegistrationFile], name: &str) -> Vec<&'a RegistrationFile> {
    let end = format!(".{EXTENSION}");
    let bare = name.strip_suffix(&end).unwrap_or(name);
    sources.iter().filter(|source| name_of(source) == bare).collect()
}

pub(crate) fn is_own(source: &RegistrationFile, settings: &Settings) -> bool {
    source.root == settings.hooks_dir
}

pub(crate) fn read(source: &RegistrationFile) -> Option<&Registration> {
    source.content.as_ref()?.as_ref().ok()
}

/// A command of hookmux's own about this hooks directory, as a shell takes it.
pub(crate) fn own<W: AsRef<OsStr>>(settings: &Settings, words: &[W]) -> String {
    Fix::hookmux(&settings.hooks_dir, words).text
}

/// The words that remove a hook's jobs. A name that begins with a dash stands in the option's word.
fn flush(name: &str) -> Vec<String> {
    let mut words = vec!["queue".to_owned()];
    match name.starts_with('-') {
        true => words.push(format!("--flush={name}")),
        false => words.extend(["--flush".to_owned(), name.to_owned()]),
    }
    words
}

/// Why there is no such registration, and what there is.
pub(crate) fn missing(
    settings: &Settings,
    user: u32,
    sources: &[RegistrationFile],
    name: &str,
) -> String {
    if let Some(way) = way_of_script(settings, user, |hook| {
        hook.name == name || format!("{}/{}", hook.place, hook.name) == name
    }) {
        return way;
    }
    let names: Vec<String> = sources.iter().map(name_of).collect();
    let known = names.iter().map(String::as_str);
    let hint = suggest_or(name, known, "`hookmux list` shows all hooks");
    format!("there is no registration `{name}`; {hint}")
}

/// How a hook that is no registration is switched and removed.
pub(crate) fn way_of_script(
    settings: &Settings,
    user: u32,
    is_meant: impl Fn(&Listed) -> bool,
) -> Option<String> {
    let hooks = listed::all(Inventory::look(settings, user)).ok()?;
    let hook = hooks.iter().find(|hook| hook.registration.is_none() && is_meant(hook))?;
    let (path, source) = (&hook.path, hook.source.name());
    Some(format!(
        "{} is no registration but a script ({source}): `{}` disables it, chmod a+x enables it, rm removes it",
        path.display(),
        OwnPaths::of(settings, user).guard(Fix::run(&words!["chmod", "a-x", path]))
    ))
}

/// One thing that was done, or found done already.
struct Step {
    name: String,
    path: PathBuf,
    action: &'static str,
    words: String,
}

#[derive(Default)]
pub(crate) struct Report {
    steps: Vec<Step>,
    notes: Vec<Remark>,
    problems: Vec<Remark>,
}

impl Report {
    pub(crate) fn did(&mut self, name: &str, path: &Path, action: &'static str, words: String) {
        self.steps.push(Step { name: name.to_owned(), path: path.to_path_buf(), action, words });
    }

    pub(crate) fn note(&mut self, words: String) {
        self.notes.push(words.into());
    }

    pub(crate) fn problem(&mut self, words: String) {
        self.problems.push(words.into());
    }

    /// What a hook that was taken away has left in the queue still runs.
    pub(crate) fn tell_jobs(&mut self, settings: &Settings) {
        let jobs = Queue::new(&settings.state_dir).heads().unwrap_or_else(|error| {
            self.notes.push(format!("the queue can't be read, and may hold jobs: {error}").into());
            Vec::new()
        });
        for step in self.steps.iter().filter(|step| matches!(step.action, "deleted" | "disabled")) {
            let count = jobs.iter().filter(|job| job.registration == step.name).count();
            if count > 0 {
                let jobs = if count == 1 { "job of it waits" } else { "jobs of it wait" };
                let fix = Fix::hookmux(&settings.hooks_dir, &flush(&step.name));
                let words = format!(
                    "{}: {count} {jobs} in the queue and will still run: `{fix}` removes them",
                    step.name
                );
                self.notes.push(Remark::with(words, fix));
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.problems.is_empty()
    }

    pub(crate) fn show(self, format: Format, output: &mut Output) -> End {
        let is_idle = self.steps.iter().all(|step| step.action == "none");
        let end = match self.problems.is_empty() {
            true if is_idle => End::Idle,
            true => End::Good,
            false => End::Problem,
        };
        if format == Format::Json {
            let changed = |step: &Step| ChangedRegistration {
                name: step.name.clone(),
                registration: step.path.as_path().into(),
                action: step.action,
                message: step.words.clone(),
                registered: None,
            };
            output.json(&Changed {
                registrations: self.steps.iter().map(changed).collect(),
                notes: Message::all(&self.notes),
                problems: Message::all(&self.problems),
            });
            return end;
        }
        for step in &self.steps {
            output.line(&format!("{}: {}", step.name, step.words));
        }
        for note in &self.notes {
            output.lines(Tone::Careful, &note.words);
        }
        for problem in &self.problems {
            output.complain(&problem.words);
        }
        end
    }
}
