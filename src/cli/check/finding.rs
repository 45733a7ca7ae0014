//! Findings: what is wrong, and what to do about it.

use std::fmt::Display;
use std::path::{Path, PathBuf};

pub(crate) use super::code::{Code, Severity};
use crate::command;
pub(super) use crate::command::words;
pub(crate) use crate::command::{Fix, quoted};
use crate::config::Diagnostic;
use crate::repair::OwnPaths;

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub code: Code,
    pub path: PathBuf,
    /// A lower-case sentence that names the file or the hook.
    pub message: String,
    pub fix: Fix,
    /// Where in the file it is, if it is about a part of it.
    pub mistake: Option<Diagnostic>,
}

impl Finding {
    pub(crate) fn severity(&self) -> Severity {
        self.code.severity()
    }

    /// Returns the line and column in its file.
    pub(crate) fn place(&self) -> Option<(usize, usize)> {
        self.mistake.as_ref()?.place
    }

    /// Returns the line of its file, and a line with a caret under the column.
    pub(crate) fn excerpt(&self) -> Option<[String; 2]> {
        self.mistake.as_ref()?.excerpt()
    }
}

/// All findings, each once.
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
        let (message, fix) = (message.into(), fix.into());
        self.push(Finding { code, path: path.to_path_buf(), message, fix, mistake: None });
    }

    /// Adds a finding about a mistake in a file; `message` has its place and words.
    pub(crate) fn add_mistake(
        &mut self,
        code: Code,
        mistake: &Diagnostic,
        message: String,
        fix: Fix,
    ) {
        let (path, mistake) = (mistake.path.clone(), Some(mistake.clone()));
        self.push(Finding { code, path, message, fix, mistake });
    }

    fn push(&mut self, finding: Finding) {
        let is_known = self.all.iter().any(|known| {
            known.code == finding.code
                && known.path == finding.path
                && known.message == finding.message
        });
        if !is_known {
            self.all.push(finding);
        }
    }

    /// Limits the proposed commands to files that belong to hookmux.
    pub(crate) fn guard(&mut self, ground: &OwnPaths<'_>) {
        for finding in &mut self.all {
            finding.fix = ground.guard(finding.fix.clone());
        }
    }

    /// Adds all findings of another list.
    pub(crate) fn extend(&mut self, others: Findings) {
        others.all.into_iter().for_each(|finding| self.push(finding));
    }

    /// Gives a file another name. What was proposed for it under its own name can't be done.
    pub(crate) fn rename(&mut self, path: &Path, name: &Path) {
        let (old, new) = (path.display().to_string(), name.display().to_string());
        for finding in &mut self.all {
            finding.message = finding.message.replace(&old, &new);
            if finding.path == path {
                finding.path = name.to_path_buf();
            }
            if finding.fix.text.contains(&old) {
                finding.fix = "correct it where it comes from".into();
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.all.iter()
    }

    /// Returns the findings, the most severe first, else in the order in which they were found.
    pub(crate) fn sorted(mut self) -> Vec<Finding> {
        self.all.sort_by_key(Finding::severity);
        self.all
    }
}

/// Returns a path with a suffix.
pub(crate) fn with_suffix(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Returns the command that moves everything from a directory to another one, and removes the directory.
pub(crate) fn empty_directory_into(path: &Path, above: &Path) -> Fix {
    let is_empty = path.read_dir().is_ok_and(|mut entries| entries.next().is_none());
    let remove = command::text(&words!["rmdir", path]);
    match is_empty {
        true => Fix::run(&words!["rmdir", path]),
        false => {
            let line = format!("mv -n {}/* {}/ && {remove}", quoted(path), quoted(above));
            let mut fix = Fix::shell(line);
            // the names that the shell will expand
            fix.parts = vec![words!["mv", path.join("*"), above.join("*")]];
            fix
        }
    }
}

/// Returns `1 error`, `2 errors`.
pub(crate) fn counted(count: usize, what: impl Display) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{count} {what}{end}")
}
