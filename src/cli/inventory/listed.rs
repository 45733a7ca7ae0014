//! Lists the hooks of an inventory: each with its place, its order, and whether it runs.

use std::path::PathBuf;
use std::sync::Arc;

use super::Inventory;
use super::forecast::{Forecaster, HookForecast};
use super::per_guest::{self, TreeDirectory, TreeItem};
use crate::cli::hooks::vdsm;
use crate::cli::output::Tone;
use crate::cli::{fixes, rights};
use crate::command::Fix;
use crate::config::registration::DIRECTORY;
use crate::config::{Registration, Settings};
use crate::hook::candidates::{self, Candidate};
use crate::hook::{HookSource, Style};
use crate::registry;
use crate::search::EntryState;
use crate::search::directory::{self, UnreadablePath};

/// Whether a listed hook runs, as its directory, its owner and mode, and its file say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HookState {
    Active,
    Masked,
    Disabled,
    NotExecutable,
    Dangling,
    Skipped,
    /// Others could change it.
    Refused,
    /// It can't be started, or not as its registration says.
    Fails,
    /// A registration that can't be read.
    Broken,
    /// In a place for which libvirt makes no call: in the per-guest tree, or at no event.
    NeverCalled,
}

impl HookState {
    fn of(state: &EntryState) -> HookState {
        match state {
            EntryState::Active => HookState::Active,
            EntryState::Masked(_) => HookState::Masked,
            EntryState::Disabled(_) => HookState::Disabled,
            EntryState::NotExecutable => HookState::NotExecutable,
            EntryState::Dangling => HookState::Dangling,
            EntryState::Skipped(_) => HookState::Skipped,
        }
    }

    /// Returns the word in `hookmux list` and its JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            HookState::Active => "active",
            HookState::Masked => "masked",
            HookState::Disabled => "disabled",
            HookState::NotExecutable => "not executable",
            HookState::Dangling => "a link to nothing",
            HookState::Skipped => "skipped",
            HookState::Refused => "refused",
            HookState::Fails => "fails",
            HookState::Broken => "broken",
            HookState::NeverCalled => "never called",
        }
    }

    /// Returns its colour on a terminal.
    pub(crate) fn tone(self) -> Tone {
        match self {
            HookState::Active => Tone::Good,
            HookState::Refused | HookState::Fails | HookState::Broken => Tone::Bad,
            HookState::NotExecutable | HookState::Dangling | HookState::NeverCalled => {
                Tone::Warning
            }
            HookState::Masked | HookState::Disabled | HookState::Skipped => Tone::Dim,
        }
    }

    /// Tells whether it doesn't run although it looks as if it should.
    pub(crate) fn should_run(self) -> bool {
        matches!(
            self,
            HookState::Refused
                | HookState::Fails
                | HookState::Broken
                | HookState::NotExecutable
                | HookState::Dangling
        )
    }
}

/// A hook as it is listed.
pub(crate) struct Listed {
    /// Where it belongs: an event, `qemu.d/win10/prepare/begin`, or libvirt calls.
    pub place: String,
    /// Its name for people: `before_vm_start/10-hugepages`.
    pub label: String,
    pub name: String,
    /// What is executed; the registration's file if that can't be read.
    pub path: PathBuf,
    pub source: HookSource,
    pub style: Option<Style>,
    pub weight: Option<i64>,
    pub state: HookState,
    pub reason: Option<String>,
    /// What to do if it doesn't run.
    pub fix: Option<Fix>,
    /// Its position among the hooks of its place that run, from 1.
    pub order: Option<usize>,
    /// The file that registers it.
    pub registration: Option<PathBuf>,
    /// The content of that file.
    pub registered: Option<Arc<Registration>>,
}

/// Adds hooks to the list, with their order and state.
struct Lister<'a> {
    settings: &'a Settings,
    forecaster: Forecaster<'a>,
    listed: Vec<Listed>,
}

