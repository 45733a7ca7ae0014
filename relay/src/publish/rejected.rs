//! Copies of events that a sink can never take, bounded by number and size: the oldest go first.

use std::io;
use std::path::{Path, PathBuf};

const MOST: usize = 1000;
const LARGEST: u64 = 64 << 20;

pub(crate) fn directory(state_dir: &Path) -> PathBuf {
    state_dir.join("rejected")
}

/// Keeps a copy. One that is larger than all that may be kept is cut off.
pub(super) fn keep(state_dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let directory = directory(state_dir);
    std::fs::create_dir_all(&directory)?;
    let most = usize::try_from(LARGEST).unwrap_or(usize::MAX);
    crate::cursor::replace(&directory.join(name), &bytes[..bytes.len().min(most)], 0o640)?;
    let mut all = list(&directory)?;
    let mut size: u64 = all.iter().map(|(_, size)| size).sum();
    let mut count = all.len();
    all.sort();
    for (other, length) in all {
        if count <= MOST && size <= LARGEST {
            break;
        }
        if other == name {
            continue;
        }
        std::fs::remove_file(directory.join(&other))?;
        count -= 1;
        size -= length;
    }
    Ok(())
}

/// Names and sizes of what is kept.
pub(crate) fn list(directory: &Path) -> io::Result<Vec<(String, u64)>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut all = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string()
            && !name.starts_with('.')
        {
            all.push((name, entry.metadata()?.len()));
        }
    }
    Ok(all)
}
