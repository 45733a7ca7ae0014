//! A message that a command prints beside its output or instead of it. For programs the command that it
//! proposes is separate.

use std::error::Error;
use std::fmt;

use crate::command::Fix;

#[derive(Clone, Debug)]
pub(super) struct Remark {
    /// The whole message, with the proposed command.
    pub words: String,
    pub fix: Option<Fix>,
}

impl Remark {
    /// Makes a message that contains its command already.
    pub(super) fn with_fix(words: String, fix: Fix) -> Remark {
        Remark { words, fix: Some(fix) }
    }

    /// Makes a message followed by what to do, if that is known.
    pub(super) fn followed_by(words: &str, fix: Option<Fix>) -> Remark {
        let fix_text = fix.as_ref().map(|fix| format!("; {}", fix.text)).unwrap_or_default();
        Remark { words: format!("{words}{fix_text}"), fix }
    }
}

/// Messages about several hooks. One that holds for more than one of them is printed once: `a, b: words`.
#[derive(Debug, Default)]
pub(super) struct NamedRemarks(Vec<(Vec<String>, Remark)>);

impl NamedRemarks {
    pub(super) fn add(&mut self, name: &str, remark: Remark) {
        match self.0.iter_mut().find(|(_, known)| known.words == remark.words) {
            Some((names, _)) if names.iter().any(|known| known == name) => {}
            Some((names, _)) => names.push(name.to_owned()),
            None => self.0.push((vec![name.to_owned()], remark)),
        }
    }

    /// Returns the messages, each with the names before it.
    pub(super) fn into_remarks(self) -> impl Iterator<Item = Remark> {
        self.0.into_iter().map(|(names, remark)| Remark {
            words: format!("{}: {}", names.join(", "), remark.words),
            fix: remark.fix,
        })
    }
}

impl From<String> for Remark {
    fn from(words: String) -> Remark {
        Remark { words, fix: None }
    }
}

impl From<&str> for Remark {
    fn from(words: &str) -> Remark {
        words.to_owned().into()
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl Error for Remark {}