impl Lister<'_> {
    fn add(&mut self, place: &str, candidates: Vec<Candidate>) {
        let mut position = 0;
        for candidate in candidates {
            let hook = &candidate.hook;
            let path = &hook.path;
            let with = |words: String, fix: &Option<Fix>| match fix {
                Some(fix) => Some(format!("{words}; {}", fix.text)),
                None => Some(words),
            };
            let (state, reason, fix) = match candidate.state == EntryState::Active {
                true => match self.forecaster.of(hook) {
                    HookForecast::Runs => (HookState::Active, None, None),
                    HookForecast::Refused(why, fix) => {
                        (HookState::Refused, with(format!("refused: {why}"), &fix), fix)
                    }
                    HookForecast::Fails(why, fix) => {
                        let fix = Some(fix);
                        (HookState::Fails, with(why, &fix), fix)
                    }
                    HookForecast::Never(why, fix) => (HookState::NeverCalled, Some(why), Some(fix)),
                },
                false => {
                    let fix = fixes::for_state(&candidate.state, path, self.settings);
                    let fix = fix.map(|fix| self.forecaster.ground().guard(fix));
                    (HookState::of(&candidate.state), candidate.state.reason(), fix)
                }
            };
            let runs = state == HookState::Active;
            position += usize::from(runs);
            self.listed.push(Listed {
                place: place.to_owned(),
                label: hook.label.clone(),
                name: hook.name.to_string_lossy().into_owned(),
                path: hook.path.clone(),
                source: hook.source,
                style: Some(hook.style),
                weight: Some(hook.weight),
                state,
                reason,
                fix,
                order: runs.then_some(position),
                registration: hook
                    .registration
                    .as_ref()
                    .map(|registration| registration.source.clone()),
                registered: hook.registration.clone(),
            });
        }
    }

    /// Adds the scripts of one directory of the per-guest tree, also one for which libvirt makes no call.
    fn add_tree_directory(&mut self, directory: TreeDirectory) {
        let Ok(scripts) = directory.scripts else { return };
        let place =
            directory.path.strip_prefix(&self.settings.hooks_dir).unwrap_or(&directory.path);
        let place = place.to_string_lossy();
        let before = self.listed.len();
        self.add(&place, scripts);
        if directory.is_called {
            return;
        }
        let (driver, name) = (directory.call.driver, per_guest::name(&directory.call));
        let similar = per_guest::similar_call(driver, &name);
        let hint = similar.map(|similar| format!("; did you mean {similar}?")).unwrap_or_default();
        for listed in &mut self.listed[before..] {
            listed.state = HookState::NeverCalled;
            listed.reason = Some(format!("libvirt has no {name} for {driver}{hint}"));
            listed.order = None;
        }
    }

    /// Adds the scripts of a directory that looks like an event's, but belongs to no event.
    fn add_unknown(&mut self, name: &str, scripts: Vec<Candidate>) {
        let before = self.listed.len();
        self.add(name, scripts);
        for listed in &mut self.listed[before..] {
            listed.state = HookState::NeverCalled;
            listed.reason = Some(vdsm::why_never_called(name));
            (listed.order, listed.fix) = (None, None);
        }
    }

    /// Adds a registration that belongs to no event: masked, disabled by a link, or broken.
    fn add_inactive(&mut self, source: &registry::RegistrationFile, has_last_good: bool) {
        let path = &source.path;
        let fix = match &source.content {
            Some(Err(diagnostic)) => {
                let line = diagnostic.place.map(|(line, _)| line);
                Some(fixes::edit(self.settings, path, line))
            }
            _ => fixes::for_state(&source.state, path, self.settings)
                .map(|fix| self.forecaster.ground().guard(fix)),
        };
        let (state, reason) = match &source.content {
            Some(Err(diagnostic)) if has_last_good => {
                let words = format!("{} (its last good form runs)", diagnostic.one_line());
                (HookState::Broken, Some(words))
            }
            Some(Err(diagnostic)) => {
                let consequence = diagnostic.recovered().consequence();
                let words = format!("{} ({consequence})", diagnostic.one_line());
                (HookState::Broken, Some(words))
            }
            _ => (HookState::of(&source.state), source.state.reason()),
        };
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        self.listed.push(Listed {
            place: DIRECTORY.to_owned(),
            label: format!("{DIRECTORY}/{name}"),
            name,
            path: source.path.clone(),
            source: HookSource::Registered,
            style: None,
            weight: None,
            state,
            reason,
            fix,
            order: None,
            registration: Some(source.path.clone()),
            registered: None,
        });
    }
}

