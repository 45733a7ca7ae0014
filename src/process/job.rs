//! One process to run, and how it ended.

use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::capture::{Capture, HEAD_BYTES};
use super::feed::StdinFeed;
use super::startable::obstacle::StartObstacle;
use crate::config::Registration;
use crate::machine::privileges::Privileges;

/// The part of a registered hook that is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Hook,
    /// Runs before the hook: decides whether the hook runs at this call.
    Check,
    /// Runs after a call that failed.
    Rollback,
    /// Runs at the end of its guest, network or port.
    Undo,
}

impl Part {
    /// The program for this part with its first arguments; `None` where a hook has none.
    pub(crate) fn words(self, registration: &Registration) -> Option<&[String]> {
        match self {
            Part::Hook => Some(&registration.command),
            Part::Check => registration.check.as_deref(),
            Part::Rollback => registration.rollback.as_deref(),
            Part::Undo => registration.undo.as_deref(),
        }
    }
}

/// A process to run.
pub struct Job {
    /// Executed by this path, never through a shell.
    pub path: CString,
    /// With `argv[0]`.
    pub arguments: Vec<CString>,
    /// `NAME=value` strings; `HOOKMUX_RUN` has the run's id.
    pub environment: Vec<CString>,
    pub stdin: OwnedFd,
    /// The rest of its standard input, to be written while it runs.
    pub feed: Option<StdinFeed>,
    pub run: String,
    /// Its own time limit.
    pub timeout: Option<Duration>,
    /// When the call's time is over.
    pub call_ends: Instant,
    pub kill_leftovers: bool,
    /// How many bytes of the beginning of standard output are kept.
    pub stdout_head: usize,
    pub privileges: Privileges,
    /// Whether a text without a `#!` line is given to a shell, as shells themselves do with what the
    /// kernel can't execute.
    pub is_text_run: bool,
    /// The registration that it belongs to, and which part of it this is.
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
            stdout_head: HEAD_BYTES,
            privileges: Privileges::default(),
            is_text_run: false,
            registered: None,
        }
    }
}

/// Makes a C string of bytes; it ends at the first NUL.
pub(crate) fn c_string(bytes: &[u8]) -> CString {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    CString::new(&bytes[..end]).unwrap_or_default()
}

/// How a process ended.
#[derive(Debug)]
pub(crate) enum ProcessOutcome {
    Exited(i32),
    Signaled(i32),
    /// Ended by hookmux because it took longer than `limit`.
    TimedOut {
        limit: Duration,
        calls_libvirt: bool,
    },
    /// Ended by hookmux because hookmux itself was told to end.
    Terminated,
    /// It never ran.
    NotStarted(StartObstacle),
}

/// A job that has ended, or could not be started.
#[derive(Debug)]
pub(crate) struct FinishedJob {
    pub outcome: ProcessOutcome,
    pub duration: Duration,
    pub stdout: Capture,
    pub stderr: Capture,
    /// The processes that it left running.
    pub leftovers: Vec<Leftover>,
    /// Whether a process that it started could not be ended.
    pub unkillable: bool,
}

impl FinishedJob {
    /// Makes the result of a job that could not be started.
    pub(crate) fn not_started(obstacle: StartObstacle) -> FinishedJob {
        FinishedJob {
            outcome: ProcessOutcome::NotStarted(obstacle),
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
