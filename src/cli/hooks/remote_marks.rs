//! What became of events of other hosts here: so that one that comes again isn't run again where all went well, and
//! hooks know when it is. A file for each event, which is locked while its hooks run.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::machine::files;
use crate::machine::locks::{self, FileLock};
use crate::state::{Dir, format};

const DIRECTORY: &str = "remote";
/// The version of the format of a mark.
const FORMAT: u32 = 1;
const MAX_FILE_BYTES: u64 = 4096;
/// How long marks are kept at least: as long as a stream keeps events that weren't taken.
const MAX_AGE: Duration = Duration::from_secs(8 * 24 * 3600);
const MAX_MARKS: usize = 200_000;
/// The file whose time says when old marks were last removed, and how often that is done.
const SWEPT: &str = ".swept";
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum MarkState {
    Begun,
    Done,
    Failed,
    /// A word that only another version knows.
    #[default]
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Written {
    format: u32,
    state: MarkState,
}

/// The mark of an event whose hooks may run now.
pub(super) struct Mark {
    file: FileLock,
    /// Whether its hooks have been started before.
    pub is_again: bool,
}

/// What is known of an event.
pub(super) enum Earlier {
    /// Its hooks may run.
    Free(Mark),
    /// All its hooks have succeeded.
    Done,
    /// Its hooks run at this moment.
    Runs,
}

/// Looks at an event, and marks it as begun where its hooks may run.
///
/// # Errors
/// The directory can't be used.
pub(super) fn begin(state_dir: &Dir, host: &str, id: &str) -> io::Result<Earlier> {
    let directory = state_dir.child(DIRECTORY);
    directory.make()?;
    sweep(&directory);
    // two hosts could send the same id
    let hash = files::sha256(host.as_bytes());
    let name = format!("{id}-{}", hash.get(..16).unwrap_or_default());
    drop(directory.append(&name)?);
    let Some(mut file) = locks::try_lock(directory.update(&name)?)? else {
        return Ok(Earlier::Runs);
    };
    let mut text = Vec::new();
    Read::by_ref(&mut *file).take(MAX_FILE_BYTES).read_to_end(&mut text)?;
    let is_again = !text.is_empty();
    let written: Written = format::read_object(&text).unwrap_or_default();
    if written.state == MarkState::Done {
        return Ok(Earlier::Done);
    }
    write(&mut file, MarkState::Begun)?;
    Ok(Earlier::Free(Mark { file, is_again }))
}

impl Mark {
    /// Notes how the hooks ended.
    ///
    /// # Errors
    /// As of `write(2)`.
    pub(super) fn end(mut self, is_good: bool) -> io::Result<()> {
        write(&mut self.file, if is_good { MarkState::Done } else { MarkState::Failed })
    }
}

fn write(file: &mut File, state: MarkState) -> io::Result<()> {
    let mut text = serde_json::to_vec(&Written { format: FORMAT, state })?;
    text.push(b'\n');
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&text)
}

/// Removes old marks now and then.
fn sweep(directory: &Dir) {
    let age = |name: &str| -> Option<Duration> {
        let modified = directory.entry_metadata(name).and_then(|file| file.modified()).ok()?;
        SystemTime::now().duration_since(modified).ok()
    };
    if age(SWEPT).is_some_and(|age| age < SWEEP_INTERVAL) {
        return;
    }
    // what can't be removed stays
    let _ = directory.replace(SWEPT, b"\n");
    let names = directory.names().unwrap_or_default().into_iter();
    let mut marks: Vec<String> = names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    marks.sort_unstable();
    let too_many = marks.len().saturating_sub(MAX_MARKS);
    for (place, name) in marks.iter().enumerate() {
        if place < too_many || age(name).is_some_and(|age| age > MAX_AGE) {
            let _ = directory.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_done_once_and_begun_until_then() {
        let directory = tempfile::tempdir().unwrap();
        let dir = Dir::of_test(directory.path());
        let id = "01ARYZ6S410000000000000000";
        let Earlier::Free(mark) = begin(&dir, "a", id).unwrap() else { panic!("free") };
        assert!(!mark.is_again);
        assert!(matches!(begin(&dir, "a", id).unwrap(), Earlier::Runs));
        // of another host
        assert!(matches!(begin(&dir, "b", id).unwrap(), Earlier::Free(_)));
        mark.end(false).unwrap();
        let Earlier::Free(mark) = begin(&dir, "a", id).unwrap() else { panic!("free") };
        assert!(mark.is_again);
        drop(mark);
        let Earlier::Free(mark) = begin(&dir, "a", id).unwrap() else { panic!("free") };
        mark.end(true).unwrap();
        assert!(matches!(begin(&dir, "a", id).unwrap(), Earlier::Done));
        let old = SystemTime::now() - MAX_AGE - Duration::from_secs(60);
        let marks = dir.child(DIRECTORY);
        for name in marks.names().unwrap() {
            File::options()
                .append(true)
                .open(marks.unchecked_path().join(name))
                .unwrap()
                .set_modified(old)
                .unwrap();
        }
        let Earlier::Free(mark) = begin(&dir, "a", id).unwrap() else { panic!("free") };
        assert!(!mark.is_again, "it was swept");
    }
}
