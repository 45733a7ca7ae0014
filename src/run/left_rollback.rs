//! A rollback that is stored for the program that takes over where this process dies.

use serde::{Deserialize, Serialize};

use crate::process::stored_job::{Bytes, StoredJob};

/// How the label of a rollback ends, behind that of its hook.
const LABEL_SUFFIX: &str = " (rollback)";

/// Returns the label of a hook's rollback.
pub(crate) fn label_of(hook: &str) -> String {
    format!("{hook}{LABEL_SUFFIX}")
}

/// Tells whether a label is that of a rollback.
pub(crate) fn is_label(label: &str) -> bool {
    label.ends_with(LABEL_SUFFIX)
}

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
    /// Its entry in the ledger of undos: the owner's directory, and the file.
    #[serde(default)]
    pub undo: Option<(String, String)>,
}

impl LeftRollback {
    /// Returns it as one line of JSON.
    pub(crate) fn line(&self) -> Vec<u8> {
        // it has only strings and numbers, so this can't fail
        serde_json::to_vec(self).unwrap_or_default()
    }
}
