//! A sink's cursor: the number up to which it has all events, and in which numbering. hookmux reads it, and removes
//! what all sinks have.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub(crate) const PREFIX: &str = "cursor.";

pub(crate) struct Cursor {
    path: PathBuf,
    value: u64,
    /// which numbering of hookmux's it is, once that is known
    epoch: Option<String>,
    /// what its file has
    written: Option<String>,
    /// handed out, and not yet done
    open: BTreeSet<u64>,
    /// the highest that was handed out
    highest: u64,
    /// another numbering is to begin: the value stays until then
    frozen: bool,
}

impl Cursor {
    /// Reads the sink's cursor, or begins one. The error of a file that is no cursor is returned beside: then all
    /// that is in the outbox is sent again, and each event keeps its id.
    pub(crate) fn open(directory: &Path, sink: &str) -> io::Result<(Self, Option<String>)> {
        let path = directory.join(format!("{PREFIX}{sink}"));
        let mut odd = None;
        let mut written = None;
        let (value, epoch) = match crate::outbox::read(&path) {
            Ok(bytes) => match parse(&bytes) {
                Some(parsed) => {
                    written = String::from_utf8(bytes).ok();
                    parsed
                }
                None => {
                    odd = Some(format!(
                        "{} holds no number of 20 digits: what is in the outbox is sent again",
                        path.display()
                    ));
                    (0, None)
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => (0, None),
            Err(error) => {
                return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display())));
            }
        };
        let mut cursor = Self {
            path,
            value,
            epoch,
            written,
            open: BTreeSet::new(),
            highest: value,
            frozen: false,
        };
        cursor.save()?;
        Ok((cursor, odd))
    }

    pub(crate) fn value(&self) -> u64 {
        self.value
    }

    /// In which numbering its value is.
    pub(crate) fn epoch(&self) -> Option<&str> {
        self.epoch.as_deref()
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
        if self.frozen {
            return;
        }
        self.value = self.open.first().map_or(self.highest, |first| first - 1);
    }

    /// Goes on in another numbering, after this number.
    pub(crate) fn go_on_in(&mut self, epoch: &str, value: u64) {
        self.open.clear();
        self.epoch = Some(epoch.to_owned());
        self.value = value;
        self.highest = value;
        self.frozen = false;
    }

    /// Takes back what was handed out, and isn't on its way: it is handed out again in another numbering.
    pub(crate) fn take_back<'a>(&mut self, numbers: impl Iterator<Item = &'a u64>) {
        self.frozen = true;
        for number in numbers {
            self.open.remove(number);
        }
    }

    /// Writes it, where it has changed.
    pub(crate) fn save(&mut self) -> io::Result<()> {
        let epoch = self.epoch.as_ref().map(|epoch| format!("{epoch}\n")).unwrap_or_default();
        let text = format!("{:020}\n{epoch}", self.value);
        if self.written.as_ref() != Some(&text) {
            replace(&self.path, text.as_bytes(), 0o644)?;
            self.written = Some(text);
        }
        Ok(())
    }
}

/// The number in a cursor's bytes, and its numbering.
pub(crate) fn parse(bytes: &[u8]) -> Option<(u64, Option<String>)> {
    let (number, epoch) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
    if number.len() != 20 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let epoch = match epoch {
        "" => None,
        _ => Some(epoch.strip_suffix('\n').filter(|epoch| crate::ulid::bits(epoch).is_some())?),
    };
    Some((number.parse().ok()?, epoch.map(str::to_owned)))
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
    fn a_cursor_is_20_digits_and_a_numbering() {
        assert_eq!(parse(b"00000000000000000042\n"), Some((42, None)));
        let id = "01JDZ3M8X5Q2K7R9T4V6W8Y0AB";
        let text = format!("00000000000000000042\n{id}\n");
        assert_eq!(parse(text.as_bytes()), Some((42, Some(id.to_owned()))));
        for wrong in [
            &b""[..],
            b"42\n",
            b"00000000000000000042",
            b"0000000000000000004x\n",
            b"-0000000000000000042\n",
            b"00000000000000000042\n\n",
            b"00000000000000000042\nx\n",
            b"00000000000000000042\n01JDZ3M8X5Q2K7R9T4V6W8Y0AB",
        ] {
            assert_eq!(parse(wrong), None);
        }
    }
}
