//! A registered hook: `hooks.d/NAME.yaml`, as written and as it is used.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::diagnostic::Diagnostic;
use super::keys;
use super::suggest::{suggest, suggest_or};
use super::template::Template;
use super::triggers::{CallPattern, Triggers};
use super::values::{Limit, OneOrMany, Patterns, Variables};
use super::yaml;
use crate::event::{self, Origin};
use crate::libvirt::{Class, Driver};

/// The directory of registrations in a root.
pub const DIRECTORY: &str = "hooks.d";
/// The end of a registration's file name.
/// What is read of one at most, in bytes.
pub const MAX_REGISTRATION_BYTES: u64 = 1 << 20;
pub const EXTENSION: &str = "yaml";
/// The weight of one that names none, and the step between those that `add` makes.
pub const WEIGHT_STEP: i64 = 100;
/// How often a detached hook is tried again where its registration doesn't say.
pub const DEFAULT_RETRIES: u32 = 3;

/// What a failure of a registered hook means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailurePolicy {
    /// The call fails, the rest of it runs; exit status 2 stops it.
    #[default]
    Fail,
    /// The call fails and stops.
    Stop,
    /// It is told, and changes nothing.
    Warn,
    /// As `fail`, and libvirt is told even where it kills what runs.
    Kill,
}

/// How it is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallStyle {
    #[default]
    Vdsm,
    Libvirt,
}

/// What it reads on standard input. In libvirt's style that is always libvirt's document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StdinKind {
    #[default]
    None,
    Xml,
    /// The event as one object.
    Json,
}

/// Whether libvirt waits for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    #[default]
    Wait,
    Detached,
}

/// A hook's own limit in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OwnTimeout {
    /// That of the settings.
    #[default]
    Usual,
    /// None, but for the call's total.
    None,
    After(Duration),
}

impl OwnTimeout {
    /// The limit, where it is its own.
    pub fn limit(self) -> Option<Duration> {
        match self {
            OwnTimeout::After(limit) => Some(limit),
            OwnTimeout::Usual | OwnTimeout::None => None,
        }
    }
}

/// Conditions, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<Patterns>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Patterns>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Patterns>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<Patterns>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Patterns>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Patterns>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Patterns>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub property: Option<BTreeMap<String, Patterns>>,
}

/// Whose rights it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunAs {
    /// A name or a number.
    pub user: String,
    /// The user's own where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

impl RunAs {
    /// Reads `USER` or `USER:GROUP`.
    pub fn parse(word: &str) -> Option<RunAs> {
        let (user, group) = match word.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (word, None),
        };
        let is_word = !user.is_empty() && group != Some("");
        is_word.then(|| RunAs { user: user.to_owned(), group: group.map(str::to_owned) })
    }
}

impl<'de> Deserialize<'de> for RunAs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RunAs, D::Error> {
        /// As a mapping.
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Mapping {
            #[serde(deserialize_with = "super::values::scalar")]
            user: String,
            #[serde(default, deserialize_with = "super::values::optional_scalar")]
            group: Option<String>,
        }
        struct RunAsVisitor;
        impl<'de> Visitor<'de> for RunAsVisitor {
            type Value = RunAs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a user: `nobody`, `nobody:nogroup`, or {user: nobody, group: nogroup}")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<RunAs, E> {
                RunAs::parse(word).ok_or_else(|| {
                    E::custom(format!("`{word}` is nobody: write USER or USER:GROUP"))
                })
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<RunAs, E> {
                Ok(RunAs { user: number.to_string(), group: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RunAs, A::Error> {
                let Mapping { user, group } =
                    Mapping::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(RunAs { user, group })
            }
        }
        deserializer.deserialize_any(RunAsVisitor)
    }
}

/// Resource limits, as of `setrlimit(2)`, soft and hard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Open files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nofile: Option<u64>,
    /// Address space, in bytes.
    #[serde(
        rename = "as",
        deserialize_with = "super::values::optional_size",
        skip_serializing_if = "Option::is_none"
    )]
    pub address_space: Option<u64>,
    /// Processor time, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u64>,
    /// Processes of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nproc: Option<u64>,
}

