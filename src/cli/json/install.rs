//! Entries in the hooks directory, and the daemons that call them.

use super::change::ChangeSummary;
use super::message::{FixKeys, Message};
use super::shape::{object, words};
use super::value::{PathText, Word};
use crate::libvirt::Driver;

words! {
    /// How the reload of a daemon ended:
    pub enum ReloadState {
        /// it has looked for its hook programs
        Looked = "looked",
        /// it was told to look, but hookmux can't see whether it has
        Unseen = "unseen",
        /// it has ended: it will look when it starts
        Ended = "ended",
        /// it was told to look, but hasn't in time
        Late = "late",
        /// it couldn't be told to look
        Failed = "failed",
    }
}

words! {
    /// What was done to a link or a file.
    pub enum LinkAction {
        /// It was made
        Linked = "linked",
        /// It leads elsewhere than before
        Relinked = "relinked",
        /// A driver's copy of hookmux was made anew
        Renewed = "renewed",
        /// hookmux runs the script from now on
        Adopted = "adopted",
        /// The script was put aside, because hookmux replaces it
        Retired = "retired",
        /// What was there before hookmux is there again
        Restored = "restored",
        /// It was removed
        Removed = "removed",
        /// Files that hookmux wrote were removed
        Purged = "purged",
        /// Nothing: it is as it should be, or it isn't hookmux's
        None = "none",
        /// It would be made, without --dry-run
        WouldLink = "would-link",
        /// The script would be adopted, without --dry-run
        WouldAdopt = "would-adopt",
        /// The script would be put aside, without --dry-run
        WouldRetire = "would-retire",
        /// It would lead elsewhere than before, without --dry-run
        WouldRelink = "would-relink",
        /// A driver's copy of hookmux would be made anew, without --dry-run
        WouldRenew = "would-renew",
        /// What was there before hookmux would be there again, without --dry-run
        WouldRestore = "would-restore",
        /// It would be removed, without --dry-run
        WouldRemove = "would-remove",
        /// Files that hookmux wrote would be removed, without --dry-run
        WouldPurge = "would-purge",
    }
}

impl LinkAction {
    /// Tells whether something was changed.
    pub(crate) fn is_change(self) -> bool {
        self != LinkAction::None && self.in_dry_run() != self
    }

    /// Returns the word for the same in a dry run.
    pub(crate) fn in_dry_run(self) -> LinkAction {
        match self {
            LinkAction::Linked | LinkAction::WouldLink => LinkAction::WouldLink,
            LinkAction::Relinked | LinkAction::WouldRelink => LinkAction::WouldRelink,
            LinkAction::Renewed | LinkAction::WouldRenew => LinkAction::WouldRenew,
            LinkAction::Adopted | LinkAction::WouldAdopt => LinkAction::WouldAdopt,
            LinkAction::Retired | LinkAction::WouldRetire => LinkAction::WouldRetire,
            LinkAction::Restored | LinkAction::WouldRestore => LinkAction::WouldRestore,
            LinkAction::Removed | LinkAction::WouldRemove => LinkAction::WouldRemove,
            LinkAction::Purged | LinkAction::WouldPurge => LinkAction::WouldPurge,
            LinkAction::None => LinkAction::None,
        }
    }
}

object! {
    /// A link or a file, and what was done to it.
    pub struct Link {
        /// The driver; null where it belongs to none
        driver: Option<Word<Driver>>,
        /// The link or the file
        path: PathText,
        /// What was done
        action: LinkAction,
        /// The same for people
        message: String,
    }

    /// A daemon that was told to look for its hook programs.
    pub struct ReloadedDaemon {
        /// Its name
        name: String,
        /// Its process
        pid: u32,
        /// How the reload ended
        state: ReloadState,
        /// The same for people
        message: String,
        ..=fix_keys: FixKeys,
    }

    /// What `install` and `uninstall` did.
    pub struct Installed {
        /// The links and files
        links: Vec<Link>,
        /// Notes
        notes: Vec<Message>,
        /// What couldn't be done
        problems: Vec<Message>,
        /// The daemons that still have to look for their hook programs, each with the command
        reload: Vec<Message>,
        /// The daemons that were reloaded, with --reload
        daemons: Vec<ReloadedDaemon>,
        ..=summary: ChangeSummary,
    }
}
