//! What a hook at an event has to know: when it runs, what a failure means, what it is given.

use crate::event::{self, Condition, EventRow};
use crate::libvirt::operation::{self, Operation, OperationRow};
use crate::libvirt::{Class, Driver};

/// What a hook is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Guest,
    /// A device of a guest.
    Device,
    Network,
    /// A guest's interface in a network.
    Port,
    Daemon,
}

impl Subject {
    pub(super) const fn noun(self) -> &'static str {
        match self {
            Subject::Guest | Subject::Device => "guest",
            Subject::Network | Subject::Port => "network",
            Subject::Daemon => "daemon",
        }
    }

    pub(super) const fn has_guest(self) -> bool {
        matches!(self, Subject::Guest | Subject::Device)
    }
}

/// The moment at which a hook runs.
pub(super) struct HookMoment {
    pub event: String,
    pub subject: Subject,
    pub class: Class,
    /// Whether libvirt takes a changed document.
    pub is_filter: bool,
    operation: Operation,
    driver: Driver,
    /// libvirt's words for the operation and the sub-operation.
    pub operation_name: String,
    sub_operation: Option<&'static str>,
    condition: Condition,
}

impl HookMoment {
    /// Returns the moment of an event, which exists.
    pub(super) fn of(event: &str) -> HookMoment {
        let row = event::TABLE.iter().find(|row| row.name == event);
        let call = row.and_then(|row| {
            // the first one has the name that today's libvirt uses
            operation::TABLE.iter().find(|call| call.operation == row.operation)
        });
        match (row, call) {
            (Some(row), Some(call)) => HookMoment::known(row, call),
            _ => HookMoment::unknown(event),
        }
    }

    fn known(row: &EventRow, call: &OperationRow) -> HookMoment {
        let driver = call.drivers.first().copied().unwrap_or(Driver::Qemu);
        let subject = match call.operation {
            _ if row.per_device => Subject::Device,
            Operation::PortCreated | Operation::PortDeleted => Subject::Port,
            _ => subject_of(driver),
        };
        HookMoment {
            event: row.name.to_owned(),
            subject,
            class: call.class,
            is_filter: call.filter,
            operation: call.operation,
            driver,
            operation_name: call.name.to_owned(),
            sub_operation: call.sub,
            condition: row.condition,
        }
    }

    /// Returns the moment of an event of an operation that this version doesn't know: `on_<driver>_<operation>`.
    fn unknown(event: &str) -> HookMoment {
        let (driver, operation) = event::of_unknown(event).unwrap_or((Driver::Qemu, event));
        HookMoment {
            event: event.to_owned(),
            subject: subject_of(driver),
            class: Class::Live,
            is_filter: false,
            operation: Operation::Unknown,
            driver,
            operation_name: operation.to_owned(),
            sub_operation: Some("begin"),
            condition: Condition::Always,
        }
    }

    /// Says when it is, as the end of a sentence.
    pub(super) fn when(&self) -> String {
        let moment = match self.operation {
            Operation::Prepare => "before a guest starts, when nothing is set up yet",
            Operation::Start => "when all is set up for a guest, right before its process starts",
            Operation::Started => "when a guest's process has started",
            Operation::Stopped => "when a guest's process has ended",
            Operation::Release => "when a guest has ended and libvirt has released all it had",
            Operation::Migrate => "on the destination, before a guest comes in by migration",
            Operation::Restore => "before a guest is restored from a save",
            Operation::Reconnect => "when libvirt's daemon was restarted and finds a guest running",
            Operation::Attach => "when libvirt takes over a process that it didn't start",
            Operation::NetworkStart => "before a network starts",
            Operation::NetworkStarted => "when a network has started",
            Operation::NetworkStopped => "when a network has stopped",
            Operation::NetworkUpdated => "when a running network was changed",
            Operation::PortCreated => "before a guest's interface is connected to a network",
            Operation::PortDeleted => "when a guest's interface was taken from a network",
            Operation::DaemonStart => "when libvirt's daemon starts",
            Operation::DaemonShutdown => "when libvirt's daemon stops",
            Operation::DaemonReload => "when libvirt's daemon reads its configuration again",
            Operation::Unknown => "at this operation, which is new to hookmux",
        };
        let device = match self.subject {
            Subject::Device => ", once for each device that has custom properties",
            _ => "",
        };
        let condition = match self.condition.words() {
            Some(words) => format!("; {words}"),
            None => String::new(),
        };
        format!("{moment}{device}{condition}")
    }

