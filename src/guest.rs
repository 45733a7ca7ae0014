//! What is remembered of a guest between calls, in the runtime directory: how it came to run, a
//! failure that its restore could not be told, and the document of its start.
//!
//! Keyed by driver and uuid; by name where libvirt sends no document. Nothing of another boot
//! counts. A directory that is lost or full makes an origin unknown, and nothing else.

use std::io;
use std::path::PathBuf;

use nix::time::{ClockId, clock_gettime};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::boot;
use crate::event::Origin;
use crate::files;
use crate::libvirt::Driver;
use crate::libvirt::document::MAX_BYTES;
use crate::state::{Dir, Shut};
use crate::verdict::OWN_TROUBLE;

/// How long an origin waits for its `prepare`, in seconds. libvirt was seen to take 4 s; an offline
/// migration and a refused restore never get there.
const PENDING_SECONDS: i64 = 300;
const GUESTS: &str = "guests";
const PENDING: &str = "pending";
/// Tries to write where somebody removes the directory meanwhile.
const TRIES: usize = 3;
/// What is read of a state at most, in bytes: a held failure's words are all that may be long.
const MAX_STATE_BYTES: u64 = 1 << 20;

/// A failure that is answered at the next `prepare`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub status: i32,
    /// What goes to standard error.
    pub words: String,
}

/// What waits for its `prepare`. In a directory of its own, which is there only while something
/// waits: a call that has nothing else to do sees at once that it has nothing to drop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pending {
    boot: String,
    name: String,
    origin: Origin,
    /// Seconds of CLOCK_BOOTTIME.
    since: i64,
    held: Option<Held>,
}

/// What is known of a running guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    boot: String,
    name: String,
    origin: Origin,
}

/// What the first `prepare` finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub origin: Origin,
    pub held: Option<Held>,
}

/// One guest's memory.
pub struct Guest {
    guests: Dir,
    pending: Dir,
    /// The name under which something waits for a guest that was known by its name alone.
    pending_by_name: String,
    key: String,
    boot: String,
    name: String,
}

/// Whether anything waits for a `prepare`, of any guest.
pub fn is_any_pending(runtime_dir: &Dir) -> bool {
    runtime_dir.seems_to_have(PENDING)
}

impl Guest {
    /// `uuid` must be one (`Identity::plain_uuid`); without, the guest is looked for by its name.
    pub fn new(runtime_dir: &Dir, driver: Driver, uuid: Option<&str>, name: &str) -> Guest {
        let (guests, pending) = (runtime_dir.child(GUESTS), runtime_dir.child(PENDING));
        let key = match uuid {
            Some(uuid) => format!("{driver}-{uuid}"),
            None => key_by_name([&guests, &pending], driver, name),
        };
        let pending_by_name = format!("{}.json", key_of_name(driver, name));
        let boot = boot::id();
        Guest { guests, pending, pending_by_name, key, boot, name: name.to_owned() }
    }

    /// The name of its files with a state, whether it runs or is expected.
    fn state_name(&self) -> String {
        format!("{}.json", self.key)
    }

    fn document_name(&self) -> String {
        format!("{}.xml", self.key)
    }

    /// `None` where nothing is remembered that counts.
    fn state(&self) -> io::Result<Option<State>> {
        let state: Option<State> = read(&self.guests, &self.state_name())?;
        Ok(state.filter(|state| self.is_this_boot(&state.boot)))
    }

    fn expected(&self) -> io::Result<Option<Pending>> {
        // a restore whose document couldn't be read knew the guest by its name alone
        let pending: Option<Pending> = match read(&self.pending, &self.state_name())? {
            None => read(&self.pending, &self.pending_by_name)?,
            pending => pending,
        };
        Ok(pending.filter(|pending| self.is_this_boot(&pending.boot) && is_current(pending)))
    }

    /// A boot that couldn't be asked for its name may be this one: a held failure must not be lost.
    fn is_this_boot(&self, boot: &str) -> bool {
        boot == self.boot || boot.is_empty() || self.boot.is_empty()
    }

    fn keep_origin(&self, origin: Origin) -> io::Result<()> {
        let state = State { boot: self.boot.clone(), name: self.name.clone(), origin };
        write(&self.guests, &self.state_name(), &serde_json::to_vec(&state)?)
    }

