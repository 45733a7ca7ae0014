//! Shows what a call changed in libvirt's document.

use crate::cli::output::Output;
use crate::cli::unified_diff;

/// Shows the changed lines with those around them.
pub(crate) fn show(before: &str, after: &str, output: &mut Output) {
    let diff = unified_diff::between(before, after, ("libvirt's", "hookmux's"));
    unified_diff::show(&diff, "  ", output);
}
