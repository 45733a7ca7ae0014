//! Describes a registration for people, in `add` and `list`.

use crate::cli::register::{module, whom};
use crate::config::Registration;
use crate::config::registration::{
    self, CallStyle, FailurePolicy, Mode, OwnTimeout, ResourceLimits, ResultKind, RunAs, StdinKind,
};

/// Returns the events and the calls as the file has them.
pub(crate) fn moments(registration: &Registration) -> (Vec<String>, Vec<String>) {
    let triggers = &registration.triggers;
    let every = triggers.every_event.then(|| "*".to_owned());
    let events = every.into_iter().chain(triggers.events.iter().cloned()).collect();
    (events, triggers.calls.iter().map(ToString::to_string).collect())
}

/// Returns all keys of a registration with their values as they hold, in their usual order. Those that have
/// no value are left out, and so are the values of variables, which may be secret.
pub(crate) fn all(registration: &Registration) -> Vec<(&'static str, String)> {
    registration::keys()
        .into_iter()
        .filter_map(|key| Some((key, value(registration, key)?)))
        .collect()
}

/// Returns the value of a key as text; `None` if it has none.
fn value(registration: &Registration, key: &str) -> Option<String> {
    let list = |words: &[String]| (!words.is_empty()).then(|| flow(words));
    // `…` stands for the lines that load a module
    let program = |words: &[String]| match module::called_function(words) {
        Some(_) => Some(module::command_line(words)),
        None => list(words),
    };
    let text = |text: &str| Some(text.to_owned());
    let truth = |value: bool| Some(value.to_string());
    let (events, calls) = moments(registration);
    match key {
        "events" => list(&events),
        "calls" => list(&calls),
        "command" => program(&registration.command),
        "args" => {
            let args: Vec<String> =
                registration.args.iter().map(|argument| argument.as_str().to_owned()).collect();
            list(&args)
        }
        "args_stdin" => truth(registration.args_stdin),
        "weight" => Some(registration.weight.to_string()),
        "check" => registration.check.as_deref().and_then(program),
        "rollback" => registration.rollback.as_deref().and_then(program),
        "when" => whom::whom(&registration.when),
        "timeout" => Some(match registration.timeout {
            OwnTimeout::After(limit) => humantime::format_duration(limit).to_string(),
            OwnTimeout::None => "0".to_owned(),
            OwnTimeout::Usual => "as in hookmux.yaml".to_owned(),
        }),
        "on_failure" => text(registration.on_failure.word()),
        "run_as" => registration.run_as.as_ref().map(|RunAs { user, group }| {
            let group = group.as_ref().map(|group| format!(":{group}")).unwrap_or_default();
            format!("{user}{group}")
        }),
        "style" => text(registration.style.word()),
        "result" => text(registration.result.word()),
        "stdin" => text(registration.stdin.word()),
        "mode" => text(registration.mode.word()),
        "retries" => {
            (registration.mode == Mode::Detached).then(|| registration.retries.to_string())
        }
        "max_parallel" => registration.max_parallel.map(|most| most.to_string()),
        "enabled" => truth(registration.enabled),
        "parallel" => truth(registration.parallel),
        "lock" => registration.lock.clone(),
        "filter" => truth(registration.filter),
        "kill_leftovers" => registration.kill_leftovers.map(|value| value.to_string()),
        "limits" => (registration.limits != ResourceLimits::default())
            .then(|| serde_json::to_string(&registration.limits).unwrap_or_default()),
        "nice" => registration.nice.map(|nice| nice.to_string()),
        "environment" => {
            let names: Vec<&str> = registration.environment.keys().map(String::as_str).collect();
            (!names.is_empty()).then(|| format!("{} (values aren't shown)", names.join(", ")))
        }
        "environment_file" => {
            registration.environment_file.as_ref().map(|file| file.display().to_string())
        }
        "remote" => truth(registration.remote),
        // a key that has no line here is shown as the compiled form has it
        key => {
            let compiled = serde_json::to_value(registration).ok()?;
            compiled.get(key).filter(|value| !value.is_null()).map(ToString::to_string)
        }
    }
}

fn flow(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| registration::flow_word(word)).collect();
    format!("[{}]", words.join(", "))
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
        "when" => whom::whom(&registration.when).map(|conditions| format!("when {conditions}")),
        "timeout" => match registration.timeout {
            OwnTimeout::After(limit) => {
                Some(format!("timeout {}", humantime::format_duration(limit)))
            }
            OwnTimeout::None => Some("no timeout".to_owned()),
            OwnTimeout::Usual => None,
        },
        "on_failure" => (registration.on_failure != FailurePolicy::default())
            .then(|| format!("on failure {}", registration.on_failure.word())),
        "result" => (registration.result != ResultKind::default())
            .then(|| format!("result by {}", registration.result.word())),
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
        "remote" => registration.remote.then(|| key.to_owned()),
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
            "lock: gpu\nparallel: true\nenabled: false\nstdin: json\non_failure: warn\nresult: status-line\ntimeout: 0\n\
             run_as: nobody:nogroup\nwhen: {name: web}\nrollback: [/x, --undo]\nundo: [/x, --release]\nshared: true\n",
        );
        let expected = "disabled; rollback: /x --undo; undo: /x --release; shared; when name=web; no timeout; on failure warn; result by status-line; as nobody:nogroup; json on stdin; parallel; lock gpu";
        assert_eq!(more(&hook), expected);
        assert_eq!(more(&parse("mode: detached\nstyle: libvirt\n")), "libvirt style; detached");
    }
}
