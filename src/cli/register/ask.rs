//! Asks a script or a module to describe itself. It runs with a time limit, limited output, a minimal
//! environment and no standard input.

use std::ffi::OsStr;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::machine::{sanitize, ulid};
use crate::process::DEFAULT_PATH;
use crate::process::job::{Job, ProcessOutcome, c_string};
use crate::process::members;
use crate::process::supervise::Supervisor;
use crate::run::environment::Environment;

/// How long a script or a module may take to describe itself.
pub(crate) const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of its standard error an error message quotes, from the end.
const MAX_STDERR_BYTES: usize = 1024;

/// Why a script or a module gave no description.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DescribeError {
    /// It failed; the reason, for people.
    Failed(String),
    /// hookmux was told to end meanwhile.
    Interrupted,
}

/// Runs a command in the caller's current directory and returns what it printed.
///
/// # Errors
/// It failed, took too long or printed too much.
pub(crate) fn ask(
    words: &[String],
    hooks_dir: &Path,
    home: &Path,
) -> Result<Vec<u8>, DescribeError> {
    let failed = |why: String| DescribeError::Failed(why);
    let Some(program) = words.first() else { return Err(failed("no program".to_owned())) };
    let ends = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];
    let prepared = Supervisor::new(&ends).and_then(|it| it.null().map(|null| (it, null)));
    let (mut supervisor, null) = prepared.map_err(|error| failed(error.to_string()))?;
    let run = ulid::new();
    let mut environment = Environment::default();
    environment.set("PATH", DEFAULT_PATH);
    environment.set("HOME", home);
    environment.set("LC_ALL", "C.UTF-8");
    environment.set("HOOKMUX_HOOKS_DIR", hooks_dir);
    environment.set(members::RUN_VARIABLE, &run);
    let mut job = Job::new(OsStr::new(program), null, run, Instant::now() + DESCRIBE_TIMEOUT);
    job.arguments = words.iter().map(|word| c_string(word.as_bytes())).collect();
    job.environment = environment.block();
    job.timeout = Some(DESCRIBE_TIMEOUT);
    job.kill_leftovers = true;
    let ended = supervisor.run(vec![job], &mut |_| {}).pop();
    // a process that can't be ended holds at most a pipe
    let _ = supervisor.release_leftovers();
    let Some(ended) = ended else { return Err(failed("it never ran".to_owned())) };
    let why = match &ended.outcome {
        ProcessOutcome::Exited(0) => {
            let whole = ended.stdout.whole();
            return whole.ok_or_else(|| {
                failed(format!(
                    "it printed {} bytes, which is too much for a description",
                    ended.stdout.total()
                ))
            });
        }
        ProcessOutcome::Exited(status) => format!("it ended with exit status {status}"),
        ProcessOutcome::Signaled(signal) => format!("it was ended by signal {signal}"),
        ProcessOutcome::TimedOut { .. } => {
            format!("it didn't end within {} s", DESCRIBE_TIMEOUT.as_secs())
        }
        ProcessOutcome::Terminated => return Err(DescribeError::Interrupted),
        ProcessOutcome::NotStarted(obstacle) => format!("it {obstacle}"),
    };
    let stderr = sanitize::text(&ended.stderr.end(MAX_STDERR_BYTES));
    Err(failed(match stderr.trim() {
        "" => why,
        stderr => format!("{why}: {stderr}"),
    }))
}
