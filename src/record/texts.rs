//! The texts of registrations that records refer to, each once. A text is written before the first record
//! with it, in the runtime directory as records are; the mover copies it to the state directory.

use std::fs::Metadata;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::registration::MAX_REGISTRATION_BYTES;
use crate::machine::files;
use crate::state::Dir;

const DIRECTORY: &str = "registrations";
const SUFFIX: &str = ".yaml";
const SHA256_CHARS: usize = 64;
/// How long a text stays in the runtime directory after a call used it last: so long may a call take between
/// its text and its record.
const MIN_AGE: Duration = Duration::from_secs(3600);

/// The texts of the runtime directory, or of the state directory.
#[derive(Clone, Debug)]
pub struct Texts {
    directory: Dir,
}

impl Texts {
    /// `records` is the directory with the records.
    pub(crate) fn new(records: &Dir) -> Texts {
        Texts { directory: records.child(DIRECTORY) }
    }

    pub(crate) fn directory(&self) -> &Dir {
        &self.directory
    }

    /// Returns the path of a text, for messages only.
    pub fn path(&self, sha256: &str) -> PathBuf {
        self.directory.unchecked_path().join(file_name(sha256))
    }

    /// Tells whether there is a text, and notes that it is in use.
    pub(crate) fn renew(&self, sha256: &str) -> bool {
        is_sha256(sha256) && self.directory.touch(file_name(sha256)).is_ok()
    }

    /// Writes a text.
    ///
    /// # Errors
    /// It could not be written.
    pub(crate) fn write(&self, sha256: &str, text: &[u8]) -> io::Result<()> {
        if !is_sha256(sha256) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let name = file_name(sha256);
        self.directory.replace(&name, text).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                self.directory.make()?;
                self.directory.replace(&name, text)
            }
            _ => Err(error),
        })
    }

    /// Reads a text.
    ///
    /// # Errors
    /// There is none, or it isn't what it was.
    pub fn read(&self, sha256: &str) -> io::Result<String> {
        if !is_sha256(sha256) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let bytes = self.directory.read(file_name(sha256), MAX_REGISTRATION_BYTES)?;
        if files::sha256(&bytes) != sha256 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it has been changed"));
        }
        files::into_text(bytes)
    }

    /// Returns the hashes of all texts.
    pub fn all(&self) -> Vec<String> {
        let names = self.directory.names().unwrap_or_default().into_iter();
        let names = names.filter_map(|name| name.into_string().ok());
        names
            .filter_map(|name| name.strip_suffix(SUFFIX).map(str::to_owned))
            .filter(|sha256| is_sha256(sha256))
            .collect()
    }

    /// Returns the size of a text in bytes; 0 where there is none.
    pub(crate) fn size(&self, sha256: &str) -> u64 {
        self.metadata(sha256).map_or(0, |file| file.len())
    }

    fn metadata(&self, sha256: &str) -> Option<Metadata> {
        self.directory.entry_metadata(file_name(sha256)).ok().filter(Metadata::is_file)
    }

    /// Removes a text. Tells whether that was done.
    pub(crate) fn remove(&self, sha256: &str) -> bool {
        self.directory.remove(file_name(sha256)).is_ok()
    }

    /// Copies all texts to another place, and removes those here that no call has used for a while. A text
    /// that can't be copied stays.
    pub(crate) fn move_to(&self, other: &Texts) {
        for sha256 in self.all() {
            let is_there = other.metadata(&sha256).is_some();
            if !is_there && self.copy_to(other, &sha256).is_err() {
                continue;
            }
            let time = self.metadata(&sha256).and_then(|file| file.modified().ok());
            // one that is dated later than now is from a wrong clock, and is renewed by the next call
            if time.is_none_or(|time| time.elapsed().is_ok_and(|age| age >= MIN_AGE)) {
                self.remove(&sha256);
            }
        }
    }

    fn copy_to(&self, other: &Texts, sha256: &str) -> io::Result<()> {
        match self.read(sha256) {
            Ok(text) => other.write(sha256, text.as_bytes()),
            Err(error) => {
                // of no use: the next call writes it again
                if error.kind() == io::ErrorKind::InvalidData {
                    self.remove(sha256);
                }
                Err(error)
            }
        }
    }
}