    /// Says what exit statuses mean.
    pub(super) fn exit_statuses(&self) -> Vec<&'static str> {
        let failed = match self.operation {
            Operation::Migrate => {
                "1  it failed: the migration is refused. The other hooks still run"
            }
            Operation::Restore => {
                "1  it failed: the guest isn't restored. The other hooks still run"
            }
            Operation::NetworkStart => {
                "1  it failed: the network doesn't start. The other hooks still run"
            }
            Operation::PortCreated => {
                "1  it failed: the interface gets no connection. The other hooks still run"
            }
            _ => match self.class {
                Class::Gate => "1  it failed: the guest doesn't start. The other hooks still run",
                Class::Live => "1  it failed, which is recorded; what runs goes on",
                Class::Notify => "1  it failed, which is recorded and in libvirt's log",
            },
        };
        vec!["0  good", failed, "2  as 1, and the other hooks don't run"]
    }

    /// Returns the variables that are worth knowing, and what they have.
    pub(super) fn variables(&self) -> Vec<(&'static str, &'static str)> {
        let mut all = vec![match self.subject {
            Subject::Guest | Subject::Device => ("HOOKMUX_OBJECT", "the guest's name"),
            Subject::Network | Subject::Port => ("HOOKMUX_OBJECT", "the network's name"),
            Subject::Daemon => ("HOOKMUX_DAEMON", "the daemon: libvirtd, virtqemud …"),
        }];
        if self.subject != Subject::Daemon {
            all.push(("HOOKMUX_UUID", "its uuid"));
        }
        if self.subject.has_guest() {
            all.push(("HOOKMUX_DRIVER", "qemu, lxc, libxl or bhyve"));
            all.push((
                "HOOKMUX_ORIGIN",
                "how it was started: fresh, restore, migration or unknown",
            ));
            all.push(match self.subject {
                Subject::Device => {
                    ("HOOKMUX_PROPERTY_name", "custom properties of the device and the guest")
                }
                _ => ("HOOKMUX_PROPERTY_name", "its custom properties"),
            });
        }
        if self.operation == Operation::Release {
            let words = "why it ended; not set where libvirt gives no reason (before 10.5.0)";
            all.push(("HOOKMUX_REASON", words));
        }
        if self.has_started_document() {
            let words = "file: the XML with which it was started; not set if it never ran";
            all.push(("HOOKMUX_STARTED_XML", words));
        }
        all.push(("HOOKMUX_EVENT", "the event"));
        match self.subject {
            Subject::Guest => all.push(("_hook_domxml", "file: the guest's XML")),
            Subject::Device => {
                all.push(("_hook_domxml", "file: the device's part of the guest's XML"))
            }
            Subject::Network => {
                all.push(("_hook_domxml", "file: <hookData> with the network's XML"))
            }
            Subject::Port => {
                let words = "file: <hookData> with the XML of <network> and <networkport>";
                all.push(("_hook_domxml", words));
            }
            Subject::Daemon => {}
        }
        all
    }

    fn has_started_document(&self) -> bool {
        matches!(self.operation, Operation::Stopped | Operation::Release)
            && self.subject.has_guest()
    }

    /// Says whether libvirt takes a change of the document; `None` where there is none.
    pub(super) fn editing(&self) -> Option<&'static str> {
        if self.subject == Subject::Daemon {
            return None;
        }
        Some(match (self.is_filter, self.subject) {
            (false, _) => "libvirt takes no change of the XML at this event.",
            (true, Subject::Device) => {
                "The file may be changed: it is put back into the guest's XML, and libvirt takes that.\nIt has to stay one element of the same name."
            }
            (true, _) => {
                "The file may be changed: libvirt takes what is left in it. It has to stay well-formed,\nwith the same name and uuid."
            }
        })
    }

    /// Returns a path to try `xml get` with, and the name of a variable for it.
    pub(super) fn example_path(&self) -> Option<(&'static str, &'static str)> {
        Some(match self.subject {
            Subject::Guest => ("disks", r#"devices/disk[@device="disk"]/source/@file"#),
            Subject::Device => ("mac", "mac/@address"),
            Subject::Network => ("bridge", "network/bridge/@name"),
            Subject::Port => ("mac", "networkport/mac/@address"),
            Subject::Daemon => return None,
        })
    }

    /// Tells whether something that is set up at this moment has an end at which it can be undone.
    pub(super) fn is_before_an_end(&self) -> bool {
        !matches!(
            self.operation,
            Operation::Stopped
                | Operation::Release
                | Operation::NetworkStopped
                | Operation::PortDeleted
                | Operation::DaemonStart
                | Operation::DaemonShutdown
                | Operation::DaemonReload
        )
    }

    /// Returns the event that comes for every guest, where this one comes on a fresh start only.
    pub(super) fn for_every_guest(&self) -> Option<&'static str> {
        match self.event.as_str() {
            "before_vm_start" => Some("before_vm_prepare"),
            "after_vm_start" => Some("after_vm_launch"),
            _ => None,
        }
    }

    /// Says when it is undone, as the end of a sentence.
    pub(super) const fn end(&self) -> &'static str {
        match self.subject {
            Subject::Guest | Subject::Device | Subject::Daemon => "when the guest has ended",
            Subject::Network => "when the network has stopped",
            Subject::Port => "when the interface was taken from the network",
        }
    }

    /// Returns the words of the call for `plan` and `run`, with a name in capitals for a person to replace.
    pub(super) fn call_words(&self) -> Vec<String> {
        let object = match self.subject {
            Subject::Guest | Subject::Device => "GUEST",
            Subject::Network | Subject::Port => "NETWORK",
            Subject::Daemon => "-",
        };
        let mut words =
            vec![self.driver.name().to_owned(), object.to_owned(), self.operation_name.clone()];
        match self.condition {
            Condition::Reason(reason) => {
                words.extend([self.sub_operation.unwrap_or("-").to_owned(), reason.to_owned()]);
            }
            Condition::Restored => words.extend(["--origin", "restore"].map(str::to_owned)),
            Condition::Fresh => words.extend(["--origin", "fresh"].map(str::to_owned)),
            _ => {}
        }
        words
    }
}

fn subject_of(driver: Driver) -> Subject {
    match driver {
        Driver::Network => Subject::Network,
        Driver::Daemon => Subject::Daemon,
        _ => Subject::Guest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_has_words_of_its_own() {
        let mut seen: Vec<String> = Vec::new();
        for row in event::TABLE {
            let moment = HookMoment::of(row.name);
            assert_eq!((moment.event.as_str(), moment.operation), (row.name, row.operation));
            seen.push(moment.when());
            assert!(moment.variables().iter().any(|(name, _)| *name == "HOOKMUX_EVENT"));
            assert_eq!(moment.editing().is_none(), moment.subject == Subject::Daemon);
        }
        assert!(seen.iter().all(|words| !words.ends_with('.')), "{seen:#?}");
    }

    #[test]
    fn an_operation_that_is_new_to_hookmux_is_live() {
        let moment = HookMoment::of("on_network_paused");
        assert_eq!((moment.class, moment.subject), (Class::Live, Subject::Network));
        assert_eq!(moment.call_words(), ["network", "NETWORK", "paused"]);
    }
}
