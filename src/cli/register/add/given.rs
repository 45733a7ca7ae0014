//! The files that `add` and `import` are given: which they are, and their text. Standard input counts as one.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::cli::args::{AddArgs, EXECTYPES};
use crate::config::registration::EXTENSION;
use crate::machine::files;

/// The largest file that is taken for a registration.
pub(super) const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// The name of standard input, for people.
pub(super) const STDIN: &str = "standard input";

/// Checks that the paths are there. A registration that isn't says so when it is read.
///
/// # Errors
/// One isn't. A word without a slash may be a misspelled one of `add` itself.
pub(super) fn must_be_there(arguments: &AddArgs) -> anyhow::Result<()> {
    let is_path = |path: &Path| path.as_os_str().as_encoded_bytes().contains(&b'/');
    let what = &arguments.what;
    if !is_path(what) && !is_file(what) && !what.is_dir() {
        return Ok(());
    }
    let words = [what].into_iter().chain(&arguments.reference).chain(&arguments.more);
    for path in words.filter(|path| is_path(path) && !is_file(path)) {
        let is_missing = path.symlink_metadata().is_err_and(|error| {
            matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
        });
        if is_missing {
            bail!("there is no such file or directory: {}", path.display());
        }
    }
    Ok(())
}

/// Tells whether a path has the name of a registration's file.
pub(super) fn is_file(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == EXTENSION || end == "yml")
}

/// Returns the files of registrations if several are named, or a directory; else `None`.
pub(super) fn files(arguments: &AddArgs) -> anyhow::Result<Option<Vec<PathBuf>>> {
    let words = [&arguments.what].into_iter().chain(&arguments.reference).chain(&arguments.more);
    let words: Vec<&PathBuf> = words.collect();
    let is_kind = EXECTYPES.iter().any(|kind| arguments.what == Path::new(kind));
    let are_files = words.iter().all(|path| path.is_dir() || is_file(path));
    let is_one_file = words.len() == 1 && !arguments.what.is_dir();
    if is_kind || !are_files || is_one_file {
        return Ok(None);
    }
    let mut found = Vec::new();
    for path in words {
        let path = std::path::absolute(path)?;
        if !path.is_dir() {
            found.push(path);
            continue;
        }
        let unreadable = || format!("{} can't be read", path.display());
        let mut inside: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(&path).with_context(unreadable)? {
            inside.push(entry.with_context(unreadable)?.path());
        }
        let is_hidden = |path: &Path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
        };
        inside.retain(|path| is_file(path) && !is_hidden(path));
        inside.sort();
        if inside.is_empty() {
            bail!("{} has no registration: no file NAME.yaml", path.display());
        }
        found.extend(inside);
    }
    Ok(Some(found))
}

/// Tells whether a file's name stands for standard input.
pub(super) fn is_stdin(file: &Path) -> bool {
    ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"].iter().any(|name| file == Path::new(name))
}

/// Reads a file that is given to be imported, or standard input; returns its name for people and its text.
///
/// # Errors
/// As [`read_text`] and [`read_stdin`].
pub(crate) fn read_given(file: &Path, what: &str) -> anyhow::Result<(String, String)> {
    Ok(match is_stdin(file) {
        true => (STDIN.to_owned(), read_stdin()?),
        false => (file.display().to_string(), read_text(file, what)?),
    })
}

/// Reads standard input.
///
/// # Errors
/// It can't be read, or is too large for a registration.
pub(super) fn read_stdin() -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .context("standard input can't be read")?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        bail!("standard input is too large: at most 1 MiB");
    }
    files::into_text(bytes).context("standard input can't be read")
}

/// Reads a file that is given to be registered.
///
/// # Errors
/// It can't be read, or is no regular file, or too large.
pub(super) fn read_text(source: &Path, what: &str) -> anyhow::Result<String> {
    let metadata =
        fs::metadata(source).with_context(|| format!("{} can't be read", source.display()))?;
    if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
        bail!("{} is not {what}: a regular file of at most 1 MiB", source.display());
    }
    files::read_regular(source, MAX_FILE_BYTES)
        .and_then(files::into_text)
        .with_context(|| format!("{} can't be read", source.display()))
}
