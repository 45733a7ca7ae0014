//! Reloads libvirt's daemons and waits until they have looked for hook programs, which libvirt does when it
//! starts and when it is reloaded (SIGHUP).
//!
//! hookmux sees that a daemon has looked in one of two ways. At a reload `virHookCall` of libvirt's
//! `src/util/virhook.c` looks for the programs of all drivers and then calls the hook `daemon`, and hookmux
//! keeps a note of that call. A service of type `notify-reload` (libvirt 11.3) reports to systemd when its
//! reload is over. Without either, hookmux can't see it.

use std::fs::Metadata;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::daemons::{self, Daemon};
use crate::cli::json::install::{ReloadState, ReloadedDaemon};
use crate::command::Fix;
use crate::libvirt::Driver;
use crate::machine::proc;
use crate::memory::daemon_reload;
use crate::state::Dir;

/// The message if no such daemon runs.
pub(super) const NO_DAEMON: &str =
    "No libvirt daemon runs that looks here: the next one to start will look.";

/// The time between two checks of what has happened.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How much of a command's standard error a message quotes.
const MAX_STDERR_BYTES: usize = 1000;

/// Returns the running daemons that call hooks of these drivers in this directory, without session daemons
/// of other users.
pub(super) fn of_drivers(hooks_dir: &Path, user: u32, drivers: &[Driver]) -> Vec<Daemon> {
    let mut daemons = daemons::running(Path::new("/"), hooks_dir);
    daemons.retain(|daemon| {
        daemon.user == user && drivers.iter().any(|driver| daemon.serves(*driver))
    });
    daemons
}

/// Returns the advice how to reload daemons, if hookmux wasn't asked to.
pub(super) fn advice(daemons: &[Daemon]) -> Vec<String> {
    if daemons.is_empty() {
        return vec![NO_DAEMON.to_owned()];
    }
    let mut lines = vec!["Now let the daemon look again; reload, never restart (a restart reconnects to every guest):".to_owned()];
    let mut commands: Vec<String> = daemons.iter().map(|daemon| daemon.reload().text).collect();
    commands.sort();
    commands.dedup();
    lines.extend(commands.into_iter().map(|command| format!("  {command}")));
    lines
}

/// How the reload of a daemon ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ReloadOutcome {
    /// It has looked for its hook programs.
    Looked,
    /// It was told to look, but hookmux can't see whether it has.
    Unseen,
    /// It has ended or was restarted; a daemon that starts looks for its hook programs.
    Ended,
    /// It was told to look, but hasn't within the timeout.
    Late,
    /// It couldn't be told to look.
    Failed(String),
}

/// A daemon, and how its reload ended.
#[derive(Clone, Debug)]
pub(super) struct ReloadResult {
    pub daemon: Daemon,
    pub state: ReloadOutcome,
    /// A message for people that also says what to do.
    pub words: String,
}

impl ReloadResult {
    pub(super) fn is_good(&self) -> bool {
        !matches!(self.state, ReloadOutcome::Late | ReloadOutcome::Failed(_))
    }

    pub(super) fn json(&self) -> ReloadedDaemon {
        ReloadedDaemon {
            name: self.daemon.name.clone(),
            pid: self.daemon.pid,
            state: match self.state {
                ReloadOutcome::Looked => ReloadState::Looked,
                ReloadOutcome::Unseen => ReloadState::Unseen,
                ReloadOutcome::Ended => ReloadState::Ended,
                ReloadOutcome::Late => ReloadState::Late,
                ReloadOutcome::Failed(_) => ReloadState::Failed,
            },
            message: self.words.clone(),
            fix_keys: Some(&self.daemon.reload()).into(),
        }
    }
}

/// How daemons are reloaded.
pub(super) struct ReloadOptions<'a> {
    /// The directory of the notes; `None` if there will be none because hookmux isn't the hook `daemon`.
    pub notes: Option<&'a Dir>,
    /// How long the reload of all daemons may take.
    pub timeout: Duration,
    /// The command that does the same again.
    pub again: Fix,
}

