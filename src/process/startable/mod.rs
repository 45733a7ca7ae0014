//! Whether a program can be started. The kernel decides, and a call asks it: only an error is looked
//! into here. `plan`, `list` and `check` start nothing, and foresee the same error by the same look. So
//! all of them say it in the same words.

mod binfmt;
mod elf;
pub mod head;
mod look;
mod size;
pub mod walker;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

pub use look::interpreters;
pub use size::TooLong;

use crate::config::{Registration, Settings};
use crate::machine::sanitize;
use crate::process::job::Job;
use crate::verdict::{NOT_EXECUTABLE, NOT_FOUND};
use walker::Walker;

/// Why a program can't be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    pub cause: Cause,
    /// The interpreter or loader that it is about; `None` where it is the program itself.
    pub of: Option<PathBuf>,
}

/// What is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nothing has this name.
    Missing,
    /// A link to nothing.
    Dangling,
    NotRegular,
    NoXBit,
    /// It lies on a file system that is mounted so.
    Noexec,
    /// A user other than root doesn't get to it: what is shut.
    Shut(PathBuf),
    /// Neither a `#!` line nor a program of this machine.
    NotProgram,
    /// A byte order mark stands before its `#!` line.
    Marked,
    /// An interpreter that is a script, whose interpreter is one, and so on.
    TooDeep,
    /// `env` in its first line finds no program of this name in these directories.
    NotInPath {
        name: OsString,
        search: OsString,
    },
    /// Words that Linux gives to `env` as one.
    OneWord(OsString),
    /// Its interpreter can't read it.
    Unreadable,
    TooLong(TooLong),
    /// The kernel's error number, of which nothing more is known.
    Kernel(i32),
    /// A step before the start that failed, in words.
    Step(String),
}

impl Obstacle {
    fn new(cause: Cause) -> Obstacle {
        Obstacle { cause, of: None }
    }

