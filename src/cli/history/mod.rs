//! Commands about what happened: executions, acts of people, counters.

pub mod audit;
pub mod executions;
pub mod follow;
pub mod log;
pub mod metrics;
pub mod prune;
pub mod retry;
pub mod show;
pub mod watch;
