//! Tells whether a registration can ever run: checks its conditions against every call that its
//! triggers match. Pure.

use super::matched_calls::{self, MatchedCall};
use crate::config::Registration;
use crate::config::registration::When;
use crate::event::{Condition, Origin};
use crate::libvirt::{Driver, Operation};

/// Returns why a registration's conditions never hold; `None` where they may.
pub fn impossibility(registration: &Registration) -> Option<String> {
    let when = &registration.when;
    let calls = matched_calls::of(&registration.triggers);
    if calls.is_empty() || calls.iter().any(|call| may_hold(when, *call)) {
        return None;
    }
    let never = |holds: &dyn Fn(MatchedCall) -> bool| !calls.iter().any(|call| holds(*call));
    let of_driver = when.driver.as_ref().filter(|_| never(&|call| has_driver(when, call)));
    if let Some(patterns) = of_driver {
        let mut names: Vec<&str> = calls.iter().map(|call| call.driver.name()).collect();
        names.dedup();
        names.sort_unstable();
        names.dedup();
        return Some(format!(
            "`when.driver` is {patterns}, but it is triggered only at calls of {}",
            names.join(", ")
        ));
    }
    let of_reason = when.reason.as_ref().filter(|_| never(&|call| has_reason(when, call)));
    if let Some(patterns) = of_reason {
        let has_any = calls.iter().any(|call| call.operation == Operation::Release);
        return Some(if has_any {
            format!("`when.reason` is {patterns}, and its event has another one")
        } else {
            format!("`when.reason` is {patterns}, and libvirt gives reasons at release only")
        });
    }
    let of_origin = when.origin.as_ref().filter(|_| never(&|call| has_origin(when, call)));
    if let Some(patterns) = of_origin {
        return Some(format!(
            "`when.origin` is {patterns}, and at its events the origin is never that"
        ));
    }
    if never(&|call| has_object(when, call)) {
        return Some(
            "its `when` asks for a guest or a network, and daemon calls have none".to_owned(),
        );
    }
    Some("no call meets all of its `when` at once".to_owned())
}

fn may_hold(when: &When, call: MatchedCall) -> bool {
    has_driver(when, call)
        && has_reason(when, call)
        && has_origin(when, call)
        && has_object(when, call)
}

fn has_driver(when: &When, call: MatchedCall) -> bool {
    when.driver.as_ref().is_none_or(|patterns| patterns.match_value(call.driver.name()))
}

fn has_reason(when: &When, call: MatchedCall) -> bool {
    let Some(patterns) = &when.reason else { return true };
    match (call.operation, call.condition) {
        (_, Condition::Reason(word)) => patterns.match_value(word),
        // libvirt has many reasons, and new versions add more
        (Operation::Release | Operation::Unknown, _) => true,
        _ => patterns.match_value(""),
    }
}

fn has_origin(when: &When, call: MatchedCall) -> bool {
    let Some(patterns) = &when.origin else { return true };
    origins(call).iter().any(|origin| patterns.match_value(origin.name()))
}

/// Returns the origins that a guest can have at a call.
fn origins(call: MatchedCall) -> &'static [Origin] {
    use Origin::{Fresh, Migration, Restore, Unknown};
    if !call.driver.is_guest() {
        return &[Unknown];
    }
    match (call.operation, call.condition) {
        (Operation::Migrate, _) => &[Migration],
        (Operation::Restore, _) | (_, Condition::Restored) => &[Restore],
        (_, Condition::Fresh) => &[Fresh, Unknown],
        (_, Condition::NotMigration) => &[Fresh, Restore, Unknown],
        _ => &[Fresh, Restore, Migration, Unknown],
    }
}

/// Tells whether the conditions can hold although daemon calls have neither a name nor a document.
fn has_object(when: &When, call: MatchedCall) -> bool {
    call.driver != Driver::Daemon
        || (when.uuid.is_none()
            && when.title.is_none()
            && when.network.is_none()
            && when.property.is_none()
            && when.name.as_ref().is_none_or(|patterns| patterns.match_value("-")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn why(text: &str) -> Option<String> {
        let text = format!("command: /x\n{text}\n");
        let path = Path::new("/h/hooks.d/x.yaml");
        impossibility(&Registration::parse(path, Path::new("/h"), &text).unwrap())
    }

    #[test]
    fn what_can_hold_is_no_mistake() {
        for text in [
            "events: before_vm_start",
            "events: '*'\nwhen: {driver: daemon}",
            "events: before_vm_start\nwhen: {driver: [qemu, lxc], origin: restore}",
            "events: after_vm_destroy\nwhen: {reason: destroyed}",
            "events: after_vm_migrate_source\nwhen: {reason: migrated}",
            "events: before_vm_start\nwhen: {reason: '!migrated'}",
            "events: [before_vm_start, after_network_start]\nwhen: {driver: network}",
            "events: on_qemu_paused\nwhen: {driver: qemu, origin: migration}",
            "calls: qemu/paused\nwhen: {driver: qemu}",
            "calls: '*'\nwhen: {name: web-*}",
            "events: before_network_start\nwhen: {network: lan, property: {a: b}}",
        ] {
            assert_eq!(why(text), None, "{text}");
        }
    }

    #[test]
    fn what_never_holds_is_told() {
        for (text, words) in [
            ("events: before_vm_start\nwhen: {driver: network}", "`when.driver` is network"),
            ("events: before_vm_start\nwhen: {reason: saved}", "reasons at release only"),
            ("events: after_vm_hibernate\nwhen: {reason: migrated}", "has another one"),
            ("events: after_vm_start\nwhen: {origin: migration}", "never that"),
            ("events: before_network_start\nwhen: {origin: fresh}", "never that"),
            ("events: before_daemon_start\nwhen: {name: web}", "daemon calls have none"),
            ("events: before_daemon_start\nwhen: {property: {a: b}}", "daemon calls have none"),
            ("calls: lxc/prepare\nwhen: {driver: qemu}", "calls of lxc"),
            (
                "events: [before_vm_start, after_network_start]\nwhen: {driver: network, origin: fresh}",
                "at once",
            ),
        ] {
            assert!(why(text).is_some_and(|why| why.contains(words)), "{text}: {:?}", why(text));
        }
    }
}
