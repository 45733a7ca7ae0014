//! `hookmux stop`: ends a call that is running, as SIGTERM does; or the try of a detached hook.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::executions;
use super::running::{self, RunningCall};
use super::which;
use crate::cli::args::{Format, StopArgs};
use crate::cli::json::change::ChangeSummary;
use crate::cli::json::execution::{Call, Stopped};
use crate::cli::output::{Output, Tone};
use crate::cli::remark::Remark;
use crate::cli::{CommandEnd, CommandPlace, question, rights};
use crate::command::Fix;
use crate::config::Settings;
use crate::libvirt::Class;
use crate::machine::{own_binary, proc, sys};
use crate::process::members;
use crate::queue::Queue;
use crate::record::form::{RecordCause, RecordHead, RecordProcess, RecordState};
use crate::record::history::{History, IdPart};
use crate::record::running::StartedHook;
use crate::undo;

/// The time between SIGTERM and SIGKILL for the processes of a try, as the supervisor has it.
const TERMINATE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for the end: five seconds for the hook, thirty for rollbacks, and something to spare.
const END_TIMEOUT: Duration = Duration::from_secs(45);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// The word for the newest call that is running.
const LAST: &str = "last";

pub(crate) fn run(
    place: &CommandPlace,
    arguments: &StopArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let loaded = place.load(output);
    let settings = &loaded.settings;
    let history = executions::history(settings, output)?;
    let target = Target::find(settings, &history, &arguments.id)?;
    let format = arguments.output.format;
    let job = target.job.as_ref().map(|job| job.id.clone());
    if arguments.dry_run {
        match format {
            Format::Json => {
                let (call, summary) = (Call::from(target.head()), ChangeSummary::new(true, true));
                output.json(&Stopped { call, job, tries_left: None, summary });
            }
            Format::Text => {
                output.sentence(0, &target.question());
                output.line("nothing was ended: --dry-run");
            }
        }
        return Ok(CommandEnd::Good);
    }
    if let Some(end) = question::ask(&target.question(), arguments.yes, format, output) {
        return Ok(end);
    }
    let hooks_dir = &settings.hooks_dir;
    target.end(settings)?;
    let Some(head) = target.wait(&history) else {
        let show = Fix::hookmux(hooks_dir, &["show", target.head().id.as_str()]);
        let words =
            format!("{} isn't over {} s after SIGTERM", target.head().id, END_TIMEOUT.as_secs());
        bail!(Remark::followed_by(&words, Some(show)));
    };
    let left = target.job.as_ref().map(|job| job.tries_left(settings));
    match format {
        Format::Json => output.json(&Stopped {
            call: Call::from(&head),
            job,
            tries_left: left,
            summary: ChangeSummary::new(true, false),
        }),
        Format::Text => target.report(&head, left, settings, output),
    }
    Ok(CommandEnd::Good)
}

/// What is to be ended.
struct Target {
    call: RunningCall,
    /// Set for the try of a detached hook: its process is ended, and not the worker's.
    job: Option<Job>,
}

struct Job {
    id: String,
    hook: StartedHook,
}

impl Target {
    /// Finds what an id names.
    ///
    /// # Errors
    /// Nothing of this id is running.
    fn find(settings: &Settings, history: &History, word: &str) -> anyhow::Result<Target> {
        let running = running::all(history);
        if word == LAST {
            return match running.last() {
                Some(newest) => Target::of(settings, &newest.head),
                None => bail!("no call is running"),
            };
        }
        let part = IdPart::of(word);
        let is_meant = |call: &&RunningCall| part.is_of(&call.head.id);
        let mut found: Vec<&RunningCall> = running.iter().filter(is_meant).collect();
        let job = Queue::new(&settings.state_dir);
        if found.is_empty() {
            // the try that runs of a job, which has an id of its own
            let names = job.names().map(|names| names.ids).unwrap_or_default();
            let jobs = names.iter().filter(|id| part.is_of(&id.to_ascii_uppercase()));
            let heads: Vec<_> = jobs.filter_map(|id| job.head(id).ok()).collect();
            found = running
                .iter()
                .filter(|call| {
                    heads.iter().any(|head| is_attempt(&call.head, &head.execution, &head.hook))
                })
                .collect();
        }
        if found.is_empty() {
            found = running.iter().filter(|call| call.head.object == word).collect();
        }
        match found.as_slice() {
            [one] => Target::of(settings, &one.head),
            [] => Err(not_running(settings, history, word, &running)),
            several => {
                bail!("`{word}` means more than one: {}", listed(several.iter().copied()))
            }
        }
    }

