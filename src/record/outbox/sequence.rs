//! Which numbers events were given. The file outlives boots and an outbox that somebody has emptied, so that no
//! number is given twice.
//!
//! Numbers are noted here, on the disk, before the events that get them are written. So a mover that died
//! half-way is finished by the next one, with the same numbers.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::gap::Gap;
use crate::machine::files::{self, Rights};
use crate::state::Dir;
use crate::state::format::{self, NewerFormat};

const FILE_NAME: &str = "outbox-sequence";
/// The version of the file's format. It is raised when older versions would misread the file.
const FORMAT: u32 = 1;
/// The size limit of the file, in bytes: some times that of a batch.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// What was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Sequence {
    pub format: u32,
    /// The last number.
    pub last: u64,
    /// Which numbering it is, and the last number that was given before it began. Another one begins where numbers may
    /// be given a second time: without this file, or where it was put back from a copy.
    pub epoch: String,
    pub epoch_after: u64,
    /// The executions of the last batch; the last of them has the number `batch_end`.
    pub batch: Vec<String>,
    pub batch_end: u64,
    /// A run of lost events that may not have its event yet.
    pub gap: Option<Gap>,
    /// How many gaps there were, and how many events were lost in them.
    pub gaps: u64,
    pub lost: u64,
    /// How many events had no room in the runtime directory, as far as a gap tells of them; and in which boot.
    pub dropped: u64,
    pub boot: String,
    /// How many files the outbox had, and their bytes.
    pub files: u64,
    pub bytes: u64,
}

impl Sequence {
    /// Reads it; `None` where there is none, or it is damaged.
    ///
    /// # Errors
    /// A newer version wrote it: it must stay as it is. Also if it can't be read.
    pub(crate) fn load(state_dir: &Dir) -> io::Result<Option<Sequence>> {
        let bytes = match state_dir.read(FILE_NAME, MAX_FILE_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // not ours, or far too large: as one that is damaged
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
            read => read?,
        };
        format::check(&bytes, FORMAT)?;
        Ok(format::read_object(&bytes).ok())
    }

    /// Writes it to the disk: after a power cut no number must be given again.
    ///
    /// # Errors
    /// As of `open(2)`, `write(2)`, `fsync(2)`, `rename(2)`.
    pub(crate) fn save(&mut self, state_dir: &Dir) -> io::Result<()> {
        self.format = FORMAT;
        let path = state_dir.file(FILE_NAME)?;
        let rights = Rights { owner: None, mode: 0o600 };
        files::replace_durably(&files::temporary(&path), &path, &serde_json::to_vec(self)?, rights)
    }

    /// Returns the numbers of the last batch, with its executions.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (u64, &String)> {
        let count = self.batch.len() as u64;
        let first = (self.batch_end + 1).saturating_sub(count);
        self.batch.iter().zip(first..).map(|(id, number)| (number, id))
    }

    /// Gives the next number.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn next(&mut self) -> io::Result<u64> {
        self.last = self
            .last
            .checked_add(1)
            .ok_or_else(|| io::Error::other("the numbers of the outbox are at their end"))?;
        Ok(self.last)
    }
}

/// Returns the path of the file, for messages only.
pub(crate) fn path(state_dir: &Dir) -> PathBuf {
    state_dir.unchecked_path().join(FILE_NAME)
}

/// Returns why the file isn't read: a newer version wrote it.
pub(crate) fn newer(state_dir: &Dir) -> Option<NewerFormat> {
    Sequence::load(state_dir).err().as_ref().and_then(NewerFormat::of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let state_dir = Dir::of_test(directory.path());
        assert_eq!(Sequence::load(&state_dir).unwrap(), None);
        let mut sequence = Sequence {
            last: 9,
            batch: vec!["a".into(), "b".into()],
            batch_end: 8,
            ..Sequence::default()
        };
        sequence.save(&state_dir).unwrap();
        assert_eq!(Sequence::load(&state_dir).unwrap(), Some(sequence.clone()));
        let numbered: Vec<_> = sequence.numbered().collect();
        assert_eq!(numbered, [(7, &"a".to_owned()), (8, &"b".to_owned())]);
        assert_eq!(sequence.next().unwrap(), 10);
        sequence.last = u64::MAX;
        assert!(sequence.next().is_err());
        for text in ["", "{", "[1]", "\u{0}", r#"{"last":"x"}"#] {
            std::fs::write(path(&state_dir), text).unwrap();
            assert_eq!(Sequence::load(&state_dir).unwrap(), None, "{text:?}");
        }
        std::fs::write(path(&state_dir), r#"{"format":2}"#).unwrap();
        assert!(newer(&state_dir).is_some());
    }

    #[test]
    fn a_damaged_batch_has_no_number_below_zero() {
        let batch = vec!["a".into(), "b".into()];
        let sequence = Sequence { batch, batch_end: 0, ..Sequence::default() };
        assert_eq!(sequence.numbered().count(), 2);
    }
}
