//! Makes hookmux's own keys of a registration as cPanel's describe pattern writes it. One in hookmux's
//! own keys stays as it is.
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
const CPANEL: [&str; 7] =
    ["category", "event", "stage", "hook", "exectype", "escalateprivs", "blocking"];
/// The name of the registration's file; only a description has it as a key.
const NAME: &str = "name";
/// Who has no rights.
const NOBODY: &str = "nobody";
const MAX_NAME: usize = 200;

/// Who is to be registered.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    /// Its absolute path.
    Script(String),
    Module(Module),
}

impl Subject {
    /// What a registration's name begins with where nothing else names it.
    pub(crate) fn stem(&self) -> String {
        let word = match self {
            Subject::Script(path) => {
                Path::new(path).file_stem().unwrap_or_default().to_string_lossy().into_owned()
            }
            Subject::Module(module) => module.name.replace("::", "-").replace('.', "-"),
        };
        let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let word: String = word.chars().map(|c| if is_fine(c) { c } else { '-' }).collect();
        let word = word.trim_start_matches(['-', '.']);
        if word.is_empty() { "hook".to_owned() } else { word.to_owned() }
    }
}

/// One registration, in hookmux's own keys.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// Which one it was, from 1.
    pub number: usize,
    pub name: Option<String>,
    pub keys: Map<String, Value>,
}

/// Finds the interpreter of a language.
pub(crate) type FindInterpreter<'a> = &'a dyn Fn(Language) -> Result<PathBuf, String>;

type Faults = Vec<(String, String)>;
type Found<T> = Result<T, (String, String)>;

fn fault<T>(key: &str, message: impl Into<String>) -> Found<T> {
    Err((key.to_owned(), message.into()))
}

/// Makes hookmux's own keys of an entry.
///
/// # Errors
/// All that is wrong with it: keys, and what of them.
pub(crate) fn translate(
    number: usize,
    mut keys: Map<String, Value>,
    subject: &Subject,
    find: FindInterpreter<'_>,
) -> Result<Entry, Faults> {
    // in Perl and PHP what isn't set is null
    keys.retain(|_, value| !value.is_null());
    let mut faults = unknown(&keys);
    let is_cpanels = CPANEL.iter().any(|key| keys.contains_key(*key));
    let mut keep = |found: Found<()>| faults.extend(found.err());
    let mut name = None;
    keep(take_name(&mut keys).map(|found| name = found));
    keep(events(&mut keys));
    let kind = is_module(&keys, subject);
    let is_kind_known = kind.is_ok();
    keep(kind.map(drop));
    if is_kind_known {
        keep(command(&mut keys, subject, find));
    }
    if is_cpanels && is_kind_known {
        for key in ["check", "rollback"] {
            keep(program(&mut keys, key, subject, find));
        }
    }
    if is_cpanels {
        keep(weight(&mut keys));
    }
    keep(rights(&mut keys));
    keep(blocking(&mut keys));
    keys.remove("exectype");
    if faults.is_empty() { Ok(Entry { number, name, keys }) } else { Err(faults) }
}

fn unknown(keys: &Map<String, Value>) -> Faults {
    let own = registration::keys();
    let known = || own.iter().copied().chain(CPANEL).chain([NAME]);
    keys.keys()
        .filter(|key| known().all(|known| known != *key))
        .map(|key| {
            let hint = suggest_or(key, known(), "see `hookmux schema`");
            (key.clone(), format!("there is no such key; {hint}"))
        })
        .collect()
}

fn take_name(keys: &mut Map<String, Value>) -> Found<Option<String>> {
    match keys.remove(NAME) {
        None => Ok(None),
        Some(Value::String(name)) => match check_name(&name) {
            Ok(()) => Ok(Some(name)),
            Err(message) => fault(NAME, message),
        },
        Some(_) => fault(NAME, "a name is a string"),
    }
}

/// Whether a word can name a registration's file.
///
/// # Errors
/// Why not.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    if !begins_well || name.len() > MAX_NAME || !name.chars().all(is_fine) {
        return Err(format!("`{name}` is no name: letters, digits, -, _ and . only"));
    }
    let file = format!("{name}.{}", registration::EXTENSION);
    if let Some(why) = directory::left_behind(file.as_ref()) {
        return Err(format!("`{name}` is no name: its file would be taken for {why}"));
    }
    Ok(())
}

/// Category, event and stage become `events`.
fn events(keys: &mut Map<String, Value>) -> Found<()> {
    let (category, event, stage) =
        (keys.remove("category"), keys.remove("event"), keys.remove("stage"));
    if category.is_none() && event.is_none() && stage.is_none() {
        return Ok(());
    }
    if keys.contains_key("events") || keys.contains_key("calls") {
        return fault("event", "`event` and `events` or `calls` say the same: use one of them");
    }
    let category = category.map(|value| text("category", value)).transpose()?;
    let stage = stage.map(|value| text("stage", value)).transpose()?;
    let Some(event) = event else { return fault("event", "`event` is missing") };
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
            Err((key, message)) => return fault(key, message),
        }
    }
    for (key, list) in [("events", events), ("calls", calls)] {
        if !list.is_empty() {
            keys.insert(key.to_owned(), Value::Array(list));
        }
    }
    Ok(())
}