/// The file as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fragment {
    events: Option<OneOrMany>,
    calls: Option<OneOrMany>,
    command: Option<OneOrMany>,
    args: Option<Vec<Template>>,
    args_stdin: Option<bool>,
    weight: Option<i64>,
    check: Option<OneOrMany>,
    rollback: Option<OneOrMany>,
    when: Option<When>,
    timeout: Option<Limit>,
    on_failure: Option<FailurePolicy>,
    run_as: Option<RunAs>,
    style: Option<CallStyle>,
    stdin: Option<StdinKind>,
    mode: Option<Mode>,
    retries: Option<u32>,
    max_parallel: Option<u32>,
    enabled: Option<bool>,
    parallel: Option<bool>,
    lock: Option<String>,
    filter: Option<bool>,
    kill_leftovers: Option<bool>,
    limits: Option<Limits>,
    nice: Option<i32>,
    environment: Option<Variables>,
    environment_file: Option<PathBuf>,
    remote: Option<bool>,
}

/// A registered hook, checked. Its serialised form is what the cache holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The file's name without its end.
    pub name: String,
    pub source: PathBuf,
    /// The root that the file lies in: relative commands are below it.
    pub root: PathBuf,
    pub triggers: Triggers,
    /// The program and what always follows it; the program is an absolute path.
    pub command: Vec<String>,
    pub args: Vec<Template>,
    pub args_stdin: bool,
    pub weight: i64,
    pub check: Option<Vec<String>>,
    pub rollback: Option<Vec<String>>,
    pub when: When,
    pub timeout: OwnTimeout,
    pub on_failure: FailurePolicy,
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
    pub limits: Limits,
    pub nice: Option<i32>,
    pub environment: BTreeMap<String, String>,
    pub environment_file: Option<PathBuf>,
    pub remote: bool,
}

