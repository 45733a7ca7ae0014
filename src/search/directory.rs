//! Finds the hooks of an event in all roots: which there are, which mask others, and which files aren't hooks.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::machine::files;
use crate::search::{EntryState, companion};
use crate::trust::Trust;

/// Suffixes of files that package managers and editors leave behind.
const LEFTOVER_SUFFIXES: &[&str] =
    &["~", ".bak", ".orig", ".rej", ".swp", ".rpmsave", ".rpmnew", ".rpmorig"];
const LEFTOVER_INFIXES: &[&str] = &[".dpkg-", ".ucf-"];

/// An entry that was found in an event directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundEntry {
    pub name: OsString,
    pub path: PathBuf,
    /// Index into the roots.
    pub root: usize,
    pub state: EntryState,
}

/// A path that exists and can't be read.
#[derive(Debug)]
pub struct UnreadablePath {
    pub path: PathBuf,
    pub error: io::Error,
}

/// Returns all entries for an event in byte order of their names; for equal names, the entry in the higher root
/// comes first. What lies beside hooks and clearly is none isn't among them. `roots` are in order of precedence.
///
/// # Errors
/// A directory exists and can't be read: its hooks are unknown.
pub(crate) fn entries<'a>(
    roots: impl IntoIterator<Item = &'a Path>,
    event: &str,
) -> Result<Vec<FoundEntry>, UnreadablePath> {
    entries_by(roots, event, &|path| {
        let state = state(path);
        (!companion::is_companion(path, &state)).then_some(state)
    })
}

/// Returns all entries as [`entries`] does, with another function for the state of a file: `None` leaves it
/// out.
///
/// # Errors
/// As [`entries`].
pub(crate) fn entries_by<'a>(
    roots: impl IntoIterator<Item = &'a Path>,
    event: &str,
    judge: &dyn Fn(&Path) -> Option<EntryState>,
) -> Result<Vec<FoundEntry>, UnreadablePath> {
    let mut by_name: BTreeMap<OsString, Vec<FoundEntry>> = BTreeMap::new();
    for (root, base) in roots.into_iter().enumerate() {
        let path = base.join(event);
        let Some(names) = names(&path)? else { continue };
        for name in names {
            let path = path.join(&name);
            let leftover = leftover_reason(&name).map(EntryState::Skipped);
            let Some(mut state) = leftover.or_else(|| judge(&path)) else { continue };
            let equals = by_name.entry(name.clone()).or_default();
            // a mask needs the same trust as what it hides
            if hides(&state) && !is_trusted_entry(&path) {
                state = EntryState::Skipped(
                    "users other than root could have put it there: it hides nothing",
                );
            }
            // what isn't a hook masks nothing
            let above = equals.iter().find(|above| masks(&above.state));
            if let Some(above) = above.filter(|_| masks(&state)) {
                state = EntryState::Masked(above.path.clone());
            }
            equals.push(FoundEntry { name, path, root, state });
        }
    }
    Ok(by_name.into_values().flatten().collect())
}

/// Tells whether an entry masks others of its name: what isn't a hook doesn't.
fn masks(state: &EntryState) -> bool {
    !matches!(state, EntryState::Skipped(_) | EntryState::Dangling)
}

/// Tells whether an entry does nothing itself, but keeps others of its name from running.
fn hides(state: &EntryState) -> bool {
    matches!(state, EntryState::Disabled(_) | EntryState::NotExecutable)
}

fn is_trusted_entry(path: &Path) -> bool {
    Trust::new(nix::unistd::geteuid().as_raw()).entry(path).is_ok()
}

/// Returns the names in a directory; `None` where there is no such directory.
///
/// # Errors
/// As of `opendir(3)` and `readdir(3)`; a dangling link is an error, since its target is
/// unknown.
pub(crate) fn names(path: &Path) -> Result<Option<Vec<OsString>>, UnreadablePath> {
    let unreadable = |error| UnreadablePath { path: path.to_path_buf(), error };
    // most often there is none, and this one look tells that: a dangling link is there
    if fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(None);
    }
    match files::read_dir(path) {
        Ok(list) => list
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<Result<_, _>>()
            .map(Some)
            .map_err(unreadable),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let is_link = fs::symlink_metadata(path).is_ok();
            if is_link { Err(unreadable(error)) } else { Ok(None) }
        }
        // a guest's name can be longer than a file name
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOTDIR | libc::ENAMETOOLONG)) => {
            Ok(None)
        }
        Err(error) => Err(unreadable(error)),
    }
}

/// Tells whether a root of another user is inaccessible to this one: its hooks aren't for this user.
pub(crate) fn is_inaccessible_to(root: &Path, user: u32) -> bool {
    match files::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            // one without metadata lies in a directory of another user
            fs::metadata(root).map_or(true, |found| found.uid() != user)
        }
        _ => false,
    }
}

/// Returns why a file of this name isn't a hook; `None` where it can be one.
pub(crate) fn leftover_reason(name: &OsStr) -> Option<&'static str> {
    let bytes = name.as_bytes();
    if bytes.starts_with(b".") {
        return Some("a hidden file");
    }
    let text = String::from_utf8_lossy(bytes);
    let is_leftover = LEFTOVER_SUFFIXES.iter().any(|end| text.ends_with(end))
        || LEFTOVER_INFIXES.iter().any(|infix| text.contains(infix));
    is_leftover.then_some("left behind by an editor or a package manager")
}

