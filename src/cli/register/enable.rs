//! `hookmux enable` and `disable`: change one line of a registration, or mask one of another root.

use std::fs;

use anyhow::Context;

use super::registry::{self, RegistryReport};
use crate::cli::args::SwitchArgs;
use crate::cli::json::registration::RegistrationAction;
use crate::cli::output::Output;
use crate::cli::register::hooks_d::{self, RegistryLock};
use crate::cli::register::yaml_edit;
use crate::cli::{CommandEnd, CommandPlace};
use crate::config::registration::{DIRECTORY, MAX_REGISTRATION_BYTES};
use crate::config::{Registration, Settings};
use crate::machine::files;
use crate::registry::RegistrationFile;
use crate::search::EntryState;
use crate::trust::Trust;

pub(crate) fn enable(
    place: &CommandPlace,
    arguments: &SwitchArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    switch(place, arguments, true, output)
}

pub(crate) fn disable(
    place: &CommandPlace,
    arguments: &SwitchArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    switch(place, arguments, false, output)
}

fn switch(
    place: &CommandPlace,
    arguments: &SwitchArgs,
    enables: bool,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let user = place.surroundings.user;
    let settings = registry::settings(place, output)?;
    let before = registry::scan(&settings, user)?;
    let is_known = |name: &String| !registry::find(&before, name).is_empty();
    // a dry run changes nothing, and neither does a wrong name: that needs no rights to be told
    let changes = !arguments.dry_run && arguments.names.iter().any(is_known);
    let lock = changes.then(|| registry::lock(&settings, user)).transpose()?;
    let sources = registry::scan(&settings, user)?;
    let mut report = RegistryReport::new(arguments.dry_run, arguments.diff.is_wanted);
    for name in &arguments.names {
        let found = registry::find(&sources, name);
        let switch = Switch { lock: lock.as_ref(), settings: &settings, user, report: &mut report };
        match found.first() {
            None => {
                let words = registry::unknown_name(&settings, user, &sources, name).words();
                report.add_problem(words);
            }
            Some(top) if enables => switch.enable(top, found.get(1).copied())?,
            Some(top) => switch.disable(top)?,
        }
    }
    report.note_remaining_jobs(&settings);
    report.note_undos(&settings);
    Ok(report.show(arguments.output.format, output))
}

struct Switch<'a> {
    /// `None` where nothing is changed.
    lock: Option<&'a RegistryLock>,
    settings: &'a Settings,
    user: u32,
    report: &'a mut RegistryReport,
}

