//! The operations of libvirt's hook interface, as data: what a failure means to libvirt, and what it does with
//! a hook's output.
//!
//! Source: libvirt's `docs/hooks.rst` and `src/util/virhook.c`, compared with running daemons of
//! 9.0.0 and 11.3.0.

use super::driver::Driver;

/// The effect of a failing hook in libvirt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The operation has not begun: a failure stops it.
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

/// What happens to the object. The names are libvirt's, with a prefix for networks.
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
    /// An operation that this version doesn't know: it is never a filter, and never a reason to kill a guest.
    Unknown,
}

/// One row of the table.
pub struct OperationRow {
    pub operation: Operation,
    pub drivers: &'static [Driver],
    /// libvirt's second argument.
    pub name: &'static str,
    /// libvirt's third argument; `None` where it varies or is left out.
    pub sub: Option<&'static str>,
    pub class: Class,
    /// Whether libvirt replaces the document by the hook's output.
    pub filter: bool,
    /// The versions of libvirt that call it, as `hookmux events` prints them.
    pub since: &'static str,
}

const GUESTS: &[Driver] = Driver::GUESTS;
const NETWORK: &[Driver] = &[Driver::Network];
const DAEMON: &[Driver] = &[Driver::Daemon];

#[rustfmt::skip]
pub static TABLE: &[OperationRow] = &[
    OperationRow { operation: Operation::Prepare,        drivers: GUESTS,  name: "prepare",      sub: Some("begin"), class: Class::Gate,   filter: false, since: "0.9.0" },
    OperationRow { operation: Operation::Start,          drivers: GUESTS,  name: "start",        sub: Some("begin"), class: Class::Gate,   filter: false, since: "0.8.0" },
    OperationRow { operation: Operation::Started,        drivers: GUESTS,  name: "started",      sub: Some("begin"), class: Class::Live,   filter: false, since: "0.9.13" },
    OperationRow { operation: Operation::Stopped,        drivers: GUESTS,  name: "stopped",      sub: Some("end"),   class: Class::Notify, filter: false, since: "0.8.0" },
    OperationRow { operation: Operation::Release,        drivers: GUESTS,  name: "release",      sub: Some("end"),   class: Class::Notify, filter: false, since: "0.9.0" },
    OperationRow { operation: Operation::Migrate,        drivers: GUESTS,  name: "migrate",      sub: Some("begin"), class: Class::Gate,   filter: true,  since: "0.9.11" },
    OperationRow { operation: Operation::Restore,        drivers: GUESTS,  name: "restore",      sub: Some("begin"), class: Class::Gate,   filter: true,  since: "1.2.9" },
    OperationRow { operation: Operation::Reconnect,      drivers: GUESTS,  name: "reconnect",    sub: Some("begin"), class: Class::Live,   filter: false, since: "0.9.13" },
    OperationRow { operation: Operation::Attach,         drivers: GUESTS,  name: "attach",       sub: Some("begin"), class: Class::Live,   filter: false, since: "0.9.13, until 5.4" },
    OperationRow { operation: Operation::NetworkStart,   drivers: NETWORK, name: "start",        sub: Some("begin"), class: Class::Gate,   filter: false, since: "1.2.2" },
    OperationRow { operation: Operation::NetworkStarted, drivers: NETWORK, name: "started",      sub: Some("begin"), class: Class::Live,   filter: false, since: "1.2.2" },
    OperationRow { operation: Operation::NetworkStopped, drivers: NETWORK, name: "stopped",      sub: Some("end"),   class: Class::Notify, filter: false, since: "1.2.2" },
    OperationRow { operation: Operation::NetworkUpdated, drivers: NETWORK, name: "updated",      sub: Some("begin"), class: Class::Live,   filter: false, since: "1.2.2" },
    OperationRow { operation: Operation::PortCreated,    drivers: NETWORK, name: "port-created", sub: Some("begin"), class: Class::Gate,   filter: false, since: "5.5.0" },
    OperationRow { operation: Operation::PortCreated,    drivers: NETWORK, name: "plugged",      sub: Some("begin"), class: Class::Gate,   filter: false, since: "1.2.2, until 5.4" },
    OperationRow { operation: Operation::PortDeleted,    drivers: NETWORK, name: "port-deleted", sub: Some("begin"), class: Class::Notify, filter: false, since: "5.5.0" },
    OperationRow { operation: Operation::PortDeleted,    drivers: NETWORK, name: "unplugged",    sub: None,          class: Class::Notify, filter: false, since: "1.2.2, until 5.4" },
    // libvirt passes SIGHUP's number where the sub-operation belongs, which prints as "begin"
    OperationRow { operation: Operation::DaemonStart,    drivers: DAEMON,  name: "start",        sub: None,          class: Class::Notify, filter: false, since: "0.8.0" },
    OperationRow { operation: Operation::DaemonShutdown, drivers: DAEMON,  name: "shutdown",     sub: None,          class: Class::Notify, filter: false, since: "0.8.0" },
    OperationRow { operation: Operation::DaemonReload,   drivers: DAEMON,  name: "reload",       sub: None,          class: Class::Notify, filter: false, since: "0.8.0" },
];

/// How hookmux understands an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    pub operation: Operation,
    pub class: Class,
    pub filter: bool,
}

/// Looks an operation up. An absent sub-operation (or `-`) matches any. With a sub-operation that libvirt doesn't
/// use today the operation is unknown, since it may be called at another time.
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
