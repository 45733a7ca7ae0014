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
