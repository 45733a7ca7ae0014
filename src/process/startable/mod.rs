//! Tells whether a program can be started, and why not. In a call the kernel decides, and only its
//! error is explained here. `plan`, `list` and `check` start nothing: they predict the same error by the
//! same checks. So all of them use the same words.

mod binfmt;
mod elf;
pub(crate) mod executing_user;
mod execve;
pub(crate) mod head;
pub(crate) mod obstacle;
pub(crate) mod shell_text;
mod size;

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub(crate) use execve::interpreters;
pub(crate) use obstacle::{ObstacleCause, StartObstacle};

use crate::config::{Registration, Settings};
use crate::process::job::Job;
use executing_user::ExecutingUser;

/// Explains an error of a start.
pub(crate) fn explain(job: &Job, error: &io::Error) -> StartObstacle {
    let Some(number) = error.raw_os_error() else {
        return StartObstacle::new(ObstacleCause::Step(error.to_string()));
    };
    let seen = match number {
        libc::E2BIG => size::of(job),
        _ => Program::of(job, nix::unistd::geteuid().as_raw()).by_kernel(),
    };
    // the files may have changed since, or something else may have caused the error
    let seen = seen.filter(|seen| seen.error_number() == Some(number));
    seen.unwrap_or(StartObstacle::new(ObstacleCause::Kernel(number)))
}

/// Predicts why a job can't be started, or why its interpreter would fail at once. `user` starts it.
pub(crate) fn predict(job: &Job, user: u32) -> Option<StartObstacle> {
    let program = Program::of(job, user);
    let by_kernel = program.by_kernel().or_else(|| size::of(job));
    by_kernel.or_else(|| program.by_interpreter())
}

/// A program to start, without its arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program<'a> {
    pub path: &'a Path,
    /// The user that executes it.
    pub executor: ExecutingUser<'a>,
    /// Whether a shell is given a text that the kernel can't start.
    pub is_text_run: bool,
    /// The PATH that it is started with, where that is known.
    pub search: Option<&'a OsStr>,
}

impl<'a> Program<'a> {
    fn of(job: &'a Job, user: u32) -> Program<'a> {
        let executor = match &job.privileges.identity {
            Some(identity) => ExecutingUser { user: identity.user, groups: &identity.groups },
            None => ExecutingUser::of(user),
        };
        let search = job.environment.iter().find_map(|one| one.to_bytes().strip_prefix(b"PATH="));
        Program {
            path: Path::new(OsStr::from_bytes(job.path.as_bytes())),
            executor,
            is_text_run: job.is_text_run,
            search: search.map(OsStr::from_bytes),
        }
    }

    /// Predicts why it can't be started, or why its interpreter would fail at once.
    pub(crate) fn obstacle(&self) -> Option<StartObstacle> {
        self.by_kernel().or_else(|| self.by_interpreter())
    }

    /// Predicts the same of a file that isn't in its place yet, and has no x bit there.
    pub(crate) fn obstacle_of_content(&self) -> Option<StartObstacle> {
        let by_kernel = execve::check_content(self.path, self.executor).err();
        by_kernel.or_else(|| self.by_interpreter())
    }

    /// Predicts the error of execve(2), as far as it depends on files.
    fn by_kernel(&self) -> Option<StartObstacle> {
        let obstacle = execve::check_start(self.path, self.executor).err()?;
        if self.is_text_run && obstacle.error_number() == Some(libc::ENOEXEC) {
            return execve::check_shell(self.path, obstacle);
        }
        Some(obstacle)
    }

    fn by_interpreter(&self) -> Option<StartObstacle> {
        execve::check_interpreter(self.path, self.executor, self.search)
    }
}

/// Returns the user that runs hooks: root for the system's daemon, its own user for a session's.
pub(crate) fn daemons_user(settings: &Settings, user: u32) -> u32 {
    if settings.session { user } else { 0 }
}

/// Returns the PATH that the settings and a registration set; `None` where the daemon's is used.
pub(crate) fn path_variable<'a>(
    settings: &'a Settings,
    registration: Option<&'a Registration>,
) -> Option<&'a OsStr> {
    let own = registration.and_then(|registration| registration.environment.get("PATH"));
    own.or_else(|| settings.environment.get("PATH")).map(OsStr::new)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// What is said of a file, beyond the kernel's error.
    fn told(path: &Path) -> String {
        let executor = ExecutingUser::of(0);
        let program = Program { path, executor, is_text_run: false, search: None };
        let Some(obstacle) = program.obstacle() else { return String::new() };
        let words = obstacle.to_string();
        words.split_once(": ").unwrap().1.to_owned()
    }

    fn write(path: &Path, text: impl AsRef<[u8]>) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn what_is_in_the_way_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        let missing = "it, or the interpreter in its `#!` line, does not exist";
        let denied = "permission denied (x bit, noexec mount, SELinux or AppArmor)";
        let none = "it has no `#!` line, and is not a program for this machine";
        assert_eq!(told(&path), missing);
        for (text, words) in [
            ("#!/nowhere/sh\n", format!("{missing}: there is no `/nowhere/sh`")),
            ("#! \t/nowhere/sh -e x\n", format!("{missing}: there is no `/nowhere/sh`")),
            ("#!nowhere", format!("{missing}: there is no `/nowhere`")),
            (
                "#!/bin/sh\r\n",
                format!(
                    "{missing}: there is no `/bin/sh\\u{{d}}` (its first line ends in a carriage return, as on Windows)"
                ),
            ),
            ("#!/no\u{1b}where\n", format!("{missing}: there is no `/no\\u{{1b}}where`")),
            ("#!/etc\n", format!("{denied}: `/etc` is not a regular file")),
            ("#!/etc/passwd\n", format!("{denied}: `/etc/passwd` has no x bit")),
            ("true\n", none.to_owned()),
            ("\u{feff}#!/bin/sh\n", format!("{none}: a byte order mark precedes its `#!`")),
            ("\u{7f}ELF", none.to_owned()),
            (
                "#!/usr/bin/env sh -e\n",
                "its first line gives env `sh -e`, which Linux passes as one word: no program has that name"
                    .to_owned(),
            ),
            ("#!/bin/sh\n", String::new()),
            ("#!bin/sh\n", String::new()),
            ("#!/usr/bin/env sh\n", String::new()),
        ] {
            write(&path, text);
            assert_eq!(told(&path), words, "{text:?}");
        }
        write(&path, "#!/usr/bin/env no-such-program\n");
        assert!(
            told(&path).starts_with("its first line asks env for `no-such-program`, and there")
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(told(&path), format!("{denied}: it has no x bit"));
        fs::remove_file(&path).unwrap();
        symlink("/nowhere", &path).unwrap();
        assert_eq!(told(&path), format!("{missing}: it is a link to nothing"));
        // an interpreter that is a script without an end
        fs::remove_file(&path).unwrap();
        write(&path, format!("#!{}\n", path.display()));
        assert!(told(&path).contains("its interpreter is a script"), "{}", told(&path));
        assert_eq!(told(&std::env::current_exe().unwrap()), "");
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [path.as_path(), Path::new("/dev/zero"), directory.path()] {
            assert!(told(path).ends_with("it is not a regular file"), "{}", told(path));
        }
    }

    #[test]
    fn an_error_of_a_step_before_is_told_as_it_is() {
        let words = |error: io::Error| StartObstacle::from(error).to_string();
        assert_eq!(words(io::Error::other("setsid: x")), "can't be executed: setsid: x");
        let error = io::Error::from_raw_os_error(libc::ETXTBSY);
        assert_eq!(words(error), "can't be executed: Text file busy (os error 26)");
    }
}
