//! `hookmux enable` and `disable`: one line of a registration, or a mask for what lies elsewhere.

use std::fs;

use anyhow::Context;

use super::registry::{self, Report};
use crate::cli::args::SwitchArgs;
use crate::cli::output::Output;
use crate::cli::register::hooks_d::{self, Lock};
use crate::cli::register::yaml_edit;
use crate::cli::{End, Place};
use crate::config::registration::{DIRECTORY, MAX_REGISTRATION_BYTES};
use crate::config::{Registration, Settings};
use crate::machine::files;
use crate::registry::Source;
use crate::search::State;
use crate::trust::Trust;

pub(crate) fn enable(
    place: &Place,
    arguments: &SwitchArgs,
    output: &mut Output,
) -> anyhow::Result<End> {
    switch(place, arguments, true, output)
}

pub(crate) fn disable(
    place: &Place,
    arguments: &SwitchArgs,
    output: &mut Output,
) -> anyhow::Result<End> {
    switch(place, arguments, false, output)
}

fn switch(
    place: &Place,
    arguments: &SwitchArgs,
    is_wanted: bool,
    output: &mut Output,
) -> anyhow::Result<End> {
    let user = place.surroundings.user;
    let settings = registry::settings(place, output)?;
    let lock = registry::lock(&settings, user)?;
    let sources = registry::scan(&settings, user)?;
    let mut report = Report::default();
    for name in &arguments.names {
        let found = registry::find(&sources, name);
        let switch = Switch { lock: &lock, settings: &settings, user, report: &mut report };
        match found.first() {
            None => {
                let words = registry::missing(&settings, user, &sources, name);
                report.problem(words);
            }
            Some(top) if is_wanted => switch.enable(top, found.get(1).copied())?,
            Some(top) => switch.disable(top)?,
        }
    }
    report.tell_jobs(&settings);
    Ok(report.show(arguments.output.format, output))
}

struct Switch<'a> {
    lock: &'a Lock,
    settings: &'a Settings,
    user: u32,
    report: &'a mut Report,
}

impl Switch<'_> {
    fn disable(self, top: &Source) -> anyhow::Result<()> {
        let name = registry::name_of(top);
        let path = top.path.display();
        if matches!(top.state, State::Disabled(_)) {
            self.report.did(&name, &top.path, "none", format!("is disabled already, by {path}"));
            return Ok(());
        }
        if registry::read(top).is_some_and(|registration| !registration.enabled) {
            self.report.did(&name, &top.path, "none", format!("is disabled already, in {path}"));
            return Ok(());
        }
        if registry::is_own(top, self.settings) {
            return self.edit(top, false);
        }
        let mask = self.settings.hooks_dir.join(DIRECTORY).join(format!("{name}.yaml"));
        hooks_d::mask(self.lock, &mask)?;
        let words = format!("disabled: {} masks {path}", mask.display());
        self.report.did(&name, &mask, "disabled", words);
        Ok(())
    }

    /// `below` is what the topmost one masks.
    fn enable(self, top: &Source, below: Option<&Source>) -> anyhow::Result<()> {
        let name = registry::name_of(top);
        let path = top.path.display();
        let is_own = registry::is_own(top, self.settings);
        if matches!(top.state, State::Disabled(_)) {
            let is_link = fs::symlink_metadata(&top.path).is_ok_and(|file| file.is_symlink());
            if !is_own || !is_link {
                self.report.problem(format!("{name} is disabled by {path}, which is none of `hookmux disable`'s: remove it to enable the hook"));
                return Ok(());
            }
            hooks_d::remove(self.lock, &top.path)?;
            let words = match below {
                Some(below) => format!("enabled: {} counts again", below.path.display()),
                None => format!("removed {path}; there was no registration behind it"),
            };
            self.report.did(&name, &top.path, "enabled", words);
            if let Some(below) = below {
                self.tell_state(&name, below);
            }
            return Ok(());
        }
        if registry::read(top).is_some_and(|registration| registration.enabled) {
            self.report.did(&name, &top.path, "none", format!("is enabled already, in {path}"));
            return Ok(());
        }
        if is_own {
            return self.edit(top, true);
        }
        self.tell_state(&name, top);
        Ok(())
    }

    /// Why one of another root still doesn't run.
    fn tell_state(self, name: &str, source: &Source) {
        let path = source.path.display();
        let read = crate::registry::read(
            &source.path,
            &source.root,
            self.settings.trust,
            &mut Trust::new(self.user),
        );
        match read {
            _ if fs::metadata(&source.path).is_ok_and(|file| file.is_file() && file.len() == 0) => {
                self.report
                    .problem(format!("{name} is disabled by {path}: remove it to enable the hook"))
            }
            Ok(registration) if registration.enabled => {}
            Ok(_) => self.report.problem(format!(
                "{path} says `enabled: false`, and is not in {}: copy it to {} and enable it there",
                self.settings.hooks_dir.display(),
                self.settings.hooks_dir.join(DIRECTORY).display()
            )),
            Err(diagnostic) => self.report.problem(diagnostic.to_string()),
        }
    }

    /// Changes the one line.
    fn edit(self, source: &Source, is_wanted: bool) -> anyhow::Result<()> {
        let name = registry::name_of(source);
        let path = &source.path;
        let registration = match &source.content {
            Some(Ok(registration)) => registration,
            Some(Err(diagnostic)) => {
                self.report.problem(format!(
                    "{diagnostic}\n{name} can't be switched while it can't be read: mend it, or `{}`",
                    registry::own(self.settings, &["delete", &name])
                ));
                return Ok(());
            }
            None => return Ok(()),
        };
        let before = files::read_regular(path, MAX_REGISTRATION_BYTES)
            .and_then(files::into_text)
            .with_context(|| format!("{} can't be read", path.display()))?;
        let wanted = Registration { enabled: is_wanted, ..registration.clone() };
        let means = |text: &str| {
            Registration::parse(path, &source.root, text).is_ok_and(|parsed| parsed == wanted)
        };
        let word = if is_wanted { "true" } else { "false" };
        let Some(after) = yaml_edit::set(&before, "enabled", word, &means) else {
            self.report.problem(format!("{} is written in a way that nothing can be added to: write `enabled: {word}` into it yourself", path.display()));
            return Ok(());
        };
        hooks_d::rewrite(self.lock, path, &after)?;
        let action = if is_wanted { "enabled" } else { "disabled" };
        self.report.did(&name, path, action, format!("{action}, in {}", path.display()));
        Ok(())
    }
}
