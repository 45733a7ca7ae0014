//! The events that wait to be sent, in the state directory: one file each, named by its number and execution. The
//! program that sends them runs as another user, and only reads them.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use nix::unistd::{Group, geteuid};

use super::cursor;
use super::event;
use crate::machine::files::{self, Rights};
use crate::machine::ulid;
use crate::record::spool;
use crate::state::Dir;

/// The directory in the state directory.
pub(super) const DIRECTORY: &str = "outbox";
/// The group that may read it.
const GROUP: &str = "hookmux-relay";
const SUFFIX: &str = ".json";
/// The read limit of a file, in bytes.
const MAX_FILE_BYTES: u64 = 4 * event::MAX_EVENT_BYTES as u64;

/// The directory.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    dir: Dir,
    /// The group that may read it, where there is one.
    group: Option<u32>,
}

/// A file of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub number: u64,
    pub id: String,
}

impl Entry {
    pub(crate) fn name(&self) -> String {
        format!("{:020}-{}{SUFFIX}", self.number, self.id)
    }

    fn parse(name: &str) -> Option<Entry> {
        let (number, id) = name.strip_suffix(SUFFIX)?.split_once('-')?;
        let number = cursor::parse(number)?;
        ulid::is_valid(id).then(|| Entry { number, id: id.to_owned() })
    }
}

impl Directory {
    /// Returns it for readers.
    pub(crate) fn new(state_dir: &Dir) -> Directory {
        Directory { dir: state_dir.child(DIRECTORY), group: None }
    }

    /// Makes it, and gives it to the group that may read it.
    ///
    /// # Errors
    /// As of `mkdir(2)`, `chmod(2)` and `chown(2)`.
    pub(crate) fn open(state_dir: &Dir) -> io::Result<Directory> {
        let is_root = geteuid().is_root();
        let group = if is_root { Group::from_name(GROUP).ok().flatten() } else { None };
        let group = group.map(|group| group.gid.as_raw());
        let directory = Directory { group, ..Directory::new(state_dir) };
        let path = directory.dir.make()?;
        let found = fs::symlink_metadata(path)?;
        let (wanted, mode) = (group.unwrap_or(found.gid()), directory.mode(0o700, 0o750));
        let is_others = found.gid() != wanted || found.mode() & 0o7777 != mode;
        if is_others {
            // the directory last: whoever dies in between does it again
            directory.give_files()?;
            if found.gid() != wanted {
                chown(path, None, Some(wanted))?;
            }
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        }
        if group.is_some() {
            open_way(state_dir)?;
        }
        spool::remove_half_written(&directory.dir);
        Ok(directory)
    }

    /// Gives the files to the group: it may have been made after them.
    fn give_files(&self) -> io::Result<()> {
        for name in self.dir.names()? {
            // what isn't a file of hookmux's own stays as it is
            if let Ok((file, _)) = self.dir.open(&name) {
                self.rights().give(&file)?;
            }
        }
        Ok(())
    }

    fn rights(&self) -> Rights {
        let owner = self.group.map(|group| (0, group));
        Rights { owner, mode: self.mode(0o600, 0o640) }
    }

    fn mode(&self, own: u32, with_group: u32) -> u32 {
        if self.group.is_some() { with_group } else { own }
    }

    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Returns all events, the oldest first.
    ///
    /// # Errors
    /// The directory can't be read.
    pub(crate) fn entries(&self) -> io::Result<Vec<Entry>> {
        let names = self.dir.names()?.into_iter();
        let mut entries: Vec<Entry> =
            names.filter_map(|name| Entry::parse(name.to_str()?)).collect();
        entries.sort_unstable_by_key(|entry| entry.number);
        Ok(entries)
    }

    /// Returns the size of a file; 0 where it is gone.
    pub(crate) fn size(&self, entry: &Entry) -> u64 {
        self.dir.entry_metadata(entry.name()).map_or(0, |file| file.len())
    }

    /// Reads a file.
    ///
    /// # Errors
    /// As [`Dir::read`].
    pub(crate) fn read(&self, entry: &Entry) -> io::Result<Vec<u8>> {
        self.dir.read(entry.name(), MAX_FILE_BYTES)
    }

    /// Writes a file, completely or not at all.
    ///
    /// # Errors
    /// As of `open(2)`, `write(2)`, `rename(2)`.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.dir.file(name)?;
        // readers pass over names with a dot
        let temporary = self.dir.file(format!(".{name}.{}.new", std::process::id()))?;
        let rights = self.rights();
        files::replace_by_rename(&temporary, &path, |file| {
            file.write_all(bytes)?;
            rights.give(file)
        })
    }

    /// Removes a file.
    ///
    /// # Errors
    /// As of `unlink(2)`.
    pub(crate) fn remove(&self, entry: &Entry) -> io::Result<()> {
        self.dir.remove(entry.name())
    }
}

/// Lets others pass through the state directory: an older version may have made it for its owner alone.
fn open_way(state_dir: &Dir) -> io::Result<()> {
    let path = state_dir.path()?;
    let mode = fs::metadata(path)?.mode() & 0o7777;
    match mode & 0o011 == 0o011 {
        true => Ok(()),
        false => fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o011)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_number_and_an_id() {
        let id = "01ARYZ6S410000000000000000";
        let entry = Entry { number: 7, id: id.to_owned() };
        assert_eq!(entry.name(), format!("00000000000000000007-{id}.json"));
        assert_eq!(Entry::parse(&entry.name()), Some(entry));
        for odd in ["", "status.json", "7-x.json", ".00000000000000000007-x.json", "-.json"] {
            assert_eq!(Entry::parse(odd), None, "{odd}");
        }
        assert_eq!(Entry::parse(&format!("99999999999999999999-{id}.json")), None);
        assert_eq!(Entry::parse(&format!("00000000000000000007-{id}.json.1.new")), None);
    }
}