    /// Remembers, at `restore` or `migrate`, how the guest comes, for the `prepare` that follows.
    ///
    /// # Errors
    /// It could not be written: a held failure is lost then.
    pub fn expect(&self, origin: Origin, held: Option<Held>) -> io::Result<()> {
        let (boot, name) = (self.boot.clone(), self.name.clone());
        let pending = Pending { boot, name, origin, since: now(), held };
        write(&self.pending, &self.state_name(), &serde_json::to_vec(&pending)?)
    }

    /// Takes, at `prepare`, what was expected, and remembers the origin of the guest.
    pub fn arrive(&self) -> Arrival {
        let arrival = self.foresee();
        // an expectation must not be met twice
        self.forget_pending();
        if self.keep_origin(arrival.origin).is_err() {
            let _ = self.guests.remove(self.state_name());
        }
        arrival
    }

    /// What `prepare` would find, without taking it.
    pub fn foresee(&self) -> Arrival {
        match self.expected() {
            Ok(Some(pending)) => Arrival { origin: pending.origin, held: pending.held },
            Ok(None) => Arrival { origin: Origin::Fresh, held: None },
            Err(error) => Arrival { origin: Origin::Unknown, held: unread(&error) },
        }
    }

    /// The origin of the running guest.
    pub fn origin(&self) -> Origin {
        self.state().ok().flatten().map_or(Origin::Unknown, |state| state.origin)
    }

    /// Drops what no `prepare` came for.
    pub fn forget_pending(&self) {
        let _ = self.pending.remove(&self.pending_by_name);
        if self.pending.remove(self.state_name()).is_ok() {
            // where it was the last; the kernel refuses where it wasn't
            let _ = self.pending.remove_empty();
        }
    }

    /// Keeps the document of `started` or `reconnect`.
    ///
    /// # Errors
    /// It could not be written; an older one is gone then, for it may be of another start.
    pub fn keep_document(&self, document: &[u8]) -> io::Result<()> {
        let name = self.document_name();
        write(&self.guests, &name, document).inspect_err(|_| drop(self.guests.remove(&name)))?;
        // the document counts only beside a state of this boot
        if self.state().ok().flatten().is_none() {
            self.keep_origin(Origin::Unknown)?;
        }
        Ok(())
    }

    /// The file with the document of `started`, if it was kept in this boot.
    pub fn started_document(&self) -> Option<PathBuf> {
        let name = self.document_name();
        let (_, metadata) = self.guests.open(&name).ok()?;
        let is_kept = metadata.len() <= MAX_BYTES as u64 && self.state().ok().flatten().is_some();
        is_kept.then(|| self.guests.named().join(name))
    }

    /// Forgets the guest, at the end of its `release`.
    pub fn forget(&self) {
        let _ = self.guests.remove(self.state_name());
        let _ = self.guests.remove(self.document_name());
    }
}

/// Reads a file of ours; `None` where there is none.
fn read<T: DeserializeOwned>(directory: &Dir, name: &str) -> io::Result<Option<T>> {
    match directory.read(name, MAX_STATE_BYTES) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file of ours, and makes its directory where it is missing. A directory of expectations
/// may go between the two.
fn write(directory: &Dir, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut result = directory.replace(name, bytes);
    for _ in 0..TRIES {
        match &result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            _ => break,
        }
        directory.make()?;
        result = directory.replace(name, bytes);
    }
    result
}

/// What waits and can't be read now may be a failure: the gate stays shut. What isn't ours, a
/// directory of others, and one that is none, hold nothing.
fn unread(error: &io::Error) -> Option<Held> {
    let is_json = error.get_ref().is_some_and(|inner| inner.is::<serde_json::Error>());
    if is_json || Shut::of(error).is_some() || error.kind() == io::ErrorKind::NotADirectory {
        return None;
    }
    let words = format!("hookmux: what restore left for this call can't be read: {error}\n");
    Some(Held { status: OWN_TROUBLE, words })
}

fn is_current(pending: &Pending) -> bool {
    (0..=PENDING_SECONDS).contains(&(now() - pending.since))
}

/// Seconds since the boot, sleep included; no clock that anybody sets.
fn now() -> i64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| time.tv_sec())
}

