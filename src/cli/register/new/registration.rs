//! The text of a new hook's registration.

use serde_json::{Map, Value};

use super::moment::{HookMoment, Subject};
use crate::config::registration::flow_word;

/// How a registration undoes what its hook sets up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UndoKey {
    /// It can't be undone at this event.
    None,
    /// The key is there as a comment.
    Comment,
    Active,
}

/// Returns the text of a registration: the keys that it needs, and as comments those that people add.
pub(super) fn text(
    script: &str,
    moment: &HookMoment,
    undo: UndoKey,
    when: &Map<String, Value>,
) -> String {
    let script = flow_word(script);
    let mut text = format!("events: {}\n", moment.event);
    match undo {
        UndoKey::None => text.push_str(&format!("command: {script}\n")),
        _ => text.push_str(&format!("command: [{script}, start]\n")),
    }
    let mut add = |words: &str, line: &str| text.push_str(&format!("# {words}\n# {line}\n"));
    let what = format!("takes back what it has set up, {}:", moment.end());
    if undo == UndoKey::Comment {
        add(&what, &format!("undo: [{script}, undo]"));
    }
    match moment.subject {
        _ if !when.is_empty() => {}
        Subject::Guest | Subject::Device => add(
            "runs only where all of this holds:",
            "when: {name: [\"web-*\", \"!web-test\"], property: {example: \"yes\"}}",
        ),
        Subject::Network | Subject::Port => {
            add("runs only for these networks:", "when: {name: [\"dmz-*\", \"!dmz-test\"]}");
        }
        Subject::Daemon => {}
    }
    add(
        "is asked first: where it fails, the hook doesn't run, and nothing has failed:",
        "check: [/usr/bin/test, -e, /etc/example.conf]",
    );
    add(
        "its time limit; without this line that of hookmux.yaml, 120 s unless it says otherwise:",
        "timeout: 30s",
    );
    if !when.is_empty() {
        text.push_str(&format!("# runs only where all of this holds:\nwhen: {}\n", flow(when)));
    }
    if undo == UndoKey::Active {
        text.push_str(&format!("# {what}\nundo: [{script}, undo]\n"));
    }
    text
}

/// Returns conditions on one line, as a person would write them.
fn flow(when: &Map<String, Value>) -> String {
    let pairs = when.iter().map(|(key, value)| {
        let value = match value {
            Value::Object(properties) => flow(properties),
            Value::Array(values) => {
                let values: Vec<String> = values.iter().map(Value::to_string).collect();
                match values.as_slice() {
                    [one] => one.clone(),
                    _ => format!("[{}]", values.join(", ")),
                }
            }
            other => other.to_string(),
        };
        format!("{}: {value}", flow_word(key))
    });
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
}
