//! A script that was libvirt's own before hookmux came: `<driver>.adopted` in the hooks directory,
//! so that its `dirname $0` still holds.

use std::path::{Path, PathBuf};

use crate::libvirt::Driver;
use crate::machine::files;

/// How much of a script is looked at for what it does, in bytes.
const LOOK_AT: u64 = 256 * 1024;

/// Where the adopted script of a driver lies, if there is one.
pub(crate) fn place(hooks_dir: &Path, driver: Driver) -> PathBuf {
    hooks_dir.join(format!("{driver}.adopted"))
}

/// Whether a script mentions a directory, as `qemu.d`: then it runs what lies there itself.
pub(crate) fn serves_tree(script: &Path, word: &str) -> bool {
    let is_there = |text: Vec<u8>| text.windows(word.len()).any(|part| part == word.as_bytes());
    files::read_beginning(script, LOOK_AT).is_ok_and(is_there)
}
