//! The answer to libvirt.

use crate::libvirt::{Call, Class};
use crate::machine::{cut, sanitize};
use crate::process::exit_status::OWN_ERROR;
use crate::verdict::{self, HookFailure};

/// What libvirt gets from a call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub status: i32,
    /// A changed document; only at filter calls.
    pub stdout: Option<Vec<u8>>,
    pub stderr: String,
}

impl Answer {
    /// Makes one with a message and no document.
    pub(crate) fn error(status: i32, stderr: String) -> Answer {
        Answer { status, stdout: None, stderr }
    }
}

/// Makes the answer from the failures of hooks and from hookmux's own errors.
pub(crate) fn conclude(
    call: &Call,
    own_errors: &[String],
    failures: &[HookFailure],
    is_terminated: bool,
) -> Answer {
    let mut status = verdict::status(call.class(), failures, is_terminated);
    let mut stderr = String::new();
    if !own_errors.is_empty() && call.class() == Class::Gate {
        for error in own_errors {
            stderr.push_str(&format!("hookmux: {}\n", sanitize::line(error.as_bytes())));
        }
        if status == 0 {
            status = OWN_ERROR;
        }
    }
    if status != 0 {
        stderr.push_str(&verdict::stderr_text(failures));
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
    if text.len() > verdict::MAX_STDERR_BYTES {
        text.truncate(cut::beginning(text, verdict::MAX_STDERR_BYTES - 1).len());
        text.push('\n');
    }
}
