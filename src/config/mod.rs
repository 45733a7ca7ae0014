//! The configuration: settings, and the keys of registrations.

pub(crate) mod choice;
pub(crate) mod custom_properties;
pub(crate) mod diagnostic;
pub(crate) mod glob;
pub(crate) mod keys;
pub(crate) mod last_good;
pub(crate) mod limits;
pub(crate) mod recovered_registration;
mod recovered_settings;
pub(crate) mod registration;
pub(crate) mod rights;
pub(crate) mod settings;
pub(crate) mod suggest;
pub(crate) mod surroundings;
pub(crate) mod template;
pub(crate) mod tree_name;
pub(crate) mod triggers;
pub(crate) mod values;
pub(crate) mod when;
pub(crate) mod yaml;

use std::fs;
use std::io;
use std::path::Path;

pub use diagnostic::Diagnostic;
pub(crate) use last_good::LastGood;
pub use registration::Registration;
pub use settings::Settings;
pub(crate) use settings::TrustPolicy;
pub use surroundings::Surroundings;

use crate::machine::files;
use crate::trust::Trust;

/// The settings of a call, from the file, its last good copy or the defaults.
#[derive(Debug)]
pub(crate) struct LoadedSettings {
    pub settings: Settings,
    /// What is wrong with the file, if anything.
    pub problem: Option<Diagnostic>,
    /// What is used in place of a broken file.
    pub last_good: Option<LastGood>,
}

impl LoadedSettings {
    /// Tells whether the file is broken and there is nothing to use in its place.
    pub(crate) fn is_lost(&self) -> bool {
        self.problem.is_some() && self.last_good.is_none()
    }

    /// Restricts the settings to what applies to this user's daemon. Returns which hooks it has. Where
    /// these are only scripts that libvirt itself would call, its directories are the user's own, and
    /// nothing that the administrator set can stop a call.
    pub(crate) fn restrict_to_user(&mut self, surroundings: &Surroundings) -> HookScope {
        let scope = HookScope::of(&self.settings, surroundings.user);
        if scope == HookScope::DropIns {
            let usual = Settings::defaults(surroundings);
            self.problem = None;
            self.settings.state_dir = usual.state_dir;
            self.settings.runtime_dir = usual.runtime_dir;
            self.settings.save_dir = usual.save_dir;
            self.settings.custom_properties = None;
            self.settings.outbox = false;
            self.settings.environment_file = None;
        }
        scope
    }
}

/// Which hooks the daemon of a user has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HookScope {
    All,
    /// Only scripts that were there before hookmux was installed: libvirt itself would call them.
    DropIns,
}

impl HookScope {
    /// Returns the scope for a user: the administrator's hooks are for root's daemon, and for those of
    /// other users only where `session` is set.
    pub(crate) fn of(settings: &Settings, user: u32) -> HookScope {
        if user == 0 || settings.session { HookScope::All } else { HookScope::DropIns }
    }
}

/// Reads `hookmux.yaml`. For a broken, unreadable or untrusted file, its last good copy is used. If
/// there is none, what can be recovered from the file is used with the defaults;
/// `LoadedSettings::is_lost` tells so. With `keep`, a good file becomes the last good copy.
pub(crate) fn load(surroundings: &Surroundings, trust: &mut Trust, keep: bool) -> LoadedSettings {
    let path = surroundings.hooks_dir.join(settings::FILE_NAME);
    let file = match read(&path, trust) {
        Ok(None) => {
            let settings = Settings::defaults(surroundings);
            if keep && surroundings.is_root() {
                // as below: an error is no reason to fail
                let _ = last_good::keep_absence(&settings.state_dir, &path);
            }
            return LoadedSettings { settings, problem: None, last_good: None };
        }
        Ok(Some(file)) => Ok(file),
        Err(problem) => Err((problem, None)),
    };
    let parsed = match file {
        Ok((text, metadata)) => match Settings::parse(&path, &text, surroundings) {
            Ok(settings) => Ok((settings, text, metadata)),
            Err(problem) => Err((problem, Some(text))),
        },
        Err(unread) => Err(unread),
    };
    match parsed {
        Ok((settings, text, metadata)) => {
            // a session's daemon without hooks runs nothing, so nothing is written
            if keep && (surroundings.is_root() || settings.session) {
                // without the copy, a later mistake in the file only has a stricter answer
                let _ = last_good::keep(&settings.state_dir, &path, &metadata, &text);
            }
            LoadedSettings { settings, problem: None, last_good: None }
        }
        Err((problem, text)) => {
            // nothing is taken from a file that isn't trusted or can't be read
            let left = Settings::from_broken(text.as_deref().unwrap_or_default(), surroundings);
            // a file that can't be read, or isn't trusted, may have been there for long
            let is_read = text.is_some();
            let found = last_good::find(&left.state_dir, &path);
            let found = found.filter(|(last_good, _)| is_read || *last_good != LastGood::Absent);
            let found = found.and_then(|(last_good, text)| {
                Some((Settings::parse(&path, &text, surroundings).ok()?, last_good))
            });
            let (settings, last_good) = match found {
                Some((settings, last_good)) => (settings, Some(last_good)),
                None => (left, None),
            };
            LoadedSettings { settings, problem: Some(problem), last_good }
        }
    }
}

fn read(path: &Path, trust: &mut Trust) -> Result<Option<(String, fs::Metadata)>, Diagnostic> {
    match fs::symlink_metadata(path) {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(Diagnostic::unreadable(path, error.to_string())),
        Ok(_) => {}
    }
    let metadata = trust.file(path).map_err(|refusal| Diagnostic::not_trusted(path, &refusal))?;
    let text = files::read_known_regular(path, settings::MAX_SETTINGS_BYTES)
        .and_then(files::into_text)
        .map_err(|error| Diagnostic::unreadable(path, error.to_string()))?;
    Ok(Some((text, metadata)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    struct Place {
        _directory: tempfile::TempDir,
        surroundings: Surroundings,
    }

    impl Place {
        fn new() -> Place {
            let directory = tempfile::tempdir().unwrap();
            let surroundings = Surroundings::here(&directory.path().canonicalize().unwrap());
            Place { _directory: directory, surroundings }
        }

        fn write(&self, text: &str) {
            let path = self.surroundings.hooks_dir.join("hookmux.yaml");
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        }

        fn load(&self) -> LoadedSettings {
            load(&self.surroundings, &mut Trust::new(self.surroundings.user), true)
        }
    }

    #[test]
    fn a_broken_file_is_replaced_by_its_last_good_copy() {
        let place = Place::new();
        place.write("state_dir: state\ntimeout: 7s\n");
        assert!(place.load().problem.is_none());
        place.write("state_dir: state\ntimeout: 8s\nbroken\n");
        let loaded = place.load();
        assert!(loaded.problem.is_some() && !loaded.is_lost());
        assert_eq!(loaded.settings.timeout, Some(std::time::Duration::from_secs(7)));
    }

    #[test]
    fn without_a_copy_it_is_lost() {
        let place = Place::new();
        place.write("state_dir: state\ntimeout: [\n");
        assert!(place.load().is_lost());
    }

    #[test]
    fn a_file_that_others_may_write_is_not_believed() {
        let place = Place::new();
        place.write("state_dir: state\nsession: true\n");
        let path = place.surroundings.hooks_dir.join("hookmux.yaml");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let loaded = place.load();
        assert!(loaded.problem.unwrap().message.contains("writable by group"));
        assert!(!loaded.settings.session);
    }
}