/// `hook`, or nothing at all, becomes `command`.
fn command(
    keys: &mut Map<String, Value>,
    subject: &Subject,
    find: FindInterpreter<'_>,
) -> Found<()> {
    if keys.contains_key("command") {
        if keys.contains_key("hook") {
            return fault("hook", "`hook` and `command` say the same: use one of them");
        }
        return Ok(());
    }
    if !keys.contains_key("hook") {
        let Subject::Script(path) = subject else {
            return fault("hook", "`hook` is missing: the module's function that is to be called");
        };
        keys.insert("command".to_owned(), json!([path]));
        return Ok(());
    }
    let is_module = is_module(keys, subject)?;
    program(keys, "hook", subject, find)?;
    if let Some(words) = keys.remove("hook") {
        keys.insert("command".to_owned(), words);
    }
    if is_module {
        if keys.get("style").is_some_and(|style| style == CallStyle::Libvirt.word()) {
            return fault(
                "style",
                "a module's function gets the event, which libvirt's style has not",
            );
        }
        keys.entry("stdin").or_insert(StdinKind::Json.word().into());
    }
    Ok(())
}

fn is_module(keys: &Map<String, Value>, subject: &Subject) -> Found<bool> {
    match keys.get("exectype") {
        None => Ok(matches!(subject, Subject::Module(_))),
        Some(Value::String(word)) if word == "script" => Ok(false),
        Some(Value::String(word)) if word == "module" => Ok(true),
        Some(other) => {
            fault("exectype", format!("`exectype` is script or module, not {}", shown(other)))
        }
    }
}

/// A program or function as cPanel writes it becomes the words of a command.
fn program(
    keys: &mut Map<String, Value>,
    key: &str,
    subject: &Subject,
    find: FindInterpreter<'_>,
) -> Found<()> {
    let is_module = is_module(keys, subject)?;
    let mut words = match keys.get(key) {
        None => return Ok(()),
        Some(Value::String(line)) => match shlex::split(line) {
            Some(words) => words,
            None => return fault(key, format!("`{line}` has a quote that is never closed")),
        },
        Some(Value::Array(list)) => {
            list.iter().map(|value| text(key, value.clone())).collect::<Result<Vec<String>, _>>()?
        }
        Some(other) => return fault(key, format!("{} is no command", shown(other))),
    };
    let Some(first) = words.first_mut() else { return fault(key, "it is empty") };
    let is_function = is_module && !first.contains('/');
    if is_function {
        let module = match subject {
            Subject::Module(module) => Ok(module.clone()),
            Subject::Script(_) => {
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
            Ok(_) => return fault(key, "a module's function takes no words: it gets the event"),
            Err(message) => return fault(key, message),
        }
    } else if !first.starts_with('/') {
        let Subject::Script(path) = subject else {
            return fault(key, format!("`{first}` is no absolute path"));
        };
        let directory = Path::new(path).parent().unwrap_or(Path::new("/"));
        let below = directory.join(first.trim_start_matches("./"));
        *first = below.to_string_lossy().into_owned();
    }
    keys.insert(key.to_owned(), words.into());
    Ok(())
}

/// Perl and PHP print numbers as strings.
fn weight(keys: &mut Map<String, Value>) -> Found<()> {
    if let Some(Value::String(word)) = keys.get("weight") {
        let Ok(weight) = word.trim().parse::<i64>() else {
            return fault("weight", format!("`{word}` is no whole number"));
        };
        keys.insert("weight".to_owned(), weight.into());
    }
    Ok(())
}

fn rights(keys: &mut Map<String, Value>) -> Found<()> {
    let Some(value) = keys.remove("escalateprivs") else { return Ok(()) };
    let escalates = truth("escalateprivs", &value)?;
    if keys.contains_key("run_as") {
        return fault(
            "escalateprivs",
            "`escalateprivs` and `run_as` say the same: use one of them",
        );
    }
    if !escalates {
        keys.insert("run_as".to_owned(), json!({ "user": NOBODY }));
    }
    Ok(())
}

fn blocking(keys: &mut Map<String, Value>) -> Found<()> {
    let Some(value) = keys.remove("blocking") else { return Ok(()) };
    let blocks = truth("blocking", &value)?;
    if keys.contains_key("on_failure") {
        return fault("blocking", "`blocking` and `on_failure` say the same: use one of them");
    }
    let policy = if blocks { FailurePolicy::Stop } else { FailurePolicy::Warn };
    keys.insert("on_failure".to_owned(), policy.word().into());
    Ok(())
}

/// Truth as Perl, PHP, Python and people write it.
fn truth(key: &str, value: &Value) -> Found<bool> {
    match value {
        Value::Bool(truth) => Ok(*truth),
        Value::Number(number) if number.as_i64() == Some(0) => Ok(false),
        Value::Number(number) if number.as_i64() == Some(1) => Ok(true),
        Value::String(word) if ["0", "", "no", "false"].contains(&word.as_str()) => Ok(false),
        Value::String(word) if ["1", "yes", "true"].contains(&word.as_str()) => Ok(true),
        other => fault(key, format!("{} is neither 0 nor 1", shown(other))),
    }
}

fn text(key: &str, value: Value) -> Found<String> {
    match value {
        Value::String(word) => Ok(word),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        other => fault(key, format!("{} is no string", shown(&other))),
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}
