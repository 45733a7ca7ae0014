//! Which call tells a guest's memory what, and asks it for what.

pub(crate) mod daemon_reload;
pub(crate) mod guest;
pub(crate) mod saves;

use std::path::PathBuf;

use crate::config::Settings;
use crate::event::Origin;
use crate::libvirt::{Call, Document, Driver, Operation};
use guest::{Arrival, Guest};

/// Whether a call has something to remember or to ask for, hooks or not.
pub(crate) fn is_asked(call: &Call) -> bool {
    matches!(
        call.operation(),
        Operation::Prepare
            | Operation::Started
            | Operation::Release
            | Operation::Migrate
            | Operation::Restore
            | Operation::Reconnect
            | Operation::Attach
    )
}

/// What a guest's memory is asked and told before any hook runs.
pub(crate) fn before(
    call: &Call,
    settings: &Settings,
    guest: &Guest,
    document: &Document,
    troubles: &mut Vec<String>,
) -> Arrival {
    match call.operation() {
        Operation::Prepare => {
            let arrival = guest.arrive();
            troubles.extend(arrival.trouble.clone());
            return arrival;
        }
        // what waits is replaced at the end of the call
        Operation::Migrate => return Arrival::of(Origin::Migration),
        Operation::Restore => return Arrival::of(Origin::Restore),
        _ => guest.forget_pending(),
    }
    if matches!(call.operation(), Operation::Started | Operation::Reconnect) {
        let kept = document.bytes().map(|bytes| guest.keep_document(bytes));
        if let Some(Err(error)) = kept {
            troubles.push(format!("the document of the running guest can't be kept: {error}; HOOKMUX_STARTED_XML will be missing"));
        }
    }
    if call.operation() == Operation::Started && call.driver == Driver::Qemu {
        troubles.extend(saves::release(&settings.save_dir, call.object()).err());
    }
    Arrival::of(guest.origin())
}

/// What a guest's memory is told once the call has succeeded.
pub(crate) fn after(call: &Call, guest: &Guest) {
    // without the memory, the guest's origin will be taken for fresh
    let _ = match call.operation() {
        Operation::Migrate => guest.expect(Origin::Migration, None),
        Operation::Restore => guest.expect(Origin::Restore, None),
        Operation::Release => {
            guest.forget();
            Ok(())
        }
        _ => Ok(()),
    };
}

/// What a call that is only tried would find.
pub(crate) fn foresee(call: &Call, guest: Option<&Guest>, told: Option<Origin>) -> Arrival {
    let found = match (call.operation(), guest) {
        (Operation::Prepare, Some(guest)) => guest.foresee(),
        (Operation::Migrate, _) => Arrival::of(Origin::Migration),
        (Operation::Restore, _) => Arrival::of(Origin::Restore),
        (_, guest) => Arrival::of(guest.map_or(Origin::Unknown, Guest::origin)),
    };
    match told {
        // who says how the guest comes says that nothing waits
        Some(origin) => Arrival::of(origin),
        None => found,
    }
}

/// The file with the document of `started`, for the calls that lack what it has.
pub(crate) fn started_document(call: &Call, guest: &Guest) -> Option<PathBuf> {
    let asks = matches!(call.operation(), Operation::Stopped | Operation::Release);
    asks.then(|| guest.started_document()).flatten()
}
