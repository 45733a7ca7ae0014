//! What a user other than root has access to, by the modes of files and directories.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::AccessFlags;

pub(crate) const READ: u32 = 0o4;
pub(crate) const EXECUTE: u32 = 0o1;

/// The user that executes a program, as the kernel checks it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExecutingUser<'a> {
    pub user: u32,
    pub groups: &'a [u32],
}

impl ExecutingUser<'_> {
    /// Makes one without groups; for this process's own user, the kernel is asked instead.
    pub(crate) fn of(user: u32) -> ExecutingUser<'static> {
        ExecutingUser { user, groups: &[] }
    }

    /// Tells whether the user has all these permission bits on a path.
    pub(crate) fn may(self, path: &Path, bits: u32) -> bool {
        if self.user == 0 {
            return true;
        }
        if self.groups.is_empty() && self.user == nix::unistd::geteuid().as_raw() {
            let asked = [(READ, AccessFlags::R_OK), (EXECUTE, AccessFlags::X_OK)];
            let asked = asked.into_iter().filter(|(bit, _)| bits & bit != 0).map(|(_, flag)| flag);
            return nix::unistd::eaccess(path, asked.collect()).is_ok();
        }
        fs::metadata(path).is_ok_and(|metadata| {
            let shift = if metadata.uid() == self.user {
                6
            } else if self.groups.contains(&metadata.gid()) {
                3
            } else {
                0
            };
            (metadata.mode() >> shift) & bits == bits
        })
    }

    /// Returns the first directory without access, on the way to a name and to what it resolves to.
    pub(crate) fn first_blocked_directory(self, path: &Path) -> Option<PathBuf> {
        let end = fs::canonicalize(path).ok()?;
        let ways = [path, &end].map(|way| way.ancestors().skip(1).collect::<Vec<_>>());
        let mut parts = ways.iter().flat_map(|way| way.iter().rev());
        parts.find(|part| !self.may(part, EXECUTE)).map(|part| part.to_path_buf())
    }
}
