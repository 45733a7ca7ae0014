//! A registered hook, `hooks.d/NAME.yaml`, as it is used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::keys;
use super::template::Template;
use super::triggers::Triggers;
use crate::libvirt::Class;
use crate::machine::files;

pub(crate) use super::choice::{CallStyle, FailurePolicy, Mode, ResultKind, StdinKind};
pub(crate) use super::rights::RunAs;
pub use super::when::When;
pub(crate) use crate::machine::privileges::ResourceLimits;

mod fragment;
mod reader;

/// The directory of registrations in a root.
pub const DIRECTORY: &str = "hooks.d";
/// How many bytes of a registration are read at most.
pub(crate) const MAX_REGISTRATION_BYTES: u64 = 1 << 20;
/// The extension of a registration's file name.
pub(crate) const EXTENSION: &str = "yaml";
/// The default weight, and the step between the weights that `add` chooses.
pub(crate) const WEIGHT_STEP: i64 = 100;
/// The default number of retries of a detached hook.
pub(crate) const DEFAULT_RETRIES: u32 = 3;

/// A hook's own time limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OwnTimeout {
    /// The limit of the settings.
    #[default]
    Usual,
    /// No limit, except the call's total.
    None,
    After(Duration),
}

impl OwnTimeout {
    /// Returns the limit if the hook has its own.
    pub fn limit(self) -> Option<Duration> {
        match self {
            OwnTimeout::After(limit) => Some(limit),
            OwnTimeout::Usual | OwnTimeout::None => None,
        }
    }
}

/// The text of a registration's file, which records refer to: `retry` reads it again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WrittenText {
    pub text: String,
    pub sha256: String,
}

/// Registrations that mean the same are equal, however they are written.
impl PartialEq for WrittenText {
    fn eq(&self, _: &WrittenText) -> bool {
        true
    }
}

impl Eq for WrittenText {}

/// A registered hook, checked. Its serialised form is what the cache holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The file's name without its extension.
    pub name: String,
    pub source: PathBuf,
    /// The root of the file: relative commands are below it.
    pub root: PathBuf,
    pub written: WrittenText,
    pub triggers: Triggers,
    /// The program as an absolute path, and its fixed arguments.
    pub command: Vec<String>,
    pub args: Vec<Template>,
    pub args_stdin: bool,
    pub weight: i64,
    pub check: Option<Vec<String>>,
    pub rollback: Option<Vec<String>>,
    pub undo: Option<Vec<String>>,
    /// Whether guests share what it sets up.
    pub shared: bool,
    pub when: When,
    pub timeout: OwnTimeout,
    pub on_failure: FailurePolicy,
    pub result: ResultKind,
    pub run_as: Option<RunAs>,
    pub style: CallStyle,
    pub stdin: StdinKind,
    pub mode: Mode,
    pub retries: u32,
    pub max_parallel: Option<u32>,
    pub enabled: bool,
    pub parallel: bool,
    pub lock: Option<String>,
    pub filter: bool,
    pub kill_leftovers: Option<bool>,
    pub limits: ResourceLimits,
    pub nice: Option<i32>,
    pub environment: BTreeMap<String, String>,
    pub environment_file: Option<PathBuf>,
    pub remote: bool,
}

/// A file that a registration names beside its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedFile<'a> {
    pub path: &'a Path,
    /// Whether it is started; else it is read.
    pub is_program: bool,
}

impl Registration {
    /// Returns the files beside its program that decide what it does, each in its place: the script that its
    /// interpreter is started with, its other programs, its file with variables.
    pub fn named_files(&self) -> [Option<NamedFile<'_>>; 5] {
        let read = |path| NamedFile { path, is_program: false };
        // /usr/bin/python3 /srv/hook.py
        let script = self.command.get(1).map(Path::new).filter(|path| path.is_absolute());
        let [check, rollback, undo] = [&self.check, &self.rollback, &self.undo].map(|command| {
            let path = Path::new(command.as_ref()?.first()?);
            Some(NamedFile { path, is_program: true })
        });
        let variables = self.environment_file.as_deref();
        [script.map(read), check, rollback, undo, variables.map(read)]
    }

    /// Returns warnings about what is allowed but probably a mistake.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let classes = self.triggers.classes();
        if self.on_failure == FailurePolicy::Kill && !classes.contains(&Class::Live) {
            warnings.push("`on_failure: kill` has an effect only where a guest or network runs already: none of its events is live".to_owned());
        }
        if self.rollback.is_some() && !classes.contains(&Class::Gate) {
            warnings.push(
                "`rollback` has an effect only at a gate: none of its events is one".to_owned(),
            );
        }
        warnings.extend(self.undo.as_ref().and_then(|_| self.undo_warning()));
        if self.run_as.as_ref().is_some_and(|run_as| run_as.user == "root" || run_as.user == "0") {
            warnings.push("`run_as: root` changes nothing: hooks run as root anyway".to_owned());
        }
        if self.mode == Mode::Detached && classes.iter().all(|class| *class == Class::Gate) {
            warnings.push("a detached hook runs after libvirt has been answered: at a gate it can't stop anything".to_owned());
        }
        warnings
    }

    /// Says how to write a program that is given as one string with blanks, if this is one: such a string is
    /// one path.
    pub fn list_hint(&self, program: &Path) -> Option<String> {
        let programs = [
            ("command", Some(&self.command)),
            ("check", self.check.as_ref()),
            ("rollback", self.rollback.as_ref()),
            ("undo", self.undo.as_ref()),
        ];
        programs.into_iter().find_map(|(key, words)| {
            let [word] = words?.as_slice() else { return None };
            if Path::new(word) != program || !word.contains([' ', '\t']) {
                return None;
            }
            let written = program.strip_prefix(&self.root).unwrap_or(program).to_str()?;
            if SHELL_SIGNS.iter().any(|sign| written.contains(sign)) {
                let line = serde_json::Value::from(written);
                return Some(format!(
                    "a string is one path, and no shell reads it: `{key}: [/bin/sh, -c, {line}]`"
                ));
            }
            let mut words = shlex::split(written).filter(|words| words.len() > 1)?;
            if let Some(found) = words.first().and_then(|name| in_usual_directories(name)) {
                words[0] = found;
            }
            let list = words.iter().map(|word| flow_word(word)).collect::<Vec<_>>().join(", ");
            Some(format!("a string is one path, so with arguments it is a list: `{key}: [{list}]`"))
        })
    }
}

