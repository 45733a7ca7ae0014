//! The content of registrations, and what was done to them.

use std::collections::BTreeMap;

use super::change::ChangeSummary;
use super::message::{EntryProblem, Message};
use super::shape::{object, words};
use super::value::{PathText, Seconds};
use crate::cli::register::registered;
use crate::config::Registration;
use crate::config::values::Patterns;

words! {
    /// What was done to a registration.
    pub enum RegistrationAction {
        /// It is new
        Registered = "registered",
        /// It took the place of an earlier one
        Replaced = "replaced",
        /// Its file was deleted
        Deleted = "deleted",
        /// It was switched on
        Enabled = "enabled",
        /// It was switched off
        Disabled = "disabled",
        /// It was written to another directory
        Exported = "exported",
        /// Nothing: it was so already, or --dry-run was given
        None = "none",
    }
}

object! {
    /// Conditions. All of them must match: of each, at least one pattern, and none that begins with `!`. Null where there is no condition.
    pub struct Conditions {
        /// On the driver
        driver: Option<Vec<String>>,
        /// On the guest's or network's name
        name: Option<Vec<String>>,
        /// On its uuid
        uuid: Option<Vec<String>>,
        /// On its title
        title: Option<Vec<String>>,
        /// On libvirt's extra argument
        reason: Option<Vec<String>>,
        /// On how the guest was started
        origin: Option<Vec<String>>,
        /// On its networks
        network: Option<Vec<String>>,
        /// On custom properties, by their names
        property: Option<BTreeMap<String, Vec<String>>>,
    }

    /// The user and group whose rights a hook has.
    pub struct RunAs {
        /// A name or a number
        user: String,
        /// Null for the user's own group
        group: Option<String>,
    }

    /// The content of a registration's file.
    pub struct Registered {
        /// The events at which it runs; `*` means all
        events: Vec<String>,
        /// The libvirt calls at which it runs
        calls: Vec<String>,
        /// The program and its first arguments
        command: Vec<String>,
        /// More arguments, before variables are filled in
        args: Vec<String>,
        /// Its order at an event: lower first
        weight: i64,
        /// A program that runs before it: if that fails, the hook is skipped
        check: Option<Vec<String>>,
        /// A program that runs if a later hook makes the call fail
        rollback: Option<Vec<String>>,
        /// A program that takes back what it set up, at the end of its guest, network or port
        undo: Option<Vec<String>>,
        /// Whether guests share what it sets up: it runs for the first, `undo` for the last
        shared: bool,
        /// Conditions
        when: Conditions,
        /// Its own time limit; null where it has none
        timeout_s: Option<Seconds>,
        /// What its failure means: `fail`, `stop`, `warn` or `kill`
        on_failure: String,
        /// How its programs say whether they succeeded: `exit-status`, or `status-line` for an answer on the last line of standard output too
        result: String,
        /// The user whose rights it has; null for root
        run_as: Option<RunAs>,
        /// How it is called: `vdsm` or `libvirt`
        style: String,
        /// What it reads: `none`, `xml` or `json`
        stdin: String,
        /// Whether libvirt waits for it: `wait` or `detached`
        mode: String,
        /// Whether it runs at all
        enabled: bool,
        /// Whether it runs at the same time as neighbours with its weight
        parallel: bool,
        /// Hooks with the same lock never run at the same time
        lock: Option<String>,
    }

    /// A registration, and what was done to it.
    pub struct ChangedRegistration {
        /// Its name
        name: String,
        /// Its file
        registration: PathText,
        /// What was done
        action: RegistrationAction,
        /// Whether something was changed, or would be without --dry-run
        changed: bool,
        /// With --diff: what changes in the file, as a unified diff; empty where nothing does
        diff: Option<String>,
        /// The same for people
        message: String,
        /// What the file says; null where it was only switched or deleted
        registered: Option<Registered>,
    }

    /// What `delete`, `enable`, `disable` and `export` did.
    pub struct Changed {
        /// The registrations
        registrations: Vec<ChangedRegistration>,
        /// Notes
        notes: Vec<Message>,
        /// What couldn't be done
        problems: Vec<Message>,
        ..=summary: ChangeSummary,
    }

    /// What `add` or `import` did.
    pub struct Added {
        /// The registrations; none where there is a problem
        registrations: Vec<ChangedRegistration>,
        /// Warnings: what is allowed, but will hardly do what is expected
        notes: Vec<Message>,
        /// Why nothing was registered
        problems: Vec<EntryProblem>,
        ..=summary: ChangeSummary,
    }
}

impl From<&Registration> for Registered {
    fn from(registration: &Registration) -> Registered {
        let (events, calls) = registered::moments(registration);
        let when = &registration.when;
        let patterns = |patterns: &Option<Patterns>| patterns.as_ref().map(|all| all.0.clone());
        let property = when.property.as_ref().map(|all| {
            all.iter().map(|(name, patterns)| (name.clone(), patterns.0.clone())).collect()
        });
        Registered {
            events,
            calls,
            weight: registration.weight,
            command: registration.command.clone(),
            args: registration.args.iter().map(|arg| arg.as_str().to_owned()).collect(),
            check: registration.check.clone(),
            rollback: registration.rollback.clone(),
            undo: registration.undo.clone(),
            shared: registration.shared,
            when: Conditions {
                driver: patterns(&when.driver),
                name: patterns(&when.name),
                uuid: patterns(&when.uuid),
                title: patterns(&when.title),
                reason: patterns(&when.reason),
                origin: patterns(&when.origin),
                network: patterns(&when.network),
                property,
            },
            run_as: registration
                .run_as
                .as_ref()
                .map(|run_as| RunAs { user: run_as.user.clone(), group: run_as.group.clone() }),
            timeout_s: registration.timeout.limit().map(Seconds::from),
            on_failure: registration.on_failure.word().to_owned(),
            result: registration.result.word().to_owned(),
            style: registration.style.word().to_owned(),
            stdin: registration.stdin.word().to_owned(),
            mode: registration.mode.word().to_owned(),
            parallel: registration.parallel,
            lock: registration.lock.clone(),
            enabled: registration.enabled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::json::shape::{Defs, Object};
    use crate::config::keys;

    /// Every key of a registration is in the output, in the table's order, or listed here.
    #[test]
    fn programs_are_told_of_each_key() {
        let names = |above: &str, keys: serde_json::Map<String, serde_json::Value>| {
            let name = |key: String| format!("{above}{}", key.trim_end_matches("_s"));
            keys.into_iter().map(|(key, _)| name(key)).collect::<Vec<String>>()
        };
        let defs = &mut Defs::default();
        let mut told = Vec::new();
        for key in names("", Registered::keys(defs)) {
            let below = match key.as_str() {
                "when" => names("when.", Conditions::keys(defs)),
                "run_as" => names("run_as.", RunAs::keys(defs)),
                _ => Vec::new(),
            };
            told.push(key);
            told.extend(below);
        }
        let untold = [
            "args_stdin",
            "retries",
            "max_parallel",
            "filter",
            "kill_leftovers",
            "limits",
            "nice",
            "environment",
            "environment_file",
            "remote",
        ];
        let is_told = |name: &&str| !untold.contains(&name.split('.').next().unwrap_or(name));
        let known = keys::REGISTRATION.iter().map(|key| key.name);
        assert_eq!(told, known.filter(is_told).collect::<Vec<_>>());
    }
}
