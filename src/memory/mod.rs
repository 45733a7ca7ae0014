//! What each libvirt operation reads from and writes to the remembered guest state.

pub(crate) mod daemon_reload;
pub(crate) mod guest;
pub(crate) mod saves;

use std::path::PathBuf;

use crate::config::Settings;
use crate::event::Origin;
use crate::libvirt::{Call, Document, Driver, Operation};
use guest::{Guest, Remembered};

/// Tells whether a call reads or writes remembered state, even without hooks.
pub(crate) fn is_needed(call: &Call) -> bool {
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

/// Reads and writes the remembered state before any hook runs.
pub(crate) fn before_hooks(
    call: &Call,
    settings: &Settings,
    guest: &Guest,
    document: &Document,
    warnings: &mut Vec<String>,
) -> Remembered {
    match call.operation() {
        Operation::Prepare => {
            let remembered = guest.take_pending();
            warnings.extend(remembered.error.clone());
            return remembered;
        }
        // the pending state is replaced at the end of the call
        Operation::Migrate => return Remembered::of(Origin::Migration),
        Operation::Restore => return Remembered::of(Origin::Restore),
        _ => guest.forget_pending(),
    }
    if matches!(call.operation(), Operation::Started | Operation::Reconnect) {
        let kept = document.bytes().map(|bytes| guest.keep_document(bytes));
        if let Some(Err(error)) = kept {
            warnings.push(format!("the document of the running guest can't be kept: {error}; HOOKMUX_STARTED_XML will be missing"));
        }
    }
    if call.operation() == Operation::Started && call.driver == Driver::Qemu {
        warnings.extend(saves::release(&settings.save_dir, call.object()).err());
    }
    Remembered::of(guest.origin())
}

/// Writes the remembered state once the call has succeeded.
pub(crate) fn after_hooks(call: &Call, guest: &Guest) {
    // if this can't be written, the guest's origin will count as fresh
    let _ = match call.operation() {
        Operation::Migrate => guest.remember_pending(Origin::Migration, None),
        Operation::Restore => guest.remember_pending(Origin::Restore, None),
        Operation::Release => {
            guest.forget();
            Ok(())
        }
        _ => Ok(()),
    };
}

/// Returns the state that a trial call would find, without taking it.
pub(crate) fn preview(call: &Call, guest: Option<&Guest>, given: Option<Origin>) -> Remembered {
    let found = match (call.operation(), guest) {
        (Operation::Prepare, Some(guest)) => guest.peek_pending(),
        (Operation::Migrate, _) => Remembered::of(Origin::Migration),
        (Operation::Restore, _) => Remembered::of(Origin::Restore),
        (_, guest) => Remembered::of(guest.map_or(Origin::Unknown, Guest::origin)),
    };
    match given {
        // an origin that a person gives means that nothing is pending
        Some(origin) => Remembered::of(origin),
        None => found,
    }
}

/// Returns the file with the document of `started`, for calls whose own document has less in it.
pub(crate) fn started_document(call: &Call, guest: &Guest) -> Option<PathBuf> {
    let asks = matches!(call.operation(), Operation::Stopped | Operation::Release);
    asks.then(|| guest.started_document()).flatten()
}
