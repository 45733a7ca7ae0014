//! What can be recovered of a registration that can't be used: which calls it concerns, and whether
//! gates fail because of it. It is read only from a file that is valid YAML as a whole. A part of it
//! that isn't understood counts as if it concerned every call.

use serde::{Deserialize, Serialize};

use super::choice::{FailurePolicy, Mode};
use super::triggers::{CallPattern, Triggers};
use super::values::Patterns;
use super::when::When;
use super::yaml::{self, Value};
use crate::event;
use crate::libvirt::{Call, Class, Driver, operation};

/// What is known of a registration that can't be used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecoveredRegistration {
    /// Where it would run; `None` where that is unknown.
    triggers: Option<Triggers>,
    /// Its conditions, as far as they depend on the arguments of a call.
    when: When,
    /// `enabled: false`: it would run nowhere.
    is_disabled: bool,
    /// `mode: detached`, `on_failure: warn` or `remote: true`: its failure would have stopped nothing.
    is_lenient: bool,
}

impl RecoveredRegistration {
    /// Recovers what it can from a text that is not a valid registration.
    pub fn read(text: &str) -> RecoveredRegistration {
        let Ok(Value::Mapping(keys)) = yaml::read::<Value>(text) else {
            return RecoveredRegistration::default();
        };
        let word = |key: &str| keys.get(key).and_then(Value::as_str);
        let when = keys.get("when").map(|when| yaml::value::<When>(when.clone()));
        RecoveredRegistration {
            triggers: triggers(keys.get("events"), keys.get("calls")),
            when: when.flatten().unwrap_or_default(),
            is_disabled: keys.get("enabled") == Some(&Value::Bool(false)),
            is_lenient: word("mode") == Some(Mode::Detached.word())
                || word("on_failure") == Some(FailurePolicy::Warn.word())
                || keys.get("remote") == Some(&Value::Bool(true)),
        }
    }

    /// Tells whether it could have run at a call.
    pub fn concerns(&self, call: &Call) -> bool {
        let name = call.object().to_string_lossy();
        // an unknown driver could be a misspelling of any driver
        let is_driver = |it: &Patterns| {
            it.match_value(call.driver.name())
                || !Driver::ALL.iter().any(|driver| it.match_value(driver.name()))
        };
        let holds = self.when.driver.as_ref().is_none_or(is_driver)
            && self.when.name.as_ref().is_none_or(|it| it.match_value(&name));
        let is_at = |triggers: &Triggers| {
            triggers.has_call(call)
                || event::candidates(call).iter().any(|event| triggers.has_event(&event.name))
        };
        !self.is_disabled && holds && self.triggers.as_ref().is_none_or(is_at)
    }

    /// Tells whether the gates that it concerns fail because of it.
    pub fn fails_gates(&self) -> bool {
        !self.is_disabled && !self.is_lenient
    }

    /// Describes its effect on gates.
    pub fn consequence(&self) -> String {
        if self.is_disabled {
            return "it is disabled, and no gate fails because of it".to_owned();
        }
        let Some(triggers) = &self.triggers else {
            return match self.fails_gates() {
                true => "what it would run is unknown, and gates fail".to_owned(),
                false => "it doesn't run, and no gate fails because of it".to_owned(),
            };
        };
        if !self.fails_gates() || !triggers.classes().contains(&Class::Gate) {
            return "it doesn't run, and no gate fails because of it".to_owned();
        }
        "it doesn't run, and the gates that it names fail".to_owned()
    }
}

/// Returns where it would run; `None` where a part of that isn't understood.
fn triggers(events: Option<&Value>, calls: Option<&Value>) -> Option<Triggers> {
    let mut triggers = Triggers::default();
    if events.is_none() && calls.is_none() {
        return None;
    }
    for name in events.map_or(Some(Vec::new()), words)? {
        if name == "*" {
            triggers.every_event = true;
        } else if event::is_known(name) {
            triggers.events.push(name.to_owned());
        } else if !name.starts_with("after_") || !is_one_word(name) {
            return None;
        }
    }
    for word in calls.map_or(Some(Vec::new()), words)? {
        let pattern = CallPattern::parse(word).ok().filter(is_known)?;
        triggers.calls.push(pattern);
    }
    Some(triggers)
}

