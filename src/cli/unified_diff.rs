//! Differences between two texts, as unified diffs.

use std::path::Path;
use std::time::Duration;

use similar::TextDiff;

use super::output::{Output, Tone};

/// How long the shortest difference is searched.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Returns the changed lines with those around them; empty if the texts are equal.
pub(crate) fn between(
    before: &str,
    after: &str,
    (name_before, name_after): (&str, &str),
) -> String {
    // if everything is changed, a longer difference is good enough
    let mut differ = TextDiff::configure();
    differ.timeout(TIMEOUT);
    let diff = differ.diff_lines(before, after);
    diff.unified_diff().context_radius(3).header(name_before, name_after).to_string()
}

/// Returns what changes in a file; `None` stands for a file that isn't there.
pub(crate) fn of_file(path: &Path, before: Option<&str>, after: Option<&str>) -> String {
    let path = path.to_string_lossy();
    let name = |text: Option<&str>| if text.is_some() { &path } else { "/dev/null" };
    let names = (name(before), name(after));
    between(before.unwrap_or_default(), after.unwrap_or_default(), names)
}

/// Prints a difference, in colour on a terminal.
pub(crate) fn show(diff: &str, indent: &str, output: &mut Output) {
    for line in diff.lines() {
        let tone = match line.as_bytes().first() {
            Some(b'+') => Tone::Good,
            Some(b'-') => Tone::Bad,
            Some(b'@') => Tone::Dim,
            _ => Tone::Plain,
        };
        output.toned(tone, &format!("{indent}{line}"));
    }
}
