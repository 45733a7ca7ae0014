//! Hooks as they are listed.

use super::message::{Message, WayOut};
use super::registration::Registered;
use super::shape::object;
use super::value::{Place, Word};
use crate::cli::inventory::listed::HookState;
use crate::hook::{HookSource, Style};

object! {
    /// A hook, whether it runs or not.
    pub struct ListedHook {
        /// The hook: `before_vm_start/10-hugepages`, `qemu.d/win10/prepare/begin/10-gpu`, `qemu.adopted`; `hooks.d/NAME` for a registration that runs at calls, or at nothing
        hook: String,
        /// The event; null where it is no event's
        event: Option<String>,
        /// Where it belongs, for people: the event, the place in the per-guest tree, or the calls
        place: String,
        /// Its name without the place
        name: String,
        /// Its turn among those of its place that run, from 1; null where it doesn't run
        order: Option<usize>,
        /// Whether it runs
        state: Word<HookState>,
        /// Why it doesn't run
        reason: Option<String>,
        /// Its turn at the event: lower first
        weight: Option<i64>,
        /// How it is called
        style: Option<Word<Style>>,
        /// Where it was found
        source: Word<HookSource>,
        /// What is executed; of a registration that can't be read, its file
        path: Place,
        /// The root that it lies in
        root: Place,
        /// Of what is executed
        sha256: Option<String>,
        /// The file that registers it; null for a script
        registration: Option<Place>,
        /// What that file says
        registered: Option<Registered>,
        ..=way_out: WayOut,
    }

    /// Every hook.
    pub struct List {
        /// Every hook, in its order
        hooks: Vec<ListedHook>,
        /// What else there is to say: directories that look as if they were an event's
        notes: Vec<Message>,
    }
}
