//! Checks the directories of hookmux, and libvirt's directory of managed saves.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use super::finding::{Code, Findings, Fix, with_suffix, words};
use super::survey::Survey;
use crate::config::Surroundings;
use crate::machine::files;
use crate::record::store;
use crate::record::texts::Texts;
use crate::state::{Dir, DirRefusal};
use crate::trust::Trust;
use crate::undo::ledger::Ledger;

/// The free space below which a warning is given. A guest's document has some KiB, a record may have some
/// hundred KiB, and guest state must never be lost for want of space.
const MIN_FREE_BYTES: u64 = 16 * 1024 * 1024;

/// How many of hookmux's own files are checked.
const MAX_FILES: usize = 20_000;

/// ramfs, the kernel's other file system in memory (`linux/magic.h`).
const RAMFS_MAGIC: u32 = 0x8584_58f6;

pub(super) fn examine(survey: &Survey<'_>, surroundings: &Surroundings, findings: &mut Findings) {
    let settings = survey.settings;
    // for a session daemon nothing runs, so nothing is written
    if !surroundings.is_root() && !settings.session {
        return;
    }
    for (key, dir) in [("state_dir", &settings.state_dir), ("runtime_dir", &settings.runtime_dir)] {
        // a directory of other users is reported as not trusted, and nothing is written there
        if dir
            .judge()
            .as_ref()
            .err()
            .and_then(DirRefusal::of)
            .is_none_or(|shut| !shut.is_of_others())
        {
            own(survey, key, dir.unchecked_path(), findings);
        }
    }
    in_memory(settings.runtime_dir.unchecked_path(), findings);
    odd_files(survey, findings);
    let saves = &settings.save_dir;
    if saves.exists() {
        let loss = "no changed document can be answered at restore, as managed saves can't get their second name";
        usable(survey, "save_dir", saves, loss, findings);
    }
}

