//! What `log`, `watch`, `show`, `retry` and `prune` are asked.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser as NotEmpty;
use clap::{Args, ValueHint};

use super::values::{Format, OutputArgs, driver, whole_number};
use crate::libvirt::Driver;
use crate::process::internal;

/// Conditions for executions that several commands take.
#[derive(Debug, Default, Args)]
pub(crate) struct ConditionArgs {
    /// Of this guest or network: its name or uuid, or a pattern (web-*)
    #[arg(long, visible_alias = "object", value_name = "NAME|UUID", value_parser = NotEmpty::new())]
    pub guest: Option<String>,
    /// In which a hook of this event ran: its name, its beginning or a pattern
    #[arg(long, value_parser = NotEmpty::new())]
    pub event: Option<String>,
    /// Of this driver
    #[arg(long, value_parser = driver, value_name = "DRIVER")]
    pub driver: Option<Driver>,
    /// Of this libvirt operation
    #[arg(long, value_parser = NotEmpty::new())]
    pub operation: Option<String>,
    /// In which something failed; with --hook or --event, that. `log`, `show` and `retry` leave out what a later retry has fixed, or a later try of a detached hook
    #[arg(long, alias = "error")]
    pub failed: bool,
    /// In which nothing failed; with --hook or --event, in which that succeeded
    #[arg(long, conflicts_with_all = ["failed", "lost"])]
    pub success: bool,
    /// In which hookmux died before the end
    #[arg(long)]
    pub lost: bool,
    /// That began at or before a time
    #[arg(long, value_parser = crate::cli::time::parse, value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<u64>,
}

impl ConditionArgs {
    pub(crate) fn is_any(&self) -> bool {
        let named = [&self.guest, &self.event, &self.operation];
        named.iter().any(|value| value.is_some())
            || self.driver.is_some()
            || self.failed
            || self.success
            || self.lost
            || self.until.is_some()
    }
}

/// By what executions are found.
#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    #[command(flatten)]
    pub conditions: ConditionArgs,
    /// In which this hook ran: event/name, or its name, or a pattern
    #[arg(long, alias = "hook-id", value_parser = NotEmpty::new())]
    pub hook: Option<String>,
    /// That began at or after a time: 2h (ago), yesterday, 14:03, 2026-11-25 14:03
    #[arg(long, value_parser = crate::cli::time::parse, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<u64>,
}

impl SearchArgs {
    pub(crate) fn is_any(&self) -> bool {
        self.conditions.is_any() || self.hook.is_some() || self.since.is_some()
    }
}

/// Which executions to show.
#[derive(Debug, Args)]
pub(crate) struct FilterArgs {
    /// At which one of these events fired, with or without hooks, or which are one of these calls: the
    /// name of an event or its beginning (after_vm_), a call (qemu/prepare), a driver, a pattern
    #[arg(value_name = "EVENT|CALL", value_parser = NotEmpty::new())]
    pub occasions: Vec<String>,
    #[command(flatten)]
    pub search: SearchArgs,
}

