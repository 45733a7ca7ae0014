//! Runs a job with a shell if its file is a text without a `#!` line.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::job::Job;
use super::startable::shell_text::{SAMPLE_BYTES, is_text, program};
use crate::machine::files;

/// Makes a shell the program of a job if the job's file is a text. Returns whether it is one.
pub(super) fn run_by_shell(job: &mut Job) -> bool {
    let path = Path::new(OsStr::from_bytes(job.path.as_bytes()));
    if !files::read_beginning(path, SAMPLE_BYTES).is_ok_and(|sample| is_text(&sample)) {
        return false;
    }
    let shell = program();
    let file = std::mem::replace(&mut job.path, shell.into());
    // `$0` is the file, as in a shell that is asked to run it
    let words = job.arguments.drain(..).skip(1).collect::<Vec<_>>();
    job.arguments.extend([shell.into(), file]);
    job.arguments.extend(words);
    true
}
