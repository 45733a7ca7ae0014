//! Checks a script and its per-guest tree before hookmux adopts them: an adoption that would break what
//! worked is refused.

use std::path::{Path, PathBuf};

use super::installed::{DriverEntry, Installed};
use super::{own_name, vfio_helper};
use crate::cli::CommandPlace;
use crate::cli::args::InstallArgs;
use crate::cli::json::install::LinkAction;
use crate::cli::output::Output;
use crate::cli::remark::Remark;
use crate::command::Fix;
use crate::config::{Settings, TrustPolicy};
use crate::hook::{adopted, tree};
use crate::libvirt::{Call, Driver, Operation};
use crate::machine::files;
use crate::process::startable::head::{ExecutableHead, head};
use crate::repair::{OwnPaths, RepairTarget};
use crate::search::EntryState;
use crate::search::directory;
use crate::trust::{Refusal, Trust};

/// The largest script that is read.
pub(crate) const MAX_SCRIPT_BYTES: u64 = 16 << 20;

/// What an installation would do.
#[derive(Debug, Default)]
pub(crate) struct AdoptionPreview {
    /// Why something must not be adopted: the file, the reason and what to do.
    pub problems: Vec<Remark>,
    pub notes: Vec<Remark>,
    /// What would be done for each driver: a word for programs, and a sentence for people.
    pub preview: Vec<(Driver, PathBuf, LinkAction, String)>,
    /// Whether the VFIO helper is adopted like other scripts, because the setting `tree` names another tree
    /// than the one that the helper runs.
    pub keeps_helper: bool,
}

/// Checks everything without changing or running anything.
pub(crate) fn look(
    place: &CommandPlace,
    arguments: &InstallArgs,
    places: &[Installed],
    output: &mut Output,
) -> AdoptionPreview {
    let mut found = AdoptionPreview::default();
    let is_adopted =
        |installed: &Installed| installed.main == DriverEntry::Foreign && arguments.adopt;
    let settings = places.iter().any(is_adopted).then(|| {
        let loaded = place.load(output);
        if loaded.is_lost() {
            found.problems.push(
                "hookmux.yaml is broken: calls that are gates would fail; correct it first"
                    .to_owned()
                    .into(),
            );
        }
        loaded.settings
    });
    found.keeps_helper = settings.as_ref().is_some_and(|settings| !settings.tree.is_default());
    for installed in places {
        preview(installed, arguments, &mut found);
        if let Some(settings) = settings.as_ref().filter(|_| is_adopted(installed)) {
            let mut adoption = DriverAdoption {
                hooks_dir: &place.surroundings.hooks_dir,
                driver: installed.driver,
                trust: Trust::new(place.surroundings.user),
                settings,
                found: &mut found,
            };
            adoption.adopt(&installed.path);
        }
    }
    if !found.problems.is_empty() && !arguments.force {
        found.problems.push("--force adopts it anyway".to_owned().into());
    }
    found
}

/// Tells whether a script is the VFIO helper and does nothing else, so that hookmux replaces it.
pub(crate) fn is_helper(path: &Path) -> bool {
    files::read_regular(path, vfio_helper::MAX_HELPER_BYTES)
        .is_ok_and(|text| vfio_helper::is_vfio_helper(&text))
}

fn preview(installed: &Installed, arguments: &InstallArgs, found: &mut AdoptionPreview) {
    let driver = installed.driver;
    let (word, words) = match (&installed.main, arguments.beside) {
        (_, true) if installed.beside.as_ref().is_some_and(|path| path.exists()) => {
            (LinkAction::None, format!("hookmux is called after it already, from {driver}.d/"))
        }
        (DriverEntry::Ours(_), _) => (LinkAction::None, "is hookmux already".to_owned()),
        (_, true) => {
            (LinkAction::WouldLink, format!("hookmux would be called after it, from {driver}.d/"))
        }
        (DriverEntry::Missing, _) => {
            (LinkAction::WouldLink, "would be linked to hookmux".to_owned())
        }
        (DriverEntry::Dangling(_), _) => {
            (LinkAction::WouldLink, "would be linked to hookmux again".to_owned())
        }
        (DriverEntry::Foreign, _) if !found.keeps_helper && is_helper(&installed.path) => (
            LinkAction::WouldRetire,
            format!(
                "is the VFIO helper: hookmux would take its place, and run its tree {driver}.d/"
            ),
        ),
        (DriverEntry::Foreign, _) => (
            LinkAction::WouldAdopt,
            format!("would be called by hookmux as {driver}.adopted, for every call"),
        ),
        (DriverEntry::NotAFile, _) => (LinkAction::None, "is neither a file nor a link".to_owned()),
    };
    found.preview.push((driver, installed.path.clone(), word, words));
}

/// The adoption of one driver's script and its tree.
struct DriverAdoption<'a> {
    hooks_dir: &'a Path,
    driver: Driver,
    trust: Trust,
    settings: &'a Settings,
    found: &'a mut AdoptionPreview,
}

