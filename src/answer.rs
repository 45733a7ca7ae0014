//! What libvirt is told in the end.

use crate::libvirt::{Call, Class};
use crate::machine::{cut, sanitize};
use crate::process::exit_status::OWN_ERROR;
use crate::verdict::{self, Failure};

/// What libvirt gets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub status: i32,
    /// Only ever a changed document, on a filter call.
    pub stdout: Option<Vec<u8>>,
    pub stderr: String,
}

impl Answer {
    /// One with words, and no document.
    pub(crate) fn trouble(status: i32, stderr: String) -> Answer {
        Answer { status, stdout: None, stderr }
    }
}

/// The verdict on what ran, and on what of ours could not.
pub(crate) fn conclude(
    call: &Call,
    troubles: &[String],
    failures: &[Failure],
    is_terminated: bool,
) -> Answer {
    let mut status = verdict::status(call.class(), failures, is_terminated);
    let mut stderr = String::new();
    if !troubles.is_empty() && call.class() == Class::Gate {
        for trouble in troubles {
            stderr.push_str(&format!("hookmux: {}\n", sanitize::line(trouble.as_bytes())));
        }
        if status == 0 {
            status = OWN_ERROR;
        }
    }
    if status != 0 {
        stderr.push_str(&verdict::words(failures));
        if is_terminated && failures.is_empty() {
            stderr.push_str("hookmux: ended by SIGTERM\n");
        }
        truncate(&mut stderr);
    } else {
        stderr.clear();
    }
    Answer { status, stdout: None, stderr }
}

fn truncate(text: &mut String) {
    if text.len() > verdict::MAX_STDERR {
        text.truncate(cut::beginning(text, verdict::MAX_STDERR - 1).len());
        text.push('\n');
    }
}
