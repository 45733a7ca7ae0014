//! What `check` finds.

use super::message::WayOut;
use super::shape::object;
use super::value::{Place, Word};
use crate::cli::check::finding::{self, Code, Severity};

object! {
    /// Something that is wrong.
    pub struct Finding {
        /// Which kind; docs/check.md says what each means
        code: Word<Code>,
        /// How bad it is
        severity: Word<Severity>,
        /// The file that it is about
        path: Place,
        /// What is wrong, for people
        message: String,
        ..=way_out: WayOut,
    }

    /// All that is wrong.
    pub struct Check {
        /// All that is wrong, the worst first
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
            way_out: Some(&finding.fix).into(),
        }
    }
}
