//! What `queue`, `undo` and `bypass` are asked.

use clap::{Args, ValueEnum};

use super::values::OutputArgs;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BypassSwitch {
    /// Run no hooks
    On,
    /// Run hooks again
    Off,
}

#[derive(Debug, Args)]
pub(crate) struct BypassArgs {
    /// Switch it on or off
    #[arg(value_enum)]
    pub turn: Option<BypassSwitch>,
    /// How long: 1h, 30m, at most 30d [default: 30d, after a question]
    #[arg(long = "for", value_parser = crate::config::values::parse_duration, value_name = "TIME", requires = "turn")]
    pub duration: Option<std::time::Duration>,
    /// Until the host restarts, for whatever reason
    #[arg(long, requires = "turn", conflicts_with = "duration")]
    pub this_boot: bool,
    /// Only for calls about this guest or network
    #[arg(long, value_name = "NAME")]
    pub guest: Option<String>,
    /// Why; stored with the user's name, and shown while it is on
    #[arg(long, value_name = "TEXT", requires = "turn")]
    pub reason: Option<String>,
    /// Continue without a question
    #[arg(long)]
    pub yes: bool,
    /// Only show what would be switched
    #[arg(long, requires = "turn")]
    pub dry_run: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct QueueArgs {
    /// Remove jobs that wait or were put aside: one by its id, those of a hook by its name, or all, after
    /// a question; running jobs are not removed
    #[arg(long, conflicts_with = "work", value_name = "JOB|HOOK", num_args = 0..=1, default_missing_value = "")]
    pub flush: Option<String>,
    /// Queue jobs again that were put aside, as if they were new: one by its id, those of a hook by its
    /// name, or all
    #[arg(long, conflicts_with_all = ["work", "flush"], value_name = "JOB|HOOK", num_args = 0..=1, default_missing_value = "")]
    pub requeue: Option<String>,
    /// Continue without a question
    #[arg(long)]
    pub yes: bool,
    /// Only show which jobs --flush would remove or --requeue would bring back
    #[arg(long, conflicts_with = "work")]
    pub dry_run: bool,
    /// Work on the queue now
    #[arg(long)]
    pub work: bool,
    /// Why; stored with the user's name, for `log --audit`
    #[arg(long, value_name = "TEXT", conflicts_with = "work")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UndoArgs {
    /// Show what is owed, and take nothing back
    #[arg(long)]
    pub list: bool,
    /// Only what is owed for this guest or network, by its name or uuid; after a question also what it still
    /// needs
    #[arg(long, value_name = "NAME")]
    pub guest: Option<String>,
    /// Continue without a question
    #[arg(long, conflicts_with = "list")]
    pub yes: bool,
    /// Only show what would be taken back
    #[arg(long, conflicts_with = "list")]
    pub dry_run: bool,
    /// Why; stored with the user's name, for `log --audit`
    #[arg(long, value_name = "TEXT", conflicts_with = "list")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}
