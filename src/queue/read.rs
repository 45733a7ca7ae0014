//! How jobs are read: only what nobody but hookmux could have written, and nothing that would hold
//! up a worker.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::item::{Body, Flaw, Head, is_id};
use super::{ASIDE, HEAD, Queue, body_name, head_name};
use crate::state::DirRefusal;

/// What no file of a job is larger than, in bytes.
pub(super) const MAX_FILE_BYTES: u64 = 256 << 20;

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
        self.head_in(head_name(id).as_ref(), id)
    }

    fn head_in(&self, name: &OsStr, id: &str) -> Result<Head, Unread> {
        let bytes = self.read(name)?;
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
        let name = if head.has_body { head_name(&head.id) } else { body_name(&head.id) };
        self.body_in(name.as_ref(), head)
    }

    pub(super) fn body_in(&self, name: &OsStr, head: &Head) -> Result<Body, Unread> {
        let bytes = match self.read(name) {
            Err(Unread::Gone) if self.is_there(&head.id) => {
                return Err(Unread::Broken("what its hook is started with is missing".to_owned()));
            }
            read => read?,
        };
        Ok(Body::parse(&bytes)?)
    }

    /// Whether a job is in the queue, whatever its file is.
    pub fn is_there(&self, id: &str) -> bool {
        self.has(head_name(id))
    }

    /// Whether there is something by this name; what can't be found out may be there.
    pub(super) fn has(&self, name: impl AsRef<Path>) -> bool {
        let look = self.directory.entry_metadata(name);
        !look.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    fn read(&self, name: &OsStr) -> Result<Vec<u8>, Unread> {
        let read = || self.directory.read(name, MAX_FILE_BYTES);
        // a job isn't put aside for what the kernel refused once
        let bytes = read().or_else(|error| match error.raw_os_error() {
            Some(_) if error.kind() != io::ErrorKind::NotFound => read(),
            _ => Err(error),
        });
        bytes.map_err(|error| match error.kind() {
            // a link that leads nowhere is there
            io::ErrorKind::NotFound if self.has(name) => Unread::Broken("it is a link".to_owned()),
            io::ErrorKind::NotFound => Unread::Gone,
            _ if is_passing(&error) => Unread::Trouble(error),
            _ => Unread::Broken(error.to_string()),
        })
    }

    /// All that was put aside, in byte order of the names.
    ///
    /// # Errors
    /// The directory is there and can't be read.
    pub fn aside(&self) -> io::Result<Vec<Aside>> {
        let read_one = |name: OsString| {
            let job = match id_aside(&name) {
                Some(id) => self.head_in(&name, id).and_then(|head| {
                    let body = body_name(&head.id);
                    match self.read(if head.has_body { &name } else { body.as_ref() }) {
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

/// Whether an error says more about the host, or about the directory, than about the file.
fn is_passing(error: &io::Error) -> bool {
    if DirRefusal::of(error).is_some() {
        return true;
    }
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