/// Lists all hooks, in the order of their places.
///
/// # Errors
/// A directory exists and can't be read.
pub(crate) fn all(inventory: Inventory<'_>) -> anyhow::Result<Vec<Listed>> {
    let Inventory { settings, user, registrations, .. } = inventory;
    let mut lister =
        Lister { settings, forecaster: Forecaster::new(settings, user), listed: Vec::new() };
    let sources = inventory.sources.map_err(unreadable)?;
    for at in inventory.events {
        let mut candidates = at.scripts.map_err(unreadable)?;
        let own = registrations.iter().filter(|one| one.triggers.has_event(&at.event));
        candidates.extend(own.map(|one| candidates::registered_hook(one, &at.event, settings)));
        candidates::in_order(&mut candidates);
        lister.add(&at.event, candidates);
    }
    for at in inventory.unknown {
        lister.add_unknown(&at.event, at.scripts.map_err(unreadable)?);
    }
    for registration in registrations.iter().filter(|one| !one.triggers.calls.is_empty()) {
        let calls: Vec<String> =
            registration.triggers.calls.iter().map(ToString::to_string).collect();
        lister.add(
            &format!("calls {}", calls.join(", ")),
            vec![candidates::registered_hook(registration, DIRECTORY, settings)],
        );
    }
    for of in inventory.drivers {
        if let Some(adopted) = of.adopted {
            let candidate = adopted.candidate.into_iter();
            lister.add(&format!("every {} call", of.driver), candidate.collect());
        }
        for found in of.tree {
            match found {
                TreeItem::Unreadable(directory) => return Err(unreadable(directory)),
                // the program that runs them has its own order
                TreeItem::Directory(directory) if of.tree_left_to.is_none() => {
                    lister.add_tree_directory(directory)
                }
                TreeItem::Directory(_) => {}
                // a link to nothing may have been a directory
                TreeItem::TooHigh(path) => drop(directory::names(&path).map_err(unreadable)?),
            }
        }
    }
    let is_ours = |source: &&registry::RegistrationFile| {
        source.path.file_name().is_some_and(|name| name == registry::LOCK_NAME)
    };
    let inactive = sources.iter().filter(|source| !matches!(source.content, Some(Ok(_))));
    for source in inactive.filter(|source| !is_ours(source)) {
        lister.add_inactive(source, inventory.stand_ins.contains(&source.path));
    }
    Ok(lister.listed)
}

fn unreadable(directory: UnreadablePath) -> anyhow::Error {
    rights::explained(&directory.path, directory.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_said_as_ever() {
        let path = || PathBuf::from("/x");
        for state in [
            EntryState::Active,
            EntryState::Masked(path()),
            EntryState::Disabled("x"),
            EntryState::NotExecutable,
            EntryState::Dangling,
            EntryState::Skipped("x"),
        ] {
            assert_eq!(HookState::of(&state).name(), state.name());
            assert_eq!(HookState::of(&state).should_run(), state.needs_attention());
        }
        let names =
            [HookState::Refused, HookState::Fails, HookState::Broken, HookState::NeverCalled];
        assert_eq!(names.map(HookState::name), ["refused", "fails", "broken", "never called"]);
        assert_eq!(names.map(HookState::should_run), [true, true, true, false]);
    }
}
