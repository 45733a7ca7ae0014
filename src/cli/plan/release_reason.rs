//! The reason that libvirt gives a release, where it gives one.

use crate::cli::install::libvirt_version::{LibvirtVersion, RELEASE_REASON};
use crate::libvirt::Driver;

/// Returns the reason of a release as this libvirt gives it; `None` where it gives none. Without a version it is that of
/// a new one.
pub(super) fn given(
    reason: &'static str,
    driver: Driver,
    version: Option<LibvirtVersion>,
) -> Option<&'static str> {
    match reason {
        "" | "-" => None,
        // these drivers pass none
        _ if matches!(driver, Driver::Libxl | Driver::Bhyve) => None,
        _ if version.is_some_and(|version| version < RELEASE_REASON) => None,
        reason => Some(reason),
    }
}
