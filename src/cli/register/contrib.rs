//! The ready-made hooks, `contrib/hooks`: where they lie, what each is for, and its registrations.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::absolute;
use crate::config::registration::{EXTENSION, MAX_REGISTRATION_BYTES};
use crate::config::suggest::suggest_or;
use crate::machine::files;

/// Where the ready-made hooks lie, below the prefix with which the program was installed.
const BELOW_PREFIX: &str = "share/hookmux/contrib/hooks";
/// What `add` has before a hook's name.
const PREFIX: &str = "contrib/";
const README: &str = "README.md";
const METADATA: &str = "metadata.xml";

/// A ready-made hook.
pub(crate) struct ContribHook {
    pub name: String,
    pub directory: PathBuf,
    /// What it is for: the first sentence of its README.
    pub summary: Option<String>,
    /// The files of its registrations.
    pub registrations: Vec<PathBuf>,
    /// An example of what a guest's document says so that the hook does something for it.
    pub metadata: Option<String>,
}

/// Returns the name of the ready-made hook that `add` is asked for: `contrib/NAME`.
pub(crate) fn asked_for(what: &Path) -> Option<&str> {
    let name = what.to_str()?.strip_prefix(PREFIX)?.trim_end_matches('/');
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

/// Returns the directory of the ready-made hooks: the one that was named, else the one that was installed with
/// this program.
///
/// # Errors
/// There is no such directory.
pub(crate) fn directory(from: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(from) = from {
        let directory = std::path::absolute(from)?;
        if !directory.is_dir() {
            bail!("{} is not a directory", directory.display());
        }
        return Ok(directory);
    }
    let program = std::env::current_exe().context("this program's own path can't be found")?;
    let prefix = program.parent().and_then(Path::parent).unwrap_or(Path::new("/"));
    let directory = prefix.join(BELOW_PREFIX);
    if !directory.is_dir() {
        bail!(
            "there is no {}, where the packages have the ready-made hooks; --from DIR names another directory: contrib/hooks of the source",
            directory.display()
        );
    }
    Ok(directory)
}

/// Returns all ready-made hooks, by name.
///
/// # Errors
/// The directory can't be read.
pub(crate) fn all(directory: &Path) -> anyhow::Result<Vec<ContribHook>> {
    let unread = || format!("{} can't be read", directory.display());
    let mut hooks = Vec::new();
    for entry in fs::read_dir(directory).with_context(unread)? {
        let entry = entry.with_context(unread)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        hooks.extend(read(directory, &name));
    }
    hooks.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(hooks)
}

/// Returns a ready-made hook.
///
/// # Errors
/// There is none of this name.
pub(crate) fn find(directory: &Path, name: &str) -> anyhow::Result<ContribHook> {
    if let Some(hook) = read(directory, name) {
        return Ok(hook);
    }
    let hooks = all(directory)?;
    let names = hooks.iter().map(|hook| hook.name.as_str());
    let hint = suggest_or(name, names, "`hookmux list --available` shows all of them");
    bail!("there is no ready-made hook `{name}` in {}; {hint}", directory.display())
}

/// Reads the directory of a hook. Returns `None` if it has no registration.
fn read(parent: &Path, name: &str) -> Option<ContribHook> {
    let directory = parent.join(name);
    if name.starts_with('.') {
        return None;
    }
    let mut registrations: Vec<PathBuf> = fs::read_dir(&directory)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == EXTENSION) && path.is_file())
        .collect();
    registrations.sort_by(|one, other| one.file_stem().cmp(&other.file_stem()));
    let text = |file: &str| {
        let bytes = files::read_regular(&directory.join(file), MAX_REGISTRATION_BYTES).ok()?;
        files::into_text(bytes).ok()
    };
    if registrations.is_empty() {
        return None;
    }
    let summary = text(README).as_deref().and_then(first_sentence);
    let metadata = text(METADATA);
    Some(ContribHook { name: name.to_owned(), directory, summary, registrations, metadata })
}

/// Returns the first sentence of a text below its heading.
fn first_sentence(text: &str) -> Option<String> {
    let lines = text.lines().map(str::trim).skip_while(|it| it.is_empty() || it.starts_with('#'));
    let paragraph = lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let end = paragraph.find(". ").unwrap_or(paragraph.len());
    let sentence = paragraph[..end].trim_end_matches('.');
    (!sentence.is_empty()).then(|| sentence.to_owned())
}

/// Returns the text of a registration for `hooks.d`: as it is written, with absolute paths.
///
/// # Errors
/// As [`absolute::text`].
pub(crate) fn text(source: &Path, text: &str, hooks_dir: &Path) -> anyhow::Result<String> {
    let directory = source.parent().unwrap_or(Path::new("/"));
    absolute::text(source, text, directory, hooks_dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_become_absolute_and_all_else_stays() {
        let absolute = |given: &str| {
            text(Path::new("/c/x y/x.yaml"), given, Path::new("/etc/libvirt/hooks"))
                .map_err(|error| format!("{error:#}"))
        };
        let events = "# one\nevents: before_vm_start # two\n";
        for (given, wanted) in [
            ("command: x\n", "command: \"/c/x y/x\"\n"),
            ("command: [x, start] # three\n", "command: [\"/c/x y/x\", start] # three\n"),
            ("command: [x]\n", "command: \"/c/x y/x\"\n"),
            ("command: [bin/x, start]\n", "command: [\"/c/x y/bin/x\", start]\n"),
            ("command: [/bin/sh, x]\n", "command: [/bin/sh, x]\n"),
            (
                "check: [y, command]\ncommand: [x, start]\nrollback: [x, undo]\n",
                "check: [\"/c/x y/y\", command]\ncommand: [\"/c/x y/x\", start]\nrollback: [\"/c/x y/x\", undo]\n",
            ),
            (
                "command: [x]\nenvironment_file: x.conf\n",
                "command: \"/c/x y/x\"\nenvironment_file: \"/c/x y/x.conf\"\n",
            ),
        ] {
            assert_eq!(absolute(&format!("{events}{given}")), Ok(format!("{events}{wanted}")));
        }
        let several = absolute(&format!("{events}command:\n- x\n- start\n"));
        assert_eq!(several, Ok(format!("{events}command:\n- /c/x y/x\n- start\n")));
        let why = absolute(&format!("{events}command:\n- \"\\u0078\"\n- start\n")).unwrap_err();
        assert_eq!(why, "/c/x y/x.yaml: `command` has to be a path, or a list on one line");
        assert!(absolute("events: before_vm_start\n").is_err());
    }

    #[test]
    fn the_first_sentence_says_what_a_hook_is_for() {
        for (text, sentence) in [
            ("# x\n\nDoes a\nthing. And more.\n\nRest.\n", Some("Does a thing")),
            ("# x\n\nDoes a.b.c\n", Some("Does a.b.c")),
            ("Does it.\n", Some("Does it")),
            ("# x\n", None),
            ("", None),
        ] {
            assert_eq!(first_sentence(text).as_deref(), sentence, "{text}");
        }
    }

    #[test]
    fn contrib_is_told_from_files() {
        for (what, name) in [
            ("contrib/notify", Some("notify")),
            ("contrib/notify/", Some("notify")),
            ("contrib/", None),
            ("contrib/a/b", None),
            ("./contrib/notify", None),
            ("script", None),
        ] {
            assert_eq!(asked_for(Path::new(what)), name, "{what}");
        }
    }
}
