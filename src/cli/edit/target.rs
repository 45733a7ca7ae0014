//! What is edited: the settings, a registration or a script, by its name.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use crate::cli::args::FileKind;
use crate::cli::check::files::MAX_BYTES;
use crate::cli::inventory::Inventory;
use crate::cli::inventory::listed::{self, Listed};
use crate::cli::register::{absolute, cpanel_words, registry};
use crate::command::{Fix, words};
use crate::config::registration::{DIRECTORY, EXTENSION};
use crate::config::settings::FILE_NAME;
use crate::config::suggest::suggest_or;
use crate::config::{Registration, Settings};
use crate::machine::files;
use crate::process::startable::head::{ExecutableHead, head};
use crate::registry::RegistrationFile;
use crate::repair::OwnPaths;
use crate::search::EntryState;

/// What a new settings file begins with.
const SETTINGS_EXAMPLE: &str = include_str!("settings.example.yaml");

/// A file to edit.
pub(super) struct Target {
    pub kind: FileKind,
    /// Where the result goes.
    pub path: PathBuf,
    /// Where the text comes from: another one if the file is in another root. Links are followed.
    pub source: PathBuf,
    /// What is there; `None` where there is no file yet.
    pub before: Option<(Vec<u8>, Metadata)>,
    /// The text to begin with, where it isn't what is there.
    pub start: Option<String>,
    /// The link that leads to the file, if that is outside of all roots.
    pub link: Option<PathBuf>,
    /// What the user should know before.
    pub remark: Option<String>,
}

impl Target {
    /// Returns the text to begin with.
    pub(super) fn text(&self) -> &[u8] {
        let there = self.before.as_ref().map(|(bytes, _)| bytes.as_slice());
        let start = self.start.as_ref().map(String::as_bytes);
        start.or(there).unwrap_or(SETTINGS_EXAMPLE.as_bytes())
    }

    /// Tells whether the result will mask the file that it comes from.
    pub(super) fn masks(&self) -> bool {
        self.path != self.source
    }

    /// Tells whether its file is still as it was when it was read.
    ///
    /// # Errors
    /// It can't be read.
    pub(super) fn is_unchanged(&self) -> io::Result<bool> {
        let now = match files::read_regular(&self.source, MAX_BYTES) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let is_same = now.as_deref() == self.before.as_ref().map(|(bytes, _)| bytes.as_slice());
        let is_free = !self.masks() || self.path.symlink_metadata().is_err();
        Ok(is_same && is_free)
    }
}

/// Finds the settings.
///
/// # Errors
/// They can't be read.
pub(super) fn settings(hooks_dir: &Path) -> anyhow::Result<Target> {
    let path = hooks_dir.join(FILE_NAME);
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            ensure!(hooks_dir.is_dir(), "there is no directory {}", hooks_dir.display());
            Ok(Target {
                kind: FileKind::Settings,
                source: path.clone(),
                path,
                before: None,
                start: None,
                link: None,
                remark: None,
            })
        }
        _ => existing(FileKind::Settings, &path, None, &[hooks_dir]),
    }
}

/// Finds a hook by its name: a registration's name or id, a script's `event/name`.
///
/// # Errors
/// There is none, or several, or it can't be edited.
pub(super) fn hook(settings: &Settings, user: u32, name: &str) -> anyhow::Result<Target> {
    let sources = registry::scan(settings, user)?;
    let bare = name.strip_prefix(DIRECTORY).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name);
    if let Some(top) = registry::find(&sources, bare).first() {
        return registration(settings, top);
    }
    let has_id = |source: &&RegistrationFile| {
        registry::read(source).is_some_and(|one| cpanel_words::place_with_id(one, name).is_some())
    };
    if let Some(source) = sources.iter().find(has_id) {
        return registration(settings, source);
    }
    let hooks = listed::all(Inventory::look(settings, user))?;
    let is_label = |hook: &&Listed| hook.label == name;
    let is_name = |hook: &&Listed| hook.name == name && hook.registration.is_none();
    let by_label: Vec<&Listed> = hooks.iter().filter(is_label).collect();
    let found = match by_label.is_empty() {
        true => hooks.iter().filter(is_name).collect(),
        false => by_label,
    };
    // what is masked comes after what masks it
    let Some(hook) = found.first() else {
        if !name.starts_with(DIRECTORY) && name.contains('/') {
            let scripts = hooks.iter().filter(|hook| hook.registration.is_none());
            let labels = scripts.map(|hook| hook.label.as_str());
            let hint = suggest_or(name, labels, "`hookmux list` shows all hooks");
            bail!("there is no script `{name}`; {hint}");
        }
        bail!(registry::unknown_name(settings, user, &sources, name).words());
    };
    if let Some(other) = found.iter().find(|other| other.label != hook.label) {
        bail!("`{name}` is the name of several hooks: write {} or {}", hook.label, other.label);
    }
    if let Some(file) = &hook.registration {
        let source = sources.iter().find(|source| source.path == *file);
        return source.map_or_else(
            || existing(FileKind::Registration, file, None, &roots(settings)),
            |source| registration(settings, source),
        );
    }
    if is_null_link(&hook.path) {
        let fix = OwnPaths::of(settings, user).guard(Fix::run(&words!["rm", &hook.path]));
        bail!(
            "{} is disabled by {}, a link to /dev/null: `{fix}` first",
            hook.label,
            hook.path.display()
        );
    }
    script(settings, &hook.path)
}

