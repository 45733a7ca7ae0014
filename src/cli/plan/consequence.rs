//! What libvirt does when a call fails: what becomes of the guest, and which calls follow.
//!
//! Source: as in `actions`.

use super::actions::{Action, Piece};
use crate::libvirt::{Call, Driver, Operation};

/// What becomes of a failed call.
pub(super) struct Consequence {
    /// What becomes of the guest or the network.
    pub words: &'static str,
    /// The calls that libvirt then makes.
    pub next: Vec<Piece>,
    /// Whether libvirt goes on with what it was doing.
    pub goes_on: bool,
}

/// Returns what libvirt does; `None` where it does nothing. `action` is what the call is part of, if that is known.
pub(super) fn of(call: &Call, action: Option<Action>) -> Option<Consequence> {
    let driver = call.driver;
    let ends =
        |reason| vec![Piece::Call("stopped", ""), Piece::PortsGone, Piece::Call("release", reason)];
    let over = |words, next| Some(Consequence { words, next, goes_on: false });
    match call.operation() {
        // libxl and bhyve call nothing after a `prepare` that failed
        Operation::Prepare if matches!(driver, Driver::Libxl | Driver::Bhyve) => {
            over(refused(action), Vec::new())
        }
        // it has no port yet
        Operation::Prepare => over(
            refused(action),
            vec![Piece::Call("stopped", ""), Piece::Call("release", "failed")],
        ),
        Operation::Start => over(refused(action), ends("failed")),
        Operation::Started => over(killed(action), ends("failed")),
        Operation::Migrate => over(refused(Some(Action::MigrateIn)), Vec::new()),
        // hookmux answers 0 here, and lets `prepare` fail: libvirt 11.3.0 would delete the save
        Operation::Restore => Some(Consequence {
            words: "libvirt is told at prepare, which keeps a managed save: the guest isn't restored, it stays saved",
            next: Vec::new(),
            goes_on: true,
        }),
        Operation::Reconnect => match driver {
            Driver::Lxc => over("libvirt stops the container", ends("failed")),
            Driver::Libxl => {
                over("libvirt doesn't know the guest any more, which goes on", ends("-"))
            }
            _ => over("libvirt kills the guest", ends("daemon")),
        },
        Operation::Attach => over("libvirt doesn't take the process over", Vec::new()),
        Operation::PortCreated if action == Some(Action::Reconnect) => Some(Consequence {
            words: "libvirt goes on: it ignores the failure while it is restarted",
            next: Vec::new(),
            goes_on: true,
        }),
        Operation::PortCreated => match action {
            Some(action) => over(refused(Some(action)), ends("failed")),
            None => over(
                "the port is refused: the guest isn't started, or doesn't get the interface",
                Vec::new(),
            ),
        },
        Operation::NetworkStart => {
            over("the network isn't started", vec![Piece::Call("stopped", "")])
        }
        Operation::NetworkStarted => {
            over("libvirt takes the network down again", vec![Piece::Call("stopped", "")])
        }
        Operation::NetworkUpdated => {
            over("libvirt reports an error, and the change stays", Vec::new())
        }
        Operation::Stopped
        | Operation::Release
        | Operation::NetworkStopped
        | Operation::PortDeleted
        | Operation::DaemonStart
        | Operation::DaemonShutdown
        | Operation::DaemonReload
        | Operation::Unknown => None,
    }
}

fn refused(action: Option<Action>) -> &'static str {
    match action {
        Some(Action::Restore) => "the guest isn't restored: it stays saved",
        Some(Action::MigrateIn) => {
            "the migration is refused: the guest goes on running on its source host"
        }
        Some(Action::Reboot | Action::SnapshotRevert) => {
            "the guest isn't started again: it stays off"
        }
        _ => "the guest isn't started: it stays off",
    }
}

fn killed(action: Option<Action>) -> &'static str {
    match action {
        Some(Action::Restore) => "libvirt kills the guest that runs already: it stays saved",
        Some(Action::MigrateIn) => {
            "libvirt kills the incoming guest, which goes on running on its source host"
        }
        _ => "libvirt kills the guest that runs already",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libvirt::Class;
    use crate::libvirt::operation::TABLE;

    #[test]
    fn every_call_on_which_libvirt_acts_has_a_consequence() {
        for row in TABLE {
            for driver in row.drivers {
                let words = ["g", row.name, row.sub.unwrap_or("-"), "-"].map(Into::into);
                let call = Call::new(*driver, words.into());
                let acts = call.class() != Class::Notify;
                assert_eq!(of(&call, None).is_some(), acts, "{driver} {}", row.name);
            }
        }
    }

    #[test]
    fn what_follows_depends_on_the_driver_and_on_what_is_done() {
        let next = |driver, operation: &str, action| {
            let call = Call::new(driver, ["g", operation, "begin", "-"].map(Into::into).into());
            let consequence = of(&call, action).unwrap();
            let calls: Vec<String> = consequence
                .next
                .iter()
                .map(|piece| match piece {
                    Piece::Call(name, reason) => format!("{name} {reason}").trim().to_owned(),
                    other => format!("{other:?}"),
                })
                .collect();
            format!("{}: {}", calls.join(", "), consequence.words)
        };
        let failed = "stopped, PortsGone, release failed";
        for (driver, operation, action, expected) in [
            (
                Driver::Qemu,
                "prepare",
                Action::Start,
                "stopped, release failed: the guest isn't started".to_owned(),
            ),
            (
                Driver::Lxc,
                "prepare",
                Action::Start,
                "stopped, release failed: the guest isn't started".to_owned(),
            ),
            (Driver::Qemu, "start", Action::Start, format!("{failed}: the guest isn't started")),
            (Driver::Libxl, "prepare", Action::Start, ": the guest isn't started".to_owned()),
            (Driver::Libxl, "start", Action::Start, format!("{failed}: the guest isn't started")),
            (
                Driver::Qemu,
                "started",
                Action::MigrateIn,
                format!("{failed}: libvirt kills the inc"),
            ),
            (Driver::Qemu, "migrate", Action::MigrateIn, ": the migration is refused".to_owned()),
            (Driver::Qemu, "restore", Action::Restore, ": libvirt is told at prepare".to_owned()),
            (
                Driver::Qemu,
                "reconnect",
                Action::Reconnect,
                "stopped, PortsGone, release daemon: libvirt kills".to_owned(),
            ),
            (Driver::Network, "start", Action::Start, "stopped: the network isn't".to_owned()),
            (Driver::Network, "port-created", Action::Reconnect, ": libvirt goes on".to_owned()),
            (
                Driver::Network,
                "port-created",
                Action::Restore,
                format!("{failed}: the guest isn't r"),
            ),
        ] {
            let seen = next(driver, operation, Some(action));
            assert!(seen.starts_with(&expected), "{driver} {operation}: {seen}");
        }
    }
}
