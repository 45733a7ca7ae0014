//! The id of the present boot of the host.

use std::fs;

/// Returns the kernel's id of this boot; an empty string where it has none.
pub fn id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim_end().to_owned()
}