/// Tells whether a name only keeps others from running.
fn is_null_link(path: &Path) -> bool {
    path.is_symlink() && fs::canonicalize(path).is_ok_and(|real| real == Path::new("/dev/null"))
}

fn roots(settings: &Settings) -> Vec<&Path> {
    settings.all_roots().collect()
}

fn registration(settings: &Settings, top: &RegistrationFile) -> anyhow::Result<Target> {
    let name = registry::name_of(top);
    if matches!(top.state, EntryState::Disabled(_)) && is_null_link(&top.path) {
        bail!(
            "{name} is disabled by {}, a link to /dev/null: `{}` first",
            top.path.display(),
            registry::own_command(settings, &["enable", &name])
        );
    }
    let own = settings.hooks_dir.join(DIRECTORY).join(format!("{name}.{EXTENSION}"));
    let masking = (!registry::is_own(top, settings)).then_some(own);
    let is_copy = masking.is_some();
    let mut target = existing(FileKind::Registration, &top.path, masking, &roots(settings))?;
    let text = std::str::from_utf8(target.text()).ok().filter(|_| is_copy);
    // where it can't be read, the user will correct that
    let readable = text.filter(|text| Registration::parse(&top.path, &top.root, text).is_ok());
    if let Some(text) = readable {
        match absolute::text(&top.path, text, &top.root, &settings.hooks_dir) {
            Ok(changed) => target.start = Some(changed),
            Err(error) => {
                target.remark = Some(format!(
                    "{error}, to be made absolute: what is relative in it is below {}",
                    top.root.display()
                ));
            }
        }
    }
    Ok(target)
}

fn script(settings: &Settings, path: &Path) -> anyhow::Result<Target> {
    // a root may be named by way of the hooks directory: `hooks/../more`
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let directory = path.parent().map(real).unwrap_or_default();
    let is_own = directory.starts_with(real(&settings.hooks_dir));
    let masking = (!is_own).then(|| {
        // `event/name` below its root
        let name = path.file_name().unwrap_or_default();
        let event = path.parent().and_then(Path::file_name).unwrap_or_default();
        settings.hooks_dir.join(event).join(name)
    });
    let target = existing(FileKind::Script, path, masking, &roots(settings))?;
    if head(target.text()) == ExecutableHead::Program {
        bail!("{} is a program in machine code: it can't be edited", path.display());
    }
    Ok(target)
}

/// Reads a file; the result goes to another place if that is given.
fn existing(
    kind: FileKind,
    path: &Path,
    goes_to: Option<PathBuf>,
    roots: &[&Path],
) -> anyhow::Result<Target> {
    let read = || {
        let source = fs::canonicalize(path)?;
        let bytes = files::read_regular(&source, MAX_BYTES)?;
        let metadata = fs::metadata(&source)?;
        Ok::<_, io::Error>((source, bytes, metadata))
    };
    let (source, bytes, metadata) =
        read().with_context(|| format!("{} can't be read", path.display()))?;
    let is_in_root = || {
        let real = |root: &&Path| fs::canonicalize(root).is_ok_and(|root| source.starts_with(root));
        roots.iter().any(real)
    };
    let link = (goes_to.is_none() && !is_in_root()).then(|| path.to_path_buf());
    let path = goes_to.unwrap_or_else(|| source.clone());
    let before = Some((bytes, metadata));
    Ok(Target { kind, path, source, before, start: None, link, remark: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;
    use crate::config::surroundings::Surroundings;

    #[test]
    fn the_example_has_every_setting_and_holds_what_is_usual() {
        let directory = tempfile::tempdir().unwrap();
        let surroundings = Surroundings::here(directory.path());
        let path = Path::new("/h/hookmux.yaml");
        let parse = |text: &str| Settings::parse(path, text, &surroundings).unwrap();
        let usual = Settings::defaults(&surroundings);
        assert_eq!(parse(SETTINGS_EXAMPLE), usual);
        let is_key = |line: &&str| line.starts_with('#') && !line.starts_with("# ");
        let lines: Vec<&str> =
            SETTINGS_EXAMPLE.lines().filter(is_key).map(|line| &line[1..]).collect();
        let mut written: Vec<&str> =
            lines.iter().map(|line| line.split_once(':').unwrap().0).collect();
        let mut known: Vec<&str> = keys::top_level(keys::SETTINGS).collect();
        written.sort_unstable();
        known.sort_unstable();
        assert_eq!(written, known);
        // those that have no usual value, or one that depends on the user
        let others =
            ["environment_file", "custom_properties", "state_dir", "runtime_dir", "save_dir"];
        let is_usual =
            |line: &&&str| !others.iter().any(|key| line.starts_with(&format!("{key}:")));
        let text: String = lines.iter().filter(is_usual).map(|line| format!("{line}\n")).collect();
        assert_eq!(parse(&text), usual, "{text}");
        parse(&lines.join("\n"));
    }
}
