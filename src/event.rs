//! hookmux's events in one table: the operation of libvirt's to which each belongs, and the condition under which
//! it fires. To add an event, add a row and its test.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt;

use crate::libvirt::metadata::Device;
use crate::libvirt::operation;
use crate::libvirt::{Call, Driver, Operation};

/// How a guest was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    Fresh,
    Restore,
    Migration,
    /// Nothing is remembered: hookmux was installed after the guest was started, or its runtime directory was
    /// removed. Also a word of another version.
    #[serde(other)]
    Unknown,
}

impl Origin {
    pub const ALL: [Origin; 4] =
        [Origin::Fresh, Origin::Restore, Origin::Migration, Origin::Unknown];

    /// Returns the origin with this name.
    pub fn from_name(name: &str) -> Option<Origin> {
        Origin::ALL.into_iter().find(|origin| origin.name() == name)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Origin::Fresh => "fresh",
            Origin::Restore => "restore",
            Origin::Migration => "migration",
            Origin::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The condition, besides the operation, under which an event fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Always,
    /// Not for an incoming migration.
    NotMigration,
    /// Neither after a restore nor after a migration. An unknown origin counts as fresh: a firewall that is
    /// never set up is worse than one that is set up twice.
    Fresh,
    Restored,
    /// With this reason for a release, which libvirt passes since 10.5.0.
    Reason(&'static str),
}

impl Condition {
    fn holds(self, origin: Origin, reason: Option<&OsStr>) -> bool {
        match self {
            Condition::Always => true,
            Condition::NotMigration => origin != Origin::Migration,
            Condition::Fresh => matches!(origin, Origin::Fresh | Origin::Unknown),
            Condition::Restored => origin == Origin::Restore,
            Condition::Reason(word) => reason.is_some_and(|reason| reason == word),
        }
    }

    /// Tells whether the guest's origin is needed.
    pub fn asks_origin(self) -> bool {
        matches!(self, Condition::NotMigration | Condition::Fresh | Condition::Restored)
    }

    /// Describes the condition, for the table of events and for `plan`.
    pub fn words(self) -> Option<Cow<'static, str>> {
        match self {
            Condition::Always => None,
            Condition::NotMigration => Some("not when a migration is coming in".into()),
            Condition::Fresh => Some("only on a fresh start".into()),
            Condition::Restored => Some("only after a restore".into()),
            Condition::Reason(word) => {
                Some(format!("only with reason {word} (libvirt 10.5)").into())
            }
        }
    }
}

/// One row of the table.
pub(crate) struct EventRow {
    pub operation: Operation,
    pub name: &'static str,
    pub condition: Condition,
    /// Fires once per device with custom properties, with the device's XML.
    pub per_device: bool,
    /// Fires also for devices with an empty `<custom/>` in vdsm's metadata, as in vdsm.
    pub with_empty_custom: bool,
}

const fn row(operation: Operation, name: &'static str, condition: Condition) -> EventRow {
    EventRow { operation, name, condition, per_device: false, with_empty_custom: false }
}

const fn per_device(operation: Operation, name: &'static str, condition: Condition) -> EventRow {
    EventRow { per_device: true, ..row(operation, name, condition) }
}

const fn per_device_with_custom(
    operation: Operation,
    name: &'static str,
    condition: Condition,
) -> EventRow {
    EventRow { with_empty_custom: true, ..per_device(operation, name, condition) }
}

/// All events, in the order in which those of one operation run.
#[rustfmt::skip]
pub(crate) static TABLE: &[EventRow] = &[
    row(Operation::Prepare, "before_vm_prepare", Condition::Always),
    per_device_with_custom(Operation::Prepare, "before_device_create", Condition::NotMigration),
    row(Operation::Prepare, "before_vm_start", Condition::NotMigration),
    row(Operation::Start, "before_vm_launch", Condition::Always),
    row(Operation::Started, "after_vm_launch", Condition::Always),
    row(Operation::Started, "after_vm_start", Condition::Fresh),
    row(Operation::Started, "after_vm_dehibernate", Condition::Restored),
    per_device(Operation::Started, "after_device_create", Condition::Fresh),
    row(Operation::Stopped, "after_vm_stop", Condition::Always),
    row(Operation::Release, "after_vm_migrate_source", Condition::Reason("migrated")),
    per_device(Operation::Release, "after_device_migrate_source", Condition::Reason("migrated")),
    row(Operation::Release, "after_vm_hibernate", Condition::Reason("saved")),
    row(Operation::Release, "after_vm_destroy", Condition::Always),
    per_device(Operation::Release, "after_device_destroy", Condition::Always),
    per_device(Operation::Migrate, "before_device_migrate_destination", Condition::Always),
    row(Operation::Migrate, "before_vm_migrate_destination", Condition::Always),
    row(Operation::Restore, "before_vm_dehibernate", Condition::Always),
    row(Operation::Reconnect, "after_vm_reconnect", Condition::Always),
    row(Operation::Attach, "after_vm_attach", Condition::Always),
    row(Operation::NetworkStart, "before_network_start", Condition::Always),
    row(Operation::NetworkStarted, "after_network_start", Condition::Always),
    row(Operation::NetworkStopped, "after_network_stop", Condition::Always),
    row(Operation::NetworkUpdated, "after_network_update", Condition::Always),
    row(Operation::PortCreated, "before_network_port_create", Condition::Always),
    row(Operation::PortDeleted, "after_network_port_delete", Condition::Always),
    row(Operation::DaemonStart, "before_daemon_start", Condition::Always),
    row(Operation::DaemonStart, "before_vdsm_start", Condition::Always),
    row(Operation::DaemonShutdown, "before_daemon_stop", Condition::Always),
    row(Operation::DaemonShutdown, "after_vdsm_stop", Condition::Always),
    row(Operation::DaemonReload, "before_daemon_reload", Condition::Always),
];

/// An event that may fire at a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub name: Cow<'static, str>,
    pub condition: Condition,
    pub per_device: bool,
    pub with_empty_custom: bool,
}

