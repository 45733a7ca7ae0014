//! The id of the present boot of the host.

use std::fs;

/// Returns the kernel's id of this boot; an empty string where it has none.
pub fn id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim_end().to_owned()
}

/// Tells whether an id is known to be that of another boot. An unknown boot may be this one.
pub(crate) fn is_other(boot: &str) -> bool {
    let here = id();
    !boot.is_empty() && !here.is_empty() && boot != here
}
