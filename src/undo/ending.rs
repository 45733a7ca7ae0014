//! How a call ends, and whose lives end with it.

use serde::{Deserialize, Serialize};

use super::ledger::Ledger;
use super::marks::MarkKind;
use super::owner::Owner;
use super::owner_ledger::OwnerLedger;
use crate::libvirt::{Call, Operation};
use crate::state::Dir;

/// How a call has ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CallEnd {
    pub has_failed: bool,
    /// Whether hookmux was told to end.
    pub is_terminated: bool,
}

/// Whose lives end with a call, for the program that takes over where its process dies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Ending {
    /// Their directories of the ledger.
    owners: Vec<String>,
    /// Whether they end only where the call fails.
    is_if_failed: bool,
}

impl Ending {
    pub(super) fn of<'a>(
        ledgers: impl Iterator<Item = &'a OwnerLedger>,
        is_if_failed: bool,
    ) -> Ending {
        let owners = ledgers.map(|ledger| ledger.owner().directory().to_owned()).collect();
        Ending { owners, is_if_failed }
    }

    /// Notes for the worker that these lives are over.
    pub(crate) fn mark_due(&self, runtime_dir: &Dir, has_failed: bool) {
        if self.is_if_failed && !has_failed {
            return;
        }
        let ledger = Ledger::new(runtime_dir);
        for owner in &self.owners {
            // what has no room for it is found by the next `prepare`
            let _ = ledger.of(&Owner::of_directory(owner.clone())).mark(MarkKind::Due);
        }
    }
}

/// Returns the ports that a network takes with it where this call says that it has stopped.
pub(super) fn ports(ledger: &Ledger, owner: &Owner, call: &Call) -> Vec<OwnerLedger> {
    if call.operation() != Operation::NetworkStopped {
        return Vec::new();
    }
    let owners = ledger.owners().unwrap_or_default();
    let ports = owners.iter().filter(|other| other.is_port_of(owner));
    ports.map(|port| ledger.of(port)).collect()
}

/// Notes that the life of an owner is over, whose undos nobody runs now.
pub(super) fn leave_owed(ledger: &OwnerLedger, is_locked: bool) {
    if !is_locked {
        // what has no room for it is found by the next `prepare`
        let _ = ledger.mark(MarkKind::Ended);
        return;
    }
    for owed in ledger.entries().0.iter_mut().filter(|owed| !owed.is_waiting()) {
        let _ = ledger.end(owed);
    }
    ledger.unmark(MarkKind::Begun);
}
