//! Turns a registration as written into one that is used, or reports an error at one of its keys.

use std::path::Path;

use super::fragment::RegistrationFragment;
use super::{DEFAULT_RETRIES, OwnTimeout, Registration, WEIGHT_STEP, WrittenText};
use crate::config::choice::{CallStyle, FailurePolicy, Mode, ResultKind, StdinKind};
use crate::config::diagnostic::Diagnostic;
use crate::config::suggest::{suggest, suggest_or};
use crate::config::template::{DOCUMENT_WORD, Template};
use crate::config::triggers::{CallPattern, Triggers};
use crate::config::values::{OneOrMany, OptionalTimeout, Patterns};
use crate::config::yaml;
use crate::event::{self, Origin};
use crate::libvirt::{Class, Driver};
use crate::machine::files;

/// The longest name of a lock, in bytes: the name becomes a file name.
const MAX_LOCK_BYTES: usize = 200;

/// A key, and what is wrong with it; an empty key stands for the whole file.
type KeyError = (&'static str, String);

impl Registration {
    /// Reads a registration. `root` is the directory that has `hooks.d`.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(source: &Path, root: &Path, text: &str) -> Result<Registration, Diagnostic> {
        let whole = text;
        let text = yaml::without_bom(text);
        let found = parse(source, root, text);
        let mut registration = found.map_err(|diagnostic| diagnostic.with_recovered(text))?;
        let sha256 = files::sha256(whole.as_bytes());
        registration.written = WrittenText { text: whole.to_owned(), sha256 };
        Ok(registration)
    }
}

fn parse(source: &Path, root: &Path, text: &str) -> Result<Registration, Diagnostic> {
    let fragment: Option<RegistrationFragment> =
        yaml::read(text).map_err(|mistake| Diagnostic::syntax(source, mistake))?;
    let Some(fragment) = fragment else {
        return Err(Diagnostic::whole(
            source,
            "the registration is empty; to disable it, link it to /dev/null or say `enabled: false`",
        ));
    };
    FragmentReader { source, root, fragment }
        .read()
        .map_err(|(key, message)| Diagnostic::at_key(source, text, key, message))
}

/// Reads a fragment key by key. Of several errors, the first one is reported.
struct FragmentReader<'a> {
    source: &'a Path,
    /// Relative paths are below it.
    root: &'a Path,
    fragment: RegistrationFragment,
}

