//! The document's way: read from libvirt, given to hooks, taken back from them.

pub mod exchange;
pub mod facts;
pub mod file;
pub mod input;
