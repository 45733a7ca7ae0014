//! Events, and the calls of libvirt's that fire them.

use super::shape::object;
use super::value::Word;
use crate::libvirt::{Class, Driver};

object! {
    /// A call of libvirt's that fires an event.
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

    /// A moment at which hooks can run.
    pub struct Event {
        /// The event
        event: &'static str,
        /// Whether it is fired for each device with custom properties
        per_device: bool,
        /// What must hold, for people
        condition: Option<String>,
        /// The calls that fire it
        calls: Vec<FiringCall>,
        /// Why this host never fires it; null where it does
        never_here: Option<String>,
    }

    /// A hook point of vdsm's that libvirt has no call for.
    pub struct Unfired {
        /// vdsm's name
        event: &'static str,
        /// The event that comes nearest
        nearest: Option<&'static str>,
    }

    /// All events.
    pub struct Events {
        /// The version of this host's libvirt
        libvirt: Option<String>,
        /// The events
        events: Vec<Event>,
        /// vdsm's hook points that libvirt has no call for
        vdsm_without_source: Vec<Unfired>,
    }
}
