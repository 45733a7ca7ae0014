//! What is kept of calls: in memory while they run, then on the disk, and in the journal.

pub mod counters;
pub mod form;
pub mod history;
pub mod journal;
pub mod mask;
pub mod mover;
pub mod needles;
pub mod recorder;
pub mod retention;
pub mod spool;
pub mod store;
pub mod text;
