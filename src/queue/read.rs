//! Reads jobs: only files that nobody but hookmux could have written, and nothing that would block a
//! worker.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::item::{ItemBody, ItemHead, JobFormatError, is_id};
use super::{ASIDE_SUFFIX, HEAD_SUFFIX, Queue, body_name, head_name};
use crate::state::DirRefusal;

/// The size limit of a file of a job, in bytes.
pub(super) const MAX_FILE_BYTES: u64 = 256 << 20;

/// Why a job can't be read.
#[derive(Debug)]
pub enum JobReadError {
    /// The job was done or removed meanwhile.
    Gone,
    /// A later version wrote the job, in this format.
    Newer(String),
    /// The file is not a job, for this reason.
    Broken(String),
    /// The file can't be read at the moment.
    Unreadable(io::Error),
}

impl fmt::Display for JobReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobReadError::Gone => f.write_str("it is gone"),
            JobReadError::Newer(format) => {
                write!(f, "a later version of hookmux wrote it (format {format})")
            }
            JobReadError::Broken(why) => f.write_str(why),
            JobReadError::Unreadable(error) => write!(f, "it can't be read: {error}"),
        }
    }
}

impl Error for JobReadError {}

impl From<JobFormatError> for JobReadError {
    fn from(flaw: JobFormatError) -> JobReadError {
        match flaw {
            JobFormatError::Newer(format) => JobReadError::Newer(format),
            JobFormatError::Broken(why) => JobReadError::Broken(why),
        }
    }
}

/// A file that was put aside.
#[derive(Debug)]
pub struct AsideFile {
    /// The file's name in the queue's directory.
    pub name: OsString,
    /// Its head, if it is a job; else why it is not.
    pub job: Result<ItemHead, JobReadError>,
}

impl AsideFile {
    /// Returns the job's id; for a file that isn't a job, its name.
    pub fn id(&self) -> String {
        match &self.job {
            Ok(head) => head.id.clone(),
            Err(_) => self.name.to_string_lossy().into_owned(),
        }
    }

    /// Returns why it was put aside.
    pub fn why(&self) -> String {
        match &self.job {
            Ok(head) => head.put_aside.clone().unwrap_or_else(|| "it was put aside".to_owned()),
            Err(unread) => unread.to_string(),
        }
    }
}

impl Queue {
    /// Reads the head of a job.
    ///
    /// # Errors
    /// See [`JobReadError`].
    pub fn head(&self, id: &str) -> Result<ItemHead, JobReadError> {
        self.head_in(head_name(id).as_ref(), id)
    }

    fn head_in(&self, name: &OsStr, id: &str) -> Result<ItemHead, JobReadError> {
        let bytes = self.read(name)?;
        let mut head = ItemHead::parse(&bytes, id)?;
        if head.has_body {
            head.bytes = bytes.len() as u64;
        }
        Ok(head)
    }

    /// Reads the body of a job.
    ///
    /// # Errors
    /// See [`JobReadError`].
    pub fn body(&self, head: &ItemHead) -> Result<ItemBody, JobReadError> {
        let name = if head.has_body { head_name(&head.id) } else { body_name(&head.id) };
        self.body_in(name.as_ref(), head)
    }

    pub(super) fn body_in(&self, name: &OsStr, head: &ItemHead) -> Result<ItemBody, JobReadError> {
        let bytes = match self.read(name) {
            Err(JobReadError::Gone) if self.is_there(&head.id) => {
                return Err(JobReadError::Broken("its body is missing".to_owned()));
            }
            read => read?,
        };
        Ok(ItemBody::parse(&bytes)?)
    }

    /// Tells whether a job is in the queue, readable or not.
    pub fn is_there(&self, id: &str) -> bool {
        self.has(head_name(id))
    }

    /// Tells whether a file has this name. In case of doubt it has.
    pub(super) fn has(&self, name: impl AsRef<Path>) -> bool {
        let look = self.directory.entry_metadata(name);
        !look.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    }

    fn read(&self, name: &OsStr) -> Result<Vec<u8>, JobReadError> {
        let read = || self.directory.read(name, MAX_FILE_BYTES);
        // one failed system call is no reason to put a job aside
        let bytes = read().or_else(|error| match error.raw_os_error() {
            Some(_) if error.kind() != io::ErrorKind::NotFound => read(),
            _ => Err(error),
        });
        bytes.map_err(|error| match error.kind() {
            // a dangling link exists
            io::ErrorKind::NotFound if self.has(name) => {
                JobReadError::Broken("it is a link".to_owned())
            }
            io::ErrorKind::NotFound => JobReadError::Gone,
            _ if is_passing(&error) => JobReadError::Unreadable(error),
            _ => JobReadError::Broken(error.to_string()),
        })
    }

    /// Returns all files that were put aside, sorted by name.
    ///
    /// # Errors
    /// The directory is there and can't be read.
    pub fn aside(&self) -> io::Result<Vec<AsideFile>> {
        let read_one = |name: OsString| {
            let job = match id_aside(&name) {
                Some(id) => self.head_in(&name, id).and_then(|head| {
                    let body = body_name(&head.id);
                    match self.read(if head.has_body { &name } else { body.as_ref() }) {
                        Err(JobReadError::Gone) => {
                            Err(JobReadError::Broken("its body is missing".into()))
                        }
                        read => Ok(ItemBody::parse(&read?).map(|_| head)?),
                    }
                }),
                None => Err(JobReadError::Broken("its name is not that of a job".to_owned())),
            };
            AsideFile { name, job }
        };
        Ok(self.names()?.aside.into_iter().map(read_one).collect())
    }
}

/// Returns the id in the name of a file that was put aside.
pub(super) fn id_aside(name: &OsStr) -> Option<&str> {
    let stem = name.to_str()?.strip_suffix(ASIDE_SUFFIX)?;
    is_id(stem).then_some(stem)
}

/// Returns the id in the name of a head.
pub(super) fn id_of(name: &OsStr) -> Option<&str> {
    let stem = name.as_bytes().strip_suffix(HEAD_SUFFIX.as_bytes())?;
    std::str::from_utf8(stem).ok().filter(|stem| is_id(stem))
}

/// Tells whether an error is about the host or the directory, not about the file.
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