impl Event {
    /// Tells whether a device event fires for this device.
    pub fn is_for(&self, device: &Device) -> bool {
        self.with_empty_custom || !device.properties.is_empty()
    }

    /// Tells whether the event fires; an error says why not.
    pub fn fires(&self, origin: Origin, reason: Option<&OsStr>) -> Result<(), String> {
        if self.condition.holds(origin, reason) {
            return Ok(());
        }
        let words = self.condition.words().unwrap_or_default();
        Err(match self.condition {
            Condition::Reason(_) => match reason {
                Some(reason) => format!("{words}; this one is {}", reason.to_string_lossy()),
                None => format!("{words}; this call gives none"),
            },
            _ => format!("{words}; the origin is {origin}"),
        })
    }
}

/// Returns all events that may fire at a call, in order; origin and reason decide later which fire.
pub fn candidates(call: &Call) -> Vec<Event> {
    if call.operation() == Operation::Unknown {
        let Some(operation) = call.plain_operation() else { return Vec::new() };
        let name = format!("on_{}_{operation}", call.driver);
        return vec![Event {
            name: name.into(),
            condition: Condition::Always,
            per_device: false,
            with_empty_custom: false,
        }];
    }
    TABLE
        .iter()
        .filter(|row| row.operation == call.operation())
        .map(|row| Event {
            name: row.name.into(),
            condition: row.condition,
            per_device: row.per_device,
            with_empty_custom: row.with_empty_custom,
        })
        .collect()
}

/// Returns the event that stands for a whole call: the first one that fires for the object itself.
pub fn of_call(call: &Call, origin: Origin) -> Option<Cow<'static, str>> {
    candidates(call)
        .into_iter()
        .find(|event| !event.per_device && event.fires(origin, call.reason()).is_ok())
        .map(|event| event.name)
}