impl Registration {
    /// Reads a registration. `root` is the directory that has `hooks.d`.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(source: &Path, root: &Path, text: &str) -> Result<Registration, Diagnostic> {
        let text = yaml::without_mark(text);
        Registration::parse_plain(source, root, text)
            .map_err(|diagnostic| diagnostic.with_meaning(text))
    }

    fn parse_plain(source: &Path, root: &Path, text: &str) -> Result<Registration, Diagnostic> {
        let fragment: Option<Fragment> =
            yaml::read(text).map_err(|mistake| Diagnostic::syntax(source, mistake))?;
        let Some(fragment) = fragment else {
            return Err(Diagnostic::whole(
                source,
                "the registration is empty; to disable it, link it to /dev/null or say `enabled: false`",
            ));
        };
        Registration::from_fragment(source, root, fragment)
            .map_err(|(key, message)| Diagnostic::at_key(source, text, key, message))
    }

    fn from_fragment(
        source: &Path,
        root: &Path,
        fragment: Fragment,
    ) -> Result<Registration, (&'static str, String)> {
        let triggers = triggers(fragment.events, fragment.calls)?;
        let below = |path: String| {
            let joined = root.join(&path);
            joined.to_str().map(str::to_owned).unwrap_or(path)
        };
        let program = |key: &'static str,
                       words: Option<OneOrMany>|
         -> Result<Option<Vec<String>>, (&'static str, String)> {
            let Some(OneOrMany(mut words)) = words else { return Ok(None) };
            match words.first_mut() {
                Some(first) if !first.is_empty() => *first = below(std::mem::take(first)),
                _ => return Err((key, format!("`{key}` names no program"))),
            }
            Ok(Some(words))
        };
        let Some(command) = program("command", fragment.command)? else {
            return Err(("", "`command` is missing: what is to be run".to_owned()));
        };
        let nice = fragment.nice.filter(|nice| !(-20..=19).contains(nice));
        if let Some(nice) = nice {
            return Err(("nice", format!("{nice} is no nice value: -20 (first) to 19 (last)")));
        }
        if fragment.lock.as_deref().is_some_and(|name| {
            matches!(name, "" | "." | "..") || name.contains(['/', '\0']) || name.len() > 200
        }) {
            return Err(("lock", "a lock's name is one word without a slash".to_owned()));
        }
        if fragment.max_parallel == Some(0) {
            return Err(("max_parallel", "`max_parallel` is at least 1".to_owned()));
        }
        if let Some(when) = &fragment.when {
            let drivers = Driver::ALL.map(Driver::name);
            must_name("driver", when.driver.as_ref(), &drivers)?;
            must_name("origin", when.origin.as_ref(), &Origin::ALL.map(Origin::name))?;
        }
        let style = fragment.style.unwrap_or_default();
        let stdin = fragment.stdin.unwrap_or_default();
        let args_stdin = fragment.args_stdin.unwrap_or(false);
        let args = fragment.args.unwrap_or_default();
        if style == CallStyle::Libvirt
            && (fragment.stdin.is_some() || args_stdin || !args.is_empty())
        {
            let key = match fragment.stdin {
                Some(_) => "stdin",
                None if args_stdin => "args_stdin",
                None => "args",
            };
            return Err((key, "in libvirt's style a hook gets libvirt's arguments and its document on standard input".to_owned()));
        }
        if args_stdin && stdin != StdinKind::None {
            return Err((
                "args_stdin",
                "`args_stdin` and `stdin` both want standard input".to_owned(),
            ));
        }
        let mode = fragment.mode.unwrap_or_default();
        if mode == Mode::Detached {
            // nobody is there any more to be told, or to be given a document
            for (key, is_set) in [
                ("rollback", fragment.rollback.is_some()),
                ("parallel", fragment.parallel == Some(true)),
            ] {
                if is_set {
                    return Err((
                        key,
                        format!(
                            "`{key}` means nothing to a detached hook: it runs after libvirt has been answered"
                        ),
                    ));
                }
            }
        } else if let Some(key) = [
            ("retries", fragment.retries.is_some()),
            ("max_parallel", fragment.max_parallel.is_some()),
        ]
        .into_iter()
        .find_map(|(key, is_set)| is_set.then_some(key))
        {
            return Err((key, format!("`{key}` belongs to `mode: detached`")));
        }
        let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Registration {
            name,
            source: source.to_path_buf(),
            root: root.to_path_buf(),
            triggers,
            command,
            args,
            args_stdin,
            weight: fragment.weight.unwrap_or(WEIGHT_STEP),
            check: program("check", fragment.check)?,
            rollback: program("rollback", fragment.rollback)?,
            when: fragment.when.unwrap_or_default(),
            timeout: match fragment.timeout {
                None => OwnTimeout::Usual,
                Some(Limit(None)) => OwnTimeout::None,
                Some(Limit(Some(limit))) => OwnTimeout::After(limit),
            },
            on_failure: fragment.on_failure.unwrap_or_default(),
            run_as: fragment.run_as,
            style,
            stdin,
            mode,
            retries: fragment.retries.unwrap_or(DEFAULT_RETRIES),
            max_parallel: fragment.max_parallel,
            enabled: fragment.enabled.unwrap_or(true),
            parallel: fragment.parallel.unwrap_or(false),
            lock: fragment.lock,
            filter: fragment.filter.unwrap_or(true),
            kill_leftovers: fragment.kill_leftovers,
            limits: fragment.limits.unwrap_or_default(),
            nice: fragment.nice,
            environment: fragment.environment.unwrap_or_default().0,
            environment_file: fragment.environment_file.map(|file| root.join(file)),
            remote: fragment.remote.unwrap_or(false),
        })
    }

    /// What is allowed, and hardly meant.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let classes = self.triggers.classes();
        if self.on_failure == FailurePolicy::Kill && !classes.contains(&Class::Live) {
            warnings.push("`on_failure: kill` means something only where something runs already: none of its events is live".to_owned());
        }
        if self.rollback.is_some() && !classes.contains(&Class::Gate) {
            warnings.push(
                "`rollback` means something only at a gate: none of its events is one".to_owned(),
            );
        }
        if self.run_as.as_ref().is_some_and(|run_as| run_as.user == "root" || run_as.user == "0") {
            warnings.push("`run_as: root` is what hooks have anyway".to_owned());
        }
        if self.mode == Mode::Detached && classes.iter().all(|class| *class == Class::Gate) {
            warnings.push("a detached hook runs after libvirt has been answered: at a gate it can't stop anything".to_owned());
        }
        warnings
    }
}

