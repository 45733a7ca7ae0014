//! libvirt's document: read from standard input, given to hooks, taken back from them.

pub(crate) mod device;
pub(crate) mod exchange;
pub(crate) mod facts;
pub(crate) mod file;
pub(crate) mod input;
pub(crate) mod input_file;
mod shared_file;
