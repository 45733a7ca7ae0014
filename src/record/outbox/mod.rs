//! The outbox: each execution as an event for other hosts, which another program sends.
//!
//! A call writes its event beside its record, in memory. The process that moves records gives each event its
//! number, and moves it to the state directory. Nothing here waits for anybody, and no error here affects a call.

pub(crate) mod cursor;
pub(crate) mod directory;
pub(crate) mod event;
pub(crate) mod gap;
pub(crate) mod moving;
pub(crate) mod sequence;
pub(crate) mod status;