/// Tells whether it can be the name of one event, and not of several.
fn is_one_word(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// Reads one word or a list of words.
fn words(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(word) => Some(vec![word]),
        Value::Sequence(list) if !list.is_empty() => list.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// Tells whether libvirt makes such a call: a misspelt one could be any call.
fn is_known(pattern: &CallPattern) -> bool {
    operation::TABLE.iter().any(|row| {
        let is_driver = |name: &str| row.drivers.iter().any(|driver| driver.name() == name);
        pattern.driver.as_deref().is_none_or(is_driver)
            && pattern.operation.as_deref().is_none_or(|name| name == row.name)
            && pattern.sub.as_deref().is_none_or(|name| row.sub.is_none_or(|sub| sub == name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(driver: Driver, words: [&str; 3]) -> Call {
        Call::new(driver, words.iter().map(|word| (*word).into()).collect())
    }

    /// Whether it shuts `prepare` of guest `web`, `restore` of it, and a network's `start`.
    fn fails_gates(text: &str) -> [bool; 3] {
        let recovered = RecoveredRegistration::read(text);
        [
            call(Driver::Qemu, ["web", "prepare", "begin"]),
            call(Driver::Qemu, ["web", "restore", "begin"]),
            call(Driver::Network, ["lan", "start", "begin"]),
        ]
        .map(|call| recovered.fails_gates() && recovered.concerns(&call))
    }

    const ALL: [bool; 3] = [true; 3];
    const NONE: [bool; 3] = [false; 3];
    const PREPARE: [bool; 3] = [true, false, false];

    #[test]
    fn only_gates_that_could_have_been_meant_are_shut() {
        for (text, expected) in [
            ("events: before_vm_start\ntimout: 3\n", PREPARE),
            ("events: [before_vm_start, after_vm_stop]\ntimout: 3\n", PREPARE),
            ("events: after_vm_stop\ntimout: 3\n", NONE),
            // a name that isn't known
            ("events: after_vm_stpo\ncommand: x\n", NONE),
            ("events: [after_vm_stpo, before_vm_start]\ncommand: x\n", PREPARE),
            ("events: before_vm_strat\ncommand: x\n", ALL),
            ("events: [after_vm_stop, vm_start]\ncommand: x\n", ALL),
            ("events: \"*\"\ntimout: 3\n", ALL),
            ("calls: qemu/restore\ntimout: 3\n", [false, true, false]),
            ("calls: network\ntimout: 3\n", [false, false, true]),
            ("calls: qemu/prepair\ntimout: 3\n", ALL),
            ("calls: [qemu/stopped, quemu/prepare]\n", ALL),
            // what says that nothing would be stopped
            ("events: before_vm_start\nenabled: false\ntimout: 3\n", NONE),
            ("timout: 3\nenabled: false\n", NONE),
            ("events: before_vm_strat\nmode: detached\n", NONE),
            ("events: before_vm_start\non_failure: warn\ntimout: 3\n", NONE),
            ("events: before_vm_start\nenabled: no\n", PREPARE),
            ("events: before_vm_start\nenabled: 'false'\n", PREPARE),
            ("events: before_vm_start\nmode: [detached]\n", PREPARE),
            ("events: before_vm_start\non_failure: warm\n", PREPARE),
            // conditions on what a call says
            ("events: '*'\nwhen: {driver: network}\ntimout: 3\n", [false, false, true]),
            ("events: '*'\nwhen: {name: [w*]}\ntimout: 3\n", [true, true, false]),
            ("events: '*'\nwhen: {nome: [w*], name: x}\n", ALL),
            ("events: '*'\nwhen: {title: x}\ntimout: 3\n", ALL),
            // nothing can be read
            ("", ALL),
            ("enabled: false\nenabled: true\n", ALL),
            ("events: after_vm_stop\nevents: before_vm_start\n", ALL),
            ("events: after_vm_stop\ncommand: [x\n", ALL),
            ("events: after_vm_stop\n---\nevents: x\n", ALL),
            ("- events: after_vm_stop\n", ALL),
            ("events: 7\n", ALL),
            ("events: [after_vm_stop, 7]\n", ALL),
            ("events: []\n", ALL),
            ("events: ~\n", ALL),
            ("evnts: after_vm_stop\n", ALL),
            ("command: x\n", ALL),
            ("enabled: false\n\tx\n", ALL),
        ] {
            assert_eq!(fails_gates(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_told_is_what_happens() {
        for (text, words) in [
            ("events: before_vm_start\n", "the gates that it names fail"),
            ("events: after_vm_stop\n", "no gate fails"),
            ("events: before_vm_start\nmode: detached\n", "no gate fails"),
            ("enabled: false\n", "it is disabled"),
            ("", "gates fail"),
        ] {
            assert!(RecoveredRegistration::read(text).consequence().contains(words), "{text}");
        }
    }
}
