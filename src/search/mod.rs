//! Which files of the roots there are, and which of them mask others.

pub(crate) mod directory;

use std::path::PathBuf;

/// Whether a found hook runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Active,
    /// The same name in a root of higher precedence; its path.
    Masked(PathBuf),
    /// By whom or what: a link to `/dev/null`, an empty script, its registration.
    Disabled(&'static str),
    NotExecutable,
    /// A link whose target isn't there.
    Dangling,
    /// Not a hook at all: why.
    Skipped(&'static str),
}

impl State {
    #[cfg(test)]
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            State::Active => "active",
            State::Masked(_) => "masked",
            State::Disabled(_) => "disabled",
            State::NotExecutable => "not executable",
            State::Dangling => "a link to nothing",
            State::Skipped(_) => "skipped",
        }
    }

    /// Whether it looks as if it were meant to run, and doesn't: an administrator has to know.
    pub(crate) fn is_odd(&self) -> bool {
        matches!(self, State::NotExecutable | State::Dangling)
    }

    /// Why it doesn't run; `None` where it does.
    pub(crate) fn reason(&self) -> Option<String> {
        match self {
            State::Active => None,
            State::Masked(by) => Some(format!("masked by {}", by.display())),
            State::Disabled(how) => Some(format!("disabled: {how}")),
            State::NotExecutable => Some("not executable: it has no x bit".to_owned()),
            State::Dangling => Some("a link to nothing: what it leads to is not there".to_owned()),
            State::Skipped(why) => Some(format!("skipped: {why}")),
        }
    }
}
