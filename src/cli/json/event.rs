//! Events, and the libvirt calls that fire them.

use super::shape::object;
use super::value::Word;
use crate::libvirt::{Class, Driver};

object! {
    /// A libvirt call that fires an event.
    pub struct FiringCall {
        /// The drivers that make it
        drivers: Vec<Word<Driver>>,
        /// libvirt's operation
        operation: &'static str,
        /// libvirt's sub-operation; null where it varies
        sub_operation: Option<&'static str>,
        /// What a failure means: `gate`: the operation is stopped; `live`: it isn't passed on; `notify`: libvirt logs it
        class: Word<Class>,
        /// Whether libvirt takes the document that hooks made
        filter: bool,
        /// The versions of libvirt that make it
        since: &'static str,
    }

    /// Variables that a script gets.
    pub struct EventVariable {
        /// Their names, with a comma between two; `NAME` in capitals stands for any name: `HOOKMUX_PROPERTY_NAME`
        name: String,
        /// What is in them
        what: String,
    }

    /// An event at which hooks can run.
    pub struct Event {
        /// The event
        event: &'static str,
        /// Whether it is fired for each device with custom properties
        per_device: bool,
        /// The condition, for people
        condition: Option<String>,
        /// The variables that a script in its directory gets
        variables: Vec<EventVariable>,
        /// The calls that fire it
        calls: Vec<FiringCall>,
        /// Why this host never fires it; null where it does
        never_here: Option<String>,
    }

    /// A hook point of vdsm for which libvirt makes no call.
    pub struct Unfired {
        /// vdsm's name
        event: &'static str,
        /// The nearest event
        nearest: Option<&'static str>,
    }

    /// All events.
    pub struct Events {
        /// The version of this host's libvirt
        libvirt: Option<String>,
        /// The events
        events: Vec<Event>,
        /// vdsm's hook points for which libvirt makes no call
        vdsm_without_source: Vec<Unfired>,
    }
}