/// Reports files in hookmux's own directories that aren't read because others could have made them.
fn odd_files(survey: &Survey<'_>, findings: &mut Findings) {
    let settings = survey.settings;
    let (state, run) = (&settings.state_dir, &settings.runtime_dir);
    let records = state.child("records");
    let groups = records.names().unwrap_or_default();
    let groups = groups.iter().filter(|name| name.len() == store::GROUP_CHARS);
    let places = ["guests", "pending", "locks", "daemons", "records", "records/running"];
    let mut dirs: Vec<Dir> = places.iter().map(|name| below(run, name)).collect();
    let more = ["records/done", "records/events", "records/unkept"];
    dirs.extend(more.iter().map(|name| below(run, name)));
    for records in [below(run, "records"), records.clone()] {
        dirs.push(Texts::new(&records).directory().clone());
    }
    let ledger = Ledger::new(run);
    dirs.extend(ledger.directories());
    dirs.extend([state.child("last-good"), state.child("cache"), state.child("outbox")]);
    dirs.extend(groups.map(|name| records.child(name)));
    dirs.push(records);
    let files = dirs.iter().flat_map(|dir| {
        // directories that aren't used are reported elsewhere
        dir.names().unwrap_or_default().into_iter().map(move |name| (dir, name))
    });
    // a host with many records has thousands of them
    let paths: HashSet<&Path> = dirs.iter().map(Dir::unchecked_path).collect();
    for (dir, name) in files.take(MAX_FILES) {
        let is_place = paths.contains(dir.unchecked_path().join(&name).as_path());
        let error = match dir.open(&name) {
            // files of guests and of undos are reported elsewhere
            _ if is_place || is_of_guest(dir, &name) || ledger.is_entry(dir, &name) => continue,
            Ok((_, metadata)) if metadata.len() > store::MAX_RECORD_BYTES => {
                "it is larger than anything that hookmux writes there".to_owned()
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => error.to_string(),
            Ok(_) if name.to_string_lossy().ends_with(".odd") => "it was put aside".to_owned(),
            _ => continue,
        };
        let path = dir.unchecked_path().join(&name);
        let words = format!("{} isn't read: {error}", path.display());
        findings.add(Code::OddFile, &path, words, Fix::run(&words!["rm", "-r", &path]));
    }
}

fn is_of_guest(dir: &Dir, name: &OsStr) -> bool {
    let is_theirs = ["guests", "pending"].iter().any(|place| dir.unchecked_path().ends_with(place));
    is_theirs && name.as_encoded_bytes().ends_with(b".json")
}

fn below(dir: &Dir, path: &str) -> Dir {
    path.split('/').fold(dir.clone(), |dir, name| dir.child(name))
}

/// Checks a directory that hookmux makes for itself.
fn own(survey: &Survey<'_>, key: &str, path: &Path, findings: &mut Findings) {
    let loss = "no guest state is kept, and no detached hook is queued";
    if path.symlink_metadata().is_ok() {
        usable(survey, key, path, loss, findings);
        private(survey, key, path, findings);
        return;
    }
    // it is made at the first call, if that is possible
    let mut all_above = path.ancestors().skip(1);
    let Some(above) = all_above.find(|above| above.symlink_metadata().is_ok()) else { return };
    if let Err(error) = access(above, AccessFlags::W_OK | AccessFlags::X_OK) {
        let error = std::io::Error::from(error);
        let words = format!("{key} {} can't be made: {error}; {loss}", path.display());
        findings.add(Code::NotWritable, path, words, fix_of(survey, key, above, &error));
    }
}

fn usable(survey: &Survey<'_>, key: &str, path: &Path, loss: &str, findings: &mut Findings) {
    let shown = path.display();
    if !path.is_dir() {
        let words = format!("{key} {shown} is not a directory: {loss}");
        // libvirt makes its own directory
        let fix = match key {
            "save_dir" => {
                format!("set `{key}` in hookmux.yaml to where libvirt keeps saves").into()
            }
            _ => Fix::all(&[
                words!["mv", "-n", path, with_suffix(path, ".old")],
                words!["mkdir", "-m", "700", path],
            ]),
        };
        return findings.add(Code::NotADirectory, path, words, fix);
    }
    let tried = match survey.makes_files {
        true => try_to_write(path),
        false => access(path, AccessFlags::W_OK | AccessFlags::X_OK).map_err(io::Error::from),
    };
    if let Err(error) = tried {
        let words = format!("{key} {shown} can't be written to: {error}; {loss}");
        findings.add(Code::NotWritable, path, words, fix_of(survey, key, path, &error));
        return;
    }
    let Ok(system) = statvfs(path) else { return };
    let free = system.blocks_available().saturating_mul(system.fragment_size());
    let has_inodes = system.files() == 0 || system.files_available() > 64;
    if system.blocks() > 0 && (free < MIN_FREE_BYTES || !has_inodes) {
        let left = if has_inodes { format!("{} KiB", free / 1024) } else { "no inodes".to_owned() };
        let words = format!("{key} {shown} has {left} left: when it is full, {loss}");
        findings.add(Code::LittleSpace, path, words, Fix::run(&words!["df", "-h", path]));
    }
}

/// Tries to write a file, as the mode doesn't tell whether root can.
fn try_to_write(path: &Path) -> std::io::Result<()> {
    let file = path.join(format!(".hookmux-check.{}", std::process::id()));
    let created = files::create_private(&file);
    let removed = files::remove(&file);
    created?;
    removed
}

/// Returns what to do. Owner and mode are only changed for hookmux's own directories, never for mount
/// points.
fn fix_of(survey: &Survey<'_>, key: &str, path: &Path, error: &std::io::Error) -> Fix {
    match error.kind() {
        std::io::ErrorKind::StorageFull => Fix::run(&words!["df", "-h", path]),
        std::io::ErrorKind::PermissionDenied if survey.ground().has(path) => {
            Fix::all(&[words!["chmod", "u+rwx", path], words!["chown", "root", path]])
        }
        _ => format!("set `{key}` in hookmux.yaml to a directory that root can write to").into(),
    }
}

/// Reports a directory that others can list, as it has documents of guests. One that others could change is
/// reported as not trusted.
fn private(survey: &Survey<'_>, key: &str, path: &Path, findings: &mut Findings) {
    if !path.is_dir() || Trust::new(survey.user).directory(path).is_err() {
        return;
    }
    if fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o066 != 0) {
        let words = format!(
            "{key} {} can be listed by others; hookmux makes it so that they can only pass through",
            path.display()
        );
        findings.add(Code::OpenDirectory, path, words, Fix::run(&words!["chmod", "go-rw", path]));
    }
}

/// Reports a runtime directory on a disk: a disk that hangs must not block a guest's start.
fn in_memory(path: &Path, findings: &mut Findings) {
    let Some(there) = path.ancestors().find(|part| part.is_dir()) else { return };
    let Ok(system) = statfs(there) else { return };
    let kind = system.filesystem_type();
    if kind != TMPFS_MAGIC && !u32::try_from(kind.0).is_ok_and(|magic| magic == RAMFS_MAGIC) {
        let words = format!(
            "runtime_dir {} is not in memory: a slow disk slows every call down",
            path.display()
        );
        let fix = "set `runtime_dir` in hookmux.yaml to a directory below /run".to_owned();
        findings.add(Code::RuntimeOnDisk, path, words, fix);
    }
}
