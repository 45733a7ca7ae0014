//! Findings: what is wrong, and what to do about it.

use std::ffi::OsString;
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
    /// The other files for which the same holds.
    pub others: Vec<PathBuf>,
    /// What the message begins with, and which of several that are alike are told together.
    subject: Option<String>,
}

impl Finding {
    fn empty() -> Finding {
        Finding {
            code: Code::Unseen,
            path: PathBuf::new(),
            message: String::new(),
            fix: String::new().into(),
            mistake: None,
            others: Vec::new(),
            subject: None,
        }
    }

    /// Returns the words that hold for each file that it is about.
    fn words(&self) -> Option<&str> {
        self.message.strip_prefix(self.subject.as_deref()?)?.strip_prefix(' ')
    }

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
        self.push(Finding { code, path: path.to_path_buf(), message, fix, ..Finding::empty() });
    }

    /// Adds a finding about one of many files: those for which the same words hold become one finding.
    pub(crate) fn add_alike(
        &mut self,
        code: Code,
        path: &Path,
        subject: &str,
        words: &str,
        fix: impl Into<Fix>,
    ) {
        let (message, subject) = (format!("{subject} {words}"), Some(subject.to_owned()));
        let (path, fix) = (path.to_path_buf(), fix.into());
        self.push(Finding { code, path, message, fix, subject, ..Finding::empty() });
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
        self.push(Finding { code, path, message, fix, mistake, ..Finding::empty() });
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

    /// Proposes no editor for mistakes: the user has the file in one.
    pub(crate) fn correct_by_hand(&mut self) {
        for finding in &mut self.all {
            if let Some((line, _)) = finding.place() {
                finding.fix = format!("correct line {line}").into();
            }
        }
    }

    /// Makes one finding of those that are alike and can be fixed together.
    fn unite(&mut self) {
        let mut united: Vec<Vec<Finding>> = Vec::new();
        for finding in std::mem::take(&mut self.all) {
            let is_alike = |group: &&mut Vec<Finding>| {
                group.first().is_some_and(|first| {
                    first.code == finding.code
                        && first.words().is_some()
                        && first.words() == finding.words()
                        && together(group.iter().chain([&finding])).is_some()
                })
            };
            match united.iter_mut().find(is_alike) {
                Some(group) => group.push(finding),
                None => united.push(vec![finding]),
            }
        }
        self.all = united.into_iter().filter_map(of_group).collect();
    }

    /// Returns the findings, the most severe first, else in the order in which they were found.
    pub(crate) fn sorted(mut self) -> Vec<Finding> {
        self.unite();
        self.all.sort_by_key(Finding::severity);
        self.all
    }
}

/// How many files of one finding are told by their names.
const MAX_TOLD: usize = 8;

/// Makes one finding of several that are alike.
fn of_group(group: Vec<Finding>) -> Option<Finding> {
    let fix = together(group.iter());
    let subjects: Vec<&str> =
        group.iter().filter_map(|finding| finding.subject.as_deref()).collect();
    let more = subjects.len().saturating_sub(MAX_TOLD);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let told = subjects.iter().take(MAX_TOLD).copied().collect::<Vec<_>>().join(", ");
    let message =
        group.first().and_then(|first| Some(format!("{told}{more}: each {}", first.words()?)));
    let mut findings = group.into_iter();
    let first = findings.next()?;
    let others: Vec<PathBuf> = findings.map(|finding| finding.path).collect();
    match (others.is_empty(), fix, message) {
        (false, Some(fix), Some(message)) => Some(Finding { message, fix, others, ..first }),
        _ => Some(first),
    }
}

/// Returns one fix for several findings: the same for all, or the same command with all their files.
fn together<'a>(findings: impl Iterator<Item = &'a Finding>) -> Option<Fix> {
    let fixes: Vec<&Fix> = findings.map(|finding| &finding.fix).collect();
    let first = fixes.first()?;
    if fixes.iter().all(|fix| fix.text == first.text) {
        return Some((*first).clone());
    }
    let commands: Option<Vec<&Vec<OsString>>> = fixes
        .iter()
        .map(|fix| match fix.parts.as_slice() {
            [one] => Some(one),
            _ => None,
        })
        .collect();
    let commands = commands?;
    let first = commands.first()?;
    let differs = (0..first.len())
        .find(|at| commands.iter().any(|words| words.get(*at) != first.get(*at)))?;
    let is_alike = commands.iter().all(|words| {
        words.len() == first.len()
            && (0..first.len()).all(|at| at == differs || words.get(at) == first.get(at))
    });
    // only a file may stand there several times
    let are_files = commands
        .iter()
        .all(|words| words.get(differs).is_some_and(|word| Path::new(word).is_absolute()));
    if !is_alike || !are_files {
        return None;
    }
    let mut words: Vec<OsString> = first.iter().take(differs).cloned().collect();
    words.extend(commands.iter().filter_map(|words| words.get(differs).cloned()));
    words.extend(first.iter().skip(differs + 1).cloned());
    Some(Fix::run(&words))
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
