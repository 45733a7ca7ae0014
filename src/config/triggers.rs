//! When a registered hook runs: at events, or at calls of libvirt.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::suggest::suggestion;
use crate::event;
use crate::libvirt::{Call, Class, Driver, operation};

/// Events and calls; the hook runs at each of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Triggers {
    /// `events: "*"`
    pub every_event: bool,
    pub events: Vec<String>,
    pub calls: Vec<CallPattern>,
}

impl Triggers {
    pub fn is_empty(&self) -> bool {
        !self.every_event && self.events.is_empty() && self.calls.is_empty()
    }

    pub fn has_event(&self, name: &str) -> bool {
        self.every_event || self.events.iter().any(|event| event == name)
    }

    pub fn has_call(&self, call: &Call) -> bool {
        self.calls.iter().any(|pattern| pattern.matches(call))
    }

    /// Returns the classes of all calls at which the hook runs.
    pub fn classes(&self) -> Vec<Class> {
        let of_events =
            event::TABLE.iter().filter(|row| self.has_event(row.name)).map(|row| row.operation);
        let operations: Vec<_> = of_events.collect();
        let rows = operation::TABLE.iter().filter(|row| {
            operations.contains(&row.operation)
                || self.calls.iter().any(|pattern| {
                    row.drivers.iter().any(|driver| pattern.covers(*driver, row.name))
                })
        });
        let mut classes: Vec<Class> = Vec::new();
        let unknown =
            self.events.iter().any(|event| event.starts_with("on_")).then_some(Class::Live);
        for class in rows.map(|row| row.class).chain(unknown) {
            if !classes.contains(&class) {
                classes.push(class);
            }
        }
        classes
    }
}

/// `driver/operation/sub-operation`; `*` stands for any, and so does a part that is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallPattern {
    pub driver: Option<String>,
    pub operation: Option<String>,
    pub sub: Option<String>,
}

impl CallPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A message that shows the right form.
    pub fn parse(word: &str) -> Result<CallPattern, String> {
        let mut parts = word.split('/').map(|part| (part != "*").then(|| part.to_owned()));
        let pattern = CallPattern {
            driver: parts.next().flatten(),
            operation: parts.next().flatten(),
            sub: parts.next().flatten(),
        };
        let is_invalid = |part: &Option<String>| part.as_deref().is_some_and(str::is_empty);
        if parts.next().is_some()
            || [&pattern.driver, &pattern.operation, &pattern.sub].into_iter().any(is_invalid)
        {
            return Err(format!(
                "`{word}` is not a call: write driver/operation/sub-operation, as in qemu/prepare/begin"
            ));
        }
        let driver = pattern.driver.as_ref();
        if let Some(driver) = driver.filter(|driver| Driver::from_name(driver).is_none()) {
            let hint = suggestion(driver, Driver::ALL.map(Driver::name));
            return Err(format!("`{driver}` in `{word}` is not a driver{hint}"));
        }
        Ok(pattern)
    }

    fn covers(&self, driver: Driver, operation: &str) -> bool {
        self.driver.as_deref().is_none_or(|own| own == driver.name())
            && self.operation.as_deref().is_none_or(|own| own == operation)
    }

    pub fn matches(&self, call: &Call) -> bool {
        self.driver.as_deref().is_none_or(|driver| driver == call.driver.name())
            && self.operation.as_deref().is_none_or(|operation| call.operation_name() == operation)
            && self.sub.as_deref().is_none_or(|sub| call.sub_operation() == sub)
    }
}

impl fmt::Display for CallPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |part: &Option<String>| part.clone().unwrap_or_else(|| "*".to_owned());
        write!(f, "{}/{}/{}", part(&self.driver), part(&self.operation), part(&self.sub))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_matched_part_by_part() {
        let call = Call::new(Driver::Qemu, ["g", "prepare", "begin", "-"].map(Into::into).into());
        for (word, matches) in [
            ("qemu/prepare/begin", true),
            ("qemu/prepare", true),
            ("qemu", true),
            ("*", true),
            ("*/prepare/begin", true),
            ("qemu/*/begin", true),
            ("lxc/prepare/begin", false),
            ("qemu/start/begin", false),
            ("qemu/prepare/end", false),
        ] {
            assert_eq!(CallPattern::parse(word).unwrap().matches(&call), matches, "{word}");
        }
        for (word, hint) in [
            ("qmeu/prepare", "did you mean `qemu`"),
            ("qemu//begin", "not a call"),
            ("a/b/c/d", "not a call"),
            ("", "not a call"),
        ] {
            assert!(CallPattern::parse(word).unwrap_err().contains(hint), "{word}");
        }
    }

    #[test]
    fn classes_come_from_events_and_calls() {
        let of = |events: &[&str], calls: &[&str]| Triggers {
            every_event: false,
            events: events.iter().map(|event| (*event).to_owned()).collect(),
            calls: calls.iter().map(|call| CallPattern::parse(call).unwrap()).collect(),
        };
        assert_eq!(of(&["before_vm_start"], &[]).classes(), [Class::Gate]);
        assert_eq!(of(&["after_vm_start"], &["*/stopped"]).classes(), [Class::Live, Class::Notify]);
        assert_eq!(of(&["on_qemu_paused"], &[]).classes(), [Class::Live]);
    }
}
