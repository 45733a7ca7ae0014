//! Translates a registration written with the keys of cPanel's describe pattern into hookmux's own keys.
//! One that uses hookmux's own keys stays as it is.
//!
//! cPanel's keys: `category`, `event` and `stage` name the event; `hook` is what runs, split as a
//! shell would, relative to the script's directory, or a function of the module; so are `check` and
//! `rollback`. `exectype` is `script` or `module`. `blocking: 1` is `on_failure: stop`, and
//! `blocking: 0` is `on_failure: warn`. libvirt's own process is root's, so that there is nothing to
//! escalate to: `escalateprivs: 1` changes nothing, and a hook that says `escalateprivs: 0` gets
//! what it asks for, `run_as: nobody`.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::cpanel;
use super::module::{Language, Module};
use crate::config::choice::{CallStyle, FailurePolicy, StdinKind};
use crate::config::registration;
use crate::config::suggest::suggest_or;
use crate::search::directory;

/// Keys that only cPanel's entries have.
const CPANEL_KEYS: [&str; 7] =
    ["category", "event", "stage", "hook", "exectype", "escalateprivs", "blocking"];
/// The key with the name of the registration's file. Only descriptions have it.
const NAME_KEY: &str = "name";
/// The user without rights, for `escalateprivs: 0`.
const NOBODY_USER: &str = "nobody";
const MAX_NAME_BYTES: usize = 200;

/// The script or the module that is registered.
#[derive(Clone, Debug)]
pub(crate) enum ScriptOrModule {
    /// The script's absolute path.
    Script(String),
    Module(Module),
}

impl ScriptOrModule {
    /// Returns the beginning of a registration's name, for one that isn't given a name.
    pub(crate) fn stem(&self) -> String {
        let word = match self {
            ScriptOrModule::Script(path) => {
                Path::new(path).file_stem().unwrap_or_default().to_string_lossy().into_owned()
            }
            ScriptOrModule::Module(module) => module.name.replace("::", "-").replace('.', "-"),
        };
        let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let word: String = word.chars().map(|c| if is_fine(c) { c } else { '-' }).collect();
        let word = word.trim_start_matches(['-', '.']);
        if word.is_empty() { "hook".to_owned() } else { word.to_owned() }
    }
}

/// One registration of a description, with hookmux's own keys.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DescriptionEntry {
    /// Its number in the description, from 1.
    pub number: usize,
    pub name: Option<String>,
    pub keys: Map<String, Value>,
}

/// Finds the interpreter of a language.
pub(crate) type FindInterpreter<'a> = &'a dyn Fn(Language) -> Result<PathBuf, String>;

type KeyErrors = Vec<(String, String)>;
type KeyResult<T> = Result<T, (String, String)>;

fn key_error<T>(key: &str, message: impl Into<String>) -> KeyResult<T> {
    Err((key.to_owned(), message.into()))
}

/// Translates an entry into hookmux's own keys.
///
/// # Errors
/// Every mistake: the key, and what is wrong with it.
pub(crate) fn translate(
    number: usize,
    mut keys: Map<String, Value>,
    subject: &ScriptOrModule,
    find: FindInterpreter<'_>,
) -> Result<DescriptionEntry, KeyErrors> {
    // Perl and PHP write null for what isn't set
    keys.retain(|_, value| !value.is_null());
    let mut errors = unknown_keys(&keys);
    let is_cpanels = CPANEL_KEYS.iter().any(|key| keys.contains_key(*key));
    let mut keep = |result: KeyResult<()>| errors.extend(result.err());
    let mut name = None;
    keep(take_name(&mut keys).map(|found| name = found));
    keep(translate_events(&mut keys));
    let kind = is_module(&keys, subject);
    let is_kind_known = kind.is_ok();
    keep(kind.map(drop));
    if is_kind_known {
        keep(translate_command(&mut keys, subject, find));
    }
    if is_cpanels && is_kind_known {
        for key in ["check", "rollback", "undo"] {
            keep(translate_program(&mut keys, key, subject, find));
        }
    }
    if is_cpanels {
        keep(translate_weight(&mut keys));
    }
    keep(translate_escalateprivs(&mut keys));
    keep(translate_blocking(&mut keys));
    keys.remove("exectype");
    if errors.is_empty() { Ok(DescriptionEntry { number, name, keys }) } else { Err(errors) }
}

