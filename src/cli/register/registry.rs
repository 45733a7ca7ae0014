//! Shared by `add`, `delete`, `enable` and `disable`: reading the registry, and the report of what was
//! changed in it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};

use crate::cli::args::Format;
use crate::cli::inventory::Inventory;
use crate::cli::inventory::listed::{self, HookState, Listed};
use crate::cli::json::change::ChangeSummary;
use crate::cli::json::message::Message;
use crate::cli::json::registration::RegistrationAction;
use crate::cli::json::registration::{Changed, ChangedRegistration};
use crate::cli::output::{Output, Tone};
use crate::cli::register::hooks_d::{self, RegistryLock};
use crate::cli::remark::Remark;
use crate::cli::{CommandEnd, CommandPlace, unified_diff};
use crate::command::{Fix, words};
use crate::config::registration::{DIRECTORY, EXTENSION};
use crate::config::suggest::suggest_or;
use crate::config::{Registration, Settings, TrustPolicy};
use crate::queue::Queue;
use crate::registry::{self, RegistrationFile};
use crate::repair::{OwnPaths, RepairTarget};
use crate::search::EntryState;
use crate::trust::Trust;
use crate::undo::ledger::Ledger;
use crate::undo::owed::Owed;

/// Reads the settings, which say where registrations are.
///
/// # Errors
/// They can't be read, and there is no last good copy.
pub(crate) fn settings(place: &CommandPlace, output: &mut Output) -> anyhow::Result<Settings> {
    let loaded = place.load(output);
    if loaded.is_lost() {
        bail!("no registration is changed until the settings can be read");
    }
    Ok(loaded.settings)
}

/// Locks the registry.
///
/// # Errors
/// Another process holds the lock, or other users could change the registry.
pub(crate) fn lock(settings: &Settings, user: u32) -> anyhow::Result<RegistryLock> {
    let lock = hooks_d::lock(&settings.hooks_dir)?;
    let directory = settings.hooks_dir.join(DIRECTORY);
    if settings.trust != TrustPolicy::Refuse {
        return Ok(lock);
    }
    if let Err(refusal) = Trust::new(user).directory(&directory) {
        let fix = OwnPaths::of(settings, user).fix(&[RepairTarget::at(&directory)]);
        let words = format!("registrations in {} would be refused: {refusal}", directory.display());
        bail!(Remark::followed_by(&words, fix));
    }
    Ok(lock)
}

/// Reads every registration of every root.
///
/// # Errors
/// A directory exists and can't be read.
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

/// Returns the files of one name, those of higher roots first.
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

/// Returns a hookmux command for this hooks directory, as a shell takes it.
pub(crate) fn own_command<W: AsRef<OsStr>>(settings: &Settings, words: &[W]) -> String {
    Fix::hookmux(&settings.hooks_dir, words).text
}

/// Returns the words that remove a hook's jobs. A name that begins with a dash is joined to the option.
fn flush_words(name: &str) -> Vec<String> {
    let mut words = vec!["queue".to_owned()];
    match name.starts_with('-') {
        true => words.push(format!("--flush={name}")),
        false => words.extend(["--flush".to_owned(), name.to_owned()]),
    }
    words
}

/// Why there is no registration of a name.
pub(crate) enum UnknownName {
    /// It is a script's, with the way to switch that.
    Script(String),
    /// There is none, with similar names.
    Missing(String),
}

impl UnknownName {
    pub(crate) fn words(self) -> String {
        match self {
            UnknownName::Script(words) | UnknownName::Missing(words) => words,
        }
    }
}

/// Says that there is no such registration, and which names there are.
pub(crate) fn unknown_name(
    settings: &Settings,
    user: u32,
    sources: &[RegistrationFile],
    name: &str,
) -> UnknownName {
    if let Some(way) = how_to_switch_script(settings, user, |hook| {
        hook.name == name || format!("{}/{}", hook.place, hook.name) == name
    }) {
        return UnknownName::Script(way);
    }
    let names: Vec<String> = sources.iter().map(name_of).collect();
    let known = names.iter().map(String::as_str);
    let hint = suggest_or(name, known, "`hookmux list` shows all hooks");
    UnknownName::Missing(format!("there is no registration `{name}`; {hint}"))
}

/// Says how to switch and remove a hook that is a script and not a registration.
pub(crate) fn how_to_switch_script(
    settings: &Settings,
    user: u32,
    is_selected: impl Fn(&Listed) -> bool,
) -> Option<String> {
    let hooks = listed::all(Inventory::look(settings, user)).ok()?;
    let hook = hooks.iter().find(|hook| hook.registration.is_none() && is_selected(hook))?;
    let (path, source) = (&hook.path, hook.source.name());
    if hook.state == HookState::Disabled {
        // a mode changes nothing there, and `chmod` would follow a link to /dev/null
        let reason = hook.reason.as_deref().unwrap_or("disabled");
        let reason = reason.strip_prefix("disabled: ").unwrap_or(reason);
        return Some(format!(
            "{} is not a registration but a script ({source}), and it is disabled ({reason}): `{}` ends that; then the script runs that you put there, or one of this name in a lower root",
            path.display(),
            Fix::run(&words!["rm", path]),
        ));
    }
    Some(format!(
        "{} is not a registration but a script ({source}): `{}` disables it, chmod a+x enables it, rm removes it",
        path.display(),
        OwnPaths::of(settings, user).guard(Fix::run(&words!["chmod", "a-x", path]))
    ))
}

