//! What every command gets, and how it ends.

use std::env;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::output::Output;
use crate::config::{self, LoadedSettings, Surroundings};
use crate::libvirt::driver::DEFAULT_HOOKS_DIR;
use crate::trust::Trust;

/// How a command ended, after docs/exit-status.md. clap and [`super::usage`] report wrong usage too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommandEnd {
    Good,
    /// There was nothing to do (0).
    Idle,
    /// Something is wrong, or couldn't be done (1).
    Problem,
    /// The user was asked, and said no (1).
    Declined,
    /// A question has to be answered first (2).
    Unanswered,
    /// The answer says that the words are wrong (2).
    WrongUsage,
    /// `--dry-run --diff`, and something would change (1).
    Differs,
    /// Something can't be used now, and the caller should try again (75, as EX_TEMPFAIL of sysexits.h).
    TryAgain,
}

impl CommandEnd {
    /// Returns how a command ends that has changed something, or would. `is_drift_test` says that it was asked
    /// whether something would.
    pub(crate) fn of_change(is_change: bool, is_drift_test: bool) -> CommandEnd {
        match (is_change, is_drift_test) {
            (true, true) => CommandEnd::Differs,
            (true, false) => CommandEnd::Good,
            (false, _) => CommandEnd::Idle,
        }
    }
}

/// The hooks directory of a command, and its surroundings.
pub(crate) struct CommandPlace {
    pub surroundings: Surroundings,
}

impl CommandPlace {
    /// Makes the place of a command. `is_about_system` tells whether a user's command is about the
    /// system's directories, which it is only if the hooks directory is the system's.
    pub(crate) fn new(hooks_dir: Option<PathBuf>, is_about_system: bool) -> CommandPlace {
        let from_environment =
            || env::var_os("HOOKMUX_HOOKS_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let hooks_dir =
            hooks_dir.or_else(from_environment).unwrap_or_else(|| DEFAULT_HOOKS_DIR.into());
        let mut surroundings = Surroundings::here(&hooks_dir);
        surroundings.is_about_system =
            is_about_system && surroundings.hooks_dir == Path::new(DEFAULT_HOOKS_DIR);
        CommandPlace { surroundings }
    }

    /// Checks that the hooks directory is there, if it isn't libvirt's usual one, which libvirt's package may not have made.
    ///
    /// # Errors
    /// It isn't.
    pub(crate) fn must_be_there(&self) -> anyhow::Result<()> {
        let hooks_dir = &self.surroundings.hooks_dir;
        let found = hooks_dir.metadata();
        let is_missing = match &found {
            Ok(found) => !found.is_dir(),
            Err(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        };
        if hooks_dir == Path::new(DEFAULT_HOOKS_DIR) || !is_missing {
            return Ok(());
        }
        let what = if found.is_ok() { "is no directory" } else { "isn't there" };
        anyhow::bail!(
            "{} {what}: --hooks-dir or HOOKMUX_HOOKS_DIR names the hooks directory, libvirt's is {DEFAULT_HOOKS_DIR}",
            hooks_dir.display()
        )
    }

    /// Reads the settings, and reports errors in them.
    pub(crate) fn load(&self, output: &mut Output) -> LoadedSettings {
        let mut trust = Trust::new(self.surroundings.user);
        let loaded = config::load(&self.surroundings, &mut trust, false);
        if let Some(problem) = &loaded.problem {
            output.print_error(&problem.to_string());
            output.print_error(&match &loaded.last_good {
                Some(last_good) => format!("calls use {last_good}"),
                None => "there is no good copy: calls that are gates fail until this is corrected"
                    .to_owned(),
            });
        }
        loaded
    }
}
