//! What execve(2) would say of a file, by its path, its mode, its mount and its beginning.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};

use super::head::{Asked, BEGINNING_BYTES, Head, Line, head};
use super::obstacle::{Cause, Obstacle};
use super::walker::{EXECUTE, READ, Walker};
use super::{binfmt, elf, shell_text};
use crate::machine::files;
use crate::process::DEFAULT_PATH;

/// How many interpreters that are scripts themselves Linux follows.
const MAX_DEPTH: usize = 5;

/// Whether the kernel would start a program.
///
/// # Errors
/// What is in the way.
pub(super) fn start(path: &Path, walker: Walker<'_>) -> Result<(), Obstacle> {
    let mut at = path.to_path_buf();
    for depth in 0..=MAX_DEPTH {
        let of = (depth > 0).then(|| at.clone());
        let refused = |cause: Cause| Obstacle { cause, of: of.clone() };
        reach(&at, walker).map_err(refused)?;
        // nobody knows what is in a file that can't be read
        let Some(beginning) = beginning(&at) else { return Ok(()) };
        match head(&beginning) {
            Head::Script(line) => at = interpreter_of(line),
            Head::Program => {
                let loader = elf::loader(&at).map_err(refused)?;
                return match loader {
                    Some(loader) => reach(&loader, walker)
                        .map_err(|cause| Obstacle { cause, of: Some(loader.clone()) }),
                    None => Ok(()),
                };
            }
            Head::None | Head::Marked if binfmt::takes(&at, &beginning) => return Ok(()),
            Head::None => return Err(refused(Cause::NotProgram)),
            Head::Marked => return Err(refused(Cause::Marked)),
        }
    }
    Err(Obstacle { cause: Cause::TooDeep, of: Some(at) })
}

/// Whether a shell would run a file that the kernel has refused for this.
pub(super) fn shell(path: &Path, refused: Obstacle) -> Option<Obstacle> {
    if !beginning(path).is_some_and(|bytes| shell_text::is_text(&bytes)) {
        return Some(refused);
    }
    let shell = Path::new(OsStr::from_bytes(shell_text::program().to_bytes()));
    let obstacle = start(shell, Walker::of(0)).err()?;
    Some(Obstacle { of: Some(shell.to_path_buf()), ..obstacle })
}

/// What its interpreter would say of a script that the kernel starts. `search` is the PATH that it is
/// started with.
pub(super) fn interpreter(
    path: &Path,
    walker: Walker<'_>,
    search: Option<&OsStr>,
) -> Option<Obstacle> {
    let beginning = beginning(path)?;
    let Head::Script(line) = head(&beginning) else { return None };
    if !walker.may(path, READ) {
        return Some(Obstacle::new(Cause::Unreadable));
    }
    let directories = directories(search);
    match line.by_env() {
        Asked::Nothing => None,
        Asked::OneWord(words) => Some(Obstacle::new(Cause::OneWord(words))),
        Asked::Program(name) => match found_by_env(&name, &directories) {
            Some(_) => None,
            None => Some(Obstacle::new(Cause::NotInPath { name, search: directories })),
        },
    }
}

/// All programs that read a script, the first one first: its interpreter, and what `env` finds.
pub(crate) fn interpreters(path: &Path, search: Option<&OsStr>) -> Vec<PathBuf> {
    let Some(beginning) = beginning(path) else { return Vec::new() };
    let Head::Script(line) = head(&beginning) else { return Vec::new() };
    let by_env = match line.by_env() {
        Asked::Program(name) => found_by_env(&name, &directories(search)),
        Asked::Nothing | Asked::OneWord(_) => None,
    };
    [interpreter_of(line)].into_iter().chain(by_env).collect()
}

/// Hooks begin in `/`.
fn interpreter_of(line: Line<'_>) -> PathBuf {
    Path::new("/").join(OsStr::from_bytes(line.interpreter))
}

/// Where `env` looks. The PATH of whoever asks is no service's: a service's usual one counts beside it.
fn directories(search: Option<&OsStr>) -> OsString {
    let own = env::var_os("PATH");
    match search {
        Some(search) if own.as_deref() != Some(search) => search.to_owned(),
        _ => {
            let mut both = OsString::from(DEFAULT_PATH);
            both.extend(
                own.filter(|own| !own.is_empty())
                    .iter()
                    .flat_map(|own| [OsStr::new(":"), own.as_os_str()]),
            );
            both
        }
    }
}

fn found_by_env(name: &OsStr, directories: &OsStr) -> Option<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Some(Path::new("/").join(name)).filter(|path| files::is_executable(path));
    }
    env::split_paths(directories)
        .map(|directory| Path::new("/").join(directory).join(name))
        .find(|path| files::is_executable(path))
}

/// Whether a user gets to a file and may execute it.
fn reach(path: &Path, walker: Walker<'_>) -> Result<(), Cause> {
    let file = match fs::metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let is_link = path.symlink_metadata().is_ok();
            return Err(if is_link { Cause::Dangling } else { Cause::Missing });
        }
        // another user's daemon may get there
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return match walker.user == nix::unistd::geteuid().as_raw() {
                true => Err(Cause::Kernel(libc::EACCES)),
                false => Ok(()),
            };
        }
        Err(error) => return Err(Cause::Kernel(error.raw_os_error().unwrap_or(libc::EIO))),
    };
    if let Some(by) = walker.shut_out_by(path) {
        return Err(Cause::Shut(by));
    }
    if !file.is_file() {
        return Err(Cause::NotRegular);
    }
    if !files::has_x_bit(&file) {
        return Err(Cause::NoXBit);
    }
    if !walker.may(path, EXECUTE) {
        return Err(Cause::Shut(path.to_path_buf()));
    }
    let flags = statvfs(path).map(|system| system.flags());
    if flags.is_ok_and(|flags| flags.contains(FsFlags::ST_NOEXEC)) {
        return Err(Cause::Noexec);
    }
    Ok(())
}

fn beginning(path: &Path) -> Option<Vec<u8>> {
    files::read_beginning(path, BEGINNING_BYTES as u64).ok()
}
