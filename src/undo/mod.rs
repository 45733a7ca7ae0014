//! Takes back what hooks have set up: a registered hook's `undo` runs at the end of the guest, network or
//! port for which the hook ran.
//!
//! The ledger has an entry for each hook that owes this, in the runtime directory: so the next boot empties
//! it. An entry is written before its hook starts, and removed after its `undo` has succeeded. Whatever dies
//! in between, nothing is forgotten.

pub(crate) mod call_ledger;
pub(crate) mod ending;
pub(crate) mod entry;
pub(crate) mod ledger;
pub(crate) mod living;
pub(crate) mod marks;
pub(crate) mod moment;
pub(crate) mod owed;
pub(crate) mod owner;
pub(crate) mod owner_ledger;
mod place;
pub(crate) mod runner;
pub(crate) mod shared;
pub(crate) mod worker;

/// How the label of an undo ends, behind that of its hook.
const LABEL_SUFFIX: &str = " (undo)";

/// Returns the label of a hook's undo.
pub(crate) fn label_of(hook: &str) -> String {
    format!("{hook}{LABEL_SUFFIX}")
}

/// Tells whether a label is that of an undo.
pub(crate) fn is_label(label: &str) -> bool {
    label.ends_with(LABEL_SUFFIX)
}
