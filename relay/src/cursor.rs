//! A sink's cursor: the number up to which it has all events. hookmux reads it, and removes what all sinks have.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

pub(crate) const PREFIX: &str = "cursor.";

pub(crate) struct Cursor {
    path: PathBuf,
    value: u64,
    written: Option<u64>,
    /// the time of its file
    time: (i64, i64),
    /// handed out, and not yet done
    open: BTreeSet<u64>,
    /// the highest that was handed out
    highest: u64,
}

impl Cursor {
    /// Reads the sink's cursor, or begins one. The error of a file that is no cursor is returned beside: then all
    /// that is in the outbox is sent again, and each event keeps its id.
    pub(crate) fn open(directory: &Path, sink: &str) -> io::Result<(Self, Option<String>)> {
        let path = directory.join(format!("{PREFIX}{sink}"));
        let mut odd = None;
        let value = match crate::outbox::read(&path) {
            Ok(bytes) => parse(&bytes).unwrap_or_else(|| {
                odd = Some(format!(
                    "{} holds no number of 20 digits: what is in the outbox is sent again",
                    path.display()
                ));
                0
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => {
                return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display())));
            }
        };
        let time = std::fs::symlink_metadata(&path)
            .map_or((0, 0), |file| (file.mtime(), file.mtime_nsec()));
        let mut cursor =
            Self { path, value, written: None, time, open: BTreeSet::new(), highest: value };
        if time == (0, 0) || odd.is_some() {
            cursor.save()?;
        } else {
            cursor.written = Some(value);
        }
        Ok((cursor, odd))
    }

    pub(crate) fn value(&self) -> u64 {
        self.value
    }

    /// The value in its file, and when that was written; nothing while it is behind.
    pub(crate) fn on_disk(&self) -> Option<(u64, (i64, i64))> {
        (self.written == Some(self.value)).then_some((self.value, self.time))
    }

    /// How many are on their way.
    pub(crate) fn open_count(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn hand_out(&mut self, number: u64) {
        self.open.insert(number);
        self.highest = self.highest.max(number);
    }

    pub(crate) fn done(&mut self, number: u64) {
        self.open.remove(&number);
        self.value = self.open.first().map_or(self.highest, |first| first - 1);
    }

    pub(crate) fn go_back(&mut self, value: u64) {
        self.open.clear();
        self.value = value;
        self.highest = value;
    }

    /// Writes it, where it has changed.
    pub(crate) fn save(&mut self) -> io::Result<()> {
        if self.written == Some(self.value) {
            return Ok(());
        }
        replace(&self.path, format!("{:020}\n", self.value).as_bytes(), 0o644)?;
        let file = std::fs::symlink_metadata(&self.path)?;
        self.time = (file.mtime(), file.mtime_nsec());
        self.written = Some(self.value);
        Ok(())
    }
}

/// The number in a cursor's bytes.
pub(crate) fn parse(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    if text.len() != 20 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Puts a file into its place by rename.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let new = path.with_file_name(format!(".{name}.new"));
    let _ = std::fs::remove_file(&new);
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
    file.write_all(bytes)?;
    drop(file);
    std::fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_cursor_is_20_digits_and_a_newline() {
        assert_eq!(parse(b"00000000000000000042\n"), Some(42));
        for wrong in [
            &b""[..],
            b"42\n",
            b"00000000000000000042",
            b"0000000000000000004x\n",
            b"-0000000000000000042\n",
        ] {
            assert_eq!(parse(wrong), None);
        }
    }
}
