//! The operations of libvirt's hook interface, as data: what a failure means to libvirt and what
//! it does with what a hook prints.
//!
//! Source: libvirt's `docs/hooks.rst` and `src/util/virhook.c`, compared with running daemons of
//! 9.0.0 and 11.3.0.

use super::driver::Driver;

/// What a failing hook means to libvirt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Nothing runs yet: a failure stops the operation.
    Gate,
    /// A failure makes libvirt kill a running guest or tear down a working network.
    Live,
    /// libvirt only logs a failure.
    Notify,
}

impl Class {
    pub const fn name(self) -> &'static str {
        match self {
            Class::Gate => "gate",
            Class::Live => "live",
            Class::Notify => "notify",
        }
    }
}

/// What happens to the object. Names are libvirt's, those of networks prefixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    Prepare,
    Start,
    Started,
    Stopped,
    Release,
    Migrate,
    Restore,
    Reconnect,
    Attach,
    NetworkStart,
    NetworkStarted,
    NetworkStopped,
    NetworkUpdated,
    PortCreated,
    PortDeleted,
    DaemonStart,
    DaemonShutdown,
    DaemonReload,
    /// One that this version doesn't know: never a filter, never a reason to kill anything.
    Unknown,
}

/// One row of the table.
pub struct Row {
    pub operation: Operation,
    pub drivers: &'static [Driver],
    /// libvirt's second argument.
    pub name: &'static str,
    /// libvirt's third argument; `None` where it varies or is left out.
    pub sub: Option<&'static str>,
    pub class: Class,
    /// Whether libvirt replaces the document by what the hook prints.
    pub filter: bool,
    /// What `hookmux events` says of the versions that call it.
    pub since: &'static str,
}

const G: &[Driver] = Driver::GUESTS;
const N: &[Driver] = &[Driver::Network];
const D: &[Driver] = &[Driver::Daemon];

#[rustfmt::skip]
pub static TABLE: &[Row] = &[
    Row { operation: Operation::Prepare,        drivers: G, name: "prepare",      sub: Some("begin"), class: Class::Gate,   filter: false, since: "0.9.0" },
    Row { operation: Operation::Start,          drivers: G, name: "start",        sub: Some("begin"), class: Class::Gate,   filter: false, since: "0.8.0" },
    Row { operation: Operation::Started,        drivers: G, name: "started",      sub: Some("begin"), class: Class::Live,   filter: false, since: "0.9.13" },
    Row { operation: Operation::Stopped,        drivers: G, name: "stopped",      sub: Some("end"),   class: Class::Notify, filter: false, since: "0.8.0" },
    Row { operation: Operation::Release,        drivers: G, name: "release",      sub: Some("end"),   class: Class::Notify, filter: false, since: "0.9.0" },
    Row { operation: Operation::Migrate,        drivers: G, name: "migrate",      sub: Some("begin"), class: Class::Gate,   filter: true,  since: "0.9.11" },
    Row { operation: Operation::Restore,        drivers: G, name: "restore",      sub: Some("begin"), class: Class::Gate,   filter: true,  since: "1.2.9" },
    Row { operation: Operation::Reconnect,      drivers: G, name: "reconnect",    sub: Some("begin"), class: Class::Live,   filter: false, since: "0.9.13" },
    Row { operation: Operation::Attach,         drivers: G, name: "attach",       sub: Some("begin"), class: Class::Live,   filter: false, since: "0.9.13, until 5.4" },
    Row { operation: Operation::NetworkStart,   drivers: N, name: "start",        sub: Some("begin"), class: Class::Gate,   filter: false, since: "1.2.2" },
    Row { operation: Operation::NetworkStarted, drivers: N, name: "started",      sub: Some("begin"), class: Class::Live,   filter: false, since: "1.2.2" },
    Row { operation: Operation::NetworkStopped, drivers: N, name: "stopped",      sub: Some("end"),   class: Class::Notify, filter: false, since: "1.2.2" },
    Row { operation: Operation::NetworkUpdated, drivers: N, name: "updated",      sub: Some("begin"), class: Class::Live,   filter: false, since: "1.2.2" },
    Row { operation: Operation::PortCreated,    drivers: N, name: "port-created", sub: Some("begin"), class: Class::Gate,   filter: false, since: "5.5.0" },
    Row { operation: Operation::PortCreated,    drivers: N, name: "plugged",      sub: Some("begin"), class: Class::Gate,   filter: false, since: "1.2.2, until 5.4" },
    Row { operation: Operation::PortDeleted,    drivers: N, name: "port-deleted", sub: Some("begin"), class: Class::Notify, filter: false, since: "5.5.0" },
    Row { operation: Operation::PortDeleted,    drivers: N, name: "unplugged",    sub: None,          class: Class::Notify, filter: false, since: "1.2.2, until 5.4" },
    // libvirt passes SIGHUP's number where the sub-operation belongs, which prints as "begin"
    Row { operation: Operation::DaemonStart,    drivers: D, name: "start",        sub: None,          class: Class::Notify, filter: false, since: "0.8.0" },
    Row { operation: Operation::DaemonShutdown, drivers: D, name: "shutdown",     sub: None,          class: Class::Notify, filter: false, since: "0.8.0" },
    Row { operation: Operation::DaemonReload,   drivers: D, name: "reload",       sub: None,          class: Class::Notify, filter: false, since: "0.8.0" },
];

