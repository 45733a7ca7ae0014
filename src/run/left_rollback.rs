//! A rollback that is stored for the program that takes over where this process dies.

use serde::{Deserialize, Serialize};

use crate::process::stored_job::{Bytes, StoredJob};

/// A hook that succeeded, with the job that rolls it back.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LeftRollback {
    /// `before_vm_start/gpu (rollback)`
    pub label: String,
    pub event: Option<String>,
    pub device: Option<String>,
    /// The run id, which identifies its processes.
    pub run: String,
    pub job: StoredJob,
    /// The document in the file that `_hook_domxml` names.
    pub document: Option<Bytes>,
}

impl LeftRollback {
    /// Returns it as one line of JSON.
    pub(crate) fn line(&self) -> Vec<u8> {
        // it has only strings and numbers, so this can't fail
        serde_json::to_vec(self).unwrap_or_default()
    }
}
