//! The document's way: read from libvirt, given to hooks, taken back from them.

pub(crate) mod exchange;
pub(crate) mod facts;
pub(crate) mod file;
pub(crate) mod input;
