//! Records of calls: in memory while a call runs, later on disk; and entries in the journal.

mod cause;
pub(crate) mod counters;
pub(crate) mod digest;
pub(crate) mod form;
pub(crate) mod history;
pub(crate) mod journal;
pub(crate) mod last_day;
pub(crate) mod mask;
pub(crate) mod mover;
pub(crate) mod needles;
mod open_event;
pub(crate) mod outbox;
mod password_values;
pub(crate) mod planned;
pub(crate) mod recorder;
pub(crate) mod retention;
pub(crate) mod running;
pub(crate) mod selection;
pub(crate) mod spool;
pub(crate) mod store;
pub(crate) mod text;
pub(crate) mod texts;