/// Tells whether this is the name of an event, so that a directory of this name can hold hooks.
pub fn is_known(name: &str) -> bool {
    let is_unknown_operation = |(driver, operation): (Driver, &str)| {
        !operation.is_empty() && operations_called(driver, operation).next().is_none()
    };
    TABLE.iter().any(|row| row.name == name) || of_unknown(name).is_some_and(is_unknown_operation)
}

/// Returns the events of a known operation for the name `on_<driver>_<operation>`, which is only for unknown ones.
pub fn known_events_of(name: &str) -> Vec<&'static str> {
    let Some((driver, operation)) = of_unknown(name) else { return Vec::new() };
    let operations: Vec<Operation> =
        operations_called(driver, operation).map(|row| row.operation).collect();
    let rows = TABLE.iter().filter(|row| operations.contains(&row.operation));
    rows.map(|row| row.name).collect()
}

fn operations_called(
    driver: Driver,
    name: &str,
) -> impl Iterator<Item = &'static operation::OperationRow> {
    let rows = operation::TABLE.iter();
    rows.filter(move |row| row.drivers.contains(&driver) && row.name == name)
}

/// Splits `on_<driver>_<operation>`.
pub(crate) fn of_unknown(name: &str) -> Option<(Driver, &str)> {
    let rest = name.strip_prefix("on_")?;
    Driver::ALL
        .into_iter()
        .find_map(|driver| Some((driver, rest.strip_prefix(driver.name())?.strip_prefix('_')?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn fired(driver: Driver, arguments: &[&str], origin: Origin) -> Vec<String> {
        let call = Call::new(driver, arguments.iter().map(OsString::from).collect());
        candidates(&call)
            .into_iter()
            .filter(|event| event.fires(origin, call.reason()).is_ok())
            .map(|event| event.name.into_owned())
            .collect()
    }

    #[test]
    fn an_operation_that_is_known_has_events_of_its_own() {
        assert_eq!(known_events_of("on_qemu_started")[0], "after_vm_launch");
        assert!(!is_known("on_qemu_started"));
        assert!(is_known("on_qemu_paused") && known_events_of("on_qemu_paused").is_empty());
        assert!(is_known("before_vm_start") && known_events_of("before_vm_start").is_empty());
        assert!(!is_known("on_qemu_") && !is_known("on_vbox_paused"));
    }

    #[test]
    fn calls_become_events() {
        use Origin::{Fresh, Migration, Restore, Unknown};
        let table: &[(Driver, &[&str], Origin, &[&str])] = &[
            (
                Driver::Qemu,
                &["g", "prepare", "begin", "-"],
                Fresh,
                &["before_vm_prepare", "before_device_create", "before_vm_start"],
            ),
            (
                Driver::Qemu,
                &["g", "prepare", "begin", "-"],
                Restore,
                &["before_vm_prepare", "before_device_create", "before_vm_start"],
            ),
            (Driver::Qemu, &["g", "prepare", "begin", "-"], Migration, &["before_vm_prepare"]),
            (Driver::Lxc, &["g", "start", "begin", "-"], Fresh, &["before_vm_launch"]),
            (
                Driver::Qemu,
                &["g", "started", "begin", "-"],
                Fresh,
                &["after_vm_launch", "after_vm_start", "after_device_create"],
            ),
            (
                Driver::Qemu,
                &["g", "started", "begin", "-"],
                Unknown,
                &["after_vm_launch", "after_vm_start", "after_device_create"],
            ),
            (
                Driver::Qemu,
                &["g", "started", "begin", "-"],
                Restore,
                &["after_vm_launch", "after_vm_dehibernate"],
            ),
            (Driver::Qemu, &["g", "started", "begin", "-"], Migration, &["after_vm_launch"]),
            (Driver::Qemu, &["g", "stopped", "end", "-"], Fresh, &["after_vm_stop"]),
            (
                Driver::Qemu,
                &["g", "release", "end", "-"],
                Fresh,
                &["after_vm_destroy", "after_device_destroy"],
            ),
            (
                Driver::Qemu,
                &["g", "release", "end", "migrated"],
                Fresh,
                &[
                    "after_vm_migrate_source",
                    "after_device_migrate_source",
                    "after_vm_destroy",
                    "after_device_destroy",
                ],
            ),
            (
                Driver::Qemu,
                &["g", "release", "end", "saved"],
                Fresh,
                &["after_vm_hibernate", "after_vm_destroy", "after_device_destroy"],
            ),
            (
                Driver::Qemu,
                &["g", "release", "end", "from snapshot"],
                Fresh,
                &["after_vm_destroy", "after_device_destroy"],
            ),
            (
                Driver::Qemu,
                &["g", "migrate", "begin", "-"],
                Unknown,
                &["before_device_migrate_destination", "before_vm_migrate_destination"],
            ),
            (Driver::Qemu, &["g", "restore", "begin", "-"], Unknown, &["before_vm_dehibernate"]),
            (Driver::Libxl, &["g", "reconnect", "begin", "-"], Unknown, &["after_vm_reconnect"]),
            (Driver::Qemu, &["g", "attach", "begin", "-"], Unknown, &["after_vm_attach"]),
            (Driver::Network, &["n", "start", "begin", "-"], Unknown, &["before_network_start"]),
            (Driver::Network, &["n", "started", "begin", "-"], Unknown, &["after_network_start"]),
            (Driver::Network, &["n", "stopped", "end", "-"], Unknown, &["after_network_stop"]),
            (Driver::Network, &["n", "updated", "begin", "-"], Unknown, &["after_network_update"]),
            (
                Driver::Network,
                &["n", "port-created", "begin", "-"],
                Unknown,
                &["before_network_port_create"],
            ),
            (
                Driver::Network,
                &["n", "plugged", "begin", "-"],
                Unknown,
                &["before_network_port_create"],
            ),
            (
                Driver::Network,
                &["n", "port-deleted", "begin", "-"],
                Unknown,
                &["after_network_port_delete"],
            ),
            (
                Driver::Network,
                &["n", "unplugged", "begin", "-"],
                Unknown,
                &["after_network_port_delete"],
            ),
            (
                Driver::Daemon,
                &["-", "start", "-", "start"],
                Unknown,
                &["before_daemon_start", "before_vdsm_start"],
            ),
            (
                Driver::Daemon,
                &["-", "shutdown", "-", "shutdown"],
                Unknown,
                &["before_daemon_stop", "after_vdsm_stop"],
            ),
            (
                Driver::Daemon,
                &["-", "reload", "begin", "SIGHUP"],
                Unknown,
                &["before_daemon_reload"],
            ),
            (Driver::Qemu, &["g", "paused", "begin", "-"], Unknown, &["on_qemu_paused"]),
            (Driver::Network, &["n", "re-plugged", "x", "-"], Unknown, &["on_network_re-plugged"]),
            (Driver::Qemu, &["g", "../../etc", "begin", "-"], Unknown, &[]),
            (Driver::Qemu, &["g"], Unknown, &[]),
        ];
        for (driver, arguments, origin, expected) in table {
            assert_eq!(
                fired(*driver, arguments, *origin),
                *expected,
                "{driver} {arguments:?} {origin}"
            );
        }
    }

    #[test]
    fn only_the_table_and_unknown_operations_name_events() {
        for (name, known) in [
            ("before_vm_start", true),
            ("after_network_port_delete", true),
            ("on_qemu_paused", true),
            ("before_vm_cont", false),
            ("on_qemu_", false),
            ("on_xen_paused", false),
            ("qemu.d", false),
        ] {
            assert_eq!(is_known(name), known, "{name}");
        }
    }
}