/// Reloads all daemons, and waits until they have looked.
pub(super) fn reload(daemons: Vec<Daemon>, options: &ReloadOptions<'_>) -> Vec<ReloadResult> {
    let deadline = Instant::now() + options.timeout;
    let mut pending: Vec<PendingReload<'_>> =
        daemons.into_iter().map(|daemon| PendingReload::new(daemon, options, deadline)).collect();
    // the state before the reload is known for all of them before the first one is reloaded
    pending.iter_mut().for_each(PendingReload::notify);
    while pending.iter_mut().any(|one| !one.is_finished()) && Instant::now() < deadline {
        thread::sleep(POLL_INTERVAL);
    }
    pending.into_iter().map(|one| one.end(options)).collect()
}

/// A daemon that is waited for.
struct PendingReload<'a> {
    daemon: Daemon,
    /// When the process began, in ticks since the boot.
    began: Option<u64>,
    notes: Option<&'a Dir>,
    before: Option<NoteVersion>,
    /// Whether systemd knows when its reload is over.
    is_reported: bool,
    command: Option<Child>,
    /// Whether it was told to reload.
    is_notified: bool,
    state: Option<ReloadOutcome>,
}

impl PendingReload<'_> {
    fn new<'a>(
        daemon: Daemon,
        options: &ReloadOptions<'a>,
        deadline: Instant,
    ) -> PendingReload<'a> {
        let reports = |unit: &String| type_of(unit, deadline).as_deref() == Some("notify-reload");
        PendingReload {
            began: proc::start_time(pid(&daemon)),
            is_reported: daemon.unit.as_ref().is_some_and(reports),
            notes: options.notes,
            before: options.notes.and_then(|notes| NoteVersion::of(notes, &daemon)),
            command: None,
            is_notified: false,
            state: None,
            daemon,
        }
    }

    fn notify(&mut self) {
        let pending = match &self.daemon.unit {
            Some(unit) => systemctl(&["reload", unit]).map(|child| self.command = Some(child)),
            // a process without a handler, one that has just started, would end: it is tried again later
            None if !catches_hangup(&self.daemon) => return,
            None => kill(Pid::from_raw(pid(&self.daemon)), Signal::SIGHUP)
                .map(|()| self.is_notified = true)
                .map_err(Into::into),
        };
        if let Err(error) = pending {
            self.state = Some(self.failed(error.to_string()));
        }
    }

    fn is_there(&self) -> bool {
        self.began.is_some_and(|began| proc::is_running(pid(&self.daemon), began))
    }

    /// Returns the outcome of an error. A daemon that has ended can't be reloaded, and needn't be.
    fn failed(&self, why: String) -> ReloadOutcome {
        if self.is_there() { ReloadOutcome::Failed(why) } else { ReloadOutcome::Ended }
    }

    /// Tells whether there is nothing more to wait for.
    fn is_finished(&mut self) -> bool {
        if self.state.is_none() {
            self.state = self.check();
        }
        self.state.is_some()
    }

    fn check(&mut self) -> Option<ReloadOutcome> {
        if self.notes.is_some_and(|notes| NoteVersion::of(notes, &self.daemon) != self.before) {
            return Some(ReloadOutcome::Looked);
        }
        match self.command.as_mut().map(Child::try_wait) {
            Some(Ok(Some(status))) if status.success() => self.is_notified = true,
            Some(Ok(Some(status))) => {
                let printed = self.command.as_mut().map(read_stderr).unwrap_or_default();
                return Some(self.failed(failure(status, &printed)));
            }
            Some(Err(error)) => return Some(self.failed(error.to_string())),
            Some(Ok(None)) => {}
            None if !self.is_notified => self.notify(),
            None => {}
        }
        if self.state.is_some() {
            return self.state.take();
        }
        if !self.is_there() {
            return Some(ReloadOutcome::Ended);
        }
        match (self.is_notified, self.is_reported, self.notes) {
            (true, true, _) => Some(ReloadOutcome::Looked),
            (true, false, None) => Some(ReloadOutcome::Unseen),
            _ => None,
        }
    }

    fn end(mut self, options: &ReloadOptions<'_>) -> ReloadResult {
        self.is_finished();
        if let Some(child) = &mut self.command {
            let _ = child.kill();
            let _ = child.wait();
        }
        let state = self.state.take().unwrap_or(ReloadOutcome::Late);
        let (name, reload) = (&self.daemon.name, self.daemon.reload());
        let words = match &state {
            ReloadOutcome::Looked => {
                format!("{name} was reloaded, and has looked for its hook programs.")
            }
            ReloadOutcome::Ended => {
                format!(
                    "{name} has ended meanwhile: it looks for its hook programs when it starts."
                )
            }
            ReloadOutcome::Unseen => format!(
                "{name} was reloaded (`{reload}`). Whether it has looked by now can't be seen: hookmux is not installed as the hook `daemon` that it would call, and it doesn't tell systemd when a reload is over."
            ),
            ReloadOutcome::Failed(why) => format!("{name} can't be reloaded: `{reload}`: {why}"),
            ReloadOutcome::Late => format!(
                "{name} was told to look for its hook programs (`{reload}`), and hasn't answered within {} s: it may still be starting, be busy, or be kept from running hookmux ({}); then try again: `{}`",
                options.timeout.as_secs(),
                self.journal(),
                options.again
            ),
        };
        ReloadResult { daemon: self.daemon, state, words }
    }

    /// Says where a daemon's errors are logged.
    fn journal(&self) -> String {
        match &self.daemon.unit {
            Some(unit) => {
                format!("`{}` shows why", Fix::run(&["journalctl", "-u", unit, "-n", "50"]))
            }
            None => "its log shows why".to_owned(),
        }
    }
}

