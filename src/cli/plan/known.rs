//! Whether a call is about something that libvirt knows: its operation, and its guest or network.

use std::ffi::OsStr;

use crate::cli::CommandPlace;
use crate::cli::args::CallArgs;
use crate::cli::guests::Guests;
use crate::cli::remark::Remark;
use crate::command::Fix;
use crate::config::Settings;
use crate::config::suggest::did_you_mean;
use crate::document::facts::DocumentFacts;
use crate::event;
use crate::libvirt::operation::{self, OperationRow};
use crate::libvirt::{Call, Document, Driver, Operation};
use crate::memory;
use crate::occasion::Occasion;

/// Something that isn't known.
pub(crate) struct Unknown {
    /// What it is, without a full stop.
    words: String,
    /// The command that was probably meant.
    meant: Option<Fix>,
}

impl Unknown {
    pub(super) fn new(words: String, meant: Option<Fix>) -> Unknown {
        Unknown { words, meant }
    }

    /// Returns the message, with what was probably meant, and with the way to go on.
    pub(crate) fn with_way_out(&self, way_out: &str) -> Remark {
        match &self.meant {
            Some(meant) => {
                let words = format!("{}: `{meant}`; {way_out}", self.words);
                Remark::with_fix(words, meant.clone())
            }
            None => format!("{}; {way_out}", self.words).into(),
        }
    }

    /// Returns the message, with what was probably meant.
    pub(super) fn remark(&self) -> Remark {
        match &self.meant {
            Some(meant) => Remark::with_fix(self.words(), meant.clone()),
            None => self.words().into(),
        }
    }

    pub(crate) fn words(&self) -> String {
        match &self.meant {
            Some(meant) => format!("{}: `{meant}`", self.words),
            None => self.words.clone(),
        }
    }
}

/// Returns what isn't known of a call.
///
/// # Errors
/// This user may not look for the guest.
pub(crate) fn unknown(
    place: &CommandPlace,
    settings: &Settings,
    (command, arguments): (&str, &CallArgs),
    call: &Call,
) -> anyhow::Result<Option<Unknown>> {
    if call.operation() == Operation::Unknown {
        return Ok(Some(operation(place, call, command)));
    }
    // a document is as good as a guest
    if arguments.xml.is_some() || call.driver == Driver::Daemon {
        return Ok(None);
    }
    let again = |name: &str| {
        let (operation, driver) = (call.operation_name(), call.driver.name());
        let words: [&OsStr; 4] = [command.as_ref(), driver.as_ref(), name.as_ref(), operation];
        Fix::hookmux(&settings.hooks_dir, &words)
    };
    guest(place, settings, (call, Some(call.driver)), &again)
}

/// Returns what isn't known of an operation.
fn operation(place: &CommandPlace, call: &Call, command: &str) -> Unknown {
    let name = call.operation_name().to_string_lossy();
    let driver = call.driver;
    let rows = || operation::TABLE.iter().filter(move |row| row.drivers.contains(&driver));
    let meant = |operation: &str| {
        let words: [&OsStr; 4] =
            [command.as_ref(), driver.name().as_ref(), call.object(), operation.as_ref()];
        Fix::hookmux(&place.surroundings.hooks_dir, &words)
    };
    if let Some(row) = rows().find(|row| row.name == name) {
        let sub = call.sub_operation().to_string_lossy();
        let words = format!("libvirt makes no call {name} {sub} for {driver}; did you mean");
        return Unknown::new(words, Some(meant(row.name)));
    }
    let of_event = event::TABLE.iter().find(|row| row.name == name);
    let calls =
        |row: &&OperationRow| of_event.is_some_and(|event| event.operation == row.operation);
    if let Some(row) = rows().find(calls) {
        let words = format!("{name} is an event, not an operation; it fires at");
        return Unknown::new(words, Some(meant(row.name)));
    }
    let names = rows().map(|row| row.name);
    match did_you_mean(&name, names.clone()) {
        Some(similar) => {
            let words = format!("libvirt has no operation {name} for {driver}; did you mean");
            Unknown::new(words, Some(meant(similar)))
        }
        None => {
            let all = names.collect::<Vec<_>>().join(", ");
            let words = format!("libvirt has no operation {name} for {driver}: they are {all}");
            Unknown::new(words, None)
        }
    }
}

/// Returns that libvirt doesn't know a guest or a network, if its definitions can be seen. `again` makes the command
/// with another name.
///
/// # Errors
/// This user may not look for it.
pub(super) fn guest(
    place: &CommandPlace,
    settings: &Settings,
    (call, driver): (&Call, Option<Driver>),
    again: &dyn Fn(&str) -> Fix,
) -> anyhow::Result<Option<Unknown>> {
    let guests = Guests::new(&place.surroundings);
    let name = call.object().to_string_lossy();
    if guests.names(driver).is_none() || !guests.find(&name, driver)?.is_empty() {
        return Ok(None);
    }
    if remembered(place, settings, call).is_some() {
        return Ok(None);
    }
    let what = match driver {
        Some(Driver::Network) => "network".to_owned(),
        Some(driver) => format!("guest of {driver}"),
        None => "guest".to_owned(),
    };
    let similar = guests.similar(&name, driver);
    let hint = if similar.is_some() { "; did you mean" } else { "" };
    let words = format!("libvirt knows no {what} {name}{hint}");
    Ok(Some(Unknown::new(words, similar.map(|similar| again(&similar)))))
}

/// Tells whether hookmux remembers a life of a guest that isn't over.
pub(crate) fn is_remembered(
    place: &CommandPlace,
    settings: &Settings,
    driver: Driver,
    name: &str,
) -> bool {
    let call = Call::new(driver, vec![name.into(), "stopped".into(), "end".into(), "-".into()]);
    remembered(place, settings, &call).is_some()
}

/// Returns what hookmux remembers of a guest, if it has seen it start, and not end.
pub(super) fn remembered(
    place: &CommandPlace,
    settings: &Settings,
    call: &Call,
) -> Option<memory::guest::Guest> {
    let facts = DocumentFacts::without_content(Document::Absent);
    let occasion = Occasion::new(call, settings, &place.surroundings, facts);
    occasion.guest().filter(|guest| guest.is_remembered())
}
