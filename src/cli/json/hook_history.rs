//! One hook, for `show HOOK`.

use super::hook::ListedHook;
use super::run::RunState;
use super::shape::object;
use super::value::{Seconds, Time};

object! {
    /// A hook's run in an execution.
    pub struct HookExecution {
        /// The id of the execution
        id: String,
        /// When the call began
        began: Time,
        /// Who made the call: `libvirt`, `run`, `retry` or `queue`
        cause: String,
        /// The id of the execution that it comes from
        parent: Option<String>,
        /// libvirt's driver
        driver: String,
        /// The guest or the network
        object: String,
        /// libvirt's operation
        operation: String,
        /// The hook, as it was called then
        hook: String,
        /// The event; null where it ran at a call
        event: Option<String>,
        /// The device, for an event of a device
        device: Option<String>,
        /// How its run ended
        state: RunState,
        /// Whether it was ended because of a time limit
        timed_out: bool,
        /// Its exit status; null where it is unknown
        status: Option<i32>,
        /// What happened, where it failed
        failure: Option<String>,
        /// How long it took
        duration_s: Option<Seconds>,
    }

    /// A run of a hook, for statistics.
    pub struct HookResult {
        /// The id of the execution
        id: String,
        /// When the call began
        began: Time,
        /// How the run ended
        state: RunState,
    }

    /// What the recorded runs of a hook amount to.
    pub struct HookStatistics {
        /// How many runs are recorded
        runs: usize,
        /// How many of them failed
        failed: usize,
        /// The last one
        last: Option<HookResult>,
        /// The last one that failed
        last_failed: Option<HookResult>,
        /// The duration that as many runs exceeded as not
        median_s: Option<Seconds>,
        /// The longest duration
        longest_s: Option<Seconds>,
    }

    /// A hook, and what it did.
    pub struct HookHistory {
        /// Its name: that of its registration, or the hook as `list` has it
        name: String,
        /// It as `list` has it, at each of its events; empty where it is gone
        hooks: Vec<ListedHook>,
        /// Its executions, the newest last
        executions: Vec<HookExecution>,
        /// How many older ones there are
        older: usize,
        /// What all of them amount to
        statistics: HookStatistics,
        /// An execution whose id begins or ends with the same word
        execution_of_this_name: Option<String>,
    }
}