/// Returns the pid; 0 if it is out of range, to which no signal is sent.
fn pid(daemon: &Daemon) -> i32 {
    i32::try_from(daemon.pid).unwrap_or_default()
}

/// Tells whether a process has a handler for SIGHUP. Without one the signal ends it.
fn catches_hangup(daemon: &Daemon) -> bool {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", daemon.pid)).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let bits = caught.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    // the lowest bit is signal 1
    bits.is_some_and(|bits| bits & 1 == 1)
}

/// Which version of a daemon's note it is: it changes when the note is written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NoteVersion {
    inode: u64,
    changed: (i64, i64),
}

impl NoteVersion {
    fn of(notes: &Dir, daemon: &Daemon) -> Option<NoteVersion> {
        let note: Metadata = daemon_reload::reload_note(notes, &daemon.comm)?;
        Some(NoteVersion { inode: note.ino(), changed: (note.ctime(), note.ctime_nsec()) })
    }
}

/// Returns the type of a systemd service.
fn type_of(unit: &str, deadline: Instant) -> Option<String> {
    let mut child = systemctl(&["show", "--property=Type", "--value", unit]).ok()?;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() >= deadline {
            let _ = child.kill();
        }
        thread::sleep(POLL_INTERVAL);
    }
    let mut printed = [0; 100];
    let count = child.stdout.take()?.read(&mut printed).ok()?;
    Some(String::from_utf8_lossy(&printed[..count]).trim().to_owned())
}

fn systemctl(words: &[&str]) -> std::io::Result<Child> {
    Command::new("systemctl")
        .arg("--no-ask-password")
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// Returns what a finished command printed to standard error. A process that it started may still hold the
/// pipe open.
fn read_stderr(child: &mut Child) -> String {
    let Some(mut stderr) = child.stderr.take() else { return String::new() };
    let mut printed = vec![0; MAX_STDERR_BYTES];
    let count = fcntl(&stderr, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
        .map_err(Into::into)
        .and_then(|_| stderr.read(&mut printed))
        .unwrap_or_default();
    String::from_utf8_lossy(&printed[..count]).trim().to_owned()
}

fn failure(status: ExitStatus, printed: &str) -> String {
    match printed.lines().next() {
        Some(line) => format!("{status}: {line}"),
        None => status.to_string(),
    }
}
