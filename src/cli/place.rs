//! What every command is given, and how it ends.

use std::env;
use std::path::{Path, PathBuf};

use super::output::Output;
use crate::config::{self, LoadedSettings, Surroundings};
use crate::libvirt::driver::DEFAULT_HOOKS_DIR;
use crate::trust::Trust;

/// How a command ended: met a problem (exit status 1) or not (0). Wrong usage is clap's: 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Good,
    /// There was nothing to do (0).
    Idle,
    Problem,
    /// Somebody was asked, and said no (1).
    Declined,
    /// A question would have to be answered first (2).
    Unanswered,
}

/// The hooks directory that a command is about, and its settings.
pub(crate) struct Place {
    pub surroundings: Surroundings,
}

impl Place {
    /// `is_by_person` is whether a person asks, and no call of a session daemon's: then a user's command
    /// is about what is the system's, where the hooks directory is.
    pub(crate) fn new(hooks_dir: Option<PathBuf>, is_by_person: bool) -> Place {
        let from_environment =
            || env::var_os("HOOKMUX_HOOKS_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let hooks_dir =
            hooks_dir.or_else(from_environment).unwrap_or_else(|| DEFAULT_HOOKS_DIR.into());
        let mut surroundings = Surroundings::here(&hooks_dir);
        surroundings.is_about_system =
            is_by_person && surroundings.hooks_dir == Path::new(DEFAULT_HOOKS_DIR);
        Place { surroundings }
    }

    /// Reads the settings, and says what is wrong with them.
    pub(crate) fn load(&self, output: &mut Output) -> LoadedSettings {
        let mut trust = Trust::new(self.surroundings.user);
        let loaded = config::load(&self.surroundings, &mut trust, false);
        if let Some(problem) = &loaded.problem {
            output.complain(&problem.to_string());
            output.complain(&match &loaded.last_good {
                Some(last_good) => format!("calls use {last_good}"),
                None => "there is no good copy: calls that are gates fail until this is mended"
                    .to_owned(),
            });
        }
        loaded
    }
}