/// What hookmux makes of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    pub operation: Operation,
    pub class: Class,
    pub filter: bool,
}

/// Looks an operation up. An absent sub-operation (or `-`) matches any; a sub-operation that
/// libvirt doesn't use today makes the call an unknown one, for it may mean another moment.
pub(crate) fn meaning(driver: Driver, name: &[u8], sub: Option<&[u8]>) -> Meaning {
    let sub = sub.filter(|sub| *sub != b"-");
    TABLE
        .iter()
        .find(|row| {
            row.drivers.contains(&driver)
                && row.name.as_bytes() == name
                && match (row.sub, sub) {
                    (Some(expected), Some(sub)) => expected.as_bytes() == sub,
                    _ => true,
                }
        })
        .map_or(
            Meaning { operation: Operation::Unknown, class: Class::Live, filter: false },
            |row| Meaning { operation: row.operation, class: row.class, filter: row.filter },
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_have_the_class_that_libvirt_gives_a_failure() {
        use Class::{Gate, Live, Notify};
        let table = [
            (Driver::Qemu, "prepare", "begin", Operation::Prepare, Gate, false),
            (Driver::Lxc, "start", "begin", Operation::Start, Gate, false),
            (Driver::Libxl, "started", "begin", Operation::Started, Live, false),
            (Driver::Bhyve, "stopped", "end", Operation::Stopped, Notify, false),
            (Driver::Qemu, "release", "end", Operation::Release, Notify, false),
            (Driver::Qemu, "migrate", "begin", Operation::Migrate, Gate, true),
            (Driver::Qemu, "restore", "begin", Operation::Restore, Gate, true),
            (Driver::Qemu, "reconnect", "begin", Operation::Reconnect, Live, false),
            (Driver::Qemu, "attach", "begin", Operation::Attach, Live, false),
            (Driver::Network, "start", "begin", Operation::NetworkStart, Gate, false),
            (Driver::Network, "started", "begin", Operation::NetworkStarted, Live, false),
            (Driver::Network, "stopped", "end", Operation::NetworkStopped, Notify, false),
            (Driver::Network, "updated", "begin", Operation::NetworkUpdated, Live, false),
            (Driver::Network, "port-created", "begin", Operation::PortCreated, Gate, false),
            (Driver::Network, "plugged", "begin", Operation::PortCreated, Gate, false),
            (Driver::Network, "port-deleted", "begin", Operation::PortDeleted, Notify, false),
            (Driver::Network, "unplugged", "begin", Operation::PortDeleted, Notify, false),
            (Driver::Daemon, "start", "-", Operation::DaemonStart, Notify, false),
            (Driver::Daemon, "shutdown", "-", Operation::DaemonShutdown, Notify, false),
            (Driver::Daemon, "reload", "begin", Operation::DaemonReload, Notify, false),
            // a name of another driver, a moment that libvirt doesn't have, one that it may get
            (Driver::Qemu, "reload", "begin", Operation::Unknown, Live, false),
            (Driver::Network, "migrate", "begin", Operation::Unknown, Live, false),
            (Driver::Qemu, "migrate", "end", Operation::Unknown, Live, false),
            (Driver::Qemu, "paused", "begin", Operation::Unknown, Live, false),
            (Driver::Qemu, "prepare", "-", Operation::Prepare, Gate, false),
        ];
        for (driver, name, sub, operation, class, filter) in table {
            let seen = meaning(driver, name.as_bytes(), Some(sub.as_bytes()));
            assert_eq!(seen, Meaning { operation, class, filter }, "{driver} {name} {sub}");
        }
        let bare = meaning(Driver::Qemu, b"prepare", None);
        assert_eq!(bare.operation, Operation::Prepare, "an absent sub-operation matches any");
    }
}
