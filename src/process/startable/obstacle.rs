//! What can be in the way of a start, and how people are told.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::machine::sanitize;
use crate::process::exit_status::{NOT_EXECUTABLE, NOT_FOUND};

/// Why a program can't be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Obstacle {
    pub cause: Cause,
    /// The interpreter or loader that it is about; `None` where it is the program itself.
    pub of: Option<PathBuf>,
}

/// What is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
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
    pub(crate) fn new(cause: Cause) -> Obstacle {
        Obstacle { cause, of: None }
    }

    /// Whether the kernel refuses to start it; else its interpreter does.
    pub(crate) fn is_met_by_kernel(&self) -> bool {
        self.error_number().is_some()
    }

    /// The kernel's error number; `None` where it isn't the kernel that refuses.
    pub(crate) fn error_number(&self) -> Option<i32> {
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
    pub(crate) fn status(&self) -> i32 {
        match (&self.cause, self.error_number()) {
            (Cause::NotInPath { .. } | Cause::OneWord(_), _) | (_, Some(libc::ENOENT)) => NOT_FOUND,
            _ => NOT_EXECUTABLE,
        }
    }

    /// Whether it lies in the program; else in this process or in the host: no memory, no room for
    /// another process, a step before its start that failed.
    pub(crate) fn is_its_own(&self) -> bool {
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

/// What is too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TooLong {
    /// The longest of all.
    pub longest: Word,
    pub bytes: usize,
    /// What they have together, where that is the trouble, and what may be; in bytes.
    pub in_all: Option<(u64, u64)>,
    pub most_in_one: usize,
}

/// An argument or a variable, as its author knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Of a registration's key, from 1, and how it is written there.
    OfKey {
        key: &'static str,
        number: usize,
        written: String,
    },
    /// One that libvirt gave, from 1.
    OfLibvirt(usize),
    /// Its number, from 1.
    Argument(usize),
    Variable(String),
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

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, most) = (self.bytes, self.most_in_one);
        match self.in_all {
            None => write!(f, "{} has {bytes} bytes, and Linux takes {most}", self.longest)?,
            Some((sum, most)) => write!(
                f,
                "arguments and environment have {sum} bytes, and Linux takes {most}; the longest is {} with {bytes}",
                self.longest
            )?,
        }
        match &self.longest {
            Word::OfKey { key: "args", .. } => {
                f.write_str("; `args_stdin: true` passes `args` on standard input")
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Word::OfKey { key, number, written } => {
                write!(f, "word {number} of `{key}` ({written})")
            }
            Word::OfLibvirt(number) => write!(f, "argument {number} of libvirt's"),
            Word::Argument(number) => write!(f, "argument {number}"),
            Word::Variable(name) => write!(f, "the variable `{name}`"),
        }
    }
}
