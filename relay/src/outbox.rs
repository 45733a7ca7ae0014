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
    /// the status file that was last read
    looked: Option<(u64, i64, i64)>,
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

    /// Which numbering hookmux tells of, and the last number before it began; nothing where that hasn't changed since
    /// it was last asked.
    ///
    /// Another one begins where numbers may be given a second time: without the file of numbers, or after the state
    /// directory was put back from a copy. Without that, all up to the cursor would be passed over.
    pub(crate) fn epoch(&mut self) -> Option<(String, u64)> {
        let path = self.directory.join(STATUS);
        let file = std::fs::symlink_metadata(&path).ok()?;
        // a rename is another file, whatever the clock says
        let now = (file.ino(), file.ctime(), file.ctime_nsec());
        if self.looked == Some(now) {
            return None;
        }
        let status: serde_json::Value = serde_json::from_slice(&read(&path).ok()?).ok()?;
        let text = |key: &str| status.get(key).and_then(serde_json::Value::as_str);
        let epoch = text("epoch").filter(|epoch| crate::ulid::bits(epoch).is_some())?;
        let after = text("epoch_after")?.parse().ok()?;
        self.looked = Some(now);
        Some((epoch.to_owned(), after))
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
    fn the_numbering_is_read_where_it_is_told() -> std::io::Result<()> {
        let directory = tempfile::tempdir()?;
        let mut outbox = Outbox::new(directory.path(), 20);
        assert_eq!(outbox.epoch(), None);
        let id = "01JDZ3M8X5Q2K7R9T4V6W8Y0AB";
        let path = directory.path().join(super::STATUS);
        for odd in [
            "",
            "{}",
            "{\"epoch\": \"x\"}",
            &format!("{{\"epoch\": \"{id}\", \"epoch_after\": 3}}"),
        ] {
            std::fs::write(&path, odd)?;
            assert_eq!(outbox.epoch(), None, "{odd}");
        }
        let status = format!("{{\"epoch\": \"{id}\", \"epoch_after\": \"{:020}\"}}", 3);
        let new = directory.path().join("new");
        std::fs::write(&new, status)?;
        std::fs::rename(&new, &path)?;
        assert_eq!(outbox.epoch(), Some((id.to_owned(), 3)));
        assert_eq!(outbox.epoch(), None);
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
