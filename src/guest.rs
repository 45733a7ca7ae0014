//! What is remembered of a guest between calls, in the runtime directory: how it came to run, a
//! failure that its restore could not be told, and the document of its start.
//!
//! Keyed by driver and uuid; by name where libvirt sends no document. Nothing of another boot
//! counts. A directory that is lost or full makes an origin unknown, and nothing else.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::event::Origin;
use crate::files;
use crate::libvirt::Driver;

/// How long an origin waits for its `prepare`, in seconds. libvirt was seen to take 4 s; an offline
/// migration and a refused restore never get there.
const PENDING_SECONDS: i64 = 300;

/// A failure that is answered at the next `prepare`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub status: i32,
    /// What goes to standard error.
    pub words: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pending {
    origin: Origin,
    /// Seconds of CLOCK_BOOTTIME.
    since: i64,
    held: Option<Held>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    boot: String,
    name: String,
    origin: Option<Origin>,
    pending: Option<Pending>,
}

/// What the first `prepare` finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub origin: Origin,
    pub held: Option<Held>,
}

/// One guest's memory.
pub struct Guest {
    directory: PathBuf,
    key: String,
    boot: String,
    name: String,
}

impl Guest {
    /// `uuid` must be one (`Identity::plain_uuid`); without, the guest is looked for by its name.
    pub fn new(runtime_dir: &Path, driver: Driver, uuid: Option<&str>, name: &str) -> Guest {
        let directory = runtime_dir.join("guests");
        let key = match uuid {
            Some(uuid) => format!("{driver}-{uuid}"),
            None => key_by_name(&directory, driver, name),
        };
        Guest { directory, key, boot: boot_id(), name: name.to_owned() }
    }

    fn state_path(&self) -> PathBuf {
        self.directory.join(format!("{}.json", self.key))
    }

    fn document_path(&self) -> PathBuf {
        self.directory.join(format!("{}.xml", self.key))
    }

    /// `None` where nothing is remembered that counts.
    fn load(&self) -> io::Result<Option<State>> {
        let bytes = match fs::read(self.state_path()) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let state: State = serde_json::from_slice(&bytes)?;
        Ok((state.boot == self.boot).then_some(state))
    }

    fn store(&self, state: &State) -> io::Result<()> {
        let bytes = serde_json::to_vec(state)?;
        self.write(&self.state_path(), &bytes)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        files::replace(path, bytes).or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            files::private_directory(&self.directory)?;
            files::replace(path, bytes)
        })
    }

    fn fresh_state(&self) -> State {
        State { boot: self.boot.clone(), name: self.name.clone(), ..State::default() }
    }

    /// Remembers, at `restore` or `migrate`, how the guest comes, for the `prepare` that follows.
    ///
    /// # Errors
    /// It could not be written: a held failure is lost then.
    pub fn expect(&self, origin: Origin, held: Option<Held>) -> io::Result<()> {
        let mut state = self.load().ok().flatten().unwrap_or_else(|| self.fresh_state());
        state.pending = Some(Pending { origin, since: now(), held });
        self.store(&state)
    }

    /// Takes, at `prepare`, what was expected, and remembers the origin of the guest.
    pub fn arrive(&self) -> Arrival {
        let (origin, held) = match self.load() {
            Ok(state) => {
                let pending = state.and_then(|state| state.pending).filter(is_current);
                pending.map_or((Origin::Fresh, None), |pending| (pending.origin, pending.held))
            }
            Err(_) => (Origin::Unknown, None),
        };
        let state = State { origin: Some(origin), ..self.fresh_state() };
        if self.store(&state).is_err() {
            // an old expectation must not be met twice
            let _ = files::remove(&self.state_path());
        }
        Arrival { origin, held }
    }

    /// What `prepare` would find, without taking it.
    pub fn foresee(&self) -> Arrival {
        match self.load() {
            Ok(state) => match state.and_then(|state| state.pending).filter(is_current) {
                Some(pending) => Arrival { origin: pending.origin, held: pending.held },
                None => Arrival { origin: Origin::Fresh, held: None },
            },
            Err(_) => Arrival { origin: Origin::Unknown, held: None },
        }
    }

    /// The origin of the running guest.
    pub fn origin(&self) -> Origin {
        self.load().ok().flatten().and_then(|state| state.origin).unwrap_or(Origin::Unknown)
    }

    /// Drops what no `prepare` came for.
    pub fn forget_pending(&self) {
        if let Ok(Some(mut state)) = self.load()
            && state.pending.take().is_some()
        {
            let kept = if state.origin.is_some() {
                self.store(&state)
            } else {
                files::remove(&self.state_path())
            };
            let _ = kept;
        }
    }

    /// Keeps the document of `started` or `reconnect`.
    ///
    /// # Errors
    /// It could not be written; an older one is gone then, for it may be of another start.
    pub fn keep_document(&self, document: &[u8]) -> io::Result<()> {
        let path = self.document_path();
        self.write(&path, document).inspect_err(|_| drop(files::remove(&path)))?;
        // the document counts only beside a state of this boot
        if self.load().ok().flatten().is_none() {
            let state = State { origin: Some(Origin::Unknown), ..self.fresh_state() };
            self.store(&state)?;
        }
        Ok(())
    }

    /// The file with the document of `started`, if it was kept in this boot.
    pub fn started_document(&self) -> Option<PathBuf> {
        let path = self.document_path();
        let is_kept = path.exists() && self.load().ok().flatten().is_some();
        is_kept.then_some(path)
    }

    /// Forgets the guest, at the end of its `release`.
    pub fn forget(&self) {
        let _ = files::remove(&self.state_path());
        let _ = files::remove(&self.document_path());
    }
}

