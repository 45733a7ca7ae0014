//! The findings of `check`.

use super::message::FixKeys;
use super::shape::object;
use super::value::{PathText, Word};
use crate::cli::check::finding::{self, Code, Severity};

object! {
    /// Something that is wrong.
    pub struct Finding {
        /// What kind of problem; docs/check.md explains each
        code: Word<Code>,
        /// How severe it is
        severity: Word<Severity>,
        /// The file concerned
        path: PathText,
        /// All files for which it holds, that one first
        paths: Vec<PathText>,
        /// What is wrong, for people
        message: String,
        /// The line of the file, from 1; null where it is about the whole file, or about none
        line: Option<usize>,
        /// The column of that line, in characters from 1
        column: Option<usize>,
        /// The text of that line, and below it a caret under the column; null where there is none
        excerpt: Option<Vec<String>>,
        ..=fix_keys: FixKeys,
    }

    /// Where a registration or a script that isn't installed would run.
    pub struct Turn {
        /// The event
        event: String,
        /// The hook that runs just before it; null where it would be the first
        after: Option<String>,
        /// The hook that runs next; null where it would be the last
        before: Option<String>,
    }

    /// A file that was checked.
    pub struct CheckedFile {
        /// The file; `-` for standard input
        path: String,
        /// What it is: `registration`, `settings` or `script`
        kind: &'static str,
        /// The name that the hook would have; null where it isn't known
        name: Option<String>,
        /// Where it would run
        turns: Vec<Turn>,
    }

    /// What `check` found in files that need not be installed.
    pub struct CheckFiles {
        /// The files, in the order of the command line
        files: Vec<CheckedFile>,
        /// Everything that is wrong with them, the most severe first
        findings: Vec<Finding>,
    }

    /// Everything that is wrong.
    pub struct Check {
        /// Everything that is wrong, the most severe first
        findings: Vec<Finding>,
    }
}

impl From<&finding::Finding> for Finding {
    fn from(finding: &finding::Finding) -> Finding {
        Finding {
            code: Word(finding.code),
            severity: Word(finding.severity()),
            path: finding.path.as_path().into(),
            paths: std::iter::once(&finding.path)
                .chain(&finding.others)
                .map(|path| path.as_path().into())
                .collect(),
            message: finding.message.clone(),
            line: finding.place().map(|(line, _)| line),
            column: finding.place().map(|(_, column)| column),
            excerpt: finding.excerpt().map(Vec::from),
            fix_keys: Some(&finding.fix).into(),
        }
    }
}
