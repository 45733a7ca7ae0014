//! A sentence that a command says beside its answer, or in place of it: for people as it stands, for
//! programs with the command that it proposes as words.

use std::error::Error;
use std::fmt;

use crate::command::Fix;

#[derive(Clone, Debug)]
pub(super) struct Remark {
    /// All of it, the proposed command included.
    pub words: String,
    pub fix: Option<Fix>,
}

impl Remark {
    /// A sentence that has its command in it.
    pub(super) fn with(words: String, fix: Fix) -> Remark {
        Remark { words, fix: Some(fix) }
    }

    /// A sentence with its way out behind it, where there is one.
    pub(super) fn and(words: &str, fix: Option<Fix>) -> Remark {
        let way_out = fix.as_ref().map(|fix| format!("; {}", fix.text)).unwrap_or_default();
        Remark { words: format!("{words}{way_out}"), fix }
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
