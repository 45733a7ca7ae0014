//! Texts without a `#!` line. The kernel can't execute them, but a shell that is asked to run one reads
//! it itself. So such scripts of the per-guest tree worked under the VFIO community's helper.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::machine::files::is_executable;

/// How many bytes of a file bash looks at to tell a text from a program.
pub(crate) const SAMPLE_BYTES: u64 = 80;
/// The shells to try: the helper is a bash script.
const SHELLS: [&CStr; 2] = [c"/bin/bash", c"/usr/bin/bash"];
/// The shell where there is no bash.
const LAST_SHELL: &CStr = c"/bin/sh";

/// Tells whether the beginning of a file is that of a text.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    // a truncated program may have no NUL
    !bytes.starts_with(b"\x7fELF")
        && !bytes.iter().take(SAMPLE_BYTES as usize).any(|byte| *byte == 0)
}

/// Returns the shell that runs such texts.
pub(crate) fn program() -> &'static CStr {
    let is_there = |shell: &&CStr| is_executable(Path::new(OsStr::from_bytes(shell.to_bytes())));
    SHELLS.into_iter().find(is_there).unwrap_or(LAST_SHELL)
}
