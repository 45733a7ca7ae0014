//! Shows what a call changed in libvirt's document.

use std::time::Duration;

use similar::TextDiff;

use crate::cli::output::{Output, Tone};

/// How long the shortest difference is searched.
const DIFF_TIMEOUT: Duration = Duration::from_secs(1);

/// Shows the changed lines with those around them.
pub(crate) fn show(before: &str, after: &str, output: &mut Output) {
    // if a hook has changed everything, a longer difference is good enough
    let mut differ = TextDiff::configure();
    differ.timeout(DIFF_TIMEOUT);
    let diff = differ.diff_lines(before, after);
    let text = diff.unified_diff().context_radius(3).header("libvirt's", "hookmux's").to_string();
    for line in text.lines() {
        let tone = match line.as_bytes().first() {
            Some(b'+') => Tone::Good,
            Some(b'-') => Tone::Bad,
            Some(b'@') => Tone::Dim,
            _ => Tone::Plain,
        };
        output.toned(tone, &format!("  {line}"));
    }
}
