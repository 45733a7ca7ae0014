//! How far the events of the outbox have been sent. The program that sends them writes that into its own
//! directory, a file for each place that it sends them to. It isn't root's: what the files say is only a hint.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::machine::ulid;
use crate::state::Dir;

/// How the directory's name ends, behind that of the state directory.
const SUFFIX: &str = "-relay";
/// How the names of the files begin.
const PREFIX: &str = "cursor.";
/// The read limit of a file, in bytes.
const MAX_FILE_BYTES: u64 = 64;
/// How many names of the directory are read, and how many files.
const MAX_NAMES: usize = 4096;
const MAX_SINKS: usize = 64;
/// A number is believed up to this one where it is all that is known. So nobody can bring the numbers to their end.
const MAX_BELIEVED_NUMBER: u64 = u64::MAX / 2;

/// What the files say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursors {
    /// How many places there are.
    pub sinks: usize,
    /// The number up to which all of them have the events of this numbering.
    pub lowest: u64,
    /// The greatest number that one of them says, of whatever numbering, if it can be believed.
    pub highest: u64,
    /// Whether one of them has a number of this numbering that was never given: it was given before the state
    /// directory was put back from a copy.
    pub is_ahead: bool,
    /// Whether one of them hasn't heard of this numbering yet.
    pub is_behind: bool,
    /// The files that say nothing: each counts as a place that has no event.
    pub odd: Vec<PathBuf>,
}

/// Returns the directory, whoever made it.
pub(crate) fn directory(state_dir: &Dir) -> PathBuf {
    let mut path = state_dir.unchecked_path().as_os_str().to_owned();
    path.push(SUFFIX);
    path.into()
}

/// Reads the files. `epoch` is the numbering, and `last` the last number that was given in it: a greater one says
/// nothing, and neither does one of another numbering.
pub(crate) fn read(state_dir: &Dir, epoch: &str, last: u64) -> Cursors {
    let directory = directory(state_dir);
    let entries = fs::read_dir(&directory).into_iter().flatten().take(MAX_NAMES).flatten();
    let names = entries.map(|entry| entry.file_name());
    let is_cursor = |name: &std::ffi::OsString| {
        name.to_str().is_some_and(|name| name.len() > PREFIX.len() && name.starts_with(PREFIX))
    };
    let mut cursors = Cursors { lowest: u64::MAX, ..Cursors::default() };
    for name in names.filter(is_cursor).take(MAX_SINKS) {
        let path = directory.join(name);
        let cursor = read_one(&path);
        let is_current = cursor.as_ref().is_some_and(|cursor| cursor.epoch == epoch);
        let number = cursor.map(|cursor| cursor.number);
        let given = number.filter(|number| *number <= last);
        cursors.sinks += 1;
        cursors.lowest = cursors.lowest.min(given.filter(|_| is_current).unwrap_or_default());
        let believed = number.filter(|number| *number <= MAX_BELIEVED_NUMBER);
        cursors.highest = cursors.highest.max(believed.unwrap_or_default());
        cursors.is_ahead |= is_current && number.is_some() && given.is_none();
        cursors.is_behind |= !is_current;
        if number.is_none() || (is_current && given.is_none()) {
            cursors.odd.push(path);
        }
    }
    if cursors.sinks == 0 {
        cursors.lowest = 0;
    }
    cursors
}

/// A file's content.
#[derive(Debug, PartialEq, Eq)]
struct Cursor {
    number: u64,
    /// Empty where who wrote it didn't know of any.
    epoch: String,
}

/// Reads a line with a number of 20 digits, and perhaps one with the numbering. Never blocks, and follows no link.
fn read_one(path: &Path) -> Option<Cursor> {
    if !fs::symlink_metadata(path).ok()?.is_file() {
        return None;
    }
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let found = file.metadata().ok()?;
    if !found.is_file() || found.len() > MAX_FILE_BYTES {
        return None;
    }
    let mut text = String::new();
    file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).ok()?;
    let (number, epoch) = text.split_once('\n')?;
    let number = parse(number)?;
    if epoch.is_empty() {
        return Some(Cursor { number, epoch: String::new() });
    }
    let epoch = epoch.strip_suffix('\n').filter(|epoch| ulid::is_valid(epoch))?;
    Some(Cursor { number, epoch: epoch.to_owned() })
}

/// Reads a number as it is written in names and cursors.
pub(super) fn parse(digits: &str) -> Option<u64> {
    let is_number = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const EPOCH: &str = "01ARYZ6S410000000000000000";
    const OTHER: &str = "01ARYZ6S410000000000000001";

    #[test]
    fn what_is_no_number_says_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        fs::create_dir(&state).unwrap();
        let state_dir = Dir::of_test(&state);
        let read = |last| super::read(&state_dir, EPOCH, last);
        assert_eq!(read(9), Cursors::default());
        let relay = super::directory(&state_dir);
        fs::create_dir(&relay).unwrap();
        let write = |name: &str, number: u64, epoch: &str| {
            fs::write(relay.join(name), format!("{number:020}\n{epoch}\n")).unwrap();
        };
        write("cursor.nats", 7, EPOCH);
        fs::write(relay.join("cursor."), "x").unwrap();
        fs::write(relay.join("other"), "x").unwrap();
        let one = Cursors { sinks: 1, lowest: 7, highest: 7, ..Cursors::default() };
        assert_eq!(read(9), one);
        write("cursor.otlp", 3, EPOCH);
        assert_eq!((read(9).lowest, read(9).highest), (3, 7));
        // of another numbering, or of none
        write("cursor.otlp", 3, OTHER);
        let expected =
            Cursors { sinks: 2, lowest: 0, highest: 7, is_behind: true, ..Cursors::default() };
        assert_eq!(read(9), expected);
        write("cursor.otlp", 30, OTHER);
        assert_eq!(read(9), Cursors { highest: 30, ..expected.clone() });
        fs::write(relay.join("cursor.otlp"), "00000000000000000003\n").unwrap();
        assert_eq!(read(9), expected);
        // one that is ahead of what was given
        write("cursor.otlp", 3, EPOCH);
        let ahead = read(5);
        assert_eq!((ahead.lowest, ahead.is_ahead, ahead.odd.len()), (0, true, 1));
        write("cursor.otlp", 7, EPOCH);
        let odd = relay.join("cursor.odd");
        for text in [
            "",
            "7\n",
            "00000000000000000007",
            "00000000000000000007\n\n",
            "00000000000000000007\nx\n",
            "00000000000000000007\n01ARYZ6S410000000000000000",
            "00000000000000000007\n01ARYZ6S410000000000000000\n\n",
            "-0000000000000000007\n",
            "+0000000000000000007\n",
            "99999999999999999999\n",
            "0000000000000000000x\n",
            "\u{660}000000000000000000\n",
            &"0".repeat(100_000),
        ] {
            fs::write(&odd, text).unwrap();
            let read = read(9);
            assert_eq!((read.lowest, read.odd.len()), (0, 1), "{text:?}");
        }
        fs::remove_file(&odd).unwrap();
        symlink(relay.join("cursor.nats"), &odd).unwrap();
        assert_eq!(read(9).lowest, 0);
        fs::remove_file(&odd).unwrap();
        nix::unistd::mkfifo(&odd, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read(9).lowest, 0);
        fs::remove_file(&odd).unwrap();
        fs::create_dir(&odd).unwrap();
        assert_eq!(read(9).lowest, 0);
        fs::remove_dir(&odd).unwrap();
        for number in 0..100 {
            write(&format!("cursor.{number}"), 7, EPOCH);
        }
        assert_eq!(read(9).sinks, MAX_SINKS);
    }
}
