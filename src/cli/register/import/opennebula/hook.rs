//! Turns one of OpenNebula's hook templates into the keys of a registration.
//!
//! OpenNebula's hooks run after the event, and never stop anything. So a hook at an event after which nothing
//! depends on it is detached; at a gate libvirt has to wait, and a failure is only a warning. OpenNebula runs a
//! failed hook again only if somebody asks for it, so a detached hook has no retries.

use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::states::{self, Nearest};
use super::template::{Attribute, TemplateValue};
use crate::cli::register::translate;
use crate::cli::remark::Remark;
use crate::command::{Fix, words};
use crate::config::suggest::{did_you_mean, suggestion};
use crate::config::triggers::{CallPattern, Triggers};
use crate::libvirt::Class;

/// Where OpenNebula looks for a relative command.
const OPENNEBULA_HOOKS: &str = "/var/lib/one/remotes/hooks";
/// The attributes of a hook's template.
const KNOWN: [&str; 13] = [
    "NAME",
    "TYPE",
    "COMMAND",
    "ARGUMENTS",
    "ARGUMENTS_STDIN",
    "TIMEOUT",
    "CALL",
    "RESOURCE",
    "REMOTE",
    "STATE",
    "LCM_STATE",
    "ON",
    "LOCK",
];
/// What only a shell does with a word.
const SHELL_CHARACTERS: [char; 16] =
    ['|', '&', ';', '<', '>', '(', ')', '$', '`', '*', '?', '[', '#', '~', '{', '\n'];

/// A hook to be registered.
#[derive(Debug)]
pub(super) struct TranslatedHook {
    pub name: String,
    pub keys: Map<String, Value>,
    /// What was changed or left out, and what to do about it.
    pub notes: Vec<Remark>,
}

/// Why a template can't be imported.
#[derive(Debug)]
pub(super) struct ImportProblem {
    /// The attribute.
    pub key: &'static str,
    pub message: String,
    /// Whether the template is right, and no event stands for its moment.
    pub is_without_event: bool,
    /// The event that is nearest.
    pub nearest: Option<&'static str>,
}