fn is_current(pending: &Pending) -> bool {
    (0..=PENDING_SECONDS).contains(&(now() - pending.since))
}

/// Seconds since the boot, sleep included; no clock that anybody sets.
fn now() -> i64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| time.tv_sec())
}

fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim_end().to_owned()
}

/// The key of a guest whose uuid this call doesn't tell: that of the one remembered under its name,
/// else one made of the name.
fn key_by_name(directory: &Path, driver: Driver, name: &str) -> String {
    let prefix = format!("{driver}-");
    let remembered = fs::read_dir(directory).into_iter().flatten().flatten().find_map(|entry| {
        let file_name = entry.file_name().into_string().ok()?;
        let key = file_name.strip_suffix(".json").filter(|key| key.starts_with(&prefix))?;
        let state: State = serde_json::from_slice(&fs::read(entry.path()).ok()?).ok()?;
        (state.name == name).then(|| key.to_owned())
    });
    remembered.unwrap_or_else(|| format!("{driver}-name-{}", files::name_digest(name.as_ref())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "91126ceb-8184-4a0b-b79f-0f3d17ecc836";

    fn guest(directory: &Path) -> Guest {
        Guest::new(directory, Driver::Qemu, Some(UUID), "vm")
    }

    #[test]
    fn an_expectation_is_met_once() {
        let directory = tempfile::tempdir().unwrap();
        let guest = guest(directory.path());
        let held = Held { status: 3, words: "hookmux: no".into() };
        guest.expect(Origin::Restore, Some(held.clone())).unwrap();
        assert_eq!(guest.foresee().held, Some(held.clone()));
        assert_eq!(guest.arrive(), Arrival { origin: Origin::Restore, held: Some(held) });
        assert_eq!(guest.origin(), Origin::Restore);
        assert_eq!(guest.arrive(), Arrival { origin: Origin::Fresh, held: None });
        assert_eq!(guest.origin(), Origin::Fresh);
    }

    #[test]
    fn an_expectation_ends_after_five_minutes_with_another_call_or_with_the_boot() {
        let directory = tempfile::tempdir().unwrap();
        let guest = guest(directory.path());
        guest.expect(Origin::Migration, None).unwrap();
        let mut state = guest.load().unwrap().unwrap();
        state.pending.as_mut().unwrap().since -= PENDING_SECONDS + 1;
        guest.store(&state).unwrap();
        assert_eq!(guest.arrive().origin, Origin::Fresh);

        guest.expect(Origin::Migration, None).unwrap();
        guest.forget_pending();
        assert_eq!(guest.arrive().origin, Origin::Fresh);

        guest.expect(Origin::Migration, None).unwrap();
        let mut state = guest.load().unwrap().unwrap();
        state.boot = "another".into();
        guest.store(&state).unwrap();
        assert_eq!(guest.arrive().origin, Origin::Fresh);
    }

    #[test]
    fn the_started_document_lives_until_release() {
        let directory = tempfile::tempdir().unwrap();
        let guest = guest(directory.path());
        assert_eq!(guest.started_document(), None);
        guest.arrive();
        guest.keep_document(b"<domain/>").unwrap();
        assert_eq!(fs::read(guest.started_document().unwrap()).unwrap(), b"<domain/>");
        // a call without a document finds the guest by its name
        let by_name = Guest::new(directory.path(), Driver::Qemu, None, "vm");
        assert_eq!(by_name.started_document(), guest.started_document());
        assert_eq!(Guest::new(directory.path(), Driver::Lxc, None, "vm").started_document(), None);
        guest.forget();
        assert_eq!(guest.started_document(), None);
        assert_eq!(guest.origin(), Origin::Unknown);
        assert_eq!(fs::read_dir(directory.path().join("guests")).unwrap().count(), 0);
    }

    #[test]
    fn a_lost_directory_makes_the_origin_unknown_and_nothing_else() {
        let guest = guest(Path::new("/proc/nowhere"));
        assert!(guest.expect(Origin::Restore, None).is_err());
        assert_eq!(guest.origin(), Origin::Unknown);
        assert!(guest.keep_document(b"x").is_err());
        guest.forget_pending();
        guest.forget();
    }
}
