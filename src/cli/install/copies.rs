//! A driver's copy of the program, and moving whole files between directories that may be on different
//! file systems.

use std::fs::{self, File, FileTimes, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::libvirt::driver::DEFAULT_HOOKS_DIR;
use crate::libvirt::{Driver, program};
use crate::machine::files::{self, Rights};
use crate::machine::{own_binary, sys};

/// The file at the path of a driver's copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DriverCopy {
    pub path: PathBuf,
    /// Whether it is hookmux, of any version.
    pub is_ours: bool,
}

/// Tells whether this hooks directory uses copies.
pub(crate) fn are_for(hooks_dir: &Path) -> bool {
    let default = Path::new(DEFAULT_HOOKS_DIR);
    let is_same = || Some(fs::canonicalize(hooks_dir).ok()? == fs::canonicalize(default).ok()?);
    hooks_dir == default || is_same().unwrap_or(false)
}

/// Returns the driver's copy, if there is a file at its path.
pub(crate) fn look(driver: Driver) -> Option<DriverCopy> {
    let path = program::copy_of(driver);
    path.symlink_metadata()
        .is_ok()
        .then(|| DriverCopy { is_ours: own_binary::is_hookmux(&path), path })
}

/// Tells whether this program is the one that copies are made of.
pub(crate) fn is_source(binary: &Path) -> bool {
    fs::canonicalize(program::PROGRAM_PATH).is_ok_and(|source| source == binary)
}

/// Tells whether there is a program that copies are made of.
pub(crate) fn is_source_there() -> bool {
    own_binary::is_hookmux(Path::new(program::PROGRAM_PATH))
}

/// Tells whether an entry leads to the program that all drivers share, though it could lead to a copy.
pub(crate) fn is_shared(hooks_dir: &Path, entry: &Path) -> bool {
    let end = |path: &Path| fs::canonicalize(path).ok();
    are_for(hooks_dir)
        && entry.is_symlink()
        && end(entry).is_some_and(|entry| Some(entry) == end(Path::new(program::PROGRAM_PATH)))
}

/// Tells whether a copy has the same bytes as the program that copies are made of. If that program is
/// missing, the copy counts as current.
pub(crate) fn is_current(copy: &Path) -> bool {
    let source = Path::new(program::PROGRAM_PATH);
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

/// Returns how many bytes were appended to a copy.
pub(crate) fn appended_bytes(copy: &Path) -> Option<u64> {
    let (program, copy) = (fs::read(program::PROGRAM_PATH).ok()?, fs::read(copy).ok()?);
    let appended = copy.strip_prefix(program.as_slice())?.len();
    u64::try_from(appended).ok().filter(|bytes| *bytes > 0)
}

/// Makes or renews a driver's copy by rename: a caller gets the old one or the new one.
///
/// # Errors
/// Those of its directory; nothing was changed then.
pub(crate) fn make(driver: Driver) -> io::Result<()> {
    let (source, _) = files::open_regular(Path::new(program::PROGRAM_PATH))?;
    let copy = program::copy_of(driver);
    put(source, &copy, |file| {
        keep_label(&copy, file);
        file.set_permissions(Permissions::from_mode(0o755))
    })
}

/// Gives a new copy the SELinux context of the one that it replaces. A new file would have that of its directory, and a
/// daemon that SELinux confines could not run it until somebody says `restorecon`.
fn keep_label(old: &Path, new: &File) {
    let is_ours = !old.is_symlink() && own_binary::is_hookmux(old);
    if let Some(context) = sys::selinux_context(old).ok().flatten().filter(|_| is_ours) {
        // `check` tells where this can't be done
        let _ = sys::set_selinux_context(new, &context);
    }
}

/// Copies a script to a second path, with its owner, mode and time, by rename: a file there is replaced
/// as a whole. A link stays a link.
///
/// # Errors
/// Those of both paths; nothing was changed then.
pub(crate) fn duplicate(from: &Path, to: &Path) -> io::Result<()> {
    if from.symlink_metadata()?.is_symlink() {
        return replace_by_link(to, &fs::canonicalize(from)?);
    }
    let (source, metadata) = files::open_regular(from)?;
    put(source, to, |file| {
        Rights::of(&metadata).give(file)?;
        let times = FileTimes::new().set_modified(metadata.modified()?);
        file.set_times(times.set_accessed(metadata.accessed()?))
    })
}

/// Makes a link under a temporary name and renames it: libvirt finds the old one or the new one.
///
/// # Errors
/// Those of the directory; nothing was changed then.
pub(crate) fn replace_by_link(path: &Path, target: &Path) -> io::Result<()> {
    let temporary = files::temporary(path);
    symlink(target, &temporary)
        .and_then(|()| fs::rename(&temporary, path))
        .inspect_err(|_| drop(fs::remove_file(&temporary)))
}

/// Writes a file and then gives it its name. It is synced to the disk first, so that after a power failure
/// libvirt doesn't find half a program.
fn put(
    mut source: File,
    path: &Path,
    finish: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    files::replace_by_rename(&files::temporary(path), path, |file| {
        io::copy(&mut source, file)?;
        finish(file)?;
        file.sync_all()
    })
}

/// Removes temporary files of installations that died.
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
