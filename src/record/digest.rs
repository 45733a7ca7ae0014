//! The digest of everything that decides what a call does, as commands have last computed it: kept for the
//! records of calls. A call reads only the hooks that it concerns, so it can't compute the digest itself.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::spool::Spool;
use super::text::RecordText;
use crate::config::Settings;
use crate::config::registration::{DIRECTORY, Registration};
use crate::config::settings::{FILE_NAME as SETTINGS_FILE, RecordPolicy};
use crate::hook::HookSource;
use crate::machine::clock;
use crate::plan::Step;
use crate::state::{DirPresence, format};

/// The file beside the new records, in the runtime directory, which is in memory: no disk that hangs can hold a call
/// up.
const FILE_NAME: &str = "digest";
/// The version of the file's format.
const FORMAT: u32 = 1;
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The files of modules, by the registration that calls a function of one.
pub(crate) type ModuleFiles = BTreeMap<String, RecordText>;

/// A digest, and when somebody began to compute it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct KeptDigest {
    format: u32,
    digest: String,
    /// Several hooks directories may share a runtime directory.
    hooks_dir: RecordText,
    /// The version of hookmux.
    version: String,
    /// In microseconds since 1970.
    computed_us: u64,
    /// The roots that were there. What is above one that isn't there changes with any package.
    roots: Vec<RecordText>,
    /// Where modules were found: a call can't look for them everywhere.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    modules: ModuleFiles,
}

/// Keeps the digest for the records of calls. `computed_us` is the time before the first file was read, in
/// microseconds since 1970.
///
/// # Errors
/// There are no records here, or as of `open(2)`, `write(2)`, `rename(2)`.
pub(crate) fn keep(
    settings: &Settings,
    digest: &str,
    modules: ModuleFiles,
    computed_us: u64,
) -> io::Result<()> {
    let kept = KeptDigest {
        format: FORMAT,
        digest: digest.to_owned(),
        hooks_dir: settings.hooks_dir.as_os_str().into(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        computed_us,
        roots: settings.all_roots().filter(|root| is_there(root)).map(text).collect(),
        modules,
    };
    let place = Spool::new(&settings.runtime_dir);
    if place.base().judge()? == DirPresence::Missing {
        return Err(io::ErrorKind::NotFound.into());
    }
    place.base().replace(FILE_NAME, &serde_json::to_vec(&kept)?)
}

/// Returns the digest for the record of a call with these steps; `None` where none is kept, or where something
/// that the call uses has changed since.
pub(crate) fn of_call(settings: &Settings, steps: &[Step]) -> Option<String> {
    if settings.record == RecordPolicy::None {
        return None;
    }
    let kept = load(settings)?;
    let is_older = |path: &Path| has_not_changed_since(path, kept.computed_us);
    let has_kept = is_older(&settings.hooks_dir.join(SETTINGS_FILE))
        && settings.environment_file.as_deref().is_none_or(is_older)
        && settings.all_roots().all(|root| match is_there(root) {
            true => is_older(root) && is_older(&root.join(DIRECTORY)),
            false => !kept.roots.contains(&text(root)),
        })
        && steps.iter().all(|step| {
            let hook = &step.hook;
            let directory = hook.path.parent().filter(|_| hook.source != HookSource::Registered);
            let registration = hook.registration.as_deref();
            let named = registration.into_iter().flat_map(Registration::named_files).flatten();
            let module = registration.and_then(|one| kept.modules.get(&one.name));
            let source = registration.map(|one| one.source.as_path());
            [Some(hook.path.as_path()), directory, source].into_iter().flatten().all(is_older)
                && named.map(|file| file.path).all(is_older)
                && module.is_none_or(|file| is_older(Path::new(&file.os())))
        });
    has_kept.then_some(kept.digest)
}

/// Reads the digest of this hooks directory and this version.
fn load(settings: &Settings) -> Option<KeptDigest> {
    let bytes = Spool::new(&settings.runtime_dir).base().read(FILE_NAME, MAX_FILE_BYTES).ok()?;
    let kept: KeptDigest = format::read_object(&bytes).ok()?;
    let is_ours = kept.format == FORMAT
        && kept.version == env!("CARGO_PKG_VERSION")
        && kept.hooks_dir == RecordText::from(settings.hooks_dir.as_os_str())
        // else the clock was wrong
        && kept.computed_us <= clock::unix_microseconds();
    is_ours.then_some(kept)
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn text(path: &Path) -> RecordText {
    path.as_os_str().into()
}

/// Tells whether a file, its mode and a link to it are as they were at a time; of one that isn't there, whether it
/// wasn't there then.
fn has_not_changed_since(path: &Path, computed_us: u64) -> bool {
    let is_older = |file: io::Result<fs::Metadata>| {
        file.ok().and_then(|file| changed_us(&file)).is_some_and(|changed| changed < computed_us)
    };
    match fs::symlink_metadata(path) {
        Ok(file) if file.is_symlink() => is_older(Ok(file)) && is_older(fs::metadata(path)),
        Ok(file) => is_older(Ok(file)),
        Err(_) => {
            let above = path.ancestors().skip(1).find(|above| is_there(above));
            above.is_none_or(|above| is_older(fs::metadata(above)))
        }
    }
}

/// Returns when a file or its mode last changed, in microseconds since 1970.
fn changed_us(file: &fs::Metadata) -> Option<u64> {
    let seconds = u64::try_from(file.ctime()).ok()?;
    let rest = u64::try_from(file.ctime_nsec()).ok()? / 1000;
    seconds.checked_mul(1_000_000)?.checked_add(rest)
}