    fn of(settings: &Settings, head: &RecordHead) -> anyhow::Result<Target> {
        let hooks = running::hooks(head);
        let call = RunningCall { head: head.clone(), hooks };
        let RecordCause::Queue(parent) = &head.cause else { return Ok(Target { call, job: None }) };
        let label = head.hooks.first().map(|hook| hook.hook.as_str()).unwrap_or_default();
        if undo::is_label(label) {
            return Ok(Target { call, job: None });
        }
        let queue = Queue::new(&settings.state_dir);
        let names = queue.names().map(|names| names.ids).unwrap_or_default();
        let mut heads = names.iter().filter_map(|id| queue.head(id).ok());
        let job = heads.find(|job| job.execution == *parent && job.hook == label);
        match (job, call.hooks.first().cloned()) {
            (Some(job), Some(hook)) => Ok(Target { call, job: Some(Job { id: job.id, hook }) }),
            _ => bail!("{} is a try of a detached hook that is just beginning or ending", head.id),
        }
    }

    fn head(&self) -> &RecordHead {
        &self.call.head
    }

    /// Says what will be done.
    fn question(&self) -> String {
        let head = self.head();
        let what = format!(
            "{} {}: {}.",
            executions::call(head),
            head.object,
            running::now(&self.call.hooks, head)
        );
        let end = match (&self.job, head.cause.clone()) {
            (Some(_), _) => "The hook will be ended, which counts as a failed try.",
            (None, RecordCause::Undo(_) | RecordCause::Queue(_)) => {
                "The undo will be ended, and stays owed."
            }
            (None, RecordCause::Libvirt) if head.class == Class::Gate.name() => {
                "The hook will be ended, and what succeeded rolled back; libvirt gets a failure (143)."
            }
            (None, RecordCause::Libvirt) if head.class == Class::Live.name() => {
                "The hook will be ended, and no other one started; libvirt gets success."
            }
            (None, _) => "The hook will be ended, and no other one started.",
        };
        format!("{what} {end}")
    }

    /// Ends it.
    ///
    /// # Errors
    /// The process is gone, isn't hookmux, or is another user's.
    fn end(&self, settings: &Settings) -> anyhow::Result<()> {
        let RecordHead { id, process, .. } = self.head();
        if !is_hookmux(process) {
            bail!("process {} of {id} isn't hookmux any more; nothing was done", process.pid);
        }
        let ended = match &self.job {
            Some(job) => end_attempt(process.pid, &job.hook),
            None => signal(process),
        };
        match ended {
            Ok(()) => Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {
                bail!("{id} was over before it could be ended")
            }
            Err(error) => {
                let words = format!("process {} of {id} can't be ended", process.pid);
                let path = settings.runtime_dir.unchecked_path();
                match error.kind() {
                    io::ErrorKind::PermissionDenied => {
                        Err(rights::explained(path, error)).context(words)
                    }
                    _ => Err(error).context(words),
                }
            }
        }
    }

    /// Waits for its end; returns `None` if it takes too long.
    fn wait(&self, history: &History) -> Option<RecordHead> {
        let begun = Instant::now();
        loop {
            match history.head(&self.head().id) {
                Ok(head) if head.state != RecordState::Running => return Some(head),
                // without room for it, the end has no record
                Err(_) => return Some(self.head().clone()),
                Ok(_) if begun.elapsed() >= END_TIMEOUT => return None,
                Ok(_) => thread::sleep(POLL_INTERVAL),
            }
        }
    }

    fn report(
        &self,
        head: &RecordHead,
        left: Option<u32>,
        settings: &Settings,
        output: &mut Output,
    ) {
        let what = format!("{} {} ({})", executions::call(head), head.object, head.id);
        let hooks_dir = &settings.hooks_dir;
        match (&self.job, left) {
            (Some(job), Some(left)) => {
                output.toned(Tone::Good, &format!("{what}: the try of {} is ended", job.hook.hook));
                if left > 0 {
                    let flush = Fix::hookmux(hooks_dir, &["queue", "--flush", job.id.as_str()]);
                    let times = if left == 1 { "once" } else { &format!("{left} times") };
                    output.line(&format!("It is tried again, {times}; `{flush}` prevents that."));
                }
            }
            _ => {
                let answer = head.status.map(|status| format!("; the answer was {status}"));
                output.toned(Tone::Good, &format!("{what} is ended{}", answer.unwrap_or_default()));
            }
        }
        let show = Fix::hookmux(hooks_dir, &["show", head.id.as_str()]);
        output.line(&format!("`{show}` shows all of it"));
    }
}

