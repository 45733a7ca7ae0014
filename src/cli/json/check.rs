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
        /// What is wrong, for people
        message: String,
        ..=fix_keys: FixKeys,
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
            message: finding.message.clone(),
            fix_keys: Some(&finding.fix).into(),
        }
    }
}
