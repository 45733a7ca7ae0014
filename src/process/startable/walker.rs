//! What a user other than root gets to, by the modes of what is on the way.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::AccessFlags;

pub(crate) const READ: u32 = 0o4;
pub(crate) const EXECUTE: u32 = 0o1;

/// A user, as the kernel judges it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walker<'a> {
    pub user: u32,
    pub groups: &'a [u32],
}

impl Walker<'_> {
    /// A user with the groups that this process has, if it is this process's.
    pub(crate) fn of(user: u32) -> Walker<'static> {
        Walker { user, groups: &[] }
    }

    /// Whether a mode grants all these bits.
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

    /// The first directory that is shut to it, on the way to a name and to what that resolves to.
    pub(crate) fn shut_out_by(self, path: &Path) -> Option<PathBuf> {
        let end = fs::canonicalize(path).ok()?;
        let ways = [path, &end].map(|way| way.ancestors().skip(1).collect::<Vec<_>>());
        let mut parts = ways.iter().flat_map(|way| way.iter().rev());
        parts.find(|part| !self.may(part, EXECUTE)).map(|part| part.to_path_buf())
    }
}