impl FragmentReader<'_> {
    fn read(mut self) -> Result<Registration, KeyError> {
        let triggers = self.triggers()?;
        let command = self.command()?;
        self.check_values()?;
        self.check_conditions()?;
        self.check_style()?;
        self.check_mode()?;
        if self.fragment.remote == Some(true) {
            self.check_remote(&triggers)?;
        }
        if self.fragment.shared == Some(true) && self.fragment.undo.is_none() {
            let words = "`shared` needs `undo`: that takes back what guests share";
            return Err(("shared", words.to_owned()));
        }
        let check = self.fragment.check.take();
        let check = self.program("check", check)?;
        let rollback = self.fragment.rollback.take();
        let rollback = self.program("rollback", rollback)?;
        let undo = self.fragment.undo.take();
        let undo = self.program("undo", undo)?;
        let name = self.source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let FragmentReader { source, root, fragment } = self;
        Ok(Registration {
            name,
            source: source.to_path_buf(),
            root: root.to_path_buf(),
            written: WrittenText::default(),
            triggers,
            command,
            args: fragment.args.unwrap_or_default(),
            args_stdin: fragment.args_stdin.unwrap_or(false),
            weight: fragment.weight.unwrap_or(WEIGHT_STEP),
            check,
            rollback,
            undo,
            shared: fragment.shared.unwrap_or(false),
            when: fragment.when.unwrap_or_default(),
            timeout: own_timeout(fragment.timeout),
            on_failure: fragment.on_failure.unwrap_or_default(),
            result: fragment.result.unwrap_or_default(),
            run_as: fragment.run_as,
            style: fragment.style.unwrap_or_default(),
            stdin: fragment.stdin.unwrap_or_default(),
            mode: fragment.mode.unwrap_or_default(),
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

    /// Reads when the hook runs.
    fn triggers(&mut self) -> Result<Triggers, KeyError> {
        let mut triggers = Triggers::default();
        for name in self.fragment.events.take().unwrap_or_default().0 {
            if name == "*" {
                triggers.every_event = true;
            } else if event::is_known(&name) {
                triggers.events.push(name);
            } else {
                return Err(("events", unknown_event(&name)));
            }
        }
        for word in self.fragment.calls.take().unwrap_or_default().0 {
            let pattern = CallPattern::parse(&word).map_err(|message| ("calls", message))?;
            triggers.calls.push(pattern);
        }
        if triggers.is_empty() {
            return Err((
                "",
                "`events` or `calls` is missing: they say when the hook runs".to_owned(),
            ));
        }
        Ok(triggers)
    }

    /// Reads what the hook runs.
    fn command(&mut self) -> Result<Vec<String>, KeyError> {
        let words = self.fragment.command.take();
        self.program("command", words)?
            .ok_or_else(|| ("", "`command` is missing: it says what the hook runs".to_owned()))
    }

    /// Reads a program and its fixed arguments; a relative program is below the root.
    fn program(
        &self,
        key: &'static str,
        words: Option<OneOrMany>,
    ) -> Result<Option<Vec<String>>, KeyError> {
        let Some(OneOrMany(mut words)) = words else { return Ok(None) };
        match words.first_mut() {
            Some(first) if !first.is_empty() => {
                if let Some(joined) = self.root.join(&*first).to_str() {
                    *first = joined.to_owned();
                }
                Ok(Some(words))
            }
            _ => Err((key, format!("`{key}` is empty: it has to name a program"))),
        }
    }

    /// Checks single values.
    fn check_values(&self) -> Result<(), KeyError> {
        if let Some(nice) = self.fragment.nice.filter(|nice| !(-20..=19).contains(nice)) {
            return Err(("nice", format!("{nice} is not a nice value: -20 (first) to 19 (last)")));
        }
        let is_invalid = |name: &str| {
            matches!(name, "" | "." | "..")
                || name.contains(['/', '\0'])
                || name.len() > MAX_LOCK_BYTES
        };
        if self.fragment.lock.as_deref().is_some_and(is_invalid) {
            return Err(("lock", "a lock's name is one word without a slash".to_owned()));
        }
        if self.fragment.max_parallel == Some(0) {
            return Err(("max_parallel", "`max_parallel` is at least 1".to_owned()));
        }
        Ok(())
    }

    /// Checks for drivers and origins that don't exist: such a condition never holds.
    fn check_conditions(&self) -> Result<(), KeyError> {
        let Some(when) = &self.fragment.when else { return Ok(()) };
        check_patterns("driver", when.driver.as_ref(), &Driver::ALL.map(Driver::name))?;
        check_patterns("origin", when.origin.as_ref(), &Origin::ALL.map(Origin::name))
    }

    /// Checks the keys that depend on how the hook is called and what it reads.
    fn check_style(&self) -> Result<(), KeyError> {
        let RegistrationFragment { style, stdin, args, args_stdin, result, .. } = &self.fragment;
        let args_stdin = *args_stdin == Some(true);
        if *style == Some(CallStyle::Libvirt) {
            let set = [
                ("stdin", stdin.is_some()),
                ("args_stdin", args_stdin),
                ("args", args.as_ref().is_some_and(|args| !args.is_empty())),
            ];
            if let Some(key) = first_set(set) {
                return Err((key, "in libvirt's style a hook gets libvirt's arguments and its document on standard input".to_owned()));
            }
        }
        if *style == Some(CallStyle::Libvirt) && *result == Some(ResultKind::StatusLine) {
            return Err((
                "result",
                "in libvirt's style a hook's standard output is the new document: there is no line for its result".to_owned(),
            ));
        }
        if args_stdin && stdin.unwrap_or_default() != StdinKind::None {
            return Err((
                "args_stdin",
                "`args_stdin` and `stdin` both use standard input".to_owned(),
            ));
        }
        Ok(())
    }

    /// Checks the keys that depend on whether libvirt waits for the hook.
    fn check_mode(&self) -> Result<(), KeyError> {
        let RegistrationFragment { mode, rollback, undo, parallel, retries, max_parallel, .. } =
            &self.fragment;
        if mode.unwrap_or_default() == Mode::Detached {
            // libvirt no longer waits for an answer or a document
            let set = [
                ("rollback", rollback.is_some()),
                ("undo", undo.is_some()),
                ("parallel", *parallel == Some(true)),
            ];
            return first_set(set).map_or(Ok(()), |key| {
                Err((key, format!("`{key}` has no effect on a detached hook: it runs after libvirt has been answered")))
            });
        }
        let set = [("retries", retries.is_some()), ("max_parallel", max_parallel.is_some())];
        first_set(set)
            .map_or(Ok(()), |key| Err((key, format!("`{key}` belongs to `mode: detached`"))))
    }
}

impl FragmentReader<'_> {
    /// Checks the keys that an event of another host can't serve: it comes after the call, without a document, to
    /// a user who isn't root.
    fn check_remote(&self, triggers: &Triggers) -> Result<(), KeyError> {
        let fragment = &self.fragment;
        let uses_document =
            |args: &Vec<Template>| args.iter().any(|argument| argument.uses(DOCUMENT_WORD));
        let asks_network = fragment.when.as_ref().is_some_and(|when| when.network.is_some());
        let document = [
            ("style", fragment.style == Some(CallStyle::Libvirt)),
            ("stdin", fragment.stdin == Some(StdinKind::Xml)),
            ("args", fragment.args.as_ref().is_some_and(uses_document)),
            ("when", asks_network),
            ("filter", fragment.filter == Some(true)),
        ];
        if let Some(key) = first_set(document) {
            let what = if key == "when" { "`network` in `when`" } else { &format!("`{key}`") };
            return Err((
                key,
                format!(
                    "{what} needs the document, which an event of another host (`remote: true`) doesn't have"
                ),
            ));
        }
        let others = [
            ("run_as", fragment.run_as.is_some()),
            ("rollback", fragment.rollback.is_some()),
            ("undo", fragment.undo.is_some()),
            ("mode", fragment.mode == Some(Mode::Detached)),
            ("on_failure", fragment.on_failure == Some(FailurePolicy::Kill)),
        ];
        if let Some(key) = first_set(others) {
            return Err((
                key,
                format!(
                    "`{key}` has no effect with `remote: true`: the hook runs on another host, as the user hookmux-consume, after the call"
                ),
            ));
        }
        for name in &triggers.events {
            let row = event::TABLE.iter().find(|row| row.name == name);
            if row.is_some_and(|row| row.per_device) {
                return Err((
                    "events",
                    format!(
                        "{name} is fired for each device, and an event of another host (`remote: true`) has no devices"
                    ),
                ));
            }
            let one = Triggers { events: vec![name.clone()], ..Triggers::default() };
            if is_gate(&one) {
                return Err((
                    "events",
                    format!(
                        "{name} is before something that libvirt does, and with `remote: true` the hook runs after it: use an event that begins with after_"
                    ),
                ));
            }
        }
        for pattern in &triggers.calls {
            let one = Triggers { calls: vec![pattern.clone()], ..Triggers::default() };
            if is_gate(&one) {
                return Err((
                    "calls",
                    format!(
                        "{pattern} is before something that libvirt does, and with `remote: true` the hook runs after it"
                    ),
                ));
            }
        }
        Ok(())
    }
}

/// Tells whether libvirt waits for the answer at all these moments.
fn is_gate(triggers: &Triggers) -> bool {
    let classes = triggers.classes();
    !classes.is_empty() && classes.iter().all(|class| *class == Class::Gate)
}

/// Returns the first of some keys that is set.
fn first_set<const N: usize>(keys: [(&'static str, bool); N]) -> Option<&'static str> {
    keys.into_iter().find_map(|(key, is_set)| is_set.then_some(key))
}

fn own_timeout(limit: Option<OptionalTimeout>) -> OwnTimeout {
    match limit {
        None => OwnTimeout::Usual,
        Some(OptionalTimeout(None)) => OwnTimeout::None,
        Some(OptionalTimeout(Some(limit))) => OwnTimeout::After(limit),
    }
}

fn unknown_event(name: &str) -> String {
    let several: Vec<&str> = name.split([',', ' ']).filter(|part| !part.is_empty()).collect();
    if several.len() > 1 && several.iter().all(|part| event::is_known(part)) {
        return format!("several events are a list: `events: [{}]`", several.join(", "));
    }
    let of_operation = event::known_events_of(name);
    let known = event::TABLE.iter().map(|row| row.name);
    let hint = match of_operation.as_slice() {
        [] => suggest_or(name, known, "see `hookmux events`"),
        own => format!("that operation has events of its own: {}", own.join(", ")),
    };
    format!("there is no event `{name}`; {hint}")
}

/// Checks that every pattern of a condition matches something that exists.
fn check_patterns(
    key: &'static str,
    patterns: Option<&Patterns>,
    known: &[&'static str],
) -> Result<(), KeyError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::registration::keys;
    use std::time::Duration;

    const FULL: &str = r#"
events: [before_vm_start]
calls: qemu/prepare/begin
command: [bin/cpu-isolate, --quick]
args: ["$NAME", "$UUID", 5]
weight: 7
check: [/usr/bin/test, -e, /sys]
rollback: [bin/cpu-isolate, --undo]
undo: [bin/cpu-isolate, --release]
shared: true
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
result: status-line
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
        assert_eq!(hook.undo.as_ref().unwrap(), &["/h/bin/cpu-isolate", "--release"]);
        assert!(hook.shared);
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
            let again: Registration = serde_json::from_str(&compiled).unwrap();
            assert_eq!(again.written.text, hook.written.text);
            assert_eq!(again.written.sha256, files::sha256(hook.written.text.as_bytes()));
            assert_eq!(again, hook);
        }
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
    fn what_an_event_of_another_host_has_not_makes_a_remote_one_broken() {
        let parse = |more: &str| parse(&format!("command: /x\nremote: true\n{more}"));
        for fine in [
            "events: after_vm_start",
            "events: '*'",
            "events: on_qemu_paused",
            "calls: qemu/started",
            "calls: 'qemu/*'",
            "calls: '*/nosuch'",
            "events: after_vm_stop\nargs: [$NAME]\nstdin: json\ncheck: /y\nlock: a\nfilter: false",
            "events: after_vm_stop\nwhen: {title: x, property: {a: b}, origin: fresh, uuid: '*'}",
        ] {
            assert!(parse(fine).unwrap().remote, "{fine}");
        }
        for (text, expected) in [
            ("events: after_vm_stop\nstyle: libvirt", "`style` needs the document"),
            ("events: after_vm_stop\nstdin: xml", "`stdin` needs the document"),
            ("events: after_vm_stop\nargs: [a, $XML_BASE64]", "`args` needs the document"),
            (
                "events: after_vm_stop\nwhen: {network: lan}",
                "`network` in `when` needs the document",
            ),
            ("events: after_vm_stop\nfilter: true", "`filter` needs the document"),
            ("events: after_vm_stop\nrun_as: nobody", "`run_as` has no effect"),
            ("events: after_vm_stop\nrollback: /y", "`rollback` has no effect"),
            ("events: after_vm_stop\nundo: /y", "`undo` has no effect"),
            ("events: after_vm_stop\nmode: detached", "`mode` has no effect"),
            ("events: after_vm_start\non_failure: kill", "`on_failure` has no effect"),
            ("events: [after_vm_stop, before_vm_start]", "before_vm_start is before something"),
            ("events: after_device_create", "has no devices"),
            ("calls: qemu/prepare/begin", "qemu/prepare/begin is before something"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text:?} says\n{error}");
        }
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
                "x.yaml:2:1: `qmeu` in `qmeu/prepare` is not a driver; did you mean `qemu`?",
            ),
            (
                "events: before_vm_start\ncommand: /x\nwheight: 3\n",
                "x.yaml:3:1: unknown key `wheight`; did you mean `weight`?",
            ),
            (
                "events: before_vm_start\ncommand: /x\nwhen:\n  nmae: a\n",
                "x.yaml:4:3: unknown key `nmae`; did you mean `name`?",
            ),
            (
                "events: before_vm_start\ncommand: /x\ncommand: /y\n",
                "x.yaml:3:1: `command` is there twice",
            ),
            ("events: before_vm_start\ncommand: /x\nargs: [$NAM]\n", "did you mean $NAME?"),
            (
                "events: before_vm_start\ncommand: /x\nnice: 30\n",
                "x.yaml:3:1: 30 is not a nice value",
            ),
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
                "x.yaml:4:1: `rollback` has no effect",
            ),
            (
                "events: before_vm_start\ncommand: /x\nmode: detached\nundo: /y\n",
                "x.yaml:4:1: `undo` has no effect",
            ),
            (
                "events: before_vm_start\ncommand: /x\nshared: true\n",
                "x.yaml:3:1: `shared` needs `undo`",
            ),
            ("events: before_vm_start\ncommand: /x\nundo: []\n", "has to name a program"),
            (
                "events: before_vm_start\ncommand: /x\non_failure: explode\n",
                "unknown value `explode`; known are fail, stop, warn, kill",
            ),
            (
                "events: before_vm_start\ncommand: /x\nresult: zzz\n",
                "unknown value `zzz`; known are exit-status, status-line",
            ),
            (
                "events: before_vm_start\ncommand: /x\nstyle: libvirt\nresult: status-line\n",
                "x.yaml:4:1: in libvirt's style a hook's standard output",
            ),
            ("events: before_vm_start\ncommand: []\n", "has to name a program"),
            ("events: before_vm_start\ncommand: /x\nlock: a/b\n", "a lock's name"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text:?} says\n{error}");
        }
    }
}
