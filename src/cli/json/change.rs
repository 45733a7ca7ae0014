//! Whether a command has changed something, for configuration management.

use super::shape::object;

object! {
    /// Whether a command has changed something.
    pub struct ChangeSummary {
        /// Whether something was changed, or would be without --dry-run; null where that is known only when it is done
        changed: Option<bool>,
        /// Whether nothing was done because of --dry-run
        dry_run: bool,
    }
}

impl ChangeSummary {
    pub(crate) fn new(is_change: bool, is_dry_run: bool) -> ChangeSummary {
        ChangeSummary { changed: Some(is_change), dry_run: is_dry_run }
    }
}
