//! Why a program can't be started, and the message that says so.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::machine::sanitize;
use crate::process::exit_status::{NOT_EXECUTABLE, NOT_FOUND};

/// Why a program can't be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StartObstacle {
    pub cause: ObstacleCause,
    /// The interpreter or loader that it is about; `None` where it is the program itself.
    pub of: Option<PathBuf>,
}

/// The cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ObstacleCause {
    /// There is no such file.
    Missing,
    /// A link to nothing.
    Dangling,
    NotRegular,
    NoXBit,
    /// It lies on a file system that is mounted with `noexec`.
    Noexec,
    /// A user other than root has no access to this path.
    NoAccess(PathBuf),
    /// Neither a `#!` line nor a program of this machine.
    NotProgram,
    /// A byte order mark precedes its `#!` line.
    ByteOrderMark,
    /// Too many nested interpreters that are scripts themselves.
    TooDeep,
    /// `env` in its first line finds no program of this name in these directories.
    NotInPath {
        name: OsString,
        search: OsString,
    },
    /// Several words, which Linux passes to `env` as one.
    OneWord(OsString),
    /// Its interpreter can't read it.
    Unreadable,
    TooLong(TooLong),
    /// The kernel's error number; nothing more is known.
    Kernel(i32),
    /// A step before the start that failed, in words.
    Step(String),
}

impl StartObstacle {
    pub(crate) fn new(cause: ObstacleCause) -> StartObstacle {
        StartObstacle { cause, of: None }
    }

    /// Tells whether the kernel refuses to start it; else its interpreter does.
    pub(crate) fn is_met_by_kernel(&self) -> bool {
        self.error_number().is_some()
    }

    /// Returns the kernel's error number; `None` where it isn't the kernel that refuses.
    pub(crate) fn error_number(&self) -> Option<i32> {
        Some(match &self.cause {
            ObstacleCause::Missing | ObstacleCause::Dangling => libc::ENOENT,
            ObstacleCause::NotRegular
            | ObstacleCause::NoXBit
            | ObstacleCause::Noexec
            | ObstacleCause::NoAccess(_) => libc::EACCES,
            ObstacleCause::NotProgram | ObstacleCause::ByteOrderMark => libc::ENOEXEC,
            ObstacleCause::TooDeep => libc::ELOOP,
            ObstacleCause::TooLong(_) => libc::E2BIG,
            ObstacleCause::Kernel(number) => *number,
            ObstacleCause::NotInPath { .. }
            | ObstacleCause::OneWord(_)
            | ObstacleCause::Unreadable
            | ObstacleCause::Step(_) => {
                return None;
            }
        })
    }

    /// Returns the exit status of the hook, as a shell has it.
    pub(crate) fn status(&self) -> i32 {
        match (&self.cause, self.error_number()) {
            (ObstacleCause::NotInPath { .. } | ObstacleCause::OneWord(_), _)
            | (_, Some(libc::ENOENT)) => NOT_FOUND,
            _ => NOT_EXECUTABLE,
        }
    }

    /// Tells whether the cause is the program itself; else it is this process or the host: out of
    /// memory, too many processes, or a failed step before the start.
    pub(crate) fn is_its_own(&self) -> bool {
        use libc::{
            EACCES, EINVAL, EISDIR, ELIBBAD, ELOOP, ENOENT, ENOEXEC, ENOTDIR, EPERM, ETXTBSY,
        };
        let of_file =
            [EACCES, EINVAL, EISDIR, ELIBBAD, ELOOP, ENOENT, ENOEXEC, ENOTDIR, EPERM, ETXTBSY];
        match &self.cause {
            ObstacleCause::NotInPath { .. }
            | ObstacleCause::OneWord(_)
            | ObstacleCause::Unreadable => true,
            _ => self.error_number().is_some_and(|number| of_file.contains(&number)),
        }
    }
}

impl From<io::Error> for StartObstacle {
    fn from(error: io::Error) -> StartObstacle {
        StartObstacle::new(match error.raw_os_error() {
            Some(number) => ObstacleCause::Kernel(number),
            None => ObstacleCause::Step(error.to_string()),
        })
    }
}