fn file_name(sha256: &str) -> String {
    format!("{sha256}{SUFFIX}")
}

fn is_sha256(word: &str) -> bool {
    word.len() == SHA256_CHARS && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    const TEXT: &str = "events: after_vm_start\ncommand: /x\n";

    struct Place {
        directory: tempfile::TempDir,
        fresh: Texts,
        kept: Texts,
        sha256: String,
    }

    impl Place {
        fn new() -> Place {
            let directory = tempfile::tempdir().unwrap();
            let base = Dir::of_test(directory.path());
            let [fresh, kept] = ["run", "state"].map(|name| Texts::new(&base.child(name)));
            Place { directory, fresh, kept, sha256: files::sha256(TEXT.as_bytes()) }
        }

        fn date(&self, time: SystemTime) {
            let file = std::fs::File::options().write(true).open(self.fresh.path(&self.sha256));
            file.unwrap().set_modified(time).unwrap();
        }
    }

    #[test]
    fn a_text_is_kept_once_and_comes_back() {
        let place = Place::new();
        let Place { fresh, sha256, .. } = &place;
        assert!(!fresh.renew(sha256));
        fresh.write(sha256, TEXT.as_bytes()).unwrap();
        assert!(fresh.renew(sha256));
        assert_eq!((fresh.read(sha256).unwrap(), fresh.all()), (TEXT.into(), vec![sha256.clone()]));
        // what was changed isn't it any more
        std::fs::write(fresh.path(sha256), "events: after_vm_stop\ncommand: /x\n").unwrap();
        assert_eq!(fresh.read(sha256).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn what_is_no_hash_names_no_file() {
        let place = Place::new();
        std::fs::write(place.directory.path().join("secret.yaml"), TEXT).unwrap();
        for word in ["", "../../secret", &"g".repeat(64), &"A".repeat(64), &"0".repeat(63)] {
            assert!(place.fresh.write(word, b"x").is_err(), "{word}");
            assert_eq!(place.fresh.read(word).unwrap_err().kind(), io::ErrorKind::NotFound);
            assert!(!place.fresh.renew(word), "{word}");
        }
        assert!(place.fresh.all().is_empty());
    }

    #[test]
    fn a_text_stays_in_memory_while_calls_use_it() {
        let place = Place::new();
        let Place { fresh, kept, sha256, .. } = &place;
        fresh.write(sha256, TEXT.as_bytes()).unwrap();
        fresh.move_to(kept);
        assert_eq!((fresh.all().len(), kept.read(sha256).unwrap()), (1, TEXT.to_owned()));
        place.date(SystemTime::now() - MIN_AGE);
        assert!(fresh.renew(sha256));
        fresh.move_to(kept);
        assert_eq!(fresh.all().len(), 1);
        place.date(SystemTime::now() + MIN_AGE);
        fresh.move_to(kept);
        assert_eq!(fresh.all().len(), 1);
        place.date(SystemTime::now() - MIN_AGE);
        fresh.move_to(kept);
        assert_eq!((fresh.all().len(), kept.all().len()), (0, 1));
    }

    #[test]
    fn a_text_that_cannot_be_copied_stays_and_a_damaged_one_goes() {
        let place = Place::new();
        let Place { fresh, kept, sha256, .. } = &place;
        fresh.write(sha256, TEXT.as_bytes()).unwrap();
        place.date(SystemTime::now() - MIN_AGE);
        let state = place.directory.path().join("state");
        std::fs::write(&state, "").unwrap();
        fresh.move_to(kept);
        assert_eq!(fresh.all().len(), 1);
        std::fs::remove_file(&state).unwrap();
        std::fs::write(fresh.path(sha256), "half").unwrap();
        fresh.move_to(kept);
        assert_eq!((fresh.all().len(), kept.all().len()), (0, 0));
    }
}