/// When a hook runs.
struct Moment {
    triggers: Triggers,
    /// A key of `when`, and its patterns.
    when: Option<(&'static str, &'static [&'static str])>,
}

type ImportResult<T> = Result<T, ImportProblem>;

fn problem<T>(key: &'static str, message: impl Into<String>) -> ImportResult<T> {
    Err(ImportProblem { key, message: message.into(), is_without_event: false, nearest: None })
}

/// Translates a template. `events` are events and calls for one for whose moment no event stands. `total` is
/// the limit of a whole call.
///
/// # Errors
/// The first thing that keeps it from being imported.
pub(super) fn import(
    template: &[Attribute],
    events: &[String],
    hooks_dir: &Path,
    total: Duration,
) -> ImportResult<TranslatedHook> {
    let attributes = Attributes(template);
    let (name, mut notes) = attributes.hook_name()?;
    let mut keys = Map::new();
    let Moment { triggers, when } = match attributes.triggers(&mut notes) {
        Ok(moment) => {
            if !events.is_empty() {
                let words = format!(
                    "--event is not used for it: the template says when it runs ({})",
                    attributes.moment()
                );
                notes.push(words.into());
            }
            moment
        }
        Err(problem) if problem.is_without_event && !events.is_empty() => {
            let words = format!(
                "it runs at what --event says; no event stands for what the template says ({})",
                attributes.moment()
            );
            notes.push(words.into());
            Moment { triggers: given(events)?, when: None }
        }
        Err(problem) => return Err(problem),
    };
    if !triggers.events.is_empty() {
        keys.insert("events".to_owned(), triggers.events.clone().into());
    }
    if !triggers.calls.is_empty() {
        let calls: Vec<String> = triggers.calls.iter().map(ToString::to_string).collect();
        keys.insert("calls".to_owned(), calls.into());
    }
    if let Some((key, patterns)) = when {
        keys.insert("when".to_owned(), json!({ key: patterns }));
    }
    attributes.program(&mut keys, &mut notes, hooks_dir)?;
    let is_gate = triggers.classes().contains(&Class::Gate);
    let limit = attributes.timeout()?;
    if let Some(seconds) = limit {
        keys.insert("timeout".to_owned(), format!("{seconds}s").into());
    }
    let mut note = |text: String| notes.push(text.into());
    if let Some(seconds) = limit.filter(|seconds| is_gate && *seconds > total.as_secs()) {
        note(format!(
            "TIMEOUT = {seconds} is longer than a whole call of libvirt's may take: the hook is ended after {} s at the latest (total_timeout in hookmux.yaml)",
            total.as_secs()
        ));
    }
    if is_gate {
        keys.insert("on_failure".to_owned(), "warn".into());
        note(
            "libvirt waits for it; on_failure: warn, as OpenNebula's hooks stop nothing".to_owned(),
        );
        if limit.is_none() {
            note("no TIMEOUT: the limit of hookmux.yaml holds (120 s where it says none), as libvirt waits".to_owned());
        }
    } else {
        keys.insert("mode".to_owned(), "detached".into());
        keys.insert("retries".to_owned(), 0.into());
        note(
            "mode: detached and retries: 0: it runs after the event, and once, as in OpenNebula"
                .to_owned(),
        );
        if limit.is_none() {
            keys.insert("timeout".to_owned(), 0.into());
            note(
                "no TIMEOUT: OpenNebula then has no limit, here it is an hour (timeout: 0)"
                    .to_owned(),
            );
        }
    }
    if attributes.is_yes("REMOTE")? {
        note("REMOTE = yes needs nothing: a hook runs on its guest's host".to_owned());
    } else {
        note("OpenNebula runs it on its front-end, hookmux on the guest's host".to_owned());
    }
    note("OpenNebula runs it as oneadmin, hookmux as root: `run_as: oneadmin` in the file changes that".to_owned());
    for attribute in template.iter().filter(|known| !KNOWN.contains(&known.name.as_str())) {
        let hint = suggestion(&attribute.name, KNOWN);
        note(format!("{} is left out: a hook has no such attribute{hint}", attribute.name));
    }
    if template.iter().any(|attribute| attribute.name == "LOCK") {
        note("LOCK is left out: `hookmux disable` and `enable` switch a hook".to_owned());
    }
    Ok(TranslatedHook { name, keys, notes })
}

/// Reads the events and calls of `--event`.
fn given(events: &[String]) -> ImportResult<Triggers> {
    let mut triggers = Triggers::default();
    for word in events {
        if word.contains('/') {
            match CallPattern::parse(word) {
                Ok(call) => triggers.calls.push(call),
                Err(message) => return problem("--event", message),
            }
        } else {
            triggers.events.push(word.clone());
        }
    }
    Ok(triggers)
}

struct Attributes<'a>(&'a [Attribute]);

impl<'a> Attributes<'a> {
    fn get(&self, name: &'static str) -> ImportResult<Option<&'a str>> {
        let found = self.0.iter().find(|attribute| attribute.name == name);
        match found.map(|attribute| &attribute.value) {
            None => Ok(None),
            Some(TemplateValue::Single(text)) if text.trim().is_empty() => Ok(None),
            Some(TemplateValue::Single(text)) => Ok(Some(text.trim())),
            Some(TemplateValue::Vector(_)) => {
                problem(name, "it is one value, and no list in brackets")
            }
        }
    }

    /// Returns the value in capitals.
    fn word(&self, name: &'static str) -> ImportResult<Option<String>> {
        Ok(self.get(name)?.map(str::to_ascii_uppercase))
    }

    fn needed(&self, name: &'static str, what: &str) -> ImportResult<String> {
        if let Some(value) = self.get(name)? {
            return Ok(value.to_owned());
        }
        let known = self.0.iter().map(|attribute| attribute.name.as_str());
        let similar = did_you_mean(name, known.filter(|known| !KNOWN.contains(known)));
        let hint = similar.map(|similar| format!("; is it meant by {similar}?"));
        problem(name, format!("it is missing: {what}{}", hint.unwrap_or_default()))
    }

    fn is_yes(&self, name: &'static str) -> ImportResult<bool> {
        match self.word(name)?.as_deref() {
            Some("YES" | "TRUE" | "1" | "Y") => Ok(true),
            None | Some("NO" | "FALSE" | "0" | "N") => Ok(false),
            Some(other) => problem(name, format!("`{other}` is neither yes nor no")),
        }
    }

    /// Returns the registration's name.
    fn hook_name(&self) -> ImportResult<(String, Vec<Remark>)> {
        let given = self.needed("NAME", "the name of the hook")?;
        let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let fine: String = given.chars().map(|c| if is_fine(c) { c } else { '-' }).collect();
        let fine = fine.trim_start_matches(['-', '.']).to_owned();
        translate::check_name(&fine).or_else(|message| problem("NAME", message))?;
        let note = (fine != given)
            .then(|| format!("NAME = {given} is the name of a file here, so it is {fine}").into());
        Ok((fine, note.into_iter().collect()))
    }

    /// Says when OpenNebula runs it, as far as the template says.
    fn moment(&self) -> String {
        let said = ["TYPE", "CALL", "RESOURCE", "ON", "STATE", "LCM_STATE"].into_iter();
        let pairs = said.filter_map(|name| Some(format!("{name} = {}", self.get(name).ok()??)));
        let pairs: Vec<String> = pairs.collect();
        if pairs.is_empty() { "none".to_owned() } else { pairs.join(", ") }
    }

    /// Returns the event of the hook.
    fn triggers(&self, notes: &mut Vec<Remark>) -> ImportResult<Moment> {
        match self.needed("TYPE", "`state` or `api`")?.to_ascii_uppercase().as_str() {
            "STATE" => {}
            "API" => {
                let call = self.needed("CALL", "the call of the API")?;
                let nearest = states::of_api_call(&call.to_ascii_lowercase());
                return refused("CALL", &format!("{call} is a call of OpenNebula's API"), &nearest);
            }
            other => return problem("TYPE", format!("`{other}` is neither state nor api")),
        }
        match self.needed("RESOURCE", "VM, HOST or IMAGE")?.to_ascii_uppercase().as_str() {
            "VM" => self.vm_triggers(notes),
            "HOST" => {
                let state = self.needed("STATE", "the host's state")?.to_ascii_uppercase();
                let what = format!("libvirt doesn't know a host's state {state}");
                refused("STATE", &what, &states::of_host(&state))
            }
            "IMAGE" => refused("RESOURCE", "images are OpenNebula's own", &states::IMAGE),
            "NET" | "VNET" | "VIRTUALNETWORK" | "VIRTUAL_NETWORK" => refused(
                "RESOURCE",
                "OpenNebula's virtual networks and their states are its own",
                &states::of_api_call("one.vn.allocate"),
            ),
            other => problem("RESOURCE", format!("`{other}` is none of VM, HOST and IMAGE")),
        }
    }

    fn vm_triggers(&self, notes: &mut Vec<Remark>) -> ImportResult<Moment> {
        let on = self.word("ON")?;
        if let Some(known) = states::ON.iter().find(|known| on.as_deref() == Some(known.word)) {
            let states::OnWord { word, event, when, words } = known;
            notes.push(format!("ON = {word} is the event {event}: {words}").into());
            let triggers = Triggers { events: vec![(*event).to_owned()], ..Triggers::default() };
            return Ok(Moment { triggers, when: *when });
        }
        match on.as_deref() {
            Some("UNKNOWN") => refused("ON", "no event stands for UNKNOWN", &states::UNKNOWN),
            Some("CUSTOM") | None => {
                let (state, lcm_state) = (self.word("STATE")?, self.word("LCM_STATE")?);
                let Some(state) = state else {
                    let key = if on.is_none() { "ON" } else { "STATE" };
                    let known = states::words_of_on().join(", ");
                    return problem(
                        key,
                        format!(
                            "it is missing: ON is one of {known}; CUSTOM needs STATE and LCM_STATE"
                        ),
                    );
                };
                let lcm_state = lcm_state.unwrap_or_else(|| "LCM_INIT".to_owned());
                let what = format!("no event stands for STATE = {state}, LCM_STATE = {lcm_state}");
                refused("ON", &what, &states::of_vm(&state, &lcm_state))
            }
            Some(other) => {
                let known = states::words_of_on();
                let hint = suggestion(other, known);
                problem(
                    "ON",
                    format!("`{other}` is none of {}, UNKNOWN, CUSTOM{hint}", known.join(", ")),
                )
            }
        }
    }

    /// Sets the program and its arguments.
    fn program(
        &self,
        keys: &mut Map<String, Value>,
        notes: &mut Vec<Remark>,
        hooks_dir: &Path,
    ) -> ImportResult<()> {
        let line = self.needed("COMMAND", "the program")?;
        let by_stdin = self.is_yes("ARGUMENTS_STDIN")?;
        let arguments = self.arguments(notes, by_stdin)?;
        let Some(mut command) = shlex::split(&line).filter(|words| !words.is_empty()) else {
            return problem("COMMAND", format!("`{line}` has a quote that is never closed"));
        };
        let needs_shell = line.contains(SHELL_CHARACTERS);
        if command.len() > 1 && !needs_shell {
            notes.push(Remark::from(
                "COMMAND is a line for a shell in OpenNebula, and a list of words here".to_owned(),
            ));
        }
        if let Some(script) = command.first().filter(|first| !first.starts_with('/')) {
            let here = hooks_dir.join(script);
            let there = Path::new(OPENNEBULA_HOOKS).join(script);
            let words = format!(
                "COMMAND = {script} is {} here, and {} in OpenNebula",
                here.display(),
                there.display()
            );
            let copy = Fix::run(&words!["install", "-D", "-m", "755", &there, &here]);
            // a file that isn't there is told for each registration
            notes.push(match !here.exists() && there.exists() {
                true => Remark::with_fix(format!("{words}: `{copy}` copies it"), copy),
                false => words.into(),
            });
        }
        if needs_shell {
            // the script's place is put in, as the shell doesn't know the root
            let line = match command.first() {
                Some(first) if !first.starts_with('/') && line.starts_with(first.as_str()) => {
                    let place = crate::command::quoted(hooks_dir.join(first));
                    format!("{place}{}", &line[first.len()..])
                }
                _ => line.clone(),
            };
            command =
                ["/bin/sh", "-c", &format!("{line} \"$@\""), "hook"].map(str::to_owned).to_vec();
            notes.push(Remark::from(
                "COMMAND needs a shell: /bin/sh runs it, and gets the arguments".to_owned(),
            ));
        }
        let command = match command.as_slice() {
            [one] => json!(one),
            all => json!(all),
        };
        keys.insert("command".to_owned(), command);
        if !arguments.is_empty() {
            keys.insert("args".to_owned(), arguments.into());
            if by_stdin {
                keys.insert("args_stdin".to_owned(), true.into());
            }
        }
        Ok(())
    }

    /// Returns the arguments. On standard input OpenNebula writes them on one line, so that is one argument.
    fn arguments(&self, notes: &mut Vec<Remark>, by_stdin: bool) -> ImportResult<Vec<String>> {
        let Some(text) = self.get("ARGUMENTS")? else { return Ok(Vec::new()) };
        // a backslash that was meant for a shell's here-document
        let text = text.replace("\\$", "$");
        let is_quoted = !by_stdin && text.contains(['"', '\'']);
        let words = match is_quoted {
            true => shlex::split(&text),
            false => Some(text.split_whitespace().map(str::to_owned).collect()),
        };
        let Some(words) = words else {
            return problem("ARGUMENTS", format!("`{text}` has a quote that is never closed"));
        };
        let mut filled = Vec::new();
        for word in &words {
            filled.push(argument(word, notes)?);
        }
        if filled.iter().any(|word| word.contains("$XML_BASE64")) {
            notes.push(Remark::from(
                "$TEMPLATE is $XML_BASE64: libvirt's document of the guest, and not OpenNebula's, so the script finds other elements (/domain/name, /domain/uuid)".to_owned(),
));
        }
        Ok(if by_stdin { vec![filled.join(" ")] } else { filled })
    }
}

/// Returns an argument with hookmux's words in place of OpenNebula's.
fn argument(word: &str, notes: &mut Vec<Remark>) -> ImportResult<String> {
    let mut filled = String::new();
    let mut rest = word;
    while let Some(at) = rest.find('$') {
        filled.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (name, behind) = after.split_at(end.unwrap_or(after.len()));
        match name {
            "TEMPLATE" => filled.push_str("$XML_BASE64"),
            "API" => {
                return problem(
                    "ARGUMENTS",
                    "$API is a call of OpenNebula's API, of which libvirt knows nothing; $TEMPLATE, $NAME and $UUID can be had",
                );
            }
            name => {
                notes.push(Remark::from(format!(
                    "${name} is none of OpenNebula's words, and stays as it is"
                )));
                filled.push_str("$$");
                filled.push_str(name);
            }
        }
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

impl Attributes<'_> {
    /// Returns the limit in seconds; `None` where there is none.
    fn timeout(&self) -> ImportResult<Option<u64>> {
        let Some(text) = self.get("TIMEOUT")? else { return Ok(None) };
        match text.parse::<u64>() {
            Ok(0) => Ok(None),
            Ok(seconds) => Ok(Some(seconds)),
            Err(_) => problem("TIMEOUT", format!("`{text}` is not a number of seconds")),
        }
    }
}

/// Refuses a template for whose moment no event stands.
fn refused<T>(key: &'static str, what: &str, nearest: &Nearest) -> ImportResult<T> {
    let message = match nearest.event {
        Some(event) => format!("{what}; the nearest is {event}: {}", nearest.words),
        None => format!("{what}: {}", nearest.words),
    };
    Err(ImportProblem { key, message, is_without_event: true, nearest: nearest.event })
}
