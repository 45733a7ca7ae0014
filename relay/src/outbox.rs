//! hookmux's outbox: event files `<20 digits>-<ULID>.json`, read and never changed.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// hookmux's events are far smaller.
const LARGEST: u64 = 16 << 20;
/// What the mover tells of the host.
pub(crate) const STATUS: &str = "status.json";

pub(crate) struct Outbox {
    directory: PathBuf,
    /// up to this number all files have been handed out
    taken: u64,
    /// how the directory was when it was last looked at for numbers that begin anew
    looked: Option<(i64, i64)>,
}

/// Its number, if the name is that of an event file.
pub(crate) fn number(name: &str) -> Option<u64> {
    let rest = name.strip_suffix(".json")?;
    let (digits, id) = rest.split_once('-')?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    crate::ulid::bits(id)?;
    digits.parse().ok()
}

/// The id in the name of an event file.
pub(crate) fn id(name: &str) -> &str {
    name.get(21..47).unwrap_or_default()
}

impl Outbox {
    /// The outbox from after a number on.
    pub(crate) fn new(directory: &Path, after: u64) -> Self {
        Self { directory: directory.to_owned(), taken: after, looked: None }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Event files that weren't handed out before, in order.
    ///
    /// The mover renames them into place one after the other, but a directory that changes while it is read may
    /// show a later file and not an earlier one. Where a number is missing, a second look shows it, if it is there.
    pub(crate) fn more(&mut self) -> io::Result<BTreeMap<u64, String>> {
        let mut found = self.look(self.taken)?;
        let Some(last) = found.last_key_value().map(|(number, _)| *number) else {
            return Ok(found);
        };
        let whole = last - self.taken == found.len() as u64;
        if !whole {
            found.extend(self.look(self.taken)?.into_iter().filter(|(number, _)| *number <= last));
        }
        self.taken = last;
        Ok(found)
    }

    /// All event files after a number.
    pub(crate) fn look(&self, after: u64) -> io::Result<BTreeMap<u64, String>> {
        let mut found = BTreeMap::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let Ok(name) = entry?.file_name().into_string() else { continue };
            if let Some(number) = number(&name)
                && number > after
            {
                found.insert(number, name);
            }
        }
        Ok(found)
    }

    /// From which number on hookmux has begun to count anew, as on a host whose state was removed or put back from a
    /// copy: without that, nothing would be sent until it comes to the cursor again.
    ///
    /// A file that has come with a number that the cursor had passed shows it; so does a last number that was told
    /// later, and is lower. Times alone prove nothing, as the clock may have been set back: where hookmux tells of a
    /// number that isn't lower than the cursor, or such a file is there, it hasn't begun anew.
    pub(crate) fn begun_anew(&mut self, cursor: u64, cursor_written: (i64, i64)) -> Option<u64> {
        let now = std::fs::metadata(&self.directory)
            .map(|directory| (directory.mtime(), directory.mtime_nsec()))
            .ok()?;
        // what all sinks have may lie there for long: nothing of it is looked at twice
        if self.looked.replace(now) == Some(now) {
            return None;
        }
        let told = self.told();
        if told.is_some_and(|(last, _)| last >= cursor) {
            return None;
        }
        let mut lowest = None;
        for entry in std::fs::read_dir(&self.directory).ok()?.flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let Some(number) = number(&name) else { continue };
            if number >= cursor {
                return None;
            }
            if lowest.is_some_and(|lowest| lowest <= number) {
                continue;
            }
            if let Ok(metadata) = entry.metadata()
                && (metadata.mtime(), metadata.mtime_nsec()) > cursor_written
            {
                lowest = Some(number);
            }
        }
        lowest.or_else(|| {
            let (last, time) = told?;
            (time > cursor_written).then_some(last + 1)
        })
    }

    /// The last number that hookmux told of in its status, and when.
    fn told(&self) -> Option<(u64, (i64, i64))> {
        let path = self.directory.join(STATUS);
        let file = std::fs::symlink_metadata(&path).ok()?;
        let status: serde_json::Value = serde_json::from_slice(&read(&path).ok()?).ok()?;
        let sequence = status.get("sequence")?;
        let last = sequence.as_str().map_or_else(|| sequence.as_u64(), |text| text.parse().ok())?;
        Some((last, (file.mtime(), file.mtime_nsec())))
    }

    /// Hands out anew what comes after a number.
    pub(crate) fn go_back(&mut self, after: u64) {
        self.taken = after;
    }

    /// The bytes of a file; links aren't followed.
    pub(crate) fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        read(&self.directory.join(name))
    }
}

pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags((nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK).bits())
        .open(path)
        .map_err(|error| {
            // a link stays one, however often it is tried
            if error.raw_os_error() == Some(nix::Error::ELOOP as i32) {
                io::Error::new(io::ErrorKind::InvalidData, "a link")
            } else {
                error
            }
        })?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file"));
    }
    if metadata.len() > LARGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "larger than 16 MiB"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    file.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Outbox, id, number};

    #[test]
    fn a_clock_that_is_set_back_is_no_new_beginning() -> std::io::Result<()> {
        // file numbers and the sequence of status.json, all written after the cursor, which is at 20
        let table: [(&[u64], Option<u64>, Option<u64>); 8] = [
            (&[18, 19, 20], Some(20), None),
            (&[18, 19, 20], None, None),
            (&[18, 19], Some(20), None),
            (&[], Some(20), None),
            // the status is behind, as the mover still moves
            (&[18, 19, 20], Some(17), None),
            (&[1, 2], Some(2), Some(1)),
            (&[1, 2], None, Some(1)),
            (&[], Some(2), Some(3)),
        ];
        for (numbers, sequence, begins) in table {
            let directory = tempfile::tempdir()?;
            for number in numbers {
                let name = format!("{number:020}-01JDZ3M8X5Q2K7R9T4V6W8Y0AB.json");
                std::fs::write(directory.path().join(name), "{}")?;
            }
            if let Some(sequence) = sequence {
                let status = format!("{{\"sequence\": \"{sequence:020}\"}}");
                std::fs::write(directory.path().join(super::STATUS), status)?;
            }
            let begun = Outbox::new(directory.path(), 20).begun_anew(20, (1, 0));
            assert_eq!(begun, begins, "{numbers:?} {sequence:?}");
        }
        Ok(())
    }

    #[test]
    fn names_of_event_files() {
        let name = "00000000000000000042-01JDZ3M8X5Q2K7R9T4V6W8Y0AB.json";
        assert_eq!(number(name), Some(42));
        assert_eq!(id(name), "01JDZ3M8X5Q2K7R9T4V6W8Y0AB");
        for other in [
            "status.json",
            ".00000000000000000042-01JDZ3M8X5Q2K7R9T4V6W8Y0AB.json",
            "0000000000000000042-01JDZ3M8X5Q2K7R9T4V6W8Y0AB.json",
            "00000000000000000042-01JDZ3M8X5Q2K7R9T4V6W8Y0A.json",
            "00000000000000000042-01JDZ3M8X5Q2K7R9T4V6W8Y0AB.json~",
            "99999999999999999999-01JDZ3M8X5Q2K7R9T4V6W8Y0AB.json",
        ] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
