//! What was found to be wrong.

use std::fmt::Display;
use std::path::{Path, PathBuf};

pub(crate) use super::code::{Code, Severity};
use crate::command;
pub(super) use crate::command::words;
pub(crate) use crate::command::{Fix, quoted};
use crate::repair::OwnPaths;

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub code: Code,
    pub path: PathBuf,
    /// A lower-case sentence that names the file or the hook.
    pub message: String,
    pub fix: Fix,
}

impl Finding {
    pub(crate) fn severity(&self) -> Severity {
        self.code.severity()
    }
}

/// All that was found, each thing once.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    all: Vec<Finding>,
}

impl Findings {
    pub(crate) fn add(
        &mut self,
        code: Code,
        path: &Path,
        message: impl Into<String>,
        fix: impl Into<Fix>,
    ) {
        let finding =
            Finding { code, path: path.to_path_buf(), message: message.into(), fix: fix.into() };
        let is_known = self.all.iter().any(|known| {
            known.code == code && known.path == finding.path && known.message == finding.message
        });
        if !is_known {
            self.all.push(finding);
        }
    }

    /// Keeps all ways out to what is hookmux's own.
    pub(crate) fn guard(&mut self, ground: &OwnPaths<'_>) {
        for finding in &mut self.all {
            finding.fix = ground.guard(finding.fix.clone());
        }
    }

    /// The worst first; what is equally bad in the order in which it was found.
    pub(crate) fn sorted(mut self) -> Vec<Finding> {
        self.all.sort_by_key(Finding::severity);
        self.all
    }
}

/// A path with more at its end.
pub(crate) fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Moves what lies in a directory to another one, and removes it.
pub(crate) fn empty_into(path: &Path, above: &Path) -> Fix {
    let is_empty = path.read_dir().is_ok_and(|mut entries| entries.next().is_none());
    let remove = command::text(&words!["rmdir", path]);
    match is_empty {
        true => Fix::run(&words!["rmdir", path]),
        false => {
            let line = format!("mv -n {}/* {}/ && {remove}", quoted(path), quoted(above));
            let mut fix = Fix::shell(line);
            // all that a shell will name
            fix.parts = vec![words!["mv", path.join("*"), above.join("*")]];
            fix
        }
    }
}

/// `1 error`, `2 errors`.
pub(crate) fn counted(count: usize, what: impl Display) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{count} {what}{end}")
}