fn unknown_keys(keys: &Map<String, Value>) -> KeyErrors {
    let own = registration::keys();
    let known = || own.iter().copied().chain(CPANEL_KEYS).chain([NAME_KEY]);
    keys.keys()
        .filter(|key| known().all(|known| known != *key))
        .map(|key| {
            let hint = suggest_or(key, known(), "see `hookmux schema`");
            (key.clone(), format!("there is no such key; {hint}"))
        })
        .collect()
}

fn take_name(keys: &mut Map<String, Value>) -> KeyResult<Option<String>> {
    match keys.remove(NAME_KEY) {
        None => Ok(None),
        Some(Value::String(name)) => match check_name(&name) {
            Ok(()) => Ok(Some(name)),
            Err(message) => key_error(NAME_KEY, message),
        },
        Some(_) => key_error(NAME_KEY, "a name is a string"),
    }
}

/// Checks whether a word can be the name of a registration's file.
///
/// # Errors
/// The reason why it can't.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    if !begins_well || name.len() > MAX_NAME_BYTES || !name.chars().all(is_fine) {
        return Err(format!("`{name}` is not a valid name: letters, digits, -, _ and . only"));
    }
    let file = format!("{name}.{}", registration::EXTENSION);
    if let Some(why) = directory::leftover_reason(file.as_ref()) {
        return Err(format!("`{name}` is not a valid name: its file would be taken for {why}"));
    }
    Ok(())
}

/// Replaces category, event and stage by `events` or `calls`.
fn translate_events(keys: &mut Map<String, Value>) -> KeyResult<()> {
    let (category, event, stage) =
        (keys.remove("category"), keys.remove("event"), keys.remove("stage"));
    if category.is_none() && event.is_none() && stage.is_none() {
        return Ok(());
    }
    if keys.contains_key("events") || keys.contains_key("calls") {
        return key_error("event", "`event` and `events` or `calls` say the same: use one of them");
    }
    let category = category.map(|value| text("category", value)).transpose()?;
    let stage = stage.map(|value| text("stage", value)).transpose()?;
    let Some(event) = event else { return key_error("event", "`event` is missing") };
    let words = match event {
        Value::Array(list) => {
            list.into_iter().map(|value| text("event", value)).collect::<Result<Vec<_>, _>>()?
        }
        value => vec![text("event", value)?],
    };
    let (mut events, mut calls): (Vec<Value>, Vec<Value>) = Default::default();
    for word in words {
        if word.contains('/') && category.is_none() && stage.is_none() {
            calls.push(word.into());
            continue;
        }
        match cpanel::event_name(category.as_deref(), &word, stage.as_deref()) {
            Ok(event) => events.push(event.into()),
            Err((key, message)) => return key_error(key, message),
        }
    }
    for (key, list) in [("events", events), ("calls", calls)] {
        if !list.is_empty() {
            keys.insert(key.to_owned(), Value::Array(list));
        }
    }
    Ok(())
}

/// Replaces `hook` by `command`. A script without `hook` is the command itself.
fn translate_command(
    keys: &mut Map<String, Value>,
    subject: &ScriptOrModule,
    find: FindInterpreter<'_>,
) -> KeyResult<()> {
    if keys.contains_key("command") {
        if keys.contains_key("hook") {
            return key_error("hook", "`hook` and `command` say the same: use one of them");
        }
        return Ok(());
    }
    if !keys.contains_key("hook") {
        let ScriptOrModule::Script(path) = subject else {
            return key_error(
                "hook",
                "`hook` is missing: the module's function that is to be called",
            );
        };
        keys.insert("command".to_owned(), json!([path]));
        return Ok(());
    }
    let is_module = is_module(keys, subject)?;
    translate_program(keys, "hook", subject, find)?;
    if let Some(words) = keys.remove("hook") {
        keys.insert("command".to_owned(), words);
    }
    if is_module {
        if keys.get("style").is_some_and(|style| style == CallStyle::Libvirt.word()) {
            return key_error(
                "style",
                "a module's function gets the event, which libvirt's style has not",
            );
        }
        keys.entry("stdin").or_insert(StdinKind::Json.word().into());
    }
    Ok(())
}

fn is_module(keys: &Map<String, Value>, subject: &ScriptOrModule) -> KeyResult<bool> {
    match keys.get("exectype") {
        None => Ok(matches!(subject, ScriptOrModule::Module(_))),
        Some(Value::String(word)) if word == "script" => Ok(false),
        Some(Value::String(word)) if word == "module" => Ok(true),
        Some(other) => {
            key_error("exectype", format!("`exectype` is script or module, not {}", quoted(other)))
        }
    }
}

