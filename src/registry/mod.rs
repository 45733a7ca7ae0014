//! All registrations of all roots: which exist, which mask others, which are broken.

pub(crate) mod cache;
pub(crate) mod matched_calls;
pub(crate) mod matching;

use std::fs;
use std::path::{Path, PathBuf};

use crate::config::diagnostic::Diagnostic;
use crate::config::registration::{DIRECTORY, EXTENSION, MAX_REGISTRATION_BYTES, Registration};
use crate::config::settings::{Settings, TrustPolicy};
use crate::config::triggers::Triggers;
use crate::machine::files;
use crate::search::EntryState;
use crate::search::directory::{self, FoundEntry, UnreadablePath};
use crate::trust::Trust;

/// The file in `hooks.d` that is locked while registrations change.
pub(crate) const LOCK_NAME: &str = ".lock";

/// One file of `hooks.d`.
#[derive(Clone, Debug)]
pub(crate) struct RegistrationFile {
    pub path: PathBuf,
    /// The root that has its `hooks.d`.
    pub root: PathBuf,
    pub state: EntryState,
    /// Of an active one: its registration, or what is wrong with it.
    pub content: Option<Result<Registration, Diagnostic>>,
}

/// A registration that can't be used.
#[derive(Clone, Debug)]
pub struct Broken {
    pub diagnostic: Diagnostic,
    /// Whether its last good form is used in its place.
    pub has_last_good: bool,
}

/// The part of the registry that concerns a call.
#[derive(Debug, Default)]
pub struct Registry {
    /// Those that concern the call, enabled or not.
    pub registrations: Vec<Registration>,
    pub broken: Vec<Broken>,
    pub unreadable: Vec<UnreadablePath>,
}

/// Returns the names of `hooks.d` over all roots, in byte order; of equal names, those of higher roots
/// first.
///
/// # Errors
/// A directory exists and can't be read.
pub(crate) fn entries(settings: &Settings) -> Result<Vec<FoundEntry>, UnreadablePath> {
    directory::entries_by(settings.all_roots(), DIRECTORY, &|path| {
        if path.extension().is_none_or(|end| end != EXTENSION) {
            let why = "not a registration: its name doesn't end in .yaml";
            return Some(EntryState::Skipped(why));
        }
        Some(match directory::state(path) {
            // a registration isn't executed
            EntryState::NotExecutable => EntryState::Active,
            // and an empty one is a mistake: a mask is a link
            EntryState::Disabled(_) if is_file(path) => EntryState::Active,
            // what it would run is unknown, as with a file that can't be parsed
            EntryState::Dangling if path.is_symlink() => EntryState::Active,
            EntryState::Dangling => EntryState::Skipped("it has just been removed"),
            state => state,
        })
    })
}

fn is_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file())
}

/// Reads all files without the cache, for the command line.
///
/// # Errors
/// A directory exists and can't be read.
pub(crate) fn scan(
    settings: &Settings,
    trust: &mut Trust,
) -> Result<Vec<RegistrationFile>, UnreadablePath> {
    let sources = entries(settings)?.into_iter().map(|entry| {
        let root = root_of(&entry.path);
        let content = (entry.state == EntryState::Active)
            .then(|| read(&entry.path, &root, settings.trust, trust));
        RegistrationFile { path: entry.path, root, state: entry.state, content }
    });
    Ok(sources.collect())
}

/// Makes the diagnostic for a link to nothing.
pub(crate) fn dangling_link(path: &Path) -> Diagnostic {
    let words =
        "a link to nothing: what it leads to is not there (a link to /dev/null would disable it)";
    Diagnostic::unreadable(path, words)
}

/// Returns the root of a file in its `hooks.d`.
pub(crate) fn root_of(source: &Path) -> PathBuf {
    source.parent().and_then(Path::parent).unwrap_or(Path::new("/")).to_path_buf()
}

/// Reads one registration. One that others could change is broken.
///
/// # Errors
/// What is wrong, and where.
pub(crate) fn read(
    path: &Path,
    root: &Path,
    policy: TrustPolicy,
    trust: &mut Trust,
) -> Result<Registration, Diagnostic> {
    if path.is_symlink() && !path.exists() {
        return Err(dangling_link(path));
    }
    if policy == TrustPolicy::Refuse {
        trust.file(path).map_err(|refusal| Diagnostic::not_trusted(path, &refusal))?;
    }
    let text = files::read_regular(path, MAX_REGISTRATION_BYTES)
        .and_then(files::into_text)
        .map_err(|error| Diagnostic::unreadable(path, error.to_string()))?;
    Registration::parse(path, root, &text)
}

/// Loads what concerns a call, without a cache.
pub fn load(settings: &Settings, trust: &mut Trust, wants: &dyn Fn(&Triggers) -> bool) -> Registry {
    let mut registry = Registry::default();
    match scan(settings, trust) {
        Err(unreadable) => registry.unreadable.push(unreadable),
        Ok(sources) => {
            for content in sources.into_iter().filter_map(|source| source.content) {
                match content {
                    Ok(registration) if wants(&registration.triggers) => {
                        registry.registrations.push(registration)
                    }
                    Ok(_) => {}
                    Err(diagnostic) => {
                        registry.broken.push(Broken { diagnostic, has_last_good: false })
                    }
                }
            }
        }
    }
    registry
}
