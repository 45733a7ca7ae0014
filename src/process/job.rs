//! One process to run, and how it ended.

use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::capture::{Capture, HEAD};
use super::feed::Feed;
use super::startable::obstacle::Obstacle;
use crate::config::Registration;
use crate::machine::privileges::Privileges;

/// What of a registered hook is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Hook,
    /// Before it: whether it has a part in this call at all.
    Check,
    /// After a call that failed.
    Rollback,
}

impl Part {
    /// The program for this part with its first arguments; `None` where a hook has none.
    pub(crate) fn words(self, registration: &Registration) -> Option<&[String]> {
        match self {
            Part::Hook => Some(&registration.command),
            Part::Check => registration.check.as_deref(),
            Part::Rollback => registration.rollback.as_deref(),
        }
    }
}

/// What is to be run.
pub struct Job {
    /// Executed by this path, never through a shell.
    pub path: CString,
    /// With `argv[0]`.
    pub arguments: Vec<CString>,
    /// `NAME=value`; has the run's id as `HOOKMUX_RUN`.
    pub environment: Vec<CString>,
    pub stdin: OwnedFd,
    /// What is still to be written for its standard input.
    pub feed: Option<Feed>,
    pub run: String,
    /// Its own limit in time.
    pub timeout: Option<Duration>,
    /// When the call's time is over.
    pub call_ends: Instant,
    pub kill_leftovers: bool,
    /// How much of the beginning of standard output is kept, in bytes.
    pub stdout_head: usize,
    pub privileges: Privileges,
    /// Whether a text without a `#!` line is given to a shell, as shells themselves do with what the
    /// kernel can't execute.
    pub is_text_run: bool,
    /// What of a registered hook it is.
    pub registered: Option<(Arc<Registration>, Part)>,
}

impl Job {
    pub fn new(path: &OsStr, stdin: OwnedFd, run: String, call_ends: Instant) -> Job {
        let path = c_string(path.as_bytes());
        Job {
            arguments: vec![path.clone()],
            path,
            environment: Vec::new(),
            stdin,
            feed: None,
            run,
            timeout: None,
            call_ends,
            kill_leftovers: false,
            stdout_head: HEAD,
            privileges: Privileges::default(),
            is_text_run: false,
            registered: None,
        }
    }
}

/// Bytes as a C string; what can't be in one (a NUL) ends it.
pub(crate) fn c_string(bytes: &[u8]) -> CString {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    CString::new(&bytes[..end]).unwrap_or_default()
}

/// How a process ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Exited(i32),
    Signaled(i32),
    /// Ended by us: the limit that it overran.
    TimedOut {
        limit: Duration,
        calls_libvirt: bool,
    },
    /// Ended by us because hookmux was told to end.
    Terminated,
    /// It never ran.
    NotStarted(Obstacle),
}

/// A job that is over.
#[derive(Debug)]
pub(crate) struct Ended {
    pub outcome: Outcome,
    pub duration: Duration,
    pub stdout: Capture,
    pub stderr: Capture,
    /// What it left running.
    pub leftovers: Vec<Leftover>,
    /// Whether something that it started could not be ended.
    pub unkillable: bool,
}

impl Ended {
    /// Of a job that could not be started.
    pub(crate) fn never(obstacle: Obstacle) -> Ended {
        Ended {
            outcome: Outcome::NotStarted(obstacle),
            duration: Duration::ZERO,
            stdout: Capture::default(),
            stderr: Capture::default(),
            leftovers: Vec::new(),
            unkillable: false,
        }
    }
}

/// A process that outlived its hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leftover {
    pub pid: i32,
    pub name: String,
}