impl Switch<'_> {
    fn disable(self, top: &RegistrationFile) -> anyhow::Result<()> {
        let name = registry::name_of(top);
        let path = top.path.display();
        if matches!(top.state, EntryState::Disabled(_)) {
            self.report.add_unchanged(&name, &top.path, format!("is disabled already, by {path}"));
            return Ok(());
        }
        if registry::read(top).is_some_and(|registration| !registration.enabled) {
            self.report.add_unchanged(&name, &top.path, format!("is disabled already, in {path}"));
            return Ok(());
        }
        if registry::is_own(top, self.settings) {
            return self.edit(top, false);
        }
        let mask = self.settings.hooks_dir.join(DIRECTORY).join(format!("{name}.yaml"));
        if let Some(lock) = self.lock {
            hooks_d::mask(lock, &mask)?;
        }
        let words = (
            format!("disabled: {} masks {path}", mask.display()),
            format!("would be disabled: {} would mask {path}", mask.display()),
        );
        self.report.add(&name, &mask, RegistrationAction::Disabled, words);
        Ok(())
    }

    /// Enables the topmost registration of a name; `below` is the one that it masks.
    fn enable(
        self,
        top: &RegistrationFile,
        below: Option<&RegistrationFile>,
    ) -> anyhow::Result<()> {
        let name = registry::name_of(top);
        let path = top.path.display();
        let is_own = registry::is_own(top, self.settings);
        if matches!(top.state, EntryState::Disabled(_)) {
            let is_link = fs::symlink_metadata(&top.path).is_ok_and(|file| file.is_symlink());
            if !is_own || !is_link {
                self.report.add_problem(format!("{name} is disabled by {path}, which `hookmux disable` didn't make: remove it to enable the hook"));
                return Ok(());
            }
            if let Some(lock) = self.lock {
                hooks_d::remove(lock, &top.path)?;
            }
            let words = match below.map(|below| below.path.display()) {
                Some(below) => (
                    format!("enabled: {below} counts again"),
                    format!("would be enabled: {below} would count again"),
                ),
                None => (
                    format!("removed {path}; there was no registration behind it"),
                    format!("would remove {path}; there is no registration behind it"),
                ),
            };
            self.report.add(&name, &top.path, RegistrationAction::Enabled, words);
            if let Some(below) = below {
                self.explain_disabled(&name, below);
            }
            return Ok(());
        }
        if registry::read(top).is_some_and(|registration| registration.enabled) {
            self.report.add_unchanged(&name, &top.path, format!("is enabled already, in {path}"));
            return Ok(());
        }
        if is_own {
            return self.edit(top, true);
        }
        self.explain_disabled(&name, top);
        Ok(())
    }

    /// Reports why a registration of another root still doesn't run.
    fn explain_disabled(self, name: &str, source: &RegistrationFile) {
        let path = source.path.display();
        let read = crate::registry::read(
            &source.path,
            &source.root,
            self.settings.trust,
            &mut Trust::new(self.user),
        );
        match read {
            _ if fs::metadata(&source.path).is_ok_and(|file| file.is_file() && file.len() == 0) => {
                self.report.add_problem(format!(
                    "{name} is disabled by {path}: remove it to enable the hook"
                ))
            }
            Ok(registration) if registration.enabled => {}
            Ok(_) => self.report.add_problem(format!(
                "{path} says `enabled: false`, and is not in {}: copy it to {} and enable it there",
                self.settings.hooks_dir.display(),
                self.settings.hooks_dir.join(DIRECTORY).display()
            )),
            Err(diagnostic) => self.report.add_problem(diagnostic.to_string()),
        }
    }

    /// Changes the line with `enabled`.
    fn edit(self, source: &RegistrationFile, enables: bool) -> anyhow::Result<()> {
        let name = registry::name_of(source);
        let path = &source.path;
        let registration = match &source.content {
            Some(Ok(registration)) => registration,
            Some(Err(diagnostic)) => {
                self.report.add_problem(format!(
                    "{diagnostic}\n{name} can't be switched while it can't be read: correct it, or `{}`",
                    registry::own_command(self.settings, &["delete", &name])
                ));
                return Ok(());
            }
            None => return Ok(()),
        };
        let before = files::read_regular(path, MAX_REGISTRATION_BYTES)
            .and_then(files::into_text)
            .with_context(|| format!("{} can't be read", path.display()))?;
        let wanted = Registration { enabled: enables, ..registration.clone() };
        let means = |text: &str| {
            Registration::parse(path, &source.root, text).is_ok_and(|parsed| parsed == wanted)
        };
        let word = if enables { "true" } else { "false" };
        let Some(after) = yaml_edit::set(&before, "enabled", word, &means) else {
            self.report.add_problem(format!("{} is written in a way that hookmux can't edit: write `enabled: {word}` into it yourself", path.display()));
            return Ok(());
        };
        if let Some(lock) = self.lock {
            hooks_d::rewrite(lock, path, &after)?;
        }
        let action =
            if enables { RegistrationAction::Enabled } else { RegistrationAction::Disabled };
        let (word, at) = (action.name(), path.display());
        let words = (format!("{word}, in {at}"), format!("would be {word}, in {at}"));
        self.report.add(&name, path, action, words);
        self.report.add_diff(Some(&before), Some(&after));
        Ok(())
    }
}
