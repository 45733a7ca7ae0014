//! A driver's copy of the program, and files that are moved whole between directories that may lie
//! on different file systems.

use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown, symlink};
use std::path::{Path, PathBuf};

use crate::libvirt::driver::DEFAULT_HOOKS_DIR;
use crate::libvirt::{Driver, program};
use crate::machine::{files, own_binary};

/// What lies in the place of a driver's copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DriverCopy {
    pub path: PathBuf,
    /// Whether it is a hookmux, of whatever version.
    pub is_ours: bool,
}

/// Whether copies are kept for the entries of this hooks directory.
pub(crate) fn are_for(hooks_dir: &Path) -> bool {
    let default = Path::new(DEFAULT_HOOKS_DIR);
    let is_same = || Some(fs::canonicalize(hooks_dir).ok()? == fs::canonicalize(default).ok()?);
    hooks_dir == default || is_same().unwrap_or(false)
}

/// What there is of a driver's copy.
pub(crate) fn look(driver: Driver) -> Option<DriverCopy> {
    let path = program::copy_of(driver);
    path.symlink_metadata()
        .is_ok()
        .then(|| DriverCopy { is_ours: own_binary::is_hookmux(&path), path })
}

/// Whether this program is the one that copies are made of.
pub(crate) fn is_source(binary: &Path) -> bool {
    fs::canonicalize(program::PATH).is_ok_and(|source| source == binary)
}

/// Whether there is a program that copies are made of.
pub(crate) fn is_source_there() -> bool {
    own_binary::is_hookmux(Path::new(program::PATH))
}

/// Whether an entry leads to the program that all drivers share, and needn't.
pub(crate) fn is_shared(hooks_dir: &Path, entry: &Path) -> bool {
    let end = |path: &Path| fs::canonicalize(path).ok();
    are_for(hooks_dir)
        && entry.is_symlink()
        && end(entry).is_some_and(|entry| Some(entry) == end(Path::new(program::PATH)))
}

/// Whether a copy is the same, to the byte, as the program that copies are made of. Where that one
/// isn't there, nothing can be said against the copy.
pub(crate) fn is_current(copy: &Path) -> bool {
    let source = Path::new(program::PATH);
    let bytes_of = |path: &Path| fs::metadata(path).map(|file| file.len());
    match (bytes_of(source), bytes_of(copy)) {
        (Ok(source_bytes), Ok(copy_bytes)) => {
            source_bytes == copy_bytes
                && !copy.is_symlink()
                && fs::read(source).is_ok_and(|all| fs::read(copy).is_ok_and(|copy| copy == all))
        }
        (Err(_), Ok(_)) => true,
        (_, Err(_)) => false,
    }
}

/// How many bytes a copy has beyond the program that it is a copy of.
pub(crate) fn appended_bytes(copy: &Path) -> Option<u64> {
    let (program, copy) = (fs::read(program::PATH).ok()?, fs::read(copy).ok()?);
    let appended = copy.strip_prefix(program.as_slice())?.len();
    u64::try_from(appended).ok().filter(|bytes| *bytes > 0)
}

/// Makes or renews a driver's copy by rename: who calls it gets the old one or the new one.
///
/// # Errors
/// Those of the directory that it lies in; nothing was changed then.
pub(crate) fn make(driver: Driver) -> io::Result<()> {
    let (source, _) = files::open_regular(Path::new(program::PATH))?;
    put(source, &program::copy_of(driver), |file| {
        file.set_permissions(Permissions::from_mode(0o755))
    })
}

/// Gives a script a second place, with its owner, mode and time, by rename: what was there is replaced
/// whole. A link stays a link.
///
/// # Errors
/// Those of both places; nothing was changed then.
pub(crate) fn duplicate(from: &Path, to: &Path) -> io::Result<()> {
    if from.symlink_metadata()?.is_symlink() {
        return replace_by_link(to, &fs::canonicalize(from)?);
    }
    let (source, metadata) = files::open_regular(from)?;
    put(source, to, |file| {
        fchown(file, Some(metadata.uid()), Some(metadata.gid()))?;
        file.set_permissions(Permissions::from_mode(metadata.mode() & 0o7777))?;
        let times = FileTimes::new().set_modified(metadata.modified()?);
        file.set_times(times.set_accessed(metadata.accessed()?))
    })
}

/// A link under a name of its own, then renamed: libvirt finds the old one or the new one.
///
/// # Errors
/// Those of the directory; nothing was changed then.
pub(crate) fn replace_by_link(path: &Path, target: &Path) -> io::Result<()> {
    let temporary = temporary(path);
    symlink(target, &temporary)
        .and_then(|()| fs::rename(&temporary, path))
        .inspect_err(|_| drop(fs::remove_file(&temporary)))
}

/// Fills a file, and gives it its name last. It reaches the disk first: after a power cut libvirt
/// must not find half a program.
fn put(
    mut source: File,
    path: &Path,
    finish: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    let temporary = temporary(path);
    let _ = fs::remove_file(&temporary);
    let write = || {
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        io::copy(&mut source, &mut file)?;
        finish(&file)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, path)
    };
    write().inspect_err(|_| drop(fs::remove_file(&temporary)))
}

/// Removes what installations died over.
pub(crate) fn sweep(driver: Driver) {
    let copy = program::copy_of(driver);
    let prefix = format!("{}.", copy.display());
    for entry in copy.parent().and_then(|parent| fs::read_dir(parent).ok()).into_iter().flatten() {
        let Ok(path) = entry.map(|entry| entry.path()) else { continue };
        let number =
            path.to_str().and_then(|path| path.strip_prefix(&prefix)?.strip_suffix(".new"));
        if number.is_some_and(|number| number.parse::<u32>().is_ok()) {
            let _ = fs::remove_file(path);
        }
    }
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}
