//! Turns the options of `add` into the keys of a description.

use serde_json::{Map, Value, json};

use crate::cli::args::HookOptions;
use crate::cli::register::translate::ScriptOrModule;
use crate::config::keys;
use crate::config::rights::RunAs;
use crate::config::suggest::suggest;

/// Returns the options as keys of a description.
pub(super) fn keys_of(
    options: &HookOptions,
    subject: &ScriptOrModule,
) -> Result<Map<String, Value>, (String, String)> {
    let mut keys = Map::new();
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            keys.insert(key.to_owned(), value);
        }
    };
    let word = |option: &Option<String>| option.clone().map(Value::from);
    set("name", options.name.as_deref().map(bare_name).map(Value::from));
    set("event", Some(options.event.clone().into()));
    set("category", word(&options.category));
    set("stage", word(&options.stage));
    set("weight", options.weight.map(Value::from));
    set("check", word(&options.check));
    set("rollback", word(&options.rollback));
    set("undo", word(&options.undo));
    set("shared", options.shared.then_some(Value::Bool(true)));
    set("escalateprivs", options.escalateprivs.map(Value::from));
    set("blocking", options.blocking.map(Value::from));
    set("timeout", word(&options.timeout));
    set("on_failure", word(&options.on_failure));
    set("result", word(&options.result));
    set("mode", word(&options.mode));
    set("style", word(&options.style));
    set("args", (!options.args.is_empty()).then(|| options.args.clone().into()));
    let hook = match (subject, &options.action) {
        (ScriptOrModule::Script(path), None) => json!([path]),
        (ScriptOrModule::Script(path), Some(line)) => {
            let Some(words) = shlex::split(line) else {
                let message = format!("`{line}` has a quote that is never closed");
                return Err(("hook".to_owned(), message));
            };
            std::iter::once(path.clone()).chain(words).collect::<Vec<_>>().into()
        }
        (ScriptOrModule::Module(_), Some(function)) => function.clone().into(),
        (ScriptOrModule::Module(_), None) => {
            let message = "a module needs --action: the function that is to be called".to_owned();
            return Err(("hook".to_owned(), message));
        }
    };
    set("hook", Some(hook));
    if let Some(who) = &options.run_as {
        let run_as = RunAs::parse(who).map_err(|message| ("run_as".to_owned(), message))?;
        set("run_as", Some(json!(run_as)));
    }
    let conditions = conditions(&options.when).map_err(|message| ("when".to_owned(), message))?;
    set("when", (!conditions.is_empty()).then(|| conditions.into()));
    Ok(keys)
}

/// Returns a registration's name, also if the name of its file is given.
pub(super) fn bare_name(name: &str) -> String {
    name.strip_suffix(".yaml").unwrap_or(name).to_owned()
}

/// Turns `KEY=VALUE` into `when`; several values of one key are alternatives.
pub(in crate::cli::register) fn conditions(words: &[String]) -> Result<Map<String, Value>, String> {
    let mut when = Map::new();
    for word in words {
        let Some((key, value)) = word.split_once('=') else {
            return Err(format!("`{word}` is not a condition: write KEY=VALUE"));
        };
        let (group, key) = match key.strip_prefix("property.") {
            Some(property) if !property.is_empty() => {
                let properties = when.entry("property").or_insert_with(|| json!({}));
                (properties.as_object_mut(), property)
            }
            _ if plain_conditions().any(|known| known == key) => (Some(&mut when), key),
            _ => {
                let known = plain_conditions().chain(["property.NAME"]);
                let hint = suggest(key, known);
                return Err(format!("`{key}` in `{word}` is not a condition; {hint}"));
            }
        };
        let values = group.map(|group| group.entry(key).or_insert_with(|| json!([])));
        if let Some(Value::Array(values)) = values {
            values.push(value.into());
        }
    }
    Ok(when)
}

/// Returns the conditions that are compared with a single value of a call.
fn plain_conditions() -> impl Iterator<Item = &'static str> {
    keys::below(keys::REGISTRATION, "when").filter(|key| *key != "property")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[&str]) -> Result<Value, String> {
        let line: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
        conditions(&line).map(Value::from)
    }

    #[test]
    fn conditions_are_gathered_by_key() {
        let seen = words(&["name=web-*", "name=!web-test", "property.macspoof=true", "title=a=b"]);
        let expected = json!({
            "name": ["web-*", "!web-test"],
            "property": { "macspoof": ["true"] },
            "title": ["a=b"],
        });
        assert_eq!(seen.unwrap(), expected);
        for (word, told) in [
            ("nmae=x", "did you mean `name`?"),
            ("name", "write KEY=VALUE"),
            ("property.=x", "did you mean `property.NAME`?"),
            ("zzz=x", "known are driver, name"),
        ] {
            let error = words(&[word]).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn an_action_is_split_as_a_shell_splits_it() {
        let script = ScriptOrModule::Script("/x".to_owned());
        for (action, expected) in [
            (r#"--add"#, &["--add"][..]),
            (r#"--name "a b" 'c d' e\ f"#, &["--name", "a b", "c d", "e f"]),
            (r#""--opt=\"x y\"""#, &["--opt=\"x y\""]),
            (r#"it\'s "\$HOME" '$NAME'"#, &["it's", "$HOME", "$NAME"]),
            (r#""" ''"#, &["", ""]),
        ] {
            let options = HookOptions { action: Some(action.to_owned()), ..Default::default() };
            let keys = keys_of(&options, &script).unwrap();
            let all: Vec<&str> = std::iter::once("/x").chain(expected.iter().copied()).collect();
            assert_eq!(keys["hook"], json!(all), "{action}");
        }
        let options = HookOptions { action: Some("'x".to_owned()), ..Default::default() };
        assert!(keys_of(&options, &script).unwrap_err().1.contains("never closed"));
    }
}
