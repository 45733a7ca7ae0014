//! Predicts the result of execve(2) for a file, from its path, mode, mount and first bytes.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::{FsFlags, statvfs};

use super::executing_user::{EXECUTE, ExecutingUser, READ};
use super::head::{BEGINNING_BYTES, EnvRequest, ExecutableHead, ShebangLine, head};
use super::obstacle::{ObstacleCause, StartObstacle};
use super::{binfmt, elf, shell_text};
use crate::machine::files;
use crate::process::DEFAULT_PATH;

/// How many nested interpreter scripts Linux follows.
const MAX_INTERPRETER_DEPTH: usize = 5;

/// Checks whether the kernel would start a program.
///
/// # Errors
/// Why it would not.
pub(super) fn check_start(path: &Path, executor: ExecutingUser<'_>) -> Result<(), StartObstacle> {
    check_access(path, executor).map_err(StartObstacle::new)?;
    check_content(path, executor)
}

/// Checks the same, except for the file's own place and mode.
///
/// # Errors
/// Why the kernel would not start it.
pub(super) fn check_content(path: &Path, executor: ExecutingUser<'_>) -> Result<(), StartObstacle> {
    let mut at = path.to_path_buf();
    for depth in 0..=MAX_INTERPRETER_DEPTH {
        let of = (depth > 0).then(|| at.clone());
        let refused = |cause: ObstacleCause| StartObstacle { cause, of: of.clone() };
        if depth > 0 {
            check_access(&at, executor).map_err(refused)?;
        }
        // a file that can't be read can't be judged
        let Some(beginning) = beginning(&at) else { return Ok(()) };
        match head(&beginning) {
            ExecutableHead::Script(line) => at = interpreter_of(line),
            ExecutableHead::Program => {
                let loader = elf::loader(&at).map_err(refused)?;
                return match loader {
                    Some(loader) => check_access(&loader, executor)
                        .map_err(|cause| StartObstacle { cause, of: Some(loader.clone()) }),
                    None => Ok(()),
                };
            }
            ExecutableHead::None | ExecutableHead::ByteOrderMark
                if binfmt::handles(&at, &beginning) =>
            {
                return Ok(());
            }
            ExecutableHead::None => return Err(refused(ObstacleCause::NotProgram)),
            ExecutableHead::ByteOrderMark => return Err(refused(ObstacleCause::ByteOrderMark)),
        }
    }
    Err(StartObstacle { cause: ObstacleCause::TooDeep, of: Some(at) })
}

/// Checks whether a shell would run a file that the kernel refuses. Returns why not.
pub(super) fn check_shell(path: &Path, refused: StartObstacle) -> Option<StartObstacle> {
    if !beginning(path).is_some_and(|bytes| shell_text::is_text(&bytes)) {
        return Some(refused);
    }
    let shell = Path::new(OsStr::from_bytes(shell_text::program().to_bytes()));
    let obstacle = check_start(shell, ExecutingUser::of(0)).err()?;
    Some(StartObstacle { of: Some(shell.to_path_buf()), ..obstacle })
}

/// Checks whether its interpreter could run a script that the kernel starts. Returns why not. `search`
/// is the PATH that it is started with.
pub(super) fn check_interpreter(
    path: &Path,
    executor: ExecutingUser<'_>,
    search: Option<&OsStr>,
) -> Option<StartObstacle> {
    let beginning = beginning(path)?;
    let ExecutableHead::Script(line) = head(&beginning) else { return None };
    if !executor.may(path, READ) {
        return Some(StartObstacle::new(ObstacleCause::Unreadable));
    }
    let directories = directories(search);
    match line.env_request() {
        EnvRequest::Nothing => None,
        EnvRequest::OneWord(words) => Some(StartObstacle::new(ObstacleCause::OneWord(words))),
        EnvRequest::Program(name) => match found_by_env(&name, &directories) {
            Some(_) => None,
            None => {
                Some(StartObstacle::new(ObstacleCause::NotInPath { name, search: directories }))
            }
        },
    }
}

/// Returns the programs that run a script, in order: its interpreter, and what `env` finds.
pub(crate) fn interpreters(path: &Path, search: Option<&OsStr>) -> Vec<PathBuf> {
    let Some(beginning) = beginning(path) else { return Vec::new() };
    let ExecutableHead::Script(line) = head(&beginning) else { return Vec::new() };
    let by_env = match line.env_request() {
        EnvRequest::Program(name) => found_by_env(&name, &directories(search)),
        EnvRequest::Nothing | EnvRequest::OneWord(_) => None,
    };
    [interpreter_of(line)].into_iter().chain(by_env).collect()
}

/// Returns the interpreter's path: the working directory of hooks is `/`.
fn interpreter_of(line: ShebangLine<'_>) -> PathBuf {
    Path::new("/").join(OsStr::from_bytes(line.interpreter))
}

/// Returns the directories that `env` searches. A command line's own PATH isn't that of a service, so
/// the usual PATH of services is searched first.
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

/// Checks whether a user can reach a file and execute it.
fn check_access(path: &Path, executor: ExecutingUser<'_>) -> Result<(), ObstacleCause> {
    let file = match fs::metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let is_link = path.symlink_metadata().is_ok();
            return Err(if is_link { ObstacleCause::Dangling } else { ObstacleCause::Missing });
        }
        // the daemon of another user may be able to reach it
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return match executor.user == nix::unistd::geteuid().as_raw() {
                true => Err(ObstacleCause::Kernel(libc::EACCES)),
                false => Ok(()),
            };
        }
        Err(error) => return Err(ObstacleCause::Kernel(error.raw_os_error().unwrap_or(libc::EIO))),
    };
    if let Some(by) = executor.first_blocked_directory(path) {
        return Err(ObstacleCause::NoAccess(by));
    }
    if !file.is_file() {
        return Err(ObstacleCause::NotRegular);
    }
    if !files::has_x_bit(&file) {
        return Err(ObstacleCause::NoXBit);
    }
    if !executor.may(path, EXECUTE) {
        return Err(ObstacleCause::NoAccess(path.to_path_buf()));
    }
    let flags = statvfs(path).map(|system| system.flags());
    if flags.is_ok_and(|flags| flags.contains(FsFlags::ST_NOEXEC)) {
        return Err(ObstacleCause::Noexec);
    }
    Ok(())
}

fn beginning(path: &Path) -> Option<Vec<u8>> {
    files::read_beginning(path, BEGINNING_BYTES as u64).ok()
}