    /// What an error of a start means.
    pub fn met(job: &Job, error: &io::Error) -> Obstacle {
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
    pub fn foresee(job: &Job, user: u32) -> Option<Obstacle> {
        let program = Program::of(job, user);
        let by_kernel = program.by_kernel().or_else(|| size::of(job));
        by_kernel.or_else(|| program.by_interpreter())
    }

    /// Whether the kernel refuses to start it; else its interpreter does.
    pub fn is_met_by_kernel(&self) -> bool {
        self.error_number().is_some()
    }

    /// The kernel's error number; `None` where it isn't the kernel that refuses.
    fn error_number(&self) -> Option<i32> {
        Some(match &self.cause {
            Cause::Missing | Cause::Dangling => libc::ENOENT,
            Cause::NotRegular | Cause::NoXBit | Cause::Noexec | Cause::Shut(_) => libc::EACCES,
            Cause::NotProgram | Cause::Marked => libc::ENOEXEC,
            Cause::TooDeep => libc::ELOOP,
            Cause::TooLong(_) => libc::E2BIG,
            Cause::Kernel(number) => *number,
            Cause::NotInPath { .. } | Cause::OneWord(_) | Cause::Unreadable | Cause::Step(_) => {
                return None;
            }
        })
    }

    /// The status that a hook fails with, as a shell's.
    pub fn status(&self) -> i32 {
        match (&self.cause, self.error_number()) {
            (Cause::NotInPath { .. } | Cause::OneWord(_), _) | (_, Some(libc::ENOENT)) => NOT_FOUND,
            _ => NOT_EXECUTABLE,
        }
    }

    /// Whether it lies in the program; else in this process or in the host: no memory, no room for
    /// another process, a step before its start that failed.
    pub fn is_its_own(&self) -> bool {
        use libc::{
            EACCES, EINVAL, EISDIR, ELIBBAD, ELOOP, ENOENT, ENOEXEC, ENOTDIR, EPERM, ETXTBSY,
        };
        let of_file =
            [EACCES, EINVAL, EISDIR, ELIBBAD, ELOOP, ENOENT, ENOEXEC, ENOTDIR, EPERM, ETXTBSY];
        match &self.cause {
            Cause::NotInPath { .. } | Cause::OneWord(_) | Cause::Unreadable => true,
            _ => self.error_number().is_some_and(|number| of_file.contains(&number)),
        }
    }
}

impl From<io::Error> for Obstacle {
    fn from(error: io::Error) -> Obstacle {
        Obstacle::new(match error.raw_os_error() {
            Some(number) => Cause::Kernel(number),
            None => Cause::Step(error.to_string()),
        })
    }
}

/// A program that is to be started, without what it is given.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
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
    pub fn obstacle(&self) -> Option<Obstacle> {
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
pub fn daemons_user(settings: &Settings, user: u32) -> u32 {
    if settings.session { user } else { 0 }
}

/// The PATH that settings and a registration give to its programs; `None` where it is the daemon's.
pub fn path_variable<'a>(
    settings: &'a Settings,
    registration: Option<&'a Registration>,
) -> Option<&'a OsStr> {
    let own = registration.and_then(|registration| registration.environment.get("PATH"));
    own.or_else(|| settings.environment.get("PATH")).map(OsStr::new)
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("can't be executed: ")?;
        match (&self.cause, self.error_number()) {
            (Cause::TooLong(too_long), _) => return write!(f, "{too_long}"),
            (Cause::Step(words), _) => return f.write_str(words),
            (Cause::NotInPath { name, search }, _) => {
                let (name, search) = (name.as_bytes(), search.as_bytes());
                return write!(
                    f,
                    "its first line asks env for {}, and there is none in {}",
                    shown(name),
                    sanitize::line(search)
                );
            }
            (Cause::OneWord(words), _) => {
                return write!(
                    f,
                    "its first line gives env {}, which Linux hands over as one word: no program is called that",
                    shown(words.as_bytes())
                );
            }
            (Cause::Unreadable, _) => {
                return f.write_str("its interpreter has no right to read it");
            }
            (_, Some(libc::ENOEXEC)) => {
                f.write_str("it has no `#!` line, and is no program of this machine")?;
            }
            (_, Some(libc::ENOENT)) => {
                f.write_str("it, or the interpreter in its `#!` line, does not exist")?;
            }
            (_, Some(libc::EACCES)) => {
                f.write_str("permission denied (x bit, noexec mount, SELinux or AppArmor)")?;
            }
            (_, Some(number)) => write!(f, "{}", io::Error::from_raw_os_error(number))?,
            (_, None) => {}
        }
        self.detail(f)
    }
}

impl Obstacle {
    /// What is known beyond the kernel's error.
    fn detail(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.of.as_ref().map(|of| of.as_os_str().as_bytes());
        let it = || name.map_or_else(|| "it".to_owned(), shown);
        match &self.cause {
            Cause::Missing => {
                let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(()) };
                let line_end = match name.ends_with(b"\r") {
                    true => " (its first line ends in a carriage return, as on Windows)",
                    false => "",
                };
                write!(f, ": there is no {}{line_end}", shown(name))
            }
            Cause::Dangling => write!(f, ": {} is a link to nothing", it()),
            Cause::NotRegular => write!(f, ": {} is not a regular file", it()),
            Cause::NoXBit => write!(f, ": {} has no x bit", it()),
            Cause::Noexec => {
                write!(f, ": {} lies on a file system that is mounted noexec", it())
            }
            Cause::Shut(by) => {
                write!(f, ": its user can't execute it, {} is shut to it", by.display())
            }
            Cause::NotProgram if name.is_some() => write!(f, ": so it is with {}", it()),
            Cause::Marked => f.write_str(": a byte order mark stands before its `#!`"),
            Cause::TooDeep => f.write_str(": its interpreter is a script, and so on without end"),
            _ => Ok(()),
        }
    }
}

fn shown(name: &[u8]) -> String {
    format!("`{}`", sanitize::line(name))
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
