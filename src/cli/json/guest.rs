//! The guests and networks that `list --guests` shows.

use super::execution::Execution;
use super::shape::object;
use super::value::Word;
use crate::libvirt::Driver;

object! {
    /// A guest or a network.
    pub struct Guest {
        /// Its driver; `network` for a network
        driver: Word<Driver>,
        /// Its name
        object: String,
        /// Whether libvirt has defined it; false for one that exists only while it runs, and for one that is gone
        defined: bool,
        /// Whether it runs; null where that isn't known
        running: Option<bool>,
        /// Its last execution, if it is one of the newest 1000
        last: Option<Execution>,
    }

    /// The guests and networks that libvirt knows, and those of the newest 1000 executions.
    pub struct Guests {
        /// The guests and networks, by driver and name
        guests: Vec<Guest>,
    }
}
