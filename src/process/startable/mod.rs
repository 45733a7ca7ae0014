//! Whether a program can be started. The kernel decides, and a call asks it: only an error is looked
//! into here. `plan`, `list` and `check` start nothing, and foresee the same error by the same look. So
//! all of them say it in the same words.

mod binfmt;
mod elf;
pub(crate) mod head;
mod look;
pub(crate) mod obstacle;
pub(crate) mod shell_text;
mod size;
pub(crate) mod walker;

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub(crate) use look::interpreters;
pub(crate) use obstacle::{Cause, Obstacle};

use crate::config::{Registration, Settings};
use crate::process::job::Job;
use walker::Walker;

/// What an error of a start means.
pub(crate) fn met(job: &Job, error: &io::Error) -> Obstacle {
    let Some(number) = error.raw_os_error() else {
        return Obstacle::new(Cause::Step(error.to_string()));
    };
    let seen = match number {
        libc::E2BIG => size::of(job),
        _ => Program::of(job, nix::unistd::geteuid().as_raw()).by_kernel(),
    };
    // what there is may have changed since, and something else may have refused it
    let seen = seen.filter(|seen| seen.error_number() == Some(number));
    seen.unwrap_or(Obstacle::new(Cause::Kernel(number)))
}

/// What a start would meet, and what would end its interpreter at once. `user` starts it.
pub(crate) fn foresee(job: &Job, user: u32) -> Option<Obstacle> {
    let program = Program::of(job, user);
    let by_kernel = program.by_kernel().or_else(|| size::of(job));
    by_kernel.or_else(|| program.by_interpreter())
}

/// A program that is to be started, without what it is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program<'a> {
    pub path: &'a Path,
    /// Who starts it.
    pub walker: Walker<'a>,
    /// Whether a shell is given a text that the kernel can't start.
    pub is_text_run: bool,
    /// The PATH that it is started with, where that is known.
    pub search: Option<&'a OsStr>,
}

impl<'a> Program<'a> {
    fn of(job: &'a Job, user: u32) -> Program<'a> {
        let walker = match &job.privileges.identity {
            Some(identity) => Walker { user: identity.user, groups: &identity.groups },
            None => Walker::of(user),
        };
        let search = job.environment.iter().find_map(|one| one.to_bytes().strip_prefix(b"PATH="));
        Program {
            path: Path::new(OsStr::from_bytes(job.path.as_bytes())),
            walker,
            is_text_run: job.is_text_run,
            search: search.map(OsStr::from_bytes),
        }
    }

    /// What a start would meet, and what would end its interpreter at once.
    pub(crate) fn obstacle(&self) -> Option<Obstacle> {
        self.by_kernel().or_else(|| self.by_interpreter())
    }

    /// What execve(2) would say of the files.
    fn by_kernel(&self) -> Option<Obstacle> {
        let obstacle = look::start(self.path, self.walker).err()?;
        if self.is_text_run && obstacle.error_number() == Some(libc::ENOEXEC) {
            return look::shell(self.path, obstacle);
        }
        Some(obstacle)
    }

    fn by_interpreter(&self) -> Option<Obstacle> {
        look::interpreter(self.path, self.walker, self.search)
    }
}

/// Who starts hooks: the system's daemon is root's, a session's is its user's.
pub(crate) fn daemons_user(settings: &Settings, user: u32) -> u32 {
    if settings.session { user } else { 0 }
}

/// The PATH that settings and a registration give to its programs; `None` where it is the daemon's.
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
        let walker = Walker::of(0);
        let program = Program { path, walker, is_text_run: false, search: None };
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
        let none = "it has no `#!` line, and is no program of this machine";
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
            ("\u{feff}#!/bin/sh\n", format!("{none}: a byte order mark stands before its `#!`")),
            ("\u{7f}ELF", none.to_owned()),
            (
                "#!/usr/bin/env sh -e\n",
                "its first line gives env `sh -e`, which Linux hands over as one word: no program is called that"
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
        let words = |error: io::Error| Obstacle::from(error).to_string();
        assert_eq!(words(io::Error::other("setsid: x")), "can't be executed: setsid: x");
        let error = io::Error::from_raw_os_error(libc::ETXTBSY);
        assert_eq!(words(error), "can't be executed: Text file busy (os error 26)");
    }
}
