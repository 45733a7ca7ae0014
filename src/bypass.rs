//! The emergency switch: hooks that keep guests from starting are passed over, for a time.
//!
//! One file in the hooks directory, so that it works whatever is wrong with the settings, and still
//! does after the host has been started anew. It says of whom and until when; one that isn't trusted
//! or can't be read switches nothing off.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::files;
use crate::libvirt::Call;
use crate::trust::Trust;

/// The file's name in the hooks directory.
pub const FILE_NAME: &str = "hookmux.bypass";
/// What is read of it at most, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Whose calls are passed over, and how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// A guest's or network's name; `None` is every call.
    pub guest: Option<String>,
    /// Seconds since 1970; `None` until it is switched off.
    pub until: Option<u64>,
    pub since: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bypass {
    pub entries: Vec<Entry>,
}

impl Entry {
    /// `the host, until 14:05`, without the time.
    pub fn whose(&self) -> String {
        self.guest.as_ref().map_or_else(
            || "every call of this host".to_owned(),
            |guest| format!("calls about {guest}"),
        )
    }
}

impl Bypass {
    /// The entry that a call is under.
    pub fn of(&self, call: &Call) -> Option<&Entry> {
        let is_its = |entry: &&Entry| {
            entry.guest.as_ref().is_none_or(|guest| call.object() == guest.as_str())
        };
        self.entries.iter().find(is_its)
    }

    pub fn is_off(&self) -> bool {
        self.entries.is_empty()
    }
}

pub fn path(hooks_dir: &Path) -> PathBuf {
    hooks_dir.join(FILE_NAME)
}

/// What is switched off now.
///
/// # Errors
/// In words: there is a file, and it counts for nothing.
pub fn load(hooks_dir: &Path, trust: &mut Trust) -> Result<Bypass, String> {
    let path = path(hooks_dir);
    let fault = |why: &dyn std::fmt::Display| {
        format!("the emergency switch {} counts for nothing: {why}", path.display())
    };
    match fs::symlink_metadata(&path) {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(Bypass::default());
        }
        Err(error) => return Err(fault(&error)),
        Ok(_) => {}
    }
    trust.file(&path).map_err(|refusal| {
        let fix = refusal.fix().map(|fix| format!("; {fix}")).unwrap_or_default();
        format!("{}{fix}", fault(&refusal))
    })?;
    let bytes = files::read_asked(&path, MAX_FILE_BYTES).map_err(|error| fault(&error))?;
    let mut bypass: Bypass = serde_json::from_slice(&bytes).map_err(|error| fault(&error))?;
    let now = now();
    bypass.entries.retain(|entry| entry.until.is_none_or(|until| now < until));
    Ok(bypass)
}

/// Replaces the file, or removes it where nothing is switched off.
///
/// # Errors
/// It stays as it was.
pub fn keep(hooks_dir: &Path, bypass: &Bypass) -> io::Result<()> {
    let path = path(hooks_dir);
    if bypass.is_off() {
        return files::remove(&path);
    }
    let mut bytes = serde_json::to_vec_pretty(bypass)?;
    bytes.push(b'\n');
    files::replace(&path, &bytes)?;
    // it is no secret that hooks don't run
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644))
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libvirt::Driver;

    fn call(object: &str) -> Call {
        Call::new(Driver::Qemu, vec![object.into(), "prepare".into(), "begin".into(), "-".into()])
    }

    fn entry(guest: Option<&str>, until: Option<u64>) -> Entry {
        Entry { guest: guest.map(str::to_owned), until, since: 0 }
    }

    #[test]
    fn it_holds_for_a_guest_or_for_all_and_until_its_time_is_over() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let mut trust = Trust::new(nix::unistd::geteuid().as_raw());
        assert!(load(&root, &mut trust).unwrap().is_off());
        let bypass = Bypass {
            entries: vec![
                entry(Some("a"), None),
                entry(Some("b"), Some(now() + 60)),
                entry(Some("c"), Some(now() - 1)),
            ],
        };
        keep(&root, &bypass).unwrap();
        let loaded = load(&root, &mut trust).unwrap();
        let is_under = |name: &str| loaded.of(&call(name)).is_some();
        assert!(is_under("a") && is_under("b") && !is_under("c") && !is_under("d"));
        keep(&root, &Bypass { entries: vec![entry(None, None)] }).unwrap();
        assert!(load(&root, &mut trust).unwrap().of(&call("d")).is_some());
        keep(&root, &Bypass::default()).unwrap();
        assert!(!path(&root).exists());
    }

    #[test]
    fn a_file_that_is_none_switches_nothing_off() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let mut trust = Trust::new(nix::unistd::geteuid().as_raw());
        fs::write(path(&root), "{").unwrap();
        assert!(load(&root, &mut trust).unwrap_err().contains("counts for nothing"));
    }
}