impl DriverAdoption<'_> {
    fn adopt(&mut self, script: &Path) {
        let is_helper = !self.found.keeps_helper && is_helper(script);
        if !is_helper && directory::state(script) == EntryState::Active {
            self.script(script);
        }
        let word = self.settings.tree.mention(self.hooks_dir, self.driver);
        if is_helper || !adopted::runs_tree(script, &word) {
            self.tree(is_helper);
        }
    }

    fn script(&mut self, script: &Path) {
        let driver = self.driver;
        match files::read_regular(script, MAX_SCRIPT_BYTES) {
            Ok(bytes) if head(&bytes) == ExecutableHead::Program => self.found.notes.push(format!(
                "{} is not a text: hookmux can't see whether it looks at its own name; it will be {driver}.adopted",
                script.display()
            ).into()),
            Ok(bytes) => {
                if let Some((line, text)) = own_name::find_own_name_decision(&bytes) {
                    let beside = ["install", "--driver", driver.name(), "--beside"];
                    let fix = Fix::hookmux(self.hooks_dir, &beside);
                    let words = format!(
                        "{} decides by its own name, which would be {driver}.adopted (line {line}: {}): leave it libvirt's main script by `{fix}`, or name the driver in it",
                        script.display(),
                        shorten_line(&text)
                    );
                    self.found.problems.push(Remark::with_fix(words, fix));
                }
            }
            Err(error) => self.found.notes.push(format!(
                "{} can't be looked through: {error}",
                script.display()
            ).into()),
        }
        if let Err(refusal) = self.trust.file(script) {
            let fix = self.fix(&[RepairTarget::at(script)]);
            self.refused(script, &refusal.to_string(), fix);
        }
    }

    /// Reports a file that others could change, as the trust policy says.
    fn refused(&mut self, path: &Path, why: &str, fix: Option<Fix>) {
        let shown = path.display();
        match self.settings.trust {
            TrustPolicy::Refuse => {
                let words = format!("{shown} would be refused, and its calls would fail: {why}");
                self.found.problems.push(Remark::followed_by(&words, fix));
            }
            TrustPolicy::Warn => {
                let words =
                    format!("{shown} is not trusted, and runs anyway (`trust: warn`): {why}");
                self.found.notes.push(Remark::followed_by(&words, fix));
            }
        }
    }

    /// Checks every script of the tree that a call could run. `ran_before` tells whether the replaced script
    /// ran them too.
    fn tree(&mut self, ran_before: bool) {
        let base = self.settings.tree_of(self.driver);
        let mut scripts: Vec<(PathBuf, EntryState)> = Vec::new();
        for guest in self.names(&base) {
            for operation in self.names(&base.join(&guest)) {
                for sub in self.names(&base.join(&guest).join(&operation)) {
                    let words = vec![guest.clone(), operation.clone(), sub, "-".into()];
                    let call = Call::new(self.driver, words);
                    if call.operation() == Operation::Unknown {
                        continue;
                    }
                    let Some(place) = tree::place(self.settings, &call) else { continue };
                    match tree::scripts(&place) {
                        Ok(found) => scripts.extend(found),
                        Err(unreadable) => self.unreadable(&unreadable),
                    }
                }
            }
        }
        let active: Vec<&PathBuf> = scripts
            .iter()
            .filter(|(_, state)| *state == EntryState::Active)
            .map(|(path, _)| path)
            .collect();
        let shown = base.display();
        match active.len() {
            0 => return,
            count if ran_before => self.found.notes.push(
                format!("{shown}: scripts that hookmux would run as the helper did: {count}")
                    .into(),
            ),
            count => self.found.notes.push(
                format!(
                    "{shown}: scripts that don't run today, and that hookmux would run: {count}"
                )
                .into(),
            ),
        }
        let refused: Vec<(&PathBuf, Refusal)> = active
            .into_iter()
            .filter_map(|path| self.trust.file(path).err().map(|refusal| (path, refusal)))
            .collect();
        // most have the same owner because somebody moved them: one command for all of them
        let subjects: Vec<RepairTarget> =
            refused.iter().map(|(path, _)| RepairTarget::at(path)).collect();
        let fix = self.fix(&subjects);
        for (path, refusal) in &refused {
            self.refused(path, &refusal.to_string(), fix.clone());
        }
    }

    fn fix(&self, subjects: &[RepairTarget]) -> Option<Fix> {
        OwnPaths::of(self.settings, self.trust.user()).fix(subjects)
    }

    fn names(&mut self, path: &Path) -> Vec<std::ffi::OsString> {
        let mut names = match directory::names(path) {
            Ok(names) => names.unwrap_or_default(),
            Err(unreadable) => {
                self.unreadable(&unreadable);
                Vec::new()
            }
        };
        names.sort_unstable();
        names
    }

    fn unreadable(&mut self, unreadable: &directory::UnreadablePath) {
        self.found.problems.push(
            format!(
                "{} can't be read, and calls that look there would fail: {}; repair or remove it",
                unreadable.path.display(),
                unreadable.error
            )
            .into(),
        );
    }
}

/// Shortens a line of a script to what fits in a message.
pub(crate) fn shorten_line(text: &str) -> String {
    const MAX_CHARACTERS: usize = 80;
    let line = crate::machine::sanitize::line(text.as_bytes());
    match line.char_indices().nth(MAX_CHARACTERS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
