//! What is wrong with a configuration file, and where: `file:line:column`, the line, a caret.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::meaning::Meaning;
use super::yaml::{self, Mistake};
use crate::trust::{Refusal, TrustFault};

/// What kind of problem it is. What depends on it asks here, never the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Others could have changed the file: it wasn't read.
    NotTrusted,
    /// It can't be read.
    Unreadable,
    /// The parser refused it: its YAML, a key that there isn't, or a value of another kind.
    Syntax,
    /// It was read, and what it says doesn't go together.
    #[default]
    Value,
}

/// A problem in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub path: PathBuf,
    /// Line and column, from 1; absent where the file as a whole is meant.
    pub place: Option<(usize, usize)>,
    pub message: String,
    /// The line that is meant.
    pub line: Option<Box<str>>,
    pub kind: Kind,
    /// The key that is meant, of those that lie below no other one.
    pub key: Option<Box<str>>,
    /// Of a registration, what it could have meant; `None` where nothing is known of that.
    pub meaning: Option<Box<Meaning>>,
}

impl Diagnostic {
    /// One about the file as a whole.
    pub fn whole(path: &Path, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            path: path.to_path_buf(),
            place: None,
            message: message.into(),
            line: None,
            kind: Kind::default(),
            key: None,
            meaning: None,
        }
    }

    /// One about a file that can't be read.
    pub fn unreadable(path: &Path, message: impl Into<String>) -> Diagnostic {
        Diagnostic { kind: Kind::Unreadable, ..Diagnostic::whole(path, message) }
    }

    /// One about a file that others could have changed, or that is none.
    pub fn not_trusted(path: &Path, refusal: &Refusal) -> Diagnostic {
        let kind = match refusal.fault {
            TrustFault::NotRegular => Kind::Unreadable,
            _ => Kind::NotTrusted,
        };
        Diagnostic { kind, ..Diagnostic::whole(path, refusal.words()) }
    }

    /// One about a key, where it first stands.
    pub fn at_key(path: &Path, text: &str, key: &str, message: String) -> Diagnostic {
        let place = if key.is_empty() { None } else { yaml::place_of_key(text, key) };
        let line = place.and_then(|(line, _)| text.lines().nth(line - 1)).map(Box::from);
        let key = (!key.is_empty()).then(|| key.into());
        let (place, kind) = (place.or(Some((1, 1))), Kind::Value);
        let path = path.to_path_buf();
        Diagnostic { path, place, message, line, kind, key, meaning: None }
    }

    /// One that the parser told.
    pub fn syntax(path: &Path, mistake: Mistake) -> Diagnostic {
        let Mistake { place, line, key, message } = mistake;
        let (path, kind) = (path.to_path_buf(), Kind::Syntax);
        Diagnostic { path, place, message, line, kind, key, meaning: None }
    }

    /// The same, with what the registration could have meant.
    pub fn with_meaning(self, text: &str) -> Diagnostic {
        Diagnostic { meaning: Some(Box::new(Meaning::of(text))), ..self }
    }

    /// What a registration could have meant: anything, where nothing is known.
    pub fn meaning(&self) -> Meaning {
        self.meaning.as_deref().cloned().unwrap_or_default()
    }

    /// Place and message on one line.
    pub fn one_line(&self) -> String {
        match self.place {
            Some((line, column)) => {
                format!("{}:{line}:{column}: {}", self.path.display(), self.message)
            }
            None => format!("{}: {}", self.path.display(), self.message),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.one_line())?;
        let (Some((_, column)), Some(line)) = (self.place, &self.line) else { return Ok(()) };
        let line: String = line.chars().take(160).collect();
        // tabs stay tabs, so that the caret stands where the terminal puts the column
        let indent: String = line
            .chars()
            .take(column.saturating_sub(1))
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        write!(f, "\n  {line}\n  {indent}^")
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
            kind: Kind::Syntax,
            key: Some("timeout".into()),
            meaning: None,
        };
        assert_eq!(
            diagnostic.to_string(),
            "/x/hookmux.yaml:3:10: invalid duration\n  timeout: 3x\n           ^"
        );
    }
}
