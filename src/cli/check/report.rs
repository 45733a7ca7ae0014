//! Shows findings: the most severe first, codes and sentences aligned, each with what to do.

use std::path::Path;

use super::finding::{Finding, Severity, counted};
use crate::cli::args::Format;
use crate::cli::json;
use crate::cli::output::{Cell, Output, Tone};
use crate::cli::table::GAP_CELLS;
use crate::cli::wrap;

/// The longest line of a sentence, in cells. A wide terminal isn't filled: long lines are hard to read.
const MAX_LINE_CELLS: usize = 100;
/// The shortest, on a narrow terminal.
const MIN_LINE_CELLS: usize = 30;

const fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Error => Tone::Bad,
        Severity::Warning => Tone::Warning,
        Severity::Note => Tone::Plain,
    }
}

/// Tells whether a finding ends the command with exit status 1.
pub(super) fn is_bad(finding: &Finding, is_strict: bool) -> bool {
    match finding.severity() {
        Severity::Error => true,
        Severity::Warning => is_strict,
        Severity::Note => false,
    }
}

pub(super) fn show(findings: &[Finding], hooks_dir: &Path, format: Format, output: &mut Output) {
    if format == Format::Json {
        let findings = findings.iter().map(json::check::Finding::from).collect();
        output.json(&json::check::Check { findings });
        return;
    }
    if findings.is_empty() {
        output.toned(Tone::Good, &format!("{}: nothing to complain about", hooks_dir.display()));
        return;
    }
    let counts = table(findings, output);
    output.line(&format!("{counts} in {}.", hooks_dir.display()));
}

/// Shows findings in groups. Returns how many there are: `1 error, 2 notes`.
pub(super) fn table(findings: &[Finding], output: &mut Output) -> String {
    let width = findings.iter().map(|finding| finding.code.name().len()).max().unwrap_or_default();
    let line = output.width().unwrap_or(MAX_LINE_CELLS).min(MAX_LINE_CELLS);
    let line = line.saturating_sub(width + GAP_CELLS).max(MIN_LINE_CELLS);
    let mut counts = Vec::new();
    for severity in Severity::ALL {
        let group: Vec<&Finding> =
            findings.iter().filter(|finding| finding.severity() == severity).collect();
        if group.is_empty() {
            continue;
        }
        counts.push(counted(group.len(), severity.name()));
        let title = format!("{:<width$}", severity.name().to_uppercase());
        let rows: Vec<Vec<Cell>> =
            group.into_iter().flat_map(|finding| rows(finding, line)).collect();
        output.table(&[title.as_str(), ""], &rows);
        output.line("");
    }
    counts.join(", ")
}

fn rows(finding: &Finding, line: usize) -> Vec<Vec<Cell>> {
    let code = Cell(finding.code.name().to_owned(), tone(finding.severity()));
    let mut lines = wrap::lines(&finding.message, line, "").into_iter();
    let mut rows = vec![vec![code, lines.next().unwrap_or_default().into()]];
    rows.extend(lines.map(|line| vec!["".into(), line.into()]));
    let excerpt = finding.excerpt().into_iter().flatten();
    rows.extend(excerpt.map(|line| vec!["".into(), format!("  {line}").into()]));
    // one command on one line, to be copied
    rows.push(vec!["".into(), Cell(format!("→ {}", finding.fix.text), Tone::Dim)]);
    rows
}
