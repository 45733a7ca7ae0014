//! How far the events of the outbox have been sent. The program that sends them writes that into its own
//! directory, a file for each place that it sends them to. It isn't root's: what the files say is only a hint.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

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

/// What the files say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursors {
    /// How many places there are.
    pub sinks: usize,
    /// The number up to which all of them have the events.
    pub lowest: u64,
    /// The greatest number that one of them says.
    pub highest: u64,
    /// The files that say nothing: each counts as a place that has no event.
    pub odd: Vec<PathBuf>,
}

/// Returns the directory, whoever made it.
pub(crate) fn directory(state_dir: &Dir) -> PathBuf {
    let mut path = state_dir.unchecked_path().as_os_str().to_owned();
    path.push(SUFFIX);
    path.into()
}

/// Reads the files. `last` is the last number that was given, where it is known: a greater one says nothing.
pub(crate) fn read(state_dir: &Dir, last: Option<u64>) -> Cursors {
    let directory = directory(state_dir);
    let entries = fs::read_dir(&directory).into_iter().flatten().take(MAX_NAMES).flatten();
    let names = entries.map(|entry| entry.file_name());
    let is_cursor = |name: &std::ffi::OsString| {
        name.to_str().is_some_and(|name| name.len() > PREFIX.len() && name.starts_with(PREFIX))
    };
    let mut cursors = Cursors { lowest: u64::MAX, ..Cursors::default() };
    for name in names.filter(is_cursor).take(MAX_SINKS) {
        let path = directory.join(name);
        let number = read_one(&path).filter(|number| last.is_none_or(|last| *number <= last));
        cursors.sinks += 1;
        cursors.lowest = cursors.lowest.min(number.unwrap_or_default());
        cursors.highest = cursors.highest.max(number.unwrap_or_default());
        if number.is_none() {
            cursors.odd.push(path);
        }
    }
    if cursors.sinks == 0 {
        cursors.lowest = 0;
    }
    cursors
}

/// Reads a number of 20 digits. Never blocks, and follows no link.
fn read_one(path: &Path) -> Option<u64> {
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
    parse(text.strip_suffix('\n')?)
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

    #[test]
    fn what_is_no_number_says_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        fs::create_dir(&state).unwrap();
        let state_dir = Dir::of_test(&state);
        assert_eq!(read(&state_dir, Some(9)), Cursors::default());
        let relay = super::directory(&state_dir);
        fs::create_dir(&relay).unwrap();
        fs::write(relay.join("cursor.nats"), "00000000000000000007\n").unwrap();
        fs::write(relay.join("cursor."), "x").unwrap();
        fs::write(relay.join("other"), "x").unwrap();
        let one = Cursors { sinks: 1, lowest: 7, highest: 7, odd: Vec::new() };
        assert_eq!(read(&state_dir, Some(9)), one);
        assert_eq!(read(&state_dir, None), one);
        fs::write(relay.join("cursor.otlp"), "00000000000000000003\n").unwrap();
        assert_eq!(read(&state_dir, Some(9)).lowest, 3);
        assert_eq!(read(&state_dir, Some(9)).highest, 7);
        // one that is ahead of what was given
        assert_eq!(read(&state_dir, Some(5)).lowest, 0);
        fs::write(relay.join("cursor.otlp"), "00000000000000000007\n").unwrap();
        let odd = relay.join("cursor.odd");
        for text in [
            "",
            "7\n",
            "00000000000000000007",
            "00000000000000000007\n\n",
            "-0000000000000000007\n",
            "+0000000000000000007\n",
            "99999999999999999999\n",
            "0000000000000000000x\n",
            "\u{660}000000000000000000\n",
            &"0".repeat(100_000),
        ] {
            fs::write(&odd, text).unwrap();
            let read = read(&state_dir, Some(9));
            assert_eq!((read.lowest, read.odd.len()), (0, 1), "{text:?}");
        }
        fs::remove_file(&odd).unwrap();
        symlink(relay.join("cursor.nats"), &odd).unwrap();
        assert_eq!(read(&state_dir, Some(9)).lowest, 0);
        fs::remove_file(&odd).unwrap();
        nix::unistd::mkfifo(&odd, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read(&state_dir, Some(9)).lowest, 0);
        fs::remove_file(&odd).unwrap();
        fs::create_dir(&odd).unwrap();
        assert_eq!(read(&state_dir, Some(9)).lowest, 0);
        fs::remove_dir(&odd).unwrap();
        for number in 0..100 {
            fs::write(relay.join(format!("cursor.{number}")), "00000000000000000007\n").unwrap();
        }
        assert_eq!(read(&state_dir, Some(9)).sinks, MAX_SINKS);
    }
}
