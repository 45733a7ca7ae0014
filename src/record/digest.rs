//! The digest of everything that decides what a call does, as commands have last computed it: kept for the
//! records of calls. A call reads only the hooks that it concerns, so it can't compute the digest itself.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::spool::Spool;
use super::text::RecordText;
use crate::config::Settings;
use crate::config::registration::DIRECTORY;
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
const MAX_FILE_BYTES: u64 = 64 << 10;

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
}

/// Keeps the digest for the records of calls. `computed_us` is the time before the first file was read, in
/// microseconds since 1970.
///
/// # Errors
/// There are no records here, or as of `open(2)`, `write(2)`, `rename(2)`.
pub(crate) fn keep(settings: &Settings, digest: &str, computed_us: u64) -> io::Result<()> {
    let kept = KeptDigest {
        format: FORMAT,
        digest: digest.to_owned(),
        hooks_dir: settings.hooks_dir.as_os_str().into(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        computed_us,
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
    let is_older = |path: &Path| {
        let changed = fs::metadata(path).ok().and_then(|file| changed_us(&file));
        changed.is_none_or(|changed| changed < kept.computed_us)
    };
    let has_kept = is_older(&settings.hooks_dir.join(SETTINGS_FILE))
        && settings.all_roots().all(|root| is_older(root) && is_older(&root.join(DIRECTORY)))
        && steps.iter().all(|step| {
            let hook = &step.hook;
            let directory = hook.path.parent().filter(|_| hook.source != HookSource::Registered);
            let registration = hook.registration.as_deref().map(|one| one.source.as_path());
            let files = [Some(hook.path.as_path()), directory, registration];
            files.into_iter().flatten().all(is_older)
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

/// Returns when a file or its mode last changed, in microseconds since 1970.
fn changed_us(file: &fs::Metadata) -> Option<u64> {
    let seconds = u64::try_from(file.ctime()).ok()?;
    let rest = u64::try_from(file.ctime_nsec()).ok()? / 1000;
    seconds.checked_mul(1_000_000)?.checked_add(rest)
}