impl Job {
    fn tries_left(&self, settings: &Settings) -> u32 {
        let head = Queue::new(&settings.state_dir).head(&self.id);
        head.map_or(0, |head| {
            u32::try_from(head.max_attempts().saturating_sub(u64::from(head.attempts)))
                .unwrap_or(u32::MAX)
        })
    }
}

fn is_attempt(head: &RecordHead, execution: &str, hook: &str) -> bool {
    head.cause.parent() == Some(execution) && head.hooks.iter().any(|it| it.hook == hook)
}

/// Names calls that run, for a message.
fn listed<'a>(calls: impl Iterator<Item = &'a RunningCall>) -> String {
    let lines = calls.map(|call| format!("{} ({})", call.head.id, call.line()));
    lines.collect::<Vec<_>>().join(", ")
}

/// Says why nothing of this id can be ended.
fn not_running(
    settings: &Settings,
    history: &History,
    word: &str,
    running: &[RunningCall],
) -> anyhow::Error {
    let now = match running {
        [] => "no call is running".to_owned(),
        running => format!("running: {}", listed(running.iter())),
    };
    match which::named(settings, history, word) {
        Ok(found) if found.job.is_some() => {
            anyhow::anyhow!("no try of job `{word}` is running; {now}")
        }
        Ok(found) => {
            let id = &found.record.head.id;
            let why = match found.record.head.state {
                RecordState::Lost => "isn't running: its process died",
                // since the calls that run were listed
                RecordState::Running => "has begun just now: run this command again",
                RecordState::Done | RecordState::Unknown => "is over",
            };
            let show = Fix::hookmux(&settings.hooks_dir, &["show", id.as_str()]);
            Remark::followed_by(&format!("{id} {why}; {now}"), Some(show)).into()
        }
        Err(_) if running.is_empty() => anyhow::anyhow!("there is no execution `{word}`; {now}"),
        Err(_) => {
            anyhow::anyhow!("there is no execution `{word}`, and no running call of it; {now}")
        }
    }
}

/// Tells whether the process that a record names is the same, and hookmux.
fn is_hookmux(process: &RecordProcess) -> bool {
    let program: PathBuf = Path::new("/proc").join(process.pid.to_string()).join("exe");
    process.is_alive() && own_binary::is_hookmux(&program)
}

/// Sends SIGTERM to the process that a record names, and to no other that has its number by now.
fn signal(process: &RecordProcess) -> io::Result<()> {
    let gone = || io::Error::from_raw_os_error(libc::ESRCH);
    match sys::pidfd_open(process.pid) {
        // asked once more, now that it can't become another's
        Ok(_) if !process.is_alive() => Err(gone()),
        Ok(handle) => sys::pidfd_signal(handle.as_fd(), libc::SIGTERM),
        // kernels before 5.3 have no handles
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => match process.is_alive() {
            true => sys::signal(process.pid, libc::SIGTERM),
            false => Err(gone()),
        },
        Err(error) => Err(error),
    }
}

/// Ends everything that the try of a detached hook has started. The worker goes on with its other jobs.
fn end_attempt(worker: i32, hook: &StartedHook) -> io::Result<()> {
    let gone = || io::Error::from_raw_os_error(libc::ESRCH);
    let run = proc::environment_variable(hook.pid, members::RUN_VARIABLE).ok_or_else(gone)?;
    if proc::parent(hook.pid) != Some(worker) {
        return Err(gone());
    }
    members::signal_run(hook.pid, &run, worker, libc::SIGTERM);
    members::signal_run(hook.pid, &run, worker, libc::SIGCONT);
    let begun = Instant::now();
    while !members::of_run(hook.pid, &run, worker).is_empty() {
        if begun.elapsed() >= TERMINATE_TIMEOUT {
            members::signal_run(hook.pid, &run, worker, libc::SIGKILL);
            break;
        }
        thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}