/// The key of a guest whose uuid this call doesn't tell: that of the one remembered under its name,
/// else one made of the name.
fn key_by_name(directories: [&Dir; 2], driver: Driver, name: &str) -> String {
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    let prefix = format!("{driver}-");
    let entries = directories.into_iter().flat_map(|directory| {
        let names = directory.names().unwrap_or_default().into_iter();
        names.map(move |name| (directory, name))
    });
    let remembered = entries.into_iter().find_map(|(directory, file_name)| {
        let file_name = file_name.into_string().ok()?;
        let key = file_name.strip_suffix(".json").filter(|key| key.starts_with(&prefix))?;
        let named: Named = read(directory, &file_name).ok()??;
        (named.name == name).then(|| key.to_owned())
    });
    remembered.unwrap_or_else(|| key_of_name(driver, name))
}

fn key_of_name(driver: Driver, name: &str) -> String {
    format!("{driver}-name-{}", files::name_digest(name.as_ref()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    const UUID: &str = "91126ceb-8184-4a0b-b79f-0f3d17ecc836";

    fn guest(directory: &Path) -> Guest {
        Guest::new(&Dir::of_test(directory), Driver::Qemu, Some(UUID), "vm")
    }

    fn alter(guest: &Guest, change: fn(&mut Pending)) {
        let mut pending = guest.expected().unwrap().unwrap();
        change(&mut pending);
        write(&guest.pending, &guest.state_name(), &serde_json::to_vec(&pending).unwrap()).unwrap();
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
        assert!(!is_any_pending(&Dir::of_test(directory.path())), "nothing waits any more");
        assert_eq!(guest.arrive(), Arrival { origin: Origin::Fresh, held: None });
        assert_eq!(guest.origin(), Origin::Fresh);
    }

    #[test]
    fn an_expectation_ends_after_five_minutes_with_another_call_or_with_the_boot() {
        let directory = tempfile::tempdir().unwrap();
        let guest = guest(directory.path());
        guest.expect(Origin::Migration, None).unwrap();
        alter(&guest, |pending| pending.since -= PENDING_SECONDS + 1);
        assert_eq!(guest.arrive().origin, Origin::Fresh);

        guest.expect(Origin::Migration, None).unwrap();
        guest.forget_pending();
        assert_eq!(guest.arrive().origin, Origin::Fresh);

        guest.expect(Origin::Migration, None).unwrap();
        alter(&guest, |pending| pending.boot = "another".into());
        assert_eq!(guest.arrive().origin, Origin::Fresh);
    }

    #[test]
    fn what_waits_for_a_name_waits_for_the_guest_of_the_name() {
        let directory = tempfile::tempdir().unwrap();
        let by_name = Guest::new(&Dir::of_test(directory.path()), Driver::Qemu, None, "vm");
        let held = Held { status: 3, words: "hookmux: no".into() };
        by_name.expect(Origin::Restore, Some(held.clone())).unwrap();
        let guest = guest(directory.path());
        assert_eq!(guest.arrive(), Arrival { origin: Origin::Restore, held: Some(held) });
        assert!(!is_any_pending(&Dir::of_test(directory.path())), "and is met once");
    }

    #[test]
    fn what_waits_and_cannot_be_read_keeps_the_gate_shut() {
        let directory = tempfile::tempdir().unwrap();
        let guest = guest(directory.path());
        let path = guest.pending.make().unwrap().join(guest.state_name());
        for spoil in [
            |path: &Path| fs::create_dir(path).unwrap(),
            |path: &Path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
            |path: &Path| fs::File::create(path).unwrap().set_len(5 << 30).unwrap(),
            |path: &Path| std::os::unix::fs::symlink("/dev/zero", path).unwrap(),
        ] {
            spoil(&path);
            let held = guest.foresee().held.unwrap();
            assert_eq!(held.status, OWN_TROUBLE);
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        }
    }

    #[test]
    fn what_lies_in_a_directory_of_others_is_not_remembered() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        guest(directory.path()).expect(Origin::Migration, None).unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let guest = guest(directory.path());
        assert_eq!(guest.arrive(), Arrival { origin: Origin::Unknown, held: None });
        assert!(guest.expect(Origin::Restore, None).is_err());
        guest.forget_pending();
        assert!(is_any_pending(&Dir::of_test(directory.path())), "nothing is removed there");
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
        let by_name = Guest::new(&Dir::of_test(directory.path()), Driver::Qemu, None, "vm");
        assert_eq!(by_name.started_document(), guest.started_document());
        assert_eq!(
            Guest::new(&Dir::of_test(directory.path()), Driver::Lxc, None, "vm").started_document(),
            None
        );
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
