//! Commands about what happened: executions, what people changed, counters.

pub(super) mod audit;
pub(crate) mod command_line;
pub(super) mod executions;
pub(super) mod follow;
mod hook_history;
pub(super) mod log;
pub(super) mod metrics;
pub(super) mod prune;
mod queued_retries;
pub(super) mod retry;
mod selection;
pub(super) mod show;
pub(super) mod watch;