/// Arguments or variables that are too long for the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TooLong {
    /// The longest of all.
    pub longest: OversizedWord,
    pub bytes: usize,
    /// Their sum and its limit in bytes, if the sum is too large.
    pub total: Option<(u64, u64)>,
    pub max_word_bytes: usize,
}

/// An argument or a variable, described by where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OversizedWord {
    /// A word of a registration's key, numbered from 1, and how it is written there.
    OfKey {
        key: &'static str,
        number: usize,
        written: String,
    },
    /// An argument that libvirt passed, numbered from 1.
    OfLibvirt(usize),
    /// Any other argument.
    Argument(usize),
    Variable(String),
}

impl fmt::Display for StartObstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("can't be executed: ")?;
        match (&self.cause, self.error_number()) {
            (ObstacleCause::TooLong(too_long), _) => return write!(f, "{too_long}"),
            (ObstacleCause::Step(words), _) => return f.write_str(words),
            (ObstacleCause::NotInPath { name, search }, _) => {
                let (name, search) = (name.as_bytes(), search.as_bytes());
                return write!(
                    f,
                    "its first line asks env for {}, and there is none in {}",
                    shown(name),
                    sanitize::line(search)
                );
            }
            (ObstacleCause::OneWord(words), _) => {
                return write!(
                    f,
                    "its first line gives env {}, which Linux passes as one word: no program has that name",
                    shown(words.as_bytes())
                );
            }
            (ObstacleCause::Unreadable, _) => {
                return f.write_str("its interpreter has no right to read it");
            }
            (_, Some(libc::ENOEXEC)) => {
                f.write_str("it has no `#!` line, and is not a program for this machine")?;
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

impl StartObstacle {
    /// Writes what is known beyond the kernel's error.
    fn detail(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.of.as_ref().map(|of| of.as_os_str().as_bytes());
        let it = || name.map_or_else(|| "it".to_owned(), shown);
        match &self.cause {
            ObstacleCause::Missing => {
                let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(()) };
                let line_end = match name.ends_with(b"\r") {
                    true => " (its first line ends in a carriage return, as on Windows)",
                    false => "",
                };
                write!(f, ": there is no {}{line_end}", shown(name))
            }
            ObstacleCause::Dangling => write!(f, ": {} is a link to nothing", it()),
            ObstacleCause::NotRegular => write!(f, ": {} is not a regular file", it()),
            ObstacleCause::NoXBit => write!(f, ": {} has no x bit", it()),
            ObstacleCause::Noexec => {
                write!(f, ": {} lies on a file system that is mounted noexec", it())
            }
            ObstacleCause::NoAccess(by) => {
                write!(f, ": its user can't execute it: no access to {}", by.display())
            }
            ObstacleCause::NotProgram if name.is_some() => write!(f, ": this is about {}", it()),
            ObstacleCause::ByteOrderMark => f.write_str(": a byte order mark precedes its `#!`"),
            ObstacleCause::TooDeep => {
                f.write_str(": its interpreter is a script, and so on, too deeply nested")
            }
            _ => Ok(()),
        }
    }
}

fn shown(name: &[u8]) -> String {
    format!("`{}`", sanitize::line(name))
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, most) = (self.bytes, self.max_word_bytes);
        match self.total {
            None => write!(f, "{} has {bytes} bytes, and Linux takes {most}", self.longest)?,
            Some((sum, most)) => write!(
                f,
                "arguments and environment have {sum} bytes, and Linux takes {most}; the longest is {} with {bytes}",
                self.longest
            )?,
        }
        match &self.longest {
            OversizedWord::OfKey { key: "args", .. } => {
                f.write_str("; `args_stdin: true` passes `args` on standard input")
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for OversizedWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OversizedWord::OfKey { key, number, written } => {
                write!(f, "word {number} of `{key}` ({written})")
            }
            OversizedWord::OfLibvirt(number) => write!(f, "argument {number} from libvirt"),
            OversizedWord::Argument(number) => write!(f, "argument {number}"),
            OversizedWord::Variable(name) => write!(f, "the variable `{name}`"),
        }
    }
}