/// What only a shell understands, in a line of words.
const SHELL_SIGNS: [&str; 9] = [" >", " <", "|", "&&", ";", "$", "`", " 2>", "&>"];

/// Returns the path of a program that is named without a directory.
fn in_usual_directories(name: &str) -> Option<String> {
    let directories = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"].into_iter();
    let directories = directories.filter(|_| !name.contains('/'));
    directories
        .map(|directory| format!("{directory}/{name}"))
        .find(|path| files::is_executable(Path::new(path)))
}

/// Returns a word as it is written in a list of YAML on one line.
pub(crate) fn flow_word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./=@%+-".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => serde_json::Value::from(word).to_string(),
    }
}

/// Events that some guests don't have, and how those come.
const FRESH_EVENTS: [(&str, &str); 2] =
    [("before_vm_start", "by migration"), ("after_vm_start", "by migration or from a save")];

impl Registration {
    /// Returns a warning about events at which `undo` does less than is expected.
    fn undo_warning(&self) -> Option<String> {
        let events = &self.triggers.events;
        let is_of_daemon = |name: &String| name.contains("_daemon_") || name.contains("_vdsm_");
        let is_only_events = self.triggers.calls.is_empty() && !self.triggers.every_event;
        if is_only_events && events.iter().all(is_of_daemon) {
            return Some("`undo` has an effect only for guests, networks and ports: its events are the daemon's".to_owned());
        }
        let row = |name: &String| FRESH_EVENTS.iter().find(|(event, _)| event == name);
        let (fresh, how) = events.iter().find_map(row)?;
        Some(format!(
            "`undo` at {fresh}: a guest that comes {how} doesn't have this event, and what it needs isn't set up; before_vm_prepare, after_vm_launch and after_vm_reconnect come for every guest"
        ))
    }
}

/// Returns every top-level key of a registration, in the order of the documentation.
pub fn keys() -> Vec<&'static str> {
    keys::top_level(keys::REGISTRATION).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Registration {
        Registration::parse(Path::new("/h/hooks.d/x.yaml"), Path::new("/h"), text).unwrap()
    }

    #[test]
    fn what_is_hardly_meant_is_warned_about() {
        let warnings = |more: &str| parse(&format!("command: /x\n{more}")).warnings().join("; ");
        assert_eq!(warnings("events: after_vm_start\non_failure: kill\n"), "");
        assert!(
            warnings("events: before_vm_start\non_failure: kill\n")
                .contains("none of its events is live")
        );
        assert!(warnings("events: after_vm_stop\nrollback: /y\n").contains("only at a gate"));
        let warning = warnings("events: before_vm_start\nundo: /y\n");
        assert!(warning.contains("before_vm_prepare") && !warning.contains("save"), "{warning}");
        assert!(
            warnings("events: [after_vm_reconnect, after_vm_start]\nundo: /y\n")
                .contains("at after_vm_start")
        );
        assert!(warnings("events: before_daemon_start\nundo: /y\n").contains("the daemon's"));
        for fine in ["events: before_vm_prepare", "events: '*'", "calls: qemu/prepare"] {
            assert_eq!(warnings(&format!("{fine}\nundo: /y\n")), "");
        }
        assert!(warnings("calls: qemu/prepare\nmode: detached\n").contains("can't stop anything"));
    }

    #[test]
    fn a_program_in_one_string_with_blanks_is_told_as_a_list() {
        for (text, program, expected) in [
            ("command: /usr/bin/echo hi\n", "/usr/bin/echo hi", Some("[/usr/bin/echo, hi]")),
            ("command: bin/x --a 'b c'\n", "/h/bin/x --a 'b c'", Some("[bin/x, --a, \"b c\"]")),
            ("command: /x\ncheck: /bin/test -e /y\n", "/bin/test -e /y", Some("`check: [")),
            ("command: [/my script]\n", "/my script", Some("[/my, script]")),
            ("command: [/my script, a]\n", "/my script", None),
            ("command: /x\n", "/x", None),
            ("command: '/x '\n", "/x ", None),
            ("command: \"/it's\"\n", "/it's", None),
        ] {
            let hint = parse(&format!("events: after_vm_stop\n{text}")).list_hint(program.as_ref());
            assert_eq!(hint.is_some(), expected.is_some(), "{text}: {hint:?}");
            assert!(hint.unwrap_or_default().contains(expected.unwrap_or_default()), "{text}");
        }
    }
}
