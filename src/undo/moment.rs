//! What a call means for the ledger. Pure.

use std::time::Duration;

use crate::libvirt::{Call, Class, Driver, Operation};

/// How long all undos of one call may take together.
const TIMEOUT: Duration = Duration::from_secs(30);
/// libvirt runs some calls for containers in its event loop: the whole daemon waits.
const LXC_TIMEOUT: Duration = Duration::from_secs(20);
/// How long entries of `restore` and `migrate` wait for `prepare`: an offline migration and a refused
/// restore never call it.
pub(crate) const PROVISIONAL_TIMEOUT: Duration = Duration::from_secs(300);

/// What a call means for the entries of its guest, network or port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A life may begin: `prepare` decides. What is owed is of an earlier one.
    Arrives,
    /// A life begins. What an earlier one left is taken back first.
    Begins,
    /// A life goes on. At `port-created` too: a new port has a new uuid, and a daemon that starts calls it again for
    /// each port that it has (9.0.0).
    Lives,
    /// A life ends: what was set up in it is taken back after the call's own hooks.
    Ends,
}

impl Moment {
    pub(crate) fn of(call: &Call) -> Moment {
        match call.operation() {
            Operation::Migrate | Operation::Restore => Moment::Arrives,
            Operation::Prepare | Operation::NetworkStart => Moment::Begins,
            Operation::Release | Operation::NetworkStopped | Operation::PortDeleted => Moment::Ends,
            _ => Moment::Lives,
        }
    }
}

/// Tells whether libvirt calls nothing more for this life where the call fails.
pub(crate) fn ends_when_failed(call: &Call) -> bool {
    match call.operation() {
        // a network that didn't start is none that could stop: there is no `stopped` (9.0.0)
        Operation::Migrate | Operation::PortCreated | Operation::NetworkStart => true,
        Operation::Prepare => matches!(call.driver, Driver::Libxl | Driver::Bhyve),
        _ => false,
    }
}

/// Tells whether the call is a gate, at which a hook that can't be entered isn't started.
pub(crate) fn is_gate(call: &Call) -> bool {
    call.class() == Class::Gate
}

/// Returns how long all undos of a call may take together.
pub(crate) fn timeout(driver: Driver) -> Duration {
    if driver == Driver::Lxc { LXC_TIMEOUT } else { TIMEOUT }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libvirt::operation::TABLE;

    #[test]
    fn each_operation_has_its_meaning_for_the_ledger() {
        use Moment::{Arrives, Begins, Ends, Lives};
        for row in TABLE {
            for driver in row.drivers {
                let words = ["x", row.name, row.sub.unwrap_or("-"), "-"].map(Into::into);
                let call = Call::new(*driver, words.into());
                let expected = match (driver, row.name) {
                    (_, "migrate" | "restore") => Arrives,
                    (_, "prepare") => Begins,
                    (Driver::Network, "start") => Begins,
                    (Driver::Network, "stopped") => Ends,
                    (_, "release" | "port-deleted" | "unplugged") => Ends,
                    _ => Lives,
                };
                assert_eq!(Moment::of(&call), expected, "{driver} {}", row.name);
                let is_last = matches!(
                    (driver, row.name),
                    (_, "migrate" | "port-created" | "plugged")
                        | (Driver::Network, "start")
                        | (Driver::Libxl | Driver::Bhyve, "prepare")
                );
                assert_eq!(ends_when_failed(&call), is_last, "{driver} {}", row.name);
            }
        }
        assert_eq!(timeout(Driver::Lxc), Duration::from_secs(20));
        assert_eq!(timeout(Driver::Network), Duration::from_secs(30));
    }
}
