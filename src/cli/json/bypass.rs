//! The emergency switch.

use super::change::ChangeSummary;
use super::message::FixKeys;
use super::shape::object;
use super::value::{PathText, Time};

object! {
    /// What is switched off.
    pub struct BypassEntry {
        /// Only calls about this guest or network; null for all
        object: Option<String>,
        /// Since when
        since: Time,
        /// Until when; null where the next boot ends it
        until: Option<Time>,
        /// Whether the next boot ends it
        this_boot: bool,
        /// Who did it
        user: Option<String>,
        /// Why
        reason: Option<String>,
        ..=fix_keys: FixKeys,
    }

    /// The emergency switch.
    pub struct Bypass {
        /// What is switched off; none where hooks run
        bypasses: Vec<BypassEntry>,
        /// Its file
        path: PathText,
        ..=summary: ChangeSummary,
    }
}
