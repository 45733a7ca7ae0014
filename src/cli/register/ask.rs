//! Asking a script or a module what it is: run with a limit in time, bounded output, an environment
//! of nothing but the usual, and no standard input.

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

/// What a description may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);
/// How much of what went wrong is told, in bytes.
const TOLD: usize = 1024;

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// It failed: in words.
    Failed(String),
    /// Somebody ended hookmux meanwhile.
    Interrupted,
}

/// Runs a command and returns what it printed. The caller's current directory is what it gets.
///
/// # Errors
/// It failed, took too long or printed too much.
pub(crate) fn ask(words: &[String], hooks_dir: &Path, home: &Path) -> Result<Vec<u8>, Silence> {
    let failed = |why: String| Silence::Failed(why);
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
    let mut job = Job::new(OsStr::new(program), null, run, Instant::now() + LIMIT);
    job.arguments = words.iter().map(|word| c_string(word.as_bytes())).collect();
    job.environment = environment.block();
    job.timeout = Some(LIMIT);
    job.kill_leftovers = true;
    let ended = supervisor.run(vec![job], &mut |_| {}).pop();
    // what can't be ended holds a pipe at most
    let _ = supervisor.release_leftovers();
    let Some(ended) = ended else { return Err(failed("it never ran".to_owned())) };
    let why = match &ended.outcome {
        ProcessOutcome::Exited(0) => {
            let whole = ended.stdout.whole();
            return whole.ok_or_else(|| {
                failed(format!(
                    "it printed {} bytes, which is no description",
                    ended.stdout.total()
                ))
            });
        }
        ProcessOutcome::Exited(status) => format!("it ended with exit status {status}"),
        ProcessOutcome::Signaled(signal) => format!("it was ended by signal {signal}"),
        ProcessOutcome::TimedOut { .. } => format!("it had no end within {} s", LIMIT.as_secs()),
        ProcessOutcome::Terminated => return Err(Silence::Interrupted),
        ProcessOutcome::NotStarted(obstacle) => format!("it {obstacle}"),
    };
    let said = sanitize::text(&ended.stderr.end(TOLD));
    Err(failed(match said.trim() {
        "" => why,
        said => format!("{why}: {said}"),
    }))
}
