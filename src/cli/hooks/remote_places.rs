//! Where hooks for events of other hosts lie, and where their records are.

/// The hooks directory for events of other hosts; it is root's.
pub(crate) const HOOKS_DIR: &str = "/etc/hookmux/remote";
/// All roots; no other is read for events of other hosts.
pub(crate) const ROOTS: [&str; 2] = [HOOKS_DIR, "/usr/lib/hookmux/hooks"];
/// The directories of the user who runs these hooks.
pub(crate) const STATE_DIR: &str = "/var/lib/hookmux-consume";
pub(crate) const RUNTIME_DIR: &str = "/run/hookmux-consume";
