//! libvirt looks for hook programs when it starts and when it is reloaded (SIGHUP). Here its daemons
//! are told to look, and waited for until they have.
//!
//! What shows that one has looked, in `virHookCall` of libvirt's `src/util/virhook.c`: at a reload it
//! looks for the programs of all drivers, and then calls the hook `daemon`, of which hookmux keeps a
//! note. A service of type `notify-reload` (libvirt 11.3) reports to systemd when its reload is over.
//! Where there is neither, nobody can see it.

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

/// What is said where there is none.
pub(super) const NO_DAEMON: &str =
    "No libvirt daemon runs that looks here: the next one to start will look.";

/// Between two looks at what has happened.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// What is told of a command's complaint, in bytes.
const MAX_COMPLAINT_BYTES: usize = 1000;

/// The running daemons that call one of these drivers' hooks in this directory, but for session
/// daemons of other users.
pub(super) fn of_drivers(hooks_dir: &Path, user: u32, drivers: &[Driver]) -> Vec<Daemon> {
    let mut daemons = daemons::running(Path::new("/"), hooks_dir);
    daemons.retain(|daemon| {
        daemon.user == user && drivers.iter().any(|driver| daemon.serves(*driver))
    });
    daemons
}

/// The advice in words, where nobody has reloaded them.
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

/// How it went with a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ReloadOutcome {
    /// It has looked.
    Looked,
    /// It was told to, and nobody can see whether it has.
    Unseen,
    /// It has ended, or was started anew: who starts looks.
    Ended,
    /// It was told to, and hasn't in time.
    Late,
    /// It couldn't be told to.
    Failed(String),
}

/// A daemon, and how it went.
#[derive(Clone, Debug)]
pub(super) struct ReloadResult {
    pub daemon: Daemon,
    pub state: ReloadOutcome,
    /// For people: also the way out.
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

/// What is known where daemons are reloaded.
pub(super) struct ReloadOptions<'a> {
    /// Where their notes are kept; `None` where they leave none: no `daemon` entry is hookmux's.
    pub notes: Option<&'a Dir>,
    /// How long all of it may take.
    pub timeout: Duration,
    /// The command that does the same again.
    pub again: Fix,
}

/// Lets all of them look, and waits until they have.
pub(super) fn reload(daemons: Vec<Daemon>, options: &ReloadOptions<'_>) -> Vec<ReloadResult> {
    let deadline = Instant::now() + options.timeout;
    let mut pending: Vec<PendingReload<'_>> =
        daemons.into_iter().map(|daemon| PendingReload::new(daemon, options, deadline)).collect();
    // of all of them what shows it is known before the first is asked
    pending.iter_mut().for_each(PendingReload::notify);
    while pending.iter_mut().any(|one| !one.is_finished()) && Instant::now() < deadline {
        thread::sleep(POLL_INTERVAL);
    }
    pending.into_iter().map(|one| one.end(options)).collect()
}

/// One that is waited for.
struct PendingReload<'a> {
    daemon: Daemon,
    /// When the process began, in ticks since the boot.
    began: Option<u64>,
    notes: Option<&'a Dir>,
    before: Option<NoteVersion>,
    /// Whether systemd knows when its reload is over.
    is_reported: bool,
    command: Option<Child>,
    /// Whether it has been told.
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
            // one that has just been made would end of it: it is asked again
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

    /// One that has ended can't be told anything, and needn't.
    fn failed(&self, why: String) -> ReloadOutcome {
        if self.is_there() { ReloadOutcome::Failed(why) } else { ReloadOutcome::Ended }
    }

    /// Whether there is nothing more to wait for.
    fn is_finished(&mut self) -> bool {
        if self.state.is_none() {
            self.state = self.look();
        }
        self.state.is_some()
    }

    fn look(&mut self) -> Option<ReloadOutcome> {
        if self.notes.is_some_and(|notes| NoteVersion::of(notes, &self.daemon) != self.before) {
            return Some(ReloadOutcome::Looked);
        }
        match self.command.as_mut().map(Child::try_wait) {
            Some(Ok(Some(status))) if status.success() => self.is_notified = true,
            Some(Ok(Some(status))) => {
                let said = self.command.as_mut().map(complaint).unwrap_or_default();
                return Some(self.failed(failure(status, &said)));
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
                "{name} was reloaded (`{reload}`). Whether it has looked by now can't be seen: there is no entry `daemon` of hookmux's for it to call, and it doesn't tell systemd when a reload is over."
            ),
            ReloadOutcome::Failed(why) => format!("{name} can't be reloaded: `{reload}`: {why}"),
            ReloadOutcome::Late => format!(
                "{name} was told to look for its hook programs (`{reload}`), and hasn't been heard within {} s: it may be starting still, be busy, or be kept from running hookmux ({}); then try again: `{}`",
                options.timeout.as_secs(),
                self.journal(),
                options.again
            ),
        };
        ReloadResult { daemon: self.daemon, state, words }
    }

    /// Where a daemon complains.
    fn journal(&self) -> String {
        match &self.daemon.unit {
            Some(unit) => format!("`{}` tells", Fix::run(&["journalctl", "-u", unit, "-n", "50"])),
            None => "its log tells".to_owned(),
        }
    }
}

/// 0 where it is none: nothing is told to that.
fn pid(daemon: &Daemon) -> i32 {
    i32::try_from(daemon.pid).unwrap_or_default()
}

/// Whether a process has a handler for SIGHUP, which ends it otherwise.
fn catches_hangup(daemon: &Daemon) -> bool {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", daemon.pid)).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let bits = caught.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    // the lowest bit is signal 1
    bits.is_some_and(|bits| bits & 1 == 1)
}

/// What tells a daemon's notes apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NoteVersion {
    inode: u64,
    changed: (i64, i64),
}

impl NoteVersion {
    fn of(notes: &Dir, daemon: &Daemon) -> Option<NoteVersion> {
        let note: Metadata = daemon_reload::look(notes, &daemon.comm)?;
        Some(NoteVersion { inode: note.ino(), changed: (note.ctime(), note.ctime_nsec()) })
    }
}

/// The type of a service of systemd's.
fn type_of(unit: &str, deadline: Instant) -> Option<String> {
    let mut child = systemctl(&["show", "--property=Type", "--value", unit]).ok()?;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() >= deadline {
            let _ = child.kill();
        }
        thread::sleep(POLL_INTERVAL);
    }
    let mut said = [0; 100];
    let count = child.stdout.take()?.read(&mut said).ok()?;
    Some(String::from_utf8_lossy(&said[..count]).trim().to_owned())
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

/// What a command that is over has complained of. What it has started may hold its pipe still.
fn complaint(child: &mut Child) -> String {
    let Some(mut stderr) = child.stderr.take() else { return String::new() };
    let mut said = vec![0; MAX_COMPLAINT_BYTES];
    let count = fcntl(&stderr, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
        .map_err(Into::into)
        .and_then(|_| stderr.read(&mut said))
        .unwrap_or_default();
    String::from_utf8_lossy(&said[..count]).trim().to_owned()
}

fn failure(status: ExitStatus, said: &str) -> String {
    match said.lines().next() {
        Some(line) => format!("{status}: {line}"),
        None => status.to_string(),
    }
}
