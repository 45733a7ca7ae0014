//! `hookmux events`: shows the events, and those that this host's libvirt can't fire.

use super::class_words;
use super::variables::VARIABLES;
use super::vdsm;
use crate::cli::CommandEnd;
use crate::cli::args::{EventsArgs, Format};
use crate::cli::install::libvirt_version::{self, LibvirtVersion, RELEASE_REASON};
use crate::cli::json::event::{Event, EventVariable, Events, FiringCall, Unfired};
use crate::cli::json::value::Word;
use crate::cli::output::{Cell, Output, Tone};
use crate::cli::table::{Column, Shortening};
use crate::cli::usage;
use crate::config::suggest::did_you_mean;
use crate::config::triggers::Triggers;
use crate::event::{self, Condition};
use crate::libvirt::operation::{self, Operation, OperationRow};
use crate::libvirt::{Class, Driver};
use crate::registry::matched_calls;

/// In less, a terminal has no room for both of the last columns.
const NARROW_CELLS: usize = 110;

pub(crate) struct EventLine<'a> {
    pub event: &'a event::EventRow,
    calls: Vec<&'a OperationRow>,
    /// Why this host never fires it.
    never: Option<String>,
}

pub(crate) fn lines(host: Option<LibvirtVersion>) -> Vec<EventLine<'static>> {
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
    /// Says in a sentence when it fires, and what a failure means.
    pub(crate) fn sentence(&self) -> String {
        let calls: Vec<String> = self
            .calls
            .iter()
            .map(|call| format!("`{}` (libvirt {})", call.name, call.since))
            .collect();
        let first = self.calls.first();
        let drivers = first.map_or(String::new(), |call| {
            call.drivers.iter().map(|driver| driver.name()).collect::<Vec<_>>().join(", ")
        });
        let class = first.map_or("", |call| call.class.name());
        let filter = if self.calls.iter().any(|call| call.filter) {
            "; libvirt takes the document that hooks make"
        } else {
            ""
        };
        let when = match self.when() {
            when if when.is_empty() => String::new(),
            when => format!("; {when}"),
        };
        format!("at {} of {drivers}; class {class}{filter}{when}", calls.join(" or "))
    }

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

    /// Returns the variables that a script in its directory gets.
    fn variables(&self) -> impl Iterator<Item = &'static (&'static str, &'static str)> {
        let is_guest = self.calls.iter().any(|call| call.drivers == Driver::GUESTS);
        let is_daemon = self.calls.iter().any(|call| call.drivers.contains(&Driver::Daemon));
        let operation = self.event.operation;
        let is_end = matches!(operation, Operation::Stopped | Operation::Release);
        let is_dehibernate = self.event.name.ends_with("_vm_dehibernate");
        VARIABLES.iter().filter(move |(names, _)| {
            let has = |part: &str| names.contains(part);
            !(has("UNDO")
                || has("REMOTE")
                || has("SNAPSHOT") && !is_dehibernate
                || has("STARTED_XML") && !is_end
                || has("REASON") && operation != Operation::Release
                || (has("ORIGIN") || has("PROPERTY")) && !is_guest
                || has("UUID") && is_daemon)
        })
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
    let mut lines = lines(host);
    if let Some(name) = &arguments.event {
        if !lines.iter().any(|line| line.event.name == name) {
            let hint = did_you_mean(name, lines.iter().map(|line| line.event.name));
            let hint = hint.map(|name| format!(" (did you mean {name}?)")).unwrap_or_default();
            let words = format!("there is no event `{name}`{hint}; `hookmux events` shows all");
            return Err(usage::wrong(words));
        }
        lines.retain(|line| line.event.name == name);
    }
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
    if arguments.event.is_some() {
        lines.iter().for_each(|line| page(line, output));
        return Ok(CommandEnd::Good);
    }
    let is_narrow = output.width().is_some_and(|width| width < NARROW_CELLS);
    let mut rows: Vec<Vec<Cell>> = lines
        .iter()
        .map(|line| {
            let class = line.calls.first().map_or("", |call| call.class.name());
            let filter = if line.calls.iter().any(|call| call.filter) { ", filter" } else { "" };
            let tone = if line.never.is_some() { Tone::Dim } else { Tone::Plain };
            let never = line.never.clone().unwrap_or_default();
            // a narrow terminal has room for one of the two
            let (when, never) = match is_narrow && !never.is_empty() {
                true => (Cell(never, Tone::Warning), Cell::from("")),
                false => (Cell(line.when(), tone), Cell(never, Tone::Warning)),
            };
            vec![
                Cell(line.event.name.to_owned(), tone),
                Cell(line.calls(host), tone),
                Cell(format!("{class}{filter}"), tone),
                when,
                never,
            ]
        })
        .collect();
    let mut head = ["EVENT", "LIBVIRT CALL", "CLASS", "WHEN", "HERE"].map(Column::from);
    // it is what a directory is called, so it is copied
    head[0].shortening = Shortening::Never;
    if is_narrow {
        for row in &mut rows {
            row.swap(0, 1);
            row.truncate(head.len() - 1);
        }
        head.swap(0, 1);
        output.grouped_table(&head[..head.len() - 1], &rows);
    } else {
        output.table(&head, &rows);
    }
    output.line("");
    for class in [Class::Gate, Class::Live, Class::Notify] {
        output.sentence(2, &format!("{}: {}.", class.name(), class_words::meaning(class)));
    }
    output.sentence(
        2,
        "filter: libvirt takes the document that hooks made.  guest: qemu, lxc, libxl and bhyve.",
    );
    output.sentence(
        2,
        "An operation that is new to hookmux fires on_<driver>_<operation>, class live.",
    );
    output.sentence(2, "`hookmux events EVENT` shows all about one; --vdsm also vdsm's hook points that never fire.");
    if !arguments.vdsm {
        return Ok(CommandEnd::Good);
    }
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

/// Prints all about one event.
fn page(line: &EventLine<'_>, output: &mut Output) {
    let name = line.event.name;
    output.toned(Tone::Bold, name);
    output.sentence(4, &format!("  {}", line.sentence().replace('`', "")));
    if let Some(never) = &line.never {
        output.toned(Tone::Warning, &format!("  {never}"));
    }
    if let Some(class) = line.calls.first().map(|call| call.class) {
        output.sentence(4, &format!("  {}: {}", class.name(), class_words::meaning(class)));
    }
    let is_filter = line.calls.iter().any(|call| call.filter);
    output.line(match is_filter {
        true => "  $_hook_domxml may be edited: libvirt takes the result",
        false => "  $_hook_domxml is for reading: libvirt takes no edit here",
    });
    output.line("");
    output.toned(Tone::Bold, "What a script gets");
    for (names, what) in line.variables() {
        let names = names.replace(['`', '<', '>'], "");
        output.sentence(41, &format!("  {names:<38} {}", what.replace('`', "")));
    }
    output.line("");
    output.toned(Tone::Bold, "Example");
    output.line("  #!/bin/sh");
    output.line(&format!("  # /etc/libvirt/hooks/{name}/10-example, mode 755"));
    output.line("  logger \"$HOOKMUX_EVENT: $HOOKMUX_OBJECT\"");
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
    let variable = |(names, what): &(&str, &str)| EventVariable {
        name: names.replace("`<name>`", "NAME"),
        what: what.replace('`', ""),
    };
    Event {
        event: line.event.name,
        per_device: line.event.per_device,
        condition: line.event.condition.words().map(|words| words.into_owned()),
        variables: line.variables().map(variable).collect(),
        calls: line.calls.iter().map(call).collect(),
        never_here: line.never.clone(),
    }
}
