//! Describes a registration for people, in `add` and `list`.

use crate::cli::register::module;
use crate::config::Registration;
use crate::config::registration::{
    self, CallStyle, FailurePolicy, Mode, OwnTimeout, RunAs, StdinKind, When,
};

/// Returns the events and the calls as the file has them.
pub(crate) fn moments(registration: &Registration) -> (Vec<String>, Vec<String>) {
    let triggers = &registration.triggers;
    let every = triggers.every_event.then(|| "*".to_owned());
    let events = every.into_iter().chain(triggers.events.iter().cloned()).collect();
    (events, triggers.calls.iter().map(ToString::to_string).collect())
}

/// Returns what differs from a plain hook: first that it is disabled, then the keys in their usual order.
pub(crate) fn more(registration: &Registration) -> String {
    let disabled = (!registration.enabled).then(|| "disabled".to_owned());
    let others = registration::keys().into_iter().filter_map(|key| difference(registration, key));
    disabled.into_iter().chain(others).collect::<Vec<_>>().join("; ")
}

/// Returns how a key makes a registration different from a plain hook.
fn difference(registration: &Registration, key: &str) -> Option<String> {
    let program = |command: &Option<Vec<String>>| {
        command.as_deref().map(|words| format!("{key}: {}", module::command_line(words)))
    };
    match key {
        "check" => program(&registration.check),
        "rollback" => program(&registration.rollback),
        "undo" => program(&registration.undo),
        "shared" => registration.shared.then(|| key.to_owned()),
        "when" => (registration.when != When::default()).then(|| {
            format!("when {}", serde_json::to_string(&registration.when).unwrap_or_default())
        }),
        "timeout" => match registration.timeout {
            OwnTimeout::After(limit) => {
                Some(format!("timeout {}", humantime::format_duration(limit)))
            }
            OwnTimeout::None => Some("no timeout".to_owned()),
            OwnTimeout::Usual => None,
        },
        "on_failure" => (registration.on_failure != FailurePolicy::default())
            .then(|| format!("on failure {}", registration.on_failure.word())),
        "run_as" => registration.run_as.as_ref().map(|RunAs { user, group }| {
            let group = group.as_ref().map(|group| format!(":{group}")).unwrap_or_default();
            format!("as {user}{group}")
        }),
        "style" => (registration.style != CallStyle::default())
            .then(|| format!("{} style", registration.style.word())),
        "stdin" => (registration.stdin != StdinKind::default())
            .then(|| format!("{} on stdin", registration.stdin.word())),
        "mode" => {
            (registration.mode != Mode::default()).then(|| registration.mode.word().to_owned())
        }
        "parallel" => registration.parallel.then(|| key.to_owned()),
        "lock" => registration.lock.as_ref().map(|lock| format!("lock {lock}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn parse(text: &str) -> Registration {
        let text = format!("events: before_vm_start\ncommand: /x\n{text}");
        Registration::parse(Path::new("/h/hooks.d/x.yaml"), Path::new("/h"), &text).unwrap()
    }

    #[test]
    fn what_differs_is_told_in_the_order_of_the_keys() {
        assert_eq!(more(&parse("")), "");
        let hook = parse(
            "lock: gpu\nparallel: true\nenabled: false\nstdin: json\non_failure: warn\ntimeout: 0\n\
             run_as: nobody:nogroup\nwhen: {name: web}\nrollback: [/x, --undo]\nundo: [/x, --release]\nshared: true\n",
        );
        let expected = "disabled; rollback: /x --undo; undo: /x --release; shared; when {\"name\":[\"web\"]}; no timeout; on failure warn; as nobody:nogroup; json on stdin; parallel; lock gpu";
        assert_eq!(more(&hook), expected);
        assert_eq!(more(&parse("mode: detached\nstyle: libvirt\n")), "libvirt style; detached");
    }
}
