//! What libvirt finds under each driver's name, and when its daemons last looked.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::cli::CommandPlace;
use crate::cli::check::link;
use crate::cli::check::proof::{Proof, proof};
use crate::cli::install::daemons::{self, Daemon};
use crate::cli::install::entries as overwritten;
use crate::cli::install::installed::{self, DriverEntry, Installed};
use crate::cli::json::status::{EntryState, StatusDaemon, StatusEntry};
use crate::cli::json::value::{Time, Word};
use crate::command::Fix;
use crate::config::Settings;
use crate::memory::daemon_reload;

/// When libvirt last called hookmux for each driver.
type LastCalls = BTreeMap<String, SystemTime>;

/// A daemon, and when it last looked for its hook programs.
pub(in crate::cli) struct LookedDaemon {
    pub daemon: Daemon,
    pub reload: Option<SystemTime>,
}

impl LookedDaemon {
    /// Returns when it last looked: at its start, or at a reload that hookmux has seen.
    pub(in crate::cli) fn looked(&self) -> Option<SystemTime> {
        self.daemon.started.max(self.reload)
    }

    pub(super) fn json(&self) -> StatusDaemon {
        let time = |at: Option<SystemTime>| at.and_then(micros).map(Time::of_micros);
        StatusDaemon {
            name: self.daemon.name.clone(),
            pid: self.daemon.pid,
            unit: self.daemon.unit.clone(),
            started: time(self.daemon.started),
            looked: time(self.looked()),
        }
    }
}

fn micros(at: SystemTime) -> Option<u64> {
    u64::try_from(at.duration_since(UNIX_EPOCH).ok()?.as_micros()).ok()
}

/// Returns the daemons that call hooks in this directory, without session daemons of other users.
pub(in crate::cli) fn daemons(place: &CommandPlace, settings: &Settings) -> Vec<LookedDaemon> {
    let running = daemons::running(Path::new("/"), &settings.hooks_dir);
    let ours = running.into_iter().filter(|daemon| daemon.is_for(place.surroundings.user));
    let looked = |daemon: Daemon| LookedDaemon {
        reload: daemon_reload::last_reload(&settings.runtime_dir, &daemon.comm),
        daemon,
    };
    ours.map(looked).collect()
}

/// A driver's entry.
pub(super) struct EntryStatus {
    pub installed: Installed,
    pub state: EntryState,
    /// Whether all daemons of the driver have looked for it; `None` if none runs, or hookmux isn't called.
    pub is_seen: Option<bool>,
}

/// Looks at the entries of all drivers.
pub(super) fn look(
    hooks_dir: &Path,
    daemons: &[LookedDaemon],
    last_calls: &LastCalls,
) -> Vec<EntryStatus> {
    let look = |installed: Installed| EntryStatus {
        state: state_of(&installed),
        is_seen: is_seen(&installed, daemons, last_calls),
        installed,
    };
    installed::all(hooks_dir).into_iter().map(look).collect()
}

/// Returns what libvirt finds under the driver's name.
pub(in crate::cli) fn state_of(installed: &Installed) -> EntryState {
    let is_called_beside = installed.beside.as_ref().is_some_and(|beside| beside.exists());
    match &installed.main {
        DriverEntry::Ours(_) => EntryState::Installed,
        DriverEntry::Foreign if installed.overwriting_program().is_some() => {
            EntryState::Overwritten
        }
        DriverEntry::Dangling(_) => EntryState::Dangling,
        DriverEntry::Foreign | DriverEntry::Missing if is_called_beside => EntryState::Beside,
        DriverEntry::Foreign => EntryState::Foreign,
        DriverEntry::NotAFile => EntryState::Odd,
        DriverEntry::Missing => EntryState::Missing,
    }
}

fn is_seen(
    installed: &Installed,
    daemons: &[LookedDaemon],
    last_calls: &LastCalls,
) -> Option<bool> {
    let driver = installed.driver;
    let linked = link::changed(installed.called_at()?)?;
    let call = last_calls.get(driver.name()).copied();
    let mut seen = daemons.iter().filter(|one| one.daemon.serves(driver)).filter_map(|one| {
        let started = one.daemon.started?;
        Some(proof(linked, started, call, one.reload) == Proof::LoadedSettings)
    });
    let first = seen.next()?;
    Some(first && seen.all(|is_seen| is_seen))
}

impl EntryStatus {
    pub(super) fn is_called(&self) -> bool {
        matches!(self.state, EntryState::Installed | EntryState::Beside)
    }

    pub(super) fn is_foreign(&self) -> bool {
        self.state == EntryState::Foreign
    }

    /// Describes it for people.
    pub(super) fn words(&self) -> String {
        let shown = self.installed.path.display();
        let driver = self.installed.driver;
        match (&self.installed.main, self.state) {
            (DriverEntry::Ours(target), _) => format!("{shown} is hookmux ({})", target.display()),
            (_, EntryState::Beside) => format!("libvirt calls hookmux for {driver} by {driver}.d"),
            (DriverEntry::Dangling(target), _) => format!(
                "{shown} leads to {}, which is not there: libvirt runs nothing for {driver}",
                target.display()
            ),
            (_, EntryState::Overwritten) => {
                let script = self.installed.overwriting_program();
                overwritten::describe(&self.installed, script.unwrap_or(&self.installed.path))
            }
            (DriverEntry::Foreign, _) => {
                format!("{shown} is somebody else's script: hookmux isn't called for {driver}")
            }
            (DriverEntry::NotAFile, _) => {
                format!("{shown} is neither a file nor a link: libvirt runs nothing for {driver}")
            }
            (DriverEntry::Missing, _) => format!("{shown} is not there: libvirt runs nothing"),
        }
    }

    /// Returns the command that makes libvirt call hookmux here, where something is in its way.
    pub(super) fn fix(&self, hooks_dir: &Path) -> Option<Fix> {
        let driver = self.installed.driver;
        match self.state {
            EntryState::Overwritten => Some(overwritten::adopt_command(hooks_dir, driver)),
            EntryState::Dangling => {
                Some(Fix::hookmux(hooks_dir, &["install", "--driver", driver.name()]))
            }
            EntryState::Foreign => {
                let words = ["install", "--driver", driver.name(), "--adopt"];
                Some(Fix::hookmux(hooks_dir, &words))
            }
            EntryState::Installed | EntryState::Beside | EntryState::Odd | EntryState::Missing => {
                None
            }
        }
    }

    pub(super) fn json(&self, hooks_dir: &Path) -> StatusEntry {
        StatusEntry {
            driver: Word(self.installed.driver),
            path: self.installed.path.as_path().into(),
            state: self.state,
            seen: self.is_seen,
            adopted: self.installed.adopted.is_some(),
            message: self.words(),
            fix_keys: self.fix(hooks_dir).as_ref().into(),
        }
    }
}
