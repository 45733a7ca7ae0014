//! The id of the present boot of the host.

use std::sync::OnceLock;

use crate::machine::files;

/// Returns the kernel's id of this boot; an empty string where it has none.
pub fn id() -> String {
    // it outlives every process
    static ID: OnceLock<String> = OnceLock::new();
    let read = || {
        let id = files::read_proc("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        String::from_utf8(id).unwrap_or_default().trim_end().to_owned()
    };
    ID.get_or_init(read).clone()
}

/// Tells whether an id is known to be that of another boot. An unknown boot may be this one.
pub(crate) fn is_other(boot: &str) -> bool {
    let here = id();
    !boot.is_empty() && !here.is_empty() && boot != here
}
