//! How jobs are read: only what nobody but hookmux could have written, and nothing that would hold
//! up a worker.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::unistd::geteuid;

use super::item::{Body, Flaw, Head, is_id};
use super::{ASIDE, HEAD, Queue};
use crate::files;

/// What no file of a job is larger than, in bytes.
pub const MAX_FILE_BYTES: u64 = 256 << 20;

/// Why there is no job to run.
#[derive(Debug)]
pub enum Unread {
    /// It was done or removed meanwhile.
    Gone,
    /// A later version wrote it, in this format.
    Newer(String),
    /// It never will be a job: why.
    Broken(String),
    /// It can't be read for now.
    Trouble(io::Error),
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unread::Gone => f.write_str("it is gone"),
            Unread::Newer(format) => {
                write!(f, "a later version of hookmux wrote it (format {format})")
            }
            Unread::Broken(why) => f.write_str(why),
            Unread::Trouble(error) => write!(f, "it can't be read: {error}"),
        }
    }
}

impl Error for Unread {}

impl From<Flaw> for Unread {
    fn from(flaw: Flaw) -> Unread {
        match flaw {
            Flaw::Newer(format) => Unread::Newer(format),
            Flaw::Broken(why) => Unread::Broken(why),
        }
    }
}

/// What was put aside.
#[derive(Debug)]
pub struct Aside {
    /// The file's name in the queue's directory.
    pub name: OsString,
    /// Its head, where it is a job; else why it is none.
    pub job: Result<Head, Unread>,
}

impl Aside {
    /// Why it was put aside.
    pub fn why(&self) -> String {
        match &self.job {
            Ok(head) => head.put_aside.clone().unwrap_or_else(|| "it was put aside".to_owned()),
            Err(unread) => unread.to_string(),
        }
    }
}

impl Queue {
    /// The head of a job.
    ///
    /// # Errors
    /// See [`Unread`].
    pub fn head(&self, id: &str) -> Result<Head, Unread> {
        self.head_in(&self.path(id), id)
    }

    fn head_in(&self, path: &Path, id: &str) -> Result<Head, Unread> {
        let bytes = read(path)?;
        let mut head = Head::parse(&bytes, id)?;
        if head.has_body {
            head.bytes = bytes.len() as u64;
        }
        Ok(head)
    }

    /// The body of a job.
    ///
    /// # Errors
    /// See [`Unread`].
    pub fn body(&self, head: &Head) -> Result<Body, Unread> {
        let path = if head.has_body { self.path(&head.id) } else { self.body_path(&head.id) };
        self.body_in(&path, head)
    }

    pub(super) fn body_in(&self, path: &Path, head: &Head) -> Result<Body, Unread> {
        let bytes = match read(path) {
            Err(Unread::Gone) if self.is_there(&head.id) => {
                return Err(Unread::Broken("what its hook is started with is missing".to_owned()));
            }
            read => read?,
        };
        Ok(Body::parse(&bytes)?)
    }

    /// Whether a job is in the queue, whatever its file is.
    pub fn is_there(&self, id: &str) -> bool {
        is_there(&self.path(id))
    }

    /// All that was put aside, in byte order of the names.
    ///
    /// # Errors
    /// The directory is there and can't be read.
    pub fn aside(&self) -> io::Result<Vec<Aside>> {
        let read_one = |name: OsString| {
            let path = self.directory.join(&name);
            let job = match id_aside(&name) {
                Some(id) => self.head_in(&path, id).and_then(|head| {
                    let body = if head.has_body { path.clone() } else { self.body_path(&head.id) };
                    match read(&body) {
                        Err(Unread::Gone) => {
                            Err(Unread::Broken("what its hook is started with is missing".into()))
                        }
                        read => Ok(Body::parse(&read?).map(|_| head)?),
                    }
                }),
                None => Err(Unread::Broken("it has no job's name".to_owned())),
            };
            Aside { name, job }
        };
        Ok(self.names()?.aside.into_iter().map(read_one).collect())
    }
}

/// The id of a job that was put aside, by its file's name.
pub(super) fn id_aside(name: &OsStr) -> Option<&str> {
    let stem = name.to_str()?.strip_suffix(ASIDE)?;
    is_id(stem).then_some(stem)
}

/// The id of a job, by its head's name.
pub(super) fn id_of(name: &OsStr) -> Option<&str> {
    let stem = name.as_bytes().strip_suffix(HEAD.as_bytes())?;
    std::str::from_utf8(stem).ok().filter(|stem| is_id(stem))
}

fn read(path: &Path) -> Result<Vec<u8>, Unread> {
    let read = || files::read_own(path, MAX_FILE_BYTES, geteuid().as_raw());
    // a job isn't put aside for what the kernel refused once
    let bytes = read().or_else(|error| match error.raw_os_error() {
        Some(_) if error.kind() != io::ErrorKind::NotFound => read(),
        _ => Err(error),
    });
    bytes.map_err(|error| match error.kind() {
        // a link that leads nowhere is there
        io::ErrorKind::NotFound if is_there(path) => Unread::Broken("it is a link".to_owned()),
        io::ErrorKind::NotFound => Unread::Gone,
        _ if is_passing(&error) => Unread::Trouble(error),
        _ => Unread::Broken(error.to_string()),
    })
}

/// Whether an error says more about the host than about the file.
fn is_passing(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    let passing = [
        libc::EMFILE,
        libc::ENFILE,
        libc::ENOMEM,
        libc::EINTR,
        libc::EAGAIN,
        libc::EIO,
        libc::ESTALE,
    ];
    code.is_some_and(|code| passing.contains(&code))
}

/// Whether there is something by this name; what can't be found out may be there.
pub(super) fn is_there(path: &Path) -> bool {
    !fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}
