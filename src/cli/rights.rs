//! Files that a command may not read. It then names the owner and the command with sudo, and prints nothing
//! else: an empty list would be a wrong answer.

use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::json;
use super::remark::Remark;
use crate::bypass;
use crate::command::Fix;
use crate::config::Settings;
use crate::config::registration::{DIRECTORY, EXTENSION};
use crate::config::settings::FILE_NAME;
use crate::libvirt::driver::DEFAULT_HOOKS_DIR;
use crate::machine::files;
use crate::state::DirRefusal;

/// This user may not read something that a command needs.
#[derive(Debug)]
pub(super) struct Denied {
    path: PathBuf,
    fix: Fix,
}

impl Denied {
    fn new(path: &Path) -> Denied {
        // name the directory that can't be entered, not one below it
        let path = path.ancestors().find(|part| fs::symlink_metadata(part).is_ok());
        let path = path.unwrap_or(Path::new("/")).to_path_buf();
        Denied { path, fix: ask_as_root() }
    }

    /// Returns the error for programs.
    pub(super) fn json(&self) -> json::message::Error {
        json::message::Error::new("no-rights", self.message(), Some(&self.fix))
    }

    fn message(&self) -> String {
        let owner = match fs::symlink_metadata(&self.path).map(|found| found.uid()) {
            Ok(0) => "root's".to_owned(),
            Ok(uid) => format!("of uid {uid}"),
            Err(_) => "somebody else's".to_owned(),
        };
        format!("{} is {owner}, and can't be read by this user", self.path.display())
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.message(), self.fix)
    }
}

impl Error for Denied {}

/// Returns the same command with sudo, which doesn't keep HOOKMUX_HOOKS_DIR.
pub(super) fn ask_as_root() -> Fix {
    let typed: Vec<OsString> = std::env::args_os().skip(1).collect();
    let is_named = typed.iter().any(|word| word.to_string_lossy().starts_with("--hooks-dir"));
    let from_environment = std::env::var_os("HOOKMUX_HOOKS_DIR")
        .filter(|place| !is_named && !place.is_empty() && place != DEFAULT_HOOKS_DIR);
    let mut words: Vec<OsString> = vec!["sudo".into(), "hookmux".into()];
    if let Some(place) = from_environment {
        words.extend(["--hooks-dir".into(), place]);
    }
    words.extend(typed);
    Fix::run(&words)
}

/// Checks that these directories can be listed, if they exist.
///
/// # Errors
/// [`Denied`]: the first that can't be listed.
pub(super) fn must_list(directories: &[&Path]) -> Result<(), Denied> {
    for directory in directories {
        match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(Denied::new(directory));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks that guest state and queue can be read.
///
/// # Errors
/// Those of [`must_list`].
pub(super) fn must_read_state(settings: &Settings) -> Result<(), Denied> {
    must_list(&[settings.state_dir.unchecked_path(), settings.runtime_dir.unchecked_path()])
}

/// Checks that the settings, the roots and all registrations can be read.
///
/// # Errors
/// Those of [`must_list`].
pub(super) fn must_read_hooks(settings: &Settings) -> Result<(), Denied> {
    must_list_hooks(settings)?;
    must_read_registrations(settings)
}

/// Checks that the settings can be read, and the roots be listed.
///
/// # Errors
/// Those of [`must_list`].
pub(super) fn must_list_hooks(settings: &Settings) -> Result<(), Denied> {
    must_read_settings(&settings.hooks_dir)?;
    settings.all_roots().try_for_each(|root| must_list(&[root]))
}

/// Checks that all registrations can be read: one that only this user can't read looks like a broken one.
///
/// # Errors
/// [`Denied`]: the first that can't be read.
pub(super) fn must_read_registrations(settings: &Settings) -> Result<(), Denied> {
    let files = settings.all_roots().flat_map(|root| fs::read_dir(root.join(DIRECTORY))).flatten();
    let paths = files.flatten().map(|entry| entry.path());
    let is_registration = |path: &PathBuf| path.extension().is_some_and(|end| end == EXTENSION);
    paths.filter(is_registration).try_for_each(|path| must_read(&path))
}

/// Checks that the settings and the emergency switch can be read.
///
/// # Errors
/// [`Denied`]: they exist, and can't be read.
pub(super) fn must_read_settings(hooks_dir: &Path) -> Result<(), Denied> {
    [FILE_NAME, bypass::FILE_NAME].iter().try_for_each(|name| must_read(&hooks_dir.join(name)))
}

/// Checks that a file can be read. Other errors are reported when it is read.
fn must_read(file: &Path) -> Result<(), Denied> {
    match files::open_regular(file) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(Denied::new(file)),
        _ => Ok(()),
    }
}

/// Adds the command with sudo to an error, if rights are missing.
pub(super) fn with_sudo_hint(error: anyhow::Error) -> anyhow::Error {
    let is_denied = error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        io.is_some_and(|io| {
            io.kind() == io::ErrorKind::PermissionDenied && DirRefusal::of(io).is_none()
        })
    });
    if !is_denied || nix::unistd::geteuid().is_root() {
        return error;
    }
    Remark::followed_by(&format!("{error:#}"), Some(ask_as_root())).into()
}

/// Returns an error that names a path, or [`Denied`] if rights are missing.
pub(super) fn explained(path: &Path, error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::PermissionDenied && !nix::unistd::geteuid().is_root() {
        return Denied::new(path).into();
    }
    anyhow::Error::new(error).context(format!("{} can't be read", path.display()))
}
