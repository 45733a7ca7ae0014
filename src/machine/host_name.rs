//! The name of this host.

/// Returns it; an empty string where the kernel has none.
pub(crate) fn get() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
