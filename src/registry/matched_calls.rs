//! The calls that a registration's triggers match, and patterns that match no call. Pure.

use crate::config::suggest::did_you_mean;
use crate::config::triggers::{CallPattern, Triggers};
use crate::event::{self, Condition};
use crate::libvirt::operation::{self, OperationRow};
use crate::libvirt::{Driver, Operation};

/// A call of one driver, and the condition of its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatchedCall {
    pub driver: Driver,
    pub operation: Operation,
    pub condition: Condition,
}

/// Returns the calls of all events and patterns of a registration.
pub fn of(triggers: &Triggers) -> Vec<MatchedCall> {
    let of_operation = |operation: Operation, condition: Condition| {
        let rows = operation::TABLE.iter().filter(move |row| row.operation == operation);
        rows.flat_map(|row| row.drivers).map(move |driver| MatchedCall {
            driver: *driver,
            operation,
            condition,
        })
    };
    let mut all: Vec<MatchedCall> = event::TABLE
        .iter()
        .filter(|row| triggers.has_event(row.name))
        .flat_map(|row| of_operation(row.operation, row.condition))
        .collect();
    let unknown = |driver| MatchedCall {
        driver,
        operation: Operation::Unknown,
        condition: Condition::Always,
    };
    all.extend(
        triggers.events.iter().filter_map(|name| on_driver(name)).map(|(it, _)| unknown(it)),
    );
    for pattern in &triggers.calls {
        let before = all.len();
        all.extend(rows(pattern).map(|(driver, row)| MatchedCall {
            driver,
            operation: row.operation,
            condition: Condition::Always,
        }));
        if all.len() == before {
            all.extend(drivers(pattern).map(unknown));
        }
    }
    all
}

/// Returns driver and operation of an event such as `on_qemu_paused`.
fn on_driver(event: &str) -> Option<(Driver, &str)> {
    let (driver, operation) = event.strip_prefix("on_")?.split_once('_')?;
    Some((Driver::from_name(driver)?, operation))
}

fn drivers(pattern: &CallPattern) -> impl Iterator<Item = Driver> {
    Driver::ALL
        .into_iter()
        .filter(|driver| pattern.driver.as_deref().is_none_or(|own| own == driver.name()))
}

/// Returns the calls of libvirt that a pattern matches.
fn rows(pattern: &CallPattern) -> impl Iterator<Item = (Driver, &'static OperationRow)> {
    drivers(pattern).flat_map(move |driver| {
        operation::TABLE
            .iter()
            .filter(move |row| {
                row.drivers.contains(&driver)
                    && pattern.operation.as_deref().is_none_or(|own| own == row.name)
                    && (pattern.sub.is_none()
                        || row.sub.is_none()
                        || pattern.sub.as_deref() == row.sub)
            })
            .map(move |row| (driver, row))
    })
}

/// Returns the libvirt versions that make the calls of a pattern, as in the table of operations.
pub(crate) fn since(pattern: &CallPattern) -> Vec<&'static str> {
    rows(pattern).map(|(_, row)| row.since).collect()
}

/// Returns a message about a pattern that matches no call of libvirt, with a similar call.
pub(crate) fn unmatched(pattern: &CallPattern) -> Option<String> {
    if rows(pattern).next().is_some() {
        return None;
    }
    let calls: Vec<String> = drivers(pattern)
        .flat_map(|driver| {
            let rows = operation::TABLE.iter().filter(move |row| row.drivers.contains(&driver));
            rows.map(move |row| match row.sub.filter(|_| pattern.sub.is_some()) {
                Some(sub) => format!("{driver}/{}/{sub}", row.name),
                None => format!("{driver}/{}", row.name),
            })
        })
        .collect();
    let written = pattern.to_string();
    let written = if pattern.sub.is_some() { &written } else { written.trim_end_matches("/*") };
    let hint = did_you_mean(written, calls.iter().map(String::as_str))
        .map(|meant| format!("; did you mean {meant}?"))
        .unwrap_or_default();
    Some(format!("libvirt makes no call {written}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_no_call_fits_are_told() {
        for (word, expected) in [
            ("qemu/prepare/begin", None),
            ("*/prepare", None),
            ("*", None),
            ("network/plugged", None),
            ("daemon/start/-", None),
            ("qemu/prepair", Some("did you mean qemu/prepare?")),
            ("qemu/prepare/end", Some("did you mean qemu/prepare/begin?")),
            ("network/migrate", Some("libvirt makes no call network/migrate")),
        ] {
            let told = unmatched(&CallPattern::parse(word).unwrap());
            assert_eq!(told.is_some(), expected.is_some(), "{word}: {told:?}");
            let words = expected.unwrap_or_default();
            assert!(told.unwrap_or_default().contains(words), "{word}");
        }
    }
}
