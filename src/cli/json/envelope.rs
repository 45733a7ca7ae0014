//! The outer object of every output, and its schema.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::shape::{Defs, Object, described, with_keys};
use crate::run::arguments;

/// The format of the outputs. It is raised when a key is changed or removed.
pub(crate) const FORMAT: u32 = 1;

/// Returns the first keys of every output.
fn envelope() -> Map<String, Value> {
    [("format".to_owned(), FORMAT.into()), ("host".to_owned(), arguments::host().into())]
        .into_iter()
        .collect()
}

/// Returns the object that is printed for an output.
pub(crate) fn printed<T: Serialize + Object>(answer: &T) -> Value {
    let mut all = envelope();
    if let Ok(Value::Object(keys)) = serde_json::to_value(answer) {
        all.extend(keys);
    }
    Value::Object(all)
}

/// Returns the schema of an output.
pub(crate) fn schema_of<T: Object>(name: &str, title: &str) -> Value {
    let mut keys = Map::new();
    keys.insert(
        "format".to_owned(),
        described(
            "The format of the output: raised when a key is changed or removed, not when one is added",
            json!({ "type": "integer", "minimum": 1 }),
        ),
    );
    keys.insert("host".to_owned(), described("The name of the host", json!({ "type": "string" })));
    schema_with::<T>(keys, name, title)
}

/// Returns the schema of a file that other programs read.
pub(crate) fn schema_of_file<T: Object>(name: &str, title: &str) -> Value {
    schema_with::<T>(Map::new(), name, title)
}

fn schema_with<T: Object>(mut keys: Map<String, Value>, name: &str, title: &str) -> Value {
    let mut defs = Defs::default();
    keys.extend(T::keys(&mut defs));
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("urn:hookmux:output:{name}"),
        "title": title,
    });
    let own = with_keys(
        &format!(
            "{} Later versions may add keys, and words to those that `examples` lists.",
            T::WORDS.trim()
        ),
        keys,
    );
    if let (Value::Object(schema), Value::Object(own)) = (&mut schema, own) {
        schema.extend(own);
        schema.insert("$defs".to_owned(), defs.0.into());
    }
    schema
}
