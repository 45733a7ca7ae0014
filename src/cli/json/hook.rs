//! The hooks that `list` shows.

use super::cpanel::CpanelWords;
use super::message::{FixKeys, Message};
use super::registration::Registered;
use super::run::RunState;
use super::shape::object;
use super::value::{PathText, Seconds, Time, Word};
use crate::cli::inventory::listed::HookState;
use crate::hook::{HookSource, Style};

object! {
    /// A function of a module that a hook is.
    pub struct CalledFunction {
        /// `Python` or `Perl`
        language: &'static str,
        /// The module: `pkg.mod`, `Pkg::Mod`
        module: String,
        /// The function
        function: String,
        /// The module's file; null where it isn't found
        file: Option<PathText>,
    }

    /// The last run of a hook that is recorded.
    pub struct LastRun {
        /// The id of the execution
        id: String,
        /// When the call began
        began: Time,
        /// Who made the call: `libvirt`, `run`, `retry` or `queue`
        cause: String,
        /// The guest or the network
        object: String,
        /// How the run ended
        state: RunState,
        /// Whether it was ended because of a time limit
        timed_out: bool,
        /// How long it took
        duration_s: Option<Seconds>,
    }

    /// A hook, whether it runs or not.
    pub struct ListedHook {
        /// The hook: `before_vm_start/10-hugepages`, `qemu.d/win10/prepare/begin/10-gpu`, `qemu.adopted`; `hooks.d/NAME` for a registration that runs at calls, or never
        hook: String,
        /// The event; null where the hook belongs to none
        event: Option<String>,
        /// Where it belongs, for people: the event, the place in the per-guest tree, or the calls
        place: String,
        /// Its name without the place
        name: String,
        /// Its position among the hooks of its place that run, from 1; null where it doesn't run
        order: Option<usize>,
        /// Whether it runs
        state: Word<HookState>,
        /// Why it doesn't run
        reason: Option<String>,
        /// Its order at the event: lower first
        weight: Option<i64>,
        /// How it is called
        style: Option<Word<Style>>,
        /// Where it was found
        source: Word<HookSource>,
        /// What is executed: the program, or what runs the module; the registration's file where that can't be read
        path: PathText,
        /// The root in which it was found
        root: PathText,
        /// The digest of what is executed; of a module's function, that of the module's file
        sha256: Option<String>,
        /// The module's function that it is; null for a program
        module: Option<CalledFunction>,
        /// The file that registers it; null for a script
        registration: Option<PathText>,
        /// What that file says
        registered: Option<Registered>,
        /// For whom it runs, in short: `name=web*,!web-test`; null for everybody
        condition: Option<String>,
        /// Its last run, if one of the newest 1000 records has it
        last: Option<LastRun>,
        /// The same as `registered` in cPanel's words
        cpanel: Option<CpanelWords>,
        ..=fix_keys: FixKeys,
    }

    /// Every hook.
    pub struct List {
        /// Every hook, in its order
        hooks: Vec<ListedHook>,
        /// Notes: directories that look like an event's, but belong to no event
        notes: Vec<Message>,
        /// The digest of all hooks, the settings and the version: two hosts with the same do the same; null where only some hooks were asked for
        digest: Option<String>,
    }
}
