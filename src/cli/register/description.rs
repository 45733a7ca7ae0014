//! Reads how a script or a module describes itself: an array of registrations in JSON, or one, with hookmux's own
//! keys or those of cPanel's describe pattern. Options of the command line are read in the same way.

use std::fmt;

use serde_json::Value;

use super::translate::{DescriptionEntry, FindInterpreter, ScriptOrModule, translate};

/// A mistake in an entry of a description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DescriptionProblem {
    /// The number of the entry, from 1; `None` for the description as a whole.
    pub entry: Option<usize>,
    pub key: Option<String>,
    pub message: String,
}

impl fmt::Display for DescriptionProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(entry) = self.entry {
            write!(f, "entry {entry}")?;
            f.write_str(if self.key.is_some() { ", " } else { ": " })?;
        }
        if let Some(key) = &self.key {
            write!(f, "`{key}`: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Why output can't be used as a description.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DescriptionError {
    /// It is not a description; the reason.
    NotADescription(String),
    /// It is a description with these mistakes.
    Invalid(Vec<DescriptionProblem>),
}

/// Reads a description.
///
/// # Errors
/// The output is not a description, or an entry has a mistake.
pub(crate) fn read(
    output: &[u8],
    subject: &ScriptOrModule,
    find: FindInterpreter<'_>,
) -> Result<Vec<DescriptionEntry>, DescriptionError> {
    let no = |why: String| DescriptionError::NotADescription(why);
    let wrong = |message: &str| {
        DescriptionError::Invalid(vec![DescriptionProblem {
            entry: None,
            key: None,
            message: message.to_owned(),
        }])
    };
    if output.iter().all(u8::is_ascii_whitespace) {
        return Err(no("it printed nothing".to_owned()));
    }
    let value: Value = serde_json::from_slice(output).map_err(|error| {
        // output that begins like a description was meant as one: a mistake in it has to be reported
        if matches!(output.trim_ascii_start().first(), Some(b'[' | b'{')) {
            return wrong(&format!("the description is not JSON: {error}"));
        }
        no(format!("what it printed is not JSON ({error})"))
    })?;
    let list = match value {
        Value::Array(list) => list,
        Value::Object(_) => vec![value],
        _ => return Err(wrong("a description is an array of registrations, or one registration")),
    };
    if list.is_empty() {
        return Err(wrong("the description is an empty array: there is nothing to register"));
    }
    let mut entries = Vec::new();
    let mut problems = Vec::new();
    for (number, value) in (1..).zip(list) {
        let Value::Object(keys) = value else {
            let message = "an entry is an object".to_owned();
            problems.push(DescriptionProblem { entry: Some(number), key: None, message });
            continue;
        };
        match translate(number, keys, subject, find) {
            Ok(entry) => entries.push(entry),
            Err(faults) => {
                problems.extend(faults.into_iter().map(|(key, message)| DescriptionProblem {
                    entry: Some(number),
                    key: (!key.is_empty()).then_some(key),
                    message,
                }))
            }
        }
    }
    if problems.is_empty() { Ok(entries) } else { Err(DescriptionError::Invalid(problems)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::register::module::{Language, Module};
    use serde_json::json;
    use std::path::PathBuf;

    fn script() -> ScriptOrModule {
        ScriptOrModule::Script("/opt/x/guard.sh".to_owned())
    }

    fn module() -> ScriptOrModule {
        ScriptOrModule::Module(Module::parse("MyApp::Hooks").unwrap())
    }

    fn found(_: Language) -> Result<PathBuf, String> {
        Ok(PathBuf::from("/usr/bin/interpreter"))
    }

    #[track_caller]
    fn keys(subject: &ScriptOrModule, entry: Value) -> Value {
        let text = json!([entry]).to_string();
        let mut entries = read(text.as_bytes(), subject, &found).unwrap();
        Value::Object(entries.remove(0).keys)
    }

    #[track_caller]
    fn problems(text: &str) -> Vec<String> {
        match read(text.as_bytes(), &script(), &found) {
            Err(DescriptionError::Invalid(problems)) => {
                problems.iter().map(DescriptionProblem::to_string).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn own_keys_stay_as_they_are() {
        let entry = json!({"name": "guard", "events": ["before_vm_start"], "weight": 7, "when": {"name": "web-*"}, "check": "/bin/true"});
        let text = json!([entry]).to_string();
        let entries = read(text.as_bytes(), &script(), &found).unwrap();
        assert_eq!(entries[0].name.as_deref(), Some("guard"));
        let expected = json!({"events": ["before_vm_start"], "weight": 7, "when": {"name": "web-*"}, "check": "/bin/true", "command": ["/opt/x/guard.sh"]});
        assert_eq!(Value::Object(entries[0].keys.clone()), expected);
    }

    #[test]
    fn cpanels_keys_are_translated_one_by_one() {
        let base = json!({"category": "vm", "event": "start", "stage": "pre"});
        let own = json!({"events": ["before_vm_start"], "command": ["/opt/x/guard.sh"], "result": "status-line"});
        assert_eq!(keys(&script(), base.clone()), own);
        for (key, value, expected) in [
            (
                "hook",
                json!("/opt/y --add \"a b\" c\\ d"),
                json!({"command": ["/opt/y", "--add", "a b", "c d"]}),
            ),
            ("hook", json!("guard.sh --add"), json!({"command": ["/opt/x/guard.sh", "--add"]})),
            ("hook", json!("./lib/undo"), json!({"command": ["/opt/x/lib/undo"]})),
            ("exectype", json!("script"), json!({})),
            ("result", json!("exit-status"), json!({"result": "exit-status"})),
            ("weight", json!(455), json!({"weight": 455})),
            ("weight", json!("455"), json!({"weight": 455})),
            (
                "check",
                json!("/usr/bin/test -e /sys"),
                json!({"check": ["/usr/bin/test", "-e", "/sys"]}),
            ),
            (
                "rollback",
                json!("guard.sh --undo"),
                json!({"rollback": ["/opt/x/guard.sh", "--undo"]}),
            ),
            ("rollback", Value::Null, json!({})),
            ("escalateprivs", json!(1), json!({})),
            ("escalateprivs", json!("1"), json!({})),
            ("escalateprivs", json!(0), json!({"run_as": {"user": "nobody"}})),
            ("escalateprivs", json!(false), json!({"run_as": {"user": "nobody"}})),
            ("blocking", json!(1), json!({"on_failure": "stop"})),
            ("blocking", json!(0), json!({"on_failure": "warn"})),
            ("timeout", json!("5s"), json!({"timeout": "5s"})),
        ] {
            let mut entry = base.clone();
            entry[key] = value.clone();
            let mut wanted = own.clone();
            for (key, value) in expected.as_object().unwrap() {
                wanted[key] = value.clone();
            }
            assert_eq!(keys(&script(), entry), wanted, "{key}: {value}");
        }
    }

    #[test]
    fn only_cpanels_scripts_answer_on_their_last_line() {
        let base = json!({"category": "vm", "event": "start", "stage": "pre"});
        let with = |key: &str, value: Value| {
            let mut entry = base.clone();
            entry[key] = value;
            entry
        };
        for (subject, entry, answers) in [
            (script(), base.clone(), true),
            (script(), json!({"events": ["before_vm_start"], "weight": 7}), false),
            // hookmux's own event, and cPanel's other keys
            (
                script(),
                json!({"event": "before_vm_start", "hook": "/x", "exectype": "script"}),
                false,
            ),
            (script(), with("style", json!("libvirt")), false),
            (
                script(),
                json!({"category": "vm", "event": "start", "stage": "pre", "exectype": "module", "hook": "MyApp::Hooks::add"}),
                false,
            ),
            (module(), with("hook", json!("add")), false),
            // a module may describe a script
            (module(), with("hook", json!("/x --add")), true),
        ] {
            let keys = keys(&subject, entry.clone());
            assert_eq!(keys.get("result").is_some(), answers, "{entry}");
        }
    }

    #[test]
    fn one_entry_needs_no_array() {
        let one = json!({"events": "before_vm_start", "name": "guard"});
        let alone = read(one.to_string().as_bytes(), &script(), &found).unwrap();
        assert_eq!(alone, read(json!([one]).to_string().as_bytes(), &script(), &found).unwrap());
        assert_eq!(problems("{}x").len(), 1);
        assert!(problems(r#"{"wheight": 1}"#)[0].contains("did you mean `weight`?"));
    }

    #[test]
    fn what_says_nothing_of_roots_rights_is_marked() {
        for (more, is_unescalated) in [
            (json!({}), true),
            (json!({"escalateprivs": null}), true),
            (json!({"escalateprivs": 1}), false),
            (json!({"escalateprivs": 0}), false),
            (json!({"run_as": "nobody"}), false),
        ] {
            let mut entry = json!({"category": "vm", "event": "start", "stage": "pre"});
            entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let read = read(entry.to_string().as_bytes(), &script(), &found).unwrap();
            assert_eq!(read[0].is_unescalated, is_unescalated, "{entry}");
        }
        let own = read(br#"{"event": "before_vm_start"}"#, &script(), &found).unwrap();
        assert!(!own[0].is_unescalated);
    }

    #[test]
    fn a_modules_hook_is_a_function() {
        let entry = json!({"category": "vm", "event": "start", "stage": "pre", "hook": "MyApp::Hooks::add", "exectype": "module", "rollback": "undo", "check": "/bin/true x"});
        let keys = keys(&module(), entry);
        let words: Vec<&str> =
            keys["command"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!((words[0], &words[4..]), ("/usr/bin/interpreter", &["MyApp::Hooks", "add"][..]));
        assert_eq!(keys["rollback"][5], "undo");
        assert_eq!(keys["check"], json!(["/bin/true", "x"]));
        assert_eq!(keys["stdin"], "json");
    }

    #[test]
    fn mistakes_name_the_entry_and_the_key() {
        let good = r#"{"category":"vm","event":"start","stage":"pre"}"#;
        for (entry, expected) in [
            (
                r#"{"events":["before_vm_start"],"wheight":1}"#,
                "entry 2, `wheight`: there is no such key; did you mean `weight`?",
            ),
            (
                r#"{"category":"vm","event":"start","stage":"mid"}"#,
                "entry 2, `stage`: there is no stage `mid`",
            ),
            (
                r#"{"category":"vm","event":"strat","stage":"pre"}"#,
                "entry 2, `event`: there is no event before `strat`",
            ),
            (r#"{"category":"vm","stage":"pre"}"#, "entry 2, `event`: `event` is missing"),
            (r#"{"event":"start","stage":"pre"}"#, "entry 2, `category`: `category` is missing"),
            (
                r#"{"event":"before_vm_start","events":"*"}"#,
                "entry 2, `event`: `event` and `events`",
            ),
            (r#"{"event":"before_vm_start","hook":"a 'b"}"#, "entry 2, `hook`: `a 'b` has a quote"),
            (r#"{"event":"before_vm_start","hook":""}"#, "entry 2, `hook`: it is empty"),
            (
                r#"{"event":"before_vm_start","hook":"/x","command":"/x"}"#,
                "entry 2, `hook`: `hook` and `command`",
            ),
            (
                r#"{"event":"before_vm_start","exectype":"binary","hook":"x"}"#,
                "entry 2, `exectype`: ",
            ),
            (r#"{"event":"before_vm_start","weight":"x"}"#, "entry 2, `weight`: "),
            (
                r#"{"event":"before_vm_start","escalateprivs":2}"#,
                "entry 2, `escalateprivs`: `2` is neither",
            ),
            (
                r#"{"event":"before_vm_start","escalateprivs":1,"run_as":{"user":"x"}}"#,
                "entry 2, `escalateprivs`: ",
            ),
            (
                r#"{"event":"before_vm_start","blocking":1,"on_failure":"fail"}"#,
                "entry 2, `blocking`: ",
            ),
            (r#"{"event":"before_vm_start","name":"../x"}"#, "entry 2, `name`: "),
            (r#"{"event":"before_vm_start","name":"x.bak"}"#, ""),
            (r#""x""#, "entry 2: an entry is an object"),
        ] {
            let text = format!("[{good},{entry}]");
            if expected.is_empty() {
                assert!(read(text.as_bytes(), &script(), &found).is_ok(), "{entry}");
                continue;
            }
            let problems = problems(&text);
            assert!(
                problems.len() == 1 && problems[0].starts_with(expected),
                "{entry} says {problems:?}"
            );
        }
        assert!(problems("5")[0].contains("an array"));
        assert!(problems("[]")[0].contains("empty array"));
    }

    #[test]
    fn what_is_no_description_is_told_apart() {
        for (output, why) in
            [("", "printed nothing"), (" \n", "printed nothing"), ("usage: x", "not JSON")]
        {
            match read(output.as_bytes(), &script(), &found) {
                Err(DescriptionError::NotADescription(words)) => {
                    assert!(words.contains(why), "{words}")
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_missing_interpreter_is_the_keys_problem() {
        let none = |_: Language| Err("no perl".to_owned());
        let text = r#"[{"event":"before_vm_start","hook":"add"}]"#;
        let Err(DescriptionError::Invalid(problems)) = read(text.as_bytes(), &module(), &none)
        else {
            panic!()
        };
        assert_eq!(problems[0].to_string(), "entry 1, `hook`: no perl");
    }

    #[test]
    fn names_are_made_of_what_is_there() {
        assert_eq!(script().stem(), "guard");
        assert_eq!(ScriptOrModule::Script("/x/.a b.sh".to_owned()).stem(), "a-b");
        assert_eq!(module().stem(), "MyApp-Hooks");
    }
}
