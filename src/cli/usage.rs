//! Words of the command line that make no sense, where that is found only after they were parsed.

use std::error::Error;
use std::fmt;

use super::remark::Remark;

/// Wrong usage: exit status 2, and `usage` in JSON. What isn't there on this host is none, see
/// docs/exit-status.md.
#[derive(Debug)]
pub(crate) struct WrongUsage(pub Remark);

impl fmt::Display for WrongUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for WrongUsage {}

/// Returns the error of a word that makes no sense.
pub(crate) fn wrong(why: impl Into<Remark>) -> anyhow::Error {
    WrongUsage(why.into()).into()
}

/// Refuses words that make no sense.
///
/// # Errors
/// [`WrongUsage`]: the condition doesn't hold.
pub(crate) fn ensure(is_right: bool, why: impl Into<Remark>) -> anyhow::Result<()> {
    if is_right { Ok(()) } else { Err(wrong(why)) }
}

/// Tells whether an error is wrong usage.
pub(crate) fn is_wrong(error: &anyhow::Error) -> bool {
    error.downcast_ref::<WrongUsage>().is_some()
}
