//! The user, the resource limits and the niceness that a process gets before it executes another program.

use serde::{Deserialize, Serialize};

/// A user, as the kernel knows one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserIdentity {
    pub user: u32,
    pub group: u32,
    /// Supplementary groups; the user's own group is one of them.
    pub groups: Vec<u32>,
    /// Name and home directory, where the user database has an entry for the number.
    pub passwd: Option<PasswdEntry>,
}

/// The part of a user's passwd(5) entry that a program needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswdEntry {
    pub name: String,
    pub home: String,
}

/// All that a process gets before it executes a hook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Privileges {
    pub identity: Option<UserIdentity>,
    pub limits: ResourceLimits,
    pub nice: Option<i32>,
    /// Whether it keeps the working directory and the umask with which libvirt started hookmux.
    pub is_drop_in: bool,
}

/// Resource limits, as of `setrlimit(2)`, soft and hard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceLimits {
    /// Open files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nofile: Option<u64>,
    /// Address space, in bytes.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    pub address_space: Option<u64>,
    /// Processor time, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u64>,
    /// Processes of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nproc: Option<u64>,
}