/// One change of a registration, or one that wasn't needed.
struct RegistryChange {
    name: String,
    path: PathBuf,
    action: RegistrationAction,
    words: String,
    /// Whether something was changed, or would be.
    is_change: bool,
    /// What changes in the file.
    diff: Option<String>,
}

#[derive(Default)]
pub(crate) struct RegistryReport {
    is_dry_run: bool,
    has_diff: bool,
    changes: Vec<RegistryChange>,
    notes: Vec<Remark>,
    problems: Vec<Remark>,
}

impl RegistryReport {
    pub(crate) fn new(is_dry_run: bool, has_diff: bool) -> RegistryReport {
        RegistryReport { is_dry_run, has_diff, ..RegistryReport::default() }
    }

    /// Reports that a registration is as it should be already.
    pub(crate) fn add_unchanged(&mut self, name: &str, path: &Path, words: String) {
        self.push(name, path, RegistrationAction::None, words, false);
    }

    /// Reports a change, or one that would have been made without --dry-run: by what was done, and what it would
    /// be.
    pub(crate) fn add(
        &mut self,
        name: &str,
        path: &Path,
        action: RegistrationAction,
        (done, would): (String, String),
    ) {
        match self.is_dry_run {
            true => {
                let words = format!("{would}: --dry-run");
                self.push(name, path, RegistrationAction::None, words, true);
            }
            false => self.push(name, path, action, done, true),
        }
    }

    fn push(
        &mut self,
        name: &str,
        path: &Path,
        action: RegistrationAction,
        words: String,
        is_change: bool,
    ) {
        self.changes.push(RegistryChange {
            name: name.to_owned(),
            path: path.to_path_buf(),
            action,
            words,
            is_change,
            diff: self.has_diff.then(String::new),
        });
    }

    /// Adds to the last change what it changes in its file. `None` stands for no file.
    pub(crate) fn add_diff(&mut self, before: Option<&str>, after: Option<&str>) {
        if let Some(change) = self.changes.last_mut().filter(|_| self.has_diff) {
            change.diff = Some(unified_diff::of_file(&change.path, before, after));
        }
    }

    pub(crate) fn add_note(&mut self, words: String) {
        self.notes.push(words.into());
    }

    pub(crate) fn add_problem(&mut self, words: String) {
        self.problems.push(words.into());
    }

    /// Notes that waiting jobs of a deleted or disabled hook will still run.
    pub(crate) fn note_remaining_jobs(&mut self, settings: &Settings) {
        let jobs = Queue::new(&settings.state_dir).heads().unwrap_or_else(|error| {
            self.notes.push(format!("the queue can't be read, and may hold jobs: {error}").into());
            Vec::new()
        });
        for change in self.changes.iter().filter(|change| {
            matches!(change.action, RegistrationAction::Deleted | RegistrationAction::Disabled)
        }) {
            let count = jobs.iter().filter(|job| job.registration == change.name).count();
            if count > 0 {
                let jobs = if count == 1 { "job of it waits" } else { "jobs of it wait" };
                let fix = Fix::hookmux(&settings.hooks_dir, &flush_words(&change.name));
                let words = format!(
                    "{}: {count} {jobs} in the queue and will still run: `{fix}` removes them",
                    change.name
                );
                self.notes.push(Remark::with_fix(words, fix));
            }
        }
    }

    /// Notes what deleted or disabled registrations still owe.
    pub(crate) fn note_undos(&mut self, settings: &Settings) {
        let ledger = Ledger::new(&settings.runtime_dir);
        let owners = ledger.owners().unwrap_or_default();
        let entries: Vec<Owed> =
            owners.iter().flat_map(|owner| ledger.of(owner).entries().0).collect();
        for change in self.changes.iter().filter(|change| {
            matches!(change.action, RegistrationAction::Deleted | RegistrationAction::Disabled)
        }) {
            let is_its_own = |owed: &&Owed| owed.entry.registration == change.name;
            let count = entries.iter().filter(is_its_own).count();
            if count > 0 {
                let undos = if count == 1 { "undo of it is" } else { "undos of it are" };
                let fix = Fix::hookmux(&settings.hooks_dir, &["undo", "--list"]);
                let words = format!(
                    "{}: {count} {undos} owed and will still run: `{fix}` shows them",
                    change.name
                );
                self.notes.push(Remark::with_fix(words, fix));
            }
        }
    }

    pub(crate) fn has_problems(&self) -> bool {
        !self.problems.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.problems.is_empty()
    }

    pub(crate) fn show(self, format: Format, output: &mut Output) -> CommandEnd {
        let is_change = self.changes.iter().any(|change| change.is_change);
        let end = match self.problems.is_empty() {
            true => CommandEnd::of_change(is_change, self.is_dry_run && self.has_diff),
            false => CommandEnd::Problem,
        };
        if format == Format::Json {
            let changed = |change: &RegistryChange| ChangedRegistration {
                name: change.name.clone(),
                registration: change.path.as_path().into(),
                action: change.action,
                changed: change.is_change,
                diff: change.diff.clone(),
                message: change.words.clone(),
                registered: None,
            };
            output.json(&Changed {
                registrations: self.changes.iter().map(changed).collect(),
                notes: Message::all(&self.notes),
                problems: Message::all(&self.problems),
                summary: ChangeSummary::new(is_change, self.is_dry_run),
            });
            return end;
        }
        for change in &self.changes {
            change.diff.iter().for_each(|diff| unified_diff::show(diff, "", output));
            output.line(&format!("{}: {}", change.name, change.words));
        }
        for note in &self.notes {
            output.lines(Tone::Warning, &note.words);
        }
        for problem in &self.problems {
            output.print_error(&problem.words);
        }
        end
    }
}
