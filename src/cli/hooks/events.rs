//! `hookmux events`: shows the events, and those that this host's libvirt can't fire.

use super::vdsm;
use crate::cli::CommandEnd;
use crate::cli::args::{EventsArgs, Format};
use crate::cli::install::libvirt_version::{self, LibvirtVersion, RELEASE_REASON};
use crate::cli::json::event::{Event, Events, FiringCall, Unfired};
use crate::cli::json::value::Word;
use crate::cli::output::{Cell, Output, Tone};
use crate::config::triggers::Triggers;
use crate::event::{self, Condition};
use crate::libvirt::Driver;
use crate::libvirt::operation::{self, OperationRow};
use crate::registry::matched_calls;

struct EventLine<'a> {
    event: &'a event::EventRow,
    calls: Vec<&'a OperationRow>,
    /// Why this host never fires it.
    never: Option<String>,
}

fn lines(host: Option<LibvirtVersion>) -> Vec<EventLine<'static>> {
    event::TABLE
        .iter()
        .map(|event| {
            let calls: Vec<&OperationRow> =
                operation::TABLE.iter().filter(|row| row.operation == event.operation).collect();
            let never = host.and_then(|host| {
                if matches!(event.condition, Condition::Reason(_)) && host < RELEASE_REASON {
                    return Some(format!("needs libvirt {RELEASE_REASON}, here is {host}"));
                }
                let is_called = calls.iter().any(|call| libvirt_version::spans(call.since, host));
                (!is_called).then(|| format!("libvirt {host} never calls it"))
            });
            EventLine { event, calls, never }
        })
        .collect()
}

/// Returns why a host with this libvirt never fires an event; `None` if it does, or if the event isn't in the
/// table.
pub(crate) fn never(event: &str, host: LibvirtVersion) -> Option<String> {
    lines(Some(host)).into_iter().find(|line| line.event.name == event)?.never
}

/// Returns the events and calls of a registration that this libvirt never makes, each with the reason.
pub(crate) fn never_here(triggers: &Triggers, host: LibvirtVersion) -> Vec<(String, String)> {
    let of_events =
        triggers.events.iter().filter_map(|event| Some((event.clone(), never(event, host)?)));
    let of_calls = triggers.calls.iter().filter_map(|pattern| {
        let since = matched_calls::since(pattern);
        let is_never =
            !since.is_empty() && !since.iter().any(|since| libvirt_version::spans(since, host));
        is_never.then(|| (pattern.to_string(), never_called(host, &since)))
    });
    of_events.chain(of_calls).collect()
}

/// Says which versions of libvirt make a call that this one never makes.
pub(crate) fn never_called(host: LibvirtVersion, since: &[&str]) -> String {
    format!("libvirt {host} never calls it, {} does", since.join(" or "))
}

impl EventLine<'_> {
    fn calls(&self, host: Option<LibvirtVersion>) -> String {
        // of two names of an operation, the one that this host's libvirt uses
        let current = self
            .calls
            .iter()
            .find(|call| host.is_none_or(|host| libvirt_version::spans(call.since, host)));
        let Some(call) = current.or(self.calls.first()) else { return String::new() };
        let drivers = if call.drivers == Driver::GUESTS {
            "guest"
        } else {
            call.drivers.first().map_or("", |d| d.name())
        };
        format!("{drivers} {}", call.name)
    }

    fn when(&self) -> String {
        let device = self.event.per_device.then(|| match self.event.with_empty_custom {
            true => "per device with custom properties or an empty <custom/>".to_owned(),
            false => "per device with custom properties".to_owned(),
        });
        let condition = self.event.condition.words().map(|words| words.into_owned());
        [device, condition].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

pub(crate) fn run(arguments: &EventsArgs, output: &mut Output) -> anyhow::Result<CommandEnd> {
    let host = libvirt_version::of_host();
    let lines = lines(host);
    if arguments.output.format == Format::Json {
        let unfired = |(event, nearest): &(&'static str, Option<&'static str>)| Unfired {
            event,
            nearest: *nearest,
        };
        output.json(&Events {
            libvirt: host.map(|host| host.to_string()),
            events: lines.iter().map(json).collect(),
            vdsm_without_source: vdsm::WITHOUT_SOURCE.iter().map(unfired).collect(),
        });
        return Ok(CommandEnd::Good);
    }
    let rows: Vec<Vec<Cell>> = lines
        .iter()
        .map(|line| {
            let class = line.calls.first().map_or("", |call| call.class.name());
            let filter = if line.calls.iter().any(|call| call.filter) { ", filter" } else { "" };
            let tone = if line.never.is_some() { Tone::Dim } else { Tone::Plain };
            vec![
                Cell(line.event.name.to_owned(), tone),
                Cell(line.calls(host), tone),
                Cell(format!("{class}{filter}"), tone),
                Cell(line.when(), tone),
                Cell(line.never.clone().unwrap_or_default(), Tone::Warning),
            ]
        })
        .collect();
    output.table(&["EVENT", "LIBVIRT CALL", "CLASS", "WHEN", "HERE"], &rows);
    output.line("");
    output.line("gate: a failure stops the operation.  live: a failure is never passed on.  notify: libvirt logs a failure.");
    output.line(
        "filter: libvirt takes the document that hooks made.  guest: qemu, lxc, libxl and bhyve.",
    );
    output.line("An operation that is new to hookmux fires on_<driver>_<operation>, class live.");
    output.line("");
    output.line("vdsm's hook points for which libvirt makes no call:");
    let rows: Vec<Vec<Cell>> = vdsm::WITHOUT_SOURCE
        .iter()
        .map(|(name, nearest)| {
            vec![Cell((*name).to_owned(), Tone::Dim), Cell::from(nearest.unwrap_or("-"))]
        })
        .collect();
    output.table(&["VDSM", "NEAREST"], &rows);
    Ok(CommandEnd::Good)
}

fn json(line: &EventLine<'_>) -> Event {
    let call = |call: &&OperationRow| FiringCall {
        drivers: call.drivers.iter().copied().map(Word).collect(),
        operation: call.name,
        sub_operation: call.sub,
        class: Word(call.class),
        filter: call.filter,
        since: call.since,
    };
    Event {
        event: line.event.name,
        per_device: line.event.per_device,
        condition: line.event.condition.words().map(|words| words.into_owned()),
        calls: line.calls.iter().map(call).collect(),
        never_here: line.never.clone(),
    }
}
