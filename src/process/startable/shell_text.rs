//! Texts without a `#!` line, which the kernel can't execute: a shell that is asked to run one reads it
//! itself, and so scripts of the per-guest tree ran under the VFIO community's helper.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::machine::files::is_executable;

/// How much of a file bash looks at to tell a text from a program, in bytes.
pub(crate) const SAMPLE_BYTES: u64 = 80;
/// The helper is bash's.
const SHELLS: [&CStr; 2] = [c"/bin/bash", c"/usr/bin/bash"];
/// Where there is no bash.
const LAST_SHELL: &CStr = c"/bin/sh";

/// Whether the beginning of a file is that of a text.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    // a program that is cut off may have no NUL
    !bytes.starts_with(b"\x7fELF")
        && !bytes.iter().take(SAMPLE_BYTES as usize).any(|byte| *byte == 0)
}

/// The shell that reads them.
pub(crate) fn program() -> &'static CStr {
    let is_there = |shell: &&CStr| is_executable(Path::new(OsStr::from_bytes(shell.to_bytes())));
    SHELLS.into_iter().find(is_there).unwrap_or(LAST_SHELL)
}
