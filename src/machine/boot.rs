//! This boot of the host, by what tells it from every other.

use std::fs;

/// Its id; empty where the kernel doesn't say.
pub fn id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim_end().to_owned()
}
