//! What hooks have set up and still have to take back.

use super::change::ChangeSummary;
use super::message::Message;
use super::shape::{object, words};
use super::value::{PathText, Time};

words! {
    /// What becomes of an undo:
    pub enum UndoState {
        /// it runs at the end of its guest, network or port
        SetUp = "set up",
        /// the hook ran at `restore` or `migrate`: `prepare` decides
        Waits = "waits",
        /// the process in the background runs it
        Due = "due",
        /// its guest, network or port is over: it runs before the next start, or by `hookmux undo`
        Owed = "owed",
    }
}

words! {
    /// How the hook ended:
    pub enum UndoOutcome {
        /// it succeeded
        Done = "done",
        /// hookmux died while it ran
        Unknown = "unknown",
    }
}

object! {
    /// A hook that owes its undo.
    pub struct Undo {
        /// The hook
        hook: String,
        /// The name of its registration, as it was
        registration: String,
        /// The event; null where it ran at a call
        event: Option<String>,
        /// The device, for an event of a device
        device: Option<String>,
        /// libvirt's driver
        driver: String,
        /// The guest or the network
        object: String,
        /// The guest's or the network's
        uuid: Option<String>,
        /// The id of the execution in which the hook ran
        parent: String,
        /// When the hook ran
        began: Time,
        /// What becomes of it
        state: UndoState,
        /// How the hook ended
        outcome: UndoOutcome,
        /// Whether an earlier try was interrupted
        interrupted: bool,
        /// Whether guests share what the hook set up
        shared: bool,
        /// How the last try ended, or why there was none
        last: Option<String>,
    }

    /// A file that can't be read.
    pub struct UnreadUndo {
        /// The file
        path: PathText,
        /// Why
        reason: String,
    }

    /// What is owed.
    pub struct Undos {
        /// The undos, in the order in which they would run for each guest
        undos: Vec<Undo>,
        /// Files that can't be read
        unread: Vec<UnreadUndo>,
    }

    /// What `hookmux undo` did.
    pub struct Undone {
        /// How many undos succeeded, or had nothing left to do
        undone: usize,
        /// How many failed, and are still owed
        failed: usize,
        /// How many couldn't be run, and stay
        left: usize,
        /// What went wrong, in words: of the undos that failed, and of guests whose undos couldn't be run
        failures: Vec<Message>,
        /// With --dry-run: what would be taken back; else none
        undos: Vec<Undo>,
        ..=summary: ChangeSummary,
    }
}

impl UndoOutcome {
    pub(crate) fn of(is_done: bool) -> UndoOutcome {
        if is_done { UndoOutcome::Done } else { UndoOutcome::Unknown }
    }
}
