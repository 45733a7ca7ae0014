//! The script that libvirt called before hookmux was installed: `<driver>.adopted` in the hooks
//! directory, so that its `dirname $0` is still right.

use std::path::{Path, PathBuf};

use crate::libvirt::Driver;
use crate::machine::files;

/// How many bytes of a script are searched.
const MAX_SCANNED_BYTES: u64 = 256 * 1024;

/// Returns where the adopted script of a driver lies, if there is one.
pub(crate) fn place(hooks_dir: &Path, driver: Driver) -> PathBuf {
    hooks_dir.join(format!("{driver}.adopted"))
}

/// Tells whether a script mentions a directory such as `qemu.d`: then it runs the scripts there itself.
pub(crate) fn runs_tree(script: &Path, word: &str) -> bool {
    let is_there = |text: Vec<u8>| text.windows(word.len()).any(|part| part == word.as_bytes());
    files::read_beginning(script, MAX_SCANNED_BYTES).is_ok_and(is_there)
}
