//! Commands about what happened: executions, what people changed, counters.

pub(super) mod audit;
mod bars;
pub(crate) mod command_line;
mod consumed;
pub(super) mod executions;
pub(super) mod follow;
mod hook_history;
mod html;
mod jobs;
pub(crate) mod last_results;
pub(super) mod log;
pub(super) mod misplaced_word;
pub(super) mod prune;
pub(super) mod retry;
pub(super) mod running;
pub(super) mod seen;
mod selection;
pub(super) mod show;
mod statistics;
pub(super) mod stop;
mod timeline;
mod view;
pub(super) mod watch;
mod which;
