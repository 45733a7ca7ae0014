//! Entries in the hooks directory, and the daemons that call them.

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

object! {
    /// A link or a file, and what was done to it.
    pub struct Link {
        /// The driver; null where it belongs to none
        driver: Option<Word<Driver>>,
        /// The link or the file
        path: PathText,
        /// What was done: `linked`, `relinked`, `renewed`, `adopted`, `retired`, `restored`, `removed`, `purged`, or `none`; with --dry-run `would-link`, `would-adopt` or `would-retire`
        action: &'static str,
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
    }
}