/// Returns the state of a file by itself.
pub(crate) fn state(path: &Path) -> EntryState {
    // it may be a hook; whether it can run is found out when it is run
    try_state(path).unwrap_or(EntryState::Active)
}

/// Returns the state of a file by itself, for hooks at calls where a failure would kill a guest: a file that can't
/// be examined doesn't count as a failing hook, but as an error of hookmux.
///
/// # Errors
/// It may exist, and can't be examined.
pub(crate) fn try_state(path: &Path) -> Result<EntryState, UnreadablePath> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG | libc::ELOOP)
            ) =>
        {
            return Ok(EntryState::Dangling);
        }
        Err(error) => return Err(UnreadablePath { path: path.to_path_buf(), error }),
    };
    if is_null_device(&metadata) {
        return Ok(EntryState::Disabled("a link to /dev/null"));
    }
    if metadata.is_dir() {
        return Ok(EntryState::Skipped("a directory; event directories are not recursive"));
    }
    if !metadata.is_file() {
        return Ok(EntryState::Skipped("not a regular file"));
    }
    if metadata.len() == 0 {
        return Ok(EntryState::Disabled("it is empty"));
    }
    if !files::has_x_bit(&metadata) {
        return Ok(EntryState::NotExecutable);
    }
    Ok(EntryState::Active)
}

/// Tells whether this is `/dev/null`, by its device numbers.
fn is_null_device(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    metadata.file_type().is_char_device() && metadata.rdev() == nix::sys::stat::makedev(1, 3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn script(path: PathBuf, text: &str, mode: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn seen(roots: &[&Path]) -> Vec<(String, usize, &'static str)> {
        entries(roots.iter().copied(), "e")
            .unwrap()
            .into_iter()
            .map(|entry| {
                (entry.name.to_string_lossy().into_owned(), entry.root, entry.state.name())
            })
            .collect()
    }

    #[test]
    fn order_is_byte_order_over_all_roots_and_higher_roots_mask() {
        let directory = tempfile::tempdir().unwrap();
        let (high, low) = (directory.path().join("high"), directory.path().join("low"));
        for name in ["10-b", "9", "Z", "a", "_"] {
            script(high.join("e").join(name), "#!", 0o755);
        }
        for name in ["10-b", "A", "5", "a.sh"] {
            script(low.join("e").join(name), "#!", 0o755);
        }
        script(high.join("e/5"), "", 0o755);
        let names: Vec<_> = seen(&[&high, &low]);
        let expected = [
            ("10-b", 0, "active"),
            ("10-b", 1, "masked"),
            ("5", 0, "disabled"),
            ("5", 1, "masked"),
            ("9", 0, "active"),
            ("A", 1, "active"),
            ("Z", 0, "active"),
            ("_", 0, "active"),
            ("a", 0, "active"),
            ("a.sh", 1, "active"),
        ];
        assert_eq!(names, expected.map(|(n, r, s)| (n.to_owned(), r, s)));
    }

    #[test]
    fn what_is_no_hook_is_passed_over_and_masks_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (high, low) = (directory.path().join("high"), directory.path().join("low"));
        script(low.join("e/x"), "#!", 0o755);
        script(low.join("e/y"), "#!", 0o755);
        for name in [
            ".h",
            "a~",
            "a.bak",
            "a.orig",
            "a.rej",
            "a.swp",
            "a.rpmsave",
            "a.rpmnew",
            "a.rpmorig",
            "a.dpkg-old",
            "a.ucf-dist",
        ] {
            script(high.join("e").join(name), "#!", 0o755);
        }
        script(high.join("e/plain"), "#!", 0o644);
        fs::create_dir(high.join("e/x")).unwrap();
        symlink("/dev/null", high.join("e/y")).unwrap();
        symlink("nowhere", high.join("e/z")).unwrap();
        let states: Vec<_> = seen(&[&high, &low])
            .into_iter()
            .filter(|(_, _, state)| *state != "skipped" && *state != "a link to nothing")
            .collect();
        let expected = [
            ("plain", 0, "not executable"),
            ("x", 1, "active"),
            ("y", 0, "disabled"),
            ("y", 1, "masked"),
        ];
        assert_eq!(states, expected.map(|(n, r, s)| (n.to_owned(), r, s)));
    }

    #[test]
    fn a_mask_that_others_could_have_made_hides_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (high, low) = (directory.path().join("high"), directory.path().join("low"));
        script(low.join("e/x"), "#!", 0o755);
        fs::create_dir_all(high.join("e")).unwrap();
        symlink("/dev/null", high.join("e/x")).unwrap();
        assert_eq!(seen(&[&high, &low])[1].2, "masked");
        fs::set_permissions(high.join("e"), fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(
            seen(&[&high, &low]),
            [("x".to_owned(), 0, "skipped"), ("x".to_owned(), 1, "active")]
        );
    }

    #[test]
    fn a_link_that_leads_nowhere_is_no_silence() {
        let directory = tempfile::tempdir().unwrap();
        symlink("nowhere", directory.path().join("e")).unwrap();
        assert!(entries([directory.path()], "e").is_err());
    }

    #[test]
    fn no_directory_is_no_hook() {
        assert_eq!(seen(&[Path::new("/nonexistent")]), []);
    }
}
