//! Which version of libvirt this host has, and whether an operation belongs to it.

use std::env;
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

/// A version of libvirt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LibvirtVersion(pub u32, pub u32, pub u32);

impl fmt::Display for LibvirtVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl LibvirtVersion {
    /// Reads `9.0.0`, or `5.4`.
    pub(crate) fn parse(text: &str) -> Option<LibvirtVersion> {
        let mut numbers = text.split('.').map(|number| number.parse().ok());
        let version =
            LibvirtVersion(numbers.next()??, numbers.next()??, numbers.next().unwrap_or(Some(0))?);
        Some(version)
    }
}

/// The first version of libvirt that passes the reason of a release.
pub(crate) const RELEASE_REASON: LibvirtVersion = LibvirtVersion(10, 5, 0);

/// The directories in which libvirt's daemons are searched.
const DAEMON_DIRECTORIES: [&str; 6] =
    ["usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin"];

/// Returns the version that the installed daemon reports.
pub(crate) fn of_host() -> Option<LibvirtVersion> {
    of_host_below(Path::new("/"))
}

/// Returns the same below another root directory.
pub(crate) fn of_host_below(root: &Path) -> Option<LibvirtVersion> {
    let path = env::join_paths(DAEMON_DIRECTORIES.map(|directory| root.join(directory))).ok()?;
    ["libvirtd", "virtqemud", "virtlxcd", "virtnetworkd"].into_iter().find_map(|daemon| {
        let output = Command::new(daemon)
            .arg("--version")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .env("PATH", &path)
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        LibvirtVersion::parse(text.split_ascii_whitespace().next_back()?)
    })
}

/// Tells whether a span such as `0.9.13, until 5.4` contains a version.
pub(crate) fn spans(since: &str, version: LibvirtVersion) -> bool {
    let (first, last) = match since.split_once(", until ") {
        Some((first, last)) => (first, LibvirtVersion::parse(last)),
        None => (since, None),
    };
    let has_begun = LibvirtVersion::parse(first).is_none_or(|first| first <= version);
    // "until 5.4" contains 5.4.1
    let has_ended = last.is_some_and(|last| (last.0, last.1) < (version.0, version.1));
    has_begun && !has_ended
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libvirt::operation::TABLE;

    #[test]
    fn spans_are_read() {
        for (since, version, expected) in [
            ("0.9.13", LibvirtVersion(9, 0, 0), true),
            ("10.5.0", LibvirtVersion(9, 0, 0), false),
            ("10.5.0", LibvirtVersion(10, 5, 0), true),
            ("0.9.13, until 5.4", LibvirtVersion(5, 4, 1), true),
            ("0.9.13, until 5.4", LibvirtVersion(5, 5, 0), false),
            ("1.2.2, until 5.4", LibvirtVersion(1, 2, 1), false),
        ] {
            assert_eq!(spans(since, version), expected, "{since} {version}");
        }
        for row in TABLE {
            let first = row.since.split(',').next().unwrap_or_default();
            assert!(LibvirtVersion::parse(first).is_some(), "{}", row.since);
        }
    }
}
