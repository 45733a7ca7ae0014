//! The guests and networks that libvirt has defined.

use std::fs;
use std::path::Path;

use crate::libvirt::Driver;

/// Returns the names in libvirt's configuration, which is beside its hooks directory; `None` if none can be
/// seen.
pub(super) fn defined(hooks_dir: &Path, driver: Driver) -> Option<Vec<String>> {
    let directory = hooks_dir.parent()?;
    let directory = match driver {
        Driver::Daemon => return None,
        Driver::Network => directory.join("qemu/networks"),
        _ => directory.join(driver.name()),
    };
    let mut names: Vec<String> = fs::read_dir(directory)
        .ok()?
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".xml")?.to_owned()))
        .collect();
    names.sort_unstable();
    (!names.is_empty()).then_some(names)
}
