//! Words with which people select events and calls: a name, the beginning of one, or a pattern.

use anyhow::bail;

use super::usage;
use crate::config::suggest::did_you_mean;
use crate::event;
use crate::libvirt::Driver;
use crate::libvirt::operation::{self, OperationRow};
use crate::record::selection::{NamePattern, OccasionPattern, is_glob};

/// Reads a word for events: `before_vm_start`, `after_vm_`, `*_network_*`.
///
/// # Errors
/// No event matches; the message has a similar one.
pub(crate) fn events(word: &str) -> anyhow::Result<NamePattern> {
    if event::is_known(word) {
        return Ok(NamePattern::Name(word.to_owned()));
    }
    if let Some(pattern) = NamePattern::among(word, names()) {
        return Ok(pattern);
    }
    // events of operations that this version doesn't know have a name, but aren't in the table
    let literal = word.split(['*', '?']).next().unwrap_or_default();
    let of_driver = Driver::ALL.map(|driver| format!("on_{driver}_"));
    let may_match = |on: &String| on.starts_with(literal) || literal.starts_with(on.as_str());
    let has_own = !event::known_events_of(word).is_empty();
    if !literal.is_empty() && !has_own && of_driver.iter().any(may_match) {
        return Ok(match is_glob(word) {
            true => NamePattern::Glob(word.to_owned()),
            false => NamePattern::beginning(word),
        });
    }
    Err(no_event(word))
}

fn no_event(word: &str) -> anyhow::Error {
    let own = event::known_events_of(word);
    let hint = match own.as_slice() {
        [] => similar(word).map(|similar| format!(" (did you mean {similar}?)")),
        own => Some(format!(" (that operation has events of its own: {})", own.join(", "))),
    };
    let hint = hint.unwrap_or_default();
    usage::wrong(format!("there is no event {word}{hint}; see `hookmux events`"))
}

/// Refuses the name of an unknown event.
///
/// # Errors
/// There is no such event; the message has a similar one.
pub(crate) fn event(name: &str) -> anyhow::Result<()> {
    match event::is_known(name) {
        true => Ok(()),
        false => Err(no_event(name)),
    }
}

fn names() -> impl Iterator<Item = &'static str> + Clone {
    event::TABLE.iter().map(|row| row.name)
}

/// Returns the event that is most similar to a word, or for one that ends with `_` the beginning of events.
fn similar(word: &str) -> Option<&'static str> {
    if !word.ends_with('_') {
        return did_you_mean(word, names());
    }
    let beginnings = names().flat_map(|name| {
        let ends = name.match_indices('_').map(|(at, _)| at + 1);
        ends.filter_map(|end| name.get(..end))
    });
    did_you_mean(word, beginnings)
}

/// Reads a word for events or calls. One with a slash is a call, and so is a driver's name:
/// `qemu/prepare/begin`, `qemu/st`, `network/`, `*/started`.
///
/// # Errors
/// No event or call matches; the message has a similar one.
pub(crate) fn occasion(word: &str) -> anyhow::Result<OccasionPattern> {
    let is_driver = Driver::from_name(word).is_some();
    match word.split_once('/') {
        Some((first, _)) if event::is_known(first) => {
            bail!(usage::wrong(format!(
                "`{word}` names a hook, and here an event or a call is expected: --hook '{word}' selects by a hook"
            )))
        }
        None if !is_driver => match events(word) {
            Ok(pattern) => Ok(OccasionPattern::Event(pattern)),
            Err(error) => bail!(usage::wrong(format!(
                "{error}; --guest selects by a guest, --hook by a hook"
            ))),
        },
        _ => call(word).map(OccasionPattern::Call),
    }
}

fn call(word: &str) -> anyhow::Result<[NamePattern; 3]> {
    let parts: Vec<&str> = word.split('/').collect();
    let (driver, operation, sub) = match parts.as_slice() {
        [driver] => (*driver, "", ""),
        [driver, operation] => (*driver, *operation, ""),
        [driver, operation, sub] => (*driver, *operation, *sub),
        _ => bail!(usage::wrong(format!(
            "`{word}` is not a call: write driver/operation/sub-operation, as in qemu/prepare/begin"
        ))),
    };
    let any = || NamePattern::Glob("*".to_owned());
    let Some(drivers) = NamePattern::among(driver, Driver::ALL.iter().map(|one| one.name())) else {
        let hint = did_you_mean(driver, Driver::ALL.map(Driver::name));
        let hint = hint.map(|meant| format!("did you mean {meant}?"));
        let all = || format!("they are {}", Driver::ALL.map(Driver::name).join(", "));
        let hint = hint.unwrap_or_else(all);
        bail!(usage::wrong(format!("`{driver}` in `{word}` is not a driver; {hint}")));
    };
    let rows = operation::TABLE
        .iter()
        .filter(|row| row.drivers.iter().any(|driver| drivers.matches(driver.name())));
    let operations = match operation {
        "" => any(),
        operation => {
            let known = rows.clone().map(|row| row.name);
            NamePattern::among(operation, known).ok_or_else(|| no_call(word, &drivers))?
        }
    };
    let subs = match sub {
        "" => any(),
        // where libvirt's sub-operation varies, any is possible
        sub => {
            let of_rows = rows.filter(|row| operations.matches(row.name)).map(|row| row.sub);
            match of_rows.clone().any(|sub| sub.is_none()) {
                true => NamePattern::of(sub),
                false => NamePattern::among(sub, of_rows.flatten())
                    .ok_or_else(|| no_call(word, &drivers))?,
            }
        }
    };
    Ok([drivers, operations, subs])
}