/// Every pattern of a condition must match something that there is.
fn must_name(
    key: &'static str,
    patterns: Option<&Patterns>,
    known: &[&'static str],
) -> Result<(), (&'static str, String)> {
    for pattern in patterns.iter().flat_map(|patterns| &patterns.0) {
        let bare = pattern.strip_prefix('!').unwrap_or(pattern);
        let bare = Patterns(vec![bare.to_owned()]);
        if !known.iter().any(|value| bare.match_value(value)) {
            let hint = suggest(&bare.0[0], known.iter().copied());
            return Err((key, format!("there is no {key} `{}`; {hint}", bare.0[0])));
        }
    }
    Ok(())
}

fn triggers(
    events: Option<OneOrMany>,
    calls: Option<OneOrMany>,
) -> Result<Triggers, (&'static str, String)> {
    let mut triggers = Triggers::default();
    for name in events.unwrap_or_default().0 {
        if name == "*" {
            triggers.every_event = true;
        } else if event::is_known(&name) {
            triggers.events.push(name);
        } else {
            let of_operation = event::meant_by(&name);
            let known = event::TABLE.iter().map(|row| row.name);
            let hint = match of_operation.as_slice() {
                [] => suggest_or(&name, known, "see `hookmux events`"),
                own => format!("that operation has events of its own: {}", own.join(", ")),
            };
            return Err(("events", format!("there is no event `{name}`; {hint}")));
        }
    }
    for word in calls.unwrap_or_default().0 {
        triggers.calls.push(CallPattern::parse(&word).map_err(|message| ("calls", message))?);
    }
    if triggers.is_empty() {
        return Err(("", "`events` or `calls` is missing: when it is to be run".to_owned()));
    }
    Ok(triggers)
}

/// Every key of a registration, in the order of the documentation.
pub fn keys() -> Vec<&'static str> {
    keys::top_level(keys::REGISTRATION).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"
events: [before_vm_start]
calls: qemu/prepare/begin
command: [bin/cpu-isolate, --quick]
args: ["$NAME", "$UUID", 5]
weight: 7
check: [/usr/bin/test, -e, /sys]
rollback: [bin/cpu-isolate, --undo]
when:
  driver: [qemu]
  name: ["web-*", "!web-test"]
  uuid: "*"
  title: x
  reason: x
  origin: fresh
  network: lan
  property: {macspoof: true}
timeout: 30s
on_failure: fail
run_as: {user: nobody, group: 65534}
style: vdsm
stdin: json
mode: wait
enabled: true
parallel: true
lock: gpu
filter: false
kill_leftovers: true
limits: {nofile: 64, as: 1000000, cpu: 5, nproc: 9}
nice: 5
environment: {A: 1}
environment_file: env
args_stdin: false
remote: false
"#;

    fn parse(text: &str) -> Result<Registration, String> {
        Registration::parse(Path::new("/h/hooks.d/x.yaml"), Path::new("/h"), text)
            .map_err(|d| d.to_string())
    }

    #[test]
    fn every_key_is_read() {
        let hook = parse(FULL).unwrap();
        assert_eq!(hook.name, "x");
        assert_eq!(hook.command, ["/h/bin/cpu-isolate", "--quick"]);
        assert_eq!(hook.rollback.as_ref().unwrap()[0], "/h/bin/cpu-isolate");
        assert_eq!(hook.check.as_ref().unwrap()[0], "/usr/bin/test");
        assert_eq!(hook.args[2].as_str(), "5");
        assert_eq!(hook.when.property.as_ref().unwrap()["macspoof"].0, ["true"]);
        assert_eq!(hook.run_as.as_ref().unwrap().group.as_deref(), Some("65534"));
        assert_eq!(hook.timeout, OwnTimeout::After(Duration::from_secs(30)));
        assert_eq!(hook.environment_file.as_deref(), Some(Path::new("/h/env")));
        let keys = keys();
        let unread: Vec<_> =
            keys.into_iter().filter(|key| !FULL.contains(&format!("\n{key}:"))).collect();
        assert_eq!(unread, ["retries", "max_parallel"], "they belong to detached hooks");
        // what the cache holds is the same
        for hook in [hook, parse("events: before_vm_start\ncommand: /x\ntimeout: 0\n").unwrap()] {
            let compiled = serde_json::to_string(&hook).unwrap();
            assert_eq!(serde_json::from_str::<Registration>(&compiled).unwrap(), hook);
        }
    }

    #[test]
    fn every_key_has_its_row() {
        let table = keys::REGISTRATION;
        keys::tests::assert_complete::<Fragment>(table, None);
        keys::tests::assert_complete::<When>(table, Some("when"));
        keys::tests::assert_complete::<Limits>(table, Some("limits"));
        keys::tests::assert_complete::<RunAs>(table, Some("run_as"));
    }

    #[test]
    fn defaults_are_the_designs() {
        let hook = parse("events: before_vm_start\ncommand: /bin/true\n").unwrap();
        assert_eq!(
            (hook.weight, hook.on_failure, hook.style),
            (100, FailurePolicy::Fail, CallStyle::Vdsm)
        );
        assert!(hook.enabled && hook.filter && !hook.parallel && hook.timeout == OwnTimeout::Usual);
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        for (text, expected) in [
            ("", "the registration is empty"),
            ("# nothing\n", "the registration is empty"),
            ("command: /x\n", "`events` or `calls` is missing"),
            ("events: before_vm_start\n", "`command` is missing"),
            (
                "command: /x\nevents: [before_vm_strat]\n",
                "x.yaml:2:1: there is no event `before_vm_strat`; did you mean `before_vm_start`?",
            ),
            (
                "command: /x\ncalls: [qmeu/prepare]\n",
                "x.yaml:2:1: `qmeu` in `qmeu/prepare` is no driver; did you mean `qemu`?",
            ),
            (
                "events: before_vm_start\ncommand: /x\nwheight: 3\n",
                "x.yaml:3:1: unknown key `wheight`; did you mean `weight`?",
            ),
            (
                "events: before_vm_start\ncommand: /x\nwhen:\n  nmae: a\n",
                "x.yaml:4:3: unknown key `nmae`; did you mean `name`?",
            ),
            ("events: before_vm_start\ncommand: /x\ncommand: /y\n", "x.yaml:3:1: duplicate"),
            ("events: before_vm_start\ncommand: /x\nargs: [$NAM]\n", "did you mean $NAME?"),
            ("events: before_vm_start\ncommand: /x\nnice: 30\n", "x.yaml:3:1: 30 is no nice value"),
            (
                "events: before_vm_start\ncommand: /x\nstyle: libvirt\nstdin: json\n",
                "x.yaml:4:1: in libvirt's style",
            ),
            (
                "events: before_vm_start\ncommand: /x\nretries: 3\n",
                "x.yaml:3:1: `retries` belongs to `mode: detached`",
            ),
            (
                "events: before_vm_start\ncommand: /x\nmode: detached\nrollback: /y\n",
                "x.yaml:4:1: `rollback` means nothing",
            ),
            (
                "events: before_vm_start\ncommand: /x\non_failure: explode\n",
                "unknown value `explode`; known are fail, stop, warn, kill",
            ),
            ("events: before_vm_start\ncommand: []\n", "names no program"),
            ("events: before_vm_start\ncommand: /x\nlock: a/b\n", "a lock's name"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text:?} says\n{error}");
        }
    }

    #[test]
    fn what_is_hardly_meant_is_warned_about() {
        let warnings =
            |more: &str| parse(&format!("command: /x\n{more}")).unwrap().warnings().join("; ");
        assert_eq!(warnings("events: after_vm_start\non_failure: kill\n"), "");
        assert!(
            warnings("events: before_vm_start\non_failure: kill\n")
                .contains("none of its events is live")
        );
        assert!(warnings("events: after_vm_stop\nrollback: /y\n").contains("only at a gate"));
        assert!(warnings("calls: qemu/prepare\nmode: detached\n").contains("can't stop anything"));
    }
}
