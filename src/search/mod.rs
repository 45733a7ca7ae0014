//! Which files of the roots there are, and which of them mask others.

pub(crate) mod companion;
pub(crate) mod directory;

use std::path::PathBuf;

/// Whether a file that was found runs as a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EntryState {
    Active,
    /// Masked by the same name in a root of higher precedence, at this path.
    Masked(PathBuf),
    /// Disabled by this: a link to `/dev/null`, an empty script, its registration.
    Disabled(&'static str),
    NotExecutable,
    /// A link with a missing target.
    Dangling,
    /// Not a hook, for this reason.
    Skipped(&'static str),
}

impl EntryState {
    #[cfg(test)]
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            EntryState::Active => "active",
            EntryState::Masked(_) => "masked",
            EntryState::Disabled(_) => "disabled",
            EntryState::NotExecutable => "not executable",
            EntryState::Dangling => "a link to nothing",
            EntryState::Skipped(_) => "skipped",
        }
    }

    /// Tells whether it is probably supposed to run, and doesn't: an administrator has to know.
    pub(crate) fn needs_attention(&self) -> bool {
        matches!(self, EntryState::NotExecutable | EntryState::Dangling)
    }

    /// Returns why it doesn't run; `None` where it does.
    pub(crate) fn reason(&self) -> Option<String> {
        match self {
            EntryState::Active => None,
            EntryState::Masked(by) => Some(format!("masked by {}", by.display())),
            EntryState::Disabled(how) => Some(format!("disabled: {how}")),
            EntryState::NotExecutable => Some("not executable: it has no x bit".to_owned()),
            EntryState::Dangling => {
                Some("a link to nothing: what it leads to is not there".to_owned())
            }
            EntryState::Skipped(why) => Some(format!("skipped: {why}")),
        }
    }
}
