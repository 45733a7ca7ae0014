//! The options of `delete`: which registrations of a script or a module they select.

use super::module::{self, Module};
use super::translate::{self, FindInterpreter, ScriptOrModule};
use super::{cpanel, cpanel_words, registered};
use crate::cli::args::Selectors;
use crate::config::Registration;
use crate::config::choice::FailurePolicy;
use crate::config::triggers::CallPattern;

/// What is selected. What no option names selects everything.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// Events and calls, by hookmux's own names.
    moments: Option<Vec<String>>,
    /// A category and a stage, without an event.
    category: Option<String>,
    stage: Option<String>,
    action: Option<Action>,
    weight: Option<i64>,
    check: Option<Vec<String>>,
    rollback: Option<Vec<String>>,
    escalateprivs: Option<bool>,
    blocking: Option<bool>,
}

/// A script's arguments, or a module's function.
#[derive(Debug, PartialEq, Eq)]
enum Action {
    Arguments(Vec<String>),
    Function(Module, String),
}

/// Whether a registration is selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Selected {
    Yes,
    No,
    /// It is, but it runs at other events or calls too.
    Partly,
}

impl Selection {
    /// Reads the options.
    ///
    /// # Errors
    /// The option that is wrong, and why.
    pub(super) fn new(
        options: &Selectors,
        subject: &ScriptOrModule,
        find: FindInterpreter<'_>,
    ) -> Result<Selection, (String, String)> {
        let owned = |(key, message): (&str, String)| (key.to_owned(), message);
        let mut selection = Selection {
            weight: options.weight,
            escalateprivs: options.escalateprivs,
            blocking: options.blocking,
            ..Selection::default()
        };
        if options.event.is_empty() {
            if let Some(category) = &options.category {
                selection.category = Some(cpanel::category(category).map_err(owned)?.to_owned());
            }
            if let Some(stage) = &options.stage {
                selection.stage = Some(cpanel::stage(stage).map_err(owned)?.to_owned());
            }
        } else {
            let (category, stage) = (options.category.as_deref(), options.stage.as_deref());
            let mut moments = Vec::new();
            for word in &options.event {
                moments.push(if word.contains('/') && category.is_none() && stage.is_none() {
                    let pattern = CallPattern::parse(word);
                    pattern.map_err(|message| owned(("event", message)))?.to_string()
                } else {
                    cpanel::event_name(category, word, stage).map_err(owned)?
                });
            }
            selection.moments = Some(moments);
        }
        if let Some(word) = &options.action {
            let wrong = |message: String| ("action".to_owned(), message);
            selection.action = Some(match subject {
                ScriptOrModule::Script(_) => {
                    let words = shlex::split(word).ok_or_else(|| {
                        wrong(format!("`{word}` has a quote that is never closed"))
                    })?;
                    Action::Arguments(words)
                }
                ScriptOrModule::Module(module) => {
                    let (module, function) = module.function(word).map_err(wrong)?;
                    Action::Function(module, function)
                }
            });
        }
        let words = |key: &str, line: &Option<String>| {
            let words =
                line.as_ref().map(|line| translate::program_words(key, line, subject, find));
            words.transpose()
        };
        selection.check = words("check", &options.check)?;
        selection.rollback = words("rollback", &options.rollback)?;
        Ok(selection)
    }

    /// Tells whether a registration of the script or module is selected.
    pub(super) fn of(&self, registration: &Registration) -> Selected {
        let is_it = self.is_action(registration)
            && self.weight.is_none_or(|weight| weight == registration.weight)
            && is_program(self.check.as_deref(), registration.check.as_deref())
            && is_program(self.rollback.as_deref(), registration.rollback.as_deref())
            && self.escalateprivs.is_none_or(|has| has == registration.run_as.is_none())
            && self.blocking.is_none_or(|blocks| {
                let policy = if blocks { FailurePolicy::Stop } else { FailurePolicy::Warn };
                registration.on_failure == policy
            });
        if !is_it {
            return Selected::No;
        }
        let (events, calls) = registered::moments(registration);
        let all: Vec<&String> = events.iter().chain(&calls).collect();
        match all.iter().filter(|moment| self.has_moment(moment)).count() {
            0 => Selected::No,
            count if count == all.len() => Selected::Yes,
            _ => Selected::Partly,
        }
    }