/// Replaces a program or a function, as cPanel writes it, by the words of a command.
fn translate_program(
    keys: &mut Map<String, Value>,
    key: &str,
    subject: &ScriptOrModule,
    find: FindInterpreter<'_>,
) -> KeyResult<()> {
    let is_module = is_module(keys, subject)?;
    let mut words = match keys.get(key) {
        None => return Ok(()),
        Some(Value::String(line)) => match shlex::split(line) {
            Some(words) => words,
            None => return key_error(key, format!("`{line}` has a quote that is never closed")),
        },
        Some(Value::Array(list)) => {
            list.iter().map(|value| text(key, value.clone())).collect::<Result<Vec<String>, _>>()?
        }
        Some(other) => return key_error(key, format!("{} is not a command", quoted(other))),
    };
    let Some(first) = words.first_mut() else { return key_error(key, "it is empty") };
    let is_function = is_module && !first.contains('/');
    if is_function {
        let module = match subject {
            ScriptOrModule::Module(module) => Ok(module.clone()),
            ScriptOrModule::Script(_) => {
                Module::parse(first.rsplit_once("::").map_or(first.as_str(), |(module, _)| module))
            }
        };
        let called = module.and_then(|module| {
            let (module, function) = module.function(first)?;
            let interpreter = find(module.language)?;
            Ok(module.command(&interpreter, &function))
        });
        match called {
            Ok(mut command) if words.len() == 1 => words = std::mem::take(&mut command),
            Ok(_) => {
                return key_error(key, "a module's function takes no words: it gets the event");
            }
            Err(message) => return key_error(key, message),
        }
    } else if !first.starts_with('/') {
        let ScriptOrModule::Script(path) = subject else {
            return key_error(key, format!("`{first}` is not an absolute path"));
        };
        let directory = Path::new(path).parent().unwrap_or(Path::new("/"));
        let below = directory.join(first.trim_start_matches("./"));
        *first = below.to_string_lossy().into_owned();
    }
    keys.insert(key.to_owned(), words.into());
    Ok(())
}

/// Makes a number of the weight: Perl and PHP print numbers as strings.
fn translate_weight(keys: &mut Map<String, Value>) -> KeyResult<()> {
    if let Some(Value::String(word)) = keys.get("weight") {
        let Ok(weight) = word.trim().parse::<i64>() else {
            return key_error("weight", format!("`{word}` is not a whole number"));
        };
        keys.insert("weight".to_owned(), weight.into());
    }
    Ok(())
}

fn translate_escalateprivs(keys: &mut Map<String, Value>) -> KeyResult<()> {
    let Some(value) = keys.remove("escalateprivs") else { return Ok(()) };
    let escalates = parse_bool("escalateprivs", &value)?;
    if keys.contains_key("run_as") {
        return key_error(
            "escalateprivs",
            "`escalateprivs` and `run_as` say the same: use one of them",
        );
    }
    if !escalates {
        keys.insert("run_as".to_owned(), json!({ "user": NOBODY_USER }));
    }
    Ok(())
}

fn translate_blocking(keys: &mut Map<String, Value>) -> KeyResult<()> {
    let Some(value) = keys.remove("blocking") else { return Ok(()) };
    let blocks = parse_bool("blocking", &value)?;
    if keys.contains_key("on_failure") {
        return key_error("blocking", "`blocking` and `on_failure` say the same: use one of them");
    }
    let policy = if blocks { FailurePolicy::Stop } else { FailurePolicy::Warn };
    keys.insert("on_failure".to_owned(), policy.word().into());
    Ok(())
}

/// Reads a truth value as Perl, PHP, Python and people write it.
fn parse_bool(key: &str, value: &Value) -> KeyResult<bool> {
    match value {
        Value::Bool(truth) => Ok(*truth),
        Value::Number(number) if number.as_i64() == Some(0) => Ok(false),
        Value::Number(number) if number.as_i64() == Some(1) => Ok(true),
        Value::String(word) if ["0", "", "no", "false"].contains(&word.as_str()) => Ok(false),
        Value::String(word) if ["1", "yes", "true"].contains(&word.as_str()) => Ok(true),
        other => key_error(key, format!("{} is neither 0 nor 1", quoted(other))),
    }
}

fn text(key: &str, value: Value) -> KeyResult<String> {
    match value {
        Value::String(word) => Ok(word),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        other => key_error(key, format!("{} is not a string", quoted(&other))),
    }
}

fn quoted(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}
