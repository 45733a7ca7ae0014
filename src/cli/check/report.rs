//! How findings are shown: the worst first, codes and sentences aligned, each with its way out.

use std::path::Path;

use serde_json::{Value, json};

use super::finding::{Finding, Severity, counted};
use crate::cli::args::Format;
use crate::cli::output::{Cell, Output, Tone};

const fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Error => Tone::Bad,
        Severity::Warning => Tone::Careful,
        Severity::Note => Tone::Plain,
    }
}

pub fn show(findings: &[Finding], hooks_dir: &Path, format: Format, output: &mut Output) {
    if format == Format::Json {
        let findings: Vec<Value> = findings.iter().map(Finding::json).collect();
        output.json(&json!({ "findings": findings }));
        return;
    }
    if findings.is_empty() {
        output.toned(Tone::Good, &format!("{}: nothing to complain about", hooks_dir.display()));
        return;
    }
    let width = findings.iter().map(|finding| finding.code.name().len()).max().unwrap_or_default();
    let mut counts = Vec::new();
    for severity in Severity::ALL {
        let group: Vec<&Finding> =
            findings.iter().filter(|finding| finding.severity() == severity).collect();
        if group.is_empty() {
            continue;
        }
        counts.push(counted(group.len(), severity.name()));
        let title = format!("{:<width$}", severity.name().to_uppercase());
        let rows: Vec<Vec<Cell>> = group.into_iter().flat_map(rows).collect();
        output.table(&[&title, ""], &rows);
        output.line("");
    }
    output.line(&format!("{} in {}.", counts.join(", "), hooks_dir.display()));
}

fn rows(finding: &Finding) -> [Vec<Cell>; 2] {
    let code = Cell(finding.code.name().to_owned(), tone(finding.severity()));
    let fix = Cell(format!("→ {}", finding.fix), Tone::Dim);
    [vec![code, finding.message.as_str().into()], vec!["".into(), fix]]
}
