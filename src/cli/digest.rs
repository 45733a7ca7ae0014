//! The digest of a host: one hash over everything that decides what calls do. Two hosts with the same digest do
//! the same. It is over the version, the settings, and each hook that runs or would fail: its place, its order,
//! its program and its registration. Nothing that only this host has is in it: no inode, no time, no path of the
//! hooks directory, no state.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::inventory::Inventory;
use super::inventory::listed::{self, HookState, Listed};
use super::register::module_file::CalledFunction;
use super::register::written::without_header;
use super::{CommandPlace, rights};
use crate::config::registration::NamedFile;
use crate::config::surroundings::DEFAULT_RUNTIME_DIR;
use crate::config::{self, LoadedSettings, Registration};
use crate::libvirt::driver::DEFAULT_HOOKS_DIR;
use crate::machine::{clock, files};
use crate::record::digest::{self, ModuleFiles};
use crate::trust::Trust;

/// The largest program that is read; even large ones are smaller.
const MAX_PROGRAM_BYTES: u64 = 64 << 20;
/// The largest script that an interpreter is started with, and the largest file with variables.
const MAX_SCRIPT_BYTES: u64 = 1 << 20;

/// What is hashed, as JSON.
#[derive(Serialize)]
struct Digested {
    version: &'static str,
    settings: Vec<(&'static str, String)>,
    /// The file with variables that the settings name.
    environment_file: Option<String>,
    /// Whether the settings can't be read, and the last good copy or the defaults hold.
    is_broken: bool,
    hooks: Vec<DigestedHook>,
}

#[derive(Serialize)]
struct DigestedHook {
    place: String,
    hook: String,
    state: &'static str,
    order: Option<usize>,
    style: Option<&'static str>,
    program: Option<String>,
    /// The text of its registration, without the comment that says how it was made.
    registration: Option<String>,
    /// What else its registration names: the file of its module, the script of its interpreter, its other
    /// programs, its file with variables.
    more: Vec<Option<String>>,
}

/// A digest, and which files of modules are in it.
pub(super) struct HostDigest {
    pub value: String,
    modules: ModuleFiles,
}

/// The digests of files, each read once.
#[derive(Default)]
struct Files(HashMap<PathBuf, Option<String>>);

impl Files {
    /// Returns the digest of a file; `None` if it isn't there, or isn't a file, or too large.
    ///
    /// # Errors
    /// This user may not read it: the digest would be wrong.
    fn digest(&mut self, path: &Path, limit: u64) -> anyhow::Result<Option<String>> {
        if let Some(known) = self.0.get(path) {
            return Ok(known.clone());
        }
        let digest = match files::read_regular(path, limit) {
            Ok(bytes) => Some(files::sha256(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(rights::explained(path, error));
            }
            Err(_) => None,
        };
        self.0.insert(path.to_path_buf(), digest.clone());
        Ok(digest)
    }

    /// Returns the digests of what a registration names. `module` is the file of the function that it calls.
    fn of_registration(
        &mut self,
        registration: &Registration,
        module: Option<&Path>,
    ) -> anyhow::Result<Vec<Option<String>>> {
        let module = module.map(|path| NamedFile { path, is_program: false });
        let files = std::iter::once(module).chain(registration.named_files());
        let digests = files.map(|file| {
            let Some(NamedFile { path, is_program }) = file else { return Ok(None) };
            self.digest(path, if is_program { MAX_PROGRAM_BYTES } else { MAX_SCRIPT_BYTES })
        });
        digests.collect()
    }
}

/// Computes the digest of the hooks that were listed.
///
/// # Errors
/// This user may not read a file that counts.
pub(super) fn compute(
    place: &CommandPlace,
    loaded: &LoadedSettings,
    hooks: &[Listed],
) -> anyhow::Result<HostDigest> {
    let settings = &loaded.settings;
    let mut files = Files::default();
    let mut modules = ModuleFiles::new();
    let mut digested = Vec::new();
    for hook in hooks.iter().filter(|hook| counts(hook)) {
        let registered = hook.registered.as_deref();
        let called = registered.and_then(|one| CalledFunction::of(one, &settings.hooks_dir));
        let module = called.and_then(|called| called.file);
        if let Some((one, file)) = registered.zip(module.as_deref()) {
            modules.insert(one.name.clone(), file.as_os_str().into());
        }
        digested.push(DigestedHook {
            place: hook.place.clone(),
            hook: hook.label.clone(),
            state: hook.state.name(),
            order: hook.order,
            style: hook.style.map(crate::hook::Style::name),
            program: files.digest(&hook.path, MAX_PROGRAM_BYTES)?,
            registration: registered.map(|one| digest_of_text(&one.written.text)),
            more: match registered {
                Some(one) => files.of_registration(one, module.as_deref())?,
                None => Vec::new(),
            },
        });
    }
    let variables = settings.environment_file.as_deref();
    let digested = Digested {
        version: env!("CARGO_PKG_VERSION"),
        settings: settings.decisive_values(&place.surroundings),
        environment_file: variables
            .map(|path| files.digest(path, MAX_SCRIPT_BYTES))
            .transpose()?
            .flatten(),
        is_broken: loaded.problem.is_some(),
        hooks: digested,
    };
    Ok(HostDigest { value: files::sha256(&serde_json::to_vec(&digested)?), modules })
}

/// Returns the digest of a registration's text. Who registered it, and from which file, decides nothing.
fn digest_of_text(text: &str) -> String {
    files::sha256(without_header(text).as_bytes())
}

/// Tells whether a hook decides what a call does: it runs, or makes the call fail.
fn counts(hook: &Listed) -> bool {
    matches!(
        hook.state,
        HookState::Active | HookState::Refused | HookState::Fails | HookState::Broken
    )
}

/// Keeps a digest for the records of calls, if this host has records. `computed_us` is the time before the first
/// file was read, in microseconds since 1970.
pub(super) fn keep(loaded: &LoadedSettings, digest: &HostDigest, computed_us: u64) {
    let settings = &loaded.settings;
    // of broken settings, the directories may be others than those that calls use
    if loaded.problem.is_some() || !settings.hooks_dir.is_dir() {
        return;
    }
    // another hooks directory without settings of its own leaves the host's digest as it is
    let is_hosts = settings.runtime_dir.unchecked_path() == Path::new(DEFAULT_RUNTIME_DIR);
    if is_hosts && settings.hooks_dir != Path::new(DEFAULT_HOOKS_DIR) {
        return;
    }
    // without it, records have no digest
    let _ = digest::keep(settings, &digest.value, digest.modules.clone(), computed_us);
}

/// Computes the digest again after a command has changed something, and keeps it. Where that can't be done,
/// records have none.
pub(super) fn renew(place: &CommandPlace) {
    let computed_us = clock::unix_microseconds();
    let user = place.surroundings.user;
    let loaded = config::load(&place.surroundings, &mut Trust::new(user), false);
    let Ok(hooks) = listed::all(Inventory::look(&loaded.settings, user)) else { return };
    if let Ok(digest) = compute(place, &loaded, &hooks) {
        keep(&loaded, &digest, computed_us);
    }
}
