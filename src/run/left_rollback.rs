//! A rollback, as whoever takes over is given it.

use serde::{Deserialize, Serialize};

use crate::process::stored_job::{Bytes, StoredJob};

/// A hook that succeeded, with what rolls it back.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LeftRollback {
    /// `before_vm_start/gpu (rollback)`
    pub label: String,
    pub event: Option<String>,
    pub device: Option<String>,
    /// The id by which its processes are known.
    pub run: String,
    pub job: StoredJob,
    /// What it finds in the file that `_hook_domxml` names.
    pub document: Option<Bytes>,
}

impl LeftRollback {
    /// As one line.
    pub(crate) fn line(&self) -> Vec<u8> {
        // strings and numbers: it can't fail
        serde_json::to_vec(self).unwrap_or_default()
    }
}