fn no_call(word: &str, drivers: &NamePattern) -> anyhow::Error {
    let depth = word.matches('/').count();
    let call = |driver: &Driver, row: &OperationRow| match row.sub.filter(|_| depth > 1) {
        Some(sub) => format!("{driver}/{}/{sub}", row.name),
        None => format!("{driver}/{}", row.name),
    };
    let calls: Vec<String> = operation::TABLE
        .iter()
        .flat_map(|row| row.drivers.iter().map(move |driver| (driver, row)))
        .filter(|(driver, _)| drivers.matches(driver.name()))
        .map(|(driver, row)| call(driver, row))
        .collect();
    let known = calls.iter().map(String::as_str);
    let hint = did_you_mean(word, known).map(|meant| format!("; did you mean {meant}?"));
    let hint = hint.unwrap_or_else(|| "; see `hookmux events`".to_owned());
    usage::wrong(format!("libvirt makes no call {word}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_name_a_beginning_or_a_pattern() {
        let matching = |word: &str| {
            let pattern = events(word).map_err(|error| error.to_string())?;
            Ok::<_, String>(names().filter(|name| pattern.matches(name)).count())
        };
        for (word, expected) in [
            ("before_vm_start", 1),
            ("after_vm_st", 2),
            ("after_network_", 4),
            ("*_network_port_*", 2),
            ("before_*_start", 4),
            ("on_qemu_paused", 0),
            ("on_", 0),
            ("on_qemu_", 0),
            ("on_lxc_pau*", 0),
        ] {
            assert_eq!(matching(word), Ok(expected), "{word}");
        }
        for (word, told) in [
            ("before_vm_strat", "did you mean before_vm_start?"),
            ("after_vn_", "did you mean after_vm_?"),
            ("after_vm_strop*", "there is no event"),
            ("on_qemu_started", "events of its own: after_vm_launch"),
            ("zzz", "there is no event zzz"),
            ("", "there is no event"),
        ] {
            let error = matching(word).unwrap_err();
            assert!(error.contains(told), "{word}: {error}");
        }
    }

    #[test]
    fn a_call_is_written_as_far_as_it_matters() {
        let matching = |word: &str| match occasion(word) {
            Err(error) => Err(error.to_string()),
            Ok(OccasionPattern::Event(pattern)) => {
                Ok(names().filter(|name| pattern.matches(name)).map(str::to_owned).collect())
            }
            Ok(OccasionPattern::Call([drivers, operations, subs])) => Ok(operation::TABLE
                .iter()
                .filter(|row| operations.matches(row.name))
                .filter(|row| subs.matches(row.sub.unwrap_or_default()))
                .flat_map(|row| row.drivers.iter().map(move |driver| (driver, row)))
                .filter(|(driver, _)| drivers.matches(driver.name()))
                .map(|(driver, row)| format!("{driver}/{}", row.name))
                .collect::<Vec<String>>()),
        };
        for (word, expected) in [
            ("qemu/prepare", &["qemu/prepare"][..]),
            ("qemu/prepare/begin", &["qemu/prepare"]),
            ("qemu/start", &["qemu/start"]),
            ("qemu/sta", &["qemu/start", "qemu/started"]),
            ("daemon", &["daemon/start", "daemon/shutdown", "daemon/reload"]),
            ("daemon/", &["daemon/start", "daemon/shutdown", "daemon/reload"]),
            ("l*/restore", &["lxc/restore", "libxl/restore"]),
            ("network/*/end", &["network/stopped"]),
            ("after_vm_launch", &["after_vm_launch"]),
        ] {
            let expected: Vec<String> = expected.iter().map(|it| (*it).to_owned()).collect();
            assert_eq!(matching(word), Ok(expected), "{word}");
        }
        for (word, told) in [
            ("qmeu/prepare", "`qmeu` in `qmeu/prepare` is not a driver; did you mean qemu?"),
            ("zzz/prepare", "they are daemon, qemu"),
            ("qemu/prepair", "did you mean qemu/prepare?"),
            ("qemu/prepare/end", "did you mean qemu/prepare/begin?"),
            ("a/b/c/d", "is not a call"),
            ("before_vm_start/10-x", "--hook 'before_vm_start/10-x'"),
        ] {
            let error = matching(word).unwrap_err();
            assert!(error.contains(told), "{word}: {error}");
        }
    }
}
