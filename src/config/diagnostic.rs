//! Problems in configuration files, shown with their place: `file:line:column`, the line, a caret.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::recovered_registration::RecoveredRegistration;
use super::yaml::{self, Mistake};
use crate::trust::{Refusal, TrustFault};

/// The kind of a problem. Code decides by the kind, never by the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiagnosticKind {
    /// Others could have changed the file: it wasn't read.
    NotTrusted,
    /// It can't be read.
    Unreadable,
    /// The parser rejected it: invalid YAML, an unknown key, or a value of the wrong type.
    Syntax,
    /// It was parsed, but a value is wrong or contradicts another one.
    #[default]
    Value,
}

/// A problem in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub path: PathBuf,
    /// Line and column, from 1; `None` where the problem is about the whole file.
    pub place: Option<(usize, usize)>,
    pub message: String,
    /// The text of that line.
    pub line: Option<Box<str>>,
    pub kind: DiagnosticKind,
    /// The top-level key that the problem is about.
    pub key: Option<Box<str>>,
    /// What could be recovered of a registration; `None` where nothing could.
    pub recovered: Option<Box<RecoveredRegistration>>,
}

impl Diagnostic {
    /// Makes one about the whole file.
    pub fn whole(path: &Path, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            path: path.to_path_buf(),
            place: None,
            message: message.into(),
            line: None,
            kind: DiagnosticKind::default(),
            key: None,
            recovered: None,
        }
    }

    /// Makes one about a file that can't be read.
    pub fn unreadable(path: &Path, message: impl Into<String>) -> Diagnostic {
        Diagnostic { kind: DiagnosticKind::Unreadable, ..Diagnostic::whole(path, message) }
    }

    /// Makes one about a file that others could have changed, or that is not a regular file.
    pub fn not_trusted(path: &Path, refusal: &Refusal) -> Diagnostic {
        let kind = match refusal.fault {
            TrustFault::NotRegular => DiagnosticKind::Unreadable,
            _ => DiagnosticKind::NotTrusted,
        };
        Diagnostic { kind, ..Diagnostic::whole(path, refusal.words()) }
    }

    /// Makes one about a key, at its first place in the text.
    pub fn at_key(path: &Path, text: &str, key: &str, message: String) -> Diagnostic {
        let place = if key.is_empty() { None } else { yaml::place_of_key(text, key) };
        let line = place.and_then(|(line, _)| text.lines().nth(line - 1)).map(Box::from);
        let key = (!key.is_empty()).then(|| key.into());
        let (place, kind) = (place.or(Some((1, 1))), DiagnosticKind::Value);
        let path = path.to_path_buf();
        Diagnostic { path, place, message, line, kind, key, recovered: None }
    }

    /// Makes one of a parser's error.
    pub fn syntax(path: &Path, mistake: Mistake) -> Diagnostic {
        let Mistake { place, line, key, message } = mistake;
        let (path, kind) = (path.to_path_buf(), DiagnosticKind::Syntax);
        Diagnostic { path, place, message, line, kind, key, recovered: None }
    }

    /// Adds what can be recovered of the registration.
    pub fn with_recovered(self, text: &str) -> Diagnostic {
        Diagnostic { recovered: Some(Box::new(RecoveredRegistration::read(text))), ..self }
    }

    /// Returns what could be recovered of a registration. Where that is nothing, it counts for every
    /// call.
    pub fn recovered(&self) -> RecoveredRegistration {
        self.recovered.as_deref().cloned().unwrap_or_default()
    }

    /// Returns place and message on one line.
    pub fn one_line(&self) -> String {
        match self.place {
            Some((line, column)) => {
                format!("{}:{line}:{column}: {}", self.path.display(), self.message)
            }
            None => format!("{}: {}", self.path.display(), self.message),
        }
    }
}

impl Diagnostic {
    /// Returns the line, and a line with a caret below the column.
    pub fn excerpt(&self) -> Option<[String; 2]> {
        let (_, column) = self.place?;
        let line: String = self.line.as_ref()?.chars().take(160).collect();
        // tabs stay tabs, so that the caret is below the right column on a terminal
        let indent: String = line
            .chars()
            .take(column.saturating_sub(1))
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        Some([line, format!("{indent}^")])
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.one_line())?;
        let Some([line, caret]) = self.excerpt() else { return Ok(()) };
        write!(f, "\n  {line}\n  {caret}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caret_points_at_the_column() {
        let diagnostic = Diagnostic {
            path: "/x/hookmux.yaml".into(),
            place: Some((3, 10)),
            message: "invalid duration".into(),
            line: Some("timeout: 3x".into()),
            kind: DiagnosticKind::Syntax,
            key: Some("timeout".into()),
            recovered: None,
        };
        assert_eq!(
            diagnostic.to_string(),
            "/x/hookmux.yaml:3:10: invalid duration\n  timeout: 3x\n           ^"
        );
    }
}
