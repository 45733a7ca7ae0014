//! What was found to be wrong.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

pub use super::code::{Code, Severity};
use crate::libvirt::driver::DEFAULT_HOOKS_DIR;

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Finding {
    pub code: Code,
    pub path: PathBuf,
    /// A lower-case sentence that names the file or the hook.
    pub message: String,
    /// One command where one can mend it, else what is to be done.
    pub fix: String,
}

impl Finding {
    pub fn severity(&self) -> Severity {
        self.code.severity()
    }

    pub fn json(&self) -> Value {
        json!({
            "code": self.code.name(),
            "severity": self.severity().name(),
            "path": self.path.to_string_lossy(),
            "message": self.message,
            "fix": self.fix,
        })
    }
}

/// All that was found, each thing once.
#[derive(Debug, Default)]
pub struct Findings {
    all: Vec<Finding>,
}

impl Findings {
    pub fn add(
        &mut self,
        code: Code,
        path: &Path,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let finding =
            Finding { code, path: path.to_path_buf(), message: message.into(), fix: fix.into() };
        let is_known = self.all.iter().any(|known| {
            known.code == code && known.path == finding.path && known.message == finding.message
        });
        if !is_known {
            self.all.push(finding);
        }
    }

    /// The worst first; what is equally bad in the order in which it was found.
    pub fn sorted(mut self) -> Vec<Finding> {
        self.all.sort_by_key(Finding::severity);
        self.all
    }
}

/// A path as a shell takes it.
pub fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    match shlex::try_quote(&text) {
        Ok(quoted) => quoted.into_owned(),
        Err(_) => text.into_owned(),
    }
}

/// A command of hookmux's own, about this hooks directory.
pub fn command(hooks_dir: &Path, words: &str) -> String {
    if hooks_dir == Path::new(DEFAULT_HOOKS_DIR) {
        return format!("hookmux {words}");
    }
    format!("hookmux --hooks-dir {} {words}", quoted(hooks_dir))
}

/// The command that opens a file to be mended by hand.
pub fn edit(path: &Path) -> String {
    format!("\"${{EDITOR:-vi}}\" {}", quoted(path))
}

/// The same, at a line.
pub fn edit_line(path: &Path, line: usize) -> String {
    format!("\"${{EDITOR:-vi}}\" +{line} {}", quoted(path))
}

/// `1 error`, `2 errors`.
pub fn counted(count: usize, what: impl Display) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{count} {what}{end}")
}