    fn has_moment(&self, moment: &str) -> bool {
        let words = cpanel::words(moment);
        let is_part = |wanted: &Option<String>, part: fn((&str, &'static str)) -> String| {
            wanted.as_ref().is_none_or(|wanted| {
                words.is_some_and(|(category, stage, _)| part((category, stage)) == *wanted)
            })
        };
        self.moments.as_ref().is_none_or(|moments| moments.iter().any(|one| one == moment))
            && is_part(&self.category, |(category, _)| category.to_owned())
            && is_part(&self.stage, |(_, stage)| stage.to_owned())
    }

    fn is_action(&self, registration: &Registration) -> bool {
        match &self.action {
            None => true,
            Some(Action::Arguments(words)) => registration.command.get(1..) == Some(words),
            Some(Action::Function(module, function)) => {
                module::called_function(&registration.command)
                    == Some((module.name.as_str(), function))
            }
        }
    }
}

/// Compares programs: functions by their names, because the lines that load a module may differ.
fn is_program(wanted: Option<&[String]>, program: Option<&[String]>) -> bool {
    let Some(wanted) = wanted else { return true };
    let function = module::called_function(wanted);
    program.is_some_and(|program| match function {
        Some(_) => module::called_function(program) == function,
        None => program == wanted,
    })
}

/// Describes a registration for people who want to select it.
pub(super) fn description(registration: &Registration) -> String {
    let (events, calls) = registered::moments(registration);
    let moments: Vec<String> = events.into_iter().chain(calls).collect();
    format!(
        "{} ({}, weight {}: {})",
        registration.name,
        moments.join(", "),
        registration.weight,
        cpanel_words::program(&registration.command)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::register::module::Language;
    use std::path::{Path, PathBuf};

    fn found(_: Language) -> Result<PathBuf, String> {
        Ok(PathBuf::from("/usr/bin/interpreter"))
    }

    fn parse(text: &str) -> Registration {
        Registration::parse(Path::new("/h/hooks.d/x.yaml"), Path::new("/h"), text).unwrap()
    }

    fn script() -> ScriptOrModule {
        ScriptOrModule::Script("/opt/x/whm.php".to_owned())
    }

    #[test]
    fn each_option_selects() {
        let hook = parse(
            "events: before_vm_start\ncommand: [/opt/x/whm.php, --do_remove, a b]\nweight: 7\n\
             check: [/opt/x/may, -e]\nrollback: /bin/undo\non_failure: stop\n",
        );
        let some = |word: &str| Some(word.to_owned());
        let yes = [
            Selectors::default(),
            Selectors { event: vec!["before_vm_start".to_owned()], ..Default::default() },
            Selectors {
                event: vec!["Start".to_owned()],
                category: some("VM"),
                stage: some("pre"),
                ..Default::default()
            },
            Selectors { category: some("vm"), ..Default::default() },
            Selectors { stage: some("PRE"), ..Default::default() },
            Selectors { action: some("--do_remove 'a b'"), ..Default::default() },
            Selectors { weight: Some(7), ..Default::default() },
            Selectors { check: some("may -e"), ..Default::default() },
            Selectors { rollback: some("/bin/undo"), ..Default::default() },
            Selectors { escalateprivs: Some(true), ..Default::default() },
            Selectors { blocking: Some(true), ..Default::default() },
        ];
        let no = [
            Selectors { event: vec!["after_vm_start".to_owned()], ..Default::default() },
            Selectors { event: vec!["qemu/prepare".to_owned()], ..Default::default() },
            Selectors { category: some("network"), ..Default::default() },
            Selectors { stage: some("post"), ..Default::default() },
            Selectors { action: some("--do_remove"), ..Default::default() },
            Selectors { action: some(""), ..Default::default() },
            Selectors { weight: Some(8), ..Default::default() },
            Selectors { check: some("/opt/x/may"), ..Default::default() },
            Selectors { rollback: some("undo"), ..Default::default() },
            Selectors { escalateprivs: Some(false), ..Default::default() },
            Selectors { blocking: Some(false), ..Default::default() },
            Selectors { weight: Some(7), blocking: Some(false), ..Default::default() },
        ];
        for (all, expected) in [(&yes[..], Selected::Yes), (&no, Selected::No)] {
            for options in all {
                let selection = Selection::new(options, &script(), &found).unwrap();
                assert_eq!(selection.of(&hook), expected, "{options:?}");
            }
        }
    }

    #[test]
    fn a_registration_with_other_events_too_is_selected_in_part() {
        let hook =
            parse("events: [before_vm_start, after_vm_stop]\ncalls: qemu/prepare\ncommand: /x\n");
        let of = |events: &[&str]| {
            let event = events.iter().map(|event| (*event).to_owned()).collect();
            let options = Selectors { event, ..Default::default() };
            Selection::new(&options, &script(), &found).unwrap().of(&hook)
        };
        assert_eq!(of(&["before_vm_start"]), Selected::Partly);
        assert_eq!(of(&["qemu/prepare"]), Selected::Partly);
        assert_eq!(of(&["before_vm_start", "after_vm_stop", "qemu/prepare"]), Selected::Yes);
        assert_eq!(of(&["before_network_start"]), Selected::No);
    }

    #[test]
    fn what_is_wrong_names_its_option() {
        let some = |word: &str| Some(word.to_owned());
        for (options, key) in [
            (Selectors { event: vec!["start".to_owned()], ..Default::default() }, "event"),
            (Selectors { category: some("Whostmgr"), ..Default::default() }, "category"),
            (Selectors { stage: some("during"), ..Default::default() }, "stage"),
            (Selectors { action: some("'x"), ..Default::default() }, "action"),
            (Selectors { check: some("'x"), ..Default::default() }, "check"),
        ] {
            assert_eq!(Selection::new(&options, &script(), &found).unwrap_err().0, key);
        }
    }
}
