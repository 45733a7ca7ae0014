//! The state of a guest that is remembered between calls, in the runtime directory: its origin, a
//! failure of `restore` that is still to be reported, and the document of its start.
//!
//! The key is driver and uuid; the name where libvirt sends no document. State of another boot is
//! ignored. If the directory is lost or full, the origin is unknown; nothing else happens.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::event::Origin;
use crate::libvirt::Driver;
use crate::libvirt::document::MAX_DOCUMENT_BYTES;
use crate::machine::{boot, clock, files};
use crate::process::exit_status::OWN_ERROR;
use crate::state::{Dir, DirPresence, DirRefusal};

mod stored;
mod unreadable;

use stored::{FORMAT, is_newer, read, remove, state_names, write};
use unreadable::PENDING_SECONDS;
pub(crate) use unreadable::UnreadableMemory;

const GUESTS_DIRECTORY: &str = "guests";
const PENDING_DIRECTORY: &str = "pending";

/// A failure of `restore` that is reported at the next `prepare`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeldFailure {
    pub status: i32,
    /// The text for standard error.
    pub words: String,
}

impl Default for HeldFailure {
    fn default() -> HeldFailure {
        let words = "hookmux: the restore before this call has failed\n".to_owned();
        HeldFailure { status: OWN_ERROR, words }
    }
}

/// The state that `restore` and `migrate` leave for the following `prepare`. It has a directory of its
/// own, which exists only while something is pending: so other calls see at once that nothing is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pending {
    #[serde(default)]
    format: u32,
    #[serde(default)]
    boot: String,
    #[serde(default)]
    name: String,
    /// Every version writes this key and the next: a file without them is not from hookmux.
    origin: Origin,
    /// Seconds of CLOCK_BOOTTIME.
    since: i64,
    held: Option<HeldFailure>,
}

/// The remembered state of a running guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct GuestState {
    #[serde(default)]
    format: u32,
    #[serde(default)]
    boot: String,
    #[serde(default)]
    name: String,
    origin: Origin,
}

/// What is remembered about the guest of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    pub origin: Origin,
    /// A failure that `prepare` has to report.
    pub held: Option<HeldFailure>,
    /// Whether `held` is only assumed, because a file that may have a failure in it can't be read.
    pub is_in_doubt: bool,
    /// The message about state that can't be read.
    pub error: Option<String>,
}

impl Remembered {
    /// Makes one without a failure.
    pub fn of(origin: Origin) -> Remembered {
        Remembered { origin, held: None, is_in_doubt: false, error: None }
    }

    /// Makes one for which `prepare` fails, because a failure may be pending.
    fn in_doubt(words: String) -> Remembered {
        Remembered {
            origin: Origin::Unknown,
            held: Some(HeldFailure { status: OWN_ERROR, words: format!("hookmux: {words}\n") }),
            is_in_doubt: true,
            error: Some(words),
        }
    }
}

/// The remembered state of one guest.
pub struct Guest {
    guests: Dir,
    pending: Dir,
    /// The pending file for a guest that was known only by its name.
    pending_by_name: String,
    key: String,
    boot: String,
    name: String,
    /// A file that may be this guest's, in a call without a uuid.
    doubt: Option<UnreadableMemory>,
}

/// Tells whether any guest has pending state.
pub(crate) fn is_any_pending(runtime_dir: &Dir) -> bool {
    runtime_dir.may_contain(PENDING_DIRECTORY)
}

