//! What selects executions: names and patterns for names, events and calls.

use super::form::{RecordCause, RecordHead};
use crate::config::glob;
use crate::event::{self, Origin};
use crate::libvirt::{Call, Driver};

/// A name, or a pattern for names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamePattern {
    Name(String),
    /// `*` stands for any characters, `?` for one.
    Glob(String),
}

impl NamePattern {
    /// Reads a word: it is a pattern if it contains `*` or `?`.
    pub fn of(word: &str) -> NamePattern {
        match is_glob(word) {
            true => NamePattern::Glob(word.to_owned()),
            false => NamePattern::Name(word.to_owned()),
        }
    }

    /// Returns the pattern for everything that begins with a word.
    pub fn beginning(word: &str) -> NamePattern {
        NamePattern::Glob(format!("{word}*"))
    }

    /// Reads a word for names of a known set: a name itself, a pattern, or the beginning of names. Returns
    /// `None` if no name of the set matches.
    pub fn among<'a>(
        word: &str,
        known: impl Iterator<Item = &'a str> + Clone,
    ) -> Option<NamePattern> {
        if known.clone().any(|name| name == word) {
            return Some(NamePattern::Name(word.to_owned()));
        }
        let pattern = match is_glob(word) {
            true => NamePattern::Glob(word.to_owned()),
            false if word.is_empty() => return None,
            false => NamePattern::beginning(word),
        };
        known.clone().any(|name| pattern.matches(name)).then_some(pattern)
    }

    pub fn matches(&self, value: &str) -> bool {
        match self {
            NamePattern::Name(name) => name == value,
            NamePattern::Glob(pattern) => glob::matches(pattern, value),
        }
    }
}

/// Tells whether a word contains a character that makes it a pattern.
pub(crate) fn is_glob(word: &str) -> bool {
    word.contains(['*', '?'])
}

/// Selects executions by an event that fired, or by their call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OccasionPattern {
    Event(NamePattern),
    /// Driver, operation and sub-operation.
    Call([NamePattern; 3]),
}

impl OccasionPattern {
    pub fn matches(&self, head: &RecordHead) -> bool {
        match self {
            OccasionPattern::Event(pattern) => {
                events(head).iter().any(|event| pattern.matches(event))
            }
            OccasionPattern::Call(parts) => [&head.driver, &head.operation, &head.sub_operation]
                .into_iter()
                .zip(parts)
                .all(|(value, pattern)| pattern.matches(value)),
        }
    }
}

/// Returns the events of an execution, in their order: those that fired at libvirt's call, with or without
/// hooks. An event for devices counts if one of its hooks ran, as a summary doesn't have the devices. A
/// retry, and an attempt of a detached hook, have only the events of their hooks.
pub(crate) fn events(head: &RecordHead) -> Vec<String> {
    let own = || head.hooks.iter().filter_map(|hook| hook.event.clone());
    let mut fired: Vec<String> = match (&head.cause, Driver::from_name(&head.driver)) {
        (RecordCause::Libvirt | RecordCause::Person | RecordCause::Remote(_), Some(driver)) => {
            let words = [&head.object, &head.operation, &head.sub_operation, &head.extra];
            let call = Call::new(driver, words.map(Into::into).into());
            let origin = head.origin.as_deref().and_then(Origin::from_name);
            let origin = origin.unwrap_or(Origin::Unknown);
            let fires = |event: &event::Event| match event.per_device {
                true => own().any(|name| name == event.name),
                false => event.fires(origin, call.reason()).is_ok(),
            };
            let all = event::candidates(&call).into_iter().filter(fires);
            all.map(|event| event.name.into_owned()).collect()
        }
        _ => Vec::new(),
    };
    for event in own() {
        if !fired.contains(&event) {
            fired.push(event);
        }
    }
    fired
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::form::HookSummary;

    #[test]
    fn a_name_wins_over_a_pattern_and_a_pattern_over_a_beginning() {
        const KNOWN: [&str; 4] = ["start", "started", "stopped", "st*"];
        for (word, expected) in [
            ("start", Some(&["start"][..])),
            ("sta", Some(&["start", "started"])),
            ("st*", Some(&["st*"])),
            ("st?pped", Some(&["stopped"])),
            ("*ed", Some(&["started", "stopped"])),
            ("strat", None),
            ("x*", None),
            ("", None),
        ] {
            let found = NamePattern::among(word, KNOWN.into_iter());
            let matching =
                found.map(|found| KNOWN.into_iter().filter(|name| found.matches(name)).collect());
            assert_eq!(matching, expected.map(<[&str]>::to_vec), "{word}");
        }
    }

    #[test]
    fn events_are_those_that_fired() {
        let head = |operation: &str, extra: &str, origin: Option<&str>| RecordHead {
            cause: RecordCause::Libvirt,
            driver: "qemu".into(),
            object: "g".into(),
            operation: operation.into(),
            sub_operation: "begin".into(),
            extra: extra.into(),
            origin: origin.map(str::to_owned),
            ..RecordHead::default()
        };
        let started = head("started", "-", Some("restore"));
        assert_eq!(events(&started), ["after_vm_launch", "after_vm_dehibernate"]);
        let of_device =
            HookSummary { event: Some("after_device_create".into()), ..HookSummary::default() };
        let with_device = RecordHead { hooks: vec![of_device], ..head("started", "-", None) };
        let all = ["after_vm_launch", "after_vm_start", "after_device_create"];
        assert_eq!(events(&with_device), all);
        let again = RecordHead { cause: RecordCause::Retry("x".into()), ..with_device };
        assert_eq!(events(&again), ["after_device_create"]);
        assert_eq!(events(&head("paused", "-", None)), ["on_qemu_paused"]);
        let released =
            RecordHead { sub_operation: "end".into(), ..head("release", "saved", Some("fresh")) };
        assert_eq!(events(&released), ["after_vm_hibernate", "after_vm_destroy"]);
        // another version's driver
        assert!(events(&RecordHead { driver: "vbox".into(), ..released }).is_empty());
    }
}
