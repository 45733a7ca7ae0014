//! `hookmux list --guests`: shows the guests and networks, each with its last execution.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use crate::cli::args::Format;
use crate::cli::guests::Guests;
use crate::cli::history::executions;
use crate::cli::history::seen::{Aftermath, Seen};
use crate::cli::json::execution::Execution;
use crate::cli::json::guest;
use crate::cli::json::value::Word;
use crate::cli::output::{Cell, Output, Tone};
use crate::cli::plan::known;
use crate::cli::time::TimeStyle;
use crate::cli::{CommandEnd, CommandPlace};
use crate::config::Settings;
use crate::libvirt::Driver;
use crate::record::form::RecordHead;

/// How many of the newest records are looked through.
const MAX_RECORDS: usize = 1000;

/// A guest or a network.
#[derive(Default)]
struct Found {
    is_defined: bool,
    is_running: Option<bool>,
    last: Option<RecordHead>,
}

pub(super) fn run(
    place: &CommandPlace,
    settings: &Settings,
    format: Format,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    let found = find(place, settings, output)?;
    if format == Format::Json {
        let guests = found.into_iter().map(|((driver, object), found)| guest::Guest {
            driver: Word(driver),
            object,
            defined: found.is_defined,
            running: found.is_running,
            last: found.last.as_ref().map(Execution::from),
        });
        output.json(&guest::Guests { guests: guests.collect() });
        return Ok(CommandEnd::Good);
    }
    if found.is_empty() {
        output.line("libvirt knows no guest and no network, and has made no call for one.");
        return Ok(CommandEnd::Good);
    }
    let times = output.times(TimeStyle::Relative);
    let rows: Vec<Vec<Cell>> = found
        .iter()
        .map(|((driver, object), found)| {
            let state = match (found.is_running, found.is_defined) {
                (Some(true), _) => Cell("running".to_owned(), Tone::Good),
                (Some(false), true) => "shut off".into(),
                (None, true) => "defined".into(),
                (Some(false) | None, false) => Cell("not known".to_owned(), Tone::Dim),
            };
            let last = found.last.as_ref().map(|head| {
                let seen = Seen::new(head.clone(), Aftermath::default());
                let (words, tone) = executions::end(&seen);
                let when = times.of(head.began_us / 1_000_000);
                Cell(format!("{when}: {}: {words}", executions::call(head)), tone)
            });
            vec![driver.name().into(), object.clone().into(), state, last.unwrap_or("-".into())]
        })
        .collect();
    output.table(&["DRIVER", "GUEST", "STATE", "LAST EXECUTION"], &rows);
    Ok(CommandEnd::Good)
}

/// Returns what libvirt knows, and what the newest executions are about.
///
/// # Errors
/// This user may not read records.
fn find(
    place: &CommandPlace,
    settings: &Settings,
    output: &mut Output,
) -> anyhow::Result<BTreeMap<(Driver, String), Found>> {
    let history = executions::history(settings, output)?;
    let guests = Guests::new(&place.surroundings);
    let mut found: BTreeMap<(Driver, String), Found> = BTreeMap::new();
    for guest in guests.of_host() {
        let one = found.entry((guest.driver, guest.name)).or_default();
        one.is_defined = guest.definition.is_some();
        one.is_running = guest.status.is_some().then_some(true);
    }
    for id in history.newest().take(MAX_RECORDS) {
        let Ok(head) = history.head(&id) else { continue };
        let driver = Driver::from_name(OsStr::new(&head.driver));
        let Some(driver) = driver.filter(|it| *it != Driver::Daemon) else { continue };
        let one = found.entry((driver, head.object.clone())).or_default();
        one.last.get_or_insert(head);
    }
    for ((driver, name), one) in &mut found {
        let is_remembered = || known::is_remembered(place, settings, *driver, name);
        one.is_running = match one.is_running == Some(true) || is_remembered() {
            true => Some(true),
            false => guests.sees_running(*driver).then_some(false),
        };
    }
    Ok(found)
}
