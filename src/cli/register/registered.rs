//! What a registration says, as `add` and `list` tell people.

use crate::cli::register::module;
use crate::config::Registration;
use crate::config::registration::{
    CallStyle, FailurePolicy, Mode, OwnTimeout, RunAs, StdinKind, When,
};

/// Events and calls, as a file has them.
pub fn moments(registration: &Registration) -> (Vec<String>, Vec<String>) {
    let triggers = &registration.triggers;
    let every = triggers.every_event.then(|| "*".to_owned());
    let events = every.into_iter().chain(triggers.events.iter().cloned()).collect();
    (events, triggers.calls.iter().map(ToString::to_string).collect())
}

/// What differs from a plain hook.
pub fn more(registration: &Registration) -> String {
    let mut words = Vec::new();
    let mut add = |is_told: bool, text: String| words.extend(is_told.then_some(text));
    add(!registration.enabled, "disabled".to_owned());
    for (key, command) in [("check", &registration.check), ("rollback", &registration.rollback)] {
        let shown = command.as_deref().map(module::shown).unwrap_or_default();
        add(command.is_some(), format!("{key}: {shown}"));
    }
    if let Some(RunAs { user, group }) = &registration.run_as {
        let group = group.as_ref().map(|group| format!(":{group}")).unwrap_or_default();
        add(true, format!("as {user}{group}"));
    }
    let conditions = serde_json::to_string(&registration.when).unwrap_or_default();
    add(registration.when != When::default(), format!("when {conditions}"));
    let on_failure = word(&registration.on_failure);
    add(registration.on_failure != FailurePolicy::Fail, format!("on failure {on_failure}"));
    match registration.timeout {
        OwnTimeout::After(limit) => {
            add(true, format!("timeout {}", humantime::format_duration(limit)))
        }
        OwnTimeout::None => add(true, "no timeout".to_owned()),
        OwnTimeout::Usual => {}
    }
    add(registration.mode != Mode::Wait, word(&registration.mode));
    add(registration.style != CallStyle::Vdsm, format!("{} style", word(&registration.style)));
    add(registration.stdin != StdinKind::None, format!("{} on stdin", word(&registration.stdin)));
    let lock = registration.lock.as_deref().unwrap_or_default();
    add(registration.lock.is_some(), format!("lock {lock}"));
    add(registration.parallel, "parallel".to_owned());
    words.join("; ")
}

/// The word of a choice, as a file has it.
pub fn word(choice: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(choice).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}
