//! What a process is given before it becomes another program: whose rights, which limits.

use serde::{Deserialize, Serialize};

/// A user's rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub user: u32,
    pub group: u32,
    /// Supplementary groups, the own one among them.
    pub groups: Vec<u32>,
    /// The name and the home directory, where the number has an entry.
    pub entry: Option<Entry>,
}

/// What a user's entry says that a program wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub home: String,
}

/// What a process is given before it becomes a hook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Privileges {
    pub identity: Option<Identity>,
    pub limits: Limits,
    pub nice: Option<i32>,
    /// Whether it starts where libvirt started hookmux: in that directory, with that umask.
    pub is_drop_in: bool,
}

/// Resource limits, as of `setrlimit(2)`, soft and hard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
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
