//! Describes a registration in cPanel's words.

use super::{cpanel, module};
use crate::cli::json::cpanel::CpanelWords;
use crate::config::Registration;
use crate::config::choice::{FailurePolicy, Mode};
use crate::config::triggers::Triggers;
use crate::event;
use crate::libvirt::Class;
use crate::machine::files;

/// How many hexadecimal digits an id has.
const ID_DIGITS: usize = 24;
/// How a list of hooks begins the place of those that run at calls.
pub(crate) const CALLS: &str = "calls ";

/// Returns the words for a registration at an event, or at its calls: the place where it is listed.
pub(crate) fn of(registration: &Registration, place: &str) -> CpanelWords {
    let parts = cpanel::words(place);
    let event = match parts {
        Some((_, _, event)) => Some(event),
        None => (!place.starts_with(CALLS)).then_some(place),
    };
    let text = |words: Option<&Vec<String>>| words.map(|words| program(words));
    let args = registration.args.iter().map(|arg| arg.as_str().to_owned());
    let hook: Vec<String> = registration.command.iter().cloned().chain(args).collect();
    CpanelWords {
        category: parts.map(|(category, ..)| category.to_owned()),
        event: event.map(str::to_owned),
        stage: parts.map(|(_, stage, _)| stage.to_owned()),
        weight: registration.weight,
        id: id(&registration.name, place),
        exectype: if is_function(&hook) { "module" } else { "script" }.to_owned(),
        hook: program(&hook),
        escalateprivs: u32::from(registration.run_as.is_none()),
        blocking: u32::from(blocks(registration, place)),
        check: text(registration.check.as_ref()),
        rollback: text(registration.rollback.as_ref()),
    }
}

/// Returns the id of a registration of this name at an event or at calls.
fn id(name: &str, place: &str) -> String {
    let mut digits = files::sha256(format!("{name}\0{place}").as_bytes());
    digits.truncate(ID_DIGITS);
    digits
}

/// Returns the event or the calls at which a registration has this id.
pub(crate) fn place_with_id(registration: &Registration, wanted: &str) -> Option<String> {
    let all = event::TABLE.iter().map(|row| row.name);
    let every = all.filter(|_| registration.triggers.every_event).map(str::to_owned);
    let events = registration.triggers.events.iter().cloned().chain(every);
    let calls: Vec<String> = registration.triggers.calls.iter().map(ToString::to_string).collect();
    let calls = (!calls.is_empty()).then(|| format!("{CALLS}{}", calls.join(", ")));
    events.chain(calls).find(|place| id(&registration.name, place) == wanted)
}

fn is_function(command: &[String]) -> bool {
    module::called_function(command).is_some()
}

/// Returns a command on one line, or the function that it calls.
pub(crate) fn program(command: &[String]) -> String {
    match module::called_function(command) {
        Some((module, function)) => {
            let is_perl = command.get(2).is_some_and(|flag| flag == "-e");
            format!("{module}{}{function}", if is_perl { "::" } else { "." })
        }
        None => module::command_line(command),
    }
}

/// Tells whether a failure at this place stops libvirt's operation.
fn blocks(registration: &Registration, place: &str) -> bool {
    let triggers = match place.starts_with(CALLS) {
        true => Triggers { calls: registration.triggers.calls.clone(), ..Triggers::default() },
        false => Triggers { events: vec![place.to_owned()], ..Triggers::default() },
    };
    registration.on_failure != FailurePolicy::Warn
        && registration.mode == Mode::Wait
        && triggers.classes().contains(&Class::Gate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn parse(text: &str) -> Registration {
        Registration::parse(Path::new("/h/hooks.d/x.yaml"), Path::new("/h"), text).unwrap()
    }

    #[test]
    fn each_word_is_found() {
        let hook = parse(
            "events: [before_vm_start, after_network_port_delete]\ncommand: [/x, --add, a b]\nargs: [$NAME]\n\
             weight: 7\ncheck: [/bin/test, -e, /]\n",
        );
        let words = of(&hook, "before_vm_start");
        let seen = [words.category, words.event, words.stage].map(Option::unwrap);
        assert_eq!(seen, ["vm", "start", "pre"]);
        assert_eq!((words.weight, words.exectype.as_str()), (7, "script"));
        assert_eq!(words.hook, "/x --add 'a b' '$NAME'");
        assert_eq!((words.escalateprivs, words.blocking), (1, 1));
        assert_eq!((words.check.as_deref(), words.rollback), (Some("/bin/test -e /"), None));
        let words = of(&hook, "after_network_port_delete");
        let seen = [words.category, words.event, words.stage].map(Option::unwrap);
        assert_eq!(seen, ["network", "port_delete", "post"]);
        assert_eq!(words.blocking, 0);
        let hook = parse(
            "events: on_qemu_paused\ncalls: qemu/prepare\ncommand: /x\nrun_as: nobody\non_failure: warn\n",
        );
        let words = of(&hook, "on_qemu_paused");
        assert_eq!((words.category, words.stage), (None, None));
        assert_eq!(words.event.as_deref(), Some("on_qemu_paused"));
        let words = of(&hook, "calls qemu/prepare/*");
        assert_eq!((words.category, words.event, words.blocking), (None, None, 0));
        assert_eq!(words.escalateprivs, 0);
    }

    #[test]
    fn an_id_is_of_a_name_and_an_event() {
        let hook =
            parse("events: [before_vm_start, after_vm_stop]\ncalls: qemu/prepare\ncommand: /x\n");
        let all =
            ["before_vm_start", "after_vm_stop", "calls qemu/prepare/*"].map(|at| of(&hook, at).id);
        // it may be noted somewhere: it is the same in every version
        assert_eq!(all[0], "2553e7e7b6c7836dfc73967d");
        assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2]);
        assert_eq!(place_with_id(&hook, &all[1]).as_deref(), Some("after_vm_stop"));
        assert!(place_with_id(&hook, &all[2]).unwrap().starts_with("calls qemu/prepare"));
        assert_eq!(place_with_id(&hook, "x"), None);
        // a change of anything else leaves it
        let other = parse("events: before_vm_start\ncommand: /y\nweight: 3\n");
        assert_eq!(of(&other, "before_vm_start").id, all[0]);
    }
}
