//! What the administrator decided: settings, and where hooks may lie.

pub(crate) mod choice;
pub(crate) mod custom_properties;
pub(crate) mod diagnostic;
pub(crate) mod glob;
pub(crate) mod keys;
pub(crate) mod last_good;
pub(crate) mod limits;
pub(crate) mod meaning;
pub(crate) mod registration;
pub(crate) mod rights;
mod salvage;
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
pub(crate) use last_good::StandIn;
pub use registration::Registration;
pub use settings::Settings;
pub(crate) use settings::TrustPolicy;
pub use surroundings::Surroundings;

use crate::machine::files;
use crate::trust::Trust;

/// The settings of a call, however they were come by.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub settings: Settings,
    /// What is wrong with the file, if anything.
    pub problem: Option<Diagnostic>,
    /// What stands in for a broken file.
    pub stand_in: Option<StandIn>,
}

impl Loaded {
    /// Whether the file is broken and nothing stands in for it.
    pub(crate) fn is_lost(&self) -> bool {
        self.problem.is_some() && self.stand_in.is_none()
    }

    /// Keeps of the settings what holds for this user's daemon; returns which hooks it has. Where those
    /// are only scripts that libvirt itself would call, its places are the user's own, and nothing of
    /// the administrator's can stop a call.
    pub(crate) fn narrow(&mut self, surroundings: &Surroundings) -> Scope {
        let scope = Scope::of(&self.settings, surroundings.user);
        if scope == Scope::DropIns {
            let usual = Settings::defaults(surroundings);
            self.problem = None;
            self.settings.state_dir = usual.state_dir;
            self.settings.runtime_dir = usual.runtime_dir;
            self.settings.save_dir = usual.save_dir;
            self.settings.custom_properties = None;
            self.settings.environment_file = None;
        }
        scope
    }
}

/// Which hooks the daemon of a user has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    All,
    /// Only scripts that were there before hookmux came: libvirt itself would call them.
    DropIns,
}

impl Scope {
    /// The administrator's hooks are for root's daemon; for those of other users where `session` says
    /// so.
    pub(crate) fn of(settings: &Settings, user: u32) -> Scope {
        if user == 0 || settings.session { Scope::All } else { Scope::DropIns }
    }
}

/// Reads `hookmux.yaml`. A broken, unreadable or untrusted one is replaced by its last good copy,
/// and where there is none by what still holds of it and the defaults, which `Loaded::is_lost` tells. With `keep`, a good one
/// becomes the last good copy.
pub(crate) fn load(surroundings: &Surroundings, trust: &mut Trust, keep: bool) -> Loaded {
    let path = surroundings.hooks_dir.join(settings::FILE_NAME);
    let file = match read(&path, trust) {
        Ok(None) => {
            let settings = Settings::defaults(surroundings);
            if keep && surroundings.is_root() {
                // as below
                let _ = last_good::keep_absence(&settings.state_dir, &path);
            }
            return Loaded { settings, problem: None, stand_in: None };
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
            // for a session's daemon nothing runs, and so nothing is written
            if keep && (surroundings.is_root() || settings.session) {
                // without the copy a later mistake is answered more strictly, and nothing else
                let _ = last_good::keep(&settings.state_dir, &path, &metadata, &text);
            }
            Loaded { settings, problem: None, stand_in: None }
        }
        Err((problem, text)) => {
            // what isn't trusted, or can't be read, says nothing
            let left = Settings::salvage(text.as_deref().unwrap_or_default(), surroundings);
            // a file that can't be read, or isn't trusted, may be an old one
            let is_read = text.is_some();
            let found = last_good::find(&left.state_dir, &path);
            let found = found.filter(|(stand_in, _)| is_read || *stand_in != StandIn::Absent);
            let found = found.and_then(|(stand_in, text)| {
                Some((Settings::parse(&path, &text, surroundings).ok()?, stand_in))
            });
            let (settings, stand_in) = match found {
                Some((settings, stand_in)) => (settings, Some(stand_in)),
                None => (left, None),
            };
            Loaded { settings, problem: Some(problem), stand_in }
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

        fn load(&self) -> Loaded {
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