impl FilterArgs {
    pub(crate) fn is_any(&self) -> bool {
        !self.occasions.is_empty() || self.search.is_any()
    }
}

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Show what was changed instead: bypass, install, add, import, delete, disable, stop … with user and reason
    #[arg(long, conflicts_with_all = ["occasions", "guest", "event", "hook", "driver", "operation", "success", "lost", "follow", "before", "total"])]
    pub audit: bool,
    #[command(flatten)]
    pub filter: FilterArgs,
    /// How many of the newest to show
    #[arg(
        short = 'n',
        long,
        default_value_t = 20,
        value_name = "NUMBER",
        value_parser = whole_number,
        overrides_with = "lines"
    )]
    pub lines: usize,
    /// Only those older than this execution: the next page, with the first id of the page before
    #[arg(long, value_name = "ID", value_parser = NotEmpty::new(), conflicts_with = "follow")]
    pub before: Option<String>,
    /// Also say how many there are in all
    #[arg(long, conflicts_with = "follow")]
    pub total: bool,
    /// Continue with those that end from now on; as JSON, each on one line
    #[arg(short, long)]
    pub follow: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct MetricsArgs {
    /// Write them into this file, whose name ends in .prom, instead; everybody may read it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "output")]
    pub write: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// At which one of these events fired, with or without hooks, or which are one of these calls: the
    /// name of an event or its beginning (after_vm_), a call (qemu/prepare), a driver, a pattern
    #[arg(value_name = "EVENT|CALL", value_parser = NotEmpty::new())]
    pub occasions: Vec<String>,
    #[command(flatten)]
    pub conditions: ConditionArgs,
    /// In which this hook ran: event/name, or its name, or a pattern
    #[arg(long, alias = "hook-id", value_parser = NotEmpty::new())]
    pub hook: Option<String>,
    /// Begin with what wasn't over at a time, or when this execution was over: so nothing is missed between
    /// two calls of `watch`, and some of it may come twice
    #[arg(long, value_name = "ID|TIME", allow_hyphen_values = true, value_parser = NotEmpty::new())]
    pub since: Option<String>,
    /// Only the ends of calls, as `log` has them
    #[arg(long)]
    pub done: bool,
    /// Print the first line at once: what ends after it is shown, and what ended before is in `log`
    #[arg(long, conflicts_with = "from")]
    pub ready: bool,
    /// Show the events of other hosts, from this server: executes `hookmux-relay watch`, with all words
    #[arg(long, value_name = "URL")]
    pub from: Option<String>,
    /// How to print; as JSON, an object on each line
    #[arg(
        short = 'o',
        long,
        value_enum,
        ignore_case = true,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The execution: its id, the beginning or the end of one that is unique, the id of a job, or `last`; or
    /// a hook
    #[arg(
        value_name = "ID|HOOK",
        value_parser = NotEmpty::new(),
        required_unless_present_any = ["guest", "event", "hook", "driver", "operation", "failed", "success", "lost", "since", "until"]
    )]
    pub id: Option<String>,
    /// After a hook: the execution of it to show
    #[arg(value_name = "ID", value_parser = NotEmpty::new())]
    pub execution: Option<String>,
    #[command(flatten)]
    pub search: SearchArgs,
    /// Show all lines of all output, long lines whole, the call's uuid, class and arguments, and all executions of a
    /// hook
    #[arg(long)]
    pub full: bool,
    /// Print the execution as one HTML file, which needs nothing else: to keep, to send, to print; of a hook its last
    /// execution. It has everything, as with --full
    #[arg(long, conflicts_with = "output")]
    pub html: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    /// The execution: its id, the beginning or the end of one that is unique, the id of a job, or `last`; or
    /// a hook, for its last execution
    #[arg(
        value_name = "ID|HOOK",
        value_parser = NotEmpty::new(),
        required_unless_present_any = ["guest", "event", "driver", "operation", "failed", "success", "lost", "since", "until"]
    )]
    pub id: Option<String>,
    /// After a hook: the execution of it to run again
    #[arg(value_name = "ID", value_parser = NotEmpty::new(), conflicts_with = "hook")]
    pub execution: Option<String>,
    #[command(flatten)]
    pub conditions: ConditionArgs,
    /// That began at or after a time: 2h (ago), yesterday, 14:03, 2026-11-25 14:03
    #[arg(long, value_parser = crate::cli::time::parse, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<u64>,
    /// Only this hook: event/name, or its name; may be repeated
    #[arg(long, value_parser = NotEmpty::new())]
    pub hook: Vec<String>,
    /// Also if the answer has no effect (a gate, a call that may change the document), or if a registration is gone or disabled
    #[arg(long)]
    pub force: bool,
    /// Run the hooks as they are registered today, not as they were then
    #[arg(long)]
    pub today: bool,
    /// Give hooks a document with *** in place of its passwords, which aren't recorded, instead of asking libvirt for that of the running guest
    #[arg(long)]
    pub masked: bool,
    /// Only show which hooks would run
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// The execution: its id, or the beginning or the end of one; the id of a job; its guest or network; or `last`, the newest that is running
    #[arg(value_name = "ID|GUEST|last", value_parser = NotEmpty::new())]
    pub id: String,
    /// Don't ask
    #[arg(long)]
    pub yes: bool,
    /// Only show what would be ended
    #[arg(long)]
    pub dry_run: bool,
    /// Why, for `log --audit`
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Wait for more records, and end after a while without any; started by calls
    #[arg(long = internal::LINGER, hide = true)]
    pub linger: bool,
    /// Only show what would be moved and removed
    #[arg(long, conflicts_with = internal::LINGER)]
    pub dry_run: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}
