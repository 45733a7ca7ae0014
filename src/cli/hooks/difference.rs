//! Shows what a call changed in libvirt's document.

use crate::cli::output::Output;
use crate::cli::unified_diff;

/// Returns the changed lines with those around them.
pub(crate) fn text(before: &str, after: &str) -> String {
    unified_diff::between(before, after, ("libvirt's", "hookmux's"))
}

/// Shows the same.
pub(crate) fn show(before: &str, after: &str, output: &mut Output) {
    unified_diff::show(&text(before, after), "  ", output);
}