/// Returns the files of all guests that can't be read.
pub(crate) fn unreadable(runtime_dir: &Dir) -> Vec<UnreadableMemory> {
    let (guests, pending) =
        (runtime_dir.child(GUESTS_DIRECTORY), runtime_dir.child(PENDING_DIRECTORY));
    let mut found: Vec<UnreadableMemory> = state_names(&guests)
        .filter_map(|name| read::<GuestState>(&guests, &name).err())
        .chain(state_names(&pending).filter_map(|name| read::<Pending>(&pending, &name).err()))
        .collect();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

impl Guest {
    /// Finds the state of a guest. `uuid` must be valid (`Identity::plain_uuid`); without a uuid the guest
    /// is looked up by its name.
    pub fn new(runtime_dir: &Dir, driver: Driver, uuid: Option<&str>, name: &str) -> Guest {
        let (guests, pending) =
            (runtime_dir.child(GUESTS_DIRECTORY), runtime_dir.child(PENDING_DIRECTORY));
        let (key, doubt) = match uuid {
            Some(uuid) => (format!("{driver}-{uuid}"), None),
            None => key_by_name([&guests, &pending], driver, name),
        };
        let pending_by_name = format!("{}.json", key_of_name(driver, name));
        let boot = boot::id();
        let name = name.to_owned();
        Guest { guests, pending, pending_by_name, key, boot, name, doubt }
    }

    /// Returns the name of its state file and of its pending file.
    fn state_name(&self) -> String {
        format!("{}.json", self.key)
    }

    fn document_name(&self) -> String {
        format!("{}.xml", self.key)
    }

    /// Returns what it is kept under: driver and uuid, or its name where no uuid is known.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Tells whether it runs, or is being started: no `release` has come yet.
    pub fn is_remembered(&self) -> bool {
        self.state().ok().flatten().is_some()
    }

    /// Returns its state; `None` where there is none of this boot.
    fn state(&self) -> Result<Option<GuestState>, UnreadableMemory> {
        let state: Option<GuestState> = read(&self.guests, &self.state_name())?;
        Ok(state.filter(|state| self.is_this_boot(&state.boot)))
    }

    /// Returns the pending state for this guest, and all files that can't be read and may have it.
    fn find_pending(&self) -> (Option<Pending>, Vec<UnreadableMemory>) {
        let mut unreadable = Vec::new();
        let is_none = matches!(self.pending.judge(), Ok(DirPresence::Missing));
        let mut look = |name: &str| {
            if is_none {
                return None;
            }
            read::<Pending>(&self.pending, name).unwrap_or_else(|one| {
                unreadable.push(one);
                None
            })
        };
        let own = look(&self.state_name());
        // a restore whose document couldn't be read knew only the guest's name
        let by_name = look(&self.pending_by_name);
        let pending = own.or(by_name);
        if pending.is_none() {
            unreadable.extend(self.doubt.clone());
        }
        // the state of an earlier run has no effect here, but a file that can't be read may be anything
        unreadable.extend(self.state().err());
        let holds = |pending: &Pending| self.is_this_boot(&pending.boot) && is_current(pending);
        (pending.filter(holds), unreadable)
    }

    /// Tells whether the state is in a directory of other users: then it can't be believed.
    fn is_shut(&self) -> bool {
        let is_shut = |directory: &Dir| {
            let error = directory.judge().err();
            error.as_ref().and_then(DirRefusal::of).is_some_and(DirRefusal::is_of_others)
        };
        is_shut(&self.pending) || is_shut(&self.guests)
    }

    /// Tells whether a boot is this one. An unknown boot may be: a held failure must not be lost.
    fn is_this_boot(&self, boot: &str) -> bool {
        boot == self.boot || boot.is_empty() || self.boot.is_empty()
    }

    fn keep_origin(&self, origin: Origin) -> io::Result<()> {
        let (boot, name) = (self.boot.clone(), self.name.clone());
        let state = GuestState { format: FORMAT, boot, name, origin };
        write(&self.guests, &self.state_name(), &serde_json::to_vec(&state)?)
    }

    /// Remembers, at `restore` or `migrate`, the origin and a failure for the `prepare` that follows.
    ///
    /// # Errors
    /// It could not be written; then a held failure is lost.
    pub fn remember_pending(&self, origin: Origin, held: Option<HeldFailure>) -> io::Result<()> {
        let (boot, name) = (self.boot.clone(), self.name.clone());
        let pending =
            Pending { format: FORMAT, boot, name, origin, since: clock::boottime_seconds(), held };
        write(&self.pending, &self.state_name(), &serde_json::to_vec(&pending)?)
    }

    /// Takes the pending state at `prepare`, and remembers the origin of the guest.
    pub fn take_pending(&self) -> Remembered {
        let remembered = self.peek_pending();
        if remembered.is_in_doubt {
            // `prepare` fails for the whole time of a file that can't be read
            return remembered;
        }
        // pending state must not be taken twice
        self.forget_pending();
        if self.keep_origin(remembered.origin).is_err() {
            remove(&self.guests, &self.state_name());
        }
        remembered
    }

    /// Returns the pending state that `prepare` would find, without taking it.
    pub fn peek_pending(&self) -> Remembered {
        if self.is_shut() {
            return Remembered::of(Origin::Unknown);
        }
        let (pending, unreadable) = self.find_pending();
        if let Some(one) = unreadable.iter().find(|one| one.refuses_for.is_some()) {
            return Remembered::in_doubt(one.refusal());
        }
        let mut remembered = pending.map_or(Remembered::of(Origin::Fresh), |pending| {
            let held = pending.held.map(|held| match held.status {
                // a held status of success can only be wrong
                0 => HeldFailure { status: OWN_ERROR, ..held },
                _ => held,
            });
            Remembered { held, ..Remembered::of(pending.origin) }
        });
        remembered.error = unreadable.first().map(UnreadableMemory::dropped);
        remembered
    }

    /// Returns the origin of the running guest.
    pub fn origin(&self) -> Origin {
        self.state().ok().flatten().map_or(Origin::Unknown, |state| state.origin)
    }

    /// Removes pending state that no `prepare` took. A file that can't be read stays until its time is
    /// over.
    pub fn forget_pending(&self) {
        // most often nothing is pending, and one look tells that
        if matches!(self.pending.judge(), Ok(DirPresence::Missing)) {
            return;
        }
        for name in [&self.pending_by_name, &self.state_name()] {
            match read::<Pending>(&self.pending, name) {
                Ok(None) => {}
                Err(unreadable) if unreadable.refuses_for.is_some() => {}
                Ok(Some(_)) | Err(_) => remove(&self.pending, name),
            }
        }
        // the kernel refuses if other files are there
        let _ = self.pending.remove_empty();
    }

    /// Keeps the document of `started` or `reconnect`. Returns the origin of the guest.
    ///
    /// # Errors
    /// It could not be written; then an older document is removed, as it may be of another start. Or a
    /// newer version wrote the guest's state, without which the document isn't used.
    pub fn keep_document(&self, document: &[u8]) -> io::Result<Origin> {
        let name = self.document_name();
        write(&self.guests, &name, document).inspect_err(|_| remove(&self.guests, &name))?;
        match self.state() {
            Ok(Some(state)) => Ok(state.origin),
            Ok(None) => self.keep_origin(Origin::Unknown).map(|()| Origin::Unknown),
            Err(unreadable) if is_newer(&self.guests, &self.state_name()) => {
                Err(io::Error::other(format!("{}: {}", unreadable.path.display(), unreadable.why)))
            }
            Err(_) => self.keep_origin(Origin::Unknown).map(|()| Origin::Unknown),
        }
    }

    /// Returns the file with the document of `started`, if it was kept in this boot.
    pub fn started_document(&self) -> Option<PathBuf> {
        let name = self.document_name();
        let (_, metadata) = self.guests.open(&name).ok()?;
        let is_kept =
            metadata.len() <= MAX_DOCUMENT_BYTES as u64 && self.state().ok().flatten().is_some();
        is_kept.then(|| self.guests.unchecked_path().join(name))
    }

    /// Removes the state of the guest, at the end of its `release`.
    pub fn forget(&self) {
        remove(&self.guests, &self.state_name());
        remove(&self.guests, &self.document_name());
    }
}

fn is_current(pending: &Pending) -> bool {
    (0..=PENDING_SECONDS).contains(&clock::boottime_seconds().saturating_sub(pending.since))
}

/// Finds the key of a guest for a call without a uuid: the key that is remembered with its name, else a
/// key made of the name. Also returns a pending file that can't be read: it may be this guest's.
fn key_by_name(
    directories: [&Dir; 2],
    driver: Driver,
    name: &str,
) -> (String, Option<UnreadableMemory>) {
    #[derive(Deserialize)]
    struct Named {
        #[serde(default)]
        name: String,
    }
    let prefix = format!("{driver}-");
    let of_name = key_of_name(driver, name);
    let (mut found, mut doubt) = (None, None);
    for directory in directories {
        for file_name in state_names(directory) {
            let Some(key) = file_name.strip_suffix(".json").filter(|key| key.starts_with(&prefix))
            else {
                continue;
            };
            match read::<Named>(directory, &file_name) {
                Ok(Some(named)) if named.name == name => drop(found.get_or_insert(key.to_owned())),
                // a file under the name of another guest is not this one's
                Err(unreadable)
                    if directory.unchecked_path().ends_with(PENDING_DIRECTORY)
                        && !key.contains("-name-") =>
                {
                    doubt = doubt.or(unreadable.refuses_for.is_some().then_some(unreadable));
                }
                _ => {}
            }
        }
    }
    (found.unwrap_or(of_name), doubt)
}

fn key_of_name(driver: Driver, name: &str) -> String {
    format!("{driver}-name-{}", files::name_digest(name.as_ref()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    use super::*;

    const UUID: &str = "91126ceb-8184-4a0b-b79f-0f3d17ecc836";

    fn guest(directory: &Path) -> Guest {
        Guest::new(&Dir::of_test(directory), Driver::Qemu, Some(UUID), "vm")
    }

    fn alter(guest: &Guest, change: fn(&mut Pending)) {
        let mut pending = guest.find_pending().0.unwrap();
        change(&mut pending);
        let bytes = serde_json::to_vec(&pending).unwrap();
        write(&guest.pending, &guest.state_name(), &bytes).unwrap();
    }

    #[test]
    fn pending_state_is_taken_once() {
        let directory = tempfile::tempdir().unwrap();
        let guest = guest(directory.path());
        let held = HeldFailure { status: 3, words: "hookmux: no".into() };
        guest.remember_pending(Origin::Restore, Some(held.clone())).unwrap();
        assert_eq!(guest.peek_pending().held, Some(held.clone()));
        assert_eq!(
            guest.take_pending(),
            Remembered { held: Some(held), ..Remembered::of(Origin::Restore) }
        );
        assert_eq!(guest.origin(), Origin::Restore);
        assert!(!is_any_pending(&Dir::of_test(directory.path())), "nothing waits any more");
        assert_eq!(guest.take_pending(), Remembered::of(Origin::Fresh));
        assert_eq!(guest.origin(), Origin::Fresh);
    }

    #[test]
    fn pending_state_ends_after_five_minutes_with_another_call_or_with_the_boot() {
        let directory = tempfile::tempdir().unwrap();
        let guest = guest(directory.path());
        guest.remember_pending(Origin::Migration, None).unwrap();
        alter(&guest, |pending| pending.since -= PENDING_SECONDS + 1);
        assert_eq!(guest.take_pending().origin, Origin::Fresh);

        guest.remember_pending(Origin::Migration, None).unwrap();
        guest.forget_pending();
        assert_eq!(guest.take_pending().origin, Origin::Fresh);

        guest.remember_pending(Origin::Migration, None).unwrap();
        alter(&guest, |pending| pending.boot = "another".into());
        assert_eq!(guest.take_pending().origin, Origin::Fresh);
    }

    #[test]
    fn what_waits_for_a_name_waits_for_the_guest_of_the_name() {
        let directory = tempfile::tempdir().unwrap();
        let by_name = Guest::new(&Dir::of_test(directory.path()), Driver::Qemu, None, "vm");
        let held = HeldFailure { status: 3, words: "hookmux: no".into() };
        by_name.remember_pending(Origin::Restore, Some(held.clone())).unwrap();
        let guest = guest(directory.path());
        assert_eq!(
            guest.take_pending(),
            Remembered { held: Some(held), ..Remembered::of(Origin::Restore) }
        );
        assert!(!is_any_pending(&Dir::of_test(directory.path())), "and is met once");
    }

    /// Sets the age of a file.
    fn age(path: &Path, seconds: u64) {
        let time = SystemTime::now() - Duration::from_secs(seconds);
        let directory = fs::File::open(path).unwrap();
        directory.set_modified(time).unwrap();
    }

    #[test]
    fn what_waits_and_cannot_be_read_keeps_the_gate_shut() {
        let directory = tempfile::tempdir().unwrap();
        let guest = guest(directory.path());
        let path = guest.pending.unchecked_path().join(guest.state_name());
        fs::create_dir(guest.pending.unchecked_path()).unwrap();
        let whole = r#"{"boot":"","name":"vm","origin":"restore","since":0,"held":null"#;
        for text in [
            "",
            "{",
            "{}",
            "[]",
            "null",
            r#"{"origin":"restore"}"#,
            r#"{"origin":"restore","since":"x"}"#,
            &format!(r#"{whole},"format":2}}"#),
            &whole.replace("null", "3"),
            &format!("{whole}}}{}", " ".repeat(1 << 20)),
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
                .unwrap();
            for _ in 0..2 {
                // also a second time, and whatever else happens
                let remembered = guest.take_pending();
                let held = remembered.held.unwrap();
                assert!(remembered.is_in_doubt && held.status == OWN_ERROR, "{text}");
                for word in [path.to_str().unwrap(), "can't be read: ", "rm /"] {
                    assert!(held.words.contains(word), "{text}: {}", held.words);
                }
                guest.forget_pending();
                assert_eq!(fs::read_to_string(&path).unwrap(), text, "left as it is");
            }
            assert_eq!(unreadable(&Dir::of_test(directory.path())).len(), 1, "{text}");
            age(&path, 301);
            let peeked = guest.peek_pending();
            assert!(peeked.held.is_none() && peeked.error.unwrap().contains("dropped"));
            assert_eq!(guest.take_pending().origin, Origin::Fresh);
            assert!(!path.exists() && guest.take_pending().error.is_none(), "{text}");
            fs::create_dir_all(guest.pending.unchecked_path()).unwrap();
        }
    }

    #[test]
    fn what_is_no_file_of_ours_cannot_be_read_either() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let directory = tempfile::tempdir().unwrap();
        let guest = guest(directory.path());
        let path = guest.pending.unchecked_path().join(guest.state_name());
        let held = HeldFailure { status: 3, words: "hookmux: no".into() };
        guest.remember_pending(Origin::Restore, Some(held.clone())).unwrap();
        let good = directory.path().join("good");
        fs::copy(&path, &good).unwrap();
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let spoilt: [&dyn Fn(); 6] = [
            &|| fs::create_dir(&path).unwrap(),
            &|| nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
            &|| symlink(&good, &path).unwrap(),
            &|| symlink("/nonexistent", &path).unwrap(),
            &|| fs::hard_link(&good, &path).unwrap(),
            &|| {
                fs::copy(&good, &path).unwrap();
                mode(0o666);
            },
        ];
        for spoil in spoilt {
            remove(&guest.pending, &guest.state_name());
            fs::create_dir_all(guest.pending.unchecked_path()).unwrap();
            spoil();
            let remembered = guest.take_pending();
            assert!(remembered.is_in_doubt, "{remembered:?}");
            assert!(path.symlink_metadata().is_ok(), "left as it is");
            // the next restore writes over it
            guest.remember_pending(Origin::Restore, Some(held.clone())).unwrap();
            assert_eq!(guest.take_pending().held, Some(held.clone()));
        }
        // a directory that can't be removed, and a file in the place of the directory
        fs::create_dir_all(path.join("x")).unwrap();
        assert!(guest.take_pending().held.unwrap().words.contains("rm -r /"));
        guest.remember_pending(Origin::Restore, Some(held.clone())).unwrap();
        assert_eq!(guest.take_pending().held, Some(held.clone()));
        fs::remove_dir_all(guest.pending.unchecked_path()).unwrap();
        fs::write(guest.pending.unchecked_path(), "").unwrap();
        guest.remember_pending(Origin::Restore, Some(held.clone())).unwrap();
        assert_eq!(guest.take_pending().held, Some(held));
    }

    #[test]
    fn a_call_that_tells_no_uuid_takes_what_cannot_be_read_for_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let guest = guest(directory.path());
        guest.remember_pending(Origin::Restore, None).unwrap();
        let path = guest.pending.unchecked_path().join(guest.state_name());
        fs::write(&path, "{").unwrap();
        let by_name = |driver, name| {
            Guest::new(&Dir::of_test(directory.path()), driver, None, name).peek_pending()
        };
        assert!(by_name(Driver::Qemu, "vm").is_in_doubt);
        assert!(by_name(Driver::Qemu, "another").is_in_doubt, "whose it is can't be told");
        assert!(!by_name(Driver::Lxc, "vm").is_in_doubt);
        let other = "3c8e1f52-9b0d-4a6e-8f57-2d41c6b7a901";
        let other = Guest::new(&Dir::of_test(directory.path()), Driver::Qemu, Some(other), "other")
            .peek_pending();
        assert_eq!(other, Remembered::of(Origin::Fresh));
    }

    #[test]
    fn a_state_that_cannot_be_read_refuses_prepare_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let guest = guest(directory.path());
        guest.take_pending();
        let path = guest.guests.unchecked_path().join(guest.state_name());
        let newer = r#"{"format":2,"boot":"","name":"vm","origin":"fresh","more":1}"#;
        for text in ["{", newer] {
            fs::write(&path, text).unwrap();
            assert!(guest.take_pending().is_in_doubt && guest.take_pending().is_in_doubt);
            assert_eq!(guest.origin(), Origin::Unknown);
            assert_eq!(guest.started_document(), None);
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        let words = guest.keep_document(b"<domain/>").unwrap_err().to_string();
        assert!(words.contains("a newer hookmux wrote it"), "{words}");
        assert_eq!(fs::read_to_string(&path).unwrap(), newer, "left as it is");
        fs::write(&path, "{").unwrap();
        guest.keep_document(b"<domain/>").unwrap();
        assert!(guest.started_document().is_some());
        // what waits is not lost with a state whose time is over
        let held = HeldFailure { status: 3, words: "hookmux: no".into() };
        guest.remember_pending(Origin::Restore, Some(held.clone())).unwrap();
        fs::write(&path, "{").unwrap();
        age(&path, 301);
        let remembered = guest.take_pending();
        assert_eq!((remembered.held, remembered.is_in_doubt), (Some(held), false));
        assert!(remembered.error.unwrap().contains("is dropped"));
        fs::write(&path, newer).unwrap();
        guest.forget();
        assert!(!path.exists(), "its life is over");
    }

    #[test]
    fn what_another_version_says_of_it_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let guest = guest(directory.path());
        guest.remember_pending(Origin::Restore, None).unwrap();
        let path = guest.pending.unchecked_path().join(guest.state_name());
        let since = clock::boottime_seconds();
        for (text, origin, held) in [
            (format!(r#"{{"origin":"cloned","since":{since}}}"#), Origin::Unknown, None),
            (
                format!(r#"{{"origin":"restore","since":{since},"held":{{"more":1}},"more":2}}"#),
                Origin::Restore,
                Some(HeldFailure::default()),
            ),
            (
                format!(
                    r#"{{"origin":"restore","since":{since},"held":{{"status":0,"words":"x"}}}}"#
                ),
                Origin::Restore,
                Some(HeldFailure { status: OWN_ERROR, words: "x".into() }),
            ),
        ] {
            fs::write(&path, &text).unwrap();
            let remembered = guest.peek_pending();
            assert_eq!(
                (remembered.origin, remembered.held, remembered.is_in_doubt),
                (origin, held, false)
            );
        }
    }

    #[test]
    fn gigabytes_and_devices_are_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let guest = guest(directory.path());
        let path = guest.pending.make().unwrap().join(guest.state_name());
        for (spoil, why) in [
            (
                (|path: &Path| fs::File::create(path).unwrap().set_len(5 << 30).unwrap())
                    as fn(&Path),
                "larger than",
            ),
            (|path: &Path| std::os::unix::fs::symlink("/dev/zero", path).unwrap(), "it is a link"),
        ] {
            spoil(&path);
            let held = guest.peek_pending().held.unwrap();
            assert_eq!(held.status, OWN_ERROR);
            assert!(held.words.contains(why), "{}", held.words);
            fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn what_lies_in_a_directory_of_others_is_not_remembered() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        guest(directory.path()).remember_pending(Origin::Migration, None).unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let guest = guest(directory.path());
        assert_eq!(guest.take_pending(), Remembered::of(Origin::Unknown));
        assert!(guest.remember_pending(Origin::Restore, None).is_err());
        guest.forget_pending();
        let runtime_dir = Dir::of_test(directory.path());
        assert!(is_any_pending(&runtime_dir), "nothing is removed there");
        assert!(unreadable(&runtime_dir).is_empty(), "nor looked at");
    }

    #[test]
    fn a_directory_that_another_call_removed_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let guest = guest(directory.path());
        guest.remember_pending(Origin::Migration, None).unwrap();
        fs::remove_dir_all(directory.path().join(PENDING_DIRECTORY)).unwrap();
        guest.remember_pending(Origin::Restore, None).unwrap();
        assert_eq!(guest.take_pending().origin, Origin::Restore);
    }

    #[test]
    fn the_started_document_lives_until_release() {
        let directory = tempfile::tempdir().unwrap();
        let guest = guest(directory.path());
        assert_eq!(guest.started_document(), None);
        guest.take_pending();
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
        assert!(guest.remember_pending(Origin::Restore, None).is_err());
        assert_eq!(guest.origin(), Origin::Unknown);
        assert!(guest.keep_document(b"x").is_err());
        guest.forget_pending();
        guest.forget();
    }
}
