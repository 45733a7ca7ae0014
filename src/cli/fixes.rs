//! What to do about a program that can't be started.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::command::{Fix, words};
use crate::config::Settings;
use crate::config::registration::{DIRECTORY, EXTENSION};
use crate::config::settings::FILE_NAME;
use crate::machine::files;
use crate::process::startable::head::{ExecutableHead, head};
use crate::process::startable::shell_text;
use crate::process::startable::{ObstacleCause, StartObstacle};
use crate::process::users::Unresolved;
use crate::repair::OwnPaths;
use crate::search::EntryState;
use crate::search::directory::leftover_reason;

/// How much of a file is read to see whether it is a text.
const MAX_CHECKED_BYTES: u64 = 256;

/// A program that should run.
#[derive(Clone, Copy, Debug)]
pub(super) struct IntendedProgram<'a> {
    pub path: &'a Path,
    /// The registration that names it; `None` for a script in a directory for hooks.
    pub named_in: Option<&'a Path>,
}

impl IntendedProgram<'_> {
    /// Returns what to do about an obstacle.
    pub(super) fn fix(&self, obstacle: &StartObstacle, ground: &OwnPaths<'_>) -> Fix {
        let path = self.path;
        let elsewhere = || {
            let moved = self.named_in.and_then(|file| ground.move_into_hooks_dir(path, file));
            moved.or(self.named_in.map(|file| Fix::edit(file, None)))
        };
        let mode = |mode: &str, at: &Path| match ground.has(at) {
            true => Some(Fix::run(&words!["chmod", mode, at])),
            false => elsewhere(),
        };
        let fix = match (&obstacle.cause, &obstacle.of) {
            _ if is_crlf(obstacle) => Some(remove_carriage_returns(path)),
            (_, Some(interpreter)) => Some(install(interpreter.as_os_str())),
            (ObstacleCause::NotInPath { name, .. }, _) => Some(install(name)),
            (ObstacleCause::OneWord(_), _) => {
                Some(Fix::run(&words!["sed", "-i", "1s,env ,env -S ,", path]))
            }
            (ObstacleCause::NotProgram, _) if is_text(path) => {
                Some(add_first_line("#!/bin/sh", path))
            }
            (ObstacleCause::ByteOrderMark, _) => Some(remove_byte_order_mark(path)),
            // the administrator made the mount point so for a reason
            (ObstacleCause::Noexec, _) => Some(
                format!("let {} lie on a file system that isn't mounted noexec", path.display())
                    .into(),
            ),
            (ObstacleCause::NoAccess(by), _) if by != path => mode("a+x", by),
            (ObstacleCause::NoAccess(_) | ObstacleCause::Unreadable, _) => mode("a+rx", path),
            (ObstacleCause::NoXBit, _) => mode("a+x", path),
            (ObstacleCause::Missing, None) => self.named_in.map(|file| create(path, file)),
            _ => self.named_in.map(|file| Fix::edit(file, None)),
        };
        fix.unwrap_or_else(|| {
            format!("let {} be a program of this machine, or a script", path.display()).into()
        })
    }
}

/// Returns what to do about a program that a registration names and that isn't there.
pub(super) fn create(program: &Path, file: &Path) -> Fix {
    let (program, file) = (program.display(), file.display());
    format!("create {program} (mode 755), or correct its path in {file}").into()
}

/// Returns how a file is corrected: by `hookmux edit`, which checks it, if that knows the file. A person has to do
/// it, so there are no words for programs.
pub(super) fn edit(settings: &Settings, path: &Path, line: Option<usize>) -> Fix {
    let hooks_dir = &settings.hooks_dir;
    let is_registration = path.parent() == Some(&hooks_dir.join(DIRECTORY))
        && path.extension().is_some_and(|end| end == EXTENSION);
    let name = path.file_stem().filter(|_| is_registration);
    let words = match name {
        _ if path == hooks_dir.join(FILE_NAME) => vec!["edit".into(), "--settings".into()],
        Some(name) if !name.as_encoded_bytes().starts_with(b"-") => {
            vec!["edit".into(), name.to_owned()]
        }
        _ => return Fix::edit(path, line),
    };
    let line = line.map(|line| format!(" (line {line})")).unwrap_or_default();
    format!("{}{line}", Fix::hookmux(hooks_dir, &words)).into()
}

/// Tells whether Windows line ends are the obstacle: the carriage return counts as part of the interpreter's
/// name.
pub(super) fn is_crlf(obstacle: &StartObstacle) -> bool {
    let name = match (&obstacle.of, &obstacle.cause) {
        (Some(interpreter), _) => interpreter.as_os_str(),
        (None, ObstacleCause::NotInPath { name, .. }) => name,
        (None, _) => return false,
    };
    name.as_bytes().ends_with(b"\r")
}

/// Returns the command that adds a first line to a script.
pub(super) fn add_first_line(line: &str, path: &Path) -> Fix {
    Fix::run(&words!["sed", "-i", format!("1i {line}"), path])
}

/// Returns the command that removes a byte order mark from a script.
pub(super) fn remove_byte_order_mark(path: &Path) -> Fix {
    Fix::run(&words!["sed", "-i", "1s/^\\xEF\\xBB\\xBF//", path])
}

/// Returns the command that gives a script the line ends of Linux.
pub(super) fn remove_carriage_returns(path: &Path) -> Fix {
    Fix::run(&words!["sed", "-i", "s/\\r$//", path])
}

fn install(program: &OsStr) -> Fix {
    let program = program.to_string_lossy();
    format!("install {program}, or name one that is there in the first line").into()
}

fn is_text(path: &Path) -> bool {
    files::read_beginning(path, MAX_CHECKED_BYTES).is_ok_and(|bytes| shell_text::is_text(&bytes))
}

/// Returns what to do if the user that a registration runs as doesn't exist or can't be used.
pub(super) fn for_user(why: &Unresolved, source: &Path) -> Fix {
    match why {
        // no user can have this name, and useradd would take it as an option
        Unresolved::NoUser(name) | Unresolved::NoGroup(name) if name.starts_with('-') => {
            Fix::edit(source, None)
        }
        Unresolved::NoUser(user) => Fix::run(&words!["useradd", "--system", user]),
        Unresolved::NoGroup(group) => Fix::run(&words!["groupadd", "--system", group]),
        Unresolved::NoEntry(_) | Unresolved::NoRight(_) | Unresolved::LookUp { .. } => {
            Fix::edit(source, None)
        }
    }
}

/// Returns what to do about a file that is not a hook although it looks as if it was meant as one.
pub(super) fn for_state(state: &EntryState, path: &Path, settings: &Settings) -> Option<Fix> {
    Some(match state {
        // a text beside hooks is not a hook, and must not become one
        EntryState::NotExecutable => {
            let is_script = files::read_beginning(path, MAX_CHECKED_BYTES)
                .is_ok_and(|bytes| head(&bytes) != ExecutableHead::None);
            match is_script {
                true => Fix::run(&words!["chmod", "a+x", path]),
                false => Fix::run(&words!["mv", "-n", path, &settings.hooks_dir]),
            }
        }
        EntryState::Dangling => Fix::run(&words!["rm", path]),
        EntryState::Skipped(_) if path.file_name().and_then(leftover_reason).is_some() => {
            Fix::run(&words!["rm", path])
        }
        EntryState::Active
        | EntryState::Masked(_)
        | EntryState::Disabled(_)
        | EntryState::Skipped(_) => return None,
    })
}
