//! `--write FILE`: the file for node_exporter's textfile collector, replaced as a whole.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, bail};

use crate::cli::usage;
use crate::machine::files::{self, Rights};

/// node_exporter runs as a user of its own.
const MODE: u32 = 0o644;

/// Checks that the file can be written.
///
/// # Errors
/// There is no such directory, or something that isn't a file has its name.
pub(super) fn check(path: &Path) -> anyhow::Result<()> {
    let Some(name) = path.file_name() else {
        bail!(usage::wrong(format!("--write: {} is no name of a file", path.display())));
    };
    if Path::new(name).extension().is_none_or(|extension| extension != "prom") {
        bail!(usage::wrong(format!(
            "--write: {} isn't read by node_exporter: its textfile collector takes names that end in `.prom`",
            path.display()
        )));
    }
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => {}
        Ok(_) => bail!("{} is not a file: write to another name", path.display()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(error).with_context(|| format!("{} can't be examined", path.display()));
        }
    }
    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    if !directory.is_dir() {
        bail!(
            "there is no directory {}: name the one of node_exporter's --collector.textfile.directory",
            directory.display()
        );
    }
    Ok(())
}

/// Writes the file: a reader gets the earlier one or this one.
///
/// # Errors
/// It can't be written; the earlier one stays, and its age says so.
pub(super) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    // the temporary name doesn't end in `.prom`
    let temporary = files::temporary(path);
    files::replace_durably(&temporary, path, text.as_bytes(), Rights { owner: None, mode: MODE })
        .with_context(|| format!("{} can't be written", path.display()))
}
