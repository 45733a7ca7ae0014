//! Texts without a `#!` line, which the kernel can't execute: a shell that is asked to run one reads it
//! itself, and so scripts of the per-guest tree ran under the VFIO community's helper.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::job::Job;
use crate::machine::files;

/// How much of a file bash looks at to tell a text from a program, in bytes.
const SAMPLE_BYTES: u64 = 80;
/// The helper is bash's.
const SHELLS: [&CStr; 2] = [c"/bin/bash", c"/usr/bin/bash"];
/// Where there is no bash.
const LAST_SHELL: &CStr = c"/bin/sh";

/// Whether the beginning of a file is that of a text.
pub fn is_text(bytes: &[u8]) -> bool {
    // a program that is cut off may have no NUL
    !bytes.starts_with(b"\x7fELF")
        && !bytes.iter().take(SAMPLE_BYTES as usize).any(|byte| *byte == 0)
}

/// Makes a shell the program of a job whose file is a text. Returns whether it is one.
pub(super) fn run_by_shell(job: &mut Job) -> bool {
    let path = Path::new(OsStr::from_bytes(job.path.as_bytes()));
    if !files::beginning(path, SAMPLE_BYTES).is_ok_and(|sample| is_text(&sample)) {
        return false;
    }
    let shell = program();
    let file = std::mem::replace(&mut job.path, shell.into());
    // `$0` is the file, as in the shell that would have read it
    let words = job.arguments.drain(..).skip(1).collect::<Vec<_>>();
    job.arguments.extend([shell.into(), file]);
    job.arguments.extend(words);
    true
}

/// The shell that reads them.
pub fn program() -> &'static CStr {
    let is_there =
        |shell: &&CStr| files::is_executable(Path::new(OsStr::from_bytes(shell.to_bytes())));
    SHELLS.into_iter().find(is_there).unwrap_or(LAST_SHELL)
}
